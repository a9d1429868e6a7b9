"""Proof files of the claims about training in sublinear time: forests in integers, training in rationals."""

from __future__ import annotations

import torch

from constructions.sublinear_training import MaxTreeForest
from theory.claim import Context
from theory.exact import fraction
from theory.proofs import Producer, Proof, facts
from theory.sublinear_training.checkers.exact_training import SilentPoint, Singular
from theory.sublinear_training.reproductions.forest import PADDED, SHAPES, THRESHOLDS, bit_reversed
from theory.sublinear_training.reproductions.rationals import Instance, random_instance, worked_example

MOST_LEAVES = 11
"""Of trees all of whose sets of hot leaves are looked at."""
TREES = {
    "inner": "lambda hot, L: sum([len(set([floor(u/2**k) for u in hot])) for k in range(1, L + 1)])",
    "levels": "lambda m: min([L for L in range(12) if 2**L >= m])",
}
"""`inner`: the ancestors of some leaves of a tree of 2^L; `levels` of a tree of m leaves."""


def _forest_query(context: Context) -> list[Proof]:
    """Keys, what the forest reports above each threshold, its visits, updated units, and how many nodes it wrote."""
    g, cases = context.generator(), []
    for m, n in SHAPES:
        keys = torch.randint(-9, 10, (m, n), generator=g).double()
        forest = MaxTreeForest(keys)
        for threshold in THRESHOLDS:
            hot = forest.query(threshold)
            reported = torch.stack([hot.neurons, hot.points], 1).tolist()
            visits = int(forest.visits(hot).sum())
            held = forest.keys().tolist()
            units = (torch.rand(m, generator=g) < 0.3).nonzero()[:, 0]
            keys[units] = torch.randint(-9, 10, (len(units), n), generator=g).double()
            forest.update(units, keys[units])
            cases.append([held, threshold, reported, visits, units.tolist(), int(forest.repairs(units))])
    definitions = {
        **TREES,
        "hot": "lambda c: [[r, i] for r in range(len(c[0])) for i in range(len(c[0][0])) if c[0][r][i] > c[1]]",
        "column": "lambda c, i: [r for r in range(len(c[0])) if c[0][r][i] > c[1]]",
        "depth": "lambda c: levels(len(c[0]))",
        "compared": "lambda c: sum([1 + 2*inner(column(c, i), depth(c)) for i in range(len(c[0][0]))])",
    }
    return [
        facts(
            "all([hot(c) == c[2] for c in cases])",
            "all([compared(c) == c[3] for c in cases])",
            "all([len(c[4]) + inner(c[4], depth(c)) == c[5] for c in cases])",
            "any([len(c[4]) > 1 for c in cases])",
            f"len(cases) == {len(SHAPES) * len(THRESHOLDS)}",
            data={"cases": cases},
            definitions=definitions,
        )
    ]


def _visits() -> list[Proof]:
    """Both ends for every S: leaves side by side, and in bit-reversed order; all sets of up to 8 leaves in between."""
    definitions = {
        **TREES,
        "least": "lambda S, L: sum([ceil(S/2**k) for k in range(1, L + 1)])",
        "most": "lambda S, L: sum([min(S, 2**(L - k)) for k in range(1, L + 1)])",
        "log2": "lambda S: max([e for e in range(12) if 2**e <= S])",
        "closed": "lambda S, L: S*(L - 1 - log2(S)) + 2**(log2(S) + 1) - 1",
        "subsets_of": "lambda L: [[u for u in range(2**L) if b[u] == 1] for b in product([0, 1], 2**L)]",
    }
    return [
        facts(
            "all([most(S, L) == closed(S, L) for L in range(12) for S in range(1, 2**L + 1)])",
            "all([inner(range(S), L) == least(S, L) for L in range(8) for S in range(2**L + 1)])",
            "all([inner([reversed[L][u] for u in range(S)], L) == most(S, L) "
            "for L in range(8) for S in range(2**L + 1)])",
            "all([len(set(reversed[L])) == 2**L == max(reversed[L]) + 1 for L in range(8)])",
            "all([least(len(h), L) <= inner(h, L) <= most(len(h), L) for L in range(4) for h in subsets_of(L)])",
            data={"reversed": [bit_reversed(levels) for levels in range(8)]},
            definitions=definitions,
        )
    ]


