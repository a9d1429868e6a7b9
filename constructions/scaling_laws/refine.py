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
CHUNK_NUMBERS = 1 << 21
LEAST_DAMPING, MOST_DAMPING = 1e-14, 1e13
TINY = 1e-290


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
    the share `settled` of it."""
    size = max(1, CHUNK_NUMBERS // (rows.weight.shape[1] * (start.shape[1] + 2)))
    parts = torch.arange(len(start), device=start.device).split(size)
    found = [_refined(start[part], rows.take(part), bounds, settled) for part in parts]
    return torch.cat([theta for theta, _ in found]), torch.cat([cost for _, cost in found])


def evaluate(theta: Tensor, log_sizes: Tensor) -> tuple[Tensor, Tensor]:
    """u (R, U) and ∂u/∂θ (R, U, p) of constants (R, p) at sizes (R or 1, U, k)."""
    axes = log_sizes.shape[2]
    terms = torch.exp(theta[:, None, 0 : 2 * axes : 2] - theta[:, None, 1 : 2 * axes : 2] * log_sizes)
    u = terms.sum(2)
    slope = torch.stack([terms, -terms * log_sizes], 3).flatten(2)
    if theta.shape[1] > 2 * axes:
        u = u + theta[:, -1:]
        slope = torch.cat([slope, slope.new_ones(*u.shape, 1)], 2)
    return u, slope


def _refined(theta: Tensor, rows: Rows, bounds: Bounds, settled: float) -> tuple[Tensor, Tensor]:
    theta = torch.clamp(theta, bounds.low, bounds.high)
    cost = _cost(theta, rows)
    result, results = theta.clone(), cost.clone()
    at = torch.arange(len(theta), device=theta.device)
    damping = torch.full_like(cost, 1e-4)
    model = _model(theta, rows)
    for _ in range(STEPS):
        tried = torch.clamp(theta - _step(theta, *model, damping, bounds), bounds.low, bounds.high)
        value = _cost(tried, rows)
        better = value < cost  # false for NaN
        ended = (better & (cost - value <= settled * cost)) | (~better & (damping >= MOST_DAMPING))
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


def _cost(theta: Tensor, rows: Rows) -> Tensor:
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
    u, slope = evaluate(theta, rows.log_sizes)
    finite = math.isfinite(rows.chance)
    if rows.loss == "relative":
        first = rows.chance * (1 + u * u) ** -1.5 if finite else torch.ones_like(u)
        gap = rows.weight * first * (enveloped(u, rows.chance) - rows.target)
        gradient = (gap[:, None] @ slope)[:, 0]
        matrix = (slope * (rows.weight * first * first)[:, :, None]).transpose(1, 2) @ slope
        return gradient, matrix, matrix.diagonal(dim1=1, dim2=2)
    square = u * u if finite else torch.zeros_like(u)
    first, second = 1 / (u * (1 + square)), -(1 + 3 * square) / (u * (1 + square)) ** 2  # of ln ε̂ by u
    off = enveloped(u, rows.chance).log() - rows.target.log()
    push = rows.weight * off.clamp(-HUBER, HUBER)
    gradient = ((push * first)[:, None] @ slope)[:, 0]
    robust = rows.weight * (HUBER / off.abs().clamp(min=HUBER))
    scale = ((robust * first * first)[:, None] @ (slope * slope))[:, 0]
    bend = rows.weight * (off.abs() <= HUBER) * first * first + push * second
    matrix = (slope * bend[:, :, None]).transpose(1, 2) @ slope
    return gradient, _add_curvature(matrix, push * first, slope, rows.log_sizes), scale


def _add_curvature(matrix: Tensor, amount: Tensor, slope: Tensor, log_sizes: Tensor) -> Tensor:
    """Adds Σ amount·∂²u/∂θ²: of A s^−α by (ln A, α), the term times ((1, −ln s), (−ln s, ln² s))."""
    matrix = matrix.clone()
    for axis in range(log_sizes.shape[2]):
        a, e, logs = 2 * axis, 2 * axis + 1, log_sizes[:, :, axis]
        matrix[:, a, a] += (amount * slope[:, :, a]).sum(1)
        both = (amount * slope[:, :, e]).sum(1)
        matrix[:, a, e] += both
        matrix[:, e, a] += both
        matrix[:, e, e] -= (amount * slope[:, :, e] * logs).sum(1)
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
    """M x = r with x = `moved` where `fixed`; NaN where M is not positive definite on the others (the step is refused)."""
    free = (~fixed).to(scaled.dtype)
    right = (right - (scaled @ (moved * size)[:, :, None])[:, :, 0]) * free
    matrix = scaled * free[:, :, None] * free[:, None] + torch.diag_embed(1 - free)
    factor, fault = torch.linalg.cholesky_ex(matrix)
    found = torch.cholesky_solve(right[:, :, None], factor)[:, :, 0] / size
    found = torch.where(fixed, moved, found)
    return torch.where((fault == 0)[:, None], found, torch.nan)
