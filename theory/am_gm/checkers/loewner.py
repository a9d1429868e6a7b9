"""Exact comparisons of rational symmetric matrices: positive semidefiniteness by LDLᵀ, Loewner order, norms.

Main definitions: `positive_semidefinite`, `loewner_le`, `norm_le`, `norm_ge`, `PositiveReport`.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from flint import fmpq, fmpq_mat

from theory.claim import Report


@dataclass(frozen=True)
class PositiveReport(Report):
    """Whether a matrix is positive semidefinite; `rank` when it is."""

    failure: str | None
    rank: int | None


def positive_semidefinite(M: fmpq_mat) -> PositiveReport:
    """Whether the symmetric rational matrix M is positive semidefinite; singular ones included."""
    raise NotImplementedError


def loewner_le(A: fmpq_mat, B: fmpq_mat) -> PositiveReport:
    """Whether B − A is positive semidefinite."""
    raise NotImplementedError


def norm_le(M: fmpq_mat, bound: Fraction | fmpq | int) -> PositiveReport:
    """Whether ‖M‖ ≤ bound for a symmetric rational M: −bound·I ⪯ M ⪯ bound·I."""
    raise NotImplementedError


def norm_ge(M: fmpq_mat, bound: Fraction | fmpq | int, witness: fmpq_mat) -> PositiveReport:
    """Whether |v'Mv| ≥ bound·v'v > 0 at the column v = `witness`, hence ‖M‖ ≥ bound."""
    raise NotImplementedError
