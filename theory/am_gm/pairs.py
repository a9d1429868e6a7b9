"""At which (n, k) the inequality ‖E_wo[k]‖ ≤ ‖mean‖^k is decided by what lies in this package.

True: k ≤ 2 (by hand, docs/am_gm.md), both halves certified at (n, k), or at (n', k) for a divisor n' of n (block
lemma). False: De Sa's matrices, whose eigenvalue Re (1 + ic)^k is computed in rationals. Unknown: all else.

Main definitions: `Standing`, `pair_standings`, `certified_halves`, `de_sa_eigenvalue`, `de_sa_witness`.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from fractions import Fraction

from constructions.am_gm import certificate_path, largest_c, shipped_certificates
from constructions.errors import require_int
from theory.am_gm.checkers import verify_certificate


class Standing(StrEnum):
    TRUE = "true"
    FALSE = "false"
    UNKNOWN = "unknown"


def certified_halves(names: Iterable[str] | None = None) -> dict[tuple[int, int], frozenset[str]]:
    """(n, m) -> the sides that these shipped certificates (all when None) prove: each file is verified here."""
    found: dict[tuple[int, int], frozenset[str]] = {}
    for name in shipped_certificates() if names is None else names:
        report = verify_certificate(certificate_path(name))
        if report.proves_inequality:
            found[report.n, report.m] = found.get((report.n, report.m), frozenset()) | {report.side}
    return found


def de_sa_eigenvalue(c: Fraction, k: int) -> Fraction:
    """Re (1 + ic)^k: the eigenvalue of De Sa's E_wo[k] at the vector of ones, for every n ≥ k with c² ≤ 1/(n − 1)."""
    real, imaginary = Fraction(1), Fraction(0)
    for _ in range(k):
        real, imaginary = real - c * imaginary, imaginary + c * real
    return real


def de_sa_witness(n: int, k: int) -> Fraction | None:
    """An admissible c = p/100 with |Re (1 + ic)^k| > 1, hence the inequality false at (n, k); None if there is none."""
    require_int("n", n, 2)
    require_int("k", k, 1, n)
    top = largest_c(n)
    values = {c: abs(de_sa_eigenvalue(c, k)) for c in (Fraction(p, 100) for p in range(1, int(top * 100) + 1))}
    best = max(values, key=lambda c: (values[c], c), default=None)
    return best if best is not None and values[best] > 1 else None


def pair_standings(most: int) -> dict[tuple[int, int], Standing]:
    """(n, k) -> its standing, 2 ≤ n ≤ most and 1 ≤ k ≤ n. AssertionError for a pair both true and false."""
    require_int("most", most, 2, 60)
    both = {pair for pair, sides in certified_halves().items() if sides == {"upper", "lower"}}
    found = {}
    for n in range(2, most + 1):
        for k in range(1, n + 1):
            true = k <= 2 or any((d, k) in both for d in range(k, n + 1) if n % d == 0)
            false = de_sa_witness(n, k) is not None
            assert not (true and false), (n, k)
            found[n, k] = Standing.TRUE if true else Standing.FALSE if false else Standing.UNKNOWN
    return found
