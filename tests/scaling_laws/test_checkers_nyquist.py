"""Exact instruments against objects broken on purpose, each rejected with its failure."""

import math
from dataclasses import replace
from fractions import Fraction

import pytest
import sympy
import torch

from constructions.scaling_laws import nyquist
from constructions.scaling_laws.nyquist import circle_basis, exact_recovery
from theory.scaling_laws import bounds
from theory.scaling_laws.checkers.cyclotomic import gram_is_scalar
from theory.scaling_laws.checkers.finite_field import Field, aliasing_holds, frequencies, recovers
from theory.scaling_laws.checkers.rational_nodes import (
    basis,
    least_degree,
    projection_error,
    recovery_eq,
    sampled,
    squared_norms,
    variance_factor,
)
from theory.scaling_laws.checkers.shallow import (
    X,
    affine_residual_eq,
    kernel_is_not_negative,
    power_mean_holds,
    squared_error,
)
from theory.scaling_laws.checkers.spline import coefficient_eq, measured_error, spline_error_eq
from theory.scaling_laws.reproductions.splines import sinc, stated_error

NODES = tuple(Fraction(t) for t in ("-5", "-2", "-1", "-1/3", "0", "1/2", "3/2", "4"))
COEFFICIENTS = tuple(Fraction(c) for c in ("3", "-1", "2", "1/2", "0", "-4", "5/3"))
VALUES = tuple(sum(a * b for a, b in zip(circle_basis(3, t), COEFFICIENTS, strict=True)) for t in NODES)

# --- F_p --------------------------------------------------------------------------------------------------


def test_the_fields_are_the_least():
    assert [Field.with_root_of_order(n).p for n in (1, 3, 5)] == [10007, 10009, 10061]
    for n in (4, 7, 122):
        field = Field.with_root_of_order(n)
        assert field.p % n == 1
        assert len(set(field.powers)) == n


@pytest.mark.parametrize("bandwidth", [1, 2, 3, 5])
def test_recovery_jumps_at_2k_plus_1(bandwidth):
    for n in range(1, 3 * bandwidth + 3):
        assert recovers(bandwidth, n).holds == (n >= 2 * bandwidth + 1)
        assert aliasing_holds(bandwidth, n, range(1, 2 * bandwidth + 2)).holds


def test_twice_the_bandwidth_is_not_enough():
    report = recovers(3, 6)
    assert report.failure == "K=3, n=6: the wave of frequency (-3,) comes back as 1·z^(-3,) + 1·z^(3,)"
    assert recovers(1, 2, 2).failure
    assert recovers(1, 3, 2).holds


def test_a_learner_of_one_degree_less_is_rejected():
    report = recovers(3, 9, learned=2)
    assert report.failure == "K=3, n=9: the wave of frequency (-3,) comes back as 0"


def perturbed(field, samples, bandwidth):
    return field.transform(samples | {(0,): samples[0,] + 1}, bandwidth)


def without_the_factor(field, samples, bandwidth):
    return {k: c * len(samples) % field.p for k, c in field.transform(samples, bandwidth).items()}


def from_zero_on(field, samples, bandwidth):
    """Frequencies 0 … 2K in place of −K … K."""
    wide = field.transform(samples, 2 * bandwidth)
    return {k: c for k, c in wide.items() if k[0] >= 0}


def one_node_doubled(field, samples, bandwidth):
    return field.transform(samples | {(1,): samples[0,]}, bandwidth)


@pytest.mark.parametrize("transform", [perturbed, without_the_factor, from_zero_on, one_node_doubled])
def test_a_wrong_transform_is_rejected(transform):
    assert recovers(2, 5).holds
    assert recovers(2, 7).holds
    assert recovers(2, 7, transform=transform).failure.startswith("K=2, n=7: the wave of frequency")
    assert aliasing_holds(2, 7, [1, 2, 3, 4, 5], transform=transform).failure.startswith("K=2, n=7: frequency")


