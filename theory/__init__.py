"""What is claimed, the instruments that decide it, the verdicts, and the `momlp` command."""

from theory.checkers.lipschitz_constant import lipschitz_constant_le
from theory.checkers.parameter_count import parameter_count_eq
from theory.checkers.tree_structure import tree_structure
from theory.checkers.uniform_error import UniformErrorCertificate, certify_uniform_error, uniform_error_le_eps
from theory.claim import REGISTRY, Claim, Context, Evidence, Status, Verdict, claim

__all__ = [
    "REGISTRY",
    "Claim",
    "Context",
    "Evidence",
    "Status",
    "UniformErrorCertificate",
    "Verdict",
    "certify_uniform_error",
    "claim",
    "lipschitz_constant_le",
    "parameter_count_eq",
    "tree_structure",
    "uniform_error_le_eps",
]
