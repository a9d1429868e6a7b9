"""The cache against a naive dictionary: contents, order of eviction, bytes, statistics, and what failures leave."""

import pytest
import torch

from constructions.errors import BudgetExceeded
from constructions.expert_rows import cache as caches
from constructions.expert_rows.answers import answer_by_leaf
from constructions.expert_rows.cache import ExpertCache
from constructions.expert_rows.index import HashIndex, TableIndex, slot_overhead

CPU = torch.device("cpu")
SIDE = 12
SHAPES = ((2, 3), (), (2,))
NUMBERS = 6 + 1 + 2


class Damage(RuntimeError):
    pass


def truth(leaves):
    """Rows that tell every leaf from every other."""
    number = leaves.double() @ torch.tensor([1.0, 1000.0][: leaves.shape[1]], dtype=torch.float64)
    parts = [number.reshape(-1, *[1] * len(shape)).expand(-1, *shape) + i for i, shape in enumerate(SHAPES)]
    return tuple(p.clone() for p in parts)


def cache_of(slots, q, *, source=truth, numbered=False, staging=None):
    slot = 8 * NUMBERS + slot_overhead(q)
    experts = SIDE * SIDE if numbered else None
    table = 4 * SIDE * SIDE if numbered and slots >= 60 else 0  # below that it would take more than its part
    options = {"shapes": SHAPES, "dtype": torch.float64, "device": CPU, "staging_bytes": staging and staging * slot}
    return ExpertCache(source, q=q, cache_bytes=slots * slot + table, experts=experts, **options)


