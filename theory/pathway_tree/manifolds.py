"""Compact sets of known intrinsic dimension as fine point clouds, rotated into R^n, with two-sided bounds for nets.

Main definitions: `SHAPES`, `Cloud`, `embedded`.
Main statements, for δ ≤ 1 and sets that are δ-nets with separation > δ (chord distance):
circle of radius 1:   ⌈π/(2 asin(δ/2))⌉ ≤ L ≤ ⌊π/asin(δ/2)⌋;
sphere of radius 1:   4/δ² ≤ L ≤ 2/(1 − √(1 − δ²/4))  (a cap of chord δ has area πδ², Archimedes);
flat torus in R⁴:     16/(πδ²) ≤ L ≤ 16π/δ²  (chord ≤ arc ≤ π/2 · chord);
swiss roll of area A: L ≤ 16·A/(πδ²)  (it is a rolled rectangle, a disc at its corner is a quarter).
A net of a cloud that is itself an h-net covers the set within δ + h, so lower bounds are taken at δ + h.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from constructions.errors import require_choice, require_instance, require_int

LEAST_POINTS, MOST_POINTS = 16, 10**8
MOST_INPUTS = 10**4


@dataclass(frozen=True)
class Cloud:
    """`points` (N, n), the intrinsic dimension, an h that the cloud covers its set within, and bounds L(δ)."""

    name: str
    points: Tensor
    dimension: int
    spacing: float
    at_least: Callable[[float], float]
    at_most: Callable[[float], float]


def embedded(name: str, n: int, *, count: int, generator: torch.Generator) -> Cloud:
    """The cloud `name` of about `count` points, placed in R^n by a random rotation of its coordinates."""
    require_choice("name", name, tuple(SHAPES))
    require_int("n", n, 1, MOST_INPUTS)
    require_int("count", count, LEAST_POINTS, MOST_POINTS)
    require_instance("generator", generator, torch.Generator)
    points, dimension, spacing, low, high = SHAPES[name](count)
    if n < points.shape[1]:
        raise ValueError(f"`n` must be at least {points.shape[1]} for {name}, got {n}")
    square = torch.randn(n, points.shape[1], generator=generator, dtype=torch.float64)
    frame = torch.linalg.qr(square).Q
    return Cloud(name, points @ frame.T, dimension, spacing, low, high)


Shape = tuple[Tensor, int, float, Callable[[float], float], Callable[[float], float]]


def _angles(count: int) -> Tensor:
    return torch.arange(count, dtype=torch.float64) * (2 * math.pi / count)


def _circle(count: int) -> Shape:
    t = _angles(count)
    points = torch.stack([t.cos(), t.sin()], 1)
    low = lambda d: math.pi / (2 * math.asin(min(1.0, d / 2)))  # noqa: E731
    return points, 1, math.pi / count, low, lambda d: math.pi / math.asin(d / 2)


def _torus(count: int) -> Shape:
    side = math.isqrt(count)
    s, t = torch.cartesian_prod(_angles(side), _angles(side)).T
    points = torch.stack([s.cos(), s.sin(), t.cos(), t.sin()], 1)
    spacing = math.pi / side * math.sqrt(2)
    return points, 2, spacing, lambda d: 16 / (math.pi * d * d), lambda d: 16 * math.pi / (d * d)


def _sphere(count: int) -> Shape:
    """Rings of about equal spacing: every point is within half a ring in latitude and longitude of one of them."""
    rings = max(3, round(math.sqrt(count * math.pi) / 2))
    step = math.pi / rings
    parts = []
    for k in range(rings):
        latitude = (k + 0.5) * step
        around = _angles(max(3, round(2 * math.pi * math.sin(latitude) / step)))
        height = torch.full_like(around, math.cos(latitude))
        parts.append(torch.stack([around.cos() * math.sin(latitude), around.sin() * math.sin(latitude), height], 1))
    # half a ring along the meridian, half a step (at most 1.5 steps near the poles) along the parallel
    spacing = step * math.hypot(0.5, 0.75)
    high = lambda d: 2 / (1 - math.sqrt(1 - d * d / 4))  # noqa: E731
    return torch.cat(parts), 2, spacing, lambda d: 4 / (d * d), high


def _swiss_roll(count: int) -> Shape:
    """r = t for t in [1.5π, 4.5π], scaled to a roll of radius 6 and width 6; a grid in arc length and width."""
    scale, width = 6 / (4.5 * math.pi), 6.0
    fine = torch.linspace(1.5 * math.pi, 4.5 * math.pi, 200_001, dtype=torch.float64)
    arc = scale * 0.5 * (fine * (1 + fine**2).sqrt() + torch.asinh(fine))
    arc = arc - arc[0]
    length = float(arc[-1])
    across = max(2, round(math.sqrt(count * width / length)))
    along = max(2, count // across)
    wanted = torch.linspace(0, length, along, dtype=torch.float64)
    right = torch.searchsorted(arc, wanted).clamp(1, len(arc) - 1)
    share = (wanted - arc[right - 1]) / (arc[right] - arc[right - 1])
    t = fine[right - 1] + share * (fine[right] - fine[right - 1])
    t, y = torch.cartesian_prod(t, torch.linspace(0, width, across, dtype=torch.float64)).T
    points = torch.stack([scale * t * t.cos(), y, scale * t * t.sin()], 1)
    spacing = math.hypot(length / (along - 1), width / (across - 1)) / 2
    area = length * width
    return points, 2, spacing, lambda d: 0.0, lambda d: 16 * area / (math.pi * d * d)


SHAPES: dict[str, Callable[[int], Shape]] = {
    "circle": _circle,
    "torus": _torus,
    "swiss_roll": _swiss_roll,
    "sphere": _sphere,
}
