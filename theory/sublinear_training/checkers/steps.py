"""Gauss–Newton steps judged by the weights before and after them, never by what the trainer recorded.

    G g = f − y,   Δw_r = −η a_r/√m Σ g_i x_i
    f_i(t+1) − y_i = (1 − η)(f_i(t) − y_i) + m^(−1/2) Σ_{flips} a_r |z_ri(t+1) − b|

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
    """Signs (m,), points (n, d), labels (n,) and the shift of a run; `offset`: what answers have beside the sum."""

    signs: Tensor
    points: Tensor
    labels: Tensor
    bias: float
    offset: float = 0.0


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
    residual = problem.signs @ torch.where(mask, keys - problem.bias, 0) / math.sqrt(m)
    residual = residual + problem.offset - problem.labels
    ones = mask.double()
    both = (ones.t() @ ones).round().long()
    return Look(keys, mask, residual, (problem.points @ problem.points.t()) * both / m, both)


@dataclass(frozen=True)
class StepIdentities(Report):
    """`residual_error`, the largest of the residual against the flips, relative to what it adds up; `weight_share`, the
    largest of a weight against −η a_r/√m Σ g_i x_i, of what is allowed; flips of fired pairs."""

    failure: str | None
    residual_error: float
    weight_share: float
    flips: int


def step_identities(
    before: Tensor,
    after: Tensor,
    problem: Problem,
    *,
    rate: float = 1.0,
    tolerance: float = 1e-12,
    looks: tuple[Look, Look] | None = None,
) -> StepIdentities:
    """Whether weights after a step (m, d) are those of an exact Gauss–Newton step from the weights before it.

    `looks` are those at the two weights, if they were taken already. Every new weight may err by the rounding of its
    sum, 8u·(|w| + |w'|), by `tolerance` times the condition of the Gram matrix in its change, and by what the rounding
    of the residual, 8(d + 8)u of what it adds up, becomes through the inverse of that matrix.
    """
    if before.shape != after.shape:
        return StepIdentities(f"weights {tuple(before.shape)} became {tuple(after.shape)}", math.inf, math.inf, 0)
    first, second = looks or (look(before, problem), look(after, problem))
    if not bool(first.both.diagonal().all()):
        return StepIdentities("a point fires no unit, and has no step", math.inf, math.inf, 0)
    values = torch.linalg.eigvalsh(first.gram)
    if not float(values[0]) > 0:
        return StepIdentities("the Gram matrix is not positive definite", math.inf, math.inf, 0)
    condition = float(values[-1] / values[0])
    touched = first.touched
    idle = torch.ones(len(before), dtype=torch.bool, device=before.device).index_fill(0, touched, False)
    share = _weight_share(before[touched], after[touched], first, problem, rate, tolerance)
    error, flips = _residual_error(first, second, problem, rate)
    failure = None
    if bool((after[idle] != before[idle]).any()):
        failure = "a unit moved that fires at no point"
    elif not share <= 1:
        failure = f"a weight is {share:.3g} times as far from its Gauss–Newton step as rounding may take it"
    elif not error <= tolerance * condition:
        failure = f"the residual is {error:.3g} (relative) from what the flips say"
    return StepIdentities(failure, error, share, flips)


def _weight_share(before: Tensor, after: Tensor, seen: Look, problem: Problem, rate: float, tolerance: float) -> float:
    """The largest error of the new weights (U, d) of the units that fire, in units of what is allowed."""
    n, d = problem.points.shape
    values, scale = torch.linalg.eigvalsh(seen.gram), rate / math.sqrt(len(seen.mask))
    terms = seen.mask[seen.touched].double() * torch.linalg.solve(seen.gram, seen.residual)
    expected = -scale * problem.signs[seen.touched, None] * (terms @ problem.points)
    largest = (scale * (terms.abs() @ problem.points.abs())).max().clamp(min=torch.finfo(torch.float64).tiny)
    # the residual's own rounding, through the inverse of the Gram matrix
    unsure = 8 * (d + 8) * UNIT * float(_heights(seen, problem).norm()) / float(values[0]) * scale * math.sqrt(n)
    rounding = 8 * UNIT * (before.abs() + after.abs())
    allowed = unsure + rounding + tolerance * float(values[-1] / values[0]) * largest
    return float(((after - before - expected).abs() / allowed).max())


def _residual_error(first: Look, second: Look, problem: Problem, rate: float) -> tuple[float, int]:
    """The largest error of the new residual, relative to what it adds up, and the number of flips."""
    unit, point = (first.mask != second.mask).nonzero(as_tuple=True)
    jumps = problem.signs[unit] * (second.keys[unit, point] - problem.bias).abs()
    sums = torch.zeros_like(first.residual).index_add_(0, point, jumps) / math.sqrt(len(first.mask))
    error = (second.residual - (1 - rate) * first.residual - sums).abs()
    return float((error / (_heights(first, problem) + _heights(second, problem))).max()), len(unit)


def _heights(seen: Look, problem: Problem) -> Tensor:
    """What the residual of each point (n,) adds up, without signs: it errs by a small multiple of u of that."""
    active = torch.where(seen.mask, seen.keys.abs() + abs(problem.bias), 0).sum(0) / math.sqrt(len(seen.mask))
    return active + problem.labels.abs() + abs(problem.offset) + torch.finfo(active.dtype).tiny
