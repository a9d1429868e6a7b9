"""`RidgeBank` and its exact tables against loops over units, pieces and corners."""

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from theory import exact
from theory.checkers.uniform_error.ridge import FirstLayer, RidgeBank, _corners, first_layer_axis
from theory.checkers.uniform_error.ridge_exact import ExactTables, exact_nodes, exact_values, rationals
from theory.checkers.uniform_error.stack import LEAST, UNIT

DOUBLE = {"dtype": torch.float64}
CPU = torch.device("cpu")


def tensor(values):
    return torch.tensor(values, **DOUBLE)


def layer_of(pull, bias, slope, n=1, axis=0):
    weight = torch.zeros(len(pull), n, **DOUBLE)
    weight[:, axis] = tensor(pull)
    return FirstLayer(weight, tensor(bias), tensor(slope), axis)


def bank_of(units, out, offset, lo=0.0, hi=1.0, **precisions):
    """Experts on [lo, hi] of units (w, b, α), out (E, m, K), offset (E, m)."""
    layer = (
        layer_of(*zip(*units, strict=True)) if units else FirstLayer(torch.zeros(0, 1, **DOUBLE), *[tensor([])] * 2, 0)
    )
    out = tensor(out).reshape(*tensor(offset).shape, len(units))
    ends = (torch.full((len(out), 1), v, **DOUBLE) for v in (lo, hi))
    return RidgeBank.of(layer, out, tensor(offset), *ends, **({"unit": 2.0**-53} | precisions))


def network(units, out, offset, t):
    """Σ o·act(wt + b) + β, exactly."""
    found = Fraction(offset)
    for (w, b, alpha), o in zip(units, out, strict=True):
        z = Fraction(w) * Fraction(t) + Fraction(b)
        found += Fraction(o) * (z if z > 0 else Fraction(alpha) * z)
    return found


# units on [0, 1] of every kind: kinks inside, at either end, outside, and none, of both directions
KINDS = [
    (2.0, -1.0, 0.25), (-2.0, 1.0, 0.5), (1.0, 0.0, 0.25), (-1.0, 0.0, 0.25), (1.0, -1.0, 3.0), (-1.0, 1.0, 3.0),
    (1.0, 2.0, 0.5), (1.0, -2.0, 0.5), (-1.0, -2.0, 0.5), (-1.0, 2.0, 0.5), (0.0, 1.0, 0.25), (0.0, -1.0, 0.25),
    (0.0, 0.0, 0.25), (4.0, -1.0, -2.0),
]  # fmt: skip


@pytest.mark.parametrize("units", [[u] for u in KINDS] + [list(p) for p in itertools.pairwise(KINDS)] + [KINDS])
def test_tables_of_every_kind_of_unit(units):
    out = [[float(j + 1 - 3 * (j % 2)) for j in range(len(units))]]
    bank = bank_of(units, [out], [[0.5]])
    inside = sorted({-b / w for w, b, _ in units if w and 0 < -b / w < 1})
    several = sorted(-b / w for w, b, _ in units if w and 0 < -b / w < 1)
    assert bank.ends.tolist() == [0.0, *several, 1.0]
    assert bank.pieces == len(several) + 1
    assert bank.resolves is any(w for w, _, _ in units)
    for piece, (a, b) in enumerate(itertools.pairwise(bank.ends.tolist())):
        for t in (a, (a + b) / 2, b):
            found = bank.values(torch.tensor([0]), torch.tensor([piece]), tensor([[t]]))
            assert float(found) == float(network(units, out[0], 0.5, t))
        if a < b:
            rise = network(units, out[0], 0.5, b) - network(units, out[0], 0.5, a)
            assert float(bank.slopes[0, 0, piece]) == float(rise / (Fraction(b) - Fraction(a)))
    nodes = exact_nodes(bank)
    assert [exact.fraction(v) for v in nodes] == [0, *map(Fraction, inside), 1]
    values = exact_values(bank, slice(None), nodes)
    assert values.shape == (1, 1, len(nodes))
    assert [exact.fraction(v) for v in values[0, 0]] == [network(units, out[0], 0.5, exact.fraction(t)) for t in nodes]


def test_kinks_that_are_no_floats_are_exact_nodes():
    nodes = exact_nodes(bank_of([(3.0, -1.0, 0.0), (-3.0, 2.0, 0.0), (7.0, -8.0, 0.0)], [[[1.0] * 3]], [[0.0]]))
    assert [exact.fraction(v) for v in nodes] == [0, Fraction(1, 3), Fraction(2, 3), 1]


def test_experts_that_read_nothing_have_one_value():
    constant = bank_of([], [[[]], [[]]], [[1.5], [-2.0]])
    nodes = exact_nodes(constant)
    assert exact_values(constant, slice(0, 1), nodes).tolist() == [[[exact.rational(1.5)] * 2]]
    assert exact_values(constant, slice(1, 2), nodes[:1]).tolist() == [[[exact.rational(-2)]]]
    flat = bank_of([(0.0, 2.0, 0.5), (0.0, -2.0, 0.5)], [[[3.0, 1.0]]], [[0.25]])
    assert not flat.resolves
    found = exact_values(flat, slice(None), exact_nodes(flat)[:1])
    assert found.tolist() == [[[exact.rational(6 - 1 + 0.25)]]]


