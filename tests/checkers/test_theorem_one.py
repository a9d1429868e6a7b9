"""Theorem 1 by loops over experts, outputs and nodes; and how well f itself is known."""

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from flint import arb

from constructions import LipschitzFunction
from constructions.functions.symbolic.parser import parse
from constructions.functions.symbolic.tape import compile_tape
from theory import exact
from theory.checkers.uniform_error import a_priori, premises, target_values
from theory.checkers.uniform_error.ridge import FirstLayer, RidgeBank
from theory.checkers.uniform_error.stack import UNIT

DOUBLE = {"dtype": torch.float64}


def tensor(values):
    return torch.tensor(values, **DOUBLE)


LINE = LipschitzFunction(lambda x: x[:, :1] * 0, n=1, lipschitz=0.0)


# --- Theorem 1 -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("chunk", [1, 8, 10**6])
def test_theorem_1s_numbers_by_loops(monkeypatch, chunk):
    """Three experts in three dimensions that read axis 1, two outputs; f asked expert by expert, or at once."""
    monkeypatch.setattr(a_priori, "NODES_PER_STEP", chunk)
    asked = []

    def fn(x):
        asked.append(len(x))
        return torch.stack([x[:, 0] + 2 * x[:, 1], x[:, 2] * x[:, 1]], dim=1)

    f = LipschitzFunction(fn, n=3, m=2, lipschitz=50.0, domain=((0, 8), (0, 1), (0, 8)))
    units, axis = [(3.0, -1.0, 0.25), (-4.0, 1.0, 0.0)], 1
    weight = tensor([[0.0, w, 0.0] for w, _, _ in units])
    layer = FirstLayer(weight, tensor([b for _, b, _ in units]), tensor([s for _, _, s in units]), axis)
    lower, upper = tensor([[0, 0, 0], [1, 0, 2], [3, 0, 5]]), tensor([[1, 1, 2], [3, 1, 5], [4, 1, 6]])
    out, offset = torch.arange(12.0, **DOUBLE).reshape(3, 2, 2) - 5, tensor([[1, 2], [3, -4], [0, 20]])
    bank = RidgeBank.of(layer, out, offset, lower, upper, unit=UNIT)
    measured = a_priori.Measured()
    asked.clear()
    a_priori._measure(torch.tensor([[10], [11], [12]]), bank, f, measured)

    nodes = [Fraction(0), Fraction(1, 4), Fraction(1, 3), Fraction(1)]
    gaps = {}
    for e, j, (i, t) in itertools.product(range(3), range(2), enumerate(nodes)):
        value = Fraction(float(offset[e, j]))
        for k, (w, b, s) in enumerate(units):
            z = Fraction(w) * t + Fraction(b)
            value += Fraction(float(out[e, j, k])) * (z if z > 0 else Fraction(s) * z)
        x = [float(lower[e, 0] + upper[e, 0]) / 2, float(t), float(lower[e, 2] + upper[e, 2]) / 2]
        gaps[e, j, i] = abs(Fraction(float(fn(tensor([x]))[0, j])) - value)
    worst = max(gaps, key=gaps.get)
    assert measured.tau == math.nextafter(float(gaps[worst]), math.inf)
    assert measured.tau_where == f"leaf {[10 + worst[0]]}, output {worst[1]}, node {worst[2]}"
    assert (measured.b, measured.b_where) == (Fraction(1, 3), f"after {1 / 3:.9g} on axis 1")
    assert measured.shift == abs(Fraction(1 / 3) - Fraction(1, 3))
    assert math.sqrt(3.25) <= measured.a <= math.sqrt(3.25) * (1 + 1e-14)
    assert measured.nodes == 3 * 2 * 4
    sizes = [n for n in asked if n != 1]
    assert sizes == {1: [4] * 3, 8: [8, 4], 10**6: [12]}[chunk]

    # again: nothing gets better, the first name stays
    kept = (measured.a, measured.b, measured.tau, measured.tau_where, measured.b_where, measured.shift)
    a_priori._measure(torch.tensor([[20], [21], [22]]), bank, f, measured)
    assert (measured.a, measured.b, measured.tau, measured.tau_where, measured.b_where, measured.shift) == kept
    assert measured.nodes == 2 * 24
    rich = a_priori.Measured(a=100.0, shift=Fraction(1), b=Fraction(50), tau=1e6, slack=9.0)
    a_priori._measure(torch.tensor([[20], [21], [22]]), bank, f, rich)
    assert (rich.a, rich.shift, rich.b, rich.tau, rich.slack, rich.b_where) == (100, 1, 50, 1e6, 9.0, "-")