def _expected_visits() -> list[Proof]:
    """The mean over all sets of hot leaves, each hot with the probability p, as a polynomial in p."""
    widths = sorted({2, 4, 8, *(m for m in PADDED if m <= MOST_LEAVES)})
    definitions = {
        **TREES,
        "hot": "lambda m: [[u for u in range(m) if b[u] == 1] for b in product([0, 1], m)]",
        "sized": "lambda m: [[len(h), 1 + 2*inner(h, levels(m))] for h in hot(m)]",
        "tallied": "lambda m, many: [sum([v[1] for v in many if v[0] == s]) for s in range(m + 1)]",
        "mean": "lambda m: sum([c*p**s*(1 - p)**(m - s) for s, c in zip(range(m + 1), tallied(m, sized(m)))])",
        "stated": "lambda m: 1 + 2*sum([floor(m/2**k)*(1 - (1 - p)**(2**k)) + 1 - (1 - p)**(m % 2**k) "
        "for k in range(1, levels(m) + 1)])",
    }
    stated = f"all([mean(m) == stated(m) for m in {widths}])"
    return [facts(stated, definitions=definitions, variables=("p",))]


# --- training in rationals ------------------------------------------------------------------------------

TRAINING = {
    "dot": "lambda x, y: sum([a*b for a, b in zip(x, y)])",
    "fires": "lambda w, x, b: dot(w, x) > b",
    "answer": "lambda ws, signs, x, b: sum([s*max(dot(w, x) - b, 0) for w, s in zip(ws, signs)])",
    "residual": "lambda ws, signs, xs, ys, b: [answer(ws, signs, x, b) - y for x, y in zip(xs, ys)]",
    "both": "lambda ws, x, z, b: sum([1*(fires(w, x, b) and fires(w, z, b)) for w in ws])",
    "gram": "lambda ws, xs, b: [[dot(x, z)*both(ws, x, z, b) for z in xs] for x in xs]",
}


def _identities() -> list[Proof]:
    """The worked example and ten drawn instances; each step is re-derived from the weights before it: the solution
    solves the normal equations, the weights move by it, and both identities hold."""
    runs = []
    for instance in [worked_example(), *(random_instance(seed, m=16, n=3) for seed in range(10))]:
        trainer = instance.trainer("lazy")
        states, solutions = [[list(map(fraction, row)) for row in trainer.weights]], []
        try:
            while any(trainer.residual()) and len(solutions) < 12:
                solutions.append([fraction(v) for v in trainer.step().solution])
                states.append([list(map(fraction, row)) for row in trainer.weights])
        except (Singular, SilentPoint):
            continue
        if not any(trainer.residual()):
            runs.append([_held(instance), states, solutions])
    definitions = {
        **TRAINING,
        "left": "lambda r, t: residual(r[1][t], r[0][0], r[0][1], r[0][2], r[0][3])",
        "moved": "lambda w, s, xs, g, b: [w[k] - s*sum([g[i]*xs[i][k] for i in range(len(xs)) if fires(w, xs[i], b)]) "
        "for k in range(len(w))]",
        "after": "lambda r, t: [moved(w, s, r[0][1], r[2][t], r[0][3]) for w, s in zip(r[1][t], r[0][0])]",
        "jumps": "lambda r, t, x: sum([s*abs(dot(v, x) - r[0][3]) for w, v, s in zip(r[1][t], r[1][t + 1], r[0][0]) "
        "if fires(w, x, r[0][3]) != fires(v, x, r[0][3])])",
        "energy": "lambda r, t: dot(left(r, t), r[2][t])",
        "movement": "lambda r, t: sum([(a - c)**2 for w, v in zip(r[1][t], r[1][t + 1]) for a, c in zip(w, v)])",
        "steps": "[[r, t] for r in runs for t in range(len(r[2]))]",
    }
    return [
        facts(
            "all([[dot(row, q[0][2][q[1]]) for row in gram(q[0][1][q[1]], q[0][0][1], q[0][0][3])] "
            "== left(q[0], q[1]) for q in steps])",
            "all([after(q[0], q[1]) == q[0][1][q[1] + 1] for q in steps])",
            "all([[jumps(q[0], q[1], x) for x in q[0][0][1]] == left(q[0], q[1] + 1) for q in steps])",
            "all([movement(q[0], q[1]) == energy(q[0], q[1]) for q in steps])",
            "all([left(r, len(r[2])) == [0 for x in r[0][1]] for r in runs])",
            "len(runs[0][2]) == 2",
            f"len(runs) == {len(runs)}",
            data={"runs": runs},
            definitions=definitions,
        )
    ]


