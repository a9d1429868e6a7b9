"""Claims: what the verdicts say, and that none is reached when the house is broken."""

from dataclasses import replace
from fractions import Fraction as F
from math import comb

import pytest

from constructions.shapley_interactions import ExpertGame
from constructions.shapley_interactions.sampling import Design
from tests.shapley_interactions.exact_games import with_bernoulli, with_kernel
from theory import REGISTRY, Context, Evidence, Status
from theory.shapley_interactions import bounds
from theory.shapley_interactions.checkers import harmonics, operators, paired, theorems, weights
from theory.shapley_interactions.reproductions import estimator, regression


def verdict(name):
    return REGISTRY[f"shapley_interactions.{name}"].verdict(Context())


def undecided(name):
    """Why the claim is not decided."""
    found = verdict(name)
    assert (found.status, found.evidence) == (Status.INCONCLUSIVE, Evidence.NONE), found.reason
    return found.reason


# --- as it stands ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "evidence"),
    [
        ("index_forms", Evidence.EXACT),
        ("split_wls", Evidence.SYMBOLIC),
        ("direct_wls", Evidence.EXACT),
        ("direct_wls_order3", Evidence.EXACT),
        ("constrained_wls", Evidence.EXACT),
        ("k_sii", Evidence.EXACT),
        ("paired_exact", Evidence.EXACT),
        ("first_available", Evidence.EXACT),
        ("consistency", Evidence.EXACT),
        ("budget", Evidence.FITTED),
    ],
)
def test_evidence(name, evidence, verdict_of):
    assert verdict_of(f"shapley_interactions.{name}").evidence is evidence


def test_scalars_and_operators_of_the_split_form(verdict_of):
    found = verdict_of("shapley_interactions.split_wls")
    assert found.numbers["scalars"] == 12520
    assert {(5, 1), (6, 2), (6, 3), (8, 4)} < {row[:2] for row in found.tables["entries"].rows}


def test_the_witness_against_order_three(verdict_of):
    found = verdict_of("shapley_interactions.direct_wls_order3")
    assert found.tables["triples"].rows == ((5, "1/3", "2/3"), (6, "3/26", "1/2"))
    assert "n = 6, v = 1[|T| = 1]" in found.witness
    assert "3/26, SII is 1/2" in found.witness
    failures = {row[:2] for row in found.tables["failures"].rows}
    assert failures == {(k, n) for k in (3, 4, 5) for n in range(k + 2, 31)}


def test_samples(verdict_of):
    rows = verdict_of("shapley_interactions.paired_exact").tables["samples"].rows
    assert rows == ((1, 13, True, False), (2, 16, True, False))


def test_errors_at_the_full_budget(verdict_of):
    found = verdict_of("shapley_interactions.consistency")
    assert found.numbers["worst_error"] < 1e-12
    cases = {row[:4] for row in found.tables["errors"].rows}
    assert {("random", 10, 3, "k-SII"), ("unanimity", 8, 1, "SII")} < cases
    assert len(cases) == 24


@pytest.mark.rate
def test_slopes(verdict_of):
    found = verdict_of("shapley_interactions.budget")
    assert len(found.tables["slopes"].rows) == 8
    assert max(found.tables["slopes"].column("slope")) < -1.5
    assert found.numbers["largest_relative_mse_at_half"] < 0.02


# --- broken houses ----------------------------------------------------------------------------------------


def test_index_forms_with_a_wrong_weight(monkeypatch):
    honest = weights.index_weight
    monkeypatch.setattr(weights, "index_weight", lambda n, k, t, common: honest(n, k, t, common) * (1 + F(t == 6)))
    assert undecided("index_forms").startswith("n = 6, k = 1: definition and (1a): at {1} of the game")


def test_index_forms_with_a_wrong_integral(monkeypatch):
    monkeypatch.setattr(bounds, "beta", lambda a, b: 1 / (a + b + 1))
    assert undecided("index_forms").startswith("the Beta integral: ")


def test_split_wls_with_a_perturbed_design(monkeypatch):
    honest = weights.design
    monkeypatch.setattr(weights, "design", lambda k: (*honest(k)[:-1], honest(k)[-1] + F(1, 10**9)))
    assert undecided("split_wls").startswith("polynomial identities: k = 1: x_{t,1} is 1000000001/1000000000, not 1")


def test_split_wls_with_b0_and_b2_swapped(monkeypatch):
    with_bernoulli(monkeypatch, B0=F(1, 6), B2=F(1))
    assert undecided("split_wls").startswith("polynomial identities: k = 1")


def test_split_wls_with_a_kernel_of_one_player_more(monkeypatch):
    with_kernel(monkeypatch, lambda n, k, t: F(1, (n - 2 * k + 1) * comb(n - 2 * k + 1, t - k)))
    assert undecided("split_wls").startswith("scalars: n = 3, k = 1: q_{2,1}")


