"""Timing, rows and the table that all benchmarks share."""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version

import torch
from rich.console import Console
from rich.table import Table

REPEATS = 5
NAMED = ("torch", "numpy", "scipy", "numba", "faiss-cpu", "onnxruntime")


def seconds(call: Callable[[], object]) -> float:
    """Median wall time of REPEATS calls after one warm-up."""
    return pair(call)[0]["wall"]


def pair(*calls: Callable[[], object]) -> list[dict[str, float]]:
    """Median `wall` and `cpu` seconds (of all threads) of each call, REPEATS times in turn after one warm-up."""
    for call in calls:
        call()
    times: list[list[tuple[float, float]]] = [[] for _ in calls]
    for _ in range(REPEATS):
        for call, found in zip(calls, times, strict=True):
            wall, cpu = time.perf_counter(), time.process_time()
            call()
            found.append((time.perf_counter() - wall, time.process_time() - cpu))
    medians = [[statistics.median(t) for t in zip(*found, strict=True)] for found in times]
    return [{"wall": wall, "cpu": cpu} for wall, cpu in medians]


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


def timed_row(name: str, peer: str, unit: str, amounts: tuple[float, float], ours: Callable, theirs: Callable) -> dict:
    """The row of two calls that were timed in turn; each does its amount of `unit` without the seconds."""
    times = pair(ours, theirs)
    rates = [amount / t["wall"] for amount, t in zip(amounts, times, strict=True)]
    cpu = {"cpu": [t["cpu"] for t in times], "wall": [t["wall"] for t in times]}
    return row(name, peer, unit, rates[0], rates[1]) | cpu | {"threads": torch.get_num_threads()}


def machine() -> dict[str, object]:
    """Versions, cores and threads, as they are printed and stored."""
    found: dict[str, object] = {"python": platform.python_version()}
    for name in NAMED:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = None
    return found | {"cores": os.cpu_count(), "torch_threads": torch.get_num_threads()}


def show(rows: list[dict], console: Console) -> None:
    """The table of the rows, and below it versions and threads."""
    table = Table("measured", "peer", "unit", "ours", "theirs", "ours / theirs", "wall ms", "CPU ms")
    for r in rows:
        ratio = "-" if r["ratio"] is None else f"{r['ratio']:.2f}"
        theirs = "-" if r["theirs"] is None else _number(r["theirs"])
        times = [" / ".join(_number(1000 * t) for t in r[kind]) if kind in r else "-" for kind in ("wall", "cpu")]
        table.add_row(r["measured"], r["peer"], r["unit"], _number(r["ours"]), theirs, ratio, *times)
    console.print(table)
    console.print(", ".join(f"{k} {v}" for k, v in machine().items()), highlight=False)


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
