"""Stale keys, replayed from the weights of a run: who is keyed anew, and what a query at b − R reports.

    refresh r after a step when ρ_r = Σ‖ΔW_r‖ since the last time exceeds R
    refreshes ≤ Σ_r ⌊P_r/R⌋ ≤ Σ_r (P_r/R)² ≤ (Σ_t ‖ΔW_t‖/R)²,   P_r = Σ_t ‖ΔW_t,r‖

Main definitions: `StaleReplay`, `Chain`, `refresh_chain`, `enclosed_chain`, `reports_grow_less`.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from flint import arb, ctx
from torch import Tensor

from theory.claim import Report
from theory.sublinear_training.checkers.fired_set import rounding

WIDER = 1 + 1e-12
BITS = 64


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


def enclosed_chain(weights: list[Tensor], radius: float, refreshes: int) -> Report:
    """The chain of a run through these weights in balls: whether each number is certainly at most the next."""
    if len(weights) < 2:
        raise ValueError(f"`weights` must be those of a step at least, got {len(weights)}")
    with ctx.workprec(BITS):
        paths, steps = [arb(0)] * len(weights[0]), []
        for before, after in pairwise(weights):
            moved = (before != after).any(1).nonzero()[:, 0]  # most units stay where they are, exactly
            pairs = zip(moved.tolist(), before[moved].tolist(), after[moved].tolist(), strict=True)
            squares = {r: sum(((arb(a) - arb(b)) ** 2 for a, b in zip(*w, strict=True)), arb(0)) for r, *w in pairs}
            for r, square in squares.items():
                paths[r] += square.sqrt()
            steps.append(sum(squares.values(), arb(0)).sqrt())
        ratios = [path / arb(radius) for path in paths]
        if not all(ratio.is_finite() for ratio in ratios):
            return Report("a path is no number")
        floors = sum(int(whole) for ratio in ratios if (whole := ratio.lower().floor().unique_fmpz()) is not None)
        squared, minkowski = sum((x * x for x in ratios), arb(0)), (sum(steps, arb(0)) / arb(radius)) ** 2
        if not refreshes <= floors:
            return Report(f"{refreshes} refreshes, but the floors add up to {floors}")
        if not bool(arb(floors) <= squared):
            return Report(f"the floors add up to {floors}, the squares to {squared.str(8)}")
        if not bool(squared <= minkowski):
            return Report(f"the squares add up to {squared.str(8)}, Minkowski's bound is {minkowski.str(8)}")
    return Report()


def reports_grow_less(bias: float, radius: float) -> Report:
    """Whether P[N > b − R] < e^(R h)·P[N > b] for a standard normal N and h = φ(b)/P[N > b], in balls."""
    with ctx.workprec(BITS):
        b, root = arb(bias), arb(2).sqrt()
        before, now = (((b - shift) / root).erfc() / 2 for shift in (arb(radius), arb(0)))
        hazard = (-b * b / 2).exp() / (2 * arb.pi()).sqrt() / now
        holds = bool(before < now * (arb(radius) * hazard).exp())
        return Report(None if holds else f"reports grow {(before / now).str(6)}-fold")
