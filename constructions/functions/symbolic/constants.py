"""Exact constants of formulas: enclosed by balls, and refused where float64 could not hold them.

Main definitions: `constant_ball`, `rational`, `require_float_constant`.
"""

from __future__ import annotations

import math
import sys
from fractions import Fraction
from functools import lru_cache, reduce
from typing import Any

import sympy
from flint import arb, ctx

from constructions.errors import ExpressionError, shown
from constructions.functions.modulus import fraction_to_fmpq

LARGEST, SMALLEST = sys.float_info.max, sys.float_info.min
DIGITS = 192
"""Bits for constants: far more than float64 has, so that a constant's float is its nearest one."""


def rational(value: Any) -> Fraction:
    """A sympy Rational as a Fraction."""
    return Fraction(int(value.p), int(value.q))


def constant_ball(value: Any) -> arb:
    """An enclosure of an exact sympy number, in the present precision; nan where it is not real."""
    return _ball_of(value, ctx.prec)


@lru_cache(maxsize=4096)
def _ball_of(value: Any, bits: int) -> arb:
    return _ball(value)


def _ball(value: Any) -> arb:
    if isinstance(value, sympy.Rational):
        return arb(fraction_to_fmpq(rational(value)))
    if value is sympy.pi:
        return arb.pi()
    if value is sympy.E:
        return arb.const_e()
    args = [_ball(a) for a in value.args]
    if isinstance(value, sympy.Add):
        return sum(args[1:], start=args[0])
    if isinstance(value, sympy.Mul):
        return reduce(lambda a, b: a * b, args)
    if isinstance(value, sympy.Pow):
        return args[0] ** args[1]
    if isinstance(value, (sympy.Max, sympy.Min)):
        return reduce(arb.max if isinstance(value, sympy.Max) else arb.min, args)
    if isinstance(value, sympy.Abs):
        return abs(args[0])
    function = getattr(args[0], value.func.__name__, None) if args else None
    if function is None:
        raise ExpressionError(f"`expression`: the constant {shown(value)} is not one that can be enclosed")
    return function()


@lru_cache(maxsize=4096)
def require_float_constant(value: Any) -> float:
    """The float of a sympy number; ExpressionError when it is not real, or float64 has no digits for its size."""
    with ctx.workprec(DIGITS):
        ball = _ball(value)
        size, least = float(ball.abs_upper()), float(ball.abs_lower())
        if not ball.is_finite():
            raise ExpressionError(f"`expression`: the constant {shown(value)} is not a finite real number")
        if size > LARGEST:
            raise ExpressionError(f"`expression`: the constant {shown(value)} is beyond the largest float64")
        # below the normal range digits are lost, and in the end the number itself; an exact 0 has none to lose
        if least < SMALLEST and not (value.is_zero or size > SMALLEST):
            raise ExpressionError(f"`expression`: the constant {shown(value)} is too close to 0 for float64")
        return float(ball.mid())


def is_normal(value: Fraction) -> bool:
    """Whether float64 holds this rational to its full relative precision (0 included)."""
    return value == 0 or SMALLEST <= abs(value) <= Fraction(LARGEST)


def float_above(value: Fraction) -> float:
    """The smallest float64 that is at least `value`."""
    nearest = float(value)
    return nearest if Fraction(nearest) >= value else math.nextafter(nearest, math.inf)
