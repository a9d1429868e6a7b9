"""Networks of one hidden layer that share hidden units: each distinct unit is evaluated once, and sums are float32.

Main definition: `outputs_from_distinct_rows`.
Main statement: what it returns are the networks' outputs, exactly. Let (w_d, b_d) be the rows that were kept.
1. Every hidden unit of every network equals, number for number, the row that stands for it: all of them are compared,
   so a hash that sends two different rows to one place costs time and cannot give a wrong answer. NaN equals nothing.
2. The kept rows and the points are integers with Σ|w||x| + |b| < 2⁵³ (`float64_is_exact`, which inf fails), so
   h = relu(w·x + b) is exact in float64, in any order of summation.
3. Output weights v and biases c are integers, max h < 2²⁴, max|v| < 2²⁴, max|c| < 2²⁴: all are float32 numbers. A
   network of W units adds at most W products and its bias. Every product, and the sum of any of these terms in any
   order, is an integer of size at most S = W·max|v|·max h + max|c|. If S < 2²⁴, all of them are float32 numbers, and
   no operation rounds, fused or not.
Where one of these does not hold the answer is None, and the networks are run in float64 as all others.
Implementation notes: the sum is a weighted sum of rows of a table (`embedding_bag`), as a matrix product with W entries
a row would be, which settings may run in bfloat16 or TF32.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from constructions.vc_dimension.shattered_set import Layers

LARGEST_FLOAT32 = 1 << 24
BUCKET_BITS = 16
MULTIPLIERS = tuple(m - (1 << 64) for m in (0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB))
"""Odd 64-bit numbers (Knuth's and those of splitmix64), as int64."""
SPREAD, SHIFT = 1009.0, 31.0
"""A row's key is Σ w_a·1009^a + 31·b: float64 holds it for small integers, and equal rows have equal keys."""


def outputs_from_distinct_rows(
    layers: Layers, count: int, points: Tensor, exact: Callable[[Layers, Tensor], bool]
) -> Tensor | None:
    """Outputs (count, k), float32 and exact, of stacked networks at points (k, n); None where that is not certain.

    `exact` decides step 2 of the statement; the shapes of `layers` are taken to be right.
    """
    if len(layers) != 2:
        return None
    (weight, bias), (out, constant) = [(w.double(), b.double()) for w, b in layers]
    found = distinct_rows(weight, bias)
    if found is None:
        return None
    unit, rows, shifts = found
    if not exact([(rows[None], shifts[None])], points):
        return None
    hidden = torch.addmm(shifts[:, None], rows, points.T).relu_()
    if not sums_fit_float32(hidden, out, constant):
        return None
    unit, out = unit.expand(count, -1), out[:, 0].float().expand(count, -1).contiguous()
    sums = nn.functional.embedding_bag(unit, hidden.float(), per_sample_weights=out, mode="sum")
    return sums.add_(constant.float())


def distinct_rows(weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor, Tensor] | None:
    """(unit (B, W), rows (D, n), shifts (D,)): rows[unit] are the weights (B, W, n), shifts[unit] the biases (B, W).

    B may be 1 in one of them. None when there are many distinct ones, two share a bucket however often they are
    hashed, or one is NaN.
    """
    count, width = max(len(weight), len(bias)), weight.shape[1]
    rows = weight.expand(count, -1, -1).reshape(count * width, -1)
    shifts = bias.expand(count, -1).reshape(-1)
    powers = SPREAD ** torch.arange(rows.shape[1], dtype=torch.float64, device=rows.device)
    key = torch.addmv(shifts * SHIFT, rows, powers).view(torch.int64)
    for multiplier in MULTIPLIERS:
        unit, kept = _buckets(key * multiplier)
        few, few_shifts = rows[kept], shifts[kept]
        if 8 * len(kept) > len(rows):
            break
        if torch.equal(few.index_select(0, unit), rows) and torch.equal(few_shifts.index_select(0, unit), shifts):
            return unit.view(count, width), few, few_shifts
    return None


def _buckets(hashed: Tensor) -> tuple[Tensor, Tensor]:
    """Numbers (R,) of the buckets that hashes (R,) fall in, counted from 0, and one hash of each bucket."""
    bucket = hashed.bitwise_right_shift_(64 - BUCKET_BITS).bitwise_and_((1 << BUCKET_BITS) - 1)
    table = torch.full((1 << BUCKET_BITS,), -1, dtype=torch.int64, device=hashed.device)
    table.scatter_(0, bucket, torch.arange(len(bucket), device=hashed.device))  # of equal hashes any one may stay
    used = (table >= 0).nonzero()[:, 0]
    kept = table[used]
    table[used] = torch.arange(len(used), device=hashed.device)
    return table.index_select(0, bucket), kept


def sums_fit_float32(hidden: Tensor, out: Tensor, constant: Tensor) -> bool:
    """Step 3 of the statement, for integers `hidden` ≥ 0, output weights (B, 1, W) and biases (B, 1)."""
    # one reading for all: on an accelerator the host waits for each
    sizes = torch.stack([part.abs().max() for part in (hidden, out, constant)]).tolist()
    if not all(size < LARGEST_FLOAT32 for size in sizes):  # not `>=`: NaN is below nothing
        return False
    if not bool((out == out.round()).all() & (constant == constant.round()).all()):
        return False
    largest, weight, shift = map(int, sizes)
    return out.shape[2] * weight * largest + shift < LARGEST_FLOAT32


def has_signs(outputs: Tensor, labels: Tensor) -> bool:
    """Whether outputs (B, k), none of them NaN, are > 0 exactly where labels (B, k) are True."""
    if outputs.shape != labels.shape:
        return False
    return not bool(((outputs > 0).view(torch.uint8) ^ labels.view(torch.uint8)).max())
