"""Enclosures are sound and tight: every operation against its own exact range, every rule against hand-made numbers."""

import math
from fractions import Fraction

import pytest
from flint import arb

from constructions import Box
from constructions.functions.symbolic import balls
from constructions.functions.symbolic import gradient_bounds as lipschitz
from constructions.functions.symbolic.balls import (
    GradientSet,
    enclose_all,
    enclose_gradients,
    enclose_values,
    norm_above,
)
from constructions.functions.symbolic.gradient_bounds import lipschitz_bounds
from constructions.functions.symbolic.parser import parse
from constructions.functions.symbolic.roots import ball_of
from constructions.functions.symbolic.tape import compile_tape

F = Fraction


def tape_of(text, n=1):
    return compile_tape(parse(text, n), n)


def box_of(*ends):
    return [ball_of(F(a), F(b)) for a, b in ends]


def ends_of(ball):
    return float(ball.lower()), float(ball.upper())


def near(ball, low, high, tolerance=1e-7):
    """The ball holds [low, high] and is hardly wider."""
    lower, upper = ends_of(ball)
    assert lower <= low + 1e-15 * abs(low)
    assert upper >= high - 1e-15 * abs(high)
    assert lower >= low - tolerance
    assert upper <= high + tolerance


def above(ball, value):
    """An upper bound that is hardly too large."""
    assert value <= float(ball.lower()) <= float(ball.upper()) <= value + 1e-7


def below(ball, value):
    """A lower bound that is hardly too small."""
    assert value - 1e-7 <= float(ball.lower()) <= float(ball.upper()) <= value


def gradient_of(text, *ends, directions=True):
    (sets,) = enclose_gradients(tape_of(text, len(ends)), box_of(*ends), directions=directions)
    return sets


VALUES = [
    ("exp(x0)", (0.5, 0.75), math.exp(0.5), math.exp(0.75)),
    ("log(x0)", (0.5, 0.75), math.log(0.5), math.log(0.75)),
    ("sinh(x0)", (-0.5, 0.75), math.sinh(-0.5), math.sinh(0.75)),
    ("tanh(x0)", (-0.5, 0.75), math.tanh(-0.5), math.tanh(0.75)),
    ("atan(x0)", (-0.5, 0.75), math.atan(-0.5), math.atan(0.75)),
    ("cosh(x0)", (-0.5, 0.75), 1.0, math.cosh(0.75)),
    ("cosh(x0)", (-0.75, -0.5), math.cosh(0.5), math.cosh(0.75)),
    ("Abs(x0)", (-0.5, 0.75), 0.0, 0.75),
    ("Abs(x0)", (-0.75, -0.5), 0.5, 0.75),
    ("x0**2", (-0.5, 0.75), 0.0, 0.5625),
    ("x0**2", (-0.75, -0.5), 0.25, 0.5625),
    ("x0**3", (-0.5, 0.75), -0.125, 0.421875),
    ("x0**(-1)", (0.5, 0.75), 4 / 3, 2.0),
    ("x0**(-2)", (0.5, 0.75), 16 / 9, 4.0),
    ("sqrt(x0)", (0.25, 0.5625), 0.5, 0.75),
    ("x0**(3/2)", (0.25, 0.5625), 0.125, 0.421875),
    ("x0**(-1/2)", (0.25, 0.5625), 4 / 3, 2.0),
    ("x0**(3/2)", (0, 0.25), 0.0, 0.125),
    ("sin(x0)", (0.5, 0.5), math.sin(0.5), math.sin(0.5)),
    ("2 + 3*x0", (0.5, 0.75), 3.5, 4.25),
    ("Max(x0, 5/8)", (0.5, 0.75), 0.625, 0.75),
    ("Min(x0, 5/8)", (0.5, 0.75), 0.5, 0.625),
    ("Piecewise((x0, x0 < 1/2), (1 - x0, True))", (0.0, 0.25), 0.0, 0.25),
    ("Piecewise((x0, x0 < 1/2), (1 - x0, True))", (0.75, 1.0), 0.0, 0.25),
    ("Piecewise((x0, x0 < 1/4), (1/4 + 0*x0, x0 < 1/2), (x0 - 1/4, True))", (0.3125, 0.375), 0.25, 0.25),
    ("7", (0.5, 0.75), 7.0, 7.0),
    ("pi*x0", (0.5, 0.5), math.pi / 2, math.pi / 2),
]


@pytest.mark.parametrize(("text", "ends", "low", "high"), VALUES)
def test_ranges_of_values(text, ends, low, high):
    near(enclose_values(tape_of(text), box_of(ends))[0], low, high)


def test_ranges_of_norms():
    (ball,) = enclose_values(tape_of("sqrt(x0**2 + x1**2)", 2), box_of((-0.25, 0.75), (0.5, 1.0)))
    near(ball, 0.5, 1.25)


