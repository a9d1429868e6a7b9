"""`KernelSHAPIQ`: interactions of a game of any number of players from a budget of coalitions.

Coalitions of few and of many players are all evaluated, distinct ones of the other sizes are drawn (`sampling`), and a
constrained least squares gives the values of every order (`least_squares`). With all 2^n coalitions it is the exact
index; efficiency holds at any budget.

Main definition: `KernelSHAPIQ`.
References: Fumagalli, Muschalik, Kolpaczki, Hüllermeier, Hammer, KernelSHAP-IQ, ICML 2024 (the weighted least squares);
docs/shapley_interactions.md for the constrained form and its proof.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from constructions.errors import require_bool, require_choice, require_device, require_instance, require_int
from constructions.progress import Log, require_log, silent
from constructions.shapley_interactions.coalitions import aggregated
from constructions.shapley_interactions.exact import require_order
from constructions.shapley_interactions.games import BATCH, LARGEST_BATCH, Game, evaluated
from constructions.shapley_interactions.least_squares import interactions
from constructions.shapley_interactions.sampling import Design
from constructions.shapley_interactions.values import InteractionValues, player_names

MOST_UNKNOWN = 5_000  # interactions of one order: a Gram matrix of them takes 0.2 GB, and there are five like it
MOST_REPEATS = 1_000
MOST_MASKS = 1 << 31  # bytes of the coalitions of a draw


class KernelSHAPIQ:
    """Estimates the interactions of 1 … `order` players (order 2 by default) of games of n ≥ 2·order players.

    `index` is "SV" (order 1), "SII" or "k-SII". `paired` draws coalitions with their complements: orders 1 and 2 are
    then exact for games of degree 2 and 3 (products of so many players), and odd orders gain; order 2 of games with
    many products of more players is better estimated without. `generator` (None: a new one of seed 0) is drawn from in
    every `estimate`.
    """

    def __init__(
        self,
        n: int,
        order: int | None = None,
        index: str = "k-SII",
        *,
        paired: bool = True,
        generator: torch.Generator | None = None,
        batch_size: int = BATCH,
        device: torch.device | str | None = None,
    ):
        require_int("n", n, 1)
        if isinstance(index, str) and index == "Moebius":
            raise ValueError(
                "`index` must be SV, SII or k-SII to be estimated: Moebius coefficients need 2^n evaluations"
            )
        self.n, self.index = n, require_choice("index", index, ("SV", "SII", "k-SII"))
        self.order = require_order(order, n, index)
        if n < 2 * self.order:
            raise ValueError(
                f"`n` must be at least 2·order = {2 * self.order} to be estimated, got {n}: take the exact index"
            )
        if math.comb(n, self.order) > MOST_UNKNOWN:
            count = math.comb(n, self.order)
            raise ValueError(
                f"`order` must leave at most {MOST_UNKNOWN} interactions a size, {self.order} gives {count}"
            )
        self.paired = require_bool("paired", paired)
        require_instance("generator", generator, (torch.Generator, type(None)))
        self.generator = torch.Generator().manual_seed(0) if generator is None else generator
        self.batch_size = require_int("batch_size", batch_size, 1, LARGEST_BATCH)
        self.device = require_device("device", device)

    def estimate(
        self,
        game: Game,
        budget: int,
        *,
        repeats: int = 1,
        names: Sequence[str] | None = None,
        log: Log = silent,
    ) -> InteractionValues:
        """The interactions from at most `budget` coalitions; with `repeats` the mean of so many draws of `budget`
        coalitions each (those of the enumerated sizes are evaluated once) and its standard errors. They tell how the
        draws scatter; least squares on a sample has a bias besides, below the scatter of a draw, that falls with the
        budget and not with `repeats`: one budget of all is the better estimate.

        With 2^n the index is exact. ValueError for a budget below the coalitions of fewer than `order` or more than
        n − `order` players, or above 2^n.
        """
        design = Design.of(self.n, self.order, budget, paired=self.paired)
        if budget * self.n > MOST_MASKS:
            raise ValueError(f"`budget` must be at most {MOST_MASKS // self.n} of {self.n} players, got {budget}")
        require_int("repeats", repeats, 1, MOST_REPEATS)
        named = player_names(names, self.n)
        fixed = design.fixed()
        known = self._evaluated(game, fixed, require_log(log))
        draws, evaluations, deficient = [], len(fixed), False
        for _ in range(repeats if design.drawn else 1):
            drawn, weights = design.draw(self.generator)
            y = torch.cat([known, self._evaluated(game, drawn, log)]) if len(drawn) else known
            masks = torch.cat([fixed, drawn]).to(self.device)
            stands_for = torch.cat([torch.ones(len(fixed), dtype=torch.float64), weights]).to(self.device)
            orders, short = interactions(masks, stands_for, y, self.order)
            draws.append(aggregated(orders, self.n) if self.index == "k-SII" else orders)
            evaluations, deficient = evaluations + len(drawn), deficient or short
        values = tuple(torch.stack(parts).mean(0) for parts in zip(*draws, strict=True))
        if not all(bool(torch.isfinite(part).all()) for part in values):
            largest = float(known.abs().max())
            raise ValueError(f"`game` must have values whose differences are finite in float64, got up to {largest:g}")
        errors = _standard_errors(draws, repeats)
        sizes = fixed.sum(-1).to(self.device)
        return InteractionValues(
            self.n,
            self.index,
            values,
            known[sizes == 0][0],
            known[sizes == self.n][0],
            exact=len(design.enumerated) == self.n + 1,
            evaluations=evaluations,
            budget=budget,
            names=named,
            errors=errors,
            rank_deficient=deficient,
        )

    def _evaluated(self, game: Game, masks: Tensor, log: Log) -> Tensor:
        parts = masks.split(self.batch_size)
        copies = (part.to(self.device, copy=True) for part in parts)  # a game may write into its coalitions
        return evaluated(game, copies, len(parts), log)


def _standard_errors(draws: list[list[Tensor]], repeats: int) -> tuple[Tensor, ...] | None:
    if repeats == 1:
        return None
    if len(draws) == 1:  # nothing is left to chance
        return tuple(torch.zeros_like(values) for values in draws[0])
    return tuple(torch.stack(parts).std(0) / math.sqrt(len(draws)) for parts in zip(*draws, strict=True))
