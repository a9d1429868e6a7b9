"""`MaxTreeForest`: one complete binary tree of maxima a data point, over the keys of all units.

    node 1 the root, node v the larger of nodes 2v and 2v + 1, leaf r the node M + r, M = 2^L ≥ m, padding −∞

Main definition: `MaxTreeForest`.
Main statements: a query compares 1 + 2H nodes, H = internal ancestors of the hot leaves; replacing the leaves of a set
U and repairing writes |U| + H(U) nodes, the same in every tree.
Implementation notes: nodes lie node by node, all trees beside each other, (2M, n') with n' a power of two: a level is
contiguous, and the ancestors of a unit are the same rows in every tree. A query begins at level L − 5 with one
contiguous comparison and expands what is above the threshold to 32 leaves each; the operations that the method is
said to take are counted by `visits`, not by that shortcut.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from constructions.arrays import tensor_of
from constructions.errors import BudgetExceeded, require_int, require_tensor, shown
from constructions.sublinear_training.fired import Fired, ancestors, compact

LEAP = 5  # levels from where a query starts to the leaves
SWEEP = 4  # a level is recomputed whole when more than a part of this of it changes
DEFAULT_MEMORY = 4 << 30


class MaxTreeForest(nn.Module):
    """The forest of keys (m, n): `nodes` (2M, n') is its only buffer. BudgetExceeded above `memory_limit` bytes."""

    nodes: Tensor

    def __init__(self, keys: Tensor | np.ndarray, *, memory_limit: int = DEFAULT_MEMORY):
        super().__init__()
        keys = require_keys("keys", tensor_of("keys", keys))
        if not keys.numel():
            raise ValueError(f"`keys` must be of a unit and a point at least, got {tuple(keys.shape)}")
        self.m, self.n = keys.shape
        self.levels = (self.m - 1).bit_length()
        self._shift = (self.n - 1).bit_length()
        leaves, trees = 1 << self.levels, 1 << self._shift
        size = 2 * leaves * trees * keys.element_size()
        if size > require_int("memory_limit", memory_limit, 1):
            raise BudgetExceeded(
                f"`memory_limit` must be at least {size} for {self.m} units and {self.n} points, got {memory_limit}"
            )
        nodes = torch.full((2 * leaves, trees), -torch.inf, dtype=keys.dtype, device=keys.device)
        nodes[leaves : leaves + self.m, : self.n] = keys.detach()
        for level in range(self.levels - 1, -1, -1):
            _sweep(nodes, level)
        self.register_buffer("nodes", nodes)

    @property
    def leaves(self) -> int:
        """M, padding included."""
        return 1 << self.levels

    def keys(self) -> Tensor:
        """What the leaves hold, (m, n)."""
        return self.nodes[self.leaves : self.leaves + self.m, : self.n]

    def query(self, threshold: float | Tensor, *, start_level: int | None = None, capacity: int | None = None) -> Fired:
        """All pairs whose key is above the threshold, strictly, whatever level the search starts from.

        With a `capacity` they lie in so many places, and the host does not wait.
        """
        if not isinstance(threshold, Tensor):
            threshold = _require_threshold(threshold)
        elif threshold.shape != () or not threshold.is_floating_point() or threshold.is_meta:
            raise ValueError(f"`threshold` must be one floating number, got {threshold.dtype} {tuple(threshold.shape)}")
        start = max(0, self.levels - LEAP) if start_level is None else start_level
        require_int("start_level", start, 0, self.levels)
        first, trees = 1 << start, 1 << self._shift
        top = self.nodes[first : 2 * first].reshape(-1) > threshold
        if start_level is not None and capacity is None:  # level by level, as the method is written
            index = top.nonzero()[:, 0] + first * trees
            for _ in range(self.levels - start):
                left = index + ((index >> self._shift) << self._shift)
                index = torch.stack([left, left + trees], 1).reshape(-1)
                index = index[self.nodes.reshape(-1)[index] > threshold]
            return self._pairs(index - self.leaves * trees)
        leaves, below = self.nodes[self.leaves :].reshape(-1), self.levels - start
        if capacity is None:
            index = self._leaves_of(top.nonzero()[:, 0], below)
            return self._pairs(index[leaves[index] > threshold])
        found, valid, nodes = compact(top, capacity)
        index = self._leaves_of(found, below)
        place, valid, count = compact((leaves[index] > threshold) & valid.repeat_interleave(1 << below), capacity)
        last = len(leaves)  # empty places are sorted to the end
        index = torch.where(valid, index[place], last).sort().values
        count = torch.maximum(count, nodes)  # every node above the threshold has a leaf above it
        return Fired((index >> self._shift) * valid, (index & (trees - 1)) * valid, valid, count)

    def _leaves_of(self, found: Tensor, below: int) -> Tensor:
        """Places of the leaves under nodes found `below` levels above them."""
        row, tree = found >> self._shift, found & ((1 << self._shift) - 1)
        leaf = (row << below)[:, None] + torch.arange(1 << below, device=row.device)
        return ((leaf << self._shift) + tree[:, None]).reshape(-1)

    def _pairs(self, index: Tensor) -> Fired:
        """Pairs of places unit·n' + point among the leaves, sorted."""
        index = index.sort().values
        return Fired(index >> self._shift, index & ((1 << self._shift) - 1))

    def update(self, neurons: Tensor, keys: Tensor) -> None:
        """Replace the keys (U, n) of distinct ascending units (U,), and repair their ancestors."""
        require_units(neurons, self.m)
        require_keys("keys", keys)
        if keys.shape != (len(neurons), self.n):
            raise ValueError(f"`keys` must have shape {(len(neurons), self.n)}, got {tuple(keys.shape)}")
        rows = neurons + self.leaves
        self.nodes[rows, : self.n] = keys
        for level in range(self.levels - 1, -1, -1):
            rows = torch.unique_consecutive(rows >> 1)
            if len(rows) > (1 << level) // SWEEP:
                _sweep(self.nodes, level)
            else:
                self.nodes[rows] = torch.maximum(self.nodes[2 * rows], self.nodes[2 * rows + 1])

    def update_some(self, neurons: Tensor, keys: Tensor, chosen: Tensor) -> None:
        """`update` of the chosen (U,) of units (U,) in any number of places, which no host waits for.

        Node 0 belongs to no tree: what is not chosen writes there.
        """
        rows = torch.where(chosen, neurons + self.leaves, 0)
        self.nodes[rows, : self.n] = keys
        for _ in range(self.levels):
            rows = rows >> 1
            self.nodes[rows] = torch.maximum(self.nodes[2 * rows], self.nodes[2 * rows + 1])

    def leaf(self, neurons: Tensor, points: Tensor) -> Tensor:
        """The keys of pairs of a unit and a point."""
        return self.nodes[neurons + self.leaves, points]

    def visits(self, hot: Fired) -> Tensor:
        """Nodes (n,) that a query with these hot leaves compares, tree by tree: 1 + 2H."""
        return 1 + 2 * ancestors(hot.neurons, hot.points, self.levels, self.n, hot.valid)

    def repairs(self, neurons: Tensor, chosen: Tensor | None = None) -> Tensor:
        """Nodes of a tree that an update of distinct (chosen) units writes: |U| + H(U), a tensor without dimensions."""
        above = ancestors(neurons, torch.zeros_like(neurons), self.levels, 1, chosen)[0]
        return above + (len(neurons) if chosen is None else chosen.sum())

    def check(self) -> bool:
        """Whether every inner node is the larger of its children."""
        inner = torch.arange(1, self.leaves, device=self.nodes.device)
        return torch.equal(self.nodes[inner], torch.maximum(self.nodes[2 * inner], self.nodes[2 * inner + 1]))


def _sweep(nodes: Tensor, level: int) -> None:
    """Recompute a whole level from the one below."""
    first = 1 << level
    pairs = nodes[2 * first : 4 * first].view(first, 2, -1)
    torch.maximum(pairs[:, 0], pairs[:, 1], out=nodes[first : 2 * first])


def _require_threshold(value: float) -> float:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        with suppress(OverflowError):
            return float(value)
    raise ValueError(f"`threshold` must be a number that a float can hold, got {shown(value)}")


def require_keys(name: str, keys: Any) -> Tensor:
    """`keys` if they are finite floats (m, n); TypeError or ValueError otherwise."""
    require_tensor(name, keys, "(m, n)")
    if keys.ndim != 2 or not keys.is_floating_point():
        raise ValueError(f"`{name}` must be floating of shape (m, n), got {keys.dtype} {tuple(keys.shape)}")
    if not bool(torch.isfinite(keys).all()):
        raise ValueError(f"`{name}` must be finite")
    return keys


def require_units(neurons: Tensor, m: int) -> None:
    require_tensor("neurons", neurons, "(U,)")
    if neurons.ndim != 1 or neurons.dtype != torch.int64:
        raise ValueError(f"`neurons` must be int64 of shape (U,), got {neurons.dtype} {tuple(neurons.shape)}")
    if len(neurons) and (int(neurons[0]) < 0 or int(neurons[-1]) >= m or not bool((neurons[1:] > neurons[:-1]).all())):
        raise ValueError(f"`neurons` must be distinct, ascending and below {m}")
