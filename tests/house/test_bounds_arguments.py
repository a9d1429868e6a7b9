"""Closed mathematics at its edges: wrong types, sizes without end, and values by hand."""

import math
import time
from fractions import Fraction

import pytest

from constructions import BudgetExceeded
from theory.bit_extraction import bounds as counts
from theory.vc_dimension import bounds as vc
from theory.vc_dimension.bounds import Architecture

WRONG = (0, -1, 2.0, True, "3", None, [2], math.nan)
A = Architecture(2, 1, 2)
FORMULAS = {
    "Architecture n": ("n", lambda v: Architecture(v, 1, 1)),
    "Architecture depth": ("depth", lambda v: Architecture(1, v, 1)),
    "Architecture width": ("width", lambda v: Architecture(1, 1, v)),
    "pattern_count variables": ("variables", lambda v: vc.pattern_count(3, v, 1)),
    "pattern_count degree": ("degree", lambda v: vc.pattern_count(3, 1, v)),
    "sauer_growth": ("dimension", vc.sauer_growth),
    "routing_growth n": ("n", lambda v: vc.routing_growth(v, 2)),
    "routing_growth": ("experts", lambda v: vc.routing_growth(2, v)),
    "flat_growth": ("experts", lambda v: vc.flat_growth(2, v, vc.constant_growth)),
    "tree_growth": ("experts", lambda v: vc.tree_growth(2, v, vc.constant_growth)),
    "vc_upper_flat": ("experts", lambda v: vc.vc_upper_flat(A, v)),
    "vc_upper_tree": ("experts", lambda v: vc.vc_upper_tree(A, v)),
    "vc_upper_free depth": ("depth", lambda v: vc.vc_upper_free(5, v)),
    "vc_upper_free": ("parameters", lambda v: vc.vc_upper_free(v, 5)),
    "largest": ("start", lambda v: vc.largest(vc.constant_growth, start=v)),
    "closed_flat": ("experts", lambda v: vc.closed_flat(A, v)),
    "clean_flat n": ("n", lambda v: vc.clean_flat(v, 2, 9)),
    "clean_flat": ("experts", lambda v: vc.clean_flat(2, v, 9)),
    "clean_tree": ("experts", lambda v: vc.clean_tree(2, v, 9)),
    "clean_tree vc": ("expert_vc", lambda v: vc.clean_tree(2, 2, v)),
    "grid_points": ("n", lambda v: vc.grid_points(v, 0.1)),
    "parameters_of_mlp": ("depth", lambda v: vc.parameters_of_mlp(2, 0.1, v)),
    "parameters_of_momlp": ("depth", lambda v: vc.parameters_of_momlp(2, 0.1, v, 2)),
    "parameters_of_momlp L": ("experts", lambda v: vc.parameters_of_momlp(2, 0.1, 2, v)),
    "no_go_eps": ("vc_upper", lambda v: vc.no_go_eps(v, 2)),
    "no_go_eps n": ("n", lambda v: vc.no_go_eps(5, v)),
    "widths n": ("n", lambda v: counts.widths(v, 1, 3, 2)),
    "widths m": ("m", lambda v: counts.widths(1, 1, v, 2)),
    "widths r": ("r", lambda v: counts.widths(1, 1, 3, 2, v)),
    "depth": ("n", lambda v: counts.depth(v, 1, 3, 2)),
    "closed_parameters": ("n", lambda v: counts.closed_parameters(v, 1, 3, 2)),
    "index_part": ("n", lambda v: counts.index_part(v, 1, "deep")),
    "closed_nonzeros": ("m", lambda v: counts.closed_nonzeros(1, 1, v, 2)),
    "rate_bound": ("cells", lambda v: counts.rate_bound(1, v)),
    "rate_bound n": ("n", lambda v: counts.rate_bound(v, 5)),
    "balanced": ("cells", counts.balanced),
    "header": ("cells", lambda v: counts.header(1, v)),
    "cheapest": ("cells", lambda v: counts.cheapest(1, v)),
    "cheapest n": ("n", lambda v: counts.cheapest(v, 5)),
    "asymptotic_constant": ("n", counts.asymptotic_constant),
    "trade_off_constant": ("n", lambda v: counts.trade_off_constant(v, 0)),
    "needed_cells": ("n", lambda v: counts.needed_cells(v, Fraction(5))),
    "trade_off_point n": ("n", lambda v: counts.trade_off_point(v, 1, 10, Fraction(1, 2))),
    "trade_off_point k": ("k", lambda v: counts.trade_off_point(2, v, 10, Fraction(1, 2))),
    "trade_off_point": ("inverse_eps", lambda v: counts.trade_off_point(2, 1, v, Fraction(1, 2))),
    "trade_off_lower": ("inverse_eps", lambda v: counts.trade_off_lower(2, v, 2)),
    "trade_off_information": ("inverse_eps", lambda v: counts.trade_off_information(2, v, 2)),
    "trade_off_information L": ("experts", lambda v: counts.trade_off_information(2, 10, v)),
    "trade_off_information b": ("bits", lambda v: counts.trade_off_information(2, 10, 2, v)),
    "trade_off_lower L": ("experts", lambda v: counts.trade_off_lower(2, 10, v)),
    "naive_parameters": ("inverse_eps", counts.naive_parameters),
}


