"""Consistent least squares: one step on one row multiplies the error by I − γaa'.

Main definitions: `LeastSquares`, `example_rows`.
"""

from __future__ import annotations

from fractions import Fraction

from flint import fmpq_mat
from torch import Tensor


class LeastSquares:
    """Rows a_i (n, d) of a consistent system and its targets (n,): the matrices that a step multiplies the error by."""

    def __init__(self, rows: Tensor, targets: Tensor | None = None):
        raise NotImplementedError

    def sgd(self, step: float | Fraction, *, allow_indefinite: bool = False) -> Tensor:
        """I − step·a_i a_i' (n, d, d). ValueError when step·|a_i|² > 1: that is not positive semidefinite."""
        raise NotImplementedError

    def kaczmarz(self) -> Tensor:
        """The projections I − a_i a_i'/|a_i|² (n, d, d). ValueError for a row of zeros."""
        raise NotImplementedError

    def sgd_exact(self, step: Fraction, *, allow_indefinite: bool = False) -> list[fmpq_mat]:
        raise NotImplementedError

    def kaczmarz_exact(self) -> list[fmpq_mat]:
        raise NotImplementedError


def example_rows() -> Tensor:
    """The six rows in R³ of the worked example (6, 3)."""
    raise NotImplementedError
