"""Upper bounds: finiteness, and what routing adds, flat and down a tree."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import numpy as np
import sympy

from constructions.vc_dimension import largest_set
from theory.claim import Context, Evidence, Number, Status, Table, Verdict, ensure
from theory.rates import fit_slope
from theory.vc_dimension import enclosed
from theory.vc_dimension.bounds import (
    Architecture,
    constant_growth,
    flat_growth,
    largest,
    sauer_growth,
    tree_factor,
    tree_growth,
    vc_upper_flat,
    vc_upper_tree,
)
from theory.vc_dimension.checkers import certified

CERTIFIED_AT_MOST = 1000
RANDOM_CASES = 500
SIZES = list(itertools.product((1, 2, 4, 8, 16, 64), (1, 2, 8), (1, 4, 16)))
"""(n, J, W)"""


def finite(context: Context) -> Verdict:
    """Theorems 2 and 4 solved on a grid, against L copies of the largest set that one expert shatters."""
    tightest, checked = math.inf, 0
    for n, depth, width in SIZES:
        best = largest_set(n, depth, width)
        if best.points <= CERTIFIED_AT_MOST:
            report = certified(best.build())
            checked += 1
            ensure(report, f"(n, J, W) = {(n, depth, width)}")
            ensure(report.points == best.points, f"(n, J, W) = {(n, depth, width)}: {report.points} points")
        for experts in (1, 4, 64, 1024):
            a, where = Architecture(n, depth, width), f"(n, J, W, L) = {(n, depth, width, experts)}"
            flat, tree = vc_upper_flat(a, experts), vc_upper_tree(a, experts)
            ensure(enclosed.too_many(enclosed.flat(n, experts, enclosed.mlp(a)), flat + 1, where), "flat")
            ensure(enclosed.too_many(enclosed.tree(n, experts, enclosed.mlp(a)), tree + 1, where), "tree")
            upper, lower = min(flat, tree), experts * best.points
            ensure(upper >= lower, f"{where}: {upper} < {lower}")
            tightest = min(tightest, upper / lower)
    numbers = {"architectures": 4 * len(SIZES), "expert_sets_certified": checked, "smallest_upper_over_lower": tightest}
    reason = (
        f"{4 * len(SIZES)} architectures, upper >= L·VC_E, both upper bounds in balls; {checked} of {len(SIZES)} "
        "experts' sets certified here"
    )
    return Verdict(Status.CERTIFIED, Evidence.ENCLOSED, reason, numbers)


def random_cases(context: Context) -> list[tuple[int, int, int]]:
    """(n, log2 L, d) with d ≥ n + 1, over many orders of magnitude."""
    generator = np.random.default_rng(context.seed)
    count = RANDOM_CASES * (6 if context.full else 1)
    n = np.exp(generator.uniform(0, np.log(4000), count)).astype(int)
    d = np.ceil((n + 1) * np.exp(generator.uniform(0, 8, count))).astype(int)
    return list(zip(n.tolist(), generator.integers(0, 17, count).tolist(), d.tolist(), strict=True))


def routing_term(context: Context) -> Verdict:
    """The bound of Theorem 2 below the clean form at random (n, L, d), in balls, and the clean form's order in L."""
    worst = 0.0
    for n, height, d in random_cases(context):
        solved = largest(flat_growth(n, 2**height, sauer_growth(d)))
        worst = max(worst, solved / (2**height * (d + (n + 1) * math.log2(2 ** (height + 1)))))
        growth, clean = enclosed.flat(n, 2**height, enclosed.sauer(d)), enclosed.clean_flat(n, 2**height, d)
        ensure(enclosed.at_most(growth, clean, f"n = {n}, L = {2**height}, d = {d}"), "the clean form")
    size, n, d = sympy.symbols("L n d", positive=True)
    clean = sympy.Rational(53, 10) * size * (d + (n + 1) * sympy.log(2 * size, 2))
    orders = (
        sympy.limit(clean / (n * size**2), size, sympy.oo),
        sympy.limit(clean / (n * size * sympy.log(size, 2)), size, sympy.oo),
    )
    ensure(bool(orders[0] == 0 and orders[1].is_finite), f"limits {orders}")
    sizes = [2**j for j in range(4, 17, 2)]
    solved = [largest(flat_growth(64, L, constant_growth)) for L in sizes]
    rows = [(64, L, value / (64 * L), value / (64 * L**2)) for L, value in zip(sizes, solved, strict=True)]
    tables = {"constants": Table(("n", "L", "bound_over_nL", "bound_over_nL2"), tuple(rows))}
    numbers: dict[str, Number] = {
        "largest_solved_over_bracket": worst,
        "slope_in_L_of_constants": fit_slope(sizes, solved).slope,
        "limit_over_nLlogL": str(orders[1]),
    }
    reason = (
        f"solved/(L(d + (n+1)log 2L)) at most {worst:.3f} of the 5.3 allowed, decided in balls; over nL^2 the bound "
        "tends to 0"
    )
    return Verdict(Status.CERTIFIED, Evidence.ENCLOSED, reason, numbers, tables=tables)


def tree_router(context: Context) -> Verdict:
    """Theorem 4 below λ_v·L·d at random (n, L, d), in balls, and beside flat routing for constant answers."""
    for valency in (2, 3, 4, 8):
        ensure(enclosed.tree_factor_holds(valency), "lambda_v")
    factors = Table(("valency", "lambda"), tuple((v, round(tree_factor(v), 4)) for v in (2, 3, 4, 8)))
    worst = 0.0
    for n, height, d in random_cases(context):
        for valency in (2, 3):
            experts = valency ** min(height, 10)
            solved = largest(tree_growth(n, experts, sauer_growth(d), valency=valency))
            clean = enclosed.ball(Fraction(tree_factor(valency)) * experts * d)
            growth = enclosed.tree(n, experts, enclosed.sauer(d), valency=valency)
            ensure(enclosed.at_most(growth, clean, f"n = {n}, L = {experts}, d = {d}"), "lambda·L·d")
            worst = max(worst, solved / (tree_factor(valency) * experts * d))
    sizes, rows = [2**j for j in range(4, 17, 2)], []
    for name, growth in (("tree", tree_growth), ("flat", flat_growth)):
        solved = [largest(growth(64, L, constant_growth)) for L in sizes]
        rows += [(name, 64, L, value / (65 * L)) for L, value in zip(sizes, solved, strict=True)]
        if name == "tree":
            units = enclosed.ball(Fraction(61, 10) * 65 * sizes[-1])
            unanimous = enclosed.tree(64, sizes[-1], enclosed.constant)
            ensure(enclosed.at_most(unanimous, units, "6.1 per (n+1)L"), "constant answers")
    tables = {"factors": factors, "constants": Table(("router", "n", "L", "bound_over_(n+1)L"), tuple(rows))}
    numbers: dict[str, Number] = {"largest_solved_over_bound": worst}
    reason = f"solved/(lambda_v L d) at most {worst:.3f}, in balls; flat routing grows with log L, the tree does not"
    return Verdict(Status.CERTIFIED, Evidence.ENCLOSED, reason, numbers, tables=tables)
