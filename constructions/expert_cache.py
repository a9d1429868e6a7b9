"""`ExpertCache`: experts built (or read) when first needed and dropped by an LRU under a byte budget.

All look-ups are vectorised: a batch of leaf multi-indices is matched against the resident keys by one
`torch.unique`, so a model may have more leaves than any integer type can number.

Main definitions: `ExpertCache`, `CacheStatistics`, `ExpertSource`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from constructions.errors import BudgetExceeded

ExpertSource = Callable[[Tensor], tuple[Tensor, Tensor]]
"""Leaves (E, q) -> output weights (E, m, K) and biases (E, m)."""

FIRST_SLOTS = 64


@dataclass
class CacheStatistics:
    """Measured while running. A query is one point; it is a miss when its expert had to be built for it."""

    queries: int = 0
    built: int = 0
    evicted: int = 0
    peak_bytes: int = 0

    @property
    def hits(self) -> int:
        return self.queries - self.built

    @property
    def hit_rate(self) -> float:
        return self.hits / self.queries if self.queries else 0.0


class ExpertCache:
    """Slots of output weights with an LRU; `fetch` returns the slots of a batch of distinct leaves.

    `capacity` slots fit `cache_bytes`, keys and stamps included; the tensors grow by doubling and never take more
    than `cache_bytes` together, even while they grow.
    """

    def __init__(
        self,
        source: ExpertSource,
        *,
        q: int,
        m: int,
        knots: int,
        dtype: torch.dtype,
        device: torch.device,
        cache_bytes: int,
    ):
        self.source, self.cache_bytes = source, cache_bytes
        self._shape = (q, m, knots)
        self._options = {"dtype": dtype, "device": device}
        itemsize = torch.empty(0, dtype=dtype).element_size()
        self.slot_bytes = (m * knots + m) * itemsize + 8 * q + 8
        self.capacity = cache_bytes // self.slot_bytes
        if self.capacity < 1:
            raise BudgetExceeded(
                f"`cache_bytes` must hold at least one expert of {self.slot_bytes} bytes, got {cache_bytes}"
            )
        self.statistics = CacheStatistics()
        self._clock = 0
        self._allocate(0)

    def _allocate(self, slots: int) -> None:
        q, m, knots = self._shape
        device = self._options["device"]
        self.used = 0
        self.keys = torch.empty(slots, q, dtype=torch.int64, device=device)
        self.stamps = torch.zeros(slots, dtype=torch.int64, device=device)
        self.weight = torch.empty(slots, m, knots, **self._options)
        self.bias = torch.empty(slots, m, **self._options)

    @property
    def nbytes(self) -> int:
        """Bytes of all tensors held now."""
        return sum(t.nbytes for t in (self.keys, self.stamps, self.weight, self.bias))

    def fetch(self, leaves: Tensor) -> Tensor:
        """Slots (U,) of at most `capacity` distinct leaves (U, q), building what is missing."""
        self._clock += 1
        slots = self._find(leaves)
        missing = slots < 0
        count = int(missing.sum())
        if count:
            self.stamps[slots[~missing]] = self._clock
            if self._make_room(len(leaves), count):
                # growing for the last time drops the contents: everything asked for is missing now
                slots = torch.full_like(slots, -1)
                missing, count = slots < 0, len(leaves)
            fresh = self._free_slots(count)
            self.weight[fresh], self.bias[fresh] = self.source(leaves[missing])
            self.keys[fresh] = leaves[missing]
            slots[missing] = fresh
            self.statistics.built += count
        self.stamps[slots] = self._clock
        self.statistics.peak_bytes = max(self.statistics.peak_bytes, self.nbytes)
        return slots

    def _find(self, leaves: Tensor) -> Tensor:
        """Slots (U,) of leaves (U, q), −1 where not resident."""
        resident = self.keys[: self.used]
        both = torch.cat([resident, leaves])
        if both.shape[1] == 0:
            return torch.full((len(leaves),), -1 if not self.used else 0, device=leaves.device)
        _, inverse = torch.unique(both, dim=0, return_inverse=True)
        table = torch.full((len(both),), -1, dtype=torch.int64, device=leaves.device)
        table[inverse[: self.used]] = torch.arange(self.used, device=leaves.device)
        return table[inverse[self.used :]]

    def _make_room(self, wanted: int, count: int) -> bool:
        """Grow if that helps; True when the contents were dropped to stay under the budget."""
        slots = len(self.keys)
        if self.used + count <= slots or slots == self.capacity:
            return False
        target = min(self.capacity, max(FIRST_SLOTS, 2 * slots, self.used + count))
        if slots + target > self.capacity and self.used:
            self.statistics.evicted += self.used
            self._allocate(self.capacity)
            return True
        old = (self.keys, self.stamps, self.weight, self.bias)
        used = self.used
        self._allocate(target)
        for new, previous in zip((self.keys, self.stamps, self.weight, self.bias), old, strict=True):
            new[:used] = previous[:used]
        self.used = used
        held = self.nbytes + sum(t.nbytes for t in old)
        self.statistics.peak_bytes = max(self.statistics.peak_bytes, held)
        return False

    def _free_slots(self, count: int) -> Tensor:
        """`count` slots to overwrite: unused ones first, then the least recently used."""
        device = self.keys.device
        unused = min(count, len(self.keys) - self.used)
        fresh = torch.arange(self.used, self.used + unused, device=device)
        evict = count - unused
        oldest = torch.argsort(self.stamps[: self.used], stable=True)[:evict]
        self.used += unused
        self.statistics.evicted += evict
        return torch.cat([fresh, oldest])
