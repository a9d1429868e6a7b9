"""The exact index and the estimator: by hand, by definition, by laws; what they refuse."""

import math
import re

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from constructions.shapley_interactions import (
    KernelSHAPIQ,
    SumOfUnanimity,
    TableGame,
    UnanimityGame,
    explain,
    shapley_interactions,
)
from constructions.shapley_interactions.coalitions import all_masks, bernoulli, rank, subsets, top_projector
from constructions.shapley_interactions.exact import game_table
from constructions.shapley_interactions.least_squares import fitted_degrees, interactions
from constructions.shapley_interactions.sampling import outer_cost
from tests.shapley_interactions.by_definition import (
    all_of,
    as_tensor,
    closed_form,
    generated,
    largest_gap,
    moebius,
    seeded,
    sii,
)

THREE = [0, 1, 2, 5, 4, 5, 6, 15]
FOUR = [55, 30, -37, -72, -3, 100, -4, 83, 32, -34, 36, 4, -61, -100, -35, -44]


def game(table):
    return TableGame(as_tensor(table))


def exact(table, order, index="SII"):
    return shapley_interactions(game(table), len(table).bit_length() - 1, order, index)


def full(table, order, index="SII"):
    n = len(table).bit_length() - 1
    return KernelSHAPIQ(n, order, index).estimate(game(table), 2**n)


# --- by hand ------------------------------------------------------------------------------------------------


def test_three_players_by_hand():
    found = exact(THREE, 3)
    assert list(found.values.values()) == pytest.approx([4, 5, 6, 5, 3, 3, 6], abs=1e-14)
    assert list(exact(THREE, 2, "k-SII").values.values()) == pytest.approx([0, 1, 3, 5, 3, 3], abs=1e-14)
    assert list(exact(THREE, 3, "k-SII").values.values()) == pytest.approx([1, 2, 4, 2, 0, 0, 6], abs=1e-14)
    assert list(exact(THREE, 3, "Moebius").values.values()) == [1, 2, 4, 2, 0, 0, 6]
    assert exact(THREE, None, "SV").values == pytest.approx({(0,): 4, (1,): 5, (2,): 6})


def test_four_players_by_hand():
    assert generated(1, 16) == FOUR
    pairs = [29 / 3, 451 / 6, -413 / 6, 325 / 6, 505 / 6, -358 / 3]
    for found in (exact(FOUR, 2), full(FOUR, 2)):
        assert found.order(1).tolist() == pytest.approx([-7, -40 / 3, -145 / 6, -109 / 2], abs=1e-12)
        assert found.order(2).tolist() == pytest.approx(pairs, abs=1e-12)
        assert (float(found.baseline), float(found.prediction), found.exact) == (55, -44, True)
    assert full(FOUR, 2, "k-SII").sum_error < 1e-15


def test_bernoulli_numbers():
    assert [str(bernoulli(m)) for m in range(9)] == ["1", "-1/2", "1/6", "0", "-1/30", "0", "1/42", "0", "-1/30"]


# --- by definition ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 6])
def test_the_exact_index_is_its_definition(n):
    table, order = generated(n, 2**n), min(n, 4)
    assert largest_gap(exact(table, order), all_of(sii, table, order)) < 1e-12
    assert largest_gap(exact(table, order, "Moebius"), all_of(moebius, table, order)) == 0


@pytest.mark.parametrize(("n", "order"), [(2, 1), (4, 2), (5, 2), (6, 3), (7, 3)])
def test_the_full_budget_is_the_definition(n, order):
    table = generated(n, 2**n)
    assert largest_gap(full(table, order), all_of(sii, table, order)) < 1e-11


@pytest.mark.parametrize(("n", "order"), [(8, 2), (8, 4), (10, 3), (12, 2), (12, 4), (13, 1)])
def test_the_full_budget_is_the_exact_index(n, order):
    soum = SumOfUnanimity(n, 40, seeded(n))
    truth = shapley_interactions(soum, n, order, "SII")
    found = KernelSHAPIQ(n, order, "SII").estimate(lambda masks: soum(masks) + 7, 2**n)
    scale = max(float(v.abs().max()) for v in truth.orders)
    assert largest_gap(found, truth) <= 1e-12 * scale
    assert found.exact
    assert found.evaluations == 2**n
    assert float(found.baseline) == 7