def test_roots_of_negative_numbers_are_nothing():
    tape = tape_of("x0**(3/2)")
    assert not enclose_values(tape, box_of((-0.75, -0.5)))[0].is_finite()
    assert not norm_above(enclose_gradients(tape, box_of((-0.75, -0.5)), directions=True)[0]).is_finite()
    near(enclose_values(tape, box_of((-0.25, 0.25)))[0], 0.0, 0.125)


SLOPES = [
    ("exp(x0)", (0.5, 0.75), math.exp(0.5), math.exp(0.75)),
    ("log(x0)", (0.5, 0.75), 4 / 3, 2.0),
    ("sinh(x0)", (-0.5, 0.75), 1.0, math.cosh(0.75)),
    ("cosh(x0)", (-0.5, 0.75), math.sinh(-0.5), math.sinh(0.75)),
    ("tanh(x0)", (0.5, 0.5), 1 / math.cosh(0.5) ** 2, 1 / math.cosh(0.5) ** 2),
    ("atan(x0)", (-0.5, 0.75), 1 / (1 + 0.75**2), 1.0),
    ("tan(x0)", (0.5, 0.5), 1 + math.tan(0.5) ** 2, 1 + math.tan(0.5) ** 2),
    ("sin(x0)", (0.5, 0.5), math.cos(0.5), math.cos(0.5)),
    ("cos(x0)", (0.5, 0.5), -math.sin(0.5), -math.sin(0.5)),
    ("x0**2", (-0.5, 0.75), -1.0, 1.5),
    ("x0**3", (0.5, 0.75), 0.75, 1.6875),
    ("x0**(-1)", (0.5, 0.75), -4.0, -16 / 9),
    ("sqrt(x0)", (0.25, 0.5625), 2 / 3, 1.0),
    ("x0**(3/2)", (0.0, 0.25), 0.0, 0.75),
    ("Abs(x0)", (0.5, 0.75), 1.0, 1.0),
    ("Abs(x0)", (-0.75, -0.5), -1.0, -1.0),
    ("3*x0 - 7", (0.5, 0.75), 3.0, 3.0),
    ("x0*exp(x0)", (0.5, 0.5), 1.5 * math.exp(0.5), 1.5 * math.exp(0.5)),
    ("Max(x0, 1/4)", (0.5, 0.75), 1.0, 1.0),
    ("Max(2*x0, x0 - 1/4)", (0.5, 0.75), 2.0, 2.0),
    ("Min(x0, 1)", (0.5, 0.75), 1.0, 1.0),
    ("Min(2*x0, x0 - 1/4)", (0.5, 0.75), 1.0, 1.0),
    ("Piecewise((2*x0, x0 < 1/2), (3/2 - x0, True))", (0.0, 0.25), 2.0, 2.0),
    ("Piecewise((2*x0, x0 < 1/2), (3/2 - x0, True))", (0.75, 1.0), -1.0, -1.0),
]


@pytest.mark.parametrize(("text", "ends", "low", "high"), SLOPES)
def test_ranges_of_slopes(text, ends, low, high):
    (piece,) = gradient_of(text, ends)
    near(piece.vector[0], low, high, 1e-6)
    assert piece.radius == 0


@pytest.mark.parametrize(
    ("text", "ends", "slopes"),
    [
        ("Abs(x0)", (-0.25, 0.5), {-1.0, 1.0}),
        ("Abs(x0)", (0.0, 0.5), {-1.0, 1.0}),
        ("Max(2*x0, 1/2)", (0.0, 0.5), {0.0, 2.0}),
        ("Max(2*x0, 1/2)", (0.0, 0.25), {0.0, 2.0}),
        ("Min(2*x0, 1/2)", (0.25, 0.5), {0.0, 2.0}),
        ("Max(x0, -x0, 5*x0 - 9)", (-0.25, 0.5), {-1.0, 1.0}),
        ("Piecewise((2*x0, x0 < 1/2), (3/2 - x0, True))", (0.25, 0.5), {2.0, -1.0}),
        ("Piecewise((2*x0, x0 < 1/2), (3/2 - x0, True))", (0.5, 0.75), {2.0, -1.0}),
        ("Piecewise((0, x0 < 1/4), (x0 - 1/4, x0 < 1/2), (2*x0 - 3/4, True))", (0.25, 0.375), {0.0, 1.0}),
        ("Piecewise((0, x0 < 1/4), (x0 - 1/4, x0 < 1/2), (2*x0 - 3/4, True))", (0.375, 0.5), {1.0, 2.0}),
        ("Abs(x0) + Abs(x0 - 1/8)", (-0.25, 0.5), {-2.0, 0.0, 2.0}),
    ],
)
def test_kinks_keep_their_pieces(text, ends, slopes):
    assert {float(g.vector[0].mid()) for g in gradient_of(text, ends)} == slopes


