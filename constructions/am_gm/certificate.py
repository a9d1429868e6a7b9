"""Certificates of sums of squares in noncommuting variables: the file format, and the terms at given matrices.

bound − s f = Σ_i Σ_{u,v} G_i[u,v] u*·x_i·v + Σ_{u,v} H[u,v] u*·(n − Σ_k x_k)·v in the free algebra, with f the sum of
all products of m distinct letters, s = ±1 and positive semidefinite H, G_i: then s f(A) ⪯ bound·I for all positive
semidefinite A with ΣA ⪯ nI, of any size. Whether a certificate holds is decided by `theory.am_gm.checkers`.

Main definitions: `Certificate`, `shipped_certificates`, `certificate_path`.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from torch import Tensor

Word = tuple[int, ...]


@dataclass(frozen=True)
class Certificate:
    """H and G_0 by the orbits of their entries: (u, v) -> value; the other G_i follow by swapping the letters 0 and i."""

    n: int
    m: int
    side: str
    bound: Fraction
    h: dict[tuple[Word, Word], Fraction]
    g: dict[tuple[Word, Word], Fraction]

    @classmethod
    def load(cls, name_or_path: str | os.PathLike) -> Certificate:
        """A shipped certificate by name ("n4m4_upper"), or a file."""
        raise NotImplementedError

    def to_json(self) -> str:
        """The text of its file."""
        raise NotImplementedError

    def terms(self, A: Tensor) -> Tensor:
        """The n + 1 positive semidefinite terms (..., n+1, d, d) at A (..., n, d, d): those of G_0, …, G_{n−1}, and of H.

        Their sum is bound·I − s f(A) up to rounding.
        """
        raise NotImplementedError


def shipped_certificates() -> tuple[str, ...]:
    """Names of the certificates that come with the package, by n, m and side."""
    raise NotImplementedError


def certificate_path(name: str) -> Path:
    """The file of a shipped certificate; ValueError for an unknown name."""
    raise NotImplementedError
