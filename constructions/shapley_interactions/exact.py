"""The exact index: all 2^n coalitions evaluated, then derivatives of the multilinear extension F.

SII(S) = ∫₀¹ ∂_S F(p, …, p) dp, an integral of a polynomial of degree n − |S| that Gauss and Legendre's rule with ⌈n/2⌉
nodes gives exactly, and the Möbius coefficient of S is ∂_S F(0, …, 0). For one p a player i is eliminated by
(v, v') -> (1 − p)·v + p·v' where S lacks i and v' − v where it has i, and sets of more than `order` players are dropped
on the way: O(2^n) operations a node, all of them averages and at most `order` differences, so rounding is not
amplified (Möbius coefficients that are summed again lose a digit for every four players or so).

Main definition: `shapley_interactions`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from constructions.errors import require_choice, require_device, require_int
from constructions.progress import Log, require_log, silent
from constructions.shapley_interactions.coalitions import MOST_EXACT, aggregated, all_masks, rank
from constructions.shapley_interactions.games import BATCH, LARGEST_BATCH, Game, evaluated, require_float
from constructions.shapley_interactions.values import INDICES, InteractionValues, player_names

NODE_ELEMENTS = 1 << 22  # numbers of all nodes worked on together


def shapley_interactions(
    game: Game,
    n: int,
    order: int | None = None,
    index: str = "k-SII",
    *,
    names: Sequence[str] | None = None,
    batch_size: int = BATCH,
    device: torch.device | str | None = None,
    dtype: torch.dtype = torch.float64,
    log: Log = silent,
) -> InteractionValues:
    """The exact interactions of 1 … `order` players, from all 2^n coalitions, n ≤ 22.

    `game` takes boolean coalitions (m, n), m ≤ `batch_size`, to values (m,) or (m, outputs). `index` is "SII",
    "k-SII" (adds up to v(N) − v(∅)), "SV" (order 1) or "Moebius"; `order` is 2 by default, 1 for "SV". ValueError or
    TypeError naming the argument, also for a game that answers with another shape or not with finite numbers.
    """
    require_int("n", n, 1, MOST_EXACT)
    order = require_order(order, n, require_choice("index", index, INDICES))
    named = player_names(names, n)
    place = require_device("device", device)
    require_float(dtype)
    table = game_table(game, n, batch_size=batch_size, device=place, log=require_log(log)).to(dtype)
    points, weights = [0.0], [1.0]
    if index != "Moebius":
        points, weights = _gauss_legendre((n + 1) // 2)
    orders = derivatives(table, n, order, points, weights)
    if index == "k-SII":
        orders = aggregated(orders, n)
    if not all(bool(torch.isfinite(values).all()) for values in orders):
        largest = float(table.abs().max())
        raise ValueError(f"`game` must have values whose differences are finite in {dtype}, got up to {largest:g}")
    return InteractionValues(n, index, tuple(orders), table[0], table[-1], exact=True, evaluations=2**n, names=named)


def require_order(order: int | None, n: int, index: str) -> int:
    """`order`, 2 (1 for "SV", or one player) for None; ValueError otherwise."""
    if index == "SV":
        if order not in (None, 1):
            raise ValueError(f"`order` must be 1 for the Shapley values, got {order!r}")
        return 1
    return min(2, n) if order is None else require_int("order", order, 1, n)


def game_table(game: Game, n: int, *, batch_size: int, device: torch.device, log: Log = silent) -> Tensor:
    """Values (2^n,) or (2^n, outputs) in the order of bit masks, float64."""
    require_int("batch_size", batch_size, 1, LARGEST_BATCH)
    starts = range(0, 2**n, batch_size)
    batches = (all_masks(n, start, min(start + batch_size, 2**n)).to(device) for start in starts)
    return evaluated(game, batches, len(starts), log)


def derivatives(table: Tensor, n: int, order: int, points: Sequence[float], weights: Sequence[float]) -> list[Tensor]:
    """Σ_r weights_r·∂_S F(p_r, …, p_r), (C(n, k), …) for k = 1 … order, of values (2^n, …) by bit mask."""
    at_once = max(1, NODE_ELEMENTS // table.numel())
    orders: list[Tensor] = []
    for start in range(0, len(points), at_once):
        p = torch.tensor(points[start : start + at_once], dtype=table.dtype, device=table.device)
        w = torch.tensor(weights[start : start + at_once], dtype=table.dtype, device=table.device)
        found = _derivatives_at(table, n, order, p)
        part = [torch.tensordot(w, values, dims=1) for values in found]
        orders = [a + b for a, b in zip(orders, part, strict=True)] if orders else part
    return orders


def _derivatives_at(table: Tensor, n: int, order: int, p: Tensor) -> list[Tensor]:
    """∂_S F(p_r, …, p_r), (nodes, C(n, k), …), for k = 1 … order."""
    tail = table.shape[1:]
    p = p.view(-1, 1, 1, *(1 for _ in tail))
    # of k players already eliminated into derivatives: (nodes, sets, coalitions of the players that are left, …)
    state = [table[None, None]] + [table.new_zeros(1, 0, len(table), *tail) for _ in range(order)]
    sets = [torch.zeros(1 if k == 0 else 0, k, dtype=torch.int64) for k in range(order + 1)]
    for player in reversed(range(n)):
        fresh, listed = [], []
        for k in range(order + 1):
            low, high = state[k].unflatten(2, (2, -1)).unbind(2)
            means = low + p * (high - low)
            if k == 0:
                fresh.append(means)
                listed.append(sets[0])
                continue
            below_low, below_high = state[k - 1].unflatten(2, (2, -1)).unbind(2)
            differences = (below_high - below_low).expand(len(means), -1, *means.shape[2:])
            fresh.append(torch.cat([means, differences], dim=1))
            column = torch.full((len(sets[k - 1]), 1), player)
            listed.append(torch.cat([sets[k], torch.cat([column, sets[k - 1]], dim=1)]))
        state, sets = fresh, listed
    found = []
    for k in range(1, order + 1):
        place = torch.argsort(rank(sets[k], n)).to(table.device)
        found.append(state[k][:, place, 0])
    return found


def _gauss_legendre(count: int) -> tuple[list[float], list[float]]:
    """Nodes and weights on [0, 1]."""
    x, w = np.polynomial.legendre.leggauss(count)
    return ((x + 1) / 2).tolist(), (w / 2).tolist()
