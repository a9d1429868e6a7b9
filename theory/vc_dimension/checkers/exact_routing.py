"""Nearest-prototype routing in integers: no rounding, ties to the lowest index.

Main definition: `route_exactly`.
Implementation notes: prototypes are multiples of 2^−p with a p read off the numbers. |x − v|² − |x|² = |v|² − 2x·v is
scaled by 4^p; in int64 where that fits, else the scaled prototype is split in two and the parts are put together as
Python integers (the products of the parts with the points must fit, which bounds the points).
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from theory.vc_dimension.checkers.shapes import numbers_fault

MAX_DIGITS = 60
PART_BITS = 26  # of the lower part of a split prototype; the higher one has 53 − 26 and its sign


def binary_digits(values: Tensor) -> int | None:
    """The least p ≤ 60 with values·2^p all integers; None if there is none."""
    for p in range(MAX_DIGITS + 1):
        scaled = values * 2.0**p
        if bool((scaled == scaled.round()).all()):
            return p
    return None


def route_exactly(levels: list[Tensor], points: Tensor) -> Tensor | str:
    """Leaf ids (B, k), int64, of integer points (k, n) in B trees with levels (B, nodes, children, n), dyadic.

    A sentence instead when the levels are not those of full trees, the prototypes not dyadic or too fine, or the points
    too far out.
    """
    fault = levels_fault(levels, points.shape[1])
    if fault is not None:
        return fault
    if points.shape[1] * float(points.abs().max()) >= 2.0 ** (62 - PART_BITS - 1):
        return "the points are too far out for routing in integers"
    node = torch.zeros(len(levels[0]), len(points), dtype=torch.int64, device=points.device)
    for level in levels:
        digits = binary_digits(level)
        if digits is None or not bool((points == points.round()).all()):
            return "the prototypes are not multiples of 2^-60, or the points are not integers"
        scaled = level * 2.0**digits
        top = float(scaled.abs().max())
        if top >= 2.0**53:
            return "the prototypes are too fine for their size: more than 53 bits"
        child = _nearest(scaled.long(), points.long(), digits, top, node)
        node = node * level.shape[2] + child
    return node


def levels_fault(levels: list[Tensor], n: int) -> str | None:
    """Why these are not the levels (B, nodes, children, n) of B full trees, or None."""
    if not levels:
        return "`levels` must hold at least one level, got 0"
    batch, nodes = None, 1
    for h, level in enumerate(levels):
        fault = numbers_fault(f"levels[{h}]", level, (batch, nodes, None, n))
        if fault is not None:
            return fault
        batch, nodes = len(level), nodes * level.shape[2]
    return None


def _nearest(scaled: Tensor, points: Tensor, digits: int, top: float, node: Tensor) -> Tensor:
    """Index (B, k) of the nearest child of each point's node; children (B, nodes, children, n), scaled by 2^digits."""
    n, reach = points.shape[1], float(points.abs().max())
    if n * (top**2 + 2 * top * reach * 2.0**digits) < 2.0**62:
        gap = scaled.square().sum(-1)[:, :, None] - 2 * (points << digits) @ scaled.transpose(2, 3)
        return _at_node(gap, node).argmin(-1)
    low = scaled & ((1 << PART_BITS) - 1)
    high = (scaled - low) >> PART_BITS
    parts = [_at_node(points @ part.transpose(2, 3), node).cpu().numpy().astype(object) for part in (high, low)]
    exact = scaled.cpu().numpy().astype(object)
    squares = (exact * exact).sum(-1)  # (B, nodes, children)
    chosen = squares[np.arange(len(squares))[:, None], node.cpu().numpy()]
    gap = chosen - (parts[0] * 2**PART_BITS + parts[1]) * 2 ** (digits + 1)
    return torch.from_numpy(np.argmin(gap, axis=-1).astype(np.int64)).to(node.device)


def _at_node(values: Tensor, node: Tensor) -> Tensor:
    """(B, nodes, k, children) at each point's node: (B, k, children). A shape (B, nodes, children) + point products."""
    index = node[:, None, :, None].expand(-1, 1, -1, values.shape[-1])
    return values.gather(1, index)[:, 0]
