"""Routing on the CPU, compiled by numba: imported only where numba is, and called by the flat trees.

Main definitions: `leaf_numbers`, `descend_lattice`, `descend_prototypes`, `descend_bisectors`, `in_threads`.
Implementation notes: LANES points go down the tree together, one level at a time, so that the processor works on one
while it waits for the memory of another. Unsigned indices spare numba's test for negative ones. Compiled code is kept
beside this file (`constructions.jit`). Threads are Python's: the kernels hold no lock, and threads
of numba's own would end a process that calls from two threads at once.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import torch

from constructions.jit import jit as _jit

LANES = 16
ROWS_PER_THREAD = 1 << 13
LARGEST = float(np.finfo(np.float64).max)


@_jit()
def leaf_numbers(x, lo, hi, scale, cells, found, start, stop):  # pragma: no cover
    """Rows start … stop of found (B,): flat ids of the leaves of x (B, n) by the index rule of `Lattice`; False when a
    point is not in [lo, hi], or NaN.
    """
    q, n = len(cells), x.shape[1]
    for i in range(start, stop):
        leaf = 0
        for a in range(n):
            value = np.float64(x[i, a])
            if not (value >= lo[a] and value <= hi[a]):
                return False
            if a < q:
                index = np.int64(np.ceil((value - lo[a]) * scale[a])) - 1
                leaf = leaf * cells[a] + min(max(index, 0), cells[a] - 1)
        found[i] = leaf
    return True


@_jit()
def descend_lattice(z, axis, bound, first, leaf, height, found):  # pragma: no cover
    """found (B,) = leaf[node reached] by z (B, q): `height` steps node -> first + how many of its bounds are < z.

    −1 where z is not finite.
    """
    node = np.zeros(LANES, np.uint32)
    bounds = bound.shape[1]
    for start in range(0, len(z), LANES):
        lanes = min(LANES, len(z) - start)
        node[:] = 0
        for _ in range(height):
            for lane in range(lanes):
                here = node[lane]
                value = z[start + lane, axis[here]]
                child = first[here]
                for j in range(bounds):
                    child += np.uint32(value > bound[here, j])
                node[lane] = child
        for lane in range(lanes):
            rest = 0.0
            for a in range(z.shape[1]):
                rest += z[start + lane, a] - z[start + lane, a]  # 0, or NaN
            found[start + lane] = leaf[node[lane]] if rest == 0.0 else -1


@_jit()
def descend_prototypes(x, prototypes, first, count, leaf, found):  # pragma: no cover
    """found (B,) = leaf[node reached] by x (B, n): the nearest of a node's prototypes, ties to the first.

    The operations of `squared_distances` in the same order, none of them fused.
    """
    for row in range(len(x)):
        here = np.uint32(0)
        while count[here] > 0:
            child, pick, best = first[here], first[here], np.inf
            for _ in range(count[here]):
                distance = 0.0
                for a in range(x.shape[1]):
                    gap = x[row, a] - prototypes[child, a]
                    distance += gap * gap
                distance = min(distance, LARGEST)
                if distance < best:
                    best, pick = distance, child
                child += np.uint32(1)
            here = pick
        found[row] = leaf[here]


# sums in any order, and fused: `margin` covers what they may be wrong by
@_jit(fastmath={"contract", "reassoc"})
def descend_bisectors(x, centre, reach, margin, first, count, begin, normal, offset, leaf, found):  # pragma: no cover
    """found (B,) = leaf[node reached] by x (B, n), or −1 where rounding might have chosen: see `FlatPrototypeTree`."""
    n = x.shape[1]
    node, sure, moved = np.zeros(LANES, np.uint32), np.zeros(LANES, np.bool_), np.empty((LANES, n))
    for start in range(0, len(x), LANES):
        lanes = min(LANES, len(x) - start)
        for lane in range(lanes):
            inside = True
            for a in range(n):
                value = x[start + lane, a] - centre[a]
                moved[lane, a] = value
                inside &= abs(value) <= reach
            sure[lane] = inside
        node[:] = 0
        busy = True
        while busy:
            busy = False
            for lane in range(lanes):
                here = node[lane]
                children = count[here]
                if children == 0:
                    continue
                best, second, pick = 0.0, np.inf, np.uint32(0)
                row = begin[here]
                for child in range(1, children):
                    gain = offset[row]
                    for a in range(n):
                        gain -= normal[row, a] * moved[lane, a]
                    row += np.uint32(1)
                    second = min(second, max(best, gain))
                    pick = np.uint32(child) if gain < best else pick
                    best = min(best, gain)
                sure[lane] &= second - best > margin
                node[lane] = first[here] + pick
                busy = True
        for lane in range(lanes):
            found[start + lane] = leaf[node[lane]] if sure[lane] else -1


def in_threads(kernel: Callable, points: np.ndarray, *arrays: Any, found: np.ndarray) -> None:
    """kernel(points, *arrays, found), the rows shared among as many threads as torch may use."""
    threads = max(1, min(torch.get_num_threads(), len(points) // ROWS_PER_THREAD))
    ends = [len(points) * i // threads for i in range(threads + 1)]
    parts = [slice(*pair) for pair in pairwise(ends)]
    calls = [threading.Thread(target=kernel, args=(points[p], *arrays, found[p])) for p in parts[1:]]
    for call in calls:
        call.start()
    kernel(points[parts[0]], *arrays, found[parts[0]])
    for call in calls:
        call.join()
