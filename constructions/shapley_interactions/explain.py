"""`explain`: the interactions of a game, exactly where that is cheap and from a budget where it is not.

Main definition: `explain`.
"""

from __future__ import annotations

from typing import Any

import torch

from constructions.errors import require_choice, require_int
from constructions.progress import Log, silent
from constructions.shapley_interactions.coalitions import MOST_EXACT
from constructions.shapley_interactions.estimator import MOST_REPEATS, KernelSHAPIQ
from constructions.shapley_interactions.exact import require_order, shapley_interactions
from constructions.shapley_interactions.expert_game import ExpertGame
from constructions.shapley_interactions.games import BATCH, NamedGame
from constructions.shapley_interactions.values import INDICES, InteractionValues

DEFAULT_BUDGET = 1 << 14


def explain(
    game: NamedGame,
    *,
    order: int | None = None,
    index: str = "k-SII",
    budget: int | None = None,
    paired: bool = True,
    repeats: int = 1,
    generator: torch.Generator | None = None,
    batch_size: int = BATCH,
    device: torch.device | str | None = None,
    log: Log = silent,
) -> InteractionValues:
    """The interactions of up to `order` players (2 by default) of a game with `n` and `names`.

    Without `budget` they are exact for at most 14 players and for experts as players, and estimated from 16,384
    coalitions for more; a `budget` of 2^n coalitions, or more, is the exact index (n ≤ 22). `repeats`, `paired` and
    `generator` are of the estimate (`KernelSHAPIQ`); `index` is "SV", "SII", "k-SII" or, exact only, "Moebius".
    """
    require_choice("index", index, INDICES)
    n = require_int("game.n", getattr(game, "n", None), 1)
    if budget is not None:
        require_int("budget", budget, 1)
    require_int("repeats", repeats, 1, MOST_REPEATS)
    if budget is None and isinstance(game, ExpertGame) and index != "Moebius":
        return game.interactions(order, index)
    spent = DEFAULT_BUDGET if budget is None else budget
    order = require_order(order, n, index)
    options: dict[str, Any] = {"batch_size": batch_size, "device": device}
    if n <= MOST_EXACT and spent >= 2**n:
        return shapley_interactions(game, n, order, index, names=game.names, log=log, **options)
    estimator = KernelSHAPIQ(n, order, index, paired=paired, generator=generator, **options)
    return estimator.estimate(game, min(spent, 2**n), repeats=repeats, names=game.names, log=log)
