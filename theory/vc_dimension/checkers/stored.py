"""The tensors of a stored set: every one is taken by name with the shape it must have, and none may be left over.

Main definition: `Stored`.
"""

from __future__ import annotations

import math

from torch import Tensor

from constructions.errors import shown
from constructions.vc_dimension.shattered_set import Layers
from theory.vc_dimension.checkers.shapes import WHOLE, Shape, fits, require_labels, require_numbers, require_points


class Stored:
    """Tensors by name. Every method raises ValueError for a tensor that is missing, or not what it must be."""

    def __init__(self, tensors: dict[str, Tensor]):
        self._left = dict(tensors)

    def __contains__(self, name: str) -> bool:
        return name in self._left

    def _pop(self, name: str) -> Tensor:
        if name not in self._left:
            raise ValueError(f"there must be a tensor `{name}`, there are {shown(sorted(self._left))}")
        return self._left.pop(name)

    def points(self) -> Tensor:
        """(k, n) as stored: integers, or floats."""
        return require_points("points", self._pop("points"))

    def labels(self, size: int) -> Tensor:
        """(N, k), bool."""
        return require_labels("labels", self._pop("labels"), (None, size))

    def real(self, name: str, shape: Shape) -> Tensor:
        """Finite numbers in float64."""
        return require_numbers(name, self._pop(name), shape).double()

    def whole(self, name: str, shape: Shape) -> Tensor:
        """Integers in int64, of any size."""
        tensor = self._pop(name)
        if not fits(tensor.shape, shape) or tensor.dtype not in WHOLE:
            wanted = ", ".join("≥ 1" if size is None else str(size) for size in shape)
            raise ValueError(f"`{name}` must be integers of shape ({wanted}), got {tensor.dtype} {tuple(tensor.shape)}")
        return tensor.long()

    def layers(self, prefix: str, count: int, inputs: int) -> Layers:
        """`prefix`.0.weight (N, out, in), `prefix`.0.bias (N, out), `prefix`.1.weight, … up to the last one."""
        found: Layers = []
        while not found or f"{prefix}.{len(found)}.weight" in self:
            name = f"{prefix}.{len(found)}"
            weight = self.real(f"{name}.weight", (count, None, inputs))
            found.append((weight, self.real(f"{name}.bias", (count, weight.shape[1]))))
            inputs = weight.shape[1]
        return found

    def levels(self, count: int, n: int) -> list[Tensor]:
        """`level.0` (N, 1, children, n), `level.1` (N, nodes, children, n), … up to the last one."""
        found: list[Tensor] = []
        while not found or f"level.{len(found)}" in self:
            nodes = math.prod(level.shape[2] for level in found)
            found.append(self.real(f"level.{len(found)}", (count, nodes, None, n)))
        return found

    def cell(self, number: int) -> dict[str, Tensor]:
        """The tensors under `cell.number.`, without that prefix."""
        prefix = f"cell.{number}."
        names = [name for name in self._left if name.startswith(prefix)]
        if not names:
            raise ValueError(f"there must be tensors `{prefix}…`, there are {shown(sorted(self._left))}")
        return {name.removeprefix(prefix): self._left.pop(name) for name in names}

    def finish(self) -> None:
        """ValueError for tensors that nobody took: whoever wrote them meant something else."""
        if self._left:
            raise ValueError(f"there must be no other tensors, there are {shown(sorted(self._left))}")
