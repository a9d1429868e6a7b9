"""Banks of MLPs of one architecture: every expert is a row of numbers, and all of them run at once.

Row layout: W_1, b_1, W_2, b_2, … flattened, for widths (n, h_1, …, h_J, m) and ReLU between layers.

Main definitions: `parameters`, `layers`, `initial`, `run_gathered`, `plain_network`, `rescaled`.
Implementation notes: `run_gathered` sums in a fixed order, so that a point's answer does not depend on the batch it
came in. Training is in `steps`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from constructions.errors import shown
from constructions.fixed_order import contract
from constructions.networks import stack

Widths = tuple[int, ...]
WIDEST = 1 << 20


def parameters(widths: Widths) -> int:
    """P of one MLP, by formula."""
    return sum(a * b + b for a, b in pairwise(widths))


def layers(rows: Tensor, widths: Widths) -> Iterator[tuple[Tensor, Tensor]]:
    """Views (E, out, in) and (E, out) of every layer of bank rows (E, P)."""
    # one split: the gradient of each slice alone would be a matrix of the whole bank's size
    parts = rows.split([size for inputs, outputs in pairwise(widths) for size in (inputs * outputs, outputs)], dim=1)
    for (inputs, outputs), weight, bias in zip(pairwise(widths), parts[::2], parts[1::2], strict=True):
        yield weight.view(rows.shape[0], outputs, inputs), bias


def initial(count: int, widths: Widths, generator: torch.Generator, dtype: torch.dtype) -> Tensor:
    """Rows (E, P) with weights uniform in ±√(6/in) (He) and biases in ±1/√in, on the generator's device."""
    rows = torch.rand(count, parameters(widths), generator=generator, dtype=dtype, device=generator.device) * 2 - 1
    for weight, bias in layers(rows, widths):
        weight *= math.sqrt(6 / weight.shape[2])
        bias /= math.sqrt(weight.shape[2])
    return rows


def run_gathered(rows: Tensor, widths: Widths, x: Tensor) -> Tensor:
    """Outputs (B, m) of points x (B, n), each by its own row of (B, P)."""
    for i, (weight, bias) in enumerate(layers(rows, widths)):
        x = contract(weight, (x.relu() if i else x)[:, None]) + bias
    return x


def plain_network(row: Tensor, widths: Widths) -> nn.Sequential:
    """One row (P,) as a Linear/ReLU stack with its own copy of the weights."""
    return stack((weight[0], bias[0]) for weight, bias in layers(row[None], widths))


def rescaled(
    rows: Tensor, widths: Widths, *, centre: Tensor, scale: Tensor, output_shift: Tensor, output_scale: Tensor
) -> Tensor:
    """Rows (E, P) of x ↦ net((x − centre)·scale)·output_scale + output_shift: centre (E, n), scale (E,), outputs
    (m,)."""
    rows = rows.clone()
    every = list(layers(rows, widths))
    weight, bias = every[0]
    weight *= scale[:, None, None]
    bias -= contract(weight, centre[:, None])
    weight, bias = every[-1]
    weight *= output_scale[:, None]
    bias *= output_scale
    bias += output_shift
    return rows


def hidden_widths(values: Sequence[int]) -> Widths:
    """`values` as a tuple of positive integers; ValueError otherwise."""
    listed = isinstance(values, Sequence) and not isinstance(values, (str, bytes))
    if not listed or not all(isinstance(w, int) and not isinstance(w, bool) and 1 <= w <= WIDEST for w in values):
        raise ValueError(f"`expert_hidden` must be widths from 1 to {WIDEST}, got {shown(values)}")
    return tuple(values)
