"""Which units fire, decided from the weights alone: every inner product, those near the shift in rationals.

Main definitions: `fired_mask`, `fired_set_eq`, `visited_nodes`, `written_nodes`, `rounding`.
"""

from __future__ import annotations

import torch
from flint import fmpq
from torch import Tensor

from theory.claim import Report
from theory.exact import rational

UNIT = 2.0**-53
CHUNK_NUMBERS = 1 << 22


def rounding(weight: Tensor, points: Tensor) -> float:
    """τ: a computed ⟨w, x⟩ is within τ/2 of the true one, in any order of summation: γ_d ‖w‖‖x‖ + d·2⁻¹⁰⁷⁴, with norms
    from the largest entries, which do not underflow."""
    terms = weight.shape[1] + 1
    gamma = terms * UNIT / (1 - terms * UNIT)
    return 2 * gamma * terms * float(weight.abs().max()) * float(points.abs().max()) + 2 * terms * 2.0**-1074


def fired_mask(weight: Tensor, points: Tensor, bias: float) -> Tensor:
    """Where ⟨w_r, x_i⟩ > b (m, n), exactly: bool. ValueError for what is not finite float64."""
    for name, value in (("weight", weight), ("points", points)):
        if value.dtype != torch.float64 or value.ndim != 2 or not bool(torch.isfinite(value).all()):
            raise ValueError(f"`{name}` must be finite float64 with two axes, got {value.dtype} {tuple(value.shape)}")
    if weight.shape[1] != points.shape[1]:
        raise ValueError(f"`points` must have {weight.shape[1]} columns, got {points.shape[1]}")
    step = max(1, CHUNK_NUMBERS // len(points))
    keys = torch.cat([part @ points.t() for part in weight.split(step)])
    # what overflows on the way is near, too: NaN compares with nothing
    mask, near = keys > bias, ~((keys - bias).abs() > rounding(weight, points)) | ~torch.isfinite(keys)
    shift = rational(bias)
    for unit, point in near.nonzero().tolist():
        mask[unit, point] = _product(weight[unit], points[point]) > shift
    return mask


def _product(weight: Tensor, point: Tensor) -> fmpq:
    pairs = zip(weight.tolist(), point.tolist(), strict=True)
    return sum((rational(w) * rational(x) for w, x in pairs), fmpq(0))


def fired_set_eq(weight: Tensor, points: Tensor, bias: float, pairs: tuple[Tensor, Tensor]) -> Report:
    """Whether units and points (F,) are all pairs with ⟨w_r, x_i⟩ > b, each once."""
    mask = fired_mask(weight, points, bias)
    units, at = pairs
    if units.shape != at.shape or units.ndim != 1:
        return Report(f"pairs of shapes {tuple(units.shape)} and {tuple(at.shape)}")
    if units.dtype != torch.int64 or at.dtype != torch.int64:
        return Report(f"pairs of {units.dtype} and {at.dtype}, not of int64")
    if len(units) and (int(units.min()) < 0 or int(units.max()) >= len(mask)):
        return Report("a unit that does not exist")
    if len(at) and (int(at.min()) < 0 or int(at.max()) >= mask.shape[1]):
        return Report("a point that does not exist")
    place = units * mask.shape[1] + at
    said = torch.bincount(place, minlength=mask.numel()).view_as(mask)
    wrong = (said != mask).nonzero()
    if not len(wrong):
        return Report()
    unit, point = wrong[0].tolist()
    counted = int(said[unit, point])
    return Report(f"{len(wrong)} wrong pairs, the first is unit {unit} at point {point}, said {counted} times")


# --- nodes, counted by their own way: a level is where either child is hot ------------------------------------


def visited_nodes(mask: Tensor) -> int:
    """Nodes that a query of all trees compares when these leaves (m, n) are hot: Σ over the trees of 1 + 2H."""
    return mask.shape[1] + 2 * _inner(mask)


def written_nodes(units: Tensor, m: int) -> int:
    """Nodes of a tree over m leaves that are written when the leaves of distinct units change: |U| + H(U)."""
    mask = torch.zeros(m, 1, dtype=torch.bool, device=units.device)
    mask[units] = True
    return int(mask.sum()) + _inner(mask)


def _inner(mask: Tensor) -> int:
    """Inner nodes above a hot leaf, all trees together."""
    size, count = 1 << max(0, len(mask) - 1).bit_length(), 0
    level = torch.cat([mask, mask.new_zeros(size - len(mask), mask.shape[1])])
    while len(level) > 1:
        level = level.view(len(level) // 2, 2, -1).any(1)
        count += int(level.sum())
    return count
