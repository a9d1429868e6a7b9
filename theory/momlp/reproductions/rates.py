"""Counts, rates and the trade-off of MoMLPs: what arXiv:2402.03460 says about parameters.

A1 O(ε⁻¹) active parameters · A2 O(ε⁻¹ log ε⁻¹) parameters loaded in a forward pass · A4 many experts or large ones.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from fractions import Fraction

import sympy

from constructions import LipschitzFunction, PathwayTree, Plan, build_momlp, plan, targets
from theory import rates
from theory.checkers.parameter_count import parameter_count_eq
from theory.claim import Context, Evidence, Number, Status, Table, Verdict, ensure
from theory.momlp import bounds

INPUTS, EXPONENTS = (1, 2, 3, 4), range(2, 5)
"""n, and j of eps = 2^-j."""
TWO_OUTPUTS_EPS, WIDE_DOMAIN_EPS = 0.07, 0.013


def plans_compared(context: Context) -> Iterator[tuple[LipschitzFunction, float, dict]]:
    """Plans over n, eps, split, domain and m; small enough to build."""
    exponents = range(2, 7) if context.full else EXPONENTS
    for n in INPUTS:
        for j in exponents:
            if n * j > 16:
                continue
            for split in (None, 0.5, 0.9) if n > 1 else (None,):
                yield targets.get("cone", n=n), 2.0**-j, {"split": split}
    yield targets.get("vector_rotation", n=3), TWO_OUTPUTS_EPS, {}
    yield LipschitzFunction(lambda x: x[:, :1], n=2, lipschitz=1.0, domain=(-1, 1)), WIDE_DOMAIN_EPS, {}


def _formulas(design: Plan) -> dict[str, sympy.Basic]:
    """The theorem's counts with sympy's own ceilings, for a cube-shaped domain."""
    c = bounds.pencil_counts()
    theta = sympy.Integer(1) if design.split is None else sympy.Rational(design.split)
    values = {
        bounds.eps: sympy.Rational(design.eps_plan),
        bounds.lam: sympy.Rational(Fraction(design.modulus.lam)),
        bounds.ell: sympy.Rational(design.domain.sides[-1]),
        bounds.theta: theta,
        bounds.n: design.n,
        bounds.m: design.m,
    }
    if design.n == 1:
        active = c.parameters.subs(values)
        return {"active": active, "leaves": sympy.Integer(1), "total": active, "loaded": active, "stored": active}
    active, leaves = c.parameters.subs(values), c.leaves.subs(values)
    knots = c.knots.subs(values)
    stored = knots * (design.n + 1) + leaves * design.m * (knots + 1)
    loaded = c.loaded.subs(values)
    return {"active": active, "leaves": leaves, "total": leaves * active, "loaded": loaded, "stored": stored}


def active_parameters(context: Context) -> Verdict:
    """Measured numel of built experts equals sympy's evaluation of the formula; the limit is taken with ceilings in."""
    compared = 0
    for f, eps, options in plans_compared(context):
        model = build_momlp(f, eps=eps, device=context.device, **options)
        comparison = parameter_count_eq(model, _formulas(model.plan))
        compared += len(comparison.values)
        ensure(comparison, f"{f.name}, n = {f.n}, eps = {eps}")
    context.log("limits with the ceilings in")
    limit = rates.limit_of_rate(bounds.pencil_counts().parameters, bounds.eps, sympy.Integer(1))
    expected = bounds.ell * bounds.lam * (bounds.n + 1 + bounds.m) / (2 * sympy.sqrt(bounds.theta))
    ensure(sympy.simplify(limit - expected) == 0, f"the limit of eps·P is {limit}")
    constant = build_momlp(targets.get("cone", n=2), eps=0.05, expert="constant", device=context.device)
    numbers = {
        "counts_compared": compared,
        "limit_eps_P": str(limit),
        "active_parameters_of_constant_experts": parameter_count_eq(constant, {"active": 1}).values["active"][0],
    }
    reason = (
        f"{compared} counts equal their formulas; lim eps·P = {limit}. An upper bound, not a need: constant experts "
        "(k = 0) load O(1) parameters with more leaves"
    )
    return Verdict(Status.PROVED, Evidence.SYMBOLIC, reason, numbers)


SLOPES = ("n", "slope_P", "slope_P_error", "slope_L", "slope_L_error", "eps_P_over_limit")


def slopes(context: Context) -> Verdict:
    """Declared: slope 1 within 0.015 and n − 1 within 1 %, and eps·P within 2 % of its limit at the smallest eps."""
    rows, tables = [], {}
    for n in range(2, 7):
        f = LipschitzFunction(lambda x: x[:, :1], n=n, lipschitz=1.0)
        plans = [plan(f, 2.0**-j) for j in range(6, 14)]
        inverse = [1 / p.eps for p in plans]
        active = rates.fit_slope(inverse, [p.parameters for p in plans])
        leaves = rates.fit_slope(inverse, [p.leaves for p in plans])
        constant = plans[-1].eps * plans[-1].parameters / ((n + 2) * math.sqrt(n) / 2)
        rows.append((n, active.slope, active.error, leaves.slope, leaves.error, constant))
        tables = {"slopes": Table(SLOPES, tuple(rows))}
        near = abs(active.slope - 1) <= 0.015 and abs(leaves.slope / (n - 1) - 1) <= 0.01
        near = near and abs(constant - 1) <= 0.02
        ensure(near, f"n = {n}: slopes {active.slope:.4f} and {leaves.slope:.4f}", **tables)
    reason, numbers = "all ten slopes as declared", {"slopes": 2 * len(rows)}
    return Verdict(Status.NOT_REFUTED, Evidence.FITTED, reason, numbers, tables=tables)


