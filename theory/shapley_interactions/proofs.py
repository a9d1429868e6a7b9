"""Proof files of the claims about Shapley interactions.

By symmetry an operator is known by its coefficients of v(T) in φ(S): they depend on |T ∖ S| and |T ∩ S| alone.
"""

from __future__ import annotations

import itertools
from fractions import Fraction

import sympy
from flint import fmpq_mat

from constructions.shapley_interactions import KernelSHAPIQ, TableGame
from theory.claim import Context
from theory.exact import fraction
from theory.proofs import MATRICES, Producer, Proof, facts, solution
from theory.shapley_interactions.checkers import least_squares, operators, weights
from theory.shapley_interactions.checkers.least_squares import Regression
from theory.shapley_interactions.reproductions.estimator import tables_of_games

PLAYERS = 7
INDEX = {
    "coefficient": "lambda n, s, t, l: (0 - 1)**(s - l)*factorial(n - t - s)*factorial(t)/factorial(n - s + 1)",
    "inside": "lambda n, s: [[t, l] for t in range(n - s + 1) for l in range(s + 1)]",
}
"""`coefficient`: of v(T) in φ(S), |S| = s, |T ∖ S| = t, |T ∩ S| = l, by the definition."""


def _index_forms() -> list[Proof]:
    """Σ over A ⊇ S of m(A)/(|A| − s + 1), with m(A) = Σ over T ⊆ A of (−1)^(|A| − |T|) v(T), has the coefficients of
    the definition; and so have the telescoping sums, whose coefficients are those of Δ_R v(N ∖ R) − Δ_R v(∅)."""
    definitions = {
        **INDEX,
        # A = S ∪ T and j of the n − s − t others; |A| − |T| = s − l + j
        "by_moebius": "lambda n, s, t, l: sum([comb(n - s - t, j)*(0 - 1)**(s - l + j)/(t + j + 1) "
        "for j in range(n - s - t + 1)])",
        # S = R + i: i among the r of T ∖ R, or among the n − p − r others
        "summed": "lambda n, p, r, l: (r*coefficient(n, p + 1, r - 1, l + 1) if r > 0 else 0) + "
        "((n - p - r)*coefficient(n, p + 1, r, l) if r < n - p else 0)",
        "telescoped": "lambda n, p, r, l: (0 - 1)**(p - l)*((r == n - p) - (r == 0))",
    }
    return [
        facts(
            f"all([coefficient(n, s, q[0], q[1]) == by_moebius(n, s, q[0], q[1]) for n in range(1, {PLAYERS + 1}) "
            "for s in range(1, n + 1) for q in inside(n, s)])",
            f"all([summed(n, p, q[0], q[1]) == telescoped(n, p, q[0], q[1]) for n in range(1, {PLAYERS + 1}) "
            "for p in range(n) for q in inside(n, p)])",
            definitions=definitions,
        )
    ]


def _k_sii() -> list[Proof]:
    """On unanimity games, which span all games: φ(L) = 1/(a − |L| + 1) for L ⊆ A, |A| = a."""
    numbers = [Fraction(str(sympy.bernoulli(k))) * (-1 if k == 1 else 1) for k in range(PLAYERS)]
    definitions = {
        "phi": "lambda a, s: 1/(a - s + 1)",
        "aggregated": "lambda a, s, k: sum([comb(a - s, j)*B[j]*phi(a, s + j) for j in range(min(k, a) - s + 1)])",
        "summed": "lambda a, k: sum([comb(a, s)*aggregated(a, s, k) for s in range(1, min(k, a) + 1)])",
        "step": "lambda a, s, k: comb(a - s, k - s)*B[k - s]*phi(a, k) if k <= a else 0",
    }
    return [
        facts(
            # the Bernoulli numbers
            "B[0] == 1",
            "all([sum([comb(r + 1, j)*B[j] for j in range(r + 1)]) == 0 for r in range(1, len(B))])",
            # n-SII is the Möbius transform: 1 at S = A, else 0
            "all([aggregated(a, s, a) == (s == a) for a in range(1, 7) for s in range(1, a + 1)])",
            # what is added from k − 1 to k, and at k itself the index
            "all([aggregated(a, s, k) == aggregated(a, s, k - 1) + step(a, s, k) "
            "for a in range(1, 7) for k in range(2, 7) for s in range(1, min(k - 1, a) + 1)])",
            "all([aggregated(a, k, k) == phi(a, k) for a in range(1, 7) for k in range(1, a + 1)])",
            # Φ_k adds up to the game
            "all([summed(a, k) == 1 for a in range(1, 7) for k in range(1, 7)])",
            data={"B": numbers},
            definitions=definitions,
        )
    ]


