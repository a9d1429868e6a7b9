"""Exact comparisons of rational symmetric matrices: positive semidefiniteness, Loewner order, norms.

Main definitions: `positive_semidefinite`, `loewner_le`, `norm_le`, `norm_ge`, `PositiveReport`.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from flint import fmpq, fmpq_mat

from constructions.errors import require_instance
from theory.am_gm.checkers.elimination import positive_rank
from theory.claim import Report
from theory.exact import fraction, rational


@dataclass(frozen=True)
class PositiveReport(Report):
    """Whether an inequality between matrices holds; `rank` of the difference when it does and was computed."""

    failure: str | None
    rank: int | None = None


def positive_semidefinite(M: fmpq_mat, *, name: str = "M") -> PositiveReport:
    """Whether the rational matrix M is symmetric and positive semidefinite, singular ones included.

    TypeError or ValueError when it is no square fmpq_mat.
    """
    size = _require_square(name, M)
    if M.transpose() != M:
        i, j = next((i, j) for i in range(size) for j in range(i) if M[i, j] != M[j, i])
        return PositiveReport(f"{name} is not symmetric: entries ({i}, {j}) and ({j}, {i}) differ")
    numerators, _ = M.numer_denom()
    found = positive_rank([[int(numerators[i, j]) for j in range(size)] for i in range(size)])
    if isinstance(found, int):
        return PositiveReport(None, found)
    pivot, why = found
    return PositiveReport(f"{name} is not positive semidefinite: in row {pivot} {why}")


def loewner_le(A: fmpq_mat, B: fmpq_mat) -> PositiveReport:
    """Whether A ⪯ B, that is B − A is positive semidefinite."""
    if _require_square("A", A) != _require_square("B", B):
        raise ValueError(f"`B` must have the size of `A`, {A.nrows()}, got {B.nrows()}")
    return positive_semidefinite(B - A, name="B - A")


def norm_le(M: fmpq_mat, bound: Fraction | fmpq | int) -> PositiveReport:
    """Whether ‖M‖ ≤ bound for a symmetric M: −bound·I ⪯ M ⪯ bound·I."""
    size = _require_square("M", M)
    scalar = rational(bound) * _identity(size)
    above = positive_semidefinite(scalar - M, name="bound - M")
    return above if not above.holds else positive_semidefinite(scalar + M, name="bound + M")


def norm_ge(M: fmpq_mat, bound: Fraction | fmpq | int, witness: fmpq_mat) -> PositiveReport:
    """Whether |v'Mv| ≥ bound·v'v at the column v = `witness` ≠ 0, hence ‖M‖ ≥ bound for a symmetric M."""
    size = _require_square("M", M)
    require_instance("witness", witness, fmpq_mat)
    if (witness.nrows(), witness.ncols()) != (size, 1):
        raise ValueError(f"`witness` must be {size} × 1, got {witness.nrows()} × {witness.ncols()}")
    if M.transpose() != M:
        return PositiveReport("M is not symmetric")
    row = witness.transpose()
    length, value = (row * witness)[0, 0], (row * M * witness)[0, 0]
    if not length > 0:
        return PositiveReport("the witness is 0")
    if not abs(value) >= rational(bound) * length:
        return PositiveReport(f"|v'Mv|/v'v is about {float(fraction(abs(value) / length)):.12g}, less than {bound}")
    return PositiveReport(None)


def _identity(size: int) -> fmpq_mat:
    return fmpq_mat(size, size, [int(i == j) for i in range(size) for j in range(size)])


def _require_square(name: str, M: fmpq_mat) -> int:
    require_instance(name, M, fmpq_mat)
    if M.nrows() != M.ncols() or not M.nrows():
        raise ValueError(f"`{name}` must be square and not empty, got {M.nrows()} × {M.ncols()}")
    return M.nrows()
