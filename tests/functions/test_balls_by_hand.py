"""Balls of single operations: the ends of the range where it is known, and gradients as sets of vectors."""

import math
import random
from fractions import Fraction

import pytest
from flint import arb

from constructions.functions.symbolic.balls import (
    MAX_PIECES,
    GradientSet,
    _active,
    _capped,
    _cofactors,
    _hull,
    _norm_gradient,
    _power,
    _spectral_above,
    _sum,
    enclose_all,
    enclose_gradients,
    enclose_values,
    norm_above,
)
from constructions.functions.symbolic.parser import parse
from constructions.functions.symbolic.roots import ball_of
from constructions.functions.symbolic.tape import Instruction, compile_tape

SLACK = 1e-7  # balls keep 30 bits of a radius


def interval(low, high):
    return ball_of(Fraction(low), Fraction(high))


def ends(ball):
    return float(ball.lower()), float(ball.upper())


def around(ball, low, high):
    """Whether the ball is [low, high] up to rounding on both sides."""
    slack = 10 * SLACK * max(1, abs(low), abs(high))
    return ends(ball) == (pytest.approx(low, abs=slack), pytest.approx(high, abs=slack))


# --- values -----------------------------------------------------------------------------------------------

INTERVALS = [(Fraction(1, 4), Fraction(3, 4)), (Fraction(-1, 2), Fraction(3, 4)), (Fraction(-5, 4), Fraction(-1, 2))]
POSITIVE = [(Fraction(1, 4), Fraction(3, 4)), (Fraction(2), Fraction(5))]


def extrema(f, low, high, inner=()):
    values = [f(float(v)) for v in (low, high, *(v for v in inner if low < v < high))]
    return min(values), max(values)


@pytest.mark.parametrize(
    ("text", "f", "inner", "intervals"),
    [
        ("exp(x0)", math.exp, (), INTERVALS),
        ("sinh(x0)", math.sinh, (), INTERVALS),
        ("cosh(x0)", math.cosh, (0,), INTERVALS),
        ("tanh(x0)", math.tanh, (), INTERVALS),
        ("atan(x0)", math.atan, (), INTERVALS),
        ("abs(x0)", abs, (0,), INTERVALS),
        ("x0**2", lambda x: x**2, (0,), INTERVALS),
        ("x0**3", lambda x: x**3, (), INTERVALS),
        ("x0**4", lambda x: x**4, (0,), INTERVALS),
        ("x0**5", lambda x: x**5, (), INTERVALS),
        ("1/x0", lambda x: 1 / x, (), POSITIVE),
        ("x0**(-2)", lambda x: x**-2, (), POSITIVE),
        ("x0**(-3)", lambda x: x**-3, (), POSITIVE),
        ("log(x0)", math.log, (), POSITIVE),
        ("sqrt(x0)", math.sqrt, (), POSITIVE),
        ("x0**(3/2)", lambda x: x**1.5, (), POSITIVE),
        ("x0**(1/3)", lambda x: x ** (1 / 3), (), POSITIVE),
        ("x0**(-1/2)", lambda x: x**-0.5, (), POSITIVE),
        ("x0**(-3/2)", lambda x: x**-1.5, (), POSITIVE),
        ("Max(x0, 1/3)", lambda x: max(x, 1 / 3), (), INTERVALS),
        ("Min(x0, 1/3)", lambda x: min(x, 1 / 3), (), INTERVALS),
        ("x0 + 2", lambda x: x + 2, (), INTERVALS),
        ("3*x0", lambda x: 3 * x, (), INTERVALS),
    ],
)
def test_ranges_of_one_operation(text, f, inner, intervals):
    tape = compile_tape(parse(text, 1), 1)
    for low, high in intervals:
        (value,) = enclose_values(tape, [interval(low, high)])
        assert around(value, *extrema(f, low, high, inner))


@pytest.mark.parametrize(("text", "f"), [("sin(x0)", math.sin), ("cos(x0)", math.cos), ("tan(x0)", math.tan)])
def test_values_at_points_are_those_of_the_function(text, f):
    tape = compile_tape(parse(text, 1), 1)
    for value in (Fraction(-3, 4), Fraction(0), Fraction(1, 3), Fraction(6, 5)):
        assert around(enclose_values(tape, [interval(value, value)])[0], f(float(value)), f(float(value)))


