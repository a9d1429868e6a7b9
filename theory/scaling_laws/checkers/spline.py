"""The squared error of periodic linear splines, derived by sympy and measured by quadrature.

With n nodes the interpolant of e^{2πikx} has the Fourier coefficient sinc²(θ + l) at k + ln, θ = k/n. So its error is
(1 − sinc²θ)² + Σ_{l≠0} sinc⁴(θ + l), and Σ_l (θ + l)^{−4} = (d/dθ)²(π²/sin²πθ)/6.

Main definitions: `spline_error_eq`, `coefficient_eq`, `measured_error`.
"""

from __future__ import annotations

from collections.abc import Callable

import sympy
import torch

from constructions.scaling_laws.nyquist import periodic_spline
from theory.claim import Report

QUADRATURE = 400
"""Cells of the midpoint rule on a piece of the spline."""


def coefficient_eq(transform: Callable[[sympy.Expr], sympy.Expr]) -> Report:
    """Whether ∫ (1 − |x|) e^{−2πiθx} over [−1, 1] is `transform`(θ)."""
    theta, x = sympy.symbols("theta x", positive=True)
    integral = 2 * sympy.integrate((1 - x) * sympy.cos(2 * sympy.pi * theta * x), (x, 0, 1))
    gap = sympy.simplify(integral - transform(theta))
    return Report(None if gap == 0 else f"the hat's transform differs by {gap}")


def spline_error_eq(formula: Callable[[sympy.Expr], sympy.Expr]) -> Report:
    """Whether (1 − s²)² − s⁴ + Σ_l sinc⁴(θ + l), s = sincθ, is `formula`(θ)."""
    theta = sympy.symbols("theta", positive=True)
    angle = sympy.pi * theta
    # π cot πθ = Σ 1/(θ + l), so its derivative is −Σ (θ + l)^{−2}, and that one's second derivative 6 Σ (θ + l)^{−4}
    sums = sympy.diff(-sympy.diff(sympy.pi * sympy.cot(angle), theta), theta, 2) / 6
    fourth = (sympy.sin(angle) / sympy.pi) ** 4 * sums
    squared = (sympy.sin(angle) / angle) ** 2
    derived = (1 - squared) ** 2 - squared**2 + fourth
    gap = sympy.simplify(sympy.expand_trig((derived - formula(theta)).rewrite(sympy.sin)))
    if gap == 0:
        return Report()
    at = sympy.Rational(1, 4)
    values = [sympy.N(v.subs(theta, at)) for v in (derived, formula(theta))]
    return Report(f"at θ = 1/4 the error is {values[0]:.6f}, the formula says {values[1]:.6f}")


def measured_error(frequencies: dict[int, tuple[float, float]], n: int, *, device=None) -> float:
    """∫ of the squared error of the spline through n nodes of Σ a cos 2πkx + b sin 2πkx, by the midpoint rule."""
    nodes = torch.arange(n, dtype=torch.float64, device=device) / n
    cells = n * QUADRATURE
    x = (torch.arange(cells, dtype=torch.float64, device=device) + 0.5) / cells

    def f(at: torch.Tensor) -> torch.Tensor:
        waves = [
            a * torch.cos(2 * torch.pi * k * at) + b * torch.sin(2 * torch.pi * k * at)
            for k, (a, b) in frequencies.items()
        ]
        return torch.stack(waves).sum(0)

    gap = periodic_spline(f(nodes), x) - f(x)
    return float((gap * gap).mean())