def test_the_least_squares_alone_are_exact_with_all_coalitions(monkeypatch):
    """The Gram matrix of the full budget is the identity on H_k: without the short cut that uses it."""
    n, order = 8, 3
    soum = SumOfUnanimity(n, 40, seeded())
    masks = all_masks(n, 0, 2**n)
    truth = shapley_interactions(soum, n, order, "SII").orders
    comb = math.comb
    from constructions.shapley_interactions import least_squares

    class Never:
        """A count that no size reaches: nothing counts as complete."""

        @staticmethod
        def comb(a, b):
            return comb(a, b) + (a == n and b == 4)

    monkeypatch.setattr(least_squares, "math", Never)
    found, short = interactions(masks, torch.ones(2**n, dtype=torch.float64), soum(masks), order)
    assert not short
    assert max(float((a - b).abs().max()) for a, b in zip(found, truth, strict=True)) < 1e-12


def test_degrees_that_are_fitted():
    """By hand, n = 10: 10 and 45 functions of degrees 1 and 2 at a size; dim H_2 = 35."""
    counts = [1, 10, 45, 30, 29, 2, 29, 30, 45, 10, 1]
    assert fitted_degrees(10, 2, counts) == {3: 1, 4: 0, 6: 0, 7: 1}
    assert fitted_degrees(10, 1, counts) == {3: 0, 4: 0, 6: 0, 7: 0}
    assert fitted_degrees(10, 2, [1, 10, 20, 20, 9, 0, 9, 20, 20, 10, 1]) == dict.fromkeys((2, 3, 4, 6, 7, 8), 0)
    assert fitted_degrees(10, 2, [1, 10, 20, 10, 9, 0, 9, 10, 20, 10, 1]) == {}


@pytest.mark.parametrize(("n", "k"), [(3, 1), (4, 2), (6, 3), (7, 2)])
def test_the_projector_onto_the_top_component(n, k):
    """Symmetric, idempotent, of the right rank, and of sums zero over the sets that contain any k − 1 players."""
    p = top_projector(n, k)
    assert float((p - p.T).abs().max()) == 0
    assert float((p @ p - p).abs().max()) < 1e-14
    assert float(p.trace()) == pytest.approx(math.comb(n, k) - math.comb(n, k - 1))
    sets = [set(s) for s in subsets(n, k).tolist()]
    for small in subsets(n, k - 1).tolist():
        above = [i for i, s in enumerate(sets) if set(small) <= s]
        assert float(p[above].sum(0).abs().max()) < 1e-14


@pytest.mark.parametrize(("n", "k"), [(1, 0), (1, 1), (5, 2), (6, 6), (9, 4)])
def test_subsets_and_their_ranks(n, k):
    from itertools import combinations

    sets = subsets(n, k)
    assert list(map(tuple, sets.tolist())) == list(combinations(range(n), k))
    assert rank(sets, n).tolist() == list(range(len(sets)))


# --- laws ---------------------------------------------------------------------------------------------------

INDICES = [("SV", 1), ("SII", 2), ("k-SII", 3), ("Moebius", 3)]
N = 6


def random_table(seed, outputs=()):
    return torch.randn(2**N, *outputs, generator=seeded(seed), dtype=torch.float64)


def by_every_way(table, index, order):
    """The exact index and, where there is one, the estimate of the full budget and of a part of it."""
    yield shapley_interactions(TableGame(table), N, order, index)
    if index != "Moebius":
        for budget in (2**N, 2**N - 6):
            yield KernelSHAPIQ(N, order, index, generator=seeded()).estimate(TableGame(table), budget)


@pytest.mark.law
@pytest.mark.parametrize(("index", "order"), INDICES)
def test_linearity(index, order):
    first, second = random_table(0), random_table(1)
    ways = [by_every_way(t, index, order) for t in (first, second, 2 * first - 3 * second)]
    for a, b, both in zip(*ways, strict=True):
        for x, y, z in zip(a.orders, b.orders, both.orders, strict=True):
            assert torch.allclose(2 * x - 3 * y, z, atol=1e-11)


@pytest.mark.law
@pytest.mark.parametrize(("index", "order"), INDICES)
def test_relabelled_players(index, order):
    table, new = random_table(2), torch.randperm(N, generator=seeded())
    masks = all_masks(N, 0, 2**N)
    relabelled = TableGame(table)(masks[:, new])  # player i of the new game is new[i] of the old one
    old = shapley_interactions(TableGame(table), N, order, index)
    found = shapley_interactions(TableGame(relabelled), N, order, index)
    back = torch.argsort(new)
    for players, value in found.values.items():
        assert value == pytest.approx(old[tuple(int(back[p]) for p in players)], abs=1e-12)


