"""`BlackBox`: a function of numpy arrays, or of one point, as a function of tensors that remembers what it answered.

Main definitions: `BlackBox`, `Counts`.
Implementation notes: of the answers that come from memory or a file every 64th is asked for again. A function that
answers differently is none, and a file may be another function's: both end with the point and the two values.
"""

from __future__ import annotations

import math
import pickle
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from constructions.errors import require_bool, require_choice, require_int, require_path, shown
from constructions.functions.black_box.answers import POOLS, Answers, Task, answered, in_order
from constructions.functions.black_box.known_points import KnownPoints, distinct
from constructions.functions.black_box.value_file import ValueFile

DEFAULT_BATCH = 1 << 16
DEFAULT_CACHE_BYTES = 1 << 30
MOST_WORKERS = 1024
ASKED_AGAIN = 64  # one in so many
REPEATED = 1e-9  # of the larger of 1 and |f|: a vectorised function may round by the batch
HAND_OUT_SECONDS = 0.2  # of work at a time: Ctrl-C loses no more of a worker's
SAVE_SECONDS = 0.5
FIRST_CALLS = 2


@dataclass
class Counts:
    """Points that were asked for, those answered from memory, those that fn was called for, those read from the file,
    and those asked again to compare; `seconds` that fn took, summed over workers."""

    asked: int = 0
    known: int = 0
    evaluated: int = 0
    read: int = 0
    compared: int = 0
    seconds: float = 0.0

    @property
    def seconds_per_call(self) -> float | None:
        """Of one point; None before the first."""
        calls = self.evaluated + self.compared
        return self.seconds / calls if calls else None


