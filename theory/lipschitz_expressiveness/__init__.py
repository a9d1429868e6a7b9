"""Lipschitz constants of deep networks: how they grow, and what they are."""

from theory.sources import LIPSCHITZ
from theory.system import System

SYSTEM = System(
    "lipschitz_expressiveness",
    "Lipschitz constants of deep networks: how they grow, and what they are",
    LIPSCHITZ,
    uses=("bit_extraction", "momlp", "pathway_tree"),
)
