"""The limit Gram matrix H = K∘P₂ in balls, and a lower bound of its least eigenvalue that rounding cannot fool.

    P₂(ρ) = p² + (1/2π) ∫₀^{asin ρ} e^(−b²/(1 + sin t)) dt

Main definitions: `enclosed_limit_gram`, `positive_definite`, `quoted_bound`, `eigenvalue_bounds_enclosed`.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import torch
from flint import acb, arb, ctx, fmpq
from torch import Tensor

from theory.claim import Report
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


def least_eigenvalue_below(matrix: list[list[arb]]) -> arb:
    """A number that is certainly at least λ_min of the symmetric matrix: the Rayleigh quotient, in balls, of the vector
    that float64 takes for the eigenvector."""
    floats = torch.tensor([[float(entry.mid()) for entry in row] for row in matrix], dtype=torch.float64)
    vector = [arb(rational(v)) for v in torch.linalg.eigh(floats).eigenvectors[:, 0].tolist()]
    with ctx.workprec(PRECISION):
        images = [sum((a * v for a, v in zip(row, vector, strict=True)), arb(0)) for row in matrix]
        form = sum((u * v for u, v in zip(images, vector, strict=True)), arb(0))
        return (form / sum((v * v for v in vector), arb(0))).upper()


def eigenvalue_bounds_enclosed(points: Tensor, both: Tensor, private: int) -> Report:
    """Whether m·λ_min(G) is certainly above `private`, above λ_min(K)·min|S_i| and above λ_min(C), mG = K∘C, K of the
    points (n, d) as they are stored and C the integers `both` (n, n)."""
    rows = [[arb(rational(v)) for v in row] for row in points.tolist()]
    counts = [[arb(c) for c in row] for row in both.tolist()]
    with ctx.workprec(PRECISION):
        products = [[sum((a * b for a, b in zip(x, y, strict=True)), arb(0)) for y in rows] for x in rows]
        gram = [[k * c for k, c in zip(*pair, strict=True)] for pair in zip(products, counts, strict=True)]
        fires = int(both.diagonal().min())
        below = {
            "private units": arb(private),
            "λ_min(K)": least_eigenvalue_below(products) * fires,
            "λ_min(C)": least_eigenvalue_below(counts),
        }
    for name, bound in below.items():
        if not positive_definite(gram, bound):
            return Report(f"the least eigenvalue is not shown to be above the bound of {name}, {bound.str(6)}/m")
    return Report()
