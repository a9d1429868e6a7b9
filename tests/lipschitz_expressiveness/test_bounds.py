"""Closed forms of random networks: printed tables, quadrature, Arb, sympy, and formulas broken on purpose."""

import math
from fractions import Fraction

import pytest
import scipy.integrate
import scipy.special
import scipy.stats
import sympy
import torch
from hypothesis import given
from hypothesis import strategies as st

from theory.lipschitz_expressiveness import bounds

TABLE = {  # ReLU point, linear, product from below, from above, by trace; sigma = 1/2, N = 32, n_0 = n_L = 8
    2: ("2.68759", "3.84707", "9.62581", "18", "19.9331"),
    4: ("10.3308", "30.2995", "150.408", "576", "876.617"),
    8: ("152.641", "1879.52", "36723.1", "589824", "1.69543e+06"),
    12: ("2255.33", "116589", "8.96617e+06", "6.0398e+08", "3.27906e+09"),
}
FUNCTIONS = (
    bounds.relu_point,
    bounds.linear_lower,
    bounds.product_lower,
    bounds.product_upper,
    bounds.product_trace,
)


def wide(L, N=32, ends=8):
    return [ends, *[N] * (L - 1), ends]


@pytest.mark.parametrize("L", TABLE)
def test_the_table_of_closed_forms(L):
    assert tuple(f"{math.exp(f(wide(L), 0.5)):.6g}" for f in FUNCTIONS) == TABLE[L]
    assert bounds.relu_second_moment(wide(L), 0.5) == pytest.approx(math.log(8 * 4.0 ** (L - 1) / 4), rel=1e-13)


def test_printed_means():
    e = {1: 0.797884561, 8: 2.741624675, 32: 5.612839389, 64: 7.968812222}
    assert {n: round(bounds.chi_mean(n), 9) for n in e} == e
    r = {1: 0.398942280, 2: 0.712270815, 8: 1.838102150, 32: 3.921161570, 64: 5.601361352, 256: 11.286056058}
    assert {n: round(bounds.relu_mean(n), 9) for n in r} == r
    assert bounds.chi_mean(0) == 0
    assert round(bounds.product_lower([10, 40], 1), 6) == round(math.log(6.9643791), 6)


def test_printed_thresholds():
    expected = {
        "second moment, ReLU": (2.0, 2.0, 2.0),
        "mean norm, ReLU": (2.36783, 2.03982, 2.00981),
        "mean norm, linear": (1.06432, 1.00784, 1.00196),
        "typical norm, linear": (1.13903, 1.01583, 1.00392),
    }
    found = [bounds.critical(N) for N in (8, 64, 256)]
    for name, digits in expected.items():
        assert tuple(round(f[name], 5) for f in found) == digits
    assert all(f["product of norms, at least"] == pytest.approx(0.25) for f in found)
    # the measured mean 15.521 of a 64 x 64 matrix gives 0.2657, in between
    assert found[1]["product of norms, at least"] < 64 / 15.521**2 < found[1]["product of norms, at most"]


def test_limits_of_products_of_square_matrices():
    assert [round(bounds.ginibre_limit(L), 3) for L in (1, 2, 4, 8)] == [2.0, 2.598, 3.494, 4.805]
    # of the squared singular values: Fuss and Catalan's largest point (L+1)^(L+1)/L^L
    assert all(bounds.ginibre_limit(L) ** 2 == pytest.approx((L + 1) ** (L + 1) / L**L) for L in range(1, 9))


# --- second truths --------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 2, 3, 8, 31, 64, 257])
def test_means_by_quadrature(n):
    """e(n) from scipy's chi distribution, r(n) from E √S = (1/2√π) ∫ (1 − E exp(−tS)) t^(−3/2) dt."""
    assert bounds.chi_mean(n) == pytest.approx(scipy.stats.chi(n).mean(), rel=1e-12)
    assert bounds.mean_log_chi(n) == pytest.approx((math.log(2) + scipy.special.digamma(n / 2)) / 2, abs=1e-13)

    def integrand(u):  # t = u²
        t = u * u
        missing = -math.expm1(n * math.log1p((1 / math.sqrt(1 + 2 * t) - 1) / 2))
        return 2 * missing / t

    parts = [scipy.integrate.quad(integrand, a, b, limit=200)[0] for a, b in ((1e-9, 1), (1, math.inf))]
    assert bounds.relu_mean(n) == pytest.approx(sum(parts) / (2 * math.sqrt(math.pi)), rel=1e-8)


