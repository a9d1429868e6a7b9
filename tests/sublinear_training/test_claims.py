"""Claims of training in sublinear time: their reference numbers, and not decided when something is broken."""

import random
from dataclasses import replace
from fractions import Fraction

import pytest
import sympy
import torch

from constructions.sublinear_training.data import stereographic
from theory.claim import Context, Evidence, Status
from theory.sublinear_training import bounds, runs
from theory.sublinear_training.checkers import enclosed_gram
from theory.sublinear_training.checkers.exact_training import METHODS, ExactTrainer, SilentPoint, Singular
from theory.sublinear_training.reproductions import exponents, rationals, spectrum
from theory.systems import REGISTRY, claims_of

CLAIMS = [c.id for c in claims_of("sublinear_training")]
EVIDENCE = {
    Status.PROVED: {Evidence.EXACT, Evidence.SYMBOLIC},
    Status.CERTIFIED: {Evidence.ENCLOSED, Evidence.FLOAT64},
    Status.NOT_REFUTED: {Evidence.SAMPLED, Evidence.FITTED},
    Status.REFUTED: {Evidence.ENCLOSED, Evidence.SAMPLED},
}


def test_there_are_eighteen_claims():
    assert len(CLAIMS) == 18


@pytest.mark.parametrize("key", CLAIMS)
def test_evidence_has_its_rank(key, verdict_of):
    verdict = verdict_of(key)
    assert verdict.status is REGISTRY[key].expected, verdict.reason
    assert verdict.evidence in EVIDENCE[verdict.status]


# --- reference numbers ----------------------------------------------------------------------------------------


def test_reference_numbers_of_runs(verdict_of):
    rows = verdict_of("sublinear_training.lazy_refreshes").tables["runs"].rows
    assert rows[0][1:4] == (1029, 1029, 3470)
    assert rows[0][4:6] == pytest.approx((26633, 29690), abs=0.5)
    assert verdict_of("sublinear_training.contraction").numbers["worst ratio"] == pytest.approx(0.352, abs=5e-4)
    assert verdict_of("sublinear_training.contraction").numbers["steps"] == 6
    before, after = verdict_of("sublinear_training.contraction_any_labels").tables["runs"].rows[0][1:3]
    assert (before, after) == pytest.approx((565.58, 449.60), abs=0.005)


def test_reference_numbers_of_identities_and_balls(verdict_of):
    numbers = verdict_of("sublinear_training.identities").numbers
    assert (numbers["instances"], numbers["zero residual"], numbers["longest"]) == (40, 35, 4)
    factors = verdict_of("sublinear_training.limit_gram").tables["cases"].column("holds up to a factor of")
    assert factors == (512, 2048)
    slopes = verdict_of("sublinear_training.sparsity_exponent_attained").numbers
    assert tuple(slopes.values()) == pytest.approx((0.7219, 0.7631), abs=5e-5)


@pytest.mark.parametrize(
    ("e", "alpha", "bias", "expected", "visits", "exponent"),
    [
        (10, 0.24, 1.8240, 34.89, 353.6, 0.7081),
        (14, 0.24, 2.1582, 253.22, 3127.7, 0.7204),
        (17, 0.24, 2.3783, 1140.00, 15931.6, 0.7263),
        (20, 0.24, 2.5796, 5186.34, 80803.3, 0.7306),
        (10, 0.2, 1.6651, 49.10, 452.4, 0.7501),
        (17, 0.2, 2.1710, 1961.39, 24410.9, 0.7673),
        (20, 0.2, 2.3548, 9715.94, 134047.8, 0.7715),
    ],
)
def test_the_table_of_sparsity(e, alpha, bias, expected, visits, exponent):
    firing = bounds.Firing(2**e, alpha)
    assert firing.bias == pytest.approx(bias, abs=5e-5)
    assert firing.expected == pytest.approx(expected, abs=0.005)
    assert bounds.expected_visits(2**e, firing.p) == pytest.approx(visits, abs=0.05)
    assert firing.exponent == pytest.approx(exponent, abs=5e-5)


@pytest.mark.parametrize(("e", "alpha", "exponent"), [(60, 0.24, 0.7490), (100, 0.2, 0.7932), (1000, 0.24, 0.7593)])
def test_exponents_of_widths_nobody_builds(e, alpha, exponent):
    assert bounds.Firing(2.0**e, alpha).exponent == pytest.approx(exponent, abs=5e-5)


