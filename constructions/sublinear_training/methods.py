"""Five ways to find the fired pairs of a step: a dense scan, a scan with sparse work after it, stale keys without
trees, trees of current keys, trees of stale keys.

Main definitions: `METHODS`, `Finder`, `Found`, `finder`.
Main statement (`lazy`, `flat`): with stale keys ⟨w_r^ref, x_i⟩ and ρ_r at least the way of w_r since then, at most R,
every fired pair has a stale key above b − R·max‖x_i‖, so the exact test on the reported pairs finds all of them.
Implementation notes: a computed inner product is within `slop`/2 of the true one, ways and norms are within 1e-12.
With a `capacity` nothing waits for the device (see `fired`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

from constructions.sublinear_training.fired import Fired, compact
from constructions.sublinear_training.max_tree_forest import DEFAULT_MEMORY, MaxTreeForest

METHODS = ("dense", "hybrid", "flat", "eager", "lazy")
CHUNK_NUMBERS = 1 << 22  # inner products that a scan holds at once
UNIT = 2.0**-53
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

    def __init__(self, weight: Tensor, points: Tensor, bias: float):
        self.weight, self.points, self.bias = weight, points, bias

    @abstractmethod
    def find(self) -> Found: ...

    @abstractmethod
    def moved(self, neurons: Tensor, way: Tensor, valid: Tensor | None) -> tuple[Tensor, Tensor]: ...

    def state(self) -> dict[str, Tensor]:
        """What a resumed run needs beside the weights to be bitwise the same."""
        return {}

    @abstractmethod
    def restore(self, state: dict[str, Tensor]) -> None:
        """Take back what `state` gave; KeyError where something is missing."""

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
        none = self._none()
        if self.capacity is not None:
            fired, inner = self._above(self._all_keys(), self.bias)
            return Found(fired, inner, none, none, none, fired.number())
        parts = []
        for part in self._chunks():
            fired, inner = self._above(self._keys(part), self.bias)
            parts.append((fired.neurons + part.start, fired.points, inner))
        neurons, points, inner = (torch.cat(column) for column in zip(*parts, strict=True))
        return Found(Fired(neurons, points), inner, none, none, none, none)

    def moved(self, neurons: Tensor, way: Tensor, valid: Tensor | None) -> tuple[Tensor, Tensor]:
        return self._none(), self._none()

    def restore(self, state: dict[str, Tensor]) -> None:
        """A scan keeps nothing."""


@final
class Eager(Finder):
    """Trees of the keys as they are: every unit that moved is keyed anew in all of them."""

    def __init__(self, weight: Tensor, points: Tensor, bias: float, *, memory_limit: int):
        super().__init__(weight, points, bias)
        self.forest = MaxTreeForest(self._all_keys(), memory_limit=memory_limit)

    def find(self) -> Found:
        fired, none = self.forest.query(self.bias, capacity=self.capacity), self._none()
        inner = self.forest.leaf(fired.neurons, fired.points)
        return Found(fired, inner, self._visits(self.forest, fired), none, none, fired.number())

    def moved(self, neurons: Tensor, way: Tensor, valid: Tensor | None) -> tuple[Tensor, Tensor]:
        keys = self._keys(neurons)
        if valid is None:
            self.forest.update(neurons, keys)
            return self._none() + len(neurons), self._repairs(self.forest, neurons, None)
        self.forest.update_some(neurons, keys, valid)
        return valid.sum(), self._repairs(self.forest, neurons, valid)

    def state(self) -> dict[str, Tensor]:
        return {"keys": self.forest.keys().clone()}

    def restore(self, state: dict[str, Tensor]) -> None:
        self.forest = MaxTreeForest(state["keys"], memory_limit=2 * self.forest.nodes.nbytes)


class Stale(Finder):
    """Keys of reference weights, and how far each unit has moved since (`flat`, `lazy`). Abstract."""

    def __init__(self, weight: Tensor, points: Tensor, bias: float, *, radius: float, slop: float | None):
        super().__init__(weight, points, bias)
        self.radius, self._slop = radius, slop
        self.wider = WIDER if slop is None else 1.0
        self.norm = float(points.norm(dim=1).max()) * self.wider
        self.way = weight.new_zeros(len(weight))
        self._largest = weight.norm(dim=1).max()

    def _slack(self) -> Tensor:
        """Twice what a computed inner product may be from the true one, on the device.

        |fl⟨w, x⟩ − ⟨w, x⟩| ≤ γ_d ‖w‖‖x‖ in any order of summation, γ_d = d·u/(1 − d·u).
        """
        if self._slop is not None:
            return torch.full_like(self._largest, self._slop)
        terms = self.weight.shape[1] + 1
        return self._largest * (2 * terms * UNIT / (1 - terms * UNIT) * self.norm)

    def find(self) -> Found:
        slack = self._slack()
        reported, stale, visited = self._report(self.bias - self.radius * self.wider * self.norm - slack)
        near = stale + self.way[reported.neurons] * (self.wider * self.norm) + slack > self.bias
        candidates, _ = reported.where(near)
        inner = (self.weight[candidates.neurons] * self.points[candidates.points]).sum(1)
        fired, place = candidates.where(inner > self.bias)
        return Found(fired, inner[place], visited, reported.number(), candidates.number(), reported.number())

    def moved(self, neurons: Tensor, way: Tensor, valid: Tensor | None) -> tuple[Tensor, Tensor]:
        self.way.index_add_(0, neurons, way if valid is None else way * valid)
        lengths = self.weight[neurons].norm(dim=1)
        if len(lengths):
            self._largest = torch.maximum(self._largest, lengths.max())
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
        return {"keys": self._stale().clone(), "way": self.way.clone(), "largest": self._largest.clone()}

    def restore(self, state: dict[str, Tensor]) -> None:
        self.way, self._largest = state["way"].clone(), state["largest"].clone()


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
        return Scan(weight, points, bias)
    if method == "flat":
        return Flat(weight, points, bias, radius=radius, slop=slop)
    if method == "eager":
        return Eager(weight, points, bias, memory_limit=memory_limit)
    return Lazy(weight, points, bias, radius=radius, slop=slop, memory_limit=memory_limit)