def test_powers_next_to_0():
    """The ball of a base that was shown to be ≥ 0 may reach below; one that is below 0 has no root."""
    for exponent, top in ((Fraction(1, 2), 2.0), (Fraction(3, 2), 8.0), (Fraction(1, 4), math.sqrt(2))):
        assert around(_power(interval(0, 4), exponent), 0.0, top)
        assert around(_power(interval(-1, 4), exponent), 0.0, top)
        assert not _power(interval(-4, -1), exponent).is_finite()
        assert not _power(interval(-1, 4), -exponent).is_finite()
        assert not _power(interval(-4, -1), -exponent).is_finite()
    assert around(_power(interval(Fraction(-1, 4), Fraction(1, 4)), Fraction(1, 2)), 0.0, 0.5)
    assert around(_power(interval(-2, 3), Fraction(2)), 0.0, 9.0)
    assert around(_power(interval(-2, 3), Fraction(1)), -2.0, 3.0)
    assert around(_power(interval(-2, 3), Fraction(0)), 1.0, 1.0)
    assert around(_power(interval(-4, -2), Fraction(-1)), -0.5, -0.25)
    assert around(_power(interval(-4, -2), Fraction(-2)), 1 / 16, 0.25)
    assert not _power(interval(-1, 2), Fraction(-1)).is_finite()


def test_norms_products_and_sums_of_two():
    box = [interval(3, 4), interval(-2, Fraction(1, 2))]
    for text, low, high in (
        ("sqrt(x0**2 + x1**2)", 3.0, math.sqrt(20)),
        ("x0 + x1", 1.0, 4.5),
        ("x0 - x1", 2.5, 6.0),
        ("Max(x0, 4*x1, 1)", 3.0, 4.0),
        ("Min(x0, x1, 1/4)", -2.0, 0.25),
        ("abs(x1) + x0", 3.0, 6.0),
        ("sqrt(4*x1**2 + x0**2 + 1)", math.sqrt(10), math.sqrt(33)),
    ):
        (value,) = enclose_values(compile_tape(parse(text, 2), 2), box)
        assert around(value, low, high)
    (value,) = enclose_values(compile_tape(parse("x0*x1*x0", 2), 2), [interval(3, 3), box[1]])
    assert around(value, -18.0, 4.5)
    first, second = enclose_values(compile_tape(parse("x1, x0", 2), 2), box)
    assert around(first, -2.0, 0.5)
    assert around(second, 3.0, 4.0)


def test_branches_that_a_box_touches():
    step = Instruction("select", axis=1, cuts=(Fraction(1), Fraction(2)))
    for low, high, branches in (
        (0, Fraction(1, 2), [0]),
        (0, 1, [0, 1]),
        (1, 1, [0, 1]),
        (1, Fraction(3, 2), [0, 1]),
        (Fraction(5, 4), Fraction(3, 2), [1]),
        (Fraction(3, 2), 2, [1, 2]),
        (2, 3, [1, 2]),
        (Fraction(5, 2), 3, [2]),
        (0, 3, [0, 1, 2]),
    ):
        assert _active(step, [interval(7, 9), interval(low, high)]) == branches
    tape = compile_tape(parse("Piecewise((x0, x0 < 1/2), (1 - x0, x0 < 3/4), (x0 - 1/2, True))", 1), 1)
    for low, high, ends_ in (((0), Fraction(1, 4), (0, 0.25)), (Fraction(5, 8), Fraction(11, 16), (0.3125, 0.375))):
        assert around(enclose_values(tape, [interval(low, high)])[0], *ends_)


# --- slopes -----------------------------------------------------------------------------------------------


def slope(text, low, high):
    """The largest |derivative| that the enclosure allows."""
    tape = compile_tape(parse(text, 1), 1)
    return float(norm_above(enclose_gradients(tape, [interval(low, high)], directions=True)[0]))


