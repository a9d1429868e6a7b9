"""Symbolic limits against numbers, slope fits against known slopes."""

import pytest
import sympy

from theory import rates


def test_limits_equal_numbers_at_small_eps():
    """Independent truth: sympy evaluates the counts, ceilings included, at ε = 10⁻⁹."""
    counts = rates.pencil_counts()
    for n, theta in ((2, sympy.Rational(1, 2)), (3, sympy.Rational(1, 5)), (5, sympy.Rational(2, 3))):
        point = {rates.n: n, rates.m: 2, rates.theta: theta, rates.lam: 3, rates.ell: 2}
        tiny = sympy.Rational(1, 10**9)
        for expr, power in ((counts.parameters, 1), (counts.leaves, n - 1)):
            limit = rates.limit_of_rate(expr.subs(rates.n, n), sympy.Integer(power)).subs(point)
            value = (rates.eps**power * expr).subs(point).subs(rates.eps, tiny)
            assert float(value) == pytest.approx(float(limit), rel=1e-6)


def test_a_squeeze_with_a_gap_is_refused():
    with pytest.raises(ValueError, match="leaves a gap"):
        rates.limit_of_rate(sympy.ceiling(1 / rates.eps) - 1 / rates.eps, sympy.Integer(0))


def test_wrong_power_gives_zero_or_infinity():
    parameters = rates.pencil_counts().parameters
    assert rates.limit_of_rate(parameters, sympy.Integer(2)) == 0


def test_optimal_split_is_a_minimum_on_a_grid():
    assert sympy.simplify(rates.optimal_split() - 1 / rates.n) == 0
    for n in (2, 3, 7):
        product = lambda t, n=n: (1 - t) ** (-(n - 1) / 2) * t**-0.5  # noqa: E731
        assert all(product(1 / n) <= product(k / 200) for k in range(1, 200))


@pytest.mark.rate
def test_slope_fit_recovers_a_power_and_its_error():
    x = [2.0**k for k in range(3, 12)]
    exact_fit = rates.fit_slope(x, [5 * v**2.5 for v in x])
    assert exact_fit.slope == pytest.approx(2.5, abs=1e-12)
    noisy = rates.fit_slope(x, [v**2 * (1.3 if i % 2 else 1.0) for i, v in enumerate(x)])
    assert abs(noisy.slope - 2) < 3 * noisy.error
    assert noisy.error > 0


def test_slope_fit_takes_huge_integers_and_refuses_two_points():
    assert rates.fit_slope([10, 100, 1000], [10**400, 10**800, 10**1200]).slope == pytest.approx(400)
    with pytest.raises(ValueError, match="at least 3"):
        rates.fit_slope([1, 2], [1, 2])
