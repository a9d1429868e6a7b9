"""Deep bit extraction: narrow deep networks on R³ shatter B·s²·K points, W = max(2s + 3, 8), J = 2B + K + 1.

Points (q, r, j), q < Bs, r < s, 1 ≤ j ≤ K; the K labels of a pair (q, r) are the bits of A_{q,r} ∈ [0, 2^K).
Memory block p < B, two layers:
    relu(q − t), t = ps−1 … (p+1)s;  relu(r − t), t = 0 … s−2;  j;  acc                                (2s + 3 units)
    g_σ = relu(Σ_{q' in block} A_{q',σ}·1[q = q'] + 2^K·(1[r = σ] − 1)), σ < s;  z = relu(q − ((p+1)s − 1));  r;  j;
     acc
In the next block relu(q − t) = relu(z − (t − (p+1)s + 1)) and acc ← acc + Σ g_σ, so that acc = A_{q,r} behind the last
one. Then the bits are taken out one layer each (`bit_tail`).
The best split of the depth gives VC ≥ ⌊(W−3)/2⌋²·((J−1)² − 4)/8 for W ≥ 8, J ≥ 4 and any n ≥ 3.

Main definitions: `deep`, `deep_sizes`.
"""

from __future__ import annotations

import numpy as np
import torch

from constructions.errors import require_int
from constructions.vc_dimension.bit_tail import bit_tail
from constructions.vc_dimension.shattered_set import (
    MOST_BITS,
    MOST_LAYERS,
    IntegerLayers,
    ShatteredSet,
    Table,
    from_table,
    require_affordable,
)
from constructions.vc_dimension.two_hidden_layers import second_differences


def deep(side: int, blocks: int, bits: int, *, layers_per_bit: int = 1) -> ShatteredSet:
    """blocks·side²·bits points in R³ (s, B, K of the notation), cell by cell.

    `layers_per_bit` = 2 needs J = 2B + 2K + 1 layers, and its numbers stay so small that float64 holds K = 43
    instead of 26 exactly at s = 2.
    """
    require_int("side", side, 1)
    require_int("blocks", blocks, 1, MOST_LAYERS // 2)
    require_int("bits", bits, 1, MOST_BITS)
    require_int("layers_per_bit", layers_per_bit, 1, 2)
    require_affordable("side" if side > blocks else "blocks", blocks * side * side * bits, 3)
    q, r, j = torch.arange(blocks * side), torch.arange(side), torch.arange(1, bits + 1)
    points = torch.cartesian_prod(q, r, j)
    cells = blocks * side * side
    table = Table(
        bits,
        torch.arange(cells).repeat_interleave(bits),
        j.repeat(cells),
        2 * blocks,
        lambda entries: _networks(entries, side, blocks, bits, layers_per_bit),
    )
    sizes = {"side": side, "blocks": blocks, "bits": bits, "layers_per_bit": layers_per_bit}
    return from_table("deep", sizes, points, table)


def deep_sizes(depth: int, width: int) -> dict[str, int] | None:
    """The (side, blocks, bits) of most points that fit `depth` hidden layers of `width` units; None if none does."""
    side = (require_int("width", width, 1) - 3) // 2
    if require_int("depth", depth, 1) < 4 or width < 8:
        return None
    # b·(depth − 1 − 2b) is concave with its top at (depth − 1)/4, so the best integer is beside it
    beside = [b for b in ((depth - 1) // 4, (depth - 1) // 4 + 1) if 1 <= b <= (depth - 2) // 2]
    blocks = max(beside, key=lambda b: b * (depth - 1 - 2 * b))
    return {"side": side, "blocks": blocks, "bits": depth - 1 - 2 * blocks}


def _networks(entries: np.ndarray, side: int, blocks: int, bits: int, layers_per_bit: int) -> IntegerLayers:
    table = entries.reshape(len(entries), blocks, side, side)
    layers = []
    for block in range(blocks):
        layers.append(_positions(block, side, entries.dtype))
        layers.append(_look_up(table[:, block], side, bits))
    units = layers[-1][0].shape[1]
    value, index = np.zeros(units, dtype=entries.dtype), np.zeros(units, dtype=entries.dtype)
    value[:side] = value[-1] = index[-2] = 1
    return layers + bit_tail(bits, layers_per_bit, value, index)


def _positions(block: int, side: int, dtype: np.dtype) -> tuple[np.ndarray, np.ndarray]:
    """First layer of a block; inputs are (q, r, j), later (g_0 … g_{s−1}, z, r, j, acc), without r if s = 1."""
    knots = side - 1
    inputs = 3 if block == 0 else side + 3 + (side > 1)
    q, r, j = (0, 1, 2) if block == 0 else (side, side + 1, inputs - 2)
    weight, bias = np.zeros((2 * side + 3, inputs), dtype=dtype), np.zeros(2 * side + 3, dtype=dtype)
    weight[: side + 2, q] = 1
    # block 0 reads q itself: relu(q + 1), relu(q), …; later z = relu(q − (ps − 1)): relu(z), relu(z − 1), …
    bias[: side + 2] = (1 if block == 0 else 0) - np.arange(side + 2)
    if knots:
        weight[side + 2 : side + 2 + knots, r] = 1
        bias[side + 2 : side + 2 + knots] = -np.arange(knots)
    weight[-2, j] = 1
    if block:
        weight[-1, :side] = weight[-1, -1] = 1
    return weight[None], bias[None]


def _look_up(table: np.ndarray, side: int, bits: int) -> tuple[np.ndarray, np.ndarray]:
    """Second layer of a block, for its entries (B, q', σ)."""
    dtype, units = table.dtype, 2 * side + 3
    hats = np.zeros((side, units), dtype=dtype)  # 1[q = ps + i] from three neighbours
    for shift, coefficient in enumerate((1, -2, 1)):
        hats[np.arange(side), np.arange(side) + shift] = coefficient
    chosen, chosen_bias = second_differences(side, dtype)
    gate = 2**bits
    outputs = side + 3 + (side > 1)
    weight = np.zeros((len(table), outputs, units), dtype=dtype)
    weight[:, :side] = table.transpose(0, 2, 1) @ hats
    weight[:, :side, side + 2 : 2 * side + 1] += gate * chosen
    weight[:, side, side] = weight[:, -2, -2] = weight[:, -1, -1] = 1
    if side > 1:
        weight[:, side + 1, side + 2] = 1
    bias = np.zeros((1, outputs), dtype=dtype)
    bias[0, :side] = gate * (chosen_bias - 1)
    return weight, bias
