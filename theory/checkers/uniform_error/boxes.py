"""Sizes of boxes, rounded up: what every bound of the form ω(distance) starts from.

Main definitions: `half_widths`, `norm_above`.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def half_widths(lo: Tensor, hi: Tensor, centre: Tensor) -> Tensor:
    """Upper bounds (B, n) of |x − centre|, axis by axis, over the boxes [lo, hi]; the centre is any float point."""
    return torch.maximum(hi - centre, centre - lo) * (1 + 2.0**-51)


def norm_above(rows: Tensor) -> Tensor:
    """Upper bounds (B,) of the Euclidean norms of rows (B, n).

    Squares are taken of ratios to the largest entry: those of 1e-200 would vanish. Each ratio, square and partial sum
    rounds by u, the root halves it: (n + 8)u is more than all of them together.
    """
    largest = rows.abs().amax(-1, keepdim=True)
    ratios = torch.where(largest > 0, rows / largest, 0.0)
    norm = largest[:, 0] * ratios.square().sum(-1).sqrt() * (1 + (rows.shape[1] + 8) * 2.0**-53)
    return torch.where(largest[:, 0] > 0, torch.nextafter(norm, torch.full_like(norm, math.inf)), norm)
