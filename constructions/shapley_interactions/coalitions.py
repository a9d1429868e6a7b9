"""Coalitions as rows of a boolean matrix, and the weights of Shapley interactions.

Main definitions: `subsets`, `masks_of`, `rank`, `all_masks`, `included`, `bernoulli`, `sii_weights`, `kernel`,
`top_projector`, `aggregated`.
Notation: n players, coalitions T of size t, interactions S of size k (in lexicographic order), l = |S ∩ T|.
References: Fumagalli et al., KernelSHAP-IQ, ICML 2024; docs/shapley_interactions.md for the proofs.
"""

from __future__ import annotations

import math
from fractions import Fraction
from functools import cache

import torch
from torch import Tensor

MOST_EXACT = 22
"""Players whose 2^n coalitions are evaluated one and all."""


def subsets(n: int, k: int) -> Tensor:
    """All k-subsets of n players (C(n, k), k), int64, in lexicographic order."""
    rows = torch.zeros(1, 0, dtype=torch.int64)
    for place in range(k):
        low = rows[:, -1] + 1 if place else torch.zeros(1, dtype=torch.int64)
        fresh = (n - k + place + 1) - low
        parent = torch.repeat_interleave(torch.arange(len(rows)), fresh)
        first = fresh.cumsum(0) - fresh
        rows = torch.cat([rows[parent], (low[parent] + torch.arange(len(parent)) - first[parent])[:, None]], dim=1)
    return rows


def masks_of(sets: Tensor, n: int) -> Tensor:
    """Boolean rows (m, n) of subsets (m, k)."""
    return torch.zeros(len(sets), n, dtype=torch.bool, device=sets.device).scatter_(1, sets, True)


def masks_of_size(n: int, t: int) -> Tensor:
    """Boolean rows (C(n, t), n) of all coalitions of size t."""
    return masks_of(subsets(n, t), n) if 2 * t <= n else ~masks_of(subsets(n, n - t), n)


def all_masks(n: int, start: int, stop: int) -> Tensor:
    """Coalitions start … stop − 1 in the order of their bit masks (player i is bit i), boolean (stop − start, n)."""
    codes = torch.arange(start, stop)[:, None]
    return (codes >> torch.arange(n)).bitwise_and_(1).bool()


def rank(sets: Tensor, n: int) -> Tensor:
    """Places (m,) of sorted k-subsets (m, k) in the lexicographic order of all of them."""
    k = sets.shape[1]
    place = torch.full((len(sets),), math.comb(n, k) - 1, dtype=torch.int64, device=sets.device)
    for j in range(k):
        counts = torch.tensor([math.comb(c, k - j) for c in range(n)], dtype=torch.int64, device=sets.device)
        place -= counts[n - 1 - sets[:, j]]
    return place


def included(masks: Tensor, sets: Tensor) -> Tensor:
    """1[S ⊆ T] as float64 (m, s) of coalitions T, boolean rows (m, n), and subsets S (s, k)."""
    columns = masks.double()
    if not sets.shape[1]:
        return columns.new_ones(len(masks), len(sets))
    result = columns[:, sets[:, 0]]
    for j in range(1, sets.shape[1]):
        result *= columns[:, sets[:, j]]
    return result


# --- weights --------------------------------------------------------------------------------------------------


@cache
def bernoulli(m: int) -> Fraction:
    """B_m with B_1 = −1/2."""
    if m == 0:
        return Fraction(1)
    return -sum((math.comb(m + 1, j) * bernoulli(j) for j in range(m)), Fraction(0)) / (m + 1)


@cache
def sii_weights(n: int, k: int) -> Tensor:
    """q_n(k; t, l), float64 (n + 1, k + 1): SII(S) = Σ_T q_n(k; |T|, |S ∩ T|) v(T), |S| = k."""
    table = torch.zeros(n + 1, k + 1, dtype=torch.float64)
    for t in range(n + 1):
        for overlap in range(k + 1):
            if 0 <= t - overlap <= n - k:
                table[t, overlap] = (-1) ** (k - overlap) / ((n - k + 1) * math.comb(n - k, t - overlap))
    return table


@cache
def kernel(n: int, k: int) -> Tensor:
    """μ_k(t) = 1/((n − 2k + 1)·C(n − 2k, t − k)), float64 (n + 1,); 0 at the outer sizes t < k and t > n − k."""
    weights = torch.zeros(n + 1, dtype=torch.float64)
    for t in range(k, n - k + 1):
        weights[t] = 1 / ((n - 2 * k + 1) * math.comb(n - 2 * k, t - k))
    return weights


def top_projector(n: int, k: int) -> Tensor:
    """The orthogonal projector, float64 (C(n, k), C(n, k)), onto H_k = {x : Σ_{S ⊃ R} x_S = 0 for all |R| = k − 1}.

    Its entries depend on d = k − |S ∩ S'| alone. Σ_{S ⊃ R} = 0 for an R that misses d elements of S' reads
    d·p(d − 1) + (n − k + 1 − d)·p(d) = 0, hence p(d) = p(0)·(−1)^d/C(n − k, d); and the trace is dim H_k.
    """
    members = masks_of(subsets(n, k), n).double()
    dimension = math.comb(n, k) - math.comb(n, k - 1)
    entries = [dimension / math.comb(n, k) * (-1) ** d / math.comb(n - k, d) for d in range(k + 1)]
    apart = (k - members @ members.T).long()
    return torch.tensor(entries, dtype=torch.float64)[apart]


def aggregated(orders: list[Tensor], n: int) -> list[Tensor]:
    """k-SII of SII values by order, (C(n, s), …) for s = 1 … k: Φ_k(S) = Σ_{L ⊇ S, |L| ≤ k} B_{|L| − s}·SII(L)."""
    result = [values.clone() for values in orders]
    for size in range(2, len(orders) + 1):
        for s in range(1, size):
            factor = float(bernoulli(size - s))
            if factor:
                result[s - 1] += factor * spread(orders[size - 1], n, size, s)
    return result


def spread(values: Tensor, n: int, size: int, s: int) -> Tensor:
    """Σ_{L ⊇ S, |L| = size} values(L), (C(n, s), …), of values (C(n, size), …)."""
    sets = subsets(n, size).to(values.device)
    total = values.new_zeros(math.comb(n, s), *values.shape[1:])
    for places in subsets(size, s).tolist():
        total.index_add_(0, rank(sets[:, places], n), values)
    return total