def test_cofiring_is_plackett_s_integral():
    from scipy.integrate import quad

    b = 1.7
    for rho in (-0.9, -0.3, 0.2, 0.95):
        area, _ = quad(lambda t: float(sympy.exp(-(b**2) / (1 + sympy.sin(t)))), 0, float(sympy.asin(rho)))
        plackett = bounds.tail(b) ** 2 + area / (2 * float(sympy.pi))
        assert float(bounds.cofiring(torch.tensor([rho], dtype=torch.float64), b)[0]) == pytest.approx(
            plackett, abs=1e-10
        )


def test_near_points_by_numbers():
    """λ_min(H)/(e^(−b²/2) δ) at b = 2 for two points at 10^−1 … 10^−4."""
    for delta, value in ((1e-1, 0.16657), (1e-2, 0.15999), (1e-3, 0.15924), (1e-4, 0.15916)):
        rho = 1 - delta**2 / 2
        least = bounds.tail(2.0) - rho * float(bounds.cofiring(torch.tensor([rho], dtype=torch.float64), 2.0)[0])
        assert least / (float(sympy.exp(-2)) * delta) == pytest.approx(value, abs=2e-5)
    assert spectrum.near_points_limit() == 1 / (2 * sympy.pi)


def test_width_needed():
    assert bounds.width_needed(1, Fraction(6, 25)) == 100
    with pytest.raises(ValueError, match="`alpha` must be below 1/4, got 1/4"):
        bounds.width_needed(1, Fraction(1, 4))


# --- the rational twin ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_the_worked_example_in_rationals(method):
    trainer = rationals.worked_example().trainer(method)
    first, second = trainer.step(), trainer.step()
    assert [str(v) for v in first.residual] == ["-1/2", "8/5", "-1"]
    assert [str(v) for v in first.solution] == ["-1", "25/6", "-23/6"]
    assert first.squared_movement == 11
    assert [str(v) for v in first.moves] == ["13/2", "1", "1", "5/2"]
    assert first.determinant == 18 / trainer.products[0][0] / 5
    assert not any(trainer.residual())
    refreshed = {"flat": (2,), "lazy": (2,)}.get(method, (1, 2, 4))
    assert second.refreshed == refreshed
    assert first.refreshed == (1, 2, 3, 4)
    if method == "eager":
        assert (first.visits, second.visits, first.written, second.written) == ((11,) * 3, (9, 11, 11), 10, 9)
    if method == "lazy":
        third = trainer._query(trainer.bias - trainer.radius)[1]
        assert (first.visits, second.visits, third) == ((11, 11, 11), (9, 11, 11), (9, 13, 11))
        assert (first.written, second.written) == (10, 4)
        assert (first.reported, first.candidates) == (8, 7)


def test_the_rational_twin_refuses_what_is_none():
    example = rationals.worked_example()
    with pytest.raises(ValueError, match="`points` must have norm 1"):
        ExactTrainer(example.weights, example.signs, [(1, 1)], [1], 1, 1, method="dense")
    with pytest.raises(ValueError, match="`method` must be one of"):
        example.trainer("hybrid")
    silent = ExactTrainer(example.weights, example.signs, [(0, -1)], [1], 5, 1, method="dense")
    with pytest.raises(SilentPoint, match="point 0 fires no unit"):
        silent.step()
    twice = ExactTrainer(example.weights, example.signs, [(1, 0), (1, 0)], [1, 1], 1, 1, method="eager")
    with pytest.raises(Singular):
        twice.step()


def test_a_rational_step_that_is_none():
    example = rationals.worked_example()
    trainer = example.trainer("dense")
    before = [list(row) for row in trainer.weights]
    step = trainer.step()
    assert rationals.step_holds(example, before, step, trainer.weights).holds
    spoilt = [list(row) for row in trainer.weights]
    spoilt[4][0] += 1
    assert "the flips say" in rationals.step_holds(example, before, step, spoilt).failure
    spoilt = [list(row) for row in trainer.weights]
    spoilt[7][0] -= spoilt[4][1] / 5  # fires nowhere, before and after
    assert "the squared movement is" in rationals.step_holds(example, before, step, spoilt).failure


def test_identities_are_not_decided_by_a_twin_that_forgets_leaves(monkeypatch):
    rekey = ExactTrainer._rekey
    monkeypatch.setattr(ExactTrainer, "_rekey", lambda self, units: rekey(self, units[:-1]))
    verdict = REGISTRY["sublinear_training.identities"].verdict(Context())
    assert verdict.status is Status.INCONCLUSIVE


def test_distinct_points_are_not_decided_by_another_determinant(monkeypatch):
    honest = rationals.gram_determinant
    monkeypatch.setattr(rationals, "gram_determinant", lambda *a: honest(*a) + 1)
    assert REGISTRY["sublinear_training.distinct_points"].verdict(Context()).status is Status.INCONCLUSIVE


