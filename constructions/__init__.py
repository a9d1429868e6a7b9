"""Explicit objects: targets, pathway trees, experts, MoMLPs. An object never grades itself (see `theory`)."""

from constructions import targets
from constructions.bit_extraction.model import BitExtractionMoMLP
from constructions.bit_extraction.plan import BitExtractionPlan
from constructions.build import build_momlp, plan
from constructions.errors import BudgetExceeded, ExpressionError, ModulusViolation, StoreError
from constructions.functions.box import Box
from constructions.functions.lipschitz_function import LipschitzFunction, ModulusPremise
from constructions.functions.modulus import Modulus
from constructions.momlp.model import MoMLP
from constructions.momlp.plan import Plan
from constructions.pathway_tree.lattice import Lattice
from constructions.pathway_tree.prototype_tree import PrototypeTree
from constructions.pathway_tree.tree import PathwayTree
from constructions.store import load, save
from constructions.trained_momlp import TrainedMoMLP, train_momlp

__all__ = [
    "BitExtractionMoMLP",
    "BitExtractionPlan",
    "Box",
    "BudgetExceeded",
    "ExpressionError",
    "Lattice",
    "LipschitzFunction",
    "MoMLP",
    "Modulus",
    "ModulusPremise",
    "ModulusViolation",
    "PathwayTree",
    "Plan",
    "PrototypeTree",
    "StoreError",
    "TrainedMoMLP",
    "build_momlp",
    "load",
    "plan",
    "save",
    "targets",
    "train_momlp",
]
