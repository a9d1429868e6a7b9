"""Means of products of k of n matrices, with and without repetition, by dynamic programming over subsets.

E_wo[k] = (1/(n)_k) Σ A_{j_1}⋯A_{j_k} over tuples of distinct indices, E_wr[k] = (mean A)^k; nested: the means of
A_{j_1}⋯A_{j_k}·M·A_{j_k}ᴴ⋯A_{j_1}ᴴ with M = `start`.

Main definitions: `expected_product`, `am_gm_ratio`.
"""

from __future__ import annotations

from torch import Tensor


def expected_product(
    A: Tensor, k: int | None = None, *, replacement: bool = False, nested: bool = False, start: Tensor | None = None
) -> Tensor:
    """The mean product (..., d, d) of k (n when None) of the matrices A (..., n, d, d), float64 or complex128.

    Without repetition Σ_{j<k} C(n, j)(n − j) products for each of "..."; n ≤ 20. `start` (..., d, d) takes the place of
    the identity: right of the products, or in the middle of the nested ones.
    """
    raise NotImplementedError


def am_gm_ratio(A: Tensor, k: int | None = None, *, nested: bool = False) -> Tensor:
    """‖without repetition‖ / ‖with repetition‖ (...), operator norms; 0/0 is 1."""
    raise NotImplementedError
