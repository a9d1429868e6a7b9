"""Allowances for rounding against their formulas, written out again with every allowance made large."""

import math
from fractions import Fraction

import pytest
import torch
from flint import arb
from hypothesis import given
from hypothesis import strategies as st

from constructions.functions.box import Box
from constructions.functions.symbolic.parser import parse
from constructions.functions.symbolic.tape import Instruction, Tape, compile_tape
from theory.checkers.uniform_error import formula_rounding as rounding
from theory.checkers.uniform_error.boxes import half_widths, norm_above

DOUBLE = {"dtype": torch.float64}
U, E, LEAST = 1 / 32, 1 / 4, 1 / 16


@pytest.fixture
def coarse(monkeypatch):
    """1/32 of a sum, 1/4 of an elementary function, 1/16 for what is lost."""
    monkeypatch.setattr(rounding, "UNIT", U)
    monkeypatch.setattr(rounding, "ELEMENTARY", E)
    monkeypatch.setattr(rounding, "LEAST", LEAST)


def near(value, rel=1e-7):
    """Balls keep 30 bits of a radius."""
    return pytest.approx(value, rel=rel, abs=0)


def ball(lo, hi):
    return arb((lo + hi) / 2, (hi - lo) / 2)


# --- boxes -----------------------------------------------------------------------------------------------


@given(st.floats(-1e6, 1e6), st.floats(0, 1e6), st.floats(0, 1))
def test_half_widths_are_the_exact_ones_and_hardly_more(lo, width, share):
    hi = lo + width
    centre = min(max(lo + share * width, lo), hi)
    found = Fraction(float(half_widths(*(torch.tensor([[v]], **DOUBLE) for v in (lo, hi, centre)))))
    exact = max(Fraction(hi) - Fraction(centre), Fraction(centre) - Fraction(lo))
    assert exact <= found <= exact * (1 + Fraction(2) ** -50)


def test_half_widths_are_inflated_by_4_u():
    found = half_widths(*(torch.tensor([v], **DOUBLE) for v in ([[0.0, 0.0]], [[4.0, 1.0]], [[1.0, 0.5]])))
    assert found.tolist() == [[[3 * (1 + 2.0**-51), 0.5 * (1 + 2.0**-51)]]]


@given(st.lists(st.floats(-1e300, 1e300), min_size=1, max_size=9))
def test_norms_are_the_exact_ones_and_hardly_more(row):
    found = Fraction(float(norm_above(torch.tensor([row], **DOUBLE))))
    square = sum(Fraction(v) ** 2 for v in row)
    assert square <= found**2
    # (n + 8)u allowed, as much for what really rounds, two of the least steps
    above = max(found - 2 * Fraction(5e-324), Fraction(0))
    assert above**2 <= square * (1 + (len(row) + 9) * Fraction(2) ** -51)


def test_a_norm_of_two_is_inflated_by_10_u_and_a_step():
    found = norm_above(torch.tensor([[-3.0, 4.0], [0.0, 0.0]], **DOUBLE)).tolist()
    assert found == [math.nextafter(5 * (1 + 10 * 2.0**-53), math.inf), 0.0]
    (two,) = norm_above(torch.full((1, 4), 1.0, **DOUBLE)).tolist()
    assert two == math.nextafter(2 * (1 + 12 * 2.0**-53), math.inf)


# --- single operations -----------------------------------------------------------------------------------


@pytest.mark.usefixtures("coarse")
def test_what_each_operation_is_off_by():
    args = [(arb(3), 0.5), (arb(-2), 0.25)]

    def error(op, value, own, **more):
        return rounding._error(Instruction(op, tuple(range(len(own))), **more), value, own)

    assert error("var", arb(7), []) == 0.0
    assert error("const", arb(-3), []) == near(2 * U * 3)
    assert error("add", arb(1), args) == near(0.75 + 2 * U * (3.5 + 2.25))
    assert error("add", arb(1), [*args, (arb(1), 1.0)]) == near(1.75 + 3 * U * (3.5 + 2.25 + 2))
    for op in ("max", "min", "select", "abs"):
        assert error(op, arb(1), args) == 0.5
    moved = math.hypot(0.5, 0.25) * (1 + E) + math.sqrt(2 * LEAST)
    assert error("norm", arb(5), args) == near(moved + 6 * U * (5 + moved))
    moved = 7 * 0.5 * (1 + E)  # the derivative of u² up to 3 + 1/2
    assert error("pow", arb(9), args[:1], exponent=Fraction(2)) == near(moved + E * (9 + moved))
    moved = math.exp(3.5) * 0.5 * (1 + E)
    assert error("exp", arb(3).exp(), args[:1]) == near(moved + E * (math.exp(3) + moved))


