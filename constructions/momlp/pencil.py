"""Pencil experts (k = 1): one hidden layer that interpolates f along the last axis at the cell's centre.

    f̂(x) = y_0 + Σ_{j<K} (s_j − s_{j−1})·relu(x_n − t_j),   s_j = (y_{j+1} − y_j)/(t_{j+1} − t_j),  s_{−1} = 0

as Linear(n, K) (rows e_n, bias −t_j) → ReLU or PReLU (slope 0, learnable) → Linear(K, m).

Main statements: P = K(n+1+m) + m parameters (+ K with PReLU); at most K(m+2) + m − 1 of the ReLU network's are
non-zero when the axis starts at 0, with equality if no slope repeats and no value vanishes.
Notation: knots t (K+1,), values y (E, K+1, m) of E experts.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from constructions.networks import stack

RESOLVED = 1


def parameters(n: int, m: int, knots: int, activation: str) -> int:
    return shared_parameters(n, knots, activation) + knots * m + m


def shared_parameters(n: int, knots: int, activation: str) -> int:
    """The first layer (and PReLU slopes): the same in every expert of a model."""
    return knots * (n + 1) + (knots if activation == "prelu" else 0)


def hidden_layer(t: Tensor, n: int, axis: int) -> tuple[Tensor, Tensor]:
    """Weight (K, n) with rows e_axis, bias (K,) = −t_0 … −t_{K−1}."""
    weight = t.new_zeros(len(t) - 1, n)
    weight[:, axis] = 1
    return weight, -t[:-1]


def fit(t: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Output weights (E, m, K) and biases (E, m) that interpolate y (E, K+1, m) at the knots t (K+1,)."""
    slopes = torch.diff(y, dim=1) / torch.diff(t)[None, :, None]
    bends = torch.cat([slopes[:, :1], torch.diff(slopes, dim=1)], dim=1)
    return bends.transpose(1, 2).contiguous(), y[:, 0].clone()


def network(weight: Tensor, bias: Tensor, slope: Tensor | None, out_weight: Tensor, out_bias: Tensor) -> nn.Sequential:
    """One expert as a plain Linear/ReLU (or PReLU)/Linear stack with its own copy of the weights."""
    bend: nn.Module = nn.ReLU()
    if slope is not None:
        bend = nn.PReLU(len(bias), device=weight.device, dtype=weight.dtype)
        bend.weight.data.copy_(slope)
    return stack([(weight, bias), (out_weight, out_bias)], [bend])