def test_the_first_of_equal_gaps_is_named():
    layer = FirstLayer(tensor([[2.0]]), tensor([-1.0]), tensor([0.0]), 0)
    f = LipschitzFunction(lambda x: x[:, :1] * 0, n=1, lipschitz=1.0, domain=(-5, 5))
    measured = a_priori.Measured()
    for leaf, lo in ((0, 0.0), (1, 0.5), (2, -0.5)):
        bank = RidgeBank.of(layer, tensor([[[0.0]]]), tensor([[1.0]]), tensor([[lo]]), tensor([[lo + 0.5]]), unit=UNIT)
        a_priori._measure(torch.tensor([[leaf]]), bank, f, measured)
    assert (measured.b, measured.b_where) == (Fraction(1, 4), "after 0 on axis 0")
    assert measured.tau_where == "leaf [0], output 0, node 0"


@pytest.mark.parametrize(("steps", "farthest"), [(3, 2), (1, 1)])
def test_cells_reach_to_their_farther_end(steps, farthest):
    """The middle of 1 and 1 + 3·2⁻⁵² is rounded up, that of 1 and 1 + 2⁻⁵² down."""
    layer = FirstLayer(tensor([[0.0, 2.0]]), tensor([-1.0]), tensor([0.0]), 1)
    ends = tensor([[1.0, 0.0]]), tensor([[1 + steps * 2.0**-52, 1.0]])
    bank = RidgeBank.of(layer, tensor([[[0.0]]]), tensor([[1.0]]), *ends, unit=UNIT)
    f = LipschitzFunction(lambda x: x[:, :1] * 0, n=2, lipschitz=1.0, domain=(0, 2))
    measured = a_priori.Measured()
    a_priori._measure(torch.tensor([[0]]), bank, f, measured)
    assert measured.a == pytest.approx(farthest * 2.0**-52, rel=1e-12, abs=0)


def test_theorem_1s_bound_is_the_sum_of_its_parts(monkeypatch):
    def measure(leaves, bank, f, measured):
        measured.a, measured.b, measured.tau, measured.slack, measured.shift = (
            3.0,
            Fraction(4),
            0.25,
            0.125,
            Fraction(1),
        )

    layer = FirstLayer(tensor([[2.0]]), tensor([-1.0]), tensor([0.0]), 0)
    bank = RidgeBank.of(layer, tensor([[[0.0]]]), tensor([[1.0]]), tensor([[0.0]]), tensor([[1.0]]), unit=UNIT)
    monkeypatch.setattr(a_priori, "_measure", measure)
    monkeypatch.setattr(a_priori, "banks_of", lambda view: [(torch.tensor([[0]]), bank)])
    monkeypatch.setattr(a_priori, "forward_matches", lambda *args: None)
    f = LipschitzFunction(lambda x: x[:, :1] * 0, n=1, lipschitz=2.0)
    upper, measured, found = a_priori.a_priori(None, f, 0.5, lambda message: None)
    slack = 0.125 + f.modulus.upper(Fraction(1))
    assert measured.slack == slack
    assert upper == math.nextafter((f.modulus.upper(Fraction(25)) + 0.25 + 0.5 + slack) * (1 + 2.0**-50), math.inf)
    assert [p.holds for p in found] == [True] * 3
    failing = premises.Premise("forward() uses these weights", False, "no")
    monkeypatch.setattr(a_priori, "forward_matches", lambda *args: failing)
    assert a_priori.a_priori(None, f, 0.5, lambda message: None)[::2] == (math.inf, [failing])


def test_theorem_1_speaks_of_pencils_alone(monkeypatch):
    monkeypatch.setattr(a_priori, "banks_of", lambda view: [(torch.tensor([[3]]), object())])
    upper, _, (failing,) = a_priori.a_priori(None, LINE, 0.5, lambda message: None)
    assert (upper, failing.holds, failing.detail) == (math.inf, False, "leaf [3] is not")
    assert failing.name == "experts are one-hidden-layer pencils"


# --- f's own values --------------------------------------------------------------------------------------


