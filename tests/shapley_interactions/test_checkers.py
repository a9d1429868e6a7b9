"""Each theorem's instrument accepts the theorem and rejects it broken; what it does not see is written down, too."""

from fractions import Fraction as F
from math import comb

import pytest

from tests.shapley_interactions.exact_games import with_bernoulli, with_kernel
from theory.shapley_interactions.checkers import least_squares, operators, weights
from theory.shapley_interactions.checkers.harmonics import scalars_hold
from theory.shapley_interactions.checkers.least_squares import Regression
from theory.shapley_interactions.checkers.theorems import (
    constrained_holds,
    corollaries_hold,
    direct_holds,
    forms_agree,
    split_holds,
)

pytestmark = pytest.mark.exact


def perturbed(k, place, change=F(1, 1000)):
    return tuple(value + (change if i == place else 0) for i, value in enumerate(weights.design(k)))


@pytest.mark.parametrize(("n", "k"), [(2, 1), (4, 2), (5, 1), (5, 2), (6, 3)])
def test_what_is_true_is_accepted(n, k):
    for holds in (forms_agree, split_holds, corollaries_hold, constrained_holds):
        report = holds(n, k)
        assert report.holds, report.failure
        assert report.compared > 0


@pytest.mark.parametrize(("n", "k"), [(2, 1), (2, 2), (3, 2), (5, 2), (4, 3)])
def test_direct_form_where_it_holds(n, k):
    assert direct_holds(n, k).holds
    assert direct_holds(n, k).compared == comb(n, k) * 2**n


# --- the index's own weights --------------------------------------------------------------------------------


def test_a_wrong_weight_of_the_index_is_named(monkeypatch):
    honest = weights.index_weight
    monkeypatch.setattr(
        weights, "index_weight", lambda n, k, t, common: honest(n, k, t, common) * F(n - k + 1, n - k + 2)
    )
    report = forms_agree(4, 2)
    assert report.failure == "definition and (1a): at {1, 2} of the game 1[T = {}]: 1/3 against 1/4"
    assert report.compared == 0


def test_telescoping_sums_are_compared(monkeypatch):
    honest = operators.derivative_sums
    monkeypatch.setattr(operators, "derivative_sums", lambda n, k: -honest(n, k))
    assert forms_agree(4, 2).failure.startswith("(2): at {1} of the game")


def test_moebius_sums_are_compared(monkeypatch):
    honest = operators.by_moebius
    monkeypatch.setattr(operators, "by_moebius", lambda n, k: 2 * honest(n, k))
    assert forms_agree(4, 2).failure.startswith("definition and (1b)")


# --- T1: the split form, and what it cannot see ---------------------------------------------------------


@pytest.mark.parametrize(("n", "k", "place"), [(4, 2, 0), (4, 2, 1), (4, 2, 2), (6, 3, 1), (6, 3, 3), (5, 1, 1)])
def test_a_perturbed_design_breaks_the_split_form(n, k, place):
    """Δ^k λ(k, ·)(0) is no longer 1."""
    report = split_holds(n, k, Regression.of(n, k, design=perturbed(k, place)))
    assert report.failure.startswith("inner columns")


def test_a_perturbed_design_of_difference_one_passes_the_split_form():
    """λ(2, ·) + (c, c, c) keeps Δ² = 1, and T1 reads no more of λ: besides, its outer rows must see all components."""
    assert split_holds(4, 2, Regression.of(4, 2, design=tuple(v + F(1, 7) for v in weights.design(2)))).holds


@pytest.mark.parametrize(("n", "k"), [(4, 2), (5, 2), (6, 2), (6, 3)])
def test_the_split_form_does_not_see_the_sign_of_b1(monkeypatch, n, k):
    with_bernoulli(monkeypatch, B1=F(1, 2))
    assert split_holds(n, k).holds
    assert constrained_holds(n, k).holds
    assert corollaries_hold(n, k).holds
    assert scalars_hold(n, k).holds


def test_b0_and_b2_swapped_break_the_split_form(monkeypatch):
    with_bernoulli(monkeypatch, B0=F(1, 6), B2=F(1))
    assert split_holds(4, 2).failure.startswith("inner columns")
    assert "x_{2,2} = 1/6, not 1" in scalars_hold(4, 2).failure


def test_a_kernel_without_its_first_factor_is_as_good(monkeypatch):
    """1/(n−2k+1) is the same for all sizes: a common scale of the inner weights cancels."""
    with_kernel(monkeypatch, lambda n, k, t: F(1, comb(n - 2 * k, t - k)))
    for n, k in ((5, 2), (6, 2), (7, 3)):
        assert split_holds(n, k).holds
        assert direct_holds(n, 1).holds
        assert constrained_holds(n, k).holds


