"""Many ReLU networks trained as one stack, each as if it were alone.

G networks x → W_L relu(… relu(x W_1 + b_1) …) + b_L of one depth are rows (G, P) of one tensor; narrower ones are
filled up with zeros to the widest. Every bit of a network's training depends on its own numbers alone, whichever
networks are in the stack, on any number of threads:

- matrix products and the sums of bias gradients are exact on rounded operands (`order_free`), whatever the order, and
  zeros that fill a matrix up change none of them: a unit of zeros stays one, its gradient being 0;
- everything else is +, −, ×, ÷, √, comparisons and sums in a fixed order (`constructions.fixed_order`). torch's own
  AdamW is not, its `lerp`, `addcmul` and `addcdiv` round by an element's place in the tensor.

Main definitions: `Stack`, `Examples`, `Schedule`, `train`, `errors`, `seed_of`.
Notation: G networks, B points a batch, S pools of N points, d inputs, o outputs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn

from constructions import fixed_order
from constructions.errors import require_int
from constructions.progress import Log, silent
from constructions.scaling_laws.order_free import MOST_TERMS, product, rounded

MOST_NUMBERS = 1 << 24
"""What an evaluation holds at once: activations of a layer."""


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
        self.widths = tuple(require_int("widths", width, 1, MOST_TERMS) for width in widths)
        if not self.widths:
            raise ValueError("`widths` must name one network or more")
        self.depth = depth
        self.sizes = (inputs, *(max(self.widths),) * depth, outputs)
        count = sum((a + 1) * b for a, b in pairwise(self.sizes))
        self.rows = torch.zeros(len(self.widths), count, dtype=torch.float64, device=device)
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
        if len(seeds) != len(stack.widths):
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


@dataclass(frozen=True)
class Examples:
    """S pools of points x (S, N, d) with values y (S, N, o) or classes y (S, N); network g draws from pool[g] (G,)."""

    x: Tensor
    y: Tensor
    pool: Tensor

    def batch(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """x (G, B, d) and y of the places `index` (G, B) in each network's own pool."""
        place = index + self.pool[:, None] * self.x.shape[1]
        return self.x.flatten(0, 1)[place], self.y.flatten(0, 1)[place]


def slope(outputs: Tensor, y: Tensor) -> Tensor:
    """The derivative (G, B, o) of the mean loss of each network: squared error of values, cross entropy of classes."""
    points = outputs.shape[1]
    if y.is_floating_point():
        return (outputs - y) * (2 / (points * outputs.shape[2]))
    share = fixed_order.exp(outputs - outputs.amax(-1, keepdim=True))
    share = share / fixed_order.total(share)[..., None]
    chosen = torch.arange(outputs.shape[2], device=y.device) == y[..., None]
    return (share - chosen.double()) * (1 / points)


def errors(stack: Stack, x: Tensor, y: Tensor) -> Tensor:
    """(G,) of each network on common points x (N, d): mean squared error on values y (N, o), share of wrong classes y
    (N,)."""
    step = max(1, MOST_NUMBERS // (len(x) * max(stack.sizes)))
    found = []
    for first in range(0, len(stack), step):
        last = min(len(stack), first + step)
        outputs = Pass(stack, first, last).outputs(x.expand(last - first, *x.shape))
        if y.is_floating_point():
            gap = (outputs - y).flatten(1)
            found.append(fixed_order.total(gap * gap) / gap.shape[1])
        else:
            found.append((outputs.argmax(-1) != y).sum(1).double() / len(y))
    return torch.cat(found)


@dataclass(frozen=True)
class Schedule:
    """AdamW with decoupled weight decay for `steps` batches; the rate falls from `rate` to 0 along a cosine.

    With `watch` > 0, every so many steps the error on a validation set is taken, and the best numbers are kept.
    """

    steps: int
    batch: int = 64
    rate: float = 5e-3
    decay: float = 0.0
    watch: int = 0

    def __post_init__(self):
        require_int("steps", self.steps, 1)
        require_int("batch", self.batch, 1, MOST_TERMS)
        require_int("watch", self.watch, 0)
        for name in ("rate", "decay"):
            value = getattr(self, name)
            if not isinstance(value, (int, float)) or isinstance(value, bool) or not 0 <= value < 1:
                raise ValueError(f"`{name}` must be a number of at least 0 and below 1, got {value!r}")

    def rate_at(self, step: int) -> float:
        """Before step 0, 1, …"""
        return self.rate * (1 + math.cos(math.pi * step / self.steps)) / 2


class AdamW:
    """Its moments for rows (G, P), in elementary operations only."""

    BETA, BETA_SQUARE, EPS = 0.9, 0.999, 1e-8

    def __init__(self, rows: Tensor):
        self.rows, self.number = rows, 0
        self.average, self.square = torch.zeros_like(rows), torch.zeros_like(rows)

    def descend(self, gradient: Tensor, rate: float, decay: float) -> None:
        """One step down `gradient` (G, P), which is overwritten."""
        self.number += 1
        if decay:
            self.rows.mul_(1 - rate * decay)
        self.average.mul_(self.BETA).add_(gradient * (1 - self.BETA))
        self.square.mul_(self.BETA_SQUARE).add_(gradient.mul_(gradient).mul_(1 - self.BETA_SQUARE))
        root = self.square.sqrt().mul_(1 / math.sqrt(1 - self.BETA_SQUARE**self.number)).add_(self.EPS)
        self.rows.sub_(torch.div(self.average, root, out=root).mul_(rate / (1 - self.BETA**self.number)))


def train(
    stack: Stack,
    examples: Examples,
    order: Tensor,
    schedule: Schedule,
    *,
    first: int = 0,
    last: int | None = None,
    masks: Tensor | None = None,
    validation: tuple[Tensor, Tensor] | None = None,
    log: Log = silent,
) -> None:
    """Train all networks of `stack`, in place, on batches `order` (steps, G, B) of places in their pools.

    Only the steps from `first` to before `last` are made, with the rates that they have in the schedule. Where `masks`
    (G, P) is False a number stays as it is: pruned weights are zeros. With a `validation` set (x, y) and a `watch`, the
    stack ends with each network's best numbers. ValueError where a network ends with NaN or infinity.
    """
    optimiser, gradient, run = AdamW(stack.rows), torch.zeros_like(stack.rows), Pass(stack)
    weights, biases = stack.layers(gradient)
    watched = schedule.watch if validation is not None else 0
    best, best_rows = torch.full_like(stack.rows[:, 0], math.inf), stack.rows.clone()
    for step in range(first, schedule.steps if last is None else last):
        x, y = examples.batch(order[step])
        run.backward(slope(run.outputs(x), y), weights, biases)
        if masks is not None:
            gradient.mul_(masks)
        optimiser.descend(gradient, schedule.rate_at(step), schedule.decay)
        if validation is not None and watched and (step + 1) % watched == 0:
            log(f"{len(stack)} networks: step {step + 1} of {schedule.steps}")
            now = errors(stack, *validation)
            better = now < best
            best = torch.where(better, now, best)
            best_rows = torch.where(better[:, None], stack.rows, best_rows)
    if watched:
        stack.rows.copy_(torch.where(torch.isfinite(best)[:, None], best_rows, math.nan))
    finite = torch.isfinite(stack.rows).all(1)
    if not bool(finite.all()):
        raise ValueError(f"`schedule` makes network {int((~finite).nonzero()[0])} diverge: its weights are not finite")
