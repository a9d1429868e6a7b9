"""Networks with known Lipschitz constants.

tent_map(d)              2^d on [0, 1], weights in {1, 2, 4, ½} up to sign; product of the layers' norms 40^(d/2)
all_ones(n_0, …, n_L)    √(n_0 n_L)·Π_{0<l<L} n_l = the product of the layers' norms: the product bound is sharp
two_unit_controller(K)   x ↦ −Kx as relu(−Kx) − relu(Kx): ‖K‖, the product bound says 2‖K‖
clipped_linear(K)        x ↦ clip(−Kx, −1, 1) as −1 + relu(1 − Kx) − relu(−1 − Kx)
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from constructions.errors import require_cloud, require_int, require_tensor
from constructions.lipschitz_expressiveness.random_networks import require_widths
from constructions.networks import stack

DEEPEST_TENT = 1000


def tent_map(depth: int) -> nn.Sequential:
    """T∘…∘T (`depth` times) on [0, 1], T(x) = 2 relu(x) − 4 relu(x − ½): `depth` hidden layers of two units, 2^depth
    pieces of slope ±2^depth.

    ValueError for a depth outside 1 … 1000.
    """
    require_int("depth", depth, 1, DEEPEST_TENT)
    bias = torch.tensor([0.0, -0.5], dtype=torch.float64)
    first = torch.ones(2, 1, dtype=torch.float64)
    last = torch.tensor([[2.0, -4.0]], dtype=torch.float64)
    between = first @ last
    nothing = torch.zeros(1, dtype=torch.float64)
    return stack([(first, bias), *[(between, bias)] * (depth - 1), (last, nothing)])


def all_ones(widths: Sequence[int]) -> nn.Sequential:
    """A ReLU network of widths (n_0, …, n_L) with all weights 1 and no bias: every layer's norm is attained at x > 0.

    ValueError or BudgetExceeded for widths that are none.
    """
    listed = require_widths(widths)
    return stack(
        (torch.ones(m, n, dtype=torch.float64), torch.zeros(m, dtype=torch.float64))
        for n, m in itertools.pairwise(listed)
    )


def two_unit_controller(K: Tensor) -> nn.Sequential:
    """x ↦ −Kx for a row K (n,) with two hidden units, relu(−Kx) − relu(Kx): the two are never both active.

    TypeError or ValueError unless K is a finite row of numbers.
    """
    row = _row(K)
    zero = torch.zeros(2, dtype=torch.float64)
    return stack([(torch.stack([-row, row]), zero), (torch.tensor([[1.0, -1.0]], dtype=torch.float64), zero[:1])])


def clipped_linear(K: Tensor) -> nn.Sequential:
    """x ↦ clip(−Kx, −1, 1) for a row K (n,), exactly: −1 + relu(1 − Kx) − relu(−1 − Kx).

    TypeError or ValueError unless K is a finite row of numbers.
    """
    row = _row(K)
    bias = torch.tensor([1.0, -1.0], dtype=torch.float64)
    last = torch.tensor([[1.0, -1.0]], dtype=torch.float64)
    return stack([(torch.stack([-row, -row]), bias), (last, -bias[:1])])


def _row(K: Tensor) -> Tensor:
    row = require_tensor("K", K, "(n,)")
    if row.ndim != 1:
        raise ValueError(f"`K` must have shape (n,), got {tuple(row.shape)}")
    return require_cloud("K", row[None])[0].cpu()
