"""Reading and hashing in compiled loops: the rows of the way without them, whatever the system answers."""

import ctypes
import os
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from constructions import StoreError, build_momlp, save, targets
from constructions.expert_rows import cache as caches
from constructions.expert_rows import file as files
from constructions.expert_rows import native
from constructions.expert_rows.cache import ExpertCache, ExpertSource
from constructions.expert_rows.file import ExpertFile
from constructions.expert_rows.index import TABLE_ENTRY, slot_overhead
from constructions.momlp.store import EXPERTS

pytest.importorskip("numba")
pytestmark = pytest.mark.skipif(files.READ_AT_ONCE is None, reason="the system does not tell what it has in memory")

EAGAIN = -1
PREADV2 = ctypes.CFUNCTYPE(
    ctypes.c_ssize_t, ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.c_int64, ctypes.c_int, use_errno=True
)


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    model = build_momlp(targets.get("vector_rotation", n=2), eps=0.012)
    return model, save(model, tmp_path_factory.mktemp("store") / "m.safetensors")


COUNT = 48


def test_the_model_is_as_large_as_the_examples_ask_for(stored):
    assert stored[0].num_leaves >= COUNT


runs = st.tuples(st.integers(0, COUNT - 1), st.integers(1, 12), st.integers(1, 4)).map(
    lambda run: list(range(run[0], COUNT, run[2]))[: run[1]]
)
patterns = st.one_of(
    st.lists(st.integers(0, COUNT - 1), max_size=60),  # unsorted, repeated, none
    st.lists(runs, max_size=4).map(lambda parts: [i for part in parts for i in part]),
    st.lists(runs, max_size=4).map(lambda parts: sorted({i for part in parts for i in part})),
)


def counted(monkeypatch):
    """How many rows the compiled loops and Python's own calls read."""
    rows, plain = {"compiled": 0, "python": 0}, native.read_rows

    def read_rows(*arguments, **options):
        missed = plain(*arguments, **options)
        rows["compiled"] += 0 if missed is None else int((~missed).sum())
        return missed

    reads = ExpertFile._read_parts

    def read_parts(self, name, width, ids, *rest):
        rows["python"] += len(ids)
        return reads(self, name, width, ids, *rest)

    monkeypatch.setattr(native, "read_rows", read_rows)
    monkeypatch.setattr(ExpertFile, "_read_parts", read_parts)
    return rows


@given(ids=patterns, held=st.booleans(), threads=st.integers(1, 4), gap=st.sampled_from([0, 8, 100, 4096]))
def test_the_same_rows_as_without_them(stored, ids, held, threads, gap):
    model, path = stored
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, "GAP_BYTES", gap)
        patch.setattr(native, "LEAST_ROWS", 3)
        patch.setattr(torch, "get_num_threads", lambda: threads)
        file = ExpertFile(path, EXPERTS)
        assert bool(file.hold((1 << 20) if held else 0)) is held
        rows = counted(patch)
        weight, bias = file.experts(ids)
        assert rows == {"compiled": (1 if held else 3) * len(ids), "python": 0}
        patch.setattr(files, "READ_AT_ONCE", None)
        patch.setattr(native, "hash_rows", lambda *_: None)
        expected = ExpertFile(path, EXPERTS).experts(ids)
    assert torch.equal(weight, expected[0])
    assert torch.equal(bias, expected[1])
    assert torch.equal(weight, model.out_weight[ids])
    assert torch.equal(bias, model.out_bias[ids])


def answering(how):
    """A preadv2 that reads, but does what `how(number of the call, size, flags)` says first: None for all of it."""
    plain, calls = native._preadv2(), []

    def call(fd, parts, count, at, flags):
        pieces = (ctypes.c_uint64 * (2 * count)).from_address(parts)
        size = sum(pieces[1::2])
        limit = how(len(calls), size, flags)
        calls.append(flags)
        if limit is None:
            return plain(fd, parts, count, at, flags)
        if limit < 0:
            return limit
        got = os.pread(fd, limit, at)
        for address, length in zip(pieces[::2], pieces[1::2], strict=True):
            ctypes.memmove(address, got, min(length, len(got)))
            got = got[length:]
        return min(limit, size)

    return PREADV2(call), calls


@given(
    ids=patterns,
    answers=st.lists(st.sampled_from([None, EAGAIN, 0, 1, 7, 300]), min_size=1, max_size=7),
    waits=st.booleans(),
)
def test_whatever_the_system_answers(stored, ids, answers, waits):
    """Calls that would wait, are interrupted, or stop within a row: what they leave is asked for again."""
    model, path = stored

    def how(number, size, flags):
        if waits and flags:
            return EAGAIN
        answer = answers[number % len(answers)]
        return None if answer is None or answer >= size else answer

    with pytest.MonkeyPatch.context() as patch:
        call, calls = answering(how)
        patch.setattr(native, "_preadv2", lambda: call)
        weight, bias = ExpertFile(path, EXPERTS).experts(ids)
    assert torch.equal(weight, model.out_weight[ids])
    assert torch.equal(bias, model.out_bias[ids])
    assert bool(calls) is bool(ids)


