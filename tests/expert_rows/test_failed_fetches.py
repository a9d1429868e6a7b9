"""The cache of expert rows against its source, and what a failed fetch leaves behind."""

import pytest
import torch

from constructions.expert_rows.cache import ExpertCache
from constructions.expert_rows.index import slot_overhead

CPU = torch.device("cpu")
WIDTH = 3


def rows_of(leaves):
    """What the expert of each leaf (U, 2) is worth, in two tensors of one row."""
    number = (leaves[:, 0] * 1000 + leaves[:, 1]).double()
    return number[:, None] + torch.arange(WIDTH), -number[:, None]


def cache_of(slots, source=rows_of, staging=None):
    each = 8 * (WIDTH + 1) + slot_overhead(2)
    return ExpertCache(
        source, q=2, shapes=((WIDTH,), (1,)), dtype=torch.float64, device=CPU, cache_bytes=slots * each,
        staging_bytes=None if staging is None else staging * each,
    )  # fmt: skip


def held(cache, leaves):
    slots = cache.fetch(leaves)
    return tuple(t[slots] for t in cache.rows)


@pytest.mark.parametrize("staging", [None, 1, 3])
@pytest.mark.parametrize("slots", [1, 7, 40])
def test_random_work_against_the_source(slots, staging):
    cache, generator = cache_of(slots, staging=staging), torch.Generator().manual_seed(slots)
    for _ in range(60):
        count = int(torch.randint(1, slots + 1, (1,), generator=generator))
        leaves = torch.unique(torch.randint(8, (count, 2), generator=generator), dim=0)
        for found, expected in zip(held(cache, leaves), rows_of(leaves), strict=True):
            assert torch.equal(found, expected)
        assert cache.nbytes <= cache.cache_bytes
    assert cache.statistics.peak_bytes <= cache.cache_bytes


@pytest.mark.parametrize("failure", [ValueError, KeyboardInterrupt])
@pytest.mark.parametrize("after", [0, 1, 2])
def test_a_failed_fetch_leaves_no_slot_under_another_key(failure, after):
    """Slots that were overwritten before a part failed were found under their old keys, and answered wrongly."""
    parts = []

    def source(leaves):
        parts.append(len(leaves))
        if len(parts) > limit:
            raise failure
        return rows_of(leaves)

    cache = cache_of(4, source, staging=1)
    first = torch.tensor([[0, i] for i in range(4)])
    limit = 4
    held(cache, first)
    limit = 4 + after
    with pytest.raises(failure):
        cache.fetch(first + torch.tensor([1, 0]))
    limit = 10**6
    for leaves in (first, first + torch.tensor([1, 0]), first):
        for found, expected in zip(held(cache, leaves), rows_of(leaves), strict=True):
            assert torch.equal(found, expected)
    assert cache.nbytes <= cache.cache_bytes


def test_an_interruption_between_rows_and_keys_leaves_no_wrong_row(monkeypatch):
    cache = cache_of(4)
    first = torch.tensor([[0, i] for i in range(4)])
    held(cache, first)
    fill = cache._fill

    def stopped(leaves, slots):
        fill(leaves, slots)
        raise KeyboardInterrupt

    monkeypatch.setattr(cache, "_fill", stopped)
    with pytest.raises(KeyboardInterrupt):
        cache.fetch(first + torch.tensor([1, 0]))
    monkeypatch.undo()
    assert torch.equal(held(cache, first)[0], rows_of(first)[0])
