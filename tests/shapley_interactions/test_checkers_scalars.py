"""Scalars against operators on harmonics, the limit against large M, symbols against numbers, and laws of the index."""

from fractions import Fraction as F
from math import comb, factorial

import pytest
import sympy
from flint import fmpq_mat
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.shapley_interactions.exact_games import index, values, with_bernoulli
from theory.shapley_interactions import bounds
from theory.shapley_interactions.checkers import harmonics, operators, weights
from theory.shapley_interactions.checkers.least_squares import (
    NotUnique,
    Regression,
    constrained_operator,
    finite_operator,
    limit_operator,
    minimiser,
    solutions,
    weighted,
)
from theory.shapley_interactions.checkers.weights import members, sets, subsets

SIZES = [(4, 2), (5, 2), (6, 3), (7, 3), (5, 1), (8, 4)]


def harmonic(n, j, t):
    """f_j^{(t)}(T) = Π_{i<j} (1[2i ∈ T] − 1[2i + 1 ∈ T]) for all T of size t."""
    found = []
    for mask in sets(n, t):
        value = 1
        for i in range(j):
            value *= (mask >> 2 * i & 1) - (mask >> 2 * i + 1 & 1)
        found.append(value)
    return found


@pytest.mark.exact
@pytest.mark.parametrize(("n", "k"), SIZES)
def test_scalars_are_what_operators_do_to_harmonics(n, k):
    """X and Q on the vectors f_j, entry by entry, for every size t and component j."""
    x, q, limit = operators.design_matrix(n, k), operators.by_weights(n, k), limit_operator(Regression.of(n, k))
    design, kernel = weights.design(k), weights.kernel(n, k)
    for t in range(n + 1):
        for j in range(min(t, n - t, k) + 1):
            f_k, f_t = operators.matrix([[value] for value in harmonic(n, j, k)], 1), harmonic(n, j, t)
            scalar = harmonics.component(n, k, t, j, design.__getitem__)
            seen = operators.entries(x * f_k)
            assert [seen[mask] for mask in sets(n, t)] == [scalar * value for value in f_t]
            on_games = fmpq_mat(1 << n, 1)
            for mask, value in zip(sets(n, t), f_t, strict=True):
                on_games[mask, 0] = value
            ratio = F(comb(n - 2 * j, t - j), comb(n - 2 * j, k - j))
            own = harmonics.component(n, k, t, j, lambda common, t=t: weights.index_weight(n, k, t, common))
            assert q * on_games == f_k * operators.rational(own * ratio)
            if t in kernel:
                share = kernel[t] * comb(n - 2 * k, t - k) if j == k else F(0)
                assert limit * on_games == f_k * operators.rational(share)


@pytest.mark.exact
@pytest.mark.parametrize(("n", "k"), [(4, 1), (4, 2), (5, 2), (6, 3)])
def test_the_limit_is_that_of_large_outer_weights(n, k):
    """The solution at M approaches the limit like 1/M: a second truth for the lexicographic solution."""
    regression = Regression.of(n, k)
    limit = limit_operator(regression)
    distances = []
    for m in (10**4, 10**5, 10**8):
        apart = operators.entries(finite_operator(regression, m) - limit)
        distances.append(max(map(abs, apart)))
    assert 0 < distances[2] < F(2, 10**7)
    assert 9.99 < distances[0] / distances[1] < 10.01
    assert 999 < distances[1] / distances[2] < 1001


@pytest.mark.exact
@pytest.mark.parametrize(("n", "k"), [(4, 2), (5, 2), (6, 3)])
def test_the_index_meets_the_conditions_of_the_minimum(n, k):
    """A second truth for the constrained form: feasible, stationary and strictly convex on H_k; nothing is solved."""
    q, sums = operators.definition(n, k), operators.inclusion(n, k)
    assert sums * q == operators.derivative_sums(n, k)
    basis = solutions(sums, fmpq_mat(sums.nrows(), 0))[1]
    x = operators.design_matrix(n, k, (*[0] * k, 1))
    kernel = weights.kernel(n, k)
    inner = weighted(x, [kernel.get(mask.bit_count(), F(0)) for mask in range(1 << n)])
    assert basis.transpose() * (inner * x * q - inner) == fmpq_mat(basis.ncols(), 1 << n)
    assert (basis.transpose() * inner * x * basis).rank() == basis.ncols()
    assert constrained_operator(n, k) == q


