"""What is claimed, the instruments that decide it, the verdicts, and the `momlp` command.

Instruments are imported when they are asked for: `momlp list` needs no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from theory.claim import Claim, Context, Evidence, Status, Verdict
from theory.systems import REGISTRY, claim

if TYPE_CHECKING:
    from theory.checkers.lipschitz_constant import lipschitz_constant_le
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
    "Claim",
    "Context",
    "Evidence",
    "LipschitzBounds",
    "Measure",
    "Status",
    "UniformErrorCertificate",
    "Verdict",
    "certify_uniform_error",
    "claim",
    "evaluations_to_certify",
    "lipschitz_bounds",
    "lipschitz_constant_le",
    "parameter_count_eq",
    "tree_structure",
    "uniform_error_le_eps",
]

_ROOMS = {
    "theory.checkers.lipschitz_constant": ("lipschitz_constant_le",),
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
