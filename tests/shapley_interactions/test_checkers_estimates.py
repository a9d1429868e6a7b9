"""Interactions in float64 against rational numbers: accepted, rejected when one of them is off, and two more truths."""

from dataclasses import replace
from fractions import Fraction as F

import pytest
import torch

from constructions.shapley_interactions import (
    ExpertGame,
    KernelSHAPIQ,
    SumOfUnanimity,
    TableGame,
    UnanimityGame,
    shapley_interactions,
)
from constructions.shapley_interactions.least_squares import fitted_degrees, interactions
from constructions.shapley_interactions.sampling import Design
from tests.shapley_interactions.exact_games import index
from theory.shapley_interactions.checkers import operators, paired
from theory.shapley_interactions.checkers.estimates import (
    experts_match,
    interactions_match,
    order_matches,
    rational_index,
    rational_k_sii,
    said_to_be_exact,
)

TABLE = torch.tensor([0.1, 1.5, -2.25, 0.3, 7.0, 1e-3, 4.0, 2.5, 3.0, 0.7, -0.1, 0.2, 9.0, 1.0, -6.0, 0.125]).double()


def explained(index="SII", order=2):
    return shapley_interactions(TableGame(TABLE), 4, order, index)


def changed(found, k, place, value):
    orders = [v.clone() for v in found.orders]
    orders[k - 1][place] = value
    return replace(found, orders=tuple(orders))


@pytest.mark.exact
def test_two_ways_to_the_rational_index():
    table = [F(v) for v in TABLE.tolist()]
    found = rational_index(TABLE.tolist(), 4)
    assert all(found[k] == index(table, k) for k in (1, 2, 3, 4))
    for order in (1, 2, 3, 4):
        sums, wanted = rational_k_sii(rational_index(table, order), 4), operators.aggregated(4, order)
        game = operators.column(table)
        assert all(sums[s] == operators.entries(wanted[s] * game) for s in sums)


@pytest.mark.parametrize("index", ["SII", "k-SII", "SV"])
def test_the_exact_index_is_accepted(index):
    found = explained(index, None if index == "SV" else 3)
    report = interactions_match(found, TABLE, index, len(found.orders), tolerance=1e-14)
    assert report.holds, report.failure
    assert report.compared == 2 + (4 if index == "SV" else 14)
    assert report.worst < 1e-14


def test_one_interaction_off():
    wrong = changed(explained(), 2, 4, explained()[1, 3] + 1e-9)
    report = interactions_match(wrong, TABLE, "SII", 2, tolerance=1e-10)
    assert report.failure.startswith("{2, 4} is ")
    assert 0.99e-9 < report.worst < 1.01e-9


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
def test_what_is_no_number(value):
    report = interactions_match(changed(explained(), 1, 0, value), TABLE, "SII", 2, tolerance=1e300)
    assert report.failure.startswith("{1} is ")
    assert report.worst == torch.inf


def test_neighbours_exchanged():
    found = explained()
    flipped = replace(found, orders=(found.orders[0].flip(0), found.orders[1]))
    assert interactions_match(flipped, TABLE, "SII", 2, tolerance=1e-10).failure.startswith("{1} is ")


def test_another_index():
    """Orders below the highest are not those of k-SII, and the other way round."""
    assert not interactions_match(replace(explained("SII"), index="k-SII"), TABLE, "SII", 2, tolerance=1e-10).holds
    assert not interactions_match(replace(explained("k-SII"), index="SII"), TABLE, "SII", 2, tolerance=1e-10).holds
    with pytest.raises(ValueError, match="`index` must be one of SV, SII, k-SII, Moebius, got 'BII'"):
        interactions_match(explained(), TABLE, "BII", 2, tolerance=1e-10)


@pytest.mark.parametrize(("index", "order"), [("k-SII", 2), ("SV", 1), ("SII", 1), ("SII", 3), ("Moebius", 2)])
def test_right_interactions_of_another_kind(index, order):
    """What was asked for decides, not what the interactions say that they are."""
    failure = f"the interactions are SII of order 2, not {index} of order {order}"
    assert interactions_match(explained(), TABLE, index, order, tolerance=1e-10).failure == failure


def test_moebius_coefficients():
    found = explained("Moebius", 4)
    assert interactions_match(found, TABLE, "Moebius", 4, tolerance=1e-13).holds
    wrong = changed(found, 3, 1, found[0, 1, 3] + 1e-9)
    assert interactions_match(wrong, TABLE, "Moebius", 4, tolerance=1e-10).failure.startswith("{1, 2, 4} is ")


