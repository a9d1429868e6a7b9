"""Certified bounds of a symbolic target's Lipschitz constant, and of its values, by ball branch and bound.

`lipschitz_bounds` returns plain numbers l ≤ sup ‖∇f_i‖₂ ≤ U over outputs and box; what they mean for a
declared constant is decided elsewhere.

Main definitions: `LipschitzBounds`, `lipschitz_bounds`.
"""

from __future__ import annotations

import heapq
import itertools
import math
from dataclasses import dataclass
from fractions import Fraction

import torch

from constructions.errors import ExpressionError
from constructions.functions.box import Box
from constructions.functions.symbolic.balls import GradientSet, enclose_gradients, norm_above
from constructions.functions.symbolic.roots import Corner, ball_of, undefined_root
from constructions.functions.symbolic.tape import Tape

MAX_BOXES = 10_000
GAP = 1e-2
PATIENCE = 1000  # boxes; after that a wider gap is accepted, in proportion
UNBOUNDED = 1e15
SMALLEST_SIDE = Fraction(1, 2**40)
DECLARED_SLACK = 1e-6
SEEDS = 4096
MAX_COST = 50_000  # operations × variables of one evaluation
WORK = 1_000_000  # cost × boxes


@dataclass(frozen=True)
class LipschitzBounds:
    """lower ≤ sup ‖∇f_i‖₂ ≤ upper (inf when no finite bound was found).

    `witness` is a point at which some output has a gradient of norm ≥ lower; `boxes` were evaluated;
    `worst_box` is where the upper bound is attained.
    """

    lower: float
    upper: float
    witness: tuple[float, ...]
    boxes: int
    worst_box: tuple[tuple[float, float], ...]


def lipschitz_bounds(
    tape: Tape, domain: Box, *, declared: float | None = None, max_boxes: int = MAX_BOXES
) -> LipschitzBounds:
    """Branch and bound over boxes until U/l ≤ 1 + 1e-2 (more after many boxes), or a declared constant is decided.

    Ends after `max_boxes` (fewer for a long formula) with whatever is proved by then. Gives up early (upper = inf)
    next to a point where the gradient has no bound, and where a root is not shown to be real.
    Raises ExpressionError when a single evaluation would take too long.
    """
    cost = tape.operations * tape.n
    if cost > MAX_COST:
        raise ExpressionError(
            f"`expression` has {tape.operations} operations and arguments in {tape.n} variables: their product is "
            f"limited to {MAX_COST}"
        )
    max_boxes = min(max_boxes, max(16, WORK // cost))
    lower, witness = _seed(tape, domain)
    counter = itertools.count()
    lo = tuple(Fraction(v) for v in domain.lo)
    hi = tuple(Fraction(v) for v in domain.hi)
    bad = undefined_root(tape, lo, hi)
    if bad is not None:
        return LipschitzBounds(lower, math.inf, witness, 1, _ends(*bad))
    heap = [(-_upper(tape, lo, hi), next(counter), lo, hi)]
    boxes = 1
    while True:
        top, _, lo, hi = heap[0]
        upper = -top
        done = upper <= lower * (1 + GAP * max(1.0, boxes / PATIENCE)) or upper == 0
        if declared is not None:
            done = upper <= declared * (1 + DECLARED_SLACK) or lower > declared
        hopeless = lower > UNBOUNDED or (math.isinf(upper) and _side(lo, hi, domain) < SMALLEST_SIDE)
        if done or hopeless or boxes >= max_boxes:
            upper = math.inf if hopeless else upper
            return LipschitzBounds(lower, upper, witness, boxes, _ends(lo, hi))
        middle = tuple((a + b) / 2 for a, b in zip(lo, hi, strict=True))
        if math.isinf(upper) and math.isinf(_upper(tape, middle, middle)):
            # no box around this point will ever have a bound
            return LipschitzBounds(lower, math.inf, witness, boxes, _ends(lo, hi))
        heapq.heappop(heap)
        for child_lo, child_hi in _halves(lo, hi, domain):
            heapq.heappush(heap, (-_upper(tape, child_lo, child_hi), next(counter), child_lo, child_hi))
            boxes += 1
        value = _lower(tape, middle)
        if value > lower:
            lower, witness = value, tuple(float(c) for c in middle)


def _ends(lo: Corner, hi: Corner) -> tuple[tuple[float, float], ...]:
    return tuple((float(a), float(b)) for a, b in zip(lo, hi, strict=True))


def _side(lo: Corner, hi: Corner, domain: Box) -> Fraction:
    return max((b - a) / s for a, b, s in zip(lo, hi, domain.sides, strict=True))


def _halves(lo: Corner, hi: Corner, domain: Box) -> list[tuple[Corner, Corner]]:
    sides = domain.sides
    axis = max(range(len(lo)), key=lambda a: (hi[a] - lo[a]) / sides[a])
    middle = (lo[axis] + hi[axis]) / 2
    cut_hi = (*hi[:axis], middle, *hi[axis + 1 :])
    cut_lo = (*lo[:axis], middle, *lo[axis + 1 :])
    return [(lo, cut_hi), (cut_lo, hi)]


def _upper(tape: Tape, lo: Corner, hi: Corner) -> float:
    box = [ball_of(a, b) for a, b in zip(lo, hi, strict=True)]
    bound = _largest(enclose_gradients(tape, box, directions=True))
    if tape.has_norm:
        bound = min(bound, _largest(enclose_gradients(tape, box, directions=False)))
    return bound


def _largest(outputs: list[list[GradientSet]]) -> float:
    bounds = [float(norm_above(gradients)) for gradients in outputs]
    # float() of a ball's upper end rounds to nearest; one step up keeps it a bound
    return max(math.inf if math.isnan(b) else math.nextafter(b, math.inf) if b else 0.0 for b in bounds)


def _lower(tape: Tape, point: Corner) -> float:
    box = [ball_of(c, c) for c in point]
    best = 0.0
    for gradients in enclose_gradients(tape, box, directions=True):
        # several pieces at a point: f may not be differentiable there, so the point proves nothing
        if len(gradients) == 1:
            bound = float(gradients[0].norm_below())
            best = max(best, math.nextafter(bound, 0.0) if math.isfinite(bound) and bound > 0 else 0.0)
    return best


def _seed(tape: Tape, domain: Box) -> tuple[float, tuple[float, ...]]:
    """The best certified gradient norm among the steepest of a fixed sample and the box's corners."""
    generator = torch.Generator().manual_seed(0)
    x = domain.sample(SEEDS, generator)
    lo, hi = domain.tensors()
    corners = torch.rand(min(256, 2**domain.n), domain.n, generator=generator) < 0.5
    x = torch.cat([x, torch.where(corners, lo, hi), ((lo + hi) / 2)[None]]).requires_grad_()
    steepness = torch.zeros(x.shape[0], dtype=torch.float64)
    for column in tape(x).unbind(-1):
        if column.requires_grad:
            (gradient,) = torch.autograd.grad(column.sum(), x, retain_graph=True)
            steepness = torch.maximum(steepness, gradient.norm(dim=-1).nan_to_num(0.0, 0.0, 0.0))
    best, witness = 0.0, tuple(x[0].tolist())
    for row in torch.topk(steepness, min(8, len(steepness))).indices.tolist():
        point = tuple(x[row].tolist())
        value = _lower(tape, tuple(Fraction(c) for c in point))
        if value > best:
            best, witness = value, point
    return best, witness