def test_classes_modulo_n_minus_1_are_rejected():
    def transform(field, samples, bandwidth):
        given = dict(zip(frequencies(3, 1), (1, 2, 3, 4, 5, 6, 7), strict=True))
        return {k: sum(c for l, c in given.items() if (l[0] - k[0]) % (field.n - 1) == 0) for k in given}  # noqa: E741

    assert aliasing_holds(3, 4, [1, 2, 3, 4, 5, 6, 7]).holds
    report = aliasing_holds(3, 4, [1, 2, 3, 4, 5, 6, 7], transform=transform)
    assert report.failure == "K=3, n=4: frequency -3 is answered by 12, its class sums to 6"


def test_the_number_of_coefficients_is_looked_at():
    assert aliasing_holds(2, 5, [1, 2, 3]).failure == "3 coefficients for 5 frequencies"


# --- rationals ----------------------------------------------------------------------------------------


def test_two_bases_are_one():
    for t in NODES:
        assert [Fraction(int(v.p), int(v.q)) for v in basis(t, 4)] == circle_basis(4, t)


def honest(n):
    return exact_recovery(3, NODES[:n], VALUES[:n])


@pytest.mark.parametrize("n", [1, 5, 6, 7, 8])
def test_an_honest_recovery_holds(n):
    assert recovery_eq(honest(n), 3, NODES[:n], VALUES[:n]).holds


BROKEN = [
    (7, {"rank": 6}, "rank 6, it is 7"),
    (7, {"consistent": False}, "the samples are called inconsistent with degree 3"),
    (7, {"coefficients": None}, "an answer is not given at rank 7 of 7"),
    (6, {"coefficients": COEFFICIENTS}, "an answer is given at rank 6 of 7"),
    (8, {"coefficients": (*COEFFICIENTS[:-1], Fraction(1))}, "the answer is"),
    (6, {"kernel": ()}, "0 functions vanish at all nodes, there are 1"),
    (6, {"kernel": ((Fraction(1),) * 7,)}, "does not vanish at all nodes"),
    (5, {"kernel": ((Fraction(0),) * 7,) * 2}, "the functions that vanish at all nodes are not independent"),
]


@pytest.mark.parametrize(("n", "change", "failure"), BROKEN)
def test_a_broken_recovery_is_rejected(n, change, failure):
    assert failure in recovery_eq(replace(honest(n), **change), 3, NODES[:n], VALUES[:n]).failure


def test_one_perturbed_sample_is_seen():
    values = (*VALUES[:2], VALUES[2] + 1, *VALUES[3:])
    assert recovery_eq(honest(8), 3, NODES, values).failure == "the samples are called consistent with degree 3"
    assert least_degree(NODES, values, 3) is None
    assert least_degree(NODES, VALUES, 3) == 3


def test_the_projection_has_the_trace_n():
    for n in range(1, 8):
        found = projection_error(NODES[:n], 3)
        assert found.holds
        assert found.trace == n
        assert found.error == (7 - found.trace) / 7
    doubled = projection_error((NODES[0], NODES[1], NODES[0]), 3)
    assert doubled.failure == "the nodes' values are dependent"
    assert projection_error(NODES, 3).failure == "the nodes' values are dependent"


def test_nodes_on_a_line_of_the_torus_are_dependent():
    nodes = (*NODES, Fraction(9))
    line, bent = [(t, Fraction(1)) for t in nodes], [(t, Fraction(i * i)) for i, t in enumerate(nodes)]
    assert (sampled(line, 1).rank(), sampled(bent, 1).rank()) == (3, 9)
    assert projection_error(line[:4], 1).failure == "the nodes' values are dependent"


def test_the_variance_factor_is_above_d_over_n():
    for bandwidth in (1, 2, 3):
        factor = variance_factor(NODES, bandwidth)
        assert Fraction(int(factor.p), int(factor.q)) > Fraction(2 * bandwidth + 1, 8)
    with pytest.raises(ValueError, match="`nodes` must determine a function of degree 3"):
        variance_factor(NODES[:6], 3)
    assert [int(v.q) for v in squared_norms(1, 2)] == [1, 2, 2, 2, 4, 4, 2, 4, 4]


# --- Gram matrices --------------------------------------------------------------------------------------


def test_gram_matrices_are_scalar_below_half_of_n_alone():
    for n in range(1, 10):
        for bandwidth in range(n):
            assert gram_is_scalar(n, bandwidth).holds == (2 * bandwidth + 1 <= n)
    assert gram_is_scalar(6, 3).failure == "n=6, K=3: waves -3 and 3 have the product 6"


