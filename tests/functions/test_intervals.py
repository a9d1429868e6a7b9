"""Interval arithmetic on tensors: against rationals and against balls of 200 bits, and what is not a number."""

import math
from fractions import Fraction

import pytest
import torch
from flint import arb, ctx
from hypothesis import given, settings
from hypothesis import strategies as st

from constructions.functions.symbolic import intervals as iv
from constructions.functions.symbolic.intervals import Interval

DOUBLE = {"dtype": torch.float64}
HUGE = 1.7e308
numbers = st.floats(allow_nan=False, allow_infinity=False)
moderate = st.floats(-30, 30)


def interval(low, high):
    return Interval(torch.tensor([low], **DOUBLE), torch.tensor([high], **DOUBLE))


def ends(x):
    return tuple(e if isinstance(e, float) else float(e) for e in x)


def holds(x, value):
    """Whether an exact value lies in the interval; infinite ends hold everything."""
    low, high = ends(x)
    return (low == -math.inf or Fraction(low) <= value) and (high == math.inf or value <= Fraction(high))


@settings(max_examples=300, deadline=None)
@given(numbers, numbers, numbers, numbers, st.booleans(), st.booleans())
def test_arithmetic_holds_the_exact_corners(a, b, c, d, first, second):
    """Of intervals of tensors and of plain floats."""
    (a, b), (c, d) = sorted((a, b)), sorted((c, d))
    x, y = (Interval(lo, hi) if plain else interval(lo, hi) for lo, hi, plain in ((a, b, first), (c, d, second)))
    corners = [(Fraction(p), Fraction(q)) for p in (a, b) for q in (c, d)]
    for operation, exact in (
        (iv.add, lambda p, q: p + q),
        (iv.add_exactly, lambda p, q: p + q),
        (iv.multiply, lambda p, q: p * q),
        (lambda x, y: iv.hull(x, iv.negative(y)), lambda p, q: -q),
    ):
        found = operation(x, y)
        if not any(map(math.isnan, ends(found))):
            assert all(holds(found, exact(p, q)) for p, q in corners)
    assert all(holds(iv.absolute(x), abs(Fraction(p))) for p in (a, b))
    assert all(holds(iv.square(x), Fraction(p) ** 2) for p in (a, b))
    if a <= 0 <= b:
        assert ends(iv.absolute(x))[0] == 0
        assert ends(iv.square(x))[0] == 0


def test_sums_stay_exact_where_they_are():
    found = iv.add_exactly(interval(0.25, 0.5), interval(-0.5, -0.5))
    assert ends(found) == (-0.25, 0.0)
    low, high = ends(iv.add(interval(0.25, 0.5), interval(-0.5, -0.5)))
    assert (low, high) == (math.nextafter(-0.25, -1), 5e-324)
    # 1 + 2⁻⁶⁰ rounds to 1: down is exact enough, up is not
    low, high = ends(iv.add_exactly(interval(1.0, 1.0), interval(2.0**-60, 2.0**-60)))
    assert (low, high) == (1.0, math.nextafter(1, 2))
    low, high = ends(iv.add_exactly(interval(HUGE, HUGE), interval(HUGE, HUGE)))
    assert (low, high) == (math.nextafter(math.inf, 0), math.inf)


def test_by_hand():
    assert ends(iv.multiply(interval(-2.0, 3.0), Interval(-1.0, -1.0))) == (-3.0, 2.0)
    low, high = ends(iv.multiply(interval(-2.0, 3.0), interval(-5.0, 4.0)))
    assert (low, high) == (math.nextafter(-15, -16), math.nextafter(12, 13))
    low, high = ends(iv.multiply(Interval(2.0, 2.5), interval(-1.0, 4.0)))
    assert (low, high) == (math.nextafter(-2.5, -3), math.nextafter(10, 11))
    low, high = ends(iv.multiply(interval(-1.0, 4.0), Interval(-2.5, -2.0)))
    assert (low, high) == (math.nextafter(-10, -11), math.nextafter(2.5, 3))
    low, high = ends(iv.reciprocal(interval(-4.0, -2.0)))
    assert (low, high) == (math.nextafter(-0.5, -1), math.nextafter(-0.25, 0))
    low, high = ends(iv.root(interval(4.0, 9.0)))
    assert (low, high) == (math.nextafter(2, 0), math.nextafter(3, 4))