@pytest.mark.parametrize(
    ("text", "derivative", "inner", "intervals"),
    [
        ("exp(x0)", math.exp, (), INTERVALS),
        ("log(x0)", lambda x: 1 / x, (), POSITIVE),
        ("sinh(x0)", math.cosh, (0,), INTERVALS),
        ("cosh(x0)", math.sinh, (), INTERVALS),
        (
            "tanh(x0)",
            lambda x: 1 / math.cosh(x) ** 2,
            (0,),
            [(Fraction(1, 2), Fraction(1, 2)), (Fraction(-1), Fraction(-1))],
        ),
        ("atan(x0)", lambda x: 1 / (1 + x**2), (0,), INTERVALS),
        ("x0**2", lambda x: 2 * x, (), INTERVALS),
        ("x0**3", lambda x: 3 * x**2, (0,), INTERVALS),
        ("1/x0", lambda x: -1 / x**2, (), POSITIVE),
        ("x0**(-3)", lambda x: -3 * x**-4, (), [(Fraction(2), Fraction(2))]),
        ("sqrt(x0)", lambda x: 0.5 * x**-0.5, (), POSITIVE),
        ("x0**(3/2)", lambda x: 1.5 * x**0.5, (), POSITIVE),
        ("x0**(5/2)", lambda x: 2.5 * x**1.5, (), POSITIVE),
        ("abs(x0)", lambda x: 1.0, (), INTERVALS),
        ("abs(3*x0)", lambda x: 3.0, (), INTERVALS),
        ("-abs(x0)/2 + x0", lambda x: 0.5 if x > 0 else 1.5, (), INTERVALS[::2]),
        ("Piecewise((x0, x0 < 0), (3*x0, True))", lambda x: 3.0 if x > 0 else 1.0, (), INTERVALS),
        ("7*x0 + 1", lambda x: 7.0, (), INTERVALS),
    ],
)
def test_largest_slopes_of_one_operation(text, derivative, inner, intervals):
    for low, high in intervals:
        low_, high_ = extrema(derivative, low, high, inner)
        assert slope(text, low, high) == pytest.approx(max(abs(low_), abs(high_)), rel=SLACK)


@pytest.mark.parametrize(
    ("text", "derivative"),
    [("sin(x0)", math.cos), ("cos(x0)", lambda x: -math.sin(x)), ("tan(x0)", lambda x: 1 + math.tan(x) ** 2)],
)
def test_slopes_at_points_with_their_signs(text, derivative):
    tape = compile_tape(parse(text, 1), 1)
    for value in (Fraction(-3, 4), Fraction(1, 3), Fraction(6, 5)):
        (found,) = enclose_gradients(tape, [interval(value, value)], directions=True)[0]
        assert around(found.vector[0], derivative(float(value)), derivative(float(value)))


def test_signs_of_slopes():
    for text, low, high, value in (
        ("abs(x0)", 1, 2, 1.0),
        ("abs(x0)", -2, -1, -1.0),
        ("x0**(-1)", 1, 1, -1.0),
        ("Max(x0, -x0)", 1, 2, 1.0),
        ("Min(x0, -x0)", 1, 2, -1.0),
        ("x0**3*(2 - x0)", 1, 1, 2.0),
        ("x0*x0*exp(x0)", 0, 0, 0.0),
    ):
        pieces = enclose_gradients(compile_tape(parse(text, 1), 1), [interval(low, high)], directions=True)[0]
        for piece in pieces:
            assert around(piece.vector[0], value, value)
    both = enclose_gradients(compile_tape(parse("abs(x0)", 1), 1), [interval(-1, 1)], directions=True)[0]
    assert sorted(ends(piece.vector[0]) for piece in both) == [(-1.0, -1.0), (1.0, 1.0)]


def test_where_two_alternatives_meet_both_slopes_count():
    """Max and Min at a tie, and on a box that both reach."""
    for text in ("Max(x0, 3*x0 - 2)", "Min(x0, 3*x0 - 2)"):
        tape = compile_tape(parse(text, 1), 1)
        for low, high in ((1, 1), (Fraction(1, 2), Fraction(3, 2))):
            found = enclose_gradients(tape, [interval(low, high)], directions=True)[0]
            assert sorted(ends(piece.vector[0])[0] for piece in found) == [1.0, 3.0]
    assert slope("Max(x0, 3*x0 - 2)", 0, Fraction(1, 2)) == 1.0
    assert slope("Max(x0, 3*x0 - 2)", 2, 3) == 3.0
    assert slope("Min(x0, 3*x0 - 2)", 0, Fraction(1, 2)) == 3.0
    assert slope("Min(x0, 3*x0 - 2)", 2, 3) == 1.0


