"""Measured points: what a fit needs of them, and which of them are held out.

Main definition: `Points`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from constructions.errors import first_row, require_tensor, shown
from constructions.scaling_laws.law import require_chance, require_sizes

MOST_AXES = 4
LEAST_VALUES, LEAST_RANGE = 4, 4.0


@dataclass(frozen=True)
class Points:
    """`sizes` (N, k) and `errors` (N,), float64 on one device; `groups` (N,) numbers what was measured together.

    `axes` are the names by which errors call the axes.
    """

    sizes: Tensor
    errors: Tensor
    groups: Tensor
    chance: float
    axes: tuple[str, ...]

    @classmethod
    def of(cls, sizes: Any, errors: Any, groups: Any, chance: Any, axes: Sequence[str] | None = None) -> Points:
        """ValueError or TypeError naming `sizes`, `errors`, `groups`, `chance` or `axes`."""
        chance = require_chance(chance)
        sizes = require_sizes("sizes", sizes).detach()
        if not (len(sizes) and 1 <= sizes.shape[1] <= MOST_AXES):
            raise ValueError(
                f"`sizes` must have shape (N, k), N ≥ 1 and k from 1 to {MOST_AXES}, got {tuple(sizes.shape)}"
            )
        if not bool(torch.isfinite(sizes).all()):
            raise ValueError("`sizes` must be finite")
        require_tensor("errors", errors, "(N,)")
        if errors.shape != (len(sizes),):
            raise ValueError(f"`errors` must have shape ({len(sizes)},) like `sizes`, got {tuple(errors.shape)}")
        errors = errors.detach().to(sizes)
        wrong = ~((errors > 0) & (errors < chance) & torch.isfinite(errors))
        if bool(wrong.any()):
            row = first_row(wrong)
            what = "positive and finite" if chance == float("inf") else f"positive and below chance = {chance:g}"
            raise ValueError(f"`errors` must be {what}, got {float(errors[row]):g} at point {row}")
        named = isinstance(axes, (list, tuple)) and all(isinstance(name, str) for name in axes)
        if axes is not None and not (named and len(axes) == sizes.shape[1]):
            raise ValueError(f"`axes` must be {sizes.shape[1]} names, or None, got {shown(axes)}")
        names = tuple(axes) if axes is not None else tuple(str(axis) for axis in range(sizes.shape[1]))
        return cls(sizes, errors, numbered(groups, len(sizes)).to(sizes.device), chance, names)

    def __len__(self) -> int:
        return len(self.errors)

    def where(self, mask: Tensor) -> Points:
        """The points of a mask (N,)."""
        return Points(self.sizes[mask], self.errors[mask], self.groups[mask], self.chance, self.axes)

    def require_design(self) -> None:
        """ValueError unless all 2k + 1 constants can be fitted: enough points, values and range of every axis."""
        distinct = distinct_rows(self.sizes)[0]
        k = len(self.axes)
        if len(distinct) < 2 * k + 2:
            wanted = f"at least {2 * k + 2} different points to fit {2 * k + 1} constants"
            raise ValueError(f"`sizes` must have {wanted}, got {len(distinct)}")
        for axis, name in enumerate(self.axes):
            values = distinct[:, axis].unique()
            if len(values) < LEAST_VALUES:
                raise ValueError(
                    f"`sizes`: axis {name} has {len(values)} distinct value{'s' * (len(values) > 1)}; its exponent "
                    f"cannot be fitted with fewer than {LEAST_VALUES}; drop it or add runs"
                )
            if not values[-1] >= LEAST_RANGE * values[0]:
                raise ValueError(
                    f"`sizes`: axis {name} spans a factor of {float(values[-1] / values[0]):.3g}; its exponent cannot "
                    f"be fitted with less than {LEAST_RANGE:g}; drop it or add runs"
                )

    def require_apart(self, others: Points) -> None:
        """ValueError if a point to be predicted has sizes that are fitted: it would be known already."""
        known, number = distinct_rows(torch.cat([self.sizes, others.sizes]))
        seen = torch.zeros(2, len(known), dtype=torch.bool, device=number.device)
        seen[0, number[: len(self)]] = True
        seen[1, number[len(self) :]] = True
        if bool(seen.all(0).any()):
            point = known[seen.all(0)][0].tolist()
            raise ValueError(f"`held_out` must not have sizes that are fitted too, got {shown(point)} in both")


def distinct_rows(sizes: Tensor) -> tuple[Tensor, Tensor]:
    """The different rows (U, k) of sizes (N, k), in increasing order, and which of them each is (N,).

    What torch.unique(dim=0) does, by columns: ten times as fast."""
    number = torch.zeros(len(sizes), dtype=torch.int64, device=sizes.device)
    for column in sizes.T:
        values, place = torch.unique(column, return_inverse=True)
        number = torch.unique(number * len(values) + place, return_inverse=True)[1]
    rows = sizes.new_empty(int(number.max()) + 1 if len(sizes) else 0, sizes.shape[1])
    rows[number] = sizes
    return rows, number


def numbered(groups: Any, count: int) -> Tensor:
    """Numbers (N,) int64 of groups by their names: a tensor, a sequence, or None for N groups of one point."""
    if groups is None:
        return torch.arange(count)
    if isinstance(groups, (str, bytes)) or not isinstance(groups, (Tensor, Sequence)):
        raise TypeError(f"`groups` must be a tensor or a sequence of {count} names, got {type(groups).__name__}")
    if isinstance(groups, Tensor):
        require_tensor("groups", groups, f"({count},)")
    names = groups.tolist() if isinstance(groups, Tensor) else list(groups)
    if not isinstance(names, list) or len(names) != count:
        raise ValueError(f"`groups` must have one entry a point, {count}, got {shown(groups)}")
    numbers: dict[Any, int] = {}
    return torch.tensor([numbers.setdefault(str(name), len(numbers)) for name in names], dtype=torch.int64)


def marked(held_out: Any, count: int) -> Tensor:
    """`held_out` if it is a mask (N,) that leaves points to fit; none are marked for None."""
    if held_out is None:
        return torch.zeros(count, dtype=torch.bool)
    require_tensor("held_out", held_out, f"({count},)")
    if held_out.dtype != torch.bool or held_out.shape != (count,):
        raise ValueError(f"`held_out` must be bool of shape ({count},), got {held_out.dtype} {tuple(held_out.shape)}")
    if bool(held_out.all()):
        raise ValueError(f"`held_out` must leave points to fit, got all {count}")
    return held_out
