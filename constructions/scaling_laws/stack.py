"""Many ReLU networks trained as one stack, each as if it were alone.

G networks x → W_L relu(… relu(x W_1 + b_1) …) + b_L of one depth are rows (G, P) of one tensor; narrower ones are
filled up with zeros to the widest. Every bit of a network's training depends on its own numbers alone, whichever
networks are in the stack, on any number of threads:

- matrix products and the sums of bias gradients are exact on rounded operands (`order_free`), whatever the order, and
  zeros that fill a matrix up change none of them: a unit of zeros stays one, its gradient being 0;
- everything else is +, −, ×, ÷, √, comparisons and sums in a fixed order (`constructions.fixed_order`). torch's own
  AdamW is not, its `lerp`, `addcmul` and `addcdiv` round by an element's place in the tensor.

Main definitions: `Stack`, `Pass`, `seed_of`, `whole_numbers`; `training` trains them.
Notation: G networks, B points a batch, d inputs, o outputs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from constructions.errors import require_device, require_int, shown
from constructions.scaling_laws.order_free import MOST_TERMS, product, rounded


def whole_numbers(name: str, values: Any, low: int, high: int | None = None) -> tuple[int, ...]:
    """`values` as a tuple, one integer in [low, high] or more; ValueError otherwise."""
    if not isinstance(values, (list, tuple, range)) or not len(values):
        raise ValueError(f"`{name}` must be a sequence of integers, one or more, got {shown(values)}")
    return tuple(require_int(name, v, low, high) for v in values)


def seed_of(*parts: int) -> int:
    """A seed for torch made of several numbers ≥ 0, well mixed."""
    return int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0] >> 1)


class Stack:
    """`rows` (G, P), of which `weights` [(G, in, out)] and `biases` [(G, out)] are views, layer by layer."""

    def __init__(self, inputs: int, widths: Sequence[int], depth: int, outputs: int, *, device=None):
        """Zeros for networks with `depth` hidden layers of widths[g] units each."""
        require_int("inputs", inputs, 1, MOST_TERMS)
        require_int("depth", depth, 1, 64)
        require_int("outputs", outputs, 1, MOST_TERMS)
        self.widths = whole_numbers("widths", widths, 1, MOST_TERMS)
        self.depth = depth
        self.sizes = (inputs, *(max(self.widths),) * depth, outputs)
        count = sum((a + 1) * b for a, b in pairwise(self.sizes))
        place = require_device("device", device)
        self.rows = torch.zeros(len(self.widths), count, dtype=torch.float64, device=place)
        self.weights, self.biases = self.layers(self.rows)

    def layers(self, rows: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Views of rows (G, P): weights and biases."""
        weights, biases, start = [], [], 0
        for a, b in pairwise(self.sizes):
            weights.append(rows[:, start : start + a * b].unflatten(1, (a, b)))
            biases.append(rows[:, start + a * b : start + (a + 1) * b])
            start += (a + 1) * b
        return weights, biases

    @classmethod
    def drawn(cls, inputs: int, widths: Sequence[int], depth: int, outputs: int, seeds: Sequence[int], *, device=None):
        """He's weights N(0, 2/in), biases 0; network g drawn on the host from seeds[g] and its width alone."""
        stack = cls(inputs, widths, depth, outputs)
        if len(whole_numbers("seeds", seeds, 0)) != len(stack.widths):
            raise ValueError(f"`seeds` must be one a network, {len(stack.widths)}, got {len(seeds)}")
        for g, (seed, width) in enumerate(zip(seeds, stack.widths, strict=True)):
            generator = torch.Generator().manual_seed(seed_of(seed, width, depth))
            for layer, (a, b) in enumerate(pairwise((inputs, *(width,) * depth, outputs))):
                drawn = torch.randn(a, b, generator=generator, dtype=torch.float64)
                stack.weights[layer][g, :a, :b] = drawn * math.sqrt(2 / a)
        return stack.to(device)

    def to(self, device) -> Stack:
        """A copy there."""
        copy = Stack(self.sizes[0], self.widths, self.depth, self.sizes[-1], device=device)
        copy.rows.copy_(self.rows)
        return copy

    def __len__(self) -> int:
        return len(self.widths)

    def network(self, g: int) -> nn.Sequential:
        """Network g as a plain module of its own width, a copy."""
        require_int("g", g, 0, len(self) - 1)
        layers: list[nn.Module] = []
        for i, (a, b) in enumerate(pairwise((self.sizes[0], *(self.widths[g],) * self.depth, self.sizes[-1]))):
            linear = nn.Linear(a, b, dtype=torch.float64, device=self.rows.device)
            with torch.no_grad():
                linear.weight.copy_(self.weights[i][g, :a, :b].t())
                linear.bias.copy_(self.biases[i][g, :b])
            layers += [linear, nn.ReLU()]
        return nn.Sequential(*layers[:-1])


class Pass:
    """A forward pass of networks [first, last) of a stack, and what its backward pass needs."""

    def __init__(self, stack: Stack, first: int = 0, last: int | None = None):
        self.stack, self.part = stack, slice(first, last)
        self._seen: list[tuple[Tensor, Tensor]] = []

    def outputs(self, x: Tensor) -> Tensor:
        """(G, B, o) of x (G, B, d)."""
        self._seen = []
        matrices, _ = self.stack.layers(rounded(self.stack.rows[self.part]))
        for i, (matrix, bias) in enumerate(zip(matrices, self.stack.biases, strict=True)):
            inputs = rounded(x)
            self._seen.append((inputs, matrix))
            x = product(inputs, matrix).add_(bias[self.part, None])
            if i < self.stack.depth:
                x = x.clamp_(min=0)
        return x

    def backward(self, gradient: Tensor, weights: list[Tensor], biases: list[Tensor]) -> None:
        """Write the gradients of all weights and biases, given that (G, B, o) of the outputs just computed."""
        for i in reversed(range(len(self._seen))):
            inputs, matrix = self._seen[i]
            gradient = rounded(gradient)
            weights[i].copy_(product(inputs.transpose(1, 2), gradient))
            biases[i].copy_(gradient.sum(1))  # multiples of one unit: exact in any order
            if i:
                gradient = product(gradient, matrix.transpose(1, 2)).mul_(inputs > 0)
