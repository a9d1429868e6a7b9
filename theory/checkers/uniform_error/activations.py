"""Activations as branch and bound needs them: values, and enclosures of values and slopes over intervals.

Main definitions: `Activation`, `SMOOTH`, `leaky`.
Main statement (the linear relaxation): let σ be continuous on [l, u] with slopes in [g, G], m the middle,
λ = (g + G)/2 and δ = (G − g)/2·max(u − m, m − l). Then σ(z) ∈ σ(m) + λ(z − m) ± δ for all z in [l, u]. Proof: σ − λz
has slopes in ±(G − g)/2 there, so it differs from its value at m by (G − g)/2·|z − m| at most. ∎
The slopes: of tanh 1 − tanh², of the sigmoid s(1 − s), of softplus the sigmoid, of GELU = xΦ(x) Φ + xφ. That one has
the slope φ(2 − x²): it rises on [−√2, √2] and falls elsewhere, and the value has one minimum. `ROOM`·(1 + |x|) is more
than what float64 evaluation loses; tests hold it against Arb balls.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from flint import arb
from torch import Tensor, nn

ROOM = 2.0**-46
INFINITE = math.inf
ROOT_TWO = math.sqrt(2.0)
GELU_LEAST_AT, GELU_LEAST = -0.7517915246935645, -0.16997120747990369
GELU_SLOPES = (-0.12890414519, 1.12890414519)
"""Enclosure of GELU's slope everywhere: ∓ at ∓√2, a little outward."""

Interval = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Activation:
    """`value` and `ball` are one function, in float64 and in Arb balls; `enclosure` and `slopes` map ends (…) of
    intervals to ends of what values and slopes are there. |σ(x)| ≤ gain·|x| + offset, slopes are at most `gain`.

    `jump` is how far torch's own function may be from it besides rounding, for inputs above `above`.
    """

    name: str
    value: Callable[[Tensor], Tensor]
    ball: Callable[[arb, int], arb]
    enclosure: Callable[[Tensor, Tensor], Interval]
    slopes: Callable[[Tensor, Tensor], Interval]
    gain: float = 1.0
    offset: float = 1.0
    jump: float = 0.0
    above: float = INFINITE

    def line(self, low: Tensor, high: Tensor, slopes: Interval | None = None) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """(m, σ(m), λ, δ) over [low, high]: σ(z) ∈ σ(m) + λ(z − m) ± δ, δ with all that rounds."""
        least, most = self.slopes(low, high) if slopes is None else slopes
        middle = (low + high) / 2
        rate = (least + most) / 2
        reach = torch.maximum(high - middle, middle - low)
        spread = torch.maximum(most - rate, rate - least) * reach * (1 + 2.0**-40)
        return middle, self.value(middle), rate, spread + room(middle)


def room(x: Tensor) -> Tensor:
    """More than what rounds in a value or slope at x."""
    return ROOM * (1 + x.abs())


def _rising(value: Callable[[Tensor], Tensor]) -> Callable[[Tensor, Tensor], Interval]:
    """Enclosures of a function that rises."""

    def enclosure(low: Tensor, high: Tensor) -> Interval:
        return value(low) - room(low), value(high) + room(high)

    return enclosure


def _hill(value: Callable[[Tensor], Tensor], top: float) -> Callable[[Tensor, Tensor], Interval]:
    """Enclosures of an even function that falls away from its `top` at 0."""

    def enclosure(low: Tensor, high: Tensor) -> Interval:
        first, second = value(low), value(high)
        pad = ROOM
        most = torch.where((low <= 0) & (high >= 0), top, torch.maximum(first, second))
        return torch.minimum(first, second) - pad, most + pad

    return enclosure


def _tanh_slope(x: Tensor) -> Tensor:
    return 1 - torch.tanh(x).square()


def _sigmoid_slope(x: Tensor) -> Tensor:
    return torch.sigmoid(x) * torch.sigmoid(-x)


