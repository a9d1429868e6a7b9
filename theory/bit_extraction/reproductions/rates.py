"""What approximation costs: P against ε for a single MLP, and L·P² behind a router."""

from __future__ import annotations

from fractions import Fraction

from constructions import plan, targets
from constructions.bit_extraction import Design
from constructions.bit_extraction.choice import choose
from theory.bit_extraction import bounds as counts
from theory.bit_extraction.reproductions.networks import built
from theory.checkers.uniform_error import certify_uniform_error
from theory.claim import Context, Evidence, Status, Table, Verdict, ensure
from theory.rates import fit_slope
from theory.vc_dimension.bounds import parameters_of_single_mlp


def rate(context: Context) -> Verdict:
    """Slopes of exact counts over many decades, P/K^{n/2}, built networks where float64 allows, and A3."""
    slopes, rows = {}, []
    decades = {1: range(6, 15, 2), 2: range(4, 9), 3: range(3, 7)}

    def measured() -> dict[str, Table]:
        return {
            "slopes": Table(("n", "slope", "slope_of_A3"), tuple((n, *pair) for n, pair in slopes.items())),
            "counts": Table(("n", "inverse_eps", "P", "P_at_least"), tuple(rows)),
        }

    for n, exponents in decades.items():
        inverse = [10**e for e in exponents]
        P = [counts.trade_off_point(n, n, i, Fraction(1))[1] for i in inverse]
        lower = [parameters_of_single_mlp(n, Fraction(1, i)) for i in inverse]
        slope = fit_slope(inverse, P).slope
        slopes[n] = slope, fit_slope(inverse, lower).slope
        rows += [(n, *row) for row in zip(inverse, P, lower, strict=True)]
        for i, p, least in zip(inverse, P, lower, strict=True):
            ensure(p >= least, f"n = {n}, eps = 1/{i}: {p} is below A3's {least}")
        ensure(abs(slope - n / 2) <= 0.06 * n, f"n = {n}: slope {slope}", **measured())
    reason = ", ".join(f"n = {n}: {slope:.3f}" for n, (slope, _) in slopes.items())
    reason, tables = f"slopes of exact counts {reason} (n/2 expected)", measured() | _against_the_obvious()
    return Verdict(Status.NOT_REFUTED, Evidence.FITTED, reason, {"counts": len(rows)}, tables=tables)


def _against_the_obvious() -> dict[str, Table]:
    """Networks that float64 decodes at the same guarantee, and on a line the obvious one: where each pays."""
    grid = {1: [10, 20, 50, 100, 1000, 10**4, 10**5, 10**6], 2: [10, 20, 50, 100, 1000], 3: [10, 20, 50, 100]}
    slopes, rows = [], []
    for n, inverse in grid.items():
        P: dict[str, list[int]] = {"naive": [counts.naive_parameters(i) for i in inverse] if n == 1 else []}
        for lookup in ("wide", "deep"):
            designs = [choose(n, counts.needed_cells(n, Fraction(i)), lookup=lookup, cap=51) for i in inverse]
            P[lookup] = [counts.parameters_of_widths(counts.widths(*_sizes(d)), n) for d in designs]
            slopes.append((n, lookup, fit_slope(inverse, P[lookup]).slope))
        for name, values in P.items():
            rows += [(n, name, i, value) for i, value in zip(inverse, values, strict=False)]
    return {
        "slopes_of_float64_networks": Table(("n", "network", "slope"), tuple(slopes)),
        "float64_networks": Table(("n", "network", "inverse_eps", "P"), tuple(rows)),
    }


def _sizes(d: Design) -> tuple[int, int, int, int, int, str]:
    return d.k, d.J, d.m, d.header, d.words, d.lookup


# --- the trade-off --------------------------------------------------------------------------------------


COUNTS = ("n", "k", "split", "scaled", "limit", "at_least")
"""`scaled` is L P^2 (eps/lambda)^n."""


def trade_off(context: Context) -> Verdict:
    """Exact counts over decades against their limit, the lower bound, and built models with certified errors."""
    rows = []

    def measured() -> Table:
        return Table(COUNTS, tuple(rows))

    for n, k in ((2, 1), (2, 2), (3, 1), (3, 2), (3, 3)):
        splits = [Fraction(1)] if n == k else [Fraction(1, 4), Fraction(k, n), Fraction(1, 2), Fraction(3, 4)]
        limit = counts.trade_off_constant(n, k)
        for share in splits:
            inverse = [10**e for e in ((8, 10, 12) if k == 1 else (5, 6, 7))]
            scaled, least = [], 0.0
            for i in inverse:
                L, P = counts.trade_off_point(n, k, i, share)
                scaled.append(float(Fraction(L) * P * P / Fraction(i) ** n))
                least = float(counts.trade_off_lower(n, i, L) / Fraction(i) ** n)
                reason = f"n = {n}, k = {k}, eps = 1/{i}: L·P² is below the lower bound"
                ensure(least <= scaled[-1], reason, counts=measured())
            shape = _split_factor(n, k, share) / _split_factor(n, k, Fraction(k, n))
            rows.append((n, k, str(share), scaled[-1], limit * shape, least))
            near = all(limit * shape / 3.5 <= value <= 3.5 * limit * shape for value in scaled)
            reason = f"n = {n}, k = {k}, split {share}: {scaled} against {limit * shape}"
            ensure(near, reason, counts=measured())
    tables = {"counts": measured(), "built": _certified_points(context, measured())}
    tables |= {"cut": _certified_cuts(context), "distance": _distance()}
    constants = tuple((n, counts.trade_off_constant(n, 0)) for n in (2, 3))
    tables["constant_experts"] = Table(("n", "scaled"), constants)
    reason = (
        "exact counts stay within a factor 3.5 of the limit for 1 <= k <= n and 4 splits; built models are certified"
    )
    numbers = {"counts": len(rows), "built_models": len(BUILT) + len(tables["cut"].rows)}
    return Verdict(Status.NOT_REFUTED, Evidence.FITTED, reason, numbers, tables=tables)


