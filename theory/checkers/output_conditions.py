"""Does a network's answer meet linear conditions somewhere on a box? Branch and bound on the conditions themselves.

For a case (g_1 ≤ 0, …, g_k ≤ 0), g = A·y − b, a box is free of it where one g_j(centre) less its variation over the box
is above 0; a centre where all g_j are below 0 is a counterexample. Both with the slack of the network's rounding.

Main definitions: `decide_outputs`, `OutputVerdict`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import torch
from torch import Tensor, nn

from constructions.errors import require_instance, require_int
from constructions.progress import require_log, silent
from constructions.vnnlib import Condition, VnnLib
from theory.checkers.uniform_error.boxes import half_widths
from theory.checkers.uniform_error.layer_bank import LayerBank
from theory.checkers.uniform_error.layers import SUPPORTED, Layer, read_layers
from theory.checkers.uniform_error.stack import FLOATS
from theory.claim import Status

BATCH = 1 << 13


@dataclass(frozen=True)
class OutputVerdict:
    """CERTIFIED: no x of the box meets the conditions ("unsat"). REFUTED: `witness` does ("sat"). INCONCLUSIVE: after
    `boxes` boxes some were left. `slack` is the rounding allowed for, of network and conditions."""

    status: Status
    witness: tuple[float, ...] | None
    answer: tuple[float, ...] | None
    boxes: int
    slack: float


def decide_outputs(
    network: nn.Module, question: VnnLib, *, max_boxes: int = 2_000_000, log: Callable[[str], None] = silent
) -> OutputVerdict:
    """Whether some x of `question.box` has an answer that meets one of `question.outputs`.

    Raises ValueError for a network that is not plain layers from n to m numbers, and for a question without outputs.
    """
    require_instance("network", network, nn.Module)
    require_instance("question", question, VnnLib)
    require_int("max_boxes", max_boxes, 1)
    require_log(log)
    if not question.outputs:
        raise ValueError("`question` must have conditions on the outputs, it has none")
    found = read_layers(network, question.box.n)
    if isinstance(found, str):
        raise ValueError(f"`network` must consist of plain {SUPPORTED} layers: {found}")
    other = next((p.dtype for p in network.parameters() if p.dtype != torch.float64), None)
    if other is not None:
        raise ValueError(f"`network` must be float64, got {other}")
    answers = len(found[-1].bias)
    if answers != question.m:
        raise ValueError(f"`question` must have conditions on {answers} outputs, got {question.m}")
    if found[-1].activation is not None:
        one = torch.eye(answers, dtype=torch.float64, device=found[-1].bias.device)
        found = [*found, Layer(one, one.new_zeros(answers))]
    boxes, slack, open_cases = 0, 0.0, False
    for number, case in enumerate(question.outputs):
        verdict = _decide(found, question, case, max_boxes - boxes, log)
        boxes, slack = boxes + verdict.boxes, max(slack, verdict.slack)
        log(f"case {number + 1} of {len(question.outputs)}: {verdict.status.value}")
        if verdict.status is Status.REFUTED:
            with torch.no_grad():
                answer = network(torch.tensor([verdict.witness], dtype=torch.float64, device=found[0].bias.device))
            return OutputVerdict(Status.REFUTED, verdict.witness, tuple(answer[0].tolist()), boxes, slack)
        open_cases = open_cases or verdict.status is not Status.CERTIFIED
    return OutputVerdict(Status.INCONCLUSIVE if open_cases else Status.CERTIFIED, None, None, boxes, slack)


def _decide(
    layers: list[Layer], question: VnnLib, case: tuple[Condition, ...], budget: int, log: Callable[[str], None]
) -> OutputVerdict:
    """One conjunction, depth first over batches of boxes."""
    like = layers[0].bias
    rows, rounded = _conditions(case, like)
    lower, upper = (end[None] for end in question.box.tensors(like.device))
    unit, least = FLOATS[torch.float64]
    bank = LayerBank.of([*layers, rows], lower, upper, unit=unit, least=least)
    size = LayerBank.of(layers, lower, upper, unit=1.0, least=0.0).forward_slack  # above every |y|
    slack = bank.table_slack + bank.forward_slack + rounded * (1 + size)
    nowhere = torch.zeros(1, dtype=torch.int64, device=like.device)
    stack: list[tuple[Tensor, Tensor]] = [(lower, upper)]
    boxes, left = 0, False
    while stack:
        lo, hi = stack.pop()
        if boxes + len(lo) > budget:
            left = True
            continue
        boxes += len(lo)
        centre = (lo + hi) / 2
        value = bank.values(nowhere, nowhere, centre)
        # the box was rounded outward: its own ends may lie a float outside of it
        met = (value + slack < 0).all(-1) & ((centre > lower) & (centre < upper)).all(-1)
        if bool(met.any()):
            row = int(met.int().argmax())
            return OutputVerdict(Status.REFUTED, tuple(centre[row].tolist()), None, boxes, slack)
        half = half_widths(lo, hi, centre)
        # NaN leaves the box open
        free = (value - bank.variation(nowhere, nowhere, centre, half) - slack > 0).any(-1)
        lo, hi = lo[~free], hi[~free]
        # a box that cannot be halved any more stays open
        splittable = ((lo + hi) / 2 > lo).any(-1) & ((lo + hi) / 2 < hi).any(-1)
        left = left or not bool(splittable.all())
        lo, hi = lo[splittable], hi[splittable]
        if len(lo):
            axis = (hi - lo).argmax(-1, keepdim=True)
            middle = ((lo + hi) / 2).gather(1, axis)
            halves = torch.cat([lo, lo.scatter(1, axis, middle)]), torch.cat([hi.scatter(1, axis, middle), hi])
            stack.extend(zip(*(part.split(BATCH) for part in halves), strict=True))
            log(f"{boxes} boxes, {sum(len(part) for part, _ in stack)} open")
    return OutputVerdict(Status.INCONCLUSIVE if left else Status.CERTIFIED, None, None, boxes, slack)


def _conditions(case: tuple[Condition, ...], like: Tensor) -> tuple[Layer, float]:
    """y ↦ A·y − b in float64, and what its numbers are off by: rationals are rounded, at most this much a unit of y."""
    numbers = [[*a, -b] for a, b in case]
    floats = [[float(v) for v in row] for row in numbers]
    off = sum(
        abs(Fraction(f) - v)
        for row, exact in zip(floats, numbers, strict=True)
        for f, v in zip(row, exact, strict=True)
    )
    table = torch.tensor(floats, dtype=torch.float64, device=like.device)
    return Layer(table[:, :-1].contiguous(), table[:, -1].contiguous()), float(off) * 1.001 + (1e-300 if off else 0.0)