def _first_available() -> list[Proof]:
    """v(T) = Σ over Q ⊆ P of (−1)^|Q| u(Q ∪ a), as T ∋ a holds 0 or more players of P; P has r − 1 players."""
    definitions = {
        "phi_with": "lambda p, s: sum([comb(p - s + 1, j)*(0 - 1)**(s - 1 + j)/(j + 1) for j in range(p - s + 2)])",
        "phi_without": "lambda p, s: sum([comb(p - s, j)*(0 - 1)**(s + j)/(j + 2) for j in range(p - s + 1)])",
    }
    largest = PLAYERS - 1
    return [
        facts(
            f"all([sum([comb(t, j)*(0 - 1)**j for j in range(t + 1)]) == (t == 0) for t in range({largest})])",
            "all([phi_with(r - 1, s) == (0 - 1)**(s - 1)/(r - s + 1) "
            f"for r in range(1, {largest + 1}) for s in range(1, r + 1)])",
            "all([phi_without(r - 1, s) == (0 - 1)**s/((r - s)*(r - s + 1)) "
            f"for r in range(2, {largest + 1}) for s in range(1, r)])",
            definitions=definitions,
        )
    ]


# --- regressions ----------------------------------------------------------------------------------------

REGRESSION = {
    **MATRICES,
    **INDEX,
    "coalitions": "lambda n: product([0, 1], n)",
    "sets": "lambda n, k: subsets(range(n), k)",
    "common": "lambda S, T: sum([T[i] for i in S])",
    # operators on the games that are 1 on one coalition: a column a game
    "phi": "lambda n, k: [[coefficient(n, k, sum(T) - common(S, T), common(S, T)) for T in coalitions(n)] "
    "for S in sets(n, k)]",
    "mu": "lambda n, k, t: 1/((n - 2*k + 1)*comb(n - 2*k, t - k)) if k <= t <= n - k else 0",
    "less": "lambda X, Y: [[a - b for a, b in zip(x, y)] for x, y in zip(X, Y)]",
    "game": "lambda n: [[1*(T == U) for U in coalitions(n)] for T in coalitions(n)]",
    "weighted": "lambda n, k, M: [[mu(n, k, sum(T))*v for v in row] for T, row in zip(coalitions(n), M)]",
    "unit": "lambda n: [[1*(i == j) for j in range(n)] for i in range(n)]",
    "normal": "lambda n, k, X: mul(flip(X), weighted(n, k, X))",
    "gradient": "lambda n, k, X, y, f: mul(flip(X), weighted(n, k, less(y, mul(X, f))))",
}
"""A minimiser f of Σ μ(y − Xf)² under Cf = right: its gradient is C'·multipliers, and it is the only one where
X'MX + C'C, which is positive semidefinite, has an inverse."""

Rows = list[list[Fraction]]


def _fractions(matrix: fmpq_mat) -> Rows:
    return [[fraction(v) for v in row] for row in matrix.table()]


def _held(gram: fmpq_mat, constraints: fmpq_mat, gradient: fmpq_mat) -> list:
    """[multipliers, inverse of gram + C'C]."""
    turned = _fractions(constraints.transpose())
    columns = []
    for column in _fractions(gradient.transpose()):
        found = solution(turned, column)
        if found is None:
            raise ValueError("the index is no minimiser")
        columns.append(found)
    inverse = (gram + constraints.transpose() * constraints).inv()
    return [[list(row) for row in zip(*columns, strict=True)], _fractions(inverse)]


DIRECT = {
    **REGRESSION,
    "design": "[[1], [0, 1], [0, 0 - 1/2, 0]]",
    "X": "lambda n, k: [[design[k][common(S, T)] for S in sets(n, k)] for T in coalitions(n)]",
    "y1": "lambda n: [[(T == U) - (sum(U) == 0) for U in coalitions(n)] for T in coalitions(n)]",
    "y": "lambda n, k: y1(n) if k == 1 else less(y1(n), mul(X(n, 1), phi(n, 1)))",
    "outer": "lambda n, k, M: [row for T, row in zip(coalitions(n), M) if sum(T) < k or sum(T) > n - k]",
    "C": "lambda n, k: outer(n, k, X(n, k))",
    "left": "lambda n, k: less(outer(n, k, y(n, k)), mul(C(n, k), phi(n, k)))",
}
"""The design of orders 1 and 2, the residual games y, and the rows of outer coalitions."""


