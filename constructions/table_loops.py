"""The CPU kernel of `table_kernel`; importing this file needs numba (the extra `fast`).

Main definition: `interpolate`.
"""

from __future__ import annotations

import numpy as np

from constructions.jit import jit

BLOCK = 1024


@jit()
def _read(y, table, row, share, begin, count, m, resolved):
    """Rows begin … begin + count of y, from the rows of the table where points lie; both flat, m numbers a row."""
    if resolved and m == 1:  # by itself, so that an iteration is two loads and three operations
        for i in range(count):
            at = np.uint64(np.int64(row[i]))
            before = np.float64(table[at])
            y[begin + i] = before + share[i] * (np.float64(table[at + np.uint64(1)]) - before)
        return
    for i in range(count):
        for output in range(m):
            at = np.uint64(np.int64(row[i]) * m + output)
            before = np.float64(table[at])
            if resolved:
                before += share[i] * (np.float64(table[at + np.uint64(m)]) - before)
            y[(begin + i) * m + output] = before


@jit(error_model="numpy")
def interpolate(x, y, table, m, lo, hi, scale, last, cells, start, stop):
    """Rows start … stop of y, the values of `table` between nodes at x (B, n); whether a point lies outside [lo, hi].

    y and the table are flat, with m numbers a row.
    `last` are the last leaf indices of the q routed axes, `cells` is (K,) or empty. Loops over a block are simple
    enough to run in vector lanes, but for the one that reads the table.
    """
    q, n, resolved = len(last), x.shape[1], len(cells) > 0
    value, row, share, outside = np.empty(BLOCK), np.empty(BLOCK), np.empty(BLOCK), np.zeros(BLOCK)
    flat = x.reshape(-1)
    for begin in range(start, stop, BLOCK):
        count = min(BLOCK, stop - begin)
        for i in range(count):
            row[i] = 0.0
        for a in range(n):
            low, high, factor = lo[a], hi[a], scale[a]
            for i in range(count):
                value[i] = flat[(begin + i) * n + a]
            if a < q:
                top, width = last[a], last[a] + 1.0
                for i in range(count):
                    outside[i] = outside[i] if (value[i] >= low) & (value[i] <= high) else 1.0
                    index = np.ceil((value[i] - low) * factor) - 1.0
                    index = index if index < top else top
                    index = index if index > 0.0 else 0.0
                    row[i] = row[i] * width + index
            else:
                top, width, most = cells[a - q], cells[a - q] + 1.0, cells[a - q] - 1.0
                for i in range(count):
                    outside[i] = outside[i] if (value[i] >= low) & (value[i] <= high) else 1.0
                    z = (value[i] - low) * factor
                    z = z if z < top else top
                    z = z if z > 0.0 else 0.0
                    node = np.floor(z)
                    node = node if node < most else most
                    share[i] = z - node
                    row[i] = row[i] * width + node
        _read(y, table, row, share, begin, count, m, resolved)
    return outside.max() > 0.0
