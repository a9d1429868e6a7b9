"""Piecewise affine formulas as trees of max and min: by hand, and the same function in rationals."""

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from constructions.functions.symbolic.intervals import Interval
from constructions.functions.symbolic.parser import parse
from constructions.functions.symbolic.pieces import MAX_LEAVES, Affine, Kink, leaves_of, pieces_of
from constructions.functions.symbolic.roots import _exact
from constructions.functions.symbolic.tape import compile_tape


def tape_of(text, n=2):
    return compile_tape(parse(text, n), n)


def exact(number):
    return Interval(float(number), float(number))


def range_of(node, x):
    """Ends of the values that the tree allows at a rational point."""
    if isinstance(node, Kink):
        fold = max if node.op == "max" else min
        ends = [range_of(part, x) for part in node.parts]
        return fold(e[0] for e in ends), fold(e[1] for e in ends)
    low = high = Fraction(0)
    for (lower, upper), factor in [(node.constant, Fraction(1)), *((s, x[axis]) for axis, s in node.slopes)]:
        corners = (Fraction(lower) * factor, Fraction(upper) * factor)
        low, high = low + min(corners), high + max(corners)
    return low, high


def test_by_hand():
    (line,) = pieces_of(tape_of("2*x0 - x1 + 3"))
    assert line.slopes[0][0] == 0
    assert line.slopes[0][1].lo <= 2 <= line.slopes[0][1].hi
    (tent,) = pieces_of(tape_of("1/2 - Abs(x0)", 1))
    assert tent.op == "min"
    assert [dict(leaf.slopes).get(0, exact(0)) for leaf in tent.parts] == [exact(-1), exact(1), exact(0)]
    assert all(leaf.constant.lo <= 0.5 <= leaf.constant.hi for leaf in tent.parts)
    (edge,) = pieces_of(tape_of("sqrt((x0 - x1)**2)"))
    assert isinstance(edge, Kink)
    assert edge.op == "max"


@pytest.mark.parametrize(
    "text", ["x0*x1", "sin(x0)", "Max(x0, x1**2)", "sqrt(x0**2 + x1**2)", "x0*Abs(x1)", "1/(2 + x0)"]
)
def test_what_is_not_piecewise_affine(text):
    assert pieces_of(tape_of(text)) == (None,)
    assert pieces_of(tape_of(f"{text}, x0"))[1] == Affine(exact(0), ((0, exact(1)),))


def test_too_many_leaves():
    few = " + ".join(["Abs(x0 - 1/3)", "Abs(x1)", "Abs(x0 + x1)"])
    (tree,) = pieces_of(tape_of(few))
    assert tree.leaves == len(leaves_of(tree)) == 27 <= MAX_LEAVES
    assert pieces_of(tape_of(few + " + Abs(x0 - x1)")) == (None,)


AFFINE = st.builds(lambda a, b, c: f"({a}*x0 + {b}*x1/3 - {c}/7)", *[st.integers(-4, 4)] * 3)
SHAPES = st.recursive(
    AFFINE,
    lambda inner: st.one_of(
        st.builds("Max({}, {})".format, inner, inner),
        st.builds("Min({}, {})".format, inner, inner),
        st.builds("Abs({})".format, inner),
        st.builds("(({}) - 2*({}))".format, inner, inner),
        st.builds("(-({})/3)".format, inner),
    ),
    max_leaves=5,
)


@settings(max_examples=80, deadline=None)
@given(SHAPES, st.fractions(-2, 2, max_denominator=50), st.fractions(-2, 2, max_denominator=50))
def test_the_tree_is_the_formula(text, a, b):
    tape = tape_of(text)
    (tree,) = pieces_of(tape)
    if tree is None:
        return
    value = _exact(tape, tape.outputs[0], (a, b))
    assert value is not None
    low, high = range_of(tree, (a, b))
    assert low <= value <= high
    assert high - low <= Fraction(1, 10**12)
