"""Are float64 interactions those of the game? Against rational numbers, from the game's own float64 values.

Main definitions: `rational_index`, `rational_moebius`, `interactions_match`, `said_to_be_exact`, `EstimateReport`.
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
from theory.shapley_interactions.checkers.theorems import first_available_index
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


def rational_moebius(values: Sequence[float | Fraction], order: int) -> dict[int, list[Fraction]]:
    """k ↦ Σ_{A ⊆ S} (−1)^{|S|−|A|} v(A) of all k-sets S, for k ≤ `order`, by that sum."""
    n = len(values).bit_length() - 1
    exact = [Fraction(value) for value in values]

    def coefficient(s: int) -> Fraction:
        return sum(((-1) ** (s & ~a).bit_count() * exact[a] for a in subsets(s)), Fraction(0))

    return {k: [coefficient(s) for s in sets(n, k)] for k in range(1, order + 1)}


def interactions_match(
    found: InteractionValues, table: Tensor, index: str, order: int, *, tolerance: float | Fraction
) -> EstimateReport:
    """Whether all interactions, the baseline and the prediction are those of the game `table` within `tolerance`, of
    the `index` ("SV", "SII", "k-SII", "Moebius") and of 1 … `order` players; and whether `found` says so.

    `table` holds the 2^n values of a game of one output, float64, mask by mask.
    """
    require_instance("found", found, InteractionValues)
    require_choice("index", index, ("SV", "SII", "k-SII", "Moebius"))
    values = table.detach().cpu().double().tolist()
    n = len(values).bit_length() - 1
    require_int("order", order, 1, n)
    if found.n != n:
        return EstimateReport(0, math.inf, f"the interactions are of {found.n} players, the game of {n}")
    if found.index != index or len(found.orders) != order:
        said = f"{found.index} of order {len(found.orders)}, not {index} of order {order}"
        return EstimateReport(0, math.inf, f"the interactions are {said}")
    if index == "Moebius":
        wanted = rational_moebius(values, order)
    else:
        wanted = rational_index(values, order)
        wanted = rational_k_sii(wanted, n) if index == "k-SII" else wanted
    return _all_compared(found, wanted, (Fraction(values[0]), Fraction(values[-1])), tolerance)


def order_matches(
    found: InteractionValues, table: Tensor, order: int, *, tolerance: float | Fraction
) -> EstimateReport:
    """Whether SII of exactly `order` players, among those `found`, is that of the game `table` within `tolerance`."""
    right = rational_index(table.detach().cpu().double().tolist(), order)[order]
    if found.index != "SII" or not order <= len(found.orders) or found.order(order).shape != (len(right),):
        return EstimateReport(0, math.inf, f"the interactions are {found.index} of order {len(found.orders)}")
    names = (members(s) for s in sets(found.n, order))
    return _compared(list(zip(names, found.order(order).tolist(), right, strict=True)), tolerance)


def experts_match(
    found: InteractionValues, places: Tensor, values: Tensor, empty: Tensor, order: int, *, tolerance: float | Fraction
) -> EstimateReport:
    """Whether SII of 1 … `order` experts is the mean over points of the closed forms of games in which the first
    available player counts: `places` (N, L) the points' orders of the experts, `values` (N, L) theirs in that order,
    and `empty` (N,) that of no expert."""
    rows = list(zip(places.tolist(), values.tolist(), empty.tolist(), strict=True))
    n = places.shape[1]
    if (found.index, len(found.orders), found.n) != ("SII", order, n):
        said = f"{found.index} of order {len(found.orders)} of {found.n} players"
        return EstimateReport(0, math.inf, f"the interactions are {said}, not SII of order {order} of {n}")

    def closed(s: int) -> Fraction:
        total = Fraction(0)
        for players, answers, none in rows:
            before = 0
            for player, answer in zip(players, answers, strict=True):
                total += Fraction(answer) * first_available_index(s, player, before)
                before |= 1 << player
            total += Fraction(none) * first_available_index(s, None, before)
        return total / len(rows)

    wanted = {k: [closed(s) for s in sets(n, k)] for k in range(1, order + 1)}
    ends = [
        sum((Fraction(v) for v in column), Fraction(0)) / len(rows)
        for column in (empty.tolist(), values[:, 0].tolist())
    ]
    return _all_compared(found, wanted, (ends[0], ends[1]), tolerance)


def _all_compared(
    found: InteractionValues,
    wanted: dict[int, list[Fraction]],
    ends: tuple[Fraction, Fraction],
    tolerance: float | Fraction,
) -> EstimateReport:
    """v(∅) and v(N), and all orders wanted."""
    n = found.n
    pairs = [("v(∅)", float(found.baseline), ends[0]), ("v(N)", float(found.prediction), ends[1])]
    for k, right in wanted.items():
        got = found.order(k)
        if got.shape != (len(right),) or got.dtype != torch.float64:
            sentence = f"order {k} holds {got.dtype} {tuple(got.shape)}, not {len(right)} numbers in float64"
            return EstimateReport(0, math.inf, sentence)
        names = (members(s) for s in sets(n, k))
        pairs += zip(names, got.tolist(), right, strict=True)
    return _compared(pairs, tolerance)


def said_to_be_exact(found: InteractionValues, evaluations: int) -> Report:
    """Whether `found` calls itself exact, determined by its coalitions, of so many `evaluations`."""
    if found.exact is not True or found.rank_deficient is not False:
        return Report(f"exact is {found.exact}, rank_deficient {found.rank_deficient}")
    if found.evaluations != evaluations:
        return Report(f"{found.evaluations} coalitions were evaluated, not {evaluations}")
    return Report(None)


def _compared(pairs: list[tuple[str, float, Fraction]], tolerance: float | Fraction) -> EstimateReport:
    worst, failure = 0.0, None
    for name, got, right in pairs:
        gap = abs(Fraction(got) - right) if math.isfinite(got) else math.inf
        error = float(gap)
        # a rational and a float compare exactly
        if failure is None and not gap <= tolerance:
            failure = f"{name} is {got}, not {float(right):.17g}"
        worst = max(worst, error)
    return EstimateReport(len(pairs), worst, failure)
