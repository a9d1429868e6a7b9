"""Shapley interactions: games of coalitions, the exact index, the estimator KernelSHAP-IQ, and what they find.

Main definitions: `explain`, `FeatureGame`, `ExpertGame`, `shapley_interactions`, `KernelSHAPIQ`, `InteractionValues`,
`TableGame`, `UnanimityGame`, `SumOfUnanimity`, `family`.
"""

from constructions.shapley_interactions.estimator import KernelSHAPIQ
from constructions.shapley_interactions.exact import shapley_interactions
from constructions.shapley_interactions.expert_game import ExpertGame
from constructions.shapley_interactions.explain import explain
from constructions.shapley_interactions.families import FAMILIES, family
from constructions.shapley_interactions.feature_game import FeatureGame
from constructions.shapley_interactions.games import Game, SumOfUnanimity, TableGame, UnanimityGame
from constructions.shapley_interactions.values import Interaction, InteractionValues

__all__ = [
    "FAMILIES",
    "ExpertGame",
    "FeatureGame",
    "Game",
    "Interaction",
    "InteractionValues",
    "KernelSHAPIQ",
    "SumOfUnanimity",
    "TableGame",
    "UnanimityGame",
    "explain",
    "family",
    "shapley_interactions",
]
