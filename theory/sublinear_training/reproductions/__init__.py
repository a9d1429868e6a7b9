"""Training in sublinear time, claim by claim."""

from theory.sublinear_training.reproductions.counts import fired_count, lazy_refreshes, operations, small_data_regime
from theory.sublinear_training.reproductions.exponents import (
    sparsity_exponent,
    sparsity_exponent_attained,
    width_hypothesis,
)
from theory.sublinear_training.reproductions.forest import expected_visits, forest_query, visits
from theory.sublinear_training.reproductions.rationals import distinct_points, identities
from theory.sublinear_training.reproductions.spectrum import limit_gram, smallest_eigenvalue
from theory.sublinear_training.reproductions.training import (
    contraction,
    contraction_any_labels,
    fired_sets,
    same_training,
)

__all__ = [
    "contraction",
    "contraction_any_labels",
    "distinct_points",
    "expected_visits",
    "fired_count",
    "fired_sets",
    "forest_query",
    "identities",
    "lazy_refreshes",
    "limit_gram",
    "operations",
    "same_training",
    "small_data_regime",
    "smallest_eigenvalue",
    "sparsity_exponent",
    "sparsity_exponent_attained",
    "visits",
    "width_hypothesis",
]
