"""`FlatTree`: a lattice's routing tree as arrays, for routing many points fast.

Nodes are numbered breadth first. Node k compares coordinate `axis[k]` with `bound[k]` (v − 1 increasing numbers, +∞
where it has fewer children): a point goes on to node `first[k]` + how many of them are below its coordinate. A leaf has
no finite bound and `first[k]` = k, so that a point stays there; after `height` steps all points are at leaves.

Main definitions: `FlatTree`, `kernels`, `require_coordinates`.
Main statement: `FlatTree.route` gives the leaves of `PathwayTree.route`, by its flat index, at every float64 point. By
induction over steps the node reached is the index box that `PathwayTree.route` holds: both choose the widest axis, the
first one on ties, from the same integers, and count the same integer boundaries β < z, exact in float64; z = β belongs
to the child before it in both. A box of single cells has no boundary and stays in both. Points outside the domain go to
the cells at its sides, and NaN and inf are refused by the same `require_coordinates`.
Implementation notes: on the CPU the steps are compiled by numba where it is installed (the extra `fast`), else and on
other devices they are torch operations. Both give the same leaves: they only copy, compare and count.
"""

from __future__ import annotations

import importlib
import math
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from constructions.arrays import Array, as_given, on_device, tensor_of
from constructions.errors import first_row, require_device, require_instance, require_int, require_tensor, shown

ROWS_ON_CPU, ROWS_ELSEWHERE = 1 << 13, 1 << 22  # of torch operations at a time: the first stay in the cache


@cache
def kernels() -> ModuleType | None:
    """The compiled steps; None, with one warning in a process, where numba cannot be imported."""
    try:
        return importlib.import_module("constructions.pathway_tree.kernels")
    except ImportError as err:
        warnings.warn(f"routing in torch operations: install momlp[fast] for compiled ones ({err})", stacklevel=3)
        return None


def require_coordinates(z: Any, q: int) -> Tensor:
    """`z` (B, q) as float64; TypeError or ValueError when it is of another kind or shape, or not finite."""
    z = _shaped(z, q)
    bad = ~torch.isfinite(z).all(-1)
    if bool(bad.any()):
        row = first_row(bad)
        raise ValueError(f"`z` must be finite, row {row} is {z[row].tolist()}")
    return z


def _shaped(z: Any, q: int) -> Tensor:
    z = require_tensor("z", tensor_of("z", z), f"(B, {q})")
    if z.ndim != 2 or z.shape[1] != q:
        raise ValueError(f"`z` must have shape (B, {q}), got {tuple(z.shape)}")
    return z.double()


