"""Runs that several claims look at: points, first weights, and what an observer that does not trust the trainer saw.

Main definitions: `Setting`, `sphere`, `network`, `Observed`, `observe`.
Implementation notes: streams are those of a fresh CPU generator, so that digits can be compared: points and labels of
seed s, weights and signs of seed 10007 + s.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from functools import lru_cache

import torch
from torch import Tensor

from constructions.sublinear_training import (
    GaussNewtonTrainer,
    ShiftedReLUNetwork,
    StepRecord,
    random_signs,
    unit_sphere,
)
from theory.claim import Context, Report
from theory.sublinear_training.bounds import Firing
from theory.sublinear_training.checkers.fired_set import fired_set_eq
from theory.sublinear_training.checkers.steps import Look, Problem, look, step_identities

STEPS = 8
TOLERANCE = 1e-12
FIRST_WEIGHTS = 10007


@dataclass(frozen=True)
class Setting:
    """n points in d dimensions, m units, alpha, the seed, and the size of the labels."""

    n: int
    d: int
    m: int
    alpha: float
    seed: int
    labels: float = 1.0

    @property
    def firing(self) -> Firing:
        return Firing(self.m, self.alpha)

    @property
    def radius(self) -> float:
        return 0.5 / self.firing.bias

    def __str__(self) -> str:
        return f"n={self.n}, d={self.d}, m={self.m}, alpha={self.alpha}, seed={self.seed}"


def sphere(setting: Setting, device: torch.device) -> tuple[Tensor, Tensor]:
    """Points (n, d) and labels (n,)."""
    g = torch.Generator().manual_seed(setting.seed)
    points = unit_sphere(setting.n, setting.d, generator=g)
    return points.to(device), (setting.labels * random_signs(setting.n, generator=g)).to(device)


def network(setting: Setting, device: torch.device) -> ShiftedReLUNetwork:
    return ShiftedReLUNetwork.from_seed(
        setting.d, setting.m, FIRST_WEIGHTS + setting.seed, setting.alpha, device=device
    )


def problem(setting: Setting, device: torch.device) -> Problem:
    points, labels = sphere(setting, device)
    net = network(setting, device)
    return Problem(net.signs, points, labels, net.bias)


@dataclass(frozen=True)
class Observed:
    """The weights before every step and after the last, the trainer's records, what the observer sees at each weight,
    and the first thing that was wrong: a fired set or an identity of a step."""

    weights: tuple[Tensor, ...]
    records: tuple[StepRecord, ...]
    looks: tuple[Look, ...]
    report: Report
    identity_error: float

    @property
    def residuals(self) -> list[float]:
        return [float(seen.residual.norm()) for seen in self.looks]


@lru_cache(maxsize=64)
def observe(setting: Setting, method: str, device: torch.device) -> Observed:
    """Train until the residual is below 1e-12, 8 steps at most, and check every step from the weights alone."""
    points, labels = sphere(setting, device)
    net = network(setting, device)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # large labels are what one of the claims is about
        trainer = GaussNewtonTrainer(net, points, labels, method=method)
    about = Problem(net.signs, points, labels, net.bias)
    weights, looks, records = [net.weight.detach().clone()], [look(net.weight.detach(), about)], []
    report, error = Report(), 0.0
    while True:
        fired = trainer.fired()
        keep = slice(None) if fired.valid is None else fired.valid
        found = fired_set_eq(weights[-1], points, net.bias, (fired.neurons[keep], fired.points[keep]))
        report = report if not report.holds or found.holds else Report(f"step {len(records)}: {found.failure}")
        if float(looks[-1].residual.norm()) <= TOLERANCE or len(records) == STEPS:
            return Observed(tuple(weights), tuple(records), tuple(looks), report, error)
        records.append(trainer.step())
        weights.append(net.weight.detach().clone())
        looks.append(look(weights[-1], about))
        step = step_identities(weights[-2], weights[-1], about, looks=(looks[-2], looks[-1]))
        report = report if not report.holds or step.holds else Report(f"step {len(records) - 1}: {step.failure}")
        error = max(error, step.residual_error)
        said = record_is(records[-1], looks[-2], weights[-2], weights[-1])
        report = report if not report.holds or said.holds else Report(f"step {len(records) - 1}: {said.failure}")


def record_is(record: StepRecord, seen: Look, before: Tensor, after: Tensor) -> Report:
    """Whether a record says what the weights before and after its step say, integers exactly."""
    counted = (record.measured.fired, record.measured.touched, record.measured.joined)
    own = (seen.fired, len(seen.touched), seen.joined)
    if counted != own:
        return Report(f"(fired, touched, joined) = {counted} are said, {own} counted")
    if not record.operations or min(record.operations.values()) < 0:
        return Report("operations that are missing or negative")
    if 2 * record.operations["total"] != sum(record.operations.values()):
        return Report("the operations do not add up to their total")
    norm, moved = float(seen.residual.norm()), float((after - before).square().sum())
    if not abs(record.residual_norm - norm) <= 1e-12 * (1 + norm):
        return Report(f"a residual of {record.residual_norm:.6g} is said, it is {norm:.6g}")
    if not abs(record.squared_movement - moved) <= 1e-12 * (1 + moved):
        return Report(f"a squared movement of {record.squared_movement:.6g} is said, it is {moved:.6g}")
    if record.gram.shape != seen.gram.shape or not bool(((record.gram - seen.gram).abs() <= 1e-12).all()):
        return Report("another Gram matrix is said")
    left = seen.gram @ record.solution - seen.residual if record.solution.shape == seen.residual.shape else None
    if left is None or not bool((left.abs() <= 1e-10 * (1 + norm)).all()):
        return Report("the solution that is said does not solve it")
    return Report()


def settings(context: Context) -> list[Setting]:
    """Quick: 32 points in 16 dimensions, alpha 0.24 and 0.2, three widths. Full: more points, widths up to 2^18, three
    seeds."""
    quick = [Setting(32, 16, m, alpha, 3200 + k) for alpha in (0.24, 0.2) for k, m in enumerate((2**10, 2**12, 2**14))]
    if not context.full:
        return quick
    more = [Setting(n, d, 2**e, 0.24, 100 * n + e) for n, d in ((16, 16), (64, 32)) for e in (10, 12, 14, 16)]
    large = [Setting(32, 16, 2**e, 0.24, 3200 + e) for e in (16, 18)]
    seeds = [replace(s, seed=s.seed + 50 * k) for s in quick for k in (1, 2)]
    return [*quick, *more, *large, *seeds]
