"""`ExpertCache`: experts built (or read) when first needed and dropped by an LRU under a byte budget.

All look-ups are vectorised: leaf multi-indices are hashed to integers, found by binary search among those of the
resident keys, and compared in full, so a model may have more leaves than any integer type can number.

Main definitions: `ExpertCache`, `CacheStatistics`, `ExpertSource`, `distinct_leaves`, `slot_overhead`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import torch
from torch import Tensor

from constructions.errors import BudgetExceeded, require_instance, require_int, shown

Rows = tuple[Tensor, ...]
"""What experts have of their own: tensors of one row an expert."""

ExpertSource = Callable[[Tensor], Rows]
"""Leaves (E, q) -> their rows, e.g. output weights (E, m, K) and biases (E, m)."""

FIRST_SLOTS = 64
MOST_AXES = 1 << 20
MULTIPLIER = 0x5851F42D4C957F2D  # odd, of the 64-bit linear congruential generators

DEFAULT_CACHE_BYTES = 64 << 20
MOST_BYTES = 2**62  # what a count of rows is made of must fit torch's integers


def slot_overhead(q: int) -> int:
    """Bytes that a slot takes beside its rows: key, stamp, and its part of the index, also while that is made."""
    return 8 * q + 8 + 24


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

    `capacity` slots fit `cache_bytes`, keys, stamps and index included; the tensors grow by doubling and never take
    more than `cache_bytes` together, even while they grow. `shapes` are those of one expert's rows. With
    `staging_bytes` rows are read that many bytes at a time; `prefetch` may hold as many again.
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
        if not callable(source):
            raise TypeError(f"`source` must be callable with leaves, got {type(source).__name__}")
        require_int("q", q, 0, MOST_AXES)
        if not isinstance(shapes, tuple) or not all(isinstance(shape, tuple) for shape in shapes):
            raise TypeError(f"`shapes` must be a tuple of tuples of integers, got {shown(shapes)}")
        for size in (size for shape in shapes for size in shape):
            require_int("shapes", size, 0)
        require_instance("dtype", dtype, torch.dtype)
        require_instance("device", device, torch.device)
        require_int("cache_bytes", cache_bytes, 1, MOST_BYTES)
        if staging_bytes is not None:
            require_int("staging_bytes", staging_bytes, 1, MOST_BYTES)
        self.source, self.cache_bytes = source, cache_bytes
        self._q, self._shapes = q, shapes
        self._options = {"dtype": dtype, "device": device}
        itemsize = torch.empty(0, dtype=dtype).element_size()
        self.row_bytes = sum(math.prod(shape) for shape in shapes) * itemsize
        self.slot_bytes = self.row_bytes + slot_overhead(q)
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
        self._index = _Index(self.keys[:0])

    @property
    def nbytes(self) -> int:
        """Bytes of all tensors held now."""
        return sum(t.nbytes for t in (self.keys, self.stamps, *self.rows)) + self._index.nbytes

    def fetch(self, leaves: Tensor) -> Tensor:
        """Slots (U,) of at most `capacity` distinct leaves (U, q), building what is missing."""
        self._require_leaves(leaves)
        try:
            return self._fetched(leaves)
        except BaseException:  # damage in a file, or Ctrl-C, when some slots hold other experts than their keys say
            self._allocate(0)
            raise

    def _fetched(self, leaves: Tensor) -> Tensor:
        self._clock += 1
        slots = self._index.find(leaves)
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
            self._index.clear()  # the old one is let go before the new one is made
            self._index = _Index(self.keys[: self.used])
            slots[missing] = fresh
            self.statistics.built += count
        self.stamps[slots] = self._clock
        self.statistics.peak_bytes = max(self.statistics.peak_bytes, self.nbytes)
        return slots

    def prefetch(self, leaves: Tensor) -> None:
        """Start reading those of distinct leaves (U, q) that are not resident, as many as the staging holds."""
        self._require_leaves(leaves)
        wanted = leaves[self._index.find(leaves) < 0][: self._staging_rows]
        if self._ahead is not None or not len(wanted):
            return
        if self._reader is None:
            self._reader = ThreadPoolExecutor(max_workers=1, thread_name_prefix="experts")
        self._ahead = (wanted, self._reader.submit(self.source, wanted))

    def _require_leaves(self, leaves: Tensor) -> None:
        if not isinstance(leaves, Tensor) or leaves.dtype != torch.int64 or leaves.device != self.keys.device:
            found = f"{leaves.dtype} on {leaves.device}" if isinstance(leaves, Tensor) else type(leaves).__name__
            raise TypeError(f"`leaves` must be an int64 tensor on {self.keys.device}, got {found}")
        if leaves.ndim != 2 or leaves.shape[1] != self._q or leaves.layout != torch.strided:
            raise ValueError(f"`leaves` must be dense of shape (U, {self._q}), got {tuple(leaves.shape)}")

    # --- slots ---

    def _fill(self, leaves: Tensor, slots: Tensor) -> None:
        """Write the rows of leaves (M, q) into slots (M,): what was read ahead, then the rest part by part."""
        if self._ahead is not None:
            keys, future = self._ahead
            self._ahead = None
            place = _Index(keys).find(leaves)
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


class _Index:
    """Where keys (K, q) are: their hashes are sorted once, a look-up is a binary search."""

    def __init__(self, keys: Tensor):
        self._keys = keys
        self._hashes, self._order = _hashed(keys).sort()

    @property
    def nbytes(self) -> int:
        return self._hashes.nbytes + self._order.nbytes

    def clear(self) -> None:
        self._hashes = self._order = self._keys[:0, :0].sum(-1)

    def find(self, leaves: Tensor) -> Tensor:
        """The index (U,) of each of leaves (U, q) among the keys, −1 where it is none of them.

        Of several keys with one hash only the first is found: an expert is then built again, and is still the right
        one.
        """
        if not len(self._keys):
            return torch.full((len(leaves),), -1, device=leaves.device)
        at = torch.searchsorted(self._hashes, _hashed(leaves)).clamp(max=len(self._keys) - 1)
        found = self._order[at]
        return torch.where((self._keys[found] == leaves).all(-1), found, -1)


def distinct_leaves(leaves: Tensor) -> tuple[Tensor, Tensor]:
    """Distinct rows (U, q) of leaves (B, q) in lexicographic order, and the place (B,) of each leaf among them.

    Neighbours in that order are neighbours in a file, which are read at once.
    """
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
