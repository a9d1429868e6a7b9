"""Declared constants of formulas: certified, refuted with a witness, or left open."""

import math
from types import SimpleNamespace

import pytest
import torch

from constructions import ExpressionError, LipschitzFunction
from theory import Status, lipschitz_constant_le
from theory.checkers import lipschitz_constant
from theory.checkers.lipschitz_constant import modulus_refuted_by_building


@pytest.mark.parametrize(
    ("text", "n", "lam"),
    [
        ("sin(2*pi*x0)*x1", 2, 2 * math.pi),
        ("sqrt(x0**2 + x1**2)", 2, 1.0),
        ("Max(x0, x0/2 + x1)", 2, math.sqrt(1.25)),
        ("x0**3", 1, 3.0),
    ],
)
def test_true_constants_are_certified_and_nine_tenths_refuted(text, n, lam):
    assert lipschitz_constant_le(text, lam * 1.001, n=n).status is Status.CERTIFIED
    refuted = lipschitz_constant_le(text, 0.9 * lam, n=n)
    assert refuted.status is Status.REFUTED
    assert "at x =" in refuted.witness


def test_undecided_is_said():
    """Boxes cannot see that Max·Min is smooth across x0 = x1: true constant 2, ball bound about 3.16."""
    verdict = lipschitz_constant_le("Max(x0, x1)*Min(x0, x1) + abs(x0 - x1)", 2.5, n=2)
    assert verdict.status is Status.INCONCLUSIVE
    assert verdict.bounds["lower"] <= 2.0 <= 2.5 < verdict.bounds["upper"]
    assert "not decided" in verdict.reason


def test_jumps_and_bad_constants_are_refused():
    with pytest.raises(ExpressionError, match="not shown continuous"):
        lipschitz_constant_le("Piecewise((0, x0 < 1/2), (1, True))", 1.0, n=1)
    with pytest.raises(ValueError, match="`declared`"):
        lipschitz_constant_le("x0", -1.0, n=1)


def test_building_refutes_black_boxes_and_spares_honest_ones():
    steep = LipschitzFunction(lambda x: x.sum(1) / math.sqrt(3), n=3, lipschitz=0.5)
    assert modulus_refuted_by_building(steep, 0.2) is not None
    honest = LipschitzFunction(lambda x: x.sum(1) / math.sqrt(3), n=3, lipschitz=1.0 + 1e-15)
    assert modulus_refuted_by_building(honest, 0.2) is None
    assert torch.is_tensor(honest(torch.zeros(1, 3)))


def test_the_constant_itself_is_not_refuted():
    assert lipschitz_constant_le("7", 0.0, n=2).status is Status.CERTIFIED
    exact = lipschitz_constant_le("3*x0 - 4*x1", 5.0, n=2)
    assert exact.status is Status.CERTIFIED
    assert exact.bounds["lower"] <= 5.0 <= exact.bounds["upper"] <= 5.0 * (1 + 1e-6)
    assert lipschitz_constant_le("3*x0 - 4*x1", math.nextafter(5.0, 0), n=2).status is not Status.INCONCLUSIVE


@pytest.mark.parametrize(
    ("lower", "upper", "status", "said"),
    [
        (0.5, 1.0, Status.CERTIFIED, ""),
        (1.0, 1.0, Status.CERTIFIED, ""),
        (0.5, math.nextafter(1.0, 2), Status.CERTIFIED, ", which is within 1e-06 of the declared one"),
        (0.5, 1 + 1e-6, Status.CERTIFIED, ", which is within 1e-06 of the declared one"),
        (0.5, math.nextafter(1 + 1e-6, 2), Status.INCONCLUSIVE, ", not decided after 7 boxes (worst box [0, 1])"),
        (0.5, math.inf, Status.INCONCLUSIVE, ", not decided after 7 boxes (worst box [0, 1])"),
        (0.5, math.nan, Status.INCONCLUSIVE, ", not decided after 7 boxes (worst box [0, 1])"),
        (math.nextafter(1.0, 2), 2.0, Status.REFUTED, ": norm of the gradient >= 1.0000000000000002 at x = (0.5,)"),
    ],
)
def test_bounds_beside_the_declared_constant(monkeypatch, lower, upper, status, said):
    found = SimpleNamespace(lower=lower, upper=upper, boxes=7, witness=(0.5,), worst_box=((0.0, 1.0),))
    monkeypatch.setattr(lipschitz_constant, "lipschitz_bounds", lambda *args, **options: found)
    verdict = lipschitz_constant.lipschitz_constant_le("x0", 1.0, n=1)
    assert verdict.status is status
    assert verdict.reason == f"{lower:.9g} ≤ sup‖∇f‖₂ ≤ {upper:.9g}{said}"
    assert verdict.bounds["lower"] == lower
    assert verdict.bounds["upper"] is upper
