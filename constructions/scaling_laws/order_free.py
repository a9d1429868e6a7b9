"""Matrix products whose value does not depend on the order of summation: every library call gives the same bits.

A tensor is rounded, model by model, to multiples of 2^(e − 22), where 2^e > max |x|. A product of two such numbers is a
whole multiple of one unit and at most 2^44 of them, and a sum of up to 2^9 products at most 2^53: every partial sum is
a float64, whatever is added first, with or without a fused multiply-add. So `product` of a model depends on that
model's own numbers alone: not on the models in the same call, on the kernel, the threads, the processor, or on rows and
columns of zeros that fill its matrices up. The price is an operand rounded to 22 bits of its largest entry.

Main definitions: `rounded`, `product`, `MOST_TERMS`.
"""

from __future__ import annotations

import torch
from torch import Tensor

BITS = 22
MOST_TERMS = 1 << (53 - 2 * BITS)
"""The most products that are summed: the inner size of a product."""

_EXPONENT = 0x7FF0000000000000  # of a float64's bits
_LEAST = 2.0**-400  # below it products could be denormal numbers
_ANCHOR = 3 * 2.0 ** (52 - BITS)


def rounded(x: Tensor) -> Tensor:
    """`x` (G, …) in float64, each of the G models to the multiples of 2^(e − 22), 2^e > max |x| of that model."""
    largest = x.abs().flatten(1).amax(1)
    half = largest.view(torch.int64).bitwise_and_(_EXPONENT).view(torch.float64).clamp_(min=_LEAST)  # 2^(e − 1)
    # the float64 next to 1.5·2^k are 2^(k − 52) apart: adding it rounds, to even, and taking it away is exact
    anchor = half.mul_(_ANCHOR).view(-1, *(1,) * (x.ndim - 1))
    return (x + anchor).sub_(anchor)


def product(first: Tensor, second: Tensor) -> Tensor:
    """first (G, a, b) @ second (G, b, c), both `rounded`, exactly; b at most `MOST_TERMS`."""
    if first.shape[2] > MOST_TERMS:
        raise ValueError(f"`first` must have at most {MOST_TERMS} columns, got {first.shape[2]}")
    return torch.bmm(first, second)