def test_what_is_not_in_memory_is_asked_for_and_then_read_by_the_loops(stored, monkeypatch):
    model, path = stored
    call, calls = answering(lambda number, size, flags: EAGAIN if flags else None)
    asked = []
    monkeypatch.setattr(native, "_preadv2", lambda: call)
    monkeypatch.setattr(os, "posix_fadvise", lambda *arguments: asked.append(arguments))
    rows = counted(monkeypatch)
    assert torch.equal(ExpertFile(path, EXPERTS).experts([5, 17])[0], model.out_weight[[5, 17]])
    assert rows == {"compiled": 6, "python": 0}
    assert set(calls) == {files.READ_AT_ONCE, 0}
    assert asked
    assert all(a[3] == os.POSIX_FADV_WILLNEED and a[2] == files.AROUND_BYTES for a in asked)


def test_negative_control_a_call_that_says_more_than_it_read(stored, monkeypatch):
    _, path = stored
    call = PREADV2(lambda fd, parts, count, at, flags: sum((ctypes.c_uint64 * (2 * count)).from_address(parts)[1::2]))
    monkeypatch.setattr(native, "_preadv2", lambda: call)
    with pytest.raises(StoreError, match="the digest of expert 3 differs"):
        ExpertFile(path, EXPERTS).experts([3, 4])


def test_a_library_whose_digests_are_wrong_is_not_used(stored, monkeypatch):
    model, path = stored
    plain = native._function
    monkeypatch.setattr(native, "_function", lambda place, name, *rest: plain(place, name.replace("256", "224"), *rest))
    native._sha256.cache_clear()
    try:
        assert native._sha256() is None
        assert native.hash_rows(np.zeros((2, 5), np.uint8), np.arange(2)) is None
        assert torch.equal(ExpertFile(path, EXPERTS).experts([7])[0], model.out_weight[[7]])
    finally:
        native._sha256.cache_clear()


@pytest.mark.parametrize("missing", ["preadv2", "SHA256_Init"])
def test_what_the_system_has_not_is_done_in_python(stored, monkeypatch, missing):
    model, path = stored
    plain = native._function
    monkeypatch.setattr(
        native, "_function", lambda place, name, *r: None if name == missing else plain(place, name, *r)
    )
    for found in (native._preadv2, native._sha256):
        found.cache_clear()
    try:
        assert (native._preadv2() is None) is (missing == "preadv2")
        assert (native._sha256() is None) is (missing == "SHA256_Init")
        assert torch.equal(ExpertFile(path, EXPERTS).experts([7, 2])[0], model.out_weight[[7, 2]])
    finally:
        for found in (native._preadv2, native._sha256):
            found.cache_clear()
    assert native._function(None, "no_such_function", ctypes.c_int) is None
    assert native._function("/no/such/library", "abs", ctypes.c_int) is None


@pytest.mark.parametrize("into", [[0, 4], [-1, 0]])
def test_compiled_code_does_not_write_beyond_the_rows(stored, into):
    _, path = stored
    rows, table = np.array(into), np.zeros((4, 8), np.uint8)
    with open(path, "rb") as file:
        options = {"spare": np.empty(0, np.uint8), "most": 5}
        assert native.read_rows(file.fileno(), 0, [(0, 8, 0)], np.arange(2), table, rows, **options) is None
        assert native.read_rows(file.fileno(), 0, [(0, 8, 0)], np.arange(2), table, np.arange(2), **options) is not None
        for beyond in ((0, 9, 0), (0, 8, 1), (0, 4, -1)):
            assert native.read_rows(file.fileno(), 0, [beyond], np.arange(2), table, np.arange(2), **options) is None
    assert native.hash_rows(table, rows) is None
    assert native.hash_rows(table[:, ::2], np.arange(2)) is None


# --- slots ------------------------------------------------------------------------------------------------------


class Squares(ExpertSource):
    """Number i has the row (i², i); it is written where it will lie, as what is read from a file."""

    staged = False

    def __init__(self, broken=()):
        super().__init__(lambda leaves: (leaves.double() ** 2, leaves.double()))
        self.broken = broken

    def fill(self, arena, rows, leaves, slots):
        super().fill(arena, rows, leaves[:1], slots[:1])
        if set(self.broken) & set(leaves[:, 0].tolist()):
            raise StoreError("broken")
        super().fill(arena, rows, leaves, slots)


def squares(slots, *, experts=60, **options):
    return ExpertCache(
        Squares(**options),
        q=1,
        shapes=((1,), (1,)),
        dtype=torch.float64,
        device=torch.device("cpu"),
        cache_bytes=TABLE_ENTRY * experts * 8 + slots * (16 + slot_overhead(1)),
        experts=experts,
    )


