"""`ExpertCache`: experts built (or read) when first needed and dropped by an LRU under a byte budget.

All look-ups are vectorised (`index`). The rows lie in one arena, expert beside expert.

Main definitions: `ExpertCache`, `CacheStatistics`, `ExpertSource`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from constructions.compiled import numbers_of, worth
from constructions.errors import BudgetExceeded, require_instance, require_int, shown
from constructions.expert_rows import native
from constructions.expert_rows.index import TABLE_ENTRY, HashIndex, LeafIndex, TableIndex, slot_overhead

Rows = tuple[Tensor, ...]
"""What experts have of their own: tensors of one row an expert."""

FIRST_SLOTS = 64
FIRST_BYTES = 16 << 20  # a cache of up to this size is allocated at once
PART = 8  # of the cache's bytes, one part may be the table of a numbered model, another what its source holds
MOST_AXES = 1 << 20

DEFAULT_CACHE_BYTES = 64 << 20
MOST_BYTES = 2**62  # what a count of rows is made of must fit torch's integers


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


class ExpertSource:
    """Leaves (E, q) -> their rows, e.g. output weights (E, m, K) and biases (E, m); made of a function.

    `staged` tells whether `fill` takes memory for the rows beside the arena.
    """

    staged = True

    def __init__(self, build: Callable[[Tensor], Rows]):
        if not callable(build):
            raise TypeError(f"`source` must be callable with leaves, got {type(build).__name__}")
        self._build = build

    def __call__(self, leaves: Tensor) -> Rows:
        return self._build(leaves)

    def hold(self, limit: int) -> int:
        """Keep what makes it faster in memory if that takes `limit` bytes at most; the bytes it takes."""
        return 0

    def fill(self, arena: Tensor, rows: Rows, leaves: Tensor, slots: Tensor) -> None:
        """Write the rows of leaves (M, q) into slots (M,) of `rows`, which are columns of an arena (S, numbers)."""
        for held, new in zip(rows, self(leaves), strict=True):
            held[slots] = new


class ExpertCache:
    """Slots of expert rows with an LRU; `fetch` returns the slots of a batch of distinct leaves.

    `capacity` slots fit `cache_bytes`, keys, stamps and index included; a large cache grows by doubling and never takes
    more than `cache_bytes`, even while it grows. `shapes` are those of one expert's rows. Leaves are multi-indices, or
    for q = 1 numbers below `experts` if that is given. With `staging_bytes` rows are read that many bytes at a time;
    `prefetch` may hold as many again.
    """

    def __init__(
        self,
        source: Callable[[Tensor], Rows],
        *,
        q: int,
        shapes: tuple[tuple[int, ...], ...],
        dtype: torch.dtype,
        device: torch.device,
        cache_bytes: int,
        staging_bytes: int | None = None,
        experts: int | None = None,
    ):
        self.source = source if isinstance(source, ExpertSource) else ExpertSource(source)
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
        if experts is not None:
            require_int("experts", experts, 1)
            require_int("q", q, 1, 1)
        self.cache_bytes = cache_bytes
        self._q, self._shapes, self._experts = q, shapes, experts
        self._options = {"dtype": dtype, "device": device}
        itemsize = torch.empty(0, dtype=dtype).element_size()
        self.row_bytes = sum(math.prod(shape) for shape in shapes) * itemsize
        self.slot_bytes = self.row_bytes + slot_overhead(q)
        self.capacity, self._index = self._share(cache_bytes)
        self._staging_rows = self.capacity if staging_bytes is None else max(1, staging_bytes // self.slot_bytes)
        self._reader: ThreadPoolExecutor | None = None
        self._ahead: tuple[Tensor, Future[Rows]] | None = None
        self.statistics = CacheStatistics()
        self._clock = 0
        self._allocate(0)

    def _share(self, cache_bytes: int) -> tuple[int, LeafIndex]:
        """Slots that fit the bytes, and their index: a table where that takes a small part of them."""
        place = self._options["device"]
        if cache_bytes < self.slot_bytes:
            raise BudgetExceeded(
                f"`cache_bytes` must hold at least one expert of {self.slot_bytes} bytes, got {cache_bytes}"
            )
        self._held = self.source.hold(min(cache_bytes // PART, cache_bytes - self.slot_bytes))
        free = cache_bytes - self._held
        if self._experts is None:
            return free // self.slot_bytes, HashIndex(self._q, place)
        table = TABLE_ENTRY * self._experts
        if table > min(cache_bytes // PART, free - self.slot_bytes):
            return min(self._experts, free // self.slot_bytes), HashIndex(self._q, place)
        return min(self._experts, (free - table) // self.slot_bytes), TableIndex(self._experts, place)

    def _allocate(self, slots: int) -> None:
        """Empty slots; their rows are views of one arena."""
        device = self._options["device"]
        self._index.clear()
        self.used = 0
        self.keys = torch.empty(slots, self._q, dtype=torch.int64, device=device)
        self.stamps = torch.zeros(slots, dtype=torch.int64, device=device)
        sizes = [math.prod(shape) for shape in self._shapes]
        self._arena = torch.empty(slots, sum(sizes), **self._options)
        columns = self._arena.split(sizes, 1)
        self.rows: Rows = tuple(c.view(slots, *shape) for c, shape in zip(columns, self._shapes, strict=True))

    def release(self) -> None:
        """Let go of all that is held, what the source holds included; it can be read as before."""
        self._held = self.source.hold(0)
        self._index = HashIndex(self._q, self._options["device"])
        self._allocate(0)

    @property
    def nbytes(self) -> int:
        """Bytes of all that is held now."""
        return self._held + self.keys.nbytes + self.stamps.nbytes + self._arena.nbytes + self._index.nbytes

    def fetch(self, leaves: Tensor) -> Tensor:
        """Slots (U,) of at most `capacity` distinct leaves (U, q), building what is missing.

        When that fails, or is interrupted, the cache is empty afterwards.
        """
        slots = self._fetch_natively(leaves)
        if slots is not None:
            return slots
        self._require_leaves(leaves)
        self._clock += 1
        slots = self._index.find(leaves)
        missing = (slots < 0).nonzero()[:, 0]
        if len(missing):
            try:
                slots = self._bring(leaves, slots, missing)
            except BaseException:
                # slots may be half written: none of them may be found again
                self._drop()
                raise
        self.stamps.index_fill_(0, slots, self._clock)
        self.statistics.peak_bytes = max(self.statistics.peak_bytes, self.nbytes)
        return slots

    def _fetch_natively(self, leaves: Tensor) -> Tensor | None:
        """`fetch` of numbered leaves on the CPU by compiled loops; None where they are not at hand, for anything that
        is refused, and when the cache has to grow."""
        index, place = self._index, self._options["device"]
        if not isinstance(index, TableIndex) or place.type != "cpu" or self.source.staged:
            return None
        if not isinstance(leaves, Tensor) or leaves.dtype != torch.int64 or leaves.shape != (len(leaves), 1):
            return None
        compiled = native.compiled() if worth(len(leaves)) and len(leaves) <= self.capacity else None
        found = None if compiled is None else numbers_of(leaves)
        if compiled is None or found is None:
            return None
        numbers, table, keys, stamps = found[0][:, 0], *(t.numpy() for t in (index.slots, self.keys, self.stamps))
        self._clock += 1
        slots = np.empty(len(numbers), np.int64)
        missing = compiled.find_slots(numbers, table, stamps, self._clock, slots)
        if missing < 0 or (self.used + missing > len(keys) and len(keys) < self.capacity):
            return None
        result = torch.from_numpy(slots)
        if missing:
            try:
                places = np.empty(missing, np.int64)
                emptied = compiled.fill_slots(numbers, table, keys[:, 0], stamps, self.used, self._clock, slots, places)
                self.used += missing - emptied
                self.statistics.evicted += emptied
                chosen = torch.from_numpy(places)
                self._fill(leaves[chosen], result[chosen])
            except BaseException:
                self._drop()
                raise
            self.statistics.built += missing
        self.statistics.peak_bytes = max(self.statistics.peak_bytes, self.nbytes)
        return result

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
        if self._experts is not None and len(leaves):
            least, most = map(int, leaves.aminmax())
            if least < 0 or most >= self._experts:
                raise ValueError(f"`leaves` must be numbers below {self._experts}, got {least} to {most}")

    # --- slots ---

    def _bring(self, leaves: Tensor, slots: Tensor, missing: Tensor) -> Tensor:
        """`slots` (U,) of leaves (U, q) with the missing ones (M,) filled."""
        self.stamps.index_fill_(0, slots[slots >= 0], self._clock)
        if self._make_room(len(leaves), len(missing)):
            # growing for the last time drops the contents: everything asked for is missing now
            missing = torch.arange(len(leaves), device=leaves.device)
            slots = torch.empty_like(missing)
        fresh, wanted = self._free_slots(len(missing)), leaves.index_select(0, missing)
        self._fill(wanted, fresh)
        self.keys.index_copy_(0, fresh, wanted)
        self._index.put(self.keys[: self.used], fresh)
        self.statistics.built += len(missing)
        return slots.index_copy(0, missing, fresh)

    def _drop(self) -> None:
        # also the tensors: the failure may have come while they were made
        self.statistics.evicted += self.used
        self._allocate(0)

    def _fill(self, leaves: Tensor, slots: Tensor) -> None:
        """Write the rows of leaves (M, q) into slots (M,): what was read ahead, then the rest part by part."""
        if self._ahead is not None:
            keys, future = self._ahead
            self._ahead = None
            index = HashIndex(self._q, keys.device)
            index.put(keys, torch.arange(len(keys), device=keys.device))
            place = index.find(leaves)
            ready = place >= 0
            for held, new in zip(self.rows, future.result(), strict=True):
                held[slots[ready]] = new[place[ready]]
            self.statistics.prefetched += int(ready.sum())
            leaves, slots = leaves[~ready], slots[~ready]
            del future
        step = self._staging_rows if self.source.staged else self.capacity
        if 0 < len(leaves) <= step:
            self.source.fill(self._arena, self.rows, leaves, slots)
            return
        for part, into in zip(leaves.split(step), slots.split(step), strict=True):
            if len(part):
                self.source.fill(self._arena, self.rows, part, into)

    def _make_room(self, wanted: int, count: int) -> bool:
        """Grow if that helps; True when the contents were dropped to stay under the budget."""
        slots = len(self.keys)
        if self.used + count <= slots or slots == self.capacity:
            return False
        whole = self.capacity * self.slot_bytes <= FIRST_BYTES
        target = self.capacity if whole else min(self.capacity, max(FIRST_SLOTS, 2 * slots, self.used + count))
        if slots + target > self.capacity and self.used:
            self.statistics.evicted += self.used
            self._allocate(0)  # the old arena is let go before the new one is made
            self._allocate(self.capacity)
            return True
        keys, stamps, arena, used = self.keys, self.stamps, self._arena, self.used
        self._allocate(target)
        for new, previous in ((self.keys, keys), (self.stamps, stamps), (self._arena, arena)):
            new[:used] = previous[:used]
        self.used = used
        if used:
            self._index.put(self.keys[:used], torch.arange(used, device=keys.device))
        held = self.nbytes + keys.nbytes + stamps.nbytes + arena.nbytes
        self.statistics.peak_bytes = max(self.statistics.peak_bytes, held)
        return False

    def _free_slots(self, count: int) -> Tensor:
        """`count` slots to overwrite: unused ones first, then the least recently used."""
        unused = min(count, len(self.keys) - self.used)
        fresh = torch.arange(self.used, self.used + unused, device=self.keys.device)
        evict = count - unused
        if evict:
            oldest = torch.topk(self.stamps[: self.used], evict, largest=False, sorted=False).indices
            self._index.forget(self.keys.index_select(0, oldest))
            fresh = torch.cat([fresh, oldest])
        self.used += unused
        self.statistics.evicted += evict
        return fresh
