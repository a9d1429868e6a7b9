"""The worked examples, to the digit: a game of three players, one of four with inner coalitions, and its mutants."""

from fractions import Fraction as F

import pytest

from tests.shapley_interactions.exact_games import (
    constrained,
    direct,
    fractions,
    index,
    split,
    values,
    with_bernoulli,
)
from theory.shapley_interactions.checkers import operators, weights
from theory.shapley_interactions.checkers.estimates import rational_index, rational_k_sii
from theory.shapley_interactions.checkers.harmonics import constant_direct, constant_index, constant_residual
from theory.shapley_interactions.checkers.least_squares import NotUnique
from theory.shapley_interactions.checkers.paired import congruential, congruential_game

pytestmark = pytest.mark.exact

THREE = [0, 1, 2, 5, 4, 5, 6, 15]
FOUR = [55, 30, -37, -72, -3, 100, -4, 83, 32, -34, 36, 4, -61, -100, -35, -44]
PAIRS = fractions("29/3", "451/6", "-413/6", "325/6", "505/6", "-358/3")


def lower(game, k):
    return values(operators.lower_orders(len(game).bit_length() - 1, k), game)


def test_rows_of_the_design():
    rows = {
        1: "0 1",
        2: "0 -1/2 0",
        3: "0 1/6 -1/6 0",
        4: "0 0 1/6 0 0",
        5: "0 -1/30 -1/15 1/15 1/30 0",
        6: "0 0 -1/30 -1/10 -1/30 0 0",
    }
    for k, row in rows.items():
        assert list(weights.design(k)) == fractions(*row.split())


def test_bernoulli_numbers():
    wanted = fractions("1", "-1/2", "1/6", "0", "-1/30", "0", "1/42", "0", "-1/30", "0", "5/66")
    assert [weights.bernoulli(m) for m in range(11)] == wanted


def test_kernels():
    assert weights.kernel(4, 2) == {2: 1}  # n = 2k: one size, weight one
    assert weights.kernel(5, 2) == {2: F(1, 2), 3: F(1, 2)}
    assert weights.kernel(6, 2) == {2: F(1, 3), 3: F(1, 6), 4: F(1, 3)}
    assert weights.kernel(4, 1) == {1: F(1, 3), 2: F(1, 6), 3: F(1, 3)}


def test_three_players():
    assert values(operators.moebius(3), THREE) == [0, 1, 2, 2, 4, 0, 0, 6]
    assert index(THREE, 1) == [4, 5, 6]
    assert index(THREE, 2) == [5, 3, 3]
    assert index(THREE, 3) == [6]
    assert direct(THREE, 2) == [5, 3, 3]
    two, three = operators.aggregated(3, 2), operators.aggregated(3, 3)
    assert [values(two[s], THREE) for s in (1, 2)] == [[0, 1, 3], [5, 3, 3]]
    assert [values(three[s], THREE) for s in (1, 2, 3)] == [[1, 2, 4], [2, 0, 0], [6]]
    assert lower(THREE, 1) == [0, 4, 5, 9, 6, 10, 11, 15]
    assert lower(THREE, 2) == [0, 0, 1, 6, 3, 6, 7, 15]
    assert lower(THREE, 3) == THREE


def test_three_players_without_operators():
    found = rational_index(THREE, 3)
    assert found == {1: [4, 5, 6], 2: [5, 3, 3], 3: [6]}
    assert rational_k_sii(found, 3) == {1: [1, 2, 4], 2: [2, 0, 0], 3: [6]}
    assert rational_k_sii(rational_index(THREE, 2), 3) == {1: [0, 1, 3], 2: [5, 3, 3]}


def test_the_game_of_four_players():
    assert congruential_game(4, 1) == FOUR
    numbers = congruential(1)
    assert [next(numbers) for _ in range(16)] == FOUR
    assert index(FOUR, 1) == fractions("-7", "-40/3", "-145/6", "-109/2")
    assert sum(index(FOUR, 1)) == FOUR[-1] - FOUR[0] == -99


