"""Method "lipsdp" (the extra momlp[sdp]): a semidefinite program whose solution is checked again. An upper end on R^n.

Every unit's increments satisfy (Δφ − αΔz)(βΔz − Δφ) ≥ 0 with slopes in [α, β]. With x = (Δξ, Δφ_1, …, Δφ_{L−1}),
Δz = A x, Δφ = B x, Δy = C x the measured output, and multipliers T = diag(t) ≥ 0,

    S(ρ, t) = ρ E_0ᵀE_0 − CᵀC − Σ_i t_i [ (α_i + β_i)(a_i b_iᵀ + b_i a_iᵀ) − 2α_iβ_i a_i a_iᵀ − 2 b_i b_iᵀ ]  ⪰ 0

gives ‖Δy‖² ≤ ρ‖Δξ‖²: sandwich S with x, the sum is not negative. For Δz = z' and Δφ = D z' it holds at every point of
every cell. (Fazlyab et al. 2019; only diagonal T: the coupled one is no bound.)

The solver's (ρ, t) is not believed. t is clipped at 0, S computed with an entrywise bound E of its rounding, and S − cI
decomposed by Cholesky's method: if that runs to its end in float64, S − cI ⪰ −γ_{N+1}/(1 − γ_{N+1}) tr(S − cI) (Higham,
Theorem 10.3), so S ⪰ 0 where c ≥ ‖E‖_F + 2γ_{N+1} tr|S|. Where it does not run, ρ is raised, and t moved towards
multipliers with room. So the extra c costs the last digits, never the truth.

Main definitions: `lipsdp`, `Program`, `verified`.
"""

from __future__ import annotations

import importlib.util
import math
import warnings
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from theory.claim import Evidence
from theory.lipschitz_expressiveness.checkers.measure import Measure
from theory.lipschitz_expressiveness.checkers.network import Network
from theory.lipschitz_expressiveness.checkers.norms import LEAST, frobenius_above, gamma
from theory.lipschitz_expressiveness.checkers.patterns import log2_above
from theory.lipschitz_expressiveness.checkers.product import product_above
from theory.lipschitz_expressiveness.checkers.result import LipschitzBounds
from theory.lipschitz_expressiveness.checkers.search import Question

MOST_UNITS = 400
"""Units of a program that takes minutes."""

NEARLY_STRAIGHT = 0.99

RAISED = tuple(10.0**-k for k in (10, 9.5, 9, 8.5, 8, 7.5, 7, 6.5, 6, 5, 4, 3, 2))
"""By which ρ is raised, relatively, until the matrix is verified."""


def available() -> bool:
    """Whether cvxpy and its solver are installed."""
    return all(importlib.util.find_spec(name) is not None for name in ("cvxpy", "clarabel"))


