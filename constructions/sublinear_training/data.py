"""Points on the unit sphere, their separation, and rational points for exact training.

Main definitions: `unit_sphere`, `random_signs`, `separation`, `rational_circle`, `stereographic`.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import torch
from torch import Tensor

from constructions.errors import require_cloud, require_instance, require_int


def unit_sphere(n: int, d: int, *, generator: torch.Generator | None = None) -> Tensor:
    """n points (n, d) of norm 1, uniform, float64."""
    require_int("n", n, 1)
    require_int("d", d, 1)
    require_instance("generator", generator, (torch.Generator, type(None)))
    x = torch.randn(n, d, generator=generator, dtype=torch.float64)
    return x / x.norm(dim=1, keepdim=True)


def random_signs(n: int, *, generator: torch.Generator | None = None) -> Tensor:
    """n labels ±1 (n,), float64."""
    require_int("n", n, 1)
    return (2 * torch.randint(0, 2, (n,), generator=generator) - 1).double()


def separation(points: Tensor) -> tuple[float, float]:
    """(least distance of two points, least distance of one to another or to its antipode) of points (n, d)."""
    x = require_cloud("points", points)
    if len(x) < 2:
        return float("inf"), float("inf")
    first, second = torch.triu_indices(len(x), len(x), 1)
    apart = (x[first] - x[second]).norm(dim=1)
    return float(apart.min()), float(torch.minimum(apart, (x[first] + x[second]).norm(dim=1)).min())


def stereographic(t: Sequence[Fraction]) -> tuple[Fraction, ...]:
    """The rational point of norm 1 in d dimensions that belongs to t in d − 1: (2t, |t|² − 1)/(|t|² + 1)."""
    square = sum((value * value for value in t), Fraction(0))
    return (*(2 * value / (square + 1) for value in t), (square - 1) / (square + 1))


def rational_circle(parameters: Sequence[Fraction | int]) -> tuple[tuple[Fraction, ...], ...]:
    """Rational points of the unit circle, one for each parameter t."""
    return tuple(stereographic((Fraction(t),)) for t in parameters)
