"""Closed forms of means of products: De Sa's family, independent random matrices, partitions into blocks.

De Sa's matrices A_k = I + 1y_kᵀ + y_k1ᵀ, y_k = c(e_k − 1/n), send α1 + Σβ_jy_j to the same with
α + c²(β_k − Σβ_j/n) and β_k + nα: the mean product is Re (1+ic)^m at the vector of ones, and everything else about it
follows by averaging over the place of one letter. All their means commute with permutations of the coordinates and so
have two eigenvalues, one at the vector of ones and one on its complement.

Main definitions: `Spectrum`, `de_sa_mean`, `de_sa_square`, `trace_moment`, `mean_with`, `mean_without`, `square_with`,
`square_without`, `block_weight`.
Main statements (docs/am_gm.md): Lemma 2 (`block_weight`), the closed form of De Sa's family, Theorem 6.
Implementation notes: rationals and sympy polynomials; nothing is rounded.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from fractions import Fraction
from functools import cache
from typing import NamedTuple

import sympy

from constructions.errors import require_bool, require_choice, require_instance, require_int

N, D = sympy.symbols("n d", positive=True)
"""How many matrices are drawn, and their size."""

LAWS = ("wishart", "kaczmarz")
"""gg' with g ~ N(0, I_d), and I − uu' with u uniform on the sphere."""

MOST_LETTERS = 64
LONGEST = 6  # (2k−1)!! pairings


class Spectrum(NamedTuple):
    """Eigenvalues at the vector of ones, and on its complement."""

    ones: Fraction
    complement: Fraction

    @property
    def norm(self) -> Fraction:
        return max(abs(self.ones), abs(self.complement))


# --- De Sa's family -------------------------------------------------------------------------------------


def de_sa_mean(n: int, c: Fraction | int, m: int) -> Spectrum:
    """The eigenvalues of De Sa's E_wo[m], 1 ≤ m ≤ n: Re (1+ic)^m, and the one on the complement.

    For every rational c; the matrices are positive semidefinite iff c² ≤ 1/(n−1), and their mean is I.
    """
    c = _require_family(n, c, m)
    alpha, _ = _walk(n, c, m, None)
    total = Fraction(0)
    for weight, place in _places(n, m):
        _, betas = _walk(n, c, m, place)
        own = betas[place]
        # given the letter l at this place, each other y_j is −y_l/(n−1) in the mean
        total += weight * (own - (sum(betas) - own) / (n - 1))
    return Spectrum(alpha, total)


def de_sa_square(n: int, c: Fraction | int, m: int, *, epochs: int = 1, replacement: bool = False) -> Spectrum:
    """The eigenvalues of the nested mean of `epochs` epochs of m steps each, 1 ≤ m ≤ n: v'Ñv is the mean of |…v|²."""
    c = _require_family(n, c, m)
    require_int("epochs", epochs, 1)
    require_bool("replacement", replacement)
    projection, identity = _channel_with(n, c, m) if replacement else _channel_without(n, c, m)
    ones, complement = Fraction(1), Fraction(1)
    for _ in range(epochs):
        # M = ones·P + complement·Q, P the projection to the vector of ones, Q = I − P
        ones, complement = (ones * p + complement * (i - p) for p, i in zip(projection, identity, strict=True))
    return Spectrum(ones, complement)


def _walk(n: int, c: Fraction, m: int, place: int | None) -> tuple[Fraction, list[Fraction]]:
    """α and β after the letters 0, …, m−1 from the vector of ones, or from y_l with the letter l = `place` ≤ m."""
    alpha, betas = Fraction(int(place is None)), [Fraction(0)] * (m + 1)
    if place is not None:
        betas[place] = Fraction(1)
    for k in range(m):
        total = sum(betas, Fraction(0))
        alpha, betas[k] = alpha + c * c * (betas[k] - total / n), betas[k] + n * alpha
    return alpha, betas


def _places(n: int, m: int) -> Iterator[tuple[Fraction, int]]:
    """(probability, place) of a fixed letter among m of n in uniform order; m where it does not occur."""
    yield from ((Fraction(1, n), place) for place in range(m))
    if m < n:
        yield Fraction(n - m, n), m


def _square(n: int, c: Fraction, alpha: Fraction, betas: list[Fraction]) -> Fraction:
    """|α1 + Σβ_jy_j|²."""
    total, squares = sum(betas, Fraction(0)), sum((b * b for b in betas), Fraction(0))
    return n * alpha * alpha + c * c * (squares - total * total / n)


def _channel_without(n: int, c: Fraction, m: int) -> tuple[Spectrum, Spectrum]:
    """What one epoch makes of P and of I."""
    alpha, betas = _walk(n, c, m, None)
    if c == 0:
        return Spectrum(Fraction(1), Fraction(0)), Spectrum(Fraction(1), Fraction(1))
    length = c * c * (1 - Fraction(1, n))
    walks = [(weight, *_walk(n, c, m, place)) for weight, place in _places(n, m)]
    projection = Spectrum(alpha * alpha, sum((w * n * a * a for w, a, _ in walks), Fraction(0)) / length)
    identity = Spectrum(
        _square(n, c, alpha, betas) / n, sum((w * _square(n, c, a, b) for w, a, b in walks), Fraction(0)) / length
    )
    return projection, identity