@pytest.mark.law
@pytest.mark.parametrize(("index", "order"), INDICES)
def test_a_player_that_never_matters(index, order):
    """Zero in every interaction; and the others' values are those of the game without it."""
    small = torch.randn(2 ** (N - 1), generator=seeded(3), dtype=torch.float64)
    without = shapley_interactions(TableGame(small), N - 1, order, index)
    for found in list(by_every_way(small.repeat(2), index, order))[:2]:
        for players, value in found.values.items():
            expected = 0.0 if N - 1 in players else without[players]
            assert value == pytest.approx(expected, abs=1e-12)


@pytest.mark.law
@pytest.mark.parametrize("order", [1, 2, 3])
def test_efficiency_at_any_budget(order):
    for seed in range(3):
        table = random_table(seed, (2,)) + 5
        for found in by_every_way(table, "k-SII", order):
            assert found.sums
            assert found.sum_error < 1e-13
            assert torch.equal(found.baseline, table[0])
            assert torch.equal(found.prediction, table[-1])
            assert found.outputs == 2


@pytest.mark.law
def test_outputs_are_explained_one_by_one():
    table = random_table(0, (3,))
    for index, order in INDICES:
        columns = [list(by_every_way(table[:, j].clone(), index, order)) for j in range(3)]
        for way, together in enumerate(by_every_way(table, index, order)):
            for j in range(3):
                assert largest_gap(together.output(j), columns[j][way]) < 1e-12


@pytest.mark.law
@given(st.integers(2, 7), st.data())
def test_games_of_degree_k_have_their_moebius_coefficients(n, data):
    """SII of order k is m on sets of k players and 0 above when no product has more than k players."""
    k = data.draw(st.integers(1, n))
    soum = SumOfUnanimity(n, data.draw(st.integers(1, 12)), seeded(data.draw(st.integers(0, 999))), degree=k)
    found = shapley_interactions(soum, n, n, "SII")
    coefficients = shapley_interactions(soum, n, n, "Moebius")
    assert torch.allclose(found.order(k), coefficients.order(k), atol=1e-12)
    for above in range(k + 1, n + 1):
        assert float(found.order(above).abs().max()) < 1e-12


def test_batches_change_nothing():
    table = generated(3, 64)
    asked = []

    def watched(masks):
        asked.append(len(masks))
        return game(table)(masks)

    whole = shapley_interactions(watched, 6, 2)
    assert asked == [64]
    for size in (1, 7, 64):
        asked.clear()
        assert torch.equal(shapley_interactions(watched, 6, 2, batch_size=size).order(2), whole.order(2))
        assert max(asked) == size
        asked.clear()
        found = KernelSHAPIQ(6, 2, batch_size=size).estimate(watched, 40)
        assert max(asked) <= size
        assert sum(asked) == found.evaluations == 40


def test_float32_answers_become_float64():
    single = shapley_interactions(lambda masks: game(FOUR)(masks).float(), 4, 2)
    assert single.order(2).dtype == torch.float64
    assert torch.equal(single.order(2), exact(FOUR, 2, "k-SII").order(2))
    arrays = shapley_interactions(lambda masks: game(FOUR)(masks).numpy().astype(np.int64), 4, 2)
    assert torch.equal(arrays.order(2), single.order(2))
    half = shapley_interactions(game(FOUR), 4, 2, dtype=torch.float32)
    assert half.order(2).dtype == torch.float32


def test_twenty_players_exactly():
    """Products of all sizes: the truth is the sum of closed forms."""
    soum = SumOfUnanimity(18, 50, seeded(5))
    found = shapley_interactions(soum, 18, 2, "SII", batch_size=1 << 14)
    assert largest_gap(found, closed_form(soum)) < 1e-13


def test_device(device):
    soum = SumOfUnanimity(8, 20, seeded())
    for budget in (2**8, 150):
        here = KernelSHAPIQ(8, 2, generator=seeded()).estimate(soum, budget)
        there = KernelSHAPIQ(8, 2, generator=seeded(), device=device).estimate(soum, budget)
        assert there.order(2).device.type == device.type
        assert max(float((a - b.cpu()).abs().max()) for a, b in zip(here.orders, there.orders, strict=True)) < 1e-12
    here, there = shapley_interactions(soum, 8, 2), shapley_interactions(soum, 8, 2, device=device)
    assert max(float((a - b.cpu()).abs().max()) for a, b in zip(here.orders, there.orders, strict=True)) < 1e-12
    assert [i.players for i in there.top(5)] == [i.players for i in here.top(5)]