def _split_wls() -> list[Proof]:
    """At inner coalitions the limit of least squares has the weights of the index, and these reproduce the index from
    the residual game; so outer coalitions may keep their own weights."""
    cases = []
    for n, k in ((2, 1), (3, 1), (4, 1), (5, 1), (4, 2), (5, 2)):
        regression, index = Regression.of(n, k), operators.definition(n, k)
        x, size = regression.matrix(), 1 << n
        inner = least_squares.weighted(x, regression.weight(0))
        rows = [t for t in range(size) if t.bit_count() in regression.outer]
        outer = fmpq_mat([[x[t, j] for j in range(x.ncols())] for t in rows])
        kept = fmpq_mat(size, size, [int(i == j and i not in rows) for i in range(size) for j in range(size)])
        multipliers, inverse = _held(inner * x, outer, inner * (kept - x * (index * kept)))
        order = [sum(bit << i for i, bit in enumerate(T)) for T in itertools.product((0, 1), repeat=n)]
        places = [rows.index(t) for t in order if t in rows]
        cases.append([n, k, [[multipliers[i][t] for t in order] for i in places], inverse])
    definitions = {
        **DIRECT,
        "inside_": "lambda n, k, M: [[v*(k <= sum(U) <= n - k) for U, v in zip(coalitions(n), row)] for row in M]",
        "Q": "lambda n, k: inside_(n, k, phi(n, k))",
    }
    return [
        facts(
            "all([mul(C(c[0], c[1]), Q(c[0], c[1])) == [[0 for U in coalitions(c[0])] for row in C(c[0], c[1])] "
            "for c in cases])",
            "all([gradient(c[0], c[1], X(c[0], c[1]), inside_(c[0], c[1], game(c[0])), Q(c[0], c[1])) "
            "== mul(flip(C(c[0], c[1])), c[2]) for c in cases])",
            "all([mul(add([normal(c[0], c[1], X(c[0], c[1])), mul(flip(C(c[0], c[1])), C(c[0], c[1]))]), c[3]) "
            "== unit(len(sets(c[0], c[1]))) for c in cases])",
            "all([mul(phi(c[0], c[1]), y(c[0], c[1])) == phi(c[0], c[1]) for c in cases])",
            "any([v != 0 for c in cases for row in Q(c[0], c[1]) for v in row])",
            f"len(cases) == {len(cases)}",
            data={"cases": cases},
            definitions=definitions,
        )
    ]


def _direct_wls() -> list[Proof]:
    """The limit of ever heavier outer coalitions: least squares of their equations first, of the others then."""
    cases = []
    for n, k in ((2, 1), (3, 1), (4, 1), (5, 1), (2, 2), (3, 2), (4, 2), (5, 2)):
        regression = Regression.of(n, k)
        x, residual, index = regression.matrix(), operators.residual(n, k), operators.definition(n, k)
        inner = least_squares.weighted(x, regression.weight(0))
        rows = [t for t in range(1 << n) if t.bit_count() in regression.outer]
        outer = fmpq_mat([[x[t, j] for j in range(x.ncols())] for t in rows])
        gradient = inner * (residual - x * index)
        order = [sum(bit << i for i, bit in enumerate(T)) for T in itertools.product((0, 1), repeat=n)]
        places = [rows.index(t) for t in order if t in rows]
        multipliers, inverse = _held(inner * x, outer, gradient)
        # games and coalitions in the checker's order
        turned = [[multipliers[i][t] for t in order] for i in places]
        cases.append([n, k, turned, inverse])
    definitions = {
        **DIRECT,
    }
    return [
        facts(
            "all([mul(flip(C(c[0], c[1])), left(c[0], c[1])) "
            "== [[0 for U in coalitions(c[0])] for S in sets(c[0], c[1])] for c in cases])",
            "all([gradient(c[0], c[1], X(c[0], c[1]), y(c[0], c[1]), phi(c[0], c[1])) "
            "== mul(flip(C(c[0], c[1])), c[2]) for c in cases])",
            "all([mul(add([normal(c[0], c[1], X(c[0], c[1])), mul(flip(C(c[0], c[1])), C(c[0], c[1]))]), c[3]) "
            "== unit(len(sets(c[0], c[1]))) for c in cases])",
            f"len(cases) == {len(cases)}",
            data={"cases": cases},
            definitions=definitions,
        )
    ]


