"""Mixtures of pencils and constants, and tables of node values, as nodes of an ONNX graph.

Main statement: the operations are those of `PencilMoMLP._gather` and `TabulatedMoMLP._gather`, in their order, so that
a runtime that runs nodes one by one answers with the same numbers. Any other order of a pencil's sums, fused or not,
stays within `apart`: with a inputs that are read, K units, gains g ≥ 1 of the activation,
H_k = Σ_a |w_ka||x_a| + |b_k| and S = Σ_k |v_k|·g_k·H_k + |c|, a hidden unit is off by (a + 2)u·g_k·H_k, the sum over
them by (K + 1)u·S besides, so two evaluations differ by 2(K + a + 4)u·S at most, higher orders included. Two
interpolations of one table are both within its slack of the network, whose proof allows fused operations.
"""

from __future__ import annotations

import numpy as np
import torch

from constructions.momlp.model import MoMLP
from constructions.momlp.pencil_momlp import PencilMoMLP
from constructions.momlp.tabulated import TabulatedMoMLP
from constructions.onnx_graph import Graph, answers
from constructions.pathway_tree.graph import lattice_rows, place
from constructions.portable import UNITS, apart, plain_answers
from constructions.table_kernel import Places


@answers.register
def _(model: PencilMoMLP, graph: Graph) -> str:
    row = leaf_rows(model, graph)
    weight, bias = eager(model)
    offset = graph.node("Gather", graph.constant(bias), row, axis=0)
    if not model.plan.knots:
        return offset
    gathered = graph.node("Gather", graph.constant(weight), row, axis=0)
    hidden = graph.with_axis(_hidden(model, graph), 1)
    return graph.node("Add", graph.total(graph.node("Mul", hidden, gathered), weight.shape[2]), offset)


def eager(model: MoMLP) -> tuple[torch.Tensor, torch.Tensor]:
    """The output layers of all experts; ValueError for a lazy model."""
    if model.out_weight is None or model.out_bias is None:
        raise ValueError("`model` must hold its experts to be exported: build or load it with lazy=False")
    return model.out_weight.detach(), model.out_bias.detach()


def leaf_rows(model: MoMLP, graph: Graph) -> str:
    """Rows (B,) of the experts of points."""
    lattice = model.lattice
    return lattice_rows(graph, lattice.domain.lo[: lattice.q], lattice.scale, lattice.cells)


def _hidden(model: PencilMoMLP, graph: Graph) -> str:
    """The shared first layer (B, K): `fixed_order.affine`, of the axes that it reads."""
    weight = model.hidden_weight.detach()
    axes = (weight != 0).any(0).nonzero()[:, 0].tolist()
    x, result = graph.cast(graph.x, weight.dtype), ""
    for axis in axes:
        column = graph.with_axis(graph.column(x, axis), 1)
        term = graph.node("Mul", column, graph.constant(weight[:, axis]))
        result = graph.node("Add", result, term) if result else term
    if not result:  # weights that were all set to 0
        result = graph.node("Mul", graph.with_axis(graph.column(x, 0), 1), graph.constant(weight[:, 0]))
    hidden = graph.node("Add", result, graph.constant(model.hidden_bias))
    if model.slope is None:
        return graph.node("Relu", hidden)
    below = graph.node("Mul", graph.constant(model.slope), hidden)
    zero = graph.constant(np.zeros((), dtype=model.slope.detach().cpu().numpy().dtype))
    return graph.node("Where", graph.node("Greater", hidden, zero), hidden, below)


@plain_answers.register
def _(model: PencilMoMLP):
    eager(model)
    return model._gather


@apart.register
def _(model: PencilMoMLP, x: torch.Tensor) -> torch.Tensor:
    if not model.plan.knots:
        return torch.zeros(len(x), dtype=torch.float64, device=x.device)
    unit, least = UNITS[model.hidden_bias.dtype]
    first = model.hidden_weight.detach().double().abs()
    read = int((first != 0).any(0).sum())
    size = x.double().abs() @ first.T + model.hidden_bias.detach().double().abs()
    if model.slope is not None:
        size = size * model.slope.detach().double().abs().clamp(min=1)
    leaves = model.route(x)
    parts = [_largest_sum(model, *part) for part in zip(leaves.split(CHUNK), size.split(CHUNK), strict=True)]
    steps = model.plan.knots + read + 4
    return 2 * steps * (unit * torch.cat(parts) + least * (1 + size.sum(-1))) * (1 + 2.0**-20)


