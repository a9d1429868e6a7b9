"""`StackBank`: one deep Linear/ReLU/PReLU expert on one cell, with interval bounds on its local slope.

For boxes inside the cell, pre-activation intervals decide which units may switch; the Jacobian is then an interval
matrix, and ‖J‖ bounds how far each output moves. Vectorised over boxes.

Main definitions: `StackBank`, `linear_stack`, `stack_fault`, `layers_in_order`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from theory.checkers.uniform_error.boxes import half_widths
from theory.exact import DEEPEST, altered

INFLATION = 1 + 2.0**-40
FLOATS = {torch.float64: (2.0**-53, 2.0**-1022), torch.float32: (2.0**-24, 2.0**-126)}
"""Unit roundoff and smallest normal number: below the latter a product keeps no relative precision, or none at all."""

UNIT, LEAST = FLOATS[torch.float64]


@dataclass(frozen=True)
class Affine:
    """x -> weight x + bias, then the activation with slopes alpha for negative inputs (None: no activation)."""

    weight: Tensor
    bias: Tensor
    alpha: Tensor | None


# --- reading ---------------------------------------------------------------------------------------------


def layers_in_order(network: nn.Module, depth: int = 0) -> list[nn.Module] | str:
    """The layers that a call runs through, one after another, or why that cannot be told.

    Children in order and not `modules()`, which names a reused layer only once; exact types, since a subclass may
    compute anything.
    """
    why = altered(network)
    if why is not None:
        return why
    if depth > DEEPEST:
        return f"it is nested deeper than {DEEPEST}"
    if type(network) is nn.Identity:
        return []
    if type(network) is not nn.Sequential:
        return [network]
    layers: list[nn.Module] = []
    for child in network:
        inner = layers_in_order(child, depth + 1)
        if isinstance(inner, str):
            return inner
        layers += inner
    return layers


def read_stack(network: nn.Module) -> list[Affine] | str:
    """The layers of a Linear (ReLU | PReLU Linear)* stack, float64 or float32, in float64, or why it is none."""
    layers = layers_in_order(network)
    if isinstance(layers, str):
        return layers
    stack: list[Affine] = []
    dtypes: set[torch.dtype] = set()
    for layer in layers:
        bent = not stack or stack[-1].alpha is not None
        if type(layer) is nn.Linear:
            fault = linear_fault(layer, len(stack[-1].bias) if stack else None)
        elif type(layer) in (nn.ReLU, nn.PReLU) and not bent:
            fault = slope_fault(layer, len(stack[-1].bias))
        else:
            fault = f"{layer} where a Linear layer is needed" if bent else f"{layer} is no Linear, ReLU or PReLU layer"
        if fault is not None:
            return fault
        dtypes |= {p.dtype for p in numbers_of(layer)}
        _append(stack, layer)
    if not stack:
        return "it has no layer"
    if len(dtypes) > 1 or not dtypes <= set(FLOATS):
        return f"its weights must be float64 or float32, all of them, got {sorted(map(str, dtypes))}"
    return stack


def stack_fault(network: nn.Module) -> str | None:
    """Why `network` is no stack that `read_stack` reads, None when it is one."""
    found = read_stack(network)
    return found if isinstance(found, str) else None


def linear_stack(network: nn.Module) -> list[Affine] | None:
    """The layers that `read_stack` reads, or None for anything else."""
    found = read_stack(network)
    return None if isinstance(found, str) else found


def numbers_of(layer: nn.Module) -> list[Tensor]:
    """The tensors that a Linear or PReLU layer computes with, Parameters or not."""
    return [t for name in ("weight", "bias") if (t := getattr(layer, name, None)) is not None]


def _append(stack: list[Affine], layer: nn.Module) -> None:
    if isinstance(layer, nn.Linear):
        weight = layer.weight.detach().double()
        bias = weight.new_zeros(len(weight)) if layer.bias is None else layer.bias.detach().double()
        stack.append(Affine(weight, bias, None))
        return
    last = stack[-1]
    alpha = torch.zeros_like(last.bias)
    if isinstance(layer, nn.PReLU):
        alpha = layer.weight.detach().double().expand(len(last.bias))
    stack[-1] = Affine(last.weight, last.bias, alpha)


def slope_fault(layer: nn.Module, width: int) -> str | None:
    if not isinstance(layer, nn.PReLU):
        return None
    slopes = layer.weight
    fits = slopes.shape in ((1,), (width,))
    return None if fits else f"{layer} has {tuple(slopes.shape)} slopes for {width} units"


def linear_fault(layer: nn.Linear, inputs: int | None) -> str | None:
    weight, bias = layer.weight, layer.bias
    if weight.ndim != 2 or not weight.numel() or (bias is not None and bias.shape != weight.shape[:1]):
        return f"{layer} has weights {tuple(weight.shape)} and biases {None if bias is None else tuple(bias.shape)}"
    if inputs is not None and weight.shape[1] != inputs:
        return f"{layer} takes {weight.shape[1]} inputs where there are {inputs}"
    return None


@dataclass(frozen=True)
class StackBank:
    """A deep expert with cell [lower, upper] (1, n). Has the methods of `RidgeBank` that the search needs."""

    stack: list[Affine]
    lower: Tensor
    upper: Tensor
    table_slack: float
    forward_slack: float

    @classmethod
    def of(cls, stack: list[Affine], lower: Tensor, upper: Tensor, *, unit: float, least: float = LEAST) -> StackBank:
        """Rounding slack from the magnitudes that flow through the layers; `unit` and `least` are the forward pass's.

        A product w·x is off by u|wx|, and by least·(1 + |w| + |x|) where it, w or x lies below the normal numbers
        (flushed to zero at worst); errors travel on through |W|.
        """
        size = torch.maximum(lower.abs(), upper.abs())[0]
        lost = torch.zeros_like(size)  # in units of the least normal number
        depth = 0
        for layer in stack:
            weight = layer.weight.abs()
            lost = weight @ lost + weight.sum(1) + size.sum() + weight.shape[1] + 4
            size = weight @ size + layer.bias.abs()
            if layer.alpha is not None:
                gain = layer.alpha.abs().clamp(min=1)
                lost = lost * gain + gain + size + 2
                size = size * gain
            depth += layer.weight.shape[1] + 4
        rounding, underflow = 2 * depth * float(size.max()), 2 * float(lost.max())
        return cls(stack, lower, upper, rounding * UNIT + underflow * LEAST, rounding * unit + underflow * least)

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
        low, high = self._jacobian(centre, half)
        largest = torch.maximum(low.abs(), high.abs())
        floor = LEAST * (largest.sum(-1) + half.sum(-1, keepdim=True) + half.shape[1])
        return (largest * half[:, None, :]).sum(-1) * INFLATION + floor

    def slope_ends(self, expert: Tensor, piece: Tensor, lo: Tensor, hi: Tensor) -> tuple[Tensor, Tensor]:
        """Ends (B, m, n) of the partial derivatives of the network on boxes [lo, hi]."""
        centre = (lo + hi) / 2
        return self._jacobian(centre, half_widths(lo, hi, centre))

    def _jacobian(self, centre: Tensor, half: Tensor) -> tuple[Tensor, Tensor]:
        """The interval Jacobian (B, m, n) over boxes centre ± half (B, n), rounded outward."""
        middle, radius = centre, half
        low = high = None  # interval Jacobian (B, width, n)
        for layer in self.stack:
            weight = layer.weight.abs()
            width = (middle.abs() + radius).sum(-1, keepdim=True)
            size = (middle.abs() + radius) @ weight.T + layer.bias.abs()
            floor = LEAST * (weight.sum(1) + width + weight.shape[1] + 4)
            middle = nn.functional.linear(middle, layer.weight, layer.bias)
            radius = radius @ weight.T + size * _relative(weight.shape[1]) + floor
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
            middle, radius = (bottom + top) / 2, (top - bottom) / 2 * INFLATION + LEAST * (1 + alpha.abs())
        assert low is not None
        assert high is not None
        return low, high

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


def _relative(terms: int) -> float:
    """Room for the rounding of a sum of that many products, in any order, and of what is made of it."""
    return max(2.0**-44, (terms + 4) * 2 * UNIT)


def _times(weight: Tensor, low: Tensor | None, high: Tensor | None, count: int) -> tuple[Tensor, Tensor]:
    """W·J for an interval Jacobian (B, width, n), rounded outward; the first layer's Jacobian is W itself."""
    if low is None or high is None:
        both = weight.expand(count, -1, -1)
        return both, both
    middle, radius = (low + high) / 2, (high - low) / 2
    size, relative = weight.abs(), _relative(weight.shape[1])
    # a product below the normal numbers may be lost whole, and so may a factor of it
    floor = LEAST * (size.sum(1)[:, None] + (middle.abs() + radius).sum(1, keepdim=True) + weight.shape[1] + 4)
    centre = weight @ middle
    spread = (size @ (radius + middle.abs() * relative)) * (1 + relative) + floor
    return centre - spread, centre + spread


