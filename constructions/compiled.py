"""What compiled loops share: asked for on demand, missed once, and run by several threads.

Main definitions: `loops`, `in_threads`.
Implementation notes: threads are Python's and the loops hold no lock; threads of numba's own would end a process that
calls from two threads at once.
"""

from __future__ import annotations

import importlib
import threading
import warnings
from collections.abc import Callable
from functools import cache
from types import ModuleType

import torch


@cache
def loops(module: str, instead: str) -> ModuleType | None:
    """The module of loops that numba compiles; None, with one warning in a process that says what is done `instead`,
    where numba cannot be imported."""
    try:
        return importlib.import_module(module)
    except ImportError:
        warnings.warn(f"numba is not installed: {instead} (pip install 'momlp[fast]')", stacklevel=4)
        return None


def in_threads(work: Callable[[int, int], bool], count: int, least: int) -> bool:
    """Whether work(first, end) is true of all parts of range(count), which as many threads share as torch may use, each
    of at least `least`."""
    threads = max(1, min(torch.get_num_threads(), count // max(1, least)))
    ends = [count * i // threads for i in range(threads + 1)]
    done = [False] * threads

    def part(i: int) -> None:
        done[i] = bool(work(ends[i], ends[i + 1]))

    others = [threading.Thread(target=part, args=(i,)) for i in range(1, threads)]
    for thread in others:
        thread.start()
    part(0)
    for thread in others:
        thread.join()
    return all(done)
