"""The lower end: ‖(offset + left·J·right)v‖/‖v‖ at a point off every kink, in rationals (tanh: in balls), rounded down.

A ReLU network's weights are dyadic rationals, so its pre-activations at a float64 point are known exactly, and with
them the cell that the point lies in. A point where some pre-activation is 0 lies in no cell, unless that unit is 0 all
around it: then its slope does not matter.

Main definitions: `ExactChain`, `Witness`, `sqrt_below`, `float_below`, `direction_of`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import torch
from flint import arb, arb_mat, ctx, fmpq_mat
from torch import Tensor

from theory.exact import fraction, rational, require_denormals
from theory.lipschitz_expressiveness.checkers.measure import Measure
from theory.lipschitz_expressiveness.checkers.network import Network

BITS = 256
"""Of the balls in which a tanh network is evaluated."""

Bits = tuple[tuple[bool, ...], ...]
"""Which units are on, layer by layer."""


@dataclass(frozen=True)
class Witness:
    """Lip ≥ `lower` because of the cell around `point` (n,); in `pattern` the units that are on there or never bend."""

    lower: float
    point: Tensor
    pattern: Bits


class ExactChain:
    """A network and its measure in rationals (or in balls where it has tanh units)."""

    def __init__(self, network: Network, measure: Measure):
        require_denormals()
        self.measure = measure
        self.exact = network.piecewise_affine
        self.weights = [self._matrix(w) for w in network.matrices]
        self.biases = [self._matrix(layer.bias[:, None]) for layer in network.hidden]
        self.alphas = [None if h.alpha is None else [self._number(a) for a in h.alpha.tolist()] for h in network.hidden]
        self.left, self.right, self.offset = (
            None if t is None else self._matrix(t) for t in (measure.left, measure.right, measure.offset)
        )

    def _number(self, value: float) -> Any:
        return rational(value) if self.exact else arb(rational(value))

    def _matrix(self, values: Tensor) -> Any:
        kind = fmpq_mat if self.exact else arb_mat
        return kind(values.shape[0], values.shape[1], [self._number(v) for v in values.flatten().tolist()])

    def lower(self, point: Tensor, direction: Tensor) -> Witness | None:
        """The largest float that the measured matrix at `point` (n,) is proved to stretch `direction` (q,) by; None
        where the point lies on a kink, or the direction is no direction."""
        if not bool(torch.isfinite(direction).all() & torch.isfinite(point).all()) or not bool(direction.any()):
            return None
        with ctx.workprec(BITS):
            found = self._slopes(point)
            if found is None:
                return None
            slopes, pattern = found
            start = self._matrix(direction[:, None])
            squared = _squared(self._times(slopes, start)) / _squared(start)
            below = sqrt_below(fraction(squared)) if self.exact else _ball_sqrt_below(squared)
        below = below if below > 0 else 0.0
        return Witness(self._within(below), point, pattern)

    def _within(self, below: float) -> float:
        """What is left after the measure's own rounding."""
        if not self.measure.relative and not self.measure.absolute:
            return below
        left = Fraction(below) * (1 - Fraction(self.measure.relative)) - Fraction(self.measure.absolute)
        return float_below(left) if left > 0 else 0.0

    def _times(self, slopes: list[list[Any]], start: Any) -> Any:
        moved = start if self.right is None else self.right * start
        for weight, slope in zip(self.weights, slopes, strict=False):
            moved = _scaled(slope, weight * moved)
        moved = self.weights[-1] * moved
        moved = moved if self.left is None else self.left * moved
        return moved if self.offset is None else self.offset * start + moved

    def _slopes(self, point: Tensor) -> tuple[list[list[Any]], Bits] | None:
        """The slope of every hidden unit, layer by layer, and which are on; None on a kink."""
        state = self._matrix(point[:, None])
        slopes: list[list[Any]] = []
        pattern = []
        for layer, (bias, alpha) in enumerate(zip(self.biases, self.alphas, strict=True)):
            z = (self.weights[layer] * state + bias).entries()
            if alpha is None:
                values = [v.tanh() for v in z]
                slopes.append([1 - t * t for t in values])
            else:
                one = self._number(1.0)
                chosen = [one if v > 0 or a == one else a if v < 0 else None for v, a in zip(z, alpha, strict=True)]
                for unit, slope in enumerate(chosen):
                    if slope is None:
                        if not self._idle(layer, unit, slopes):
                            return None
                        chosen[unit] = alpha[unit]
                slopes.append(chosen)
                values = [s * v for s, v in zip(chosen, z, strict=True)]
            straight = [False] * len(z) if alpha is None else [a == 1 for a in alpha]
            pattern.append(tuple(bool(v > 0) or s for v, s in zip(z, straight, strict=True)))
            state = type(state)(len(values), 1, values)
        return slopes, tuple(pattern)

    def _idle(self, layer: int, unit: int, slopes: list[list[Any]]) -> bool:
        """Whether this unit is 0 all over the cell with these slopes: its row of weights times the Jacobian is 0."""
        if not self.exact:
            return False
        width = self.weights[layer].ncols()
        row = fmpq_mat(1, width, [self.weights[layer][unit, j] for j in range(width)])
        for below in range(layer - 1, -1, -1):
            row = fmpq_mat(1, width, [r * s for r, s in zip(row.entries(), slopes[below], strict=True)])
            row = row * self.weights[below]
            width = row.ncols()
        return not any(row.entries())


def _scaled(slopes: Sequence[Any], column: Any) -> Any:
    return type(column)(len(slopes), 1, [s * v for s, v in zip(slopes, column.entries(), strict=True)])


def _squared(column: Any) -> Any:
    return sum((v * v for v in column.entries()), start=column.entries()[0] * 0)


def _ball_sqrt_below(squared: arb) -> float:
    low = squared.lower()
    if not low.is_finite() or not low > 0:
        return 0.0
    mantissa, exponent = low.man_exp()
    return sqrt_below(Fraction(int(mantissa)) * Fraction(2) ** int(exponent))


def sqrt_below(value: Fraction) -> float:
    """The largest float at most √value, for value ≥ 0 (at most the largest float)."""
    if value == 0:
        return 0.0
    # 128 bits of the root, rounded down
    shift = max(0, 256 - value.numerator.bit_length() + value.denominator.bit_length())
    shift += shift % 2
    root = math.isqrt((value.numerator << shift) // value.denominator)
    return float_below(Fraction(root, 1 << (shift // 2)))


def float_below(value: Fraction) -> float:
    """The largest float at most `value` ≥ 0."""
    try:
        near = float(value)
    except OverflowError:
        return math.nextafter(math.inf, 0.0)
    return near if Fraction(near) <= value else math.nextafter(near, 0.0)


def direction_of(matrix: Tensor) -> Tensor:
    """The direction (q,) that a matrix (p, q) stretches most, as float64 finds it."""
    return torch.linalg.svd(matrix, full_matrices=False).Vh[0]
