"""Exact operators from games to interactions: matrices over the rationals with a column for each of the 2^n coalitions.

A game is a column of 2^n values, mask by mask; a row of a result is a set, in the order of `weights.sets`. Two equal
operators agree on *every* game of n players.

Main definitions: `definition`, `by_weights` (1a), `by_moebius` (1b), `moebius`, `derivative_sums` (2), `lower_orders`
(v̂_k), `aggregated` (k-SII), `operators_equal`, `column`.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from fractions import Fraction
from math import factorial

from flint import fmpq, fmpq_mat

from constructions.errors import require_int
from theory.claim import Report
from theory.shapley_interactions.checkers import weights
from theory.shapley_interactions.checkers.weights import MOST_PLAYERS, members, sets, subsets

Rational = Fraction | int


def rational(value: Rational) -> fmpq:
    """The same number for flint."""
    return fmpq(value.numerator, value.denominator)


def fraction(value: fmpq) -> Fraction:
    """The same number for Python."""
    return Fraction(int(value.p), int(value.q))


def matrix(rows: Sequence[Sequence[Rational]], columns: int) -> fmpq_mat:
    """A matrix over the rationals; ValueError for rows of another length than `columns`."""
    if any(len(row) != columns for row in rows):
        raise ValueError(f"`rows` must have {columns} entries each")
    return fmpq_mat(len(rows), columns, [rational(value) for row in rows for value in row])


def column(values: Sequence[Rational]) -> fmpq_mat:
    """A game's values, mask by mask, as a column; ValueError unless their number is a power of two."""
    size = len(values)
    if size < 2 or size & (size - 1):
        raise ValueError(f"`values` must be 2^n numbers for n players, got {size}")
    return matrix([[value] for value in values], 1)


def entries(found: fmpq_mat) -> list[Fraction]:
    """All entries, row by row."""
    return [fraction(value) for value in found.entries()]


def identity(size: int) -> fmpq_mat:
    """The identity matrix."""
    return fmpq_mat(size, size, [int(i == j) for i in range(size) for j in range(size)])


# --- the index, three ways ----------------------------------------------------------------------------------


def definition(n: int, k: int) -> fmpq_mat:
    """φ(S) = Σ_{T ⊆ N∖S} (n−t−s)! t!/(n−s+1)! Σ_{L ⊆ S} (−1)^{s−|L|} v(T ∪ L)."""
    _require(n, k)
    rows = []
    for s in sets(n, k):
        row = [Fraction(0)] * (1 << n)
        for t in subsets((1 << n) - 1 - s):
            size = t.bit_count()
            weight = Fraction(factorial(n - size - k) * factorial(size), factorial(n - k + 1))
            for part in subsets(s):
                row[t | part] += (-1) ** (k - part.bit_count()) * weight
        rows.append(row)
    return matrix(rows, 1 << n)


def by_weights(n: int, k: int) -> fmpq_mat:
    """(1a): Q[S, T] = q_n(k; |T|, |S ∩ T|)."""
    _require(n, k)
    table = [[weights.index_weight(n, k, t, common) for common in range(k + 1)] for t in range(n + 1)]
    rows = [[table[t.bit_count()][(s & t).bit_count()] for t in range(1 << n)] for s in sets(n, k)]
    return matrix(rows, 1 << n)


def moebius(n: int) -> fmpq_mat:
    """m(A) = Σ_{L ⊆ A} (−1)^{|A|−|L|} v(L), a row a mask A."""
    require_int("n", n, 1, MOST_PLAYERS)
    every = range(1 << n)
    return matrix(
        [[(-1) ** ((a ^ part).bit_count()) if part & ~a == 0 else 0 for part in every] for a in every], 1 << n
    )


def by_moebius(n: int, k: int) -> fmpq_mat:
    """(1b): φ(S) = Σ_{A ⊇ S} m(A)/(|A| − s + 1)."""
    _require(n, k)
    rows = [[Fraction(1, a.bit_count() - k + 1) if s & ~a == 0 else 0 for a in range(1 << n)] for s in sets(n, k)]
    return matrix(rows, 1 << n) * moebius(n)


# --- sums over an order ------------------------------------------------------------------------------------


def inclusion(n: int, k: int) -> fmpq_mat:
    """x ↦ (Σ_{S ⊃ R, |S| = k} x_S)_R, a row a set R of k − 1 players."""
    _require(n, k)
    rows = [[int(r & ~s == 0) for s in sets(n, k)] for r in sets(n, k - 1)]
    return matrix(rows, len(sets(n, k)))


