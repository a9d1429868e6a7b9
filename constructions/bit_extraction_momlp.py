"""`BitExtractionMoMLP`: a mixture of bit-extraction experts that share one architecture and differ in their tables.

The layers are held once; each expert has a table (m, T) and offsets (m,). A batch runs through the shared layers,
and the table entries of each point's expert are added to the rows that refer to them: never expert by expert.

Main definition: `BitExtractionMoMLP`.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from constructions.bit_extraction_fitting import plan_layers
from constructions.bit_extraction_plan import BitExtractionPlan
from constructions.expert_cache import Rows
from constructions.experts.bit_extraction.forms import filled
from constructions.momlp import MoMLP
from constructions.routed import Leaf

GATHER_BYTES = 1 << 24


class BitExtractionMoMLP(MoMLP):
    """`out_weight` (L, m, T) are the tables, `out_bias` (L, m) the offsets; `shared_weight`, `shared_bias` the
    layers."""

    plan: BitExtractionPlan

    def _share(self, device: torch.device) -> None:
        layers = plan_layers(self.plan)
        self.shared_weight = nn.ParameterList(nn.Parameter(p.weight.to(device), requires_grad=False) for p in layers)
        self.shared_bias = nn.ParameterList(nn.Parameter(p.bias.to(device), requires_grad=False) for p in layers)
        self._references = tuple(layer.entries_on(device) for layer in layers)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> BitExtractionMoMLP:
        """Called by .to(), .float() and the like; words do not survive in fewer than 53 bits."""
        found = fn(torch.empty(0, dtype=torch.float64, device=self.place)).dtype
        if found != torch.float64:
            raise RuntimeError(
                f"bit-extraction experts must stay in float64 (their words have up to 52 bits), got {found}"
            )
        super()._apply(fn, recurse)
        self._references = tuple(layer.entries_on(self.place) for layer in self._references)
        return self

    @property
    def place(self) -> torch.device:
        return self.shared_bias[0].device

    def _network_of(self, weight: Tensor, bias: Tensor) -> nn.Sequential:
        """Plain layers of a table (m, T) and offsets (m,): m networks side by side."""
        parts: list[nn.Module] = []
        last = len(self.shared_weight) - 1
        for i in range(last + 1):
            w, b = self._dense(i, weight)
            b = b + bias[:, None] if i == last else b
            full = torch.cat(list(w)) if i == 0 else torch.block_diag(*w)
            linear = nn.Linear(full.shape[1], full.shape[0], dtype=full.dtype, device=full.device)
            with torch.no_grad():
                linear.weight.copy_(full)
                linear.bias.copy_(b.flatten())
            parts += [linear, nn.ReLU()]
        return nn.Sequential(*parts[:-1]).requires_grad_(False)

    def expert(self, leaf: Leaf) -> nn.Sequential:
        """The expert of one leaf as a plain Linear/ReLU stack with its own copy of the weights."""
        weight, bias = self.output_layers(self.one_leaf(leaf))
        return self._network_of(weight[0], bias[0])

    def __repr__(self) -> str:
        # hundreds of shared layers are not worth printing one by one
        return f"{type(self).__name__}({self.extra_repr()}, layers={len(self.shared_weight)})"

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
        if len(x) and bool((at == at[0]).all()):
            return self._with_one_table(x, weight[at[0]], bias[at[0]])
        widest = max(1, max(len(layer.entry) for layer in self._references))
        chunk = max(1, GATHER_BYTES // (8 * self.m * widest))
        parts = zip(x.split(chunk), at.split(chunk), strict=True)
        return torch.cat([self._with_many_tables(points, weight, bias, index) for points, index in parts])

    def _gather(self, x: Tensor) -> Tensor:
        assert self.out_weight is not None
        assert self.out_bias is not None
        return self._with_many_tables(x, self.out_weight, self.out_bias, self.tree.flat_index(self.route(x)))

    def _with_one_table(self, x: Tensor, table: Tensor, offset: Tensor) -> Tensor:
        hidden = x.double().expand(self.m, -1, -1)
        for i in range(len(self.shared_weight)):
            weight, bias = self._dense(i, table)
            hidden = hidden.relu() if i else hidden
            hidden = torch.baddbmm(bias[:, None], hidden, weight.transpose(1, 2))
        return hidden[..., 0].T + offset

    def _with_many_tables(self, x: Tensor, tables: Tensor, offsets: Tensor, at: Tensor) -> Tensor:
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
