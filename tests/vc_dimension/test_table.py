"""The table certificate: what it accepts agrees with all labelings, and what was broken on purpose is named."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from constructions import BudgetExceeded
from constructions.vc_dimension import (
    deep,
    deep_sizes,
    one_hidden_layer,
    two_hidden_layers,
    wide,
    with_extra_inputs,
    with_extra_layers,
)
from constructions.vc_dimension.shattered_set import from_table
from theory.vc_dimension.checkers import shattered_by_random_labelings, shattered_by_table, shattered_exhaustively
from theory.vc_dimension.checkers.integers import compact, largest, product, times
from theory.vc_dimension.checkers.table import check_table, read_table
from theory.vc_dimension.checkers.table_family import TableFamily

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
    monkeypatch.setattr("theory.vc_dimension.checkers.table.ENUMERATED_BITS", 0)
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


def test_networks_that_bend_at_large_entries_only_are_refused():
    networks = DEEP.table.networks

    def bent(entries):
        layers = [(w.copy(), b.copy()) for w, b in networks(entries)]
        layers[1][0][:, 0, 0] += np.where(entries.max(1) > 1000, 1, 0)
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


# --- integers at their edges ------------------------------------------------------------------------------


def test_the_largest_number_of_int64():
    """abs(−2⁶³) is negative in int64."""
    assert largest(np.array([-(2**63)])) == 2**63
    assert largest(np.array([2**63 - 1, -5])) == 2**63 - 1
    assert largest(np.array([3, -7])) == 7
    assert largest(np.array([-7, -3])) == 7
    assert largest(np.array([], dtype=np.int64)) == 0
    assert largest(np.array([2**70, -(2**71)], dtype=object)) == 2**71
    assert compact(np.array([-(2**63)])).tolist() == [-(2**63)]
    assert compact(np.array([-(2**63)])).dtype == object
    assert compact(np.array([-(2**53)])).dtype == object
    assert compact(np.array([2**53 - 1, 1 - 2**53])).dtype == np.int64


@pytest.mark.exact
@pytest.mark.parametrize("top", [2**26, 2**26 + 1, 2**27 - 1, 2**31 + 1, 2**52 + 1, 2**53 - 1, 2**53 + 1, 2**62 + 1])
@pytest.mark.parametrize("inputs", [1, 2, 3])
def test_products_at_the_edges_are_those_of_python(top, inputs):
    """Odd numbers just where a float64 product would round, with one, two and three summands, of both signs."""
    rows = np.array([[top] * inputs, [-top, *[top - 2] * (inputs - 1)]])
    weight = np.array([[top] * inputs, [3 - top] * inputs, [1] * inputs])
    truth = [[sum(int(a) * int(b) for a, b in zip(r, w, strict=True)) for w in weight] for r in rows]
    assert product(rows, weight).tolist() == truth
    assert product(compact(rows), compact(weight)).tolist() == truth


@pytest.mark.exact
def test_products_go_through_float64_only_where_it_is_exact():
    one = np.ones((1, 1), dtype=np.int64)
    assert product(one * (2**53 - 1), one).dtype == np.int64
    assert product(one * 2**53, one).dtype == object
    assert product(np.full((1, 2), 2**26), np.full((1, 2), 2**25)).dtype == np.int64
    assert product(np.full((1, 2), 2**26), np.full((1, 2), 2**26)).dtype == object
    assert product(np.zeros((2, 0), dtype=np.int64), np.zeros((3, 0), dtype=np.int64)).tolist() == [[0] * 3] * 2
    assert product(np.array([[-(2**63)]]), np.array([[1]])).tolist() == [[-(2**63)]]


@pytest.mark.exact
def test_multiples_at_the_edges():
    for factor in (1, 2**10, 2**52, 2**53 - 1, 2**53, 2**70, 0):
        for value in (0, 1, -1, 2, 3, 2**43 + 1, -(2**63)):
            assert times(factor, np.array([value])).tolist() == [factor * value]
    assert times(2**52, np.array([1])).dtype == np.int64
    assert times(2**52, np.array([2])).dtype == object
    assert times(2**53, np.array([0])).dtype == object
    assert times(-(2**60), np.array([2**30])).tolist() == [-(2**90)]


@pytest.mark.parametrize("value", [0.5, float("nan"), float("inf"), None, "1", 1j])
def test_only_integers_become_compact(value):
    with pytest.raises(ValueError, match="`values` must be integers"):
        compact(np.array([1, value], dtype=object))


def test_floats_become_python_integers():
    """A float among objects would round in silence: 1e22 + 1 is 1e22."""
    found = compact(np.array([1e22, 2.0]))
    assert [type(v) for v in found.tolist()] == [int, int]
    assert (found + 1).tolist() == [10**22 + 1, 3]


# --- intervals of other entries, by hand ------------------------------------------------------------------


def crossed(reach=1, gate=None, start=None):
    """Two points on the line, a word of one bit each; each entry also reaches the other point, `reach` times.

    Layers: (x, 1 − x); (A_0·(1 − x + reach·x), A_1·(x + reach·(1 − x)), x, 1 − x); (start − row 0, start − row 1, x,
    1 − x); (v_0, v_1) with v_0 = relu(start − w_0 − gate·x): A_0 at 0, and 0 at 1 because gate ≥ reach.
    """
    gate = reach if gate is None else gate
    start = max(1, reach) if start is None else start
    base = [
        ([[1], [-1]], [0, 1]),
        ([[0, 0], [0, 0], [1, 0], [0, 1]], [0, 0, 0, 0]),
        ([[-1, 0, 0, 0], [0, -1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]], [start, start, 0, 0]),
        ([[-1, 0, -gate, 0], [0, -1, 0, -gate]], [start, start]),
        ([[2, 2]], [-1]),
    ]
    vectors = np.zeros((2, 5), dtype=np.int64)
    vectors[0, :2], vectors[1, :2] = (reach, 1), (1, reach)
    return TableFamily(
        np.array([[0], [1]]),
        np.array([0, 1]),
        np.array([1, 1]),
        1,
        4,
        [(np.array(w), np.array(b)) for w, b in base],
        np.array([1, 1]),
        np.array([0, 1]),
        vectors,
    )


@pytest.mark.exact
@pytest.mark.parametrize("reach", [0, 1, 2, 5])
def test_other_entries_may_reach_a_unit_that_a_later_layer_switches_off(reach):
    assert check_table(crossed(reach)).failure is None


@pytest.mark.parametrize(
    ("family", "failure"),
    [
        (crossed(2, gate=1), "layer 3, unit 1: over all tables it lies between -1 and 1 at point 0, [0]"),
        (crossed(5, gate=4), "layer 3, unit 1: over all tables it lies between -4 and 1 at point 0, [0]"),
        (crossed(3, start=2), "layer 2, unit 1: over all tables it lies between -1 and 2 at point 0, [0]"),
        (crossed(-2), "bit 1: words that have None there are answered with 3 … 5"),
        (crossed(1, gate=0), "what leaves the memory depends on entries that were not asked for"),
        (crossed(0, start=0), "bit 1: words that have None there are answered with -1 … -1"),  # every unit is 0
    ],
)
def test_intervals_of_other_entries_by_hand(family, failure):
    assert check_table(family).failure == failure


# --- at the limits ----------------------------------------------------------------------------------------


def test_what_a_certificate_evaluates_is_counted():
    """Two points through weights of 2·1, 4·2, 4·4, 2·4 and 1·2 numbers."""
    assert check_table(crossed()).evaluations == 2 * (2 + 8 + 16 + 8 + 2)


def test_entries_sit_in_rows_that_exist():
    honest = crossed()
    for row in (-1, 4):
        assert "in a row that its layer does not have" in check_table(replace(honest, rows=np.array([0, row]))).failure
    assert "behind the memory" in check_table(replace(honest, layers=np.array([1, 4]))).failure
    assert "below 0" in check_table(replace(honest, layers=np.array([1, -1]))).failure
    for name, value in (("cell", -1), ("cell", 2), ("bit", 0), ("bit", 2)):
        broken = replace(honest, **{name: np.array([getattr(honest, name)[0], value])})
        assert "asks for a bit outside" in check_table(broken).failure


def test_too_many_pairs_of_points_and_entries():
    """2¹⁵ points and one entry more than 2¹⁵."""
    points, entries = np.arange(2**15)[:, None], 2**15 + 1
    base = [(np.ones((1, 1), dtype=np.int64), np.zeros(1, dtype=np.int64))] * 2
    zeros = np.zeros(entries, dtype=np.int64)
    family = TableFamily(
        points, np.arange(2**15), np.ones(2**15, dtype=np.int64), 1, 1, base, zeros, zeros, np.zeros((entries, 2), int)
    )
    with pytest.raises(BudgetExceeded, match="32768 points and 32769 entries"):
        check_table(family)