@pytest.mark.parametrize("form", [index, direct, split, constrained])
def test_four_players_in_every_form(form):
    assert form(FOUR, 2) == PAIRS


def test_residual_game_of_four_players():
    wanted = "0 -18 -236/3 -320/3 -203/6 457/6 -43/2 145/2 63/2 -55/2 293/6 143/6 -112/3 -208/3 2 0"
    y = values(operators.residual(4, 2), FOUR)
    assert y == fractions(*wanted.split())
    assert -(y[0b0001] + y[0b1110]) == 16 == PAIRS[0] + PAIRS[1] + PAIRS[2]


# --- mutants of the four-player game ----------------------------------------------------------------------


def test_the_other_sign_of_b1(monkeypatch):
    with_bernoulli(monkeypatch, B1=F(1, 2))
    wrong = "-2561/63 44341/630 -15551/630 -809/630 48919/630 -5060/63"
    assert direct(FOUR, 2) == fractions(*wrong.split())
    two = operators.aggregated(4, 2)
    assert sum(values(two[1], FOUR)) + sum(values(two[2], FOUR)) == -29 != -99


def test_the_split_and_constrained_forms_do_not_see_the_sign_of_b1(monkeypatch):
    with_bernoulli(monkeypatch, B1=F(1, 2))
    assert split(FOUR, 2) == constrained(FOUR, 2) == PAIRS


def test_b0_and_b2_swapped(monkeypatch):
    with_bernoulli(monkeypatch, B0=F(1, 6), B2=F(1))
    assert direct(FOUR, 2) != PAIRS
    assert split(FOUR, 2) != PAIRS


@pytest.mark.parametrize(
    ("left_out", "wrong"),
    [(1, "49/3 173/3 -78 42 241/3 -442/3"), (3, "3 278/3 -179/3 199/3 88 -274/3")],
)
def test_an_outer_size_left_out(left_out, wrong):
    assert direct(FOUR, 2, outer=frozenset({0, 1, 3, 4} - {left_out})) == fractions(*wrong.split())


def test_both_outer_sizes_left_out():
    with pytest.raises(NotUnique, match="singular"):
        direct(FOUR, 2, outer=frozenset({0, 4}))


def test_the_empty_and_the_full_coalition_say_nothing_to_order_2():
    """Their rows and responses vanish: without them the answer is the same."""
    assert direct(FOUR, 2, outer=frozenset({1, 3})) == PAIRS


# --- symmetric games: order 3 fails -------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "wrong", "right"), [(5, "1/3", "2/3"), (6, "3/26", "1/2"), (7, "1/20", "2/5")])
def test_order_three_on_singletons(n, wrong, right):
    game = [int(mask.bit_count() == 1) for mask in range(1 << n)]
    assert set(direct(game, 3)) == {F(wrong)}
    assert set(index(game, 3)) == {F(right)}
    by_size = [int(t == 1) for t in range(n + 1)]
    assert (constant_direct(n, 3, by_size), constant_index(n, 3, by_size)) == (F(wrong), F(right))


def test_order_three_on_large_coalitions():
    by_size = [int(t >= 4) for t in range(7)]
    game = [by_size[mask.bit_count()] for mask in range(64)]
    assert set(direct(game, 3)) == {F(-5, 26)} == {constant_direct(6, 3, by_size)}
    assert set(index(game, 3)) == {0} == {constant_index(6, 3, by_size)}
    assert set(split(game, 3)) == {0}


def test_residual_of_singletons_by_size():
    n = 8
    wanted = [F(int(t == 1)) - F(t * (n - t), 2 * (n - 1)) for t in range(n + 1)]
    assert constant_residual(n, 3, [int(t == 1) for t in range(n + 1)]) == wanted
    # at n = 4 the direct form of order 3 is right
    assert constant_direct(4, 3, [0, 1, 0, 0, 0]) == constant_index(4, 3, [0, 1, 0, 0, 0]) == 1
