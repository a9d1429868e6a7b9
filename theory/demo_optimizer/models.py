"""Small models whose parameters have all kinds of shapes: matrices, vectors, 4-D weights, primes.

Main definitions: `MODELS`.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from theory.demo_optimizer.tasks import LENGTH, VOCABULARY, WIDTH


def perceptron() -> nn.Module:
    """64-64-64-10."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))


def transformer() -> nn.Module:
    """Letters, places, one block of torch's encoder, an output."""
    torch.manual_seed(0)
    block = nn.TransformerEncoderLayer(WIDTH, 2, 4 * WIDTH, batch_first=True)
    return nn.ModuleList(
        [nn.Embedding(VOCABULARY, WIDTH), nn.Embedding(LENGTH, WIDTH), block, nn.Linear(WIDTH, VOCABULARY)]
    )


def convolution() -> nn.Module:
    """Two convolutions with 4-D weights, and prime sizes."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 16, 5), nn.Conv2d(16, 31, 3), nn.Linear(31, 7))


MODELS: dict[str, Callable[[], nn.Module]] = {
    "perceptron": perceptron,
    "transformer": transformer,
    "convolution": convolution,
}
