"""Sums in a fixed order, and exp and log, made only of operations that IEEE 754 rounds in one way.

+, −, ×, ÷, √, comparisons, selections and whole numbers give the same bits in every vector lane and in the scalar rest
of a loop, on every thread and processor. So a number computed here depends on its own operands alone: not on its place
in a tensor, on what is beside it, or on how the work is split. That does not hold for matrix products and torch's sums
(the kernel is chosen by shape, processor and threads), for exp and log (vector lanes and rest differ), and for
`addcmul`, `addcdiv` and `lerp` (a fused multiply-add where the processor has one, and not in the rest).

Main definitions: `total`, `contract`, `affine`, `squared_distances`, `exp`, `log`.
Implementation notes: products and sums are calls of their own, because a compiler may not fuse across them. That holds
in eager mode; torch.compile may fuse, and promises no bits.
"""

from __future__ import annotations

import torch
from torch import Tensor

LOG2_E = 1.4426950408889634
LN2_HIGH, LN2_LOW = 0.6931471803691238, 1.9082149292705877e-10  # 33 bits, whose product with an exponent is exact; rest
LARGEST_EXPONENT = 700.0
HALVINGS = 4
EXP_TERMS = tuple(1 / c for c in (5040, 720, 120, 24, 6, 2, 1, 1))
LOG_TERMS = tuple(1 / c for c in range(21, 0, -2))
SQRT_HALF = 0.7071067811865476


def total(terms: Tensor) -> Tensor:
    """Σ over the last axis: the upper half is added to the lower one until one number is left, and what was over."""
    width = terms.shape[-1]
    if width == 0:
        return terms.sum(-1)
    over = []
    while width > 1:
        half = width // 2
        if width % 2:
            over.append(terms[..., -1])
        terms = terms[..., :half] + terms[..., half : 2 * half]
        width = half
    result = terms[..., 0]
    for term in reversed(over):
        result = result + term
    return result


def contract(first: Tensor, second: Tensor) -> Tensor:
    """Σ over the last axis of first·second, which are broadcast."""
    return total(first * second)


def affine(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """x (…, in), weight (out, in), bias (out,) -> (…, out): `nn.functional.linear`, the inputs added one by one."""
    columns = weight.t().contiguous()
    if len(columns) == 0:
        return bias.expand(*x.shape[:-1], -1)
    result = x[..., :1] * columns[0]
    for i in range(1, len(columns)):
        result = result + x[..., i : i + 1] * columns[i]
    return result + bias


def squared_distances(x: Tensor, prototypes: Tensor) -> Tensor:
    """(B, L) from points (B, n) to prototypes (L, n), or (B, v) to each point's own prototypes (B, v, n)."""
    result = x.new_zeros(x.shape[0], prototypes.shape[-2])
    for axis in range(x.shape[1]):
        gap = x[:, axis, None] - prototypes[..., axis]
        result = result + gap * gap
    return result


def exp(x: Tensor) -> Tensor:
    """eˣ in float64, relative error below 1e-14; ±700 stands for everything beyond."""
    x = x.double().clamp(-LARGEST_EXPONENT, LARGEST_EXPONENT)
    whole = (x * LOG2_E).round_()
    rest = (x - whole * LN2_HIGH).sub_(whole * LN2_LOW).mul_(0.5**HALVINGS)
    power = torch.full_like(rest, EXP_TERMS[0])
    for term in EXP_TERMS[1:]:
        power.mul_(rest).add_(term)
    for _ in range(HALVINGS):
        power.mul_(power)
    scale = whole.to(torch.int64).add_(1023).bitwise_left_shift_(52).view(torch.float64)
    return power.mul_(scale)


def log(x: Tensor) -> Tensor:
    """ln x in float64 of normal numbers x > 0, error below 1e-15·max(1, |ln x|)."""
    part, exponent = torch.frexp(x.double())
    low = part < SQRT_HALF
    part, exponent = torch.where(low, part * 2, part), exponent - low.int()
    ratio = (part - 1) / (part + 1)
    square, series = ratio * ratio, torch.full_like(ratio, LOG_TERMS[0])
    for term in LOG_TERMS[1:]:
        series.mul_(square).add_(term)
    exponent = exponent.double()
    return (exponent * LN2_LOW).add_(series.mul_(ratio).mul_(2)).add_(exponent * LN2_HIGH)
