"""Are float64 interactions those of the game? Against rational numbers, from the game's own float64 values.

Main definitions: `rational_index`, `interactions_match`, `EstimateReport`.
Implementation notes: float64 values are dyadic rationals, so a common power of two makes a table of integers, whose
Möbius coefficients are integers, too; only the sum (1b) divides.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import torch
from torch import Tensor

from constructions.errors import require_choice, require_instance, require_int
from constructions.shapley_interactions import InteractionValues
from theory.claim import Report
from theory.shapley_interactions.checkers import weights
from theory.shapley_interactions.checkers.weights import members, sets, subsets

MOST_PLAYERS = weights.MOST_PLAYERS


@dataclass(frozen=True)
class EstimateReport(Report):
    """`compared` interactions differ by `worst` at most from the rational ones; infinite for one that is no number."""

    compared: int
    worst: float
    failure: str | None


def rational_index(values: Sequence[float | Fraction], order: int) -> dict[int, list[Fraction]]:
    """k ↦ SII of all k-sets in the order of `weights.sets`, for k ≤ `order`, by (1b) from Möbius coefficients.

    `values` are 2^n finite numbers, mask by mask; ValueError otherwise.
    """
    n = len(values).bit_length() - 1
    if len(values) != 1 << n or not 1 <= n <= MOST_PLAYERS:
        raise ValueError(f"`values` must be 2^n numbers for 1 to {MOST_PLAYERS} players, got {len(values)}")
    if not all(math.isfinite(value) for value in values):
        raise ValueError("`values` must be finite")
    require_int("order", order, 1, n)
    scale = math.lcm(*(Fraction(value).denominator for value in values))
    coefficients = [int(Fraction(value) * scale) for value in values]
    for i in range(n):
        for mask in range(1 << n):
            if mask >> i & 1:
                coefficients[mask] -= coefficients[mask ^ 1 << i]
    return {k: [_summed(coefficients, n, k, s) / scale for s in sets(n, k)] for k in range(1, order + 1)}


def _summed(coefficients: list[int], n: int, k: int, s: int) -> Fraction:
    """Σ_{A ⊇ S} m(A)/(|A| − k + 1)."""
    by_size = [0] * (n - k + 1)
    for more in subsets((1 << n) - 1 - s):
        by_size[more.bit_count()] += coefficients[s | more]
    return sum((Fraction(value, size + 1) for size, value in enumerate(by_size)), Fraction(0))


def rational_k_sii(index: dict[int, list[Fraction]], n: int) -> dict[int, list[Fraction]]:
    """k-SII of SII: Φ(S) = Σ_{L ⊇ S, |L| ≤ order} B_{|L|−s} φ(L)."""
    found = {}
    for s in index:
        rows = []
        for part in sets(n, s):
            terms = (
                weights.bernoulli(size - s) * value
                for size in index
                if size >= s
                for whole, value in zip(sets(n, size), index[size], strict=True)
                if part & ~whole == 0
            )
            rows.append(sum(terms, Fraction(0)))
        found[s] = rows
    return found


def interactions_match(found: InteractionValues, table: Tensor, *, tolerance: float) -> EstimateReport:
    """Whether all interactions, the baseline and the prediction are those of the game `table` within `tolerance`.

    `table` holds the 2^n values of a game of one output, float64, mask by mask; the index is "SV", "SII" or "k-SII".
    """
    require_instance("found", found, InteractionValues)
    require_choice("found.index", found.index, ("SV", "SII", "k-SII"))
    values = table.detach().cpu().double().tolist()
    n, order = len(values).bit_length() - 1, len(found.orders)
    if found.n != n:
        return EstimateReport(0, math.inf, f"the interactions are of {found.n} players, the game of {n}")
    index = rational_index(values, order)
    wanted = rational_k_sii(index, n) if found.index == "k-SII" else index
    pairs = [
        ("v(∅)", float(found.baseline), Fraction(values[0])),
        ("v(N)", float(found.prediction), Fraction(values[-1])),
    ]
    for k, right in wanted.items():
        got = found.order(k)
        if got.shape != (len(right),) or got.dtype != torch.float64:
            sentence = f"order {k} holds {got.dtype} {tuple(got.shape)}, not {len(right)} numbers in float64"
            return EstimateReport(0, math.inf, sentence)
        names = (members(s) for s in sets(n, k))
        pairs += zip(names, got.tolist(), right, strict=True)
    return _compared(pairs, tolerance)


def _compared(pairs: list[tuple[str, float, Fraction]], tolerance: float) -> EstimateReport:
    worst, failure = 0.0, None
    for name, got, right in pairs:
        error = float(abs(Fraction(got) - right)) if math.isfinite(got) else math.inf
        if failure is None and not error <= tolerance:
            failure = f"{name} is {got}, not {float(right):.17g}"
        worst = max(worst, error)
    return EstimateReport(len(pairs), worst, failure)
