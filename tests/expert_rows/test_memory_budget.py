"""Stored models much larger than their byte budget: bitwise the same answers, a measured peak, and the meter itself."""

import re
import threading

import pytest
import torch

from constructions import BudgetExceeded, StoreError, build_momlp, load, save, targets
from constructions.expert_rows import index
from constructions.expert_rows.answers import stream
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
    with pytest.raises(BudgetExceeded) as found:
        load(path, lazy=True, budget_bytes=1)
    least = int(re.search(r"at least (\d+)", str(found.value))[1])
    x = queries(model, 50)
    assert torch.equal(load(path, lazy=True, budget_bytes=least)(x), model(x))
