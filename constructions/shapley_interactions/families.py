"""The games by which estimators are compared: with many products of many players, with few, and of fitted models.

Main definitions: `FAMILIES`, `family`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from constructions.errors import require_choice, require_instance
from constructions.shapley_interactions.expert_game import ExpertGame
from constructions.shapley_interactions.feature_game import FeatureGame
from constructions.shapley_interactions.games import NamedGame, SumOfUnanimity, UnanimityGame

BACKGROUND = slice(10, 30)  # rows of the data that stand for "not known"


def _diabetes(generator: torch.Generator | None) -> FeatureGame:
    from sklearn.datasets import load_diabetes
    from sklearn.ensemble import GradientBoostingRegressor

    data: Any = load_diabetes(scaled=False)
    model = GradientBoostingRegressor(random_state=0).fit(data.data, data.target)
    return FeatureGame(model, data.data[0], data.data[BACKGROUND], names=tuple(data.feature_names))


def _wine(generator: torch.Generator | None) -> FeatureGame:
    from sklearn.datasets import load_wine
    from sklearn.ensemble import RandomForestClassifier

    data: Any = load_wine()
    model = RandomForestClassifier(50, random_state=0).fit(data.data, data.target)
    return FeatureGame(model, data.data[0], data.data[BACKGROUND], output=0, names=tuple(data.feature_names))


def first_available(n: int, points: int, generator: torch.Generator | None) -> ExpertGame:
    """Points with random orders of n players and random values in (0, 1) of being answered by each."""
    order = torch.rand(points, n, generator=generator, dtype=torch.float64).argsort(-1)
    values = torch.rand(points, n, generator=generator, dtype=torch.float64)
    return ExpertGame.of_orders(order, values, torch.zeros(points, dtype=torch.float64))


FAMILIES: dict[str, Callable[[torch.Generator | None], NamedGame]] = {
    "soum_10": lambda generator: SumOfUnanimity(10, 30, generator),
    "soum_12": lambda generator: SumOfUnanimity(12, 50, generator),
    "unanimity": lambda generator: UnanimityGame(10, (0, 1, 2)),
    "diabetes": _diabetes,
    "wine": _wine,
    "first_available": lambda generator: first_available(12, 20, generator),
}
"""Sums of 30 and 50 unanimity games of random size; the unanimity game of three players; gradient boosting of depth 3
on the diabetes data and a random forest on the wine data (class 0), row 0 explained against rows 10 … 29; and a router
with failing experts."""


def family(name: str, generator: torch.Generator | None = None) -> NamedGame:
    """A game of `FAMILIES`; the random ones are drawn from `generator`."""
    require_instance("generator", generator, (torch.Generator, type(None)))
    return FAMILIES[require_choice("name", name, tuple(FAMILIES))](generator)
