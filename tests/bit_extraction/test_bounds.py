"""Counts of bit extraction: the tables of reference, closed forms, Theorem 4, and the trade-off's two sides."""

import itertools
import math
from fractions import Fraction

import pytest

from constructions.bit_extraction import Design, word_cap
from constructions.bit_extraction.choice import choose
from constructions.bit_extraction.counts import parameters
from theory.bit_extraction import bounds as counts

TABLE = [  # n, lookup, K, J, m, r, P, depth, maximal width
    (1, "deep", 55, 2, 7, 1, 2000, 70, 7),
    (1, "deep", 575, 5, 9, 1, 4544, 162, 7),
    (1, "deep", 10751, 8, 21, 1, 18576, 686, 7),
    (1, "deep", 20223, 7, 79, 2, 27420, 662, 8),
    (1, "deep", 202751, 10, 99, 3, 127034, 2558, 9),
    (1, "wide", 95, 4, 3, 1, 1836, 64, 12),
    (1, "wide", 2303, 7, 9, 1, 5002, 120, 38),
    (1, "wide", 10751, 8, 21, 1, 8130, 180, 42),
    (1, "wide", 507903, 13, 31, 1, 39646, 260, 290),
    (1, "wide", 1015807, 14, 31, 1, 65086, 268, 322),
    (2, "deep", 5, 0, 3, 1, 9572, 126, 12),
    (2, "deep", 95, 4, 3, 1, 52921, 1214, 12),
    (2, "deep", 447, 5, 7, 2, 273919, 4646, 13),
    (2, "wide", 383, 6, 3, 1, 51043, 234, 163),
    (2, "wide", 895, 6, 7, 2, 118427, 578, 163),
    (3, "deep", 5, 0, 3, 1, 96224, 658, 15),
    (3, "deep", 47, 3, 3, 1, 327090, 4850, 15),
    (3, "deep", 19, 1, 5, 3, 493751, 2594, 17),
    (3, "wide", 95, 4, 3, 1, 183420, 810, 164),
    (3, "wide", 19, 1, 5, 3, 490609, 2546, 17),
    (4, "deep", 5, 0, 3, 2, 955245, 4050, 18),
    (4, "wide", 11, 1, 3, 2, 971049, 4162, 18),
    (4, "deep", 11, 1, 3, 2, 986725, 4370, 18),
]


@pytest.mark.parametrize(("n", "lookup", "cells", "J", "m", "r", "P", "depth", "width"), TABLE)
def test_rows_of_the_reference_tables(n, lookup, cells, J, m, r, P, depth, width):
    assert 2 ** (J + 1) * m - 1 == cells
    H = counts.header(n, cells)
    hidden = counts.widths(n, J, m, H, r, lookup)
    assert counts.parameters_of_widths(hidden, n) == P
    assert len(hidden) == counts.depth(n, J, m, H, lookup) == depth
    assert max(hidden) == width
    assert parameters(Design(n, J, m, H, r, lookup), n) == P


