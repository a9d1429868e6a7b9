"""Means of products of k of n matrices, with and without repetition, by dynamic programming over subsets.

E_wo[k] = (1/(n)_k) Σ A_{j_1}⋯A_{j_k} over tuples of distinct indices, E_wr[k] = (mean A)^k; nested: the means of
A_{j_1}⋯A_{j_k}·M·A_{j_k}ᴴ⋯A_{j_1}ᴴ with M = `start`.

Main definitions: `expected_product`, `am_gm_ratio`, `require_matrices`, `require_hermitian`, `require_positive`.
Implementation notes: P(T), the sum of the products of T's matrices in every order, is Σ_{i∈T} A_i·P(T − i): with
C(n, j) subsets of j indices Σ_{j<k} C(n, j)(n − j) ≤ n·2^(n−1) products, where there are (n)_k tuples. Sums are
gathered by target, not scattered, so that they are made in one order on every device; tuples are taken in chunks.
"""

from __future__ import annotations

import functools
import itertools
import math
from functools import cache
from typing import Any

import torch
from torch import Tensor

from constructions.arrays import Array, as_given, tensor_of
from constructions.errors import BudgetExceeded, require_bool, require_int

MOST_LETTERS = 20
MOST_FACTORS = 10_000
MOST_BYTES = 1 << 31  # of the largest level of a single tuple
CHUNK_BYTES = 1 << 27
MOST_KEPT = 12  # of the letters whose tables stay in memory
TOLERANCE = 1e-10
"""Asymmetry and negative eigenvalues that count as rounding, relative to the matrix's norm."""


def expected_product(
    A: Array, k: int | None = None, *, replacement: bool = False, nested: bool = False, start: Array | None = None
) -> Array:
    """The mean product (..., d, d) of k (n when None) of the matrices A (..., n, d, d), float64 or complex128; a numpy
    array for a numpy array.

    `start` (..., d, d) takes the place of the identity: right of the products, or in the middle of the nested ones.
    TypeError or ValueError for other shapes, numbers that are not finite, k not in 1 to n (with `replacement`
    to 10,000) or n > 20 without; BudgetExceeded when the subsets of one tuple would take more than 2 GiB.
    """
    matrices = require_matrices("A", A)
    n = matrices.shape[-3]
    require_bool("replacement", replacement)
    require_bool("nested", nested)
    k = n if k is None else require_int("k", k, 1, MOST_FACTORS if replacement else n)
    middle = _middle(matrices, start)
    if replacement:
        return as_given(_with_replacement(matrices, k, middle, nested), A)
    require_int("n", n, 1, MOST_LETTERS)
    return as_given(_in_chunks(matrices, k, middle, nested), A)


def am_gm_ratio(A: Array, k: int | None = None, *, nested: bool = False) -> Array:
    """‖mean without repetition‖ / ‖mean with repetition‖ (...), operator norms, of positive semidefinite A
    (..., n, d, d), a tensor or a numpy array; 0/0 is 1. ValueError also where a matrix is not Hermitian or not
    positive semidefinite."""
    matrices = require_positive("A", A)
    scale = _safe(matrices.abs().amax((-3, -2, -1), keepdim=True))  # the ratio does not change, nothing overflows
    return as_given(ratio(matrices / scale, k, nested=nested), A)


def ratio(A: Tensor, k: int | None = None, *, nested: bool = False) -> Tensor:
    """`am_gm_ratio` of matrices that are known to be positive semidefinite."""
    without = norm(expected_product(A, k, nested=nested))
    repeated = norm(expected_product(A, k, nested=nested, replacement=True))
    both_zero = (without == 0) & (repeated == 0)
    return torch.where(both_zero, torch.ones_like(without), without / torch.where(both_zero, 1.0, repeated))


def norm(M: Tensor) -> Tensor:
    """Operator norms (...) of Hermitian matrices (..., d, d): rounding's asymmetry is averaged away."""
    values = torch.linalg.eigvalsh((M + M.mH) / 2)
    return torch.maximum(values[..., -1], -values[..., 0])


# --- arguments ------------------------------------------------------------------------------------------


def require_matrices(name: str, A: Any) -> Tensor:
    """`A` (..., n, d, d) as float64, or complex128 when it is complex; TypeError or ValueError otherwise."""
    A = tensor_of(name, A, with_complex=True)
    if not isinstance(A, Tensor) or A.layout != torch.strided or A.is_meta:
        raise TypeError(f"`{name}` must be a dense torch.Tensor of shape (..., n, d, d), got {type(A).__name__}")
    if A.ndim < 3 or A.shape[-1] != A.shape[-2] or not A.numel():
        raise ValueError(f"`{name}` must have shape (..., n, d, d), none of them 0, got {tuple(A.shape)}")
    if A.dtype == torch.bool:
        raise TypeError(f"`{name}` must hold numbers, got {A.dtype}")
    matrices = A.to(torch.complex128 if A.is_complex() else torch.float64)
    if not bool(torch.isfinite(matrices).all()):
        raise ValueError(f"`{name}` must be finite, it holds NaN or inf")
    return matrices


def require_positive(name: str, A: Any) -> Tensor:
    """`require_matrices`, all Hermitian and positive semidefinite up to rounding (10⁻¹⁰ of the norm)."""
    matrices = require_matrices(name, A)
    require_hermitian(name, matrices)
    scale = matrices.abs().amax((-2, -1))
    unit = matrices / _safe(scale)[..., None, None]
    lowest = torch.linalg.eigvalsh((unit + unit.mH) / 2)[..., 0]
    _refuse(name, ~(lowest >= -TOLERANCE), lowest * scale, "positive semidefinite, the least eigenvalue")
    return matrices


