"""Explicit objects: targets, pathway trees, experts, MoMLPs. An object never grades itself (see `theory`).

Names are imported when they are asked for: the command line starts without torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from constructions import targets
    from constructions.am_gm import LeastSquares, am_gm_ratio, de_sa_family, expected_product
    from constructions.bit_extraction.model import BitExtractionMoMLP
    from constructions.bit_extraction.plan import BitExtractionPlan
    from constructions.build import build_momlp, plan
    from constructions.errors import BudgetExceeded, ExpressionError, ModulusViolation, StoreError
    from constructions.export import export_bound, export_onnx, export_pt2
    from constructions.functions.box import Box
    from constructions.functions.lipschitz_function import LipschitzFunction, ModulusPremise
    from constructions.functions.modulus import Modulus
    from constructions.momlp.model import MoMLP
    from constructions.momlp.pencil_momlp import PencilMoMLP
    from constructions.momlp.plan import PencilPlan, Plan
    from constructions.momlp.tabulated import TabulatedMoMLP, tabulate
    from constructions.onnx_reader import OnnxNetwork, read_onnx
    from constructions.pathway_tree.lattice import Lattice
    from constructions.pathway_tree.prototype_tree import PrototypeTree
    from constructions.pathway_tree.tree import PathwayTree
    from constructions.shapley_interactions import (
        ExpertGame,
        FeatureGame,
        InteractionValues,
        KernelSHAPIQ,
        explain,
    )
    from constructions.store import load, save
    from constructions.sublinear_training import GaussNewtonTrainer, MaxTreeForest, ShiftedReLUNetwork
    from constructions.trained_momlp import Options, Routing, TrainedMoMLP, train_momlp
    from constructions.trained_momlp.estimators import MoMLPClassifier, MoMLPRegressor
    from constructions.vnnlib import VnnLib, read_vnnlib

__all__ = [
    "BitExtractionMoMLP",
    "BitExtractionPlan",
    "Box",
    "BudgetExceeded",
    "ExpertGame",
    "ExpressionError",
    "FeatureGame",
    "GaussNewtonTrainer",
    "InteractionValues",
    "KernelSHAPIQ",
    "Lattice",
    "LeastSquares",
    "LipschitzFunction",
    "MaxTreeForest",
    "MoMLP",
    "MoMLPClassifier",
    "MoMLPRegressor",
    "Modulus",
    "ModulusPremise",
    "ModulusViolation",
    "OnnxNetwork",
    "Options",
    "PathwayTree",
    "PencilMoMLP",
    "PencilPlan",
    "Plan",
    "PrototypeTree",
    "Routing",
    "ShiftedReLUNetwork",
    "StoreError",
    "TabulatedMoMLP",
    "TrainedMoMLP",
    "VnnLib",
    "am_gm_ratio",
    "build_momlp",
    "de_sa_family",
    "expected_product",
    "explain",
    "export_bound",
    "export_onnx",
    "export_pt2",
    "load",
    "plan",
    "read_onnx",
    "read_vnnlib",
    "save",
    "tabulate",
    "targets",
    "train_momlp",
]

_ROOMS = {
    "constructions.am_gm": ("LeastSquares", "am_gm_ratio", "de_sa_family", "expected_product"),
    "constructions.bit_extraction.model": ("BitExtractionMoMLP",),
    "constructions.bit_extraction.plan": ("BitExtractionPlan",),
    "constructions.build": ("build_momlp", "plan"),
    "constructions.errors": ("BudgetExceeded", "ExpressionError", "ModulusViolation", "StoreError"),
    "constructions.export": ("export_bound", "export_onnx", "export_pt2"),
    "constructions.functions.box": ("Box",),
    "constructions.functions.lipschitz_function": ("LipschitzFunction", "ModulusPremise"),
    "constructions.functions.modulus": ("Modulus",),
    "constructions.momlp.model": ("MoMLP",),
    "constructions.momlp.pencil_momlp": ("PencilMoMLP",),
    "constructions.momlp.plan": ("PencilPlan", "Plan"),
    "constructions.momlp.tabulated": ("TabulatedMoMLP", "tabulate"),
    "constructions.onnx_reader": ("OnnxNetwork", "read_onnx"),
    "constructions.pathway_tree.lattice": ("Lattice",),
    "constructions.pathway_tree.prototype_tree": ("PrototypeTree",),
    "constructions.pathway_tree.tree": ("PathwayTree",),
    "constructions.shapley_interactions": (
        "ExpertGame",
        "FeatureGame",
        "InteractionValues",
        "KernelSHAPIQ",
        "explain",
    ),
    "constructions.store": ("load", "save"),
    "constructions.sublinear_training": ("GaussNewtonTrainer", "MaxTreeForest", "ShiftedReLUNetwork"),
    "constructions.trained_momlp": ("Options", "Routing", "TrainedMoMLP", "train_momlp"),
    "constructions.trained_momlp.estimators": ("MoMLPClassifier", "MoMLPRegressor"),
    "constructions.vnnlib": ("VnnLib", "read_vnnlib"),
}
_ROOM_OF = {name: room for room, names in _ROOMS.items() for name in names}


def __getattr__(name: str) -> Any:
    if name == "targets":
        return importlib.import_module("constructions.targets")
    if name not in _ROOM_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_ROOM_OF[name]), name)


def __dir__() -> list[str]:
    return __all__
