"""The inequality at given matrices, decided in rationals.

With W the mean without repetition and R the one with it, a rational r ≥ ‖R‖ and a v with |v'Wv| > r·v'v show that
‖W‖ > ‖R‖; a w with w'Rw ≥ r·w'w and ‖W‖ ≤ r that ‖W‖ ≤ ‖R‖. The vectors and r are guessed in floating point, and every
comparison is made in rationals. Where the norms are equal up to rounding nothing is decided.

Main definitions: `compare_means`, `MeansReport`, `exact_parts`, `lifted`.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import torch
from flint import fmpq, fmpq_mat
from torch import Tensor

from constructions.am_gm import exact_matrices, expected_product_exact, float_matrices
from theory.am_gm.checkers.loewner import norm_ge, norm_le, positive_semidefinite
from theory.claim import Report

SLACK = Fraction(1, 10**11)
"""Of the guess r: more than the rounding of eigenvalues, less than a difference that matters."""


@dataclass(frozen=True)
class MeansReport(Report):
    """Whether ‖W‖ ≤ ‖R‖ holds at the matrices. `decided` is False where the norms are equal up to 10⁻¹¹: the failure
    then says so. `positive` is whether all matrices are positive semidefinite, exactly."""

    failure: str | None
    decided: bool
    positive: bool


def compare_means(A: list[fmpq_mat], k: int, *, nested: bool = False) -> MeansReport:
    """‖mean without repetition‖ ≤ ‖mean with repetition‖ for k of the symmetric rational matrices A."""
    without = expected_product_exact(A, k, nested=nested)
    repeated = expected_product_exact(A, k, nested=nested, replacement=True)
    positive = all(positive_semidefinite(M).holds for M in A)
    size, top = _guess(repeated)
    _, end = _guess(without)
    above, below = size * (1 + SLACK), size * (1 - SLACK)
    if norm_le(repeated, above).holds and _exceeds(without, above, end):
        return MeansReport(
            f"the norm without repetition is more than {float(above):.12g}, with it less", True, positive
        )
    if norm_ge(repeated, below, top).holds and norm_le(without, below).holds:
        return MeansReport(None, True, positive)
    if without == repeated:
        return MeansReport(None, True, positive)
    return MeansReport("the two norms are equal up to rounding: not decided", False, positive)


def _exceeds(M: fmpq_mat, bound: Fraction, witness: fmpq_mat) -> bool:
    """|v'Mv| > bound·v'v."""
    row = witness.transpose()
    length, value = (row * witness)[0, 0], (row * M * witness)[0, 0]
    return bool(length > 0 and abs(value) > fmpq(bound.numerator, bound.denominator) * length)


def _guess(M: fmpq_mat) -> tuple[Fraction, fmpq_mat]:
    """About ‖M‖, and a vector where it is attained, of a symmetric matrix: nothing depends on their being right."""
    values, vectors = torch.linalg.eigh(float_matrices([M])[0])
    place = int(values.abs().argmax())
    vector = [fmpq(*v.as_integer_ratio()) for v in vectors[:, place].tolist()]
    return Fraction(float(values[place].abs())), fmpq_mat(len(vector), 1, vector)


def lifted(A: list[fmpq_mat], share: Fraction) -> list[fmpq_mat]:
    """A_i + share·max|entries|·I: positive semidefinite where A_i was up to rounding."""
    top = max(abs(v) for M in A for v in M.entries())
    size = A[0].nrows()
    shift = top * fmpq(share.numerator, share.denominator)
    return [M + fmpq_mat(size, size, [shift if i == j else 0 for i in range(size) for j in range(size)]) for M in A]


def exact_parts(A: Tensor) -> list[fmpq_mat]:
    """The Hermitian matrices A (n, d, d) as symmetric rational ones: (A + Aᴴ)/2 of the numbers as they are stored, and
    complex ones as [[Re, −Im], [Im, Re]], which keeps norms and products."""
    if A.is_complex():
        A = torch.cat([torch.cat([A.real, -A.imag], -1), torch.cat([A.imag, A.real], -1)], -2)
    return [(M + M.transpose()) * fmpq(1, 2) for M in exact_matrices(A)]
