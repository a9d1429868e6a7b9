"""The estimator on samples: distinct coalitions, exactness of pairs, accuracy, standard errors."""

import math

import pytest
import torch

from constructions.shapley_interactions import (
    KernelSHAPIQ,
    SumOfUnanimity,
    UnanimityGame,
    explain,
    least_squares,
    shapley_interactions,
)
from constructions.shapley_interactions.coalitions import all_masks, rank
from constructions.shapley_interactions.sampling import Design, distinct
from tests.shapley_interactions.by_definition import closed_form, largest_gap, seeded


@pytest.mark.parametrize("paired", [True, False])
@pytest.mark.parametrize(
    ("n", "order", "budget"), [(10, 2, 102), (10, 2, 513), (9, 1, 100), (11, 3, 700), (17, 2, 3001)]
)
def test_samples_are_distinct_and_of_fixed_sizes(n, order, budget, paired):
    design = Design.of(n, order, budget, paired=paired)
    drawn, stands_for = design.draw(seeded(1))
    masks = torch.cat([design.fixed(), drawn])
    assert budget - paired <= len(masks) <= budget
    assert len(torch.unique(masks, dim=0)) == len(masks)
    sizes = masks.sum(-1)
    for t in range(n + 1):
        there = int((sizes == t).sum())
        whole = math.comb(n, t)
        assert there == whole if t < order or t > n - order or t in design.enumerated else there < whole
        mine = stands_for[sizes[len(masks) - len(drawn) :] == t]
        assert float(mine.sum()) == pytest.approx(whole if len(mine) else 0)
    if paired:
        known = {tuple(row) for row in masks.tolist()}
        assert {tuple(row) for row in (~masks).tolist()} == known


def test_coalitions_are_drawn_evenly():
    """All 20 coalitions of three of six, 10 at a time: each half of the time."""
    hits = torch.zeros(20)
    for seed in range(2000):
        hits[rank(distinct(6, 3, 10, seeded(seed)).nonzero()[:, 1].view(-1, 3), 6)] += 1
    assert float((hits / 2000 - 0.5).abs().max()) < 0.05


@pytest.mark.parametrize(("n", "t", "count"), [(40, 17, 3000), (40, 39, 40), (70, 30, 500), (300, 150, 200)])
def test_coalitions_of_many_players_are_distinct(n, t, count):
    masks = distinct(n, t, count, seeded())
    assert masks.shape == (count, n)
    assert masks.sum(-1).unique().tolist() == [t]
    assert len(torch.unique(masks, dim=0)) == count


def test_identical_seeds_give_identical_estimates():
    soum = SumOfUnanimity(10, 30, seeded())
    first, again, other = (KernelSHAPIQ(10, 2, generator=seeded(s)).estimate(soum, 300, repeats=2) for s in (4, 4, 5))
    assert torch.equal(first.order(2), again.order(2))
    assert not torch.equal(first.order(2), other.order(2))


@pytest.mark.parametrize(("order", "degree"), [(1, 2), (2, 3)])
def test_paired_samples_are_exact_for_low_degrees(order, degree):
    soum = SumOfUnanimity(10, 60, seeded(2), degree=degree)
    truth = shapley_interactions(soum, 10, order, "SII")
    for budget in (110, 200, 511, 800):
        paired = KernelSHAPIQ(10, order, "SII", generator=seeded()).estimate(soum, budget)
        assert not paired.rank_deficient
        assert float((paired.order(order) - truth.order(order)).abs().max()) < 1e-11
        single = KernelSHAPIQ(10, order, "SII", paired=False, generator=seeded()).estimate(soum, budget)
        assert float((single.order(order) - truth.order(order)).abs().max()) > 1e-4
    higher = SumOfUnanimity(10, 60, seeded(2), degree=degree + 1)
    wrong = KernelSHAPIQ(10, order, "SII", generator=seeded()).estimate(higher, 200)
    truth = shapley_interactions(higher, 10, order, "SII")
    assert float((wrong.order(order) - truth.order(order)).abs().max()) > 1e-4


def test_what_is_fitted_beside_lowers_the_error(monkeypatch):
    """Sums of unanimity games: with the mean and the linear part of every size left in, ten times the error."""

    def error():
        total = 0.0
        for seed in range(5):
            soum = SumOfUnanimity(10, 30, seeded(seed))
            truth = shapley_interactions(soum, 10, 2, "SII")
            found = KernelSHAPIQ(10, 2, "SII", paired=False, generator=seeded(seed)).estimate(soum, 400)
            total += float((found.order(2) - truth.order(2)).square().mean())
        return total

    fitted = error()
    monkeypatch.setattr(least_squares, "fitted_degrees", lambda n, k, counts: {})
    assert error() > 10 * fitted


