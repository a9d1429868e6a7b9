"""`PrototypeTree`: a v-ary routing tree over the points of a net, for data that no lattice fits.

Leaves are the points of a net of a point cloud. An inner node has 2 … v children with a prototype each; x goes to the
nearest child, ties to the lowest index, by direct squared differences. Routing down the tree compares with
O(v log L) prototypes, flat routing with all L leaves; the two may disagree between leaf prototypes.

Main definitions: `PrototypeTree`, `arrange`.
Main statement: every leaf's own prototype is routed to that leaf, because children own the leaves nearest to them.
Implementation notes: nodes are numbered breadth first (a child after its parent), leaves in tree order, so that the
leaves below any node are consecutive. All nodes of one depth are split at once.
"""

from __future__ import annotations

import math

import networkx as nx
import torch
from torch import Tensor

from constructions.arrays import Array, as_given
from constructions.errors import (
    BudgetExceeded,
    require_cloud,
    require_device,
    require_instance,
    require_int,
    require_tensor,
)
from constructions.fixed_order import squared_distances
from constructions.pathway_tree.flat_prototype_tree import LARGEST, FlatPrototypeTree, require_queries

CHUNK_BYTES = 1 << 24
LLOYD_STEPS = 12
MAX_VALENCY = 64


def nearest(x: Tensor, prototypes: Tensor) -> tuple[Tensor, Tensor]:
    """(squared distance (B,), index (B,)) of the nearest of prototypes (L, n), ties to the lowest, chunked."""
    rows = max(1, CHUNK_BYTES // (8 * max(1, prototypes.numel())))
    parts = [squared_distances(part, prototypes).min(-1) for part in x.split(rows)]
    return torch.cat([p.values for p in parts]), torch.cat([p.indices for p in parts])


class PrototypeTree:
    """`prototypes` (V, n) of all nodes, the root first; `children` (V, v) node ids, −1 where there are fewer.

    `leaf_prototypes` (L, n) are the net's points in tree order. All float64. ValueError when `children` is not a
    tree whose nodes come after their parents, or the shapes disagree.
    """

    def __init__(self, prototypes: Tensor, children: Tensor, leaf_prototypes: Tensor):
        for name, value in (("prototypes", prototypes), ("leaf_prototypes", leaf_prototypes)):
            require_instance(name, value, Tensor)
            if not value.is_floating_point() or value.device.type == "meta":
                raise TypeError(f"`{name}` must be a floating tensor, got {value.dtype} on {value.device}")
        require_instance("children", children, Tensor)
        if children.dtype != torch.int64 or children.device.type == "meta":
            raise TypeError(f"`children` must be an int64 tensor, got {children.dtype} on {children.device}")
        _require_tree(prototypes, children)
        self.prototypes, self.children = prototypes, children
        self.leaf_prototypes = leaf_prototypes
        self.height, self.leaf_of_node = _number_leaves(children)
        leaves = int((self.leaf_of_node >= 0).sum())
        if leaf_prototypes.shape != (leaves, prototypes.shape[1]):
            raise ValueError(
                f"`leaf_prototypes` must have shape ({leaves}, {prototypes.shape[1]}), "
                f"got {tuple(leaf_prototypes.shape)}"
            )
        if not bool(torch.isfinite(leaf_prototypes).all()):
            raise ValueError("`leaf_prototypes` must be finite")

    @property
    def n(self) -> int:
        """The dimension of points and prototypes."""
        return self.prototypes.shape[1]

    @property
    def valency(self) -> int:
        """The most children that a node may have."""
        return self.children.shape[1]

    @property
    def num_leaves(self) -> int:
        """How many leaves, each with an expert."""
        return len(self.leaf_prototypes)

    @property
    def num_nodes(self) -> int:
        """How many nodes, leaves and inner ones."""
        return len(self.prototypes)

    @property
    def nbytes(self) -> int:
        """Bytes of everything a router needs."""
        parts = (self.prototypes, self.children, self.leaf_prototypes, self.leaf_of_node)
        return sum(t.nbytes for t in parts)

    def to(self, device: torch.device | str) -> PrototypeTree:
        """The same tree with its tensors on `device`."""
        place = require_device("device", device)
        return PrototypeTree(self.prototypes.to(place), self.children.to(place), self.leaf_prototypes.to(place))

    # --- routing ---

    def flatten(self) -> FlatPrototypeTree:
        """The same tree as arrays, to route many points fast on the CPU."""
        return FlatPrototypeTree(self.prototypes, self.children, self.leaf_of_node)

    def route(self, x: Array) -> Array:
        """Leaf ids (B,), int64, of points (B, n) by the nearest child at every node; an array for an array."""
        points = require_queries(x, self.prototypes)
        rows = max(1, CHUNK_BYTES // (8 * self.valency * self.n))
        found = [self._descend(part) for part in points.split(rows)]
        return as_given(torch.cat(found), x)

    def _descend(self, x: Tensor) -> Tensor:
        node = torch.zeros(x.shape[0], dtype=torch.int64, device=x.device)
        for _ in range(self.height):
            below = self.children[node]
            # squares that overflow are as far as one another, and nearer than a child that is not there
            distance = squared_distances(x, self.prototypes[below.clamp(min=0)]).clamp(max=LARGEST)
            distance = torch.where(below < 0, math.inf, distance)
            child = below.gather(1, distance.argmin(-1, keepdim=True))[:, 0]
            node = torch.where(child < 0, node, child)
        return self.leaf_of_node[node]

    def nearest_leaf(self, x: Array) -> Array:
        """Leaf ids (B,), int64, of points (B, n) by the nearest of all leaf prototypes (flat routing)."""
        return as_given(nearest(require_queries(x, self.prototypes), self.leaf_prototypes)[1], x)

    # --- the graph ---

    def to_networkx(self, *, max_nodes: int = 200_000) -> nx.DiGraph:
        """The tree as a DiGraph on node ids, with `prototype` on every node and `leaf` on the leaves."""
        require_int("max_nodes", max_nodes, 1)
        if self.num_nodes > max_nodes:
            raise BudgetExceeded(f"the graph has {self.num_nodes} nodes, more than `max_nodes` = {max_nodes}")
        graph = nx.DiGraph()
        for node, prototype in enumerate(self.prototypes.tolist()):
            graph.add_node(node, prototype=tuple(prototype))
        parent, place = (self.children >= 0).nonzero(as_tuple=True)
        graph.add_edges_from(zip(parent.tolist(), self.children[parent, place].tolist(), strict=True))
        for node in (self.leaf_of_node >= 0).nonzero()[:, 0].tolist():
            graph.nodes[node]["leaf"] = int(self.leaf_of_node[node])
        return graph

    def __repr__(self) -> str:
        return f"PrototypeTree(n={self.n}, leaves={self.num_leaves}, valency={self.valency}, height={self.height})"


def _require_tree(prototypes: Tensor, children: Tensor) -> None:
    require_tensor("prototypes", prototypes, "(V, n)")
    if require_tensor("children", children, "(V, v)").is_floating_point() or children.dtype == torch.bool:
        raise TypeError(f"`children` must hold integers, got {children.dtype}")
    if prototypes.ndim != 2 or children.ndim != 2 or len(children) != len(prototypes) or not len(prototypes):
        raise ValueError(
            f"`prototypes` (V, n) and `children` (V, v) must have as many rows, got {tuple(prototypes.shape)} and "
            f"{tuple(children.shape)}"
        )
    if not bool(torch.isfinite(prototypes).all()):
        raise ValueError("`prototypes` must be finite")
    named = torch.sort(children[children >= 0]).values
    every = torch.arange(1, len(prototypes), device=children.device)
    node = torch.arange(len(children), device=children.device)[:, None]
    if not torch.equal(named, every) or bool(((children >= 0) & (children <= node)).any()):
        raise ValueError("`children` must name every node but the root once, after its parent")


def _number_leaves(children: Tensor) -> tuple[int, Tensor]:
    """(height, leaf id of every node or −1), leaves counted from left to right."""
    levels = [torch.zeros(1, dtype=torch.int64, device=children.device)]
    while len(levels[-1]):
        below = children[levels[-1]]
        levels.append(below[below >= 0])
    levels.pop()
    is_leaf = (children < 0).all(-1)
    count = is_leaf.long()
    for nodes in reversed(levels[:-1]):
        below = children[nodes]
        count[nodes] += torch.where(below >= 0, count[below.clamp(min=0)], 0).sum(-1)
    first = torch.zeros_like(count)
    for nodes in levels[:-1]:
        below = children[nodes]
        sizes = torch.where(below >= 0, count[below.clamp(min=0)], 0)
        start = first[nodes][:, None] + sizes.cumsum(-1) - sizes
        first[below[below >= 0]] = start[below >= 0]
    return len(levels) - 1, torch.where(is_leaf, first, -1)


# --- arranging a net in a tree ---


def arrange(net: Tensor, *, valency: int = 2) -> tuple[PrototypeTree, Tensor]:
    """A tree over distinct points (L, n), and the order (L,) in which its leaves are these points.

    Every node is split by Lloyd's iteration from farthest-point seeds, all nodes of a depth together; a child owns
    the points of the net nearest to its prototype.
    """
    require_int("valency", valency, 2, MAX_VALENCY)
    net = require_cloud("net", net)
    repeated = len(net) - len(torch.unique(net, dim=0))
    if repeated:
        raise ValueError(f"`net` must hold distinct points, got {repeated} repeated ones")
    count, device = len(net), net.device
    prototypes, rows = [net.mean(0, keepdim=True)], []
    point = torch.arange(count, device=device)
    group = torch.zeros(count, dtype=torch.int64, device=device)
    leaf_point = torch.full((1,), 0 if count == 1 else -1, dtype=torch.int64, device=device)
    nodes, order_of_node = 1, [leaf_point]
    open_nodes = torch.zeros(1 if count > 1 else 0, dtype=torch.int64, device=device)
    tables: list[tuple[Tensor, Tensor]] = []
    while len(open_nodes):
        centres, part = _split(net[point], group, len(open_nodes), valency)
        used = torch.zeros(len(open_nodes), valency, dtype=torch.bool, device=device)
        used[group, part] = True
        child = torch.full(used.shape, -1, dtype=torch.int64, device=device)
        child[used] = torch.arange(nodes, nodes + int(used.sum()), device=device)
        tables.append((open_nodes, child))
        prototypes.append(centres[used])
        fresh = child[group, part] - nodes  # every point's child, counted from the first of this depth
        sizes = torch.bincount(fresh, minlength=int(used.sum()))
        alone = sizes == 1
        single = torch.full((len(sizes),), -1, dtype=torch.int64, device=device)
        single[fresh[alone[fresh]]] = point[alone[fresh]]
        order_of_node.append(single)
        open_nodes = nodes + (~alone).nonzero()[:, 0]
        renumber = (~alone).long().cumsum(0) - 1
        stay = ~alone[fresh]
        point, group = point[stay], renumber[fresh[stay]]
        nodes += len(sizes)
    rows = torch.full((nodes, valency), -1, dtype=torch.int64, device=device)
    for owners, child in tables:
        rows[owners] = child
    owner = torch.cat(order_of_node)
    leaf_of_node = _number_leaves(rows)[1]
    order = torch.empty(count, dtype=torch.int64, device=device)
    order[leaf_of_node[leaf_of_node >= 0]] = owner[leaf_of_node >= 0]
    return PrototypeTree(torch.cat(prototypes), rows, net[order]), order


def _split(points: Tensor, group: Tensor, groups: int, valency: int) -> tuple[Tensor, Tensor]:
    """Child prototypes (G, v, n) and the child (M,) of every point (M, n) of G groups; at least two children a
    group."""
    seeds, valid = _farthest_seeds(points, group, groups, valency)
    centres = seeds.clone()
    for _ in range(LLOYD_STEPS):
        part = _nearest_child(points, group, centres, valid)
        flat = group * valency + part
        size = torch.bincount(flat, minlength=groups * valency)
        total = torch.zeros(groups * valency, points.shape[1], dtype=points.dtype, device=points.device)
        mean = total.index_add_(0, flat, points) / size.clamp(min=1)[:, None]
        moved = torch.where((size > 0)[:, None], mean, centres.flatten(0, 1)).view_as(centres)
        if torch.equal(moved, centres):
            break
        centres = moved
    part = _nearest_child(points, group, centres, valid)
    taken = torch.zeros(groups, valency, dtype=torch.bool, device=points.device)
    taken[group, part] = True
    # Lloyd's steps may empty a child; the seeds never do, each owns itself
    lonely = taken.sum(-1) < 2
    centres[lonely] = seeds[lonely]
    return centres, _nearest_child(points, group, centres, valid)


def _nearest_child(points: Tensor, group: Tensor, centres: Tensor, valid: Tensor) -> Tensor:
    rows = max(1, CHUNK_BYTES // (8 * centres[0].numel()))
    found = []
    for x, g in zip(points.split(rows), group.split(rows), strict=True):
        distance = squared_distances(x, centres[g])
        found.append(torch.where(valid[g], distance, math.inf).argmin(-1))
    return torch.cat(found)


def _farthest_seeds(points: Tensor, group: Tensor, groups: int, valency: int) -> tuple[Tensor, Tensor]:
    """Seeds (G, v, n), each farthest from those before it, and which of them are new points (G, v)."""
    size = torch.bincount(group, minlength=groups)
    total = torch.zeros(groups, points.shape[1], dtype=points.dtype, device=points.device)
    mean = total.index_add_(0, group, points) / size[:, None]
    gap = (points - mean[group]).square().sum(-1)
    chosen, fresh = [], []
    for j in range(valency):
        best = _largest_of_group(gap, group)
        fresh.append(gap[best] > 0 if j else torch.ones(groups, dtype=torch.bool, device=points.device))
        chosen.append(points[best])
        away = (points - chosen[-1][group]).square().sum(-1)
        gap = torch.minimum(gap, away) if j else away
    return torch.stack(chosen, 1), torch.stack(fresh, 1)


def _largest_of_group(value: Tensor, group: Tensor) -> Tensor:
    """The index (G,) of the largest value of every group, the first on ties."""
    order = torch.argsort(value, descending=True, stable=True)
    order = order[torch.argsort(group[order], stable=True)]
    first = torch.cumsum(torch.bincount(group), 0) - torch.bincount(group)
    return order[first]
