"""Consistent least squares: one step on one row multiplies the error by I − γaa'.

For targets b_i = a_i'x* the step x ← x − γ(a_i'x − b_i)a_i makes e = x − x* to (I − γa_ia_i')e. Kaczmarz projects:
γ = 1/|a_i|².

Main definitions: `LeastSquares`, `example_rows`.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import torch
from flint import fmpq, fmpq_mat
from torch import Tensor

from constructions.am_gm.exact import identity
from constructions.arrays import tensor_of
from constructions.errors import require_bool, require_cloud, require_positive, require_tensor, shown

INCONSISTENT = 1e-9
"""Least residual, relative to the targets, that is no rounding any more."""


class LeastSquares:
    """Rows a_i (n, d) of a consistent system, and its targets (n,), 0 when None: tensors or numpy arrays.

    TypeError or ValueError for other shapes, numbers that are not finite, or targets that no x attains.
    """

    def __init__(self, rows: Tensor | np.ndarray, targets: Tensor | np.ndarray | None = None):
        self.rows = require_cloud("rows", tensor_of("rows", rows))
        self.targets = self.rows.new_zeros(len(self.rows))
        if targets is not None:
            given = (
                require_tensor("targets", tensor_of("targets", targets), "(n,)").detach().double().to(self.rows.device)
            )
            if given.shape != self.targets.shape or not bool(torch.isfinite(given).all()):
                raise ValueError(f"`targets` must be {len(self.rows)} finite numbers, got {shown(given)}")
            self.targets = given
        self.solution = torch.linalg.pinv(self.rows) @ self.targets
        residual = float((self.rows @ self.solution - self.targets).abs().max())
        if not residual <= INCONSISTENT * float(self.targets.abs().max()):
            raise ValueError(f"`targets` must be attained by some x, the least residual is {residual:.3g}")

    def sgd(self, step: float | Fraction, *, allow_indefinite: bool = False) -> Tensor:
        """I − step·a_i a_i' (n, d, d), float64. ValueError when step·|a_i|² > 1 for some i, which is not positive
        semidefinite, unless `allow_indefinite`."""
        self._require_step(step, allow_indefinite)
        return self._eye() - float(step) * self._squares()

    def kaczmarz(self) -> Tensor:
        """The projections I − a_i a_i'/|a_i|² (n, d, d), float64. ValueError for a row of zeros."""
        self._require_rows()
        return self._eye() - self._squares() / self.rows.square().sum(1)[:, None, None]

    def sgd_exact(self, step: Fraction | int, *, allow_indefinite: bool = False) -> list[fmpq_mat]:
        """`sgd` in rationals; the rows are read as the rationals that they are."""
        self._require_step(step, allow_indefinite)
        value = fmpq(*Fraction(step).as_integer_ratio())
        return [identity(a.ncols()) - a.transpose() * a * value for a in self._exact_rows()]

    def kaczmarz_exact(self) -> list[fmpq_mat]:
        """`kaczmarz` in rationals."""
        self._require_rows()
        return [identity(a.ncols()) - a.transpose() * a / (a * a.transpose())[0, 0] for a in self._exact_rows()]

    def _eye(self) -> Tensor:
        return torch.eye(self.rows.shape[1], dtype=torch.float64, device=self.rows.device)

    def _squares(self) -> Tensor:
        return self.rows[:, :, None] * self.rows[:, None, :]

    def _exact_rows(self) -> list[fmpq_mat]:
        rows: Sequence[Sequence[float]] = self.rows.cpu().tolist()
        return [fmpq_mat(1, len(row), [fmpq(*v.as_integer_ratio()) for v in row]) for row in rows]

    def _require_rows(self) -> None:
        zero = ~(self.rows != 0).any(1)
        if bool(zero.any()):
            raise ValueError(
                f"`rows` must have no row of zeros for Kaczmarz, row {int(zero.to(torch.uint8).argmax())} is"
            )

    def _require_step(self, step: Any, allow_indefinite: bool) -> None:
        require_positive("step", step)
        require_bool("allow_indefinite", allow_indefinite)
        if allow_indefinite:
            return
        for i, a in enumerate(self._exact_rows()):
            size = (a * a.transpose())[0, 0]
            if fmpq(*step.as_integer_ratio()) * size > 1:
                found = float(step) * float(self.rows[i].square().sum())
                raise ValueError(
                    f"`step` must be at most 1/|a_i|², or I - step·a_i a_i' is not positive semidefinite "
                    f"(allow_indefinite=True for simulations): row {i} has step·|a_i|² = {found:.6g}"
                )


def example_rows() -> Tensor:
    """The six rows in R³ of the worked example (6, 3)."""
    rows = [(1, 0, 0), (1, 1, 0), (0, 1, 1), (1, -1, 1), (2, 1, 0), (0, 1, -2)]
    return torch.tensor(rows, dtype=torch.float64)
