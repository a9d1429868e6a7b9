"""An ONNX graph, written node by node: the few operations that mixtures are made of.

Every node is one IEEE operation on tensors (no matrix products, whose order of sums is the runtime's own): a runtime
that runs nodes one by one gives the bits that the same operations give in torch.

Main definitions: `Graph`, `answers`, `onnx_package`.
Notation: values are names of tensors in the graph; B is the free batch dimension.
"""

from __future__ import annotations

import importlib
from functools import singledispatch
from typing import Any

import numpy as np
import torch
from torch import Tensor

from constructions.errors import BudgetExceeded

OPSET = 17
IR_VERSION = 8
LARGEST_FILE = 2**31 - 1
"""Bytes of one protobuf message."""
MOST_NODES = 200_000
INPUT, OUTPUT = "x", "y"


def onnx_package(name: str = "onnx") -> Any:
    """The package `name` of the extra `onnx`; ImportError that says how to get it."""
    try:
        return importlib.import_module(name)
    except ImportError as err:
        raise ImportError(f"ONNX files need the package {name}: pip install 'momlp[onnx]' ({err})") from err


class Graph:
    """Nodes and constants of a graph from `x` (B, n) float64 to `y` (B, m).

    Of a point outside the box [lo, hi] (n,) there is no answer: nodes see `lo` in its place (`self.x`), and `y` is NaN.
    """

    def __init__(self, lo: Tensor, hi: Tensor):
        self._onnx = onnx_package()
        self.n = len(lo)
        self.nodes: list[Any] = []
        self._constants: dict[tuple[str, tuple[int, ...], bytes], str] = {}
        self._arrays: dict[str, np.ndarray] = {}
        self._bytes = 0
        self.inside = self._inside(lo, hi)
        self.x = self.node("Where", self.inside, INPUT, self.constant(lo.double()))

    # --- values ---

    def constant(self, value: Tensor | np.ndarray | np.generic | float) -> str:
        """An initialiser with the numbers of a tensor: float for float64, integers for int64."""
        array = value.detach().cpu().contiguous().numpy() if isinstance(value, Tensor) else np.asarray(value)
        array = np.ascontiguousarray(array).reshape(array.shape)  # which makes rows of single numbers
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in self._constants:
            self._bytes += array.nbytes
            if self._bytes > LARGEST_FILE:
                raise BudgetExceeded(
                    f"`model` has more than {LARGEST_FILE} bytes of numbers, and one ONNX file holds no more: use a "
                    "larger eps, or dtype float32"
                )
            self._constants[key] = name = f"c{len(self._constants)}"
            self._arrays[name] = array
        return self._constants[key]

    def node(self, op: str, *inputs: str, outputs: int = 1, **attributes: Any) -> Any:
        """Append a node: its output, or a list of several."""
        if len(self.nodes) >= MOST_NODES:
            raise BudgetExceeded(f"`model` needs more than {MOST_NODES} ONNX nodes: it has too many layers or inputs")
        made = [f"v{len(self.nodes)}" + (f"_{i}" if outputs > 1 else "") for i in range(outputs)]
        self.nodes.append(self._onnx.helper.make_node(op, list(inputs), made, **attributes))
        return made[0] if outputs == 1 else made

    def cast(self, value: str, dtype: torch.dtype) -> str:
        kinds = self._onnx.TensorProto
        to = {torch.float64: kinds.DOUBLE, torch.float32: kinds.FLOAT, torch.int64: kinds.INT64, torch.bool: kinds.BOOL}
        return self.node("Cast", value, to=to[dtype])

    def column(self, value: str, axis: int) -> str:
        """Column `axis` (B,) of a value (B, n)."""
        return self.node("Gather", value, self.constant(np.int64(axis)), axis=1)

    def with_axis(self, value: str, *axes: int) -> str:
        """A value with axes of length 1 put in."""
        return self.node("Unsqueeze", value, self.constant(np.array(axes, dtype=np.int64)))

    def clamped(self, value: str, low: float, high: float) -> str:
        """min(max(value, low), high), float64."""
        return self.node("Min", self.node("Max", value, self.constant(float(low))), self.constant(float(high)))

    # --- sums in the order of `constructions.fixed_order` ---

    def total(self, terms: str, width: int) -> str:
        """Σ over the last axis, of that width: `fixed_order.total`."""
        over = []
        while width > 1:
            half = width // 2
            sizes = [half, half, 1] if width % 2 else [half, half]
            parts = self.node(
                "Split", terms, self.constant(np.array(sizes, dtype=np.int64)), outputs=len(sizes), axis=-1
            )
            over += parts[2:]
            terms, width = self.node("Add", parts[0], parts[1]), half
        for term in reversed(over):
            terms = self.node("Add", terms, term)
        return self.node("Squeeze", terms, self.constant(np.array([-1], dtype=np.int64)))

    def squared_distances(self, columns: list[str], prototypes: list[str]) -> str:
        """`fixed_order.squared_distances` from coordinates of points (B, 1) to those of prototypes (L,) or (B, L)."""
        result = ""
        for x, p in zip(columns, prototypes, strict=True):
            gap = self.node("Sub", x, p)
            square = self.node("Mul", gap, gap)
            result = self.node("Add", result, square) if result else square
        return result

    def _inside(self, lo: Tensor, hi: Tensor) -> str:
        """Whether points (B, 1) lie in the box [lo, hi] (n,); NaN does not."""
        least = self.node("GreaterOrEqual", INPUT, self.constant(lo.double()))
        most = self.node("LessOrEqual", INPUT, self.constant(hi.double()))
        both = self.cast(self.node("And", least, most), torch.int64)
        return self.cast(self.node("ReduceMin", both, axes=[1], keepdims=1), torch.bool)

    def zeros(self) -> str:
        """0 for every point (B,), int64."""
        return self.cast(self.node("Mul", self.column(self.x, 0), self.constant(0.0)), torch.int64)

    # --- the file ---

    def finish(self, value: str, m: int, dtype: torch.dtype, notes: dict[str, str]) -> bytes:
        """The serialised model, whose output is `value` (B, m) inside the box and NaN elsewhere, checked."""
        helper, kinds = self._onnx.helper, self._onnx.TensorProto
        nowhere = self.constant(np.array(np.nan, dtype=np.float64 if dtype == torch.float64 else np.float32))
        self.nodes.append(helper.make_node("Where", [self.inside, value, nowhere], [OUTPUT]))
        kind = kinds.DOUBLE if dtype == torch.float64 else kinds.FLOAT
        graph = helper.make_graph(
            self.nodes,
            "momlp",
            [helper.make_tensor_value_info(INPUT, kinds.DOUBLE, ["B", self.n])],
            [helper.make_tensor_value_info(OUTPUT, kind, ["B", m])],
            [self._onnx.numpy_helper.from_array(array, name) for name, array in self._arrays.items()],
        )
        model = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION, producer_name="momlp"
        )
        helper.set_model_props(model, notes)
        if model.ByteSize() > LARGEST_FILE:
            raise BudgetExceeded(f"`model` takes {model.ByteSize()} bytes, one ONNX file holds {LARGEST_FILE}")
        self._onnx.checker.check_model(model, full_check=True)
        return model.SerializeToString()


@singledispatch
def answers(model: Any, graph: Graph) -> str:
    """Append the nodes of `model` to `graph`: its answers (B, m) at `graph.x`. Registered beside each kind of model."""
    raise TypeError(f"`model` must be a MoMLP, a TabulatedMoMLP or a TrainedMoMLP, got {type(model).__name__}")
