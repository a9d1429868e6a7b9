"""Proof files of the claims about the matrix inequality: the certificates as they are, and identities in formulas."""

from __future__ import annotations

import json
from collections.abc import Sequence
from fractions import Fraction

from flint import fmpq_mat

from constructions.am_gm import certificate_path, de_sa_family
from theory.exact import fraction
from theory.proofs import MATRICES, Producer, Proof, facts

MATRIX_MEANS = {
    **MATRICES,
    "n": "len(A)",
    "unit": "[[1*(i == j) for j in range(n)] for i in range(n)]",
    "ones": "[1 for i in range(n)]",
    "five": "lambda s: mul(A[s[0]], mul(A[s[1]], mul(A[s[2]], mul(A[s[3]], A[s[4]]))))",
    "orders": "permutations(range(n), n)",
    "shaped": "lambda M: M == [[M[0][1] + (M[0][0] - M[0][1])*(i == j) for j in range(n)] for i in range(n)]",
    "at_ones": "lambda M: M[0][0] + (n - 1)*M[0][1]",
    "beside": "lambda M: M[0][0] - M[0][1]",
}
"""`at_ones` and `beside` are the eigenvalues of a matrix that is `shaped`: at the vector of ones, and beside it."""


def _certificates(*names: str) -> list[Proof]:
    """The files, and that their bounds are those of the inequality."""
    contents = [json.loads(certificate_path(name).read_text(encoding="utf-8")) for name in names]
    return [("matrix_inequality", fields) for fields in contents]


def _both(pairs: list[tuple[int, int]]) -> list[Proof]:
    files = _certificates(*(f"n{n}m{m}_{side}" for n, m in pairs for side in ("upper", "lower")))
    stated = [[fields["n"], fields["m"], fields["bound"]] for _, fields in files]
    text = "all([row[2] <= prod(range(row[0] - row[1] + 1, row[0] + 1)) for row in bounds])"
    return [*files, facts(text, f"len(bounds) == {2 * len(pairs)}", data={"bounds": stated})]


def _rows(matrix: fmpq_mat) -> list[list[Fraction]]:
    return [[fraction(v) for v in row] for row in matrix.table()]


def factored(matrix: Sequence[Sequence[Fraction]]) -> tuple[list[list[Fraction]], list[Fraction]]:
    """(L, D) with matrix = L·diag(D)·Lᵀ, by elimination; for positive semidefinite matrices."""
    rest, size = [list(row) for row in matrix], len(matrix)
    lower = [[Fraction(int(i == j)) for j in range(size)] for i in range(size)]
    pivots = []
    for k in range(size):
        pivot = rest[k][k]
        pivots.append(pivot)
        for i in range(k + 1, size):
            lower[i][k] = rest[i][k] / pivot if pivot else Fraction(0)
        for i in range(k + 1, size):
            for j in range(k + 1, size):
                rest[i][j] -= lower[i][k] * rest[k][j]
    return lower, pivots


POSITIVE = (
    "all([mul(mul(L, [[D[i]*(i == j) for j in range(n)] for i in range(n)]), flip(L)) == M "
    "for M, L, D in zip({0}, {1}, {2})])",
    "all([d >= 0 for D in {2} for d in D])",
)
"""Every matrix is L·diag(D)·Lᵀ with D ≥ 0."""


def _positive(matrices: str, lower: str, pivots: str) -> list[str]:
    return [part.format(matrices, lower, pivots) for part in POSITIVE]


def _five_constant() -> list[Proof]:
    family = [_rows(M) for M in de_sa_family(5, Fraction(1, 2), exact=True)]
    parts = [factored(M) for M in family]
    data = {"A": family, "lower": [p[0] for p in parts], "pivots": [p[1] for p in parts]}
    least = facts(
        *_positive("A", "lower", "pivots"),
        "add(A) == [[5*v for v in row] for row in unit]",
        "sum([times(five(s), ones)[i] for s in orders for i in range(n)])/n == 0 - 285/2",
        "120 < 285/2",
        "285/2 <= 14466/100",
        data=data,
        definitions=MATRIX_MEANS,
    )
    return [*_certificates("n5m5_upper", "n5m5_lower_weak"), least]


