"""How well f itself is known: the evaluation error η that every certificate must carry.

A black box is taken as any function within 4 ulp(max|f|) of what it returns. The rounding of a formula is bounded on
the whole domain (`formula_rounding`); where no bound is found, it is compared with Arb balls at sampled points, and η
doubles the largest difference seen. η is never below 4 ulp.

Main definitions: `evaluation_error`, `observed_rounding`, `enclosed_errors`.
"""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import torch
from flint import arb, ctx
from torch import Tensor

from constructions.symbolic.balls import enclose_values
from constructions.symbolic.lipschitz import ball_of
from constructions.symbolic.tape import Tape
from constructions.targets import LipschitzFunction
from theory.checkers.uniform_error.formula_rounding import formula_rounding

BALL_SAMPLES = 128
BALL_BITS = 128


def evaluation_error(f: LipschitzFunction, generator: torch.Generator) -> tuple[float, str]:
    """(η, what it rests on)."""
    values = f.evaluate(f.domain.sample(4096, generator))
    ulps = 4 * math.ulp(float(values.abs().max()))
    if f.tape is None:
        return ulps, f"any function within 4 ulp(max|f|) = {ulps:.3g} of the black box"
    x = f.domain.sample(BALL_SAMPLES, generator)
    seen = observed_rounding(f.tape, x, f.evaluate(x))
    if f.premise == "certified":
        proved = formula_rounding(f.tape, f.domain)
        if not seen <= proved:
            return math.inf, f"torch and the formula differ by {seen:.3g}, rounding explains {proved:.3g}"
        if math.isfinite(proved):
            return max(ulps, proved), f"torch is within {proved:.3g} of the formula on the whole domain"
    eta = max(ulps, 2 * seen)
    return eta, f"torch against Arb at {BALL_SAMPLES} points, doubled: {eta:.3g}"


def observed_rounding(tape: Tape, x: Tensor, values: Tensor | None = None) -> float:
    """The largest difference of torch's values (B, m) (or those given) from the formula's at points x (B, n)."""
    found = tape(x) if values is None else values
    worst = 0.0
    for point, y in zip(x.tolist(), found.tolist(), strict=True):
        worst = max(worst, max(_distance(v, b) for v, b in zip(y, _balls(tape, point), strict=True)))
    return worst


def _balls(tape: Tape, point: list[float]) -> list[arb]:
    with ctx.workprec(BALL_BITS):  # so that the balls' own radius is no part of what is measured
        return enclose_values(tape, [ball_of(Fraction(c), Fraction(c)) for c in point])


def _distance(value: float, ball: arb) -> float:
    """An upper bound; inf where the ball is no number, so that no comparison passes it by."""
    distance = float((ball - arb(value)).abs_upper())
    return math.inf if math.isnan(distance) else distance


def enclosed_errors(f: LipschitzFunction, x: Tensor, network: np.ndarray) -> Tensor:
    """Upper bounds (B, m) of |f(x) − network|: f in Arb balls at x (B, n), the network as rationals (B, m)."""
    assert f.tape is not None
    rows = [
        [
            math.nextafter(float((b - arb(v)).abs_upper()), math.inf)
            for v, b in zip(values, _balls(f.tape, point), strict=True)
        ]
        for point, values in zip(x.tolist(), network, strict=True)
    ]
    return torch.tensor(rows, dtype=torch.float64, device=x.device).reshape(len(x), f.m)
