"""Slopes of formulas on boxes: by hand, against balls at points, and rules that are wrong on purpose."""

import itertools
import math
from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from constructions.functions.symbolic import intervals as iv
from constructions.functions.symbolic import slopes as slopes_module
from constructions.functions.symbolic.balls import enclose_gradients
from constructions.functions.symbolic.parser import parse
from constructions.functions.symbolic.roots import ball_of
from constructions.functions.symbolic.slopes import SlopeTape
from constructions.functions.symbolic.tape import compile_tape

DOUBLE = {"dtype": torch.float64}


def tape_of(text, n):
    return compile_tape(parse(text, n), n)


def slopes_of(text, *box):
    """Ends (m, n) on one box ((lo, hi), …)."""
    lo, hi = (torch.tensor([[side[i] for side in box]], **DOUBLE) for i in (0, 1))
    low, high = SlopeTape.of(tape_of(text, len(box))).slopes(lo, hi)
    return low[0], high[0]


def near(found, *expected, tolerance=1e-12):
    """Each axis's ends hold those expected and are hardly wider."""
    low, high = found
    for axis, (bottom, top) in enumerate(expected):
        assert bottom - tolerance <= float(low[0, axis]) <= bottom + 1e-15
        assert top - 1e-15 <= float(high[0, axis]) <= top + tolerance


BY_HAND = [
    ("3*x0 - x1/4 + 7", [(0, 1), (0, 1)], [(3, 3), (-0.25, -0.25)]),
    ("x0*x1", [(1, 2), (-1, 3)], [(-1, 3), (1, 2)]),
    ("x0**2", [(-1, 3)], [(-2, 6)]),
    ("1/x0", [(1, 2)], [(-1, -0.25)]),
    ("sqrt(x0)", [(1, 4)], [(0.25, 0.5)]),
    ("exp(x0)", [(0, 1)], [(1, math.e)]),
    ("log(x0)", [(1, 2)], [(0.5, 1)]),
    ("sin(x0)", [(0, 2)], [(math.cos(2), 1)]),
    ("cos(x0)", [(1, 2)], [(-1, -math.sin(1))]),
    ("tan(x0)", [(0, 0.5)], [(1, 1 + math.tan(0.5) ** 2)]),
    ("tanh(x0)", [(-0.5, 1)], [(1 / math.cosh(1) ** 2, 1)]),
    ("sinh(x0)", [(-1, 0.5)], [(1, math.cosh(1))]),
    ("cosh(x0)", [(-1, 0.5)], [(-math.sinh(1), math.sinh(0.5))]),
    ("atan(x0)", [(-1, 2)], [(0.2, 1)]),
    ("Abs(x0)", [(-1, 2)], [(-1, 1)]),
    ("Abs(3*x0 - 3)", [(1, 2)], [(-3, 3)]),
    ("Abs(x0 - 1)", [(1, 2)], [(1, 1)]),
    ("Abs(x0 - 1)", [(0, 1)], [(-1, -1)]),
    ("Max(x0, 2*x1)", [(0, 1), (1, 2)], [(0, 0), (2, 2)]),
    ("Max(x0, 2*x1)", [(0, 1), (0, 2)], [(0, 1), (0, 2)]),
    ("Max(x0, 1)", [(0, 1)], [(0, 0)]),
    ("Max(x0, 1)", [(1, 2)], [(1, 1)]),
    ("Min(x0, 1)", [(0, 1)], [(1, 1)]),
    ("Min(x0, x1, 3)", [(0, 1), (1, 2)], [(1, 1), (0, 0)]),
    ("Piecewise((x0, x0 < 1), (2*x0 - 1, True))", [(0, 1)], [(1, 1)]),
    ("Piecewise((x0, x0 < 1), (2*x0 - 1, True))", [(1, 2)], [(2, 2)]),
    ("Piecewise((x0, x0 < 1), (2*x0 - 1, True))", [(0, 2)], [(1, 2)]),
    ("Piecewise((x0, x0 < 1), (2*x0 - 1, x0 < 2), (3, True))", [(1, 2)], [(2, 2)]),
    ("sqrt(x0**2 + x1**2)", [(3, 3), (4, 4)], [(0.6, 0.6), (0.8, 0.8)]),
    ("sqrt(x0**2 + x1**2)", [(-1, 1), (-1, 1)], [(-1, 1), (-1, 1)]),
    ("sqrt(x0**2 + x1**2)", [(3, 4), (3, 4)], [(0.6, 0.8), (0.6, 0.8)]),
    ("sqrt(x0**2 + 4)", [(0, 1.5)], [(0, 0.6)]),
    ("x0**(3/2)", [(0, 4)], [(0, 3)]),
    # values of a norm that may be 0 are values
    ("exp(sqrt(x0**2 + x1**2))", [(-0.6, 0.6), (0, 0.8)], [(-math.e, math.e), (0, math.e)]),
]


@pytest.mark.parametrize(("text", "box", "expected"), BY_HAND)
def test_by_hand(text, box, expected):
    near(slopes_of(text, *box), *expected)


