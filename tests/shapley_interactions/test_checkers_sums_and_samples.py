"""k-SII, paired samples and first available players: accepted, and rejected when broken on purpose."""

from fractions import Fraction as F

import pytest
from flint import fmpq_mat

from tests.shapley_interactions.exact_games import with_bernoulli
from theory.shapley_interactions.checkers import operators, paired, theorems, weights
from theory.shapley_interactions.checkers.least_squares import NotUnique
from theory.shapley_interactions.checkers.theorems import first_available_holds, k_sii_holds, paired_holds

pytestmark = pytest.mark.exact


# --- T6 -----------------------------------------------------------------------------------------------------


def test_k_sii_is_accepted():
    assert all(k_sii_holds(n).holds for n in (1, 2, 3, 4))


@pytest.mark.parametrize("n", [2, 3, 4])
def test_k_sii_sees_the_sign_of_b1(monkeypatch, n):
    with_bernoulli(monkeypatch, B1=F(1, 2))
    # the sums (ii) agree for any numbers; that they end at v(N) does not
    assert k_sii_holds(n).failure.startswith("(iii) k = 2: at ")


def test_k_sii_sees_a_wrong_b2(monkeypatch):
    with_bernoulli(monkeypatch, B2=F(1, 5))
    assert k_sii_holds(2).holds  # B_2 stands before an order of 3 players for the first time
    assert k_sii_holds(3).failure.startswith("(iii) k = 3")


def test_k_sii_sees_a_missing_baseline(monkeypatch):
    honest = operators.lower_orders

    def without(n, k):
        return honest(n, k) - honest(n, 0)

    monkeypatch.setattr(operators, "lower_orders", without)
    assert k_sii_holds(3).failure.startswith("(iii) k = 1: at {1, 2, 3} of the game 1[T = {}]")


def test_k_sii_sees_a_design_that_does_not_match(monkeypatch):
    monkeypatch.setattr(weights, "design", lambda k: (F(0),) * k + (F(1),))
    assert k_sii_holds(3).failure.startswith("(ii) k = 2")


def test_moebius_coefficients_are_compared(monkeypatch):
    honest = operators.moebius
    monkeypatch.setattr(operators, "moebius", lambda n: -1 * honest(n))
    assert k_sii_holds(2).failure.startswith("(iv) n-SII")


# --- T5 -----------------------------------------------------------------------------------------------------


MEANS = {1: dict.fromkeys(range(1, 6), 0), 2: dict.fromkeys((2, 3, 4), 0)}
SEEDS = {1: 13, 2: 16, 3: 16, 4: 10}


def exact_orders(values, drawn, **options):
    game = operators.column(values)
    found = paired.sampled_index(game, 2, drawn, **options)
    return [found[k] == operators.definition(6, k) * game for k in (1, 2)]


@pytest.mark.parametrize(("seed", "pairs"), SEEDS.items())
def test_paired_samples(seed, pairs):
    sample = paired.paired_sample(seed)
    assert len(sample.drawn) == 2 * pairs
    assert exact_orders(sample.values, sample.drawn) == [False, True]
    for order in (1, 2):
        for fitted in ({}, MEANS if pairs > 12 else {2: {3: 0}}):
            report = paired_holds(6, order, sample.drawn, fitted)
            assert report.holds, report.failure
            assert report.compared == {1: 6 * 22, 2: 15 * 42}[order]


@pytest.mark.parametrize("seed", SEEDS)
def test_unequal_weights_within_one_pair(seed):
    sample = paired.paired_sample(seed)
    drawn = dict(sample.drawn)
    drawn[min(drawn)] *= 2
    assert exact_orders(sample.values, drawn) == [False, False]
    assert paired_holds(6, 2, drawn).failure.startswith("order 2 of the unanimity game of {")
    assert paired_holds(6, 1, drawn).failure.startswith("order 1 of the unanimity game of {")
    assert not paired_holds(6, 2, drawn, MEANS).holds
    assert not paired_holds(6, 1, drawn, MEANS).holds


@pytest.mark.parametrize("seed", SEEDS)
def test_a_fit_at_one_size_and_not_at_its_mirror(seed):
    """What is fitted must be closed under complements, too."""
    drawn = paired.paired_sample(seed).drawn
    assert not paired_holds(6, 2, drawn, {2: {2: 0}}).holds
    assert paired_holds(6, 2, drawn, {2: {3: 0}}).holds  # 3 is its own mirror


