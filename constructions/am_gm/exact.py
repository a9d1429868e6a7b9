"""The exact twin of `expectation`: rational matrices (flint.fmpq_mat), integers over a common denominator inside.

Main definitions: `expected_product_exact`, `exact_matrices`, `float_matrices`.
"""

from __future__ import annotations

from collections.abc import Sequence

from flint import fmpq_mat
from torch import Tensor


def expected_product_exact(
    A: Sequence[fmpq_mat],
    k: int | None = None,
    *,
    replacement: bool = False,
    nested: bool = False,
    start: fmpq_mat | None = None,
) -> fmpq_mat:
    """The mean product of k of the n rational matrices of A, exactly; as `expected_product`. n ≤ 16."""
    raise NotImplementedError


def exact_matrices(A: Tensor) -> list[fmpq_mat]:
    """The n real matrices (n, d, d) as rationals: every float is one."""
    raise NotImplementedError


def float_matrices(A: Sequence[fmpq_mat]) -> Tensor:
    """Rational matrices, all (d, d'), as a float64 tensor (n, d, d')."""
    raise NotImplementedError
