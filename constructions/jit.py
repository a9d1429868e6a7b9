"""Compiling loops with numba; importing this file needs it (the extra `fast`).

Main definition: `jit`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba import njit


def jit(**options: Any) -> Callable[[Callable], Any]:
    """Compiled code that holds no lock, kept beside its file, or nowhere where that cannot be written."""

    def compiled(function: Callable) -> Any:
        try:
            return njit(nogil=True, cache=True, **options)(function)
        except RuntimeError:  # no folder for compiled code can be written
            return njit(nogil=True, **options)(function)

    return compiled
