"""A3: what approximation asks of the VC dimension, and so of the number of parameters."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import sympy

from theory.claim import Context, Evidence, Number, Status, Table, Verdict, ensure
from theory.vc_dimension.bounds import grid_points, parameters_of_mlp, parameters_of_single_mlp
from theory.vc_dimension.enclosed import free, too_many


def single_mlp_lower_bound(context: Context) -> Verdict:
    """At every depth tried, fewer parameters give a VC dimension below Theorem 5's, in balls; the exponent by sympy."""
    rows, checked = [], 0
    for n, eps in itertools.product((1, 2, 4, 8), (Fraction(1, 10), Fraction(1, 100), Fraction(1, 1000))):
        points, least = grid_points(n, eps), parameters_of_single_mlp(n, eps)
        spacing = Fraction(1, math.ceil(1 / (2 * eps)) - 1)
        ensure(spacing > 2 * eps, f"n = {n}, eps = {eps}: the grid is not spaced more than 2 eps")
        rows.append((n, float(eps), least))
        for depth in (1, 2, 8, 64):
            checked += 1
            where = f"n = {n}, eps = {eps}, J = {depth}"
            # J + 1 ≤ P/2 in any layered net
            if least > 2 * (depth + 1):
                ensure(too_many(free(least - 1, depth), points, where), f"{least - 1} parameters")
            fixed = parameters_of_mlp(n, eps, depth)
            if fixed > 1:
                ensure(too_many(free(fixed - 1, depth), points, where), f"{fixed - 1} parameters")
    exponent = _exponent()
    ensure(sympy.simplify(exponent - sympy.Symbol("n", positive=True) / 2) == 0, f"the exponent is {exponent}")
    numbers: dict[str, Number] = {"cases_checked": checked, "exponent": str(exponent)}
    reason = f"{checked} cases (n, eps, depth) exclude fewer parameters; exponent of 1/eps: {exponent}"
    tables = {"parameters": Table(("n", "eps", "P"), tuple(rows))}
    return Verdict(Status.CERTIFIED, Evidence.ENCLOSED, reason, numbers, tables=tables)


def _exponent() -> sympy.Expr:
    """lim log P / log(1/ε) of P = √(2M/log₂(e·M^{3/2})), M = (1/(2ε))^n; with T = log(1/ε) and log M = n(T − log 2)."""
    t, n = sympy.Symbol("T", positive=True), sympy.Symbol("n", positive=True)
    log_m = n * (t - sympy.log(2))
    log_p = (sympy.log(2) + log_m - sympy.log((1 + sympy.Rational(3, 2) * log_m) / sympy.log(2))) / 2
    return sympy.simplify(sympy.limit(log_p / t, t, sympy.oo))
