"""Counts as sympy expressions, their limits with the ceilings in, the optimal split, and log–log slope fits.

The expressions here are a transcription of the theorem, independent of `constructions.lattice`.

Main definitions: `pencil_counts`, `limit_of_rate`, `optimal_split`, `fit_slope`.
Notation: eps error, lam Lipschitz constant, ell side length, theta split, n inputs, m outputs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
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


def limit_of_rate(expression: sympy.Basic, power: sympy.Expr) -> sympy.Expr:
    """lim_{ε→0+} ε^power · expression, where `expression` is polynomial in ceilings ⌈c/ε⌉.

    By the squeeze c/ε ≤ ⌈c/ε⌉ ≤ c/ε + 1: both ends are substituted for every ceiling and their limits must agree, so
    the limit is taken with the ceilings in. ValueError when the two disagree.
    """
    ceilings = sorted(expression.atoms(sympy.ceiling), key=sympy.default_sort_key)
    ends = []
    for shift in (0, 1):
        smooth = expression.subs({c: c.args[0] + shift for c in ceilings})
        ends.append(sympy.simplify(sympy.limit(sympy.expand(eps**power * smooth), eps, 0, "+")))
    if sympy.simplify(ends[0] - ends[1]) != 0:
        raise ValueError(f"the squeeze leaves a gap: {ends[0]} and {ends[1]}")
    return ends[0]


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


@dataclass(frozen=True)
class SlopeFit:
    """y ≈ C·x^slope in the least-squares sense on logarithms; `error` is the slope's standard error."""

    slope: float
    error: float
    points: int


def fit_slope(x: Sequence[float], y: Sequence[float]) -> SlopeFit:
    """Slope of log y against log x over at least 3 positive points (exact ints may exceed float range)."""
    from scipy import stats  # takes most of a second to import

    for name, values in (("x", x), ("y", y)):
        listed = isinstance(values, Sequence) or (isinstance(values, np.ndarray) and values.ndim == 1)
        if not listed or isinstance(values, (str, bytes)):
            raise TypeError(f"`{name}` must be a sequence of numbers, got {type(values).__name__}")
        real = all(isinstance(v, (int, float, Fraction)) and not isinstance(v, bool) for v in values)
        if not real or not all(0 < v < math.inf for v in values):
            raise ValueError(f"`{name}` must be positive finite numbers")
    if len(x) != len(y) or len(x) < 3:
        raise ValueError(f"`x` and `y` must have the same length of at least 3, got {len(x)} and {len(y)}")
    # math.log takes integers of any size, numpy's does not
    logs = [[math.log(v) for v in values] for values in (x, y)]
    fit: Any = stats.linregress(np.array(logs[0]), np.array(logs[1]))
    return SlopeFit(float(fit.slope), float(fit.stderr), len(x))