def test_split_wls_with_wrong_operators_alone(monkeypatch):
    """The operators do not take their word from the scalars."""
    monkeypatch.setattr(regression, "scalars_hold", lambda n, k: harmonics.ScalarReport(1, None))
    with_kernel(monkeypatch, lambda n, k, t: F(1, (n - 2 * k + 1) * comb(n - 2 * k + 1, t - k)))
    assert undecided("split_wls").startswith("n = 3, k = 1: inner columns: at {1}")


def test_split_wls_does_not_see_the_sign_of_b1(monkeypatch):
    """An equivalence, not a gap: T1 reads λ through Δ^k λ(0) = B_0 and rows that see every component."""
    with_bernoulli(monkeypatch, B1=F(1, 2))
    for name in ("split_wls", "constrained_wls", "index_forms", "first_available"):
        assert verdict(name).status is Status.PROVED


def test_direct_wls_sees_the_sign_of_b1(monkeypatch):
    with_bernoulli(monkeypatch, B1=F(1, 2))
    assert undecided("direct_wls").startswith("n = 2, k = 2: direct form: at {1, 2}")


@pytest.mark.parametrize("missing", [1, -1])
def test_direct_wls_without_an_outer_size(monkeypatch, missing):
    honest = theorems.Regression.of

    def without(n, k):
        found = honest(n, k)
        return replace(found, outer=found.outer - {missing % n}) if k == 2 else found

    monkeypatch.setattr(theorems.Regression, "of", without)
    assert "k = 2: " in undecided("direct_wls")


def test_direct_wls_with_games_that_keep_their_baseline(monkeypatch):
    monkeypatch.setattr(operators, "residual", lambda n, k: operators.identity(1 << n))
    assert undecided("direct_wls").startswith("n = 2, k = 1: direct form: at {1} of the game 1[T = {}]")


def test_order_three_when_the_three_ways_disagree(monkeypatch):
    honest = regression.constant_direct
    monkeypatch.setattr(regression, "constant_direct", lambda n, k, g: honest(n, k, g) + F(1, 10**12))
    assert undecided("direct_wls_order3") == "n = 5: three values of the direct form: 1/3"


def test_order_three_when_the_index_is_another(monkeypatch):
    honest = operators.definition
    monkeypatch.setattr(operators, "definition", lambda n, k: 2 * honest(n, k))
    assert undecided("direct_wls_order3") == "n = 5: three values of the index: 4/3"


def test_order_three_when_both_forms_agree(monkeypatch):
    """Nothing is refuted by two equal numbers."""
    closed = bounds.order_three()
    monkeypatch.setattr(regression, "order_three", lambda: replace(closed, direct=closed.index))
    monkeypatch.setattr(regression, "constant_direct", harmonics.constant_index)
    monkeypatch.setattr(regression, "_direct", regression._index)
    assert undecided("direct_wls_order3") == "n = 5: both forms give 2/3"


def test_order_three_when_the_closed_forms_meet(monkeypatch):
    closed = bounds.order_three()
    monkeypatch.setattr(
        regression, "order_three", lambda: replace(closed, equal_at=(*closed.equal_at, bounds.N * 0 + 9))
    )
    assert undecided("direct_wls_order3") == "the closed forms agree at n in (7/2, 4, 9)"


def test_order_four_must_fail_everywhere(monkeypatch):
    honest = regression.direct_fails
    monkeypatch.setattr(regression, "direct_fails", lambda n, k: None if (n, k) == (9, 4) else honest(n, k))
    assert undecided("direct_wls_order3").startswith("k = 4, n = 9: every game")


def test_constrained_wls_with_a_wrong_kernel(monkeypatch):
    with_kernel(monkeypatch, lambda n, k, t: F(t))
    assert undecided("constrained_wls").startswith("n = 3, k = 1: constrained form: at {1}")


def test_k_sii_sees_the_sign_of_b1(monkeypatch):
    with_bernoulli(monkeypatch, B1=F(1, 2))
    assert undecided("k_sii") == "Bernoulli numbers: Σ C(2, j) B_j is 2, not 0"


def test_paired_exact_with_unequal_weights(monkeypatch):
    honest = paired.paired_sample

    def unequal(seed):
        found = honest(seed)
        first = min(found.drawn)
        return replace(found, drawn=dict(found.drawn) | {first: 2 * found.drawn[first]})

    monkeypatch.setattr(paired, "paired_sample", unequal)
    assert undecided("paired_exact") == "seed 1: order 2 is not exact"


def test_paired_exact_without_the_residual_game(monkeypatch):
    honest = paired.sampled_index
    monkeypatch.setattr(
        paired, "sampled_index", lambda games, order, drawn: honest(games, order, drawn, residual=False)
    )
    assert undecided("paired_exact") == "seed 1: order 2 is not exact"


def test_paired_exact_looks_at_every_game_of_the_degree(monkeypatch):
    monkeypatch.setattr(estimator, "paired_holds", lambda n, order, drawn, fitted: theorems.TheoremReport(0, "no"))
    assert undecided("paired_exact") == "seed 1, order 1: no"


def test_first_available_with_a_wrong_sign(monkeypatch):
    honest = theorems.first_available_index
    monkeypatch.setattr(theorems, "first_available_index", lambda *case: abs(honest(*case)))
    assert undecided("first_available").startswith("n = 1: ")


