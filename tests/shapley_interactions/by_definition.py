"""The index from its definition, in fractions, for the tests of objects: nothing is shared with what is tested."""

from fractions import Fraction
from itertools import combinations
from math import factorial

import torch


def parts(players):
    return [frozenset(c) for size in range(len(players) + 1) for c in combinations(sorted(players), size)]


def value(table, coalition):
    """Of a list by bit mask."""
    return table[sum(1 << i for i in coalition)]


def derivative(table, s, t):
    return sum((-1) ** (len(s) - len(part)) * value(table, t | part) for part in parts(s))


def sii(table, players):
    """φ(S) = Σ over T ⊆ N∖S of (n − t − s)!·t!/(n − s + 1)!·Δ_S v(T)."""
    n, s = len(table).bit_length() - 1, frozenset(players)
    total = Fraction(0)
    for t in parts(set(range(n)) - s):
        weight = Fraction(factorial(n - len(t) - len(s)) * factorial(len(t)), factorial(n - len(s) + 1))
        total += weight * derivative(table, s, t)
    return total


def moebius(table, players):
    return derivative(table, frozenset(players), frozenset())


def all_of(index, table, order):
    """{S: value} of all S of 1 … order players."""
    n = len(table).bit_length() - 1
    return {s: index(table, s) for size in range(1, order + 1) for s in combinations(range(n), size)}


def generated(seed, count):
    """Integers of the linear congruential generator x ← (1103515245·x + 12345) mod 2^31."""
    found, x = [], seed
    for _ in range(count):
        x = (1103515245 * x + 12345) % 2**31
        found.append(x // 65536 % 201 - 100)
    return found


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def as_tensor(table):
    return torch.tensor([float(v) for v in table], dtype=torch.float64)


def largest_gap(first, second):
    """Of two explanations, or of an explanation and a dict by players."""
    if isinstance(second, dict):
        assert set(first.values) == set(second)
        return max(abs(first.values[s] - float(second[s])) for s in second)
    return max(float((a - b).abs().max()) for a, b in zip(first.orders, second.orders, strict=True))


def closed_form(soum):
    """SII of orders 1 and 2: a term A gives 1/(|A| − s + 1) to every S ⊆ A."""
    values = {s: 0.0 for size in (1, 2) for s in combinations(range(soum.n), size)}
    for c, members in zip(soum.coefficients.tolist(), soum.members, strict=True):
        inside = members.nonzero()[:, 0].tolist()
        for size in (1, 2):
            for s in combinations(inside, size):
                values[s] += c / (len(inside) - size + 1)
    return values
