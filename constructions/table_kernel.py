"""Reading a table of node values: the places of points in torch's operations, and a CPU kernel of the extra `fast`.

Main definitions: `Places`, `run`.
Implementation notes: the kernel (numba) works in blocks of 1024 points, whose places stay in the nearest cache, and
without Python's lock, so that threads share the points (`constructions.compiled`). Both ways are the same IEEE
operations in the same order: equal bits.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd import forward_ad

from constructions.compiled import in_threads
from constructions.functions.box import Box
from constructions.nodes import NodeAxis

LEAST_POINTS = 1 << 15
"""Points that are worth a thread."""
MOST_AXES = 1
"""Resolved axes that the kernel knows."""
DTYPES = (torch.float64, torch.float32)


@dataclass(frozen=True)
class Places:
    """Where points lie in a table: q routed axes of `leaf_cells`, then k resolved axes of `cells`, all by
    (x − lo)·scale in float64."""

    lo: tuple[float, ...]
    hi: tuple[float, ...]
    scale: tuple[float, ...]
    leaf_cells: tuple[int, ...]
    cells: tuple[int, ...]

    @classmethod
    def of(cls, domain: Box, leaf_cells: Sequence[int], scale: Sequence[float], axes: Sequence[NodeAxis]) -> Places:
        lo = (*domain.lo[: len(leaf_cells)], *(axis.lo for axis in axes))
        return cls(
            lo, domain.hi, (*scale, *(axis.scale for axis in axes)), tuple(leaf_cells), tuple(a.cells for a in axes)
        )

    def leaves(self, x: Tensor) -> Tensor:
        """Rows of experts (B,), int64, by the index rule of the lattice."""
        row = torch.zeros(x.shape[0], dtype=torch.int64, device=x.device)
        for a, count in enumerate(self.leaf_cells):
            if count > 1:
                z = (x[:, a].double() - self.lo[a]) * self.scale[a]
                row = row * count + (z.ceil() - 1).long().clamp(0, count - 1)
        return row

    def nodes(self, x: Tensor, row: Tensor) -> tuple[Tensor, list[Tensor], list[Tensor]]:
        """Rows (B,) of the table at the first vertex of each point's piece and at the following ones, and the shares
        (B,) in [0, 1] of the ways from one to the next."""
        q = len(self.leaf_cells)
        places, shares = [], []
        for i, cells in enumerate(self.cells):
            z = ((x[:, q + i].double() - self.lo[q + i]) * self.scale[q + i]).clamp(0, cells)
            place = z.floor().long().clamp(0, cells - 1)
            places.append(place)
            shares.append(z - place)
        if len(places) < 2:
            for place, cells in zip(places, self.cells, strict=True):
                row = row * (cells + 1) + place
            return row, [row + 1 for _ in places], shares
        return self._simplex(row, torch.stack(places, 1), torch.stack(shares, 1))

    def _simplex(self, row: Tensor, place: Tensor, share: Tensor) -> tuple[Tensor, list[Tensor], list[Tensor]]:
        """From the vertex with even coordinates one axis after the other, that of the largest share first."""
        odd = place % 2 == 1
        share = torch.where(odd, 1 - share, share)
        start, way = place + odd.long(), 1 - 2 * odd.long()
        strides = [1]
        for cells in reversed(self.cells[1:]):
            strides.insert(0, strides[0] * (cells + 1))
        first = row * (strides[0] * (self.cells[0] + 1))
        for i, stride in enumerate(strides):
            first = first + start[:, i] * stride
            way[:, i] *= stride
        share, order = share.sort(dim=1, descending=True, stable=True)
        steps, at = [], first
        for number in range(len(strides)):
            at = at + way.gather(1, order[:, number : number + 1])[:, 0]
            steps.append(at)
        return first, steps, list(share.unbind(1))


def run(x: Tensor, table: Tensor, places: Places) -> Tensor | None:
    """Interpolated values (B, m) at x (B, n) on the CPU; None where the kernel is not installed or does not know such
    points or tables, and when a point lies outside the domain or is NaN."""
    known = len(places.cells) <= MOST_AXES and x.dtype in DTYPES and x.device.type == "cpu"
    work, points = (kernel(), _plain(x)) if known else (None, None)
    if work is None or points is None:
        return None
    m = table.shape[-1]
    # numpy asks the system for large pages, which are there sooner than torch's small ones
    y = np.empty(len(x) * m, dtype=np.float64 if table.dtype == torch.float64 else np.float32)
    last = [float(count - 1) for count in places.leaf_cells]
    arrays = (np.array(part, dtype=np.float64) for part in (places.lo, places.hi, places.scale, last, places.cells))
    arguments = (
        points,
        y,
        table.detach().numpy().reshape(-1),
        m,
        *arrays,
    )

    def part(start: int, end: int) -> bool:
        return not work(*arguments, start, end)

    return torch.from_numpy(y).reshape(-1, m) if in_threads(part, len(x), LEAST_POINTS) else None


def _plain(x: Tensor) -> np.ndarray | None:
    """The numbers of x, None where a transform has wrapped them or a derivative travels with them."""
    if forward_ad.unpack_dual(x).tangent is not None:
        return None
    try:
        return x.detach().contiguous().numpy()
    except RuntimeError:
        return None


@cache
def kernel() -> Callable[..., Any] | None:
    """The compiled kernel, None (said once) without numba."""
    try:
        from constructions.table_loops import interpolate
    except ImportError:
        warnings.warn(
            "numba is not installed: tables are read with torch's operations, several times slower "
            "(pip install 'momlp[fast]')",
            stacklevel=4,
        )
        return None
    return interpolate