def _scaled(gain_low: Tensor, gain_high: Tensor, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
    """Rows of an interval Jacobian times interval gains (B, width), rounded outward."""
    products = torch.stack([g[..., None] * j for g in (gain_low, gain_high) for j in (low, high)])
    gains = (gain_low.abs() + gain_high.abs())[..., None]
    pad = products.abs().amax(0) * 2 * UNIT + LEAST * (1 + gains + low.abs() + high.abs())
    return products.amin(0) - pad, products.amax(0) + pad


def precision(*modules: nn.Module) -> tuple[float, float]:
    """(u, least normal number) of the coarsest floating tensor that the modules compute with, Parameter or not."""
    dtypes = {t.dtype for m in modules for t in floats_of(m)} or {torch.float64}
    unknown = dtypes - set(FLOATS)
    if unknown:
        raise ValueError(f"`model` must have float64 or float32 parameters, got {unknown}")
    return max(FLOATS[d] for d in dtypes)


def floats_of(module: nn.Module) -> Iterator[Tensor]:
    """Parameters, buffers, and tensors kept as plain attributes, of a module and all modules below it."""
    for part in module.modules():
        held = (*part.parameters(recurse=False), *part.buffers(recurse=False), *vars(part).values())
        yield from (t for t in held if isinstance(t, Tensor) and t.is_floating_point())