def test_products_have_their_cofactors():
    factors = [arb(2), arb(3), arb(5), arb(7)]
    assert [float(c) for c in balls._cofactors(factors)] == [105, 70, 42, 30]
    assert [float(c) for c in balls._cofactors(factors[:1])] == [1]
    (piece,) = gradient_of("x0*x1*(x2 + 2)", (2, 2), (3, 3), (1, 1))
    assert [float(v) for v in piece.vector] == [9, 6, 6]


def test_norm_atoms_by_direction_and_by_norm():
    text = "sqrt(4*x0**2 + x1**2)"
    (exact,) = gradient_of(text, (1.5, 1.5), (4, 4))  # u = (3, 4): ∇ = (2·3/5, 4/5)
    near(exact.vector[0], 1.2, 1.2)
    near(exact.vector[1], 0.8, 0.8)
    assert exact.radius == 0
    (whole,) = gradient_of(text, (1.5, 1.5), (4, 4), directions=False)
    assert [float(v) for v in whole.vector] == [0, 0]
    assert 2 <= float(whole.radius.upper()) <= 2 + 1e-6
    (apex,) = gradient_of(text, (0, 0), (0, 0))
    assert [float(v) for v in apex.vector] == [0, 0]
    assert 2 <= float(apex.radius.upper()) <= 2 + 1e-6
    # a norm of norms carries the inner radius on, once for every row
    text = "sqrt((3*sqrt(x0**2 + x1**2) + 1)**2 + (4*sqrt(x0**2 + x1**2) + 1)**2)"
    (nested,) = gradient_of(text, (0, 0), (0, 0))
    # at u = (1, 1) the direction is (1, 1)/√2: (3 + 4)/√2
    assert 7 / math.sqrt(2) <= float(nested.radius.upper()) <= 7 / math.sqrt(2) + 1e-6
    (nested,) = gradient_of(text, (0, 0), (0, 0), directions=False)
    assert 5 <= float(nested.radius.upper()) <= 5 + 1e-6
    (only,) = gradient_of("sqrt((sqrt(x0**2 + x1**2) + 1)**2 + 1)", (0, 0), (0, 0), directions=False)
    assert 1 <= float(only.radius.upper()) <= 1 + 1e-6


def test_spectral_bound_is_the_smaller_of_two():
    near(balls._spectral_above([(arb(3), arb(0)), (arb(0), arb(-3))]), 3, 3)  # √(‖J‖₁‖J‖_∞)
    near(balls._spectral_above([(arb(1), arb(1)), (arb(1), arb(-1))]), 2, 2)
    near(balls._spectral_above([(arb(3), arb(4))]), 5, 5)  # Frobenius: the other gives √28
    near(balls._spectral_above([(arb(1), arb(2)), (arb(0), arb(0))]), math.sqrt(5), math.sqrt(5))


def test_sets_of_gradients():
    g = GradientSet((arb(3), arb(-4)), arb(2))
    above(g.norm_above(), 7)
    below(g.norm_below(), 3)
    h = GradientSet((arb(0, 1), arb(0.5, 0.25)), arb(1))
    above(h.norm_above(), math.hypot(1, 0.75) + 1)
    below(h.norm_below(), 0.25 - 1)
    s = g.scaled(arb(-2))
    assert [float(v) for v in s.vector] == [-6, 8]
    near(s.radius, 4, 4)
    above(g.scaled(arb(0, 3)).radius, 6)
    p = g.plus(h)
    near(p.vector[0], 2, 4)
    near(p.vector[1], -3.75, -3.25)
    near(p.radius, 3, 3)
    u = g.hull(h)
    near(u.vector[0], -1, 3)
    near(u.vector[1], -4, 0.75)
    near(u.radius, 2, 2)
    above(norm_above([h, g]), 7)
    above(norm_above([g, h]), 7)


def test_many_pieces_become_one_hull():
    few = balls._capped([GradientSet((arb(i),)) for i in range(balls.MAX_PIECES)])
    (one,) = balls._capped([GradientSet((arb(i),)) for i in range(balls.MAX_PIECES + 1)])
    assert len(few) == balls.MAX_PIECES
    near(one.vector[0], 0, balls.MAX_PIECES, 1e-5)


def test_every_register_is_enclosed():
    tape = tape_of("x0**2 + x1", 2)
    values, gradients = enclose_all(tape, box_of((1, 1), (2, 2)), directions=True)
    assert len(values) == len(gradients) == len(tape.instructions)


# --- the branch and bound ---


