"""How well f itself is known: the evaluation error η that every certificate must carry.

A black box is taken as any function within 4 ulp(max|f|) of what it returns. The rounding of a formula that is
evaluated itself is bounded on the whole domain (`formula_rounding`); where no bound is found, it is compared with Arb
balls at sampled points, η doubles the largest difference seen, and the certificate is a sample. η is never below 4 ulp.
Whatever answers differently when asked again, or in another batch, is no function: the premise fails.

Main definitions: `evaluation_error`, `observed_rounding`, `enclosed_errors`.
"""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import torch
from flint import arb, ctx
from torch import Tensor

from constructions.functions.lipschitz_function import LipschitzFunction
from constructions.functions.symbolic.balls import enclose_values
from constructions.functions.symbolic.roots import ball_of
from constructions.functions.symbolic.tape import Tape
from theory.checkers.uniform_error.certificate import Premise
from theory.checkers.uniform_error.formula_rounding import formula_rounding

OWN_VALUES = 4096  # points at which f is asked, half of them twice
BALL_SAMPLES = 128
BALL_BITS = 128
REPEATED = 1e-9
"""Share of max|f| by which two answers to one question may differ (matrix products round by the batch)."""


def evaluation_error(f: LipschitzFunction, generator: torch.Generator) -> tuple[float, Premise, bool]:
    """η, the premise that says what it rests on, and whether it is more than a sample of points."""
    name = "f's own values"
    points = f.domain.sample(OWN_VALUES, generator)
    values = f.evaluate(points).detach()
    again = f.evaluate(points.flip(0)[: len(points) // 2]).detach().flip(0)
    ulps = 4 * math.ulp(float(values.abs().max()))
    change = float((again - values[len(points) // 2 :]).abs().max())
    if not change <= REPEATED * max(1.0, float(values.abs().max())):
        said = f"asked again in another batch, fn answers differently by {change:.3g}"
        return math.inf, Premise(name, False, said), False
    if f.tape is None:
        ulps = max(ulps, 2 * change)
        return ulps, Premise(name, True, f"any function within 4 ulp(max|f|) = {ulps:.3g} of the black box"), True
    x = f.domain.sample(BALL_SAMPLES, generator)
    seen = observed_rounding(f.tape, x, f.evaluate(x))
    proved = formula_rounding(f.tape, f.domain)
    if not seen <= proved:
        said = f"torch and the formula differ by {seen:.3g}, rounding explains {proved:.3g}"
        return math.inf, Premise(name, False, said), False
    if math.isfinite(proved):
        said = f"torch is within {proved:.3g} of the formula on the whole domain"
        return max(ulps, proved), Premise(name, True, said), True
    eta = max(ulps, 2 * seen)
    said = f"no bound of torch's rounding is found; against Arb at {BALL_SAMPLES} points, doubled: {eta:.3g}"
    return eta, Premise(name, True, said), False


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
