"""How far predictions are off: δ = ε̂/ε − 1 on points that were not fitted, with an interval for mean |δ|.

Main definitions: `Deviation`, `deviation_of`.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from constructions.errors import require_seed, require_tensor

RESAMPLES = 2000
MOST_CORRECTED = 2000
BATCH_NUMBERS = 1 << 22


@dataclass(frozen=True)
class Deviation:
    """Mean and standard deviation of δ over `points`, mean |δ|, and a 95 % interval of that by a bootstrap over groups:
    bias-corrected and accelerated, plain percentiles of more than 2000 groups, mean |δ| itself of one."""

    points: int
    mean: float
    std: float
    mean_abs: float
    low: float
    high: float

    def __str__(self) -> str:
        of_mean = f"mean {100 * self.mean:+.1f} %, mean|δ| {100 * self.mean_abs:.1f} %"
        return f"{self.points} points, {of_mean} [{100 * self.low:.1f}, {100 * self.high:.1f}]"


def deviation_of(delta: Tensor, groups: Tensor | None = None, *, seed: int = 0) -> Deviation:
    """Of δ (N,), N ≥ 1, whose points in one group are not independent: `groups` (N,) int64, default each its own."""
    require_tensor("delta", delta, "(N,)")
    if delta.ndim != 1 or len(delta) == 0 or not bool(torch.isfinite(delta).all()):
        raise ValueError(f"`delta` must be finite numbers (N,), N ≥ 1, got shape {tuple(delta.shape)}")
    if groups is not None:
        require_tensor("groups", groups, "(N,)")
        if groups.shape != delta.shape or groups.dtype != torch.int64:
            got = f"{groups.dtype} {tuple(groups.shape)}"
            raise ValueError(f"`groups` must be int64 of shape {tuple(delta.shape)}, got {got}")
    require_seed("seed", seed)
    values = delta.detach().double().cpu()
    sizes = values.abs()
    if groups is not None:  # one number a group
        number, inverse = groups.cpu().unique(return_inverse=True)
        counts = torch.zeros(len(number), dtype=torch.float64).index_add_(0, inverse, torch.ones_like(sizes))
        sizes = torch.zeros(len(number), dtype=torch.float64).index_add_(0, inverse, sizes) / counts
    low, high = _interval(sizes.numpy(), seed)
    std = float(values.std()) if len(values) > 1 else 0.0
    return Deviation(len(values), float(values.mean()), std, float(values.abs().mean()), low, high)


def _interval(values: np.ndarray, seed: int) -> tuple[float, float]:
    from scipy.stats import bootstrap  # takes most of a second to import

    centre = float(values.mean())
    if len(values) < 2 or np.ptp(values) == 0:
        return centre, centre
    batch = max(1, BATCH_NUMBERS // len(values))
    options = {"n_resamples": RESAMPLES, "rng": np.random.default_rng(seed), "vectorized": True, "batch": batch}
    method = "BCa" if len(values) <= MOST_CORRECTED else "percentile"  # the correction is of order 1/√N, its cost N²
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # few groups: the jackknife may be degenerate, then percentiles are taken
        found = bootstrap((values,), np.mean, method=method, **options).confidence_interval
        if not np.isfinite(found).all():
            options["rng"] = np.random.default_rng(seed)
            found = bootstrap((values,), np.mean, method="percentile", **options).confidence_interval
    return float(found.low), float(found.high)
