"""`StackedMoMLP`: a mixture whose experts are MLPs of any one architecture, held as stacked weights.

Layer i has weights (L, out, in) and biases (L, out), or (1, out, in) and (1, out) where all experts agree; ReLU between
layers. A batch runs through gathered weights, layer by layer, never expert by expert, and sums are in a fixed order
(`fixed_order`): a point's answer does not depend on the batch it came in.

Main definition: `StackedMoMLP`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from constructions.errors import require_instance, require_int
from constructions.fixed_order import affine, contract
from constructions.functions.box import Box
from constructions.networks import stack
from constructions.pathway_tree.lattice import Lattice
from constructions.pathway_tree.routed import Leaf, RoutedExperts
from constructions.pathway_tree.tree import PathwayTree

CHUNK_BYTES = 1 << 24


class StackedMoMLP(RoutedExperts):
    """`cells` (M_1 … M_q) cells on the first q axes of `domain`, a tree of `valency` over them, and `layers`.

    ValueError when the layers do not fit together, or are neither shared nor one an expert. No parameter requires a
    gradient until asked.
    """

    def __init__(
        self, domain: Box, cells: tuple[int, ...], layers: Sequence[tuple[Tensor, Tensor]], *, valency: int = 2
    ):
        require_instance("domain", domain, Box)
        require_instance("cells", cells, (tuple, list))
        require_int("len(cells)", len(cells), 0, domain.n)
        if not isinstance(layers, (list, tuple)) or not layers:
            raise TypeError(f"`layers` must be a non-empty list of weights and biases, got {type(layers).__name__}")
        lattice, tree = Lattice(domain, tuple(cells), 0), PathwayTree(tuple(cells), valency=valency)
        inputs = domain.n
        for i, layer in enumerate(layers):
            weight, bias = _require_pair(i, layer)
            if weight.ndim != 3 or weight.shape[2] != inputs or bias.shape != weight.shape[:2]:
                raise ValueError(
                    f"`layers[{i}]` must be weights (E, out, {inputs}) and biases (E, out), got {tuple(weight.shape)} "
                    f"and {tuple(bias.shape)}"
                )
            if weight.shape[0] not in (1, tree.num_leaves):
                raise ValueError(f"`layers[{i}]` must hold 1 or {tree.num_leaves} experts, got {weight.shape[0]}")
            inputs = weight.shape[1]
        super().__init__(lattice, tree, inputs)
        self.weights = nn.ParameterList(nn.Parameter(w, requires_grad=False) for w, _ in layers)
        self.biases = nn.ParameterList(nn.Parameter(b, requires_grad=False) for _, b in layers)

    @property
    def depth(self) -> int:
        """J, the number of hidden layers."""
        return len(self.weights) - 1

    @property
    def active_parameters(self) -> int:
        """Parameters of the one expert that answers a query."""
        return sum(p[0].numel() for p in self.parameters())

    def expert(self, leaf: Leaf) -> nn.Sequential:
        """The expert of one leaf as a plain Linear/ReLU stack with its own copy of the weights."""
        flat = int(self.tree.flat_index(self.one_leaf(leaf)))
        pairs = zip(self.weights, self.biases, strict=True)
        return stack((w[flat if len(w) > 1 else 0], b[flat if len(w) > 1 else 0]) for w, b in pairs)

    def forward(self, x: Tensor) -> Tensor:
        """(B, n) -> (B, m). ValueError for a wrong shape, device, or a point outside the domain."""
        self.lattice.domain.require_inside("x", self.require_queries(x))
        return torch.cat([self._evaluate(part) for part in x.split(self._chunk_rows)])

    @property
    def _chunk_rows(self) -> int:
        return max(1, CHUNK_BYTES // max(w[0].nbytes for w in self.weights))

    def _evaluate(self, x: Tensor) -> Tensor:
        leaf = self.tree.flat_index(self.route(x))
        hidden = x.to(self.weights[0].dtype)
        for i, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            hidden = hidden.relu() if i else hidden
            if len(weight) == 1:
                hidden = affine(hidden, weight[0], bias[0])
            else:
                hidden = contract(hidden[:, None], weight[leaf]) + bias[leaf]
        return hidden

    def extra_repr(self) -> str:
        widths = [w.shape[1] for w in self.weights]
        return f"n={self.n}, leaves={self.num_leaves}, widths={widths}, valency={self.tree.valency}"


def _require_pair(number: int, layer: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """Weight and bias of a layer, floating tensors of one type on one device; TypeError or ValueError otherwise."""
    if not isinstance(layer, (list, tuple)) or len(layer) != 2 or not all(isinstance(t, Tensor) for t in layer):
        raise TypeError(f"`layers[{number}]` must be a pair of tensors, got {type(layer).__name__}")
    weight, bias = layer
    if not weight.is_floating_point() or weight.dtype != bias.dtype or weight.device != bias.device:
        raise ValueError(
            f"`layers[{number}]` must be floating tensors of one dtype on one device, got {weight.dtype} on "
            f"{weight.device} and {bias.dtype} on {bias.device}"
        )
    return weight, bias
