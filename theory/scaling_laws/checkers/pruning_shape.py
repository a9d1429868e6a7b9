"""The shape of the pruning law ε̂ = ε_np·((d² + p²q²)/(d² + p²))^{γ/2}, derived by sympy.

Main definitions: `slope_eq`, `steepest_eq`, `plateaus_eq`, `law_eq`.
Notation: s(d) = d ln ε̂/d ln d, q = (ε↑/ε_np)^{1/γ}.
"""

from __future__ import annotations

from collections.abc import Callable

import sympy
import torch

from constructions.scaling_laws.pruning_law import PruningLaw
from theory.claim import Report

D, P, Q, GAMMA, LOW, HIGH = sympy.symbols("d p q gamma low high", positive=True)
TOLERANCE = 1e-11

Formula = Callable[..., sympy.Expr]


def law() -> sympy.Expr:
    return LOW * ((D**2 + P**2 * Q**2) / (D**2 + P**2)) ** (GAMMA / 2)


def slope() -> sympy.Expr:
    """s(d) = −γp²(q² − 1)d²/((d² + p²)(d² + p²q²))."""
    return -GAMMA * P**2 * (Q**2 - 1) * D**2 / ((D**2 + P**2) * (D**2 + P**2 * Q**2))


def slope_eq(formula: sympy.Expr) -> Report:
    """Whether the local slope of the law is `formula` in the symbols of this file."""
    gap = sympy.simplify(D * sympy.diff(sympy.expand_log(sympy.log(law()), force=True), D) - formula)
    return Report(None if gap == 0 else f"the slope differs by {gap}")


def steepest_eq(place: sympy.Expr, value: sympy.Expr) -> Report:
    """Whether the steepest slope is attained at d = `place` alone and is `value`: ds/dd is a positive factor times
    d² − p²q, and (t + 1)(q²/t + 1) − (q + 1)² = (t − q)²/t for t = d²/p²."""
    sign = sympy.factor(sympy.diff(slope(), D))
    positive = 2 * GAMMA * P**2 * (Q**2 - 1) * D * (D**2 + P**2 * Q) / ((D**2 + P**2) ** 2 * (D**2 + P**2 * Q**2) ** 2)
    if sympy.simplify(sign - positive * (D**2 - P**2 * Q)) != 0:
        return Report(f"ds/dd is {sign}")
    if sympy.simplify((D**2 - P**2 * Q).subs(D, place)) != 0:
        return Report(f"ds/dd does not vanish at d = {place}")
    if sympy.simplify(slope().subs(D, place) - value) != 0:
        return Report(f"the slope at d = {place} is {sympy.simplify(slope().subs(D, place))}, not {value}")
    t = sympy.symbols("t", positive=True)
    if sympy.simplify((t + 1) * (Q**2 / t + 1) - (Q + 1) ** 2 - (t - Q) ** 2 / t) != 0:
        return Report("the denominator is not smallest at t = q")
    return Report()


def plateaus_eq(ratio: sympy.Expr) -> Report:
    """Whether with q = `ratio` (of low, high and γ) the law tends to high as d → 0, to low as d → ∞, and is their
    geometric mean at d = p√q."""
    at_zero = law().subs(D, 0).subs(Q, ratio)
    if sympy.simplify(sympy.expand_log(sympy.log(at_zero / HIGH), force=True)) != 0:
        return Report(f"at d = 0 the law is {sympy.powsimp(at_zero, force=True)}, not the high plateau")
    base = sympy.powdenest((law() / LOW) ** (2 / GAMMA), force=True)
    if sympy.limit(base, D, sympy.oo) != 1:
        return Report("the law does not tend to the low plateau")
    middle = sympy.simplify(law().subs(D, P * sympy.sqrt(Q)) / LOW / Q ** (GAMMA / 2))
    if middle != 1:
        return Report(f"at d = p√q the law is {middle} times the geometric mean")
    mean = LOW * ratio ** (GAMMA / 2) / sympy.sqrt(LOW * HIGH)
    if sympy.simplify(sympy.expand_log(sympy.log(mean), force=True)) != 0:
        return Report("low·q^{γ/2} is not the geometric mean of the plateaus")
    return Report()


def law_eq(model: PruningLaw, low: float, *, depth: float = 2.0, width: float = 16.0, device=None) -> Report:
    """Whether a law in code has the values of the formula, its steepest slope, and a density for each of its values."""
    density = torch.logspace(-6, 0, 61, dtype=torch.float64, device=device)
    p = model.p / (depth**model.phi * width**model.psi)
    q = (model.high / low) ** (1 / model.gamma)
    expected = low * ((density**2 + (p * q) ** 2) / (density**2 + p * p)) ** (model.gamma / 2)
    values = model(density, depth, width, low)
    gap = float((values / expected - 1).abs().max())
    if not gap <= TOLERANCE:
        return Report(f"the law in code is {gap:.1e} off its formula")
    steepest = -model.gamma * (q - 1) / (q + 1)
    if not abs(model.steepest_slope(low) - steepest) <= TOLERANCE:
        return Report(f"the law in code names the steepest slope {model.steepest_slope(low)}, it is {steepest}")
    target = (low * model.high) ** 0.5
    found = model.density_for(target, depth, width, low)
    if not abs(found / (p * q**0.5) - 1) <= TOLERANCE:
        return Report(f"the geometric mean is said to be at density {found}, it is at {p * q**0.5}")
    return Report()
