"""Fitting the error law, with intervals: least squares of ε̂/ε − 1, or Huber's loss of ln ε̂ − ln ε.

Deterministic, without random starts: exponents are searched on a grid, the best of it are refined together, and the
refits to data drawn anew start at the estimate.

Main definitions: `fit_scaling_law`, `fit_curves`.
Notation: N points, k axes of sizes, p = 2k + 1 constants, R refits.
References: J. Rosenfeld et al., arXiv:1909.12673 (the law); J. Hoffmann et al., arXiv:2203.15556 (the Huber loss);
docs/scaling_laws.md.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from constructions.errors import require_bool, require_choice, require_int, require_seed
from constructions.scaling_laws.deviation import deviation_of
from constructions.scaling_laws.intervals import FittedLaw, laws_of
from constructions.scaling_laws.law import ScalingLaw, enveloped, require_chance
from constructions.scaling_laws.points import Points, distinct_rows, marked
from constructions.scaling_laws.profile import starts
from constructions.scaling_laws.refine import LOSSES, Bounds, Rows, evaluate, refine

STARTS = 8
RESAMPLES = 200
MOST_RESAMPLES = 100_000
AT_A_BOUND = 1e-6
SINGULAR = 1e13
CURVES_AT_ONCE = 512


def fit_scaling_law(
    sizes: Tensor,
    errors: Tensor,
    *,
    chance: float = math.inf,
    groups: Tensor | Sequence[Any] | None = None,
    loss: str = "relative",
    constant: bool = True,
    held_out: Tensor | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
    axes: Sequence[str] | None = None,
) -> FittedLaw:
    """Fit the law to errors (N,) at sizes (N, k).

    `groups` (N,) names what was measured together (a seed, a run, a curve): intervals draw groups, by default points.
    `held_out` (N,) bool marks points that are predicted and not fitted. `constant=False` sets C = 0. `chance` is the
    error of guessing, inf where it is not known. `axes` are names for messages.

    Raises ValueError or TypeError naming the argument: for errors outside of (0, chance), fewer than 2k + 2 different
    points, fewer than 4 values or less than a factor 4 on an axis, and held-out sizes that are fitted too.
    """
    require_choice("loss", loss, LOSSES)
    require_bool("constant", constant)
    require_int("resamples", resamples, 0, MOST_RESAMPLES)
    require_seed("seed", seed)
    every = Points.of(sizes, errors, groups, chance, axes)
    far = marked(held_out, len(every)).to(every.sizes.device)
    points, others = every.where(~far), every.where(far)
    points.require_design()
    points.require_apart(others)
    problem = _Problem.of(points, loss, constant)
    best, least = problem.best()
    natural = problem.natural(best[None])
    law = laws_of(natural, points.chance)[0]
    number, count = _renumbered(points.groups)
    draws = natural[:0]
    if resamples and count > 1:
        draws = problem.natural(problem.redrawn(best, number, count, resamples, seed))
    deviation = None
    if len(others):
        grouped = None if groups is None else others.groups
        deviation = deviation_of(law(others.sizes) / others.errors - 1, grouped, seed=seed)
    residuals = law(points.sizes) / points.errors - 1
    return FittedLaw(law, problem.covariance(best), residuals, problem.at_bounds(best), deviation, least, draws, count)


def fit_curves(
    sizes: Sequence[Tensor], errors: Sequence[Tensor], *, chance: float = math.inf, constant: bool = True
) -> list[ScalingLaw]:
    """One law of one axis for each learning curve, all fitted at once: `sizes` and `errors` are curves (N_i,).

    The same estimates as those of `fit_scaling_law`, without intervals."""
    if not isinstance(sizes, Sequence) or not isinstance(errors, Sequence) or len(sizes) != len(errors):
        raise ValueError("`sizes` and `errors` must be sequences of the same length, one tensor a curve")
    require_bool("constant", constant)
    curves = []
    for size, error in zip(sizes, errors, strict=True):
        points = Points.of(size[:, None] if isinstance(size, Tensor) and size.ndim == 1 else size, error, None, chance)
        if len(points.axes) != 1:
            raise ValueError(f"`sizes` must be curves of one axis (N,), got {len(points.axes)} axes")
        points.require_design()
        curves.append(_Problem.of(points, "relative", constant))
    laws = []
    for start in range(0, len(curves), CURVES_AT_ONCE):
        part = curves[start : start + CURVES_AT_ONCE]
        theta, _ = _least(_stacked([problem.rows for problem in part]), part[0].bounds, constant)
        found = torch.cat([problem.natural(row[None]) for problem, row in zip(part, theta, strict=True)])
        laws += laws_of(found, require_chance(chance))
    return laws


def _least(rows: Rows, bounds: Bounds, constant: bool) -> tuple[Tensor, Tensor]:
    """θ (G, p) of least loss, and the losses (G,): the best of the grid, all refined together."""
    theta = starts(rows, STARTS, constant=constant)
    sets, count, p = theta.shape
    spread = rows.take(torch.arange(sets, device=theta.device).repeat_interleave(count))
    if rows.loss != "relative":  # Huber's loss has kinks: it starts from least squares of the logarithms, nearly
        theta = refine(theta.reshape(-1, p), replace(spread, loss="relative", weight=spread.weight / spread.target**2),
                       bounds, settled=1e-6)[0]  # fmt: skip
    found, cost = refine(theta.reshape(-1, p), spread, bounds, settled=1e-8)
    best = cost.reshape(sets, count).argmin(1)
    return refine(found.reshape(sets, count, p)[torch.arange(sets, device=theta.device), best], rows, bounds)


def _stacked(parts: Sequence[Rows]) -> Rows:
    """Data sets of one row set each as one, the short ones filled with rows of weight 0."""
    longest = max(part.weight.shape[1] for part in parts)

    def filled(values: Tensor, with_: float) -> Tensor:
        short = longest - values.shape[1]
        return torch.cat([values, values.new_full((1, short, *values.shape[2:]), with_)], 1) if short else values

    return Rows(
        torch.cat([filled(part.log_sizes, 0.0) for part in parts]),
        torch.cat([filled(part.weight, 0.0) for part in parts]),
        torch.cat([filled(part.target, float(part.target[0, 0])) for part in parts]),
        parts[0].chance,
        parts[0].loss,
    )


def _renumbered(groups: Tensor) -> tuple[Tensor, int]:
    number = groups.cpu().unique(return_inverse=True)[1]
    return number, int(number.max()) + 1


@dataclass(frozen=True)
class _Problem:
    """One data set as the fit sees it: sizes by their geometric means, errors by theirs where no chance is known.

    For the relative loss rows are the different sizes and `row_of` (N,) says in which one a point is; for Huber's they
    are the points.
    """

    points: Points
    rows: Rows
    row_of: Tensor
    centre: Tensor
    unit: float
    bounds: Bounds

    @classmethod
    def of(cls, points: Points, loss: str, constant: bool) -> _Problem:
        unit = 1.0 if math.isfinite(points.chance) else math.exp(float(points.errors.log().mean()))
        logs = points.sizes.log()
        centre = logs.mean(0)
        if loss == "relative":
            distinct, row_of = distinct_rows(points.sizes)
            logs = distinct.log()
        else:
            row_of = torch.arange(len(points), device=logs.device)
        empty = logs.new_zeros(1, len(logs))
        bounds = Bounds.of(logs.shape[1], constant=constant, device=logs.device)
        rows = Rows((logs - centre)[None], empty, empty, points.chance, loss)
        problem = cls(points, rows, row_of, centre, unit, bounds)
        return replace(problem, rows=problem.counted(logs.new_ones(1, len(points))))

    @property
    def constant(self) -> bool:
        return len(self.bounds.low) % 2 == 1

    def counted(self, counts: Tensor) -> Rows:
        """The rows where each point counts `counts` (R, N) times."""
        errors = self.points.errors / self.unit
        if self.rows.loss != "relative":
            return replace(self.rows, weight=counts, target=errors.expand(len(counts), -1))
        zeros = counts.new_zeros(len(counts), self.rows.log_sizes.shape[1])
        first = zeros.index_add(1, self.row_of, counts / errors)
        second = zeros.index_add(1, self.row_of, counts / errors**2)
        return replace(self.rows, weight=second, target=torch.where(second > 0, first / second, errors.min()))

    def best(self) -> tuple[Tensor, float]:
        """θ (p,) of least loss, and that loss of the points themselves."""
        theta, cost = _least(self.rows, self.bounds, self.constant)
        if self.rows.loss != "relative":
            return theta[0], float(cost[0])
        law = laws_of(self.natural(theta), self.points.chance)[0]
        return theta[0], float(((law(self.points.sizes) / self.points.errors - 1) ** 2).sum())

    def redrawn(self, best: Tensor, number: Tensor, count: int, resamples: int, seed: int) -> Tensor:
        """θ (R, p) of data drawn anew: `count` groups with replacement, `number` (N,) is the group of a point."""
        generator = torch.Generator().manual_seed(seed)
        found = []
        for start in range(0, resamples, max(1, (1 << 22) // len(number))):
            size = min(resamples - start, max(1, (1 << 22) // len(number)))
            drawn = torch.randint(count, (size, count), generator=generator)
            times = torch.zeros(size, count, dtype=torch.float64).scatter_add_(
                1, drawn, torch.ones(size, count, dtype=torch.float64)
            )
            rows = self.counted(times[:, number].to(best.device))
            # a thousandth of a standard deviation of the estimate changes the loss by 1e-6 of it over N
            found.append(refine(best[None], rows, self.bounds, settled=1e-6 / len(number))[0])
        return torch.cat(found)

    def natural(self, theta: Tensor) -> Tensor:
        """(A_1, α_1, …, C) (R, 2k + 1) of θ (R, p), for sizes and errors as they are."""
        axes = len(self.centre)
        rates = theta[:, 1 : 2 * axes : 2]
        logs = theta[:, 0 : 2 * axes : 2] + rates * self.centre + math.log(self.unit)
        floor = theta[:, -1:] * self.unit if self.constant else theta.new_zeros(len(theta), 1)
        return torch.cat([torch.stack([logs.clamp(-700, 700).exp(), rates], 2).flatten(1), floor], 1)

    def at_bounds(self, theta: Tensor) -> tuple[str, ...]:
        """Names of the constants at an end of what they may be."""
        names = [f"{what} {axis}" for axis in self.points.axes for what in ("coefficient", "exponent")]
        room = AT_A_BOUND * (self.bounds.high - self.bounds.low)
        if self.constant:
            names.append("constant")
            room[-1] = 0.0
        near = (theta - self.bounds.low <= room) | (self.bounds.high - theta <= room)
        return tuple(name for name, at in zip(names, near.tolist(), strict=True) if at)

    def covariance(self, theta: Tensor) -> Tensor:
        """σ²(JᵀJ)⁻¹ of (A_1, α_1, …, C), J that of relative residuals; ∞ where JᵀJ is singular."""
        axes, errors = len(self.centre), self.points.errors / self.unit
        u, slope = (part[0] for part in evaluate(theta[None], (self.points.sizes.log() - self.centre)[None]))
        chance = self.points.chance
        square = u * u if math.isfinite(chance) else torch.zeros_like(u)
        first = (chance if math.isfinite(chance) else 1.0) * (1 + square) ** -1.5
        jacobian = (slope * first / errors).T  # by (ln A′, α, …, C′), A′ for centred sizes
        change = torch.eye(len(theta), dtype=torch.float64, device=theta.device)
        scale = self.natural(theta[None])[0, : len(theta)].clone()
        for axis in range(axes):
            change[2 * axis, 2 * axis + 1] = -self.centre[axis]  # ln A = ln A′ + α·centre
            scale[2 * axis + 1] = 1.0
        if self.constant:
            scale[-1] = self.unit
        free = ~self._stuck(theta)
        value = enveloped(u, chance)
        freedom = max(1, len(errors) - int(free.sum()))
        variance = float(((value / errors - 1) ** 2).sum()) / freedom
        inner = _inverse((jacobian.T @ jacobian)[free][:, free], variance)
        result = torch.full((2 * axes + 1, 2 * axes + 1), math.inf, dtype=torch.float64, device=theta.device)
        if inner is None:
            return result
        moved = torch.linalg.inv(change)[:, free] * scale[:, None]
        at = free.nonzero()[:, 0]
        result[at[:, None], at] = (moved @ inner @ moved.T)[free][:, free]
        return result

    def _stuck(self, theta: Tensor) -> Tensor:
        return (theta <= self.bounds.low) | (theta >= self.bounds.high)


def _inverse(gram: Tensor, variance: float) -> Tensor | None:
    """variance·G⁻¹, or None where G is singular to working precision."""
    size = gram.diagonal().sqrt()
    if not bool((size > 0).all()):
        return None
    block = gram / size[:, None] / size
    if not float(torch.linalg.cond(block)) <= SINGULAR:
        return None
    return torch.linalg.inv(block) / size[:, None] / size * variance
