"""The error law across scale, and what it says about sizes.

    u = Σ_j A_j s_j^(−α_j) + C,   ε̂ = ε₀·u/√(1 + u²)   (ε̂ = u where ε₀ = ∞)

s are sizes (examples, parameters, …), ε₀ the error of guessing. This is e = a n^−α + b m^−β + c∞, ε̂ = ε₀ e/√(e² + η²)
without its redundant constant: u = e/η.

Main definition: `ScalingLaw`.
References: J. Rosenfeld, A. Rosenfeld, Y. Belinkov, N. Shavit, A Constructive Prediction of the Generalization Error
Across Scales, ICLR 2020 (arXiv:1909.12673); docs/scaling_laws.md.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import NoneType
from typing import Any

import torch
from torch import Tensor

from constructions.errors import require_int, require_positive, require_tensor, shown

LARGEST_CHANCE = 1e100


@dataclass(frozen=True)
class ScalingLaw:
    """k axes with `coefficients` A_j > 0 and `exponents` α_j > 0, `constant` C ≥ 0, `chance` ε₀ (∞: no envelope)."""

    coefficients: tuple[float, ...]
    exponents: tuple[float, ...]
    constant: float = 0.0
    chance: float = math.inf

    def __post_init__(self) -> None:
        for name in ("coefficients", "exponents"):
            values = getattr(self, name)
            if not isinstance(values, Sequence) or isinstance(values, (str, bytes)) or not values:
                raise TypeError(f"`{name}` must be a sequence of positive numbers, got {shown(values)}")
            object.__setattr__(self, name, tuple(float(require_positive(name, v)) for v in values))
        if len(self.coefficients) != len(self.exponents):
            raise ValueError(
                f"`coefficients` and `exponents` must have one entry an axis, got {len(self.coefficients)} and "
                f"{len(self.exponents)}"
            )
        object.__setattr__(self, "constant", float(require_positive("constant", self.constant, allow_zero=True)))
        object.__setattr__(self, "chance", require_chance(self.chance))

    @property
    def axes(self) -> int:
        """How many sizes the error depends on."""
        return len(self.coefficients)

    def __call__(self, sizes: Tensor) -> Tensor:
        """Errors (N,) at sizes (N, k), float64."""
        return enveloped(self.u(sizes), self.chance)

    def u(self, sizes: Tensor) -> Tensor:
        """u (N,) at sizes (N, k)."""
        sizes = require_sizes("sizes", sizes, self.axes)
        amounts, rates = (
            torch.tensor(v, dtype=torch.float64, device=sizes.device) for v in (self.coefficients, self.exponents)
        )
        return (amounts * sizes ** (-rates)).sum(1) + self.constant

    @property
    def floor(self) -> float:
        """The error that no size falls below: ε₀C/√(1 + C²)."""
        if math.isinf(self.chance):
            return self.constant
        return self.chance * self.constant / math.sqrt(1 + self.constant**2)

    def inverse(self, error: float) -> float:
        """u of an error below `chance`: r/√(1 − r²), r = ε/ε₀; ValueError for others."""
        error = float(require_positive("error", error))
        if not error < self.chance:
            raise ValueError(f"`error` must be below chance = {self.chance:g}, got {error:g}")
        if math.isinf(self.chance):
            return error
        r = error / self.chance
        return r / math.sqrt((1 - r) * (1 + r))

    def needed(self, axis: int, target: float, others: Mapping[int, float] | None = None) -> float:
        """The size of `axis` at which the error is `target`, with the `others` (axis -> size, which may be ∞); ∞ when
        the floor or what the others leave is in the way."""
        require_int("axis", axis, 0, self.axes - 1)
        if not isinstance(others, (Mapping, NoneType)):
            raise TypeError(f"`others` must be a mapping of axis to size, got {shown(others)}")
        given = dict(others or {})
        if set(given) != set(range(self.axes)) - {axis}:
            raise ValueError(
                f"`others` must have a size for every axis but {axis}, of {self.axes}, got {shown(others)}"
            )
        left = self.inverse(target) - self.constant
        for other, size in given.items():
            if not (isinstance(size, (int, float)) and size > 0):
                raise ValueError(f"`others` must be positive sizes, got {shown(size)}")
            left -= self.coefficients[other] * _power(float(size), -self.exponents[other])
        if not left > 0:
            return math.inf
        return _power(self.coefficients[axis] / left, 1 / self.exponents[axis])

    def cheapest(self, target: float) -> tuple[float, ...]:
        """The sizes of least product whose error is `target`; all ∞ at or below the floor.

        At the optimum α_j A_j s_j^(−α_j) is the same for all axes, so each takes the share (1/α_j)/Σ(1/α_i) of
        w = u* − C.
        """
        left = self.inverse(target) - self.constant
        if not left > 0:
            return (math.inf,) * self.axes
        total = sum(1 / rate for rate in self.exponents)
        shares = [left / (rate * total) for rate in self.exponents]
        return tuple(
            _power(amount / share, 1 / rate)
            for amount, rate, share in zip(self.coefficients, self.exponents, shares, strict=True)
        )


def _power(base: float, exponent: float) -> float:
    try:
        return base**exponent
    except OverflowError:
        return math.inf


def enveloped(u: Tensor, chance: float) -> Tensor:
    """ε₀·u/√(1 + u²), or u where ε₀ = ∞; right at u = 0 and for any u up to ∞."""
    return u if math.isinf(chance) else chance / torch.hypot(torch.ones_like(u), 1 / u)


def require_chance(chance: Any) -> float:
    """ε₀ as a float, > 0; ∞ where it is not known."""
    number = isinstance(chance, (int, float)) and not isinstance(chance, bool)
    if not number or not (0 < chance <= LARGEST_CHANCE or chance == math.inf):
        raise ValueError(f"`chance` must be a positive number, or inf when it is not known, got {shown(chance)}")
    return float(chance)


def require_sizes(name: str, sizes: Any, axes: int | None = None) -> Tensor:
    """Sizes (N, k) as float64 numbers > 0; ValueError or TypeError otherwise. Sizes may be infinite."""
    require_tensor(name, sizes, "(N, k)")
    if sizes.ndim != 2 or (axes is not None and sizes.shape[1] != axes):
        raise ValueError(f"`{name}` must have shape (N, {'k' if axes is None else axes}), got {tuple(sizes.shape)}")
    if sizes.is_complex() or sizes.dtype == torch.bool:
        raise TypeError(f"`{name}` must hold real numbers, got {sizes.dtype}")
    sizes = sizes.double()
    if not bool((sizes > 0).all()):
        bad = sizes[~(sizes > 0)][0]
        raise ValueError(f"`{name}` must be positive numbers, got {bad.item():g}")
    return sizes
