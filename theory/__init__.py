"""What is claimed, the instruments that decide it, the verdicts, and the `momlp` command.

Instruments are imported when they are asked for: `momlp list` needs no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from theory.claim import Claim, Context, Evidence, Status, Verdict
from theory.systems import REGISTRY, claim

if TYPE_CHECKING:
    from theory.checkers.export_agreement import Agreement, onnx_agrees, pt2_agrees
    from theory.checkers.lipschitz_constant import lipschitz_constant_le
    from theory.checkers.output_conditions import OutputVerdict, decide_outputs
    from theory.checkers.parameter_count import parameter_count_eq
    from theory.checkers.uniform_error import (
        UniformErrorCertificate,
        certify_uniform_error,
        uniform_error_le_eps,
    )
    from theory.lipschitz_expressiveness.checkers import LipschitzBounds, Measure, lipschitz_bounds
    from theory.momlp.evaluations import evaluations_to_certify
    from theory.pathway_tree.tree_structure import tree_structure

__all__ = [
    "REGISTRY",
    "Agreement",
    "Claim",
    "Context",
    "Evidence",
    "LipschitzBounds",
    "Measure",
    "OutputVerdict",
    "Status",
    "UniformErrorCertificate",
    "Verdict",
    "certify_uniform_error",
    "claim",
    "decide_outputs",
    "evaluations_to_certify",
    "lipschitz_bounds",
    "lipschitz_constant_le",
    "onnx_agrees",
    "parameter_count_eq",
    "pt2_agrees",
    "tree_structure",
    "uniform_error_le_eps",
]

_ROOMS = {
    "theory.checkers.export_agreement": ("Agreement", "onnx_agrees", "pt2_agrees"),
    "theory.checkers.lipschitz_constant": ("lipschitz_constant_le",),
    "theory.checkers.output_conditions": ("OutputVerdict", "decide_outputs"),
    "theory.checkers.parameter_count": ("parameter_count_eq",),
    "theory.lipschitz_expressiveness.checkers": ("LipschitzBounds", "Measure", "lipschitz_bounds"),
    "theory.momlp.evaluations": ("evaluations_to_certify",),
    "theory.pathway_tree.tree_structure": ("tree_structure",),
    "theory.checkers.uniform_error": (
        "UniformErrorCertificate",
        "certify_uniform_error",
        "uniform_error_le_eps",
    ),
}
_ROOM_OF = {name: room for room, names in _ROOMS.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _ROOM_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_ROOM_OF[name]), name)


def __dir__() -> list[str]:
    return __all__
