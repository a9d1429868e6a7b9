"""Bounds of all pre-activations over a box, in affine form, rounded outward. Vectorised over boxes.

A layer's inputs over the box {c + r∘ε, |ε_a| ≤ 1} are M ε + v ± e. An affine map sends them to (WM) ε + (Wv + b) ±
|W|e. A bend φ with z ∈ [l, U] is φ(z) = λz + [bottom, top]: for slopes α | 1 at a kink inside, φ(z) − λz is affine on
both sides of 0, so its extremes are among (α − λ)l, 0, (1 − λ)U, whatever λ is (λ is the chord's slope); for tanh
with λ ≤ min φ' on [l, U] it increases, so they are φ(l) − λl and φ(U) − λU, and φ' is smallest at an end.

Rounding: a computed product of matrices is off by at most γ|X||Y|, entry by entry (`norms`); every e makes room for
that of M, of v and its own.

Main definitions: `Forms`, `preactivations`, `slope_ranges`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from theory.lipschitz_expressiveness.checkers.network import Layer, Network
from theory.lipschitz_expressiveness.checkers.norms import LEAST, UNIT, gamma

TANH_ERROR = 2.0**-46
"""Room for what torch's tanh and 1 − tanh² are off by: a few units in the last place are 2⁻⁵⁰."""

Affine = tuple[Tensor, Tensor, Tensor]
"""M (B, width, n), v (B, width), e (B, width)."""


@dataclass(frozen=True)
class Forms:
    """Of every hidden layer low ≤ z ≤ high (B, width) over each box, and |M| (B, width, n): how far an axis moves z."""

    low: list[Tensor]
    high: list[Tensor]
    reach: list[Tensor]


def preactivations(network: Network, lower: Tensor, upper: Tensor) -> Forms:
    """Bounds over the boxes lower ≤ x ≤ upper (B, n), equal corners allowed."""
    centre = (lower + upper) / 2
    half = torch.maximum(upper - centre, centre - lower) * (1 + 4 * UNIT) + LEAST
    half = torch.where(lower == upper, 0.0, half)  # then the centre is exact
    state: Affine = (torch.diag_embed(half), centre, torch.zeros_like(centre))
    forms = Forms([], [], [])
    for layer in network.hidden:
        state = _affine(layer, state)
        low, high = _ends(state)
        forms.low.append(low)
        forms.high.append(high)
        forms.reach.append(state[0].abs())
        state = _kinked(layer.alpha, state, low, high) if layer.alpha is not None else _smooth(state, low, high)
    return forms


def _affine(layer: Layer, state: Affine) -> Affine:
    M, v, e = state
    weight = layer.weight.abs()
    room = gamma(layer.weight.shape[1])
    size = M.abs().sum(-1) + v.abs() + e
    lost = LEAST * (weight.sum(1) + size.sum(-1, keepdim=True) + weight.shape[1] + 4)
    spread = (size @ weight.T + layer.bias.abs()) * (2 * room)
    return layer.weight @ M, v @ layer.weight.T + layer.bias, (e @ weight.T) * (1 + 2 * room) + spread + lost


def _ends(state: Affine) -> tuple[Tensor, Tensor]:
    M, v, e = state
    radius = (M.abs().sum(-1) + e) * (1 + 2 * gamma(M.shape[-1])) + v.abs() * (4 * UNIT) + LEAST
    return v - radius, v + radius


def _kinked(alpha: Tensor, state: Affine, low: Tensor, high: Tensor) -> Affine:
    crossing = (low < 0) & (high > 0) & (alpha != 1)
    width = torch.where(crossing, high - low, 1.0)
    chord = (high - alpha * low) / width
    slope = torch.where(crossing, chord, torch.where(low >= 0, torch.ones_like(low), alpha))
    left, right = (alpha - slope) * low, (1 - slope) * high
    top = torch.maximum(left, right).clamp(min=0)
    bottom = torch.minimum(left, right).clamp(max=0)
    room = 8 * UNIT * ((alpha.abs() + slope.abs()) * low.abs() + (1 + slope.abs()) * high.abs()) + LEAST
    zero = torch.zeros_like(low)
    return _sloped(state, slope, torch.where(crossing, bottom - room, zero), torch.where(crossing, top + room, zero))


def _smooth(state: Affine, low: Tensor, high: Tensor) -> Affine:
    left, right = torch.tanh(low), torch.tanh(high)
    slope = torch.minimum(1 - left**2, 1 - right**2) * (1 - 2.0**-30) - TANH_ERROR
    slope = slope.clamp(min=0)
    room = TANH_ERROR + 8 * UNIT * slope * torch.maximum(low.abs(), high.abs())
    return _sloped(state, slope, left - slope * low - room, right - slope * high + room)


def _sloped(state: Affine, slope: Tensor, bottom: Tensor, top: Tensor) -> Affine:
    """slope·z + [bottom, top]."""
    M, v, e = state
    middle = (bottom + top) / 2
    radius = torch.maximum(top - middle, middle - bottom)
    size = slope.abs() * (M.abs().sum(-1) + v.abs() + e) + middle.abs() + radius
    moved = slope.abs() * e + radius + size * (2 * gamma(M.shape[-1])) + LEAST
    return slope[..., None] * M, slope * v + middle, torch.where((slope == 1) & (bottom == 0) & (top == 0), e, moved)


def slope_ranges(layer: Layer, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
    """Smallest and largest slope (B, width) of every unit for pre-activations between low and high."""
    if layer.alpha is None:
        ends = torch.stack([1 - torch.tanh(low) ** 2, 1 - torch.tanh(high) ** 2])
        top = torch.where((low <= 0) & (high >= 0), 1.0, ends.amax(0) + TANH_ERROR)
        return (ends.amin(0) - TANH_ERROR).clamp(min=0), top.clamp(max=1)
    one, alpha = torch.ones_like(low), layer.alpha.expand_as(low)
    smallest, largest = torch.minimum(one, alpha), torch.maximum(one, alpha)
    on, off = low >= 0, high <= 0
    return (
        torch.where(on, one, torch.where(off, alpha, smallest)),
        torch.where(on, one, torch.where(off, alpha, largest)),
    )
