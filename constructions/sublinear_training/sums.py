"""Outputs, Gram counts and weight changes of a step, from the fired pairs alone.

    f_i = m^(−1/2) Σ_{r fires at x_i} a_r (⟨w_r, x_i⟩ − b),   C_ij = units that fire at both,   Σ_{i: r fires} g_i x_i

Main definitions: `Sums`, `PairSums` (as many places as pairs, sums by segments), `PaddedSums` (a fixed number of
places, sums by matrix products over the units that fire; the host waits for nothing).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import final

import torch
from torch import Tensor

from constructions.sublinear_training.methods import Found


class Sums(ABC):
    """Of found pairs over points (n, d): `units` (U,) that fire, in order, which of them are `valid` if not all, `both`
    (n, n) counts, and `fires` (n,), the number of units that fire at each point."""

    units: Tensor
    valid: Tensor | None
    both: Tensor

    @property
    def fires(self) -> Tensor:
        return self.both.diagonal()

    @abstractmethod
    def outputs(self, terms: Tensor) -> Tensor:
        """Σ over the units of each point (n,) of a term (F,) a pair."""

    @abstractmethod
    def changes(self, solution: Tensor, points: Tensor) -> Tensor:
        """Σ_i g_i x_i over the points of each unit, (U, d)."""

    @abstractmethod
    def touched(self) -> Tensor:
        """|U|, without dimensions."""


@final
class PairSums(Sums):
    """Sums run over the pairs, in order; pairs of points are joined inside each unit, Σ c_r² of them."""

    valid = None

    def __init__(self, found: Found, n: int):
        self.points = found.fired.points
        self.units, self.counts = torch.unique_consecutive(found.fired.neurons, return_counts=True)
        self.both = self._joined(n)

    def _joined(self, n: int) -> Tensor:
        counts, place = self.counts, torch.arange(len(self.points), device=self.points.device)
        partners = counts.repeat_interleave(counts)  # of each pair: those of its unit
        total = int(partners.sum())
        first = (counts.cumsum(0) - counts).repeat_interleave(counts)
        left = place.repeat_interleave(partners, output_size=total)
        start = (partners.cumsum(0) - partners).repeat_interleave(partners, output_size=total)
        right = first[left] + torch.arange(total, device=place.device) - start
        return torch.bincount(self.points[left] * n + self.points[right], minlength=n * n).view(n, n)

    def outputs(self, terms: Tensor) -> Tensor:
        order = torch.argsort(self.points, stable=True)
        return torch.segment_reduce(terms[order], "sum", lengths=self.fires.contiguous())

    def changes(self, solution: Tensor, points: Tensor) -> Tensor:
        terms = solution[self.points, None] * points[self.points]
        return torch.segment_reduce(terms, "sum", lengths=self.counts, axis=0)

    def touched(self) -> Tensor:
        return torch.full((), len(self.units), device=self.units.device)


@final
class PaddedSums(Sums):
    """Which unit fires where as a matrix (places, n) of zeros and ones, whose product with itself is exact."""

    def __init__(self, found: Found, n: int):
        fired = found.fired
        assert fired.valid is not None
        places, device = len(fired), fired.neurons.device
        head = fired.valid.clone()
        head[1:] &= fired.neurons[1:] != fired.neurons[:-1]
        row = torch.where(fired.valid, head.cumsum(0) - 1, places)
        self._cell = torch.where(fired.valid, row * n + fired.points, places * n)
        self.units = torch.zeros(places + 1, dtype=torch.int64, device=device).scatter_(0, row, fired.neurons)[:places]
        self._number = head.sum()
        self.valid = torch.arange(places, device=device) < self._number
        self.units = self.units * self.valid
        self._fires = self._matrix(fired.valid.double(), n)
        self.both = (self._fires.t() @ self._fires).round().long()

    def _matrix(self, values: Tensor, n: int) -> Tensor:
        """Values (F,) of pairs as a matrix (places, n) of units by points."""
        cells = values.new_zeros(len(self.units) * n + 1)
        return cells.scatter_(0, self._cell, values)[:-1].view(-1, n)

    def outputs(self, terms: Tensor) -> Tensor:
        return self._matrix(terms, self.both.shape[0]).sum(0)

    def changes(self, solution: Tensor, points: Tensor) -> Tensor:
        return (self._fires * solution) @ points

    def touched(self) -> Tensor:
        return self._number
