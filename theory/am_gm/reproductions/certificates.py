"""What the certificate files prove: n = 3, n = 4, five more pairs with their multiples, and the constant at (5, 5)."""

from __future__ import annotations

import math
import random
from fractions import Fraction

from flint import fmpq, fmpq_mat, nmod_mat

from constructions.am_gm import certificate_path, de_sa_family, expected_product_exact
from theory.am_gm.checkers import CertificateReport, loewner_le, positive_semidefinite, verify_certificate
from theory.am_gm.checkers.reading import Numbers, read_file
from theory.claim import Context, Evidence, Report, Status, Table, Verdict, ensure

COLUMNS = ("file", "n", "m", "side", "bound", "words", "rank_H", "rank_G", "sha256")
PRIME = 2**61 - 1
SIZE = 6  # of the random matrices: words of at most 5 letters vanish on none of them identically
MULTIPLES_UP_TO = 24


def three(context: Context) -> Verdict:
    """n = 3: products of two and of three, both halves; k = 1 is an equality."""
    rows = _both_halves(context, [(3, 2), (3, 3)])
    reason = "both halves at (3, 2) and (3, 3): identities in the free algebra and positive pivots, in integers"
    return _proved(rows, reason)


def four(context: Context) -> Verdict:
    """n = 4: products of two, three and four, both halves; the identities once more at random matrices modulo a
    prime."""
    pairs = [(4, 2), (4, 3), (4, 4)]
    rows = _both_halves(context, pairs)
    trials = 20 if context.full else 2
    for n, m in pairs:
        for side in ("upper", "lower"):
            context.log(f"the identity of ({n}, {m}), {side}, at random matrices")
            numbers, _ = read_file(certificate_path(f"n{n}m{m}_{side}"))
            ensure(_identity_at_matrices(numbers, trials, context.seed), f"n{n}m{m}_{side} at random matrices")
    reason = f"both halves at (4, 2), (4, 3), (4, 4), and their identities at {trials} random tuples modulo 2^61 - 1"
    return _proved(rows, reason, evaluations=trials * 2 * len(pairs))


