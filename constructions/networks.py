"""Plain networks that every reader understands: a stack of Linear layers with ReLU or PReLU between, and a constant.

Main definitions: `Layers`, `stack`, `Constant`.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

Layers = list[tuple[Tensor, Tensor]]
"""(weight, bias) of each layer: (out, in) and (out,), or a batch of networks (B, out, in) and (B, out)."""


class Constant(nn.Module):
    """x (B, n) -> `bias` (m,) in every row."""

    def __init__(self, bias: Tensor):
        super().__init__()
        self.bias = nn.Parameter(bias.clone(), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.bias.expand(x.shape[0], -1)


def stack(layers: Iterable[tuple[Tensor, Tensor]], bends: Iterable[nn.Module] | None = None) -> nn.Sequential:
    """Linear → ReLU → … → Linear of the layers (out, in), (out,), with its own copy of the weights.

    `bends` are the modules between the layers where they are not ReLU.
    """
    linear = [_linear(weight, bias) for weight, bias in layers]
    between = [nn.ReLU() for _ in linear[1:]] if bends is None else list(bends)
    parts = [part for pair in zip(linear, between, strict=False) for part in pair]
    return nn.Sequential(*parts, linear[-1]).requires_grad_(False)


def _linear(weight: Tensor, bias: Tensor) -> nn.Linear:
    # an nn.Linear without the random weights that its __init__ would draw first: experts have hundreds of layers, and
    # torch's own skip_init takes twenty times as long
    layer = nn.Linear.__new__(nn.Linear)
    nn.Module.__init__(layer)
    layer.out_features, layer.in_features = weight.shape
    layer.weight = nn.Parameter(weight.detach().clone(memory_format=torch.contiguous_format), requires_grad=False)
    layer.bias = nn.Parameter(bias.detach().clone(), requires_grad=False)
    return layer