def _held(instance: Instance) -> list:
    return [list(instance.signs), instance.points, list(instance.labels), instance.bias]


def _distinct_points() -> list[Proof]:
    """Determinants of K∘C by Leibniz' formula: of the worked example, and of drawn instances."""
    cases = []
    for instance in [worked_example(), *(random_instance(seed, m=64, n=3) for seed in range(10))]:
        cases.append([instance.weights, instance.points, instance.bias])
    definitions = {
        **TRAINING,
        "sign": "lambda s: (0 - 1)**sum([1*(s[i] > s[j]) for j in range(len(s)) for i in range(j)])",
        "det": "lambda M: sum([sign(s)*prod([M[i][s[i]] for i in range(len(M))]) "
        "for s in permutations(range(len(M)), len(M))])",
        "of": "lambda c, more: det(gram(c[0], c[1] + more, c[2]))",
        "minus": "lambda x: [0 - v for v in x]",
        "regular": "[c for c in cases if of(c, []) != 0]",
    }
    return [
        facts(
            "of(cases[0], []) == 18/5",
            "of(cases[0], [minus(cases[0][1][0])]) == 36/5",
            "of(cases[0], [cases[0][1][0]]) == 0",
            "all([of(c, []) > 0 for c in regular])",
            "all([of(c, [minus(c[1][0])]) > 0 for c in regular])",
            "all([of(c, [c[1][1]]) == 0 for c in regular])",
            "len(regular) > 1",
            data={"cases": cases},
            definitions=definitions,
        )
    ]


def _width_hypothesis() -> list[Proof]:
    """At α = 6/25 with m = M^25: λ ≤ m^−α/2 and mλ⁴ ≥ n⁴ say M ≥ 16n⁴, m ≥ (2n)^100; at α = 1/4 they say 1 ≥ 16n⁴. With
    m = M⁴ and p ≥ λ ≥ n/M, mp ≥ nM³. That p ≤ ½e^(−b²/2): both are 1/2 at 0 and vanish, and of e^(b²/2) times the
    derivative of the difference, 1/√(2π) − b/2, the sign changes once."""
    definitions = {"slope": "lambda b: 1/sqrt(2*pi) - b/2", "turn": "2/sqrt(2*pi)"}
    return [
        facts(
            "16*M**25 == M*(2*M**6)**4",
            "16*M**4 == (2*M)**4",
            "(16*N**4)**25 == (2*N)**100",
            "M**4*N == M*(N*M**3)",
            "all([slope(j/64) > 0 for j in range(64) if turn > j/64])",
            "all([slope(j/64) < 0 for j in range(640) if turn < j/64])",
            definitions=definitions,
            variables=("M", "N"),
        )
    ]


PROOFS: dict[str, Producer] = {
    "width_hypothesis": lambda context, folder: _width_hypothesis(),
    "forest_query": lambda context, folder: _forest_query(context),
    "visits": lambda context, folder: _visits(),
    "expected_visits": lambda context, folder: _expected_visits(),
    "identities": lambda context, folder: _identities(),
    "distinct_points": lambda context, folder: _distinct_points(),
}
