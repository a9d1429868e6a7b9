"""Sizes of centralised networks to compare a mixture with.

Main definition: `central_hidden`.
"""

from __future__ import annotations

from constructions.errors import require_int
from constructions.trained_momlp.bank import Widths, parameters

DEEPEST = 10_000


def central_hidden(n: int, m: int, *, depth: int, at_least: int) -> Widths:
    """The narrowest equal hidden widths (w, …, w) of an MLP of `depth` hidden layers with at least that many
    parameters."""
    require_int("n", n, 1)
    require_int("m", m, 1)
    require_int("depth", depth, 1, DEEPEST)
    require_int("at_least", at_least, 1)
    enough = lambda width: parameters((n, *(width,) * depth, m)) >= at_least  # noqa: E731
    high = 1
    while not enough(high):
        high *= 2
    low = high // 2  # too narrow, or 0
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return (high,) * depth
