"""Reading and hashing the rows of many experts in one call each, without Python in between (the extra `fast`).

Main definitions: `read_rows`, `hash_rows`.
Implementation notes: `preadv2` is called through ctypes' pointer, where the system has it; what it could not fill is
left to the caller, who asks again in Python and gets the system's errors. SHA-256 is that of the library which Python's
hashlib itself stands on, called where it is found and gives the same digests.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
from collections.abc import Callable
from functools import cache
from types import ModuleType
from typing import Any

import numpy as np

from constructions.compiled import loops

INSTEAD = "stored experts are read one by one, several times slower"
POINTER, SIZE, INT = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int


def _compiled() -> ModuleType | None:
    return loops("constructions.expert_rows.native_loops", INSTEAD)


def read_rows(
    fd: int,
    flags: int,
    begin: int,
    ids: np.ndarray,
    table: np.ndarray,
    into: np.ndarray,
    *,
    spare: np.ndarray,
    most: int,
) -> np.ndarray | None:
    """Which (E,) of the ascending rows `ids` of bytes, from byte `begin` of a file, could not be read with `flags` into
    rows `into` of a table (S, width); None where that is not known here.

    Rows no more than len(spare) bytes apart are read in one call, `most` at a time.
    """
    compiled, call = _compiled(), _preadv2()
    if compiled is None or call is None or not _fits(table, into):
        return None
    missed, (stride, _), width = np.empty(len(ids), np.bool_), table.strides, table.shape[1]
    addresses = table.ctypes.data, stride, spare.ctypes.data, len(spare)
    compiled.read_rows(call, fd, flags, begin, width, ids, into, *addresses, most, missed)
    return missed


def hash_rows(table: np.ndarray, into: np.ndarray) -> np.ndarray | None:
    """SHA-256 (E, 32) of rows `into` of a table (S, width) of bytes; None where that is not known here."""
    compiled, calls = _compiled(), _sha256()
    if compiled is None or calls is None or not _fits(table, into):
        return None
    return _hashed(compiled, calls, table, into)


def _fits(table: np.ndarray, into: np.ndarray) -> bool:
    """Whether compiled code, which does not look, stays within the table."""
    return table.strides[1] == 1 and 0 <= into.min() and into.max() < len(table)


def _hashed(compiled: ModuleType, calls: tuple[Any, ...], table: np.ndarray, into: np.ndarray) -> np.ndarray:
    found = np.zeros((len(into), 32), np.uint8)
    compiled.hash_rows(*calls, table.ctypes.data, table.strides[0], table.shape[1], into, found.ctypes.data)
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
    compiled = _compiled()
    if None in calls or compiled is None:
        return None
    sample = np.frombuffer(b"abc" * 100, np.uint8).reshape(-1, 150)
    expected = [hashlib.sha256(row).digest() for row in sample]
    found = _hashed(compiled, calls, sample, np.arange(2))
    return calls if [row.tobytes() for row in found] == expected else None


def _function(library: str | None, name: str, result: Any, *arguments: Any) -> Any:
    """A function of a shared library, or of one that it is linked with; None when there is none of this name."""
    try:
        function = getattr(ctypes.CDLL(library), name)
    except (OSError, AttributeError, TypeError):  # Windows has no library without a name
        return None
    function.restype, function.argtypes = result, arguments
    return function
