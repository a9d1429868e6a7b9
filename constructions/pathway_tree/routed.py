"""`RoutedExperts`: what every mixture behind a lattice shares — routing, leaves, cells — whatever its experts are.

Main definition: `RoutedExperts`.
Notation: n inputs, m outputs, q quantised axes, L leaves.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from constructions.arrays import predicted
from constructions.errors import require_int, require_points, require_tensor, shown
from constructions.functions.box import Box
from constructions.mixture import LatticeMixture
from constructions.pathway_tree.lattice import Lattice
from constructions.pathway_tree.tree import PathwayTree

Leaf = int | Sequence[int] | Tensor


def _integers(leaf: Leaf) -> Tensor:
    """Multi-indices as an int64 tensor; TypeError for numbers that are no integers."""
    if isinstance(leaf, Tensor):
        index = require_tensor("leaf", leaf, "(E, q)")
        if index.is_floating_point() or index.dtype == torch.bool:
            raise TypeError(f"`leaf` must hold integers, got {index.dtype}")
        return index.long()
    if not isinstance(leaf, (tuple, list)) or not all(type(i) is int and abs(i) < 2**63 for i in leaf):
        raise TypeError(f"`leaf` must be an integer, a multi-index or a tensor of them, got {shown(leaf)}")
    return torch.tensor(leaf, dtype=torch.int64)


class RoutedExperts(LatticeMixture):
    """A lattice router and its tree; subclasses add the experts."""

    def __init__(self, lattice: Lattice, tree: PathwayTree, m: int):
        super().__init__()
        self.lattice, self.tree, self.m = lattice, tree, m

    @property
    def domain(self) -> Box:
        return self.lattice.domain

    @property
    def cells(self) -> tuple[int, ...]:
        return self.tree.cells

    @property
    def num_leaves(self) -> int:
        """L, exact."""
        return self.tree.num_leaves

    @property
    def place(self) -> torch.device:
        """The device of the weights."""
        return next(self.parameters()).device

    def route(self, x: Tensor) -> Tensor:
        """Leaf multi-indices (B, q), int64, of points x (B, n), by the index rule in float64."""
        return self.lattice.index(self.lattice.coordinates(require_points("x", x, self.n)))

    def leaves(self, leaf: Leaf) -> Tensor:
        """`leaf` as checked multi-indices (E, q): one flat id, one multi-index, or a tensor (E, q)."""
        q, place = self.lattice.q, self.place
        if isinstance(leaf, int) and not isinstance(leaf, bool):
            flat = require_int("leaf", leaf, 0, self.num_leaves - 1)
            digits = []
            for count in reversed(self.tree.cells):
                flat, digit = divmod(flat, count)
                digits.append(digit)
            index = torch.tensor([digits[::-1]], dtype=torch.int64, device=place)
        else:
            index = _integers(leaf).to(place)
            index = index.reshape(1, -1) if index.ndim <= 1 else index
        limit = torch.tensor(self.tree.cells, dtype=torch.int64, device=place)
        if index.shape[1:] != (q,) or not bool(((index >= 0) & (index < limit)).all()):
            raise ValueError(
                f"`leaf` must be a multi-index below {self.tree.cells} (or a flat id below {self.num_leaves}), "
                f"got {shown(leaf)}"
            )
        return index

    def one_leaf(self, leaf: Leaf) -> Tensor:
        """`leaf` as a multi-index (1, q); ValueError when it names several."""
        index = self.leaves(leaf)
        if len(index) != 1:
            raise ValueError(f"`leaf` must be a single leaf, got {len(index)}")
        return index

    def cell_bounds(self, leaf: Leaf) -> tuple[Tensor, Tensor]:
        """Lower and upper corners of a leaf's cell: (n,) each, or (E, n) for leaves (E, q)."""
        index = self.leaves(leaf)
        lo, hi = (end.expand(len(index), -1) for end in self.lattice.domain.tensors(index.device))
        below, above = self.lattice.faces(index)
        q = self.lattice.q
        lower, upper = torch.cat([below, lo[:, q:]], dim=1), torch.cat([above, hi[:, q:]], dim=1)
        one = not (isinstance(leaf, Tensor) and leaf.ndim == 2)
        return (lower[0], upper[0]) if one else (lower, upper)

    def predict(self, x: Tensor | np.ndarray) -> Any:
        """f̂(x) (B, m) at points x (B, n): a numpy array for a numpy array, as a tensor is answered by a call."""
        return predicted(self, x, self.place)

    def require_queries(self, x: Tensor) -> Tensor:
        """`x` (B, n) on the right device; TypeError or ValueError otherwise."""
        require_points("x", x, self.n)
        if x.device != self.place:
            raise ValueError(f"`x` must be on the model's device {self.place}, got {x.device}")
        return x
