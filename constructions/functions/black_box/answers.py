"""One call of a user's function after another, here or in other threads and processes, with what came back so far.

Main definitions: `Answers`, `answered`, `in_order`, `POOLS`.
"""

from __future__ import annotations

import pickle
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from constructions.errors import shown

POOLS = {"processes": "loky", "threads": "threading"}
NUMBERS = "fiub"  # kinds of numpy's numbers that are real


@dataclass(frozen=True)
class Task:
    """What is called: `fn` of arrays (B, n) if `vectorized`, else of single points (n,); `m` outputs."""

    fn: Callable[[np.ndarray], Any]
    vectorized: bool
    m: int


@dataclass(frozen=True)
class Answers:
    """Values (B, m) of the rows from `start` on, the seconds that they took, and the error that ended them."""

    start: int
    values: np.ndarray
    seconds: float
    error: BaseException | None = None


def answered(task: Task, points: np.ndarray, start: int = 0) -> Answers:
    """Answers at points (B, n), as many as there were before an error; KeyboardInterrupt is one of these."""
    began = time.perf_counter()
    found, error = [], None
    try:
        if task.vectorized:
            found = [_rows(task.fn(points.copy()), len(points), task.m)]
        else:
            for point in points.copy():  # a function of the user's may write into its argument
                found.append(_row(task.fn(point), task.m))
    except (Exception, KeyboardInterrupt) as err:
        error = err
    values = np.concatenate(found) if found else np.empty((0, task.m))
    return Answers(start, values, time.perf_counter() - began, error)


def in_order(task: Task, points: np.ndarray, rows: int, workers: int, pool: str) -> Iterator[Answers]:
    """Answers at points (B, n), `rows` of them at a time and as they come, by so many `workers`."""
    starts = range(0, len(points), rows)
    if workers == 1 or len(starts) == 1:
        for start in starts:
            yield answered(task, points[start : start + rows], start)
        return
    from joblib import Parallel, delayed  # not needed before

    calls = (delayed(_sent)(task, points[start : start + rows], start) for start in starts)
    try:
        found: Any = Parallel(n_jobs=workers, backend=POOLS[pool], return_as="generator_unordered")(calls)
        yield from found
    except pickle.PicklingError as err:
        said = f"it cannot be sent to other processes, use pool='threads' ({err.__cause__ or err})"
        raise TypeError(" ".join(said.split())) from err


def _sent(task: Task, points: np.ndarray, start: int) -> Answers:
    """`answered` by a worker, whose error must be one that can be sent back."""
    found = answered(task, points, start)
    try:
        pickle.loads(pickle.dumps(found.error))
    except Exception:  # an exception with a constructor of its own may fail in any way
        return replace(found, error=RuntimeError(f"{type(found.error).__name__}: {found.error}"))
    return found


def _row(value: Any, m: int) -> np.ndarray:
    """What a function of one point gave, (1, m)."""
    y = np.asarray(value)
    if y.size != m or y.dtype.kind not in NUMBERS:
        wanted = "a number" if m == 1 else f"{m} numbers"
        raise TypeError(f"it must return {wanted} for one point (n,), got {shown(value)}")
    return y.astype(np.float64).reshape(1, m)


def _rows(value: Any, count: int, m: int) -> np.ndarray:
    """What a function of `count` points gave, (B, m)."""
    y = np.asarray(value)
    fits = y.shape == (count, m) or (m == 1 and y.shape == (count,))
    if not fits or y.dtype.kind not in NUMBERS:
        wanted = f"({count},) or ({count}, 1)" if m == 1 else f"({count}, {m})"
        got = f"{y.dtype} {y.shape}" if isinstance(value, np.ndarray) else shown(value)
        raise TypeError(
            f"it must return numbers of shape {wanted} for {count} points, got {got} (a function of one point at a "
            "time needs vectorized=False)"
        )
    return y.astype(np.float64).reshape(count, m)
