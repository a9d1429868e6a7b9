"""Mixtures of bit-extraction experts as nodes of an ONNX graph.

Main statement: the operations are those of `BitExtractionMoMLP._in_turns`, in their order. A row that has no term in a
turn adds 0 times a channel there, which changes no number. Weights are too large here for a bound of what another order
of sums would do: the runtime must run the nodes as they are written.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from constructions.bit_extraction.model import BitExtractionMoMLP, _Turn
from constructions.momlp.graph import eager, leaf_rows
from constructions.onnx_graph import Graph, answers
from constructions.portable import apart, plain_answers


@answers.register
def _(model: BitExtractionMoMLP, graph: Graph) -> str:
    tables, offsets = eager(model)
    row = leaf_rows(model, graph)
    flat = torch.cat([w.detach().flatten() for w in model.shared_weight])
    order = model._ordered(flat)
    reader = _Reader(graph, tables, row)
    hidden = graph.with_axis(graph.x, 1)  # (B, 1, n), then (B, m, width)
    for i, (weights, entries) in enumerate(zip(order.weights, order.entries, strict=True)):
        hidden = graph.node("Relu", hidden) if i else hidden
        after = graph.constant(model.shared_bias[i])
        for turn in weights:
            after = _plus(graph, after, hidden, turn, flat[turn.at], model.shared_bias[i])
        for turn in entries:
            after = reader.plus(after, hidden, turn, len(model.shared_bias[i]))
        hidden = after
    answer = graph.node("Squeeze", hidden, graph.constant(np.array([2])))  # (B, m, 1): m outputs side by side
    return graph.node("Add", answer, graph.node("Gather", graph.constant(offsets), row, axis=0))


@plain_answers.register
def _(model: BitExtractionMoMLP):
    tables, offsets = eager(model)
    order = model._ordered(torch.cat([w.detach().flatten() for w in model.shared_weight]))
    return lambda x: model._in_turns(x, order, tables, offsets, model.tree.flat_index(model.route(x)))


@apart.register
def _(model: BitExtractionMoMLP, x: Tensor) -> Tensor:
    return torch.zeros(len(x), dtype=torch.float64, device=x.device)


def _plus(graph: Graph, after: str, hidden: str, turn: _Turn, weight: Tensor, like: Tensor) -> str:
    """The weights of a turn times the channels that they read."""
    column = torch.zeros(len(like), dtype=torch.int64).index_copy(0, turn.row.cpu(), turn.column.cpu())
    factor = torch.zeros(len(like), dtype=torch.float64).index_copy(0, turn.row.cpu(), weight.cpu())
    reads = graph.node("Gather", hidden, graph.constant(column), axis=2)
    return graph.node("Add", after, graph.node("Mul", graph.constant(factor), reads))


class _Reader:
    """Entries of each point's own tables, out of all tables in a line."""

    def __init__(self, graph: Graph, tables: Tensor, row: str):
        self.graph = graph
        _, m, size = tables.shape
        self.flat = graph.constant(tables.reshape(-1))
        start = graph.with_axis(graph.node("Mul", row, graph.constant(np.int64(m * size))), 1, 2)
        self.start = graph.node("Add", start, graph.constant(np.arange(m, dtype=np.int64)[:, None] * size))  # (B, m, 1)

    def plus(self, after: str, hidden: str, turn: _Turn, width: int) -> str:
        """factor·entry·(channel, or 1 for a bias) for the rows of a turn."""
        graph, rows = self.graph, turn.row.cpu()
        entry, column = (torch.zeros(width, dtype=torch.int64) for _ in range(2))
        entry[rows], column[rows] = turn.at.cpu(), turn.column.cpu().clamp(min=0)
        factor, inner = torch.zeros(width, dtype=torch.float64), torch.zeros(width, dtype=torch.bool)
        factor[rows], inner[rows] = turn.factor.cpu().double(), turn.column.cpu() >= 0
        at = graph.node("Add", self.start, graph.constant(entry))
        values = graph.node("Mul", graph.constant(factor), graph.node("Gather", self.flat, at, axis=0))
        reads = graph.node("Gather", hidden, graph.constant(column), axis=2)
        reads = graph.node("Where", graph.constant(inner), reads, graph.constant(1.0))
        return graph.node("Add", after, graph.node("Mul", values, reads))
