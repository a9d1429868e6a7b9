"""Why no network with one hidden layer does better than W^−4 on a line, derived by sympy; the error of given networks.

A network of W ReLUs is affine on at most W + 1 pieces. On a piece of length t the component of f along the Legendre
polynomial P2 is ∫ f″·(a function that is not negative), so |f″| ≥ μ leaves at least μ² times what x²/2 leaves: t⁵/720.

Main definitions: `affine_residual_eq`, `kernel_is_not_negative`, `power_mean_holds`, `squared_error`.
"""

from __future__ import annotations

from collections.abc import Callable

import sympy
import torch
from torch import Tensor, nn

from theory.claim import Report

T, X = sympy.symbols("t x", positive=True)


def legendre() -> sympy.Expr:
    """P2 on [0, t]."""
    s = 2 * X / T - 1
    return (3 * s**2 - 1) / 2


def affine_residual_eq(constant: sympy.Expr) -> Report:
    """Whether the best affine function leaves constant·t⁵ of x²/2 on [0, t], as a minimum and as P2's component."""
    a, b = sympy.symbols("a b", real=True)
    gap = sympy.integrate((X**2 / 2 - a - b * X) ** 2, (X, 0, T))
    best = sympy.solve([sympy.diff(gap, a), sympy.diff(gap, b)], [a, b], dict=True)[0]
    least = sympy.simplify(gap.subs(best))
    if sympy.simplify(least - constant * T**5) != 0:
        return Report(f"the best affine function leaves {least}, not {constant * T**5}")
    p = legendre()
    component = sympy.integrate(X**2 / 2 * p, (X, 0, T)) ** 2 / sympy.integrate(p**2, (X, 0, T))
    if sympy.simplify(component - least) != 0:
        return Report(f"P2's component is {sympy.simplify(component)}, the residual {least}")
    return Report()


def kernel_is_not_negative() -> Report:
    """Whether ∫ f P2 = ∫ f″ w over [0, t] with w = x²(t − x)²/(2t²) ≥ 0: w″ = P2, w and w′ vanish at both ends."""
    w = X**2 * (T - X) ** 2 / (2 * T**2)
    if sympy.simplify(sympy.diff(w, X, 2) - legendre()) != 0:
        return Report(f"the second derivative of {w} is not P2")
    ends = [g.subs(X, at) for g in (w, sympy.diff(w, X)) for at in (0, T)]
    if any(sympy.simplify(v) != 0 for v in ends):
        return Report(f"boundary values {ends}")
    if sympy.expand(2 * T**2 * w - (X * (T - X)) ** 2) != 0:
        return Report(f"{w} is not a square over a positive number")
    return Report()


def power_mean_holds() -> Report:
    """Whether Σ t_i⁵ ≥ h⁵/N⁴ for Σ t_i = h, t_i > 0: the tangent of t⁵ at the mean h/N lies below it, since the gap is
    (t − s)² times a polynomial with positive coefficients."""
    s = sympy.symbols("s", positive=True)
    gap = sympy.factor(T**5 - s**5 - 5 * s**4 * (T - s))
    rest = sympy.Poly(sympy.cancel(gap / (T - s) ** 2), T, s)
    if any(c < 0 for c in rest.coeffs()) or sympy.expand(gap - (T - s) ** 2 * rest.as_expr()) != 0:
        return Report(f"t⁵ is not above its tangent: {gap}")
    h, n = sympy.symbols("h N", positive=True)
    # summed over N pieces the linear terms cancel: Σ t_i⁵ ≥ N (h/N)⁵
    if sympy.simplify(n * (h / n) ** 5 - h**5 / n**4) != 0:
        return Report("N(h/N)⁵ is not h⁵/N⁴")
    return Report()


def squared_error(
    network: nn.Module, f: Callable[[Tensor], Tensor], low: float, high: float, *, cells: int = 20_000
) -> float:
    """∫ (network − f)² over [low, high] by the midpoint rule, the network's forward pass itself on points (N, 1)."""
    device = next(network.parameters()).device
    x = low + (high - low) * (torch.arange(cells, dtype=torch.float64, device=device) + 0.5) / cells
    with torch.no_grad():
        gap = network(x[:, None])[:, 0] - f(x)
    return float((gap * gap).mean()) * (high - low)
