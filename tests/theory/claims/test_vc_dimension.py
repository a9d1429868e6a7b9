"""VC claims: as expected, with the reference numbers, and undecided on broken shattered sets or bounds."""

from dataclasses import replace

import pytest

import theory.claims.vc_dimension as claims
from theory.claim import REGISTRY, Context, Status

NAMES = [c for c in REGISTRY if c.startswith("vc_dimension.")]


@pytest.mark.parametrize("name", NAMES)
def test_claims_get_their_expected_status(name):
    verdict = REGISTRY[name].verdict(Context())
    assert verdict.status is REGISTRY[name].expected, verdict.reason
    assert verdict.numbers


def test_numbers_of_the_width_reading():
    numbers = REGISTRY["vc_dimension.width_reading"].verdict(Context()).numbers
    assert numbers["slope_of_certified_lower"] >= 1.95
    assert numbers["slope_of_stated"] == pytest.approx(1)
    assert numbers["slope_of_solved_upper"] >= numbers["slope_of_certified_lower"]
    assert numbers["excluded_from_W_for_C10_c1"] == 128
    assert numbers["excluded_from_W_for_C100_c2"] == 2**15
    assert numbers["excluded_from_W_for_C1000_c3"] == 2**24
    assert numbers["excluded_from_W_for_C1000000_c4"] == 2**42


def test_wording_of_the_refutation_is_fair():
    claim = REGISTRY["vc_dimension.width_reading"]
    assert "not the paper's theorem" in claim.hypotheses[0]
    assert "L = J = 1" in claim.verdict(Context()).witness


def test_a_broken_set_proves_and_refutes_nothing(monkeypatch):
    honest = claims.one_hidden_layer

    def with_duplicate(n, width):
        shattered = honest(n, width)
        points = shattered.points.clone()
        points[-1] = points[0]
        return replace(shattered, points=points)

    monkeypatch.setattr(claims, "one_hidden_layer", with_duplicate)
    for name in ("vc_dimension.one_hidden_layer", "vc_dimension.width_reading"):
        verdict = REGISTRY[name].verdict(Context())
        assert verdict.status is Status.INCONCLUSIVE
        assert "occurs 2 times" in verdict.reason


def test_too_small_upper_bounds_are_noticed(monkeypatch):
    monkeypatch.setattr(claims, "vc_upper_flat", lambda architecture, experts: architecture.n)
    assert REGISTRY["vc_dimension.finite"].verdict(Context()).status is Status.INCONCLUSIVE


def test_an_overstated_parameter_bound_is_noticed(monkeypatch):
    honest = claims.parameters_of_single_mlp
    monkeypatch.setattr(claims, "parameters_of_single_mlp", lambda n, eps: 100 * honest(n, eps))
    verdict = REGISTRY["vc_dimension.single_mlp_lower_bound"].verdict(Context())
    assert verdict.status is Status.INCONCLUSIVE
    assert "not excluded" in verdict.reason
