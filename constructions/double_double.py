"""Sums and products to twice the digits of float64: numbers as unevaluated sums of two, vectorised.

A number is a pair (high, low) of float64 tensors with |low| ≤ u·|high|, u = 2⁻⁵³. Only +, − and × of IEEE 754 are used,
each a call of its own, so the bits are the same everywhere (see `fixed_order`).

Main definitions: `pair`, `two_sum`, `two_product`, `add`, `multiply`, `running_total`.
Main statements (Joldes, Muller, Popescu, ACM TOMS 44(2), 2017): `two_sum` and `two_product` are exact (short of
overflow above 2⁹⁹⁶ and of underflow); `add` is good to 3u²/(1 − 4u) and `multiply` to 7u², relative to the result;
`running_total` of N terms takes ⌈log₂N⌉ additions to each, so it is off by at most 4⌈log₂N⌉u²·Σ|terms|.
"""

from __future__ import annotations

import torch
from torch import Tensor

Pair = tuple[Tensor, Tensor]
SPLITTER = 2.0**27 + 1


def pair(value: Tensor) -> Pair:
    """A float64 tensor as a pair."""
    return value, torch.zeros_like(value)


def two_sum(a: Tensor, b: Tensor) -> Pair:
    """a + b, exactly."""
    high = a + b
    part = high - a
    return high, (a - (high - part)) + (b - part)


def _two_sum_sorted(a: Tensor, b: Tensor) -> Pair:
    """a + b, exactly, where |a| ≥ |b|."""
    high = a + b
    return high, b - (high - a)


def two_product(a: Tensor, b: Tensor) -> Pair:
    """a·b, exactly."""
    high = a * b
    a1, a2 = _halves(a)
    b1, b2 = _halves(b)
    return high, a2 * b2 - (((high - a1 * b1) - a2 * b1) - a1 * b2)


def _halves(a: Tensor) -> Pair:
    """a as the sum of two numbers of 26 bits."""
    scaled = a * SPLITTER
    upper = scaled - (scaled - a)
    return upper, a - upper


def negative(a: Pair) -> Pair:
    return -a[0], -a[1]


def add(a: Pair, b: Pair) -> Pair:
    """a + b of pairs that broadcast."""
    s, rest = two_sum(a[0], b[0])
    t, least = two_sum(a[1], b[1])
    s, rest = _two_sum_sorted(s, rest + t)
    return _two_sum_sorted(s, rest + least)


def multiply(a: Pair, b: Pair) -> Pair:
    """a·b of pairs that broadcast."""
    high, low = two_product(a[0], b[0])
    return _two_sum_sorted(high, low + (a[0] * b[1] + a[1] * b[0]))


def running_total(terms: Pair) -> Pair:
    """The sums of the first 1, 2, … of the terms along the last axis."""
    high, low = terms
    shift = 1
    while shift < high.shape[-1]:
        head = high[..., :shift], low[..., :shift]
        tail = add((high[..., shift:], low[..., shift:]), (high[..., :-shift], low[..., :-shift]))
        high, low = (torch.cat(both, dim=-1) for both in zip(head, tail, strict=True))
        shift *= 2
    return high, low
