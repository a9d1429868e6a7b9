"""Plain networks that every reader understands: a stack of Linear layers with ReLU or PReLU between, and a constant.

Main definitions: `Layers`, `stack`, `Constant`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

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
    # without the random weights that nn.Linear would draw first
    options = {"dtype": weight.dtype, "device": weight.device}
    layer = cast(nn.Linear, nn.utils.skip_init(nn.Linear, weight.shape[1], weight.shape[0], **options))
    with torch.no_grad():
        layer.weight.copy_(weight)
        layer.bias.copy_(bias)
    return layer
