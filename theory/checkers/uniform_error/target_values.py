"""How well f itself is known: the evaluation error η that every certificate must carry.

A black box is taken as any function within 4 ulp(max|f|) of what it returns. A formula is compared with Arb balls at
sampled points, and η doubles the largest difference seen (never below 4 ulp).

Main definitions: `evaluation_error`, `enclosed_errors`.
"""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import torch
from flint import arb
from torch import Tensor

from constructions.symbolic.balls import enclose_values
from constructions.symbolic.roots import ball_of
from constructions.targets import LipschitzFunction

BALL_SAMPLES = 128


def evaluation_error(f: LipschitzFunction, generator: torch.Generator) -> tuple[float, str]:
    """(η, what it rests on)."""
    values = f.evaluate(f.domain.sample(4096, generator))
    ulps = 4 * math.ulp(float(values.abs().max()))
    if f.tape is None:
        return ulps, f"any function within 4 ulp(max|f|) = {ulps:.3g} of the black box"
    x = f.domain.sample(BALL_SAMPLES, generator)
    worst = 0.0
    for point, y in zip(x.tolist(), f.evaluate(x).tolist(), strict=True):
        worst = max(worst, max(_distance(v, b) for v, b in zip(y, _balls(f, point), strict=True)))
    eta = max(ulps, 2 * worst)
    return eta, f"torch against Arb at {BALL_SAMPLES} points, doubled: {eta:.3g}"


def _balls(f: LipschitzFunction, point: list[float]) -> list[arb]:
    assert f.tape is not None
    return enclose_values(f.tape, [ball_of(Fraction(c), Fraction(c)) for c in point])


def _distance(value: float, ball: arb) -> float:
    return float((ball - arb(value)).abs_upper())


def enclosed_errors(f: LipschitzFunction, x: Tensor, network: np.ndarray) -> Tensor:
    """Upper bounds (B, m) of |f(x) − network|: f in Arb balls at x (B, n), the network as rationals (B, m)."""
    rows = [
        [
            math.nextafter(float((b - arb(v)).abs_upper()), math.inf)
            for v, b in zip(values, _balls(f, point), strict=True)
        ]
        for point, values in zip(x.tolist(), network, strict=True)
    ]
    return torch.tensor(rows, dtype=torch.float64, device=x.device).reshape(len(x), f.m)
