"""Answering a batch with experts that are fetched leaf by leaf, and sharing out the bytes that it may take.

Main definitions: `answer_by_leaf`, `in_batches`, `BudgetShares`, `share_budget`, `stream`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from constructions.errors import BudgetExceeded, require_int
from constructions.expert_rows.cache import MOST_BYTES, ExpertCache, Rows
from constructions.expert_rows.index import distinct_leaves

# shares of what the budget leaves beside the fixed part: resident experts, rows being read, rows read ahead, gathers,
# and what routing and grouping a batch of points takes
CACHE, STAGING, AHEAD, GATHER, BATCH = 7, 1, 1, 5, 2
SHARES = CACHE + STAGING + AHEAD + GATHER + BATCH
GATHER_COPIES = 4  # of a row that a point may take while it is answered: gathered, multiplied, and their like
LEAST_POINTS = 2

Run = Callable[[Tensor, Rows, Tensor], Tensor]


@dataclass(frozen=True)
class BudgetShares:
    """Bytes for resident experts and for rows being read, how many points may be answered at once, and how many may be
    routed and grouped together (`batch`)."""

    cache_bytes: int
    staging_bytes: int
    points: int
    batch: int


def grouping_bytes(q: int, m: int) -> int:
    """Bytes of all temporaries that a point takes while leaves (B, q) are found and grouped, outputs included."""
    return 8 * (4 * q + 2 * m + 8)


def share_budget(
    budget_bytes: int,
    *,
    fixed_bytes: int,
    slot_bytes: int,
    point_bytes: int,
    copies: int = GATHER_COPIES,
    in_place: bool = False,
) -> BudgetShares:
    """Split a budget; `fixed_bytes` (router, shared layers) are always held, routing and grouping take `point_bytes` a
    point, answering it `copies` rows. Where rows are mostly read `in_place`, more experts are kept instead of gathers.
    BudgetExceeded when it is too small."""
    require_int("budget_bytes", budget_bytes, 1, MOST_BYTES)
    require_int("fixed_bytes", fixed_bytes, 0)
    require_int("slot_bytes", slot_bytes, 1)
    require_int("point_bytes", point_bytes, 1)
    require_int("copies", copies, 1)
    free = budget_bytes - fixed_bytes
    points = free * GATHER // SHARES // (copies * slot_bytes)
    staging = free * STAGING // SHARES
    batch = free * BATCH // SHARES // point_bytes
    if points < LEAST_POINTS or staging < slot_bytes or batch < 1:
        needs = ((LEAST_POINTS * copies * slot_bytes, GATHER), (slot_bytes, STAGING), (point_bytes, BATCH))
        least = fixed_bytes + max(-(-SHARES * needed // share) for needed, share in needs)
        raise BudgetExceeded(
            f"`budget_bytes` must be at least {least} (router and shared layers {fixed_bytes}, an expert {slot_bytes}, "
            f"a point {point_bytes}), got {budget_bytes}"
        )
    cache = free * CACHE // SHARES
    if in_place:
        gathers = points * copies * slot_bytes
        points = max(LEAST_POINTS, points // GATHER)
        cache += gathers - points * copies * slot_bytes
    return BudgetShares(cache, staging, points, batch)


def in_batches(
    x: Tensor,
    upcoming: Tensor | None,
    batch: int | None,
    answer: Callable[[Tensor, Tensor | None], Tensor],
) -> Tensor:
    """`answer(x, upcoming)`, at most `batch` points of both at a time: outputs (B, m) of points (B, n)."""
    if batch is None or (len(x) <= batch and (upcoming is None or len(upcoming) <= batch)):
        return answer(x, upcoming)
    result: Tensor | None = None
    for start in range(0, max(1, len(x)), batch):
        end = start + batch
        ahead = None if upcoming is None else (x[end : end + batch] if end < len(x) else upcoming[:batch])
        part = answer(x[start:end], ahead)
        if result is None:  # written into, since parts put together afterwards would be held twice
            result = part.new_empty(len(x), part.shape[1])
        result[start:end] = part
        del part
    assert result is not None
    return result


def answer_by_leaf(
    x: Tensor,
    leaves: Tensor,
    cache: ExpertCache,
    run: Run,
    *,
    m: int,
    upcoming: Tensor | None = None,
) -> Tensor:
    """Outputs (B, m) of points (B, n) with leaves (B, q), whose experts are fetched together as far as they fit.

    `run(x, rows, at)` answers points by the experts rows[at], and gathers no more of them than the budget allows. Given
    the leaves `upcoming` (B', q) of the next call, the next experts are read ahead while a batch runs, theirs in the
    end.
    """
    distinct, inverse = distinct_leaves(leaves)
    following = None if upcoming is None else torch.cat([distinct, distinct_leaves(upcoming)[0]])
    cache.statistics.queries += len(x)
    if len(distinct) <= cache.capacity:
        at = cache.fetch(distinct)[inverse]
        if following is not None:
            cache.prefetch(following[len(distinct) :])
        return run(x, cache.rows, at)
    result = torch.empty(len(x), m, dtype=cache.rows[0].dtype, device=x.device)
    order = torch.argsort(inverse, stable=True)
    ends = torch.bincount(inverse, minlength=len(distinct)).cumsum(0)
    start = 0
    for first in range(0, len(distinct), cache.capacity):
        batch = distinct[first : first + cache.capacity]
        slots = cache.fetch(batch)
        if following is not None:
            cache.prefetch(following[first + len(batch) :][: cache.capacity])
        end = int(ends[first + len(batch) - 1])
        chosen = order[start:end]
        result[chosen] = run(x[chosen], cache.rows, slots[inverse[chosen] - first])
        start = end
    return result


class Answers(Protocol):
    """A mixture whose forward pass takes a hint at the batch that comes next."""

    def __call__(self, x: Tensor, *, upcoming: Tensor | None = None) -> Tensor: ...


def stream(model: Answers, batches: Iterable[Tensor]) -> Iterator[Tensor]:
    """model(x) for every batch x, reading the experts of the next batch while the present one is answered.

    It pays where reading is slow and the experts, or the caller between two batches, compute for as long; from a file
    that the system holds in memory it costs more than it saves (`make bench`).
    """
    source = iter(batches)
    current = next(source, None)
    while current is not None:
        following = next(source, None)
        yield model(current, upcoming=following)
        current = following
