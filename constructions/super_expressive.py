"""Super-expressive activations: one neuron with one free weight shatters any number of points on the line.

EUAF (Shen, Yang, Zhang, 2107.02397): σ(t) = |t − 2⌊(t+1)/2⌋| for t ≥ 0 (a triangle wave), t/(1+|t|) for t < 0.
- EUAF: points x_i = 4^{−i}, i = 1 … k, weight w = Σ y_i 4^i. Then w·x_i = y_i + 4·integer + φ with 0 ≤ φ < 1/3, so
  σ(w·x_i) > 2/3 if y_i = 1 and < 1/3 if y_i = 0: sgn(σ(w·x_i) − 1/2) is the label with margin above 1/6.
- Sine: points x_i = 2^{−i}, weight w = π·a, a = 1 + Σ (1 − y_i)2^i. Then w·x_i/π mod 2 = (1 − y_i) + a fraction in
  (0, 1), so sgn(sin(w·x_i)) is the label; the margin shrinks like 2^{−i}.
Depth and width do not matter: EUAF is the identity on [0, 1], and sin keeps the sign on [−1, 1].

Main definitions: `EUAF`, `Sine`, `FAMILIES`, `OneWeightFamily`, `network`.
Implementation notes: weights are Python integers (of π for sine) with no limit on k; modules hold them in their dtype.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from fractions import Fraction
from typing import final

import torch
from torch import Tensor, nn

from constructions.errors import BudgetExceeded, require_choice, require_int, shown
from constructions.networks import stack

MOST_POINTS = 1 << 14
MOST_WEIGHTS = 1 << 26


class EUAF(nn.Module):
    """The elementary universal activation function, elementwise."""

    def forward(self, x: Tensor) -> Tensor:
        wave = (x - 2 * torch.floor((x + 1) / 2)).abs()
        return torch.where(x >= 0, wave, x / (1 + x.abs()))


class Sine(nn.Module):
    """sin, elementwise."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.sin(x)


class OneWeightFamily(ABC):
    """x ↦ act(unit·w·x) − threshold with an integer w; point i = 1 … k is base^{−i}, exactly. Abstract."""

    base: int
    unit: float
    threshold: float
    activation: type[nn.Module]

    def points(self, k: int) -> list[Fraction]:
        """The k points, exact."""
        return [Fraction(1, self.base**i) for i in range(1, require_int("k", k, 1, MOST_POINTS) + 1)]

    def weight(self, labels: Sequence[bool | int]) -> int:
        """The integer w that realises the labels (k of them)."""
        if (
            not isinstance(labels, (list, tuple))
            or not 1 <= len(labels) <= MOST_POINTS
            or any(type(label) not in (bool, int) or label not in (0, 1) for label in labels)
        ):
            raise ValueError(f"`labels` must be a list of 1 to {MOST_POINTS} labels 0 and 1, got {shown(labels)}")
        return self._weight(labels)

    @abstractmethod
    def _weight(self, labels: Sequence[bool | int]) -> int:
        """`weight` of labels that are some."""


@final
class EUAFFamily(OneWeightFamily):
    """sgn(σ(wx) − 1/2) with σ the EUAF."""

    base, unit, threshold, activation = 4, 1.0, 0.5, EUAF

    def _weight(self, labels: Sequence[bool | int]) -> int:
        return sum(4**i for i, label in enumerate(labels, 1) if label)


@final
class SineFamily(OneWeightFamily):
    """sgn(sin(πwx))."""

    base, unit, threshold, activation = 2, math.pi, 0.0, Sine

    def _weight(self, labels: Sequence[bool | int]) -> int:
        return 1 + sum(2**i for i, label in enumerate(labels, 1) if not label)


FAMILIES: dict[str, OneWeightFamily] = {"euaf": EUAFFamily(), "sine": SineFamily()}


def network(
    name: str,
    labels: Sequence[bool | int],
    *,
    depth: int = 1,
    width: int = 1,
    dtype: torch.dtype = torch.float64,
) -> nn.Sequential:
    """A network of `depth` hidden layers of `width` units on R whose sign realises the labels, as far as `dtype` can.

    Only the first unit of each layer is used; the others have weight 0. The one label-dependent number is the first
    weight. ValueError for more labels than the weight's exponent can hold, BudgetExceeded for too many weights.
    """
    family = FAMILIES[require_choice("name", name, tuple(FAMILIES))]
    require_int("depth", depth, 1)
    require_int("width", width, 1)
    if not isinstance(dtype, torch.dtype) or not dtype.is_floating_point:
        raise TypeError(f"`dtype` must be a floating torch.dtype, got {shown(dtype)}")
    if depth * width * (width + 1) > MOST_WEIGHTS:
        raise BudgetExceeded(f"`depth` and `width` must be smaller: more than {MOST_WEIGHTS} weights")
    first = family.weight(labels)
    if first.bit_length() > 1020:
        raise ValueError(f"`labels` must be fewer: the weight of {len(labels)} labels is beyond the largest float")
    layers = []
    for level in range(depth):
        weight = torch.zeros(width, 1 if level == 0 else width, dtype=dtype)
        weight[0, 0] = family.unit * float(first) if level == 0 else 1.0
        layers.append((weight, torch.zeros(width, dtype=dtype)))
    last = torch.zeros(1, width, dtype=dtype)
    last[0, 0] = 1.0
    layers.append((last, torch.full((1,), -family.threshold, dtype=dtype)))
    return stack(layers, [family.activation() for _ in range(depth)])
