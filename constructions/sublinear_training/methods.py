"""Five ways to find the fired pairs of a step: a dense scan, a scan with sparse work after it, stale keys without
trees, trees of current keys, trees of stale keys.

Main definitions: `METHODS`, `Finder`, `Found`, `finder`.
Main statement (`lazy`, `flat`): with stale keys ⟨w_r^ref, x_i⟩ and ρ_r at least the way of w_r since then, at most R,
every fired pair has a stale key above b − R·max‖x_i‖, so the exact test on the reported pairs finds all of them.
Implementation notes: a computed inner product is within `slack`/2 of the true one; those so near b are decided to twice
the digits, in the same way by all methods, so that these find the same pairs. Ways are those of the stored weights, and
are taken 1e-12 longer. With a `capacity` nothing waits for the device (see `fired`).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from constructions.double_double import add, pair, two_product
from constructions.sublinear_training.fired import Fired, compact
from constructions.sublinear_training.max_tree_forest import DEFAULT_MEMORY, MaxTreeForest

METHODS = ("dense", "hybrid", "flat", "eager", "lazy")
CHUNK_NUMBERS = 1 << 22  # inner products that a scan holds at once
UNIT, LEAST = 2.0**-53, 2.0**-1074
WIDER = 1 + 1e-12  # of a way


@dataclass(frozen=True)
class Found:
    """The fired pairs, their inner products (F,), and what finding them took: nodes visited, pairs reported and
    tested, as tensors without dimensions. `needed` is the largest number of places that something wanted."""

    fired: Fired
    inner: Tensor
    visited: Tensor
    reported: Tensor
    candidates: Tensor
    needed: Tensor


class Finder(ABC):
    """Knows weights (m, d), which change in place, points (n, d) and the shift b.

    `find` gives the fired pairs of the weights as they are; `moved` hears which units (U,) moved how far (U,), which of
    them are `valid` if not all, and gives how many were keyed anew and how many nodes of a tree that wrote.
    """

    capacity: int | None = None
    counting = True  # nodes of trees, which takes longer than to find the pairs

    def __init__(self, weight: Tensor, points: Tensor, bias: float, *, slop: float | None):
        self.weight, self.points, self.bias, self._slop = weight, points, bias, slop
        self.wider = WIDER if slop is None else 1.0
        self.norm = float(points.norm(dim=1).max()) * self.wider
        self._largest = weight.abs().max()  # of all weights so far

    def _slack(self) -> Tensor:
        """Twice what a computed inner product may be from the true one, on the device.

        |fl⟨w, x⟩ − ⟨w, x⟩| ≤ γ_d ‖w‖‖x‖ + d·2⁻¹⁰⁷⁴ in any order of summation, γ_d = d·u/(1 − d·u), ‖w‖ ≤ √d·max|w|.
        """
        if self._slop is not None:
            return torch.full_like(self._largest, self._slop)
        terms = self.weight.shape[1] + 1
        gamma = terms * UNIT / (1 - terms * UNIT)
        return self._largest * (2 * gamma * math.sqrt(terms) * self.norm) + 2 * terms * LEAST

    def _decided(self, pairs: Fired, inner: Tensor) -> tuple[Fired, Tensor]:
        """Those of the pairs that fire, and their inner products."""
        hot, near = inner > self.bias, (inner - self.bias).abs() <= self._slack()
        if pairs.valid is None:
            place = near.nonzero()[:, 0]
            if len(place):
                rows = self.weight[pairs.neurons[place]], self.points[pairs.points[place]]
                hot[place] = exceeds(*rows, self.bias)
        else:
            exact = exceeds(self.weight[pairs.neurons], self.points[pairs.points], self.bias)
            hot = torch.where(near, exact, hot)
        fired, place = pairs.where(hot)
        return fired, inner[place]

    def _grown(self, neurons: Tensor) -> None:
        """Take note of how large the weights of units have become."""
        if len(neurons):
            self._largest = torch.maximum(self._largest, self.weight[neurons].abs().max())

    @abstractmethod
    def find(self) -> Found: ...

    @abstractmethod
    def moved(self, neurons: Tensor, way: Tensor, valid: Tensor | None) -> tuple[Tensor, Tensor]: ...

    def state(self) -> dict[str, Tensor]:
        """What a resumed run needs beside the weights to be bitwise the same."""
        return {"largest": self._largest.clone()}

    def restore(self, state: dict[str, Tensor]) -> None:
        """Take back what `state` gave."""
        self._largest = state["largest"].clone()

    def _keys(self, neurons: Tensor | slice) -> Tensor:
        return self.weight[neurons] @ self.points.t()

    def _all_keys(self) -> Tensor:
        return torch.cat([self._keys(part) for part in self._chunks()])

    def _chunks(self) -> list[slice]:
        step, count = max(1, CHUNK_NUMBERS // len(self.points)), len(self.weight)
        return [slice(first, min(count, first + step)) for first in range(0, count, step)]

    def _none(self) -> Tensor:
        return torch.zeros((), dtype=torch.int64, device=self.weight.device)

    def _visits(self, forest: MaxTreeForest, hot: Fired) -> Tensor:
        return forest.visits(hot).sum() if self.counting else self._none()

    def _repairs(self, forest: MaxTreeForest, neurons: Tensor, chosen: Tensor | None) -> Tensor:
        return forest.repairs(neurons, chosen) if self.counting else self._none()

    def _above(self, keys: Tensor, threshold: float | Tensor) -> tuple[Fired, Tensor]:
        """Pairs of keys (M, n) above the threshold, and those keys."""
        count, flat = keys.shape[1], keys.reshape(-1)
        if self.capacity is None:
            place = (flat > threshold).nonzero()[:, 0]
            return Fired(place // count, place % count), flat[place]
        place, valid, number = compact(flat > threshold, self.capacity)
        return Fired(place // count, place % count, valid, number), flat[place]


@final
class Scan(Finder):
    """Every inner product, every step (`dense`, `hybrid`)."""

    def find(self) -> Found:
        none, threshold = self._none(), self.bias - self._slack()
        if self.capacity is not None:
            pairs, inner = self._above(self._all_keys(), threshold)
        else:
            parts = []
            for part in self._chunks():
                pairs, inner = self._above(self._keys(part), threshold)
                parts.append((pairs.neurons + part.start, pairs.points, inner))
            neurons, points, inner = (torch.cat(column) for column in zip(*parts, strict=True))
            pairs = Fired(neurons, points)
        fired, inner = self._decided(pairs, inner)
        return Found(fired, inner, none, none, none, pairs.number())

    def moved(self, neurons: Tensor, way: Tensor, valid: Tensor | None) -> tuple[Tensor, Tensor]:
        self._grown(neurons)
        return self._none(), self._none()


@final
class Eager(Finder):
    """Trees of the keys as they are: every unit that moved is keyed anew in all of them."""

    def __init__(self, weight: Tensor, points: Tensor, bias: float, *, slop: float | None, memory_limit: int):
        super().__init__(weight, points, bias, slop=slop)
        self.forest = MaxTreeForest(self._all_keys(), memory_limit=memory_limit)

    def find(self) -> Found:
        pairs, none = self.forest.query(self.bias - self._slack(), capacity=self.capacity), self._none()
        fired, inner = self._decided(pairs, self.forest.leaf(pairs.neurons, pairs.points))
        return Found(fired, inner, self._visits(self.forest, fired), none, none, pairs.number())

    def moved(self, neurons: Tensor, way: Tensor, valid: Tensor | None) -> tuple[Tensor, Tensor]:
        keys = self._keys(neurons)
        self._grown(neurons)
        if valid is None:
            self.forest.update(neurons, keys)
            return self._none() + len(neurons), self._repairs(self.forest, neurons, None)
        self.forest.update_some(neurons, keys, valid)
        return valid.sum(), self._repairs(self.forest, neurons, valid)

    def state(self) -> dict[str, Tensor]:
        return {**super().state(), "keys": self.forest.keys().clone()}

    def restore(self, state: dict[str, Tensor]) -> None:
        super().restore(state)
        self.forest = MaxTreeForest(state["keys"], memory_limit=2 * self.forest.nodes.nbytes)


class Stale(Finder):
    """Keys of reference weights, and how far each unit has moved since (`flat`, `lazy`). Abstract."""

    def __init__(self, weight: Tensor, points: Tensor, bias: float, *, radius: float, slop: float | None):
        super().__init__(weight, points, bias, slop=slop)
        self.radius = radius
        self.way = weight.new_zeros(len(weight))

    def find(self) -> Found:
        slack = self._slack()
        reported, stale, visited = self._report(self.bias - self.radius * self.wider * self.norm - slack)
        near = stale + self.way[reported.neurons] * (self.wider * self.norm) + slack > self.bias
        candidates, _ = reported.where(near)
        inner = (self.weight[candidates.neurons] * self.points[candidates.points]).sum(1)
        fired, inner = self._decided(candidates, inner)
        return Found(fired, inner, visited, reported.number(), candidates.number(), reported.number())

    def moved(self, neurons: Tensor, way: Tensor, valid: Tensor | None) -> tuple[Tensor, Tensor]:
        self.way.index_add_(0, neurons, way if valid is None else way * valid)
        self._grown(neurons)
        if valid is None:
            far = neurons[self.way[neurons] > self.radius]
            written = self._rekey(far, self._keys(far), None) if len(far) else self._none()
            self.way[far] = 0
            return self._none() + len(far), written
        chosen = (self.way[neurons] > self.radius) & valid
        written = self._rekey(neurons, self._keys(neurons), chosen)
        self.way = torch.where(self.way > self.radius, 0, self.way)
        return chosen.sum(), written

    @abstractmethod
    def _report(self, threshold: Tensor) -> tuple[Fired, Tensor, Tensor]:
        """The pairs with a stale key above the threshold, their keys, and the nodes compared."""

    @abstractmethod
    def _rekey(self, neurons: Tensor, keys: Tensor, chosen: Tensor | None) -> Tensor:
        """New keys (U, n) of the (chosen) units (U,); how many nodes of a tree that writes."""

    @abstractmethod
    def _stale(self) -> Tensor: ...

    def state(self) -> dict[str, Tensor]:
        return {**super().state(), "keys": self._stale().clone(), "way": self.way.clone()}

    def restore(self, state: dict[str, Tensor]) -> None:
        super().restore(state)
        self.way = state["way"].clone()


@final
class Flat(Stale):
    """Stale keys in one array (m + 1, n), scanned; the last row is for what is not chosen."""

    def __init__(self, weight: Tensor, points: Tensor, bias: float, *, radius: float, slop: float | None):
        super().__init__(weight, points, bias, radius=radius, slop=slop)
        self._hold(self._all_keys())

    def _hold(self, keys: Tensor) -> None:
        self._array = torch.cat([keys, keys.new_full((1, keys.shape[1]), -torch.inf)])

    def _report(self, threshold: Tensor) -> tuple[Fired, Tensor, Tensor]:
        reported, stale = self._above(self._stale(), threshold)
        return reported, stale, self._none()

    def _rekey(self, neurons: Tensor, keys: Tensor, chosen: Tensor | None) -> Tensor:
        rows = neurons if chosen is None else torch.where(chosen, neurons, len(self.weight))
        self._array[rows] = keys
        return self._none()

    def _stale(self) -> Tensor:
        return self._array[:-1]

    def restore(self, state: dict[str, Tensor]) -> None:
        super().restore(state)
        self._hold(state["keys"])


@final
class Lazy(Stale):
    """Trees of stale keys."""

    def __init__(
        self, weight: Tensor, points: Tensor, bias: float, *, radius: float, slop: float | None, memory_limit: int
    ):
        super().__init__(weight, points, bias, radius=radius, slop=slop)
        self.forest = MaxTreeForest(self._all_keys(), memory_limit=memory_limit)

    def _report(self, threshold: Tensor) -> tuple[Fired, Tensor, Tensor]:
        reported = self.forest.query(threshold, capacity=self.capacity)
        stale = self.forest.leaf(reported.neurons, reported.points)
        return reported, stale, self._visits(self.forest, reported)

    def _rekey(self, neurons: Tensor, keys: Tensor, chosen: Tensor | None) -> Tensor:
        if chosen is None:
            self.forest.update(neurons, keys)
        else:
            self.forest.update_some(neurons, keys, chosen)
        return self._repairs(self.forest, neurons, chosen)

    def _stale(self) -> Tensor:
        return self.forest.keys()

    def restore(self, state: dict[str, Tensor]) -> None:
        super().restore(state)
        self.forest = MaxTreeForest(state["keys"], memory_limit=2 * self.forest.nodes.nbytes)


def finder(
    method: str,
    weight: Tensor,
    points: Tensor,
    bias: float,
    *,
    radius: float,
    slop: float | None = None,
    memory_limit: int = DEFAULT_MEMORY,
) -> Finder:
    """The finder of this name (`METHODS`)."""
    if method in ("dense", "hybrid"):
        return Scan(weight, points, bias, slop=slop)
    if method == "flat":
        return Flat(weight, points, bias, radius=radius, slop=slop)
    if method == "eager":
        return Eager(weight, points, bias, slop=slop, memory_limit=memory_limit)
    return Lazy(weight, points, bias, radius=radius, slop=slop, memory_limit=memory_limit)


def exceeds(weight: Tensor, points: Tensor, bias: float) -> Tensor:
    """Whether ⟨w, x⟩ > b of rows (P, d), summed to twice the digits of float64: off by 4d·u² of what is added."""
    total = pair(torch.full_like(weight[:, 0], -bias))
    for a in range(weight.shape[1]):
        total = add(total, two_product(weight[:, a], points[:, a]))
    return (total[0] > 0) | ((total[0] == 0) & (total[1] > 0))