def _split_factor(n: int, k: int, share: Fraction) -> float:
    """share^{−k}·(1 − share)^{−(n−k)}: how the limit depends on the split."""
    return float(share) ** -k * (1.0 if n == k else float(1 - share) ** -(n - k))


LOWER = (counts.trade_off_lower, counts.trade_off_information)
"""Of L·P² where weights are float64: by what a mixture can shatter, and by what its numbers can tell apart."""


DISTANT = (1, 4, 8, 16)


def _distance() -> Table:
    """How far float64 networks on a line cut into L cells are from both lower bounds, at ε = λ/1,000,000: the counts
    are those of `plan`."""
    inverse, rows = 10**6, []
    f = targets.get("cone", n=1)
    for L in DISTANT:
        P = min(_counted(1, inverse, L, lookup) for lookup in ("wide", "deep"))
        planned = plan(f, Fraction(1, inverse), expert="bit_extraction", lookup="wide", cells=L)
        reason = f"L = {L}: the plan has {planned.leaves} experts of {planned.parameters}, the transcription {P}"
        ensure((planned.leaves, planned.parameters) == (L, P), reason)
        rows.append((L, P, L * P**2, *(L * P**2 / bound(1, inverse, L) for bound in LOWER)))
    return Table(("L", "P", "LP2", "over_vc_bound", "over_information_bound"), tuple(rows))


def _counted(n: int, inverse: int, cells: int, lookup: str) -> int:
    """P where ε = λ/inverse and every expert resolves its share, 1/cells, of each of n axes."""
    d = choose(n, counts.needed_cells(n, Fraction(inverse, cells)), lookup=lookup, cap=51)
    return counts.parameters_of_widths(counts.widths(*_sizes(d)), n)


CUT = [(1, 10**4, 1), (1, 10**4, 4), (1, 10**4, 16), (2, 20, 1), (2, 20, 4)]
MORE_CUT = [(1, 10**5, 4), (1, 10**5, 16)]
"""(n, 1/eps, cells of each axis), the latter in the full budget only."""


def _certified_cuts(context: Context) -> Table:
    """Built models whose experts resolve one cell of every axis: certified error, L and P, as it was counted."""
    rows = []
    for n, inverse, cells in CUT + MORE_CUT * context.full:
        context.log(f"n = {n}, eps = 1/{inverse}, {cells} cells an axis")
        f, case = targets.get("cone", n=n), f"n = {n}, eps = 1/{inverse}, {cells} cells an axis"
        model = built(f, 1 / inverse, resolved=n, lookup="wide", cells=cells, device=context.device)
        c = certify_uniform_error(model, f, eps=1 / inverse, samples=SAMPLES, seed=context.seed)
        ensure(c.status is Status.CERTIFIED, f"{case}: {c.reason}")
        L, P, expected = model.num_leaves, model.active_parameters, (cells**n, _counted(n, inverse, cells, "wide"))
        ensure(expected == (L, P), f"{case}: {L} experts of {P} parameters, counted {expected}")
        rows.append((n, inverse, cells, c.upper, L, P, L * P**2))
    return Table(("n", "inverse_eps", "cells", "certified_error", "L", "P", "LP2"), tuple(rows))


SAMPLES = 5_000
BUILT = [
    *((2, 1, 0.05, split) for split in ("1/4", "1/2", "2/3", "3/4")),
    *((3, 1, 0.1, split) for split in ("1/4", "1/3", "1/2", "3/4")),
    *((2, 2, 0.05, "1"), (3, 2, 0.3, "1/2"), (3, 3, 0.3, "1")),
]
"""(n, k, eps, split)"""


def _certified_points(context: Context, found: Table) -> Table:
    """Built models at several splits: certified error, L, P, L·P²·(ε/λ)^n and the larger lower bound of L·P²."""
    rows = []
    for n, k, eps, split in BUILT:
        context.log(f"n = {n}, k = {k}, split {split}")
        f = targets.get("cone", n=n)
        model = built(
            f, eps, resolved=k, lookup="wide", split=None if split == "1" else Fraction(split), device=context.device
        )
        c = certify_uniform_error(model, f, eps=eps, samples=SAMPLES, seed=context.seed)
        ensure(c.status is Status.CERTIFIED, f"n = {n}, k = {k}, split {split}: {c.reason}", counts=found)
        L, P = model.num_leaves, model.active_parameters
        least = max(bound(n, round(1 / eps), L) for bound in LOWER)
        reason = f"n = {n}, k = {k}, split {split}: L·P² = {L * P**2} is below the lower bound {least}"
        ensure(least <= L * P**2, reason, counts=found)
        rows.append((n, k, eps, split, c.upper, L, P, L * P**2 * eps**n, least * eps**n))
    return Table(("n", "k", "eps", "split", "certified_error", "L", "P", "scaled", "at_least"), tuple(rows))