@pytest.mark.parametrize("name", FORMULAS)
def test_wrong_sizes_are_named(name):
    argument, call = FORMULAS[name]
    for value in WRONG:
        with pytest.raises(ValueError, match=f"`{argument}` must be an integer"):
            call(value)


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda: vc.vc_upper_mlp((2, 1, 2)), TypeError, "`architecture`"),
        (lambda: vc.vc_upper_flat(None, 2), TypeError, "`architecture`"),
        (lambda: vc.vc_upper_tree("relu", 2), TypeError, "`architecture`"),
        (lambda: vc.closed_mlp(3), TypeError, "`architecture`"),
        (lambda: vc.closed_flat(3, 2), TypeError, "`architecture`"),
        (lambda: vc.tree_growth(2, 4, vc.constant_growth, valency=1), ValueError, "`valency`"),
        (lambda: vc.tree_factor(1.5), ValueError, "`valency`"),
        (lambda: vc.log2(0), ValueError, "`value` must be positive"),
        (lambda: vc.log2(-1), ValueError, "`value` must be positive"),
        (lambda: vc.pattern_count(-1, 1, 1), ValueError, "`count`"),
        (lambda: vc.pattern_count(math.nan, 1, 1), ValueError, "`count`"),
        (lambda: vc.grid_points(2, math.nan), ValueError, "`eps`"),
        (lambda: vc.grid_points(2, "0.1"), ValueError, "`eps`"),
        (lambda: vc.grid_points(10**9, 0.1), BudgetExceeded, "of more than 1048576 bits"),
        (lambda: vc.grid_points(2, Fraction(1, 10**300_000)), ValueError, "bits|`eps`"),
        (lambda: vc.largest(lambda m: math.nan), ValueError, "`growth` must be finite, got nan at m = 1"),
        (lambda: vc.largest(lambda m: math.inf), ValueError, "`growth` must be finite, got inf"),
        (lambda: counts.widths(1, -1, 3, 2), ValueError, "`J`"),
        (lambda: counts.widths(1, 1, 3, -1), ValueError, "`H`"),
        (lambda: counts.widths(1, 1, 3, 2, lookup="shallow"), ValueError, "`lookup`"),
        (lambda: counts.widths(1, 4000, 3, 2), BudgetExceeded, "layers, more than 1048576"),
        (lambda: counts.widths(3, 1, 10**9, 2), BudgetExceeded, "layers, more than 1048576"),
        (lambda: counts.widths(1, 10**9, 3, 2), ValueError, "`J`"),
        (lambda: counts.closed_parameters(1, 10**20, 3, 2), ValueError, "`J`"),
        (lambda: counts.closed_parameters(1, 2, 3, 2, inputs=0), ValueError, "`inputs`"),
        (lambda: counts.index_part(1, 13, "wide"), ValueError, "`J` must be below 13"),
        (lambda: counts.index_part(1, 1, None), ValueError, "`lookup`"),
        (lambda: counts.cheapest(1, 10**60), ValueError, "`cells`"),
        (lambda: counts.cheapest(1, 5, "no"), ValueError, "`lookup`"),
        (lambda: counts.trade_off_constant(3, 4), ValueError, "`k`"),
        (lambda: counts.trade_off_constant(10**9, 1), ValueError, "`n`"),
        (lambda: counts.trade_off_point(2, 1, 10, 0.5), TypeError, "`share`"),
        (lambda: counts.trade_off_point(2, 1, 10, Fraction(1)), ValueError, "`share`"),
        (lambda: counts.trade_off_point(2, 2, 10, Fraction(1, 2)), ValueError, "`share`"),
        (lambda: counts.trade_off_point(2, 1, 10, Fraction(0)), ValueError, "`share`"),
        (lambda: counts.trade_off_point(10**9, 1, 10, Fraction(1, 2)), BudgetExceeded, "`n` must be smaller"),
        (lambda: counts.trade_off_lower(2, 2, 2), ValueError, "`inverse_eps`"),
        (lambda: counts.needed_cells(2, 0.5), TypeError, "`inverse_eps`"),
        (lambda: counts.needed_cells(2, Fraction(0)), ValueError, "`inverse_eps`"),
        (lambda: counts.parameters_of_widths(None, 1), TypeError, "`hidden`"),
        (lambda: counts.parameters_of_widths([1, 0], 1), ValueError, "`hidden`"),
        (lambda: Architecture(10**51, 1, 1), ValueError, "`n`"),
        (lambda: Architecture(1, 10**20, 1), ValueError, "`depth` must be an integer between 1 and 1024"),
        (lambda: Architecture(1, 1, 10**5000), ValueError, "`width`"),
        (lambda: vc.vc_upper_flat(A, 10**51), ValueError, "`experts`"),
    ],
)
def test_bad_arguments_are_named_at_once(call, kind, message):
    start = time.process_time()
    with pytest.raises(kind, match=message):
        call()
    assert time.process_time() - start < 3


