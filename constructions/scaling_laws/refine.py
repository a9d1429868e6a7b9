"""Many fits of the law at once: damped Newton steps within bounds, in torch.

Constants are θ = (ln A_1, α_1, …, ln A_k, α_k, C), C ≥ 0 (or without C). Two losses of a row with target t:

    relative     w·(ε̂ − t)²        rows of equal sizes count together: Σ(ε̂/ε − 1)² = S₂(ε̂ − S₁/S₂)² + const,
                                   S₁ = Σ 1/ε, S₂ = Σ 1/ε², so w = S₂ and t = S₁/S₂ say all that the loss knows
    huber_log    w·ρ(ln ε̂ − ln t)  ρ(r) = r²/2 for |r| ≤ 1e-3, else 1e-3·(|r| − 5e-4)

For the first the Gauss–Newton matrix is used, for the second the whole Hessian: nearly all residuals lie on Huber's
straight branches, where there is no Gauss–Newton part.

Main definitions: `Rows`, `Bounds`, `refine`.
Notation: R fits at once, U rows, k axes, p constants.
References: D. Marquardt, J. SIAM 11 (1963); docs/scaling_laws.md.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from constructions.scaling_laws.law import enveloped

LOSSES = ("relative", "huber_log")
HUBER = 1e-3
EXPONENT = (1e-3, 6.0)
LOG_COEFFICIENT = (-40.0, 40.0)
CONSTANT = (0.0, 1e12)
STEPS = 400
BLOCK_NUMBERS = 1 << 15
LEAST_DAMPING, FIRST_DAMPING, MOST_DAMPING = 1e-14, 1e-4, 1e13
TINY = 1e-290
ROUNDING = 4e-16


@dataclass(frozen=True)
class Rows:
    """Data of R fits: `log_sizes` (R or 1, U, k), `weight` and `target` (R, U); a row of weight 0 is no row."""

    log_sizes: Tensor
    weight: Tensor
    target: Tensor
    chance: float
    loss: str = "relative"

    def take(self, index: Tensor) -> Rows:
        """These fits of them."""
        sizes = self.log_sizes if len(self.log_sizes) == 1 else self.log_sizes[index]
        return replace(self, log_sizes=sizes, weight=self.weight[index], target=self.target[index])

    def blocks(self) -> Iterator[Rows]:
        """All fits, some rows at a time: few enough numbers to stay in a cache."""
        count, size = self.weight.shape[1], max(64, BLOCK_NUMBERS // len(self.weight))
        if size >= count:
            yield self
            return
        for start in range(0, count, size):
            part = slice(start, start + size)
            yield replace(
                self, log_sizes=self.log_sizes[:, part], weight=self.weight[:, part], target=self.target[:, part]
            )


@dataclass(frozen=True)
class Bounds:
    """Ends (p,) of θ."""

    low: Tensor
    high: Tensor

    @classmethod
    def of(cls, axes: int, *, constant: bool, device: torch.device) -> Bounds:
        ends = [LOG_COEFFICIENT, EXPONENT] * axes + [CONSTANT] * constant
        low, high = torch.tensor(ends, dtype=torch.float64, device=device).t().contiguous()
        return cls(low, high)


def refine(start: Tensor, rows: Rows, bounds: Bounds, *, settled: float = 1e-15) -> tuple[Tensor, Tensor]:
    """θ (R, p) and losses (R,) of R fits from the starts (R, p); a fit ends when a step lowers its loss by no more than
    the share `settled` of it. One start (1, p) is that of all, and all first steps from it are products of matrices."""
    theta = torch.clamp(start, bounds.low, bounds.high)
    cost = _cost(theta, rows)
    damping = torch.full_like(cost, FIRST_DAMPING)
    if len(theta) == 1:
        tried = torch.clamp(theta - _step(theta, *_common_model(theta, rows), damping, bounds), bounds.low, bounds.high)
        value = _cost(tried, rows)
        better = value < cost
        theta, cost = torch.where(better[:, None], tried, theta), torch.where(better, value, cost)
    result, results = theta.clone(), cost.clone()
    at = torch.arange(len(theta), device=theta.device)
    model = _model(theta, rows)
    for _ in range(STEPS):
        step = _step(theta, *model, damping, bounds)
        tried = torch.clamp(theta - step, bounds.low, bounds.high)
        value = _cost(tried, rows)
        better = value < cost  # false for NaN
        hoped = (step * model[0]).sum(1)
        ended = (better & (cost - value <= settled * cost)) | (hoped <= max(settled, ROUNDING) * cost)
        ended = (ended & (damping <= FIRST_DAMPING)) | (~better & (damping >= MOST_DAMPING))
        theta = torch.where(better[:, None], tried, theta)
        cost = torch.where(better, value, cost)
        damping = torch.where(better, damping / 8, damping * 4).clamp(LEAST_DAMPING, MOST_DAMPING)
        result[at], results[at] = theta, cost
        go_on = ~ended & (cost > TINY)
        if not bool(go_on.any()):
            break
        if not bool(go_on.all()):
            kept = go_on.nonzero()[:, 0]
            at, theta, cost, damping, rows = at[kept], theta[kept], cost[kept], damping[kept], rows.take(kept)
        model = _model(theta, rows)
    return result, results


def evaluate(theta: Tensor, log_sizes: Tensor) -> tuple[Tensor, Tensor]:
    """u (R, U) and ∂u/∂θ (R, p, U) of constants (R, p) at sizes (R or 1, U, k)."""
    axes = log_sizes.shape[2]
    terms, slope = [], []
    for axis in range(axes):
        logs = log_sizes[:, :, axis]
        terms.append(torch.exp(theta[:, 2 * axis, None] - theta[:, 2 * axis + 1, None] * logs))
        slope += [terms[-1], -terms[-1] * logs]
    u = terms[0]
    for term in terms[1:]:
        u = u + term
    if theta.shape[1] > 2 * axes:
        u = u + theta[:, -1:]
        slope.append(torch.ones_like(u))
    return u, torch.stack(slope, 1)


def _cost(theta: Tensor, rows: Rows) -> Tensor:
    return sum((_part_of_cost(theta, part) for part in rows.blocks()), torch.zeros_like(theta[:, 0]))


def _part_of_cost(theta: Tensor, rows: Rows) -> Tensor:
    value = enveloped(_u(theta, rows.log_sizes), rows.chance)
    if rows.loss == "relative":
        return (rows.weight * (value - rows.target) ** 2).sum(1)
    size = (value.log() - rows.target.log()).abs()
    return (rows.weight * torch.where(size <= HUBER, size * size / 2, HUBER * (size - HUBER / 2))).sum(1)


def _u(theta: Tensor, log_sizes: Tensor) -> Tensor:
    axes = log_sizes.shape[2]
    u = torch.exp(theta[:, None, 0] - theta[:, None, 1] * log_sizes[:, :, 0])
    for axis in range(1, axes):
        u = u + torch.exp(theta[:, None, 2 * axis] - theta[:, None, 2 * axis + 1] * log_sizes[:, :, axis])
    return u + theta[:, -1:] if theta.shape[1] > 2 * axes else u


def _model(theta: Tensor, rows: Rows) -> tuple[Tensor, Tensor, Tensor]:
    """Gradient (R, p), matrix (R, p, p) and the scale of its diagonal (R, p), of half the loss or of the loss."""
    part = _part_of_relative if rows.loss == "relative" else _part_of_huber
    first, *others = (part(theta, block) for block in rows.blocks())
    gradient, matrix, scale = first
    for other in others:
        gradient, matrix, scale = gradient + other[0], matrix + other[1], scale + other[2]
    return gradient, matrix, scale


def _common_model(theta: Tensor, rows: Rows) -> tuple[Tensor, Tensor, Tensor]:
    """`_model` at one θ (1, p) of data that differ in their weights: what these multiply is computed once."""
    p = theta.shape[1]
    gradient, matrix, scale = (theta.new_zeros(len(rows.weight), size) for size in (p, p * p, p))
    for block in rows.blocks():
        if rows.loss == "relative":
            u, slope = evaluate(theta, block.log_sizes)
            first, value = _envelope(u, rows.chance)
            slope = (slope * first[:, None])[0]
            gradient += (block.weight * (value - block.target)) @ slope.T
            matrix += block.weight @ (slope[:, None] * slope[None]).flatten(0, 1).T
        else:  # one row a point: each as a data set of its own
            single = Rows(block.log_sizes.transpose(0, 1), torch.ones_like(block.target[:1]).T, block.target[:1].T,
                          rows.chance, rows.loss)  # fmt: skip
            parts = _part_of_huber(theta.expand(len(single.weight), -1), single)
            gradient += block.weight @ parts[0]
            matrix += block.weight @ parts[1].flatten(1)
            scale += block.weight @ parts[2]
    matrix = matrix.unflatten(1, (p, p))
    return gradient, matrix, scale if rows.loss != "relative" else matrix.diagonal(dim1=1, dim2=2)


def _envelope(u: Tensor, chance: float) -> tuple[Tensor, Tensor]:
    """∂ε̂/∂u and ε̂."""
    if math.isinf(chance):
        return torch.ones_like(u), u
    shrink = 1 / torch.sqrt(1 + u * u)
    return chance * shrink * shrink * shrink, chance * u * shrink


def _part_of_relative(theta: Tensor, rows: Rows) -> tuple[Tensor, Tensor, Tensor]:
    u, slope = evaluate(theta, rows.log_sizes)
    first, value = _envelope(u, rows.chance)
    slope *= first[:, None]
    weighted = slope * rows.weight[:, None]
    matrix = weighted @ slope.transpose(1, 2)
    return (weighted @ (value - rows.target)[:, :, None])[:, :, 0], matrix, matrix.diagonal(dim1=1, dim2=2)


def _part_of_huber(theta: Tensor, rows: Rows) -> tuple[Tensor, Tensor, Tensor]:
    u, slope = evaluate(theta, rows.log_sizes)
    square = u * u if math.isfinite(rows.chance) else torch.zeros_like(u)
    first = 1 / (u * (1 + square))  # of ln ε̂ by u; second is −(1 + 3u²)·first²
    off = enveloped(u, rows.chance).log() - rows.target.log()
    push = rows.weight * off.clamp(-HUBER, HUBER)
    robust = rows.weight * (HUBER / off.abs().clamp(min=HUBER)) * first * first
    bend = (rows.weight * (off.abs() <= HUBER) - push * (1 + 3 * square)) * first * first
    gradient = (slope @ (push * first)[:, :, None])[:, :, 0]
    scale = ((slope * slope) @ robust[:, :, None])[:, :, 0]
    matrix = (slope * bend[:, None]) @ slope.transpose(1, 2)
    return gradient, _add_curvature(matrix, push * first, slope, rows.log_sizes), scale


def _add_curvature(matrix: Tensor, amount: Tensor, slope: Tensor, log_sizes: Tensor) -> Tensor:
    """Adds Σ amount·∂²u/∂θ²: of A s^−α by (ln A, α), the term times ((1, −ln s), (−ln s, ln² s))."""
    for axis in range(log_sizes.shape[2]):
        a, e = 2 * axis, 2 * axis + 1
        matrix[:, a, a] += (amount * slope[:, a]).sum(1)
        both = (amount * slope[:, e]).sum(1)
        matrix[:, a, e] += both
        matrix[:, e, a] += both
        matrix[:, e, e] -= (amount * slope[:, e] * log_sizes[:, :, axis]).sum(1)
    return matrix


def _step(theta: Tensor, gradient: Tensor, matrix: Tensor, scale: Tensor, damping: Tensor, bounds: Bounds) -> Tensor:
    """The damped step; constants that it would carry over a bound go to the bound, and the others are solved again."""
    size = scale.clamp(min=TINY).sqrt()
    scaled = matrix / size[:, :, None] / size[:, None]
    scaled = scaled + torch.diag_embed((damping[:, None] + 1e-15).expand_as(size))
    right = gradient / size
    fixed = ((theta <= bounds.low) & (gradient > 0)) | ((theta >= bounds.high) & (gradient < 0))
    moved = torch.zeros_like(theta)
    step = _solved(scaled, right, fixed, moved, size)
    over = ~fixed & ((theta - step < bounds.low) | (theta - step > bounds.high))
    if bool(over.any()):
        moved = torch.where(over, theta - torch.clamp(theta - step, bounds.low, bounds.high), moved)
        step = _solved(scaled, right, fixed | over, moved, size)
    return step


def _solved(scaled: Tensor, right: Tensor, fixed: Tensor, moved: Tensor, size: Tensor) -> Tensor:
    """M x = r with x = `moved` where `fixed`; NaN, which no step survives, where M is not positive definite."""
    free = (~fixed).to(scaled.dtype)
    right = (right - (scaled @ (moved * size)[:, :, None])[:, :, 0]) * free
    matrix = scaled * free[:, :, None] * free[:, None] + torch.diag_embed(1 - free)
    factor, fault = torch.linalg.cholesky_ex(matrix)
    found = torch.cholesky_solve(right[:, :, None], factor)[:, :, 0] / size
    found = torch.where(fixed, moved, found)
    return torch.where((fault == 0)[:, None], found, torch.nan)
