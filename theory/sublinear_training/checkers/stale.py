"""Stale keys, replayed from the weights of a run: who is keyed anew, and what a query at b − R reports.

    refresh r after a step when ρ_r = Σ‖ΔW_r‖ since the last time exceeds R
    refreshes ≤ Σ_r ⌊P_r/R⌋ ≤ Σ_r (P_r/R)² ≤ (Σ_t ‖ΔW_t‖/R)²,   P_r = Σ_t ‖ΔW_t,r‖

Main definitions: `StaleReplay`, `Chain`, `refresh_chain`.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from theory.sublinear_training.checkers.fired_set import rounding

WIDER = 1 + 1e-12


class StaleReplay:
    """Follows weights (m, d) step by step, with its own keys and its own path lengths."""

    def __init__(self, weight: Tensor, points: Tensor, bias: float, radius: float):
        self.points, self.bias, self.radius = points, bias, radius
        self.weight, self.reference = weight.clone(), weight.clone()
        self.way = weight.new_zeros(len(weight))
        self._longest = float(weight.norm(dim=1).max())

    def reported(self) -> tuple[Tensor, Tensor]:
        """Masks (m, n): stale keys above the threshold, and those of them that may fire."""
        norm = float(self.points.norm(dim=1).max()) * WIDER
        slack = rounding(self.weight / self.weight.norm(dim=1).max() * self._longest, self.points) * WIDER
        stale = self.reference @ self.points.t()
        reported = stale > self.bias - self.radius * WIDER * norm - slack
        return reported, reported & (stale + self.way[:, None] * (WIDER * norm) + slack > self.bias)

    def moved(self, weight: Tensor) -> Tensor:
        """Go on to the next weights; the units (R,) keyed anew."""
        way = (weight - self.weight).norm(dim=1)
        self.way += way
        self.weight = weight.clone()
        self._longest = max(self._longest, float(weight.norm(dim=1).max()))
        far = self.way > self.radius
        self.reference = torch.where(far[:, None], weight, self.reference)
        self.way = torch.where(far, 0, self.way)
        return far.nonzero()[:, 0]


@dataclass(frozen=True)
class Chain:
    """The four numbers, each at most the next if the theorem holds."""

    refreshes: int
    floors: int
    squares: float
    minkowski: float

    @property
    def holds(self) -> bool:
        slack = 1 + 1e-9  # of sums of at most 2^40 float64 terms, none negative
        return self.refreshes <= self.floors <= self.squares * slack and self.squares <= self.minkowski * slack


def refresh_chain(weights: list[Tensor], radius: float, refreshes: int) -> Chain:
    """The chain of a run through these weights, two at least, with the refreshes that it counted."""
    if len(weights) < 2:
        raise ValueError(f"`weights` must be those of a step at least, got {len(weights)}")
    ways = torch.stack([(after - before).norm(dim=1) for before, after in pairwise(weights)])
    path = ways.sum(0)
    floors = int(torch.floor(path * (1 + 1e-12) / radius).sum())
    return Chain(
        refreshes, floors, float((path / radius).square().sum()), float((ways.norm(dim=1).sum() / radius) ** 2)
    )
