"""One hidden layer of W ReLU units on R^n shatters nW + 1 points (any n, W ≥ 1).

Parabola clusters, n ≥ 2: for k = 1 … W the n points p_{k,0} = (4k, 4k², 0, …), p_{k,1} = p_{k,0} + (1, 2k, 0, …) and
p_{k,i} = p_{k,0} + e_{i+1}, and the apex c = (0, 4, 0, …). With g_k(x) = x_2 − 2k x_1 + 4k², a_1 = x_1 − 4k,
a_i = x_{i+1}, a_0 = 1 − Σ a_i and signs s ∈ {±1}^n the unit f_{k,s} = −8 g_k + Σ s_i a_i equals s_i at p_{k,i} and is
≤ −9 at every other point, whatever s (≤ −55 at the apex). So ±(2 Σ_k relu(f_{k,s_k}) − 1) is exactly ±1 on the set and
realises any labeling.
n = 1: the piecewise linear interpolant of ±1 values at 0, …, W.

Main definition: `one_hidden_layer`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from constructions.errors import require_int
from constructions.vc_dimension.shattered_set import Layers, ShatteredSet, require_affordable


def one_hidden_layer(n: int, width: int) -> ShatteredSet:
    """nW + 1 points shattered by one hidden layer; the apex (n = 1: the origin) comes first."""
    require_int("n", n, 1)
    require_int("width", width, 1)
    require_affordable("n" if n > width else "width", n * width + 1, n)
    if n == 1:
        points = torch.arange(width + 1)[:, None]
        return ShatteredSet("one_hidden_layer", {"n": 1, "width": width}, points, _interpolant)
    return ShatteredSet(
        "one_hidden_layer",
        {"n": n, "width": width},
        _parabola_points(n, width),
        lambda labels: _parabola_weights(labels, n, width),
    )


def _parabola_points(n: int, clusters: int) -> Tensor:
    """The apex, then cluster after cluster: (nK + 1, n), int64."""
    k = torch.arange(1, clusters + 1)
    points = torch.zeros(clusters, n, n, dtype=torch.int64)
    points[:, :, 0], points[:, :, 1] = 4 * k[:, None], 4 * k[:, None] ** 2
    points[:, 1, 0] += 1
    points[:, 1, 1] += 2 * k
    for i in range(2, n):
        points[:, i, i] += 1
    apex = torch.zeros(1, n, dtype=torch.int64)
    apex[0, 1] = 4
    return torch.cat([apex, points.reshape(-1, n)])


def _parabola_weights(labels: Tensor, n: int, clusters: int) -> Layers:
    """Stacked networks of labelings (B, nK + 1)."""
    count = len(labels)
    apex = labels[:, :1]
    s = torch.where(labels[:, 1:] != apex, 1.0, -1.0).double().reshape(count, clusters, n)
    k = torch.arange(1, clusters + 1, dtype=torch.float64, device=labels.device)
    weight = torch.empty(count, clusters, n, dtype=torch.float64, device=labels.device)
    weight[:, :, 0] = 16 * k + s[:, :, 1] - s[:, :, 0]
    weight[:, :, 1] = -8
    weight[:, :, 2:] = s[:, :, 2:] - s[:, :, :1]
    bias = -32 * k**2 + s[:, :, 0] - 4 * k * (s[:, :, 1] - s[:, :, 0])
    sign = torch.where(apex, -1.0, 1.0).double()
    out = (2 * sign)[:, :, None].expand(-1, 1, clusters)
    return [(weight, bias), (out.contiguous(), -sign)]


def _interpolant(labels: Tensor) -> Layers:
    """n = 1: y_0 + Σ_j (s_j − s_{j−1})·relu(x − j) through ±1 values at 0 … W."""
    y = torch.where(labels, 1.0, -1.0).double()
    slopes = torch.diff(y, dim=1)
    bends = torch.cat([slopes[:, :1], torch.diff(slopes, dim=1)], dim=1)
    count, width = bends.shape
    knots = torch.arange(width, dtype=torch.float64, device=labels.device)
    ones = torch.ones(count, width, 1, dtype=torch.float64, device=labels.device)
    return [(ones, -knots.expand(count, -1)), (bends[:, None, :], y[:, :1])]
