"""Exact integer arrays: int64 while numbers are below 2⁵³, Python integers (dtype object) beyond.

Main definitions: `compact`, `product`, `times`.
Implementation notes: a product goes through float64 matrix multiplication when no partial sum can reach 2⁵³.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

SMALL = 2**53


def largest(values: np.ndarray) -> int:
    """max |values|, 0 if there are none."""
    # not abs(values): −2⁶³ has no absolute value in int64
    return max(int(values.max()), -int(values.min())) if values.size else 0


def compact(values: np.ndarray) -> np.ndarray:
    """int64 if every number is below 2⁵³, else Python integers. ValueError for a number that is no integer."""
    if values.dtype.kind not in "iu":
        values = np.asarray(np.frompyfunc(_whole, 1, 1)(values.astype(object)), dtype=object)
    return values.astype(np.int64 if largest(values) < SMALL else object)


def _whole(value: Any) -> int:
    """`value` as a Python integer: a float among objects would round in silence later on."""
    if isinstance(value, (int, float, np.integer, np.floating)) and math.isfinite(value) and value == int(value):
        return int(value)
    raise ValueError(f"`values` must be integers, got {value!r}")


def product(rows: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """rows (k, in) times weight (out, in) transposed, exact."""
    if largest(rows) * largest(weight) * max(1, rows.shape[1]) < SMALL:
        return (rows.astype(np.float64) @ weight.T.astype(np.float64)).astype(np.int64)
    return rows.astype(object) @ weight.T.astype(object)


def times(factor: int, values: np.ndarray) -> np.ndarray:
    """factor·values, exact."""
    small = abs(factor) * max(1, largest(values)) < SMALL
    return values * factor if small else values.astype(object) * factor