@pytest.mark.parametrize(
    ("changes", "failure"),
    [
        ({}, None),
        ({"exact": False}, "exact is False, rank_deficient False"),
        ({"rank_deficient": True}, "exact is True, rank_deficient True"),
        ({"evaluations": 15}, "15 coalitions were evaluated, not 16"),
    ],
)
def test_what_interactions_say_of_themselves(changes, failure):
    assert said_to_be_exact(replace(explained(), **changes), 16).failure == failure


def test_one_order_alone():
    wrong = changed(explained(), 1, 0, 77.0)
    assert order_matches(wrong, TABLE, 2, tolerance=1e-13).holds
    assert order_matches(wrong, TABLE, 1, tolerance=1e-13).failure.startswith("{1} is 77.0")
    assert order_matches(wrong, TABLE, 3, tolerance=1e300).failure == "the interactions are SII of order 2"
    assert order_matches(explained("k-SII"), TABLE, 2, tolerance=1.0).failure == "the interactions are k-SII of order 2"


def test_experts_one_off():
    places = torch.tensor([[2, 0, 1], [1, 2, 0]])
    values, empty = torch.tensor([[1.0, -2, 4], [0.5, 8, -1]]).double(), torch.tensor([16.0, -3]).double()
    found = ExpertGame.of_orders(places, values, empty).interactions(2, "SII")
    assert experts_match(found, places, values, empty, 2, tolerance=1e-13).holds
    wrong = changed(found, 2, 1, found[0, 2] + 1e-9)
    assert experts_match(wrong, places, values, empty, 2, tolerance=1e-10).failure.startswith("{1, 3} is ")
    low = replace(found, baseline=found.baseline + 1e-9)
    assert experts_match(low, places, values, empty, 2, tolerance=1e-10).failure.startswith("v(∅) is 6.5")
    said = "the interactions are SII of order 2 of 3 players, not SII of order 3 of 3"
    assert experts_match(found, places, values, empty, 3, tolerance=1.0).failure == said


def test_baseline_and_prediction():
    found = explained()
    low = replace(found, baseline=found.baseline + 1e-9)
    assert interactions_match(low, TABLE, "SII", 2, tolerance=1e-10).failure.startswith("v(∅) is 0.1000000")
    high = replace(found, prediction=found.prediction + 1e-9)
    assert interactions_match(high, TABLE, "SII", 2, tolerance=1e-10).failure.startswith("v(N) is 0.1250000")


def test_other_sizes():
    report = interactions_match(explained(), TABLE[:8], "SII", 2, tolerance=1.0)
    assert report.failure == "the interactions are of 4 players, the game of 3"
    single = replace(explained(), orders=tuple(v.float() for v in explained().orders))
    assert interactions_match(single, TABLE, "SII", 2, tolerance=1.0).failure.startswith(
        "order 1 holds torch.float32 (4,)"
    )


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([1.0, 2.0, 3.0], r"`values` must be 2\^n numbers for 1 to 12 players, got 3"),
        ([1.0], r"`values` must be 2\^n numbers"),
        ([0.0, torch.nan], "`values` must be finite"),
        ([0.0, torch.inf], "`values` must be finite"),
    ],
)
def test_tables_that_are_none(values, message):
    with pytest.raises(ValueError, match=message):
        rational_index(values, 1)


# --- the estimator on samples: rational least squares on the very same sample ---------------------------


def sampled(n, order, budget, pairs, table, seed=0):
    """The estimator's SII on one draw, and the same least squares in rational numbers."""
    design = Design.of(n, order, budget, paired=pairs)
    fixed = design.fixed()
    drawn, stands_for = design.draw(torch.Generator().manual_seed(seed))
    masks = torch.cat([fixed, drawn])
    codes = (masks.long() << torch.arange(n)).sum(-1)
    weights = torch.cat([torch.ones(len(fixed), dtype=torch.float64), stands_for])
    found, short = interactions(masks, weights, table[codes], order)
    assert not short
    inner = {c: F(w) for c, w in zip(codes.tolist(), weights.tolist(), strict=True)}
    counts = masks.sum(-1).bincount(minlength=n + 1).tolist()
    fitted = {k: fitted_degrees(n, k, counts) for k in range(1, order + 1)}
    game = operators.column([F(v) for v in table.tolist()])
    return found, paired.sampled_index(game, order, inner, fitted=fitted), fitted


