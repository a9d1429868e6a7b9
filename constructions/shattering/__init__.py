"""Explicit shattered sets, one file a family: points, and for every labeling of them a network that realises it."""

from constructions.shattering.one_hidden_layer import one_hidden_layer
from constructions.shattering.shattered_set import ShatteredSet

__all__ = ["ShatteredSet", "one_hidden_layer"]