def _mean_against_square() -> list[Proof]:
    family = [[[v / 2 for v in row] for row in _rows(M)] for M in de_sa_family(5, Fraction(1, 2), exact=True)]
    rest = [[[int(i == j) - v for j, v in enumerate(row)] for i, row in enumerate(M)] for M in family]
    below, above = [factored(M) for M in family], [factored(M) for M in rest]
    data = {"A": family, "lower": [p[0] for p in below], "pivots": [p[1] for p in below]}
    data |= {"lower_rest": [p[0] for p in above], "pivots_rest": [p[1] for p in above]}
    definitions = {
        **MATRIX_MEANS,
        "rest": "[[[unit[i][j] - M[i][j] for j in range(n)] for i in range(n)] for M in A]",
        "scaled": "lambda M, c: [[v*c for v in row] for row in M]",
        "mean": "scaled(add(A), 1/n)",
        "without": "scaled(add([five(s) for s in orders]), 1/factorial(n))",
        "repeated": "mul(mean, mul(mean, mul(mean, mul(mean, mean))))",
        "nested": "scaled(add([mul(five(s), flip(five(s))) for s in orders]), 1/factorial(n))",
        "once": "lambda M: scaled(add([mul(mul(C, M), C) for C in A]), 1/n)",
        "nested_repeated": "once(once(once(once(once(unit)))))",
    }
    return [
        facts(
            *_positive("A", "lower", "pivots"),
            *_positive("rest", "lower_rest", "pivots_rest"),
            "times(without, ones) == [0 - 19/512 for i in range(n)]",
            "shaped(without)",
            "abs(beside(without)) <= 19/512",
            "repeated == scaled(unit, 1/32)",
            "19/512 > 1/32",
            "shaped(nested)",
            "shaped(nested_repeated)",
            "0 <= at_ones(nested) < at_ones(nested_repeated)",
            "0 <= beside(nested) <= beside(nested_repeated)",
            "max(at_ones(nested), beside(nested)) < max(at_ones(nested_repeated), beside(nested_repeated))",
            data=data,
            definitions=definitions,
        )
    ]


def _pairs() -> list[Proof]:
    """Products of linear forms c_0 + Σ c_i A_i as matrices of coefficients; letters do not commute."""
    definitions = {
        **MATRICES,
        "square": "lambda a, b: [[x*y for y in b] for x in a]",
        "scaled": "lambda M, c: [[v*c for v in row] for row in M]",
        "words": "lambda M: [[M[0][0]], [M[0][i] + M[i][0] for i in range(1, len(M))], "
        "[[M[i][j] for j in range(1, len(M))] for i in range(1, len(M))]]",
        "constant": "lambda n, c: [[c*(i == 0)*(j == 0) for j in range(n + 1)] for i in range(n + 1)]",
        "f": "lambda n: [[1*(i > 0)*(j > 0)*(i != j) for j in range(n + 1)] for i in range(n + 1)]",
        "S": "lambda n, c, s: [c] + [s for i in range(n)]",
        "centred": "lambda n, i: [0] + [(i == j) - 1/n for j in range(n)]",
        "letter": "lambda n, i, c, s: [c] + [s*(i == j) for j in range(n)]",
        "upper": "lambda n: add([square(centred(n, i), centred(n, i)) for i in range(n)] + "
        "[scaled(square(S(n, n, 0 - 1), S(n, n, 1)), 1 - 1/n)])",
        "lower": "lambda n: add([square(S(n, 0 - n/2, 1), S(n, 0 - n/2, 1))] + "
        "[square(letter(n, i, 0, 1), letter(n, i, n, 0 - 1)) for i in range(n)] + [constant(n, n*(3*n - 4)/4)])",
    }
    return [
        facts(
            "all([words(add([constant(n, n*(n - 1)), scaled(f(n), 0 - 1)])) == words(upper(n)) for n in range(2, 7)])",
            "all([words(add([constant(n, n*(n - 1)), f(n)])) == words(lower(n)) for n in range(2, 7)])",
            "N*(N*(N - 1) - (T**2 - Q)) == N*Q - 2*T**2 + T**2 + (N - 1)*(N - T)*(N + T)",
            "4*(N*(N - 1) + (T**2 - Q)) == (2*T - N)**2 + 4*(N*T - Q) + N*(3*N - 4)",
            "all([c >= 0 for c in coefficients((N + 2)*(3*(N + 2) - 4))])",
            definitions=definitions,
            variables=("N", "T", "Q"),
        )
    ]