CHUNK = 1 << 12


def _largest_sum(model: PencilMoMLP, leaves: torch.Tensor, size: torch.Tensor) -> torch.Tensor:
    """The largest S over the outputs (B,)."""
    weight, bias = (part.detach().double().abs() for part in model.output_layers(leaves))
    return ((weight @ size[:, :, None])[..., 0] + bias).amax(-1)


# --- tables ------------------------------------------------------------------------------------------------


@answers.register
def _(model: TabulatedMoMLP, graph: Graph) -> str:
    places = model.places
    q = len(places.leaf_cells)
    row = lattice_rows(graph, places.lo[:q], places.scale[:q], places.leaf_cells)
    first, steps, shares = _nodes(graph, places, row)
    table = graph.constant(model.table.detach().reshape(-1, model.m))
    y = before = graph.cast(graph.node("Gather", table, first, axis=0), torch.float64)
    for step, share in zip(steps, shares, strict=True):
        after = graph.cast(graph.node("Gather", table, step, axis=0), torch.float64)
        part = graph.node("Mul", graph.with_axis(share, 1), graph.node("Sub", after, before))
        y, before = graph.node("Add", y, part), after
    return graph.cast(y, model.table.dtype)


@plain_answers.register
def _(model: TabulatedMoMLP):
    return model._gather


@apart.register
def _(model: TabulatedMoMLP, x: torch.Tensor) -> torch.Tensor:
    return torch.full((len(x),), 2 * model.slack, dtype=torch.float64, device=x.device)


def _nodes(graph: Graph, places: Places, row: str) -> tuple[str, list[str], list[str]]:
    """`Places.nodes`: the row of the first vertex, those of the following ones, and the shares of the ways."""
    q, at, shares = len(places.leaf_cells), [], []
    for i, cells in enumerate(places.cells):
        z = graph.clamped(place(graph, q + i, places.lo[q + i], places.scale[q + i]), 0, cells)
        piece = graph.clamped(graph.node("Floor", z), 0, cells - 1)
        at.append(piece)
        shares.append(graph.node("Sub", z, piece))
    if len(at) < 2:
        for piece, cells in zip(at, places.cells, strict=True):
            row = graph.node("Mul", row, graph.constant(np.int64(cells + 1)))
            row = graph.node("Add", row, graph.cast(piece, torch.int64))
        return row, [graph.node("Add", row, graph.constant(np.int64(1))) for _ in at], shares
    return _simplex(graph, places, row, at, shares)


def _simplex(
    graph: Graph, places: Places, row: str, at: list[str], shares: list[str]
) -> tuple[str, list[str], list[str]]:
    """`Places._simplex`: from the vertex with even coordinates along the axes, that of the largest share first."""
    one, zero = graph.constant(1.0), graph.constant(np.int64(0))
    strides = [1]
    for cells in reversed(places.cells[1:]):
        strides.insert(0, strides[0] * (cells + 1))
    first = graph.node("Mul", row, graph.constant(np.int64(strides[0] * (places.cells[0] + 1))))
    ways, ordered = [], []
    for piece, share, stride in zip(at, shares, strides, strict=True):
        number = graph.cast(piece, torch.int64)
        odd = graph.node("Mod", number, graph.constant(np.int64(2)))
        is_odd = graph.node("Greater", odd, zero)
        ordered.append(graph.with_axis(graph.node("Where", is_odd, graph.node("Sub", one, share), share), 1))
        start = graph.node("Mul", graph.node("Add", number, odd), graph.constant(np.int64(stride)))
        first = graph.node("Add", first, start)
        way = graph.node("Where", is_odd, graph.constant(np.int64(-stride)), graph.constant(np.int64(stride)))
        ways.append(graph.with_axis(way, 1))
    every = graph.node("Concat", *ordered, axis=1)
    count = graph.constant(np.array([len(at)], dtype=np.int64))
    # equal shares stay in the order of the axes, as in a stable sort
    largest, order = graph.node("TopK", every, count, outputs=2, axis=1, largest=1, sorted=1)
    walk = graph.node("GatherElements", graph.node("Concat", *ways, axis=1), order, axis=1)
    steps, here = [], first
    for number in range(len(at)):
        here = graph.node("Add", here, graph.column(walk, number))
        steps.append(here)
    return first, steps, [graph.column(largest, number) for number in range(len(at))]
