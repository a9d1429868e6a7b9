"""Random multilayer perceptrons with explicit generators.

Main definitions: `gaussian_mlp` (torch), `numpy_mlp` (numpy, for networks that others can draw again).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from constructions.errors import (
    BudgetExceeded,
    require_choice,
    require_device,
    require_instance,
    require_positive,
    shown,
)
from constructions.networks import stack

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "tanh": nn.Tanh,
    "leaky_relu": nn.LeakyReLU,
    "linear": nn.Identity,
}
MOST_WEIGHTS = 1 << 26


def require_widths(widths: Sequence[int]) -> tuple[int, ...]:
    """`widths` as a tuple (n_0, …, n_L) of at least two positive integers; ValueError or BudgetExceeded otherwise."""
    listed = tuple(widths) if isinstance(widths, (list, tuple)) else ()
    if len(listed) < 2 or any(type(w) is not int or w < 1 for w in listed):
        raise ValueError(f"`widths` must be at least two positive integers (n_0, …, n_L), got {shown(widths)}")
    weights = sum(m * n for m, n in zip(listed[1:], listed, strict=False))
    if weights > MOST_WEIGHTS:
        raise BudgetExceeded(f"`widths` must be smaller: {weights} weights are more than {MOST_WEIGHTS}")
    return listed


def gaussian_mlp(
    widths: Sequence[int],
    *,
    sigma: float,
    bias: float = 0.0,
    activation: str = "relu",
    generator: torch.Generator,
    device: torch.device | str | None = None,
) -> nn.Sequential:
    """A float64 network of widths (n_0, …, n_L): weights iid N(0, sigma²), biases iid N(0, bias²), no activation last.

    Drawn on the CPU, layer by layer, the weight before the bias: equal for equal seeds on every device. `activation` is
    one of `ACTIVATIONS`. ValueError, TypeError or BudgetExceeded for sizes and numbers that are none.
    """
    listed = require_widths(widths)
    require_positive("sigma", sigma)
    require_positive("bias", bias, allow_zero=True)
    bend = ACTIVATIONS[require_choice("activation", activation, tuple(ACTIVATIONS))]
    require_instance("generator", generator, torch.Generator)
    where = require_device("device", device)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, dtype=torch.float64, generator=generator)

    layers = []
    for n, m in itertools.pairwise(listed):
        weight = float(sigma) * draw(m, n)
        layers.append((weight, float(bias) * draw(m) if bias else torch.zeros(m, dtype=torch.float64)))
    return stack(layers, [bend() for _ in layers[1:]]).to(where)


def numpy_mlp(
    widths: Sequence[int], rng: np.random.Generator, *, gain: float = 1.4, bias: float = 0.5
) -> nn.Sequential:
    """A float64 ReLU network of these widths: per layer W = standard_normal((n_l, n_{l−1})) / √n_{l−1} · gain, then
    b = bias · standard_normal(n_l).

    Advances `rng` by exactly these draws. ValueError or TypeError for sizes and numbers that are none.
    """
    listed = require_widths(widths)
    require_instance("rng", rng, np.random.Generator)
    require_positive("gain", gain)
    require_positive("bias", bias, allow_zero=True)
    layers = []
    for n, m in itertools.pairwise(listed):
        weight = rng.standard_normal((m, n)) / math.sqrt(n) * gain
        layers.append((torch.from_numpy(weight), torch.from_numpy(bias * rng.standard_normal(m))))
    return stack(layers)