def certified_pairs(context: Context) -> Verdict:
    """Five pairs, both halves, and by the block lemma every multiple of n."""
    pairs = [(5, 3), (5, 4), (6, 3), (6, 4), (6, 5)]
    rows = _both_halves(context, pairs)
    multiples = sorted({(q * n, k) for n, k in pairs for q in range(2, MULTIPLES_UP_TO // n + 1)})
    reason = f"both halves at {', '.join(map(str, pairs))}; (qn, k) for every q by the block lemma"
    return _proved(rows, reason, multiples_up_to_24=len(multiples))


def five_constant(context: Context) -> Verdict:
    """The upper half and a weaker lower half by certificates; De Sa's matrices from the other side."""
    upper = _verified(context, "n5m5_upper", 5, 5, "upper")
    ensure(upper.bound == 120, f"n5m5_upper has the bound {upper.bound}")
    weak = _verified(context, "n5m5_lower_weak", 5, 5, "lower")
    most = weak.bound
    A = de_sa_family(5, Fraction(1, 2), exact=True)
    for k, M in enumerate(A):
        ensure(positive_semidefinite(M, name=f"De Sa's matrix {k}"), "n = 5, c = 1/2")
    identity = fmpq_mat(5, 5, [int(i == j) for i in range(5) for j in range(5)])
    ensure(loewner_le(sum(A, start=fmpq_mat(5, 5)), identity * 5), "De Sa's sum exceeds 5·I")
    ones = fmpq_mat(5, 1, [1] * 5)
    value = (ones.transpose() * expected_product_exact(A, 5) * ones)[0, 0] * fmpq(math.perm(5, 5), 5)
    least = -Fraction(int(value.p), int(value.q))
    ensure(least == Fraction(285, 2), f"De Sa's matrices give {least}, not 142.5")
    ensure(120 < least <= most <= Fraction(14466, 100), f"{least} ≤ λ ≤ {most} is not what is stated")
    rows = [_row("n5m5_upper", upper), _row("n5m5_lower_weak", weak)]
    reason = f"f ⪯ 120·I at (5, 5); the least λ with -f ⪯ λ·I lies between {least} and {most}, above 120"
    return _proved(rows, reason, least=str(least), most=str(most))


# --- certificates ---------------------------------------------------------------------------------------


def _both_halves(context: Context, pairs: list[tuple[int, int]]) -> list[tuple]:
    rows = []
    for n, m in pairs:
        for side in ("upper", "lower"):
            name = f"n{n}m{m}_{side}"
            report = _verified(context, name, n, m, side)
            ensure(report.proves_inequality, f"{name}: its bound {report.bound} is above {math.perm(n, m)}")
            rows.append(_row(name, report))
    return rows


def _verified(context: Context, name: str, n: int, m: int, side: str) -> CertificateReport:
    """The report of a shipped file that holds and speaks of (n, m) and this side."""
    context.log(f"{name}: the coefficients of all words, and the pivots")
    report = verify_certificate(certificate_path(name))
    ensure(report, name)
    found = (report.n, report.m, report.side)
    ensure(found == (n, m, side), f"{name} speaks of {found}")
    return report


def _row(name: str, report: CertificateReport) -> tuple:
    ranks = (str(report.h_rank), str(report.g_rank))
    return (name, report.n, report.m, report.side, str(report.bound), report.words, *ranks, report.sha256)


def _proved(rows: list[tuple], reason: str, **numbers: int | str) -> Verdict:
    found = {"files": len(rows), "words": sum(row[5] for row in rows), **numbers}
    return Verdict(Status.PROVED, Evidence.EXACT, reason, found, tables={"certificates": Table(COLUMNS, tuple(rows))})


# --- a second truth: the identity at matrices -----------------------------------------------------------


def _identity_at_matrices(numbers: Numbers, trials: int, seed: int) -> Report:
    """bound − s f = Σ G_i[u,v] u*·x_i·v + Σ H[u,v] u*·(n − Σx)·v at random matrices modulo 2⁶¹ − 1, times the common
    denominator: polynomials of degree below 12 that vanish on all 6×6 matrices are 0."""
    draw = random.Random(seed)
    for trial in range(trials):
        X = [nmod_mat(SIZE, SIZE, [draw.randrange(PRIME) for _ in range(SIZE**2)], PRIME) for _ in range(numbers.n)]
        if _left_side(numbers, X) != _right_side(numbers, X):
            return Report(f"the two sides differ at the random matrices {trial} of seed {seed}")
    return Report()


def _left_side(numbers: Numbers, X: list[nmod_mat]) -> nmod_mat:
    """(bound − s f)·denominator; f by f = Σ over the last letter of the sums without it."""
    level = {0: _unit()}
    for _ in range(numbers.m):
        above: dict[int, nmod_mat] = {}
        for subset, total in level.items():
            for i, M in enumerate(X):
                if not subset >> i & 1:
                    above[subset | 1 << i] = above.get(subset | 1 << i, _unit() * 0) + total * M
        level = above
    f = sum(level.values(), start=_unit() * 0)
    bound = numbers.bound * numbers.denominator
    return _unit() * int(bound % PRIME) - f * (numbers.sign * numbers.denominator % PRIME)


def _right_side(numbers: Numbers, X: list[nmod_mat]) -> nmod_mat:
    rest = _unit() * numbers.n
    for M in X:
        rest = rest - M
    total = _sandwiched(numbers.h, numbers.words, X, rest)
    for i in range(numbers.n):
        # G_i at x is G_0 at x with the letters 0 and i exchanged
        Y = list(X)
        Y[0], Y[i] = X[i], X[0]
        total = total + _sandwiched(numbers.g, numbers.words, Y, Y[0])
    return total


def _sandwiched(M: list[list[int]], words: tuple[tuple[int, ...], ...], X: list[nmod_mat], Z: nmod_mat) -> nmod_mat:
    """Σ M[u,v] u*(X)·Z·v(X), words as products of the X_i."""
    forward, backward = [], []
    for word in words:
        there, back = _unit(), _unit()
        for i in word:
            there, back = there * X[i], X[i] * back
        forward.append(there)
        backward.append(back)
    total = _unit() * 0
    for row, left in zip(M, backward, strict=True):
        inner = _unit() * 0
        for value, right in zip(row, forward, strict=True):
            inner = inner + right * (value % PRIME)
        total = total + left * Z * inner
    return total


def _unit() -> nmod_mat:
    return nmod_mat(SIZE, SIZE, [int(i == j) for i in range(SIZE) for j in range(SIZE)], PRIME)