def test_halves_cut_the_longest_share_of_the_domain():
    domain = Box((0.0, 0.0), (1.0, 4.0))
    assert lipschitz._halves((F(0), F(0)), (F(1), F(4)), domain) == [
        ((F(0), F(0)), (F(1, 2), F(4))),
        ((F(1, 2), F(0)), (F(1), F(4))),
    ]
    assert lipschitz._halves((F(0), F(0)), (F(1, 2), F(4)), domain) == [
        ((F(0), F(0)), (F(1, 2), F(2))),
        ((F(0), F(2)), (F(1, 2), F(4))),
    ]
    assert lipschitz._side((F(0), F(1)), (F(1, 2), F(2)), domain) == F(1, 2)


def test_lower_bounds_come_from_points_that_have_a_gradient():
    steep = tape_of("3*x0 + 4*x1, x0", 2)
    assert 5 * (1 - 1e-15) <= lipschitz._lower(steep, (F(1, 2), F(1, 2))) <= 5
    assert lipschitz._lower(tape_of("5*Abs(x0)"), (F(0),)) == 0
    assert lipschitz._lower(tape_of("sqrt(x0**2 + x1**2)", 2), (F(0), F(0))) == 0
    assert lipschitz._lower(tape_of("7"), (F(0),)) == 0
    assert lipschitz._lower(tape_of("log(x0)"), (F(-1),)) == 0


def test_upper_bounds_take_the_better_of_two_enclosures():
    tape = tape_of("sqrt(x0**2 + x1**2)", 2)
    wide = lipschitz._upper(tape, (F(1), F(1)), (F(2), F(2)))
    assert 1 <= wide <= 1 + 1e-6
    assert lipschitz._upper(tape_of("2*x0, 7*x0"), (F(0),), (F(1),)) == math.nextafter(7.0, math.inf)
    assert lipschitz._upper(tape_of("7"), (F(0),), (F(1),)) == 0
    assert lipschitz._upper(tape_of("1/x0"), (F(0),), (F(1),)) == math.inf


def test_seeds_find_the_steepest_sample():
    best, witness = lipschitz._seed(tape_of("x0**2 - x1, 1", 2), Box.of((0, 2), 2))
    assert best == pytest.approx(math.sqrt(17), rel=1e-12)  # a corner of the box
    assert witness[0] == 2
    assert lipschitz._seed(tape_of("3"), Box.of(None, 1))[0] == 0


def test_the_search_ends_as_it_promises():
    sine, domain = tape_of("sin(30*x0)/30"), Box.of(None, 1)
    free = lipschitz_bounds(sine, domain)
    assert free.lower <= 1 <= free.upper <= free.lower * 1.01
    proved = lipschitz_bounds(sine, domain, declared=1.0)
    assert 1 <= proved.upper <= 1 + 1e-6
    refuted = lipschitz_bounds(sine, domain, declared=0.99)
    assert refuted.lower > 0.99
    assert refuted.boxes == 1  # the seeds refute it
    twisted = tape_of("sin(30*x0)*cos(30*x0)/30")
    undecided = lipschitz_bounds(twisted, domain, declared=1.0 + 2e-6, max_boxes=50)
    assert 50 <= undecided.boxes <= 51
    assert undecided.upper > 1
    assert lipschitz_bounds(tape_of("7"), domain).upper == 0
    x = Fraction(free.witness[0])
    assert lipschitz._lower(sine, (x,)) == free.lower


def test_the_worst_box_is_named():
    bounds = lipschitz_bounds(tape_of("1/(x0 - 3/10)"), Box.of(None, 1))
    ((low, high),) = bounds.worst_box
    assert bounds.upper == math.inf
    assert low <= 0.3 <= high
    assert high - low < 1e-6


def exactly(ball):
    """The middle of a ball as a rational: what a caller reads off a bound."""
    return F(float(ball.mid()))


def test_bounds_are_rounded_outwards():
    """√2, √3 and √5 are no floats: a bound on the wrong side of them by a single rounding is no bound."""
    ones = GradientSet((arb(1), arb(1)))
    assert exactly(ones.norm_above()) ** 2 >= 2
    assert exactly(ones.norm_below()) ** 2 <= 2
    irrational = GradientSet((arb(0), arb(0)), arb(3).sqrt())
    assert exactly(irrational.norm_above()) ** 2 >= 3
    assert (2 - exactly(GradientSet((arb(2), arb(0)), arb(3).sqrt()).norm_below())) ** 2 >= 3
    assert exactly(balls._spectral_above([(arb(1), arb(2)), (arb(0), arb(0))])) ** 2 >= 5
    (whole,) = gradient_of("sqrt(2*x0**2 + 2*x1**2)", (0, 0), (0, 0))
    assert exactly(whole.radius) ** 2 >= 2
    assert F(lipschitz._upper(tape_of("x0 + x1", 2), (F(0), F(0)), (F(1), F(1)))) ** 2 >= 2
    assert F(lipschitz._lower(tape_of("x0 + x1", 2), (F(0), F(0)))) ** 2 <= 2
