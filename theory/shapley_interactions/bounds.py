"""The proofs' formulas for symbolic n and t, by sympy: steps 1–4 of T1, the closed form of T3, the integrals of T7.

Main definitions: `beta_identity`, `general_step`, `steps_of_order`, `order_three`, `availability_integrals`,
`bernoulli_identities`.
Implementation notes: a weight q_n(k; t, l) divided by (t−k)! (n−k−t)!/(n−k+1)! is a polynomial in n and t, and so is a
binomial coefficient C(t, u) of fixed u: for a fixed order the identities of T1 are identities of polynomials, decided
by expansion. They hold for every integer n ≥ 2k and every inner t, where nothing that was divided by vanishes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import sympy

from constructions.errors import require_int
from theory.claim import Report
from theory.shapley_interactions.checkers import weights

N, T = sympy.symbols("n t", integer=True, positive=True)
HIGHEST = 8
"""Of an order whose polynomials are expanded."""


@dataclass(frozen=True)
class SymbolicReport(Report):
    """`checked` identities were derived."""

    checked: int
    failure: str | None


def _choose(top: sympy.Expr, below: int) -> sympy.Expr:
    """C(top, below) as a polynomial in `top`."""
    return sympy.ff(top, below) / sympy.factorial(below)


def _number(value: Fraction) -> Any:
    return sympy.Rational(value.numerator, value.denominator)


def beta(a: sympy.Expr, b: sympy.Expr) -> sympy.Expr:
    """a! b!/(a+b+1)!, which `beta_identity` shows to be ∫₀¹ p^a (1−p)^b dp."""
    return sympy.factorial(a) * sympy.factorial(b) / sympy.factorial(a + b + 1)


def beta_identity() -> Report:
    """I(a, b) = ∫₀¹ p^a (1−p)^b dp by induction: I(a, 0) = 1/(a+1) and I(a, b+1) = I(a, b) − I(a+1, b)."""
    a, b = sympy.symbols("a b", integer=True, nonnegative=True)
    start = sympy.gammasimp(beta(a, sympy.Integer(0)) * (a + 1))
    step = sympy.gammasimp((beta(a, b) - beta(a + 1, b)) / beta(a, b + 1))
    right = start == 1 and sympy.simplify(step) == 1
    return Report(None if right else f"the Beta integral's recursion leaves {start} and {step}, not 1 and 1")


def general_step() -> Report:
    """Step 3 for every order: C(a,u) C(b,m−u) (a−u)! (b−m+u)!/(a+b−m+1)! = C(m,u) a! b!/(m! (a+b−m+1)!).

    Its alternating sum over u is a multiple of Σ_u (−1)^u C(m, u) = (1 − 1)^m, which is 0 for m = k − j ≥ 1.
    """
    a, b, m, u = sympy.symbols("a b m u", integer=True, nonnegative=True)
    left = sympy.binomial(a, u) * sympy.binomial(b, m - u) * beta(a - u, b - m + u)
    right = sympy.binomial(m, u) * sympy.factorial(a) * sympy.factorial(b)
    right /= sympy.factorial(m) * sympy.factorial(a + b - m + 1)
    ratio = sympy.gammasimp((left / right).rewrite(sympy.gamma))
    return Report(None if sympy.simplify(ratio) == 1 else f"the terms of step 3 have the ratio {ratio}, not 1")


def component_polynomial(k: int, j: int, t: sympy.Expr, g: Callable[[int], sympy.Expr]) -> sympy.Expr:
    """g_{t,j} for a symbolic n: Σ_{i≤j, u≤k−j} (−1)^{j−i} C(j,i) C(t−j,u) C(n−t−j,k−j−u) g(i+u), expanded."""
    terms = (
        (-1) ** (j - i) * sympy.binomial(j, i) * _choose(t - j, u) * _choose(N - t - j, k - j - u) * g(i + u)
        for i in range(j + 1)
        for u in range(k - j + 1)
    )
    return sympy.expand(sympy.expand_func(sum(terms, sympy.Integer(0))))


def _scaled_index_weight(k: int, common: int) -> sympy.Expr:
    """q_n(k; t, l)·(n−k+1)!/((t−k)! (n−k−t)!)."""
    above = sympy.prod([T - i for i in range(common, k)])
    below = sympy.prod([N - k - T + i for i in range(1, common + 1)])
    return (-1) ** (k - common) * above * below


def steps_of_order(k: int) -> SymbolicReport:
    """Steps 1–4 of T1 for one order, every n ≥ 2k and every inner t."""
    require_int("k", k, 1, HIGHEST)
    design = [_number(value) for value in weights.design(k)]
    # steps 2 and 3
    kernel = sympy.expand(sympy.prod([N - k + 1 - i for i in range(k)]))  # μ_k(t), scaled like q
    wanted = [(f"q_{{t,{j}}}", sympy.Integer(0)) for j in range(k)] + [(f"q_{{t,{k}}}", kernel)]
    checked = 0
    for j, (name, right) in enumerate(wanted):
        found = component_polynomial(k, j, T, lambda common: _scaled_index_weight(k, common))
        checked += 1
        if sympy.expand(found - right) != 0:
            return SymbolicReport(checked, f"k = {k}: {name}, scaled, is {found}, not {right}")
    # step 1
    checked += 1
    found = component_polynomial(k, k, T, design.__getitem__)
    if found != 1:
        return SymbolicReport(checked, f"k = {k}: x_{{t,{k}}} is {found}, not 1")
    # step 4
    for j in range(k):
        checked += 1
        failure = _unseen(k, j, design)
        if failure is not None:
            return SymbolicReport(checked, f"k = {k}: {failure}")
    return SymbolicReport(checked, None)


def _unseen(k: int, j: int, design: list[sympy.Rational]) -> str | None:
    """None if the outer row that step 4 names has x_{t,j} ≠ 0 for every n ≥ 2k; the failure in words else."""
    for t, right in _outer_rows(k, j):
        found = component_polynomial(k, j, t, design.__getitem__)
        if sympy.expand(found - sympy.expand_func(right)) != 0:
            return f"x_{{{t},{j}}} is {found}, not {right}"
        # a rational times C(x, y) with x − y ≥ 0 for n ≥ 2k
        if found != 0:
            return None
    return f"no outer row sees the component {j}"


def _outer_rows(k: int, j: int) -> list[tuple[sympy.Expr, sympy.Expr]]:
    """(outer size t, formula of x_{t,j}): the rows of step 4, in the order in which they are tried."""
    if k == 1:
        return [(N, N)]
    number = [_number(weights.bernoulli(m)) for m in range(k + 1)]
    if j == 0:
        first = (sympy.Integer(1), _choose(N - 1, k - 1) * number[k - 1])
        return [first, (sympy.Integer(2), _choose(N - 2, k - 2) * number[k - 2])] if k > 2 else [first]
    first = (sympy.Integer(j), _choose(N - 2 * j, k - j) * number[k - j])
    if k - j < 2:
        return [first]
    return [first, (sympy.Integer(j + 1), _choose(N - 2 * j - 1, k - j - 1) * number[k - j - 1])]


@dataclass(frozen=True)
class OrderThree:
    """T3: what both forms give every triple for v = 1[|T| = 1], as functions of n, and where they agree."""

    direct: sympy.Expr
    index: sympy.Expr
    equal_at: tuple[sympy.Rational, ...]


def order_three() -> OrderThree:
    """The direct form of order 3 on v = 1[|T| = 1], derived for every n ≥ 5.

    SII of a symmetric game sums to Δ^{k−1}g(n−k+1) − Δ^{k−1}g(0), and g vanishes beyond 1.
    """
    index = [-(((-1) ** (k - 2)) * (k - 1)) / (N - k + 1) for k in (1, 2, 3)]
    sizes = (0, 1, 2, N - 2, N - 1, N)

    def row(k: int, t: sympy.Expr | int) -> sympy.Expr:
        design = [_number(value) for value in weights.design(k)]
        return component_polynomial(k, 0, sympy.sympify(t), design.__getitem__)

    count = {0: 1, 1: N, 2: N * (N - 1) / 2, N - 2: N * (N - 1) / 2, N - 1: N, N: 1}
    response = {t: int(t == 1) - sum(index[k - 1] * row(k, t) for k in (1, 2)) for t in sizes}
    above = sum(count[t] * row(3, t) * response[t] for t in sizes)
    direct: Any = sympy.factor(sympy.cancel(above / sum(count[t] * row(3, t) ** 2 for t in sizes)))
    equal = sympy.numer(sympy.cancel(direct - index[2]))
    return OrderThree(direct, sympy.cancel(index[2]), tuple(sorted(sympy.roots(equal, N))))


def availability_integrals() -> Report:
    """T7: ∫(1−p)^{r−s} dp = 1/(r−s+1), and ∫p(1−p)^{r−1−s} dp = 1/((r−s)(r−s+1)) with d = r − s."""
    d = sympy.Symbol("d", integer=True, positive=True)
    inside = sympy.gammasimp(beta(sympy.Integer(0), d) * (d + 1))
    outside = sympy.gammasimp(beta(sympy.Integer(1), d - 1) * d * (d + 1))
    right = inside == 1 and outside == 1
    return Report(None if right else f"the integrals of T7 leave {inside} and {outside}, not 1 and 1")


def bernoulli_identities(highest: int) -> SymbolicReport:
    """For all orders up to `highest`: Σ_{j≤d} C(d+1, j) B_j = [d = 0], Δ^k λ(k, ·)(0) = 1, and for k ≥ 2 the symmetry
    λ(k, k−l) = (−1)^k λ(k, l)."""
    require_int("highest", highest, 1, weights.HIGHEST_ORDER)
    checked = 0
    for k in range(highest + 1):
        checked += 1
        total = sum(sympy.binomial(k + 1, j) * _number(weights.bernoulli(j)) for j in range(k + 1))
        if total != int(k == 0):
            return SymbolicReport(checked, f"Σ C({k + 1}, j) B_j is {total}, not {int(k == 0)}")
        if k == 0:
            continue
        design = [_number(value) for value in weights.design(k)]
        leading = sum((-1) ** (k - i) * sympy.binomial(k, i) * value for i, value in enumerate(design))
        if leading != 1:
            return SymbolicReport(checked, f"Δ^{k} λ({k}, ·)(0) is {leading}, not 1")
        if k > 1 and design[::-1] != [(-1) ** k * value for value in design]:
            return SymbolicReport(checked, f"λ({k}, ·) lacks its symmetry: {design}")
    return SymbolicReport(checked, None)
