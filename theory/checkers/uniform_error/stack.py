"""`StackBank`: one deep Linear/ReLU/PReLU expert on one cell, with interval bounds on its local slope.

For boxes inside the cell, pre-activation intervals decide which units may switch; the Jacobian is then an interval
matrix, and ‖J‖ bounds how far each output moves. Vectorised over boxes.

Main definitions: `StackBank`, `linear_stack`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

INFLATION = 1 + 2.0**-40


@dataclass(frozen=True)
class Affine:
    """x -> weight x + bias, then the activation with slopes alpha for negative inputs (None: no activation)."""

    weight: Tensor
    bias: Tensor
    alpha: Tensor | None


def linear_stack(network: nn.Module) -> list[Affine] | None:
    """The layers of a Linear (ReLU | PReLU Linear)* stack in float64, or None for anything else."""
    layers = [m for m in network.modules() if not isinstance(m, (nn.Sequential, nn.Identity))]
    stack: list[Affine] = []
    for layer in layers:
        if isinstance(layer, nn.Linear):
            weight = layer.weight.detach().double()
            bias = weight.new_zeros(len(weight)) if layer.bias is None else layer.bias.detach().double()
            stack.append(Affine(weight, bias, None))
        elif isinstance(layer, (nn.ReLU, nn.PReLU)) and stack and stack[-1].alpha is None:
            last = stack[-1]
            alpha = (
                last.bias.new_zeros(len(last.bias))
                if isinstance(layer, nn.ReLU)
                else layer.weight.detach().double().expand(len(last.bias))
            )
            stack[-1] = Affine(last.weight, last.bias, alpha)
        else:
            return None
    return stack or None


@dataclass(frozen=True)
class StackBank:
    """A deep expert with cell [lower, upper] (1, n). Has the methods of `RidgeBank` that the search needs."""

    stack: list[Affine]
    lower: Tensor
    upper: Tensor
    table_slack: float
    forward_slack: float

    @classmethod
    def of(cls, stack: list[Affine], lower: Tensor, upper: Tensor, *, unit: float) -> StackBank:
        """Rounding slack from the magnitudes that flow through the layers."""
        size = torch.maximum(lower.abs(), upper.abs())[0]
        depth = 0
        for layer in stack:
            size = layer.weight.abs() @ size + layer.bias.abs()
            if layer.alpha is not None:
                size = size * layer.alpha.abs().clamp(min=1)
            depth += layer.weight.shape[1] + 4
        rounding = 2 * depth * float(size.max())
        return cls(stack, lower, upper, rounding * 2.0**-53, rounding * unit)

    @property
    def experts(self) -> int:
        return 1

    @property
    def pieces(self) -> int:
        return 1

    def values(self, expert: Tensor, piece: Tensor, x: Tensor) -> Tensor:
        """Network values (B, m) at x (B, n)."""
        for layer in self.stack:
            x = nn.functional.linear(x, layer.weight, layer.bias)
            if layer.alpha is not None:
                x = torch.where(x > 0, x, layer.alpha * x)
        return x

    def variation(self, expert: Tensor, piece: Tensor, centre: Tensor, half: Tensor) -> Tensor:
        """An upper bound (B, m) of |f̂(x) − f̂(centre)| over boxes centre ± half (B, n).

        Σ_a sup|∂f̂/∂x_a|·half_a over the interval Jacobian.
        """
        middle, radius = centre, half
        low = high = None  # interval Jacobian (B, width, n)
        for layer in self.stack:
            size = (middle.abs() + radius) @ layer.weight.abs().T + layer.bias.abs()
            middle = nn.functional.linear(middle, layer.weight, layer.bias)
            radius = radius @ layer.weight.abs().T + size * 2.0**-44
            low, high = _times(layer.weight, low, high, len(middle))
            if layer.alpha is None:
                continue
            alpha = layer.alpha
            gains = torch.stack(torch.broadcast_tensors(torch.ones_like(alpha), alpha))
            on, off = middle - radius > 0, middle + radius < 0
            gain_low = torch.where(on, 1.0, torch.where(off, alpha, gains.amin(0)))
            gain_high = torch.where(on, 1.0, torch.where(off, alpha, gains.amax(0)))
            low, high = _scaled(gain_low, gain_high, low, high)
            ends = [torch.where(e > 0, e, alpha * e) for e in (middle - radius, middle + radius)]
            bottom, top = torch.minimum(*ends), torch.maximum(*ends)
            if bool((alpha < 0).any()):
                bottom = torch.where(on | off, bottom, torch.minimum(bottom, torch.zeros_like(bottom)))
            middle, radius = (bottom + top) / 2, (top - bottom) / 2 * INFLATION
        assert low is not None
        assert high is not None
        largest = torch.maximum(low.abs(), high.abs())
        return (largest * half[:, None, :]).sum(-1) * INFLATION

    def initial_boxes(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The cell itself."""
        zero = torch.zeros(1, dtype=torch.int64, device=self.lower.device)
        return zero, zero, self.lower.clone(), self.upper.clone()

    def seeds(self, max_corners: int) -> tuple[Tensor, Tensor, Tensor]:
        """A uniform sample of the cell with a fixed seed, and its centre."""
        unit = torch.rand(
            16 * max_corners,
            self.lower.shape[1],
            dtype=torch.float64,
            generator=torch.Generator().manual_seed(0),
        ).to(self.lower.device)
        x = torch.cat([self.lower + unit * (self.upper - self.lower), (self.lower + self.upper) / 2])
        zero = torch.zeros(len(x), dtype=torch.int64, device=x.device)
        return zero, zero, x


def _times(weight: Tensor, low: Tensor | None, high: Tensor | None, count: int) -> tuple[Tensor, Tensor]:
    """W·J for an interval Jacobian (B, width, n); the first layer's Jacobian is W itself."""
    if low is None or high is None:
        both = weight.expand(count, -1, -1)
        return both, both
    middle, radius = (low + high) / 2, (high - low) / 2
    centre, spread = weight @ middle, weight.abs() @ (radius + middle.abs() * 2.0**-44)
    return centre - spread, centre + spread


def _scaled(gain_low: Tensor, gain_high: Tensor, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
    """Rows of an interval Jacobian times interval gains (B, width)."""
    products = torch.stack([g[..., None] * j for g in (gain_low, gain_high) for j in (low, high)])
    return products.amin(0), products.amax(0)