def test_twenty_four_players_from_a_sample():
    soum = SumOfUnanimity(24, 60, seeded(1))
    found = KernelSHAPIQ(24, 2, "SII").estimate(lambda masks: soum(masks) + 3, 20_000)
    truth = closed_form(soum)
    assert (found.exact, found.rank_deficient, found.evaluations) == (False, False, 20_000)
    assert float(found.baseline) == 3
    for k in (1, 2):
        right = torch.tensor([truth[tuple(s)] for s in found.sets(k).tolist()], dtype=torch.float64)
        assert float((found.order(k) - right).square().mean()) < 0.01 * float(right.square().mean())
    assert KernelSHAPIQ(24, 2).estimate(lambda masks: soum(masks) + 3, 5000).sum_error < 1e-13


def test_repeated_draws_tell_their_error():
    soum = SumOfUnanimity(10, 30, seeded())
    truth = shapley_interactions(soum, 10, 2, "SII")
    found = KernelSHAPIQ(10, 2, "SII", generator=seeded()).estimate(soum, 300, repeats=6)
    assert found.evaluations < 6 * 300
    score = torch.cat([(f - t) / e for f, t, e in zip(found.orders, truth.orders, found.errors, strict=True)])
    assert 0.5 < float(score.square().mean().sqrt()) < 2.5  # of Student's t with 5 degrees, and a bias
    assert found.top(1)[0].standard_error > 0
    certain = KernelSHAPIQ(10, 2, "SII").estimate(soum, 1024, repeats=3)
    assert [float(e.abs().max()) for e in certain.errors] == [0, 0]
    assert certain.evaluations == 1024


def test_too_few_coalitions_are_told():
    soum = SumOfUnanimity(10, 30, seeded())
    for budget in (22, 40):
        found = KernelSHAPIQ(10, 2).estimate(soum, budget)
        assert found.rank_deficient
        assert found.sum_error < 1e-13
        assert all(bool(torch.isfinite(v).all()) for v in found.orders)
    assert not KernelSHAPIQ(10, 2).estimate(soum, 200).rank_deficient


@pytest.mark.parametrize("short", [1, 2])
def test_a_sample_one_short_of_the_unknown_is_told(short):
    """738 or 739 coalitions for 740 unknown: the smallest eigenvalue is rounding alone."""
    soum = SumOfUnanimity(40, 20, seeded(1))
    found = KernelSHAPIQ(40, 2, "SII", paired=False).estimate(soum, 82 + 740 - short)
    assert found.rank_deficient
    assert found.sum_error is None


@pytest.mark.parametrize(("smallest", "determined"), [(1e-3, True), (1e-9, False), (1e-12, False), (0.0, False)])
def test_rounding_determines_nothing(smallest, determined):
    gram = torch.diag(torch.tensor([1.0, 1.0, smallest], dtype=torch.float64))
    z, told = least_squares.solved(gram, torch.ones(3, 1, dtype=torch.float64), torch.eye(3).double(), 3)
    assert told is determined
    assert float(z.abs().max()) < 1001


def test_rows_are_counted_without_their_complements():
    """Of 8 players and order 2: 20 unknown; what is fitted takes its share, of pairs that of even functions."""
    masks = all_masks(8, 0, 256)
    of_two = masks[masks.sum(-1) == 2]
    assert least_squares.enough_rows(of_two[:20], 2, {}, 20)
    assert not least_squares.enough_rows(of_two[:19], 2, {}, 20)
    assert not least_squares.enough_rows(of_two[:20], 2, {2: 0}, 20)
    assert not least_squares.enough_rows(torch.cat([of_two[:19], ~of_two[:19]]), 2, {}, 20)
    assert least_squares.enough_rows(torch.cat([of_two[:21], ~of_two[:21]]), 2, {2: 0, 6: 0}, 20)
    assert not least_squares.enough_rows(torch.cat([of_two[:20], ~of_two[:20]]), 2, {2: 0, 6: 0}, 20)
    halves = masks[masks.sum(-1) == 4]
    pairs = torch.cat([halves[:21], ~halves[:21]])
    assert least_squares.enough_rows(pairs, 2, {4: 1}, 20)  # a constant is even, what is linear beside is odd
    assert not least_squares.enough_rows(torch.cat([halves[:20], ~halves[:20]]), 2, {4: 1}, 20)


def test_a_game_that_writes_into_its_coalitions():
    soum = SumOfUnanimity(10, 30, seeded())

    def inverting(masks):
        values = soum(masks)
        masks.logical_not_()
        return values

    found = KernelSHAPIQ(10, 2, generator=seeded()).estimate(inverting, 300)
    assert largest_gap(found, KernelSHAPIQ(10, 2, generator=seeded()).estimate(soum, 300)) == 0


def test_explain_chooses():
    small, large = SumOfUnanimity(9, 5, seeded()), SumOfUnanimity(16, 5, seeded())
    assert (explain(small).exact, explain(small).budget) == (True, None)
    assert (explain(large).exact, explain(large).budget) == (False, 1 << 14)
    assert explain(large, budget=1 << 16).exact
    assert explain(small, budget=100, repeats=3).errors is not None
    assert explain(UnanimityGame(3, [0]), index="Moebius", order=3).values[(0,)] == 1
