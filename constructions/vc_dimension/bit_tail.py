"""The layers that take an integer X ∈ [0, 2^K) apart, bit by bit, and answer 2·(bit j of X) − 1 for j = 1 … K.

Bit 1 is the highest. With T = 2^{K−k} the step b_k = relu(X − T + 1) − relu(X − T) is exact on integers, X ← X − T·b_k,
and gate_k = relu(b_k + 1[j = k] − 1) keeps the bit that is asked for; 1[j = k] is the second difference of relu(j − ·).

One layer a bit (8 units: X, relu(X−T+1), relu(X−T), relu(j−k+1), relu(j−k), relu(j−k−1), gate_{k−1}, out_{k−2}), then a
last layer (gate_K, out_{K−1}). Two layers a bit (6 units each) materialise b before it is multiplied by T, which keeps
numbers below about 2^K·K instead of 2^{2K−1}:
(X, relu(X−T+1), relu(X−T), relu(j−k+1), gate_{k−1}, out_{k−2}), then (X, b, relu(j−k+1), relu(j−k), relu(j−k−1),
out_{k−1}).

Main definition: `bit_tail`.
"""

from __future__ import annotations

import numpy as np

from constructions.errors import require_int
from constructions.vc_dimension.shattered_set import MOST_BITS, IntegerLayers


def bit_tail(bits: int, layers_per_bit: int, value: np.ndarray, index: np.ndarray) -> IntegerLayers:
    """Layers (1, out, in) behind a layer whose units give X = value·h and j = index·h (rows, in one dtype)."""
    require_int("bits", bits, 1, MOST_BITS)
    require_int("layers_per_bit", layers_per_bit, 1, 2)
    return (_one_layer_a_bit if layers_per_bit == 1 else _two_layers_a_bit)(bits, np.stack([value, index]))


def _layer(rows: list[list[int]], biases: list[int], dtype: np.dtype) -> tuple[np.ndarray, np.ndarray]:
    return np.array(rows, dtype=dtype)[None], np.array(biases, dtype=dtype)[None]


def _first(rows: list[list[int]], biases: list[int], read: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    weight, bias = _layer(rows, biases, read.dtype)
    return (weight[0] @ read)[None], bias


def _one_layer_a_bit(bits: int, read: np.ndarray) -> IntegerLayers:
    top = 2 ** (bits - 1)
    x, j, none = [1, 0], [0, 1], [0, 0]
    layers = [_first([x, x, x, j, j, j, none, none], [0, 1 - top, -top, 0, -1, -2, 0, 0], read)]
    gate, out = [0, 1, -1, 1, -2, 1, 0, 0], [0, 0, 0, 0, 0, 0, 1, 1]
    following = [0, 0, 0, 0, 1, 0, 0, 0]
    for k in range(1, bits):
        t, half = 2 ** (bits - k), 2 ** (bits - k - 1)
        rest = [1, -t, t, 0, 0, 0, 0, 0]
        rows = [rest, rest, rest, following, following, following, gate, out]
        layers.append(_layer(rows, [0, 1 - half, -half, 0, -1, -2, -1, 0], read.dtype))
    layers.append(_layer([gate, out], [-1, 0], read.dtype))
    return [*layers, _layer([[2, 2]], [-1], read.dtype)]


def _two_layers_a_bit(bits: int, read: np.ndarray) -> IntegerLayers:
    top = 2 ** (bits - 1)
    x, j, none = [1, 0], [0, 1], [0, 0]
    layers = [_first([x, x, x, j, none, none], [0, 1 - top, -top, 0, 0, 0], read)]
    keep, asked = [1, 0, 0, 0, 0, 0], [0, 0, 0, 1, 0, 0]
    second = [keep, [0, 1, -1, 0, 0, 0], asked, asked, asked, [0, 0, 0, 0, 1, 1]]
    gate, out = [0, 1, 1, -2, 1, 0], [0, 0, 0, 0, 0, 1]
    for k in range(1, bits + 1):
        layers.append(_layer(second, [0, 0, 0, -1, -2, 0], read.dtype))
        if k < bits:
            half = 2 ** (bits - k - 1)
            rest = [1, -2 * half, 0, 0, 0, 0]
            rows = [rest, rest, rest, [0, 0, 0, 1, 0, 0], gate, out]
            layers.append(_layer(rows, [0, 1 - half, -half, 0, -1, 0], read.dtype))
    layers.append(_layer([gate, out], [-1, 0], read.dtype))
    return [*layers, _layer([[2, 2]], [-1], read.dtype)]
