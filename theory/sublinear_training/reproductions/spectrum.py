"""The least eigenvalue of the Gram matrix: elementary bounds at finite width, and the quoted one of the limit."""

from __future__ import annotations

import random
from fractions import Fraction

import sympy
import torch
from torch import Tensor

from theory.claim import Context, Evidence, Report, Status, Table, Verdict, ensure
from theory.sublinear_training import bounds
from theory.sublinear_training.checkers.enclosed_gram import (
    eigenvalue_bounds_enclosed,
    enclosed_limit_gram,
    positive_definite,
    quoted_bound,
)
from theory.sublinear_training.checkers.steps import Look
from theory.sublinear_training.reproductions.rationals import rational_points
from theory.sublinear_training.runs import Setting, observe, problem, settings

ALPHA = Fraction(6, 25)
TALL = ((16, 32), (16, 64), (32, 64))  # points no more than dimensions: K has full rank
CASES = ((8, 4, 2**10), (16, 8, 2**16))
CASES_FULL = (*CASES, (32, 12, 2**16), (48, 16, 2**18))


def least_eigenvalue(matrix: Tensor) -> tuple[float, float]:
    """(below, above) the least eigenvalue of a symmetric matrix (n, n): what a backward stable solver may err.

    LAPACK's symmetric solvers are exact for a matrix within p(n)·u·‖A‖ of this one, p of low degree; 8 n² u ‖A‖_F is
    far above that for the sizes here, and covers the rounding of the entries.
    """
    value = float(torch.linalg.eigvalsh(matrix.double().cpu())[0])
    slack = 8 * len(matrix) ** 2 * 2.0**-53 * float(matrix.double().norm())
    return value - slack, value + slack


def eigenvalue_bounds_hold(seen: Look, products: Tensor, m: int) -> Report:
    """Whether λ_min(G) is at least each of the three bounds, and at most min|S|/m, beyond rounding."""
    least, at_most = least_eigenvalue(seen.gram)
    fires = int(seen.both.diagonal().min())
    for name, bound in (
        ("private units", seen.private / m),
        ("λ_min(K)", least_eigenvalue(products)[0] * fires / m),
        ("λ_min(C)", least_eigenvalue(seen.both)[0] / m),
    ):
        if not at_most >= bound:
            return Report(f"the least eigenvalue {at_most:.6g} is below the bound of {name}, {bound:.6g}")
    if not least <= fires / m:
        return Report(f"the least eigenvalue {least:.6g} is above min|S|/m = {fires / m:.6g}")
    return Report()


def smallest_eigenvalue(context: Context) -> Verdict:
    ensure(near_points_limit() == 1 / (2 * sympy.pi), f"two near points give the limit {near_points_limit()}")
    rows = []
    tall = [Setting(n, d, 2**12, 0.24, 100 * n) for n, d in TALL]
    for setting in [*settings(context), *tall]:
        about, p = problem(setting, context.device), setting.firing.p
        products = about.points @ about.points.t()
        looks = observe(setting, "lazy", context.device).looks
        for t, seen in enumerate(looks):
            ensure(eigenvalue_bounds_hold(seen, products, setting.m), f"{setting}, step {t}")
            ensure(eigenvalue_bounds_enclosed(about.points, seen.both, seen.private), f"{setting}, step {t}")
        least = [least_eigenvalue(seen.gram)[0] / p for seen in looks]
        fires = int(looks[0].both.diagonal().min())
        private, schur = looks[0].private / (setting.m * p), least_eigenvalue(products)[0] * fires / (setting.m * p)
        limit = least_eigenvalue(bounds.limit_gram(about.points, about.bias))[0] / p
        rows.append((str(setting), least[0], min(least), private, max(0.0, schur), limit))
    reason = (
        f"λ_min(G)/p at least {min(r[2] for r in rows):.3f} in {len(rows)} runs, above all three bounds at every step"
    )
    columns = ("setting", "at the start", "least of all steps", "private units", "λ_min(K) min|S|", "limit")
    return Verdict(Status.CERTIFIED, Evidence.ENCLOSED, reason, {}, tables={"λ_min / p": Table(columns, tuple(rows))})


def near_points_limit() -> sympy.Expr:
    """lim λ_min(H)/(e^(−b²/2) δ) for two points at a distance δ → 0.

    With a = tan(θ/2): δ = 2 sin(θ/2), λ_min(H) = p (1 − cos θ) + 2 cos θ T(b, a), and Owen's T(b, a) = a g(0) + a³ r
    with a bounded r, g(x) = e^(−b²(1 + x²)/2)/(2π(1 + x²)) being even.
    """
    a, b, p, r = sympy.symbols("a b p r", positive=True)
    x = sympy.Symbol("x", real=True)
    integrand = sympy.exp(-(b**2) * (1 + x**2) / 2) / (2 * sympy.pi * (1 + x**2))
    owen = a * integrand.subs(x, 0) + a**3 * r
    cosine, delta = (1 - a**2) / (1 + a**2), 2 * a / sympy.sqrt(1 + a**2)
    least = p * (1 - cosine) + 2 * cosine * owen
    return sympy.simplify(sympy.limit(sympy.simplify(least / (sympy.exp(-(b**2) / 2) * delta)), a, 0, "+"))


def limit_gram(context: Context) -> Verdict:
    rows = []
    for n, d, m in CASES_FULL if context.full else CASES:
        context.log(f"n={n}, d={d}, m={m}")
        points = rational_points(n, d, random.Random(context.seed))
        matrix, bound = enclosed_limit_gram(points, m, ALPHA), quoted_bound(points, m, ALPHA)
        ensure(positive_definite(matrix, bound), f"n={n}, d={d}, m={m}: not shown positive definite above the bound")
        factor = 1
        while positive_definite(matrix, 2 * factor * bound):
            factor *= 2
        rows.append((n, d, m, float(bound), factor))
    reason = f"certain in balls, and still with the bound {min(r[4] for r in rows)} times as large"
    tables = {"cases": Table(("n", "d", "m", "quoted bound", "holds up to a factor of"), tuple(rows))}
    return Verdict(Status.CERTIFIED, Evidence.ENCLOSED, reason, {}, tables=tables)
