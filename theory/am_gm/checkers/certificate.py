"""The verifier of certificate files: it reads the file itself and trusts nothing in it but the numbers.

Main definitions: `verify_certificate`, `verify_text`, `CertificateReport`.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from fractions import Fraction

from theory.claim import Report


@dataclass(frozen=True)
class CertificateReport(Report):
    """What one file proves: side·f ⪯ bound·I for all positive semidefinite A_1, …, A_n of every size with ΣA ⪯ nI, f the
    sum over ordered m-tuples of distinct indices. `proves_inequality`: the bound is at most n!/(n−m)!, so that this is
    the half `side` of the inequality at (n, m).

    `words` were compared, `mismatches` of them differ; `h_rank`, `g_rank` of the matrices (None when not reached).
    """

    failure: str | None
    n: int
    m: int
    side: str
    bound: Fraction
    words: int
    mismatches: int
    h_rank: int | None
    g_rank: int | None
    seconds: float

    @property
    def proves_inequality(self) -> bool:
        raise NotImplementedError


def verify_certificate(path: str | os.PathLike) -> CertificateReport:
    """The report on a file. OSError when it cannot be read, ValueError when it is not of the format."""
    raise NotImplementedError


def verify_text(text: str | bytes) -> CertificateReport:
    """The report on the text of a file."""
    raise NotImplementedError
