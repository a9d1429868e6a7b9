"""Moduli of continuity: the inverse is a lower bound, `upper` an upper bound, bad callables are refused."""

import math
from fractions import Fraction

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from constructions import LipschitzFunction, Modulus, build_momlp

positive = st.floats(1e-3, 1e3)


@pytest.mark.law
@given(lam=positive, alpha=st.floats(0.1, 1.0), eps=positive)
def test_radius_is_a_lower_bound_and_nearly_attained(lam, alpha, eps):
    omega = Modulus.holder(lam, alpha)
    radius_squared = omega.radius_squared(Fraction(eps))
    truth = (eps / lam) ** (2 / alpha)
    assert float(radius_squared) == pytest.approx(truth, rel=1e-9)
    # ω at the radius, rounded up, exceeds eps by rounding only
    assert omega.upper(radius_squared) <= eps * (1 + 1e-12)


@pytest.mark.exact
def test_radius_is_exact_for_lipschitz_and_square_roots():
    assert Modulus.lipschitz(2.0).radius_squared(Fraction(1, 3)) == Fraction(1, 36)
    assert Modulus.holder(2.0, 0.5).radius_squared(Fraction(1, 3)) == Fraction(1, 6) ** 4
    assert Modulus.lipschitz(0.0).radius_squared(Fraction(1)) is None


@given(t=st.floats(1e-6, 10.0), lam=positive, alpha=st.floats(0.1, 1.0))
def test_upper_and_above_bound_the_value(t, lam, alpha):
    omega = Modulus.holder(lam, alpha)
    value = float(omega(torch.tensor([t], dtype=torch.float64))[0])
    assert omega.upper(Fraction(t) ** 2) >= value * (1 - 1e-14)
    assert float(omega.above(torch.tensor([t], dtype=torch.float64))[0]) > value


def test_callable_modulus_is_inverted_and_used():
    f = LipschitzFunction(lambda x: x.sqrt(), n=1, modulus=lambda t: t.sqrt())
    model = build_momlp(f, eps=0.1)
    x = torch.linspace(0, 1, 5001, dtype=torch.float64)[:, None]
    assert float((f(x) - model(x)).abs().max()) <= 0.1
    # ω(t) = √t: ρ = 0.01, K = ⌈1/(2ρ)⌉ up to the planner's margin
    assert model.plan.knots in (50, 51)


@pytest.mark.parametrize(
    ("fn", "message"),
    [
        (lambda t: 2 - t, "nondecreasing"),
        (lambda t: t**2, "concave"),
        (lambda t: t * math.nan, "finite"),
        (lambda t: t - 0.5, "non-negative"),
        (lambda t: 3.0, "must map a tensor"),
    ],
)
def test_bad_callables_are_refused(fn, message):
    with pytest.raises(ValueError, match=message):
        LipschitzFunction(lambda x: x, n=1, modulus=fn)


def test_modulus_with_a_jump_at_zero_is_refused():
    f = LipschitzFunction(lambda x: x, n=1, modulus=lambda t: t + 0.5)
    with pytest.raises(ValueError, match="never falls to eps"):
        build_momlp(f, eps=0.1)


def test_bad_parameters():
    with pytest.raises(ValueError, match="`alpha` must be at most 1"):
        Modulus.holder(1.0, 1.5)
    with pytest.raises(ValueError, match="`alpha` must be a positive"):
        Modulus.holder(1.0, 0.0)
    assert Modulus.holder(1.0, 1.0) == Modulus.lipschitz(1.0)
