"""`ExpertBank`: what a mixture holds of its experts, all of them as parameters or those that were asked for in a cache.

Main definition: `ExpertBank`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from constructions.errors import require_int
from constructions.expert_rows.answers import GATHER_COPIES, share_budget
from constructions.expert_rows.cache import MOST_BYTES, CacheStatistics, ExpertCache, Rows
from constructions.expert_rows.index import slot_overhead


class NoCacheStatistics(RuntimeError, AttributeError):
    """Also an AttributeError: torch.jit asks every module for all it has, and passes over what it has not."""

    def __init__(self) -> None:
        super().__init__("an eager model keeps every expert: there are no cache statistics")


class ExpertBank(nn.Module):
    """Part of a mixture: an eager one has its experts as parameters, a lazy one calls `read_on_demand` and has `cache`.

    `points_at_once` is how many points may be answered together, each of which takes `gather_copies` rows meanwhile;
    `batch` how many may be routed together (None: any).
    """

    points_at_once: int
    batch: int | None
    gather_copies = GATHER_COPIES

    def __init__(self, *arguments: Any):
        super().__init__(*arguments)
        self.cache: ExpertCache | None = None  # not of the class: an own one would be an altered module
        self.batch = None

    def read_on_demand(
        self,
        source: Callable[[Tensor], Rows],
        *,
        q: int,
        shapes: tuple[tuple[int, ...], ...],
        dtype: torch.dtype,
        device: torch.device,
        fixed_bytes: int,
        point_bytes: int,
        cache_bytes: int,
        budget_bytes: int | None,
        experts: int | None = None,
    ) -> None:
        """Keep rows of these shapes under `cache_bytes`; or all weights, `fixed_bytes` of which are always there, and
        the `point_bytes` that routing takes for each point of a batch, under `budget_bytes`. Leaves (E, 1) are numbers
        below `experts` if that is given."""
        options: dict[str, Any] = {"q": q, "shapes": shapes, "dtype": dtype, "device": device, "experts": experts}
        if budget_bytes is None:
            self.cache = ExpertCache(source, cache_bytes=cache_bytes, **options)
            return
        item = torch.empty(0, dtype=dtype).element_size()
        slot = sum(math.prod(shape) for shape in shapes) * item + slot_overhead(q)
        shares = share_budget(
            require_int("budget_bytes", budget_bytes, 1, MOST_BYTES),
            fixed_bytes=fixed_bytes,
            slot_bytes=slot,
            point_bytes=point_bytes,
            copies=self.gather_copies,
            in_place=self.reads_in_place(),
        )
        self.points_at_once, self.batch = shares.points, shares.batch
        self.cache = ExpertCache(source, cache_bytes=shares.cache_bytes, staging_bytes=shares.staging_bytes, **options)

    def reads_in_place(self) -> bool:
        """Whether a lazy model usually answers without gathering rows."""
        return False

    @property
    def lazy(self) -> bool:
        return self.cache is not None

    @property
    def cached_bytes(self) -> int:
        """Bytes of the cache, keys and free slots included."""
        return 0 if self.cache is None else self.cache.nbytes

    @property
    def statistics(self) -> CacheStatistics:
        """Queries, experts built or read, evictions and peak bytes of a lazy model; RuntimeError for an eager one."""
        if self.cache is None:
            raise NoCacheStatistics
        return self.cache.statistics

    def __getattr__(self, name: str) -> Any:
        # where a property raised an AttributeError, Python asks here once more and forgets what it said
        if name == "statistics":
            raise NoCacheStatistics
        return super().__getattr__(name)

    def require_still(self, fn: Callable[[Tensor], Tensor], dtype: torch.dtype, place: torch.device) -> None:
        """RuntimeError when `fn`, called by .to(), .float() and the like, would move a lazy model."""
        if self.cache is None:
            return
        moved = fn(torch.empty(0, dtype=dtype, device=place))
        if (moved.dtype, moved.device) != (dtype, place):
            raise RuntimeError(
                f"a lazy {type(self).__name__} stays on its device and in its dtype: pass device= (and dtype=) where "
                "it is built or loaded"
            )
