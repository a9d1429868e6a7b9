"""What DeMo puts on the wire: one packed message a step, and its bytes.

A message is a head of 8 bytes, then the values of all buckets, then their places. The head's first byte says whether
the sender found anything wrong; the other seven are a digest of the step's options, which all workers must share.

Main definitions: `HEAD`, `index_dtype`, `WIRE_DTYPES`, `Payload`, `payload`, `Wire`, `wire`, `break_even`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import torch

from constructions.demo_optimizer.chunks import Chunks
from constructions.errors import require_choice, require_int, shown

HEAD = 8
WIRE_DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def index_dtype(size: int) -> torch.dtype:
    """The smallest dtype that holds the places 0 … size − 1 of a chunk."""
    if require_int("size", size, 1) <= 2**8:
        return torch.uint8
    return torch.int16 if size <= 2**15 else torch.int32


def require_wire_dtype(name: str, value: Any) -> torch.dtype | None:
    """`value` if it is None or a dtype that values may have on the wire; ValueError otherwise."""
    if value is None or (isinstance(value, torch.dtype) and value in WIRE_DTYPES):
        return value
    raise ValueError(f"`{name}` must be None or one of {', '.join(map(str, WIRE_DTYPES))}, got {shown(value)}")


@dataclass(frozen=True)
class Payload:
    """What one worker sends in one step: chunks, coefficients and their bytes, and the bytes of a dense gradient."""

    chunks: int
    coefficients: int
    bytes: int
    dense_bytes: int

    @property
    def ratio(self) -> Fraction:
        """Dense bytes over the payload's."""
        return Fraction(self.dense_bytes, self.bytes)


def payload(
    shapes: Iterable[Sequence[int]],
    *,
    topk: int = 32,
    chunk: int | tuple[int, int] = 64,
    value_bytes: int = 4,
    index_bytes: int | None = None,
    gradient_bytes: int = 4,
) -> Payload:
    """Σ over parameters of chunks·min(topk, n)·(index_bytes + value_bytes), of parameters of these `shapes`.

    `index_bytes` None: the bytes of `index_dtype`. The head of a message is not in it.
    """
    if not isinstance(shapes, Iterable) or isinstance(shapes, (str, bytes, torch.Tensor)):
        raise TypeError(f"`shapes` must be a sequence of shapes, got {shown(shapes)}")
    k = require_int("topk", topk, 1)
    value, dense = require_int("value_bytes", value_bytes, 1), require_int("gradient_bytes", gradient_bytes, 1)
    if index_bytes is not None:
        require_int("index_bytes", index_bytes, 0)
    chunks = coefficients = size = numbers = 0
    for shape in shapes:
        cut = Chunks.of(shape, chunk)
        sent = cut.count * min(k, cut.size)
        index = index_dtype(cut.size).itemsize if index_bytes is None else index_bytes
        chunks, coefficients, size = chunks + cut.count, coefficients + sent, size + sent * (index + value)
        numbers += math.prod(cut.shape)
    return Payload(chunks, coefficients, size, numbers * dense)


@dataclass(frozen=True)
class Wire:
    """Bytes over the link of one of W workers and step: an all-gather of payloads, an all-reduce of dense gradients."""

    gathered: Fraction
    reduced: Fraction

    @property
    def ratio(self) -> Fraction:
        """How many times as much the dense gradients are."""
        return self.reduced / self.gathered


def wire(payload: int, dense: int, workers: int, collective: str = "ring") -> Wire:
    """Exact bytes that each of `workers` ≥ 2 sends over a ring: (W − 1)·payload against 2(W − 1)/W·dense."""
    require_int("payload", payload, 1)
    require_int("dense", dense, 1)
    w = require_int("workers", workers, 2)
    require_choice("collective", collective, ("ring",))
    return Wire(Fraction((w - 1) * payload), Fraction(2 * (w - 1) * dense, w))


def break_even(payload: int, dense: int) -> Fraction:
    """The number of workers 2·dense/payload from which on the ring of payloads moves more than that of gradients."""
    return Fraction(2 * require_int("dense", dense, 1), require_int("payload", payload, 1))
