"""Plain networks out of ONNX files, as stacks of torch layers in float64.

The graph must be one chain from one input to one output. What is read is the network of the file in real arithmetic:
every number of a float32 or float64 file is a float64. Only quotients by constants, and Gemm with a factor, are rounded
once (`notes` says so), which is within what certificates allow for the rounding of a layer.

Main definitions: `read_onnx`, `OnnxNetwork`, `SUPPORTED`.
Implementation notes: a point is a row of numbers (B, n), whatever shape the file's input has: its numbers in a line.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from constructions.errors import require_path
from constructions.files import require_regular
from constructions.networks import stack
from constructions.onnx_graph import onnx_package

MOST_NUMBERS = 1 << 24
"""Of a matrix that an elementwise constant is unrolled to."""
BENDS: dict[str, type[nn.Module]] = {
    "Relu": nn.ReLU,
    "Tanh": nn.Tanh,
    "Sigmoid": nn.Sigmoid,
    "Softplus": nn.Softplus,
    "Gelu": nn.GELU,
}
Shape = tuple[int, ...]


@dataclass(frozen=True)
class OnnxNetwork:
    """`network` from (B, n) to (B, m) in float64; `dtype` is the file's, `shape` its input's without batch."""

    network: nn.Sequential
    n: int
    m: int
    dtype: torch.dtype
    shape: Shape
    notes: tuple[str, ...] = ()


def read_onnx(path: str | os.PathLike) -> OnnxNetwork:
    """The plain network stored at `path`. ValueError naming the node and all that is supported for any other graph,
    ImportError without the extra `onnx`, OSError where the file cannot be read."""
    file = require_path("path", path)
    require_regular(file)
    onnx = onnx_package()
    try:
        model = onnx.load(file)
        onnx.checker.check_model(model)
    except Exception as err:  # protobuf's and the checker's errors have no common class
        why = " ".join(str(err).split())[:200]
        raise ValueError(f"`path` must be an ONNX file, {file} is not: {why}") from err
    return _Reader(file, onnx, model.graph).read()


class _Reader:
    def __init__(self, file: Path, onnx: Any, graph: Any):
        self.file, self.onnx, self.graph = file, onnx, graph
        self.constants = {t.name: self._array(t, t.name) for t in graph.initializer}
        self.modules: list[nn.Module] = []
        self.notes: list[str] = []
        self.at = ""

    def fault(self, why: str) -> ValueError:
        return ValueError(f"`path` {self.file}{self.at}: {why}; supported are chains of {', '.join(SUPPORTED)}")

    def _array(self, proto: Any, name: str) -> np.ndarray:
        array = np.asarray(self.onnx.numpy_helper.to_array(proto))
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise ValueError(f"`path` {self.file}: constant {name} must be finite")
        return array

    def read(self) -> OnnxNetwork:
        inputs = [i for i in self.graph.input if i.name not in self.constants]
        if len(inputs) != 1 or len(self.graph.output) != 1:
            raise self.fault(f"it has {len(inputs)} inputs and {len(self.graph.output)} outputs, not one of each")
        dtype, self.shape = self._input(inputs[0])
        whole, self.name = self.shape, inputs[0].name
        if len(self.shape) != 1:
            self.modules.append(nn.Unflatten(1, self.shape))
        for number, node in enumerate(self.graph.node):
            self.at = f", node {number} ({node.op_type})"
            self._node(node)
        self.at = ""
        if self.name != self.graph.output[0].name:
            raise self.fault(f"its output {self.graph.output[0].name} is not the end of the chain")
        self._flat()
        network = nn.Sequential(*self.modules).requires_grad_(False)
        return OnnxNetwork(network, math.prod(whole), self.shape[0], dtype, whole, tuple(dict.fromkeys(self.notes)))

    def _input(self, value: Any) -> tuple[torch.dtype, Shape]:
        kind, kinds = value.type.tensor_type.elem_type, self.onnx.TensorProto
        if kind not in (kinds.FLOAT, kinds.DOUBLE):
            raise self.fault("its input must be float32 or float64")
        sizes = [d.dim_value for d in value.type.tensor_type.shape.dim]
        if len(sizes) < 2 or min(sizes[1:]) < 1 or sizes[0] > 1:
            raise self.fault(f"its input must have a free batch axis (or one point) and fixed sizes, got {sizes}")
        return (torch.float32 if kind == kinds.FLOAT else torch.float64), tuple(sizes[1:])

    # --- nodes ---

    def _node(self, node: Any) -> None:
        if node.op_type == "Constant":
            values = {a.name: a for a in node.attribute}
            if "value" not in values:
                raise self.fault("a constant must be a tensor")
            self.constants[node.output[0]] = self._array(values["value"].t, node.output[0])
            return
        handler = OPERATORS.get(node.op_type)
        if handler is None or node.domain not in ("", "ai.onnx"):
            raise self.fault("this operator is not supported")
        free = [name for name in node.input if name and name not in self.constants]
        if free != [self.name]:
            raise self.fault(f"it reads {free}, the chain has come to {self.name}")
        handler(self, node, {a.name: self.onnx.helper.get_attribute_value(a) for a in node.attribute})
        self.name = node.output[0]

    def _constant(self, node: Any, place: int) -> np.ndarray:
        """Input number `place`, in float64."""
        if place >= len(node.input) or node.input[place] not in self.constants:
            raise self.fault(f"input {place} must be a constant")
        return self.constants[node.input[place]].astype(np.float64)

    def _linear(self, weight: np.ndarray, bias: np.ndarray | None) -> None:
        """Append weight (out, in) and bias (out,)."""
        if len(self.shape) != 1 or weight.ndim != 2 or weight.shape[1] != self.shape[0]:
            raise self.fault(f"a matrix {weight.shape} does not fit {self.shape} numbers a point")
        offset = np.zeros(len(weight)) if bias is None else np.broadcast_to(bias, (1, len(weight)))[0]
        self.modules += stack([(_tensor(weight), _tensor(offset))])
        self.shape = (len(weight),)

    def _each(self, factor: np.ndarray | float, offset: np.ndarray | float) -> None:
        """Append x ↦ factor·x + offset, elementwise: constants that broadcast to a point."""
        shape, size = self.shape, math.prod(self.shape)
        try:
            scale, shift = (np.broadcast_to(v, (1, *shape)).reshape(-1) for v in (factor, offset))
        except ValueError:
            sizes = [np.shape(v) for v in (factor, offset) if np.ndim(v)]
            raise self.fault(f"constants of shape {sizes} do not fit a point of shape {shape}") from None
        last = self.modules[-1] if self.modules else None
        if isinstance(last, nn.Linear) and not bool(last.bias.any()) and bool((scale == 1).all()):
            last.bias = nn.Parameter(_tensor(shift), requires_grad=False)  # MatMul and Add are one layer
            return
        if size * size > MOST_NUMBERS:
            raise self.fault(f"{size} × {size} numbers are more than {MOST_NUMBERS}")
        self._flat()
        self._linear(np.diag(scale), shift)
        if len(shape) != 1:
            self.modules.append(nn.Unflatten(1, shape))
            self.shape = shape

    def _flat(self) -> None:
        if len(self.shape) != 1:
            self.modules.append(nn.Flatten())
            self.shape = (math.prod(self.shape),)

    def _bend(self, module: nn.Module) -> None:
        """Append an activation, behind a layer of ones where it has none before it."""
        if not self.modules or not isinstance(self.modules[-1], (nn.Linear, nn.Conv2d)):
            shape, size = self.shape, math.prod(self.shape)
            if size * size > MOST_NUMBERS:
                raise self.fault(f"an activation of {size} inputs needs a layer before it")
            self._flat()
            self._linear(np.eye(size), None)
            self.modules.append(module)
            if len(shape) != 1:
                self.modules.append(nn.Unflatten(1, shape))
                self.shape = shape
            return
        self.modules.append(module)

    # --- operators ---

    def gemm(self, node: Any, options: dict[str, Any]) -> None:
        if options.get("transA", 0) or node.input[0] != self.name:
            raise self.fault("the first factor must be the point, not transposed")
        weight = self._constant(node, 1)
        weight = weight if options.get("transB", 0) else weight.T
        bias = self._constant(node, 2) if len(node.input) > 2 and node.input[2] else np.zeros(())
        for factor in (options.get("alpha", 1.0), options.get("beta", 1.0)):
            if factor != 1.0:
                self.notes.append("factors of Gemm are multiplied in, rounded once")
        self._flat_if_2d(weight)
        self._linear(weight * options.get("alpha", 1.0), bias * options.get("beta", 1.0))

    def _flat_if_2d(self, weight: np.ndarray) -> None:
        if weight.ndim != 2 or len(self.shape) != 1:
            raise self.fault(f"a matrix {weight.shape} does not fit a point of shape {self.shape}: Flatten before it")

    def matmul(self, node: Any, options: dict[str, Any]) -> None:
        if node.input[0] != self.name:
            raise self.fault("the first factor must be the point")
        weight = self._constant(node, 1)
        self._flat_if_2d(weight)
        self._linear(weight.T, None)

    def _other(self, node: Any) -> tuple[np.ndarray, bool]:
        """The constant operand, and whether it comes first."""
        first = node.input[0] != self.name
        return self._constant(node, 0 if first else 1), first

    def add(self, node: Any, options: dict[str, Any]) -> None:
        self._each(1.0, self._other(node)[0])

    def sub(self, node: Any, options: dict[str, Any]) -> None:
        value, first = self._other(node)
        self._each(-1.0, value) if first else self._each(1.0, -value)

    def mul(self, node: Any, options: dict[str, Any]) -> None:
        self._each(self._other(node)[0], 0.0)

    def div(self, node: Any, options: dict[str, Any]) -> None:
        value, first = self._other(node)
        if first or not np.all(value):
            raise self.fault("the divisor must be a constant without zeros")
        self.notes.append("quotients by constants are products with reciprocals, rounded once")
        self._each(1 / value, 0.0)

    def neg(self, node: Any, options: dict[str, Any]) -> None:
        self._each(-1.0, 0.0)

    def bend(self, node: Any, options: dict[str, Any]) -> None:
        if options.get("approximate", b"none") != b"none":
            raise self.fault("approximate must be 'none'")
        self._bend(BENDS[node.op_type]())

    def leaky(self, node: Any, options: dict[str, Any]) -> None:
        self._prelu(np.array([options.get("alpha", float(np.float32(0.01)))]))

    def prelu(self, node: Any, options: dict[str, Any]) -> None:
        self._prelu(self._constant(node, 1))

    def _prelu(self, slopes: np.ndarray) -> None:
        if slopes.size != 1 and (len(self.shape) != 1 or slopes.size != self.shape[0]):
            raise self.fault(f"{slopes.size} slopes do not fit {self.shape} numbers a point")
        module = nn.PReLU(slopes.size, dtype=torch.float64)
        module.weight.data.copy_(_tensor(slopes.reshape(-1)))
        self._bend(module)

    def flatten(self, node: Any, options: dict[str, Any]) -> None:
        if options.get("axis", 1) != 1:
            raise self.fault("axis must be 1")
        self._flat()

    def reshape(self, node: Any, options: dict[str, Any]) -> None:
        sizes = [int(v) for v in self._constant(node, 1).reshape(-1)]
        size = math.prod(self.shape)
        rest = sizes[1:]
        if rest.count(-1) == 1:
            known = math.prod(v for v in rest if v != -1)
            rest = [size // known if v == -1 and known > 0 else v for v in rest]
        if not rest or sizes[0] not in (-1, 0, 1) or min(rest) < 1 or math.prod(rest) != size:
            raise self.fault(f"shape {sizes} must keep the batch axis and the {size} numbers a point")
        self._flat()
        if len(rest) > 1:
            self.modules.append(nn.Unflatten(1, tuple(rest)))
            self.shape = tuple(rest)

    def nothing(self, node: Any, options: dict[str, Any]) -> None:
        if node.op_type == "Dropout" and len(node.input) > 2:
            raise self.fault("it must be that of inference")

    def conv(self, node: Any, options: dict[str, Any]) -> None:
        weight = self._constant(node, 1)
        pads, auto = options.get("pads", [0, 0, 0, 0]), options.get("auto_pad", b"NOTSET")
        if len(self.shape) != 3 or weight.ndim != 4 or auto != b"NOTSET" or list(pads[:2]) != list(pads[2:]):
            raise self.fault("it must be two-dimensional, with the same padding on both sides")
        group = options.get("group", 1)
        module = nn.Conv2d(
            weight.shape[1] * group,
            weight.shape[0],
            tuple(weight.shape[2:]),
            stride=tuple(options.get("strides", (1, 1))),
            padding=tuple(pads[:2]),
            dilation=tuple(options.get("dilations", (1, 1))),
            groups=group,
            dtype=torch.float64,
        )
        bias = self._constant(node, 2) if len(node.input) > 2 and node.input[2] else np.zeros(len(weight))
        with torch.no_grad():
            module.weight.copy_(_tensor(weight))
            module.bias.copy_(_tensor(bias))  # pyright: ignore[reportOptionalMemberAccess]
        if self.shape[0] != module.in_channels:
            raise self.fault(f"it takes {module.in_channels} channels where there are {self.shape[0]}")
        with torch.no_grad():
            self.shape = tuple(module(torch.zeros(1, *self.shape, dtype=torch.float64)).shape[1:])
        self.modules.append(module)


def _tensor(array: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float64).reshape(np.shape(array)).copy())


OPERATORS = {
    "Gemm": _Reader.gemm,
    "MatMul": _Reader.matmul,
    "Conv": _Reader.conv,
    "Add": _Reader.add,
    "Sub": _Reader.sub,
    "Mul": _Reader.mul,
    "Div": _Reader.div,
    "Neg": _Reader.neg,
    **dict.fromkeys(BENDS, _Reader.bend),
    "LeakyRelu": _Reader.leaky,
    "PRelu": _Reader.prelu,
    "Flatten": _Reader.flatten,
    "Reshape": _Reader.reshape,
    "Identity": _Reader.nothing,
    "Dropout": _Reader.nothing,
}
SUPPORTED = (*OPERATORS, "Constant")