def test_parts_of_a_bank_are_those_of_its_experts():
    units = [(2.0, -1.0, 0.0), (4.0, -1.0, 0.5)]
    bank = bank_of(units, [[[1.0, 2.0]], [[3.0, -4.0]], [[5.0, 6.0]]], [[0.0], [1.0], [2.0]])
    nodes = exact_nodes(bank)
    whole = exact_values(bank, slice(None), nodes)
    assert exact_values(bank, slice(1, 3), nodes).tolist() == whole[1:].tolist()
    assert [exact.fraction(v) for v in whole[1, 0]] == [network(units, [3, -4], 1, exact.fraction(t)) for t in nodes]


def test_exact_tables_refuse_what_they_cannot_follow():
    units = [(2.0, -1.0, 0.0), (4.0, -2.0, 0.5)]  # one kink twice: a piece without length
    for bank in (bank_of(units, [[[1.0, 1.0]]], [[0.0]]), object()):
        with pytest.raises(ValueError, match="`enclosed` needs one-hidden-layer experts"):
            ExactTables.of(bank)


def test_exact_tables_are_the_network_between_nodes():
    units = [(3.0, -1.0, 0.25), (-3.0, 2.0, 0.5)]
    out, offset = [[[1.0, 2.0], [-4.0, 8.0]], [[5.0, -1.0], [0.5, 3.0]]], [[0.0, 1.0], [2.0, -3.0]]
    tables = ExactTables.of(bank_of(units, out, offset))
    x = [0.125, 0.5, 0.875, 0.25]
    found = tables.at(torch.tensor([0, 1, 1, 0]), torch.tensor([0, 1, 2, 0]), tensor(x)[:, None])
    assert found.shape == (4, 2)
    for row, (expert, t) in enumerate(zip((0, 1, 1, 0), x, strict=True)):
        for j in range(2):
            assert exact.fraction(found[row, j]) == network(units, out[expert][j], offset[expert][j], t)


def test_rationals_keep_the_shape():
    found = rationals(tensor([[0.1, 2.0, -0.5]]))
    assert found.shape == (1, 3)
    assert [exact.fraction(v) for v in found[0]] == [Fraction(0.1), 2, Fraction(-1, 2)]
    assert found.dtype == np.dtype(object)


# --- which cells may share a bank ------------------------------------------------------------------------


@pytest.mark.parametrize("pull", [[1.0], [0.0, 2.0]])
@pytest.mark.parametrize("end", [0, 1])
@pytest.mark.parametrize("odd", [0, 1, 2])
def test_experts_of_one_bank_share_their_interval(pull, end, odd):
    layer = layer_of(pull, [0.0] * len(pull), [0.0] * len(pull))
    ends = [torch.zeros(3, 1, **DOUBLE), torch.ones(3, 1, **DOUBLE)]
    out, offset = torch.ones(3, 1, len(pull), **DOUBLE), torch.zeros(3, 1, **DOUBLE)
    RidgeBank.of(layer, out, offset, *ends, unit=UNIT)
    ends[end][odd] += 0.5
    with pytest.raises(ValueError, match="share their interval on axis 0"):
        RidgeBank.of(layer, out, offset, *ends, unit=UNIT)
    for rows in ([0, odd], [odd, 0]):
        if odd:
            with pytest.raises(ValueError, match="share their interval"):
                RidgeBank.of(layer, out[:2], offset[:2], *(e[rows] for e in ends), unit=UNIT)
    still = layer_of([0.0], [1.0], [0.0])
    assert not RidgeBank.of(still, out[..., :1], offset, *ends, unit=UNIT).resolves


@pytest.mark.parametrize(
    ("rows", "axis"), [([[0, 1, 0], [0, 0, 0], [0, -2, 0]], 1), ([[1, 0, 0], [0, 0, 1]], None), ([[0, 0]], 1)]
)
def test_the_one_axis_that_is_read(rows, axis):
    assert first_layer_axis(tensor(rows)) == axis


# --- what rounds -----------------------------------------------------------------------------------------

small = st.integers(-3, 3)
unit_of = st.tuples(small, small, st.sampled_from([0.0, 0.5, 2.0, -0.5, -3.0]))


def roundings_by_hand(units, out, offset, lo, hi):
    """16(K + 8)·S + 8·R and 4(K + 8)·L of the worst output, unit by unit."""
    reach, count, rounds, lost = max(abs(lo), abs(hi)), len(units) + 8, [], []
    for row, beta in zip(out, offset, strict=True):
        s, r, loss = abs(beta), 0.0, abs(beta) + reach + 1
        for (w, b, alpha), o in zip(units, row, strict=True):
            gain = max(1, abs(alpha))
            s += abs(o) * max(abs(w * lo + b), abs(w * hi + b)) * gain
            r += abs(o) * (abs(w) * reach + abs(b)) * gain
            hidden = gain * (2 + abs(w) + abs(b) + reach * (2 + abs(w)))
            loss += abs(o) * hidden + hidden
        rounds.append(16 * count * s + 8 * r)
        lost.append(4 * count * loss)
    return max(rounds), max(lost)