def _softplus(x: Tensor) -> Tensor:
    return torch.logaddexp(x, torch.zeros_like(x))


def _gelu(x: Tensor) -> Tensor:
    return x * torch.special.erfc(-x / ROOT_TWO) / 2


def _gelu_slope(x: Tensor) -> Tensor:
    return torch.special.erfc(-x / ROOT_TWO) / 2 + x * torch.exp(-x * x / 2) / math.sqrt(2 * math.pi)


def _gelu_enclosure(low: Tensor, high: Tensor) -> Interval:
    first, second = _gelu(low), _gelu(high)
    inside = (low <= GELU_LEAST_AT + 1e-9) & (high >= GELU_LEAST_AT - 1e-9)
    least = torch.where(inside, GELU_LEAST, torch.minimum(first, second))
    pad = torch.maximum(room(low), room(high))
    return least - pad, torch.maximum(first, second) + pad


def _gelu_slopes(low: Tensor, high: Tensor) -> Interval:
    first, second = _gelu_slope(low), _gelu_slope(high)
    # 1e-9: the float √2 is not the place of the extreme, and beside it the slope is flat
    falls = (low <= -ROOT_TWO + 1e-9) & (high >= -ROOT_TWO - 1e-9)
    rises = (low <= ROOT_TWO + 1e-9) & (high >= ROOT_TWO - 1e-9)
    least = torch.where(falls, GELU_SLOPES[0], torch.minimum(first, second))
    most = torch.where(rises, GELU_SLOPES[1], torch.maximum(first, second))
    return least - ROOM * 4, most + ROOM * 4


def leaky(alpha: Tensor) -> Activation:
    """ReLU (alpha = 0) and PReLU with slopes alpha (width,) below 0."""

    def value(x: Tensor) -> Tensor:
        return torch.where(x > 0, x, alpha * x)

    def enclosure(low: Tensor, high: Tensor) -> Interval:
        first, second = value(low), value(high)
        least, most = torch.minimum(first, second), torch.maximum(first, second)
        least = torch.where((low < 0) & (high > 0), least.clamp(max=0), least)
        pad = torch.maximum(first.abs(), second.abs()) * 2.0**-50 + 2.0**-1020
        return least - pad, most + pad

    def slopes(low: Tensor, high: Tensor) -> Interval:
        least = torch.where(low > 0, 1.0, torch.where(high < 0, alpha, alpha.clamp(max=1)))
        most = torch.where(low > 0, 1.0, torch.where(high < 0, alpha, alpha.clamp(min=1)))
        return least, most

    def ball(x: arb, unit: int) -> arb:
        below = x * arb(float(alpha[unit]))
        if x >= 0:
            return x
        return below if x <= 0 else x.union(below)

    gain = max(1.0, float(alpha.abs().max()))
    return Activation("PReLU", value, ball, enclosure, slopes, gain=gain, offset=0.0)


SMOOTH: dict[type[nn.Module], Activation] = {
    nn.Tanh: Activation("Tanh", torch.tanh, lambda x, _: x.tanh(), _rising(torch.tanh), _hill(_tanh_slope, 1.0)),
    nn.Sigmoid: Activation(
        "Sigmoid", torch.sigmoid, lambda x, _: 1 / (1 + (-x).exp()), _rising(torch.sigmoid), _hill(_sigmoid_slope, 0.25)
    ),
    nn.Softplus: Activation(
        "Softplus",
        _softplus,
        lambda x, _: (1 + x.exp()).log(),
        _rising(_softplus),
        _rising(torch.sigmoid),
        jump=2.1e-9,  # above 20 torch answers x: log(1 + e⁻²⁰) = 2.07e-9
        above=19.0,
    ),
    nn.GELU: Activation(
        "GELU",
        _gelu,
        lambda x, _: x * (1 + (x / arb(2).sqrt()).erf()) / 2,
        _gelu_enclosure,
        _gelu_slopes,
        gain=1.13,
    ),
}