def test_fitted_functions_take_what_they_explain():
    """Any numbers added to all coalitions of a size that is fitted leave the estimate as it is."""
    sample = paired.paired_sample(2)
    noise = {2: 5, 3: -7, 4: 11}
    noisy = [value + noise.get(mask.bit_count(), 0) for mask, value in enumerate(sample.values)]
    games = [operators.column(values) for values in (sample.values, noisy)]
    first, second = (paired.sampled_index(game, 2, sample.drawn, fitted=MEANS)[2] for game in games)
    assert first == second
    first, second = (paired.sampled_index(game, 2, sample.drawn)[2] for game in games)
    assert first != second


def test_more_functions_than_a_sample_tells_apart():
    """Linear functions at a size with few coalitions: those that are independent there are fitted."""
    drawn = paired.paired_sample(3).drawn
    assert paired_holds(6, 1, drawn, {1: {1: 0, 5: 0}}).holds
    same = [
        paired.sampled_index(operators.column([mask**2 for mask in range(64)]), 1, drawn, fitted={1: {3: j}})
        for j in (0, 0)
    ]
    assert same[0][1] == same[1][1]


@pytest.mark.parametrize("seed", SEEDS)
def test_a_coalition_without_its_complement(seed):
    drawn = dict(paired.paired_sample(seed).drawn)
    del drawn[min(drawn)]
    assert not paired_holds(6, 2, drawn).holds


@pytest.mark.parametrize("seed", SEEDS)
def test_a_term_of_degree_four(seed):
    sample = paired.paired_sample(seed)
    higher = [value + int(mask & 15 == 15) for mask, value in enumerate(sample.values)]
    assert exact_orders(higher, sample.drawn) == [False, False]


@pytest.mark.parametrize("seed", SEEDS)
def test_pairs_without_the_residual_game(seed):
    """Caught by parts of degree 1; the estimate of order 1 is the same."""
    sample = paired.paired_sample(seed)
    assert exact_orders(sample.values, sample.drawn, residual=False) == [False, False]
    linear = [mask & 1 for mask in range(64)]
    assert exact_orders(linear, sample.drawn) == [True, True]
    assert exact_orders(linear, sample.drawn, residual=False) == [True, False]


@pytest.mark.parametrize("seed", SEEDS)
def test_inner_squares_without_constraints(seed):
    """Plain least squares on what was drawn: not unique, or wrong."""
    sample = paired.paired_sample(seed)
    if SEEDS[seed] < 15:
        with pytest.raises(NotUnique, match="the normal matrix of 15 unknowns is singular"):
            exact_orders(sample.values, sample.drawn, constrained=False)
    else:
        assert exact_orders(sample.values, sample.drawn, constrained=False)[1] is False


def test_a_sample_too_small():
    assert paired_holds(6, 2, {0b000011: F(1), 0b111100: F(1)}).failure == "the normal matrix of 9 unknowns is singular"


def test_a_baseline_does_not_matter():
    sample = paired.paired_sample(2)
    shifted = [value + 17 for value in sample.values]
    assert exact_orders(shifted, sample.drawn) == [False, True]


def test_what_a_sample_must_be():
    with pytest.raises(ValueError, match="`drawn` must have positive weights"):
        paired.sampled_index(operators.column([0] * 64), 2, {3: F(0)})
    with pytest.raises(ValueError, match=r"`games` must have 2\^n rows, got 3"):
        paired.sampled_index(fmpq_mat(3, 1), 1, {})


# --- T7 -----------------------------------------------------------------------------------------------------


def test_first_available_is_accepted():
    reports = [first_available_holds(n) for n in (1, 2, 3, 4)]
    assert all(report.holds for report in reports)
    assert [report.compared for report in reports] == [2, 21, 133, 705]


@pytest.mark.parametrize(
    "wrong",
    [
        lambda s, player, before, right: -right,
        lambda s, player, before, right: right if player is not None and s >> player & 1 else 2 * right,
        lambda s, player, before, right: right if player is not None else F(0),
    ],
)
def test_a_wrong_closed_form_is_named(monkeypatch, wrong):
    honest = theorems.first_available_index
    monkeypatch.setattr(
        theorems, "first_available_index", lambda s, player, before: wrong(s, player, before, honest(s, player, before))
    )
    assert " after {" in first_available_holds(3).failure


def test_first_available_by_hand():
    # player 2 after player 1: v = 1[2 ∈ T, 1 ∉ T]
    assert theorems.first_available_game(2, 1, 0b01) == [0, 0, 1, 0]
    assert [theorems.first_available_index(s, 1, 0b01) for s in (0b01, 0b10, 0b11)] == [F(-1, 2), F(1, 2), -1]
    # nobody of players 1 and 2 is there
    assert theorems.first_available_game(2, None, 0b11) == [1, 0, 0, 0]
    assert [theorems.first_available_index(s, None, 0b11) for s in (0b01, 0b10, 0b11)] == [F(-1, 2), F(-1, 2), 1]
    assert theorems.first_available_index(0b100, 1, 0b01) == 0