# --- what is refused ----------------------------------------------------------------------------------------


def refused(kind, words, call):
    with pytest.raises(kind, match=re.escape(words)):
        call()


SOUM = SumOfUnanimity(6, 5, seeded())
LINES = [
    ("`n` must be an integer between 1 and 22, got 23", lambda: shapley_interactions(SOUM, 23)),
    ("`n` must be an integer between 1 and 22, got 0", lambda: shapley_interactions(SOUM, 0)),
    ("`order` must be an integer between 1 and 6, got 7", lambda: shapley_interactions(SOUM, 6, 7)),
    ("`order` must be an integer between 1 and 6, got 0", lambda: shapley_interactions(SOUM, 6, 0)),
    ("`order` must be 1 for the Shapley values, got 2", lambda: shapley_interactions(SOUM, 6, 2, "SV")),
    ("`index` must be one of SV, SII, k-SII, Moebius, got 'STI'", lambda: shapley_interactions(SOUM, 6, 2, "STI")),
    ("`names` must be 6 strings, got ['a']", lambda: shapley_interactions(SOUM, 6, names=["a"])),
    ("`batch_size` must be an integer between 1", lambda: shapley_interactions(SOUM, 6, batch_size=0)),
    ("`dtype` must be torch.float32 or torch.float64", lambda: shapley_interactions(SOUM, 6, dtype=torch.int64)),
    ("`masks` must have shape (m, 6), got (32, 5)", lambda: shapley_interactions(SOUM, 5)),
    ("`n` must be at least 2·order = 6 to be estimated, got 5", lambda: KernelSHAPIQ(5, 3)),
    ("`index` must be SV, SII or k-SII to be estimated", lambda: KernelSHAPIQ(6, 2, "Moebius")),
    ("`order` must leave at most 5000 interactions", lambda: KernelSHAPIQ(1000, 2)),
    ("`budget` must be at least 14, the coalitions of fewer", lambda: KernelSHAPIQ(6, 2).estimate(SOUM, 13)),
    ("`budget` must be an integer between 14 and 64, got 65", lambda: KernelSHAPIQ(6, 2).estimate(SOUM, 65)),
    ("`budget` must be an integer at least 1, got 50.0", lambda: KernelSHAPIQ(6, 2).estimate(SOUM, 50.0)),
    ("`repeats` must be an integer between 1 and 1000", lambda: KernelSHAPIQ(6, 2).estimate(SOUM, 50, repeats=0)),
    ("`values` must be 2^n numbers", lambda: TableGame(torch.zeros(6))),
    ("`values` must be finite", lambda: TableGame(torch.tensor([0, math.nan]))),
    ("`players` must be different integers, at least one, got []", lambda: UnanimityGame(3, [])),
    ("`players` must be an integer between 0 and 2, got 3", lambda: UnanimityGame(3, [3])),
    ("`game` must answer with real numbers (64,) or (64, outputs)", lambda: answer(lambda m: torch.zeros(3))),
    ("at the coalition [0, 2]", lambda: answer(lambda m: torch.where(m[:, 0] & m[:, 2], math.nan, 0.0))),
    ("`game.n` must be an integer at least 1, got None", lambda: explain(lambda masks: masks[:, 0])),
]


def answer(function):
    return shapley_interactions(function, 6)


@pytest.mark.parametrize(("words", "call"), LINES)
def test_refused_in_one_sentence(words, call):
    refused(ValueError, words, call)


def test_wrong_types_are_refused():
    refused(TypeError, "`game` must be a function of boolean coalitions", lambda: shapley_interactions(3, 3))
    refused(TypeError, "`game` must answer with a torch.Tensor", lambda: answer(lambda masks: [0.0] * len(masks)))
    refused(TypeError, "`masks` must be boolean, got torch.int64", lambda: SOUM(torch.zeros(1, 6, dtype=torch.int64)))
    refused(TypeError, "`paired` must be True or False, got 1", lambda: KernelSHAPIQ(6, paired=1))
    refused(TypeError, "`generator` must be a Generator or None", lambda: KernelSHAPIQ(6, generator=3))


def test_outer_cost():
    assert [outer_cost(10, k) for k in (1, 2, 3)] == [2, 22, 112]
    assert game_table(game(FOUR), 4, batch_size=5, device=torch.device("cpu")).tolist() == FOUR
