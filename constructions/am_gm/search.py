"""Search for certificates: a semidefinite program in floating point, rounded to rationals that satisfy the identity.

Needs the extra `momlp[sdp]` (cvxpy, clarabel). What is found is checked by `theory.am_gm.checkers`, like anybody's file.

Main definition: `search_certificate`.
"""

from __future__ import annotations

from fractions import Fraction

from constructions.am_gm.certificate import Certificate


def search_certificate(
    n: int, m: int, side: str, bound: Fraction | int | None = None, *, denominator: int = 10**6
) -> Certificate | None:
    """A candidate for s f ⪯ bound ((n)_m when None), or None when no strictly feasible one is found."""
    raise NotImplementedError
