"""The claims of the approximation theorem: as expected, and not reproducible on a broken house."""

import pytest
import torch

import theory.momlp.reproductions.mixtures as claims
from theory.claim import Context, Status
from theory.systems import REGISTRY


def test_too_few_knots_do_not_keep_the_rate_or_the_error(monkeypatch):
    import constructions.momlp.plan as lattice

    honest = lattice._counts

    def halved(*arguments):
        cells, knots = honest(*arguments)
        return cells, max(1, knots // 2)

    monkeypatch.setattr(lattice, "_counts", halved)
    rate = REGISTRY["momlp.slopes"].verdict(Context())
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
    assert verdict.numbers["largest_upper_over_eps"] <= 1
    intervals = verdict.tables["intervals"]
    assert {(n, eps) for _, n, eps, _, _ in intervals.rows} == {(1, 0.02), (2, 0.05)}
    assert all(low <= high <= eps for _, _, eps, low, high in intervals.rows)
    tight = REGISTRY["momlp.certificate_tightness"].verdict(Context())
    assert tight.status is Status.CERTIFIED


def test_a_plan_off_the_nodes_is_not_sharp(monkeypatch):
    from constructions import PencilPlan

    monkeypatch.setattr(PencilPlan, "half_knot_squared", property(lambda self: self.half_diagonal_squared + 1))
    assert REGISTRY["momlp.sharpness"].verdict(Context()).status is Status.INCONCLUSIVE


def test_uncaught_lies_are_noticed(monkeypatch):
    monkeypatch.setattr(claims, "modulus_refuted_by_building", lambda f, eps, *, device: None)
    verdict = REGISTRY["momlp.lying_modulus"].verdict(Context())
    assert verdict.status is Status.INCONCLUSIVE
    assert "was not caught" in verdict.reason


@pytest.mark.rate
def test_slopes_are_as_declared(verdict_of):
    table = verdict_of("momlp.slopes").tables["slopes"]
    assert table.column("n") == (2, 3, 4, 5, 6)
    for n, slope_P, _, slope_L, _, over_limit in table.rows:
        assert abs(slope_P - 1) <= 0.015
        assert abs(slope_L / (n - 1) - 1) <= 0.01
        assert abs(over_limit - 1) <= 0.02


def test_a_wrong_count_is_not_proved(monkeypatch):
    from constructions.momlp import pencil

    honest = pencil.network

    def wasteful(*weights):
        return torch.nn.Sequential(*honest(*weights), torch.nn.Linear(1, 1))

    monkeypatch.setattr(pencil, "network", wasteful)
    verdict = REGISTRY["momlp.active_parameters"].verdict(Context())
    assert verdict.status is Status.INCONCLUSIVE
    assert "active: measured" in verdict.reason