def test_the_largest_sizes_stay_numbers():
    huge = 10**50
    upper = vc.vc_upper_flat(Architecture(huge, 1, huge), huge)
    assert 10**150 < upper < 10**155
    assert vc.vc_upper_tree(Architecture(huge, 1, huge), 2**166) > 10**149
    assert math.isfinite(vc.closed_flat(Architecture(huge, 1, huge), huge))
    assert vc.no_go_eps(upper, 10**9) == 0.5
    assert vc.no_go_eps(10**400, 1) == 0
    assert math.isfinite(vc.clean_tree(huge, huge, 10**51))


# --- values by hand -----------------------------------------------------------------------------------------


@pytest.mark.exact
def test_architectures_by_hand():
    """n = 3, J = 2, W = 4: 16 + 20 + 5 weights, 8 slopes."""
    a, slopes = Architecture(3, 2, 4), Architecture(3, 2, 4, "prelu_trainable")
    assert (a.weights, a.parameters, slopes.weights, slopes.parameters) == (41, 41, 41, 49)
    assert Architecture(3, 2, 4, "prelu_fixed").parameters == 41
    assert a.layers() == [(4, 16, 1), (4, 36, 2), (1, 37, 2)]
    assert a.layers(folded=False) == [(4, 16, 1), (4, 36, 2), (1, 41, 3)]
    assert slopes.layers() == [(4, 16, 1), (4, 40, 3), (1, 45, 4)]
    assert slopes.layers(folded=False) == [(4, 16, 1), (4, 40, 3), (1, 49, 5)]


@pytest.mark.exact
def test_closed_forms_by_hand():
    """Written out for n = 2, J = 1, W = 2: steps (2, 6, 1) and (1, 9, 2), ΣV = 15, ΣDk = 4."""
    a, e, up = Architecture(2, 1, 2), math.e, 1 + 2.0**-40
    assert a.layers(folded=False) == [(2, 6, 1), (1, 9, 2)]
    r = 2 * e * 4
    assert vc.closed_mlp(a) == pytest.approx((2 + 15 * math.log2(2 * r * math.log2(r))) * up, rel=1e-13)
    r = e * (5 * 4 / 2 + 2 * 4)
    dimension = 4 * 3 + 5 * 15
    assert vc.closed_flat(a, 5) == pytest.approx((5 * 2 + dimension * math.log2(2 * r * math.log2(r))) * up, rel=1e-13)
    assert vc.clean_flat(3, 8, 6) == pytest.approx(5.3 * 8 * (6 + 4 * 4))
    assert vc.clean_tree(3, 8, 6) == pytest.approx(vc.tree_factor(2) * 48)
    assert vc.clean_tree(3, 9, 6, valency=3) == pytest.approx(vc.tree_factor(3) * 54)


