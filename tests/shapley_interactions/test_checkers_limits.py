"""The exact instruments at their limits: what they refuse, in which words, and the smallest cases by hand."""

from fractions import Fraction as F
from itertools import islice

import pytest
from flint import fmpq_mat

from theory.shapley_interactions import bounds
from theory.shapley_interactions.checkers import harmonics, operators, paired, theorems, weights
from theory.shapley_interactions.checkers.least_squares import Regression, constrained_operator, finite_operator

pytestmark = pytest.mark.exact


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: weights.bernoulli(-1), "`m` must be an integer between 0 and 256, got -1"),
        (lambda: weights.bernoulli(257), "`m` must be an integer between 0 and 256, got 257"),
        (lambda: weights.design(0), "`k` must be an integer between 1 and 64, got 0"),
        (lambda: weights.design(65), "`k` must be an integer between 1 and 64, got 65"),
        (lambda: weights.kernel(1, 1), "`n` must be at least 2k = 2 for a coalition to be inner, got 1"),
        (lambda: weights.kernel(0, 1), "`n` must be an integer at least 1, got 0"),
        (lambda: weights.kernel(4, 0), "`k` must be an integer at least 1, got 0"),
        (lambda: weights.index_weight(3, 4, 1, 1), "`k` must be an integer between 1 and 3, got 4"),
        (lambda: weights.index_weight(3, 0, 1, 1), "`k` must be an integer between 1 and 3, got 0"),
        (lambda: weights.index_weight(0, 1, 1, 1), "`n` must be an integer at least 1, got 0"),
        (lambda: weights.sets(13, 1), "`n` must be an integer between 1 and 12, got 13"),
        (lambda: weights.sets(0, 0), "`n` must be an integer between 1 and 12, got 0"),
        (lambda: weights.sets(3, -1), "`k` must be an integer between 0 and 3, got -1"),
        (lambda: operators.moebius(0), "`n` must be an integer between 1 and 12, got 0"),
        (lambda: operators.moebius(13), "`n` must be an integer between 1 and 12, got 13"),
        (lambda: operators.definition(0, 1), "`n` must be an integer between 1 and 12, got 0"),
        (lambda: operators.inclusion(3, 0), "`k` must be an integer between 1 and 3, got 0"),
        (lambda: operators.lower_orders(3, -1), "`k` must be an integer between 0 and 3, got -1"),
        (lambda: operators.lower_orders(3, 4), "`k` must be an integer between 0 and 3, got 4"),
        (lambda: operators.lower_orders(0, 0), "`n` must be an integer between 1 and 12, got 0"),
        (lambda: operators.column([5]), "`values` must be 2^n numbers for n players, got 1"),
        (lambda: operators.column([]), "`values` must be 2^n numbers for n players, got 0"),
        (lambda: Regression.of(0, 1), "`n` must be an integer between 1 and 12, got 0"),
        (lambda: Regression.of(3, 0), "`k` must be an integer between 1 and 3, got 0"),
        (lambda: Regression.of(3, 4), "`k` must be an integer between 1 and 3, got 4"),
        (lambda: finite_operator(Regression.of(2, 1), 0), "`outer_weight` must be an integer at least 1, got 0"),
        (lambda: constrained_operator(3, 2), "`n` must be at least 2k = 4 for a coalition to be inner, got 3"),
        (lambda: harmonics.component(201, 1, 1, 1, F), "`n` must be an integer between 1 and 200, got 201"),
        (lambda: harmonics.component(0, 1, 0, 0, F), "`n` must be an integer between 1 and 200, got 0"),
        (lambda: harmonics.component(4, 0, 1, 0, F), "`k` must be an integer between 1 and 4, got 0"),
        (lambda: harmonics.component(4, 2, 1, 3, F), "`j` must be an integer between 0 and 2, got 3"),
        (lambda: harmonics.component(4, 2, 1, -1, F), "`j` must be an integer between 0 and 2, got -1"),
        (lambda: harmonics.component(4, 2, 0, 1, F), "`t` must be an integer between 1 and 3, got 0"),
        (lambda: harmonics.constant_index(0, 1, [0]), "`n` must be an integer between 1 and 200, got 0"),
        (lambda: harmonics.constant_index(2, 0, [0, 0, 0]), "`k` must be an integer between 1 and 2, got 0"),
        (lambda: next(paired.congruential(-1)), "`seed` must be an integer at least 0, got -1"),
        (lambda: paired.congruential_game(13, 0), "`n` must be an integer between 1 and 12, got 13"),
        (lambda: paired.congruential_game(0, 0), "`n` must be an integer between 1 and 12, got 0"),
        (lambda: theorems.first_available_game(0, None, 0), "`n` must be an integer between 1 and 12, got 0"),
        (lambda: bounds.steps_of_order(0), "`k` must be an integer between 1 and 8, got 0"),
        (lambda: bounds.steps_of_order(9), "`k` must be an integer between 1 and 8, got 9"),
        (lambda: bounds.bernoulli_identities(0), "`highest` must be an integer between 1 and 64, got 0"),
        (lambda: bounds.bernoulli_identities(65), "`highest` must be an integer between 1 and 64, got 65"),
    ],
)
def test_one_sentence(call, message):
    with pytest.raises(ValueError, match=r"\S") as caught:
        call()
    assert str(caught.value) == message


