"""The loops of `native`; importing this file needs numba (the extra `fast`).

Main definitions: `read_rows`, `hash_rows`.
Implementation notes: the system's and the library's functions come as arguments, so that the compiled code can be kept.
"""

from __future__ import annotations

import numpy as np

from constructions.jit import jit


@jit()
def read_rows(preadv2, fd, flags, begin, width, ids, into, arena, stride, spare, gap, most, missed):  # pragma: no cover
    """Rows `ids`, ascending, of `width` bytes from byte `begin` of a file, each to address arena + stride·into.

    Rows that are no more than `gap` bytes apart are read in one call, of `most` rows; what lies between goes to address
    `spare`. `missed` (E,) says which were not read, or not to their end; how many it is.
    """
    parts = np.empty(4 * most, np.uint64)  # addresses and sizes
    address, count, lost, first = parts.ctypes.data, len(ids), 0, 0
    while first < count:
        used, size, end = 0, 0, first
        while True:
            parts[2 * used] = np.uint64(arena + stride * into[end])
            parts[2 * used + 1] = np.uint64(width)
            used, size, end = used + 1, size + width, end + 1
            if end == count or end == first + most:
                break
            between = (ids[end] - ids[end - 1] - 1) * width
            if between < 0 or between > gap:  # negative where an id is repeated
                break
            if between > 0:
                parts[2 * used] = np.uint64(spare)
                parts[2 * used + 1] = np.uint64(between)
                used, size = used + 1, size + between
        whole = preadv2(fd, address, used, begin + ids[first] * width, flags) == size
        for i in range(first, end):
            missed[i] = not whole
        if not whole:
            lost += end - first
        first = end
    return lost


@jit()
def hash_rows(start, update, finish, table, stride, width, into, found):  # pragma: no cover
    """SHA-256 of `width` bytes at each of the addresses table + stride·into; the digests (E, 32) to address `found`."""
    state = np.empty(64, np.int64)  # more than four times what a library needs
    place = state.ctypes.data
    for i in range(len(into)):
        start(place)
        update(place, table + stride * into[i], width)
        finish(found + 32 * i, place)