def every_leaf(q):
    ids = torch.arange(SIDE * SIDE)
    return ids[:, None] if q == 1 else torch.stack([ids // SIDE, ids % SIDE], 1)


def held_by(cache, leaves):
    """Places of those of `leaves` that are found, each with the rows that belong to it."""
    slots = cache._index.find(leaves)
    found = (slots >= 0).nonzero()[:, 0]
    for rows, expected in zip(cache.rows, truth(leaves[found]), strict=True):
        assert torch.equal(rows[slots[found]], expected)
    assert len(slots[found].unique()) == len(found)
    return set(found.tolist())


@pytest.mark.parametrize("numbered", [True, False], ids=["table", "hash"])
@pytest.mark.parametrize("staging", [None, 1, 3])
@pytest.mark.parametrize("grows", [False, True])
def test_random_work_against_a_dictionary(monkeypatch, numbered, staging, grows):
    if grows:
        monkeypatch.setattr(caches, "FIRST_BYTES", 0)
        monkeypatch.setattr(caches, "FIRST_SLOTS", 2)
    g = torch.Generator().manual_seed(0)
    q, capacity = (1 if numbered else 2), 60
    leaves = every_leaf(q)
    fails = []

    def source(asked):
        if fails and fails.pop():
            raise Damage
        return truth(asked)

    cache = cache_of(capacity, q, source=source, numbered=numbered, staging=staging)
    assert type(cache._index) is (TableIndex if numbered else HashIndex)
    assert cache.capacity == capacity
    used, built, evictions, failures = {}, 0, 0, 0
    for clock in range(300):
        spread = SIDE * SIDE if clock % 3 else 20
        asked = torch.randperm(spread, generator=g)[: int(torch.randint(0, capacity + 1, (), generator=g))]
        asked = asked.sort().values if clock % 2 else asked
        wanted, missing = set(asked.tolist()), set(asked.tolist()) - set(used)
        if clock % 17 == 16 and missing:
            fails.append(True)
            with pytest.raises(Damage):
                cache.fetch(leaves[asked])
            failures += 1
            used = {}
            assert held_by(cache, leaves) == set()
            continue
        slots = cache.fetch(leaves[asked])
        for rows, expected in zip(cache.rows, truth(leaves[asked]), strict=True):
            assert torch.equal(rows[slots], expected)
        now = held_by(cache, leaves)
        assert wanted <= now
        gone = set(used) - now
        if gone >= set(used) - wanted and grows and len(now) == len(wanted) and wanted & set(used):
            missing = wanted  # it grew for the last time, and dropped what it had
        else:
            assert len(gone) == max(0, len(used) + len(missing) - capacity) or grows
            stayed = [used[i] for i in now - wanted]
            assert not gone or not stayed or max(used[i] for i in gone) <= min(stayed)
        built += len(missing)
        evictions += len(gone)
        used = {i: used[i] for i in now - wanted} | dict.fromkeys(wanted, clock)
        assert cache.nbytes <= cache.cache_bytes
        assert cache.statistics.peak_bytes <= cache.cache_bytes
    assert failures > 3
    assert evictions > 100
    if not grows:
        assert cache.statistics.built == built


@pytest.mark.parametrize("numbered", [True, False], ids=["table", "hash"])
def test_one_slot_answers_a_batch_of_many_experts(numbered):
    q = 1 if numbered else 2
    cache = cache_of(1, q, numbered=numbered)
    assert cache.capacity == 1
    leaves = every_leaf(q)[torch.randint(0, SIDE * SIDE, (200,), generator=torch.Generator().manual_seed(1))]
    x = torch.arange(200, dtype=torch.float64)[:, None]
    found = answer_by_leaf(x, leaves, cache, lambda points, rows, at: points + rows[2][at][:, :1], m=1)
    assert torch.equal(found, x + truth(leaves)[2][:, :1])
    distinct = len(leaves.unique(dim=0))
    assert (cache.statistics.built, cache.statistics.evicted) == (distinct, distinct - 1)
    assert cache.statistics.queries == 200
    assert cache.statistics.peak_bytes <= cache.cache_bytes
    with pytest.raises(BudgetExceeded, match="`cache_bytes` must hold at least one expert"):
        ExpertCache(truth, q=q, shapes=SHAPES, dtype=torch.float64, device=CPU, cache_bytes=8 * NUMBERS)


def test_negative_control_an_index_that_forgets_to_forget(monkeypatch):
    """The comparison above notices a slot that is found under the key of an evicted expert."""
    monkeypatch.setattr(TableIndex, "forget", lambda self, leaves: None)
    cache, leaves = cache_of(60, 1, numbered=True), every_leaf(1)
    cache.fetch(leaves[:60])
    cache.fetch(leaves[60:65])
    with pytest.raises(AssertionError):
        held_by(cache, leaves)


@pytest.mark.parametrize("numbered", [True, False], ids=["table", "hash"])
def test_an_interrupt_while_rows_are_written_leaves_no_wrong_row(numbered):
    """The first parts are written over evicted experts when the last one is interrupted."""
    calls = []

    def source(asked):
        calls.append(len(asked))
        if sum(calls) > 100:
            raise KeyboardInterrupt
        return truth(asked)

    cache, leaves = cache_of(60, 1, source=source, numbered=numbered, staging=2), every_leaf(1)
    cache.fetch(leaves[:60])
    with pytest.raises(KeyboardInterrupt):
        cache.fetch(leaves[60:120])
    assert held_by(cache, leaves) == set()
    calls.clear()
    cache.fetch(leaves[40:80])
    assert held_by(cache, leaves) == set(range(40, 80))


def test_a_small_cache_of_a_large_model_has_no_table():
    experts = 10_000
    options = {"shapes": ((1,),), "dtype": torch.float64, "device": CPU}
    cache = ExpertCache(lambda leaves: (leaves.double(),), q=1, cache_bytes=4 * experts, experts=experts, **options)
    assert type(cache._index) is HashIndex
    asked = torch.tensor([[9999], [0], [77]])
    slots = cache.fetch(asked)
    assert cache.rows[0][slots, 0].tolist() == [9999, 0, 77]
    assert cache.nbytes <= cache.cache_bytes


def test_numbers_that_no_expert_has_are_refused():
    cache = cache_of(10, 1, numbered=True)
    for wrong in (-1, SIDE * SIDE):
        with pytest.raises(ValueError, match="`leaves` must be numbers below 144, got"):
            cache.fetch(torch.tensor([[3], [wrong]]))
    assert cache.fetch(torch.empty(0, 1, dtype=torch.int64)).shape == (0,)
