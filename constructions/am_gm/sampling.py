"""Errors of sampling with and without replacement over epochs: exact means, and simulations.

The error is e ← A_j e, an epoch n steps. E e after an epoch is E[n]e_0, E|e|² is e_0'Ñe_0 with the nested mean Ñ that starts
from the last epoch's.

Main definitions: `sampling_rates`, `sampling_rates_exact`, `SamplingRates`, `simulate_sampling`, `Simulation`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Generic, TypeVar

import torch
from flint import fmpq_mat
from torch import Tensor

Number = TypeVar("Number", float, Fraction)


@dataclass(frozen=True)
class SamplingRates(Generic[Number]):
    """After epochs 1, 2, …: |E e|² and E|e|² without and with replacement, a tuple of numbers each."""

    mean_without: tuple[Number, ...]
    mean_with: tuple[Number, ...]
    square_without: tuple[Number, ...]
    square_with: tuple[Number, ...]


def sampling_rates(A: Tensor, epochs: int, e0: Tensor | None = None) -> SamplingRates[float]:
    """Rates of the matrices A (n, d, d) from the error e0 (d,), the vector of ones when None."""
    raise NotImplementedError


def sampling_rates_exact(
    A: Sequence[fmpq_mat], epochs: int, e0: Sequence[Fraction | int] | None = None
) -> SamplingRates[Fraction]:
    """The same in rationals."""
    raise NotImplementedError


@dataclass(frozen=True)
class Simulation:
    """Means of |e|² over independent runs after epochs 1, 2, … (epochs,), and their standard errors (epochs,)."""

    mean: Tensor
    standard_error: Tensor
    runs: int

    def interval(self, confidence: float = 0.999) -> tuple[Tensor, Tensor]:
        """Lower and upper ends (epochs,) of the normal interval."""
        raise NotImplementedError


def simulate_sampling(
    A: Tensor, e0: Tensor, epochs: int, runs: int, *, replacement: bool, generator: torch.Generator
) -> Simulation:
    """`runs` independent runs of `epochs` epochs with a fresh uniform order, or n fresh draws, an epoch."""
    raise NotImplementedError