# --- splines and shallow networks ------------------------------------------------------------------------


def test_the_splines_error():
    assert spline_error_eq(stated_error).holds
    assert coefficient_eq(lambda theta: sinc(theta) ** 2).holds
    assert coefficient_eq(sinc).failure.startswith("the hat's transform differs by")
    wrong = spline_error_eq(lambda theta: 1 - 2 * sinc(theta) + (2 + sympy.cos(2 * sympy.pi * theta)) / 3)
    assert wrong.failure == "at θ = 1/4 the error is 0.045528, the formula says -0.133966"


def test_one_node_more_is_seen(monkeypatch):
    right = measured_error({10: (1.0, 0.0)}, 21)
    assert right == pytest.approx(bounds.spline_error(10 / 21) / 2, rel=1e-8)
    true_spline = nyquist.periodic_spline
    monkeypatch.setattr(
        "theory.scaling_laws.checkers.spline.periodic_spline",
        lambda values, x: true_spline(values, x * len(values) / (len(values) + 1)),
    )
    assert measured_error({10: (1.0, 0.0)}, 21) > 2 * right


@pytest.mark.parametrize("theta", [1e-4, 0.01, 0.0299999, 0.0300001, 0.2, 0.5])
def test_the_error_in_floats_is_that_of_sympy(theta):
    exact = sympy.N(stated_error(sympy.Rational(theta)), 40)
    assert bounds.spline_error(theta) == pytest.approx(float(exact), rel=1e-9)
    assert bounds.spline_error(0) == 0


def test_the_shallow_bound():
    assert affine_residual_eq(sympy.Rational(1, 720)).holds
    assert (
        affine_residual_eq(sympy.Rational(1, 360)).failure == "the best affine function leaves t**5/720, not t**5/360"
    )
    assert kernel_is_not_negative().holds
    assert power_mean_holds().holds
    assert bounds.shallow_lower_bound(2 * math.pi**2, 1 / 3, 0) == pytest.approx(0.0022270, abs=5e-8)


def test_the_error_of_a_network_is_its_integral():
    network = torch.nn.Sequential(torch.nn.Linear(1, 1, dtype=torch.float64))
    with torch.no_grad():
        network[0].weight.fill_(2.0)
        network[0].bias.fill_(1.0)
    # (2x + 1 − x²)² over [1, 3]
    exact = sympy.integrate((2 * X + 1 - X**2) ** 2, (X, 1, 3))
    assert squared_error(network, torch.square, 1.0, 3.0) == pytest.approx(float(exact), rel=1e-7)
    far = squared_error(network, lambda x: 2 * x + 1 + (x > 2.5), 1.0, 3.0, cells=4)
    assert far == pytest.approx(0.5)  # cells of 1/2, of which the last differs


# --- closed bounds --------------------------------------------------------------------------------------


def test_the_jump_and_the_line():
    assert [bounds.worst_case_error(n, 3) for n in (0, 6, 7, 8)] == [1, 1, 0, 0]
    assert [round(float(bounds.average_error(n, 3)), 6) for n in range(8)] == [
        1, 0.857143, 0.714286, 0.571429, 0.428571, 0.285714, 0.142857, 0,
    ]  # fmt: skip
    assert bounds.worst_case_error(24, 2, 2) == 1
    assert bounds.average_error(30, 2, 2) == 0


def test_noise_with_k_unknown_does_not_decay():
    assert bounds.noise_error(210, 10, variance=Fraction(1, 100)) == Fraction(1, 1000)
    assert bounds.noise_error(21, 10) == 1 == bounds.noise_error_interpolating(21)
    assert bounds.noise_error_interpolating(210) == Fraction(209, 210)
    with pytest.raises(ValueError, match="`n` must be an integer at least 21, got 20"):
        bounds.noise_error(20, 10)


def test_pruning_slopes():
    assert bounds.plateau_ratio(0.1, 0.9, 0.7) == pytest.approx(23.0783, abs=1e-4)
    assert bounds.steepest_slope(0.1, 0.9, 0.7) == pytest.approx(-0.6419, abs=5e-5)
