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
from constructions.expert_rows.cache import MOST_BYTES, ExpertCache, Rows, distinct_leaves

# shares of what the budget leaves beside the fixed part: resident experts, rows being read, rows read ahead, gathers,
# and what routing and grouping a batch of points takes
CACHE, STAGING, AHEAD, GATHER, BATCH = 6, 2, 2, 4, 2
SHARES = CACHE + STAGING + AHEAD + GATHER + BATCH
GATHER_COPIES = (
    4  # of an expert's row that one point may take while it is answered: gathered, multiplied, and their like
)
LEAST_POINTS = 2


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


def share_budget(budget_bytes: int, *, fixed_bytes: int, slot_bytes: int, point_bytes: int) -> BudgetShares:
    """Split a budget; `fixed_bytes` (router, shared layers) are always held, and routing and grouping take
    `point_bytes` a point. BudgetExceeded when it is too small."""
    require_int("budget_bytes", budget_bytes, 1, MOST_BYTES)
    require_int("fixed_bytes", fixed_bytes, 0)
    require_int("slot_bytes", slot_bytes, 1)
    require_int("point_bytes", point_bytes, 1)
    free = budget_bytes - fixed_bytes
    points = free * GATHER // SHARES // (GATHER_COPIES * slot_bytes)
    staging = free * STAGING // SHARES
    batch = free * BATCH // SHARES // point_bytes
    if points < LEAST_POINTS or staging < slot_bytes or batch < 1:
        per_expert = max(SHARES * GATHER_COPIES * LEAST_POINTS // GATHER, SHARES // STAGING)
        least = fixed_bytes + max(per_expert * slot_bytes, -(-SHARES * point_bytes // BATCH))
        raise BudgetExceeded(
            f"`budget_bytes` must be at least {least} (router and shared layers {fixed_bytes}, an expert {slot_bytes}, "
            f"a point {point_bytes}), got {budget_bytes}"
        )
    return BudgetShares(free * CACHE // SHARES, staging, points, batch)


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
    run: Callable[[Tensor, Rows, Tensor], Tensor],
    *,
    m: int,
    points: int,
    upcoming: Tensor | None = None,
) -> Tensor:
    """Outputs (B, m) of points (B, n) with leaves (B, q): grouped by leaf, in batches of experts that fit the cache.

    `run(x, rows, at)` answers points by the experts rows[at], `points` of them at a time at most. Given the leaves
    `upcoming` (B', q) of the next call, the next experts are read ahead while a batch runs, theirs in the end.
    """
    result = torch.empty(len(x), m, dtype=cache.rows[0].dtype, device=x.device)
    distinct, inverse = distinct_leaves(leaves)
    order = torch.argsort(inverse, stable=True)
    counts = torch.bincount(inverse, minlength=len(distinct))
    step = min(cache.capacity, points)
    ends = counts.cumsum(0)
    following = None if upcoming is None else torch.cat([distinct, distinct_leaves(upcoming)[0][:step]])
    for first in range(0, len(distinct), step):
        batch = distinct[first : first + step]
        slots = cache.fetch(batch)
        if following is not None:
            cache.prefetch(following[first + len(batch) : first + len(batch) + step])
        start = int(ends[first - 1]) if first else 0
        chosen = order[start : int(ends[first + len(batch) - 1])]
        for rows in chosen.split(points):
            result[rows] = run(x[rows], cache.rows, slots[inverse[rows] - first])
    cache.statistics.queries += len(x)
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