def test_several_outputs_and_constants():
    low, high = slopes_of("x1, 5, x0*x0", (0, 1), (2, 3))
    assert (low.shape, low[0].tolist(), high[0].tolist()) == ((3, 2), [0, 1], [0, 1])
    assert (low[1].tolist(), high[1].tolist()) == ([0, 0], [0, 0])
    assert (float(high[2, 0]), float(high[2, 1])) == (pytest.approx(2), 0)


@pytest.mark.parametrize(
    ("text", "box"),
    [
        ("sqrt(x0)", (0, 1)),
        ("log(x0)", (0, 1)),
        ("1/x0", (-1, 1)),
        ("tan(x0)", (1, 2)),
        ("x0**(1/3)", (0, 1)),
        ("exp(exp(x0))", (0, 20)),
        ("atan(1/x0)", (-1, 1)),
        ("Max(log(x0), 0)", (0, 2)),
        ("x0*exp(700*x0)", (0, 2)),
    ],
)
def test_no_bound_is_said_to_be_none(text, box):
    low, high = slopes_of(text, box)
    assert not (math.isfinite(low[0, 0]) and math.isfinite(high[0, 0]))


def test_a_branch_that_is_not_touched_need_not_exist():
    low, high = slopes_of("Piecewise((0, x0 < 1), (log(x0), True))", (0, 0.5))
    assert (low.tolist(), high.tolist()) == ([[0.0]], [[0.0]])


def test_many_boxes_are_one_by_one():
    generator = torch.Generator().manual_seed(0)
    lo = torch.rand(50, 2, **DOUBLE, generator=generator) * 2 - 1
    hi = lo + torch.rand(50, 2, **DOUBLE, generator=generator)
    for text in FORMULAS:
        tape = SlopeTape.of(tape_of(text, 2))
        low, high = tape.slopes(lo, hi)
        for row in range(0, 50, 7):
            alone = tape.slopes(lo[row : row + 1], hi[row : row + 1])
            # elementary functions of one number and of many may differ in the last bit
            for found, other in zip((low, high), alone, strict=True):
                torch.testing.assert_close(found[row], other[0], rtol=1e-12, atol=1e-300, equal_nan=True)


FORMULAS = [
    "Max(x0 - x1, x1/3, Abs(x0) - 1/7)",
    "Min(Abs(x0 - 1/3), Abs(x1), 1 - Abs(x0 + x1))",
    "sin(3*x0)*cos(x1) + x0*x1**2",
    "sqrt((x0 - 1/3)**2 + 2*(x1 + 1/5)**2)",
    "sqrt(x0**2*x1**2 + 1)",
    "exp(-x0**2 - x1**2/2)*Max(x0, x1)",
    "Abs(sin(5*x0) - x1)",
    "tanh(x0*x1) + atan(x0 - x1)",
    "log(2 + x0*x1)/(3 + x0)",
    "Piecewise((x0**2, x0 < 1/3), (2*x0/3 - 1/9, True)) + Max(x1, 0)**3",
    "cosh(x0) - sinh(x1)*x0**3",
    "(x0**2 + x1**2 + 1)**(3/4)",
    "x0/(1 + x1**2)**2 - Abs(x0)*Abs(x1)",
    "1e150*x0 - 1e-200*x1*Abs(x0)",
    "Max(x0, x1) - Min(x0, x1, 1/2)",
]


def outside(tape, lo, hi, points):
    """How many ball gradients at points of the boxes leave the slopes that are claimed there; (misses, looked at)."""
    low, high = SlopeTape.of(tape).slopes(lo, hi)
    misses = seen = 0
    for row, x in enumerate(points.tolist()):
        if not bool((torch.isfinite(low[row]) & torch.isfinite(high[row])).all()):
            continue
        for i, sets in enumerate(
            enclose_gradients(tape, [ball_of(Fraction(c), Fraction(c)) for c in x], directions=True)
        ):
            if len(sets) > 1 or float(sets[0].radius.upper()) > 0:
                continue  # a kink: the gradient is no single vector
            seen += 1
            for axis, ball in enumerate(sets[0].vector):
                misses += bool(ball < float(low[row, i, axis])) or bool(ball > float(high[row, i, axis]))
    return misses, seen


def boxes_and_points(count, n, generator, width):
    lo = torch.rand(count, n, **DOUBLE, generator=generator) * 2 - 1
    hi = lo + torch.rand(count, n, **DOUBLE, generator=generator) * width
    share = torch.rand(count, n, **DOUBLE, generator=generator)
    return lo, hi, torch.minimum(torch.maximum(lo + share * (hi - lo), lo), hi)


@pytest.mark.parametrize("width", [0.0, 1e-9, 0.1, 1.0])
@pytest.mark.parametrize("text", FORMULAS)
def test_slopes_hold_the_gradients_inside(text, width):
    generator = torch.Generator().manual_seed(len(text))
    misses, seen = outside(tape_of(text, 2), *boxes_and_points(40, 2, generator, width))
    assert misses == 0
    assert seen > 10


# --- formulas at random -----------------------------------------------------------------------------------

