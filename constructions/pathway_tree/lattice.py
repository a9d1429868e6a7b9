"""Lattice coordinates of a partition of a box, and routing by rounding.

Routing happens on z_a = (x_a − lo_a)·(M_a/ℓ_a), where boundaries are integers and prototypes half-integers:
i_a = max(⌈z_a⌉ − 1, 0), ties to the lower cell.

Main definition: `Lattice`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from constructions.compiled import LEAST_NUMBERS, in_threads, loops, numbers_of, worth
from constructions.errors import require_device, require_instance, require_int, require_points, require_tensor, shown
from constructions.functions.box import Box
from constructions.pathway_tree.tree import require_cells

MAX_KNOTS = 1 << 32
MOST_NUMBERED = 1 << 53


def ceil_sqrt(value: Fraction) -> int:
    """The smallest integer K ≥ 1 with K² ≥ value."""
    if not isinstance(value, (int, Fraction)) or isinstance(value, bool):
        raise TypeError(f"`value` must be a Fraction, got {shown(value)}")
    return max(1, math.isqrt(math.ceil(value) - 1) + 1) if value > 0 else 1


@dataclass(frozen=True)
class Lattice:
    """q = len(cells) quantised axes (the first q of the domain) and, if knots > 0, a knot grid on the next."""

    domain: Box
    cells: tuple[int, ...]
    knots: int

    def __post_init__(self) -> None:
        require_instance("domain", self.domain, Box)
        object.__setattr__(self, "cells", require_cells(self.cells))
        require_int("knots", self.knots, 0)
        if self.q + (self.knots > 0) > self.domain.n:
            raise ValueError(
                f"`cells` and `knots` must fit the domain's {self.domain.n} axes, got {self.q} axes of cells"
                f"{' and one of knots' if self.knots else ''}"
            )

    @property
    def q(self) -> int:
        """How many axes the router cuts."""
        return len(self.cells)

    @cached_property
    def scale(self) -> tuple[float, ...]:
        """M/ℓ of the quantised axes, each rounded once: coordinates are (x − lo)·scale."""
        return tuple(float(m / s) for m, s in zip(self.cells, self.domain.sides[: self.q], strict=True))

    def coordinates(self, x: Tensor) -> Tensor:
        """Lattice coordinates z (B, q), float64, of points x (B, n)."""
        require_tensor("x", x, f"(B, {self.domain.n})")
        if x.ndim != 2 or x.shape[1] < self.q:
            raise ValueError(f"`x` must have shape (B, {self.domain.n}), got {tuple(x.shape)}")
        lo, scale, _ = self._rows(x.device)
        return (x[:, : self.q].double() - lo) * scale

    def index(self, z: Tensor) -> Tensor:
        """Leaf multi-indices (B, q), int64, by the index rule max(⌈z⌉ − 1, 0)."""
        self._require_rows("z", z)
        last = torch.tensor([m - 1 for m in self.cells], dtype=torch.int64, device=z.device)
        return torch.minimum((z.ceil() - 1).clamp(min=0).to(torch.int64), last)

    def leaf_numbers(self, x: Tensor) -> Tensor | None:
        """Flat ids (B,), int64, of the leaves of points x (B, n), found by compiled loops: the index rule's own
        operations. None where these are not at hand or not worth it, and when a point is not in the domain."""
        known = x.dtype in (torch.float64, torch.float32) and x.device.type == "cpu"
        if not known or not worth(x.numel()) or math.prod(self.cells) > MOST_NUMBERED:
            return None
        compiled, points = loops("constructions.pathway_tree.kernels"), numbers_of(x)
        if compiled is None or points is None:
            return None
        found = np.empty(len(x), np.int64)

        def part(start: int, end: int) -> bool:
            return compiled.leaf_numbers(*points, *self.arrays, found, start, end)

        return torch.from_numpy(found) if in_threads(part, len(x), LEAST_NUMBERS // self.domain.n) else None

    def centres(self, index: Tensor) -> Tensor:
        """Prototypes (B, q), float64, of leaf indices (B, q)."""
        self._require_rows("index", index)
        lo, _, width = self._rows(index.device)
        return lo + (index.double() + 0.5) * width

    def faces(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """Lower and upper ends (B, q), float64, of the boxes of leaf indices (B, q)."""
        self._require_rows("index", index)
        lo, _, width = self._rows(index.device)
        high = torch.tensor(self.domain.hi[: self.q], dtype=torch.float64, device=index.device)
        upper = lo + (index.double() + 1) * width
        last = torch.tensor(self.cells, dtype=torch.int64, device=index.device) - 1
        return lo + index.double() * width, torch.where(index == last, high, upper)

    def knot_positions(self, device: torch.device | str | None = None) -> Tensor:
        """The K + 1 nodes t_j of the resolved axis, float64; both ends of the domain included."""
        if not 1 <= self.knots <= MAX_KNOTS:
            raise ValueError(f"`knots` must be between 1 and {MAX_KNOTS} to be listed, got {shown(self.knots)}")
        device = require_device("device", device)
        lo, hi = self.domain.lo[self.q], self.domain.hi[self.q]
        steps = torch.arange(self.knots + 1, dtype=torch.float64, device=device)
        t = lo + steps * (float(self.domain.sides[self.q]) / self.knots)
        t[-1] = hi
        return t

    def offset_from_nodes(self, x: Tensor) -> Tensor:
        """x minus the nearest node (c, t_j), axis by axis (B, n); exactly 0 at the float64 nodes."""
        require_points("x", x, self.domain.n)
        centre = self.centres(self.index(self.coordinates(x)))
        offsets = [x[:, : self.q].double() - centre]
        if self.knots:
            t = self.knot_positions(x.device)
            resolved = x[:, self.q].double()
            right = torch.searchsorted(t, resolved.contiguous()).clamp(1, self.knots)
            gap = torch.minimum((resolved - t[right - 1]).abs(), (t[right] - resolved).abs())
            offsets.append(gap[:, None])
        return torch.cat(offsets, dim=-1).to(x.dtype)

    def _require_rows(self, name: str, rows: Tensor) -> None:
        require_tensor(name, rows, f"(B, {self.q})")
        if rows.ndim != 2 or rows.shape[1] != self.q:
            raise ValueError(f"`{name}` must have shape (B, {self.q}), got {tuple(rows.shape)}")

    def _rows(self, device: torch.device | str | None) -> tuple[Tensor, Tensor, Tensor]:
        """(lo, M/ℓ, ℓ/M) as float64 (q,) tensors, each entry rounded once from its exact value."""
        rows = torch.tensor([self.domain.lo[: self.q], self.scale, self._width], dtype=torch.float64, device=device)
        return rows[0], rows[1], rows[2]

    @cached_property
    def _width(self) -> tuple[float, ...]:
        """ℓ/M of the quantised axes."""
        return tuple(float(s / m) for m, s in zip(self.cells, self.domain.sides[: self.q], strict=True))

    @cached_property
    def arrays(self) -> tuple[np.ndarray, ...]:
        """(lo, hi, scale, cells) for compiled code: of all n axes, and of the q quantised ones."""
        floats = (np.array(part, dtype=np.float64) for part in (self.domain.lo, self.domain.hi, self.scale))
        return (*floats, np.array(self.cells, dtype=np.int64))
