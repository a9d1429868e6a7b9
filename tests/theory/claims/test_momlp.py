"""The claims of the approximation theorem: as expected, and not reproducible on a broken house."""

import pytest

import theory.claims.momlp as claims
from theory.claim import REGISTRY, Context, Status, select

QUICK = [
    "rates.active_parameters",
    "rates.slopes",
    "rates.forward_pass_load",
    "rates.trade_off",
    "rates.curse_of_dimensionality",
    "momlp.sharpness",
    "pathway_tree.router_agreement",
    "momlp.lying_modulus",
]


@pytest.mark.parametrize("name", QUICK)
def test_claims_get_their_expected_status(name):
    (claim,) = select([name])
    verdict = claim.verdict(Context())
    assert verdict.status is claim.expected, verdict.reason
    assert verdict.numbers


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [c for c in REGISTRY if c not in QUICK and not c.startswith(("vc_dimension.", "super_expressive."))]
)
def test_long_claims_get_their_expected_status(name):
    (claim,) = select([name])
    verdict = claim.verdict(Context())
    assert verdict.status is claim.expected, verdict.reason


# --- the claims fail when the house is broken ------------------------------------------------------------


def test_too_few_knots_do_not_keep_the_rate_or_the_error(monkeypatch):
    import constructions.lattice as lattice

    honest = lattice._counts

    def halved(*arguments):
        cells, knots = honest(*arguments)
        return cells, max(1, knots // 2)

    monkeypatch.setattr(lattice, "_counts", halved)
    rate = REGISTRY["rates.slopes"].verdict(Context())
    assert rate.status is Status.INCONCLUSIVE
    monkeypatch.setattr(claims, "LISTED_EPS", {2: 0.05})
    error = REGISTRY["momlp.uniform_error"].verdict(Context())
    assert error.status is Status.INCONCLUSIVE
    assert "sup|f" in error.reason or "eps" in error.reason


def test_small_listed_instances_are_certified(monkeypatch):
    monkeypatch.setattr(claims, "LISTED_EPS", {1: 0.02, 2: 0.05})
    verdict = REGISTRY["momlp.uniform_error"].verdict(Context())
    assert verdict.status is Status.CERTIFIED
    assert verdict.numbers["certificates"] == 12
    assert verdict.numbers["upper_over_eps_n2"] <= 1
    tight = REGISTRY["momlp.certificate_tightness"].verdict(Context())
    assert tight.status is Status.CERTIFIED


def test_a_plan_off_the_nodes_is_not_sharp(monkeypatch):
    from constructions import Plan

    monkeypatch.setattr(Plan, "half_knot_squared", property(lambda self: self.half_diagonal_squared + 1))
    assert REGISTRY["momlp.sharpness"].verdict(Context()).status is Status.INCONCLUSIVE


def test_uncaught_lies_are_noticed(monkeypatch):
    monkeypatch.setattr(claims, "modulus_refuted_by_building", lambda f, eps, *, device: None)
    verdict = REGISTRY["momlp.lying_modulus"].verdict(Context())
    assert verdict.status is Status.INCONCLUSIVE
    assert "was not caught" in verdict.reason
