"""Mixtures in the formats of other runtimes: ONNX, and torch.export's `.pt2`.

Main definitions: `export_onnx`, `export_pt2`, `export_bound`.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from constructions.arrays import Array, as_given, on_device, tensor_of
from constructions.bit_extraction import graph as _bits  # noqa: F401 (registers its model)
from constructions.errors import require_path, require_points
from constructions.files import require_writable, write_whole
from constructions.mixture import LatticeMixture
from constructions.momlp import graph as _momlp  # noqa: F401
from constructions.momlp.tabulated import TabulatedMoMLP
from constructions.onnx_graph import Graph, answers
from constructions.portable import Portable, apart
from constructions.trained_momlp import graph as _trained  # noqa: F401
from constructions.trained_momlp.model import TrainedMoMLP

LARGEST = torch.finfo(torch.float64).max
Exportable = LatticeMixture | TrainedMoMLP


def export_onnx(model: Exportable, path: str | os.PathLike) -> Path:
    """Write `model` to `path` as an ONNX file from `x` (B, n) float64 to `y` (B, m) in the model's dtype.

    Any batch size; a point outside the domain (of a trained model: one that is not finite) is answered by NaN. Raises
    ImportError without the extra `onnx`, ValueError for a lazy model, BudgetExceeded above 2 GiB, OSError.
    """
    target = require_path("path", path)
    require_writable(target)
    lo, hi = domain_of(model)
    graph = Graph(lo, hi)
    with torch.no_grad():
        value = answers(model, graph)
    notes = {"model": type(model).__name__}
    content = graph.finish(value, model.m, dtype_of(model), notes)
    return write_whole(target, lambda draft: draft.write_bytes(content))


def export_pt2(model: Exportable, path: str | os.PathLike) -> Path:
    """Write `model` to `path` for `torch.export.load`: the same function as the ONNX file, any batch size.

    Raises ValueError for a lazy model, TypeError for another, OSError.
    """
    target = require_path("path", path)
    require_writable(target)
    lo, hi = domain_of(model)
    place = next(model.parameters()).device
    portable = Portable(model, lo.to(place), hi.to(place))
    middle = (portable.lo / 2 + portable.hi / 2).repeat(3, 1)
    with torch.no_grad():
        program = torch.export.export(portable, (middle,), dynamic_shapes={"x": {0: torch.export.Dim("batch")}})
    return write_whole(target, lambda draft: torch.export.save(program, draft))


def export_bound(model: Exportable, x: Array) -> Array:
    """Upper bounds (B,) of how far the answers of an exported file may be from `model(x)`, x (B, n) in the domain.

    A runtime that runs node by node, as onnxruntime does on a CPU, gives the same numbers; these bounds hold for sums
    in any order, fused or not, by the expert that the model asks. The lattice's router cannot be fused; a runtime that
    fuses squared distances may send points nearly between two prototypes of a trained model to the other one. Of
    bit-extraction experts the bound is 0, and only the operations as they are written keep it.
    """
    domain_of(model)
    place: Any = model.place  # torch's modules answer any name to type-checkers
    points = on_device(tensor_of("x", x), x, place)
    require_points("x", points, model.n)
    if isinstance(model, LatticeMixture):
        model.domain.require_inside("x", points)
    with torch.no_grad():
        return as_given(apart(model, points), x)


def domain_of(model: Exportable) -> tuple[Tensor, Tensor]:
    """The box (n,), (n,) in which the model answers: of trained ones all finite points. TypeError for other models."""
    if isinstance(model, LatticeMixture):
        return model.domain.tensors()
    if isinstance(model, TrainedMoMLP):
        most = torch.full((model.n,), LARGEST, dtype=torch.float64)
        return -most, most
    raise TypeError(f"`model` must be a MoMLP, a TabulatedMoMLP or a TrainedMoMLP, got {type(model).__name__}")


def dtype_of(model: Exportable) -> torch.dtype:
    """The dtype of the answers."""
    if isinstance(model, TrainedMoMLP):
        return model.dtype
    if isinstance(model, TabulatedMoMLP):
        return model.table.dtype
    return next(model.parameters()).dtype