def _channel_with(n: int, c: Fraction, m: int) -> tuple[Spectrum, Spectrum]:
    """A step makes P to P + c²Q and Q to c²(n−1)P + Q."""
    pairs = []
    for ones, complement in ((Fraction(1), Fraction(0)), (Fraction(1), Fraction(1))):
        for _ in range(m):
            ones, complement = ones + c * c * (n - 1) * complement, complement + c * c * ones
        pairs.append(Spectrum(ones, complement))
    return pairs[0], pairs[1]


def _require_family(n: int, c: Fraction | int, m: int) -> Fraction:
    require_int("n", n, 2, MOST_LETTERS)
    require_int("m", m, 1, n)
    if isinstance(c, bool):
        raise TypeError(f"`c` must be a Fraction or an integer, got {c}")
    return Fraction(require_instance("c", c, (Fraction, int)))


# --- independent random matrices ------------------------------------------------------------------------


def trace_moment(k: int, law: str = "wishart") -> sympy.Expr:
    """(1/d)·E tr (Σ_{i≤n} v_iv_i')^k in n and d, 1 ≤ k ≤ 6: v normal ("wishart"), or uniform on the sphere
    ("kaczmarz").

    Wick: a sum over the equal ones among the k indices and over the pairings of their 2s coordinates each, every loop
    of joined coordinates a factor d; on the sphere E|g|^{2s} = d(d+2)⋯(d+2s−2) is divided out of each.
    """
    require_int("k", k, 1, LONGEST)
    return _trace_moment(k, require_choice("law", law, LAWS))


@cache
def _trace_moment(k: int, law: str) -> sympy.Expr:
    total = sympy.Integer(0)
    for blocks in _set_partitions(k):
        loops = sum((D ** _loops(k, pairing) for pairing in _pairings_within(blocks)), sympy.Integer(0))
        if law == "kaczmarz":
            loops /= sympy.prod(sympy.prod(D + 2 * j for j in range(len(block))) for block in blocks)
        total += sympy.ff(N, len(blocks)) * loops
    return sympy.cancel(sympy.expand_func(total) / D)


def mean_with(k: int, law: str) -> sympy.Expr:
    """E E_wr[k] = this multiple of I, in n and d."""
    require_int("k", k, 1, LONGEST)
    require_choice("law", law, LAWS)
    if law == "wishart":
        return sympy.cancel(trace_moment(k, law) / N**k)
    terms = (sympy.binomial(k, j) * (-1) ** j * trace_moment(j, law) / N**j for j in range(1, k + 1))
    return sympy.cancel(1 + sum(terms))


def mean_without(k: int, law: str) -> sympy.Expr:
    """E E_wo[k] = (E A)^k = this multiple of I."""
    require_int("k", k, 1)
    return {"wishart": sympy.Integer(1), "kaczmarz": 1 - 1 / D}[require_choice("law", law, LAWS)] ** k


def square_without(k: int, law: str) -> sympy.Expr:
    """The mean of the nested product without replacement, (E A²)^k, as a multiple of I."""
    require_int("k", k, 1)
    return _second_moment(law) ** k


def square_with(law: str) -> sympy.Expr:
    """The same with replacement for k = 2: ((1 − 1/n)(E A²)² + E A⁴/n), for a law that no rotation changes."""
    fourth = {"wishart": (D + 2) * (D + 4) * (D + 6), "kaczmarz": 1 - 1 / D}[require_choice("law", law, LAWS)]
    return (1 - 1 / N) * _second_moment(law) ** 2 + fourth / N


def _second_moment(law: str) -> sympy.Expr:
    return {"wishart": D + 2, "kaczmarz": 1 - 1 / D}[require_choice("law", law, LAWS)]


def _set_partitions(k: int) -> Iterator[list[list[int]]]:
    if k == 0:
        yield []
        return
    for blocks in _set_partitions(k - 1):
        for i in range(len(blocks)):
            yield [*blocks[:i], [*blocks[i], k - 1], *blocks[i + 1 :]]
        yield [*blocks, [k - 1]]


def _pairings(items: list[int]) -> Iterator[list[tuple[int, int]]]:
    if not items:
        yield []
        return
    for i in range(1, len(items)):
        for rest in _pairings([*items[1:i], *items[i + 1 :]]):
            yield [(items[0], items[i]), *rest]


def _pairings_within(blocks: list[list[int]]) -> Iterator[list[tuple[int, int]]]:
    """Pairings of the ends 2t, 2t+1 of the factors t, ends of one block with each other only."""
    choices = [list(_pairings([end for t in block for end in (2 * t, 2 * t + 1)])) for block in blocks]
    for parts in itertools.product(*choices):
        yield [pair for part in parts for pair in part]


def _loops(k: int, pairing: list[tuple[int, int]]) -> int:
    """Loops of coordinates: v_t has the coordinates a_t and a_{t+1} at its ends 2t and 2t+1."""
    names = list(range(k))
    for one, other in pairing:
        a, b = (names[(end + 1) // 2 % k] for end in (one, other))
        names = [a if name == b else name for name in names]
    return len(set(names))


# --- blocks ---------------------------------------------------------------------------------------------


def block_weight(q: int, n: int, k: int) -> int:
    """How many of the ordered partitions of qn indices into n blocks of q have k given distinct indices in the blocks
    1, …, k, one each: the same for every choice of the indices."""
    require_int("q", q, 1, 100)
    require_int("n", n, 1, 100)
    require_int("k", k, 1, n)
    return math.factorial(q * n - k) // (math.factorial(q - 1) ** k * math.factorial(q) ** (n - k))
