"""Where fits start: for given exponents the law is nearly linear in its other constants, so exponents are searched.

In u, residuals of ε̂/ε are residuals of u with the weight 1/(u(1 + u²)) to first order. On a grid of exponents
(A, C) ≥ 0 of least squares are found for all grid points at once. All their normal equations are blocks of one: that of
the columns s_j^(−α) of all axes and exponents, and 1. Of all subsets of constants that are positive the best feasible
one is the minimum, since the problem is convex.

Main definitions: `starts`.
References: G. Golub, V. Pereyra, Separable nonlinear least squares, Inverse Problems 19 (2003); docs/scaling_laws.md.
"""

from __future__ import annotations

import itertools

import torch
from torch import Tensor

from constructions.scaling_laws.refine import LOG_COEFFICIENT, Rows

EXPONENTS = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 1.0, 1.4, 2.0)
FINE = tuple(0.02 * 150 ** (i / 60) for i in range(61))
"""On one axis: from 0.02 to 3."""
RIDGE = 1e-13
LEAST = 1e-12
"""Instead of a coefficient that is 0, as a share of the largest term: its logarithm is a constant of the fit."""


def starts(rows: Rows, count: int, *, constant: bool) -> Tensor:
    """θ (G, count, p) of the least losses on the grid, for G data sets; `rows.target` are errors below chance."""
    axes = rows.log_sizes.shape[2]
    values = torch.tensor(FINE if axes == 1 else EXPONENTS, dtype=torch.float64, device=rows.weight.device)
    u, weight = linearised(rows)
    columns = torch.exp(-rows.log_sizes[..., None] * values).flatten(2)  # (G, U, k·values), axis by axis
    columns = torch.cat([columns, columns.new_ones(*columns.shape[:2], 1)], 2).expand(len(u), -1, -1)
    weighted = columns * weight[:, :, None]
    gram = weighted.transpose(1, 2) @ columns
    right = (u[:, None] @ weighted)[:, 0]
    index = torch.cartesian_prod(*[torch.arange(len(values), device=values.device)] * axes).reshape(-1, axes)
    chosen = index + len(values) * torch.arange(axes, device=values.device)
    chosen = torch.cat([chosen, torch.full_like(chosen[:, :1], gram.shape[1] - 1)], 1)
    blocks, sides = gram[:, chosen[:, :, None], chosen[:, None]], right[:, chosen]
    cost, amounts = _least(blocks, sides, axes + constant)
    best = cost.topk(min(count, cost.shape[1]), dim=1, largest=False).indices
    amounts = amounts.gather(1, best[:, :, None].expand(-1, -1, axes + 1))
    exponents = values[index[best]]
    least = (LEAST * amounts.amax(2, keepdim=True)).clamp(min=torch.finfo(torch.float64).tiny)
    logs = amounts[:, :, :axes].maximum(least).log().clamp(*LOG_COEFFICIENT)
    theta = torch.stack([logs, exponents], 3).flatten(2)
    return torch.cat([theta, amounts[:, :, axes:]], 2) if constant else theta


def linearised(rows: Rows) -> tuple[Tensor, Tensor]:
    """u (G, U) of the targets and the weights of its residuals, for the relative loss to first order."""
    if rows.chance == float("inf"):
        return rows.target, rows.weight if rows.loss == "relative" else rows.weight / rows.target**2
    r = rows.target / rows.chance
    u = r / torch.sqrt((1 - r) * (1 + r))
    weight = rows.weight * rows.target**2 if rows.loss == "relative" else rows.weight
    return u, weight / (u * (1 + u * u)) ** 2


def _least(gram: Tensor, right: Tensor, width: int) -> tuple[Tensor, Tensor]:
    """min xᵀGx − 2xᵀr over x ≥ 0 whose first `width` entries may be positive, for many at once."""
    best, amounts = right.new_zeros(right.shape[:-1]), torch.zeros_like(right)
    for size in range(1, width + 1):
        for at in map(list, itertools.combinations(range(width), size)):
            block, side = gram[..., at, :][..., at], right[..., at]
            scale = block.diagonal(dim1=-2, dim2=-1).clamp(min=torch.finfo(block.dtype).tiny)
            x, fault = torch.linalg.solve_ex(block + torch.diag_embed(scale * RIDGE), side)
            cost = ((block @ x[..., None])[..., 0] * x - 2 * x * side).sum(-1)
            better = (fault == 0) & (x > 0).all(-1) & (cost < best)
            best = torch.where(better, cost, best)
            moved = torch.zeros_like(amounts)
            moved[..., at] = x
            amounts = torch.where(better[..., None], moved, amounts)
    return best, amounts
