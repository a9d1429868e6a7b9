"""How a node of a lattice tree splits an axis: the widths of its children, and where the first prototype lies.

Main definitions: `child_widths`, `first_offset`.
"""

from __future__ import annotations

from fractions import Fraction


def child_widths(width: int, valency: int) -> list[int]:
    """The nonincreasing widths of `width` cells split into min(valency, width) ranges."""
    count = min(valency, width)
    return [width // count + (j < width % count) for j in range(count)]


def first_offset(widths: list[int]) -> Fraction:
    """t, the distance of the first prototype from the first boundary: the middle of its admissible interval.

    Reflection p_{j+1} = 2β_j − p_j puts prototype j at the distance d_j = w_j − d_{j−1} before β_j, d_1 = t; all
    d_j (j < v) must be positive, and t < w_1. Wider children first make the interval non-empty.
    """
    low, high = Fraction(0), Fraction(widths[0])
    shift, sign = Fraction(0), 1  # d_j = shift + sign·t
    for width in widths[1:-1]:
        shift, sign = width - shift, -sign
        if sign > 0:
            low = max(low, -shift)
        else:
            high = min(high, shift)
    return (low + high) / 2
