"""Is a routing tree what the theorem says, and does it route to the nearest prototype?

The proof is local and exact: at every node the children's boxes fill the node's box side by side along one axis, the
children's prototypes differ along that axis alone, they increase, and the bisector of neighbours is the boundary
between their boxes. Then the nearest child prototype is the child whose box contains z, at every depth.

Main definitions: `tree_structure`, `tree_structure_by_shape`, `router_agreement`, `face_points`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction

import networkx as nx
import torch
from torch import Tensor

from constructions.errors import require_instance, require_int, shown
from constructions.pathway_tree.tree import IndexBox, PathwayTree
from theory import exact
from theory.claim import Report


@dataclass(frozen=True)
class TreeReport(Report):
    """`failures` are sentences naming the node; the tree is proved right when there are none."""

    nodes: int
    leaves: int
    height: int
    bisectors: int
    failures: tuple[str, ...]
    failure: str | None = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "failure", next(iter(self.failures), None))


def tree_structure(graph: nx.DiGraph, cells: Sequence[int], *, valency: int) -> TreeReport:
    """Check the actual graph over a lattice of `cells`, in rationals.

    Nodes are index boxes ((first, last + 1), …) with an attribute `prototype`. Checked: arborescence; root = all cells;
    leaves are the unit boxes, one each; out-degree ≤ valency; the bisector property at every inner node; and that exact
    nearest-child routing of every leaf's own prototype (up to 2,048 leaves) follows the path to it.
    """
    require_instance("graph", graph, nx.DiGraph)
    require_instance("cells", cells, (tuple, list))
    cells = tuple(require_int("cells", c, 1) for c in cells)
    require_int("valency", valency, 2)
    if graph.number_of_nodes() == 0 or not nx.is_arborescence(graph):
        return TreeReport(graph.number_of_nodes(), 0, 0, 0, ("the graph is not an arborescence",))
    failures = _malformed(graph, len(cells))
    if failures:
        return TreeReport(graph.number_of_nodes(), 0, 0, 0, tuple(failures))
    (root,) = [v for v, degree in graph.in_degree() if degree == 0]
    if root != tuple((0, c) for c in cells):
        failures.append(f"the root is {root}, not the box of all cells {tuple(cells)}")
    leaves = [v for v in graph if graph.out_degree(v) == 0]
    wanted = 1
    for count in cells:
        wanted *= count
    if len(leaves) != wanted:
        failures.append(f"the graph has {len(leaves)} leaves, the lattice {wanted}")
    bisectors = 0
    for node in graph:
        children = list(graph.successors(node))
        if not children:
            if any(b - a != 1 for a, b in node):
                failures.append(f"leaf {node} is not a single cell")
            continue
        if not 2 <= len(children) <= valency:
            failures.append(f"node {node} has {len(children)} children, allowed are 2 to {valency}")
        prototypes = {c: graph.nodes[c]["prototype"] for c in children}
        found, sentences = _node_failures(node, prototypes)
        bisectors += found
        failures.extend(sentences)
    if not failures:
        failures.extend(_routing_failures(graph, leaves[:2048]))
    height = int(nx.dag_longest_path_length(graph))
    return TreeReport(graph.number_of_nodes(), len(leaves), height, bisectors, tuple(failures))


def _malformed(graph: nx.DiGraph, q: int) -> list[str]:
    """A sentence for the first node that is no index box of q axes, or has a prototype that is not q finite numbers."""
    for node, data in graph.nodes.items():
        if not _is_box(node, q):
            return [f"node {shown(node)} is not a box of {q} index ranges"]
        prototype = data.get("prototype")
        if prototype is None and graph.in_degree(node) == 0:
            continue  # nobody is routed to the root
        if not isinstance(prototype, (tuple, list)) or len(prototype) != q:
            return [f"the prototype of node {node} is not {q} numbers: {shown(prototype)}"]
        try:
            exact.vector(prototype)
        except (TypeError, ValueError) as err:
            return [f"the prototype of node {node}: {err}"]
    return []


def _is_box(node: object, q: int) -> bool:
    return (
        isinstance(node, tuple)
        and len(node) == q
        and all(isinstance(r, tuple) and len(r) == 2 and all(type(end) is int for end in r) for r in node)
        and all(first < last for first, last in node)
    )


def _node_failures(node: IndexBox, prototypes: dict[IndexBox, tuple]) -> tuple[int, list[str]]:
    """(bisectors checked, what is wrong) at one inner node."""
    children = sorted(prototypes)
    axes = [a for a in range(len(node)) if any(c[a] != node[a] for c in children)]
    if len(axes) != 1:
        return 0, [f"node {node}: its children do not split exactly one axis"]
    (axis,) = axes
    ranges = [c[axis] for c in children]
    ends = [node[axis][0], *(r[1] for r in ranges)]
    if [r[0] for r in ranges] != ends[:-1] or ends[-1] != node[axis][1] or sorted(set(ends)) != ends:
        return 0, [f"node {node}: the boxes of its children do not fill it side by side"]
    points = [[exact.rational(v) for v in prototypes[c]] for c in children]
    failures = []
    for j, (left, right) in enumerate(itertools.pairwise(points)):
        off_axis = [a for a in range(len(node)) if a != axis and left[a] != right[a]]
        bisector = (left[axis] + right[axis]) / 2
        if off_axis:
            failures.append(
                f"node {node}: prototypes of children {j} and {j + 1} differ off the split axis {axis}, "
                f"on axis {off_axis[0]}"
            )
        elif left[axis] >= right[axis]:
            failures.append(f"node {node}: prototypes of children {j} and {j + 1} do not increase")
        elif bisector != ranges[j][1]:
            failures.append(
                f"node {node}: the bisector of children {j} and {j + 1} is {bisector} on axis {axis}, "
                f"the boundary of their boxes is {ranges[j][1]}"
            )
    return len(points) - 1, failures


def _routing_failures(graph: nx.DiGraph, leaves: list[IndexBox]) -> list[str]:
    failures = []
    for leaf in leaves:
        centre = [Fraction(a + b, 2) for a, b in leaf]
        reached = exact.route_graph(graph, centre)[-1]
        if reached != leaf:
            failures.append(f"the prototype of leaf {leaf} is routed to {reached}")
    return failures


def tree_structure_by_shape(tree: PathwayTree) -> TreeReport:
    """The same local proof for trees too large to materialise, once for every shape of box that occurs.

    A node's split depends on its widths only (checked on the box at the origin and on a translate); leaves and height
    follow by dynamic programming over shapes, in exact integers.
    """
    require_instance("tree", tree, PathwayTree)
    failures: list[str] = []
    bisectors = 0
    counts: dict[tuple[int, ...], tuple[int, int]] = {}
    shapes = sorted(tree.shapes(), key=lambda s: (sum(s), s))
    for shape in shapes:
        box = tuple((0, w) for w in shape)
        if max(shape, default=1) == 1:  # not what is_leaf() says
            counts[shape] = (1, 0)
            continue
        moved = tuple((7 + 3 * a, 7 + 3 * a + w) for a, w in enumerate(shape))
        for node in (box, moved):
            children = tree.children(node)
            found, sentences = _node_failures(node, dict(zip(children, tree.child_prototypes(node), strict=True)))
            bisectors += found
            failures.extend(sentences)
            if not 2 <= len(children) <= tree.valency:
                failures.append(f"node {node} has {len(children)} children")
        below = [counts[_shape(c)] for c in tree.children(box)]
        counts[shape] = (sum(b[0] for b in below), 1 + max(b[1] for b in below))
    leaves, height = counts[tuple(sorted(tree.cells, reverse=True))]
    if leaves != math.prod(tree.cells):
        failures.append(f"the shapes add up to {leaves} leaves, the lattice has {math.prod(tree.cells)}")
    return TreeReport(len(shapes), leaves, height, bisectors, tuple(failures))


def _shape(box: IndexBox) -> tuple[int, ...]:
    return tuple(sorted((b - a for a, b in box), reverse=True))


# --- agreement of independent routers on points --------------------------------------------------------


@dataclass(frozen=True)
class Agreement(Report):
    """How many of `points` lattice points were routed alike, and the first one that was not."""

    points: int
    disagreements: int
    first: str | None
    failure: str | None = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "failure", self.first)


def face_points(cells: Sequence[int], count: int, generator: torch.Generator) -> Tensor:
    """Lattice points (≥ count, q): uniform, on faces, one float64 step beside faces, and both ends."""
    q = len(cells)
    limits = torch.tensor(cells, dtype=torch.float64)
    uniform = torch.rand(count, q, dtype=torch.float64, generator=generator) * limits
    faces = uniform.round()
    pick = torch.randint(4, (count, q), generator=generator)
    below = torch.nextafter(faces, torch.full_like(faces, -torch.inf)).clamp(min=0.0)
    above = torch.minimum(torch.nextafter(faces, torch.full_like(faces, torch.inf)), limits)
    mixed = torch.where(pick == 0, faces, torch.where(pick == 1, below, torch.where(pick == 2, above, uniform)))
    return torch.cat([mixed, torch.zeros(1, q, dtype=torch.float64), limits[None]])


def router_agreement(routers: dict[str, Tensor], z: Tensor) -> Agreement:
    """Compare leaf indices (B, q) of several routers at the points z (B, q).

    ValueError for fewer than two routers, no points, or indices of another shape: nothing may be broadcast.
    """
    require_instance("z", z, Tensor)
    if z.ndim != 2 or not len(z):
        raise ValueError(f"`z` must be points (B, q) with B ≥ 1, got {tuple(z.shape)}")
    if not isinstance(routers, dict) or len(routers) < 2:
        raise ValueError(f"`routers` must hold at least two routers, got {shown(routers)}")
    for name, index in routers.items():
        if not isinstance(index, Tensor) or index.shape != z.shape or index.dtype != torch.int64:
            raise ValueError(f"`routers` must hold int64 indices {tuple(z.shape)}, {name} has {shown(index)}")
    names = list(routers)
    reference = routers[names[0]]
    differ = torch.zeros(len(z), dtype=torch.bool)
    for name in names[1:]:
        differ |= (routers[name].cpu() != reference.cpu()).any(-1)
    if not bool(differ.any()):
        return Agreement(len(z), 0, None)
    row = int(differ.int().argmax())
    said = ", ".join(f"{k} says {v[row].tolist()}" for k, v in routers.items())
    return Agreement(len(z), int(differ.sum()), f"z = {z[row].tolist()}: {said}")
