"""`Box`: the domain ∏[lo_a, hi_a] of a target, with its sides as exact fractions.

The float endpoints are taken at their word: a side is the exact rational hi − lo.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import torch
from torch import Tensor

from constructions.errors import first_row, require_instance, require_int, require_points, require_tensor, shown

MAX_AXES = 4096
MOST_POINTS = 1 << 28
FARTHEST = 2.0**500
SHORTEST = Fraction(1, 2**500)
"""Squares of lengths, and reciprocals of sides, must stay within float64."""


@dataclass(frozen=True)
class Box:
    """A box of positive volume; `lo`, `hi` are tuples of n floats."""

    lo: tuple[float, ...]
    hi: tuple[float, ...]

    def __post_init__(self) -> None:
        for name in ("lo", "hi"):
            ends = getattr(self, name)
            if not isinstance(ends, (tuple, list)) or not all(_is_real(end) for end in ends):
                raise TypeError(f"`{name}` of a domain must be a tuple of numbers, got {shown(ends)}")
            object.__setattr__(self, name, tuple(_as_float(end) for end in ends))
        if len(self.lo) != len(self.hi) or not 1 <= len(self.lo) <= MAX_AXES:
            raise ValueError(
                f"`domain` must give as many lower as upper ends, 1 to {MAX_AXES}, got {shown(self.lo)} and "
                f"{shown(self.hi)}"
            )
        for axis, (lo, hi) in enumerate(zip(self.lo, self.hi, strict=True)):
            if not (math.isfinite(lo) and math.isfinite(hi) and lo < hi):
                raise ValueError(f"`domain` axis {axis} must be finite with lo < hi, got ({lo!r}, {hi!r})")
            if not (Fraction(hi) - Fraction(lo) >= SHORTEST and max(abs(lo), abs(hi)) <= FARTHEST):
                raise ValueError(
                    f"`domain` axis {axis} must lie within ±{FARTHEST:.3g} and be at least {float(SHORTEST):.3g} long, "
                    f"got ({lo!r}, {hi!r})"
                )

    @classmethod
    def of(cls, domain: Box | Sequence | None, n: int) -> Box:
        """The unit cube for None, one (lo, hi) pair for every axis, or n pairs."""
        require_int("n", n, 1, MAX_AXES)
        if domain is None:
            return cls((0.0,) * n, (1.0,) * n)
        if isinstance(domain, Box):
            box = domain
        else:
            pairs = _pairs(domain, n)
            box = cls(tuple(lo for lo, _ in pairs), tuple(hi for _, hi in pairs))
        if box.n != n:
            raise ValueError(f"`domain` must have {n} axes, got {box.n}")
        return box

    @property
    def n(self) -> int:
        """The dimension."""
        return len(self.lo)

    @property
    def sides(self) -> tuple[Fraction, ...]:
        """Exact side lengths ℓ_a."""
        return tuple(Fraction(hi) - Fraction(lo) for lo, hi in zip(self.lo, self.hi, strict=True))

    @property
    def diameter(self) -> float:
        """Euclidean diameter, rounded up."""
        return math.nextafter(math.sqrt(sum(float(s) ** 2 for s in self.sides)), math.inf) * (1 + 2**-50)

    def tensors(self, device: torch.device | str | None = None) -> tuple[Tensor, Tensor]:
        """(lo, hi), float64, shape (n,) each."""
        return (
            torch.tensor(self.lo, dtype=torch.float64, device=device),
            torch.tensor(self.hi, dtype=torch.float64, device=device),
        )

    def require_inside(self, name: str, x: Tensor) -> None:
        """ValueError naming the first row of `x` (B, n) that is not finite or not in the box."""
        require_points(require_instance("name", name, str), x, self.n)
        lo, hi = self.tensors(x.device)
        # the ends of all points first, which takes no memory; NaN is in both of them, and fails
        if not len(x) or bool(((x.amin(0) >= lo) & (x.amax(0) <= hi)).all()):
            return
        outside = ~((x >= lo) & (x <= hi)).all(-1)
        if bool(outside.any()):
            row = first_row(outside)
            raise ValueError(f"`{name}` must lie in the domain {self}, row {row} is {x[row].tolist()}")

    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        """`count` uniform points, float64 (count, n), on the generator's device."""
        require_int("count", count, 0, MOST_POINTS)
        require_instance("generator", generator, torch.Generator)
        lo, hi = self.tensors(generator.device)
        unit = torch.rand(count, self.n, dtype=torch.float64, generator=generator, device=generator.device)
        return torch.minimum(lo + unit * (hi - lo), hi)

    def __str__(self) -> str:
        return " × ".join(f"[{lo:g}, {hi:g}]" for lo, hi in zip(self.lo, self.hi, strict=True))


def _is_real(value: Any) -> bool:
    return isinstance(value, (int, float, Fraction)) and not isinstance(value, bool)


def _as_float(value: float | Fraction) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.copysign(math.inf, value)


def _pairs(domain: Any, n: int) -> list[tuple[Any, Any]]:
    """`domain` as pairs of numbers, one an axis."""
    refusal = f"`domain` must be {n} pairs (lo, hi) or one pair for all axes, got {shown(domain)}"
    if isinstance(domain, Tensor):
        domain = require_tensor("domain", domain, f"({n}, 2)").tolist()
    if isinstance(domain, np.ndarray):
        domain = domain.tolist()
    if not isinstance(domain, (list, tuple)):
        raise TypeError(refusal)
    pairs = list(domain)
    if len(pairs) == 2 and all(_is_real(end) for end in pairs):
        pairs = [tuple(pairs)] * n
    if not all(isinstance(p, (list, tuple)) and len(p) == 2 and all(_is_real(end) for end in p) for p in pairs):
        raise ValueError(refusal)
    return [(p[0], p[1]) for p in pairs]
