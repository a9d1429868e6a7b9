"""Explicit shattered sets, one file a family: points, and for every labeling of them a network that realises it."""

from constructions.vc_dimension.deep import deep, deep_sizes
from constructions.vc_dimension.largest import Candidate, candidates, largest_set
from constructions.vc_dimension.mixture import ShatteredMixture, mixture
from constructions.vc_dimension.one_hidden_layer import one_hidden_layer
from constructions.vc_dimension.routing_only import ShatteredRouting, routing_only, routing_pairs
from constructions.vc_dimension.shattered_set import ShatteredSet, with_extra_inputs, with_extra_layers
from constructions.vc_dimension.two_hidden_layers import two_hidden_layers
from constructions.vc_dimension.wide import wide

__all__ = [
    "Candidate",
    "ShatteredMixture",
    "ShatteredRouting",
    "ShatteredSet",
    "candidates",
    "deep",
    "deep_sizes",
    "largest_set",
    "mixture",
    "one_hidden_layer",
    "routing_only",
    "routing_pairs",
    "two_hidden_layers",
    "wide",
    "with_extra_inputs",
    "with_extra_layers",
]
