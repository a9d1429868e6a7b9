"""In which slot of a cache an expert lies: by its number in a table, or by its multi-index, hashed and searched.

Main definitions: `LeafIndex`, `TableIndex`, `HashIndex`, `distinct_leaves`, `slot_overhead`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor

MULTIPLIER = 0x5851F42D4C957F2D  # odd, of the 64-bit linear congruential generators
TABLE_ENTRY = 4  # bytes


def slot_overhead(q: int) -> int:
    """Bytes that a slot takes beside its rows: key, stamp, and its part of the index, also while that is made."""
    return 8 * q + 8 + 24


class LeafIndex(ABC):
    """Slots of keys (S, q), int64, of which every key is in one slot at most, or in several that hold the same rows."""

    @property
    @abstractmethod
    def nbytes(self) -> int:
        """Bytes of all tensors held now."""

    @abstractmethod
    def find(self, leaves: Tensor) -> Tensor:
        """The slot (U,) of each of leaves (U, q), −1 where it is in none."""

    @abstractmethod
    def put(self, keys: Tensor, slots: Tensor) -> None:
        """Note that slots (M,) of keys (S, q) are filled, and all others as before."""

    @abstractmethod
    def forget(self, leaves: Tensor) -> None:
        """Let leaves (M, q) go. Others may not be found either until the next `put`."""

    @abstractmethod
    def clear(self) -> None:
        """Let everything go."""


class TableIndex(LeafIndex):
    """Of keys (S, 1) that are numbers 0 … experts − 1."""

    def __init__(self, experts: int, device: torch.device):
        self._slot = torch.full((experts,), -1, dtype=torch.int32, device=device)

    @property
    def slots(self) -> Tensor:
        """(experts,), −1 of those that are in none."""
        return self._slot

    @property
    def nbytes(self) -> int:
        return self._slot.nbytes

    def find(self, leaves: Tensor) -> Tensor:
        return self._slot.index_select(0, leaves[:, 0]).long()

    def put(self, keys: Tensor, slots: Tensor) -> None:
        self._slot.index_copy_(0, keys[:, 0].index_select(0, slots), slots.int())

    def forget(self, leaves: Tensor) -> None:
        self._slot.index_fill_(0, leaves[:, 0], -1)

    def clear(self) -> None:
        self._slot.fill_(-1)


class HashIndex(LeafIndex):
    """Of keys of any numbers: their hashes are sorted once, a look-up is a binary search and a comparison in full, so a
    model may have more leaves than any integer type can number."""

    def __init__(self, q: int, device: torch.device):
        self._keys = torch.empty(0, q, dtype=torch.int64, device=device)
        self.clear()

    @property
    def nbytes(self) -> int:
        return self._hashes.nbytes + self._order.nbytes

    def find(self, leaves: Tensor) -> Tensor:
        """Of several keys with one hash only the first is found: an expert is then built again, and is still the right
        one."""
        if not len(self._hashes):
            return torch.full((len(leaves),), -1, device=leaves.device)
        at = torch.searchsorted(self._hashes, _hashed(leaves)).clamp(max=len(self._hashes) - 1)
        found = self._order[at]
        return torch.where((self._keys[found] == leaves).all(-1), found, -1)

    def put(self, keys: Tensor, slots: Tensor) -> None:
        self.clear()  # the old one is let go before the new one is made
        self._keys = keys
        self._hashes, self._order = _hashed(keys).sort()

    def forget(self, leaves: Tensor) -> None:
        self.clear()

    def clear(self) -> None:
        self._keys = self._keys[:0].clone()
        self._hashes = self._order = self._keys.new_empty(0)


def distinct_leaves(leaves: Tensor) -> tuple[Tensor, Tensor]:
    """Distinct rows (U, q) of leaves (B, q) in lexicographic order, and the place (B,) of each leaf among them.

    Neighbours in that order are neighbours in a file, which are read at once.
    """
    if leaves.shape[1] == 1:
        numbers, place = torch.unique(leaves[:, 0], return_inverse=True)
        return numbers[:, None], place
    hashes, inverse = torch.unique(_hashed(leaves), return_inverse=True)
    some = torch.empty_like(hashes).scatter_(0, inverse, torch.arange(len(leaves), device=leaves.device))
    distinct = leaves[some]
    if not torch.equal(distinct[inverse], leaves):
        return torch.unique(leaves, dim=0, return_inverse=True)
    order = torch.arange(len(distinct), device=leaves.device)
    for column in reversed(distinct.unbind(1)):
        order = order[torch.argsort(column[order], stable=True)]
    place = torch.empty_like(order).scatter_(0, order, torch.arange(len(order), device=leaves.device))
    return distinct[order], place[inverse]


def _hashed(leaves: Tensor) -> Tensor:
    """A 64-bit number (B,) for each row of leaves (B, q)."""
    hashes = torch.zeros(len(leaves), dtype=torch.int64, device=leaves.device)
    for column in leaves.unbind(1):
        hashes = (hashes + column) * MULTIPLIER
        hashes ^= hashes >> 29
    return hashes
