"""Stored models much larger than their byte budget: bitwise the same answers, a measured peak, and the meter itself."""

import re
import threading
from functools import partial

import pytest
import torch

from constructions import BudgetExceeded, StoreError, build_momlp, load, save, targets
from constructions.expert_rows import index
from constructions.expert_rows.answers import grouping_bytes, share_budget, stream
from constructions.expert_rows.cache import ExpertCache
from theory.checkers.resident_memory import MemoryMeter, peak_resident_bytes, resident_bytes_le
from theory.claim import Status

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    model = build_momlp(targets.get("sum_of_sines", n=3), eps=0.006)
    return model, save(model, tmp_path_factory.mktemp("store") / "m.safetensors")


def queries(model, count=3000):
    """Half of them spread over the domain, half clustered."""
    g = torch.Generator().manual_seed(1)
    x = model.plan.domain.sample(count, g)
    x[::2, :2] *= 0.1
    return x


@pytest.mark.parametrize("times", [10, 60])
def test_a_model_many_times_its_budget(stored, times):
    model, path = stored
    budget = model.resident_bytes // times
    lazy = load(path, lazy=True, budget_bytes=budget)
    x = queries(model)
    parts, peak = peak_resident_bytes(lambda: stream(lazy, x.split(256)), device=CPU, ignored=[x])
    assert torch.equal(torch.cat(parts), model(x))
    verdict = resident_bytes_le(peak, budget, model.resident_bytes)
    assert verdict.status is Status.NOT_REFUTED
    assert verdict.numbers["times_larger"] >= times
    assert budget / 4 < peak  # the meter saw the experts
    assert lazy.statistics.prefetched > 0


def test_negative_control_a_model_that_keeps_everything(stored):
    model, path = stored
    budget = model.resident_bytes // 60
    greedy = load(path, lazy=True, cache_bytes=2 * model.resident_bytes)
    x = queries(model)
    parts, peak = peak_resident_bytes(lambda: stream(greedy, x.split(256)), device=CPU, ignored=[x])
    assert torch.equal(torch.cat(parts), model(x))
    assert resident_bytes_le(peak, budget, model.resident_bytes).status is Status.REFUTED


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """One sixtieth of it is 16 kB: less than what routing 256 points at once takes."""
    model = build_momlp(targets.get("sum_of_sines", n=3), eps=0.018)
    return model, save(model, tmp_path_factory.mktemp("store") / "m.safetensors")


@pytest.mark.parametrize(("batch", "ahead"), [(1, True), (7, True), (256, True), (256, False)])
def test_batches_of_any_size_keep_to_a_tiny_budget(small, batch, ahead):
    model, path = small
    budget = model.resident_bytes // 60
    lazy = load(path, lazy=True, budget_bytes=budget)
    x = queries(model, 256 if batch > 1 else 20)
    parts = x.split(batch)
    found, peak = peak_resident_bytes(
        lambda: stream(lazy, parts) if ahead else map(lazy, parts), device=CPU, ignored=[x]
    )
    assert torch.equal(torch.cat(found), model(x))
    answers = 8 * min(batch, len(x))  # which do not count
    assert budget / 4 < peak <= budget + answers
    if batch == 256 and ahead:
        lazy.batch = None  # negative control
        assert peak_resident_bytes(lambda: stream(lazy, parts), device=CPU, ignored=[x])[1] > 1.3 * budget


@pytest.mark.parametrize(("n", "eps"), [(1, 0.05), (2, 0.1), (4, 0.4)])
def test_a_point_takes_no_more_than_was_planned_for(n, eps, tmp_path):
    model = build_momlp(targets.get("sum_of_sines", n=n), eps=eps)
    path, peaks = save(model, tmp_path / "m.safetensors"), []
    for size in (200, 600):
        lazy = load(path, lazy=True, cache_bytes=1 << 20)
        lazy.points_at_once = 2
        x = torch.rand(3 * size, n, dtype=torch.float64)
        _, peak = peak_resident_bytes(partial(stream, lazy, x.split(size)), device=CPU, ignored=[x])
        peaks.append(peak - lazy.cached_bytes)
    assert grouping_bytes(n - 1, 1) / 4 < (peaks[1] - peaks[0]) / 400 <= grouping_bytes(n - 1, 1)


