"""Bytes of tensors that are really alive, on tensors whose bytes are known."""

import pytest
import torch

from theory import Status
from theory.checkers.resident_memory import MemoryMeter, peak_resident_bytes, resident_bytes_le

CPU = torch.device("cpu")
KIB = 1024


def block(kib):
    return torch.zeros(kib * KIB, dtype=torch.uint8)


def test_nothing_is_alive_before_anything_is_made():
    with MemoryMeter() as meter:
        assert (meter.alive, meter.peak) == (0, 0)


def test_the_peak_is_the_most_that_was_alive_at_once():
    with MemoryMeter(device=CPU) as meter:
        first = block(4)
        assert (meter.alive, meter.peak) == (4 * KIB, 4 * KIB)
        second = block(2)
        assert (meter.alive, meter.peak) == (6 * KIB, 6 * KIB)
        del first
        assert (meter.alive, meter.peak) == (2 * KIB, 6 * KIB)
        third = block(1)
        assert (meter.alive, meter.peak) == (3 * KIB, 6 * KIB)
        del second, third
        assert (meter.alive, meter.peak) == (0, 6 * KIB)


def test_a_storage_counts_once_whoever_looks_at_it():
    with MemoryMeter() as meter:
        whole = block(4)
        half = whole[: 2 * KIB]
        again = whole.view(2, -1).add_(1)
        meter.watch(half)
        assert meter.alive == 4 * KIB
        del whole, half
        assert meter.alive == 4 * KIB
        del again
        assert meter.alive == 0


def test_what_is_only_read_counts_as_well_and_keywords_are_passed_on():
    old, other = block(4), block(4)
    with MemoryMeter() as meter:
        assert int(old.sum(dim=0, dtype=torch.int64)) == 0
        assert meter.peak >= 4 * KIB
        found = torch.full((KIB,), fill_value=7, dtype=torch.uint8)
        assert int(found[0]) == 7
        torch.add(old, other, out=old)
        assert meter.alive >= 9 * KIB


def test_what_is_ignored_and_what_lies_elsewhere_does_not_count():
    known = block(8)
    with MemoryMeter([known]) as meter:
        known.add_(1)
        known[:KIB].add_(1)
        torch.empty(0)
        assert (meter.alive, meter.peak) == (0, 0)
        torch.empty(KIB, device="meta")
        assert (meter.alive, meter.peak) == (0, 0)
        mine = known.clone()
        assert meter.alive == 8 * KIB
        del mine
    with MemoryMeter(device=torch.device("meta")) as meter:
        block(4)
        assert meter.peak == 0
        kept = torch.empty(KIB, dtype=torch.uint8, device="meta")
        assert meter.alive == kept.untyped_storage().nbytes()


def test_results_are_handed_over_and_leave():
    weights = block(16)

    def work():
        for k in range(3):
            part = weights[: 2 * KIB] + k
            yield part
            del part

    parts, peak = peak_resident_bytes(work, device=CPU, ignored=[weights])
    assert [int(part[0]) for part in parts] == [0, 1, 2]
    assert all(part.shape == (2 * KIB,) for part in parts)
    assert 2 * KIB <= peak <= 4 * KIB
    _, with_weights = peak_resident_bytes(work, device=CPU)
    assert with_weights == peak + 16 * KIB


@pytest.mark.parametrize(("peak", "status"), [(9, Status.NOT_REFUTED), (10, Status.NOT_REFUTED), (11, Status.REFUTED)])
def test_a_peak_may_fill_the_budget(peak, status):
    verdict = resident_bytes_le(peak, 10, 40)
    assert verdict.status is status
    assert verdict.numbers == {"peak_bytes": peak, "whole_bytes": 40, "times_larger": 4.0}
    assert verdict.bounds == {"budget_bytes": 10}
    assert (verdict.witness is None) == (status is Status.NOT_REFUTED)


def test_on_a_gpu_the_allocators_own_peak_counts_beyond_what_was_there(monkeypatch):
    told = []
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: 100)
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", told.append)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: 350)
    gpu = torch.device("cuda")
    parts, peak = peak_resident_bytes(lambda: iter([block(1), block(2)]), device=gpu)
    assert ([len(part) for part in parts], peak, told) == ([KIB, 2 * KIB], 250, [gpu])
