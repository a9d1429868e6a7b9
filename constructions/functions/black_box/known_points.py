"""`KnownPoints`: values at points, found again by the points' bits.

Keys are 64-bit hashes, sorted in runs whose sizes fall by half at least: a look-up is a binary search a run. What is
found is compared with the point itself, so two points of one hash are never taken for each other: the second is not
found, and its value is asked for again.

Main definitions: `KnownPoints`, `distinct`.
"""

from __future__ import annotations

import numpy as np

ODD = (np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))
FIRST_ROOM = 1024
KEY_BYTES = 16  # a hash and a row number


class KnownPoints:
    """Points (·, n) with values (·, m), float64, in at most about `most_bytes` of memory: later ones are not kept."""

    def __init__(self, n: int, m: int, most_bytes: int):
        self.most = most_bytes // (8 * (n + m) + KEY_BYTES)
        self.count = 0
        self._points = np.empty((0, n))
        self._values = np.empty((0, m))
        self._runs: list[tuple[np.ndarray, np.ndarray]] = []

    def find(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(values (B, m), mask (B,) of the points that are known); values of the others are NaN."""
        rows = np.full(len(points), -1, dtype=np.int64)
        keys = _hashes(points)
        for sorted_keys, numbers in self._runs:
            at = np.minimum(np.searchsorted(sorted_keys, keys), len(sorted_keys) - 1)
            rows = np.where(sorted_keys[at] == keys, numbers[at], rows)
        found = np.flatnonzero(rows >= 0)
        same = _equal_bits(self._points[rows[found]], points[found])
        values = np.full((len(points), self._values.shape[1]), np.nan)
        values[found[same]] = self._values[rows[found[same]]]
        known = np.zeros(len(points), dtype=bool)
        known[found[same]] = True
        return values, known

    def add(self, points: np.ndarray, values: np.ndarray) -> None:
        """Keep values (B, m) of points (B, n), as many as there is room for."""
        points, values = points[: self.most - self.count], values[: self.most - self.count]
        if not len(points):
            return
        start, self.count = self.count, self.count + len(points)
        self._reserve(self.count)
        self._points[start : self.count], self._values[start : self.count] = points, values
        self._runs.append(_sorted(_hashes(points), np.arange(start, self.count)))
        while len(self._runs) > 1 and len(self._runs[-2][0]) < 2 * len(self._runs[-1][0]):
            later, earlier = self._runs.pop(), self._runs.pop()
            self._runs.append(_sorted(*(np.concatenate(parts) for parts in zip(earlier, later, strict=True))))

    def _reserve(self, count: int) -> None:
        room = max(FIRST_ROOM, len(self._points))
        while room < count:
            room *= 2
        if room > len(self._points):
            self._points, self._values = (
                np.concatenate([part, np.empty((room - len(part), part.shape[1]))])
                for part in (self._points, self._values)
            )


def distinct(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(rows that stand for all, for each of points (B, n) its place among these); points of one hash stay apart."""
    keys = _hashes(points)
    _, first, place = np.unique(keys, return_index=True, return_inverse=True)
    place = place.reshape(-1)
    strangers = np.flatnonzero(~_equal_bits(points[first[place]], points))
    place[strangers] = len(first) + np.arange(len(strangers))
    return np.concatenate([first, strangers]), place


def _sorted(keys: np.ndarray, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    order = np.argsort(keys, kind="stable")
    return keys[order], numbers[order]


def _equal_bits(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Mask (B,) of equal rows; 0.0 and −0.0 differ, a function may tell them apart."""
    return (np.ascontiguousarray(a).view(np.uint64) == np.ascontiguousarray(b).view(np.uint64)).all(-1)


def _hashes(points: np.ndarray) -> np.ndarray:
    """64 bits (B,) that depend on all bits of each of points (B, n)."""
    bits = np.ascontiguousarray(points).view(np.uint64)
    key = np.zeros(len(bits), dtype=np.uint64)
    for column in bits.T:
        key = (key ^ column) * ODD[0]
        for odd, shift in zip(ODD[1:], (30, 27), strict=True):
            key = (key ^ (key >> np.uint64(shift))) * odd
        key ^= key >> np.uint64(31)
    return key
