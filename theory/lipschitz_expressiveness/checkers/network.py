"""A network as the methods see it: affine maps with bends between, read from the user's own module.

Main definitions: `Layer`, `Network`, `read_network`.
Implementation notes: exact types alone, in the order of the call; a layer that occurs twice counts twice. What is read
is the function of real numbers that the weights define, in float64.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from constructions.errors import BudgetExceeded, shown
from theory.exact import DEEPEST, PLAIN, altered

MOST_ENTRIES = 10**6
"""Of the matrix of a convolution, or of an identity between two bends."""

SUPPORTED = "Linear, ReLU, LeakyReLU, PReLU, Tanh, Flatten, Conv2d, Identity, and Dropout in eval mode"


@dataclass(frozen=True)
class Layer:
    """x ↦ weight x + bias, then a bend: slopes 1 for positive and `alpha` (width,) for negative inputs, or tanh.

    Units with alpha = 1 do not bend; alpha is None for tanh.
    """

    weight: Tensor
    bias: Tensor
    alpha: Tensor | None

    @cached_property
    def bends(self) -> Tensor:
        """Which units have a kink (width,)."""
        return torch.zeros_like(self.bias, dtype=torch.bool) if self.alpha is None else self.alpha != 1

    @property
    def steepest(self) -> float:
        """The largest |slope| of a unit."""
        return 1.0 if self.alpha is None else max(1.0, float(self.alpha.abs().max()))


@dataclass(frozen=True)
class Network:
    """`hidden` layers, then x ↦ weight x + bias."""

    hidden: tuple[Layer, ...]
    weight: Tensor
    bias: Tensor

    @property
    def inputs(self) -> int:
        return (self.hidden[0].weight if self.hidden else self.weight).shape[1]

    @property
    def outputs(self) -> int:
        return self.weight.shape[0]

    @property
    def matrices(self) -> list[Tensor]:
        return [*(layer.weight for layer in self.hidden), self.weight]

    @property
    def piecewise_affine(self) -> bool:
        return all(layer.alpha is not None for layer in self.hidden)

    @property
    def kinks(self) -> int:
        return sum(int(layer.bends.sum()) for layer in self.hidden)

    @property
    def units(self) -> int:
        return sum(len(layer.bias) for layer in self.hidden)

    @property
    def homogeneous(self) -> bool:
        """Whether f(tx) = t·f(x) up to a constant for t > 0: kinked, and no hidden bias."""
        return self.piecewise_affine and not any(bool(layer.bias.any()) for layer in self.hidden)

    def to(self, device: torch.device) -> Network:
        hidden = tuple(
            Layer(h.weight.to(device), h.bias.to(device), None if h.alpha is None else h.alpha.to(device))
            for h in self.hidden
        )
        return Network(hidden, self.weight.to(device), self.bias.to(device))


# --- reading ---------------------------------------------------------------------------------------------


def read_network(module: nn.Module, input_shape: Sequence[int] | None = None) -> Network:
    """The network of a module made of Linear, ReLU, LeakyReLU, PReLU, Tanh, Flatten and Conv2d layers, on the CPU.

    `input_shape` (C, H, W) of one input is needed where the first layer is a Conv2d or a Flatten. TypeError or
    ValueError that names the layer and its position for anything else; BudgetExceeded for a convolution whose matrix
    has more than 10⁶ entries.
    """
    if not isinstance(module, nn.Module):
        raise TypeError(f"`module` must be a torch.nn.Module, got {type(module).__name__}")
    reader = _Reader(_shape(input_shape))
    for position, layer in _in_order(module, ""):
        reader.take(position, layer)
    return reader.network()


def _shape(input_shape: Sequence[int] | None) -> tuple[int, ...] | None:
    if input_shape is None:
        return None
    good = isinstance(input_shape, (list, tuple)) and len(input_shape) in (1, 3)
    if not good or any(type(s) is not int or s < 1 for s in input_shape):
        raise ValueError(f"`input_shape` must be (C, H, W) or (n,) in positive integers, got {shown(input_shape)}")
    return tuple(input_shape)


def _in_order(module: nn.Module, position: str, depth: int = 0) -> Iterator[tuple[str, nn.Module]]:
    """Layers in the order of the call, with their positions: "0", "1.2"."""
    change = altered(module)
    if change is not None:
        raise TypeError(f"`module` cannot be read at position {position or 'top'}: {change}")
    if depth > DEEPEST:
        raise TypeError(f"`module` must not be nested deeper than {DEEPEST}")
    if type(module) is nn.Sequential:
        for index, child in enumerate(module):
            yield from _in_order(child, f"{position}.{index}" if position else str(index), depth + 1)
    else:
        yield position or "top", module


@dataclass
class _Reader:
    """What was read so far: finished hidden layers, and the affine map that waits for its bend."""

    shape: tuple[int, ...] | None
    width: int | None = None
    waiting: tuple[Tensor, Tensor] | None = None

    def __post_init__(self) -> None:
        self.hidden: list[Layer] = []
        self.first_bends: list[tuple[str, nn.Module]] = []

    def take(self, position: str, layer: nn.Module) -> None:
        kind = type(layer)
        if kind is nn.Identity:
            return
        if kind in (nn.Dropout, nn.Dropout2d):
            if layer.training:
                raise ValueError(
                    f"`module` must be in eval mode: the {kind.__name__} at position {position} draws at random"
                )
            return
        if kind is nn.Flatten:
            self._flatten(position, layer)
        elif kind is nn.Linear:
            self._linear(position, layer)
        elif kind is nn.Conv2d:
            self._convolution(position, layer)
        elif kind in (nn.ReLU, nn.LeakyReLU, nn.PReLU, nn.Tanh):
            self._bend(position, layer)
        else:
            raise TypeError(
                f"`module` has a {kind.__name__} at position {position}; the layers that can be read are {SUPPORTED}"
            )

    def network(self) -> Network:
        if self.waiting is None and not self.hidden:
            raise ValueError("`module` must have a Linear or Conv2d layer, got none")
        if self.shape is not None and len(self.shape) != 1:
            raise ValueError(f"`module` must answer with a matrix (B, m), got outputs of shape {('B', *self.shape)}")
        if self.waiting is None:  # it ends with a bend
            self.waiting = self._identity("the end")
        return Network(tuple(self.hidden), *self.waiting)

    # --- kinds of layers

    def _flatten(self, position: str, layer: Any) -> None:
        if (layer.start_dim, layer.end_dim) != (1, -1):
            raise ValueError(f"`module` must flatten all but the batch, got {layer} at position {position}")
        if self.shape is not None:
            self.shape = (math.prod(self.shape),)

    def _linear(self, position: str, layer: Any) -> None:
        weight, bias = _numbers(position, layer, "weight"), _bias(position, layer)
        if weight.ndim != 2 or not weight.numel() or bias.shape != weight.shape[:1]:
            raise ValueError(f"`module`: {layer} at position {position} has a weight of shape {tuple(weight.shape)}")
        if self.shape is not None and self.shape != (weight.shape[1],):
            raise ValueError(f"`module`: {layer} at position {position} does not accept inputs of shape {self.shape}")
        self._affine(weight, bias)
        self.shape = (weight.shape[0],)

    def _convolution(self, position: str, layer: Any) -> None:
        if self.shape is None or len(self.shape) != 3:
            got = "none was given" if self.shape is None else f"it is {self.shape} there"
            raise ValueError(f"`input_shape` must be (C, H, W) for the Conv2d at position {position}, {got}")
        if layer.padding_mode != "zeros":
            raise ValueError(f"`module` must pad with zeros, got {layer} at position {position}")
        kernel, bias = _numbers(position, layer, "weight"), _bias(position, layer)
        inputs, outputs = math.prod(self.shape), _outputs(position, layer, kernel, self.shape)
        entries = inputs * math.prod(outputs)
        if entries > MOST_ENTRIES:
            where = f"`module`: {layer} at position {position}"
            raise BudgetExceeded(f"{where} has a matrix of {entries} > {MOST_ENTRIES} entries")
        # every output of a unit input is a single weight: the entries are exact
        basis = torch.eye(inputs, dtype=torch.float64).reshape(inputs, *self.shape)
        places = {"stride": layer.stride, "padding": layer.padding, "dilation": layer.dilation, "groups": layer.groups}
        weight = nn.functional.conv2d(basis, kernel, None, **places).reshape(inputs, -1).T.contiguous()
        self._affine(weight, bias.repeat_interleave(math.prod(outputs[1:])))
        self.shape = outputs

    def _affine(self, weight: Tensor, bias: Tensor) -> None:
        if self.waiting is not None:  # two affine maps in a row: units that do not bend
            self.hidden.append(Layer(*self.waiting, torch.ones_like(self.waiting[1])))
        self.waiting, self.width = (weight, bias), weight.shape[0]
        for position, layer in self.first_bends:  # a network that starts with bends has an identity before each
            eye = _eye(position, weight.shape[1])
            self.hidden.append(Layer(eye, eye.new_zeros(len(eye)), self._alpha(position, layer, len(eye), self.shape)))
        self.first_bends = []

    def _bend(self, position: str, layer: nn.Module) -> None:
        if self.width is None:
            self.first_bends.append((position, layer))
            return
        weight, bias = self.waiting if self.waiting is not None else self._identity(position)
        self.hidden.append(Layer(weight, bias, self._alpha(position, layer, self.width, self.shape)))
        self.waiting = None

    def _identity(self, position: str) -> tuple[Tensor, Tensor]:
        assert self.width is not None
        eye = _eye(position, self.width)
        return eye, eye.new_zeros(len(eye))

    def _alpha(self, position: str, layer: nn.Module, width: int, shape: tuple[int, ...] | None) -> Tensor | None:
        if type(layer) is nn.Tanh:
            return None
        if type(layer) is nn.ReLU:
            return torch.zeros(width, dtype=torch.float64)
        if type(layer) is nn.LeakyReLU:
            slope = float(layer.negative_slope)
            if not math.isfinite(slope):
                raise ValueError(f"`module`: {layer} at position {position} must have a finite slope")
            return torch.full((width,), slope, dtype=torch.float64)
        slopes = _numbers(position, layer, "weight")
        channels = width if shape is None else shape[0]
        if slopes.shape not in ((1,), (channels,)):
            where = f"`module`: {layer} at position {position}"
            raise ValueError(f"{where} has {tuple(slopes.shape)} slopes for {channels} channels")
        return slopes.expand(channels).repeat_interleave(width // channels)


def _eye(position: str, width: int) -> Tensor:
    if width**2 > MOST_ENTRIES:
        raise BudgetExceeded(f"`module`: the bend at position {position} follows another one over {width} > 1000 units")
    return torch.eye(width, dtype=torch.float64)


def _outputs(position: str, layer: nn.Conv2d, kernel: Tensor, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Shape (C, H, W) of a convolution's outputs, without computing them."""
    if kernel.ndim != 4 or shape[0] != kernel.shape[1] * layer.groups:
        raise ValueError(f"`module`: {layer} at position {position} does not accept inputs of shape {shape}")
    try:
        places = {"stride": layer.stride, "padding": layer.padding, "dilation": layer.dilation, "groups": layer.groups}
        found = nn.functional.conv2d(torch.empty(1, *shape, device="meta"), kernel.float().to("meta"), None, **places)
    except RuntimeError as error:
        why = f"inputs of shape {shape} ({str(error).splitlines()[0][:200]})"
        raise ValueError(f"`module`: {layer} at position {position} does not accept {why}") from error
    return tuple(found.shape[1:])


def _bias(position: str, layer: nn.Linear | nn.Conv2d) -> Tensor:
    if layer.bias is None:
        return torch.zeros(layer.weight.shape[0], dtype=torch.float64)
    return _numbers(position, layer, "bias")


def _numbers(position: str, layer: nn.Module, name: str) -> Tensor:
    """A layer's tensor as finite float64 on the CPU."""
    value = getattr(layer, name)
    where = f"`module`: the {name} of the {type(layer).__name__} at position {position}"
    if type(value) not in PLAIN or value.layout != torch.strided or value.is_meta:
        raise TypeError(f"{where} must be a dense torch.Tensor that holds numbers, got {type(value).__name__}")
    if value.dtype not in (torch.float64, torch.float32):
        raise TypeError(f"{where} must be float64 or float32, got {value.dtype}")
    numbers = value.detach().to(device="cpu", dtype=torch.float64)
    if not bool(torch.isfinite(numbers).all()):
        raise ValueError(f"{where} must be finite, got {numbers[~torch.isfinite(numbers)][0].item()}")
    return numbers