def derivative_sums(n: int, k: int) -> fmpq_mat:
    """v ↦ (Δ_R v(N∖R) − Δ_R v(∅))_R, a row a set R of k − 1 players: the right side of (2)."""
    _require(n, k)
    rows = []
    for r in sets(n, k - 1):
        row = [0] * (1 << n)
        for part in subsets(r):
            sign = (-1) ** ((r ^ part).bit_count())
            row[((1 << n) - 1 - r) | part] += sign
            row[part] -= sign
        rows.append(row)
    return matrix(rows, 1 << n)


# --- lower orders, and k-SII ---------------------------------------------------------------------------------


def design_matrix(n: int, k: int, design: Sequence[Rational] | None = None) -> fmpq_mat:
    """X[T, S] = λ(k, |S ∩ T|), a row a mask T; another `design` has k + 1 entries, too."""
    _require(n, k)
    numbers = weights.design(k) if design is None else tuple(design)
    if len(numbers) != k + 1:
        raise ValueError(f"`design` must have k + 1 = {k + 1} entries, got {len(numbers)}")
    rows = [[numbers[(s & t).bit_count()] for s in sets(n, k)] for t in range(1 << n)]
    return matrix(rows, len(sets(n, k)))


def lower_orders(n: int, k: int) -> fmpq_mat:
    """v ↦ v̂_k: v̂_k(T) = v(∅) + Σ_{1 ≤ |S| ≤ k} λ(|S|, |S ∩ T|) φ(S), for 0 ≤ k ≤ n."""
    require_int("n", n, 1, MOST_PLAYERS)
    require_int("k", k, 0, n)
    size = 1 << n
    found = fmpq_mat(size, size, [int(j == 0) for _ in range(size) for j in range(size)])
    for r in range(1, k + 1):
        found += design_matrix(n, r) * by_weights(n, r)
    return found


def residual(n: int, k: int) -> fmpq_mat:
    """v ↦ y_k = v − v̂_{k−1}, what the regression of order k explains."""
    _require(n, k)
    return identity(1 << n) - lower_orders(n, k - 1)


def aggregated(n: int, k: int) -> dict[int, fmpq_mat]:
    """s ↦ Φ_k on the sets of s players: Φ_k(S) = Σ_{L ⊇ S, |L| ≤ k} B_{|L|−s} φ(L), for 1 ≤ s ≤ k."""
    _require(n, k)
    return {s: _aggregated(n, k, s) for s in range(1, k + 1)}


def _aggregated(n: int, k: int, s: int) -> fmpq_mat:
    found = fmpq_mat(len(sets(n, s)), 1 << n)
    for size in range(s, k + 1):
        factor = weights.bernoulli(size - s)
        rows = [[factor if part & ~whole == 0 else 0 for whole in sets(n, size)] for part in sets(n, s)]
        found += matrix(rows, len(sets(n, size))) * by_weights(n, size)
    return found


def restricted(operator: fmpq_mat, kept: Collection[int]) -> fmpq_mat:
    """The operator with zeros in all columns that are not `kept`."""
    inside = [j in kept for j in range(operator.ncols())]
    rows = [[value if keep else fmpq(0) for value, keep in zip(row, inside, strict=True)] for row in operator.tolist()]
    return fmpq_mat(operator.nrows(), operator.ncols(), [value for row in rows for value in row])


# --- comparison -----------------------------------------------------------------------------------------------


def operators_equal(first: fmpq_mat, second: fmpq_mat, rows: Sequence[int]) -> Report:
    """Whether two operators on games agree entry by entry; their rows are the sets `rows`, their columns coalitions."""
    for found in (first, second):
        if (found.nrows(), found.ncols()) != (len(rows), first.ncols()):
            return Report(
                f"an operator has {found.nrows()} × {found.ncols()} entries, not {len(rows)} × {first.ncols()}"
            )
    if first == second:
        return Report()
    places = ((i, j) for i in range(len(rows)) for j in range(first.ncols()))
    i, j = next((i, j) for i, j in places if first[i, j] != second[i, j])
    return Report(f"at {members(rows[i])} of the game 1[T = {members(j)}]: {first[i, j]} against {second[i, j]}")


def _require(n: int, k: int) -> None:
    require_int("n", n, 1, MOST_PLAYERS)
    require_int("k", k, 1, n)
