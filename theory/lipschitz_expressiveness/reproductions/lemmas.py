"""Lemmas that several claims use, each derived by sympy; a `Report` says which step failed.

Main definitions: `chi_lemma`, `relu_lemma`, `row_lemma`, `comparison_lemma`.
"""

from __future__ import annotations

import sympy

from theory.claim import Report
from theory.lipschitz_expressiveness import bounds

n, m = sympy.symbols("n m", positive=True)
x = sympy.symbols("x", positive=True)


def zero(expression: sympy.Expr) -> bool:
    """Whether sympy finds an expression to be 0."""
    return sympy.simplify(sympy.gammasimp(sympy.expand(expression))) == 0


def chi_lemma() -> Report:
    """e(n) = E χ_n and E χ_n² = n by integration, e(n) e(n+1) = n, and so n²/(n+1) ≤ e(n)² ≤ n for every n > 0."""
    density = x ** (n - 1) * sympy.exp(-(x**2) / 2) / (2 ** (n / 2 - 1) * sympy.gamma(n / 2))
    first, second = (sympy.integrate(x**p * density, (x, 0, sympy.oo), conds="none") for p in (1, 2))
    if not zero(first - bounds.chi_mean_symbolic(n)):
        return Report(f"E χ_n is {sympy.simplify(first)}, not e(n)")
    if not zero(second - n):
        return Report(f"E χ_n² is {sympy.simplify(second)}, not n")
    if not zero(bounds.chi_mean_symbolic(n) * bounds.chi_mean_symbolic(n + 1) - n):
        return Report("e(n) e(n+1) is not n")
    # Jensen: e(n)² ≤ E χ_n² = n for every n, so e(n)² = n²/e(n+1)² ≥ n²/(n+1)
    low, high = bounds.chi_squared_bounds(n)
    if not (zero(low - n**2 / (n + 1)) and zero(high - n)):
        return Report(f"the bounds of e(n)² are {low} and {high}")
    return Report()


def relu_lemma() -> Report:
    """With S = Σ g_i² 1[g_i > 0]: E S = n/2, Var S = 5n/4; r(1), r(2), r(3) by integration over every pattern of signs;
    and n²/(2(n+5)) ≤ r(n)² ≤ n/2 for every n."""
    phi = sympy.exp(-(x**2) / 2) / sympy.sqrt(2 * sympy.pi)
    first, second = (sympy.integrate(x ** (2 * p) * phi, (x, 0, sympy.oo)) for p in (1, 2))
    if not zero(first - sympy.Rational(1, 2)):
        return Report(f"E g² 1[g > 0] is {first}, not 1/2")
    mean, square = n * first, n * (second - first**2) + (n * first) ** 2
    if not zero(square - mean**2 - sympy.Rational(5, 4) * n):
        return Report("Var S is not 5n/4")
    # Hölder: E S ≤ (E √S)^{2/3} (E S²)^{1/3}; Jensen: (E √S)² ≤ E S
    low, high = bounds.relu_squared_bounds(n)
    if not (zero(low - mean**3 / square) and zero(high - mean)):
        return Report(f"the bounds of r(n)² are {low} and {high}")
    for count in (1, 2, 3):
        if not zero(_integrated(count) - bounds.relu_mean_symbolic(count)):
            return Report(f"r({count}) is {sympy.simplify(_integrated(count))} by integration, not the finite sum")
    return Report()


def _integrated(count: int) -> sympy.Expr:
    """E (Σ g_i² 1[g_i > 0])^½ for `count` ≤ 3, orthant by orthant: angle, then radius, of the positive coordinates; the
    negative ones have probability 1/2 each."""
    angle = {1: sympy.Integer(1), 2: sympy.pi / 2, 3: sympy.pi / 2}  # of the positive orthant: length, arc, area
    total = sympy.Integer(0)
    for k in range(1, count + 1):
        weight = angle[k] * (2 * sympy.pi) ** -sympy.Rational(k, 2)
        radial = sympy.integrate(x * x ** (k - 1) * sympy.exp(-(x**2) / 2), (x, 0, sympy.oo))
        total += sympy.binomial(count, k) * weight * radial / sympy.Integer(2) ** (count - k)
    return total


def row_lemma() -> Report:
    """χ_m² + χ'_{n−1}² ~ χ_{m+n−1}² by their Laplace transforms: what a row of the reduced matrix has as its norm."""
    s = sympy.symbols("s", positive=True)
    density = x ** (n / 2 - 1) * sympy.exp(-x / 2) / (2 ** (n / 2) * sympy.gamma(n / 2))
    transform = sympy.integrate(sympy.exp(-s * x) * density, (x, 0, sympy.oo), conds="none")
    if not zero(transform * (1 + 2 * s) ** (n / 2) - 1):
        return Report(f"the Laplace transform of χ_n² is {sympy.simplify(transform)}")
    powers = {m: -m / 2, n - 1: -(n - 1) / 2}
    return Report(None if zero(sum(powers.values()) + (m + n - 1) / 2) else "the degrees of freedom do not add up")


def comparison_lemma() -> Report:
    """E(Y − Y')² − E(X − X')² = 2(1 − a)(1 − b) ≥ 0 for X = uᵀGv and Y = g·u + h·v, a = ⟨u, u'⟩ and b = ⟨v, v'⟩ ≤ 1."""
    a, b = sympy.symbols("a b", real=True)
    # Gaussian increments are squared distances: of u⊗v and u'⊗v' (unit vectors), and of (u, v) and (u', v')
    matrix, vectors = 2 - 2 * a * b, (2 - 2 * a) + (2 - 2 * b)
    holds = sympy.expand(vectors - matrix - 2 * (1 - a) * (1 - b)) == 0
    return Report(None if holds else "the increments are not ordered")