@pytest.mark.exact
def test_minimiser_by_hand():
    # (x − 1)² + (y − 3)² under x + y = 2: x = 0, y = 2
    one = operators.matrix([[1]], 1)
    gram, linear = operators.identity(2), operators.matrix([[1], [3]], 1)
    assert operators.entries(minimiser(gram, linear, operators.matrix([[1, 1]], 2), operators.matrix([[2]], 1))) == [
        0,
        2,
    ]
    # the same equation twice is one; twice with another right side is none
    twice = operators.matrix([[1, 1], [2, 2]], 2)
    assert operators.entries(minimiser(gram, linear, twice, operators.matrix([[2], [4]], 1))) == [0, 2]
    with pytest.raises(NotUnique, match="the constraints contradict each other"):
        minimiser(gram, linear, twice, operators.matrix([[2], [5]], 1))
    with pytest.raises(NotUnique, match="the normal matrix of 1 unknowns is singular"):
        minimiser(fmpq_mat(2, 2), linear, operators.matrix([[1, 1]], 2), one)


@pytest.mark.exact
def test_arguments_of_the_exact_instruments():
    with pytest.raises(ValueError, match=r"`design` must have k \+ 1 = 3 entries, got 2"):
        operators.design_matrix(4, 2, (0, 1))
    with pytest.raises(ValueError, match=r"`values` must be 2\^n numbers for n players, got 3"):
        operators.column([1, 2, 3])
    with pytest.raises(ValueError, match="`rows` must have 2 entries each"):
        operators.matrix([[1, 2], [3]], 2)
    with pytest.raises(ValueError, match="`weight` must have 2 entries, got 1"):
        weighted(operators.identity(2), [F(1)])
    with pytest.raises(ValueError, match="`n` must be an integer between 1 and 12, got 13"):
        operators.definition(13, 1)
    with pytest.raises(ValueError, match="`k` must be an integer between 1 and 4, got 5"):
        operators.by_weights(4, 5)
    with pytest.raises(ValueError, match=r"`values` must be n \+ 1 = 5 numbers, one a size, got 4"):
        harmonics.constant_index(4, 2, [1, 2, 3, 4])
    assert (members(0b101), members(0)) == ("{1, 3}", "{}")
    assert sorted(subsets(0b101)) == [0, 1, 4, 5]


@pytest.mark.exact
def test_operators_of_other_shapes_are_not_equal():
    one = operators.identity(2)
    report = operators.operators_equal(one, operators.matrix([[1, 0]], 2), [1, 2])
    assert report.failure == "an operator has 1 × 2 entries, not 2 × 2"
    assert not operators.operators_equal(one, operators.matrix([[1, 0, 0], [0, 1, 0]], 3), [1, 2]).holds
    assert operators.operators_equal(one, 2 * one, [1, 2]).failure == "at {1} of the game 1[T = {}]: 1 against 2"


# --- scalars and symbols ---------------------------------------------------------------------------------


@pytest.mark.exact
def test_scalars_of_all_orders():
    reports = [harmonics.scalars_hold(n, k) for k in range(1, 9) for n in range(2 * k, 2 * k + 5)]
    assert all(report.holds for report in reports)
    assert harmonics.scalars_hold(4, 2).checked == 6


@pytest.mark.exact
def test_a_component_that_no_outer_row_sees(monkeypatch):
    honest = harmonics.component
    monkeypatch.setattr(harmonics, "component", lambda n, k, t, j, g: honest(n, k, t, j, g) * int(k <= t <= n - k))
    assert harmonics.scalars_hold(4, 2).failure == "n = 4, k = 2: no outer row sees the component 0"
    with_bernoulli(monkeypatch, B1=F(0))  # the row that the proof names for order 2 vanishes
    assert bounds.steps_of_order(2).failure == "k = 2: no outer row sees the component 0"


@pytest.mark.exact
def test_a_wrong_kernel_is_named(monkeypatch):
    monkeypatch.setattr(weights, "kernel", lambda n, k: {t: F(1, n) for t in range(k, n - k + 1)})
    assert harmonics.scalars_hold(5, 2).failure == "n = 5, k = 2: q_{2,2} = 1/2, not 1/5"


@pytest.mark.exact
@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_symbolic_steps(k):
    report = bounds.steps_of_order(k)
    assert report.holds
    assert report.checked == 2 * k + 2


@pytest.mark.exact
def test_symbolic_steps_of_a_wrong_design(monkeypatch):
    monkeypatch.setattr(weights, "design", lambda k: tuple(F(i**k) for i in range(k + 1)))
    assert bounds.steps_of_order(2).failure == "k = 2: x_{t,2} is 2, not 1"


