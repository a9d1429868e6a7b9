"""Routers as nodes of an ONNX graph: the lattice's index rule, a tree of prototypes, and all leaves compared.

Main definitions: `lattice_rows`, `tree_leaves`, `nearest_leaves`.
Main statement: leaves are those of `Lattice.index`, `PrototypeTree.route` and `nearest_leaf`: the same operations in
the same order. Those of the lattice are a subtraction, a product and a rounding, which no runtime can fuse.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from constructions.onnx_graph import Graph
from constructions.pathway_tree.flat_prototype_tree import LARGEST
from constructions.pathway_tree.prototype_tree import PrototypeTree


def lattice_rows(graph: Graph, lo: Sequence[float], scale: Sequence[float], cells: Sequence[int]) -> str:
    """Rows (B,), int64, of the experts of points, counted with the last axis fastest."""
    row = graph.zeros()
    for axis, (start, step, count) in enumerate(zip(lo, scale, cells, strict=True)):
        if count > 1:
            z = place(graph, axis, start, step)
            number = graph.node("Sub", graph.node("Ceil", z), graph.constant(1.0))
            row = graph.node("Mul", row, graph.constant(np.int64(count)))
            row = graph.node("Add", row, graph.cast(graph.clamped(number, 0, count - 1), torch.int64))
    return row


def place(graph: Graph, axis: int, lo: float, scale: float) -> str:
    """(x_axis − lo)·scale (B,)."""
    gap = graph.node("Sub", graph.column(graph.x, axis), graph.constant(float(lo)))
    return graph.node("Mul", gap, graph.constant(float(scale)))


def tree_leaves(graph: Graph, z: str, tree: PrototypeTree) -> str:
    """Leaves (B,), int64, of points z (B, n) by the nearest child at every node."""
    columns = [graph.with_axis(graph.column(z, axis), 1) for axis in range(tree.n)]
    node = graph.zeros()
    children = graph.constant(tree.children)
    coordinates = [graph.constant(tree.prototypes[:, axis].double()) for axis in range(tree.n)]
    zero, infinite = graph.constant(np.int64(0)), graph.constant(np.inf)
    for _ in range(tree.height):
        below = graph.node("Gather", children, node, axis=0)
        at = graph.node("Max", below, zero)
        near = [graph.node("Gather", values, at, axis=0) for values in coordinates]
        distance = graph.node("Min", graph.squared_distances(columns, near), graph.constant(float(LARGEST)))
        distance = graph.node("Where", graph.node("Less", below, zero), infinite, distance)
        nearest = graph.node("ArgMin", distance, axis=1, keepdims=1, select_last_index=0)
        child = graph.node(
            "Squeeze", graph.node("GatherElements", below, nearest, axis=1), graph.constant(np.array([1]))
        )
        node = graph.node("Where", graph.node("Less", child, zero), node, child)
    return graph.node("Gather", graph.constant(tree.leaf_of_node), node, axis=0)


def nearest_leaves(graph: Graph, z: str, tree: PrototypeTree) -> str:
    """Leaves (B,), int64, of points z (B, n) by the nearest of all leaf prototypes."""
    columns = [graph.with_axis(graph.column(z, axis), 1) for axis in range(tree.n)]
    prototypes = [graph.constant(tree.leaf_prototypes[:, axis].double()) for axis in range(tree.n)]
    distance = graph.squared_distances(columns, prototypes)
    return graph.node("ArgMin", distance, axis=1, keepdims=0, select_last_index=0)
