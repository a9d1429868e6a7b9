"""The forest of max-trees: queries, visits, updates, and broken ones that are found out."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from constructions.errors import BudgetExceeded
from constructions.sublinear_training import Fired, MaxTreeForest
from constructions.sublinear_training.fired import ancestors, compact
from theory.sublinear_training import bounds
from theory.sublinear_training.checkers.fired_set import visited_nodes, written_nodes
from theory.sublinear_training.reproductions.forest import (
    ancestors_in_order,
    bit_reversed,
    query_is_exact,
    visits_by_size,
)


def keys_of(m, n, seed=0):
    return torch.randint(-9, 10, (m, n), generator=torch.Generator().manual_seed(seed)).double()


@given(st.integers(1, 70), st.integers(1, 9), st.integers(-10, 10), st.integers(0, 99))
def test_a_query_reports_what_a_scan_reports(m, n, threshold, seed):
    keys = keys_of(m, n, seed)
    assert query_is_exact(MaxTreeForest(keys), keys, threshold).holds


@given(st.integers(1, 70), st.integers(1, 5), st.integers(0, 99))
def test_updates_leave_the_forest_of_the_new_keys(m, n, seed):
    keys, new = keys_of(m, n, seed), keys_of(m, n, seed + 1000)
    forest = MaxTreeForest(keys)
    units = (torch.rand(m, generator=torch.Generator().manual_seed(seed)) < 0.4).nonzero()[:, 0]
    keys[units] = new[units]
    forest.update(units, new[units])
    assert torch.equal(forest.nodes, MaxTreeForest(keys).nodes)
    assert int(forest.repairs(units)) == written_nodes(units, m)


@given(st.integers(1, 70), st.integers(1, 5), st.integers(0, 99), st.sampled_from([1, 7, 64, 400]))
def test_a_fixed_number_of_places_holds_the_same_pairs(m, n, seed, capacity):
    keys = keys_of(m, n, seed)
    forest = MaxTreeForest(keys)
    free, held = forest.query(2), forest.query(2, capacity=capacity)
    assert len(held) == capacity
    if len(free) <= capacity:
        assert int(held.count) == len(free) == int(held.valid.sum())
        assert torch.equal(held.neurons[: len(free)], free.neurons)
        assert torch.equal(held.points[: len(free)], free.points)
        assert not held.neurons[len(free) :].any()
        assert torch.equal(forest.visits(held), forest.visits(free))
    else:
        assert int(held.count) > capacity


def test_updates_in_any_number_of_places_change_the_chosen_alone():
    keys, new = keys_of(11, 3), keys_of(11, 3, 1)
    forest = MaxTreeForest(keys)
    units, chosen = torch.tensor([0, 2, 5, 10, 0, 0]), torch.tensor([False, True, False, True, False, False])
    forest.update_some(units, new[units], chosen)
    keys[[2, 10]] = new[[2, 10]]
    assert torch.equal(forest.nodes[1:], MaxTreeForest(keys).nodes[1:])
    assert int(forest.repairs(units, chosen)) == written_nodes(units[chosen], 11)


def test_ties_are_not_reported_and_padding_never():
    forest = MaxTreeForest(torch.tensor([[1.0], [2.0], [1.0]]).double())
    assert forest.query(1.0).neurons.tolist() == [1]
    assert forest.query(-1e300).neurons.tolist() == [0, 1, 2]
    assert len(forest.query(-torch.inf)) == 3
    assert len(forest.query(torch.nan)) == 0


def test_visits_by_hand():
    """Eight leaves, those numbered 2, 3 and 4 are hot: the root, both halves, three quarters below hot ones …"""
    hot = Fired(torch.tensor([2, 3, 4]), torch.zeros(3, dtype=torch.int64))
    forest = MaxTreeForest(torch.zeros(8, 1).double())
    assert forest.visits(hot).tolist() == [11]
    assert int(forest.repairs(torch.tensor([1, 2, 3, 4]))) == 10
    mask = torch.zeros(8, 1, dtype=torch.bool)
    mask[[2, 3, 4]] = True
    assert visited_nodes(mask) == 11


@given(st.integers(0, 6), st.data())
def test_the_count_of_ancestors_is_that_of_sets(levels, data):
    leaves = sorted(data.draw(st.sets(st.integers(0, 2**levels - 1))))
    hidden = {(k, leaf >> k) for leaf in leaves for k in range(1, levels + 1)}
    neurons = torch.tensor(leaves, dtype=torch.int64)
    assert ancestors(neurons, torch.zeros_like(neurons), levels, 1).tolist() == [len(hidden)]
    assert bounds.least_ancestors(len(leaves), levels) <= len(hidden) <= bounds.most_ancestors(len(leaves), levels)


@pytest.mark.parametrize("levels", range(8))
def test_both_ends_are_attained(levels):
    assert ancestors_in_order(range(2**levels), levels)[-1] == 2**levels - 1
    spread = ancestors_in_order(bit_reversed(levels), levels)
    assert spread == [bounds.most_ancestors(s, levels) for s in range(2**levels + 1)]
    assert spread[1:] == [bounds.most_ancestors_closed(s, levels) for s in range(1, 2**levels + 1)]


def test_a_wrong_closed_form_is_found_out():
    """With ⌈log₂ S⌉ for ⌊log₂ S⌋ the closed form is another number."""
    wrong = 3 * (5 - 1 - 2) + 2 ** (2 + 1) - 1
    assert bounds.most_ancestors(3, 5) == bounds.most_ancestors_closed(3, 5) == 12
    assert wrong != 12


@pytest.mark.parametrize("m", [1, 2, 3, 6, 8, 11])
@pytest.mark.parametrize("p", [0.0, 0.3, 1.0])
def test_expected_visits_are_the_mean_over_subsets(m, p):
    by_size = visits_by_size(m)
    mean = sum(count * p**size * (1 - p) ** (m - size) for size, count in enumerate(by_size))
    assert bounds.expected_visits(m, p) == pytest.approx(mean, rel=1e-12)


def test_compaction_keeps_order_and_counts_what_has_no_place():
    mask = torch.tensor([False, True, True, False, True])
    place, valid, count = compact(mask, 2)
    assert place.tolist() == [1, 2]
    assert valid.tolist() == [True, True]
    assert int(count) == 3
    place, valid, count = compact(mask, 4)
    assert place.tolist() == [1, 2, 4, 0]
    assert valid.tolist() == [True, True, True, False]


# --- forests broken on purpose --------------------------------------------------------------------------------


def broken(change):
    keys = keys_of(13, 4)
    forest = MaxTreeForest(keys)
    change(forest)
    return query_is_exact(forest, keys, 3).failure


def test_a_forest_whose_ancestors_were_not_repaired_is_rejected():
    def change(forest):
        forest.nodes[forest.leaves + 2, 1] = 9

    assert broken(change) == "the leaves are not the keys"
    keys = keys_of(13, 4)
    forest = MaxTreeForest(keys)
    keys[2, 1] = 9
    forest.nodes[forest.leaves + 2, 1] = 9
    forest.nodes[1, 1] = 8
    assert query_is_exact(forest, keys, 3).failure == "a node is not the larger of its children"


@pytest.mark.parametrize("start", [None, 0, 4])
def test_a_query_that_reports_ties_is_rejected(monkeypatch, start):
    keys, query = keys_of(13, 4), MaxTreeForest.query
    monkeypatch.setattr(
        MaxTreeForest,
        "query",
        lambda self, threshold, *, start_level=None: query(
            self, threshold - (0.5 if start_level == start else 0), start_level=start_level
        ),
    )
    said = query_is_exact(MaxTreeForest(keys), keys, 3).failure
    assert said == f"the query from level {start} reports other pairs than those above 3"


def test_visits_without_the_root_are_rejected(monkeypatch):
    keys, visits = keys_of(13, 4), MaxTreeForest.visits
    monkeypatch.setattr(MaxTreeForest, "visits", lambda self, hot: visits(self, hot) - 1)
    assert "visits are said" in query_is_exact(MaxTreeForest(keys), keys, 3).failure


# --- bad input ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "error", "words"),
    [
        (torch.tensor([[1.0, torch.nan]]), ValueError, "`keys` must be finite"),
        (torch.zeros(3), ValueError, r"`keys` must be floating of shape \(m, n\)"),
        (torch.zeros(3, 2, dtype=torch.int64), ValueError, "`keys` must be floating"),
        (torch.zeros(3, 0), ValueError, "a unit and a point at least"),
        (torch.zeros(0, 3), ValueError, "a unit and a point at least"),
        ([[1.0]], TypeError, "`keys` must be a dense real torch.Tensor"),
    ],
)
def test_what_is_no_table_of_keys(keys, error, words):
    with pytest.raises(error, match=words):
        MaxTreeForest(keys)


def test_a_forest_that_does_not_fit():
    with pytest.raises(BudgetExceeded, match="`memory_limit` must be at least 1024 for 5 units and 8 points, got 1000"):
        MaxTreeForest(torch.zeros(5, 8, dtype=torch.float64), memory_limit=1000)


@pytest.mark.parametrize(
    ("units", "keys", "words"),
    [
        (torch.tensor([1, 1]), torch.zeros(2, 3), "distinct, ascending and below 5"),
        (torch.tensor([2, 1]), torch.zeros(2, 3), "distinct, ascending and below 5"),
        (torch.tensor([5]), torch.zeros(1, 3), "distinct, ascending and below 5"),
        (torch.tensor([-1]), torch.zeros(1, 3), "distinct, ascending and below 5"),
        (torch.tensor([1.0]), torch.zeros(1, 3), "`neurons` must be int64"),
        (torch.tensor([1]), torch.zeros(1, 2), r"`keys` must have shape \(1, 3\), got \(1, 2\)"),
    ],
)
def test_what_is_no_update(units, keys, words):
    with pytest.raises(ValueError, match=words):
        MaxTreeForest(torch.zeros(5, 3).double()).update(units, keys.double())