@dataclass(frozen=True, eq=False)
class FlatTree:
    """`axis` (V,) and `first` (V,) int32, `bound` (V, v − 1) float64, `leaf` (V,) int64: flat leaf ids, −1 elsewhere.

    `q` coordinates, `height` steps. ValueError for arrays that do not fit each other, or lead out of them.
    """

    axis: Tensor
    bound: Tensor
    first: Tensor
    leaf: Tensor
    q: int
    height: int

    def __post_init__(self) -> None:
        require_int("q", self.q, 0)
        require_int("height", self.height, 0)
        kinds = {"axis": torch.int32, "bound": torch.float64, "first": torch.int32, "leaf": torch.int64}
        count = len(require_instance("first", self.first, Tensor))
        for name, dtype in kinds.items():
            value = require_instance(name, getattr(self, name), Tensor)
            fits = value.ndim == 1 + (name == "bound") and len(value) == count and value.is_contiguous()
            if not fits or not count or value.dtype != dtype or value.device != self.first.device:
                wanted = f"{count} contiguous rows of {dtype} on {self.first.device}"
                raise ValueError(f"`{name}` must be {wanted}, got {value.dtype} {tuple(value.shape)}")
        # also what keeps compiled code, which does not look, inside the arrays
        last = self.first.long() + (self.bound < math.inf).sum(1)
        if bool(((self.first < 0) | (last >= count)).any()):
            raise ValueError(
                f"`first` must lead to nodes 0 … {count - 1}, got {int(self.first.min())} … {int(last.max())}"
            )
        if self.height and bool(((self.axis < 0) | (self.axis >= self.q)).any()):
            raise ValueError(f"`axis` must be 0 … {self.q - 1}, got {shown(self.axis.unique().tolist())}")

    @classmethod
    def of(cls, cells: tuple[int, ...], valency: int, device: torch.device) -> FlatTree:
        """The arrays of the tree over `cells`, level by level, all nodes of a level together."""
        levels = list(_levels(torch.tensor([cells], dtype=torch.int64, device=device), valency))
        axis, bound, first, leaf = (torch.cat(parts) for parts in zip(*levels, strict=True))
        return cls(axis.int(), bound, first.int(), leaf, len(cells), len(levels) - 1)

    @property
    def num_nodes(self) -> int:
        return len(self.first)

    @property
    def nbytes(self) -> int:
        """Bytes of the arrays."""
        return sum(t.nbytes for t in (self.axis, self.bound, self.first, self.leaf))

    def to(self, device: torch.device | str) -> FlatTree:
        """The same arrays on `device`."""
        place = require_device("device", device)
        moved = {name: getattr(self, name).to(place) for name in ("axis", "bound", "first", "leaf")}
        return replace(self, **moved)

    def route(self, z: Array) -> Array:
        """Flat leaf ids (B,), int64, of points in lattice coordinates z (B, q): `PathwayTree.flat_index` of its
        `route`."""
        return as_given(self._route(on_device(_shaped(z, self.q), z, self.first.device)), z)

    def _route(self, z: Tensor) -> Tensor:
        points = z.detach().contiguous()
        if points.device != self.first.device:
            raise ValueError(f"`z` must be on the tree's device {self.first.device}, got {points.device}")
        compiled = kernels() if points.device.type == "cpu" else None
        if compiled is None:
            return self.descend(points)
        found = torch.empty(len(points), dtype=torch.int64)
        axis, first = (t.numpy().view("uint32") for t in (self.axis, self.first))
        arrays = (axis, self.bound.numpy(), first, self.leaf.numpy(), self.height)
        compiled.in_threads(compiled.descend_lattice, points.numpy(), *arrays, found=found.numpy())
        if len(found) and int(found.min()) < 0:  # of points that are not finite
            require_coordinates(points, self.q)
        return found

    def descend(self, z: Tensor) -> Tensor:
        """`route` in torch operations, on any device."""
        points = require_coordinates(z, self.q).detach().contiguous()
        rows = ROWS_ON_CPU if points.device.type == "cpu" else ROWS_ELSEWHERE
        return torch.cat([self._descend(part) for part in points.split(rows)])

    def _descend(self, z: Tensor) -> Tensor:
        """Points (B, q) in one part."""
        values, bounds, width = z.flatten(), self.bound.flatten(), self.bound.shape[1]
        row = torch.arange(len(z), device=z.device) * self.q
        node = torch.zeros(len(z), dtype=torch.int32, device=z.device)
        for _ in range(self.height):
            value = values.index_select(0, row + self.axis.index_select(0, node))
            child = self.first.index_select(0, node)
            for j in range(width):
                child = child + (value > bounds.index_select(0, node * width + j))
            node = child
        return self.leaf.index_select(0, node)

    def __repr__(self) -> str:
        return f"FlatTree(q={self.q}, nodes={self.num_nodes}, height={self.height})"


def _levels(cells: Tensor, valency: int) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor]]:
    """(axis, bound, first, leaf) of the nodes of each depth; `cells` (1, q) are the widths of the root."""
    width, start, nodes = cells, torch.zeros_like(cells), 0
    rank = torch.arange(1, valency, device=cells.device)
    stride = torch.ones_like(cells[0])
    for a in reversed(range(cells.shape[1] - 1)):
        stride[a] = stride[a + 1] * cells[0, a + 1]
    while len(width):
        # as `PathwayTree.route` does: the widest axis, the first one on ties
        widest, axis = _widest(width)
        count = widest.clamp(max=valency)
        base, extra = widest // count, widest % count
        begin = _at(start, axis)
        bound = (begin + base * rank + torch.minimum(rank, extra)).double().masked_fill(rank >= count, math.inf)
        leaf = torch.where(widest[:, 0] > 1, -1, (start * stride).sum(1))
        count = torch.where(widest > 1, count, 0)[:, 0]
        below = nodes + len(width) + count.cumsum(0) - count
        own = nodes + torch.arange(len(width), device=cells.device)
        yield axis[:, 0], bound, torch.where(count > 0, below, own), leaf
        nodes += len(width)
        parent = torch.repeat_interleave(count)
        place = (torch.arange(len(parent), device=cells.device) - (count.cumsum(0) - count)[parent])[:, None]
        base, extra, axis = base[parent], extra[parent], axis[parent]
        first = begin[parent] + place * base + torch.minimum(place, extra)
        if not len(parent):
            return
        start, width = (
            start[parent].scatter(1, axis, first),
            width[parent].scatter(1, axis, base + (place < extra).long()),
        )


def _widest(width: Tensor) -> tuple[Tensor, Tensor]:
    """(N, 1) each: the largest of the widths (N, q), 1 for q = 0, and its axis."""
    if not width.shape[1]:
        return width.new_ones(len(width), 1), width.new_zeros(len(width), 1)
    return width.max(dim=1, keepdim=True)


def _at(start: Tensor, axis: Tensor) -> Tensor:
    return start.gather(1, axis) if start.shape[1] else torch.zeros_like(axis)