@given(n=st.integers(1, 2000))
def test_balls_hold_the_floats_and_the_bounds_hold(n):
    ball = bounds.chi_mean_ball(n)
    assert abs(float(ball.mid()) - bounds.chi_mean(n)) <= 1e-14 * bounds.chi_mean(n)
    assert abs(float(bounds.mean_log_chi_ball(n).mid()) - bounds.mean_log_chi(n)) <= 1e-12
    low, high = bounds.chi_squared_bounds(n)
    assert low > n - 1
    assert bool(ball * ball >= bounds.arb(low.numerator) / low.denominator)
    assert bool(ball * ball <= int(high))
    assert bool((ball * bounds.chi_mean_ball(n + 1) - n).contains(0))


@pytest.mark.parametrize("n", [1, 2, 5, 16, 100])
def test_bounds_of_the_relu_mean(n):
    low, high = bounds.relu_squared_bounds(n)
    assert float(low) < bounds.relu_mean(n) ** 2 < float(high)
    assert abs(float(bounds.relu_mean_ball(n).mid()) - bounds.relu_mean(n)) <= 1e-13 * bounds.relu_mean(n)
    assert float(bounds.relu_mean_symbolic(n).evalf(20)) == pytest.approx(bounds.relu_mean(n), rel=1e-13)


def test_trace_moments_of_small_matrices():
    assert [bounds.trace_moment(2, 3, p) for p in (1, 2, 3)] == [6, 36, 300]
    assert [bounds.trace_moment(5, 4, p) for p in (2, 3)] == [200, 2640]
    # one row: χ_n², whose moments are n, n(n+2), n(n+2)(n+4)
    for n in range(1, 9):
        assert [bounds.trace_moment(1, n, p) for p in (1, 2, 3)] == [n, n * (n + 2), n * (n + 2) * (n + 4)]
    assert [round(bounds.norm_by_trace(300, 300, p), 3) for p in (1, 2, 3)] == [300.0, 85.759, 58.641]
    assert [round(v, 4) for v in bounds.norm_bounds(300, 300)] == [24.4643, 34.641]


def test_bounds_of_one_layer_are_those_of_its_norm():
    for m, n in ((1, 1), (3, 7), (40, 10)):
        assert bounds.product_lower([n, m], 2.0) == pytest.approx(math.log(2 * bounds.norm_bounds(m, n)[0]))
        assert bounds.product_upper([n, m], 2.0) == pytest.approx(math.log(2 * bounds.norm_bounds(m, n)[1]))
        assert bounds.relu_point([n, m], 2.0) == pytest.approx(math.log(2 * bounds.chi_mean(m)))
        assert bounds.linear_lower([n, m], 2.0) == pytest.approx(math.log(2 * bounds.chi_mean(max(m, n))))


def test_forms_are_ordered_and_scale():
    for L in (2, 3, 9):
        widths = wide(L, 20, 5)
        values = [f(widths, 0.7) for f in FUNCTIONS]
        assert values[:4] == sorted(values[:4])  # the trace may be the better upper bound of thin layers
        assert values[4] > values[2]
        assert bounds.relu_second_moment(widths, 0.7) >= 2 * values[0]
        for f, value in zip(FUNCTIONS, values, strict=True):
            assert f(widths, 1.4) == pytest.approx(value + L * math.log(2))
    assert bounds.linear_lower(wide(5), 1.0, slope=0.5) == pytest.approx(
        bounds.linear_lower(wide(5), 1.0) - 4 * math.log(2)
    )
    # beyond the largest float
    assert bounds.product_upper(wide(2000, 100), 1.0) > 5000