def _safe(scale: Tensor) -> Tensor:
    """A divisor: 1 in place of 0."""
    return torch.where(scale > 0, scale, 1.0)


def require_hermitian(name: str, matrices: Tensor) -> None:
    """ValueError unless the matrices are Hermitian up to rounding."""
    skew = (matrices - matrices.mH).abs().amax((-2, -1))
    allowed = TOLERANCE * matrices.abs().amax((-2, -1))
    _refuse(name, ~(skew <= allowed), skew, "Hermitian, the largest asymmetry")


def _refuse(name: str, bad: Tensor, found: Tensor, what: str) -> None:
    """ValueError when some matrix is `bad`, naming the first and the number found there."""
    if bool(bad.any()):
        flat = int(torch.argmax(bad.reshape(-1).to(torch.uint8)))
        place = tuple(int(i) for i in torch.unravel_index(torch.tensor(flat), bad.shape))
        index = place[0] if len(place) == 1 else place
        value = float(found.reshape(-1)[flat])
        raise ValueError(f"`{name}` must be {what} of matrix {index} is {value:.3g}")


def _middle(matrices: Tensor, start: Any) -> Tensor:
    d, start = matrices.shape[-1], tensor_of("start", start, with_complex=True)
    if start is None:
        return torch.eye(d, dtype=matrices.dtype, device=matrices.device).expand(*matrices.shape[:-3], d, d)
    dense = isinstance(start, Tensor) and start.layout == torch.strided and start.ndim >= 2
    given = require_matrices("start", start[..., None, :, :] if dense else start)
    if given.shape[-1] != d or given.device != matrices.device:
        raise ValueError(f"`start` must be (..., {d}, {d}) on {matrices.device}, got {tuple(start.shape)}")
    if given.is_complex() and not matrices.is_complex():
        raise TypeError("`start` must be real where `A` is")
    try:
        return given[..., 0, :, :].to(matrices.dtype).expand(*matrices.shape[:-3], d, d)
    except RuntimeError as err:
        raise ValueError(f"`start` must fit {tuple(matrices.shape[:-3])} tuples, got {tuple(start.shape)}") from err


# --- the two means --------------------------------------------------------------------------------------


def _with_replacement(A: Tensor, k: int, middle: Tensor, nested: bool) -> Tensor:
    if not nested:
        return torch.linalg.matrix_power(A.mean(-3), k) @ middle
    for _ in range(k):
        middle = (A @ middle[..., None, :, :] @ A.mH).mean(-3)
    return middle


def _in_chunks(A: Tensor, k: int, middle: Tensor, nested: bool) -> Tensor:
    n, d = A.shape[-3], A.shape[-1]
    most = max(math.comb(n, j) for j in range(k + 1))
    one = most * d * d * A.element_size()
    if one > MOST_BYTES:
        raise BudgetExceeded(
            f"`A` has {n} matrices of size {d}: {most} subsets take {one} bytes, more than {MOST_BYTES}"
        )
    tuples, starts = A.reshape(-1, n, d, d), middle.reshape(-1, d, d)
    chunk = max(1, CHUNK_BYTES // (3 * one))
    parts = zip(tuples.split(chunk), starts.split(chunk), strict=True)
    done = [_over_subsets(part, k, first, nested) for part, first in parts]
    return torch.cat(done).reshape(*A.shape[:-3], d, d)


def _over_subsets(A: Tensor, k: int, middle: Tensor, nested: bool) -> Tensor:
    """The mean of A (B, n, d, d) without repetition."""
    n = A.shape[1]
    level = middle[:, None]
    for j in range(1, k + 1):
        letters, sources = (table.to(A.device) for table in subset_tables(n, j))
        parts = (_times(A[:, t], level[:, s], nested) for t, s in zip(letters, sources, strict=True))
        level = functools.reduce(torch.add, parts)
    return level.sum(1) / math.perm(n, k)


def _times(factor: Tensor, level: Tensor, nested: bool) -> Tensor:
    product = factor @ level
    return product @ factor.mH if nested else product


def subset_tables(n: int, j: int) -> tuple[Tensor, Tensor]:
    """For the subsets of j ≥ 1 indices in order, the r-th index (j, C(n, j)) and the number of the subset without it
    among those of j − 1 (j, C(n, j))."""
    return _kept_tables(n, j) if n <= MOST_KEPT else _make_tables(n, j)


def _make_tables(n: int, j: int) -> tuple[Tensor, Tensor]:
    letters, smaller = _subsets(n, j), _subsets(n, j - 1)
    number = torch.zeros(2**n, dtype=torch.int64)
    number[_masks(smaller)] = torch.arange(len(smaller))
    sources = number[_masks(letters)[:, None] - torch.bitwise_left_shift(torch.ones_like(letters), letters)]
    return letters.T.contiguous(), sources.T.contiguous()


_kept_tables = cache(_make_tables)


def _subsets(n: int, j: int) -> Tensor:
    return torch.tensor(list(itertools.combinations(range(n), j)), dtype=torch.int64).reshape(math.comb(n, j), j)


def _masks(subsets: Tensor) -> Tensor:
    return torch.bitwise_left_shift(torch.ones_like(subsets), subsets).sum(1)
