"""`ShatteredSet`: points and a map from labelings to networks with integer weights.

Main definition: `ShatteredSet`.
Notation: k points in R^n, labels in {0, 1}; a network f realises a labeling when 1[f(x_i) > 0] = y_i for every i.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

Layers = list[tuple[Tensor, Tensor]]
"""Stacked affine layers, weights (B, out, in) and biases (B, out), with ReLU between them."""


@dataclass(frozen=True)
class ShatteredSet:
    """`points` (k, n), int64; `weights` maps labels (B, k), bool, to B stacked networks (float64 integers).

    `family` and `sizes` say where it comes from; nothing here says whether it is right.
    """

    family: str
    sizes: dict[str, int]
    points: Tensor
    weights: Callable[[Tensor], Layers]

    @property
    def size(self) -> int:
        """k."""
        return len(self.points)

    def module(self, labels: Tensor) -> nn.Sequential:
        """The network of one labeling (k,) as a plain Linear/ReLU stack, float64."""
        if labels.shape != (self.size,) or labels.dtype != torch.bool:
            raise ValueError(
                f"`labels` must be a bool tensor of shape ({self.size},), got {labels.dtype} {labels.shape}"
            )
        parts: list[nn.Module] = []
        for weight, bias in self.weights(labels[None]):
            layer = nn.Linear(weight.shape[2], weight.shape[1], dtype=torch.float64, device=weight.device)
            with torch.no_grad():
                layer.weight.copy_(weight[0])
                layer.bias.copy_(bias[0])
            parts += [layer, nn.ReLU()]
        return nn.Sequential(*parts[:-1]).requires_grad_(False)
