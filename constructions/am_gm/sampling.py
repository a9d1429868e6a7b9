"""Errors of sampling with and without replacement over epochs: their means, and simulations.

The error is e ← A_j e, an epoch n steps. E e after an epoch is E[n]e_0; E|e|² is e_0'Ñe_0 with the nested mean Ñ, of
several epochs the nested mean that starts from the one of the epochs after it.

Main definitions: `sampling_rates`, `sampling_rates_exact`, `SamplingRates`, `simulate_sampling`, `Simulation`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Generic, TypeVar

import torch
from flint import fmpq, fmpq_mat
from scipy.special import ndtri
from torch import Tensor

from constructions.am_gm.exact import expected_product_exact, identity, require_rational_matrices
from constructions.am_gm.expectation import expected_product, require_hermitian, require_matrices
from constructions.errors import BudgetExceeded, require_bool, require_instance, require_int, require_tensor, shown

Number = TypeVar("Number", float, Fraction)
MOST_EPOCHS = 10_000
CHUNK_NUMBERS = 1 << 22
MOST_STEPS = 1 << 33  # runs × epochs × steps × d²


@dataclass(frozen=True)
class SamplingRates(Generic[Number]):
    """After epochs 1, 2, …: |E e|² and E|e|² without and with replacement, a tuple of numbers each."""

    mean_without: tuple[Number, ...]
    mean_with: tuple[Number, ...]
    square_without: tuple[Number, ...]
    square_with: tuple[Number, ...]


def sampling_rates(A: Tensor, epochs: int, e0: Tensor | None = None) -> SamplingRates[float]:
    """Rates of the matrices A (n, d, d), real and symmetric, from the error e0 (d,), the vector of ones when None."""
    matrices = _one_tuple(A)
    require_int("epochs", epochs, 1, MOST_EPOCHS)
    start = _start(matrices, e0)
    columns: list[list[float]] = []
    for nested in (False, True):
        for replacement in (False, True):
            middle, column = None, []
            epoch = None if nested else expected_product(matrices, replacement=replacement)
            error = start
            for _ in range(epochs):
                if epoch is not None:
                    error = epoch @ error
                    column.append(float(error @ error))
                else:
                    middle = expected_product(matrices, nested=True, replacement=replacement, start=middle)
                    column.append(float(start @ middle @ start))
            columns.append(column)
    return SamplingRates(*map(tuple, columns))


def sampling_rates_exact(
    A: Sequence[fmpq_mat], epochs: int, e0: Sequence[Fraction | int] | None = None
) -> SamplingRates[Fraction]:
    """`sampling_rates` in rationals."""
    matrices = require_rational_matrices("A", A)
    if any(M.transpose() != M for M in matrices):
        raise ValueError("`A` must hold symmetric matrices")
    require_int("epochs", epochs, 1, MOST_EPOCHS)
    d = matrices[0].nrows()
    numbers = [Fraction(1)] * d if e0 is None else _rational_vector(e0, d)
    start = fmpq_mat(d, 1, [fmpq(v.numerator, v.denominator) for v in numbers])
    columns: list[list[Fraction]] = []
    for nested in (False, True):
        for replacement in (False, True):
            middle, error, column = identity(d), start, []
            epoch = None if nested else expected_product_exact(matrices, replacement=replacement)
            for _ in range(epochs):
                if epoch is not None:
                    error = epoch * error
                    value = (error.transpose() * error)[0, 0]
                else:
                    middle = expected_product_exact(matrices, nested=True, replacement=replacement, start=middle)
                    value = (start.transpose() * middle * start)[0, 0]
                column.append(Fraction(int(value.p), int(value.q)))
            columns.append(column)
    return SamplingRates(*map(tuple, columns))


@dataclass(frozen=True)
class Simulation:
    """Over independent runs, after epochs 1, 2, …: means of |e|² (epochs,), their standard errors (epochs,), and means
    of e (epochs, d)."""

    mean: Tensor
    standard_error: Tensor
    mean_error: Tensor
    runs: int

    def interval(self, confidence: float = 0.999) -> tuple[Tensor, Tensor]:
        """Lower and upper ends (epochs,) of the normal interval of E|e|²."""
        if not isinstance(confidence, float) or not 0 < confidence < 1:
            raise ValueError(f"`confidence` must be a float between 0 and 1, got {shown(confidence)}")
        reach = float(ndtri((1 + confidence) / 2)) * self.standard_error
        return self.mean - reach, self.mean + reach


def simulate_sampling(
    A: Tensor, e0: Tensor, epochs: int, runs: int, *, replacement: bool, generator: torch.Generator
) -> Simulation:
    """`runs` ≥ 2 independent runs of `epochs` epochs from e0 (d,): a fresh uniform order of A's n matrices an epoch, or
    n independent uniform draws with `replacement`.

    The indices are drawn on the generator's device. BudgetExceeded for more than 2³³ products of numbers.
    """
    matrices = _one_tuple(A)
    require_int("epochs", epochs, 1, MOST_EPOCHS)
    require_int("runs", runs, 2)
    require_bool("replacement", replacement)
    require_instance("generator", generator, torch.Generator)
    start = _start(matrices, e0)
    n, d = matrices.shape[0], matrices.shape[1]
    if runs * epochs * n * d * d > MOST_STEPS:
        raise BudgetExceeded(f"`runs` × `epochs` × {n} steps of size {d} are more than {MOST_STEPS} products")
    squares = start.new_zeros(runs, epochs)
    errors = start.new_zeros(epochs, d)
    chunk = max(1, CHUNK_NUMBERS // (d * d))
    for first in range(0, runs, chunk):
        e = start.expand(min(chunk, runs - first), d)
        for epoch in range(epochs):
            for letters in _letters(len(e), n, replacement, generator).to(matrices.device).T:
                e = (matrices[letters] @ e[..., None])[..., 0]
            squares[first : first + chunk, epoch] = e.square().sum(1)
            errors[epoch] += e.sum(0)
    return Simulation(squares.mean(0), squares.std(0) / runs**0.5, errors / runs, runs)


def _letters(runs: int, n: int, replacement: bool, generator: torch.Generator) -> Tensor:
    """The indices (runs, n) of an epoch."""
    options = {"generator": generator, "device": generator.device}
    if replacement:
        return torch.randint(n, (runs, n), **options)
    return torch.rand(runs, n, dtype=torch.float64, **options).argsort(1)


def _one_tuple(A: Any) -> Tensor:
    matrices = require_matrices("A", A)
    if matrices.ndim != 3 or matrices.is_complex():
        raise ValueError(f"`A` must be real of shape (n, d, d), got {matrices.dtype} {tuple(matrices.shape)}")
    require_hermitian("A", matrices)
    return matrices


def _start(matrices: Tensor, e0: Tensor | None) -> Tensor:
    if e0 is None:
        return matrices.new_ones(matrices.shape[-1])
    start = require_tensor("e0", e0, f"({matrices.shape[-1]},)").detach().double().to(matrices.device)
    if start.shape != matrices.shape[-1:] or not bool(torch.isfinite(start).all()):
        raise ValueError(f"`e0` must be {matrices.shape[-1]} finite numbers, got shape {tuple(start.shape)}")
    return start


def _rational_vector(e0: Any, d: int) -> list[Fraction]:
    good = isinstance(e0, (list, tuple)) and all(isinstance(v, (int, Fraction)) for v in e0)
    if not good or len(e0) != d:
        raise ValueError(f"`e0` must be {d} integers or Fractions, got {shown(e0)}")
    return [Fraction(v) for v in e0]
