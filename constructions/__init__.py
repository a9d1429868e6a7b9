"""Explicit objects: targets, pathway trees, experts, MoMLPs. An object never grades itself (see `theory`)."""

from constructions import targets
from constructions.domain import Box
from constructions.errors import BudgetExceeded, ExpressionError, ModulusViolation, StoreError
from constructions.lattice import Lattice, Plan, plan
from constructions.modulus import Modulus
from constructions.momlp import MoMLP, build_momlp
from constructions.pathway_tree import PathwayTree
from constructions.store import load, save
from constructions.targets import LipschitzFunction

__all__ = [
    "Box",
    "BudgetExceeded",
    "ExpressionError",
    "Lattice",
    "LipschitzFunction",
    "MoMLP",
    "Modulus",
    "ModulusViolation",
    "PathwayTree",
    "Plan",
    "StoreError",
    "build_momlp",
    "load",
    "plan",
    "save",
    "targets",
]
