"""The table certificate: what it accepts agrees with all labelings, and what was broken on purpose is named."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from constructions.shattering import (
    deep,
    deep_sizes,
    one_hidden_layer,
    two_hidden_layers,
    wide,
    with_extra_inputs,
    with_extra_layers,
)
from constructions.shattering.shattered_set import from_table
from theory.checkers.shattering import shattered_by_random_labelings, shattered_by_table, shattered_exhaustively
from theory.checkers.shattering.integers import compact, product, times
from theory.checkers.shattering.table import TableFamily, check_table, read_table

SMALL = [
    two_hidden_layers(2),
    two_hidden_layers(3),
    with_extra_layers(two_hidden_layers(3), 2),
    with_extra_inputs(two_hidden_layers(3), 1),
    deep(2, 1, 3),
    deep(1, 2, 3),
    deep(3, 1, 1),
    deep(2, 3, 1),
    deep(2, 1, 3, layers_per_bit=2),
    wide(3, 2, 3),
    wide(4, 2, 2),
    with_extra_inputs(with_extra_layers(deep(2, 1, 2), 1), 2),
]


@pytest.mark.exact
@pytest.mark.parametrize("shattered", SMALL, ids=lambda s: f"{s.family}{list(s.sizes.values())}")
def test_certificate_and_all_labelings_agree(shattered):
    report = shattered_by_table(shattered)
    assert report.holds, report.failure
    assert shattered_exhaustively(shattered).holds
    assert report.points == shattered.size


@pytest.mark.exact
@pytest.mark.parametrize(("depth", "width", "points"), [(33, 8, 512), (53, 8, 1352), (17, 19, 2048), (129, 8, 8192)])
def test_large_sets_are_certified(depth, width, points):
    shattered = deep(**deep_sizes(depth, width))
    report = shattered_by_table(shattered)
    assert report.holds, report.failure
    assert report.points == points


@pytest.mark.slow
@pytest.mark.parametrize("sizes", [(2, 1, 5), (4, 1, 1), (3, 1, 2), (2, 4, 1)])
def test_all_labelings_of_larger_sets(sizes):
    assert shattered_exhaustively(deep(*sizes)).holds


def mutated(shattered, layer, change):
    """The set with `change(weight, bias)` applied to one layer of every network, also of the probes."""
    networks = shattered.table.networks

    def broken(entries):
        layers = [(w.copy(), b.copy()) for w, b in networks(entries)]
        change(*layers[layer])
        return layers

    return from_table(shattered.family, shattered.sizes, shattered.points, replace(shattered.table, networks=broken))


def weight(row, column, by=1):
    def change(w, b):
        w[:, row, column] += by

    return change


def bias(row, by=1):
    def change(w, b):
        b[:, row] += by

    return change


DEEP = deep(2, 1, 3)  # layers: 0 positions, 1 look-up, 2 … 4 bits, 5 last gate, 6 output
MUTANTS = {
    "a hidden weight of the look-up": (1, weight(0, 1), "lies between|answered|handed on|depends"),
    "a weakened gate of the look-up": (1, bias(0, 4), "lies between|answered|handed on|depends"),
    "a knot of the positions": (0, bias(1), "lies between|answered|handed on|depends"),
    "the bias of a step": (2, bias(1), "answered|kinds of words"),
    "the bias of the next step": (3, bias(2), "answered|kinds of words"),
    "the weight T of a subtraction": (3, weight(0, 1), "answered|kinds of words"),
    "a weakened gate of a bit": (3, bias(6), "answered|kinds of words"),
    "a hat of j": (2, bias(4), "answered|kinds of words|handed on"),
    "the last gate": (5, bias(0), "answered"),
    "the output's threshold": (6, bias(0, 2), "answered"),
    "an inverted output": (6, weight(0, 0, -4), "answered"),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_mutants_are_rejected_by_both_checkers(name):
    layer, change, message = MUTANTS[name]
    broken = mutated(DEEP, layer, change)
    report = shattered_by_table(broken)
    assert not report.holds
    assert any(part in report.failure for part in message.split("|")), report.failure
    assert not shattered_exhaustively(broken).holds


def test_an_output_of_0_is_label_0():
    """Moving the threshold from −1 to 0 gives outputs 0 and 2, which still spell the labels."""
    moved = mutated(DEEP, 6, bias(0))
    assert shattered_by_table(moved).holds
    assert shattered_exhaustively(moved).holds


@pytest.mark.parametrize("layer", range(4, 20, 3))
def test_mutants_of_long_words_are_rejected_without_enumeration(layer):
    """K = 16 is beyond the plain run over all words: halving and merging alone must notice."""
    broken = mutated(deep(2, 2, 16), layer, bias(1))
    assert not shattered_by_table(broken).holds


def test_halving_alone_agrees_with_the_plain_run(monkeypatch):
    """Without the second truth every mutant of the bits is still rejected."""
    monkeypatch.setattr("theory.checkers.shattering.table.ENUMERATED_BITS", 0)
    assert shattered_by_table(DEEP).holds
    for layer, change, _ in MUTANTS.values():
        assert not shattered_by_table(mutated(DEEP, layer, change)).holds


def test_wide_mutants_are_rejected():
    shattered = wide(4, 2, 2)
    for layer, change in ((0, weight(2, 2)), (1, bias(0, 3)), (1, weight(0, 0)), (2, bias(1))):
        broken = mutated(shattered, layer, change)
        assert not shattered_by_table(broken).holds
        assert not shattered_exhaustively(broken).holds


def test_duplicate_and_moved_points_are_named():
    points = DEEP.points.clone()
    points[3] = points[2]
    assert "occurs 2 times" in shattered_by_table(replace(DEEP, points=points)).failure
    points = DEEP.points.clone()
    points[3, 0] += 5
    assert "point 3" in shattered_by_table(replace(DEEP, points=points)).failure


def test_networks_that_are_not_affine_in_the_table_are_refused():
    networks = DEEP.table.networks

    def bent(entries):
        layers = [(w.copy(), b.copy()) for w, b in networks(entries)]
        layers[1][0][:, 0, 0] += np.where(entries.max(1) > 1, 1, 0)
        return layers

    broken = replace(DEEP, table=replace(DEEP.table, networks=bent))
    assert "not affine" in shattered_by_table(broken).failure


def test_two_points_may_not_ask_for_the_same_bit():
    table = replace(DEEP.table, bit=torch.ones_like(DEEP.table.bit))
    assert "same bit" in shattered_by_table(replace(DEEP, table=table)).failure


def test_points_must_be_integers():
    family = read_table(DEEP.table, DEEP.points.numpy())
    assert isinstance(family, TableFamily)
    assert check_table(family).holds
    assert "not integers" in check_table(replace(family, points=family.points + 0.25)).failure


def test_only_tables_have_this_certificate():
    with pytest.raises(ValueError, match="table"):
        shattered_by_table(one_hidden_layer(2, 2))


def test_the_reading_reproduces_the_networks():
    family = read_table(DEEP.table, DEEP.points.numpy())
    entries = np.array([[5, 0, 7, 2]], dtype=object)
    for (w, b), (v, a) in zip(DEEP.table.networks(entries), family.networks(entries), strict=True):
        assert (w == v).all()
        assert (b == a).all()


def test_float64_is_refused_where_it_rounds():
    """K = 52 with two layers a bit needs more than 53 bits somewhere; the certificate in integers still holds."""
    shattered = deep(2, 2, 52, layers_per_bit=2)
    assert shattered_by_table(shattered).holds
    failure = shattered_by_random_labelings(shattered, 2, torch.Generator().manual_seed(0)).failure
    assert "not integers that float64 evaluates exactly" in failure


def test_integer_products_are_exact():
    big = np.array([[2**60 + 1, 3]], dtype=object)
    assert product(big, np.array([[2**60, 7], [1, 1]], dtype=object)).tolist() == [[2**120 + 2**60 + 21, 2**60 + 4]]
    assert product(np.array([[2, 3]]), np.array([[4, 5]])).dtype == np.int64
    assert times(2**70, np.array([3])).tolist() == [3 * 2**70]
    assert compact(np.array([2**53], dtype=object)).dtype == object
    assert compact(np.array([5], dtype=object)).dtype == np.int64
