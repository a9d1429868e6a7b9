"""The CPU kernel of `table_kernel`; importing this file needs numba (the extra `fast`).

Main definition: `interpolate`.
"""

from __future__ import annotations

import numba
import numpy as np

BLOCK = 256


@numba.njit(nogil=True)
def _read(y, table, row, share, begin, count, resolved):
    """Rows begin … begin + count of y, from the rows of the table where their points lie."""
    for i in range(count):
        at, way = np.uint64(row[i]), share[i]
        for output in range(y.shape[1]):
            before = np.float64(table[at, output])
            if resolved:
                before += way * (np.float64(table[at + np.uint64(1), output]) - before)
            y[begin + i, output] = before


@numba.njit(nogil=True, cache=True, error_model="numpy")
def interpolate(x, y, table, lo, hi, scale, last, cells, start, stop):
    """y[start:stop] = values of `table` (rows, m) between nodes, at x (B, n); whether a point lies outside [lo, hi].

    `last` are the last leaf indices of the q routed axes, `cells` is (K,) or empty. Loops over a block are simple
    enough to run in vector lanes, but for the one that reads the table.
    """
    q, resolved = len(last), len(cells) > 0
    value, row, share = np.empty(BLOCK), np.empty(BLOCK), np.empty(BLOCK)
    outside = np.zeros(BLOCK, np.uint8)
    for begin in range(start, stop, BLOCK):
        count = min(BLOCK, stop - begin)
        for i in range(count):
            row[i] = 0.0
        for a in range(x.shape[1]):
            low, high, factor = lo[a], hi[a], scale[a]
            for i in range(count):
                value[i] = x[begin + i, a]
            for i in range(count):
                outside[i] |= not (value[i] >= low and value[i] <= high)
            if a < q:
                top = last[a]
                for i in range(count):
                    index = np.ceil((value[i] - low) * factor) - 1.0
                    index = index if index < top else top
                    index = index if index > 0.0 else 0.0
                    row[i] = row[i] * (top + 1.0) + index
            else:
                top = cells[a - q]
                for i in range(count):
                    z = (value[i] - low) * factor
                    z = z if z < top else top
                    z = z if z > 0.0 else 0.0
                    node = np.floor(z)
                    node = node if node < top - 1.0 else top - 1.0
                    share[i] = z - node
                    row[i] = row[i] * (top + 1.0) + node
        _read(y, table, row, share, begin, count, resolved)
    return outside.any()
