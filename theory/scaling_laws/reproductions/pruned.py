"""The pruning law: its shape by sympy, and whether its five constants predict wider networks."""

from __future__ import annotations

from dataclasses import dataclass

import sympy
import torch
from torch import Tensor

from constructions.scaling_laws.pruning import Classification, PruningCurve, pruned_teacher_students, teacher_classes
from constructions.scaling_laws.pruning_law import FittedPruningLaw, PruningLaw, fit_pruning_law
from constructions.scaling_laws.training import Schedule
from theory.claim import Context, Evidence, Status, Table, Verdict, ensure
from theory.scaling_laws.bounds import plateau_ratio, steepest_slope
from theory.scaling_laws.checkers.pruning_shape import (
    GAMMA,
    HIGH,
    LOW,
    P,
    Q,
    law_eq,
    plateaus_eq,
    slope,
    slope_eq,
    steepest_eq,
)
from theory.scaling_laws.checkers.trained import PruningWitness

CASES = ((0.1, 0.9, 0.7), (1e-6, 0.9, 0.7), (0.3, 0.85, 0.5), (0.05, 0.5, 2.0))
"""ε_np, ε↑, γ."""

CLASSES_CHANCE = 0.9
USABLE = 0.98
"""Of chance: points above carry no slope."""

MARGIN = 0.5
SHUFFLES = 3


def pruning_shape(context: Context) -> Verdict:
    ensure(slope_eq(slope()), "the local slope")
    ensure(steepest_eq(P * sympy.sqrt(Q), -GAMMA * (Q - 1) / (Q + 1)), "the steepest slope")
    ensure(plateaus_eq((HIGH / LOW) ** (1 / GAMMA)), "the plateaus")
    rows = []
    for low, high, gamma in CASES:
        ensure(
            law_eq(PruningLaw(high, gamma, 2.5, 0.7, 1.1), low, device=context.device),
            f"the law at {low}, {high}, {gamma}",
        )
        rows.append((low, high, gamma, plateau_ratio(low, high, gamma), steepest_slope(low, high, gamma)))
    reason = (
        "slope, its steepest value −γ(q − 1)/(q + 1) at d = p√q alone, both plateaus and their geometric mean, by sympy"
    )
    columns = ("eps_np", "eps_high", "gamma", "q", "steepest slope")
    return Verdict(Status.PROVED, Evidence.SYMBOLIC, reason, {}, tables={"slopes": Table(columns, tuple(rows))})


def pruning_slope_is_gamma(context: Context) -> Verdict:
    ensure(slope_eq(slope()), "the local slope")
    value = -GAMMA * (Q - 1) / (Q + 1)
    ensure(steepest_eq(P * sympy.sqrt(Q), value), "the steepest slope")
    short = sympy.simplify(value + GAMMA - 2 * GAMMA / (Q + 1))
    ensure(short == 0, f"the steepest slope is not −γ + 2γ/(q + 1), the difference is {short}")
    low, high, gamma = sympy.Rational(1, 10), sympy.Rational(9, 10), sympy.Rational(7, 10)
    q = (high / low) ** (1 / gamma)
    steepest = value.subs({GAMMA: gamma, Q: q})
    ensure(bool(steepest > -gamma), "the witness reaches the slope −γ")
    at = float(sympy.N(steepest, 20))
    witness = f"ε_np = 0.1, ε↑ = 0.9, γ = 0.7: q = {float(q):.4f}, the steepest slope is {at:.4f}, not −0.7"
    reason = "the steepest slope is −γ + 2γ/(q + 1), above −γ for every finite q"
    return Verdict(Status.REFUTED, Evidence.SYMBOLIC, reason, {"steepest slope": at}, witness=witness)


@dataclass(frozen=True)
class Protocol:
    """Widths fitted and held out, and how the networks are trained and pruned."""

    fitted: tuple[int, ...]
    held_out: tuple[int, ...]
    teacher: tuple[int, ...]
    points: int
    test: int
    seeds: int
    schedule: Schedule
    keep: float
    rounds: int
    rewind: int
    together: bool
    depths: tuple[int, ...] = (2, 3)


QUICK = Protocol(
    (8, 12, 18), (32,), (4, 24, 10), 4096, 4000, 2, Schedule(200, batch=32, rate=1e-2), 0.5, 6, 25, together=True
)  # fmt: skip
FULL = Protocol(
    (8, 16, 32, 64), (128,), (12, 64, 10), 4096, 8000, 5, Schedule(400, rate=3e-3), 0.64, 12, 50, together=False
)  # fmt: skip


@dataclass(frozen=True)
class PrunedPoints:
    """Columns (N,): density, depth, width, unpruned error, error, averaged over the seeds; and `each` (N, seeds, 2),
    unpruned error and error of every seed."""

    columns: Tensor
    each: Tensor

    def where(self, mask: Tensor) -> PrunedPoints:
        return PrunedPoints(self.columns[mask], self.each[mask])

    @property
    def errors(self) -> Tensor:
        return self.columns[:, 4]

    def deviations(self, law: PruningLaw) -> Tensor:
        return law(*self.columns[:, :4].t()) / self.errors - 1


