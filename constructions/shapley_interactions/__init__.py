"""Shapley interactions: games of coalitions, the exact index, the estimator KernelSHAP-IQ, and what they find.

Main definitions: `shapley_interactions`, `KernelSHAPIQ`, `InteractionValues`, `TableGame`, `UnanimityGame`,
`SumOfUnanimity`.
"""

from constructions.shapley_interactions.estimator import KernelSHAPIQ
from constructions.shapley_interactions.exact import shapley_interactions
from constructions.shapley_interactions.games import Game, SumOfUnanimity, TableGame, UnanimityGame
from constructions.shapley_interactions.values import Interaction, InteractionValues

__all__ = [
    "Game",
    "Interaction",
    "InteractionValues",
    "KernelSHAPIQ",
    "SumOfUnanimity",
    "TableGame",
    "UnanimityGame",
    "shapley_interactions",
]