def test_no_value_no_slope():
    tape = compile_tape(parse("log(x0) + x0", 1), 1)
    values, gradients = enclose_all(tape, [interval(-1, 1)], directions=True)
    assert not values[-1].is_finite()
    assert not norm_above(gradients[-1]).is_finite()
    assert len(gradients[-1][0].vector) == 1


def test_gradients_of_norms():
    """√(x² + 4y²): (x, 4y)/norm where it is not 0, else any vector as long as the largest slope."""
    tape = compile_tape(parse("sqrt(x0**2 + 4*x1**2)", 2), 2)
    point = [interval(3, 3), interval(2, 2)]
    (found,) = enclose_gradients(tape, point, directions=True)[0]
    assert around(found.vector[0], 3 / 5, 3 / 5)
    assert around(found.vector[1], 8 / 5, 8 / 5)
    assert ends(found.radius) == (0.0, 0.0)
    for box, directions in ((point, False), ([interval(-1, 1), interval(-1, 1)], True), ([interval(0, 1)] * 2, True)):
        (found,) = enclose_gradients(tape, box, directions=directions)[0]
        assert [ends(v) for v in found.vector] == [(0.0, 0.0)] * 2
        assert around(found.radius, 2.0, 2.0)
        assert len(found.vector) == 2
    # inner norms bring a radius of their own: √5, its length as a factor, and the roundings of both
    nested = compile_tape(parse("sqrt((x0**2 + x1**2) + (3*x2)**2)", 3), 3)
    (found,) = enclose_gradients(nested, [interval(-1, 1)] * 3, directions=True)[0]
    assert around(found.radius, 3.0, 3.0)
    outer = compile_tape(parse("sqrt(sqrt(x0**2 + x1**2)**4 + x1**2)", 2), 2)
    bound = norm_above(enclose_gradients(outer, [interval(-1, 1), interval(-1, 1)], directions=False)[0])
    assert bound.is_finite()


# --- sets of gradients ------------------------------------------------------------------------------------


def gradient(*vector, radius=(0, 0)):
    return GradientSet(
        tuple(interval(*v) if isinstance(v, tuple) else interval(v, v) for v in vector), interval(*radius)
    )


def test_norms_over_a_set():
    """[1, 2] × [−4, −3], and all within 1/2 … 3/4 of it: between √10 − 3/4 and √20 + 3/4."""
    tried = gradient((1, 2), (-4, -3), radius=(Fraction(1, 2), Fraction(3, 4)))
    assert float(tried.norm_above()) == pytest.approx(math.sqrt(20) + 0.75, rel=1e-8)
    assert float(tried.norm_below()) == pytest.approx(math.sqrt(10) - 0.75, rel=1e-8)
    assert float(norm_above([tried, gradient(5, 1), gradient(0, 0)])) == pytest.approx(math.sqrt(20) + 0.75, rel=SLACK)
    assert float(norm_above([gradient(0, 0), gradient(5, 1)])) == pytest.approx(math.sqrt(26), rel=SLACK)


def test_sums_multiples_and_hulls_of_sets():
    one, two = gradient((1, 2), 5, radius=(1, 1)), gradient(-3, (0, 1), radius=(3, 3))
    both = one.plus(two)
    assert around(both.vector[0], -2, -1)
    assert around(both.vector[1], 5, 6)
    assert ends(both.radius) == (4, 4)
    hull = one.hull(two)
    assert around(hull.vector[0], -3, 2)
    assert around(hull.vector[1], 0, 5)
    assert ends(hull.radius) == ends(two.hull(one).radius) == (3, 3)
    assert around(one.scaled(interval(-3, 2)).radius, 3, 3)
    scaled = one.scaled(interval(-3, -3))
    assert around(scaled.vector[0], -6, -3)
    assert around(scaled.vector[1], -15, -15)
    assert around(scaled.radius, 3, 3)
    assert ends(GradientSet((arb(1),)).radius) == (0, 0)


def test_many_pieces_become_their_hull():
    pieces = [gradient(i, -i) for i in range(MAX_PIECES + 1)]
    assert _capped(pieces[:24]) == pieces[:24]
    assert len(_capped(pieces[:23])) == 23
    (hull,) = _capped(pieces)
    assert around(hull.vector[0], 0, 24)
    assert around(hull.vector[1], -24, 0)
    assert len(_hull([pieces[:3], pieces[5:7]])) == 5
    sums = _sum([gradient(1, 2), gradient(3, 4)], [gradient(10, 20), gradient(30, 40)])
    assert [tuple(ends(v)[0] for v in piece.vector) for piece in sums] == [(11, 22), (31, 42), (13, 24), (33, 44)]


