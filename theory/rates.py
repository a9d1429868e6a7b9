"""Limits of rates with the ceilings in, and log–log slope fits.

Main definitions: `limit_of_rate`, `fit_slope`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import sympy


def limit_of_rate(expression: sympy.Basic, variable: sympy.Symbol, power: sympy.Expr) -> sympy.Expr:
    """lim_{ε→0+} ε^power · expression for the `variable` ε, where `expression` is polynomial in ceilings ⌈c/ε⌉.

    By the squeeze c/ε ≤ ⌈c/ε⌉ ≤ c/ε + 1: both ends are substituted for every ceiling and their limits must agree, so
    the limit is taken with the ceilings in. ValueError when the two disagree.
    """
    ceilings = sorted(expression.atoms(sympy.ceiling), key=sympy.default_sort_key)
    ends = []
    for shift in (0, 1):
        smooth = expression.subs({c: c.args[0] + shift for c in ceilings})
        ends.append(sympy.simplify(sympy.limit(sympy.expand(variable**power * smooth), variable, 0, "+")))
    if sympy.simplify(ends[0] - ends[1]) != 0:
        raise ValueError(f"the squeeze leaves a gap: {ends[0]} and {ends[1]}")
    return ends[0]


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
