"""`LayerBank`: one deep network of `layers` on one cell, bounded by linear relaxations of its activations.

On a box centre ± half, every unit is enclosed twice: by an interval, and by a linear form A·(x − centre) + c ± r, in
which what units have in common cancels. An activation takes the form through its relaxation σ(m) + λ(z − m) ± δ on the
tighter of both intervals (`activations`); the slopes there give the interval Jacobian. The variation of the network
over the box is the smaller of Σ_a sup|∂_a f̂|·half_a and Σ_a |A_a|·half_a + 2r.

Main definitions: `LayerBank`, `ball_values`.
Implementation notes: vectorised over boxes. Each sum has room for its rounding in any order (`_relative` of the sizes
of its terms), each product the least normal number besides.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

import torch
from flint import arb, ctx
from torch import Tensor, nn

from constructions.functions.symbolic.roots import ball_of
from theory.checkers.uniform_error.boxes import half_widths
from theory.checkers.uniform_error.layers import Layer
from theory.checkers.uniform_error.stack import INFLATION, LEAST, UNIT, _relative, _scaled, _times

ACTIVATION_UNITS = 16
"""Units of roundoff, of 1 + |x|, by which torch's activations may be off."""
BALL_BITS = 160
NUMBERS = 1 << 23


@dataclass(frozen=True)
class LayerBank:
    """A deep expert with cell [lower, upper] (1, n). Has the methods of `StackBank`."""

    layers: list[Layer]
    lower: Tensor
    upper: Tensor
    table_slack: float
    forward_slack: float

    @classmethod
    def of(cls, layers: list[Layer], lower: Tensor, upper: Tensor, *, unit: float, least: float = LEAST) -> LayerBank:
        """Rounding slack from the magnitudes that flow through the layers, as in `StackBank.of`.

        With s ≥ |values| of a layer, its error is at most depth·u·s: a layer of n inputs adds n + 4 to depth; behind an
        activation s becomes gain·s + offset + 1, so that its own error, 16u(1 + |x|), is within 16u·s. What torch's
        function is off besides travels on by itself.
        """
        size = torch.maximum(lower.abs(), upper.abs())[0]
        lost, jumped = torch.zeros_like(size), torch.zeros_like(size)
        depth = 0
        for layer in layers:
            weight = layer.weight.abs()
            lost = weight @ lost + weight.sum(1) + size.sum() + weight.shape[1] + 4
            jumped = weight @ jumped
            size = weight @ size + layer.bias.abs()
            depth += layer.weight.shape[1] + 4
            bend = layer.activation
            if bend is not None:
                lost = (lost + 1) * bend.gain + size + ACTIVATION_UNITS
                jumped = jumped * bend.gain + (size > bend.above).double() * bend.jump
                size = size * bend.gain + (bend.offset + 1 if bend.offset else 0)
                depth += ACTIVATION_UNITS if bend.offset else 0
        rounding, underflow = 2 * depth * float(size.max()), 2 * float(lost.max())
        beyond = float(jumped.max()) * INFLATION
        table = rounding * UNIT + underflow * LEAST
        return cls(layers, lower, upper, table, rounding * unit + underflow * least + beyond)

    @property
    def experts(self) -> int:
        return 1

    @property
    def pieces(self) -> int:
        return 1

    def values(self, expert: Tensor, piece: Tensor, x: Tensor) -> Tensor:
        """Network values (B, m) at x (B, n)."""
        for layer in self.layers:
            x = nn.functional.linear(x, layer.weight, layer.bias)
            if layer.activation is not None:
                x = layer.activation.value(x)
        return x

    def variation(self, expert: Tensor, piece: Tensor, centre: Tensor, half: Tensor) -> Tensor:
        """An upper bound (B, m) of |f̂(x) − f̂(centre)| over boxes centre ± half (B, n)."""
        rows = self._rows
        parts = zip(centre.split(rows), half.split(rows), strict=True)
        return torch.cat([self._variation(*part) for part in parts])

    def _variation(self, centre: Tensor, half: Tensor) -> Tensor:
        low, high, form, radius = self._relaxed(centre, half)
        largest = torch.maximum(low.abs(), high.abs())
        floor = LEAST * (half.sum(-1, keepdim=True) + half.shape[1])
        moved = (largest * half[:, None]).sum(-1) + LEAST * largest.sum(-1)
        along = (form.abs() * half[:, None]).sum(-1) + 2 * radius + LEAST * form.abs().sum(-1)
        # NaN is no bound, and the search takes it for none
        return torch.minimum(moved, along) * (INFLATION + (half.shape[1] + 4) * 2 * UNIT) + floor

    def slope_ends(self, expert: Tensor, piece: Tensor, lo: Tensor, hi: Tensor) -> tuple[Tensor, Tensor]:
        """Ends (B, m, n) of the partial derivatives of the network on boxes [lo, hi]."""
        centre = (lo + hi) / 2
        half, rows = half_widths(lo, hi, centre), self._rows
        found = [self._relaxed(*part)[:2] for part in zip(centre.split(rows), half.split(rows), strict=True)]
        return torch.cat([low for low, _ in found]), torch.cat([high for _, high in found])

    @property
    def _rows(self) -> int:
        """Boxes at a time."""
        widest = max(max(layer.weight.shape) for layer in self.layers)
        return max(1, NUMBERS // (8 * widest * self.lower.shape[1]))

    def _relaxed(self, centre: Tensor, half: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Over boxes centre ± half (B, n): ends (B, m, n) of the Jacobian, and form (B, m, n) and radius (B, m) of the
        linear form."""
        n = centre.shape[1]
        interval = centre - half, centre + half
        form = torch.eye(n, dtype=centre.dtype, device=centre.device).expand(len(centre), -1, -1)
        middle, radius = centre, torch.zeros_like(centre)
        low = high = None
        for layer in self.layers:
            form, middle, radius = _mapped(layer, form, middle, radius, half)
            interval = _narrowed(_image(layer, *interval), form, middle, radius, half)
            low, high = _times(layer.weight, low, high, len(centre))
            if layer.activation is None:
                continue
            least, most = interval
            slopes = layer.activation.slopes(least, most)
            low, high = _scaled(*slopes, low, high)
            at, value, rate, spread = layer.activation.line(least, most, slopes)
            gap = middle - at
            size = (rate * gap).abs() + value.abs()
            radius = rate.abs() * radius + spread
            radius = radius + (size + radius + rate.abs() * (middle.abs() + at.abs())) * 2.0**-48 + 4 * LEAST
            reach = (form.abs() * half[:, None]).sum(-1)
            radius = radius + rate.abs() * reach * 2.0**-48 + LEAST * (reach + n)
            middle, form = value + rate * gap, rate[..., None] * form
            interval = layer.activation.enclosure(least, most)
        assert low is not None
        assert high is not None
        return low, high, form, radius

    def initial_boxes(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The cell itself."""
        zero = torch.zeros(1, dtype=torch.int64, device=self.lower.device)
        return zero, zero, self.lower.clone(), self.upper.clone()

    def seeds(self, max_corners: int) -> tuple[Tensor, Tensor, Tensor]:
        """A uniform sample of the cell with a fixed seed, and its centre."""
        shape = (16 * max_corners, self.lower.shape[1])
        unit = torch.rand(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
        unit = unit.to(self.lower.device)
        x = torch.cat([self.lower + unit * (self.upper - self.lower), (self.lower + self.upper) / 2])
        zero = torch.zeros(len(x), dtype=torch.int64, device=x.device)
        return zero, zero, x


def _mapped(layer: Layer, form: Tensor, middle: Tensor, radius: Tensor, half: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The linear form behind an affine layer, its rounding in the radius."""
    weight = layer.weight.abs()
    reach = (form.abs() * half[:, None]).sum(-1)
    size = (middle.abs() + radius + reach) @ weight.T + layer.bias.abs()
    lost = LEAST * (weight.sum(1) + (middle.abs() + radius + reach).sum(-1, keepdim=True) + 4 * weight.shape[1] + 4)
    radius = radius @ weight.T + size * (2 * _relative(weight.shape[1] + half.shape[1])) + lost
    return layer.weight @ form, nn.functional.linear(middle, layer.weight, layer.bias), radius


def _image(layer: Layer, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
    """The interval behind an affine layer, rounded outward."""
    middle, radius = (low + high) / 2, (high - low) / 2 * INFLATION
    weight = layer.weight.abs()
    size = (middle.abs() + radius) @ weight.T + layer.bias.abs()
    lost = LEAST * (weight.sum(1) + (middle.abs() + radius).sum(-1, keepdim=True) + weight.shape[1] + 4)
    at = nn.functional.linear(middle, layer.weight, layer.bias)
    spread = radius @ weight.T + size * _relative(weight.shape[1]) + lost
    return at - spread * INFLATION, at + spread * INFLATION


def _narrowed(
    interval: tuple[Tensor, Tensor], form: Tensor, middle: Tensor, radius: Tensor, half: Tensor
) -> tuple[Tensor, Tensor]:
    """The interval cut with that of the linear form: both hold the unit."""
    spread = ((form.abs() * half[:, None]).sum(-1) + radius) * (INFLATION + (half.shape[1] + 4) * 2 * UNIT)
    spread = spread + middle.abs() * 2.0**-50 + LEAST * (4 + half.shape[1])
    return torch.maximum(interval[0], middle - spread), torch.minimum(interval[1], middle + spread)


def ball_values(layers: list[Layer], point: Tensor) -> list[float]:
    """The network's outputs at a point (n,), out of Arb balls far smaller than a float; NaN where a ball is none."""
    with ctx.workprec(BALL_BITS):
        state = [ball_of(Fraction(c), Fraction(c)) for c in point.tolist()]
        for layer in layers:
            state = [
                sum((arb(w) * s for w, s in zip(row, state, strict=True) if w), start=arb(b))
                for row, b in zip(layer.weight.tolist(), layer.bias.tolist(), strict=True)
            ]
            bend = layer.activation
            if bend is not None:
                state = [bend.ball(s, unit) for unit, s in enumerate(state)]
        return [_middle(s) for s in state]


def _middle(ball: arb) -> float:
    """The float nearest to a ball, NaN unless it is known to 2⁻⁸⁰ of 1 and its size."""
    width, size = float(ball.rad()), abs(float(ball.mid()))
    return float(ball.mid()) if width <= 2.0**-80 * (1 + size) else math.nan
