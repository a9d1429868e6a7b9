"""`PencilMoMLP`: a mixture of pencils or constants, experts that share their first layer.

A batch needs relu(W x + b) once and a gather of output weights.

Main definition: `PencilMoMLP`.
"""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor, nn

from constructions.expert_rows.cache import Rows
from constructions.fixed_order import affine, contract, total
from constructions.mixture import built_here
from constructions.momlp import pencil_kernel
from constructions.momlp.experts import FAMILIES
from constructions.momlp.fit import node_axis
from constructions.momlp.model import MoMLP
from constructions.momlp.pencil_nodes import PencilNodes
from constructions.pathway_tree.routed import Leaf

CHUNK_BYTES = 1 << 21


@final
@built_here
class PencilMoMLP(MoMLP):
    """`hidden_weight` (K, n), `hidden_bias` (K,) and, with PReLU, `slope` (K,) are shared by all experts."""

    slope: nn.Parameter | None
    gather_copies = 3

    def _share(self, device: torch.device) -> None:
        """Register what all experts have in common: their first layer."""
        plan = self.plan
        t = node_axis(plan, device, plan.dtype).to(plan.dtype)
        weight, bias = FAMILIES[plan.expert].hidden_layer(t, plan.n, axis=plan.n - 1)
        self.hidden_weight = nn.Parameter(weight, requires_grad=False)
        self.hidden_bias = nn.Parameter(bias, requires_grad=False)
        slope = torch.zeros_like(bias) if plan.activation == "prelu" and plan.knots else None
        self.slope = None if slope is None else nn.Parameter(slope, requires_grad=False)

    @property
    def place(self) -> torch.device:
        return self.hidden_bias.device

    def shared_layer(self) -> tuple[Tensor, Tensor, Tensor | None] | None:
        return self.hidden_weight, self.hidden_bias, self.slope

    def nodes(self) -> PencilNodes:
        return PencilNodes(self)

    def knots(self) -> Tensor | None:
        resolved = self.plan.knots > 0 and self.lattice.q == self.n - 1
        return self.lattice.knot_positions(self.place) if resolved else None

    def expert(self, leaf: Leaf) -> nn.Sequential:
        """The expert of one leaf as a plain Linear/ReLU (PReLU) stack with its own copy of the weights."""
        weight, bias = self.output_layers(self.one_leaf(leaf))
        return FAMILIES[self.plan.expert].network(self.hidden_weight, self.hidden_bias, self.slope, weight[0], bias[0])

    # --- evaluation ---

    def reads_in_place(self) -> bool:
        return self.stored and self.place.type == "cpu" and pencil_kernel.compiled() is not None

    def run_experts(self, x: Tensor, rows: Rows, at: Tensor) -> Tensor:
        """Outputs (B, m) of points x (B, n) answered by the experts rows[at], rows = (output weights, biases)."""
        weight, bias = rows
        y = pencil_kernel.run(x, at, rows, (self.hidden_weight, self.hidden_bias), self.slope)
        if y is not None:
            return y
        axes = (self.hidden_weight != 0).any(0).nonzero()[:, 0]  # pencils look at one: the others add nothing
        read, count = self.hidden_weight[:, axes], min(self._chunk_rows, self.points_at_once)
        parts = zip(x[:, axes].split(count), at.split(count), strict=True)
        return torch.cat([self._answer(part, read, weight, bias, index) for part, index in parts])

    @property
    def _chunk_rows(self) -> int:
        row = self.m * (self.plan.knots + 1) * self.hidden_bias.element_size()
        return max(1, CHUNK_BYTES // row)

    def _gather(self, x: Tensor) -> Tensor:
        weight, bias = self.output_layers(self.route(x))
        return self._evaluate(x, self.hidden_weight, weight, bias)

    def _evaluate(self, x: Tensor, hidden_weight: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """Outputs (B, m) of points x (B, a) with a first layer (K, a), output weights (B, m, K) and biases (B, m)."""
        if not self.plan.knots:
            return bias
        return contract(self._hidden(x.to(bias.dtype), hidden_weight)[:, None, :], weight) + bias

    def _answer(self, x: Tensor, hidden_weight: Tensor, weight: Tensor, bias: Tensor, at: Tensor) -> Tensor:
        """`_evaluate` with weights (L, m, K) and biases (L, m) gathered when the first layer needs no memory any more,
        and multiplied in place."""
        if not self.plan.knots:
            return bias[at]
        hidden = self._hidden(x.to(bias.dtype), hidden_weight)[:, None, :]
        gathered = weight[at]
        if torch.is_grad_enabled() and (hidden.requires_grad or gathered.requires_grad):
            return contract(hidden, gathered) + bias[at]
        return total(gathered.mul_(hidden)) + bias[at]

    def _hidden(self, x: Tensor, hidden_weight: Tensor) -> Tensor:
        hidden = affine(x, hidden_weight, self.hidden_bias)
        return hidden.relu() if self.slope is None else torch.where(hidden > 0, hidden, self.slope * hidden)