class BlackBox:
    """`fn` as a function of tensors (B, n) -> (B, m), without gradients; made by `LipschitzFunction.from_numpy`.

    Attributes: `counts` (`Counts`), `path` of the cache file or None, `vectorized`, `workers`, `pool`.
    """

    def __init__(
        self,
        fn: Callable[[np.ndarray], Any],
        n: int,
        m: int,
        *,
        vectorized: bool = True,
        workers: int = 1,
        pool: str = "processes",
        batch: int = DEFAULT_BATCH,
        cache: bool | str | Path | None = None,
        cache_bytes: int = DEFAULT_CACHE_BYTES,
    ):
        if not callable(fn):
            raise TypeError(f"`fn` must be callable with a numpy array, got {type(fn).__name__}")
        self.vectorized = require_bool("vectorized", vectorized)
        self.workers = require_int("workers", workers, 1, MOST_WORKERS)
        self.pool = require_choice("pool", pool, tuple(POOLS))
        self.batch = require_int("batch", batch, 1)
        self.cache_bytes = require_int("cache_bytes", cache_bytes, 0)
        self.n, self.m, self.counts = n, m, Counts()
        self.path = None if cache is None or isinstance(cache, bool) else require_path("cache", cache).absolute()
        # looking up takes a microsecond a point: more than most functions of arrays, less than any of single points
        self.remembers = self.path is not None or (not vectorized if cache is None else bool(cache))
        self._task = Task(fn, vectorized, m)
        self._begin()
        if self.path is not None:
            self._file = ValueFile(self.path, n, m)

    def _begin(self) -> None:
        self._lock = threading.RLock()  # lazy models ask from a thread of their own
        self._quickest = math.inf  # seconds of a point
        self._known: KnownPoints | None = None
        self._file: ValueFile | None = None

    @property
    def fn(self) -> Callable[[np.ndarray], Any]:
        """The function as it was given."""
        return self._task.fn

    @property
    def __name__(self) -> str:
        return str(getattr(self.fn, "__name__", "f"))

    def cached_in(self, path: str | Path) -> BlackBox:
        """The same with a cache file at `path`."""
        options = {name: getattr(self, name) for name in ("vectorized", "workers", "pool", "batch", "cache_bytes")}
        return BlackBox(self.fn, self.n, self.m, cache=require_path("cache", path), **options)

    def __call__(self, x: Tensor) -> Tensor:
        """Values (B, m) at x (B, n), in its dtype and on its device; RuntimeError where a gradient is asked for."""
        if torch.is_grad_enabled() and x.requires_grad:
            raise RuntimeError("a function of numpy arrays has no gradient: use torch.no_grad() or x.detach()")
        points = np.ascontiguousarray(x.detach().to("cpu", torch.float64).numpy())
        with self._lock:
            values = self._values(points)
        return torch.from_numpy(values).to(device=x.device, dtype=x.dtype)

    # --- what is known already ---

    def _values(self, points: np.ndarray) -> np.ndarray:
        self.counts.asked += len(points)
        if not self.remembers:
            return self._evaluated(points, None)
        memory = self._memory()
        values, known = memory.find(points)
        self.counts.known += int(known.sum())
        self._compare(points[known][::ASKED_AGAIN], values[known][::ASKED_AGAIN])
        missing = np.flatnonzero(~known)
        if len(missing):
            first, place = distinct(points[missing])
            values[missing] = self._evaluated(points[missing[first]], memory)[place]
        return values

    def _memory(self) -> KnownPoints:
        if self._known is None:
            known = KnownPoints(self.n, self.m, self.cache_bytes)
            if self._file is not None:
                for points, values in self._file.read():
                    known.add(points, values)
                self.counts.read = known.count
            self._known = known
        return self._known

    def _compare(self, points: np.ndarray, values: np.ndarray) -> None:
        """ValueError where fn gives other values (B, m) at points (B, n) than those that were kept."""
        if not len(points):
            return
        self.counts.compared += len(points)
        again = self._evaluated(points, None, counted=False)
        differs = ~(np.abs(again - values) <= REPEATED * np.maximum(1.0, np.abs(values))).all(-1)
        if differs.any():
            row = int(differs.argmax())
            where = "it said" if self.path is None else f"`cache` {self.path} holds"
            raise ValueError(
                f"`fn` must always answer the same: at x = {points[row].tolist()} it gives {again[row].tolist()}, "
                f"{where} {values[row].tolist()} before"
                + ("" if self.path is None else "; where fn was changed, name a new file")
            )

    # --- calls ---

    def _evaluated(self, points: np.ndarray, memory: KnownPoints | None, *, counted: bool = True) -> np.ndarray:
        """fn (B, m) at points (B, n), each asked once; what comes back is kept, whatever happens to the rest."""
        values = np.empty((len(points), self.m))
        saver = _Saver(memory, self._file if memory is not None else None)
        try:
            for part in self._answers(points):
                rows = slice(part.start, part.start + len(part.values))
                values[rows] = part.values
                self.counts.seconds += part.seconds
                self.counts.evaluated += len(part.values) if counted else 0
                finite = np.isfinite(part.values).all(-1)
                saver.keep(points[rows][finite], part.values[finite])
                if part.error is not None:
                    raise self._failure(part, points)
                if not finite.all():
                    row = int((~finite).argmax())
                    at = points[rows][row].tolist()
                    raise ValueError(f"it must be finite, got {part.values[row].tolist()} at x = {at}")
        finally:
            saver.write()
        return values

    def _answers(self, points: np.ndarray) -> Any:
        if not len(points):
            return
        first = 0
        # how long a point takes says how many are handed out at a time; the very first may include imports
        while not self.vectorized and first < min(len(points), FIRST_CALLS) and math.isinf(self._quickest):
            part = answered(self._task, points[first : first + 1], first)
            yield part
            first += 1
            if first == FIRST_CALLS:
                self._quickest = part.seconds
        rest = points[first:]
        # arrays are handed over whole: a call may cost the same for one point and for many
        rows = self.batch if self.vectorized else int(min(self.batch, HAND_OUT_SECONDS / max(self._quickest, 1e-12)))
        if self.workers > 1:
            rows = min(rows, -(-len(rest) // self.workers))
        for part in in_order(self._task, rest, max(1, rows), self.workers, self.pool):
            if len(part.values):
                self._quickest = min(self._quickest, part.seconds / len(part.values))
            yield replace(part, start=part.start + first)

    def _failure(self, part: Answers, points: np.ndarray) -> BaseException:
        error = part.error
        assert error is not None
        if self.vectorized or isinstance(error, KeyboardInterrupt):
            return error
        at = points[part.start + len(part.values)].tolist()
        return ValueError(f"at x = {at}: {type(error).__name__}: {error}").with_traceback(error.__traceback__)

    # --- copies ---

    def __deepcopy__(self, memo: dict) -> BlackBox:
        """Itself: copies of a model ask one function, and share what it answered."""
        return self

    def __getstate__(self) -> dict[str, Any]:
        require_picklable(self.fn)
        return {key: value for key, value in self.__dict__.items() if key not in ("_lock", "_known", "_file")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._begin()
        self.counts = Counts()
        if self.path is not None:
            self._file = ValueFile(self.path, self.n, self.m)


class _Saver:
    """Keeps answers in memory at once, and in the file every half second and at the end."""

    def __init__(self, memory: KnownPoints | None, file: ValueFile | None):
        self.memory, self.file = memory, file
        self.parts: list[tuple[np.ndarray, np.ndarray]] = []
        self.last = time.monotonic()

    def keep(self, points: np.ndarray, values: np.ndarray) -> None:
        if self.memory is not None:
            self.memory.add(points, values)
        if self.file is not None:
            self.parts.append((points, values))
            if time.monotonic() - self.last > SAVE_SECONDS:
                self.write()

    def write(self) -> None:
        if self.file is not None and self.parts:
            points, values = (np.concatenate(part) for part in zip(*self.parts, strict=True))
            self.file.write(points, values)
            self.parts, self.last = [], time.monotonic()


def require_picklable(fn: Any) -> None:
    """PicklingError in one sentence for a function that pickle cannot take, such as a lambda."""
    try:
        pickle.dumps(fn)
    except Exception as err:  # pickle raises whatever the function's own parts do
        raise pickle.PicklingError(
            f"`fn` must be a function that pickle finds by its name, {shown(fn)} is none ({err}): define it with def "
            "at the top of a module; `save` stores a model without its function"
        ) from err
