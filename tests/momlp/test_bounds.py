"""Symbolic counts and their limits against numbers."""

import pytest
import sympy

from theory import rates
from theory.momlp import bounds


def test_limits_equal_numbers_at_small_eps():
    """Independent truth: sympy evaluates the counts, ceilings included, at ε = 10⁻⁹."""
    counts = bounds.pencil_counts()
    for n, theta in ((2, sympy.Rational(1, 2)), (3, sympy.Rational(1, 5)), (5, sympy.Rational(2, 3))):
        point = {bounds.n: n, bounds.m: 2, bounds.theta: theta, bounds.lam: 3, bounds.ell: 2}
        tiny = sympy.Rational(1, 10**9)
        for expr, power in ((counts.parameters, 1), (counts.leaves, n - 1)):
            limit = rates.limit_of_rate(expr.subs(bounds.n, n), bounds.eps, sympy.Integer(power)).subs(point)
            value = (bounds.eps**power * expr).subs(point).subs(bounds.eps, tiny)
            assert float(value) == pytest.approx(float(limit), rel=1e-6)


def test_a_squeeze_with_a_gap_is_refused():
    with pytest.raises(ValueError, match="leaves a gap"):
        rates.limit_of_rate(sympy.ceiling(1 / bounds.eps) - 1 / bounds.eps, bounds.eps, sympy.Integer(0))


def test_wrong_power_gives_zero_or_infinity():
    parameters = bounds.pencil_counts().parameters
    assert rates.limit_of_rate(parameters, bounds.eps, sympy.Integer(2)) == 0


def test_optimal_split_is_a_minimum_on_a_grid():
    assert sympy.simplify(bounds.optimal_split() - 1 / bounds.n) == 0
    for n in (2, 3, 7):
        product = lambda t, n=n: (1 - t) ** (-(n - 1) / 2) * t**-0.5  # noqa: E731
        assert all(product(1 / n) <= product(k / 200) for k in range(1, 200))