def used_loops(patch):
    found, plain = [], ExpertCache._fetch_natively

    def fetch(self, leaves):
        slots = plain(self, leaves)
        found.append(slots is not None)
        return slots

    patch.setattr(ExpertCache, "_fetch_natively", fetch)
    return found


asked = st.lists(st.lists(st.integers(0, 59), max_size=12, unique=True), min_size=1, max_size=25)


def require_rows(cache, ids, slots):
    assert cache.rows[0][slots, 0].tolist() == [i * i for i in ids]
    assert cache.rows[1][slots, 0].tolist() == ids
    table, used = cache._index.slots, cache.used
    assert [int(i) for i in (table >= 0).nonzero()[:, 0]] == sorted(cache.keys[:used, 0].tolist())
    assert torch.equal(table[cache.keys[:used, 0]].long(), torch.arange(used))


@given(batches=asked, grows=st.booleans())
def test_slots_hold_the_least_recently_used(batches, grows):
    """Against a dictionary: what stays are the numbers asked for last, and every row is its number's own."""
    with pytest.MonkeyPatch.context() as patch:
        if grows:
            patch.setattr(caches, "FIRST_BYTES", 0)
            patch.setattr(caches, "FIRST_SLOTS", 2)
        loops, cache, last = used_loops(patch), squares(10), {}
        capacity, evicted = cache.capacity, cache.statistics.evicted
        assert 12 <= capacity < 60
        for clock, ids in enumerate(batches):
            before = set(cache.keys[: cache.used, 0].tolist())
            slots = cache.fetch(torch.tensor(ids, dtype=torch.int64)[:, None])
            require_rows(cache, ids, slots)
            assert len(set(slots.tolist())) == len(ids)
            held = set(cache.keys[: cache.used, 0].tolist())
            gone = before - held
            if not grows:
                assert cache.statistics.evicted - evicted == len(gone)
                assert len(held) == min(capacity, len(before | set(ids)))
                kept = before & held - set(ids)
                assert not gone or not kept or max(last[i] for i in gone) <= min(last[i] for i in kept)
            evicted = cache.statistics.evicted
            last |= dict.fromkeys(ids, clock)
        # the first call makes the slots
        assert all(loops[1:]) or grows or not batches[0]


def test_negative_control_a_table_that_is_not_kept(monkeypatch):
    """Where a slot is given away and its former number not forgotten, another number's row is found for it."""
    loops = used_loops(monkeypatch)
    plain = native.compiled()

    def fill(numbers, table, *rest):
        return plain.fill_slots(numbers, table.copy(), *rest)

    monkeypatch.setattr(native, "compiled", lambda: SimpleNamespace(find_slots=plain.find_slots, fill_slots=fill))
    cache, ids = squares(10), torch.arange(60)[:, None]
    for first in (0, 5, 11, 23, 35):
        slots = cache.fetch(ids[first : first + 12])
    with pytest.raises(AssertionError):
        require_rows(cache, list(range(35, 47)), slots)
    assert any(loops)


def test_a_failure_leaves_nothing_behind(monkeypatch):
    loops, cache = used_loops(monkeypatch), squares(10, broken=(40,))
    ids = torch.arange(60)[:, None]
    for first in (0, 9):
        cache.fetch(ids[first : first + 9])
    with pytest.raises(StoreError, match="broken"):
        cache.fetch(ids[33:43])
    assert cache.used == 0
    assert int((cache._index.slots >= 0).sum()) == 0
    for first in (30, 20, 25, 41):
        require_rows(cache, list(range(first, first + 8)), cache.fetch(ids[first : first + 8]))
    assert sum(loops) >= 3


@pytest.mark.parametrize("wrong", [-1, 60])
def test_numbers_of_no_expert_are_refused(wrong):
    cache = squares(10)
    cache.fetch(torch.arange(5)[:, None])
    with pytest.raises(ValueError, match="`leaves` must be numbers below 60"):
        cache.fetch(torch.tensor([[3], [wrong]]))
    require_rows(cache, [3, 4], cache.fetch(torch.tensor([[3], [4]])))


def test_without_numba_stored_experts_are_read_and_that_is_said_once(stored):
    model, path = stored
    script = f"""
import sys, warnings
sys.modules["numba"] = None
import torch
from constructions import load
with warnings.catch_warnings(record=True) as said:
    warnings.simplefilter("always")
    lazy, model = load({str(path)!r}, lazy=True, budget_bytes={model.resident_bytes // 2}), load({str(path)!r})
    x = model.plan.domain.sample(200, torch.Generator().manual_seed(0))
    assert torch.equal(lazy(x), model(x)) and torch.equal(lazy(x[50:]), model(x[50:]))
print([str(w.message) for w in said])
"""
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert found.count("numba is not installed") == 1, found
