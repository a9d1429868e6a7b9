"""`PathwayTree`: the routing tree over a lattice of cells, as an implicit object and as a networkx graph.

Coordinates are lattice units: cell i of an axis is (i, i+1], its prototype i + 1/2. A node is an index box; it
splits the axis with most cells (lowest axis on ties) into v consecutive ranges, wider ones first, and each child
carries a prototype such that the bisectors of neighbouring prototypes are the integer boundaries. Nearest child
prototype = the child whose box contains z, at any depth, because children share every other coordinate.

Main definitions: `PathwayTree`, `IndexBox`.
Main statements: `route` (tree), `Lattice.index` (index rule) and `nearest_leaf` (brute force) agree at every
float64 z; `height` = Σ_a ⌈log_v M_a⌉. A split depends on the width of its own axis alone, so paths are sums of paths
along single axes.
Implementation notes: all prototypes are half-integers, stored exactly. Trees with more leaves than int64 can count
are handled through their widths and box shapes (`height`, `max_path_children`, `shapes`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from fractions import Fraction
from functools import lru_cache
from typing import Any

import networkx as nx
import numpy as np
import torch
from torch import Tensor

from constructions.arrays import Array, as_given, tensor_of
from constructions.errors import (
    BudgetExceeded,
    require_choice,
    require_cloud,
    require_device,
    require_int,
    require_positive,
    require_seed,
    require_tensor,
    shown,
)
from constructions.fixed_order import squared_distances
from constructions.functions.box import MAX_AXES
from constructions.pathway_tree import prototype_tree
from constructions.pathway_tree.flat_tree import FlatTree, require_coordinates
from constructions.pathway_tree.nets import farthest_point, kmeans_centres
from constructions.pathway_tree.prototype_tree import PrototypeTree, arrange
from constructions.pathway_tree.splits import child_widths, first_offset

MAX_VALENCY = 8
DEFAULT_NODE_BUDGET = 200_000
CHUNK_BYTES = 1 << 26
MAX_CELLS_BITS = 1 << 14  # of the number of leaves: more could not even be printed
MAX_LISTED_BYTES = 1 << 33
MAX_SHAPES = 200_000
NET_METHODS = ("farthest_point", "kmeans")

IndexBox = tuple[tuple[int, int], ...]
"""One (first, last + 1) pair of cell indices for every axis."""


class PathwayTree:
    """The v-ary routing tree of a lattice with `cells` = (M_1, …, M_q) cells an axis (q = 0: a single leaf).

    `valency` is 2 … 8. Points are given in lattice coordinates z (B, q), float64; leaves are multi-indices (B, q).
    """

    def __init__(self, cells: Sequence[int], *, valency: int = 2):
        self.cells = require_cells(cells)
        self.valency = require_int("valency", valency, 2, MAX_VALENCY)

    @classmethod
    def from_points(
        cls,
        points: Tensor | np.ndarray,
        *,
        delta: float | None = None,
        leaves: int | None = None,
        valency: int = 2,
        method: str = "farthest_point",
        seed: int = 0,
    ) -> PrototypeTree:
        """A routing tree over a net of a point cloud (N, n), for data that no lattice fits.

        "farthest_point" stops at covering radius `delta` or at `leaves` points (give one of them), its leaves are
        points of the cloud more than the covering radius apart; "kmeans" gives at most `leaves` means (scikit-learn,
        `seed`). `valency` is 2 … 64. Measure radius and separation with `theory.covering_net`. ValueError for points
        that are not finite, or fewer distinct points than `leaves`."""
        require_choice("method", method, NET_METHODS)
        cloud = require_cloud("points", tensor_of("points", points))
        require_seed("seed", seed)
        require_int("valency", valency, 2, prototype_tree.MAX_VALENCY)
        if (delta is None) == (leaves is None):
            raise ValueError(
                f"give exactly one of `delta` and `leaves`, got delta = {shown(delta)}, leaves = {shown(leaves)}"
            )
        if leaves is not None:
            require_int("leaves", leaves, 1, len(cloud))
        if delta is not None:
            require_positive("delta", delta)
        if method == "kmeans":
            if leaves is None:
                raise ValueError(f"`leaves` is needed for method='kmeans', got delta = {delta}")
            return arrange(kmeans_centres(cloud, leaves, seed), valency=valency)[0]
        chosen = farthest_point(cloud, delta=float(delta or 0.0), leaves=leaves).chosen
        if leaves is not None and len(chosen) < leaves:
            raise ValueError(f"`leaves` must be at most the {len(chosen)} distinct points, got {leaves}")
        return arrange(cloud[chosen], valency=valency)[0]

    @property
    def q(self) -> int:
        """How many axes the tree cuts."""
        return len(self.cells)

    @property
    def num_leaves(self) -> int:
        """The product of the cells of all axes."""
        return math.prod(self.cells)

    @property
    def root(self) -> IndexBox:
        """The node that holds all cells: [0, m) on every axis of m cells."""
        return tuple((0, m) for m in self.cells)

    # --- one node ---

    def is_leaf(self, node: IndexBox) -> bool:
        """Whether a node holds a single cell; ValueError for anything that is no node of this tree."""
        self._require_node(node)
        return all(b - a == 1 for a, b in node)

    def split_axis(self, node: IndexBox) -> int:
        """The axis with most cells, lowest index on ties."""
        self._require_node(node)
        if not self.q:
            raise ValueError(f"`node` must be an inner node, got {shown(node)}: the tree is a single leaf")
        return max(range(self.q), key=lambda a: (node[a][1] - node[a][0], -a))

    def children(self, node: IndexBox) -> list[IndexBox]:
        """The children from left to right; [] for a leaf."""
        if self.is_leaf(node):
            return []
        axis = self.split_axis(node)
        start, end = node[axis]
        boxes = []
        for width in child_widths(end - start, self.valency):
            boxes.append((*node[:axis], (start, start + width), *node[axis + 1 :]))
            start += width
        return boxes

    def child_prototypes(self, node: IndexBox) -> list[tuple[Fraction, ...]]:
        """Prototypes of `children(node)`: q half-integers (exact) each."""
        boxes = self.children(node)
        if not boxes:
            raise ValueError(f"`node` must be an inner node, got the leaf {shown(node)}")
        axis = self.split_axis(node)
        centre = [Fraction(a + b, 2) for a, b in node]
        position = boxes[0][axis][1] - first_offset([b[axis][1] - b[axis][0] for b in boxes])
        prototypes = []
        for box in boxes:
            prototypes.append((*centre[:axis], position, *centre[axis + 1 :]))
            position = 2 * box[axis][1] - position
        return prototypes

    def _require_node(self, node: IndexBox) -> None:
        """TypeError or ValueError when `node` is no index box of q pairs first < last + 1."""
        pairs = node if isinstance(node, tuple) else ()
        ints = all(isinstance(p, tuple) and len(p) == 2 and all(type(end) is int for end in p) for p in pairs)
        if not isinstance(node, tuple) or not ints:
            raise TypeError(f"`node` must be a tuple of pairs (first, last + 1) of integers, got {shown(node)}")
        if len(pairs) != self.q or not all(first < end for first, end in pairs):
            raise ValueError(f"`node` must be {self.q} pairs (first, last + 1), first < last + 1, got {shown(node)}")

    # --- routing ---

    def route(self, z: Array) -> Array:
        """Leaf indices (B, q), int64, by descending the tree: all points one level at a time; an array for an array.

        At an inner node z is compared with the node's integer boundaries (right=False: a boundary belongs to the
        child before it).
        """
        return as_given(self._route(require_coordinates(z, self.q)), z)

    def _route(self, z: Tensor) -> Tensor:
        start = torch.zeros(z.shape[0], self.q, dtype=torch.int64, device=z.device)
        width = start + torch.tensor(self.cells, dtype=torch.int64, device=z.device)
        ranks = torch.arange(1, self.valency, device=z.device)
        for _ in range(self.height):
            widest, axis = width.max(dim=1, keepdim=True)
            count = widest.clamp(max=self.valency)
            base, extra = widest // count, widest % count
            begin = start.gather(1, axis)
            # boundaries β_j = begin + j·base + min(j, extra); those past the last child are pushed to the end
            boundaries = begin + ranks * base + torch.minimum(ranks, extra)
            boundaries = torch.where(ranks < count, boundaries.double(), math.inf)
            child = torch.searchsorted(boundaries, z.gather(1, axis), right=False)
            start = start.scatter(1, axis, begin + child * base + torch.minimum(child, extra))
            width = width.scatter(1, axis, base + (child < extra).long())
        return start

    def path(self, z: Tensor) -> list[IndexBox]:
        """Nodes from the root to the leaf of one point z (q,), by nearest child prototype in exact arithmetic."""
        require_tensor("z", z, f"({self.q},)")
        if z.shape != (self.q,):
            raise ValueError(f"`z` must have shape ({self.q},), got {tuple(z.shape)}")
        point = [Fraction(v) for v in require_coordinates(z[None], self.q)[0].tolist()]
        nodes = [self.root]
        while boxes := self.children(nodes[-1]):
            prototypes = self.child_prototypes(nodes[-1])
            distances = [sum((a - b) ** 2 for a, b in zip(point, p, strict=True)) for p in prototypes]
            nodes.append(boxes[distances.index(min(distances))])
        return nodes

    def nearest_leaf(self, z: Array, *, max_leaves: int = 1 << 22) -> Array:
        """Leaf indices (B, q) by brute force, ties to the lowest; BudgetExceeded above `max_leaves`."""
        require_int("max_leaves", max_leaves, 1)
        points = require_coordinates(z, self.q)
        if self.num_leaves > max_leaves:
            raise BudgetExceeded(
                f"`nearest_leaf` compares with all {self.num_leaves} leaves, more than max_leaves = {max_leaves}"
            )
        leaves = self.leaf_indices(points.device)
        prototypes = leaves.double() + 0.5
        rows = max(1, CHUNK_BYTES // (8 * max(1, prototypes.numel())))
        found = [squared_distances(part, prototypes).argmin(-1) for part in points.split(rows)]
        return as_given(leaves[torch.cat(found)] if found else leaves[:0], z)

    def leaf_indices(self, device: torch.device | str | None = None) -> Tensor:
        """All leaf multi-indices (L, q), int64, in lexicographic order; BudgetExceeded for too many of them."""
        device = require_device("device", device)
        if 8 * self.num_leaves * max(1, self.q) > MAX_LISTED_BYTES:
            raise BudgetExceeded(
                f"{_count(self.num_leaves)} leaf indices of {self.q} numbers take more than {MAX_LISTED_BYTES} bytes: "
                "use route, or multi-indices"
            )
        if not self.q:
            return torch.zeros(1, 0, dtype=torch.int64, device=device)
        axes = [torch.arange(m, device=device) for m in self.cells]
        return torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).reshape(-1, self.q)

    def flat_index(self, leaf: Tensor) -> Tensor:
        """Lexicographic ids (B,) of leaf indices (B, q); BudgetExceeded when L exceeds int64."""
        if self.num_leaves >= 2**63:
            raise BudgetExceeded(f"{_count(self.num_leaves)} leaves have no 64-bit ids: use the multi-index")
        require_tensor("leaf", leaf, f"(B, {self.q})")
        if leaf.is_floating_point() or leaf.dtype == torch.bool:
            raise TypeError(f"`leaf` must hold integers, got {leaf.dtype}")
        if leaf.ndim != 2 or leaf.shape[1] != self.q:
            raise ValueError(f"`leaf` must have shape (B, {self.q}), got {tuple(leaf.shape)}")
        flat = torch.zeros(leaf.shape[0], dtype=torch.int64, device=leaf.device)
        for axis, count in enumerate(self.cells):
            flat = flat * count + leaf[:, axis]
        return flat

    def flatten(self, *, max_nodes: int = 1 << 24, device: torch.device | str | None = None) -> FlatTree:
        """The same tree as arrays, to route many points fast; BudgetExceeded above `max_nodes` (at most 2³¹) nodes."""
        require_int("max_nodes", max_nodes, 1, 2**31)
        # at least one node a leaf
        if self.num_leaves > max_nodes or self.num_nodes > max_nodes:
            raise BudgetExceeded(
                f"{_count(self.num_leaves)} leaves have more nodes than `max_nodes` = {max_nodes}: use route"
            )
        return FlatTree.of(self.cells, self.valency, require_device("device", device))

    # --- counts by dynamic programming over box shapes ---

    @property
    def height(self) -> int:
        """Edges on the longest path."""
        return sum(_line(m, self.valency)[0] for m in self.cells)

    def max_path_children(self) -> int:
        """The largest number of child prototypes compared on a root-leaf path."""
        return sum(_line(m, self.valency)[1] for m in self.cells)

    @property
    def num_nodes(self) -> int:
        """Nodes of the whole tree, leaves included; BudgetExceeded for trees with too many shapes of boxes."""
        return _nodes(self._shape, self.valency)

    @property
    def _shape(self) -> tuple[int, ...]:
        return tuple(sorted(self.cells, reverse=True))

    def shapes(self) -> Iterator[tuple[int, ...]]:
        """Every multiset of box widths (nonincreasing) that occurs at some node; BudgetExceeded for too many."""
        seen, todo = {self._shape}, [self._shape]
        while todo:
            shape = todo.pop()
            yield shape
            for child in _child_shapes(shape, self.valency):
                if child not in seen:
                    if len(seen) >= MAX_SHAPES:
                        raise BudgetExceeded(f"the tree has more than {MAX_SHAPES} shapes of boxes")
                    seen.add(child)
                    todo.append(child)

    # --- the graph ---

    def to_networkx(self, *, max_nodes: int = DEFAULT_NODE_BUDGET) -> nx.DiGraph:
        """The tree as a DiGraph on index boxes, with `prototype` (floats, exact) on every node.

        The root's prototype is its centre. BudgetExceeded above `max_nodes` nodes.
        """
        require_int("max_nodes", max_nodes, 1)
        # at least one node a leaf: no need to count the nodes of a tree that has too many leaves
        if self.num_leaves > max_nodes or self.num_nodes > max_nodes:
            raise BudgetExceeded(
                f"the graph has {_count(self.num_leaves)} leaves and more nodes, more than `max_nodes` = {max_nodes}; "
                "route, path, height and the counts work without it"
            )
        graph = nx.DiGraph()
        graph.add_node(self.root, prototype=tuple((a + b) / 2 for a, b in self.root))
        todo = [self.root]
        while todo:
            node = todo.pop()
            if self.is_leaf(node):
                continue
            for child, p in zip(self.children(node), self.child_prototypes(node), strict=True):
                graph.add_node(child, prototype=tuple(map(float, p)))
                graph.add_edge(node, child)
                todo.append(child)
        return graph

    def __repr__(self) -> str:
        return f"PathwayTree(cells={self.cells}, valency={self.valency})"


def _child_shapes(shape: tuple[int, ...], valency: int) -> list[tuple[int, ...]]:
    if not shape or shape[0] == 1:
        return []
    return [tuple(sorted((width, *shape[1:]), reverse=True)) for width in child_widths(shape[0], valency)]


@lru_cache(maxsize=1 << 12)
def _line(width: int, valency: int) -> tuple[int, int]:
    """(height, most children compared on a path) of the tree over one axis of `width` cells."""
    levels = [{width}]
    while max(levels[-1]) > 1:  # at most two widths a level, and they are neighbours
        levels.append({child for w in levels[-1] if w > 1 for child in child_widths(w, valency)})
    height, compared = {1: 0}, {1: 0}
    for level in reversed(levels):
        for w in sorted(level - height.keys()):
            below = set(child_widths(w, valency))
            height[w] = 1 + max(height[b] for b in below)
            compared[w] = min(valency, w) + max(compared[b] for b in below)
    return height[width], compared[width]


@lru_cache(maxsize=1 << 10)
def _nodes(shape: tuple[int, ...], valency: int) -> int:
    """Nodes of the tree over a box of this shape, from its smaller shapes upwards."""
    shapes = sorted(PathwayTree(shape, valency=valency).shapes(), key=sum)
    nodes: dict[tuple[int, ...], int] = {}
    for s in shapes:
        nodes[s] = 1 + sum(nodes[child] for child in _child_shapes(s, valency))
    return nodes[shape]


def require_cells(cells: Any) -> tuple[int, ...]:
    """`cells` as a tuple of integers ≥ 1 whose product is not astronomical; TypeError or ValueError otherwise."""
    if not isinstance(cells, (tuple, list)):
        raise TypeError(f"`cells` must be a tuple of integers, got {shown(cells)}")
    if len(cells) > MAX_AXES:
        raise ValueError(f"`cells` must name at most {MAX_AXES} axes, got {len(cells)}")
    counts = tuple(require_int("cells", c, 1) for c in cells)
    # the product itself may be too long to compute
    if sum(c.bit_length() - 1 for c in counts) >= MAX_CELLS_BITS:
        raise BudgetExceeded(f"`cells` must have a product below 2^{MAX_CELLS_BITS}, got {shown(counts)}")
    return counts


def _count(value: int) -> str:
    """An integer for a message: written out, or its size where that takes too many digits."""
    return str(value) if value.bit_length() <= 200 else f"about 2^{value.bit_length() - 1}"
