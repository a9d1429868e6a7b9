"""Gauss–Newton steps judged by the weights before and after them, never by what the trainer recorded.

    G g = f − y,   ‖ΔW‖² = η² gᵀGg,   f_i(t+1) − y_i = (1 − η)(f_i(t) − y_i) + m^(−1/2) Σ_{flips} a_r |z_ri(t+1) − b|

Main definitions: `Problem`, `Look`, `look`, `step_identities`, `StepIdentities`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from theory.claim import Report
from theory.sublinear_training.checkers.fired_set import UNIT, fired_mask


@dataclass(frozen=True)
class Problem:
    """Signs (m,), points (n, d), labels (n,) and the shift of a run."""

    signs: Tensor
    points: Tensor
    labels: Tensor
    bias: float


@dataclass(frozen=True)
class Look:
    """What weights give: ⟨w_r, x_i⟩ (m, n) in float64, the fired mask (m, n), f − y (n,), G (n, n), counts C (n, n)."""

    keys: Tensor
    mask: Tensor
    residual: Tensor
    gram: Tensor
    both: Tensor

    @property
    def fired(self) -> int:
        return int(self.mask.sum())

    @property
    def touched(self) -> Tensor:
        """The units that fire somewhere, ascending."""
        return self.mask.any(1).nonzero()[:, 0]

    @property
    def joined(self) -> int:
        return int(self.both.sum())

    @property
    def private(self) -> int:
        """min_i u_i, the units that fire at point i alone."""
        alone = self.mask & (self.mask.sum(1, keepdim=True) == 1)
        return int(alone.sum(0).min())


def look(weight: Tensor, problem: Problem) -> Look:
    """Everything recomputed from weights (m, d)."""
    mask = fired_mask(weight, problem.points, problem.bias)
    keys = weight @ problem.points.t()
    m = len(weight)
    residual = problem.signs @ torch.where(mask, keys - problem.bias, 0) / math.sqrt(m) - problem.labels
    ones = mask.double()
    both = (ones.t() @ ones).round().long()
    return Look(keys, mask, residual, (problem.points @ problem.points.t()) * both / m, both)


@dataclass(frozen=True)
class StepIdentities(Report):
    """Largest errors of the identities of one step, the second relative; flips of fired pairs."""

    failure: str | None
    residual_error: float
    movement_error: float
    flips: int


def step_identities(
    before: Tensor,
    after: Tensor,
    problem: Problem,
    *,
    rate: float = 1.0,
    tolerance: float = 1e-11,
    looks: tuple[Look, Look] | None = None,
) -> StepIdentities:
    """Whether weights after a step (m, d) are those of an exact Gauss–Newton step from the weights before it.

    `looks` are those at the two weights, if they were taken already.
    """
    if before.shape != after.shape:
        return StepIdentities(f"weights {tuple(before.shape)} became {tuple(after.shape)}", math.inf, math.inf, 0)
    first, second = looks or (look(before, problem), look(after, problem))
    solution = torch.linalg.solve(first.gram, first.residual)
    moved, touched = after - before, first.mask.any(1)
    expected = rate**2 * float(solution @ first.gram @ solution)
    squared = float(moved.square().sum())
    # what rounding the new weights may add to their difference
    slack = 4 * UNIT * math.sqrt(squared) * float(after[touched].norm()) + UNIT
    movement = max(0.0, abs(squared - expected) - slack) / max(expected, slack)
    unit, point = (first.mask != second.mask).nonzero(as_tuple=True)
    jumps = problem.signs[unit] * (second.keys[unit, point] - problem.bias).abs()
    sums = torch.zeros_like(first.residual).index_add_(0, point, jumps) / math.sqrt(len(before))
    residual = float((second.residual - (1 - rate) * first.residual - sums).abs().max())
    failure = None
    if bool((moved[~touched] != 0).any()):
        failure = "a unit moved that fires at no point"
    elif not residual <= tolerance:
        failure = f"the residual is {residual:.3g} from what the flips say"
    elif not movement <= tolerance:
        failure = f"‖ΔW‖² is {movement:.3g} (relative) from gᵀGg"
    return StepIdentities(failure, residual, movement, len(unit))
