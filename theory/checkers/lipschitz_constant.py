"""Is a declared Lipschitz constant right? Decided by Arb balls for formulas, refuted by pairs for black boxes.

Main definition: `lipschitz_constant_le`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from constructions.build import build_momlp
from constructions.errors import ModulusViolation, require_positive
from constructions.functions.box import Box
from constructions.functions.lipschitz_function import LipschitzFunction
from constructions.functions.symbolic.gradient_bounds import DECLARED_SLACK, lipschitz_bounds
from constructions.functions.symbolic.parser import parse
from constructions.functions.symbolic.tape import compile_tape
from theory.claim import Evidence, Status, Verdict


def lipschitz_constant_le(expression: str, declared: float, *, n: int, domain: Box | Sequence | None = None) -> Verdict:
    """Is sup ‖∇f_i‖₂ ≤ declared·(1 + 1e-6) for the formula on its domain? (Balls round: "≤ 1" is not to be had for 1.)

    CERTIFIED when the ball bound U satisfies declared ≥ U/(1 + 1e-6); REFUTED with a point where some gradient is
    longer; INCONCLUSIVE otherwise. Raises ExpressionError for a formula outside the language or with a jump.
    """
    require_positive("declared", declared, allow_zero=True)
    box = Box.of(domain, n)
    bounds = lipschitz_bounds(compile_tape(parse(expression, n), n), box, declared=declared)
    numbers = {"boxes": bounds.boxes, "declared": float(declared)}
    interval = {"lower": bounds.lower, "upper": bounds.upper}
    span = f"{bounds.lower:.9g} ≤ sup‖∇f‖₂ ≤ {bounds.upper:.9g}"
    if bounds.lower > declared:
        witness = f"norm of the gradient >= {bounds.lower!r} at x = {bounds.witness}"
        return Verdict(Status.REFUTED, Evidence.ENCLOSED, f"{span}: {witness}", numbers, interval, witness)
    if bounds.upper <= declared * (1 + DECLARED_SLACK):  # NaN and inf fail
        reason = span if bounds.upper <= declared else f"{span}, which is within {DECLARED_SLACK:g} of the declared one"
        return Verdict(Status.CERTIFIED, Evidence.ENCLOSED, reason, numbers, interval)
    where = "x".join(f"[{a:g}, {b:g}]" for a, b in bounds.worst_box)
    reason = f"{span}, not decided after {bounds.boxes} boxes (worst box {where})"
    return Verdict(Status.INCONCLUSIVE, Evidence.ENCLOSED, reason, numbers, interval)


def modulus_refuted_by_building(
    f: LipschitzFunction, eps: float, *, device: torch.device | str = "cpu"
) -> ModulusViolation | None:
    """The contradiction that building finds in the values of a black box, if any."""
    try:
        build_momlp(f, eps=eps, device=device)
    except ModulusViolation as violation:
        return violation
    return None
