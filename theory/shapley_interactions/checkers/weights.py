"""The rational numbers of the index: Bernoulli numbers, the design, the kernel, and the index's own weights.

Main definitions: `bernoulli` (B₁ = −1/2), `design` (λ(k, ·)), `kernel` (μ_k), `index_weight` (q_n), `sets`.
Notation: subsets of n players are bit masks (player i is bit i); k is the order, t = |T|, l = |S ∩ T|. A size t is
*inner* for k ≤ t ≤ n − k, else *outer*.
"""

from __future__ import annotations

from fractions import Fraction
from functools import cache
from itertools import combinations
from math import comb

from constructions.errors import require_int

MOST_PLAYERS = 12
"""Of an operator over all 2^n coalitions."""
HIGHEST_ORDER = 64


@cache
def _bernoulli(m: int) -> Fraction:
    return Fraction(1) if m == 0 else -sum(comb(m + 1, j) * _bernoulli(j) for j in range(m)) / Fraction(m + 1)


def bernoulli(m: int) -> Fraction:
    """B_m with B₁ = −1/2, by Σ_{j≤m} C(m+1, j) B_j = 0."""
    return _bernoulli(require_int("m", m, 0, 4 * HIGHEST_ORDER))


def design(k: int) -> tuple[Fraction, ...]:
    """λ(k, 0), …, λ(k, k) with λ(k, l) = Σ_{r=1}^{l} C(l, r) B_{k−r}."""
    require_int("k", k, 1, HIGHEST_ORDER)
    return tuple(
        sum((comb(size, r) * bernoulli(k - r) for r in range(1, size + 1)), Fraction(0)) for size in range(k + 1)
    )


def kernel(n: int, k: int) -> dict[int, Fraction]:
    """Inner size t ↦ μ_k(t) = 1/((n−2k+1) C(n−2k, t−k)); ValueError where no size is inner (n < 2k)."""
    require_int("k", k, 1)
    if require_int("n", n, 1) < 2 * k:
        raise ValueError(f"`n` must be at least 2k = {2 * k} for a coalition to be inner, got {n}")
    return {t: Fraction(1, (n - 2 * k + 1) * comb(n - 2 * k, t - k)) for t in range(k, n - k + 1)}


def index_weight(n: int, k: int, t: int, common: int) -> Fraction:
    """q_n(k; t, l) = (−1)^{k−l}/((n−k+1) C(n−k, t−l)) for 0 ≤ t − l ≤ n − k, else 0, with l = `common`."""
    require_int("n", n, 1)
    require_int("k", k, 1, n)
    outside = t - common
    if not 0 <= outside <= n - k:
        return Fraction(0)
    return Fraction((-1) ** (k - common), (n - k + 1) * comb(n - k, outside))


@cache
def sets(n: int, k: int) -> tuple[int, ...]:
    """The masks of all sets of k of n players, in lexicographic order of their members."""
    require_int("n", n, 1, MOST_PLAYERS)
    require_int("k", k, 0, n)
    return tuple(sum(1 << i for i in members) for members in combinations(range(n), k))


def members(mask: int) -> str:
    """{1, 3} for the mask 5: how sentences name a set, players counted from 1."""
    inside = [str(i + 1) for i in range(mask.bit_length()) if mask >> i & 1]
    return "{" + ", ".join(inside) + "}"


def subsets(mask: int) -> list[int]:
    """All subsets of a set, from the empty one to itself."""
    found = [0]
    for i in range(mask.bit_length()):
        if mask >> i & 1:
            found += [part | 1 << i for part in found]
    return found
