"""What functions that are not band-limited can do on a line: linear splines exactly, shallow ReLU networks at best."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import sympy
import torch
from torch import Tensor, nn

from constructions.scaling_laws.stack import Stack, seed_of
from constructions.scaling_laws.training import Examples, Schedule, train
from theory.claim import Context, Evidence, Status, Table, Verdict, ensure
from theory.scaling_laws import bounds
from theory.scaling_laws.checkers.shallow import (
    affine_residual_eq,
    kernel_is_not_negative,
    power_mean_holds,
    squared_error,
)
from theory.scaling_laws.checkers.spline import coefficient_eq, measured_error, spline_error_eq

QUADRATURE_SLACK = 1e-6
FREQUENCIES = {1: (1.0, 0.5), 3: (0.0, -2.0), 10: (0.3, 0.0)}
HALF_LENGTH = 1 / 6
WIDTHS_QUICK, WIDTHS_FULL = (1, 2, 4, 8), (1, 2, 4, 8, 16)
STEPS_QUICK, STEPS_FULL = 200, 1500
CURVATURE = 2 * math.pi**2
"""|f″| ≥ 4π² cos(π/3) of f = cos 2πx on |x| ≤ 1/6."""


def sinc(theta: sympy.Expr) -> sympy.Expr:
    return sympy.sin(sympy.pi * theta) / (sympy.pi * theta)


def stated_error(theta: sympy.Expr) -> sympy.Expr:
    """E(θ)."""
    return 1 - 2 * sinc(theta) ** 2 + (2 + sympy.cos(2 * sympy.pi * theta)) / 3


def spline_rate(context: Context) -> Verdict:
    ensure(coefficient_eq(lambda theta: sinc(theta) ** 2), "the hat function")
    ensure(spline_error_eq(stated_error), "E(θ)")
    theta, k, n = sympy.symbols("theta k n", positive=True)
    quarter = sympy.simplify(stated_error(sympy.Rational(1, 4)) - (sympy.Rational(5, 3) - 16 / sympy.pi**2))
    ensure(quarter == 0, f"E(1/4) differs from 5/3 − 16/π² by {quarter}")
    leading = sympy.series(stated_error(theta), theta, 0, 6).removeO()
    ensure(sympy.simplify(leading - 2 * sympy.pi**4 / 15 * theta**4) == 0, f"E(θ) starts with {leading}")
    limit = sympy.limit(n**4 * leading.subs(theta, k / n), n, sympy.oo)
    ensure(sympy.simplify(limit - 2 * sympy.pi**4 * k**4 / 15) == 0, f"n⁴E(k/n) tends to {limit}")
    rows = []
    for nodes in (21, 41, 81, 161, 321, 1281) if context.full else (21, 41, 81, 161):
        measured = measured_error(FREQUENCIES, nodes, device=context.device)
        exact = sum((a * a + b * b) / 2 * bounds.spline_error(f / nodes) for f, (a, b) in FREQUENCIES.items())
        gap = abs(measured / exact - 1)
        ensure(gap <= QUADRATURE_SLACK, f"{nodes} nodes: measured {measured:.6g}, the formula says {exact:.6g}")
        rows.append((nodes, measured, exact, exact * nodes**4))
    constant = 2 * math.pi**4 / 15 * sum((a * a + b * b) / 2 * f**4 for f, (a, b) in FREQUENCIES.items())
    reason = f"E(θ) by sympy, n⁴·error → (2π⁴/15)Σk⁴|c_k|²; quadrature agrees at {len(rows)} numbers of nodes"
    tables = {"splines": Table(("nodes", "measured", "formula", "nodes^4 * formula"), tuple(rows))}
    return Verdict(Status.PROVED, Evidence.SYMBOLIC, reason, {"limit of nodes^4 * error": constant}, tables=tables)


def cosine(x: Tensor) -> Tensor:
    return torch.cos(2 * torch.pi * x)


def shallow_lower_bound(context: Context) -> Verdict:
    ensure(affine_residual_eq(sympy.Integer(1) / 720), "the best affine function")
    ensure(kernel_is_not_negative(), "the component along P2")
    ensure(power_mean_holds(), "the power mean")
    rows, nearest = [], math.inf
    for width in WIDTHS_FULL if context.full else WIDTHS_QUICK:
        bound = bounds.shallow_lower_bound(CURVATURE, 2 * HALF_LENGTH, width)
        optimised = partial(squared_error, f=cosine, low=-HALF_LENGTH, high=HALF_LENGTH)
        best = optimised(best_knots(width, context.device))
        trained = min(optimised(network) for network in trained_networks(width, context))
        for name, error in (("knot-optimised", best), ("trained", trained)):
            ensure(error >= bound, f"W={width}: a {name} network has the error {error:.4g}, the bound is {bound:.4g}")
        nearest = min(nearest, best / bound)
        rows.append((width, bound, best, trained))
    reason = (
        "1/720, the sign of the kernel and the power mean by sympy; knot-optimised and trained networks stay above "
        f"{nearest:.3f} times the bound"
    )
    columns = ("W", "bound", "knot-optimised", "trained")
    numbers = {"constant of cos": bounds.shallow_lower_bound(CURVATURE, 2 * HALF_LENGTH, 0), "nearest": nearest}
    return Verdict(Status.PROVED, Evidence.SYMBOLIC, reason, numbers, tables={"networks": Table(columns, tuple(rows))})


def best_knots(width: int, device) -> nn.Sequential:
    """A network of W ReLUs whose knots are optimised and whose other numbers are least squares for them.

    Units look to the right, but for none or half of them; one knot may leave the interval, so W or W + 1 pieces.
    """
    from scipy.optimize import minimize  # takes most of a second to import

    x = np.linspace(-HALF_LENGTH, HALF_LENGTH, 1001)
    y = np.cos(2 * np.pi * x)
    found = []
    for left in {0, width // 2}:
        signs = np.array([-1.0] * left + [1.0] * (width - left))

        def solved(knots, signs=signs):
            features = np.stack([np.ones_like(x), *np.maximum(signs[:, None] * (x - knots[:, None]), 0)], 1)
            coefficients, *_ = np.linalg.lstsq(features, y, rcond=None)
            return coefficients, float(((features @ coefficients - y) ** 2).mean())

        start = np.linspace(-HALF_LENGTH, HALF_LENGTH, width + 2)[1:-1] - (left == 0) * HALF_LENGTH / (width + 1)
        best = minimize(
            lambda k, solved=solved: 1e6 * solved(k)[1], start, method="Nelder-Mead", options={"maxiter": 200}
        )
        found.append((best.fun, best.x, signs, solved(best.x)[0]))
    _, knots, signs, coefficients = min(found, key=lambda each: each[0])
    return _network(knots, signs, coefficients, device)


def _network(knots, signs, coefficients, device) -> nn.Sequential:
    first, second = nn.Linear(1, len(knots), dtype=torch.float64), nn.Linear(len(knots), 1, dtype=torch.float64)
    with torch.no_grad():
        first.weight.copy_(torch.from_numpy(signs)[:, None])
        first.bias.copy_(torch.from_numpy(-signs * knots))
        second.weight.copy_(torch.from_numpy(coefficients[1:])[None])
        second.bias.fill_(float(coefficients[0]))
    return nn.Sequential(first, nn.ReLU(), second).to(device)


def trained_networks(width: int, context: Context) -> list[nn.Sequential]:
    """Four networks of W ReLUs trained on the interval's own points."""
    seeds, steps = range(4), STEPS_FULL if context.full else STEPS_QUICK
    stack = Stack.drawn(1, [width] * len(seeds), 1, 1, [seed_of(context.seed, s) for s in seeds], device=context.device)
    x = torch.linspace(-HALF_LENGTH, HALF_LENGTH, 256, dtype=torch.float64, device=context.device).view(1, -1, 1)
    examples = Examples(6 * x, cosine(x), torch.zeros(len(seeds), dtype=torch.int64, device=context.device))
    order = torch.arange(256, device=context.device).expand(steps, len(seeds), 256)
    train(stack, examples, order, Schedule(steps, batch=256, rate=2e-2))
    return [_scaled(stack.network(g)) for g in range(len(stack))]


def _scaled(network: nn.Sequential) -> nn.Sequential:
    """The network of 6x as one of x."""
    first = network[0]
    with torch.no_grad():
        next(first.parameters()).mul_(6)
    return network