def test_the_largest_that_is_taken():
    assert weights.bernoulli(256) < 0
    assert len(weights.design(64)) == 65
    assert len(weights.sets(12, 12)) == 1
    assert harmonics.component(200, 1, 1, 1, F) == 1
    assert harmonics.component(1, 1, 0, 0, F) == 0
    assert len(paired.congruential_game(12, 0)) == 4096
    assert bounds.bernoulli_identities(1).checked == 2


def test_one_and_two_players():
    assert operators.column([3, 7]).nrows() == 2
    assert operators.entries(operators.definition(1, 1) * operators.column([3, 7])) == [4]
    assert operators.entries(operators.moebius(1)) == [1, 0, -1, 1]
    assert operators.entries(operators.lower_orders(1, 0)) == [1, 0, 1, 0]
    assert operators.entries(operators.residual(1, 1)) == [0, 0, -1, 1]
    assert theorems.first_available_game(1, 0, 0) == [0, 1]
    # Shapley values of two players from the limit: (v1 − v∅ + vN − v2)/2
    halves = [[-1, 1, -1, 1], [-1, -1, 1, 1]]
    assert operators.entries(2 * constrained_operator(2, 1)) == [*halves[0], *halves[1]]


def test_weights_of_the_index_by_hand():
    # n = 4, pairs: 1/3 at no or both other players, 1/6 at one of them
    table = [[weights.index_weight(4, 2, t, common) for common in range(3)] for t in range(5)]
    third, sixth = F(1, 3), F(1, 6)
    assert table == [
        [third, 0, 0],
        [sixth, -third, 0],
        [third, -sixth, third],
        [0, -third, sixth],
        [0, 0, third],
    ]


def test_regressions_by_hand():
    found = Regression.of(4, 2)
    assert (dict(found.inner), found.outer) == ({2: F(1)}, frozenset({0, 1, 3, 4}))
    assert found.weight(7)[:8] == [7, 7, 7, 1, 7, 1, 1, 7]
    left_out = Regression.of(4, 2, outer=frozenset({0, 4}))
    assert left_out.weight(1)[:4] == [1, 0, 0, 1]
    assert Regression.of(3, 2).outer == frozenset(range(4))  # nothing is inner
    assert dict(Regression.of(3, 2).inner) == {}


def test_numbers_of_the_generator():
    first = (1103515245 * 5 + 12345) % 2**31
    second = (1103515245 * first + 12345) % 2**31
    assert list(islice(paired.congruential(5), 2)) == [x // 65536 % 201 - 100 for x in (first, second)]


def test_games_of_a_degree():
    # m = 1, 2, 3, (skipped) in the order of masks, for degree 1
    assert paired.game_of_degree(2, 1, iter([1, 2, 3])) == [1, 3, 4, 6]
    assert paired.game_of_degree(2, 2, iter([1, 2, 3, 4])) == [1, 3, 4, 10]


def test_weights_of_a_pair_are_equal():
    drawn = paired.paired_sample(1).drawn
    assert all(drawn[63 ^ mask] == weight > 0 for mask, weight in drawn.items())
    assert {mask.bit_count() for mask in drawn} == {2, 3, 4}
    assert {weight.denominator for weight in drawn.values()} <= {1, 7}


def test_the_last_game_may_be_the_one_that_fails(monkeypatch):
    monkeypatch.setattr(harmonics, "constant_direct", lambda n, k, game: F(game[-1]))
    monkeypatch.setattr(harmonics, "constant_index", lambda n, k, game: F(0))
    assert harmonics.direct_fails(6, 3) == (6, 1, 0)
    monkeypatch.setattr(harmonics, "constant_direct", lambda n, k, game: F(0))
    assert harmonics.direct_fails(6, 3) is None


def test_rows_that_do_not_see_constants(monkeypatch):
    monkeypatch.setattr(weights, "design", lambda k: (F(0),) * (k + 1))
    with pytest.raises(ValueError, match="the outer rows of n = 6, k = 3 do not see the constant component"):
        harmonics.constant_direct(6, 3, [0] * 7)


def test_restricted_operators():
    assert operators.entries(operators.restricted(operators.matrix([[1, 2, 3], [4, 5, 6]], 3), {0, 2})) == [
        1,
        0,
        3,
        4,
        0,
        6,
    ]
    assert operators.operators_equal(fmpq_mat(0, 2), fmpq_mat(0, 2), []).holds


def test_inner_and_outer_coalitions():
    inner, outer = theorems.inner_and_outer(4, 2)
    assert inner == {3, 5, 6, 9, 10, 12}
    assert inner | outer == set(range(16))
    assert not inner & outer