# --- formulas broken on purpose -------------------------------------------------------------------------


def test_one_degree_of_freedom_more_is_too_large():
    """m = n = 1: E|g| = e(1) exactly, and e(m + n) = e(2) is above it."""
    assert bounds.norm_bounds(1, 1)[0] == pytest.approx(math.sqrt(2 / math.pi), rel=1e-15)
    assert bounds.chi_mean(2) == pytest.approx(1.2533, abs=1e-4)
    assert bounds.chi_mean(2) > 1.5 * math.sqrt(2 / math.pi)


def test_the_root_of_half_the_width_is_not_the_mean():
    for N in (1, 8, 64, 1024):
        assert math.sqrt(2 / N) * bounds.relu_mean(N) < 1 - 0.4 / N
    assert math.log(math.sqrt(2 / 8) * bounds.relu_mean(8)) == pytest.approx(-0.0844136, abs=5e-8)
    assert math.log(math.sqrt(2 / 64) * bounds.relu_mean(64)) == pytest.approx(-0.00985828, abs=5e-9)


def test_all_signs_negative_counts():
    """Without the mass of k = 0 (weights 1/(2^n − 1)) the mean of relu(g) is twice what it is for n = 1."""
    for n in (1, 2, 3):
        wrong = sum(math.comb(n, k) * bounds.chi_mean(k) for k in range(1, n + 1)) / (2**n - 1)
        honest = float(torch.randn(200_000, n, generator=torch.Generator().manual_seed(0)).relu().norm(dim=1).mean())
        assert bounds.relu_mean(n) == pytest.approx(honest, rel=0.01)
        assert wrong > 1.1 * honest


def test_one_factor_too_many_is_not_a_lower_bound():
    """E‖W_2 W_1 x‖ = e(n_1) e(n_2): with e(n_0), too, the formula exceeds even the product bound."""
    widths = [8, 8, 8]
    right = math.exp(bounds.linear_lower(widths, 1.0))
    assert right == pytest.approx(bounds.chi_mean(8) ** 2)
    assert right * bounds.chi_mean(8) > math.exp(bounds.product_lower([8, 8, 8], 1.0))


# --- arguments ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda: bounds.chi_mean(-1), "n"),
        (lambda: bounds.chi_mean(2.0), "n"),
        (lambda: bounds.relu_mean(0), "n"),
        (lambda: bounds.relu_mean(10**5), "n"),
        (lambda: bounds.trace_moment(2, 2, 4), "p"),
        (lambda: bounds.norm_bounds(0, 1), "m"),
        (lambda: bounds.product_upper([3], 1.0), "widths"),
        (lambda: bounds.product_upper("33", 1.0), "widths"),
        (lambda: bounds.product_upper([3, 0], 1.0), "widths"),
        (lambda: bounds.product_lower([3, 3], math.nan), "sigma"),
        (lambda: bounds.relu_point([3, 3], 0.0), "sigma"),
        (lambda: bounds.relu_second_moment([3, 3], -1.0), "sigma"),
        (lambda: bounds.linear_lower([3, 3], 1.0, slope=0.0), "slope"),
        (lambda: bounds.ginibre_limit(0), "layers"),
        (lambda: bounds.critical(0), "n"),
    ],
)
def test_arguments_are_named(call, name):
    with pytest.raises((ValueError, TypeError), match=f"`{name}`"):
        call()


def test_symbols():
    n = sympy.symbols("n", positive=True)
    assert sympy.simplify(sympy.gammasimp(bounds.chi_mean_symbolic(n) * bounds.chi_mean_symbolic(n + 1)) - n) == 0
    assert bounds.chi_mean_symbolic(0) == 0
    assert bounds.chi_squared_bounds(3) == (Fraction(9, 4), Fraction(3))
    assert bounds.relu_squared_bounds(5) == (Fraction(5, 4), Fraction(5, 2))
