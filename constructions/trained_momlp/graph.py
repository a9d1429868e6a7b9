"""Trained mixtures as nodes of an ONNX graph: standardisation, router, and each point's own row of numbers.

Main statement: the operations are those of `TrainedMoMLP.forward`, in their order, squared distances included. Any
other order of an expert's sums stays within `apart`: with s_0 = |z| and s_{i+1} = |W_i|s_i + |b_i|, a layer of n_i
inputs adds (n_i + 2)u·s_{i+1} to what comes through |W_i|; two evaluations are twice that apart.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from constructions.fixed_order import squared_distances
from constructions.onnx_graph import Graph, answers
from constructions.pathway_tree.graph import nearest_leaves, tree_leaves
from constructions.portable import UNITS, apart, plain_answers
from constructions.trained_momlp.bank import layers, run_gathered
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


@plain_answers.register
def _(model: TrainedMoMLP):
    if model.experts is None:
        raise ValueError("`model` must hold its experts to be exported: load it with lazy=False")
    experts, tree = model.experts.detach(), model.tree

    def run(x: Tensor) -> Tensor:
        z = (x.double() - model.input_shift) * model.input_scale
        flat = model.router == "flat"
        leaf = squared_distances(z, tree.leaf_prototypes).argmin(-1) if flat else tree._descend(z)
        return run_gathered(experts[leaf], model.widths, z.to(experts.dtype))

    return run


@apart.register
def _(model: TrainedMoMLP, x: Tensor) -> Tensor:
    assert model.experts is not None
    unit, least = UNITS[model.experts.dtype]
    z = model.standardise(x)
    rows = model.experts.detach().double()
    parts = zip(z.split(model.points_at_once), model.route(x).split(model.points_at_once), strict=True)
    return torch.cat([_off(rows[leaf], part, model.widths, unit, least) for part, leaf in parts])


def _off(rows: Tensor, z: Tensor, widths: tuple[int, ...], unit: float, least: float) -> Tensor:
    """The bound (B,) of standardised points z (B, n), each with its own row of (B, P)."""
    size, off = z.abs()[..., None], torch.zeros_like(z)[..., None]
    for weight, bias in layers(rows.abs(), widths):
        size, inputs = weight @ size + bias[..., None], weight.shape[2]
        off = weight @ off + (inputs + 2) * (unit * size + least * (1 + size))
    return 2 * off[..., 0].amax(-1) * (1 + 2.0**-20)
