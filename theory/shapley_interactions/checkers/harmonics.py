"""The scalars of the proofs: how an equivariant map acts on f_j^{(t)}(T) = Π_{i≤j}(1[a_i ∈ T] − 1[b_i ∈ T]).

A kernel g(|S ∩ T|) between k-sets S and t-sets T maps f_j^{(k)} to g_{t,j} f_j^{(t)}, and f_j^{(t)} to
g_{t,j} (N_{t,j}/N_{k,j}) f_j^{(k)}, with N_{t,j} = C(n−2j, t−j) and

    g_{t,j} = Σ_{i≤j, u≤k−j} (−1)^{j−i} C(j, i) C(t−j, u) C(n−t−j, k−j−u) g(i + u).

Main definitions: `component`, `scalars_hold`, `constant_direct`, `constant_index`, `direct_fails`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from math import comb

from constructions.errors import require_int
from theory.claim import Report
from theory.shapley_interactions.checkers import weights

MOST_PLAYERS = 200
"""Scalars are sums of a few terms; nothing here has 2^n entries."""


def component(n: int, k: int, t: int, j: int, g: Callable[[int], Fraction]) -> Fraction:
    """g_{t,j} for 0 ≤ j ≤ k and j ≤ t ≤ n − j: the factor of the component j between k-sets and t-sets."""
    require_int("n", n, 1, MOST_PLAYERS)
    require_int("k", k, 1, n)
    require_int("j", j, 0, k)
    require_int("t", t, j, n - j)
    return sum(
        (
            (-1) ** (j - i) * comb(j, i) * comb(t - j, u) * comb(n - t - j, k - j - u) * g(i + u)
            for i in range(j + 1)
            for u in range(k - j + 1)
        ),
        Fraction(0),
    )


@dataclass(frozen=True)
class ScalarReport(Report):
    """`checked` numbers were compared for one n and k."""

    checked: int
    failure: str | None


def scalars_hold(n: int, k: int) -> ScalarReport:
    """Steps 1–4 of T1 for one n ≥ 2k, in rational numbers.

    For every inner t: x_{t,k} = 1, q_{t,k} = μ_k(t), q_{t,j} = 0 for j < k; the kernel sums to D_k = 1; and for every
    j < k some outer t with j ≤ t ≤ n − j has x_{t,j} ≠ 0.
    """
    design, kernel = weights.design(k), weights.kernel(n, k)

    def index(t: int) -> Callable[[int], Fraction]:
        return lambda common: weights.index_weight(n, k, t, common)

    checked = 0
    for t, weight in kernel.items():
        wanted = [("x", k, component(n, k, t, k, design.__getitem__), Fraction(1))]
        wanted += [("q", k, component(n, k, t, k, index(t)), weight)]
        wanted += [("q", j, component(n, k, t, j, index(t)), Fraction(0)) for j in range(k)]
        for name, j, found, right in wanted:
            checked += 1
            if found != right:
                return ScalarReport(checked, f"n = {n}, k = {k}: {name}_{{{t},{j}}} = {found}, not {right}")
    total = sum(weight * comb(n - 2 * k, t - k) for t, weight in kernel.items())
    if total != 1:
        return ScalarReport(checked, f"n = {n}, k = {k}: D_k = {total}, not 1")
    for j in range(k):
        checked += 1
        outer = [t for t in range(j, n - j + 1) if t not in kernel]
        if all(component(n, k, t, j, design.__getitem__) == 0 for t in outer):
            return ScalarReport(checked, f"n = {n}, k = {k}: no outer row sees the component {j}")
    return ScalarReport(checked, None)


# --- symmetric games: the constant component ---------------------------------------------------------------


def constant_index(n: int, k: int, values: Sequence[Fraction | int]) -> Fraction:
    """SII of the symmetric game v(T) = g(|T|): Σ_t Δ^k g(t)/(n − k + 1), the same for all k-sets."""
    _require_symmetric(n, k, values)
    steps = [Fraction(value) for value in values]
    for _ in range(k):
        steps = [b - a for a, b in pairwise(steps)]
    return sum(steps, Fraction(0)) / (n - k + 1)


def constant_residual(n: int, k: int, values: Sequence[Fraction | int]) -> list[Fraction]:
    """y_k of the symmetric game, by size."""
    _require_symmetric(n, k, values)
    found = [Fraction(value) - values[0] for value in values]
    for r in range(1, k):
        design, index = weights.design(r), constant_index(n, r, values)
        for t in range(n + 1):
            found[t] -= index * component(n, r, t, 0, design.__getitem__)
    return found


def constant_direct(n: int, k: int, values: Sequence[Fraction | int]) -> Fraction:
    """What the direct form of order k gives every k-set for v(T) = g(|T|): Σ_o C(n,t) x_t y_t / Σ_o C(n,t) x_t².

    The sums run over the outer sizes t (all of them for n < 2k), x_t = x_{t,0}; ValueError where all x_t vanish.
    """
    y, design = constant_residual(n, k, values), weights.design(k)
    outer = [t for t in range(n + 1) if t < k or t > n - k]
    rows = {t: component(n, k, t, 0, design.__getitem__) for t in outer}
    size = sum(comb(n, t) * x * x for t, x in rows.items())
    if size == 0:
        raise ValueError(f"the outer rows of n = {n}, k = {k} do not see the constant component")
    return sum((comb(n, t) * x * y[t] for t, x in rows.items()), Fraction(0)) / size


def direct_fails(n: int, k: int) -> tuple[int, Fraction, Fraction] | None:
    """The first size a whose game v = 1[|T| = a] the direct form of order k gets wrong: (a, direct form, SII)."""
    for a in range(n + 1):
        game = [int(t == a) for t in range(n + 1)]
        direct, index = constant_direct(n, k, game), constant_index(n, k, game)
        if direct != index:
            return a, direct, index
    return None


def _require_symmetric(n: int, k: int, values: Sequence[Fraction | int]) -> None:
    require_int("n", n, 1, MOST_PLAYERS)
    require_int("k", k, 1, n)
    if len(values) != n + 1:
        raise ValueError(f"`values` must be n + 1 = {n + 1} numbers, one a size, got {len(values)}")
