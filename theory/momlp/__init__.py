"""Mixtures of MLPs: uniform error, and how sizes grow with 1/eps."""

from theory.sources import MOMLP_V2
from theory.system import System

SYSTEM = System(
    "momlp", "Mixtures of MLPs: uniform error, and how sizes grow with 1/eps", MOMLP_V2, uses=("pathway_tree",)
)