def pruned_points(protocol: Protocol, context: Context) -> PrunedPoints:
    """All points of a protocol below `USABLE` of chance, each round seen by a `PruningWitness`."""
    seeds = [context.seed * protocol.seeds + s for s in range(protocol.seeds)]
    data = teacher_classes(
        seeds, protocol.points, test=protocol.test, widths=protocol.teacher, teacher=context.seed, device=context.device
    )
    rows, each = [], []
    for depth in protocol.depths:
        curves = _curves(data, protocol, depth, seeds, context)
        for curve in curves:
            widths, densities, errors = curve.averaged()
            for k, width in enumerate(widths):
                own = curve.errors[:, [w == width for w in curve.widths]]
                for r in range(len(densities)):
                    rows.append((float(densities[r, k]), depth, width, float(errors[0, k]), float(errors[r, k])))
                    each.append(torch.stack([own[0], own[r]], 1))
    points = PrunedPoints(torch.tensor(rows, dtype=torch.float64), torch.stack(each))
    return points.where(points.errors < USABLE * CLASSES_CHANCE)


def _curves(data: Classification, protocol: Protocol, depth: int, seeds, context: Context) -> list[PruningCurve]:
    every = (*protocol.fitted, *protocol.held_out)
    together = protocol.together or context.device.type != "cpu"
    curves = []
    for widths in [every] if together else [(w,) for w in every]:
        context.log(f"depth {depth}, widths {', '.join(map(str, widths))}")
        witness = PruningWitness(*data.test, protocol.keep)
        curve = pruned_teacher_students(
            data, widths, depth, seeds, protocol.schedule, keep=protocol.keep, rounds=protocol.rounds,
            rewind=protocol.rewind, finished=witness, log=context.log,
        )  # fmt: skip
        ensure(witness.report(curve), f"depth {depth}, widths {widths}")
        curves.append(curve)
    return curves


def fitted(points: PrunedPoints, *, joint: bool = True) -> FittedPruningLaw:
    return fit_pruning_law(*points.columns.t(), chance=CLASSES_CHANCE, joint=joint)


def shuffled(points: PrunedPoints, number: int) -> PrunedPoints:
    """Densities dealt out anew."""
    order = torch.randperm(len(points.columns), generator=torch.Generator().manual_seed(number))
    columns = points.columns.clone()
    columns[:, 0] = columns[order, 0]
    return PrunedPoints(columns, points.each)


def pruning(context: Context) -> Verdict:
    protocol = FULL if context.full else QUICK
    points = pruned_points(protocol, context)
    known = points.columns[:, 2] <= max(protocol.fitted)
    fit, held_out = fitted(points.where(known)), points.where(~known)
    law = float(held_out.deviations(fit.law).abs().mean())
    flat = float(held_out.deviations(fitted(points.where(known), joint=False).law).abs().mean())
    unpruned = float((held_out.columns[:, 3] / held_out.errors - 1).abs().mean())
    dealt = min(
        float(held_out.deviations(fitted(shuffled(points.where(known), k)).law).abs().mean()) for k in range(SHUFFLES)
    )
    numbers = {
        "points fitted": int(known.sum()), "points held out": len(held_out.columns), "held out: mean |delta|": law,
        "held out: mean delta": float(held_out.deviations(fit.law).mean()), "phi = psi = 0": flat,
        "unpruned error": unpruned, "densities shuffled": dealt, "in sample: std": float(fit.residuals.std()),
        "gamma": fit.law.gamma, "phi": fit.law.phi, "psi": fit.law.psi,
        "at a bound": ", ".join(fit.at_bounds) or "none",
        **_per_seed(held_out, fit.law),
    }  # fmt: skip
    for name, other in (("φ = ψ = 0", flat), ("the unpruned error", unpruned), ("shuffled densities", dealt)):
        ensure(law < MARGIN * other, f"mean |δ| is {law:.3f}, with {name} {other:.3f}", **numbers)
    reason = (
        f"constants of widths up to {max(protocol.fitted)} predict width {', '.join(map(str, protocol.held_out))}, "
        f"given its unpruned error, with mean |δ| {law:.3f}; φ = ψ = 0 {flat:.3f}, the unpruned error {unpruned:.3f}, "
        f"densities shuffled {dealt:.3f}; held out before fitting: the widest networks"
    )
    columns = ("density", "depth", "width", "unpruned error", "error", "predicted")
    predicted = fit.law(*points.columns[:, :4].t())
    rows = tuple((*map(float, row), float(e)) for row, e in zip(points.columns, predicted, strict=True))
    return Verdict(Status.NOT_REFUTED, Evidence.FITTED, reason, numbers, tables={"points": Table(columns, rows)})


def _per_seed(held_out: PrunedPoints, law: PruningLaw) -> dict[str, float]:
    """Each seed's mean |δ|, predicted from its own unpruned error: mean, least and largest over the seeds."""
    found = []
    for s in range(held_out.each.shape[1]):
        base, error = held_out.each[:, s].t()
        d, depth, width = held_out.columns[:, :3].t()
        found.append(float((law(d, depth, width, base) / error - 1).abs().mean()))
    return {
        "per seed: mean |delta|": sum(found) / len(found), "per seed: least": min(found),
        "per seed: largest": max(found),
    }  # fmt: skip
