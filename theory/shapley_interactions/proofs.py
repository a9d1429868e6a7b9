"""Proof files of the claims about Shapley interactions.

By symmetry an operator is known by its coefficients of v(T) in φ(S): they depend on |T ∖ S| and |T ∩ S| alone.
"""

from __future__ import annotations

import itertools
from fractions import Fraction

import sympy

from constructions.shapley_interactions import KernelSHAPIQ, TableGame
from theory.claim import Context
from theory.proofs import Producer, Proof, facts
from theory.shapley_interactions.reproductions.estimator import tables_of_games

PLAYERS = 7
INDEX = {
    "coefficient": "lambda n, s, t, l: (0 - 1)**(s - l)*factorial(n - t - s)*factorial(t)/factorial(n - s + 1)",
    "inside": "lambda n, s: [[t, l] for t in range(n - s + 1) for l in range(s + 1)]",
}
"""`coefficient`: of v(T) in φ(S), |S| = s, |T ∖ S| = t, |T ∩ S| = l, by the definition."""


def _index_forms() -> list[Proof]:
    """Σ over A ⊇ S of m(A)/(|A| − s + 1), with m(A) = Σ over T ⊆ A of (−1)^(|A| − |T|) v(T), has the coefficients of the
    definition; and so have the telescoping sums, whose coefficients are those of Δ_R v(N ∖ R) − Δ_R v(∅)."""
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
    """v(T) = Σ over Q ⊆ P of (−1)^|Q| u(Q ∪ a), as T ∋ a holds 0 or more players of P; P has r − 1, n players in all."""
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


def _consistency(context: Context) -> list[Proof]:
    """Games of 8 players as the estimator saw them, float64 numbers as rationals, and its answers at the full budget."""
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
    "consistency": lambda context, folder: _consistency(context),
}
