"""The verifier once more, written from the format's page alone: Fractions, orbits as sets over all permutations.

It shares nothing with `theory.am_gm.checkers`, and is slower.

Main definition: `fractions_verdict`.
"""

import itertools
import json
from collections import Counter
from fractions import Fraction


def fractions_verdict(text):
    """(coefficients that differ, rank of H or None, rank of G or None) of a file's text; KeyError or AssertionError
    when an orbit is missing, given twice, or not by its first pair."""
    data = json.loads(text)
    n, m = data["n"], data["m"]
    words = [w for length in range(m // 2 + 1) for w in itertools.product(range(n), repeat=length)]
    every = list(itertools.permutations(range(n)))
    H = _expanded(data["H"], words, every)
    G = _expanded(data["G"], words, [p for p in every if p[0] == 0])
    found = Counter()
    for i in range(n):
        swapped = {w: tuple({0: i, i: 0}.get(c, c) for c in w) for w in words}
        for u, v in itertools.product(words, repeat=2):
            found[(*u[::-1], i, *v)] += G[swapped[u], swapped[v]]
    for u, v in itertools.product(words, repeat=2):
        found[u[::-1] + v] += n * H[u, v]
        for k in range(n):
            found[(*u[::-1], k, *v)] -= H[u, v]
    found[()] -= Fraction(data["bound"])
    for word in itertools.permutations(range(n), m):
        found[word] += 1 if data["side"] == "upper" else -1
    return sum(value != 0 for value in found.values()), _rank(H, words), _rank(G, words)


def _expanded(rows, words, permutations):
    entries, order = {}, {w: i for i, w in enumerate(words)}
    for u, v, value in rows:
        u, v = (tuple(map(int, w)) for w in (u, v))
        images = {(tuple(p[c] for c in u), tuple(p[c] for c in v)) for p in permutations}
        images |= {(b, a) for a, b in images}
        assert (u, v) == min(images, key=lambda pair: (order[pair[0]], order[pair[1]])), "no first pair"
        assert not images & entries.keys(), "an orbit is given twice"
        entries |= dict.fromkeys(images, Fraction(value))
    assert len(entries) == len(words) ** 2, "an orbit is missing"
    return entries


def _rank(entries, words):
    """The rank of a positive semidefinite matrix, None for another one: Schur complements."""
    rows = [[entries[u, v] for v in words] for u in words]
    rank = 0
    while rows:
        pivot, column = rows[0][0], [row[0] for row in rows[1:]]
        if pivot < 0 or (pivot == 0 and any(column)):
            return None
        rest = [row[1:] for row in rows[1:]]
        if pivot:
            rank += 1
            rest = [
                [x - a * b / pivot for x, b in zip(row, column, strict=True)]
                for row, a in zip(rest, column, strict=True)
            ]
        rows = rest
    return rank
