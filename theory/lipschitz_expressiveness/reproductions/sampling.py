"""Means over random networks with 99.9 % normal intervals, in batches and from an explicit generator.

Main definitions: `Mean`, `mean_of`, `nine_digits`, `gaussians`, `spectral_norms`, `relu_outputs`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

QUANTILE = 3.2905267314919255
"""Of the normal distribution: 0.9995."""

FEWEST = 1000
NUMBERS_AT_ONCE = 1 << 20


@dataclass(frozen=True)
class Mean:
    """A sampled mean; the expectation lies within `half` of it in 99.9 % of all cases where the normal law is near."""

    value: float
    half: float
    draws: int

    def meets(self, low: float, high: float) -> bool:
        """Whether the interval meets [low, high]; NaN meets nothing."""
        return self.value + self.half >= low and self.value - self.half <= high


def mean_of(values: Tensor) -> Mean:
    """The mean of independent draws (D,), D ≥ 1000; ValueError for fewer, or for numbers that are none."""
    if values.ndim != 1 or len(values) < FEWEST or not bool(torch.isfinite(values).all()):
        raise ValueError(f"`values` must be at least {FEWEST} finite numbers (D,), got shape {tuple(values.shape)}")
    half = QUANTILE * float(values.std()) / math.sqrt(len(values))
    return Mean(nine_digits(float(values.mean())), nine_digits(half), len(values))


def nine_digits(value: float) -> float:
    """More than a sampled number is worth, and the same on every device: eigenvalues differ in the last of sixteen."""
    return float(f"{value:.9g}")


def gaussians(m: int, n: int, draws: int, generator: torch.Generator, device: torch.device) -> Iterator[Tensor]:
    """Batches (B, m, n) of standard Gaussian matrices, `draws` in all; drawn on the CPU, equal on every device."""
    size = max(1, NUMBERS_AT_ONCE // (m * n))
    for start in range(0, draws, size):
        count = min(size, draws - start)
        yield torch.randn(count, m, n, dtype=torch.float64, generator=generator).to(device)


def spectral_norms(matrices: Tensor) -> Tensor:
    """‖·‖ (B,) of matrices (B, m, n), as float64 finds them by the Gram matrix: faster than by singular values, and as
    good for the largest."""
    gram = matrices @ matrices.mT if matrices.shape[1] <= matrices.shape[2] else matrices.mT @ matrices
    return torch.linalg.eigvalsh(gram)[:, -1].sqrt()


def relu_outputs(
    widths: Sequence[int], sigma: float, x: Tensor, draws: int, generator: torch.Generator
) -> list[Tensor]:
    """f(x) (draws, P, n_L) of ReLU networks without biases at points x (P, n_0), and of those that end one layer
    earlier: for each l ≥ 1 a list entry W_l relu(W_{l−1} ⋯) (draws, P, n_l)."""
    state = x.expand(draws, *x.shape)
    outputs = []
    for n, m in itertools.pairwise(widths):
        parts, start = [], 0
        for batch in gaussians(m, n, draws, generator, x.device):
            parts.append(sigma * state[start : start + len(batch)] @ batch.mT)
            start += len(batch)
        outputs.append(torch.cat(parts))
        state = outputs[-1].relu()
    return outputs
