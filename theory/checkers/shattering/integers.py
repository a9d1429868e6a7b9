"""Exact integer arrays: int64 while numbers are below 2⁵³, Python integers (dtype object) beyond.

Main definitions: `compact`, `product`, `times`.
Implementation notes: a product goes through float64 matrix multiplication when no partial sum can reach 2⁵³.
"""

from __future__ import annotations

import numpy as np

SMALL = 2**53


def largest(values: np.ndarray) -> int:
    """max |values|, 0 if there are none."""
    return int(abs(values).max()) if values.size else 0


def compact(values: np.ndarray) -> np.ndarray:
    """int64 if every number is below 2⁵³, else Python integers."""
    return values.astype(np.int64 if largest(values) < SMALL else object)


def product(rows: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """rows (k, in) times weight (out, in) transposed, exact."""
    if largest(rows) * largest(weight) * max(1, rows.shape[1]) < SMALL:
        return (rows.astype(np.float64) @ weight.T.astype(np.float64)).astype(np.int64)
    return rows.astype(object) @ weight.T.astype(object)


def times(factor: int, values: np.ndarray) -> np.ndarray:
    """factor·values, exact."""
    return values * factor if factor * max(1, largest(values)) < SMALL else values.astype(object) * factor
