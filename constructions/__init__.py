"""Explicit objects: targets, pathway trees, experts, MoMLPs. An object never grades itself (see `theory`)."""

from constructions import targets
from constructions.bit_extraction_momlp import BitExtractionMoMLP
from constructions.bit_extraction_plan import BitExtractionPlan
from constructions.build import build_momlp, plan
from constructions.domain import Box
from constructions.errors import BudgetExceeded, ExpressionError, ModulusViolation, StoreError
from constructions.lattice import Lattice, Plan
from constructions.modulus import Modulus
from constructions.momlp import MoMLP
from constructions.pathway_tree import PathwayTree
from constructions.prototype_tree import PrototypeTree
from constructions.store import load, save
from constructions.targets import LipschitzFunction, ModulusPremise
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
