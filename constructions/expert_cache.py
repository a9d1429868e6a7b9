"""`ExpertCache`: experts built (or read) when first needed and dropped by an LRU under a byte budget.

All look-ups are vectorised: a batch of leaf multi-indices is matched against the resident keys by one
`torch.unique`, so a model may have more leaves than any integer type can number.

Main definitions: `ExpertCache`, `CacheStatistics`, `ExpertSource`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import torch
from torch import Tensor

from constructions.errors import BudgetExceeded

Rows = tuple[Tensor, ...]
"""What experts have of their own: tensors of one row an expert."""

ExpertSource = Callable[[Tensor], Rows]
"""Leaves (E, q) -> their rows, e.g. output weights (E, m, K) and biases (E, m)."""

FIRST_SLOTS = 64


@dataclass
class CacheStatistics:
    """Measured while running. A query is one point; it is a miss when its expert had to be built for it.

    `prefetched` of the `built` experts were ready when they were needed.
    """

    queries: int = 0
    built: int = 0
    prefetched: int = 0
    evicted: int = 0
    peak_bytes: int = 0

    @property
    def hits(self) -> int:
        return self.queries - self.built

    @property
    def hit_rate(self) -> float:
        return self.hits / self.queries if self.queries else 0.0


class ExpertCache:
    """Slots of expert rows with an LRU; `fetch` returns the slots of a batch of distinct leaves.

    `capacity` slots fit `cache_bytes`, keys and stamps included; the tensors grow by doubling and never take more
    than `cache_bytes` together, even while they grow. `shapes` are those of one expert's rows. With `staging_bytes`
    rows are read that many bytes at a time; `prefetch` may hold as many again.
    """

    def __init__(
        self,
        source: ExpertSource,
        *,
        q: int,
        shapes: tuple[tuple[int, ...], ...],
        dtype: torch.dtype,
        device: torch.device,
        cache_bytes: int,
        staging_bytes: int | None = None,
    ):
        self.source, self.cache_bytes = source, cache_bytes
        self._q, self._shapes = q, shapes
        self._options = {"dtype": dtype, "device": device}
        itemsize = torch.empty(0, dtype=dtype).element_size()
        self.row_bytes = sum(math.prod(shape) for shape in shapes) * itemsize
        self.slot_bytes = self.row_bytes + 8 * q + 8
        self.capacity = cache_bytes // self.slot_bytes
        if self.capacity < 1:
            raise BudgetExceeded(
                f"`cache_bytes` must hold at least one expert of {self.slot_bytes} bytes, got {cache_bytes}"
            )
        self._staging_rows = self.capacity if staging_bytes is None else max(1, staging_bytes // self.slot_bytes)
        self._reader: ThreadPoolExecutor | None = None
        self._ahead: tuple[Tensor, Future[Rows]] | None = None
        self.statistics = CacheStatistics()
        self._clock = 0
        self._allocate(0)

    def _allocate(self, slots: int) -> None:
        device = self._options["device"]
        self.used = 0
        self.keys = torch.empty(slots, self._q, dtype=torch.int64, device=device)
        self.stamps = torch.zeros(slots, dtype=torch.int64, device=device)
        self.rows: Rows = tuple(torch.empty(slots, *shape, **self._options) for shape in self._shapes)

    @property
    def nbytes(self) -> int:
        """Bytes of all tensors held now."""
        return sum(t.nbytes for t in (self.keys, self.stamps, *self.rows))

    def fetch(self, leaves: Tensor) -> Tensor:
        """Slots (U,) of at most `capacity` distinct leaves (U, q), building what is missing."""
        self._clock += 1
        slots = _find(leaves, self.keys[: self.used])
        missing = slots < 0
        count = int(missing.sum())
        if count:
            self.stamps[slots[~missing]] = self._clock
            if self._make_room(len(leaves), count):
                # growing for the last time drops the contents: everything asked for is missing now
                slots = torch.full_like(slots, -1)
                missing, count = slots < 0, len(leaves)
            fresh = self._free_slots(count)
            self._fill(leaves[missing], fresh)
            self.keys[fresh] = leaves[missing]
            slots[missing] = fresh
            self.statistics.built += count
        self.stamps[slots] = self._clock
        self.statistics.peak_bytes = max(self.statistics.peak_bytes, self.nbytes)
        return slots

    def prefetch(self, leaves: Tensor) -> None:
        """Start reading those of distinct leaves (U, q) that are not resident, as many as the staging holds."""
        wanted = leaves[_find(leaves, self.keys[: self.used]) < 0][: self._staging_rows]
        if self._ahead is not None or not len(wanted):
            return
        if self._reader is None:
            self._reader = ThreadPoolExecutor(max_workers=1, thread_name_prefix="experts")
        self._ahead = (wanted, self._reader.submit(self.source, wanted))

    # --- slots ---

    def _fill(self, leaves: Tensor, slots: Tensor) -> None:
        """Write the rows of leaves (M, q) into slots (M,): what was read ahead, then the rest part by part."""
        if self._ahead is not None:
            keys, future = self._ahead
            self._ahead = None
            place = _find(leaves, keys)
            ready = place >= 0
            self._write(slots[ready], tuple(t[place[ready]] for t in future.result()))
            self.statistics.prefetched += int(ready.sum())
            leaves, slots = leaves[~ready], slots[~ready]
            del future
        for part, into in zip(leaves.split(self._staging_rows), slots.split(self._staging_rows), strict=True):
            if len(part):
                self._write(into, self.source(part))

    def _write(self, slots: Tensor, rows: Rows) -> None:
        for held, new in zip(self.rows, rows, strict=True):
            held[slots] = new

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
        old = (self.keys, self.stamps, *self.rows)
        used = self.used
        self._allocate(target)
        for new, previous in zip((self.keys, self.stamps, *self.rows), old, strict=True):
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


def _find(leaves: Tensor, keys: Tensor) -> Tensor:
    """The index (U,) of each of distinct leaves (U, q) among distinct keys (K, q), −1 where it is none of them."""
    both = torch.cat([keys, leaves])
    if both.shape[1] == 0:
        return torch.full((len(leaves),), 0 if len(keys) else -1, device=leaves.device)
    _, inverse = torch.unique(both, dim=0, return_inverse=True)
    table = torch.full((len(both),), -1, dtype=torch.int64, device=leaves.device)
    table[inverse[: len(keys)]] = torch.arange(len(keys), device=leaves.device)
    return table[inverse[len(keys) :]]
