"""Pairs of a unit and a point, as many as there are, or in a fixed number of places where the host must not wait.

Main definitions: `Fired`, `compact`, `ancestors`.
Implementation notes: on an accelerator a tensor whose size depends on values makes the host wait for it. There pairs
lie in `capacity` places, in order, the rest empty (unit 0, point 0, not `valid`), and `count` says how many there were,
also when that is more than there are places for.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Fired:
    """Units and points (F,), int64, in order of units, then of points; with a capacity also which places are `valid`
    (F,), and the `count` (a tensor without dimensions) of pairs found."""

    neurons: Tensor
    points: Tensor
    valid: Tensor | None = None
    count: Tensor | None = None

    def __len__(self) -> int:
        return len(self.neurons)

    def number(self) -> Tensor:
        """How many pairs there are, on their device."""
        return torch.full((), len(self), device=self.neurons.device) if self.count is None else self.count

    def where(self, chosen: Tensor) -> tuple[Fired, Tensor]:
        """Those of the chosen (F,), and their places among all of these."""
        if self.valid is None:
            place = chosen.nonzero()[:, 0]
            return Fired(self.neurons[place], self.points[place]), place
        place, valid, count = compact(chosen & self.valid, len(self))
        return Fired(self.neurons[place] * valid, self.points[place] * valid, valid, count), place


def compact(mask: Tensor, capacity: int) -> tuple[Tensor, Tensor, Tensor]:
    """Places (capacity,) of the true entries of a mask (N,), in order and then 0, which of them are valid, and how many
    entries are true, without a look at any value."""
    order = mask.cumsum(0)
    slot = torch.where(mask & (order <= capacity), order - 1, capacity)
    place = torch.zeros(capacity + 1, dtype=torch.int64, device=mask.device)
    place.scatter_(0, slot, torch.arange(len(mask), device=mask.device))
    count = order[-1]
    valid = torch.arange(capacity, device=mask.device) < count
    return place[:capacity] * valid, valid, count


def ancestors(neurons: Tensor, trees: Tensor, levels: int, count: int, valid: Tensor | None = None) -> Tensor:
    """Internal ancestors (count,), int64, of distinct leaves in each of `count` trees with 2^levels leaves."""
    place = (trees << levels) + neurons
    if valid is not None:
        place = torch.where(valid, place, count << levels)
    place = place.sort().values
    result = torch.zeros(count + 1, dtype=torch.int64, device=neurons.device)
    if not len(place):
        return result[:count]
    tree = place >> levels
    for _ in range(levels):
        place = place >> 1
        new = torch.ones_like(place)
        new[1:] = place[1:] != place[:-1]
        result.scatter_add_(0, tree, new)
    return result[:count]
