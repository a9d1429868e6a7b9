"""Two hidden layers of W = 2(s − 1) units shatter the s² points of the grid {0 … s−1}² in the plane.

Layer 1: relu(q − t), relu(r − t), t = 0 … s−2; the hats 1[q = q'] are their second differences.
Layer 2: relu(Σ_{q'} A_{q',σ}·1[q = q'] + 1[r = σ] − 1), σ < s, where A_{q,r} is the label of (q, r).
Output: 2Σ − 1. So VC ≥ (⌊W/2⌋ + 1)² for W ≥ 2, n ≥ 2 and any depth J ≥ 2.

Main definition: `two_hidden_layers`.
"""

from __future__ import annotations

import numpy as np
import torch

from constructions.errors import require_int
from constructions.vc_dimension.shattered_set import IntegerLayers, ShatteredSet, Table, from_table, require_affordable


def two_hidden_layers(side: int) -> ShatteredSet:
    """The side × side grid, side ≥ 2, with networks of two hidden layers of at most 2(side − 1) units."""
    require_int("side", side, 2)
    require_affordable("side", side * side, 2)
    axis = torch.arange(side)
    points = torch.cartesian_prod(axis, axis)
    count = side * side
    table = Table(1, torch.arange(count), torch.ones(count, dtype=torch.int64), 2, lambda a: _networks(a, side))
    return from_table("two_hidden_layers", {"side": side}, points, table)


def second_differences(side: int, dtype: np.dtype) -> tuple[np.ndarray, np.ndarray]:
    """Rows (side, side − 1) and biases (side,) of the hats 1[r = σ], σ < side, on relu(r − t), t = 0 … side − 2.

    On 0 … side−1 relu(r + 1) = relu(r) + 1, and relu(r − t) = 0 for t ≥ side − 1. A single value needs no unit.
    """
    rows, biases = np.zeros((side, side - 1), dtype=dtype), np.zeros(side, dtype=dtype)
    for t, coefficient in ((-1, 1), (0, -2), (1, 1)):
        at = np.arange(side) + t
        inside = (at >= 0) & (at < side - 1)
        rows[np.arange(side)[inside], at[inside]] += coefficient
    biases[0] = 1
    if side > 1:
        rows[0, 0] += 1
    return rows, biases


def _networks(entries: np.ndarray, side: int) -> IntegerLayers:
    dtype, knots = entries.dtype, side - 1
    labels = entries.reshape(len(entries), side, side)
    first = np.zeros((2 * knots, 2), dtype=dtype)
    first[:knots, 0] = first[knots:, 1] = 1
    steps = -np.arange(knots).astype(dtype)
    hats, hat_bias = second_differences(side, dtype)
    look_up = labels.transpose(0, 2, 1)
    chosen = np.broadcast_to(hats, (len(entries), side, knots))
    weight = np.concatenate([look_up @ hats, chosen], axis=2)
    bias = look_up @ hat_bias + hat_bias - 1
    return [
        (first[None], np.concatenate([steps, steps])[None]),
        (weight, bias),
        (np.full((1, 1, side), 2, dtype=dtype), np.full((1, 1), -1, dtype=dtype)),
    ]
