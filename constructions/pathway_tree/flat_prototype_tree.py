"""`FlatPrototypeTree`: a routing tree over prototypes as arrays in which a node's children are neighbours.

A node with children p_0 … p_{m−1} keeps, for c ≥ 1, the normal 2(p_c − p_0) and the offset |p_c|² − |p_0|² of the
bisector of p_0 and p_c, prototypes taken from a `centre`. A point x, taken from the centre too, has
H_c = |x − p_c|² − |x − p_0|² = offset − normal·x: n products a child instead of 3n operations a child, p_0 included.
The smallest of 0, H_1, … is the nearest child; where the two smallest are within `margin`, or x is farther than `reach`
from the centre along an axis, the point goes down the tree again by `PrototypeTree.route`'s own arithmetic.

Main definition: `FlatPrototypeTree`.
Main statement: the leaves are those of `PrototypeTree.route`, for every point. Let u = 2⁻⁵³ and |x_a|, |p_a| ≤ r.
(1) H_c is wrong by at most u·n·r²·(7n + 19), to first order in u: normals and moved points are rounded once each, and
Σ_a |normal_a||x_a| ≤ 4nr², which makes 8nr²·u; an offset, a difference of two sums of n squares below nr², is right to
2(n + 3)nr²·u; n + 1 terms of at most 5nr² in sum, added in any order and fused or not, to 5(n + 1)nr²·u.
(2) `squared_distances` is right to (n + 2)·u of a distance of at most 4nr². So where two computed H differ by more than
2·(1) + 2·(2) = u·n·r²·(22n + 54), the two `squared_distances` differ the same way. `margin` is more than twice that,
64·(n + 4)·u·n·r² + 2⁻⁹⁰⁰: room for higher orders, for the rounding of the difference itself, and for underflow.
(3) Ties, and all that is nearer, are decided by the operations of `squared_distances` in their order, unfused, and the
first child wins: children keep their order, and squares that overflow are cut to the largest number in both.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from constructions.arrays import Array, as_given, on_device, tensor_of
from constructions.errors import first_row, require_device, require_points
from constructions.fixed_order import squared_distances
from constructions.pathway_tree.flat_tree import kernels

CHUNK_BYTES = 1 << 24
MOST_AXES = 1 << 20
REACH = 8.0  # times the farthest prototype's distance from the centre along an axis
FARTHEST = 2.0**400  # beyond, squares might overflow
LARGEST = torch.finfo(torch.float64).max


def require_queries(x: Any, prototypes: Tensor) -> Tensor:
    """`x` (B, n) as float64 on the device of prototypes (V, n); NaN is nearest to nothing."""
    points = _shaped(x, prototypes)
    bad = torch.isnan(points).any(-1)
    if bool(bad.any()):
        row = first_row(bad)
        raise ValueError(f"`x` must not be NaN, row {row} is {points[row].tolist()}")
    return points


def _shaped(x: Any, prototypes: Tensor) -> Tensor:
    points = require_points("x", tensor_of("x", x), prototypes.shape[1]).double()
    points = on_device(points, x, prototypes.device)
    if points.device != prototypes.device:
        raise ValueError(f"`x` must be on the tree's device {prototypes.device}, got {points.device}")
    return points


class FlatPrototypeTree:
    """`prototypes` (V, n) in breadth-first order, the children of node k from `first[k]` on, `count[k]` of them.

    `leaf` (V,) are leaf ids, −1 at inner nodes. Made by `PrototypeTree.flatten` of its `prototypes` (V, n), `children`
    (V, v) and `leaf_of_node` (V,), which it has checked.
    """

    def __init__(self, prototypes: Tensor, children: Tensor, leaf_of_node: Tensor):
        self.valency = children.shape[1]
        order, self.height = _breadth_first(children)
        self.prototypes = prototypes.double()[order].contiguous()
        self.leaf = leaf_of_node[order]
        self.count = (children >= 0).sum(1)[order]
        self.first = 1 + self.count.cumsum(0) - self.count
        self._arrays = self._bisectors() if prototypes.device.type == "cpu" else None

    @property
    def n(self) -> int:
        return self.prototypes.shape[1]

    @property
    def num_nodes(self) -> int:
        return len(self.prototypes)

    def to(self, device: torch.device | str) -> FlatPrototypeTree:
        """The same tree on `device`."""
        place = require_device("device", device)
        child = torch.arange(self.valency, device=self.first.device)
        children = torch.where(child < self.count[:, None], self.first[:, None] + child, -1)
        return FlatPrototypeTree(self.prototypes.to(place), children.to(place), self.leaf.to(place))

    def route(self, x: Array) -> Array:
        """Leaf ids (B,), int64, of points (B, n): those of `PrototypeTree.route`."""
        return as_given(self._route(_shaped(x, self.prototypes).detach().contiguous()), x)

    def _route(self, points: Tensor) -> Tensor:
        compiled = kernels() if self._arrays is not None else None
        if compiled is None:
            return self.descend(points)
        assert self._arrays is not None
        bisectors, exact = self._arrays
        values, found = points.numpy(), np.empty(len(points), dtype=np.int64)
        compiled.in_threads(compiled.descend_bisectors, values, *bisectors, found=found)
        unsure = np.flatnonzero(found < 0)
        if len(unsure):
            if np.isnan(values[unsure]).any():  # within no distance of the centre, so among these
                require_queries(points, self.prototypes)
            decided = np.empty(len(unsure), dtype=np.int64)
            compiled.in_threads(compiled.descend_prototypes, values[unsure], *exact, found=decided)
            found[unsure] = decided
        return torch.from_numpy(found)

    def descend(self, x: Tensor) -> Tensor:
        """`route` in torch operations, on any device."""
        points = require_queries(x, self.prototypes)
        rows = max(1, CHUNK_BYTES // (8 * self.valency * self.n))
        return torch.cat([self._descend(part) for part in points.split(rows)])

    def _descend(self, x: Tensor) -> Tensor:
        """Points (B, n) in one part."""
        node = torch.zeros(len(x), dtype=torch.int64, device=x.device)
        child = torch.arange(self.valency, device=x.device)
        for _ in range(self.height):
            first, count = self.first[node], self.count[node]
            below = (first[:, None] + child).clamp(max=self.num_nodes - 1)
            # squares that overflow are as far as one another, and nearer than a child that is not there
            distance = squared_distances(x, self.prototypes[below]).clamp(max=LARGEST)
            nearest = distance.masked_fill(child >= count[:, None], math.inf).argmin(-1)
            node = torch.where(count > 0, first + nearest, node)
        return self.leaf[node]

    def _bisectors(self) -> tuple[tuple, tuple]:
        """What the compiled descents need: along bisectors, and by squared distances."""
        low, high = self.prototypes.amin(0), self.prototypes.amax(0)
        centre = low + (high - low) / 2
        moved = self.prototypes - centre
        reach = REACH * float(moved.abs().max())
        known = reach <= FARTHEST and self.n <= MOST_AXES
        margin = 64 * (self.n + 4) * 2.0**-53 * self.n * reach * reach + 2.0**-900 if known else math.inf
        others = (self.count - 1).clamp(min=0)
        begin = others.cumsum(0) - others
        node = torch.repeat_interleave(others)
        nearest = self.first[node]
        other = nearest + 1 + torch.arange(len(node)) - begin[node]
        normal = 2 * (self.prototypes[other] - self.prototypes[nearest])
        squares = moved.square().sum(1)
        first, count, begin = (t.to(torch.int32).numpy().view(np.uint32) for t in (self.first, self.count, begin))
        leaf = self.leaf.numpy()
        offset = squares[other] - squares[nearest]
        bisectors = (centre.numpy(), reach, margin, first, count, begin, normal.numpy(), offset.numpy(), leaf)
        return bisectors, (self.prototypes.numpy(), first, count, leaf)

    def __repr__(self) -> str:
        return f"FlatPrototypeTree(n={self.n}, nodes={self.num_nodes}, height={self.height})"


def _breadth_first(children: Tensor) -> tuple[Tensor, int]:
    """The nodes (V,) level by level, siblings together and in order, and how many levels there are below the root."""
    levels = [torch.zeros(1, dtype=torch.int64, device=children.device)]
    while len(levels[-1]):
        below = children[levels[-1]]
        levels.append(below[below >= 0])
    return torch.cat(levels), len(levels) - 2
