"""Reading and hashing the rows of many experts in one call each, without Python in between (the extra `fast`).

Main definitions: `read_rows`, `hash_rows`.
Implementation notes: `preadv2` is called through ctypes' pointer, where the system has it; what it could not fill is
left to the caller, who asks again in Python and gets the system's errors. SHA-256 is that of the library which Python's
hashlib itself stands on, called where it is found and gives the same digests.
"""

from __future__ import annotations

import ctypes
import hashlib
from collections.abc import Callable
from functools import cache
from types import ModuleType
from typing import Any

import numpy as np

from constructions.compiled import in_threads, loops

LEAST_ROWS = 1 << 10  # that are worth a thread
POINTER, SIZE, INT = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int


def compiled() -> ModuleType | None:
    return loops("constructions.expert_rows.native_loops")


def read_rows(
    fd: int,
    flags: int,
    parts: list[tuple[int, int, int]],
    ids: np.ndarray,
    table: np.ndarray,
    into: np.ndarray,
    *,
    spare: np.ndarray,
    most: int,
) -> np.ndarray | None:
    """Which rows (len(parts), E) could not be read with `flags`; None where that is not known here.

    A part (begin, width, column) stands for the ascending rows `ids` (E,) of `width` bytes from byte `begin` of a file,
    which go to rows `into` (E,), from `column` on, of a table (S, …) of bytes. Rows no more than len(spare) bytes apart
    are read in one call, `most` at a time.
    """
    loop, call = compiled(), _preadv2()
    within = all(column >= 0 and column + width <= table.shape[1] for _, width, column in parts)
    if loop is None or call is None or not within or not _fits(table, into):
        return None
    missed, places = np.ones((len(parts), len(ids)), np.bool_), np.array(parts, np.int64).reshape(-1, 3)

    def part(start: int, end: int) -> bool:
        loop.read_rows(call, fd, flags, places, ids, table, into, spare, most, missed, start, end)
        return True

    in_threads(part, len(ids), LEAST_ROWS)
    return missed


def hash_rows(table: np.ndarray, into: np.ndarray) -> np.ndarray | None:
    """SHA-256 (E, 32) of rows `into` (E,) of a table (S, width) of bytes; None where that is not known here."""
    loop, calls = compiled(), _sha256()
    if loop is None or calls is None or not _fits(table, into):
        return None
    return _hashed(loop, calls, table, into)


def _fits(table: np.ndarray, into: np.ndarray) -> bool:
    """Whether compiled code, which does not look, stays within the table."""
    return table.flags.c_contiguous and into.min() >= 0 and into.max() < len(table)


def _hashed(loop: ModuleType, calls: tuple[Any, ...], table: np.ndarray, into: np.ndarray) -> np.ndarray:
    found = np.zeros((len(into), 32), np.uint8)

    def part(start: int, end: int) -> bool:
        loop.hash_rows(*calls, table, into, found, start, end)
        return True

    in_threads(part, len(into), LEAST_ROWS)
    return found


@cache
def _preadv2() -> Callable[..., int] | None:
    """The system's own function; None where it has no such name."""
    return _function(None, "preadv2", ctypes.c_ssize_t, INT, POINTER, INT, ctypes.c_int64, INT)


@cache
def _sha256() -> tuple[Any, ...] | None:
    """Functions that start, continue and finish a digest; None where they are not found or are wrong."""
    try:
        import _hashlib

        place = _hashlib.__file__
    except (ImportError, AttributeError):  # not built with OpenSSL, or as a part of Python
        return None
    calls = (
        _function(place, "SHA256_Init", INT, POINTER),
        _function(place, "SHA256_Update", INT, POINTER, POINTER, SIZE),
        _function(place, "SHA256_Final", INT, POINTER, POINTER),
    )
    loop = compiled()
    if None in calls or loop is None:
        return None
    sample = np.arange(300, dtype=np.uint8).reshape(2, 150)
    expected = [hashlib.sha256(row.data).digest() for row in sample]
    found = _hashed(loop, calls, sample, np.arange(2))
    return calls if [row.tobytes() for row in found] == expected else None


def _function(library: str | None, name: str, result: Any, *arguments: Any) -> Any:
    """A function of a shared library, or of one that it is linked with; None when there is none of this name."""
    try:
        function = getattr(ctypes.CDLL(library), name)
    except (OSError, AttributeError, TypeError):  # Windows has no library without a name
        return None
    function.restype, function.argtypes = result, arguments
    return function
