"""The verifier of certificate files: it reads the file itself and trusts nothing in it but the numbers.

A file claims, in the free algebra over the letters x_0, …, x_{n−1},

    bound − s f = Σ_i Σ_{u,v} G_i[u,v] u*·x_i·v + Σ_{u,v} H[u,v] u*·(n − Σ_k x_k)·v,

f the sum of the products of m distinct letters in every order, u* the reversed word, G_i[u,v] = G_0[τu,τv], τ = (0 i).
If this holds coefficient by coefficient and H, G_0 are positive semidefinite, then s f(A) ⪯ bound·I for all positive
semidefinite A_0, …, A_{n−1} of any one size, real or complex, with ΣA_i ⪯ nI. Both are decided in integers.

Main definitions: `verify_certificate`, `verify_text`, `CertificateReport`.
References: docs/am_gm.md.
"""

from __future__ import annotations

import hashlib
import itertools
import math
import os
import time
from collections import defaultdict
from dataclasses import dataclass
from fractions import Fraction

from constructions.errors import BudgetExceeded, StoreError
from theory.am_gm.checkers.elimination import positive_rank
from theory.am_gm.checkers.reading import Numbers, Word, read_file, read_text, spelled
from theory.claim import Report


@dataclass(frozen=True)
class CertificateReport(Report):
    """What one file proves when it `holds`: s f(A) ⪯ bound·I, s = 1 for the side "upper" and −1 for "lower".

    Of `words` coefficients `mismatches` differ; `h_rank` and `g_rank` are None where the matrix is not positive
    semidefinite, or the identity fails already.
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
    sha256: str

    @property
    def size(self) -> int:
        """Rows of H and of G_0."""
        return sum(self.n**j for j in range(self.m // 2 + 1))

    @property
    def proves_inequality(self) -> bool:
        """Whether this is half of ‖E_wo[m]‖ ≤ ‖mean‖^m at (n, m): it holds, with a bound of at most n!/(n − m)!."""
        return self.holds and self.bound <= math.perm(self.n, self.m)


def verify_certificate(path: str | os.PathLike) -> CertificateReport:
    """The report on a file.

    OSError when it cannot be read, StoreError when it is not of the format, BudgetExceeded when it is too large.
    """
    started = time.perf_counter()
    numbers, data = read_file(path)
    return _report(numbers, data, started)


def verify_text(text: str | bytes) -> CertificateReport:
    """The report on the text of a file; TypeError, StoreError or BudgetExceeded when there is none."""
    started = time.perf_counter()
    if not isinstance(text, (str, bytes)):
        raise TypeError(f"`text` must be a str or bytes, got {type(text).__name__}")
    data = text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
    try:
        return _report(read_text(data), data, started)
    except (StoreError, BudgetExceeded) as err:
        raise type(err)(f"`text` is refused: {err}") from err


def _report(numbers: Numbers, data: bytes, started: float) -> CertificateReport:
    excess = differences(numbers)
    wrong = [word for word, value in excess.items() if value]
    ranks: dict[str, int | None] = {"H": None, "G": None}
    failure = None
    if wrong:
        first = min(wrong, key=lambda w: (len(w), w))
        by = Fraction(excess[first], numbers.denominator)
        places = "1 word" if len(wrong) == 1 else f"{len(wrong)} words"
        failure = f"the identity fails at {places}, first at {_named(first)}, by {shown_number(by)}"
    else:
        for name, rows in (("H", numbers.h), ("G", numbers.g)):
            found = positive_rank(rows)
            if isinstance(found, int):
                ranks[name] = found
            else:
                pivot, why = found
                word = _named(numbers.words[pivot])
                failure = failure or f"{name} is not positive semidefinite: at {word} (row {pivot}) {why}"
    return CertificateReport(
        failure,
        numbers.n,
        numbers.m,
        numbers.side,
        numbers.bound,
        len(excess),
        len(wrong),
        ranks["H"],
        ranks["G"],
        time.perf_counter() - started,
        hashlib.sha256(data).hexdigest(),
    )


def differences(numbers: Numbers) -> dict[Word, int]:
    """Word -> the right side's coefficient minus the left side's, times the common denominator, of every word that can
    occur."""
    n, words, h, g = numbers.n, numbers.words, numbers.h, numbers.g
    index = {word: a for a, word in enumerate(words)}
    excess: dict[Word, int] = defaultdict(int)
    for i in range(n):
        swap = {0: i, i: 0}
        moved = [index[tuple(swap.get(letter, letter) for letter in word)] for word in words]
        for a, u in enumerate(words):
            head, g_row, h_row = (*u[::-1], i), g[moved[a]], h[a]
            for b, v in enumerate(words):
                excess[head + v] += g_row[moved[b]] - h_row[b]
    for a, u in enumerate(words):
        head, h_row = u[::-1], h[a]
        for b, v in enumerate(words):
            excess[head + v] += n * h_row[b]
    excess[()] -= numbers.bound.numerator * (numbers.denominator // numbers.bound.denominator)
    for word in itertools.permutations(range(n), numbers.m):
        excess[word] += numbers.sign * numbers.denominator
    return dict(excess)


def shown_number(value: Fraction) -> str:
    """A rational number as a sentence quotes it."""
    text = str(value)
    return text if len(text) <= 40 else f"about {float(value):.6g}"


def _named(word: Word) -> str:
    return f"the word {spelled(word)}" if word else "the empty word"
