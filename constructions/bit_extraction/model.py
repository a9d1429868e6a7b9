"""`BitExtractionMoMLP`: a mixture of bit-extraction experts that share one architecture and differ in their tables.

The layers are held once; each expert has a table (m, T) and offsets (m,). A batch runs through the shared layers,
and the table entries of each point's expert are added to the rows that refer to them: never expert by expert.

Main definition: `BitExtractionMoMLP`.
Implementation notes: rows have one to four weights that are not 0, so a layer adds these, one a turn, and no zeros. The
turns come from the weights alone, and no row occurs twice in one: a point's answer does not depend on the batch it
came in. Batches stand last, (channels, m, B).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor, nn

from constructions.bit_extraction.decode import WordNodes
from constructions.bit_extraction.fit import plan_layers
from constructions.bit_extraction.forms import filled
from constructions.bit_extraction.plan import BitExtractionPlan
from constructions.expert_rows.cache import Rows
from constructions.expert_rows.file import raw
from constructions.mixture import built_here
from constructions.momlp.model import MoMLP
from constructions.networks import stack
from constructions.pathway_tree.routed import Leaf

GATHER_BYTES = 1 << 24


@dataclass(frozen=True)
class _Turn:
    """Terms for different rows of a layer: weight number `at` times channel `column`, or a table entry.

    An entry has a factor, and column −1 where it is a bias.
    """

    row: Tensor
    column: Tensor
    at: Tensor
    factor: Tensor


def _turns(row: Tensor, column: Tensor, at: Tensor, factor: Tensor) -> list[_Turn]:
    """The first term of every row, the second of those that have one, and so on."""
    order = torch.argsort(row, stable=True)
    first = torch.searchsorted(row[order], row[order])
    turn = torch.arange(len(row), device=row.device) - first
    chosen = [order[turn == i] for i in range(int(turn.max()) + 1 if len(row) else 0)]
    return [_Turn(row[i], column[i], at[i], factor[i]) for i in chosen]


def _plus(rows: Tensor, turn: _Turn, terms: Tensor) -> Tensor:
    """`rows` with the terms of a turn added; every row once, in ascending order, or some of them."""
    if len(turn.row) == len(rows):
        return rows + terms
    return rows.index_copy(0, turn.row, rows.index_select(0, turn.row) + terms)


@dataclass(frozen=True)
class _Order:
    """What all layers add, turn by turn. `filled` (N,) marks the weights that it reads, of all layers in a line."""

    weights: list[list[_Turn]]
    entries: list[list[_Turn]]
    filled: Tensor


@final
@built_here
class BitExtractionMoMLP(MoMLP):
    """`out_weight` (L, m, T) are the tables, `out_bias` (L, m) the offsets; `shared_weight`, `shared_bias` the
    layers."""

    plan: BitExtractionPlan
    steep = True

    def _share(self, device: torch.device) -> None:
        layers = plan_layers(self.plan)
        self.shared_weight = nn.ParameterList(nn.Parameter(p.weight.to(device), requires_grad=False) for p in layers)
        self.shared_bias = nn.ParameterList(nn.Parameter(p.bias.to(device), requires_grad=False) for p in layers)
        self._references = tuple(layer.entries_on(device) for layer in layers)
        self._order: _Order | None = None

    def shared_digest(self) -> str | None:
        digest = hashlib.sha256()
        for part in (*self.shared_weight, *self.shared_bias):
            digest.update(raw(part.detach().cpu()))
        return digest.hexdigest()

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> BitExtractionMoMLP:
        """Called by .to(), .float() and the like; words do not survive in fewer than 53 bits."""
        found = fn(torch.empty(0, dtype=torch.float64, device=self.place)).dtype
        if found != torch.float64:
            raise RuntimeError(
                f"bit-extraction experts must stay in float64 (their words have up to 52 bits), got {found}"
            )
        super()._apply(fn, recurse)
        self._references = tuple(layer.entries_on(self.place) for layer in self._references)
        self._order = None
        return self

    @property
    def place(self) -> torch.device:
        return self.shared_bias[0].device

    def _network_of(self, weight: Tensor, bias: Tensor) -> nn.Sequential:
        """Plain layers of a table (m, T) and offsets (m,): m networks side by side."""
        last = len(self.shared_weight) - 1

        def layers() -> Iterator[tuple[Tensor, Tensor]]:
            for i in range(last + 1):
                w, b = self._dense(i, weight)
                b = b + bias[:, None] if i == last else b
                yield torch.cat(list(w)) if i == 0 else torch.block_diag(*w), b.flatten()

        return stack(layers())

    def expert(self, leaf: Leaf) -> nn.Sequential:
        """The expert of one leaf as a plain Linear/ReLU stack with its own copy of the weights."""
        weight, bias = self.output_layers(self.one_leaf(leaf))
        return self._network_of(weight[0], bias[0])

    def __repr__(self) -> str:
        # hundreds of shared layers are not worth printing one by one
        return f"{type(self).__name__}({self.extra_repr()}, layers={len(self.shared_weight)})"

    def nodes(self) -> WordNodes:
        return WordNodes(self)

    # --- evaluation ---

    def _dense(self, i: int, table: Tensor) -> tuple[Tensor, Tensor]:
        """Weights (m, out, in) and biases (m, out) of layer i with the entries of tables (m, T) filled in."""
        return filled(self._references[i], self.shared_weight[i].detach(), self.shared_bias[i].detach(), table)

    @property
    def _chunk_rows(self) -> int:
        return 1 << 14

    def run_experts(self, x: Tensor, rows: Rows, at: Tensor) -> Tensor:
        """Outputs (B, m) of points x (B, n) answered by the experts rows[at], rows = (tables, offsets)."""
        weight, bias = rows
        widest = max(1, max(len(layer.entry) for layer in self._references))
        chunk = min(self.points_at_once, max(1, GATHER_BYTES // (8 * self.m * widest)))
        parts = zip(x.split(chunk), at.split(chunk), strict=True)
        if torch.is_grad_enabled() and x.requires_grad:
            # a gradient through thousands of small additions takes ten times as long as through matrix products
            return torch.cat([self._as_products(points, weight, bias, index) for points, index in parts])
        order = self._ordered(torch.cat([w.detach().flatten() for w in self.shared_weight]))
        return torch.cat([self._in_turns(points, order, weight, bias, index) for points, index in parts])

    def _ordered(self, flat: Tensor) -> _Order:
        """The order for the present weights (N,), of all layers in a line; made again when others than before are not
        0."""
        order = self._order
        if order is None or bool(((flat != 0) & ~order.filled).any()):
            weights, entries, before = [], [], 0
            for i, weight in enumerate(self.shared_weight):
                row, column = (weight.detach() != 0).nonzero().unbind(1)
                weights.append(_turns(row, column, before + row * weight.shape[1] + column, torch.ones_like(row)))
                layer = self._references[i]
                entries.append(_turns(layer.row, layer.column, layer.entry, layer.factor))
                before += weight.numel()
            self._order = order = _Order(weights, entries, flat != 0)
        return order

    def _in_turns(self, x: Tensor, order: _Order, tables: Tensor, offsets: Tensor, at: Tensor) -> Tensor:
        flat = torch.cat([w.flatten() for w in self.shared_weight])
        hidden = x.double().T[:, None].expand(-1, self.m, -1)
        outputs = torch.arange(self.m, device=x.device)[:, None]
        for i, (weights, entries) in enumerate(zip(order.weights, order.entries, strict=True)):
            hidden = hidden.relu() if i else hidden
            after = self.shared_bias[i][:, None, None].repeat(1, self.m, x.shape[0])
            for turn in weights:
                after = _plus(after, turn, flat[turn.at][:, None, None] * hidden.index_select(0, turn.column))
            for turn in entries:
                values = turn.factor[:, None, None] * tables[at, outputs, turn.at[:, None, None]]
                inner = turn.column[:, None, None] >= 0
                reads = torch.where(inner, hidden.index_select(0, turn.column.clamp(min=0)), 1.0)
                after = _plus(after, turn, values * reads)
            hidden = after
        return hidden[0].T + offsets[at]

    # --- under a transform, where no weight may be looked at, and for gradients; the same up to rounding ---

    def _gather(self, x: Tensor) -> Tensor:
        assert self.out_weight is not None
        assert self.out_bias is not None
        return self._as_products(x, self.out_weight, self.out_bias, self.tree.flat_index(self.route(x)))

    def _as_products(self, x: Tensor, tables: Tensor, offsets: Tensor, at: Tensor) -> Tensor:
        hidden = x.double()[:, None].expand(-1, self.m, -1)
        outputs = torch.arange(self.m, device=x.device)[:, None]
        for i in range(len(self.shared_weight)):
            hidden = hidden.relu() if i else hidden
            after = nn.functional.linear(hidden, self.shared_weight[i], self.shared_bias[i])
            layer = self._references[i]
            if len(layer.entry):
                values = layer.factor * tables[at[:, None, None], outputs, layer.entry]
                reads = torch.ones_like(values)
                reads[..., layer.inner] = hidden[..., layer.column[layer.inner]]
                after = after.index_add(2, layer.row, values * reads)
            hidden = after
        return hidden[..., 0] + offsets[at]
