"""The certificate for flat nearest-prototype routers whose prototypes are reflections of the apex.

With f_{k,s} as in `signs`, v = c − 2f(c)∇f/|∇f|² gives |x−c|² − |x−v|² = −4f(c)f(x)/|∇f|², so v is nearer than c
exactly where f_{k,s}(x) > 0: on the points of cluster k with s_i = +1 and nowhere else. |f| ≥ 1 on all points
bounds the gap from below for every sign vector at once, and rounding v by at most r a coordinate moves |x − v|² by
at most 2|x − v|√n·r + n·r².

Main definitions: `shattered_by_reflections`, `check_reflections`.
"""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import torch

from constructions.errors import require_int
from constructions.vc_dimension import ShatteredRouting, one_hidden_layer
from theory.vc_dimension.checkers.exact_routing import levels_fault
from theory.vc_dimension.checkers.labelings import require_shattered
from theory.vc_dimension.checkers.report import ShatteringReport
from theory.vc_dimension.checkers.shapes import LARGEST_EXACT, fits
from theory.vc_dimension.checkers.signs import (
    SignFamily,
    check_signs,
    probe_labelings,
    read_signs,
    require_affordable,
    require_sign_family,
)

MOST_DIGITS = 1074  # every float64 is a multiple of 2^−1074


def shattered_by_reflections(shattered: ShatteredRouting) -> ShatteringReport:
    """Certificate for all labelings: the gadget's ℓ₁ check, the rounding bound, and the actual prototypes on probes."""
    if type(shattered) is not ShatteredRouting:
        raise TypeError(f"`shattered` must be a ShatteredRouting, got {type(shattered).__name__}")
    family = read_reflections(shattered)
    if isinstance(family, str):
        return ShatteringReport(len(shattered.points), 0, 0, family)
    return check_router(shattered, family)


def read_reflections(shattered: ShatteredRouting) -> SignFamily | str:
    """The affine forms whose reflections the prototypes should be; a sentence when the points are not the gadget's."""
    k, n = require_shattered(shattered).shape
    units = (k - 1) // n
    if n == 1 or units < 1 or units * n + 1 != k:
        return f"{k} points in R^{n} are not clusters of n and an apex"
    require_affordable(k, n)
    gadget = one_hidden_layer(n, units)
    if not torch.equal(gadget.points, shattered.points):
        return "the points are not the clusters and the apex of the gadget"
    return read_signs(gadget)


def check_router(shattered: ShatteredRouting, family: SignFamily) -> ShatteringReport:
    """The certificate of `family`, and whether the router's prototypes are its reflections."""
    report = check_reflections(family, shattered.binary_digits)
    failure = report.failure or _prototypes(shattered, family)
    return ShatteringReport(family.size, 0, report.evaluations, failure, report.worst)


def check_reflections(family: SignFamily, digits: int) -> ShatteringReport:
    """Any prototypes within 2^−digits (a coordinate) of the exact reflections shatter the points."""
    require_int("binary_digits", digits, 0, MOST_DIGITS)
    family = require_sign_family(family)
    report = check_signs(family)
    if not report.holds:
        return report
    points = family.points.double()
    _k, n = points.shape
    apex = torch.cat([points[0], torch.ones(1, dtype=torch.float64)])
    centre, swing = family.base @ apex, (family.directions @ apex).abs().sum(1)
    low, high = (-centre - swing).tolist(), (-centre + swing).tolist()
    spread = family.directions[..., :-1].abs().sum(1)
    steepest = (family.base[:, :-1].abs() + spread).square().sum(1)
    farthest = (points - points[0]).square().sum(1).max()
    # sums of squares of integers below 2⁵³ are exact: no partial sum is larger
    if not (float(steepest.max()) < LARGEST_EXACT and float(farthest) < LARGEST_EXACT):
        return _failed(report, "the affine forms or the points are too large for float64 to be exact")
    flattest = (family.base[:, :-1].abs() - spread).clamp(min=0).square().sum(1).tolist()
    steepest, from_apex = steepest.tolist(), math.isqrt(int(farthest)) + 1
    rounding = Fraction(1, 2**digits)
    root = math.isqrt(n - 1) + 1
    for unit in range(len(low)):
        if not (low[unit] > 0 and flattest[unit] >= 1):
            return _failed(report, f"unit {unit} may vanish at the apex, or be flat")
        gap = Fraction(4 * int(low[unit]), int(steepest[unit]))
        reach = from_apex + Fraction(2 * int(high[unit]), math.isqrt(int(flattest[unit])))
        if not 2 * reach * root * rounding + n * rounding**2 < gap:
            return _failed(report, f"unit {unit}: {digits} binary digits do not keep its prototypes apart")
    return report


def _failed(report: ShatteringReport, why: str) -> ShatteringReport:
    return ShatteringReport(report.points, 0, report.evaluations, why, report.worst)


def _prototypes(shattered: ShatteredRouting, family: SignFamily) -> str | None:
    """Whether the router's prototypes and answers are those of the theorem, on probe labelings, in integers."""
    labels = probe_labelings(*family.points.shape)
    levels, values = shattered.routers(labels)
    units = len(family.base)
    fault = levels_fault(levels, family.points.shape[1])
    if fault is not None or not fits(values.shape, (len(labels), units + 1)):
        return f"the routers: {fault or f'answers {tuple(values.shape)} for {units + 1} prototypes'}"
    apexes = family.points[0].double().expand(len(labels), -1)
    shape = (len(labels), 1, units + 1, family.points.shape[1])
    if len(levels) != 1 or levels[0].shape != shape or not torch.equal(levels[0][:, 0, 0], apexes):
        return "the router is not flat with the apex as prototype 0"
    answer = torch.where(labels[:, :1], 1.0, -1.0).double()
    if not torch.equal(values, torch.cat([answer, (-answer).expand(-1, units)], dim=1)):
        return "the answers are not the label of the apex, and the other one for every reflection"
    weight, bias = (part.numpy().astype(np.int64).astype(object) for part in family.networks(labels)[0])
    scale = 2**shattered.binary_digits
    scaled = levels[0][:, 0, 1:] * float(scale)
    if not bool((scaled == scaled.round()).all() and (scaled.abs() < 2.0**63).all()):
        return f"the prototypes are not multiples of 2^-{shattered.binary_digits}"
    apex = family.points[0].numpy().astype(object)
    at_apex = (weight * apex).sum(-1) + bias
    square = (weight * weight).sum(-1)[..., None]
    moved = scaled.numpy().astype(np.int64).astype(object) - apex * scale
    wrong = abs(moved * square + 2 * scale * at_apex[..., None] * weight) > square
    if not wrong.any():
        return None
    row, unit, _ = np.argwhere(wrong)[0]
    return f"prototype {unit + 1} of probe labeling {row} is not the reflection of the apex"