# --- balls and symbols ----------------------------------------------------------------------------------------


def test_the_enclosed_gram_contains_the_float_one():
    points = rationals.rational_points(5, 3, random.Random(1))
    matrix = enclosed_gram.enclosed_limit_gram(points, 2**10, Fraction(6, 25))
    x = torch.tensor([[float(v) for v in row] for row in points], dtype=torch.float64)
    floats = bounds.limit_gram(x, bounds.Firing(2**10, 0.24).bias)
    difference = max(abs(float(matrix[i][j].mid()) - float(floats[i, j])) for i in range(5) for j in range(5))
    assert difference < 1e-12


def test_positive_definite_is_not_said_of_what_is_not():
    from flint import arb

    identity = [[arb(int(i == j)) for j in range(3)] for i in range(3)]
    assert enclosed_gram.positive_definite(identity, arb("0.999"))
    assert not enclosed_gram.positive_definite(identity, arb(1))
    assert not enclosed_gram.positive_definite([[arb(1), arb(2)], [arb(2), arb(1)]], arb(0))
    assert not enclosed_gram.positive_definite([[arb(1), arb("1 +/- 0.5")], [arb("1 +/- 0.5"), arb(2)]], arb("0.9"))


def test_the_quoted_bound_is_not_certified_for_a_matrix_without_it(monkeypatch):
    monkeypatch.setattr(spectrum, "quoted_bound", lambda *a: enclosed_gram.quoted_bound(*a) * 10**6)
    verdict = REGISTRY["sublinear_training.limit_gram"].verdict(Context())
    assert verdict.status is Status.INCONCLUSIVE
    assert "not shown positive definite" in verdict.reason


def test_points_that_are_not_on_the_sphere_are_refused():
    with pytest.raises(ValueError, match="`points` must have norm 1"):
        enclosed_gram.enclosed_limit_gram([(Fraction(1), Fraction(1))], 16, Fraction(1, 5))
    assert sum(v * v for v in stereographic([Fraction(2, 3), Fraction(-1)])) == 1


def test_eigenvalue_bounds_reject_a_matrix_below_them():
    setting = runs.Setting(16, 8, 2**9, 0.24, 5)
    seen = runs.observe(setting, "lazy", torch.device("cpu")).looks[0]
    x, _ = runs.sphere(setting, torch.device("cpu"))
    assert spectrum.eigenvalue_bounds_hold(seen, x @ x.t(), 2**9).holds
    low = replace(seen, gram=seen.gram - 0.9 * torch.eye(16) * seen.gram.diagonal().mean())
    assert "below the bound of private units" in spectrum.eigenvalue_bounds_hold(low, x @ x.t(), 2**9).failure
    high = replace(seen, gram=10 * torch.eye(16).double())
    assert "above min|S|/m" in spectrum.eigenvalue_bounds_hold(high, x @ x.t(), 2**9).failure


def test_eigenvalue_bounds_in_balls_reject_one_that_is_too_large():
    from flint import arb

    setting = runs.Setting(16, 8, 2**9, 0.24, 5)
    seen = runs.observe(setting, "lazy", torch.device("cpu")).looks[0]
    x, _ = runs.sphere(setting, torch.device("cpu"))
    holds = enclosed_gram.eigenvalue_bounds_enclosed
    assert holds(x, seen.both, seen.private).holds
    above = int(seen.both.diagonal().min()) + 1
    assert "above the bound of private units" in holds(x, seen.both, above).failure
    # counts that no units have: of a matrix that is not positive semidefinite K∘C need not be above λ_min(C)
    paired = torch.tensor([[1, 3], [3, 1]])
    near = torch.tensor([[1.0, 0.0], [-1.0, 0.0]], dtype=torch.float64)
    assert "above the bound of" in holds(near, paired, -5).failure
    # the Rayleigh quotient is above the least eigenvalue, by nothing that shows
    least = enclosed_gram.least_eigenvalue_below([[arb(2), arb(1)], [arb(1), arb(2)]])
    assert 1 <= float(least) <= 1 + 1e-12


def test_the_slope_is_decided_by_its_ball(monkeypatch):
    monkeypatch.setattr(exponents, "WITHIN", Fraction(1, 20))
    verdict = REGISTRY["sublinear_training.sparsity_exponent_attained"].verdict(Context())
    assert verdict.status is Status.INCONCLUSIVE


@pytest.mark.slow
@pytest.mark.parametrize("key", CLAIMS)
def test_the_full_budget(key):
    verdict = REGISTRY[key].verdict(Context(budget="full"))
    assert verdict.status is REGISTRY[key].expected, verdict.reason
