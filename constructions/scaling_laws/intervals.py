"""A fitted law with its intervals: what it predicts, and the sizes that it asks for.

Intervals are percentiles over refits to data drawn anew, group by group. A predicted *measurement* also gets a residual
of the fit: a law that is known to the digit still misses measurements by their noise.

Main definition: `FittedLaw`.
References: B. Efron, R. Tibshirani, An Introduction to the Bootstrap, 1993; docs/scaling_laws.md.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from constructions.errors import shown
from constructions.scaling_laws.deviation import Deviation
from constructions.scaling_laws.law import ScalingLaw, enveloped, require_sizes

CHUNK_NUMBERS = 1 << 22
MOST_RESIDUALS = 41


@dataclass(frozen=True)
class FittedLaw:
    """`law`; its `covariance` (p, p) of (A_1, α_1, …, C), σ²(JᵀJ)⁻¹ at the optimum, ∞ in rows that the data do not
    determine; `residuals` (M,) δ = ε̂/ε − 1 of the fitted points; the names of constants `at_bounds`; the deviation of
    `held_out` points; the least `loss`; `draws` (R, p), the constants of the refits; and the number of `groups`.
    """

    law: ScalingLaw
    covariance: Tensor
    residuals: Tensor
    at_bounds: tuple[str, ...]
    held_out: Deviation | None
    loss: float
    draws: Tensor
    groups: int

    def predict(self, sizes: Tensor, level: float = 0.95) -> tuple[Tensor, Tensor, Tensor]:
        """(prediction, low, high), each (N,), at sizes (N, k): the interval is that of one new measurement.

        Its ends are percentiles over all pairs of a refit and a residual, of many residuals a sample at equal ranks."""
        sizes = require_sizes("sizes", sizes, self.law.axes)
        _require_level(level)
        draws = self._drawn().to(sizes.device)
        spread = self._spread().sort().values.to(sizes.device)
        ranks = torch.linspace(0, len(spread) - 1, min(len(spread), MOST_RESIDUALS), device=sizes.device).round().long()
        noise = spread[ranks]
        low, high = [], []
        for part in sizes.split(max(1, CHUNK_NUMBERS // (len(draws) * len(noise)))):
            pairs = _errors(draws, part, self.law.chance)[:, None] * noise[:, None]
            ends = percentiles(pairs.flatten(0, 1), level)
            low.append(ends[0])
            high.append(ends[1])
        return self.law(sizes), torch.cat(low) if low else sizes[:, 0], torch.cat(high) if high else sizes[:, 0]

    def law_interval(self, sizes: Tensor, level: float = 0.95) -> tuple[Tensor, Tensor]:
        """(low, high), each (N,), of the law itself, without the noise of a measurement."""
        sizes = require_sizes("sizes", sizes, self.law.axes)
        return percentiles(_errors(self._drawn().to(sizes.device), sizes, self.law.chance), level)

    def interval(self, level: float = 0.95) -> Tensor:
        """Intervals (p, 2) of (A_1, α_1, …, C)."""
        return torch.stack(percentiles(self._drawn(), level), 1)

    def floor(self, level: float = 0.95) -> tuple[float, float]:
        """The interval of the floor."""
        return _ends([law.floor for law in self.drawn_laws()], level)

    def needed(
        self, axis: int, target: float, others: Mapping[int, float] | None = None, level: float = 0.95
    ) -> tuple[float, float]:
        """The interval of the size of `axis` that `target` needs; ∞ is its upper end where it may be out of reach."""
        return _ends([law.needed(axis, target, others) for law in self.drawn_laws()], level)

    def cheapest(self, target: float, level: float = 0.95) -> tuple[tuple[float, float], ...]:
        """Intervals, axis by axis, of the sizes of least product that `target` needs."""
        sizes = zip(*(law.cheapest(target) for law in self.drawn_laws()), strict=True)
        return tuple(_ends(list(axis), level) for axis in sizes)

    def drawn_laws(self) -> list[ScalingLaw]:
        """The laws of the refits."""
        return laws_of(self._drawn(), self.law.chance)

    def _drawn(self) -> Tensor:
        if len(self.draws) == 0:
            why = "`groups` must name two groups or more" if self.groups < 2 else "`resamples` must be positive"
            raise ValueError(f"{why} for intervals, the law was fitted without")
        return self.draws

    def _spread(self) -> Tensor:
        """ε/ε̂ (M,) of measurements: residuals centred at their median, and widened by √(M/(M − p)), since the fit took
        up a part of the noise."""
        p = 2 * self.law.axes + 1
        free = max(1, len(self.residuals) - p)
        centred = (self.residuals - self.residuals.median()) * math.sqrt(len(self.residuals) / free)
        return 1 / (1 + centred).clamp(min=1e-3)


def laws_of(constants: Tensor, chance: float) -> list[ScalingLaw]:
    """One law a row (A_1, α_1, …, C) of constants (R, 2k + 1)."""
    rows = constants.tolist()
    return [ScalingLaw(tuple(row[:-1:2]), tuple(row[1:-1:2]), row[-1], chance) for row in rows]


def percentiles(values: Tensor, level: float) -> tuple[Tensor, Tensor]:
    """The (1 ∓ level)/2 percentiles over the first axis, each the next value outwards; they may be ∞."""
    _require_level(level)
    ordered = values.sort(0).values
    last = len(ordered) - 1
    return ordered[math.floor((1 - level) / 2 * last)], ordered[math.ceil((1 + level) / 2 * last)]


def _errors(draws: Tensor, sizes: Tensor, chance: float) -> Tensor:
    u = (draws[:, None, :-1:2] * sizes ** (-draws[:, None, 1:-1:2])).sum(2) + draws[:, -1:]
    return enveloped(u, chance)


def _ends(values: list[float], level: float) -> tuple[float, float]:
    low, high = percentiles(torch.tensor(values, dtype=torch.float64), level)
    return float(low), float(high)


def _require_level(level: Any) -> None:
    if not (isinstance(level, (int, float)) and not isinstance(level, bool) and 0 < level < 1):
        raise ValueError(f"`level` must be between 0 and 1, got {shown(level)}")