def _two_forms() -> list[Proof]:
    """Both forms at De Sa's matrices times c, a zero row beside them: the mean is c times a projection, and f over c^k
    has (n)_k times the eigenvalues of the mean product. And the weights of blocks: by all partitions of 6 indices."""
    families = [[_rows(M) for M in de_sa_family(n, exact=True)] for n in (3, 4, 5)]
    definitions = {
        **MATRICES,
        "unit": "lambda n: [[1*(i == j) for j in range(n)] for i in range(n)]",
        "scaled": "lambda M, c: [[v*c for v in row] for row in M]",
        "two": "lambda A, s: mul(A[s[0]], A[s[1]])",
        "three": "lambda A, s, k: A[s[2]] if k == 3 else (mul(A[s[2]], A[s[3]]) if k == 4 else "
        "mul(A[s[2]], mul(A[s[3]], A[s[4]])))",
        "product_of": "lambda A, s, k: two(A, s) if k == 2 else mul(two(A, s), three(A, s, k))",
        "mean": "lambda A, k: scaled(add([product_of(A, s, k) for s in permutations(range(len(A)), k)]), "
        "1/len(permutations(range(len(A)), k)))",
        "eigenvalues": "lambda M: [M[0][0] + (len(M) - 1)*M[0][1], M[0][0] - M[0][1]]",
        "shaped": "lambda M: M == [[M[0][1] + (M[0][0] - M[0][1])*(i == j) for j in range(len(M))] "
        "for i in range(len(M))]",
        "means": "[[A, k, mean(A, k)] for A in families for k in range(2, len(A) + 1)]",
        "falling": "lambda n, k: prod([n - j for j in range(k)])",
        "norm_form": "lambda q, c: max([abs(c**q[1]*e) for e in eigenvalues(q[2])]) <= c**q[1]",
        "loewner_form": "lambda q: all([0 - falling(len(q[0]), q[1]) <= falling(len(q[0]), q[1])*e "
        "<= falling(len(q[0]), q[1]) for e in eigenvalues(q[2])])",
        "sizes": "lambda b: [len([1 for x in b if x == v]) for v in [0, 1, 2]]",
        "blocks": "[b for b in product([0, 1, 2], 6) if sizes(b) == [2, 2, 2]]",
        "weight": "lambda t: len([1 for b in blocks if [b[i] for i in t] == [0, 1, 2]])",
    }
    return [
        facts(
            "all([add(A) == scaled(unit(len(A)), len(A)) for A in families])",
            "all([shaped(q[2]) for q in means])",
            "all([norm_form(q, c) == loewner_form(q) for q in means for c in [1, 3/7, 5/2]])",
            "any([loewner_form(q) for q in means])",
            "any([not loewner_form(q) for q in means])",
            "all([weight(t) == weight([0, 1, 2]) for t in permutations(range(6), 3)])",
            "len(blocks)*2**3 == weight([0, 1, 2])*falling(6, 3)",
            "len(blocks) == factorial(6)/factorial(2)**3",
            data={"families": families},
            definitions=definitions,
        )
    ]


def _random_iid() -> list[Proof]:
    """The uniform law on De Sa's five matrices, all 25 pairs; and numbers: E(vv')^k of one dimension by the moments of
    chi-square with n degrees of freedom, products of two in every dimension D + 1 with D ≥ 0 and N + 1 matrices."""
    family = [_rows(M) for M in de_sa_family(5, exact=True)]
    definitions = {
        **MATRICES,
        "scaled": "lambda M, c: [[v*c for v in row] for row in M]",
        "unit": "[[1*(i == j) for j in range(5)] for i in range(5)]",
        "ones": "[1 for i in range(5)]",
        "pairs": "[[A, B] for A in family for B in family]",
        "without": "scaled(add([mul(p[0], p[1]) for p in pairs] + [mul(p[1], p[0]) for p in pairs]), 1/50)",
        "half": "lambda p: scaled(add(p), 1/2)",
        "with_": "scaled(add([mul(half(p), half(p)) for p in pairs]), 1/25)",
    }
    return [
        facts(
            "scaled(add(family), 1/5) == unit",
            "without == unit",
            "sum(times(with_, ones))/5 >= 1",
            "all([sum([x*y for x, y in zip(times(with_, e), e)]) >= 1 for e in unit])",
            "all([c >= 0 for k in range(2, 5) "
            "for c in coefficients(prod([N + 1 + 2*j for j in range(k)]) - (N + 1)**k)])",
            # of E(vv')² = (d + 2)·1 in d dimensions: n²(with − without) = n(d + 2) + n(n − 1) − n²
            "(N + 1)*(D + 3) + (N + 1)*N - (N + 1)**2 == (N + 1)*(D + 2)",
            data={"family": family},
            definitions=definitions,
            variables=("N", "D"),
        )
    ]


PROOFS: dict[str, Producer] = {
    "two_forms": lambda context, folder: _two_forms(),
    "random_iid": lambda context, folder: _random_iid(),
    "pairs": lambda context, folder: _pairs(),
    "three": lambda context, folder: _both([(3, 2), (3, 3)]),
    "four": lambda context, folder: _both([(4, 2), (4, 3), (4, 4)]),
    "certified_pairs": lambda context, folder: _both([(5, 3), (5, 4), (6, 3), (6, 4), (6, 5)]),
    "five_constant": lambda context, folder: _five_constant(),
    "mean_against_square": lambda context, folder: _mean_against_square(),
}
"""N, T, Q of `pairs` stand for n, ΣA_i and ΣA_i²; of the letters only T is ever multiplied with itself."""