@pytest.mark.exact
def test_growth_functions_by_hand():
    e = math.e
    assert vc.log2(Fraction(8, 2)) == 2
    assert vc.log2(3) == math.log2(3)
    assert vc.constant_growth(Fraction(1, 3)) == pytest.approx(1 / 3)
    assert vc.constant_growth(Fraction(7)) == 1
    assert vc.sauer_growth(4)(Fraction(8)) == pytest.approx(4 * math.log2(1 + 2 * e))
    routing = vc.routing_growth(2, 4)
    for m in (1, 10, 1000, 10**6):
        linear = min(6.0 * m, 9 * math.log2(e * 6 * m / 9)) if 6 * m > 9 else 6 * m
        square = min(6.0 * m, 1 + 8 * math.log2(2 * e * 6 * m * 2 / 8)) if 6 * m > 8 else 6 * m
        assert routing(Fraction(m)) == pytest.approx(min(2 * m, linear, square))
    assert vc.routing_growth(2, 1)(Fraction(99)) == 0
    a = Architecture(2, 1, 2)
    one = vc.mlp_growth(a)
    m = Fraction(1000)
    steps = [(2, 6, 1), (1, 7, 1)]
    assert a.layers() == steps
    by_hand = sum(v * math.log2(e * 1000 * k / v) for k, v, _ in steps)
    assert one(m) == pytest.approx(by_hand)
    assert vc.flat_growth(2, 4, one)(m) == pytest.approx(routing(m) + 4 * one(m / 4))
    pair = vc.routing_growth(2, 2)
    tree = vc.tree_growth(2, 4, one)(m)
    assert tree == pytest.approx(pair(m) + 2 * pair(m / 2) + 4 * one(m / 4))
    nine = vc.tree_growth(2, 9, one, valency=3)(m)
    three = vc.routing_growth(2, 3)
    assert nine == pytest.approx(three(m) + 3 * three(m / 3) + 9 * one(m / 9))
    assert vc.tree_growth(2, 1, one)(m) == pytest.approx(one(m))


@pytest.mark.exact
def test_the_solver_finds_the_last_solution():
    for last in (1, 2, 3, 7, 8, 1000, 1023, 1024, 1025):
        assert vc.largest(lambda m, last=last: float(m) if m <= last else 0.0) == last
    assert vc.largest(lambda m: 0.5 * float(m)) == 0
    assert vc.largest(lambda m: float(m) if 5 <= m <= 77 else 0.0, start=5) == 77
    assert vc.vc_upper_free(1, 1) == vc.largest(lambda m: 2 * (1 + math.log2(math.e * 2 * m)))


@pytest.mark.exact
def test_theorem_5_by_hand():
    assert vc.grid_points(3, Fraction(1, 4)) == 8
    assert vc.grid_points(1, 0.3) == 2
    points = vc.grid_points(2, Fraction(1, 20))
    assert points == 100
    logarithm = math.log2(math.e) + 1.5 * math.log2(100)
    assert vc.parameters_of_single_mlp(2, Fraction(1, 20)) == math.isqrt(math.floor(200 / logarithm))
    log_mlp = math.log2(math.e * 3 * 100)
    assert vc.parameters_of_mlp(2, Fraction(1, 20), 2) == math.ceil((100 / 3 - 1) / log_mlp)
    assert vc.parameters_of_mlp(1, Fraction(1, 4), 5) == 1
    log_momlp = math.log2(math.e * 7 * 100) + 3 * math.log2(2 * math.e * 3 * 100)
    assert vc.parameters_of_momlp(2, Fraction(1, 20), 2, 7) == math.ceil(100 / log_momlp)
    assert [vc.no_go_eps(v, 2) for v in (1, 3, 4, 8, 9)] == [0.5, 0.5, 0.25, 0.25, 1 / 6]
    assert vc.no_go_eps(8, 3) == 0.25


@pytest.mark.exact
def test_counts_by_hand():
    assert counts.naive_parameters(10) == 16
    assert counts.naive_parameters(9) == 16
    assert counts.naive_parameters(1) == 4
    assert counts.parameters_of_widths([2, 3], 4) == 10 + 9 + 4
    assert counts.balanced(1) == (0, 3)
    assert counts.balanced(2) == (1, 3)
    assert counts.balanced(100) == (3, 7)
    assert counts.header(1, 1) == 2
    assert counts.header(1, 7) == 4
    assert counts.header(4, 7) == 4  # 2·7 + 1 = 15
    assert counts.needed_cells(1, Fraction(10)) == 11
    assert counts.needed_cells(4, Fraction(10)) == 21
    assert counts.trade_off_point(2, 1, 10, Fraction(1, 2))[0] == 10
    assert counts.trade_off_point(3, 1, 10, Fraction(1, 2))[0] == 15**2
    assert counts.trade_off_constant(2, 0) == pytest.approx(0.5)
    assert counts.asymptotic_constant(2) == pytest.approx(2 * math.sqrt(156 * 964 / 4))
    least = counts.trade_off_lower(1, 1000, 3)
    root = math.isqrt(least // 3)
    assert root * root * 3 == least

    def enough(P):
        logs = math.log2(math.e * 3 * 500) + P / 2 * math.log2(math.e * P * 500)
        return 3 * P * logs >= 500

    assert enough(root)
    assert not enough(root - 1)