@given(st.lists(unit_of, min_size=1, max_size=3), st.data())
def test_what_a_pencil_may_round_by_is_the_stated_sum(units, data):
    out = [data.draw(st.lists(small, min_size=len(units), max_size=len(units))) for _ in range(2)]
    offset = data.draw(st.lists(small, min_size=2, max_size=2))
    lo = data.draw(st.integers(-3, 2))
    hi = data.draw(st.integers(lo + 1, 3))
    bank = bank_of(units, [out], [offset], float(lo), float(hi), unit=0.5, least=0.25)
    rounds, lost = roundings_by_hand(units, out, offset, lo, hi)
    assert bank.forward_slack == rounds / 2 + lost / 4
    assert bank.table_slack == rounds * UNIT + lost * LEAST
    tiny = bank_of(units, [out], [offset], float(lo), float(hi), unit=0.0)
    assert tiny.forward_slack == lost * LEAST


def test_what_is_lost_counts_where_nothing_else_does():
    bank = bank_of([(0.0, 0.0, 0.0)], [[[0.0]]], [[0.0]])
    _, lost = roundings_by_hand([(0.0, 0.0, 0.0)], [[0.0]], [0.0], 0.0, 1.0)
    assert bank.table_slack == bank.forward_slack == lost * LEAST > 0


def test_no_output_rounds_by_nothing():
    layer, none = layer_of([1.0], [0.0], [0.0]), torch.zeros(1, 0, **DOUBLE)
    assert RidgeBank._roundings(layer, none[..., None], none, tensor([0.0]), 0.0, 1.0) == (0.0, 0.0)


# --- boxes and seeds -------------------------------------------------------------------------------------


def test_a_box_moves_the_network_by_its_slope():
    bank = bank_of([(2.0, -1.0, 0.5)], [[[1.0], [-4.0]]], [[0.0, 0.0]])
    found = bank.variation(
        torch.tensor([0, 0]), torch.tensor([0, 1]), tensor([[0.25], [0.75]]), tensor([[0.125], [0.25]])
    )
    assert found.tolist() == [[0.125, 0.5], [0.5, 2.0]]


@pytest.mark.parametrize(("n", "axis"), [(1, 0), (2, 0), (2, 1), (3, 1)])
@pytest.mark.parametrize("resolves", [True, False])
def test_seeds_are_corners_times_ends_and_middles(n, axis, resolves):
    """Loops over experts, pieces, corners of the other axes (the first axis changes first) and places on this one."""
    layer = layer_of([4.0 if resolves else 0.0], [-1.0], [0.0], n, axis)
    lower = torch.arange(2 * n, **DOUBLE).reshape(2, n)
    upper = lower + 2
    for end in (lower, upper):
        end[:, axis] = end[0, axis]
    lower[:, axis], upper[:, axis] = 0.0, 1.0
    bank = RidgeBank.of(layer, torch.ones(2, 1, 1, **DOUBLE), torch.zeros(2, 1, **DOUBLE), lower, upper, unit=UNIT)
    step = 2.0**-30
    places = (0.0, 0.5) if resolves else (step, 0.5, 1 - step)
    pieces = [(0.0, 0.25), (0.25, 1.0)] if resolves else [(0.0, 1.0)]
    rows, boxes = [], []
    for expert, (piece, (a, b)) in itertools.product(range(2), enumerate(pieces)):
        boxes.append((expert, piece, a, b))
        for corner in itertools.product((0, 1), repeat=n - 1):
            for place in places:
                point, others = [], list(reversed(corner))
                for i in range(n):
                    lo, hi = (a, b) if i == axis else (float(lower[expert, i]), float(upper[expert, i]))
                    share = place if i == axis else (1 - step if others.pop(0) else step)
                    point.append(lo + share * (hi - lo))
                rows.append((expert, piece, point))
    expert, piece, x = bank.seeds(64)
    assert list(zip(expert.tolist(), piece.tolist(), x.tolist(), strict=True)) == rows
    expert, piece, lo, hi = bank.initial_boxes()
    ends = zip(lo[:, axis].tolist(), hi[:, axis].tolist(), strict=True)
    assert [(e, p, *ab) for e, p, ab in zip(expert.tolist(), piece.tolist(), ends, strict=True)] == boxes
    for i in set(range(n)) - {axis}:
        assert torch.equal(lo[:, i], lower[expert, i])
        assert torch.equal(hi[:, i], upper[expert, i])


@pytest.mark.parametrize(("axes", "most"), [(1, 8), (3, 8), (3, 7), (4, 6), (10, 8), (5, 31)])
def test_corners_are_all_or_evenly_spread(axes, most):
    total = 2**axes
    ids = list(range(total)) if total <= most else [k * math.floor(total / most) + k % 2 for k in range(most)]
    assert _corners(axes, most, CPU).tolist() == [[(k // 2**i) % 2 for i in range(axes)] for k in ids]
    assert _corners(0, most, CPU).shape == (1, 0)
