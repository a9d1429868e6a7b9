"""Polynomials in noncommuting letters with rational coefficients: a word -> its coefficient, no zeros.

Main definitions: `letter`, `constant`, `add`, `scale`, `multiply`.
"""

from __future__ import annotations

from fractions import Fraction

Word = tuple[int, ...]
Polynomial = dict[Word, Fraction]


def constant(value: Fraction | int) -> Polynomial:
    return {(): Fraction(value)} if value else {}


def letter(i: int) -> Polynomial:
    return {(i,): Fraction(1)}


def add(*polynomials: Polynomial) -> Polynomial:
    total: Polynomial = {}
    for polynomial in polynomials:
        for word, value in polynomial.items():
            total[word] = total.get(word, Fraction(0)) + value
    return {word: value for word, value in total.items() if value}


def scale(factor: Fraction | int, p: Polynomial) -> Polynomial:
    return {word: factor * value for word, value in p.items()} if factor else {}


def multiply(p: Polynomial, q: Polynomial) -> Polynomial:
    return add(*({u + v: a * b for v, b in q.items()} for u, a in p.items()))
