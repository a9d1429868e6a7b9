"""The exact twin of `expectation`: rational matrices (flint.fmpq_mat), integers over a common denominator inside.

Main definitions: `expected_product_exact`, `exact_matrices`, `float_matrices`, `require_rational_matrices`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import torch
from flint import fmpq, fmpq_mat, fmpz, fmpz_mat
from torch import Tensor

from constructions.am_gm.expectation import MOST_FACTORS, require_matrices
from constructions.errors import require_bool, require_int

MOST_LETTERS = 16


def expected_product_exact(
    A: Sequence[fmpq_mat],
    k: int | None = None,
    *,
    replacement: bool = False,
    nested: bool = False,
    start: fmpq_mat | None = None,
) -> fmpq_mat:
    """The mean product of k of the n rational matrices of A, exactly; as `expected_product` (n ≤ 16 without
    repetition)."""
    matrices = require_rational_matrices("A", A)
    n, d = len(matrices), matrices[0].nrows()
    require_bool("replacement", replacement)
    require_bool("nested", nested)
    k = n if k is None else require_int("k", k, 1, MOST_FACTORS if replacement else n)
    middle = identity(d) if start is None else require_rational_matrices("start", [start], d)[0]
    if replacement:
        return _with_replacement(matrices, k, middle, nested)
    require_int("n", n, 1, MOST_LETTERS)
    integers, denominator = _over_common_denominator(matrices)
    numerators, below = middle.numer_denom()
    total = _over_subsets(integers, k, numerators, nested)
    scale = math.perm(n, k) * int(denominator) ** (2 * k if nested else k) * int(below)
    return fmpq_mat(total) * fmpq(1, scale)


def require_rational_matrices(name: str, A: Any, size: int | None = None) -> list[fmpq_mat]:
    """`A` as a list of square fmpq_mat of one size; TypeError or ValueError otherwise."""
    if not isinstance(A, (list, tuple)) or not A or not all(isinstance(M, fmpq_mat) for M in A):
        raise TypeError(f"`{name}` must be a list of flint.fmpq_mat, got {type(A).__name__}")
    d = A[0].nrows() if size is None else size
    if not d or any((M.nrows(), M.ncols()) != (d, d) for M in A):
        shapes = sorted({(M.nrows(), M.ncols()) for M in A})
        raise ValueError(
            f"`{name}` must hold square matrices of one size{'' if size is None else f' {d}'}, got {shapes}"
        )
    return list(A)


def identity(d: int) -> fmpq_mat:
    """The d × d identity."""
    return fmpq_mat(d, d, [int(i == j) for i in range(d) for j in range(d)])


def exact_matrices(A: Tensor) -> list[fmpq_mat]:
    """The n real matrices of a tensor (n, d, d) as rationals: every float is one."""
    matrices = require_matrices("A", A)
    if matrices.ndim != 3 or matrices.is_complex():
        raise ValueError(f"`A` must be real of shape (n, d, d), got {matrices.dtype} {tuple(matrices.shape)}")
    d = matrices.shape[-1]
    rows = matrices.detach().cpu().reshape(-1, d * d).tolist()
    return [fmpq_mat(d, d, [fmpq(*v.as_integer_ratio()) for v in row]) for row in rows]


def float_matrices(A: Sequence[fmpq_mat]) -> Tensor:
    """Square rational matrices of one size as a float64 tensor (n, d, d), each entry rounded once."""
    matrices = require_rational_matrices("A", A)
    d = matrices[0].nrows()
    rows = [[float(Fraction(int(v.p), int(v.q))) for v in M.entries()] for M in matrices]
    return torch.tensor(rows, dtype=torch.float64).reshape(-1, d, d)


def _with_replacement(A: list[fmpq_mat], k: int, middle: fmpq_mat, nested: bool) -> fmpq_mat:
    share, d = fmpq(1, len(A)), A[0].nrows()
    mean = sum(A, start=fmpq_mat(d, d)) * share
    if not nested:
        return mean**k * middle
    for _ in range(k):
        middle = sum((M * middle * M.transpose() for M in A), start=fmpq_mat(d, d)) * share
    return middle


def _over_common_denominator(A: list[fmpq_mat]) -> tuple[list[fmpz_mat], fmpz]:
    parts = [M.numer_denom() for M in A]
    common = fmpz(math.lcm(*(int(q) for _, q in parts)))
    return [p * (common // q) for p, q in parts], common


def _over_subsets(A: list[fmpz_mat], k: int, middle: fmpz_mat, nested: bool) -> fmpz_mat:
    """The sum over all k-tuples of distinct indices, subsets as bit masks."""
    level = {0: middle}
    for _ in range(k):
        above: dict[int, fmpz_mat] = {}
        for subset, total in level.items():
            for i, M in enumerate(A):
                if not subset >> i & 1:
                    product = M * total * M.transpose() if nested else M * total
                    key = subset | 1 << i
                    above[key] = above[key] + product if key in above else product
        level = above
    return sum(level.values(), start=fmpz_mat(middle.nrows(), middle.ncols()))
