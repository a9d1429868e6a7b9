"""Intervals of float64 ends, elementwise over batches, rounded outward: arithmetic and the functions of a formula.

Every function returns an interval that holds all real values over the real points of its arguments. Rounding: +, −, ×,
÷ and √ are correctly rounded in IEEE arithmetic (with subnormal numbers, see `keeps_small_numbers`), so one float
outward is enough; sums that may feed a kink go outward only where they round at all (`add_exactly`). Elementary
functions are taken to be good to 4 units of roundoff, as everywhere in this package: they go outward by 8u of the
result and the least normal number. Where an argument leaves a function's domain both ends are NaN, and NaN stays NaN.

Main definitions: `Interval`, `add`, `add_exactly`, `multiply`, `hull`, `power`, `cosine`, `increasing`.
Notation: u = 2⁻⁵³. An end is a float where it is the same for the whole batch, else a tensor (B,).
References: R. Moore, R. Kearfott, M. Cloud, Introduction to Interval Analysis, ch. 2–5; D. Knuth, TAOCP 2, 4.2.2.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any, NamedTuple

import torch
from torch import Tensor

End = Any  # float | Tensor: which one depends on the formula
ROOM = 2.0**-50
LEAST = 2.0**-1022
LOGARITHM = 746.0
"""|ln t| of every positive float64 t is below this."""


class Interval(NamedTuple):
    """[lo, hi]; both ends NaN where nothing is known."""

    lo: End
    hi: End


# --- ends ------------------------------------------------------------------------------------------------


def down(x: End) -> End:
    """The float below."""
    return math.nextafter(x, -math.inf) if isinstance(x, float) else torch.nextafter(x, x.new_full((), -math.inf))


def up(x: End) -> End:
    """The float above."""
    return math.nextafter(x, math.inf) if isinstance(x, float) else torch.nextafter(x, x.new_full((), math.inf))


def least(x: End, y: End) -> End:
    """The smaller, NaN if one is."""
    if isinstance(x, float):
        return -_larger(-x, -y) if isinstance(y, float) else torch.clamp(y, max=x)
    return torch.clamp(x, max=y) if isinstance(y, float) else torch.minimum(x, y)


def largest(x: End, y: End) -> End:
    """The larger, NaN if one is."""
    if isinstance(x, float):
        return _larger(x, y) if isinstance(y, float) else torch.clamp(y, min=x)
    return torch.clamp(x, min=y) if isinstance(y, float) else torch.maximum(x, y)


def _larger(x: float, y: float) -> float:
    return math.nan if math.isnan(x) or math.isnan(y) else max(x, y)


def where(condition: bool | Tensor, x: End, y: End) -> End:
    """x where the condition holds, else y, in float64 whatever they are."""
    if isinstance(condition, bool):
        return x if condition else y
    if isinstance(x, float) and isinstance(y, float):
        return torch.where(condition, torch.full((), x, dtype=torch.float64, device=condition.device), y)
    return torch.where(condition, x, y)


def keeps_small_numbers() -> bool:
    """Whether the host computes with subnormal numbers, or rounds them to 0 (`torch.set_flush_denormal`)."""
    return bool((torch.full((1,), LEAST, dtype=torch.float64) / 2 > 0).item())


# --- arithmetic ------------------------------------------------------------------------------------------


def negative(x: Interval) -> Interval:
    return Interval(-x.hi, -x.lo)


def add(x: Interval, y: Interval) -> Interval:
    return Interval(down(x.lo + y.lo), up(x.hi + y.hi))


def add_exactly(x: Interval, y: Interval) -> Interval:
    """As `add`, but an end that is exact stays: a box that ends on a kink must not reach over it."""
    low, below = _two_sum(x.lo, y.lo)
    high, above = _two_sum(x.hi, y.hi)
    # an overflow leaves NaN, which is not exact
    return Interval(where(below >= 0, low, down(low)), where(above <= 0, high, up(high)))


def _two_sum(x: End, y: End) -> tuple[End, End]:
    """(s, e) with s = fl(x + y) and x + y = s + e exactly."""
    total = x + y
    other = total - x
    return total, (x - (total - other)) + (y - other)


def multiply(x: Interval, y: Interval) -> Interval:
    if isinstance(y.lo, float) and not isinstance(x.lo, float):
        x, y = y, x
    if isinstance(x.lo, float) and x.lo == x.hi:
        ends = (x.lo * y.lo, x.lo * y.hi) if x.lo >= 0 else (x.lo * y.hi, x.lo * y.lo)
        return Interval(*ends) if abs(x.lo) == 1 else Interval(down(ends[0]), up(ends[1]))
    if isinstance(x.lo, float) and (x.lo > 0 or x.hi < 0):
        low, high = (y.lo, y.hi) if x.lo > 0 else (y.hi, y.lo)
        return Interval(down(least(low * x.lo, low * x.hi)), up(largest(high * x.lo, high * x.hi)))
    first, second, third, fourth = x.lo * y.lo, x.lo * y.hi, x.hi * y.lo, x.hi * y.hi
    low = least(least(first, second), least(third, fourth))
    high = largest(largest(first, second), largest(third, fourth))
    return Interval(down(low), up(high))


def absolute(x: Interval) -> Interval:
    return Interval(largest(largest(x.lo, -x.hi), 0.0), largest(-x.lo, x.hi))


def square(x: Interval) -> Interval:
    size = absolute(x)
    return Interval(largest(down(size.lo * size.lo), 0.0), up(size.hi * size.hi))


def root(x: Interval) -> Interval:
    """√x; NaN where x may be negative."""
    return _on(x.lo >= 0, Interval(largest(down(torch.sqrt(x.lo)), 0.0), up(torch.sqrt(x.hi))))


def reciprocal(x: Interval) -> Interval:
    """1/x; NaN where x may be 0."""
    return _on((x.lo > 0) | (x.hi < 0), Interval(down(1 / x.hi), up(1 / x.lo)))


def hull(x: Interval, y: Interval) -> Interval:
    return Interval(least(x.lo, y.lo), largest(x.hi, y.hi))


def _on(safe: Tensor, x: Interval) -> Interval:
    """x, NaN where it is not safe."""
    return Interval(where(safe, x.lo, math.nan), where(safe, x.hi, math.nan))


# --- elementary functions --------------------------------------------------------------------------------


def _below(y: Tensor, room: float = ROOM) -> Tensor:
    return y - (y.abs() * room + LEAST)


def _above(y: Tensor, room: float = ROOM) -> Tensor:
    return y + (y.abs() * room + LEAST)


def increasing(fn: Callable[[Tensor], Tensor], x: Interval) -> Interval:
    """The range of an increasing elementary function."""
    return Interval(_below(fn(x.lo)), _above(fn(x.hi)))


def exponential(x: Interval) -> Interval:
    range_ = increasing(torch.exp, x)
    return Interval(largest(range_.lo, 0.0), range_.hi)


def logarithm(x: Interval) -> Interval:
    return _on(x.lo > 0, increasing(torch.log, x))


def hyperbolic_cosine(x: Interval) -> Interval:
    range_ = increasing(torch.cosh, absolute(x))
    return Interval(largest(range_.lo, 1.0), range_.hi)


def cosine(x: Interval) -> Interval:
    return _wave(torch.cos, x, 0.0)


def sine(x: Interval) -> Interval:
    return _wave(torch.sin, x, 0.5)


def tangent(x: Interval) -> Interval:
    first, last = _turns(x, 0.5)
    return _on(first == last, increasing(torch.tan, x))


def _turns(x: Interval, shift: float) -> tuple[Tensor, Tensor]:
    """(k₀, k₁): every integer k with x = (k + shift)π for an x of the interval is in k₀ < k ≤ k₁.

    x/π − shift is computed to 4u of its size and of `shift`; the margin is 16 times that."""
    low, high = x.lo / math.pi - shift, x.hi / math.pi - shift
    margin = torch.maximum(low.abs(), high.abs()) * 2.0**-47 + 2.0**-47
    return torch.floor(low - margin), torch.floor(high + margin)


def _wave(fn: Callable[[Tensor], Tensor], x: Interval, shift: float) -> Interval:
    """The range of a function with its maxima 1 at (2k + shift)π, its minima −1 at (2k + 1 + shift)π."""
    first, last = _turns(x, shift)
    both, one = last - first >= 2, last - first == 1
    even = torch.floor(last / 2) * 2 == last
    start, end = fn(x.lo), fn(x.hi)
    low = torch.where(both | (one & ~even), -1.0, torch.clamp(_below(torch.minimum(start, end)), min=-1.0))
    high = torch.where(both | (one & even), 1.0, torch.clamp(_above(torch.maximum(start, end)), max=1.0))
    return Interval(low, high)


# --- powers ----------------------------------------------------------------------------------------------


def power(x: Interval, exponent: Fraction) -> Interval:
    """x to a rational constant; NaN where a root's base may be negative, or a divisor 0."""
    if exponent < 0:
        return reciprocal(power(x, -exponent))
    if exponent == 1:
        return x
    if exponent == 2:
        return square(x)
    if exponent == Fraction(1, 2):
        return root(x)
    if exponent.denominator == 1:
        base = absolute(x) if exponent.numerator % 2 == 0 else x
        range_ = increasing(lambda t: t.pow(int(exponent)), base)
        return Interval(largest(range_.lo, 0.0), range_.hi) if base is not x else range_
    nearest = float(exponent)
    # |t^p − t^q| ≤ |ln t|·|p − q|·max(t^p, t^q)
    room = ROOM + 2 * LOGARITHM * float(abs(Fraction(nearest) - exponent))
    low = largest(_below(x.lo.pow(nearest), room), 0.0)
    return _on(x.lo >= 0, Interval(low, _above(x.hi.pow(nearest), room)))