@pytest.mark.usefixtures("coarse")
def test_a_power_that_is_no_float_is_off_by_its_exponent_as_well(monkeypatch):
    monkeypatch.setattr(rounding, "ELEMENTARY", 0.0)
    step, off = Instruction("pow", (0,), exponent=Fraction(1, 3)), float(abs(Fraction(1 / 3) - Fraction(1, 3)))
    assert rounding._error(step, arb(5), [(arb(16), 0.0)]) == near(off * math.log(16) * 5)
    both = rounding._error(step, arb(5), [(arb(16), 1e-17)])
    assert both == near(off * math.log(16) * 5 + 16 ** (-2 / 3) / 3 * 1e-17)


@pytest.mark.usefixtures("coarse")
@pytest.mark.parametrize(
    "factors", [[(3, 0.5)], [(3, 0.5), (-2, 0.25)], [(0.5, 1.0), (4, 0.125), (-8, 0.0)], [(-2, 0.0), (0, 0.5), (3, 1)]]
)
def test_what_a_product_is_off_by(factors):
    """|ab − a'b'| ≤ e(|b| + e') + |a|e', and 2u of what the factors may be; behind it the product and what is lost."""
    size, error = abs(factors[0][0]), factors[0][1]
    for value, own in factors[1:]:
        b = abs(value)
        moved = error * (b + own) + size * own
        error, size = (
            (moved + 2 * U * (size + error) * (b + own)) * (1 + E) + LEAST,
            size * b * (1 + E) + LEAST,
        )
    assert rounding._product_error([(arb(v), e) for v, e in factors]) == near(error)


@pytest.mark.usefixtures("coarse")
@pytest.mark.parametrize(
    ("exponent", "base", "error", "moved"),
    [
        (Fraction(2), 3, 0.5, 7 * 0.5 * (1 + E)),
        (Fraction(1), 4, 0.5, 0.5 * (1 + E)),
        (Fraction(3, 2), 4, 1.0, 1.5 * math.sqrt(5) * (1 + E)),
        (Fraction(-1), 4, 1.0, (1 + E) / 9),
        # a root: its slope, or where that is larger the root of the error
        (Fraction(1, 2), 4, 1.0, (1 + E) / (2 * math.sqrt(3))),
        (Fraction(2, 3), 8, 1.0, 2 / 3 * 7 ** (-1 / 3) * (1 + E)),
        (Fraction(1, 2), 0, 0.25, 0.5),
        (Fraction(2, 3), 0, 0.125, 0.25),
        (Fraction(1, 2), 1, 1.0, 1.0),
        (Fraction(1, 2), 4, 0.0, 0.0),
    ],
)
def test_how_far_a_power_moves(exponent, base, error, moved):
    assert rounding._moved(Instruction("pow", exponent=exponent), arb(base), error) == near(moved)


@pytest.mark.usefixtures("coarse")
@pytest.mark.parametrize(
    ("base", "logarithm"),
    [((1 / 8, 2), math.log(8)), ((1 / 2, 8), math.log(8)), ((0, 1 / 2), math.log(16)), ((4, 4), math.log(4))],
)
def test_what_a_rounded_exponent_costs(base, logarithm):
    third = Instruction("pow", exponent=Fraction(1, 3))
    off = abs(Fraction(1 / 3) - Fraction(1, 3))
    assert rounding._rounded_exponent(third, ball(*base), 7.0) == near(float(off) * logarithm * 7 * (1 + E))
    assert rounding._rounded_exponent(Instruction("pow", exponent=Fraction(3, 2)), ball(*base), 7.0) == 0.0


