"""Timing and rows that all benchmarks share."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

REPEATS = 5


def seconds(call: Callable[[], object]) -> float:
    """Median wall time of REPEATS calls after one warm-up."""
    call()
    times = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        call()
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def seconds_each(*calls: Callable[[], object]) -> list[float]:
    """`seconds` of each, taken in turns, so that other work on the machine slows all of them alike."""
    for call in calls:
        call()
    times: list[list[float]] = [[] for _ in calls]
    for _ in range(REPEATS):
        for call, taken in zip(calls, times, strict=True):
            started = time.perf_counter()
            call()
            taken.append(time.perf_counter() - started)
    return [statistics.median(taken) for taken in times]


def row(name: str, peer: str, unit: str, ours: float, theirs: float | None) -> dict:
    return {
        "measured": name,
        "peer": peer,
        "unit": unit,
        "ours": ours,
        "theirs": theirs,
        "ratio": None if theirs is None else ours / theirs,
    }
