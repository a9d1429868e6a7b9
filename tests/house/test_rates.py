"""Slope fits against known slopes."""

import pytest

from theory import rates


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