def forward_pass_load(context: Context) -> Verdict:
    """Worst path of the actual graph, and of ever larger trees by box shapes, equals the formula; limits by sympy."""
    compared = 0
    for f, eps, options in plans_compared(context):
        model = build_momlp(f, eps=eps, device=context.device, **options)
        if model.tree.num_nodes > 20_000:
            continue
        comparison = parameter_count_eq(model, {"loaded": _formulas(model.plan)["loaded"]})
        compared += 1
        ensure(comparison, f"{f.name}, n = {f.n}, eps = {eps}")
    for cells in ((708,), (87, 87), (16,) * 9, (1000, 3, 17), (2**20, 2**20)):
        compared, children = compared + 1, PathwayTree(cells).max_path_children()
        formula = 2 * sum(math.ceil(math.log2(c)) for c in cells)
        ensure(children == formula, f"cells {cells}: {children} children on the worst path")
    extra = _loaded_beyond_expert()
    ensure(extra == 0, f"lim eps·(F − P) is {extra}, not 0")
    reason = f"{compared} loads equal the formula; lim eps·(F − P) = 0, so F inherits P's O(1/eps)"
    return Verdict(
        Status.PROVED, Evidence.SYMBOLIC, reason, {"loads_compared": compared, "limit_eps_F_minus_P": str(extra)}
    )


def _loaded_beyond_expert() -> sympy.Expr:
    """lim ε·2n(n−1)(log₂(M) + 1) with M ≤ c/ε + 1: an upper bound of ε(F − P) for a symbolic c > 0."""
    c = sympy.Symbol("c", positive=True)
    bound = 2 * bounds.n * (bounds.n - 1) * (sympy.log(c / bounds.eps + 1, 2) + 1)
    return sympy.limit(bounds.eps * bound, bounds.eps, 0, "+")


def trade_off(context: Context) -> Verdict:
    """Symbolic minimiser for all n, symbolic limits for n = 2..5, and exact monotone counts along the split."""
    best = bounds.optimal_split()
    ensure(sympy.simplify(best - 1 / bounds.n) == 0, f"the optimal split is {best}")
    leaves = bounds.pencil_counts().leaves
    for k in range(2, 6):
        limit = rates.limit_of_rate(leaves.subs(bounds.n, k), bounds.eps, sympy.Integer(k - 1))
        base = bounds.ell * bounds.lam * sympy.sqrt(k - 1) / (2 * sympy.sqrt(1 - bounds.theta))
        ensure(sympy.simplify(limit - base ** (k - 1)) == 0, f"n = {k}: lim eps^(n-1)·L is {limit}")
    f = targets.get("cone", n=3)
    plans = [plan(f, 0.001, split=Fraction(j, 12)) for j in range(1, 12)]
    ordered = all(a.parameters >= b.parameters and a.leaves <= b.leaves for a, b in itertools.pairwise(plans))
    ensure(ordered, "P and L are not monotone along the split")
    cheapest = min(plans, key=lambda p: p.leaves * p.knots)
    numbers: dict[str, Number] = {"optimal_split": str(best), "cheapest_split_of_eleven_n3": str(cheapest.split)}
    splits = Table(("split", "P", "L"), tuple((str(p.split), p.parameters, p.leaves) for p in plans))
    near = cheapest.split in (Fraction(1, 4), Fraction(1, 3), Fraction(5, 12))
    ensure(near, f"the counts are cheapest at {cheapest.split}", **numbers, splits=splits)
    reason = f"argmin L·K = {best} for every n ≥ 2"
    return Verdict(Status.PROVED, Evidence.SYMBOLIC, reason, numbers, tables={"splits": splits})


def curse_of_dimensionality(context: Context) -> Verdict:
    """The limit is positive and finite: what is O(1/ε) is what is loaded, not what exists."""
    c = bounds.pencil_counts()
    rows = []
    for k in range(2, 6):
        limit = rates.limit_of_rate((c.leaves * c.parameters).subs(bounds.n, k), bounds.eps, sympy.Integer(k))
        value = limit.subs({bounds.theta: sympy.Rational(1, k), bounds.lam: 1, bounds.ell: 1, bounds.m: 1})
        rows.append((k, float(value)))
        ensure(bool(value.is_finite and value.is_positive), f"n = {k}: lim eps^n·L·P is {limit}")
    tables = {"limits": Table(("n", "limit"), tuple(rows))}
    reason = "positive finite limits for n = 2..5"
    return Verdict(Status.PROVED, Evidence.SYMBOLIC, reason, {"limits": len(rows)}, tables=tables)
