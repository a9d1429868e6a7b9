"""What compiled loops share: asked for on demand, missed once, and run by several threads.

Main definitions: `loops`, `worth`, `numbers_of`, `in_threads`.
Implementation notes: threads are Python's and the loops hold no lock; threads of numba's own would end a process that
calls from two threads at once.
"""

from __future__ import annotations

import importlib
import sys
import threading
import warnings
from collections.abc import Callable, Sequence
from functools import cache
from types import ModuleType

import numpy as np
import torch
from torch import Tensor

LEAST_NUMBERS = 1 << 20
"""Operations that are worth a thread, or half a second in which numba is imported."""


@cache
def loops(module: str) -> ModuleType | None:
    """The module of loops that numba compiles; None where that cannot be imported, which is said once in a process."""
    try:
        return importlib.import_module(module)
    except ImportError:
        _say()
        return None


@cache
def _say() -> None:
    warnings.warn(
        "numba is not installed: networks are evaluated, and stored experts read, with torch's and Python's "
        "operations, several times slower (pip install 'momlp[fast]')",
        stacklevel=5,
    )


def worth(numbers: int) -> bool:
    """Whether so many operations are worth compiled loops: always, once a process has numba."""
    return numbers >= LEAST_NUMBERS or sys.modules.get("numba") is not None


def numbers_of(*tensors: Tensor, sizes: Sequence[int] | None = None) -> list[np.ndarray] | None:
    """The numbers of tensors on the CPU, or the `sizes` numbers that lie in memory from the first one of each on; None
    where a transform has wrapped one of them."""
    try:
        if sizes is None:
            return [t.detach().contiguous().numpy() for t in tensors]
        return [t.detach().as_strided((size,), (1,)).numpy() for t, size in zip(tensors, sizes, strict=True)]
    except RuntimeError:
        return None


def in_threads(work: Callable[[int, int], bool], count: int, least: int) -> bool:
    """Whether work(first, end) is true of all parts of range(count), which as many threads share as torch may use, each
    of at least `least`."""
    threads = max(1, min(torch.get_num_threads(), count // max(1, least)))
    if threads == 1:
        return work(0, count)
    ends = [count * i // threads for i in range(threads + 1)]
    done = [False] * threads

    def part(i: int) -> None:
        done[i] = work(ends[i], ends[i + 1])

    others = [threading.Thread(target=part, args=(i,)) for i in range(1, threads)]
    for thread in others:
        thread.start()
    part(0)
    for thread in others:
        thread.join()
    return all(done)
