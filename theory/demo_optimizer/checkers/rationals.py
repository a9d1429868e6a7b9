"""DeMo in rationals, one chunk, loops only: of coefficients of equal size the first is preferred.

Main definitions: `ExactDeMo`, `ExactStep`, `hadamard`, `identity`, `conserved`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from theory.claim import Report

Row = list[Fraction]
Matrix = list[Row]


def identity(n: int) -> Matrix:
    return [[Fraction(int(i == j)) for j in range(n)] for i in range(n)]


def hadamard(n: int) -> Matrix:
    """(−1)^popcount(i & j)/√n for n a power of 4: rational and orthogonal."""
    root = next(r for r in range(1, n + 1) if r * r >= n)
    if root * root != n or n & (n - 1):
        raise ValueError(f"`n` must be a power of 4, got {n}")
    return [[Fraction((-1) ** (i & j).bit_count(), root) for j in range(n)] for i in range(n)]


def times(matrix: Matrix, x: Sequence[Fraction]) -> Row:
    numerators, common = _over_one_denominator(x)
    found = []
    for row in matrix:
        entries, below = _over_one_denominator(row)
        found.append(Fraction(sum(a * b for a, b in zip(entries, numerators, strict=True)), below * common))
    return found


def _over_one_denominator(x: Sequence[Fraction]) -> tuple[list[int], int]:
    common = math.lcm(*(v.denominator for v in x))
    return [v.numerator * (common // v.denominator) for v in x], common


def transposed(matrix: Matrix) -> Matrix:
    return [list(column) for column in zip(*matrix, strict=True)]


def sign(x: Fraction) -> int:
    return (x > 0) - (x < 0)


@dataclass(frozen=True)
class ExactStep:
    """Of every worker: momentum, coefficients, sent places and values, what was sent as entries, and what stays."""

    momenta: list[Row]
    coefficients: list[Row]
    places: list[list[int]]
    sent: list[Row]
    residuals: list[Row]
    update: Row
    tied: bool


class ExactDeMo:
    """Parameters (n,) shared by `workers`, whose residuals start at 0."""

    def __init__(self, p: Sequence[Fraction], workers: int, matrix: Matrix, *, k: int, beta: Fraction):
        self.p, self.matrix, self.inverse = list(p), matrix, transposed(matrix)
        self.k, self.beta = max(1, min(k, len(self.p))), beta
        self.residuals: list[Row] = [[Fraction(0)] * len(self.p) for _ in range(workers)]

    def step(self, gradients: Sequence[Sequence[Fraction]], eta: Fraction, shrink: Fraction = Fraction(0)) -> ExactStep:
        """One step at rate η with decoupled weight decay `shrink`; changes the parameters and the residuals."""
        n = len(self.p)
        momenta, coefficients, chosen, sent, kept, tied = [], [], [], [], [], False
        for e, g in zip(self.residuals, gradients, strict=True):
            m = [self.beta * a + eta * b for a, b in zip(e, g, strict=True)]
            c = times(self.matrix, m)
            order = sorted(range(n), key=lambda i: (-abs(c[i]), i))
            places = sorted(order[: self.k])
            tied |= self.k < n and abs(c[order[self.k - 1]]) == abs(c[order[self.k]])
            s = times(self.inverse, [c[i] if i in places else Fraction(0) for i in range(n)])
            momenta.append(m)
            coefficients.append(c)
            chosen.append(places)
            sent.append(s)
            kept.append([a - b for a, b in zip(m, s, strict=True)])
        self.residuals = kept
        mean = []
        for i in range(n):
            values = [c[i] for c, places in zip(coefficients, chosen, strict=True) if i in places]
            mean.append(sum(values, Fraction(0)) / len(values) if values else Fraction(0))
        update = times(self.inverse, mean)
        self.p = [(1 - eta * shrink) * a - eta * sign(u) for a, u in zip(self.p, update, strict=True)]
        return ExactStep(momenta, coefficients, chosen, sent, kept, update, tied)


def conserved(
    gradients: Sequence[Sequence[Fraction]],
    sent: Sequence[Sequence[Fraction]],
    rates: Sequence[Fraction],
    beta: Fraction,
    residual: Sequence[Fraction],
) -> Report:
    """Whether Σ β^(t−s)(η_s g_s − sent_s) is one worker's residual after its last step, entry by entry.

    `gradients` and `sent` hold a row a step.
    """
    if not len(gradients) == len(sent) == len(rates):
        return Report(f"{len(gradients)} gradients, {len(sent)} sent rows and {len(rates)} rates")
    for i, left in enumerate(residual):
        total = Fraction(0)
        for g, s, eta in zip(gradients, sent, rates, strict=True):
            total = beta * total + eta * g[i] - s[i]
        if total != left:
            return Report(f"entry {i}: the residual is {left}, what was not sent sums to {total}")
    return Report()
