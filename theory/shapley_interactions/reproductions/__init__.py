"""The index in its forms, the regressions that give it, and an estimator put to the test."""

from theory.shapley_interactions.reproductions.estimator import budget, consistency, paired_exact
from theory.shapley_interactions.reproductions.index import first_available, index_forms, k_sii
from theory.shapley_interactions.reproductions.regression import (
    constrained_wls,
    direct_wls,
    direct_wls_order3,
    split_wls,
)

__all__ = [
    "budget",
    "consistency",
    "constrained_wls",
    "direct_wls",
    "direct_wls_order3",
    "first_available",
    "index_forms",
    "k_sii",
    "paired_exact",
    "split_wls",
]
