"""How far torch's float64 values of a formula can be from the formula's own, anywhere on a box: a proof, not a sample.

Every register of the tape carries a ball around its real value and a bound E of what its float value is off by. An
operation adds its own rounding (u of the result for + − × ÷ √, 4u for the elementary functions, which torch computes
to about 1 ulp) and carries the arguments' errors on through its derivative over the widened ball.

Main definition: `formula_rounding`.
Notation: u = 2⁻⁵³; M is the largest |value| of a register over the box.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Sequence
from fractions import Fraction

from flint import arb

from constructions.functions.box import Box
from constructions.functions.symbolic.balls import _active, _derivative, _gradient, _power, _value, norm_above
from constructions.functions.symbolic.roots import ball_of
from constructions.functions.symbolic.tape import Instruction, Tape
from theory.checkers.uniform_error.stack import LEAST, UNIT

ELEMENTARY = 4 * UNIT
MAX_BOXES = 64
GOOD_ENOUGH = 16 * UNIT  # of the largest value: splitting further gains little

Corners = tuple[tuple[Fraction, ...], tuple[Fraction, ...]]


def formula_rounding(tape: Tape, domain: Box) -> float:
    """A bound of |torch's value − the formula's| over the float64 points of the domain; inf if none is found.

    The domain is cut where the bound is worst, into at most 64 boxes.
    """
    whole = tuple(map(Fraction, domain.lo)), tuple(map(Fraction, domain.hi))
    number = itertools.count()
    heap = [(*_measured(tape, whole), next(number), whole)]
    while len(heap) < MAX_BOXES and -heap[0][0] > GOOD_ENOUGH * heap[0][1]:
        worst, largest, _, (lo, hi) = heapq.heappop(heap)
        axis = max(range(len(lo)), key=lambda a: (hi[a] - lo[a]) / domain.sides[a])
        middle = (lo[axis] + hi[axis]) / 2
        for part in ((lo, (*hi[:axis], middle, *hi[axis + 1 :])), ((*lo[:axis], middle, *lo[axis + 1 :]), hi)):
            error, size = _measured(tape, part)
            # what holds on a box holds on its parts, should a narrower ball for once say less
            heapq.heappush(heap, (max(error, worst), min(size, largest), next(number), part))
    return -heap[0][0]


def _measured(tape: Tape, corners: Corners) -> tuple[float, float]:
    """(−E, M) of the worst output over a box; −inf where there is no bound, so that it is cut first."""
    box = [ball_of(a, b) for a, b in zip(*corners, strict=True)]
    balls: list[arb] = []
    errors: list[float] = []
    steep = _gradients(tape, box) if any(_moved_cuts(step) for step in tape.instructions) else []
    for step in tape.instructions:
        ball = _value(step, [balls[i] for i in step.args], box)
        # of a select only the branches that the box touches: another need not even be defined there
        chosen = [step.args[i] for i in _active(step, box)] if step.op == "select" else step.args
        own = [(balls[i], errors[i]) for i in chosen]
        error = _error(step, ball, own) + _misplaced(step, steep) + LEAST
        balls.append(ball)
        errors.append(error if error >= 0 else math.inf)  # NaN, too: a ball without an end bounds nothing
    worst = max(errors[i] for i in tape.outputs)
    return -worst, max(_largest(balls[i]) for i in tape.outputs)


def _error(step: Instruction, value: arb, args: Sequence[tuple[arb, float]]) -> float:
    """What the float result may be off by, given what the arguments are."""
    inner = [error for _, error in args]
    result = _largest(value)
    match step.op:
        case "var":
            return 0.0
        case "const":
            return 2 * UNIT * result
        case "add":
            return sum(inner) + len(inner) * UNIT * sum(_largest(b) + e for b, e in args)
        case "mul":
            return _product_error(args)
        case "norm":
            # squares below the normal numbers may be lost whole
            moved = math.hypot(*inner) * (1 + ELEMENTARY) + math.sqrt(len(inner) * LEAST)
            return moved + (len(inner) + 4) * UNIT * (result + moved)
        case "max" | "min" | "select" | "abs":
            return max(inner)
        case "pow":
            moved = _moved(step, *args[0]) + _rounded_exponent(step, args[0][0], result)
            return moved + ELEMENTARY * (result + moved)
        case _:
            moved = _moved(step, *args[0])
            return moved + ELEMENTARY * (result + moved)


def _product_error(args: Sequence[tuple[arb, float]]) -> float:
    """Factor by factor, in the order in which torch multiplies: what underflows is lost for all factors behind it."""
    (first, error), *others = args
    size = _largest(first)
    for ball, own in others:
        factor = _largest(ball)
        moved = error * (factor + own) + size * own
        error = (moved + 2 * UNIT * (size + error) * (factor + own)) * (1 + ELEMENTARY) + LEAST
        size = size * factor * (1 + ELEMENTARY) + LEAST
    return error


def _moved(step: Instruction, ball: arb, error: float) -> float:
    """How much a function of one argument changes when that is off by `error`."""
    if error == 0:
        return 0.0
    wide = ball + arb(0, error)
    if step.op == "pow" and 0 < step.exponent < 1:
        # concave from 0 on: no derivative is needed, and at 0 there is none; torch refuses a negative base
        root = _up(arb(error) ** (arb(step.exponent.numerator) / step.exponent.denominator))
        steep = _largest(_power(wide, step.exponent - 1)) * float(step.exponent)
        return root if not steep * error < root else steep * error * (1 + ELEMENTARY)
    value = _power(wide, step.exponent) if step.op == "pow" else _value(step_of_register(step), [wide], ())
    return _largest(_derivative(step, value, wide)) * error * (1 + ELEMENTARY)


def _rounded_exponent(step: Instruction, base: arb, result: float) -> float:
    """u^p with the float nearest to p: the difference is at most |ln u|·|Δp|·|u^p|, and ln u·u^p is small at u = 0."""
    moved = abs(Fraction(float(step.exponent)) - step.exponent)
    if not moved:
        return 0.0
    logarithm = _largest((base.abs_lower().max(arb(LEAST))).log().union(base.abs_upper().max(arb(LEAST)).log()))
    return float(moved) * logarithm * result * (1 + ELEMENTARY)


def step_of_register(step: Instruction) -> Instruction:
    """The same operation on a single given ball."""
    return Instruction(step.op, exponent=step.exponent)


# --- branches that begin at a cut which is no float -------------------------------------------------------


def _moved_cuts(step: Instruction) -> Fraction:
    """How far the float cuts of a select are from the real ones; the branch is the wrong one in between."""
    return max((abs(Fraction(float(c)) - c) for c in step.cuts), default=Fraction(0))


def _misplaced(step: Instruction, steep: list[float]) -> float:
    """The branches agree at the cut: what they differ by beside it is at most their slopes times the distance."""
    moved = _moved_cuts(step)
    return 2 * float(moved) * (1 + ELEMENTARY) * max(steep[i] for i in step.args) if moved else 0.0


def _gradients(tape: Tape, box: Sequence[arb]) -> list[float]:
    """‖∇‖₂ of every register over the box, from above."""
    values: list[arb] = []
    gradients: list = []
    for step in tape.instructions:
        args, inner = [values[i] for i in step.args], [gradients[i] for i in step.args]
        value = _value(step, args, box)
        values.append(value)
        gradients.append(_gradient(step, value, args, inner, box, True))
    return [_up(norm_above(g)) for g in gradients]


def _largest(ball: arb) -> float:
    """max |value| of a ball, rounded up; inf for a ball that is no number."""
    return _up(ball.abs_upper())


def _up(ball: arb) -> float:
    value = float(ball.upper())
    return math.inf if math.isnan(value) else math.nextafter(value, math.inf)