def test_products_of_the_others():
    for count in range(1, 6):
        values = [Fraction(v) for v in (2, 3, 5, 7, 11)[:count]]
        found = _cofactors([interval(v, v) for v in values])
        assert [float(v) for v in found] == [float(math.prod(values) / v) for v in values]


def test_bounds_of_a_jacobian():
    """The Frobenius norm of a row, √(row sum·column sum) of a diagonal: the smaller one, of the largest entries."""
    dice = random.Random(0)
    for _ in range(40):
        m, n = dice.randint(1, 3), dice.randint(1, 3)
        rows = [[sorted(dice.randint(-4, 4) for _ in range(2)) for _ in range(n)] for _ in range(m)]
        size = [[max(abs(a), abs(b)) for a, b in row] for row in rows]
        frobenius = math.sqrt(sum(s * s for row in size for s in row))
        other = math.sqrt(max(map(sum, size)) * max(map(sum, zip(*size, strict=True))))
        found = _spectral_above([tuple(interval(*v) for v in row) for row in rows])
        assert float(found) == pytest.approx(min(frobenius, other), rel=SLACK)


def number(ball):
    """The exact value of a ball without a radius."""
    mantissa, exponent = ball.man_exp()
    return Fraction(int(mantissa)) * Fraction(2) ** int(exponent)


@pytest.mark.exact
def test_bounds_are_rounded_outward():
    """√2, √3 and √5, which no float is, with and without a radius that is none either."""
    for entries, square in (((1, 1), 2), ((1, -1, 1), 3), ((2, 1), 5)):
        tried = gradient(*entries)
        above, below = number(tried.norm_above()), number(tried.norm_below())
        assert below**2 < square < above**2
        assert above - below < Fraction(1, 2**40)
        assert number(_spectral_above([tried.vector])) ** 2 > square
        assert number(_spectral_above([(v,) for v in tried.vector])) ** 2 > square
    root = arb(2).sqrt()
    with_radius = GradientSet((arb(0),), root)
    assert number(with_radius.norm_above()) ** 2 > 2
    assert number(-with_radius.norm_below()) ** 2 > 2
    tape = compile_tape(parse("sqrt(x0**2 + (x0 + x1)**2)", 2), 2)
    (found,) = enclose_gradients(tape, [interval(-1, 1)] * 2, directions=True)[0]
    assert number(found.radius) ** 2 > 3  # of the rows (1, 0) and (1, 1): √3 is below √(2·2)
    assert number(found.radius) < Fraction(1733, 1000)


def test_radii_of_rows_of_a_norm():
    """Rows with radii 3 and 4 add 5 to the norm of their vectors; with a direction they add in proportion."""
    rows = [[gradient(1, 0, radius=(3, 3))], [gradient(0, 2, radius=(4, 4))]]
    (found,) = _norm_gradient(interval(0, 5), [interval(0, 3), interval(0, 4)], rows, True)
    assert around(found.radius, 7, 7)
    assert [ends(v) for v in found.vector] == [(0, 0), (0, 0)]
    (found,) = _norm_gradient(interval(5, 5), [interval(3, 3), interval(4, 4)], rows, True)
    assert around(found.vector[0], 0.6, 0.6)
    assert around(found.vector[1], 1.6, 1.6)
    assert around(found.radius, 0.6 * 3 + 0.8 * 4, 0.6 * 3 + 0.8 * 4)
    for value, directions in ((interval(5, 5), False), (interval(0, 0), True), (interval(-1, 5), True)):
        (found,) = _norm_gradient(value, [interval(3, 3), interval(4, 4)], rows, directions)
        assert around(found.radius, 7, 7)
    wide = [[gradient(1, radius=(0, 3)), gradient(2)], [gradient(1, radius=(1, 4))]]
    (found,) = _norm_gradient(interval(0, 1), [interval(0, 1)] * 2, wide, True)
    assert around(found.radius, math.sqrt(5) + 5, math.sqrt(5) + 5)