def test_a_kernel_of_one_player_more_is_caught(monkeypatch):
    with_kernel(monkeypatch, lambda n, k, t: F(1, (n - 2 * k + 1) * comb(n - 2 * k + 1, t - k)))
    assert split_holds(6, 2).failure.startswith("inner columns")
    assert direct_holds(6, 1).failure.startswith("direct form")
    assert direct_holds(6, 2).failure.startswith("direct form")
    assert constrained_holds(6, 2).failure.startswith("constrained form")
    assert corollaries_hold(6, 2).failure == "(b) the inner Gram matrix is not the identity on H_k"


def test_a_singular_normal_matrix_is_a_failure():
    assert (
        split_holds(4, 2, Regression.of(4, 2, outer=frozenset())).failure
        == "the normal matrix of 6 unknowns is singular"
    )


def test_sizes_without_an_inner_coalition():
    with pytest.raises(ValueError, match=r"`n` must be at least 2k = 6 for a coalition to be inner, got 5"):
        weights.kernel(5, 3)
    with pytest.raises(ValueError, match="`n` must be at least 2k"):
        constrained_holds(5, 3)
    assert split_holds(5, 3).failure == "no coalition is inner for n = 5, k = 3"


def test_the_split_form_needs_no_residual_game(monkeypatch):
    """Q annihilates lower orders and constants, and L is Q inside: v itself gives the same."""
    monkeypatch.setattr(operators, "residual", lambda n, k: operators.identity(1 << n))
    assert split_holds(4, 2).holds
    assert constrained_holds(4, 2).holds


# --- T2: the direct form ------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [4, 5, 6])
def test_the_direct_form_sees_the_sign_of_b1(monkeypatch, n):
    with_bernoulli(monkeypatch, B1=F(1, 2))
    assert direct_holds(n, 2).failure.startswith("direct form: at {1, 2}")
    assert direct_holds(n, 1).holds  # λ(1, ·) has no B_1


def test_b0_and_b2_swapped_break_the_direct_form(monkeypatch):
    with_bernoulli(monkeypatch, B0=F(1, 6), B2=F(1))
    assert not direct_holds(4, 1).holds
    assert not direct_holds(4, 2).holds


@pytest.mark.parametrize("n", [4, 5, 6])
@pytest.mark.parametrize("missing", [1, -1])
def test_an_outer_size_missing(n, missing):
    outer = frozenset({0, 1, n - 1, n} - {missing % n})
    assert direct_holds(n, 2, Regression.of(n, 2, outer=outer)).failure.startswith("direct form")


@pytest.mark.parametrize("n", [3, 4, 5])
def test_the_rows_of_size_0_and_n_are_empty_for_pairs(n):
    assert direct_holds(n, 2, Regression.of(n, 2, outer=frozenset({1, n - 1}))).holds


@pytest.mark.parametrize("n", [2, 3, 4])
def test_forgetting_the_baseline(monkeypatch, n):
    """y_1 = v instead of v − v(∅): wrong for every game with v(∅) ≠ 0."""
    monkeypatch.setattr(operators, "residual", lambda n, k: operators.identity(1 << n))
    assert direct_holds(n, 1).failure.startswith("direct form: at {1} of the game 1[T = {}]")


def test_the_residual_game_is_needed_for_pairs(monkeypatch):
    monkeypatch.setattr(operators, "residual", lambda n, k: operators.identity(1 << n))
    assert direct_holds(4, 2).failure.startswith("direct form")


@pytest.mark.parametrize(("n", "k"), [(5, 3), (6, 3), (6, 4), (7, 5)])
def test_the_direct_form_of_higher_orders_fails(n, k):
    assert direct_holds(n, k).failure.startswith("direct form: at")


# --- T4 and the corollaries -----------------------------------------------------------------------------


def test_constraints_that_read_inner_coalitions_are_noticed(monkeypatch):
    honest = operators.derivative_sums

    def meddling(n, k):
        found = honest(n, k)
        found[0, 0b0011] += 1
        found[0, 0b1100] -= 1
        return found

    monkeypatch.setattr(operators, "derivative_sums", meddling)
    assert constrained_holds(4, 2).failure == "the constraints read an inner coalition"


def test_constraints_of_the_wrong_sign(monkeypatch):
    honest = operators.derivative_sums
    monkeypatch.setattr(least_squares, "derivative_sums", lambda n, k: -honest(n, k))
    assert constrained_holds(4, 2).failure.startswith("constrained form")


def test_a_perturbed_design_breaks_the_corollaries(monkeypatch):
    monkeypatch.setattr(weights, "design", lambda k: perturbed_of[k])
    perturbed_of = {1: (F(0), F(1)), 2: (F(0), F(-1, 2), F(1, 2))}
    assert corollaries_hold(4, 2).failure.startswith("(b)")
    perturbed_of[2] = (F(0), F(0), F(0))
    assert corollaries_hold(4, 2).failure == "(a) X_o has rank 0, not 4"
