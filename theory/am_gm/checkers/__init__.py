"""Instruments of the arithmetic-geometric mean inequality: certificate files, and exact eigenvalue comparisons.

Main definitions: `verify_certificate`, `verify_text`, `CertificateReport`, `positive_semidefinite`, `loewner_le`,
`norm_le`, `norm_ge`, `compare_means`, `exact_parts`, `lifted`.
"""

from theory.am_gm.checkers.certificate import CertificateReport, verify_certificate, verify_text
from theory.am_gm.checkers.loewner import PositiveReport, loewner_le, norm_ge, norm_le, positive_semidefinite
from theory.am_gm.checkers.tuples import MeansReport, compare_means, exact_parts, lifted

__all__ = [
    "CertificateReport",
    "MeansReport",
    "PositiveReport",
    "compare_means",
    "exact_parts",
    "lifted",
    "loewner_le",
    "norm_ge",
    "norm_le",
    "positive_semidefinite",
    "verify_certificate",
    "verify_text",
]
