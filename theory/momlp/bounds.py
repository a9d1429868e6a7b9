"""Counts of pencil mixtures as sympy expressions, and the optimal split.

The expressions here are a transcription of the theorem, independent of `constructions.momlp.plan`.

Main definitions: `pencil_counts`, `optimal_split`.
Notation: eps error, lam Lipschitz constant, ell side length, theta split, n inputs, m outputs.
"""

from __future__ import annotations

from dataclasses import dataclass

import sympy

eps, lam, ell, theta = sympy.symbols("eps lam ell theta", positive=True)
n, m = sympy.symbols("n m", integer=True, positive=True)


@dataclass(frozen=True)
class Counts:
    """Expressions of a partition into equal sides ell: K knots, M cells an axis, P an expert, L leaves, F loaded."""

    knots: sympy.Expr
    cells: sympy.Expr
    parameters: sympy.Expr
    leaves: sympy.Expr
    loaded: sympy.Expr


def pencil_counts() -> Counts:
    """K = ⌈ℓλ/(2ε√θ)⌉, M = ⌈ℓλ√(n−1)/(2ε√(1−θ))⌉, P = K(n+1+m) + m, L = M^{n−1}, F = P + 2n(n−1)⌈log₂ M⌉."""
    knots = sympy.ceiling(ell * lam / (2 * eps * sympy.sqrt(theta)))
    cells = sympy.ceiling(ell * lam * sympy.sqrt(n - 1) / (2 * eps * sympy.sqrt(1 - theta)))
    parameters = knots * (n + 1 + m) + m
    leaves = cells ** (n - 1)
    loaded = parameters + 2 * n * (n - 1) * sympy.ceiling(sympy.log(cells, 2))
    return Counts(knots, cells, parameters, leaves, loaded)


def optimal_split() -> sympy.Expr:
    """The unique θ ∈ (0, 1) that minimises L·K without ceilings, (1−θ)^{−(n−1)/2} θ^{−1/2}, for symbolic n."""
    logarithm = -(n - 1) * sympy.log(1 - theta) / 2 - sympy.log(theta) / 2
    solutions = sympy.solve(sympy.together(sympy.diff(logarithm, theta)), theta)
    if len(solutions) != 1:
        raise ValueError(f"expected one stationary split, got {solutions}")
    (best,) = solutions
    if sympy.simplify(sympy.diff(logarithm, theta, 2).subs(theta, best)).is_negative:
        raise ValueError("the stationary split is a maximum")
    return sympy.simplify(best)
