"""Runs of training: fired sets, the same weights, contraction."""

from __future__ import annotations

from itertools import pairwise

from constructions.sublinear_training.methods import METHODS
from theory.claim import Context, Evidence, Status, Table, Verdict, ensure
from theory.sublinear_training.checkers.fired_set import rounding
from theory.sublinear_training.runs import STEPS, TOLERANCE, Setting, observe, problem, settings

AGREEMENT = 1e-12
ROUNDING = 1e-10  # residuals below it are rounding: their ratios say nothing
MOST_STEPS = 7
HALF = 0.5


def fired_sets(context: Context) -> Verdict:
    rows, error = [], 0.0
    for setting in settings(context):
        context.log(str(setting))
        for method in METHODS:
            seen = observe(setting, method, context.device)
            ensure(seen.report, f"{method}, {setting}")
            error = max(error, seen.identity_error)
        points = problem(setting, context.device).points
        nearest = min(float(((w @ points.t()) - setting.firing.bias).abs().min()) for w in seen.weights)
        rows.append((str(setting), len(seen.records), seen.looks[0].fired, nearest, rounding(seen.weights[0], points)))
    reason = (
        f"every fired set of {len(rows)} settings and {len(METHODS)} methods is that of the exact inner products, and "
        f"every step an exact Gauss–Newton step within {error:.1e}"
    )
    columns = ("setting", "steps", "fired at the start", "nearest |z - b|", "rounding slack")
    tables = {"settings": Table(columns, tuple(rows))}
    return Verdict(Status.CERTIFIED, Evidence.FLOAT64, reason, {"identity error": error}, tables=tables)


def same_training(context: Context) -> Verdict:
    worst = 0.0
    for setting in settings(context):
        context.log(str(setting))
        first, *others = [observe(setting, method, context.device) for method in METHODS]
        for method, other in zip(METHODS[1:], others, strict=True):
            ensure(len(other.weights) == len(first.weights), f"{setting}: {method} takes another number of steps")
            for ours, theirs in zip(first.weights, other.weights, strict=True):
                difference = float((ours - theirs).abs().max())
                ensure(difference <= AGREEMENT, f"{method}, {setting}: weights differ by {difference:.3g}")
                worst = max(worst, difference)
    reason = f"weights of {len(METHODS)} methods within {worst:.1e} of each other after every step"
    return Verdict(Status.NOT_REFUTED, Evidence.SAMPLED, reason, {"difference": worst})


def contraction(context: Context) -> Verdict:
    worst, most = 0.0, 0
    for setting in settings(context):
        residuals = observe(setting, "lazy", context.device).residuals
        for before, after in pairwise(residuals):
            if before > ROUNDING:
                worst = max(worst, after / before)
        ensure(residuals[-1] <= TOLERANCE, f"{setting}: residual {residuals[-1]:.3g} after {STEPS} steps")
        most = max(most, len(residuals) - 1)
    ensure(worst <= HALF and most <= MOST_STEPS, f"a ratio of {worst:.3f}, {most} steps", ratio=worst, steps=most)
    reason = f"residuals shrink by {worst:.3f} at worst, and {most} steps reach 1e-12"
    return Verdict(Status.NOT_REFUTED, Evidence.SAMPLED, reason, {"worst ratio": worst, "steps": most})


def contraction_any_labels(context: Context) -> Verdict:
    widths = (2**12, 2**16) if context.full else (2**12,)
    rows, witness = [], None
    for m in widths:
        setting = Setting(32, 16, m, 0.24, 5, labels=100.0)
        seen = observe(setting, "lazy", context.device)
        ensure(seen.report, str(setting))
        first, second, *_ = seen.residuals
        rows.append((str(setting), first, second, second / first, seen.residuals[-1], len(seen.records)))
        if second / first > HALF:
            witness = witness or f"{setting}, |y|=100: ‖f − y‖ goes from {first:.2f} to {second:.2f}"
    ensure(witness is not None, "every first step halved the residual")
    columns = ("setting", "before", "after one step", "ratio", "at the end", "steps")
    reason = f"the first step leaves {max(r[3] for r in rows):.3f} of the residual; training converges all the same"
    tables = {"runs": Table(columns, tuple(rows))}
    return Verdict(Status.REFUTED, Evidence.SAMPLED, reason, {}, witness=witness, tables=tables)
