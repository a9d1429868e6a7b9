"""`Box`: the domain ∏[lo_a, hi_a] of a target, with its sides as exact fractions.

The float endpoints are taken at their word: a side is the exact rational hi − lo.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import torch
from torch import Tensor

from constructions.errors import first_row, require_int


@dataclass(frozen=True)
class Box:
    """A box of positive volume; `lo`, `hi` are tuples of n floats."""

    lo: tuple[float, ...]
    hi: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.lo) != len(self.hi) or not self.lo:
            raise ValueError(f"`domain` must give as many lower as upper ends, got {self.lo} and {self.hi}")
        for axis, (lo, hi) in enumerate(zip(self.lo, self.hi, strict=True)):
            if not (math.isfinite(lo) and math.isfinite(hi) and lo < hi):
                raise ValueError(f"`domain` axis {axis} must be finite with lo < hi, got ({lo!r}, {hi!r})")

    @classmethod
    def of(cls, domain: Box | Sequence | None, n: int) -> Box:
        """The unit cube for None, one (lo, hi) pair for every axis, or n pairs."""
        require_int("n", n, 1)
        if domain is None:
            return cls((0.0,) * n, (1.0,) * n)
        if isinstance(domain, Box):
            box = domain
        else:
            pairs = list(domain)
            if len(pairs) == 2 and all(isinstance(end, (int, float)) for end in pairs):
                pairs = [tuple(pairs)] * n
            try:
                box = cls(tuple(float(p[0]) for p in pairs), tuple(float(p[1]) for p in pairs))
            except (TypeError, IndexError) as err:
                raise ValueError(
                    f"`domain` must be {n} pairs (lo, hi) or one pair for all axes, got {domain!r}"
                ) from err
        if box.n != n:
            raise ValueError(f"`domain` must have {n} axes, got {box.n}")
        return box

    @property
    def n(self) -> int:
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
        lo, hi = self.tensors(x.device)
        outside = ~((x >= lo) & (x <= hi)).all(-1)
        if bool(outside.any()):
            row = first_row(outside)
            raise ValueError(f"`{name}` must lie in the domain {self}, row {row} is {x[row].tolist()}")

    def sample(self, count: int, generator: torch.Generator) -> Tensor:
        """`count` uniform points, float64 (count, n), on the generator's device."""
        lo, hi = self.tensors(generator.device)
        unit = torch.rand(count, self.n, dtype=torch.float64, generator=generator, device=generator.device)
        return torch.minimum(lo + unit * (hi - lo), hi)

    def __str__(self) -> str:
        return " × ".join(f"[{lo:g}, {hi:g}]" for lo, hi in zip(self.lo, self.hi, strict=True))
