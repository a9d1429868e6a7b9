"""Arb enclosures of a `Tape`: values and generalised gradients over a box.

A gradient enclosure is the convex hull of finitely many sets {g : g ∈ vector + B₂(0, radius)} (`GradientSet`).
Hulls keep Max, Min and Abs tight, since a norm is convex: the hull's norm is the largest of its members'.
The Euclidean part keeps the cone tight: √(Σu_i²) has gradient Jᵀ(u/‖u‖), ‖·‖ ≤ ‖J‖₂, also at u = 0.

Arb rounds outward, so every statement here is a proof up to Arb's correctness. Not mpmath's `iv`, which
can exclude the true value of exp.

Main definitions: `enclose_values`, `enclose_gradients`, `GradientSet`.
References: F. Johansson, Arb (IEEE Trans. Comput. 2017); F. Clarke, Optimization and Nonsmooth Analysis, §2.3.
"""

from __future__ import annotations

import itertools
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import reduce

from flint import arb

from constructions.functions.modulus import fraction_to_fmpq
from constructions.functions.symbolic.constants import constant_ball
from constructions.functions.symbolic.tape import Instruction, Tape

MAX_PIECES = 24
ZERO, ONE, NAN = arb(0), arb(1), arb.nan()
INCREASING = {"exp", "log", "sinh", "tanh", "atan"}


@dataclass(frozen=True)
class GradientSet:
    """{vector + r : ‖r‖₂ ≤ radius}; `vector` has n balls, `radius` is a ball ≥ 0."""

    vector: tuple[arb, ...]
    radius: arb = ZERO

    def norm_above(self) -> arb:
        """An upper bound of ‖g‖₂ over the set."""
        square = sum((v.abs_upper() ** 2 for v in self.vector), start=ZERO)
        return square.sqrt().upper() + self.radius.upper()

    def norm_below(self) -> arb:
        """A lower bound of ‖g‖₂ over the set."""
        square = sum((v.abs_lower() ** 2 for v in self.vector), start=ZERO)
        return square.sqrt().lower() - self.radius.upper()

    def scaled(self, factor: arb) -> GradientSet:
        return GradientSet(tuple(v * factor for v in self.vector), self.radius * factor.abs_upper())

    def plus(self, other: GradientSet) -> GradientSet:
        vector = tuple(a + b for a, b in zip(self.vector, other.vector, strict=True))
        return GradientSet(vector, self.radius + other.radius)

    def hull(self, other: GradientSet) -> GradientSet:
        vector = tuple(a.union(b) for a, b in zip(self.vector, other.vector, strict=True))
        return GradientSet(vector, self.radius.max(other.radius))


Gradients = list[GradientSet]


def enclose_values(tape: Tape, box: Sequence[arb]) -> list[arb]:
    """Balls around the m outputs over the box (n balls)."""
    values: list[arb] = []
    for step in tape.instructions:
        values.append(_value(step, [values[i] for i in step.args], box))
    return [values[i] for i in tape.outputs]


def enclose_gradients(tape: Tape, box: Sequence[arb], *, directions: bool) -> list[Gradients]:
    """Enclosures of the m generalised gradients over the box.

    `directions` says how a norm atom whose argument avoids 0 is treated: by its direction u/‖u‖ (tight on
    small boxes) or by ‖J‖₂ (tight next to an apex). Both are valid, so callers take the smaller bound,
    where every base of a root is ≥ 0 (`roots.undefined_root` decides it): a base's ball is clipped at 0.
    """
    gradients = enclose_all(tape, box, directions=directions)[1]
    return [gradients[i] for i in tape.outputs]


def enclose_all(tape: Tape, box: Sequence[arb], *, directions: bool) -> tuple[list[arb], list[Gradients]]:
    """Values and generalised gradients of every register over the box; see `enclose_gradients`."""
    values: list[arb] = []
    gradients: list[Gradients] = []
    for step in tape.instructions:
        args = [values[i] for i in step.args]
        inner = [gradients[i] for i in step.args]
        value = _value(step, args, box)
        values.append(value)
        if value.is_finite():
            gradients.append(_gradient(step, value, args, inner, box, directions))
        else:  # where there may be no value there is no slope: 1/u would go on to the left of log's 0
            gradients.append([GradientSet((NAN,) * len(box))])
    return values, gradients


def norm_above(gradients: Gradients) -> arb:
    """max ‖g‖₂ over the hull, rounded up."""
    return reduce(arb.max, (g.norm_above() for g in gradients))


# --- values -----------------------------------------------------------------------------------------


def _monotone(fn: Callable[[arb], arb], u: arb) -> arb:
    return fn(u.lower()).union(fn(u.upper()))


def _value(step: Instruction, args: list[arb], box: Sequence[arb]) -> arb:
    match step.op:
        case "const":
            return constant_ball(step.constant)
        case "var":
            return box[step.axis]
        case "add":
            return sum(args[1:], start=args[0])
        case "mul":
            return reduce(lambda a, b: a * b, args)
        case "pow":
            return _power(args[0], step.exponent)
        case "norm":
            low = sum((a.abs_lower() ** 2 for a in args), start=ZERO).sqrt()
            return low.union(sum((a.abs_upper() ** 2 for a in args), start=ZERO).sqrt())
        case "max":
            return reduce(arb.max, args)
        case "min":
            return reduce(arb.min, args)
        case "abs":
            return args[0].abs_lower().union(args[0].abs_upper())
        case "cosh":
            return _monotone(arb.cosh, args[0].abs_lower().union(args[0].abs_upper()))
        case "select":
            return reduce(arb.union, (args[i] for i in _active(step, box)))
        case op if op in INCREASING:
            return _monotone(getattr(arb, op), args[0])
        case op:
            return getattr(args[0], op)()


