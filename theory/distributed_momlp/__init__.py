"""Mixtures over many processes, and within a byte budget."""

from theory.sources import MOMLP_V1
from theory.system import System

SYSTEM = System(
    "distributed_momlp",
    "Mixtures over many processes, and within a byte budget",
    MOMLP_V1,
    uses=("momlp", "trained_momlp", "pathway_tree"),
)
