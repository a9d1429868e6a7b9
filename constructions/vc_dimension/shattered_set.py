"""`ShatteredSet`: points and a map from labelings to networks with integer weights.

Main definitions: `ShatteredSet`, `Table`, `with_extra_layers`, `with_extra_inputs`.
Notation: k points in R^n, labels in {0, 1}; a network f realises a labeling when 1[f(x_i) > 0] = y_i for every i.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from constructions.errors import BudgetExceeded, require_instance, require_int
from constructions.networks import Layers, stack

IntegerLayers = list[tuple[np.ndarray, np.ndarray]]
"""The same as arrays of float64, or of Python integers where float64 is too short."""
LONGEST_WORD = 52
MOST_BITS = 256  # of a word in integers: its certificate takes about a minute
MOST_LAYERS = 4096
MOST_COORDINATES = 1 << 24  # of all points of a set together


@dataclass(frozen=True)
class Table:
    """Labels kept as the bits of integers: point i has bit `bit[i]` (1 = the highest of `bits`) of entry `cell[i]`.

    `networks` maps entries (B, C), all in [0, 2^bits), to stacked layers; the first `memory` hidden layers look the
    entry of a point up, the layers after them take its bits apart.
    """

    bits: int
    cell: Tensor
    bit: Tensor
    memory: int
    networks: Callable[[np.ndarray], IntegerLayers]

    @property
    def size(self) -> int:
        """C, the number of entries."""
        return int(self.cell.max()) + 1

    def entries(self, labels: Tensor) -> np.ndarray:
        """Labels (B, k) as entries (B, C), float64; ValueError when a word is longer than float64 holds."""
        if self.bits > LONGEST_WORD:
            raise ValueError(
                f"words of {self.bits} bits are not exact in float64 (at most {LONGEST_WORD}): this set has a "
                "certificate in integers, but no float64 networks"
            )
        value = torch.ldexp(labels.cpu().double(), (self.bits - self.bit).double())
        return torch.zeros(len(labels), self.size, dtype=torch.float64).index_add_(1, self.cell, value).numpy()

    def weights(self, labels: Tensor) -> Layers:
        """Stacked float64 networks of labelings (B, k), on their device."""
        layers = self.networks(self.entries(labels))
        return [(torch.from_numpy(w).to(labels.device), torch.from_numpy(b).to(labels.device)) for w, b in layers]


@dataclass(frozen=True)
class ShatteredSet:
    """`points` (k, n), int64; `weights` maps labels (B, k), bool, to B stacked networks (float64 integers).

    `table` says how labels are kept, in the families that decode words. `family` and `sizes` say where it comes from;
    nothing here says whether it is right.
    """

    family: str
    sizes: dict[str, int]
    points: Tensor
    weights: Callable[[Tensor], Layers]
    table: Table | None = None

    @property
    def size(self) -> int:
        """k."""
        return len(self.points)

    def module(self, labels: Tensor) -> nn.Sequential:
        """The network of one labeling (k,) as a plain Linear/ReLU stack, float64."""
        return stack([(w[0], b[0]) for w, b in self.weights(require_labeling(labels, self.size)[None])])


def require_labeling(labels: Tensor, size: int) -> Tensor:
    """`labels` if it is a bool tensor of shape (size,); ValueError otherwise."""
    if not isinstance(labels, Tensor):
        raise TypeError(f"`labels` must be a torch.Tensor, got {type(labels).__name__}")
    if labels.shape != (size,) or labels.dtype != torch.bool:
        raise ValueError(f"`labels` must be a bool tensor of shape ({size},), got {labels.dtype} {tuple(labels.shape)}")
    return labels


def require_affordable(name: str, points: int, n: int) -> None:
    """BudgetExceeded, naming the argument to blame, when `points` points in R^n are too many to hold."""
    if points * n > MOST_COORDINATES:
        raise BudgetExceeded(
            f"`{name}` must be smaller: {_count(points)} points in R^{_count(n)} have more than {MOST_COORDINATES} "
            "coordinates"
        )


def _count(number: int) -> str:
    return str(number) if number < 10**30 else "more than 10^30"


def from_table(family: str, sizes: dict[str, int], points: Tensor, table: Table) -> ShatteredSet:
    """The shattered set of a table."""
    return ShatteredSet(family, sizes, points, table.weights, table)


def with_extra_layers(shattered: ShatteredSet, count: int) -> ShatteredSet:
    """The same points, with `count` more hidden layers that repeat the last one: ReLU keeps what is not negative."""
    require_instance("shattered", shattered, ShatteredSet)
    if not require_int("count", count, 0, MOST_LAYERS):
        return shattered
    sizes, table = {**shattered.sizes, "extra": count}, shattered.table
    if table is not None:
        networks = table.networks

        def deeper(entries: np.ndarray) -> IntegerLayers:
            *hidden, last = networks(entries)
            width, dtype = last[0].shape[2], last[0].dtype
            return [*hidden, *[(np.eye(width, dtype=dtype)[None], np.zeros((1, width), dtype=dtype))] * count, last]

        hidden = len(networks(np.zeros((1, table.size)))) - 1
        memory = table.memory + (count if table.memory == hidden else 0)  # nothing to take apart behind the memory
        return from_table(shattered.family, sizes, shattered.points, replace(table, networks=deeper, memory=memory))

    def weights(labels: Tensor) -> Layers:
        *hidden, last = shattered.weights(labels)
        same = torch.eye(last[0].shape[2], dtype=last[0].dtype, device=last[0].device)[None]
        return [*hidden, *[(same, torch.zeros_like(same[:, 0]))] * count, last]

    return replace(shattered, sizes=sizes, weights=weights)


def with_extra_inputs(shattered: ShatteredSet, count: int) -> ShatteredSet:
    """The same points with `count` more coordinates, all 0, and networks that do not read them."""
    require_instance("shattered", shattered, ShatteredSet)
    if not require_int("count", count, 0):
        return shattered
    require_affordable("count", shattered.size, shattered.points.shape[1] + count)
    points = torch.cat([shattered.points, shattered.points.new_zeros(shattered.size, count)], dim=1)
    sizes, table = {**shattered.sizes, "extra_inputs": count}, shattered.table
    if table is not None:
        networks = table.networks

        def wider(entries: np.ndarray) -> IntegerLayers:
            (weight, bias), *rest = networks(entries)
            unread = np.zeros((*weight.shape[:2], count), dtype=weight.dtype)
            return [(np.concatenate([weight, unread], axis=2), bias), *rest]

        return from_table(shattered.family, sizes, points, replace(table, networks=wider))

    def weights(labels: Tensor) -> Layers:
        (weight, bias), *rest = shattered.weights(labels)
        return [(torch.cat([weight, weight.new_zeros(*weight.shape[:2], count)], dim=2), bias), *rest]

    return replace(shattered, sizes=sizes, points=points, weights=weights)
