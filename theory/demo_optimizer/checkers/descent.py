"""Whether the sign of a single cosine is a descent direction: cosines in balls, the inner product in integers.

Main definitions: `WITNESS`, `Enclosed`, `enclosed_step`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from flint import arb, ctx

WITNESS = (-1, 16, 3, 13, -20, -3, 13, -25, 42, 29, -2, -27, 0, -14, -3, -22)
BITS = 200


@dataclass(frozen=True)
class Enclosed:
    """The place of the one largest coefficient, balls of its size and of the next, and ⟨g, sign(Tᵀ top₁)⟩."""

    place: int
    largest: arb
    next: arb
    product: int


def row(n: int, k: int) -> list[arb]:
    """Row k of the orthonormal cosine transform, in balls; an entry that is 0 is exactly 0."""
    if k == 0:
        return [(arb(1) / n).sqrt()] * n
    entries = []
    for j in range(n):
        a = (2 * j + 1) * k % (4 * n)
        entries.append(arb(0) if a in (n, 3 * n) else (arb(a) / (2 * n)).cos_pi() * (arb(2) / n).sqrt())
    return entries


def enclosed_step(gradient: Sequence[int]) -> Enclosed:
    """The step of one worker without momentum and k = 1 from integers; ValueError when no coefficient is provably the
    largest."""
    before, ctx.prec = ctx.prec, BITS
    try:
        n = len(gradient)
        rows = [row(n, k) for k in range(n)]
        c = [sum((b * g for b, g in zip(r, gradient, strict=True)), arb(0)) for r in rows]
        place = max(range(n), key=lambda k: float(abs(c[k]).mid()))
        others = [abs(x) for k, x in enumerate(c) if k != place]
        if not all(bool(abs(c[place]) > x) for x in others):
            raise ValueError("`gradient` must have one coefficient that is provably the largest")
        up = 1 if bool(c[place] > 0) else -1
        signs = [up * ((x > 0) - (x < 0)) for x in rows[place]]
        if any(not (bool(x > 0) or bool(x < 0) or x == 0) for x in rows[place]):
            raise ValueError("`gradient` must have a sign of each cosine that is provable")
        product = sum(int(s) * g for s, g in zip(signs, gradient, strict=True))
        return Enclosed(place, abs(c[place]), max(others, key=lambda x: float(x.mid())), product)
    finally:
        ctx.prec = before