def test_networks_of_equal_guarantee():
    """Cheapest designs for eps = 0.1 … 1e-6; two rows of the reference allowed fewer words a block and were dearer."""
    expected = {
        (1, "wide"): [909, 1162, 1836, 2278, 4106, 8130, 17798, 65086],
        (1, "deep"): [894, 1208, 2000, 2426, 6008, 18576, 76582, 434258],
        (2, "wide"): [11943, 13991, 17799, 26547, 261025],
        (2, "deep"): [13517, 21975, 52921, 111571, 2044181],
        (3, "wide"): [105994, 122584, 183420, 530458],
        (3, "deep"): [129214, 327090, 1886086, 7582252],
    }
    inverse = [10, 20, 50, 100, 1000, 10**4, 10**5, 10**6]
    root = {1: Fraction(1), 2: 1 + Fraction(707106782, 10**9), 3: 1 + Fraction(866025404, 10**9)}
    for (n, lookup), row in expected.items():
        found = []
        for i in inverse[: len(row)]:
            K0 = -(-root[n] * i // 1) if n > 1 else i + 1
            found.append(parameters(choose(n, int(K0), lookup=lookup, cap=51), n))
        assert found == row, (n, lookup)
    assert parameters(Design(2, 7, 7, counts.header(2, 1791), 2), 2) == 3501835
    assert parameters(Design(3, 5, 3, counts.header(3, 191), 1), 3) == 14333298


@pytest.mark.parametrize("lookup", ["deep", "wide"])
def test_closed_forms_equal_the_widths(lookup):
    for n, J, m, H in itertools.product((1, 2), range(5), (3, 5, 9), (2, 7)):
        hidden = counts.widths(n, J, m, H, 1, lookup)
        assert counts.closed_parameters(n, J, m, H, lookup) == counts.parameters_of_widths(hidden, n)
        assert counts.closed_parameters(n, J, m, H, lookup, inputs=n + 2) == counts.parameters_of_widths(hidden, n + 2)


def test_closed_forms_equal_the_widths_at_more_sizes_than_they_have_coefficients():
    for n, deepest in ((1, 8), (2, 6), (3, 5)):
        for J, m, H in itertools.product(range(deepest + 1), (3, 5, 7, 9), (2, 3, 7)):
            hidden = counts.widths(n, J, m, H, 1, "deep")
            assert counts.closed_parameters(n, J, m, H, "deep") == counts.parameters_of_widths(hidden, n)


def test_theorem_4_holds_and_is_not_loose():
    for n, limit in ((1, 4000), (2, 2000), (3, 500)):
        ratios = []
        for cells in range(2, limit, 3):
            J, m = counts.balanced(cells)
            assert 2 ** (J + 1) * m - 1 >= cells
            P = counts.closed_parameters(n, J, m, counts.header(n, 2 ** (J + 1) * m - 1))
            ratios.append(P / counts.rate_bound(n, cells))
        assert 0.4 < max(ratios) <= 1


def test_asymptotic_constants():
    assert [round(counts.asymptotic_constant(n), 1) for n in (1, 2, 3)] == [129.6, 387.8, 802.8]
    for n, cells in ((1, 10**14), (2, 10**7), (3, 10**5)):
        ratio = counts.cheapest(n, cells)[0] / cells ** (n / 2) / counts.asymptotic_constant(n)
        assert 1 <= ratio <= 1.6


def test_the_trade_off_has_its_constants():
    assert counts.trade_off_constant(3, 0) == pytest.approx(0.65, abs=0.01)
    assert counts.trade_off_constant(3, 1) == pytest.approx(5.67e4, rel=0.01)
    assert counts.trade_off_constant(3, 2) == pytest.approx(1.48e6, rel=0.01)
    assert counts.trade_off_constant(3, 3) == pytest.approx(4.19e6, rel=0.01)
    assert counts.trade_off_point(3, 1, 100, Fraction(1, 3), "wide")[0] == 11449


def test_lower_side_grows_like_the_upper():
    low = [counts.trade_off_lower(2, 10**e, 1) / 10 ** (2 * e) for e in (3, 5, 7)]
    assert all(0.005 < value < 0.2 for value in low)
    assert counts.trade_off_lower(2, 10**6, 1) < counts.trade_off_point(2, 2, 10**6, Fraction(1))[1] ** 2
    assert counts.naive_parameters(10) == 16
    assert counts.naive_parameters(10**6) == 1500001


def test_what_stored_numbers_can_tell_apart():
    """One bit fewer than M sign patterns need is refused, M bits are allowed: N·b ≥ M for the least N."""
    for n, inverse, experts, bits in ((1, 10**6, 1, 64), (1, 10, 1, 1), (2, 7, 3, 8), (3, 9, 5, 53), (1, 999, 7, 64)):
        points = math.ceil(Fraction(inverse, 2)) ** n
        least = counts.trade_off_information(n, inverse, experts, bits)
        P = math.isqrt(least // experts)
        assert experts * P**2 == least
        assert experts * P * bits >= points > experts * (P - 1) * bits
    assert counts.trade_off_information(1, 10**6, 1) == 7813**2
    # where there is one expert the bound is far above what shattering gives, on a line
    assert counts.trade_off_information(1, 10**6, 1) > 1000 * counts.trade_off_lower(1, 10**6, 1)


def test_hats_of_all_signs_are_lipschitz_and_apart():
    """The packing behind it: hats of height h > eps at spacing 2h on [0, 1], every sign pattern."""
    inverse = 10
    side, eps = math.ceil(Fraction(inverse, 2)), Fraction(1, inverse)
    h = Fraction(1, 2 * (side - 1))
    assert h > eps
    centres = [2 * h * i for i in range(side)]
    assert centres[-1] <= 1
    knots = sorted({c + move for c in centres for move in (-h, 0, h) if 0 <= c + move <= 1})
    for signs in itertools.product((-1, 1), repeat=side):
        values = [sum(s * max(Fraction(0), h - abs(x - c)) for s, c in zip(signs, centres, strict=True)) for x in knots]
        slopes = [(b - a) / (y - x) for (x, a), (y, b) in itertools.pairwise(zip(knots, values, strict=True))]
        assert max(map(abs, slopes)) <= 1
        assert [values[knots.index(c)] for c in centres] == [s * h for s in signs]


def test_the_widths_can_disagree():
    """The comparison is not with itself: another header, block or word count changes the list."""
    base = counts.widths(2, 2, 3, 7)
    for other in ((2, 2, 3, 8), (2, 2, 5, 7), (2, 3, 3, 7), (2, 2, 3, 7, 2)):
        assert counts.widths(*other) != base
    with pytest.raises(ValueError, match="`n`"):
        counts.closed_parameters(4, 1, 3, 4)
    with pytest.raises(ValueError, match="`J`"):
        counts.closed_parameters(3, 9, 3, 4, "wide")
    assert word_cap("deep") == 51
