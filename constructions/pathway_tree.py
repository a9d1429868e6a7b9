"""`PathwayTree`: the routing tree over a lattice of cells, as an implicit object and as a networkx graph.

Coordinates are lattice units: cell i of an axis is (i, i+1], its prototype i + 1/2. A node is an index box; it
splits the axis with most cells (lowest axis on ties) into v consecutive ranges, wider ones first, and each child
carries a prototype such that the bisectors of neighbouring prototypes are the integer boundaries. Nearest child
prototype = the child whose box contains z, at any depth, because children share every other coordinate.

Main definitions: `PathwayTree`, `IndexBox`.
Main statements: `route` (tree), `Lattice.index` (index rule) and `nearest_leaf` (brute force) agree at every
float64 z; `height` = Σ_a ⌈log_v M_a⌉.
Implementation notes: all prototypes are half-integers, stored exactly. Trees with more leaves than int64 can count
are handled through their box shapes (`height`, `max_path_children`, `shapes`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction
from functools import lru_cache

import networkx as nx
import torch
from torch import Tensor

from constructions.errors import BudgetExceeded, first_row, require_choice, require_int, require_positive
from constructions.fixed_order import squared_distances
from constructions.nets import farthest_point, kmeans_centres
from constructions.prototype_tree import PrototypeTree, arrange

MAX_VALENCY = 8
DEFAULT_NODE_BUDGET = 200_000
CHUNK_BYTES = 1 << 26
NET_METHODS = ("farthest_point", "kmeans")

IndexBox = tuple[tuple[int, int], ...]
"""One (first, last + 1) pair of cell indices for every axis."""


def child_widths(width: int, valency: int) -> list[int]:
    """The nonincreasing widths of `width` cells split into min(valency, width) ranges."""
    count = min(valency, width)
    return [width // count + (j < width % count) for j in range(count)]


def first_offset(widths: list[int]) -> Fraction:
    """t, the distance of the first prototype from the first boundary: the middle of its admissible interval.

    Reflection p_{j+1} = 2β_j − p_j puts prototype j at the distance d_j = w_j − d_{j−1} before β_j, d_1 = t; all
    d_j (j < v) must be positive, and t < w_1. Wider children first make the interval non-empty.
    """
    low, high = Fraction(0), Fraction(widths[0])
    shift, sign = Fraction(0), 1  # d_j = shift + sign·t
    for width in widths[1:-1]:
        shift, sign = width - shift, -sign
        if sign > 0:
            low = max(low, -shift)
        else:
            high = min(high, shift)
    return (low + high) / 2


class PathwayTree:
    """The v-ary routing tree of a lattice with `cells` = (M_1, …, M_q) cells an axis (q = 0: a single leaf).

    `valency` is 2 … 8. Points are given in lattice coordinates z (B, q), float64; leaves are multi-indices (B, q).
    """

    def __init__(self, cells: tuple[int, ...], *, valency: int = 2):
        self.cells = tuple(require_int("cells", c, 1) for c in cells)
        self.valency = require_int("valency", valency, 2, MAX_VALENCY)

    @classmethod
    def from_points(
        cls,
        points: Tensor,
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
        cloud = _require_cloud(points)
        if (delta is None) == (leaves is None):
            raise ValueError(f"give exactly one of `delta` and `leaves`, got delta = {delta}, leaves = {leaves}")
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
        return len(self.cells)

    @property
    def num_leaves(self) -> int:
        return math.prod(self.cells)

    @property
    def root(self) -> IndexBox:
        return tuple((0, m) for m in self.cells)

    # --- one node ---

    def is_leaf(self, node: IndexBox) -> bool:
        return all(b - a == 1 for a, b in node)

    def split_axis(self, node: IndexBox) -> int:
        """The axis with most cells, lowest index on ties."""
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
        axis = self.split_axis(node)
        centre = [Fraction(a + b, 2) for a, b in node]
        position = boxes[0][axis][1] - first_offset([b[axis][1] - b[axis][0] for b in boxes])
        prototypes = []
        for box in boxes:
            prototypes.append((*centre[:axis], position, *centre[axis + 1 :]))
            position = 2 * box[axis][1] - position
        return prototypes

    # --- routing ---

    def route(self, z: Tensor) -> Tensor:
        """Leaf indices (B, q), int64, by descending the tree: all points one level at a time.

        At an inner node z is compared with the node's integer boundaries (right=False: a boundary belongs to the
        child before it).
        """
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
            boundaries = torch.where(ranks < count, boundaries, torch.iinfo(torch.int32).max)
            child = torch.searchsorted(boundaries.double(), z.gather(1, axis), right=False)
            start = start.scatter(1, axis, begin + child * base + torch.minimum(child, extra))
            width = width.scatter(1, axis, base + (child < extra).long())
        return start

    def path(self, z: Tensor) -> list[IndexBox]:
        """Nodes from the root to the leaf of one point z (q,), by nearest child prototype in exact arithmetic."""
        point = [Fraction(v) for v in z.double().tolist()]
        if len(point) != self.q:
            raise ValueError(f"`z` must have shape ({self.q},), got {tuple(z.shape)}")
        nodes = [self.root]
        while boxes := self.children(nodes[-1]):
            prototypes = self.child_prototypes(nodes[-1])
            distances = [sum((a - b) ** 2 for a, b in zip(point, p, strict=True)) for p in prototypes]
            nodes.append(boxes[distances.index(min(distances))])
        return nodes

    def nearest_leaf(self, z: Tensor, *, max_leaves: int = 1 << 22) -> Tensor:
        """Leaf indices (B, q) by brute force, ties to the lowest; BudgetExceeded above `max_leaves`."""
        if self.num_leaves > max_leaves:
            raise BudgetExceeded(
                f"`nearest_leaf` compares with all {self.num_leaves} leaves, more than max_leaves = {max_leaves}"
            )
        leaves = self.leaf_indices(z.device)
        prototypes = leaves.double() + 0.5
        rows = max(1, CHUNK_BYTES // (8 * max(1, prototypes.numel())))
        found = [squared_distances(part, prototypes).argmin(-1) for part in z.double().split(rows)]
        return leaves[torch.cat(found)] if found else leaves[:0]

    def leaf_indices(self, device: torch.device | str | None = None) -> Tensor:
        """All leaf multi-indices (L, q), int64, in lexicographic order."""
        if not self.q:
            return torch.zeros(1, 0, dtype=torch.int64, device=device)
        axes = [torch.arange(m, device=device) for m in self.cells]
        return torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).reshape(-1, self.q)

    def flat_index(self, leaf: Tensor) -> Tensor:
        """Lexicographic ids (B,) of leaf indices (B, q); BudgetExceeded when L exceeds int64."""
        if self.num_leaves >= 2**63:
            raise BudgetExceeded(f"{self.num_leaves} leaves have no 64-bit ids: use the multi-index")
        flat = torch.zeros(leaf.shape[0], dtype=torch.int64, device=leaf.device)
        for axis, count in enumerate(self.cells):
            flat = flat * count + leaf[:, axis]
        return flat

    # --- counts by dynamic programming over box shapes ---

    @property
    def height(self) -> int:
        """Edges on the longest path."""
        return _measure(self._shape, self.valency)[0]

    def max_path_children(self) -> int:
        """The largest number of child prototypes compared on a root-leaf path."""
        return _measure(self._shape, self.valency)[1]

    @property
    def num_nodes(self) -> int:
        """Nodes of the whole tree, leaves included."""
        return _measure(self._shape, self.valency)[2]

    @property
    def _shape(self) -> tuple[int, ...]:
        return tuple(sorted(self.cells, reverse=True))

    def shapes(self) -> Iterator[tuple[int, ...]]:
        """Every multiset of box widths (nonincreasing) that occurs at some node."""
        seen, todo = {self._shape}, [self._shape]
        while todo:
            shape = todo.pop()
            yield shape
            for child in _child_shapes(shape, self.valency):
                if child not in seen:
                    seen.add(child)
                    todo.append(child)

    # --- the graph ---

    def to_networkx(self, *, max_nodes: int = DEFAULT_NODE_BUDGET) -> nx.DiGraph:
        """The tree as a DiGraph on index boxes, with `prototype` (floats, exact) on every node.

        The root's prototype is its centre. BudgetExceeded above `max_nodes` nodes.
        """
        if self.num_nodes > max_nodes:
            raise BudgetExceeded(
                f"the graph has {self.num_nodes} nodes, more than max_nodes = {max_nodes}; "
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


def _require_cloud(points: Tensor) -> Tensor:
    if not isinstance(points, Tensor):
        raise TypeError(f"`points` must be a torch.Tensor of shape (N, n), got {type(points).__name__}")
    if points.ndim != 2 or not points.numel():
        raise ValueError(f"`points` must have shape (N, n) with N, n at least 1, got {tuple(points.shape)}")
    cloud = points.detach().double()
    bad = ~torch.isfinite(cloud).all(-1)
    if bool(bad.any()):
        row = first_row(bad)
        raise ValueError(f"`points` must be finite, row {row} is {cloud[row].tolist()}")
    return cloud


def _child_shapes(shape: tuple[int, ...], valency: int) -> list[tuple[int, ...]]:
    if not shape or shape[0] == 1:
        return []
    return [tuple(sorted((width, *shape[1:]), reverse=True)) for width in child_widths(shape[0], valency)]


@lru_cache(maxsize=1 << 16)
def _measure(shape: tuple[int, ...], valency: int) -> tuple[int, int, int]:
    """(height, most children compared on a path, nodes) of the subtree below a box of this shape."""
    children = _child_shapes(shape, valency)
    if not children:
        return 0, 0, 1
    parts = [_measure(child, valency) for child in children]
    height = 1 + max(p[0] for p in parts)
    compared = len(children) + max(p[1] for p in parts)
    return height, compared, 1 + sum(p[2] for p in parts)