@dataclass(frozen=True)
class Program:
    """Rows A, B (units, N) and C (p, N), `entries` inputs, slopes alpha ≤ beta (units,) of S(ρ, t); |A|, |C| with what
    their own rounding may be off by (`loose`, relative)."""

    A: Tensor
    B: Tensor
    C: Tensor
    entries: int
    alpha: Tensor
    beta: Tensor
    loose: float
    sizes: tuple[Tensor, Tensor]

    @classmethod
    def of(cls, network: Network, measure: Measure) -> Program:
        matrices, sizes = [w.clone() for w in network.matrices], [w.abs() for w in network.matrices]
        if measure.right is not None:
            matrices[0], sizes[0] = matrices[0] @ measure.right, sizes[0] @ measure.right.abs()
        if measure.left is not None:
            matrices[-1], sizes[-1] = measure.left @ matrices[-1], measure.left.abs() @ sizes[-1]
        inputs = matrices[0].shape[1]
        widths = [len(h.bias) for h in network.hidden]
        units, total = sum(widths), inputs + sum(widths)
        B = torch.zeros(units, total, dtype=torch.float64)
        B[:, inputs:] = torch.eye(units, dtype=torch.float64)
        A, C, sizes_A, sizes_C = _placed(matrices, sizes, widths, total)
        if measure.offset is not None:
            C[:, :inputs] += measure.offset
            sizes_C[:, :inputs] += measure.offset.abs()
        one = torch.ones(units, dtype=torch.float64)
        alpha = torch.cat([h.bias.new_zeros(len(h.bias)) if h.alpha is None else h.alpha for h in network.hidden])
        # multipliers of units that never bend are unbounded: a wider range of slopes bounds them, and is as true
        alpha = torch.where(alpha == 1, NEARLY_STRAIGHT, alpha)
        terms = max(w.shape[0] + w.shape[1] for w in (*matrices, *network.matrices))
        return cls(
            A, B, C, inputs, torch.minimum(alpha, one), torch.maximum(alpha, one), gamma(2 * terms), (sizes_A, sizes_C)
        )

    def matrix(self, rho: float, t: Tensor) -> tuple[Tensor, float]:
        """S(ρ, t) and an upper bound of the Frobenius norm of its rounding."""
        gain, both = ((self.alpha + self.beta) * t)[:, None], (2 * self.alpha * self.beta * t)[:, None]
        cross = self.A.T @ (gain * self.B)
        S = 2 * self.B.T @ (t[:, None] * self.B) - cross - cross.T + self.A.T @ (both * self.A) - self.C.T @ self.C
        index = torch.arange(self.entries)
        S[index, index] += rho
        A, C = self.sizes
        cross = A.T @ (gain.abs() * self.B)
        size = 2 * self.B.T @ (t[:, None] * self.B) + cross + cross.T + A.T @ (both.abs() * A) + C.T @ C
        size[index, index] += rho
        room = 4 * gamma(len(A) + len(C) + 8) + 4 * self.loose
        return (S + S.T) / 2, room * float(frobenius_above(size)) + LEAST * len(size) ** 2


