"""Super-expressive activations: infinite VC dimension at fixed depth and width, a statement about real arithmetic."""

from __future__ import annotations

import sympy
import torch

from constructions.super_expressive import FAMILIES
from theory.claim import Context, Evidence, Status, Table, Verdict, ensure
from theory.super_expressive.checkers import (
    every_labeling,
    realised_in_float,
    shattered_exactly,
    structured_and_random,
)

ENUMERATED, SAMPLED = (1, 2, 4, 8, 12), (64, 256, 1024)
"""Numbers of points: all labelings of the former, some of the latter."""
FLOATS = (torch.float32, torch.float64)


def infinite_vc_dimension(context: Context) -> Verdict:
    """The fraction's bound for all k by sympy; all labelings of small k and 20 of k up to 1024 in integers."""
    i, j = sympy.symbols("i j", integer=True, positive=True)
    tail = sympy.summation(sympy.Integer(4) ** -j, (j, 1, sympy.oo))
    largest = sympy.simplify(2**-i + sympy.summation(sympy.Integer(2) ** -j, (j, 1, i - 1)))
    bounded = tail == sympy.Rational(1, 3) and sympy.simplify(largest - (1 - 2**-i)) == 0
    ensure(bounded, f"the fractions are bounded by {tail} and {largest}")
    decided, margins = [], []
    for name in FAMILIES:
        count = 0
        for k in (*ENUMERATED, *((16,) if context.full else ())):
            context.log(f"{name}: all labelings of {k} points")
            report = shattered_exactly(name, k, every_labeling(k))
            ensure(report, f"{name}, k = {k}")
            count += report.labelings
        for k in SAMPLED:
            context.log(f"{name}: {k} points")
            report = shattered_exactly(name, k, structured_and_random(k, 16, context.generator()))
            ensure(report, f"{name}, k = {k}")
            count += report.labelings
            margins.append((name, k, float(report.margin)))
        decided.append((name, count))
    tables = {
        "labelings": Table(("family", "decided"), tuple(decided)),
        "margins": Table(("family", "k", "least_margin"), tuple(margins)),
    }
    numbers = {"labelings_decided": sum(count for _, count in decided)}
    reason = "the fraction stays below 1/3 (EUAF) and inside (0, 1) (sine) for every k; no error in integers"
    return Verdict(Status.PROVED, Evidence.SYMBOLIC, reason, numbers, tables=tables)


def floating_point(context: Context) -> Verdict:
    """The least k at which some labeling fails, for each activation and precision."""
    rows, witness = [], None
    for name in FAMILIES:
        for dtype in FLOATS:
            found = realised_in_float(name, dtype, context.generator(), device=context.device)
            ensure(not found.holds, f"{name} in {dtype} did not fail up to k = {found.points}")
            rows.append((name, str(dtype).removeprefix("torch."), found.points))
            witness = witness or found.failure
    reason = ", ".join(f"{family} in {precision} fails at k = {k}" for family, precision, k in rows)
    tables = {"failures": Table(("family", "precision", "first_failure"), tuple(rows))}
    return Verdict(Status.REFUTED, Evidence.EXACT, reason, {"cases": len(rows)}, witness=witness, tables=tables)