@pytest.mark.exact
def test_symbolic_steps_of_a_wrong_weight(monkeypatch):
    honest = bounds._scaled_index_weight
    monkeypatch.setattr(bounds, "_scaled_index_weight", lambda k, common: honest(k, common) * (1 + common))
    assert bounds.steps_of_order(2).failure.startswith("k = 2: q_{t,1}, scaled, is n**2*t")


@pytest.mark.exact
@pytest.mark.parametrize(("n", "k"), [(4, 2), (7, 2), (6, 3), (9, 4)])
def test_the_scaled_weight_is_the_weight(n, k):
    """The polynomial of the proof, at numbers, against q_n."""
    for t in range(k, n - k + 1):
        for common in range(k + 1):
            scaled = bounds._scaled_index_weight(k, common).subs({bounds.N: n, bounds.T: t})
            unit = F(factorial(t - k) * factorial(n - k - t), factorial(n - k + 1))
            assert F(int(scaled)) * unit == weights.index_weight(n, k, t, common)
        for j in range(k + 1):
            polynomial = bounds.component_polynomial(k, j, bounds.T, lambda common: sympy.Integer(common**2 + 1))
            number = harmonics.component(n, k, t, j, lambda common: F(common**2 + 1))
            assert polynomial.subs({bounds.N: n, bounds.T: t}) == number


@pytest.mark.exact
def test_integrals_and_general_step(monkeypatch):
    assert bounds.beta_identity().holds
    assert bounds.general_step().holds
    assert bounds.availability_integrals().holds
    honest = bounds.beta
    monkeypatch.setattr(bounds, "beta", lambda a, b: honest(a, b) * (a + b + 1))
    for derive in (bounds.beta_identity, bounds.general_step, bounds.availability_integrals):
        assert "not 1" in derive().failure


@pytest.mark.exact
def test_order_three_in_closed_form():
    closed, n = bounds.order_three(), bounds.N
    assert sympy.simplify(closed.direct - 6 / ((n - 2) * (2 * n**2 - 15 * n + 31))) == 0
    assert sympy.simplify(closed.index - 2 / (n - 2)) == 0
    assert closed.equal_at == (sympy.Rational(7, 2), 4)


@pytest.mark.exact
def test_bernoulli_identities(monkeypatch):
    assert bounds.bernoulli_identities(12).checked == 13
    with_bernoulli(monkeypatch, B1=F(1, 2))
    assert bounds.bernoulli_identities(4).failure == "Σ C(2, j) B_j is 2, not 0"
    monkeypatch.undo()
    monkeypatch.setattr(weights, "design", lambda k: (F(0),) * k + (F(1),))
    assert bounds.bernoulli_identities(4).failure.startswith("λ(2, ·) lacks its symmetry")


# --- laws -------------------------------------------------------------------------------------------------


NUMBERS = st.integers(-50, 50)


@pytest.mark.law
@settings(max_examples=25)
@given(st.lists(NUMBERS, min_size=32, max_size=32), st.integers(1, 4))
def test_games_of_degree_k_show_their_moebius_coefficients(numbers, k):
    coefficients = [value if mask.bit_count() <= k else 0 for mask, value in enumerate(numbers)]
    game = [sum(coefficients[part] for part in subsets(mask)) for mask in range(32)]
    assert values(operators.moebius(5), game) == coefficients
    assert index(game, k) == [coefficients[s] for s in sets(5, k)]
    assert index(game, k + 1) == [0] * comb(5, k + 1)


@pytest.mark.law
@settings(max_examples=10)
@given(st.lists(NUMBERS, min_size=16, max_size=16), st.permutations(range(4)), st.integers(1, 3))
def test_players_can_be_renamed(numbers, order, k):
    renamed = {mask: sum(1 << order[i] for i in range(4) if mask >> i & 1) for mask in range(16)}
    game = [0] * 16
    for mask, value in enumerate(numbers):
        game[renamed[mask]] = value
    first, second = (
        dict(zip(sets(4, k), index(numbers, k), strict=True)),
        dict(zip(sets(4, k), index(game, k), strict=True)),
    )
    assert all(first[s] == second[renamed[s]] for s in first)


@pytest.mark.law
def test_a_player_that_never_matters():
    for player in range(4):
        game = [(mask & ~(1 << player)) ** 2 for mask in range(16)]
        for k in (1, 2, 3):
            found = dict(zip(sets(4, k), index(game, k), strict=True))
            assert all(value == 0 for s, value in found.items() if s >> player & 1)