def test_the_true_allowances():
    """4u of √2 for an elementary function, 2u of a constant, and the least normal number below all."""
    assert (rounding.UNIT, rounding.ELEMENTARY, rounding.LEAST) == (2.0**-53, 4 * 2.0**-53, 2.0**-1022)
    exact = [(arb(2), 0.0)]
    assert rounding._error(Instruction("exp"), arb(2), exact) == near(8 * 2.0**-53)
    assert rounding._error(Instruction("const"), arb(2), []) == near(4 * 2.0**-53)


def test_numbers_are_rounded_up():
    assert rounding._up(arb(1)) == rounding._largest(arb(-1)) == math.nextafter(1, 2)
    assert rounding._up(arb(-1)) == math.nextafter(-1, 2)
    assert 3 <= rounding._up(ball(1, 3)) <= 3 * (1 + 1e-8)
    assert 5 <= rounding._largest(ball(-5, 3)) <= 5 * (1 + 1e-8)
    assert rounding._up(arb.nan()) == rounding._largest(arb.nan()) == math.inf


# --- cuts that are no floats -----------------------------------------------------------------------------


@pytest.mark.usefixtures("coarse")
def test_branches_beside_a_cut_differ_by_their_slopes():
    cuts = (Fraction(1, 5), Fraction(1, 3), Fraction(1, 2))
    step = Instruction("select", (2, 0, 3, 2), axis=0, cuts=cuts)
    moved = max(abs(Fraction(0.2) - cuts[0]), abs(Fraction(1 / 3) - cuts[1]))
    assert rounding._moved_cuts(step) == moved
    assert rounding._misplaced(step, [3.0, 100.0, 2.0, 5.0]) == near(2 * float(moved) * (1 + E) * 5)
    even = Instruction("select", (0, 1), axis=0, cuts=cuts[2:])
    assert rounding._moved_cuts(even) == rounding._moved_cuts(Instruction("var", axis=0)) == 0
    assert rounding._misplaced(even, []) == 0.0


def test_slopes_of_registers():
    """‖Jᵀu‖ for a norm away from its apex, J = ((1, 1), (1, 0)) at (1, 1): √(13/5), below ‖J‖ ≤ √3."""
    tape = compile_tape(parse("3*x0 + 4*x1, sqrt((x0 + x1)**2 + x0**2)", 2), 2)
    found = rounding._gradients(tape, [arb(1), arb(1)])
    assert [found[i] for i in tape.outputs] == [near(5.0), near(math.sqrt(13 / 5))]
    assert len(found) == len(tape.instructions)


# --- a whole tape ----------------------------------------------------------------------------------------


def corners(lo, hi):
    return tuple(map(Fraction, lo)), tuple(map(Fraction, hi))


@pytest.mark.usefixtures("coarse")
@pytest.mark.parametrize("order", ["x0, x0 + x1", "x0 + x1, x0"])
def test_the_worst_output_of_a_tape(order):
    tape = compile_tape(parse(order, 2), 2)
    error, largest = rounding._measured(tape, corners((-1, 0), (0.5, 2)))
    # a variable is off by LEAST alone; the sum by both, by 2u of both sizes, and by LEAST
    assert -error == near(2 * LEAST + 2 * U * (1 + 2 + 2 * LEAST) + LEAST)
    assert largest == near(2.5)
    assert rounding._measured(Tape(2, tape.instructions[:1], (0,)), corners((-1, 0), (0.5, 2)))[0] == -LEAST


@pytest.mark.usefixtures("coarse")
def test_a_cut_that_is_no_float_counts_where_it_is():
    """Both branches of slopes 2 and 5 are looked at; away from the cut only one of them counts."""
    text = "Piecewise((2*x0 + 1, x0 < 1/3), (5*x0, True))"
    tape = compile_tape(parse(text, 1), 1)
    select = next(i for i, step in enumerate(tape.instructions) if step.op == "select")
    left, right = tape.instructions[select].args
    box = [arb(1) / 4]
    steep = rounding._gradients(tape, box)
    assert (steep[left], steep[right]) == (near(2.0), near(5.0))
    bare = [Tape(1, tape.instructions, (i,)) for i in (left, right)]
    for place, branch in ((0.25, 0), (0.5, 1)):
        own = rounding._measured(bare[branch], corners((place,), (place,)))[0]
        moved = 2 * float(abs(Fraction(1 / 3) - Fraction(1, 3))) * (1 + E) * 5
        found = rounding._measured(tape, corners((place,), (place,)))[0]
        assert -found == near(-own + moved + LEAST)


