"""Trained mixtures as nodes of an ONNX graph: standardisation, router, and each point's own row of numbers.

Main statement: the operations are those of `TrainedMoMLP.forward`, in their order, squared distances included.
"""

from __future__ import annotations

import numpy as np

from constructions.onnx_graph import Graph, answers
from constructions.pathway_tree.graph import nearest_leaves, tree_leaves
from constructions.trained_momlp.model import TrainedMoMLP


@answers.register
def _(model: TrainedMoMLP, graph: Graph) -> str:
    if model.experts is None:
        raise ValueError("`model` must hold its experts to be exported: load it with lazy=False")
    gap = graph.node("Sub", graph.x, graph.constant(model.input_shift))
    z = graph.node("Mul", gap, graph.constant(model.input_scale))
    leaf = tree_leaves(graph, z, model.tree) if model.router == "tree" else nearest_leaves(graph, z, model.tree)
    rows = graph.node("Gather", graph.constant(model.experts), leaf, axis=0)
    sizes = [size for a, b in zip(model.widths, model.widths[1:], strict=False) for size in (a * b, b)]
    parts = graph.node("Split", rows, graph.constant(np.array(sizes, dtype=np.int64)), outputs=len(sizes), axis=1)
    x = graph.cast(z, model.experts.dtype)
    for i, (inputs, outputs) in enumerate(zip(model.widths, model.widths[1:], strict=False)):
        weight = graph.node("Reshape", parts[2 * i], graph.constant(np.array([-1, outputs, inputs], dtype=np.int64)))
        seen = graph.with_axis(graph.node("Relu", x) if i else x, 1)
        x = graph.node("Add", graph.total(graph.node("Mul", weight, seen), inputs), parts[2 * i + 1])
    return x
