"""A law with one break, for curves that flatten faster than any A n^(−α) + C: exploratory, not for planning.

    ε̂ = C + B x^(−c₀)·(1 + (x/d)^{1/f})^(−c₁ f)

From the slope −c₀ well below the break d to −(c₀ + c₁) well beyond it, over a stretch that f sets; c₁ may be negative.

Main definitions: `BrokenLaw`, `fit_broken_law`.
Source: E. Caballero, K. Gupta, I. Rish, D. Krueger, Broken Neural Scaling Laws (arXiv:2210.14891), with one break.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from constructions.errors import require_positive, shown
from constructions.scaling_laws.law import require_sizes
from constructions.scaling_laws.points import Points

LEAST_POINTS = 8
SHARES = (0.25, 0.5, 0.75)
LOG_AMOUNT, SLOPE, BEND, LOG_WIDTH, LOG_FLOOR = (-60.0, 60.0), (1e-3, 6.0), (-6.0, 6.0), (-3.0, 1.5), (-30.0, 8.0)


@dataclass(frozen=True)
class BrokenLaw:
    """`amount` B > 0, `slope` c₀ > 0, `bend` c₁, the break `at` d > 0, its `width` f > 0, `constant` C ≥ 0."""

    amount: float
    slope: float
    bend: float
    at: float
    width: float
    constant: float = 0.0

    def __post_init__(self) -> None:
        for name in ("amount", "slope", "at", "width"):
            require_positive(name, getattr(self, name))
        if not isinstance(self.bend, (int, float)) or isinstance(self.bend, bool) or not abs(self.bend) < math.inf:
            raise ValueError(f"`bend` must be a finite number, got {shown(self.bend)}")
        require_positive("constant", self.constant, allow_zero=True)

    def __call__(self, sizes: Tensor) -> Tensor:
        """Errors (N,) at sizes (N, 1), float64."""
        logs = require_sizes("sizes", sizes, 1)[:, 0].log()
        turned = torch.nn.functional.softplus((logs - math.log(self.at)) / self.width, threshold=700.0)
        return self.constant + torch.exp(math.log(self.amount) - self.slope * logs - self.bend * self.width * turned)


def fit_broken_law(sizes: Tensor, errors: Tensor) -> tuple[BrokenLaw, Tensor]:
    """The law of least Σ (ε̂/ε − 1)² and the residuals ε̂/ε − 1 (N,), of errors (N,) at sizes (N, 1).

    Deterministic: `scipy.optimize.least_squares` from breaks at three places. Six constants: no intervals are given,
    and what it says beyond the data may be anything. ValueError for fewer than 8 different sizes.
    """
    points = Points.of(sizes, errors, None, math.inf)
    if len(points.axes) != 1:
        raise ValueError(f"`sizes` must have one axis, (N, 1), got {len(points.axes)}")
    points.require_design()
    distinct = len(points.sizes.unique())
    if distinct < LEAST_POINTS:
        raise ValueError(f"`sizes` must have {LEAST_POINTS} different values or more for six constants, got {distinct}")
    x, y = points.sizes[:, 0].log().cpu().numpy(), points.errors.cpu().numpy()
    best = min((_solved(x, y, share) for share in SHARES), key=lambda found: found.cost)
    amount, slope, bend, at, width, floor = best.x
    constant = math.exp(floor) if floor > LOG_FLOOR[0] + 1 else 0.0
    law = BrokenLaw(math.exp(amount), float(slope), float(bend), math.exp(at), math.exp(width), constant)
    return law, law(points.sizes) / points.errors - 1


def _solved(x: np.ndarray, y: np.ndarray, share: float) -> Any:
    from scipy.optimize import least_squares  # takes most of a second to import

    def residuals(theta: np.ndarray) -> np.ndarray:
        amount, slope, bend, at, width, floor = theta
        turned = np.logaddexp(0, (x - at) / np.exp(width))
        return (np.exp(floor) + np.exp(amount - slope * x - bend * np.exp(width) * turned)) / y - 1

    middle = float(np.quantile(x, share))
    start = [math.log(y[x.argmin()]) + 0.3 * x.min(), 0.3, 0.0, middle, -0.5, math.log(y.min()) - 1]
    bounds = [LOG_AMOUNT, SLOPE, BEND, (float(x.min()), float(x.max())), LOG_WIDTH, LOG_FLOOR]
    low, high = (np.array(ends) for ends in zip(*bounds, strict=True))
    start = np.clip(start, low + 1e-9, high - 1e-9)
    return least_squares(residuals, start, bounds=(low, high), x_scale="jac", max_nfev=2000)
