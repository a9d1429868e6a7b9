"""Is sup |f − f̂| ≤ eps? Three independent ways with one result type.

Main definitions: `certify_uniform_error`, `uniform_error_le_eps`, `UniformErrorCertificate`, `Premise`, `Mixture`.
"""

from constructions.mixture import Mixture
from theory.checkers.uniform_error.certificate import Premise, UniformErrorCertificate
from theory.checkers.uniform_error.certify import certify_uniform_error, uniform_error_le_eps

__all__ = [
    "Mixture",
    "Premise",
    "UniformErrorCertificate",
    "certify_uniform_error",
    "uniform_error_le_eps",
]
