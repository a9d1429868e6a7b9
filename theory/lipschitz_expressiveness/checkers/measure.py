"""What is measured of a Jacobian: ‖offset + left·J·right‖₂, e.g. in weighted norms or around a closed loop.

Weights P = RᵀR give the norm √(xᵀPx) = ‖Rx‖. R is a float64 factor found by Cholesky's method and S nearly R⁻¹: with
δ ≥ ‖RS − 1‖ and any matrix N, ‖N R⁻¹‖ lies between ‖NS‖/(1 + δ) and ‖NS‖/(1 − δ). *Proof.* NS = N R⁻¹·RS. ∎ That R is
only nearly P's factor costs as much: RᵀR lies between (1 ± ε)P. Both are measured and end up in `relative`; the
rounding of R·A·S in `absolute`, that of R·B in `left_error`.

Main definition: `Measure`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from constructions.arrays import tensor_of
from constructions.errors import require_instance, require_positive, require_tensor
from theory.lipschitz_expressiveness.checkers.norms import frobenius_above, gamma, norm_above

MOST_RELATIVE = 1e-3
"""A weight so ill conditioned that its inverse is known no better than that is refused."""


@dataclass(frozen=True)
class Measure:
    """J (m, n) ↦ ‖offset + left·J·right‖₂ with left (p, m), right (n, q), offset (p, q); None: identity, identity, 0.

    Where left, right and offset are themselves rounded, the norm that is meant is within a factor 1 ± `relative` and
    then ± `absolute` + `left_error`·‖J·right‖ of theirs, and both ends of an interval make room for it. TypeError or
    ValueError for what is no finite real matrix, a tensor or a numpy array.
    """

    left: Tensor | None = None
    right: Tensor | None = None
    offset: Tensor | None = None
    relative: float = 0.0
    absolute: float = 0.0
    left_error: float = 0.0

    def __post_init__(self) -> None:
        for name in ("left", "right", "offset"):
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, _matrix(name, value))
        require_positive("relative", self.relative, allow_zero=True)
        require_positive("absolute", self.absolute, allow_zero=True)
        require_positive("left_error", self.left_error, allow_zero=True)
        if self.relative > MOST_RELATIVE:
            raise ValueError(f"`relative` must be at most {MOST_RELATIVE}, got {self.relative}")

    def to(self, device: torch.device) -> Measure:
        """The same on `device`."""
        moved = replace(self)
        for name in ("left", "right", "offset"):
            value = getattr(self, name)
            # past __post_init__, which takes what it is given to the CPU
            object.__setattr__(moved, name, None if value is None else value.to(device))
        return moved

    def fits(self, outputs: int, inputs: int) -> None:
        """ValueError unless it measures Jacobians of shape (outputs, inputs)."""
        if self.left is not None and self.left.shape[1] != outputs:
            raise ValueError(f"`left` must have {outputs} columns, got shape {tuple(self.left.shape)}")
        if self.right is not None and self.right.shape[0] != inputs:
            raise ValueError(f"`right` must have {inputs} rows, got shape {tuple(self.right.shape)}")
        p = outputs if self.left is None else self.left.shape[0]
        q = inputs if self.right is None else self.right.shape[1]
        if self.offset is not None and self.offset.shape != (p, q):
            raise ValueError(f"`offset` must have shape {(p, q)}, got {tuple(self.offset.shape)}")

    @classmethod
    def weighted(cls, *, out: Tensor | np.ndarray | None = None, into: Tensor | np.ndarray | None = None) -> Measure:
        """Lip from √(xᵀ into x) on inputs to √(yᵀ out y) on outputs, positive definite (m, m) and (n, n).

        None stands for the identity. TypeError or ValueError for a weight that is not symmetric positive definite.
        """
        left = right = None
        keeps = 1.0
        if out is not None:
            left, _, change, _ = _factor("out", out)
            keeps *= 1 - change
        if into is not None:
            _, right, change, delta = _factor("into", into)
            keeps *= (1 - change) * (1 - delta)
        return cls(left, right, relative=_relative(keeps))

    @classmethod
    def closed_loop(
        cls, A: Tensor | np.ndarray, B: Tensor | np.ndarray, P: Tensor | np.ndarray | None = None
    ) -> Measure:
        """‖R(A + B J)R⁻¹‖ with P = RᵀR: below 1, x⁺ = A x + B π(x) contracts in the norm √(xᵀPx).

        A (n, n), B (n, m), and P (n, n) symmetric positive definite, None for the identity. TypeError or ValueError for
        other matrices.
        """
        A, B = _matrix("A", A), _matrix("B", B)
        if A.shape[0] != A.shape[1] or B.shape[0] != A.shape[0]:
            raise ValueError(f"`A` must be (n, n) and `B` (n, m), got {tuple(A.shape)} and {tuple(B.shape)}")
        if P is None:
            return cls(B, None, A)
        R, S, change, delta = _factor("P", P)
        if len(R) != len(A):
            raise ValueError(f"`P` must have shape {tuple(A.shape)}, got {tuple(P.shape)}")
        loose = 2 * gamma(2 * len(A)) * float(frobenius_above(R.abs() @ A.abs() @ S.abs()))
        left = 2 * gamma(len(A)) * float(frobenius_above(R.abs() @ B.abs()))
        return cls(R @ B, S, R @ A @ S, _relative((1 - delta) * (1 - change) ** 2), loose, left)


def _relative(keeps: float) -> float:
    return (1 / keeps - 1) * (1 + 2.0**-40) if keeps < 1 else 0.0


def _matrix(name: str, value: Any) -> Tensor:
    """`value`, a tensor or a numpy array, as a finite float64 matrix on the CPU."""
    matrix = require_tensor(name, require_instance(name, tensor_of(name, value), Tensor), "(p, q)")
    if matrix.ndim != 2 or not matrix.numel():
        raise ValueError(f"`{name}` must be a matrix, got shape {tuple(matrix.shape)}")
    matrix = matrix.detach().to(device="cpu", dtype=torch.float64)
    if not bool(torch.isfinite(matrix).all()):
        raise ValueError(f"`{name}` must be finite, got {matrix[~torch.isfinite(matrix)][0].item()}")
    return matrix


def _factor(name: str, value: Any) -> tuple[Tensor, Tensor, float, float]:
    """R and S of P = `value`: ‖Rx‖ is within 1 ± change of √(xᵀPx), and ‖RS − 1‖ ≤ δ."""
    P = _matrix(name, value)
    n = len(P)
    if P.shape != (n, n) or not torch.equal(P, P.T):
        raise ValueError(f"`{name}` must be a symmetric matrix, got shape {tuple(P.shape)}")
    lower, info = torch.linalg.cholesky_ex(P)
    if int(info):
        raise ValueError(f"`{name}` must be positive definite")
    R, eye = lower.T.contiguous(), torch.eye(n, dtype=torch.float64)
    S = torch.linalg.solve_triangular(R, eye, upper=True)
    room = 2 * gamma(n) * float(norm_above(R.abs()) * norm_above(S.abs()))
    delta = float(norm_above(R @ S - eye)) + room
    # Sᵀ(P − RᵀR)S bounds how far P is from RᵀR, relative to RᵀR
    off = (P - R.T @ R).abs() + 2 * gamma(n + 2) * (R.T.abs() @ R.abs() + P.abs())
    change = float(norm_above(S.T.abs() @ off @ S.abs())) / max(1 - delta, 0.5) ** 2 * (1 + gamma(4 * n))
    if not (delta <= MOST_RELATIVE and change <= MOST_RELATIVE):
        raise ValueError(f"`{name}` must be better conditioned: its factor is known to {max(delta, change):.1e} only")
    return R, S, change, delta