ATOMS = st.sampled_from(["x0", "x1", "1/3", "2", "(x0 - x1)", "(x0 + 1/2)"])


def grown(inner):
    unary = st.sampled_from(["sin({})", "Abs({})", "tanh({})", "({})**2", "exp({}/4)", "atan({})", "sqrt(1 + ({})**2)"])
    binary = st.sampled_from(
        ["({}) + ({})", "({})*({})", "Max({}, {})", "Min({}, {})", "({}) - ({})", "({})/(3 + ({})**2)"]
    )
    return st.one_of(
        st.builds(lambda f, a: f.format(a), unary, inner),
        st.builds(lambda f, a, b: f.format(a, b), binary, inner, inner),
    )


@settings(max_examples=60, deadline=None)
@given(st.recursive(ATOMS, grown, max_leaves=7), st.integers(0, 10**6))
def test_slopes_of_formulas_at_random(text, seed):
    tape = tape_of(text, 2)
    lo, hi, x = boxes_and_points(12, 2, torch.Generator().manual_seed(seed), 0.7)
    assert outside(tape, lo, hi, x)[0] == 0
    # and the mean value theorem itself, with room for the rounding of torch's values
    low, high = SlopeTape.of(tape).slopes(lo, hi)
    step = (x - lo)[:, None, :]
    change = tape(x) - tape(lo)
    room = 1e-12 * (1 + tape(x).abs() + tape(lo).abs())
    above, below = (torch.maximum(high * step, low * step).sum(-1), torch.minimum(high * step, low * step).sum(-1))
    known = torch.isfinite(above) & torch.isfinite(below)
    assert bool(((change <= above + room) & (change >= below - room))[known].all())


# --- wrong on purpose -------------------------------------------------------------------------------------


def wrong_sign(step, value, x):
    return iv.negative(iv.cosine(x)) if step.op == "sin" else HONEST(step, value, x)


def first_alone(args):
    ends = slopes_module._stacked([a.lo for a in args])
    return (torch.arange(len(args)) == 0)[:, None].expand_as(ends)


HONEST = slopes_module._derivative


@pytest.mark.parametrize(
    ("name", "broken", "text"),
    [
        ("_derivative", wrong_sign, "sin(3*x0)*cos(x1) + x0*x1**2"),
        ("_product", lambda args, inner: slopes_module._times(args[0], inner[-1]), "x0*x1**2*sin(x0 + x1)"),
        ("_plus", lambda left, right: right, "sin(x0) + sin(3*x1)"),
        ("_attained", lambda args: first_alone(args), "Max(x0, x1)"),
        ("_with_either_sign", lambda x, slope: slope, "Abs(sin(5*x0) - x1)"),
        ("_directions", lambda args: [iv.Interval(0.0, 1.0) for _ in args], "sqrt((x0 - 1/3)**2 + 2*(x1 + 1/5)**2)"),
        ("_merged", lambda inner, counted: inner[0], "Min(sin(x0), cos(x1))"),
    ],
)
def test_a_wrong_rule_is_noticed(monkeypatch, name, broken, text):
    generator = torch.Generator().manual_seed(1)
    boxes = boxes_and_points(60, 2, generator, 0.3)
    slopes_module._prepared.cache_clear()
    monkeypatch.setattr(slopes_module, name, broken)
    try:
        assert outside(tape_of(text, 2), *boxes)[0] > 0
    finally:
        slopes_module._prepared.cache_clear()


def test_what_is_prepared():
    tape = tape_of("Abs(x0 - 1/2) + 3*x1 + x0/3", 2)
    prepared = SlopeTape.of(tape)
    assert SlopeTape.of(tape) is prepared
    exact = dict(zip((step.op for step in tape.instructions), prepared.exact, strict=True))
    assert exact["abs"]
    constants = [c for c in prepared.constants if c is not None]
    thirds = [c for c in constants if c.lo < 1 / 3 < c.hi]
    assert [c for c in constants if c.lo == c.hi == -0.5 or c.lo == c.hi == 3.0]
    assert len(thirds) == 1
    assert Fraction(thirds[0].lo) < Fraction(1, 3) < Fraction(thirds[0].hi)
    affine = [dict(a) for a in prepared.affine if a]
    assert {0: iv.Interval(1.0, 1.0)} in affine


@pytest.mark.parametrize("corner", list(itertools.product((0, 1), repeat=2)))
def test_branches_at_a_cut_that_is_no_float(corner):
    """1/3 lies between two floats: boxes that end at one of them lie on one side."""
    text = "Piecewise((0, x0 < 1/3), (x0 - 1/3, True))"
    below = 1 / 3
    assert Fraction(below) < Fraction(1, 3)
    above = math.nextafter(below, 1)
    box = ((0.0, below), (0.0, above), (above, 1.0), (below, 1.0))[corner[0] * 2 + corner[1]]
    low, high = (float(e[0, 0]) for e in slopes_of(text, box))
    assert (low, high) == ((0, 0), (0, 1), (1, 1), (0, 1))[corner[0] * 2 + corner[1]]