def test_first_available_with_a_wrong_integral(monkeypatch):
    monkeypatch.setattr(
        "theory.shapley_interactions.reproductions.index.availability_integrals", lambda: bounds.Report("no")
    )
    assert undecided("first_available") == "the two integrals: no"


def off_by(change, honest):
    """The estimator, or the exact index, with one value of its first order changed."""

    def meddled(*args, **options):
        found = honest(*args, **options)
        orders = [v.clone() for v in found.orders]
        orders[0][-1] += change
        return replace(found, orders=tuple(orders))

    return meddled


@pytest.mark.parametrize("change", [1e-9, float("nan")])
def test_consistency_with_one_value_off(monkeypatch, change):
    monkeypatch.setattr(estimator.KernelSHAPIQ, "estimate", off_by(change, estimator.KernelSHAPIQ.estimate))
    reason = undecided("consistency")
    assert reason.startswith("estimator, random, n = 8, order 1, SII: {8} is ")


@pytest.mark.parametrize("change", [1e-9, float("nan")])
def test_consistency_with_the_exact_index_off(monkeypatch, change):
    monkeypatch.setattr(estimator, "shapley_interactions", off_by(change, estimator.shapley_interactions))
    assert undecided("consistency").startswith("exact index, random, n = 8, order 1, SII: {8} is ")


@pytest.mark.parametrize("ignored", [{"index": "SII"}, {"order": 1}])
def test_consistency_with_an_estimator_that_ignores_what_it_is_asked(monkeypatch, ignored):
    honest = estimator.KernelSHAPIQ
    monkeypatch.setattr(
        estimator,
        "KernelSHAPIQ",
        lambda n, order, index, **options: honest(**({"n": n, "order": order, "index": index} | options | ignored)),
    )
    assert "the interactions are SII of order 1, not " in undecided("consistency")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"exact": False}, "exact is False, rank_deficient False"),
        ({"rank_deficient": True}, "exact is True, rank_deficient True"),
        ({"evaluations": 255}, "255 coalitions were evaluated, not 256"),
    ],
)
@pytest.mark.parametrize("who", ["estimator", "exact index"])
def test_consistency_with_results_that_deny_themselves(monkeypatch, who, changes, reason):
    place, name = (estimator.KernelSHAPIQ, "estimate") if who == "estimator" else (estimator, "shapley_interactions")
    honest = getattr(place, name)
    monkeypatch.setattr(place, name, lambda *args, **options: replace(honest(*args, **options), **changes))
    assert undecided("consistency") == f"{who}, random, n = 8, order 1, SII: {reason}"


def test_consistency_with_other_moebius_coefficients(monkeypatch):
    honest = estimator.shapley_interactions

    def other(game, n, order, index, **options):
        return replace(honest(game, n, order, "SII" if index == "Moebius" else index, **options), index=index)

    monkeypatch.setattr(estimator, "shapley_interactions", other)
    assert undecided("consistency").startswith("exact index, random, n = 8, order 1, Moebius: {1} is ")


def test_paired_exact_with_draws_that_are_no_pairs(monkeypatch):
    honest = Design.of
    monkeypatch.setattr(Design, "of", lambda *case, paired: honest(*case, paired=False))
    assert undecided("paired_exact").startswith("estimator, seed 1, 100 coalitions, order 1: {1} is ")


def test_paired_exact_with_draws_of_unequal_weights(monkeypatch):
    honest = Design.draw

    def unequal(design, generator):
        masks, stands_for = honest(design, generator)
        return masks, stands_for * (1 + 0.5 * masks[:, 0])

    monkeypatch.setattr(Design, "draw", unequal)
    assert undecided("paired_exact").startswith("estimator, seed 1, 100 coalitions, order 1: {1} is ")


@pytest.mark.parametrize("change", [1e-9, float("nan")])
def test_first_available_with_experts_off(monkeypatch, change):
    monkeypatch.setattr(ExpertGame, "interactions", off_by(change, ExpertGame.interactions))
    assert undecided("first_available").startswith("experts as players: {7} is ")


def test_budget_with_an_estimator_that_does_not_improve(monkeypatch):
    honest = estimator.KernelSHAPIQ.estimate
    least = {10: 128, 12: 512}
    monkeypatch.setattr(
        estimator.KernelSHAPIQ, "estimate", lambda self, game, budget: honest(self, game, least[self.n])
    )
    assert undecided("budget").startswith("a slope plus twice its error is ")


def test_budget_with_a_constant_that_is_wrong(monkeypatch):
    """A hundred times the error falls with the same slope."""
    honest = estimator._relative_errors
    monkeypatch.setattr(estimator, "_relative_errors", lambda *case: {k: 100 * e for k, e in honest(*case).items()})
    assert undecided("budget").startswith("an error at half the coalitions is ")


def test_budget_with_samples_that_are_too_small(monkeypatch):
    monkeypatch.setattr(estimator, "BUDGETS", (F(1, 32), F(1, 8), F(1, 4)))
    assert undecided("budget") == "n = 10: a sample of 32 does not determine the index"