def fickle(value, change):
    """`value`, and `change` more when asked at 2048 points."""
    return LipschitzFunction(lambda x: x[:, :1] * 0 + value + (change if len(x) == 2048 else 0), n=1, lipschitz=0.0)


def evaluated(f):
    eta, premise, known = target_values.evaluation_error(f, torch.Generator().manual_seed(0))
    return eta, premise.holds, known


@pytest.mark.parametrize(
    ("value", "change", "holds"),
    [
        # a billionth of max(1, |f|)
        (0.0, 1e-9, True), (0.0, 1.1e-9, False), (0.5, 2.0**-30, True), (0.5, 2.0**-29, False),
        (4.0, 2.0**-28, True), (4.0, 2.0**-27, False), (-4.0, -(2.0**-28), True), (-4.0, 2.0**-27, False),
    ],
)  # fmt: skip
def test_answers_may_change_with_the_batch_by_a_billionth(value, change, holds):
    expected = (2 * abs(change), True, True) if holds else (math.inf, False, False)
    assert evaluated(fickle(value, change)) == expected


@pytest.mark.parametrize(("change", "holds"), [(2.0**-28, True), (2.0**-27, False)])
def test_the_largest_value_says_how_much_answers_may_change(change, holds):
    f = LipschitzFunction(lambda x: 4 * x[:, :1] + (change if len(x) == 2048 else 0), n=1, lipschitz=4.0)
    assert evaluated(f)[1] is holds


@pytest.mark.parametrize("row", [0, 1000, 2047])
def test_one_answer_that_changes_is_enough(row):
    def fn(x):
        y = x[:, :1] * 0
        y[row] += len(x) == 2048
        return y

    assert evaluated(LipschitzFunction(fn, n=1, lipschitz=0.0)) == (math.inf, False, False)


def test_a_black_box_is_known_to_4_ulps_of_its_largest_value():
    assert evaluated(fickle(-3.0, 0.0)) == (4 * math.ulp(3.0), True, True)
    ramp = LipschitzFunction(lambda x: x[:, :1] * 8 - 5, n=1, lipschitz=8.0)
    assert evaluated(ramp) == (4 * math.ulp(4.5), True, True)


@pytest.mark.parametrize(
    ("seen", "proved", "answer"),
    [
        (1.0, 2.0, (2.0, True, True)),
        (2.0, 2.0, (2.0, True, True)),
        (0.0, 0.0, (4 * math.ulp(0.49), True, True)),
        (2.0, math.nextafter(2.0, 0), (math.inf, False, False)),
        (math.nan, 2.0, (math.inf, False, False)),
        (1.0, math.inf, (2.0, True, False)),
        (0.0, math.inf, (4 * math.ulp(0.49), True, False)),
        (math.inf, math.inf, (math.inf, True, False)),
    ],
)
def test_a_formula_is_known_as_far_as_it_is_proved(monkeypatch, seen, proved, answer):
    monkeypatch.setattr(target_values, "observed_rounding", lambda *args: seen)
    monkeypatch.setattr(target_values, "formula_rounding", lambda *args: proved)
    assert evaluated(LipschitzFunction.from_sympy("x0/2", n=1)) == answer


def test_distances_from_balls_are_the_largest():
    assert target_values._distance(1.0, arb(2.5, 0.5)) == pytest.approx(2.0, rel=1e-8)
    assert target_values._distance(1.0, arb.nan()) == math.inf
    x = tensor([[0.25], [0.5]])
    tape = compile_tape(parse("x0, 1 - x0", 1), 1)
    assert target_values.observed_rounding(tape, x) == 0.0
    assert target_values.observed_rounding(tape, x, tensor([[0.25, 0.75], [0.5, 0.75]])) == 0.25


def test_enclosed_errors_are_upper_bounds_in_every_output():
    f = LipschitzFunction.from_sympy("x0, x0/3", n=1)
    network = np.array(
        [[exact.rational(Fraction(1, 3)), exact.rational(0)], [exact.rational(1), exact.rational(1)]], dtype=object
    )
    found = target_values.enclosed_errors(f, tensor([[0.25], [1.0]]), network)
    truth = [[Fraction(1, 12), Fraction(1, 12)], [Fraction(0), Fraction(2, 3)]]
    assert found.shape == (2, 2)
    for row, expected in zip(found.tolist(), truth, strict=True):
        for value, error in zip(row, expected, strict=True):
            assert error < Fraction(value) <= error + Fraction(2) ** -51
