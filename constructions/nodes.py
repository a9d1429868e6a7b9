"""Where experts have their nodes, what they are worth there, and how well a table of them stands for the experts.

Main definitions: `NodeAxis`, `NodeValues`, `Nodes`, `Spread`.
Notation: k resolved axes of K_i cells each, (K_1 + 1)⋯(K_k + 1) nodes an expert, m outputs.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, field

import torch
from torch import Tensor

UNITS = {torch.float64: 2.0**-53, torch.float32: 2.0**-24}
LOST = {torch.float64: 2.0**-1060, torch.float32: 2.0**-149}
"""More than what an operation (a split product, in float64) can lose below the normal numbers."""


@dataclass(frozen=True)
class NodeAxis:
    """Node j of `cells` + 1 lies where (x − lo)·scale = j, within `drift`: no x is farther from where the experts
    have it (in cells), once both are clamped to [0, cells]."""

    lo: float
    scale: float
    cells: int
    drift: float

    @property
    def uncertainty(self) -> float:
        """`drift`, and 3ρ for float64: ρ = 4uK covers subtraction, scale and product (3.01uK); a neighbouring piece,
        taken ρ beyond its end, is off by twice as much again."""
        return self.drift + 12 * UNITS[torch.float64] * self.cells


@dataclass(frozen=True)
class NodeValues:
    """`values` (E, nodes, m), float64, within `error` of the experts' exact ones; `steepest` bounds how much an expert
    changes from node to node, or beyond the first one over as long a way."""

    values: Tensor
    error: float
    steepest: float


class Nodes(ABC):
    """The nodes of a model's experts, between which they interpolate: linearly on one axis, on several on the simplices
    of the J1 triangulation (`theory.checkers.uniform_error.simplices`)."""

    axes: tuple[NodeAxis, ...]

    @abstractmethod
    def values(self, leaves: Tensor) -> NodeValues:
        """Of the experts of leaves (E, q)."""

    @property
    def count(self) -> int:
        """Nodes an expert."""
        return math.prod(axis.cells + 1 for axis in self.axes)


@dataclass
class Spread:
    """What of a table the slack depends on: `size` ≥ |value|, `steepest` ≥ |step from node to node|, `error` ≥ |entry −
    exact value|, `rounded` the coarsest dtype that its numbers have been in. Grows as values are added."""

    size: float = 0.0
    steepest: float = 0.0
    error: float = 0.0
    rounded: torch.dtype = field(default=torch.float64)

    def include(self, found: NodeValues) -> None:
        size = float(found.values.abs().max()) if found.values.numel() else 0.0
        if not math.isfinite(size + found.error + found.steepest):
            raise ValueError("`model` has experts whose values at their nodes are beyond float64")
        self.size = max(self.size, size)
        self.error = max(self.error, found.error)
        self.steepest = max(self.steepest, found.steepest)

    def cast(self, dtype: torch.dtype) -> None:
        """Add what the values lose in `dtype`."""
        if UNITS[dtype] > UNITS[self.rounded]:
            self.error += UNITS[dtype] * self.size + LOST[dtype]
            self.size *= 1 + 2 * UNITS[dtype]
            self.rounded = dtype

    def slack(self, axes: tuple[NodeAxis, ...], dtype: torch.dtype) -> float:
        """|table(x) − network(x)| for a table of `dtype` that answers in it; the proof is in `momlp.tabulated`."""
        u, k = UNITS[torch.float64], len(axes)
        moved = self.steepest * sum(axis.uncertainty for axis in axes)
        held = self.error * (1 + 8 * u * sum(axis.cells for axis in axes))
        size = self.size + k * self.steepest
        arithmetic = k * (u * (size + 2.02 * self.steepest) + LOST[torch.float64])
        # constants are handed on as they are, and sums of float64 were counted already
        answer = UNITS[dtype] * size + LOST[dtype] if k and dtype != torch.float64 else 0.0
        total = (moved + held + arithmetic + answer) * (1 + 2.0**-40)
        return math.nextafter(total, math.inf) if total else 0.0
