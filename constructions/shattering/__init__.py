"""Explicit shattered sets, one file a family: points, and for every labeling of them a network that realises it."""

from constructions.shattering.deep import deep, deep_sizes
from constructions.shattering.largest import Candidate, candidates, largest_set
from constructions.shattering.mixture import ShatteredMixture, mixture
from constructions.shattering.one_hidden_layer import one_hidden_layer
from constructions.shattering.routing_only import ShatteredRouting, routing_only, routing_pairs
from constructions.shattering.shattered_set import ShatteredSet, with_extra_inputs, with_extra_layers
from constructions.shattering.two_hidden_layers import two_hidden_layers
from constructions.shattering.wide import wide

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