def _constrained_wls() -> list[Proof]:
    """Least squares of the game itself, by the sums of the sets that hold S, under the telescoping sums."""
    cases = []
    for n, k in ((2, 1), (3, 1), (4, 1), (5, 1), (4, 2), (5, 2)):
        unanimity = (*[Fraction(0)] * k, Fraction(1))
        x = least_squares.design_matrix(n, k, unanimity)
        by_size = weights.kernel(n, k)
        inner = least_squares.weighted(x, [by_size.get(t.bit_count(), Fraction(0)) for t in range(1 << n)])
        index = operators.definition(n, k)
        gradient = inner - inner * x * index
        multipliers, inverse = _held(inner * x, least_squares.inclusion(n, k), gradient)
        order = [sum(bit << i for i, bit in enumerate(T)) for T in itertools.product((0, 1), repeat=n)]
        cases.append([n, k, [[row[t] for t in order] for row in multipliers], inverse])
    definitions = {
        **REGRESSION,
        "X": "lambda n, k: [[1*(common(S, T) == k) for S in sets(n, k)] for T in coalitions(n)]",
        "C": "lambda n, k: [[1*all([i in S for i in R] + [True]) for S in sets(n, k)] for R in sets(n, k - 1)]",
        "right": "lambda n, p: [[(0 - 1)**(p - common(R, U))*((sum(U) - common(R, U) == n - p) - "
        "(sum(U) == common(R, U))) for U in coalitions(n)] for R in sets(n, p)]",
    }
    return [
        facts(
            "all([mul(C(c[0], c[1]), phi(c[0], c[1])) == right(c[0], c[1] - 1) for c in cases])",
            "all([gradient(c[0], c[1], X(c[0], c[1]), game(c[0]), phi(c[0], c[1])) "
            "== mul(flip(C(c[0], c[1])), c[2]) for c in cases])",
            "all([mul(add([normal(c[0], c[1], X(c[0], c[1])), mul(flip(C(c[0], c[1])), C(c[0], c[1]))]), c[3]) "
            "== unit(len(sets(c[0], c[1]))) for c in cases])",
            f"len(cases) == {len(cases)}",
            data={"cases": cases},
            definitions=definitions,
        )
    ]


def _consistency(context: Context) -> list[Proof]:
    """Games of 8 players as the estimator saw them, float64 numbers as rationals, and its answers with the
    full budget."""
    n, highest, found = 8, 3, []
    coalitions = list(itertools.product((0, 1), repeat=n))
    for _, table in tables_of_games(n, context.generator()).items():
        values = table.tolist()
        ordered = [values[sum(b << i for i, b in enumerate(inside))] for inside in coalitions]
        answers = []
        for index in ("SII", "k-SII"):
            estimator = KernelSHAPIQ(n, highest, index, generator=context.generator(), device="cpu")
            estimate = estimator.estimate(TableGame(table), 2**n)
            answers.append([estimate.order(k).tolist() for k in range(1, highest + 1)])
        found.append([ordered, *answers])
    definitions = {
        "coefficient": f"lambda s, t, l: (0 - 1)**(s - l)*factorial({n} - t - s)*factorial(t)/factorial({n} - s + 1)",
        "table": f"[[[coefficient(s, t, l) if t + s <= {n} else 0 for l in range(s + 1)] for t in range({n} + 1)] "
        "for s in range(4)]",
        "coalitions": f"product([0, 1], {n})",
        "sizes": "[sum(T) for T in coalitions]",
        "hit": "lambda S: [sum([T[i] for i in S]) for T in coalitions]",
        "of": "lambda S, v: sum([table[len(S)][size - l][l]*x for size, l, x in zip(sizes, hit(S), v)])",
        "players": f"[S for s in range(1, 4) for S in subsets(range({n}), s)]",
        "flat": "lambda orders: [x for order in orders for x in order]",
        "scale": "lambda v: max([abs(x) for x in v])/10**10",
        "near": "lambda x, y, slack: all([abs(a - b) <= slack for a, b in zip(x, y)])",
        "index": "[[of(S, g[0]) for S in players] for g in games]",
        "within": "lambda S, L: all([i in L for i in S])",
        "B": "[1, 0 - 1/2, 1/6]",
        "aggregated": "lambda phi: [sum([B[len(L) - len(S)]*x for L, x in zip(players, phi) if within(S, L)]) "
        "for S in players]",
    }
    return [
        facts(
            "all([near(flat(g[1]), phi, scale(g[0])) for g, phi in zip(games, index)])",
            "all([near(flat(g[2]), aggregated(phi), scale(g[0])) for g, phi in zip(games, index)])",
            "len(games) == 2",
            data={"games": found},
            definitions=definitions,
        )
    ]


PROOFS: dict[str, Producer] = {
    "index_forms": lambda context, folder: _index_forms(),
    "k_sii": lambda context, folder: _k_sii(),
    "first_available": lambda context, folder: _first_available(),
    "split_wls": lambda context, folder: _split_wls(),
    "direct_wls": lambda context, folder: _direct_wls(),
    "constrained_wls": lambda context, folder: _constrained_wls(),
    "consistency": lambda context, folder: _consistency(context),
}
