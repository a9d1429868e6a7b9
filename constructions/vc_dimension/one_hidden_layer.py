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

MOST_PATTERNS = 1 << 12  # of the signs of a cluster, kept in a table


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
    hidden = _by_pattern if 2**n <= min(len(labels), MOST_PATTERNS) else _by_labeling
    sign = torch.where(labels[:, :1], -1.0, 1.0).double()
    out = (2 * sign)[:, :, None].expand(-1, 1, clusters)
    return [hidden(labels, n, clusters), (out.contiguous(), -sign)]


def _by_labeling(labels: Tensor, n: int, clusters: int) -> tuple[Tensor, Tensor]:
    """The hidden layers (B, K, n), (B, K), computed for every labeling."""
    s = torch.where(labels[:, 1:] != labels[:, :1], 1.0, -1.0).double().reshape(-1, clusters, n)
    k = torch.arange(1, clusters + 1, dtype=torch.float64, device=labels.device)
    weight = torch.empty_like(s)
    weight[:, :, 0] = 16 * k + s[:, :, 1] - s[:, :, 0]
    weight[:, :, 1] = -8
    weight[:, :, 2:] = s[:, :, 2:] - s[:, :, :1]
    return weight, -32 * k**2 + s[:, :, 0] - 4 * k * (s[:, :, 1] - s[:, :, 0])


def _by_pattern(labels: Tensor, n: int, clusters: int) -> tuple[Tensor, Tensor]:
    """The same, copied from the 2^n labelings that give every cluster the same signs: a unit reads its own alone."""
    place = torch.arange(n, device=labels.device)
    pattern = ((torch.arange(2**n, device=labels.device)[:, None] >> place) & 1).bool()
    apex = torch.zeros(len(pattern), 1, dtype=torch.bool, device=labels.device)
    weight, bias = _by_labeling(torch.cat([apex, pattern.repeat(1, clusters)], 1), n, clusters)
    # bit i of a cluster's number is s_i > 0; the other label at the apex turns number p into 2^n − 1 − p
    bits = labels[:, 1:].view(torch.uint8).unflatten(1, (clusters, n))
    number = bits[:, :, n - 1].to(torch.int32)
    for i in reversed(range(n - 1)):
        number = number.mul_(2).add_(bits[:, :, i])
    number = torch.where(labels[:, :1], 2**n - 1 - number, number)
    row = (number * clusters + torch.arange(clusters, device=labels.device)).flatten()
    shape = (len(labels), clusters)
    return (
        weight.flatten(0, 1).index_select(0, row).view(*shape, n),
        bias.flatten().index_select(0, row).view(shape),
    )


def _interpolant(labels: Tensor) -> Layers:
    """n = 1: y_0 + Σ_j (s_j − s_{j−1})·relu(x − j) through ±1 values at 0 … W."""
    y = torch.where(labels, 1.0, -1.0).double()
    slopes = torch.diff(y, dim=1)
    bends = torch.cat([slopes[:, :1], torch.diff(slopes, dim=1)], dim=1)
    count, width = bends.shape
    knots = torch.arange(width, dtype=torch.float64, device=labels.device)
    ones = torch.ones(count, width, 1, dtype=torch.float64, device=labels.device)
    return [(ones, -knots.expand(count, -1)), (bends[:, None, :], y[:, :1])]
