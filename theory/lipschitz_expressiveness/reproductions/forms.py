"""The closed forms of `bounds` for widths (n_0, N, …, N, n_L), as symbols: factors, bases in depth, powers of N.

A form is first·base^(L−2)·last. One layer of width N more multiplies it by its base. Its power of N is that of its
factors, whose squares are held between two algebraic functions of N.

Main definitions: `Factor`, `Form`, `forms`, `N`, `sigma`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import sympy

from theory.claim import Report
from theory.lipschitz_expressiveness import bounds

N, n_0, n_L, sigma = sympy.symbols("N n_0 n_L sigma", positive=True)
r = sympy.Function("r", positive=True)
POWERS = (sympy.Integer(0), sympy.Rational(1, 2), sympy.Rational(2, 3))


@dataclass(frozen=True)
class Factor:
    """σ·`value`, and algebraic functions of N with low ≤ value² ≤ high."""

    value: Any
    low: Any
    high: Any

    @property
    def power(self) -> Any:
        """p with value/N^p bounded away from 0 and infinity as N → ∞; None where the two ends disagree."""
        found = [self._power_of(end) for end in (self.low, self.high)]
        return found[0] if found[0] == found[1] else None

    @staticmethod
    def _power_of(squared: Any) -> Any:
        for p in POWERS:
            limit = sympy.limit(sympy.sympify(squared) / N ** (2 * p), N, sympy.oo)
            if limit.is_finite and limit.is_positive:
                return p
        return None


@dataclass(frozen=True)
class Form:
    """`log` computes the same in floats from widths and σ."""

    name: str
    first: Factor
    base: Factor
    last: Factor
    log: Callable[[list[int], float], float]

    @property
    def factors(self) -> tuple[Factor, Factor, Factor]:
        return self.first, self.base, self.last

    def power(self, L: Any) -> Any:
        """The power of N for L affine maps, as an expression in L."""
        first, base, last = (factor.power for factor in self.factors)
        return None if None in (first, base, last) else sympy.expand(first + (L - 2) * base + last)

    def log_value(self, widths: list[int], size: float) -> float:
        """The logarithm of the symbols' value at widths (n_0, N, …, N, n_L)."""

        def number(factor: Factor) -> Any:
            value = (sigma * factor.value).subs({N: widths[1], n_0: widths[0], n_L: widths[-1], sigma: size})
            return sympy.log(value.replace(r, lambda n: bounds.relu_mean_symbolic(int(n)))).n(25)

        return float(number(self.first) + (len(widths) - 3) * number(self.base) + number(self.last))

    def same_numbers(self, depths: tuple[int, ...], width: int, ends: int, size: float) -> Report:
        """Whether symbols and floats agree at these sizes, the last width a little above the first."""
        for L in depths:
            widths = [ends, *[width] * (L - 1), ends + 3]
            one, other = self.log_value(widths, size), self.log(widths, size)
            if not abs(one - other) <= 1e-12 * (1 + abs(one)):
                return Report(f"{self.name}, L = {L}: {one} in symbols, {other} in numbers")
        return Report()


def _chi(n: Any) -> Factor:
    return Factor(bounds.chi_mean_symbolic(n), *bounds.chi_squared_bounds(n))


def _relu(n: Any) -> Factor:
    return Factor(r(n), *bounds.relu_squared_bounds(n))


def _exactly(value: Any) -> Factor:
    return Factor(value, value**2, value**2)


def _three(of: Callable[[Any, Any], Factor]) -> tuple[Factor, Factor, Factor]:
    """The factors of W_1, of a square layer, and of W_L."""
    return of(N, n_0), of(N, N), of(n_L, N)


def forms() -> dict[str, Form]:
    """The product of norms from below, from above and by its third trace moment; linear and ReLU from below."""
    found = (
        Form("product from below", *_three(lambda m, n: _chi(m + n - 1)), bounds.product_lower),
        Form("product from above", *_three(lambda m, n: _exactly(sympy.sqrt(m) + sympy.sqrt(n))), bounds.product_upper),
        Form(
            "product by trace",
            *_three(lambda m, n: _exactly(sympy.root(bounds.trace_moment(m, n, 3), 6))),
            bounds.product_trace,
        ),
        Form("linear", _chi(N), _chi(N), _chi(n_L), bounds.linear_lower),
        Form("ReLU", _relu(N), _relu(N), _chi(n_L), bounds.relu_point),
    )
    return {form.name: form for form in found}