@pytest.mark.parametrize("pairs", [True, False])
@pytest.mark.parametrize(("n", "order", "budget"), [(6, 1, 40), (7, 2, 100), (8, 2, 130), (8, 3, 220)])
def test_estimates_are_rational_least_squares(n, order, budget, pairs):
    table = torch.rand(1 << n, dtype=torch.float64, generator=torch.Generator().manual_seed(n)) * 8 - 3
    found, right, fitted = sampled(n, order, budget, pairs, table)
    assert all(fitted.values())
    for k in range(1, order + 1):
        wanted = [float(value) for value in operators.entries(right[k])]
        assert found[k - 1].tolist() == pytest.approx(wanted, rel=0, abs=1e-10)
    exact = rational_index(table.tolist(), order)
    assert operators.entries(right[order]) != exact[order]  # a sample, and a game of full degree


@pytest.mark.parametrize("seed", range(4))
def test_small_samples_of_games_far_from_zero(seed):
    """So few coalitions that nothing is fitted beside the index: v(∅) must be taken away first."""
    table = 100 + torch.rand(256, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    found, right, fitted = sampled(8, 1, 17, False, table, seed)
    assert fitted == {1: {}}
    assert found[0].tolist() == pytest.approx([float(value) for value in operators.entries(right[1])], rel=0, abs=1e-10)


@pytest.mark.parametrize("seed", range(5))
def test_paired_estimates_of_games_of_degree_three(seed):
    """T5 by the object: order 2 is exact from 140 of 512 coalitions, order 1 is not; unpaired neither is."""
    n, generator = 9, torch.Generator().manual_seed(seed)
    game = SumOfUnanimity(n, 40, generator, degree=3)
    masks = (torch.arange(1 << n)[:, None] >> torch.arange(n) & 1).bool()
    right = {
        k: torch.tensor([float(v) for v in row], dtype=torch.float64)
        for k, row in rational_index(game(masks).tolist(), 2).items()
    }
    errors = {}
    for pairs in (True, False):
        found = KernelSHAPIQ(n, 2, "SII", paired=pairs, generator=generator).estimate(game, 140)
        errors[pairs] = [float((found.order(k) - right[k]).abs().max()) for k in (1, 2)]
    assert errors[True][1] < 1e-10 < 1e-4 < min(errors[True][0], *errors[False])


def test_paired_shapley_values_of_games_of_degree_two():
    game = SumOfUnanimity(9, 30, torch.Generator().manual_seed(3), degree=2)
    exact = shapley_interactions(game, 9, 1, "SII").order(1)
    found = KernelSHAPIQ(9, 1, "SV", paired=True, generator=torch.Generator().manual_seed(0)).estimate(game, 60)
    assert float((found.order(1) - exact).abs().max()) < 1e-12
    alone = KernelSHAPIQ(9, 1, "SV", paired=False, generator=torch.Generator().manual_seed(0)).estimate(game, 60)
    assert float((alone.order(1) - exact).abs().max()) > 1e-4


def test_unanimity_games_need_no_sample():
    game = UnanimityGame(6, (1, 4))
    masks = (torch.arange(64)[:, None] >> torch.arange(6) & 1).bool()
    found = shapley_interactions(game, 6, 2, "SII")
    assert interactions_match(found, game(masks), "SII", 2, tolerance=1e-14).holds
    assert found[1, 4] == pytest.approx(1)


@pytest.mark.parametrize("index", ["SII", "k-SII"])
def test_experts_as_players_in_closed_form(index):
    """T7 by the object, on the values that the game itself gives to all coalitions; v(∅) is not 0."""
    generator = torch.Generator().manual_seed(4)
    order = torch.rand(9, 6, generator=generator, dtype=torch.float64).argsort(-1)
    values = torch.rand(9, 6, generator=generator, dtype=torch.float64)
    game = ExpertGame.of_orders(order, values, torch.rand(9, generator=generator, dtype=torch.float64) - 3)
    table = game((torch.arange(64)[:, None] >> torch.arange(6) & 1).bool())
    report = interactions_match(game.interactions(4, index), table, index, 4, tolerance=1e-13)
    assert report.holds, report.failure
    assert report.compared == 2 + 6 + 15 + 20 + 15
