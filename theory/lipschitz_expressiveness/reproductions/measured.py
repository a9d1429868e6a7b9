"""Slopes through sampled means against the slopes of the formulas at the same sizes."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from theory.claim import Context, Evidence, Status, Table, Verdict, ensure
from theory.lipschitz_expressiveness import bounds
from theory.lipschitz_expressiveness.reproductions.sampling import Mean, gaussians, mean_of, spectral_norms

SIGMA, WIDTH, ENDS = 0.5, 32, 8
DEPTHS, MORE_DEPTHS = (2, 4, 6, 8), (2, 3, 4, 5, 6, 7, 8)
SIZES = (8, 16, 32, 64, 128)
FIXED = 3
"""The number of affine maps where widths vary."""
DRAWS, MORE_DRAWS = 1000, 20_000
NORMS = 1000
"""Draws of spectral norms, which cost most."""


@dataclass(frozen=True)
class Sampled:
    """A mean with its 99.9 % half width, and what the formulas say of it: low ≤ expectation ≤ high."""

    value: float
    half: float
    low: float
    high: float


def slopes(context: Context) -> Verdict:
    """Depth at fixed width, and width at fixed depth."""
    cases = {
        "depth": [(float(L), [ENDS, *[WIDTH] * (L - 1), ENDS]) for L in (MORE_DEPTHS if context.full else DEPTHS)],
        "width": [(math.log(n), [ENDS, *[n] * (FIXED - 1), ENDS]) for n in SIZES],
    }
    rows = []
    for against, sizes in cases.items():
        measured: dict[str, list[Sampled]] = {}
        for _, widths in sizes:
            context.log(f"{against}: {widths}")
            for quantity, found in _sampled(widths, context).items():
                measured.setdefault(quantity, []).append(found)
        for quantity, found in measured.items():
            rows.append((against, quantity, *_slope([x for x, _ in sizes], found)))
    tables = {"slopes": Table(("against", "quantity", "slope", "low", "high", "fit_error"), tuple(rows))}
    for against, quantity, slope, low, high, error in rows:
        holds = low - error <= slope <= high + error
        ensure(holds, f"{quantity} against {against}: {slope}, the formulas give {low} to {high}", **tables)
    reason = f"{len(rows)} measured slopes agree with those of the formulas at the same sizes"
    return Verdict(Status.NOT_REFUTED, Evidence.FITTED, reason, {"slopes": len(rows)}, tables=tables)


def _slope(x: Sequence[float], found: Sequence[Sampled]) -> tuple[float, float, float, float]:
    """The least-squares slope of the means, the smallest and largest that the formulas allow, and its error."""
    centred = np.array(x) - np.mean(x)
    weight = centred / (centred @ centred)
    low, high = np.array([f.low for f in found]), np.array([f.high for f in found])
    error = math.sqrt(sum((w * f.half) ** 2 for w, f in zip(weight, found, strict=True)))
    slope = float(weight @ np.array([f.value for f in found]))
    ends = np.where(weight > 0, low, high), np.where(weight > 0, high, low)
    return slope, float(weight @ ends[0]), float(weight @ ends[1]), error


def _sampled(widths: list[int], context: Context) -> dict[str, Sampled]:
    """E log ‖W_L ⋯ W_1 x‖, log E ‖f(x)‖ of the ReLU network, E log Π‖W_l‖."""
    draws = MORE_DRAWS if context.full else DRAWS
    generator = torch.Generator().manual_seed(context.seed * 1000 + sum(widths))
    x = torch.full((1, ENDS), ENDS**-0.5, dtype=torch.float64, device=context.device)
    linear, relu = x.expand(draws, 1, ENDS), x.expand(draws, 1, ENDS)
    product = torch.zeros(NORMS, dtype=torch.float64, device=context.device)
    for n, m in itertools.pairwise(widths):
        ahead, bent, norms, start = [], [], [], 0
        for batch in gaussians(m, n, draws, generator, context.device):
            rows, W = slice(start, start + len(batch)), SIGMA * batch
            ahead.append(linear[rows] @ W.mT)
            bent.append(relu[rows].relu() @ W.mT)  # the input is positive
            norms.append(spectral_norms(W[: max(0, NORMS - start)]))
            start += len(batch)
        linear, relu, product = torch.cat(ahead), torch.cat(bent), product + torch.cat(norms).log()
    typical, mean = mean_of(linear[:, 0].norm(dim=1).log().cpu()), mean_of(relu[:, 0].norm(dim=1).cpu())
    return {
        "E log|W x|": _exactly(typical, bounds.linear_log_point(widths, SIGMA)),
        "log E|f(x)|": _exactly(_logarithm(mean), bounds.relu_point(widths, SIGMA)),
        "E log prod|W|": _between(mean_of(product.cpu()), widths),
    }


def _logarithm(mean: Mean) -> Mean:
    return Mean(math.log(mean.value), mean.half / mean.value, mean.draws)


def _exactly(mean: Mean, formula: float) -> Sampled:
    return Sampled(mean.value, mean.half, formula, formula)


def _between(mean: Mean, widths: list[int]) -> Sampled:
    """‖G‖ is at least the norm of its first row, distributed as χ_{m+n−1}; log is concave."""
    shapes = bounds.require_network(widths, SIGMA)
    low = math.fsum(math.log(SIGMA) + bounds.mean_log_chi(m + n - 1) for m, n in shapes)
    return Sampled(mean.value, mean.half, low, bounds.product_upper(widths, SIGMA))
