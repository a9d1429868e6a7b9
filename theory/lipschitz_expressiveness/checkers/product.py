"""Method "product": Lip ≤ Π‖W_l‖ for bends with slopes in [−s, s], s the steepest of a layer. An upper end, as a
mantissa and an exponent of 2: the logarithm stands where the product itself is beyond the largest float.

Main definitions: `product`, `product_above`, `Power`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from theory.claim import Evidence
from theory.lipschitz_expressiveness.checkers.measure import Measure
from theory.lipschitz_expressiveness.checkers.network import Network
from theory.lipschitz_expressiveness.checkers.norms import LEAST, frobenius_above, gamma, norm_above
from theory.lipschitz_expressiveness.checkers.result import LipschitzBounds
from theory.lipschitz_expressiveness.checkers.search import Question

UP = 1 + 2.0**-51


@dataclass(frozen=True)
class Power:
    """mantissa·2^exponent ≥ 0, of which products and sums are rounded up."""

    mantissa: float
    exponent: int = 0

    @classmethod
    def of(cls, value: float) -> Power:
        return cls(*math.frexp(value))

    def times(self, value: float) -> Power:
        factor = Power.of(value)
        mantissa, exponent = math.frexp(self.mantissa * factor.mantissa * UP)
        return Power(mantissa, self.exponent + factor.exponent + exponent)

    def plus(self, value: float) -> Power:
        other = Power.of(value)
        top = max((p.exponent for p in (self, other) if p.mantissa), default=0)
        total = sum(math.ldexp(p.mantissa, max(p.exponent - top, -1060)) for p in (self, other))
        mantissa, exponent = math.frexp(total * UP)
        return Power(mantissa, top + exponent)

    @property
    def upper(self) -> float:
        """As a float, rounded up; inf beyond the largest."""
        try:
            return math.nextafter(math.ldexp(self.mantissa, self.exponent), math.inf) if self.mantissa else 0.0
        except OverflowError:
            return math.inf

    @property
    def log2(self) -> float:
        """Rounded up."""
        if not self.mantissa:
            return -math.inf
        value = self.exponent + math.log2(self.mantissa)
        return value + 4 * math.ulp(value)


def product_above(network: Network, measure: Measure, device: torch.device | None = None) -> Power:
    """An upper bound of ‖offset‖ + ‖left·W_L‖·Π‖W_l‖ s_l·‖W_1·right‖, with the measure's own rounding.

    ValueError for a matrix whose norm no float can hold.
    """
    place = network.weight.device if device is None else device
    matrices = [w.to(place) for w in network.matrices]
    rounding = [0.0] * len(matrices)
    if measure.right is not None:
        matrices[0], rounding[0] = _times(matrices[0], measure.right.to(place))
    if measure.left is not None:
        left = measure.left.to(place)
        matrices[-1], more = _times(left, matrices[-1])
        rounding[-1] = rounding[-1] * float(norm_above(left)) * UP + more if len(matrices) == 1 else more
    power = Power.of(1.0)
    for matrix, more in zip(matrices, rounding, strict=True):
        power = power.times((_norm(matrix) + more) * UP if more else _norm(matrix))
    for layer in network.hidden:
        power = power.times(layer.steepest)
    if measure.offset is not None:
        power = power.plus(_norm(measure.offset))
    if measure.relative:
        power = power.times(1 + measure.relative)
    return power.plus(measure.absolute) if measure.absolute else power


def _norm(matrix: Tensor) -> float:
    found = float(norm_above(matrix))
    if math.isinf(found):
        raise ValueError("`module` must have matrices whose norms a float can hold")
    return found


def _times(first: Tensor, second: Tensor) -> tuple[Tensor, float]:
    """The product, and an upper bound of the norm of its rounding."""
    size = float(frobenius_above(first.abs() @ second.abs()))
    return first @ second, 2 * gamma(first.shape[1]) * size + LEAST * first.numel()


def product(question: Question) -> LipschitzBounds:
    """0 ≤ Lip ≤ the product of the layers' norms, on all of R^n."""
    power = product_above(question.network, question.measure, question.device)
    count = len(question.network.matrices)
    return LipschitzBounds(
        lower=0.0,
        upper=power.upper,
        log2_upper=power.log2,
        method="product",
        evidence=Evidence.FLOAT64,
        reason=f"the product of {count} spectral norms: an upper end alone",
    )
