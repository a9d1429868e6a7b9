"""Sizes of centralised networks to compare a mixture with.

Main definition: `central_hidden`.
"""

from __future__ import annotations

from constructions.errors import require_int
from constructions.trained_momlp.bank import Widths, parameters


def central_hidden(n: int, m: int, *, depth: int, at_least: int) -> Widths:
    """The narrowest equal hidden widths (w, …, w) of an MLP of `depth` hidden layers with at least that many
    parameters."""
    require_int("depth", depth, 1)
    require_int("at_least", at_least, 1)
    width = 1
    while parameters((n, *(width,) * depth, m)) < at_least:
        width += 1
    return (width,) * depth
