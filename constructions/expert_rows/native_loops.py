"""The loops of `native`; importing this file needs numba (the extra `fast`).

Main definitions: `find_slots`, `fill_slots`, `read_rows`, `hash_rows`.
Implementation notes: the system's and the library's functions come as arguments, so that the compiled code can be kept.
"""

from __future__ import annotations

import numpy as np

from constructions.jit import jit


@jit()
def find_slots(numbers, table, stamps, clock, slots):  # pragma: no cover
    """slots (U,) = table[numbers], those that hold something stamped with `clock`; how many hold nothing, −1 where a
    number is not in the table."""
    missing = 0
    for i in range(len(numbers)):
        number = numbers[i]
        if number < 0 or number >= len(table):
            return -1
        slot = table[number]
        slots[i] = slot
        if slot < 0:
            missing += 1
        else:
            stamps[slot] = clock
    return missing


@jit()
def fill_slots(numbers, table, keys, stamps, used, clock, slots, missing):  # pragma: no cover
    """Give the numbers whose slots (U,) are −1 the slots from `used` on, then those with the oldest stamps; their
    places go to `missing` (M,). How many slots had to be emptied."""
    count = 0
    for i in range(len(slots)):
        if slots[i] < 0:
            missing[count] = i
            count += 1
    unused = min(count, len(keys) - used)
    for j in range(unused):
        slots[missing[j]] = used + j
    emptied = count - unused
    if emptied:
        last = np.partition(stamps[:used], emptied - 1)[emptied - 1]
        ties = emptied
        for slot in range(used):
            ties -= stamps[slot] < last
        j = unused
        for slot in range(used):
            if stamps[slot] < last or (stamps[slot] == last and ties > 0):
                ties -= stamps[slot] == last
                table[keys[slot]] = -1
                slots[missing[j]] = slot
                j += 1
    for j in range(count):
        i = missing[j]
        keys[slots[i]], stamps[slots[i]], table[numbers[i]] = numbers[i], clock, slots[i]
    return emptied


@jit()
def read_rows(preadv2, fd, flags, parts, ids, table, into, spare, most, missed, start, stop):  # pragma: no cover
    """Rows `ids`, ascending, from start to stop, of every part (begin, width, column): `width` bytes from byte `begin`
    of a file each, to rows `into` of a table, from `column` on.

    Rows that are no more than len(spare) bytes apart are read in one call, of `most` rows. `missed` (P, E) says which
    were not read, or not to their end; whether there is one.
    """
    pieces = np.empty(4 * most, np.uint64)  # addresses and sizes
    address, stride, lost = pieces.ctypes.data, table.strides[0], False
    for part in range(len(parts)):
        begin, width, target = parts[part, 0], parts[part, 1], table.ctypes.data + parts[part, 2]
        first = start
        while first < stop:
            used, size, end = 0, 0, first
            while True:
                pieces[2 * used] = np.uint64(target + stride * into[end])
                pieces[2 * used + 1] = np.uint64(width)
                used, size, end = used + 1, size + width, end + 1
                if end == stop or end == first + most:
                    break
                between = (ids[end] - ids[end - 1] - 1) * width
                if between < 0 or between > len(spare):  # negative where an id is repeated
                    break
                if between > 0:
                    pieces[2 * used] = np.uint64(spare.ctypes.data)
                    pieces[2 * used + 1] = np.uint64(between)
                    used, size = used + 1, size + between
            whole = preadv2(fd, address, used, begin + ids[first] * width, flags) == size
            lost |= not whole
            for i in range(first, end):
                missed[part, i] = not whole
            first = end
    return lost


@jit()
def hash_rows(begin, update, finish, table, into, found, start, stop):  # pragma: no cover
    """SHA-256, to found (E, 32), of rows `into` of a table of bytes, from start to stop."""
    state = np.empty(64, np.int64)  # more than four times what a library needs
    place = state.ctypes.data
    for i in range(start, stop):
        begin(place)
        update(place, table.ctypes.data + table.strides[0] * into[i], table.shape[1])
        finish(found.ctypes.data + 32 * i, place)
