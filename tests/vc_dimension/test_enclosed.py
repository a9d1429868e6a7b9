"""Growth functions in balls: they agree with the float solvers on both sides and reject bounds that are too low."""

import itertools
import math
from fractions import Fraction

import pytest
from flint import arb, ctx

from theory.claim import Context, Evidence, Status
from theory.systems import REGISTRY
from theory.vc_dimension import bounds, enclosed
from theory.vc_dimension.bounds import Architecture, vc_upper_flat, vc_upper_tree
from theory.vc_dimension.reproductions import approximation, stated_rate, upper_bounds

CASES = list(itertools.product((1, 2, 16), (1, 2, 8), (1, 4, 16), (1, 4, 64)))
"""(n, J, W, L)"""


@pytest.mark.parametrize("sizes", CASES)
def test_solved_bounds_are_sharp_in_balls(sizes):
    n, depth, width, experts = sizes
    a = Architecture(n, depth, width)
    for routed, solved in ((enclosed.flat, vc_upper_flat(a, experts)), (enclosed.tree, vc_upper_tree(a, experts))):
        growth = routed(n, experts, enclosed.mlp(a))
        assert enclosed.too_many(growth, solved + 1, "here").holds
        failure = enclosed.too_many(growth, solved, "here").failure
        assert failure is not None
        assert failure.startswith(f"here: {solved} points are not excluded, G is [")


@pytest.mark.parametrize(("variables", "degree"), itertools.product((1, 7, 500), (1, 2, 9)))
def test_patterns_are_those_of_the_floats(variables, degree):
    for count in (Fraction(1, 3), Fraction(variables), Fraction(3 * variables), Fraction(10**9 + 1, 2)):
        found, float_ = enclosed.log2_patterns(count, variables, degree), bounds.pattern_count(count, variables, degree)
        assert abs(float(found.mid()) - float_) <= 1e-9 * max(1.0, float_)


@pytest.mark.parametrize(("dimension", "experts"), [(3, 1), (10, 64), (1000, 4096)])
def test_clean_forms_and_one_point_less(dimension, experts):
    growth = enclosed.flat(2, experts, enclosed.sauer(dimension))
    solved = bounds.largest(bounds.flat_growth(2, experts, bounds.sauer_growth(dimension)))
    assert enclosed.at_most(growth, enclosed.clean_flat(2, experts, dimension), "here").holds
    assert enclosed.at_most(growth, enclosed.ball(solved), "here").holds
    assert not enclosed.at_most(growth, enclosed.ball(solved - 1), "here").holds


def test_what_is_no_number_excludes_nothing():
    nan = arb("nan")
    assert not enclosed.too_many(lambda m: nan, 5, "here").holds
    assert not enclosed.too_many(lambda m: arb("inf"), 5, "here").holds
    assert enclosed.at_most(enclosed.sauer(3), nan, "here").failure == "here: the bound is nan"
    assert not enclosed.at_most(enclosed.sauer(3), arb("inf"), "here").holds


def test_a_ball_that_holds_the_number_excludes_nothing():
    assert not enclosed.too_many(lambda m: arb(5, 1e-30), 5, "here").holds
    assert enclosed.too_many(lambda m: arb(4.75, 0.125), 5, "here").holds


def test_the_precision_is_what_it_was():
    before = ctx.prec
    enclosed.too_many(enclosed.sauer(3), 100, "here")
    enclosed.tree_factor_holds(2)
    assert ctx.prec == before


@pytest.mark.parametrize("valency", [2, 3, 4, 8, 100])
def test_the_tree_factor_is_the_fixed_point(valency, monkeypatch):
    assert enclosed.tree_factor_holds(valency).holds
    honest = bounds.tree_factor
    for wrong in (1 - 1e-9, 1 + 1e-5, math.nan):
        monkeypatch.setattr(enclosed, "tree_factor", lambda v, wrong=wrong: honest(v) * wrong)
        if math.isnan(wrong):
            with pytest.raises(ValueError, match="NaN"):
                enclosed.tree_factor_holds(valency)
        else:
            assert not enclosed.tree_factor_holds(valency).holds


@pytest.mark.parametrize("sizes", [(1, 1, 1, 1), (8, 2, 16, 64), (64, 32, 64, 1024)])
def test_the_closed_form_lies_between(sizes, monkeypatch):
    a, experts = Architecture(*sizes[:3]), sizes[3]
    assert enclosed.closed_form_holds(a, experts, "here").holds
    honest = enclosed.mlp
    monkeypatch.setattr(enclosed, "mlp", lambda a: lambda m: 8 * honest(a)(m))
    failure = enclosed.closed_form_holds(a, experts, "here").failure
    assert failure is not None
    assert "points are not excluded" in failure


@pytest.mark.parametrize(
    ("key", "module", "name", "said"),
    [
        ("finite", upper_bounds, "vc_upper_flat", "flat: (n, J, W, L) = (1, 1, 1, 1): "),
        ("finite", upper_bounds, "vc_upper_tree", "tree: (n, J, W, L) = (1, 1, 1, 1): "),
        ("tree_router", upper_bounds, "tree_factor", "lambda·L·d: "),
        ("single_mlp_lower_bound", approximation, "parameters_of_mlp", "parameters: n = 1, eps = 1/10, J = 1: "),
        ("width_condition", stated_rate, "largest_set", "Q exceeds the sets by "),
    ],
)
def test_a_bound_that_is_too_good_is_not_certified(key, module, name, said, monkeypatch):
    honest = getattr(module, name)

    class Fewer:
        def __init__(self, *sizes):
            self.points = max(1, honest(*sizes).points // 1000)

    worse = {
        "vc_upper_flat": lambda *a: honest(*a) - 1,
        "vc_upper_tree": lambda *a: honest(*a) - 1,
        "tree_factor": lambda v: honest(v) / 3,
        "parameters_of_mlp": lambda *a: 2 * honest(*a),
        "largest_set": Fewer,
    }
    monkeypatch.setattr(module, name, worse[name])
    verdict = REGISTRY[f"vc_dimension.{key}"].verdict(Context())
    assert verdict.status is Status.INCONCLUSIVE
    assert said in verdict.reason


def test_a_smaller_constant_of_theorem_3_is_not_certified(monkeypatch):
    monkeypatch.setattr(enclosed, "clean_flat", lambda n, experts, d: enclosed.ball(2 * experts * d))
    verdict = REGISTRY["vc_dimension.routing_term"].verdict(Context())
    assert (verdict.status, verdict.evidence) == (Status.INCONCLUSIVE, Evidence.NONE)
    assert verdict.reason.startswith("the clean form: n = ")
