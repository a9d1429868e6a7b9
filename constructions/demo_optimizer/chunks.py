"""A tensor as chunks of equal shape: what DeMo transforms and sends piece by piece.

Main definitions: `Chunks`, `largest_divisor`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from constructions.errors import require_int, shown


def largest_divisor(size: int, limit: int) -> int:
    """The largest divisor of `size` ≥ 1 that is at most `limit` ≥ 1."""
    low = [d for d in range(1, math.isqrt(size) + 1) if size % d == 0]
    return max(d for q in low for d in (q, size // q) if d <= limit)


def require_chunk(name: str, chunk: Any) -> tuple[int, int]:
    """(rows, columns) of the largest chunk; ValueError unless `chunk` is an integer ≥ 1, or two of them."""
    if isinstance(chunk, Sequence) and not isinstance(chunk, (str, bytes, bytearray)) and len(chunk) == 2:
        return require_int(name, chunk[0], 1), require_int(name, chunk[1], 1)
    if isinstance(chunk, Sequence):
        raise ValueError(f"`{name}` must be an integer of at least 1 or (rows, columns), got {shown(chunk)}")
    side = require_int(name, chunk, 1)
    return side, side


@dataclass(frozen=True)
class Chunks:
    """A tensor of `shape` as a matrix (rows, columns), cut into chunks (height, width), row by row.

    A scalar is one number, a vector one row, and of more than two dimensions all but the first are flattened.
    """

    shape: tuple[int, ...]
    rows: int
    columns: int
    height: int
    width: int

    @classmethod
    def of(cls, shape: Sequence[int], chunk: int | tuple[int, int] = 64) -> Chunks:
        """Chunks of the largest sides that divide the matrix and are at most `chunk`."""
        if not isinstance(shape, Sequence) or isinstance(shape, (str, bytes)):
            raise TypeError(f"`shape` must be a sequence of integers, got {shown(shape)}")
        sides = tuple(require_int("shape", side, 0) for side in shape)
        high, wide = require_chunk("chunk", chunk)
        rows, columns = (1, math.prod(sides)) if len(sides) < 2 else (sides[0], math.prod(sides[1:]))
        if not rows * columns:
            return cls(sides, rows, columns, 1, 1)
        return cls(sides, rows, columns, largest_divisor(rows, high), largest_divisor(columns, wide))

    @property
    def count(self) -> int:
        """How many chunks there are (none of an empty tensor)."""
        return self.rows * self.columns // self.size

    @property
    def size(self) -> int:
        """Numbers in a chunk."""
        return self.height * self.width

    def split(self, x: Tensor) -> Tensor:
        """(count, height, width) of a tensor of `shape`."""
        h, w = self.height, self.width
        return x.reshape(self.rows // h, h, self.columns // w, w).transpose(1, 2).reshape(-1, h, w)

    def join(self, chunks: Tensor) -> Tensor:
        """The tensor of `shape` whose chunks these are."""
        h, w = self.height, self.width
        return chunks.reshape(self.rows // h, self.columns // w, h, w).transpose(1, 2).reshape(self.shape)
