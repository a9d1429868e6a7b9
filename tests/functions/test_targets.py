"""LipschitzFunction and the library of targets."""

import math

import pytest
import torch
from flint import arb

from constructions import Box, LipschitzFunction, Modulus, build_momlp, plan, targets
from constructions.functions.targets import WEIERSTRASS_HOLDER


def dims(name):
    return (2,) if name == "franke" else (1, 2, 3)


@pytest.mark.law
@pytest.mark.parametrize("name", targets.names())
def test_targets_respect_their_modulus(name):
    """Law: |f_i(x) − f_i(y)| ≤ ω(‖x − y‖) at random near and far pairs."""
    generator = torch.Generator().manual_seed(1)
    for n in dims(name):
        f = targets.get(name, n=n, lam=2.0)
        x = f.domain.sample(4000, generator)
        for reach in (1.0, 0.03, 0.001):
            y = (x + reach * (torch.rand(x.shape, dtype=torch.float64, generator=generator) - 0.5)).clamp(0, 1)
            allowed = f.modulus((x - y).norm(dim=1)) + 1e-13
            assert bool(((f(x) - f(y)).abs().amax(1) <= allowed).all())


@pytest.mark.parametrize("name", [n for n in targets.names() if n not in ("constant", "weierstrass")])
def test_targets_are_certified_and_scaled(name):
    n = dims(name)[-1]
    f = targets.get(name, n=n, lam=3.0)
    assert f.premise == "certified"
    assert 3.0 <= f.lipschitz <= 3.0 * (1 + 1e-6)
    once = targets.get(name, n=n)
    x = f.domain.sample(50, torch.Generator().manual_seed(0))
    assert torch.allclose(f(x), 3 * once(x), rtol=1e-12, atol=1e-14)


def test_weierstrass_constant_is_the_derived_one():
    exact = 2 * arb.pi().sqrt() * (3 + 2 * arb(2).sqrt())
    assert exact < WEIERSTRASS_HOLDER
    assert float(exact) > WEIERSTRASS_HOLDER - 0.01
    assert targets.get("weierstrass", n=1).premise == "derived"


@pytest.mark.parametrize(("n", "eps", "split"), [(1, 0.1, None), (2, 0.05, 0.3), (3, 0.2, None)])
def test_sharp_target_makes_the_network_zero_and_attains_the_bound(n, eps, split):
    design = plan(LipschitzFunction(lambda x: x[:, :1], n=n, lipschitz=2.0), eps, split=split)
    f = targets.sharp(design)
    model = build_momlp(f, eps=eps, split=split)
    corner = torch.zeros(1, n, dtype=torch.float64)
    corner[0, -1] = float(design.domain.sides[-1]) / (2 * design.knots)
    bound = 2.0 * math.sqrt(design.half_diagonal_squared + design.half_knot_squared)
    assert float(model(corner)) == 0.0
    assert float(f(corner)) == pytest.approx(bound, rel=1e-12)
    assert float(f(f.domain.sample(20_000, torch.Generator().manual_seed(0))).max()) <= bound * (1 + 1e-12)


def test_named_errors():
    with pytest.raises(ValueError, match="`name` must be one of"):
        targets.get("nope")
    with pytest.raises(ValueError, match="`n` must be 2"):
        targets.get("franke", n=3)
    with pytest.raises(ValueError, match="`lam` must be a positive"):
        targets.get("cone", n=2, lam=-1.0)


def linear(x):
    return x[:, :1]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"n": 0, "lipschitz": 1.0}, ValueError, "`n` must be an integer between 1 and 1024, got 0"),
        ({"n": 2}, ValueError, "exactly one of `lipschitz` and `modulus`"),
        ({"n": 2, "lipschitz": 1.0, "modulus": Modulus.lipschitz(1)}, ValueError, "exactly one"),
        ({"n": 2, "lipschitz": -1.0}, ValueError, "`lipschitz` must be a non-negative finite number, got -1.0"),
        ({"n": 2, "lipschitz": math.nan}, ValueError, "`lipschitz`"),
        ({"n": 2, "lipschitz": 1.0, "m": 0}, ValueError, "`m`"),
        ({"n": 2, "lipschitz": 1.0, "domain": [(0, 1)]}, ValueError, "`domain` must have 2 axes, got 1"),
        ({"n": 2, "lipschitz": 1.0, "domain": (1, 0)}, ValueError, "lo < hi"),
        ({"n": 2, "lipschitz": 1.0, "domain": (0, math.inf)}, ValueError, "finite"),
        ({"n": 2, "modulus": 3}, TypeError, "`modulus`"),
        ({"n": 2, "lipschitz": 1.0, "expression": "x1"}, ValueError, "disagrees with `fn` at x ="),
    ],
)
def test_bad_arguments_are_named(arguments, error, message):
    with pytest.raises(error, match=message):
        LipschitzFunction(linear, **arguments)


def test_not_callable():
    with pytest.raises(TypeError, match="`fn` must be callable"):
        LipschitzFunction(3, n=1, lipschitz=1.0)


@pytest.mark.parametrize(
    ("fn", "message"),
    [
        (lambda x: x, r"must return shape \(4, 1\)"),
        (lambda x: x[:, 0] / 0, "must be finite"),
        (lambda x: torch.log(x[:, 0] - 0.5), "must be finite, got .* at x = "),
        (lambda x: x[:, 0].float(), "dtype"),
        (lambda x: [1.0] * len(x), "must return shape"),
        (lambda x: x @ torch.zeros(7), "failed on a tensor of shape"),
    ],
)
def test_bad_user_functions_are_reported(fn, message):
    f = LipschitzFunction(fn, n=2, lipschitz=1.0)
    with pytest.raises(ValueError, match=message):
        f(torch.full((4, 2), 0.25, dtype=torch.float64))


@pytest.mark.parametrize(
    ("x", "error"),
    [
        (torch.zeros(3, 3), ValueError),
        (torch.zeros(3), ValueError),
        (torch.zeros(3, 2, dtype=torch.int64), TypeError),
        ([[0.0, 0.0]], TypeError),
        (torch.full((1, 2), 1.5), ValueError),
        (torch.full((1, 2), math.nan), ValueError),
    ],
)
def test_bad_points_are_reported(x, error):
    with pytest.raises(error, match="`x` must"):
        LipschitzFunction(linear, n=2, lipschitz=1.0)(x)


def test_a_formula_beside_a_black_box_stays_a_declaration():
    f = LipschitzFunction(lambda x: x.sum(1), n=2, lipschitz=1.5, expression="x0 + x1")
    assert f.premise == "declared"
    assert f.lipschitz_bounds is not None
    assert f.lipschitz_bounds.upper == pytest.approx(math.sqrt(2))


def test_from_sympy_accepts_expressions_domains_and_outputs():
    from constructions.functions.symbolic.parser import variables

    x0, x1 = variables(2)
    f = LipschitzFunction.from_sympy((x0 * x1, x0 - x1), n=2, domain=[(-1, 1), (0, 2)])
    assert (f.m, f.domain) == (2, Box((-1.0, 0.0), (1.0, 2.0)))
    assert f(torch.tensor([[-1.0, 2.0]], dtype=torch.float64)).tolist() == [[-2.0, -3.0]]
    with pytest.raises(TypeError, match="`expression`"):
        LipschitzFunction.from_sympy(3, n=1)
    with pytest.raises(ValueError, match="at most one"):
        LipschitzFunction.from_sympy("x0", n=1, lipschitz=1.0, modulus=Modulus.lipschitz(1.0))
