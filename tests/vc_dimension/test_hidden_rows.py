"""Networks that share hidden units: the short way says what the long way says, and only where it is exact."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from constructions.vc_dimension import one_hidden_layer
from constructions.vc_dimension.one_hidden_layer import _by_labeling, _by_pattern
from theory.vc_dimension.checkers import hidden_rows, shattered_exhaustively
from theory.vc_dimension.checkers.hidden_rows import (
    distinct_rows,
    has_signs,
    outputs_from_distinct_rows,
    sums_fit_float32,
)
from theory.vc_dimension.checkers.labelings import all_labelings, evaluate, float64_is_exact, run_networks

INEXACT = "the networks' weights are not integers that float64 evaluates exactly"
NAN, INF = float("nan"), float("inf")


def short(layers, count, points):
    return outputs_from_distinct_rows(layers, count, points.double(), float64_is_exact)


def stacked(n=4, width=3):
    """All networks of a set that takes the short way, their labels, and its points."""
    shattered = one_hidden_layer(n, width)
    labels = all_labelings(0, 2**shattered.size, shattered.size, "cpu")
    return [(w.clone(), b.clone()) for w, b in shattered.weights(labels)], labels, shattered.points.double()


@pytest.mark.exact
@pytest.mark.parametrize(("n", "width", "rows"), [(4, 3, 48), (2, 5, 20), (3, 4, 32)])
def test_both_ways_give_the_same_numbers(n, width, rows):
    layers, labels, points = stacked(n, width)
    outputs = short(layers, len(labels), points)
    assert torch.equal(outputs.double(), evaluate(layers, points))
    assert torch.equal(outputs > 0, labels)
    found = distinct_rows(*layers[0])
    assert len(found[1]) == rows == width * 2**n
    assert torch.equal(found[1][found[0]], layers[0][0])
    assert torch.equal(found[2][found[0]], layers[0][1])


@pytest.mark.law
@settings(max_examples=40)
@given(
    seed=st.integers(0, 2**31),
    kinds=st.integers(1, 9),
    width=st.integers(1, 4),
    n=st.integers(1, 5),
    shared=st.sampled_from(["nothing", "hidden biases", "output weights", "output biases"]),
)
def test_any_networks_of_few_units(seed, kinds, width, n, shared):
    """Law: integer units drawn from a few, in float32 and float64, one layer perhaps the same for all networks."""
    g = torch.Generator().manual_seed(seed)
    unit = torch.randint(kinds, (300, width), generator=g)
    weight = torch.randint(-9, 10, (kinds, n), generator=g).double()[unit]
    bias = torch.randint(-9, 10, (kinds,), generator=g).float()[unit]
    out = torch.randint(-99, 100, (300, 1, width), generator=g).double()
    constant = torch.randint(-99, 100, (300, 1), generator=g)
    if shared == "hidden biases":
        bias = bias[:1]
    if shared == "output weights":
        out = out[:1]
    if shared == "output biases":
        constant = constant[:1]
    points = torch.randint(-5, 6, (7, n), generator=g).double()
    layers = [(weight, bias), (out, constant)]
    outputs = short(layers, 300, points)
    if 8 * kinds * width <= 300 * width:
        assert outputs is not None
    if outputs is not None:
        assert torch.equal(outputs.double(), evaluate([(w.double(), b.double()) for w, b in layers], points))


@pytest.mark.exact
@pytest.mark.parametrize(("n", "width"), [(2, 3), (3, 2), (5, 2)])
def test_copied_hidden_layers_are_the_computed_ones(n, width):
    labels = all_labelings(0, 2 ** (n * width + 1), n * width + 1, "cpu")
    for copied, computed in zip(_by_pattern(labels, n, width), _by_labeling(labels, n, width), strict=True):
        assert torch.equal(copied, computed)


# --- negative controls --------------------------------------------------------------------------------------


def broken(change, n=4, width=3):
    honest = one_hidden_layer(n, width)

    def weights(labels):
        layers = [(w.clone(), b.clone()) for w, b in honest.weights(labels)]
        change(layers, 777)  # one labeling, in the middle of the only batch
        return layers

    return replace(honest, weights=weights)


def flip_one_output(layers, row):
    layers[1][0][row] *= -1
    layers[1][1][row] *= -1


def change_one_hidden_weight(layers, row):
    layers[0][0][row, 1, 0] += 1


def change_one_hidden_bias(layers, row):
    layers[0][1][row, 2] -= 1


@pytest.mark.parametrize(
    ("change", "failure"),
    [
        (flip_one_output, "labeling 1001000011000: point 0, [0.0, 4.0, 0.0, 0.0], has label 1, the network gives -1 "),
        (change_one_hidden_weight, "labeling 1001000011000: point "),
        (change_one_hidden_bias, "labeling 1001000011000: point "),
    ],
)
def test_one_network_of_8192_is_wrong(change, failure):
    """No two of these rows are one: the broken row is evaluated, and its labeling is named."""
    assert shattered_exhaustively(one_hidden_layer(4, 3)).holds
    report = shattered_exhaustively(broken(change))
    assert not report.holds
    assert report.failure.startswith(failure)
    layers, labels, points = stacked()
    change(layers, 777)
    assert run_networks(layers, labels, points) == report.failure
    assert short(layers, len(labels), points) is not None


def test_rows_in_one_bucket_take_the_long_way(monkeypatch):
    """A hash that sends every row to one place changes no verdict, of right and of wrong networks."""
    whole = shattered_exhaustively(one_hidden_layer(4, 3))
    failure = shattered_exhaustively(broken(change_one_hidden_bias)).failure
    monkeypatch.setattr(hidden_rows, "MULTIPLIERS", (0, 0))
    layers, labels, points = stacked()
    assert distinct_rows(*layers[0]) is None
    assert short(layers, len(labels), points) is None
    assert shattered_exhaustively(one_hidden_layer(4, 3)) == whole
    assert shattered_exhaustively(broken(change_one_hidden_bias)).failure == failure


@pytest.mark.parametrize("differ", ["weights", "biases"])
def test_units_in_one_bucket_that_differ_in_one_part_are_not_one(monkeypatch, differ):
    """x and x + 1, or x and 2x: one row must not stand for the other."""
    monkeypatch.setattr(hidden_rows, "MULTIPLIERS", (0,))
    weight, bias = torch.ones(64, 1, 1).double(), torch.zeros(64, 1).double()
    assert len(distinct_rows(weight, bias)[1]) == 1
    if differ == "weights":
        weight[::2] = 2
    else:
        bias[::2] = 1
    assert distinct_rows(weight, bias) is None


def test_a_second_hash_is_tried(monkeypatch):
    monkeypatch.setattr(hidden_rows, "MULTIPLIERS", (0, hidden_rows.MULTIPLIERS[0]))
    assert len(distinct_rows(*stacked()[0][0])[1]) == 48


def test_many_distinct_rows_take_the_long_way():
    g = torch.Generator().manual_seed(0)
    weight = torch.randint(-99, 100, (200, 1, 3), generator=g).double()
    assert distinct_rows(weight, torch.zeros(200, 1, dtype=torch.float64)) is None
    assert shattered_exhaustively(one_hidden_layer(12, 1)).holds


@pytest.mark.parametrize("part", [(0, 0), (0, 1), (1, 0), (1, 1)])
@pytest.mark.parametrize(
    ("value", "failure"),
    [(NAN, "must be finite, got nan"), (INF, "must be finite, got inf"), (0.5, INEXACT), (2.0**53, INEXACT)],
)
def test_numbers_that_are_not_exact(part, value, failure):
    """One of 8192 networks has a number that no exact sum takes: the same sentence as on the long way."""
    layers, labels, points = stacked()
    layers[part[0]][part[1]].view(-1)[777] = value
    assert short(layers, len(labels), points) is None
    assert failure in run_networks(layers, labels, points)


def test_all_hidden_rows_infinite():
    """inf equals inf, but is not exact."""
    layers, labels, points = stacked()
    layers[0][1].fill_(INF)
    assert short(layers, len(labels), points) is None
    assert "must be finite, got inf" in run_networks(layers, labels, points)


def sums(hidden, weights, constant):
    """One point, a unit whose value is `hidden` each for the output `weights`, one after another in 64 equal
    networks."""
    width = len(weights)
    first = (torch.ones(64, width, 1).double(), torch.zeros(64, width).double())
    second = (torch.tensor([[weights]]).double().expand(64, -1, -1), torch.full((64, 1), constant).double())
    return [first, second], torch.tensor([[float(hidden)]]).double()


@pytest.mark.exact
def test_the_largest_sums_that_float32_holds():
    """W·max|v|·max h + max|c| = 2·2·(2²² − 1) + 3 is 2²⁴ − 1; one more is not known to fit."""
    layers, point = sums(2**22 - 1, [2, -2], 3)
    assert short(layers, 64, point).unique().tolist() == [3.0]
    layers, point = sums(2**22 - 1, [2, -2], -4)
    assert short(layers, 64, point) is None
    layers, point = sums(2**22, [2, -2], 0)
    assert short(layers, 64, point) is None


@pytest.mark.exact
def test_sums_beyond_float32_are_decided_exactly():
    """2²⁴ + 1 − 2²⁴ is 1, and 0 where 2²⁴ + 1 is rounded to float32: label 1 holds, and label 0 is refused."""
    layers, point = sums(1, [2**24, 1], -(2**24))
    rounded = (torch.tensor(2.0**24) + torch.tensor(1.0)) - torch.tensor(2.0**24)
    assert float(rounded) == 0
    assert short(layers, 64, point) is None
    yes = torch.ones(64, 1, dtype=torch.bool)
    assert run_networks(layers, yes, point) is None
    assert "has label 0, the network gives 1 " in run_networks(layers, ~yes, point)


@pytest.mark.exact
@pytest.mark.parametrize(("weight", "constant"), [(2**24, 0), (2**24 + 1, 0), (0, 2**24), (0, -(2**24) - 1)])
def test_a_weight_beyond_float32_on_units_that_are_silent(weight, constant):
    """max h = 0, so that the sums are small; the numbers themselves are no float32 numbers."""
    layers, point = sums(-1, [weight, 0], constant)
    assert short(layers, 64, point) is None
    yes = torch.full((64, 1), constant > 0)
    assert run_networks(layers, yes, point) is None
    assert run_networks(layers, ~yes, point) is not None


def test_the_guard_by_hand():
    whole = torch.ones(3, 1, 2).double()
    hidden, constant = torch.tensor([[5.0]]).double(), torch.zeros(3, 1).double()
    assert sums_fit_float32(hidden, whole, constant)
    for bad in (0.5, NAN, INF, 2.0**24, -(2.0**24)):
        assert not sums_fit_float32(hidden, whole * bad, constant)
        assert not sums_fit_float32(hidden, whole, constant + bad)
    assert not sums_fit_float32(hidden * 2.0**24, whole, constant)


def test_signs_by_hand():
    outputs, labels = torch.tensor([[1.0, 0.0], [-1.0, 2.0]]), torch.tensor([[True, False], [False, True]])
    assert has_signs(outputs, labels)
    for i in range(4):
        wrong = labels.clone()
        wrong.view(-1)[i] ^= True
        assert not has_signs(outputs, wrong)
    assert not has_signs(outputs[:1], labels)
    assert not has_signs(outputs[:, :1], labels)


@pytest.mark.parametrize("k", [1, 7, 8, 9, 16, 17, 62])
def test_labelings_are_the_bits_of_their_numbers(k):
    stop = min(2**k, 300)
    for start in (0, 2**k - stop):
        rows = all_labelings(start, start + stop, k, "cpu")
        assert rows.dtype == torch.bool
        assert rows.is_contiguous()
        assert rows.tolist() == [[bool(number >> i & 1) for i in range(k)] for number in range(start, start + stop)]
