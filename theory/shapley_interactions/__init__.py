"""Shapley interactions by weighted least squares: what is provable about KernelSHAP-IQ."""

from theory.sources import KERNELSHAP_IQ
from theory.system import System

SYSTEM = System(
    "shapley_interactions",
    "Shapley interactions: KernelSHAP-IQ, exactly and from a budget",
    KERNELSHAP_IQ,
    uses=("pathway_tree", "trained_momlp"),
)