def test_what_is_no_number():
    for bad in (
        iv.reciprocal(interval(-1.0, 1.0)),
        iv.reciprocal(interval(0.0, 1.0)),
        iv.root(interval(-1e-300, 1.0)),
        iv.logarithm(interval(0.0, 1.0)),
        iv.tangent(interval(1.0, 2.0)),
        iv.power(interval(-1e-9, 1.0), Fraction(1, 3)),
        iv.power(interval(0.0, 1.0), Fraction(-1, 3)),
        iv.cosine(interval(math.nan, math.nan)),
        iv.sine(interval(0.0, math.nan)),
        iv.hull(interval(math.nan, math.nan), interval(0.0, 1.0)),
        iv.hull(Interval(math.nan, math.nan), Interval(0.0, 1.0)),
        iv.absolute(interval(math.nan, math.nan)),
        iv.multiply(interval(0.0, 1.0), interval(-math.inf, math.inf)),
    ):
        assert any(map(math.isnan, ends(bad)))


FUNCTIONS = {
    "sin": (iv.sine, lambda t: t.sin()),
    "cos": (iv.cosine, lambda t: t.cos()),
    "exp": (iv.exponential, lambda t: t.exp()),
    "cosh": (iv.hyperbolic_cosine, lambda t: t.cosh()),
    "sinh": (lambda x: iv.increasing(torch.sinh, x), lambda t: t.sinh()),
    "tanh": (lambda x: iv.increasing(torch.tanh, x), lambda t: t.tanh()),
    "atan": (lambda x: iv.increasing(torch.atan, x), lambda t: t.atan()),
    "log": (iv.logarithm, lambda t: t.log()),
    "tan": (iv.tangent, lambda t: t.tan()),
    "root": (iv.root, lambda t: t.sqrt()),
    "cube": (lambda x: iv.power(x, Fraction(3)), lambda t: t**3),
    "fourth": (lambda x: iv.power(x, Fraction(4)), lambda t: t**4),
    "inverse square": (lambda x: iv.power(x, Fraction(-2)), lambda t: 1 / t**2),
    "third": (lambda x: iv.power(x, Fraction(1, 3)), lambda t: t ** (arb(1) / 3)),
    "3/2": (lambda x: iv.power(x, Fraction(3, 2)), lambda t: t * t.sqrt()),
    "-2/7": (lambda x: iv.power(x, Fraction(-2, 7)), lambda t: 1 / t ** (arb(2) / 7)),
}


@pytest.mark.parametrize("name", FUNCTIONS)
@settings(max_examples=120, deadline=None)
@given(moderate, st.floats(0, 9), st.floats(0, 1))
def test_functions_hold_balls_at_points(name, low, width, share):
    operation, exact = FUNCTIONS[name]
    high = low + width
    found = operation(interval(low, high))
    point = min(max(low + share * (high - low), low), high)
    for x in (low, point, high):
        with ctx.workprec(200):
            y = exact(arb(x))
            if any(map(math.isnan, ends(found))) or not y.is_finite():
                continue
            bottom, top = ends(found)
            assert not y < arb(bottom)
            assert not y > arb(top)


@pytest.mark.parametrize("k", [-7, -2, -1, 0, 1, 2, 5, 1000])
def test_extremes_of_waves_are_held_and_no_others(k):
    peak = 2 * k * math.pi
    around = (peak - 1e-3, peak + 2e-3)
    assert ends(iv.cosine(interval(*around)))[1] == 1.0
    assert ends(iv.cosine(interval(*around)))[0] == pytest.approx(math.cos(2e-3), abs=1e-9)
    assert ends(iv.sine(interval(peak + 1.5, peak + 1.6)))[1] == 1.0
    assert ends(iv.sine(interval(peak - 1.6, peak - 1.5)))[0] == -1.0
    assert ends(iv.cosine(interval(peak + 3.1, peak + 3.2)))[0] == -1.0
    low, high = ends(iv.cosine(interval(peak + 1, peak + 2)))
    assert (low, high) == pytest.approx((math.cos(2), math.cos(1)), abs=1e-9)
    assert ends(iv.cosine(interval(peak, peak + 6.4))) == (-1.0, 1.0)


def test_huge_arguments_of_waves_are_anything():
    assert ends(iv.sine(interval(1e300, 1e300))) == (-1.0, 1.0)
    assert ends(iv.cosine(interval(-1e17, -1e17))) == (-1.0, 1.0)


def test_small_numbers_are_kept():
    assert iv.keeps_small_numbers()
    if torch.set_flush_denormal(True):
        try:
            assert not iv.keeps_small_numbers()
        finally:
            torch.set_flush_denormal(False)
    assert holds(iv.multiply(interval(1e-200, 1e-200), interval(1e-200, 1e-200)), Fraction(1e-200) ** 2)
    assert holds(iv.square(interval(1e-170, 1e-170)), Fraction(1e-170) ** 2)
