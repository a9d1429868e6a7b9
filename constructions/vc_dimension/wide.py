"""Wide input: deep networks of W units on R^n shatter (n − 1)·⌊W/2⌋·K points, K = J − 3, n ≥ 3, W ≥ 8, J ≥ 4.

Points (x, u, j): x ∈ {0, e_1 … e_{n−2}} (i = 0 … n−2), u < H = ⌊W/2⌋, 1 ≤ j ≤ K; the K labels of (i, u) are the bits of
A_{i,u} ∈ [0, 2^K).
Layer 1: a_u = relu(A_{0,u} + Σ_i (A_{i,u} − A_{0,u})·x_i), u < H;  relu(u − t), t = 0 … H−2;  j          (2H units)
Layer 2: relu(a_{u'} + 2^K·(1[u = u'] − 1)), u' < H;  j. Their sum is A_{i,u}; then the bits, one layer each
(`bit_tail`).

Main definition: `wide`.
"""

from __future__ import annotations

import numpy as np
import torch

from constructions.errors import require_int
from constructions.vc_dimension.bit_tail import bit_tail
from constructions.vc_dimension.shattered_set import (
    MOST_BITS,
    IntegerLayers,
    ShatteredSet,
    Table,
    from_table,
    require_affordable,
)
from constructions.vc_dimension.two_hidden_layers import second_differences


def wide(n: int, units: int, bits: int) -> ShatteredSet:
    """(n − 1)·units·bits points in R^n (H = units), cell by cell; J = bits + 3, W = max(2·units, 8)."""
    require_int("n", n, 3)
    require_int("units", units, 1)
    require_int("bits", bits, 1, MOST_BITS)
    require_affordable("n" if n > units else "units", (n - 1) * units * bits, n)
    cells = (n - 1) * units
    points = torch.zeros(n - 1, units, bits, n, dtype=torch.int64)
    for i in range(n - 2):
        points[i + 1, ..., i] = 1
    points[..., n - 2] = torch.arange(units)[:, None]
    points[..., n - 1] = torch.arange(1, bits + 1)
    table = Table(
        bits,
        torch.arange(cells).repeat_interleave(bits),
        torch.arange(1, bits + 1).repeat(cells),
        2,
        lambda entries: _networks(entries, n, units, bits),
    )
    return from_table("wide", {"n": n, "units": units, "bits": bits}, points.reshape(-1, n), table)


def _networks(entries: np.ndarray, n: int, units: int, bits: int) -> IntegerLayers:
    dtype, count, knots = entries.dtype, len(entries), units - 1
    table = entries.reshape(count, n - 1, units)
    first, bias = np.zeros((count, 2 * units, n), dtype=dtype), np.zeros((count, 2 * units), dtype=dtype)
    first[:, :units, : n - 2] = (table[:, 1:] - table[:, :1]).transpose(0, 2, 1)
    bias[:, :units] = table[:, 0]
    first[:, units:-1, n - 2] = first[:, -1, n - 1] = 1
    bias[:, units:-1] = -np.arange(knots)
    hats, hat_bias = second_differences(units, dtype)
    second, gate = np.zeros((1, units + 1, 2 * units), dtype=dtype), 2**bits
    second[0, np.arange(units), np.arange(units)] = 1
    second[0, :units, units:-1] = gate * hats
    second[0, -1, -1] = 1
    second_bias = np.zeros((1, units + 1), dtype=dtype)
    second_bias[0, :units] = gate * (hat_bias - 1)
    value, index = np.zeros(units + 1, dtype=dtype), np.zeros(units + 1, dtype=dtype)
    value[:units] = index[-1] = 1
    return [(first, bias), (second, second_bias), *bit_tail(bits, 1, value, index)]
