"""Sampling and the discrete Fourier transform over F_p, where a root of unity of any order is an integer.

Σ_j ω^{(k−l)j} = n·[k ≡ l mod n] in every field with n ≠ 0, so what holds for the transform over F_p is the aliasing of
frequencies and nothing else. Everything is linear in the coefficients: unit vectors decide it for all of them.

Main definitions: `Field`, `aliasing_holds`, `recovers`.
Notation: K bandwidth, n nodes ω^j on the circle or s nodes an axis; coefficients by their frequency −K … K.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from sympy import isprime, primitive_root

from theory.claim import Report

LEAST = 10_000
Frequency = tuple[int, ...]
Coefficients = dict[Frequency, int]
Samples = dict[Frequency, int]


@dataclass(frozen=True)
class Field:
    """F_p for the least prime p ≡ 1 mod n above 10⁴, with an element `root` of order n."""

    n: int
    p: int
    root: int

    @classmethod
    def with_root_of_order(cls, n: int) -> Field:
        p = next(p for p in itertools.count(LEAST - LEAST % n + 1, n) if p > LEAST and isprime(p))
        generator: Any = primitive_root(p)
        root = pow(int(generator), (p - 1) // n, p)
        powers = {pow(root, j, p) for j in range(n)}
        if len(powers) != n or pow(root, n, p) != 1:
            raise ArithmeticError(f"{root} does not have the order {n} modulo {p}")
        return cls(n, p, root)

    @cached_property
    def powers(self) -> list[int]:
        return [pow(self.root, j, self.p) for j in range(self.n)]

    def sample(self, coefficients: Coefficients, dimension: int) -> Samples:
        """f at the grid of n nodes an axis."""
        nodes = itertools.product(range(self.n), repeat=dimension)
        return {j: sum(c * self.wave(k, j) for k, c in coefficients.items()) % self.p for j in nodes}

    def wave(self, k: Frequency, j: Frequency) -> int:
        return self.powers[sum(a * b for a, b in zip(k, j, strict=True)) % self.n]

    def transform(self, samples: Samples, bandwidth: int) -> Coefficients:
        """ĉ_k = n^(−r) Σ_j y_j ω^{−kj} for all frequencies up to `bandwidth` an axis."""
        dimension = len(next(iter(samples)))
        inverse = pow(len(samples), -1, self.p)
        found = {}
        for k in frequencies(bandwidth, dimension):
            opposite = tuple(-a for a in k)
            found[k] = inverse * sum(y * self.wave(opposite, j) for j, y in samples.items()) % self.p
        return found


def frequencies(bandwidth: int, dimension: int) -> list[Frequency]:
    return list(itertools.product(range(-bandwidth, bandwidth + 1), repeat=dimension))


Transform = Callable[[Field, Samples, int], Coefficients]


def aliasing_holds(
    bandwidth: int, n: int, coefficients: Sequence[int], *, transform: Transform = Field.transform
) -> Report:
    """Whether a transform of n samples of the function with these 2K + 1 coefficients answers Σ_{l ≡ k mod n} c_l."""
    field = Field.with_root_of_order(n)
    ks = frequencies(bandwidth, 1)
    if len(coefficients) != len(ks):
        return Report(f"{len(coefficients)} coefficients for {len(ks)} frequencies")
    given = dict(zip(ks, coefficients, strict=True))
    answer = transform(field, field.sample(given, 1), bandwidth)
    for k in ks:
        expected = sum(c for l, c in given.items() if (l[0] - k[0]) % n == 0) % field.p  # noqa: E741
        if answer.get(k) != expected:
            return Report(
                f"K={bandwidth}, n={n}: frequency {k[0]} is answered by {answer.get(k)}, its class sums to {expected}"
            )
    return Report()


def recovers(
    bandwidth: int, n: int, dimension: int = 1, *, learned: int | None = None, transform: Transform = Field.transform
) -> Report:
    """Whether every function of degree ≤ K an axis comes back from its n^r samples, unit vector by unit vector.

    The learner is told the degree `learned`, K without it.
    """
    field = Field.with_root_of_order(n)
    for k in frequencies(bandwidth, dimension):
        answer = transform(field, field.sample({k: 1}, dimension), bandwidth if learned is None else learned)
        wrong = {l: c for l, c in answer.items() if c != int(l == k)}  # noqa: E741
        if wrong or k not in answer:
            return Report(f"K={bandwidth}, n={n}: the wave of frequency {k} comes back as {_shown(answer)}")
    return Report()


def _shown(answer: Coefficients) -> str:
    return " + ".join(f"{c}·z^{k}" for k, c in answer.items() if c) or "0"