def test_a_cut_that_is_no_float_counts_where_nothing_else_does(monkeypatch):
    for name in ("UNIT", "ELEMENTARY", "LEAST"):
        monkeypatch.setattr(rounding, name, 0.0)
    tape = compile_tape(parse("Piecewise((2*x0 + 1, x0 < 1/3), (5*x0, True))", 1), 1)
    moved = 2 * float(abs(Fraction(1 / 3) - Fraction(1, 3))) * 5
    assert -rounding._measured(tape, corners((0.25,), (0.5,)))[0] == near(moved)


def test_a_bound_that_is_no_number_is_none():
    tape = compile_tape(parse("1/x0", 1), 1)
    assert rounding._measured(tape, corners((-1,), (1,)))[0] == -math.inf
    assert rounding._measured(tape, corners((0.5,), (1,)))[0] > -1e-14


# --- where the domain is cut -----------------------------------------------------------------------------


def searched(monkeypatch, measured, domain):
    """(result, all boxes looked at) with `measured` in place of the analysis of a tape."""
    seen = []

    def record(tape, box):
        seen.append(box)
        return measured(*box)

    monkeypatch.setattr(rounding, "_measured", record)
    return rounding.formula_rounding(Tape(len(domain.lo), (), ()), domain), seen


def volume(lo, hi):
    return math.prod(b - a for a, b in zip(lo, hi, strict=True))


def test_what_is_good_enough_is_not_cut(monkeypatch):
    enough = 16 * 2.0**-53
    box = Box((0.0,), (1.0,))
    for error, boxes in ((enough * 4, 1), (math.nextafter(enough * 4, 1), 127)):
        result, seen = searched(monkeypatch, lambda lo, hi, e=error: (-e, 4.0), box)
        assert (result, len(seen)) == (error, boxes)  # one, or 64 that came of 63 cuts


def test_the_worst_box_is_cut_across_its_relatively_longest_side(monkeypatch):
    domain = Box((-8.0, 100.0), (8.0, 101.0))
    result, seen = searched(monkeypatch, lambda lo, hi: (-float(volume(lo, hi)), 1.0), domain)
    assert len(seen) == 127
    assert result == 16 / 64 * 1  # all 64 boxes are equal
    last = [box for box in seen if volume(*box) == Fraction(1, 4)]
    assert len(set(last)) == 64
    assert {(hi[0] - lo[0], hi[1] - lo[1]) for lo, hi in last} == {(2, Fraction(1, 8))}
    assert sum(volume(*box) for box in last) == 16
    assert all(-8 <= lo[0] < hi[0] <= 8 and 100 <= lo[1] < hi[1] <= 101 for lo, hi in last)


def test_the_worst_of_all_boxes_counts(monkeypatch):
    """1 where the box touches 0, far less elsewhere; what holds on a box holds on its parts."""
    result, seen = searched(monkeypatch, lambda lo, hi: (-1.0 if lo[0] == 0 else -1e-3, 1.0), Box((0.0,), (1.0,)))
    assert (result, len(seen)) == (1.0, 127)
    assert [hi[0] for lo, hi in seen if lo[0] == 0] == [Fraction(1, 2**k) for k in range(64)]
    # a part that for once says more is taken at its parent's word, its size as well
    result, seen = searched(monkeypatch, lambda lo, hi: (-1.0 / float(hi[0] - lo[0]), 1.0), Box((0.0,), (1.0,)))
    assert (result, len(seen)) == (1.0, 127)
    sizes = iter([(-(2.0**-48), 1.0), (-(2.0**-48), 4.0), (-(2.0**-48), 4.0)])
    result, seen = searched(monkeypatch, lambda lo, hi: next(sizes, (-(2.0**-50), 4.0)), Box((0.0,), (1.0,)))
    assert (result, len(seen)) == (2.0**-50, 7)