def test_a_bad_point_is_named_by_its_row_in_the_whole_batch(small):
    lazy = load(small[1], lazy=True, budget_bytes=small[0].resident_bytes // 60)
    x = queries(small[0], 100)
    x[77, 1] = torch.nan
    with pytest.raises(ValueError, match="row 77 is"):
        lazy(x)


def test_the_meter_counts_live_bytes():
    kept = torch.ones(1000, dtype=torch.float64)
    with MemoryMeter([kept]) as meter:
        a = kept + 1
        b = a * 2
        assert meter.alive == 16_000
        assert b[10:].sum() > 0
        del a
        assert 8_000 <= meter.alive < 9_000
        del b
    assert meter.alive < 1_000
    assert 16_000 <= meter.peak < 25_000


def test_single_points_batches_and_orders_agree(stored):
    model, path = stored
    lazy = load(path, lazy=True, budget_bytes=model.resident_bytes // 20)
    x = queries(model, 300)
    expected = model(x)
    assert torch.equal(torch.cat([lazy(p) for p in x.split(1)]), expected)
    assert torch.equal(lazy(x.flip(0)).flip(0), expected)
    assert torch.equal(lazy(x, upcoming=x[:0]), expected)
    assert lazy(x[:0]).shape == (0, 1)


def test_reading_ahead_happens_during_the_work():
    """The source is entered for the next leaves while nothing has asked for them yet."""
    entered = threading.Event()

    def source(leaves):
        if int(leaves.min()) >= 8:
            entered.set()
        return (leaves.double(),)

    cache = ExpertCache(source, q=1, shapes=((1,),), dtype=torch.float64, device=CPU, cache_bytes=24 * 16)
    cache.fetch(torch.arange(8)[:, None])
    assert not entered.is_set()
    cache.prefetch(torch.arange(8, 16)[:, None])
    assert entered.wait(timeout=60)
    slots = cache.fetch(torch.arange(6, 14)[:, None])
    assert cache.rows[0][slots, 0].tolist() == list(range(6, 14))
    assert cache.statistics.prefetched == 6


def test_leaves_with_equal_hashes_are_told_apart(stored, monkeypatch):
    model, path = stored
    monkeypatch.setattr(index, "_hashed", lambda leaves: leaves.sum(-1) // 7)
    lazy = load(path, lazy=True, budget_bytes=model.resident_bytes // 20)
    x = queries(model, 2000)
    for _ in range(2):
        assert torch.equal(torch.cat(list(stream(lazy, x.split(250)))), model(x))


def test_damage_found_while_reading_ahead_is_an_error(stored, tmp_path):
    model, path = stored
    damaged = tmp_path / "m.safetensors"
    content = bytearray(path.read_bytes())
    content[len(content) * 3 // 4] ^= 1
    damaged.write_bytes(content)
    lazy = load(damaged, lazy=True, cache_bytes=1 << 24)
    with pytest.raises(StoreError, match="digest of expert"):
        list(stream(lazy, model.plan.domain.sample(40_000, torch.Generator().manual_seed(0)).split(4000)))


def test_a_file_cut_off_after_opening_is_an_error(stored, tmp_path):
    model, path = stored
    short = tmp_path / "m.safetensors"
    short.write_bytes(path.read_bytes())
    lazy = load(short, lazy=True)
    with short.open("r+b") as file:
        file.truncate(short.stat().st_size // 2)
    with pytest.raises(StoreError, match="ends before its data does"):
        lazy(queries(model))


def test_bad_budgets(stored):
    model, path = stored
    with pytest.raises(BudgetExceeded, match="`budget_bytes` must be at least"):
        load(path, lazy=True, budget_bytes=10_000)
    with pytest.raises(ValueError, match="`budget_bytes` needs lazy=True"):
        load(path, budget_bytes=10_000)
    with pytest.raises(ValueError, match="`budget_bytes` must be an integer"):
        load(path, lazy=True, budget_bytes=-1)
    for name in ("budget_bytes", "cache_bytes", "max_bytes"):  # once "Overflow when unpacking long long"
        with pytest.raises(ValueError, match=f"`{name}` must be an integer between 1 and"):
            load(path, lazy=True, **{name: 10**20})
    with pytest.raises(BudgetExceeded) as found:
        load(path, lazy=True, budget_bytes=1)
    least = int(re.search(r"at least (\d+)", str(found.value))[1])
    x = queries(model, 50)
    assert torch.equal(load(path, lazy=True, budget_bytes=least)(x), model(x))
    with pytest.raises(BudgetExceeded, match=f"at least {least} "):
        load(path, lazy=True, budget_bytes=least - 1)


@pytest.mark.parametrize(
    ("fixed", "slot", "point", "copies"),
    [(0, 1, 1, 1), (10, 101, 7, 4), (3, 101, 7, 1), (0, 8, 12_345, 3), (999, 7, 1, 3), (0, 1, 9, 1)],
)
def test_the_least_budget_is_exact(fixed, slot, point, copies):
    """Gathers, rows being read, or the batch are what needs most, in turn."""
    options = {"fixed_bytes": fixed, "slot_bytes": slot, "point_bytes": point, "copies": copies}
    with pytest.raises(BudgetExceeded) as found:
        share_budget(1, **options)
    least = int(re.search(r"at least (\d+)", str(found.value))[1])
    with pytest.raises(BudgetExceeded, match=f"at least {least} .* got {least - 1}"):
        share_budget(least - 1, **options)
    shares = share_budget(least, **options)
    assert shares.points >= 2
    assert shares.batch >= 1
    assert min(shares.staging_bytes, shares.cache_bytes) >= slot
    taken = shares.cache_bytes + 2 * shares.staging_bytes + shares.points * copies * slot + shares.batch * point
    assert fixed + taken <= least
