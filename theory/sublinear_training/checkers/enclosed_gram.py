"""The limit Gram matrix H = K∘P₂ in balls, and a lower bound of its least eigenvalue that rounding cannot fool.

    P₂(ρ) = p² + (1/2π) ∫₀^{asin ρ} e^(−b²/(1 + sin t)) dt

Main definitions: `enclosed_limit_gram`, `positive_definite`, `quoted_bound`.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from flint import acb, arb, ctx, fmpq

from theory.exact import rational

PRECISION = 120


def enclosed_limit_gram(points: Sequence[Sequence[Fraction]], m: int, alpha: Fraction) -> list[list[arb]]:
    """H of rational points of norm 1 with b = √(2 α ln m); ValueError for another norm."""
    rows = [[rational(v) for v in row] for row in points]
    if any(sum((v * v for v in row), fmpq(0)) != 1 for row in rows):
        raise ValueError("`points` must have norm 1")
    before, ctx.prec = ctx.prec, PRECISION
    try:
        bias = (2 * arb(rational(alpha)) * arb(m).log()).sqrt()
        alone = (bias / arb(2).sqrt()).erfc() / 2
        n = len(rows)
        matrix = [[alone] * n for _ in range(n)]
        for i in range(n):
            for j in range(i):
                rho = sum((a * b for a, b in zip(rows[i], rows[j], strict=True)), fmpq(0))
                matrix[i][j] = matrix[j][i] = arb(rho) * _together(rho, bias, alone)
        return matrix
    finally:
        ctx.prec = before


def _together(rho: fmpq, bias: arb, alone: arb) -> arb:
    """P₂ of a rational correlation strictly between −1 and 1, or 0 at −1."""
    if rho == -1:
        return arb(0)
    end = arb(rho).asin()
    square = acb(bias * bias)
    integral = acb.integral(lambda t, _: (-square / (1 + t.sin())).exp(), acb(0), acb(end))
    return alone * alone + integral.real / (2 * arb.pi())


def quoted_bound(points: Sequence[Sequence[Fraction]], m: int, alpha: Fraction) -> arb:
    """e^(−b²/2) δ/(100 n²), δ the least distance of two points or of one to another's antipode (quoted Theorem A.4)."""
    rows = [[rational(v) for v in row] for row in points]
    before, ctx.prec = ctx.prec, PRECISION
    try:
        squares = [
            min(sum(((a - s * b) ** 2 for a, b in zip(rows[i], rows[j], strict=True)), fmpq(0)) for s in (1, -1))
            for i in range(len(rows))
            for j in range(i)
        ]
        n = len(rows)
        return arb(m) ** (-arb(rational(alpha))) * arb(min(squares)).sqrt() / (100 * n * n)
    finally:
        ctx.prec = before


def positive_definite(matrix: list[list[arb]], shift: arb) -> bool:
    """Whether A − shift·I is certainly positive definite for every symmetric A in the balls: LDLᵀ with pivots > 0.

    ValueError for what is no symmetric matrix.
    """
    n = len(matrix)
    if not n or any(len(row) != n for row in matrix):
        raise ValueError(f"`matrix` must be square, got rows of lengths {[len(row) for row in matrix]}")
    if not all(matrix[i][j].overlaps(matrix[j][i]) for i in range(n) for j in range(i)):
        raise ValueError("`matrix` must be symmetric")
    before, ctx.prec = ctx.prec, PRECISION
    try:
        work = [[matrix[i][j] - (shift if i == j else 0) for j in range(n)] for i in range(n)]
        for k in range(n):
            if not work[k][k] > 0:
                return False
            for i in range(k + 1, n):
                factor = work[i][k] / work[k][k]
                for j in range(k + 1, i + 1):
                    work[i][j] = work[i][j] - factor * work[j][k]
        return True
    finally:
        ctx.prec = before
