"""Interval forward differentiation of a `Tape`, for many boxes at once: where every ∂f_i/∂x_a lies on a box.

Main definition: `SlopeTape`.
Main statement: let f be a register of the tape, B a box on which none of its slopes is NaN or infinite, and [l_a, h_a]
the slopes of the register on B. For all c, x in B there are g_a in [l_a, h_a] with f(x) − f(c) = Σ_a g_a·(x_a − c_a).

Proof. Let s(t) = c + t(x − c), 0 ≤ t ≤ 1. Along s every register is a composition of Lipschitz functions, so absolutely
continuous and almost everywhere differentiable; there are finitely many of them. By induction over the tape its
derivative at almost every t is Σ_a g_a(t)·(x_a − c_a) with g(t) in the slopes. Smooth operations: the chain rule. max,
min: on the set of t where two arguments agree, their derivatives agree but for its isolated points, which are countably
many; so the derivative is that of any argument that is attained at t, and the hull is over all that count. (One that is
nowhere above another one on B does not: the max without it is the same.) |u| = max(u, −u). √Σu_i²: where it is positive
the derivative is Σ w_i·u_i′ with w_i = u_i/√Σu_j²; on the set where it is 0 all u_i are 0, so that almost everywhere on
it all u_i′ are, and the derivative, whatever w. A select changes its branch at x_axis = cut, where both branches agree;
along s its x_axis is constant, then one branch holds throughout, or meets each cut once. Integrate over t: the means of
g_a(t) lie in [l_a, h_a]. ∎

Nothing need be differentiable at a point, nor defined outside B: kinks inside a box and along its faces, and faces of
the domain, are like any other place. A slope without a bound (√ at 0) or a value outside an operation's domain gives
NaN or an infinite end, which proves nothing. Rounding is that of `intervals`: outward, operation by operation.

References: F. Clarke, Optimization and Nonsmooth Analysis, §2.3; R. Moore, R. Kearfott, M. Cloud, Introduction to
Interval Analysis, §6.4.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache, reduce

import torch
from torch import Tensor

from constructions.functions.symbolic import intervals as iv
from constructions.functions.symbolic.constants import float_above, rational
from constructions.functions.symbolic.intervals import Interval
from constructions.functions.symbolic.tape import Instruction, Tape

Slopes = Mapping[int, Interval]
"""Axis -> where the partial derivative lies; axes on which a register does not depend are left out."""

ONE, ZERO = Interval(1.0, 1.0), Interval(0.0, 0.0)
KINKS = {"max", "min", "abs"}


@dataclass(frozen=True)
class SlopeTape:
    """A tape with what is the same on every box: its constants as intervals (None for other registers), the slopes of
    affine registers (None for others), and which sums are to stay exact where they are."""

    tape: Tape
    constants: tuple[Interval | None, ...]
    affine: tuple[Slopes | None, ...]
    exact: tuple[bool, ...]

    @classmethod
    def of(cls, tape: Tape) -> SlopeTape:
        return _prepared(tape)

    def slopes(self, lo: Tensor, hi: Tensor) -> tuple[Tensor, Tensor]:
        """Ends (B, m, n) of the slopes of the m outputs on the boxes [lo, hi], both (B, n) float64; NaN or infinite
        where nothing is known."""
        box = [Interval(low, high) for low, high in zip(lo.unbind(-1), hi.unbind(-1), strict=True)]
        values: list[Interval] = []
        slopes: list[Slopes] = []
        for i, step in enumerate(self.tape.instructions):
            args, inner = [values[j] for j in step.args], [slopes[j] for j in step.args]
            constant, known = self.constants[i], self.affine[i]
            plus = iv.add_exactly if self.exact[i] else iv.add
            value = _value(step, args, box, plus) if constant is None else constant
            values.append(value)
            slopes.append(_slopes(step, value, args, inner, box) if known is None else known)
        low, high = (lo.new_zeros(len(lo), len(self.tape.outputs), self.tape.n) for _ in range(2))
        for i, register in enumerate(self.tape.outputs):
            for axis, slope in slopes[register].items():
                low[:, i, axis], high[:, i, axis] = slope
        return low, high


@lru_cache(maxsize=64)
def _prepared(tape: Tape) -> SlopeTape:
    constants: list[Interval | None] = []
    affine: list[Slopes | None] = []
    exact: list[bool] = []
    kinks = any(step.op in KINKS for step in tape.instructions)
    for step in tape.instructions:
        constant = _constant(step) if step.op == "const" else None
        affine.append(_affine_slopes(step, [constants[i] for i in step.args], [affine[i] for i in step.args]))
        constants.append(constant)
        # of variables and floats: what a kink compares there must not be blurred
        sums = step.op in (*KINKS, "add") and kinks and all(exact[i] for i in step.args)
        turned = step.op == "mul" and all(exact[i] and (constants[i] or ONE) in UNITS for i in step.args[:-1])
        exact.append(step.op == "var" or sums or turned or (constant is not None and constant.lo == constant.hi))
    return SlopeTape(tape, tuple(constants), tuple(affine), tuple(exact))


UNITS = (ONE, Interval(-1.0, -1.0))


def _affine_slopes(step: Instruction, constants: list[Interval | None], inner: list[Slopes | None]) -> Slopes | None:
    """The slopes of a register that is affine by its form, the same on every box; else None."""
    if step.op in ("const", "var"):
        return {step.axis: ONE} if step.op == "var" else {}
    known = [s for s in inner if s is not None]
    if step.op == "add" and len(known) == len(inner):
        return reduce(_plus, known)
    moving = [s for s, c in zip(inner, constants, strict=True) if c is None]
    if step.op == "mul" and len(moving) == 1 and moving[0] is not None:
        return _times(reduce(iv.multiply, (c for c in constants if c is not None), ONE), moving[0])
    return None


# --- values ----------------------------------------------------------------------------------------------


def _value(step: Instruction, args: list[Interval], box: Sequence[Interval], plus: Callable) -> Interval:
    match step.op:
        case "var":
            return box[step.axis]
        case "add":
            return reduce(plus, args)
        case "mul":
            return reduce(iv.multiply, args)
        case "pow":
            return iv.power(args[0], step.exponent)
        case "norm":
            squares = reduce(iv.add, map(iv.square, args))
            return iv.root(Interval(iv.largest(squares.lo, 0.0), squares.hi))
        case "max":
            return Interval(reduce(iv.largest, (a.lo for a in args)), reduce(iv.largest, (a.hi for a in args)))
        case "min":
            return Interval(reduce(iv.least, (a.lo for a in args)), reduce(iv.least, (a.hi for a in args)))
        case "select":
            return _hull_of(args, _touched(step, box))
        case _:
            return FUNCTIONS[step.op](args[0])


def _constant(step: Instruction) -> Interval:
    """The nearest float, or the floats around it."""
    exact = getattr(step.constant, "is_Rational", False) and rational(step.constant) == Fraction(step.number)
    return Interval(step.number, step.number) if exact else Interval(iv.down(step.number), iv.up(step.number))


FUNCTIONS: dict[str, Callable[[Interval], Interval]] = {
    "abs": iv.absolute,
    "sin": iv.sine,
    "cos": iv.cosine,
    "tan": iv.tangent,
    "exp": iv.exponential,
    "log": iv.logarithm,
    "sinh": lambda x: iv.increasing(torch.sinh, x),
    "cosh": iv.hyperbolic_cosine,
    "tanh": lambda x: iv.increasing(torch.tanh, x),
    "atan": lambda x: iv.increasing(torch.atan, x),
}


def _touched(step: Instruction, box: Sequence[Interval]) -> Tensor:
    """For every branch (k, B) of a select, on which boxes it counts: on all that it meets in more than a face; on those
    that lie in a face, where it equals its neighbour, the one on the left."""
    x = box[step.axis]
    right = torch.stack([x.hi > _float_below(c) for c in step.cuts])
    left = ~(torch.stack([x.lo >= float_above(c) for c in step.cuts]) & right)
    every = torch.ones_like(right[:1])
    return torch.cat([every, right]) & torch.cat([left, every])


def _float_below(cut: Fraction) -> float:
    """The largest float64 that is at most the cut."""
    return -float_above(-cut)


# --- slopes ----------------------------------------------------------------------------------------------


def _slopes(
    step: Instruction, value: Interval, args: list[Interval], inner: list[Slopes], box: Sequence[Interval]
) -> Slopes:
    match step.op:
        case "add":
            return reduce(_plus, inner)
        case "mul":
            return _product(args, inner)
        case "norm":
            weights = _directions(args)
            return reduce(_plus, (_times(w, s) for w, s in zip(weights, inner, strict=True)))
        case "max":
            return _merged(inner, _attained(args))
        case "min":
            return _merged(inner, _attained([iv.negative(a) for a in args]))
        case "select":
            return _merged(inner, _touched(step, box))
        case "abs":
            return {axis: _with_either_sign(args[0], s) for axis, s in inner[0].items()}
        case _:
            return _times(_derivative(step, value, args[0]), inner[0])


def _times(factor: Interval, slopes: Slopes) -> Slopes:
    return {axis: iv.multiply(factor, s) for axis, s in slopes.items()}


def _plus(left: Slopes, right: Slopes) -> Slopes:
    both = {axis: iv.add(left[axis], s) if axis in left else s for axis, s in right.items()}
    return {**left, **both}


def _product(args: list[Interval], inner: list[Slopes]) -> Slopes:
    value, slopes = args[0], inner[0]
    for factor, own in zip(args[1:], inner[1:], strict=True):
        slopes = _plus(_times(factor, slopes), _times(value, own))
        value = iv.multiply(value, factor)
    return slopes


def _derivative(step: Instruction, value: Interval, x: Interval) -> Interval:
    match step.op:
        case "pow":
            exponent = Interval(float(step.exponent), float(step.exponent))
            if Fraction(exponent.lo) != step.exponent:
                exponent = Interval(iv.down(exponent.lo), iv.up(exponent.hi))
            return iv.multiply(exponent, iv.power(x, step.exponent - 1))
        case "sin":
            return iv.cosine(x)
        case "cos":
            return iv.negative(iv.sine(x))
        case "tan":
            return iv.add(ONE, iv.square(value))
        case "exp":
            return value
        case "log":
            return iv.reciprocal(x)
        case "sinh":
            return iv.hyperbolic_cosine(x)
        case "cosh":
            return iv.increasing(torch.sinh, x)
        case "tanh":
            return iv.reciprocal(iv.square(iv.hyperbolic_cosine(x)))
        case "atan":
            return iv.reciprocal(iv.add(ONE, iv.square(x)))
    raise AssertionError(step.op)


# --- kinks -----------------------------------------------------------------------------------------------


def _with_either_sign(x: Interval, slope: Interval) -> Interval:
    """Of |x|, whose argument has this slope."""
    turned = iv.negative(slope)
    both = iv.hull(slope, turned)
    positive, negative = x.lo >= 0, x.hi <= 0
    low = iv.where(positive, slope.lo, iv.where(negative, turned.lo, both.lo))
    high = iv.where(positive, slope.hi, iv.where(negative, turned.hi, both.hi))
    return Interval(low, high)


def _attained(args: list[Interval]) -> Tensor:
    """For every argument (k, B) of a max whether it counts: not where another one is at least as large on the whole
    box. Of those with the highest lower end the one with the highest upper end always counts, so that one is left."""
    lower, upper = _stacked([a.lo for a in args]), _stacked([a.hi for a in args])
    highest = lower.amax(0)
    kept = torch.where(lower == highest, upper, -math.inf).argmax(0, keepdim=True)
    return (~(upper <= highest)).scatter(0, kept, True)


def _merged(inner: list[Slopes], counted: Tensor) -> Slopes:
    axes = sorted({axis for slopes in inner for axis in slopes})
    return {axis: _hull_of([slopes.get(axis, ZERO) for slopes in inner], counted) for axis in axes}


def _hull_of(parts: list[Interval], counted: Tensor) -> Interval:
    """The hull of those that count, row by row; `counted` (k, B)."""
    low, high = _stacked([p.lo for p in parts], counted), _stacked([p.hi for p in parts], counted)
    return Interval(
        torch.where(counted, low, math.inf).amin(0),
        torch.where(counted, high, -math.inf).amax(0),
    )


def _stacked(ends: list[iv.End], like: Tensor | None = None) -> Tensor:
    """Ends as rows (k, B), or as a column (k, 1) where all are numbers; `like` says where, if all may be."""
    tensors = [e for e in ends if isinstance(e, Tensor)]
    if not tensors:
        assert like is not None
        return torch.tensor(ends, dtype=torch.float64, device=like.device)[:, None]
    first = tensors[0]
    return torch.stack([e if isinstance(e, Tensor) else first.new_full(first.shape, e) for e in ends])


def _directions(args: list[Interval]) -> list[Interval]:
    """u_i/√Σu_j², each in its own tightest interval: it grows with u_i, and shrinks with the size of the others."""
    squares = [iv.square(a) for a in args]
    found = []
    for i, u in enumerate(args):
        others = reduce(iv.add, squares[:i] + squares[i + 1 :], ZERO)
        low = iv.where(u.lo >= 0, _share(u.lo, others.hi, iv.up), _share(u.lo, others.lo, iv.down))
        high = iv.where(u.hi <= 0, _share(u.hi, others.hi, iv.up), _share(u.hi, others.lo, iv.down))
        found.append(Interval(iv.largest(iv.down(low), -1.0), iv.least(iv.up(high), 1.0)))
    return found


def _share(u: iv.End, others: iv.End, outward: Callable[[iv.End], iv.End]) -> iv.End:
    """u/√(u² + others), the root rounded up or down, before the quotient is rounded."""
    squares = iv.largest(outward(outward(u * u) + others), 0.0)
    length = torch.as_tensor(squares, dtype=torch.float64).sqrt()
    return u / iv.largest(outward(length), 0.0)
