"""Deep networks of more kinds of layers, read into affine maps and activations.

Supported: Linear, Conv2d (zero padding, float64, unrolled to a matrix of at most 2²⁴ numbers), Unflatten and Flatten
around it, Identity, and between affine layers ReLU, PReLU, Tanh, Sigmoid, Softplus (beta 1, threshold 20) and GELU
(approximate 'none').

Main definitions: `Layer`, `read_layers`, `SUPPORTED`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from theory.checkers.uniform_error.activations import SMOOTH, Activation, leaky
from theory.checkers.uniform_error.stack import FLOATS, layers_in_order, linear_fault, numbers_of, slope_fault

SUPPORTED = "Linear, Conv2d, Flatten, Unflatten, Identity, ReLU, PReLU, Tanh, Sigmoid, Softplus and GELU"
MOST_NUMBERS = 1 << 24
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Layer:
    """x -> weight x + bias, then the activation, if any."""

    weight: Tensor
    bias: Tensor
    activation: Activation | None = None


def read_layers(network: nn.Module, inputs: int) -> list[Layer] | str:
    """The layers of a network from (B, inputs) to (B, m), in float64, or why it is none that is supported."""
    modules = layers_in_order(network)
    if isinstance(modules, str):
        return modules
    reader = _Reader((inputs,))
    for module in modules:
        fault = reader.read(module)
        if fault is not None:
            return fault
    if not reader.layers:
        return "it has no layer"
    if len(reader.shape) != 1:
        return f"it answers with a tensor of shape {reader.shape} a point: end with Flatten"
    if len(reader.dtypes) > 1 or not reader.dtypes <= set(FLOATS):
        return f"its weights must be float64 or float32, all of them, got {sorted(map(str, reader.dtypes))}"
    return reader.layers


class _Reader:
    def __init__(self, shape: Shape):
        self.shape = shape
        self.layers: list[Layer] = []
        self.dtypes: set[torch.dtype] = set()

    def read(self, module: nn.Module) -> str | None:
        """Append what one module does, or say why it cannot be read."""
        kind = type(module)
        if isinstance(module, nn.Linear) and kind is nn.Linear:
            return self._linear(module)
        if isinstance(module, nn.Conv2d) and kind is nn.Conv2d:
            return self._convolution(module)
        if isinstance(module, nn.Flatten) and kind is nn.Flatten:
            if (module.start_dim, module.end_dim) != (1, -1):
                return f"{module} must flatten all but the batch (start_dim=1, end_dim=-1)"
            self.shape = (math.prod(self.shape),)
            return None
        if isinstance(module, nn.Unflatten) and kind is nn.Unflatten:
            return self._unflatten(module)
        return self._bend(module)

    def _linear(self, module: nn.Linear) -> str | None:
        if len(self.shape) != 1:
            return f"{module} after a tensor of shape {self.shape} a point: put Flatten between"
        fault = linear_fault(module, self.shape[0])
        if fault is not None:
            return fault
        weight = module.weight.detach().double()
        bias = weight.new_zeros(len(weight)) if module.bias is None else module.bias.detach().double()
        self._affine(module, weight, bias, (len(weight),))
        return None

    def _affine(self, module: nn.Module, weight: Tensor, bias: Tensor, shape: Shape) -> None:
        self.layers.append(Layer(weight, bias))
        self.dtypes |= {p.dtype for p in numbers_of(module)}
        self.shape = shape

    def _convolution(self, module: nn.Conv2d) -> str | None:
        if len(self.shape) != 3:
            return f"{module} needs (channels, height, width) a point, got {self.shape}: put Unflatten before it"
        if module.padding_mode != "zeros" or isinstance(module.padding, str):
            return f"{module} must pad by a number of zeros"
        if module.weight.dtype != torch.float64:
            return f"{module} must be float64 (other convolutions may run in ways with larger rounding)"
        if module.in_channels != self.shape[0]:
            return f"{module} takes {module.in_channels} channels where there are {self.shape[0]}"
        inputs = math.prod(self.shape)
        sizes = [
            (size + 2 * pad - dilation * (kernel - 1) - 1) // stride + 1
            for size, pad, dilation, kernel, stride in zip(
                self.shape[1:], module.padding, module.dilation, module.kernel_size, module.stride, strict=True
            )
        ]
        outputs = module.out_channels * math.prod(sizes)
        if min(sizes) < 1:
            return f"{module} has no output for inputs of shape {self.shape}"
        if inputs * outputs > MOST_NUMBERS:
            return f"{module} unrolls to {outputs} × {inputs} numbers, more than {MOST_NUMBERS}"
        every = torch.eye(inputs, dtype=torch.float64, device=module.weight.device).reshape(inputs, *self.shape)
        options = (None, module.stride, module.padding, module.dilation, module.groups)
        # one input is 1 and all others 0: each entry is one weight, exactly
        matrix = torch.nn.functional.conv2d(every, module.weight.detach(), *options).reshape(inputs, outputs)
        bias = matrix.new_zeros(module.out_channels) if module.bias is None else module.bias.detach()
        spread = bias.repeat_interleave(math.prod(sizes))
        self._affine(module, matrix.T.contiguous(), spread, (module.out_channels, *sizes))
        return None

    def _unflatten(self, module: nn.Unflatten) -> str | None:
        sizes = tuple(module.unflattened_size)
        numbers = all(type(size) is int and size > 0 for size in sizes)
        if module.dim != 1 or len(self.shape) != 1 or not numbers or math.prod(sizes) != self.shape[0]:
            return f"{module} must give axis 1, of {self.shape[0]} numbers a point, a shape of positive sizes"
        self.shape = sizes
        return None

    def _bend(self, module: nn.Module) -> str | None:
        known = type(module) in (nn.ReLU, nn.PReLU) or type(module) in SMOOTH
        if not known:
            return f"{module} is not supported"
        if not self.layers or self.layers[-1].activation is not None:
            return f"{module} where a Linear or Conv2d layer is needed"
        last = self.layers[-1]
        activation = SMOOTH.get(type(module))
        if isinstance(module, nn.Softplus) and (module.beta, module.threshold) != (1.0, 20.0):
            return f"{module} must have beta 1 and threshold 20"
        if isinstance(module, nn.GELU) and module.approximate != "none":
            return f"{module} must have approximate='none'"
        if activation is None:
            alpha = torch.zeros_like(last.bias)
            if isinstance(module, nn.PReLU):
                fault = slope_fault(module, len(last.bias))
                if fault is None and len(self.shape) != 1 and module.weight.numel() != 1:
                    fault = f"{module} must have one slope for inputs of shape {self.shape}"
                if fault is not None:
                    return fault
                self.dtypes.add(module.weight.dtype)
                alpha = module.weight.detach().double().expand(len(last.bias))
            activation = leaky(alpha)
        self.layers[-1] = Layer(last.weight, last.bias, activation)
        return None