def _power(u: arb, exponent: Fraction) -> arb:
    if exponent.denominator == 1:
        p = int(exponent)
        if p < 0:
            return ONE / _power(u, -exponent)
        if p % 2 == 0:
            return (u.abs_lower() ** p).union(u.abs_upper() ** p)
        return _monotone(lambda t: t**p, u)
    # nan tells the caller to refuse; a base that may be 0 was shown to be ≥ 0 before (`roots`), only its ball is wider
    if not u.lower() >= 0:
        u = u.nonnegative_part() if u.contains(0) else arb.nan()
    if exponent < 0:
        return ONE / _power(u, -exponent)
    power = arb(fraction_to_fmpq(exponent))
    low = u.lower() if u.lower() >= 0 else ZERO
    root = exponent == Fraction(1, 2)
    return (low.sqrt() if root else low**power).union(u.upper().sqrt() if root else u.upper() ** power)


def _active(step: Instruction, box: Sequence[arb]) -> list[int]:
    """Branches of a select that the box may touch."""
    x = box[step.axis]
    cuts = [arb(fraction_to_fmpq(c)) for c in step.cuts]
    last = len(cuts)
    return [i for i in range(last + 1) if not (i > 0 and x < cuts[i - 1]) and not (i < last and x > cuts[i])]


# --- generalised gradients --------------------------------------------------------------------------


def _gradient(
    step: Instruction,
    value: arb,
    args: list[arb],
    inner: list[Gradients],
    box: Sequence[arb],
    directions: bool,
) -> Gradients:
    n = len(box)
    match step.op:
        case "const":
            return [GradientSet((ZERO,) * n)]
        case "var":
            return [GradientSet(tuple(ONE if i == step.axis else ZERO for i in range(n)))]
        case "add":
            return reduce(_sum, inner)
        case "mul":
            return reduce(_sum, (_scale(g, c) for g, c in zip(inner, _cofactors(args), strict=True)))
        case "norm":
            return _norm_gradient(value, args, inner, directions)
        case "max":
            return _hull([g for a, g in zip(args, inner, strict=True) if not a < value.lower()])
        case "min":
            return _hull([g for a, g in zip(args, inner, strict=True) if not a > value.upper()])
        case "select":
            return _hull([inner[i] for i in _active(step, box)])
        case "abs" if args[0].contains(0):
            return _hull([inner[0], _scale(inner[0], -ONE)])
        case _:
            return _scale(inner[0], _derivative(step, value, args[0]))


def _cofactors(args: list[arb]) -> list[arb]:
    """For every factor the product of the others, in a number of products linear in theirs."""
    before = list(itertools.accumulate(args[:-1], operator.mul, initial=ONE))
    after = list(itertools.accumulate(reversed(args[1:]), operator.mul, initial=ONE))
    return [a * b for a, b in zip(before, reversed(after), strict=True)]


def _derivative(step: Instruction, value: arb, u: arb) -> arb:
    match step.op:
        case "pow":
            return arb(fraction_to_fmpq(step.exponent)) * _power(u, step.exponent - 1)
        case "abs":
            return ONE if u > 0 else -ONE
        case "sin":
            return u.cos()
        case "cos":
            return -u.sin()
        case "tan":
            return ONE + value**2
        case "exp":
            return value
        case "log":
            return ONE / u
        case "sinh":
            return _value(Instruction("cosh"), [u], ())
        case "cosh":
            return _monotone(arb.sinh, u)
        case "tanh":
            return ONE / _value(Instruction("cosh"), [u], ()) ** 2
        case "atan":
            return ONE / (ONE + _power(u, Fraction(2)))
    raise AssertionError(step.op)


def _norm_gradient(value: arb, args: list[arb], inner: list[Gradients], directions: bool) -> Gradients:
    rows = [reduce(GradientSet.hull, g) for g in inner]
    if directions and value.lower() > 0:
        return [reduce(GradientSet.plus, (r.scaled(a / value) for r, a in zip(rows, args, strict=True)))]
    n = len(rows[0].vector)
    slack = sum((r.radius.upper() ** 2 for r in rows), start=ZERO).sqrt()
    radius = (_spectral_above([r.vector for r in rows]) + slack).upper()
    return [GradientSet((ZERO,) * n, radius)]


def _spectral_above(rows: list[tuple[arb, ...]]) -> arb:
    """An upper bound of ‖J‖₂: the smaller of Frobenius and √(‖J‖₁‖J‖_∞); exact for diagonal multiples of I."""
    sizes = [[v.abs_upper() for v in row] for row in rows]
    frobenius = sum((s**2 for row in sizes for s in row), start=ZERO).sqrt()
    row_sum = reduce(arb.max, (sum(row, start=ZERO) for row in sizes))
    column_sum = reduce(arb.max, (sum(c, start=ZERO) for c in zip(*sizes, strict=True)))
    return frobenius.min((row_sum * column_sum).sqrt()).upper()


def _scale(gradients: Gradients, factor: arb) -> Gradients:
    return [g.scaled(factor) for g in gradients]


def _sum(left: Gradients, right: Gradients) -> Gradients:
    return _capped([a.plus(b) for a in left for b in right])


def _hull(alternatives: list[Gradients]) -> Gradients:
    return _capped([g for gradients in alternatives for g in gradients])


def _capped(pieces: Gradients) -> Gradients:
    return pieces if len(pieces) <= MAX_PIECES else [reduce(GradientSet.hull, pieces)]
