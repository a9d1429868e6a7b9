"""Mixtures trained on data."""

from theory.sources import MOMLP_V1
from theory.system import System

SYSTEM = System("trained_momlp", "Mixtures trained on data", MOMLP_V1, uses=("pathway_tree", "demo_optimizer"))