def _placed(
    matrices: list[Tensor], sizes: list[Tensor], widths: list[int], total: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The rows of all pre-activations and of the output over (Δξ, Δφ_1, …), and the same of the absolute weights."""
    inputs, units = matrices[0].shape[1], sum(widths)
    A = torch.zeros(units, total, dtype=torch.float64)
    size_A = torch.zeros_like(A)
    row, column = 0, 0
    for weight, size in zip(matrices[:-1], sizes[:-1], strict=True):
        A[row : row + weight.shape[0], column : column + weight.shape[1]] = weight
        size_A[row : row + weight.shape[0], column : column + weight.shape[1]] = size
        row, column = row + weight.shape[0], column + weight.shape[1]
    C = torch.zeros(matrices[-1].shape[0], total, dtype=torch.float64)
    size_C = torch.zeros_like(C)
    last = inputs + units - widths[-1]
    C[:, last:], size_C[:, last:] = matrices[-1], sizes[-1]
    return A, C, size_A, size_C


def verified(program: Program, rho: float, t: Tensor) -> bool:
    """Whether S(ρ, t) ⪰ 0 for certain, t ≥ 0."""
    if not (math.isfinite(rho) and rho >= 0 and bool((t >= 0).all()) and bool(torch.isfinite(t).all())):
        return False
    S, error = program.matrix(rho, t)
    if not bool(torch.isfinite(S).all()):
        return False
    room = 4 * gamma(len(S) + 2)
    shift = error + room * float(S.diagonal().abs().sum()) + LEAST
    shifted = S.clone()
    shifted.diagonal().sub_(shift * (1 + room))
    # what is left of the diagonal after the shift is rounded, too: the factor 4 in `room` is for that
    return int(torch.linalg.cholesky_ex(shifted).info) == 0


def lipsdp(question: Question) -> LipschitzBounds:
    """0 ≤ Lip ≤ √ρ with a verified certificate; ImportError without cvxpy, ValueError where no ρ could be verified."""
    if not available():
        raise ImportError('`method` lipsdp needs cvxpy and clarabel: pip install "momlp[sdp]"')
    network = question.network
    if network.units > MOST_UNITS:
        raise ValueError(f"`module` must have at most {MOST_UNITS} hidden units for lipsdp, got {network.units}")
    if not network.hidden:
        power = product_above(network, question.measure)
        return _answer(question, power.upper, "no hidden layer: the norm of the matrix itself")
    question.chain  # noqa: B018 (BeyondFloats where products of the weights leave the range of float64)
    program = Program.of(network, question.measure)
    largest = float(program.C.norm())
    if not largest < 1e150:
        raise ValueError(f"`module` has a last layer of norm {largest:.3g}, too large for a semidefinite program")
    scale = largest**2 or 1.0
    question.log(f"solving a semidefinite program of {program.A.shape[1]} rows")
    rho, t = _solved(program, scale, question.seconds)
    found = _certified(program, rho, t, scale, question.seconds)
    if found is None:
        raise ValueError(
            "`method` lipsdp found no multipliers that can be verified for this network; try another method"
        )
    # √ρ rounded up
    upper = math.sqrt(found) * (1 + 2.0**-51)
    return _answer(question, question.above(upper), f"Clarabel's multipliers, verified again at ρ = {found:.12g}")


def _answer(question: Question, upper: float, reason: str) -> LipschitzBounds:
    return LipschitzBounds(
        lower=0.0,
        upper=upper,
        log2_upper=log2_above(upper),
        method="lipsdp",
        evidence=Evidence.FLOAT64,
        reason=f"{reason}: an upper end alone",
    )


def _certified(program: Program, rho: float, t: Tensor, scale: float, seconds: float) -> float | None:
    """The smallest ρ tried that is verified, with the solver's multipliers or others next to them."""
    if not math.isfinite(rho) or not bool(torch.isfinite(t).all()):
        return None
    t = t.clamp(min=0)
    base = max(rho, 1e-12 * scale)
    roomy = _with_room(program, base, scale, seconds)
    for more in RAISED:
        for mixed in (t, *(((1 - more * k) * t + more * k * roomy) for k in (0.1, 1.0) if roomy is not None)):
            if verified(program, base * (1 + more), mixed):
                return base * (1 + more)
    return None


def _model(program: Program, scale: float, cvxpy: Any) -> tuple[Any, Any, Any]:
    """Variables ρ, t and the expression S, all in units of `scale`."""
    rho, t = cvxpy.Variable(nonneg=True), cvxpy.Variable(len(program.A), nonneg=True)
    A, B, C = program.A.numpy(), program.B.numpy(), program.C.numpy() / math.sqrt(scale)
    gain, both = (program.alpha + program.beta).numpy(), (2 * program.alpha * program.beta).numpy()
    cross = A.T @ cvxpy.diag(cvxpy.multiply(gain, t)) @ B
    S = 2 * B.T @ cvxpy.diag(t) @ B - cross - cross.T - C.T @ C
    if both.any():
        S = S + A.T @ cvxpy.diag(cvxpy.multiply(both, t)) @ A
    corner = torch.zeros(A.shape[1], dtype=torch.float64)
    corner[: program.entries] = 1
    return rho, t, S + rho * torch.diag(corner).numpy()


def _solve(problem: Any, cvxpy: Any, seconds: float) -> None:
    tight = {"tol_gap_abs": 1e-10, "tol_gap_rel": 1e-10, "tol_feas": 1e-10, "time_limit": seconds}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an inaccurate solution is verified like any other
            problem.solve(solver=cvxpy.CLARABEL, **tight)
    except cvxpy.error.SolverError as error:
        raise ValueError(f"`method` lipsdp failed: {error}") from error


def _solved(program: Program, scale: float, seconds: float) -> tuple[float, Tensor]:
    """The solver's ρ and t, NaN where it found none."""
    import cvxpy

    rho, t, S = _model(program, scale, cvxpy)
    _solve(cvxpy.Problem(cvxpy.Minimize(rho), [S >> 0]), cvxpy, seconds)
    if rho.value is None or t.value is None:
        return math.nan, torch.full((len(program.A),), math.nan, dtype=torch.float64)
    return float(rho.value) * scale, torch.from_numpy(t.value) * scale


def _with_room(program: Program, base: float, scale: float, seconds: float) -> Tensor | None:
    """Multipliers for twice ρ with the largest smallest eigenvalue of S."""
    import cvxpy
    import numpy as np

    rho, t, S = _model(program, scale, cvxpy)
    room = cvxpy.Variable()
    wanted = [S - room * np.eye(program.A.shape[1]) >> 0, rho <= 2 * base / scale, room <= 1]
    _solve(cvxpy.Problem(cvxpy.Maximize(room), wanted), cvxpy, seconds)
    return None if t.value is None else torch.from_numpy(np.maximum(t.value, 0)) * scale
