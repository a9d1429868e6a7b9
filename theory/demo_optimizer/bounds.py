"""Formulas of docs/demo_optimizer.md, in integers, rationals and floats: bytes, links, residuals, steps.

Main definitions: `sides`, `payload_bytes`, `readings_of`, `ring_ratio`, `ring_break_even`, `residual_bound`,
`cyclic_residual`, `steps_needed`, `public_shapes`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from fractions import Fraction
from itertools import product

Shape = tuple[int, ...]

WIDTHS = ((8, 4), (8, 2), (4, 4), (4, 2), (2, 4), (2, 2))
"""Bytes of (place, value)."""
PUBLIC_WIRE = (8, 4)
GRADIENT_BYTES = (2, 4)
TOPKS = tuple(2**e for e in range(7))
STATED_RATIO = Fraction(256, 3)
FLOPS = 6


def sides(shape: Sequence[int], chunk: int = 64) -> tuple[int, int, int]:
    """(chunks, height, width): every side is the largest divisor that is at most `chunk`; a vector is one row."""
    rows, columns = (1, math.prod(shape)) if len(shape) < 2 else (shape[0], math.prod(shape[1:]))
    h, w = (next(d for d in range(min(chunk, size), 0, -1) if size % d == 0) for size in (rows, columns))
    return rows * columns // (h * w), h, w


def payload_bytes(shapes: Iterable[Sequence[int]], k: int, place: int, value: int, chunk: int = 64) -> int:
    """Σ chunks·min(k, n)·(place + value)."""
    total = 0
    for shape in shapes:
        count, h, w = sides(shape, chunk)
        total += count * min(k, h * w) * (place + value)
    return total


def packed_bytes(shapes: Iterable[Sequence[int]], k: int, value: int, chunk: int = 64) -> int:
    """The same with the fewest whole bytes that hold a place: 1 up to 256 entries a chunk, 2 up to 32768, 4 above."""
    total = 0
    for shape in shapes:
        count, h, w = sides(shape, chunk)
        place = 1 if h * w <= 256 else 2 if h * w <= 32768 else 4
        total += count * min(k, h * w) * (place + value)
    return total


def dense_ratio(k: int, place: int, value: int, gradient: int) -> Fraction:
    """Dense bytes over the payload's where all sides are multiples of 64: 4096·gradient/(k·(place + value))."""
    return Fraction(4096 * gradient, k * (place + value))


def readings_of(ratio: Fraction) -> list[tuple[int, int, int, int]]:
    """All (k, place, value, gradient) of the usual widths that give exactly this ratio."""
    every = product(TOPKS, WIDTHS, GRADIENT_BYTES)
    return [(k, p, v, g) for k, (p, v), g in every if dense_ratio(k, p, v, g) == ratio]


def ring_ratio(ratio: Fraction, workers: int) -> Fraction:
    """2(W − 1)/W·dense over (W − 1)·payload."""
    return 2 * ratio / workers


def ring_break_even(ratio: Fraction) -> int:
    """The least number of workers at which the ring of payloads moves more than that of gradients."""
    return math.floor(2 * ratio) + 1


def residual_bound(n: int, k: int, beta: float) -> float:
    """q/(1 − qβ) with q = √(1 − k/n): no residual is longer, in units of ηG."""
    q = math.sqrt(1 - min(k, n) / n)
    return q / (1 - q * beta)


def cyclic_residual(n: int, k: int, beta: float) -> float:
    """√((k/n) Σ_{a<n/k} ((1 − β^a)/(1 − β))²), k | n: what a constant gradient with |c_i| = G/√n reaches."""
    return math.sqrt(k / n * sum(((1 - beta**a) / (1 - beta)) ** 2 for a in range(n // k)))


def steps_needed(n: int, p: Sequence[Fraction], target: Sequence[Fraction], eta: Fraction) -> int:
    """n·Σ max(0, ⌈|p_i − p*_i|/η⌉ − 1)."""
    return n * sum(max(0, math.ceil(abs(a - b) / eta) - 1) for a, b in zip(p, target, strict=True))


def smooth_bound(gap: float, smoothness: float, eta: float, steps: int) -> float:
    """gap/(ηt) + L_∞η/2: the least ‖∇f‖₁ of the first t steps of sign descent is at most this."""
    return gap / (eta * steps) + smoothness * eta / 2


def transform_flops(shapes: Iterable[Sequence[int]], chunk: int = 64) -> int:
    """6(h + w) a parameter: three transforms of 2(h + w); a side of 1 is not multiplied."""
    total = 0
    for shape in shapes:
        _, h, w = sides(shape, chunk)
        total += FLOPS * math.prod(shape) * sum(side for side in (h, w) if side > 1)
    return total


def public_shapes(width: int) -> list[Shape]:
    """Weights of the public configuration: 16 layers, vocabulary 50304, fused qkv, gated perceptron, tied letters."""
    d = width
    layer: list[Shape] = [(3 * d, d), (d, d), (8 * d, d), (d, 4 * d)]
    return [(50304, d), *layer * 16]
