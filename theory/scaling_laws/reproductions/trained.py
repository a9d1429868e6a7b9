"""Own networks on grids: what the error law predicts beyond, realizable targets, ReLU against Nyquist learners."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from constructions.scaling_laws.fit import fit_scaling_law
from constructions.scaling_laws.nyquist import NyquistLearner, trigonometric_basis
from constructions.scaling_laws.stack import Stack, seed_of
from constructions.scaling_laws.students import ErrorGrid, ReLUTarget, batches, train_students
from constructions.scaling_laws.training import Examples, Schedule, train
from theory.claim import Context, Evidence, Status, Table, Verdict, ensure, undecided
from theory.scaling_laws.checkers.split import fit_respects_split, fitted_points
from theory.scaling_laws.checkers.trained import student_errors_eq

MARGIN = 0.5
SHUFFLES = 3
RESAMPLES = 1000
TARGET = (8, 256, 256, 1)
TEACHER = (6, 12, 12, 1)
REALIZABLE_FLOOR = 1e-4
TEACHER_ERROR = 1e-24


@dataclass(frozen=True)
class Grid:
    """Widths and sizes trained, the largest of each that is fitted, and the protocol."""

    widths: tuple[int, ...]
    sizes: tuple[int, ...]
    limits: tuple[int, int]
    seeds: int
    schedule: Schedule
    validation: int
    test: int

    def train(self, target: ReLUTarget, context: Context) -> ErrorGrid:
        """The students, each error confirmed by its module."""
        seeds = [context.seed * self.seeds + s for s in range(self.seeds)]
        grid = train_students(
            target, self.widths, self.sizes, seeds, inputs=target.widths[0], schedule=self.schedule,
            validation=self.validation, test=self.test, device=context.device, log=context.log,
        )  # fmt: skip
        ensure(student_errors_eq(grid, target), "the errors of the grid")
        return grid


QUICK = Grid(
    (4, 6, 9, 14, 21, 32),
    (64, 128, 256, 512, 1024, 2048),
    (21, 1024),
    3,
    Schedule(500, decay=1e-3, watch=100),
    500,
    2000,
)
FULL = Grid(
    (4, 6, 10, 16, 32, 64, 128), (64, 128, 256, 512, 1024, 2048, 4096), (32, 1024), 5,
    Schedule(1000, decay=1e-3, watch=50), 1000, 4000,
)  # fmt: skip


def trained_grid(context: Context) -> Verdict:
    plan = FULL if context.full else QUICK
    grid = plan.train(ReLUTarget(TARGET, seed_of(context.seed, 7)), context)
    sizes, means = grid.points()
    fitted = fitted_points(sizes, plan.limits)
    fit = fit_scaling_law(sizes[fitted], means[fitted], chance=1.0, resamples=0)
    ensure(fit_respects_split(fit.law, fit.residuals, sizes, means, plan.limits), "what was fitted")
    off = held_out_deviation(fit.law, sizes[~fitted], means[~fitted])
    dealt = min(_shuffled(sizes[fitted], means[fitted], sizes[~fitted], means[~fitted], k) for k in range(SHUFFLES))
    small = float((means[fitted].min() / means[~fitted] - 1).abs().mean())
    low, high = seed_interval(grid, fit.law, ~fitted)
    delta = fit.law(sizes[~fitted]) / means[~fitted] - 1
    numbers = {
        "points fitted": int(fitted.sum()), "points held out": int((~fitted).sum()), "held out: mean |delta|": off,
        "held out: mean delta": float(delta.mean()), "held out: std": float(delta.std()),
        "per seed: mean |delta|, low": low, "per seed: mean |delta|, high": high, "sizes shuffled": dealt,
        "best small error": small, "in sample: std": float(fit.residuals.std()), "seeds": len(grid.seeds),
        "chance": 1.0,
    }  # fmt: skip
    for name, other in (("shuffled sizes", dealt), ("the best small error", small)):
        ensure(off < MARGIN * other, f"mean |δ| is {off:.3f}, with {name} {other:.3f}", **numbers)
    reason = (
        f"fitted on widths up to {plan.limits[0]} and {plan.limits[1]} examples, the law is {off:.3f} off on larger "
        f"ones (per seed [{low:.3f}, {high:.3f}]); with shuffled sizes {dealt:.3f}, the best small error again "
        f"{small:.3f}; held out before fitting, by size"
    )
    rows = tuple(
        (int(m), int(n), float(e), float(p), bool(f))
        for (m, n), e, p, f in zip(sizes, means, fit.law(sizes), fitted, strict=True)
    )
    tables = {"grid": Table(("width", "examples", "error", "law", "fitted"), rows)}
    return Verdict(Status.NOT_REFUTED, Evidence.FITTED, reason, numbers, tables=tables)


def held_out_deviation(law, sizes: Tensor, means: Tensor) -> float:
    """mean |ε̂/ε − 1|."""
    return float((law(sizes) / means - 1).abs().mean())


def _shuffled(sizes: Tensor, means: Tensor, far: Tensor, far_means: Tensor, number: int) -> float:
    """The same of a fit to errors whose sizes were dealt out anew."""
    order = torch.randperm(len(sizes), generator=torch.Generator().manual_seed(number))
    return held_out_deviation(fit_scaling_law(sizes[order], means, chance=1.0, resamples=0).law, far, far_means)


def seed_interval(grid: ErrorGrid, law, where: Tensor) -> tuple[float, float]:
    """95 % interval of the mean over seeds of each seed's own mean |δ|: percentiles of seeds drawn with replacement."""
    sizes, _ = grid.points()
    own = grid.errors.flatten(1)[:, where]
    each = (law(sizes[where]) / own - 1).abs().mean(1)
    return resampled(each, lambda values: values.mean(-1))


def resampled(values: Tensor, statistic, *, draws: int = RESAMPLES) -> tuple[float, float]:
    """2.5 and 97.5 percentiles of a statistic (draws, S, …) -> (draws,) of seeds (S, …) drawn with replacement."""
    generator = torch.Generator().manual_seed(0)
    index = torch.randint(len(values), (draws, len(values)), generator=generator)
    found = statistic(values[index])
    low, high = torch.quantile(found, torch.tensor([0.025, 0.975], dtype=found.dtype)).tolist()
    return low, high


# --- realizable targets -------------------------------------------------------------------------------


REALIZABLE_QUICK = Grid((64,), (128, 512, 2048), (64, 2048), 3, Schedule(500), 2, 2000)
REALIZABLE_FULL = Grid((64,), (64, 128, 256, 512, 1024, 2048, 4096), (64, 4096), 5, Schedule(1500), 2, 4000)
REALIZABLE_GRID = replace(REALIZABLE_FULL, widths=(4, 6, 8, 12, 16, 32, 64))


def _realizable(plan: Grid, context: Context) -> tuple[ErrorGrid, ReLUTarget]:
    teacher = ReLUTarget(TEACHER, seed_of(context.seed, 8))
    return plan.train(teacher, context), teacher


def realizable_error(context: Context) -> Verdict:
    grid, teacher = _realizable(REALIZABLE_FULL if context.full else REALIZABLE_QUICK, context)
    sizes = grid.sizes
    at = torch.tensor(sizes, dtype=torch.float64).log()
    centred = (at - at.mean()) / (at - at.mean()).square().sum()
    slope = lambda values: (values.mean(1).log() * centred).sum(-1)  # noqa: E731  of errors averaged over the seeds
    each = grid.errors[:, 0]
    low, high = resampled(each, slope)
    x, y = (t.cpu() for t in grid.test)
    own = teacher.network()(x).detach()
    attained = float(((own - own.mean()) / own.var(correction=0).sqrt() - y).square().mean())
    least = float(each[:, -1].min())
    numbers = {
        "slope": float(slope(each[None])), "slope, low": low, "slope, high": high,
        "least error at the largest size": least, "largest size": sizes[-1],
        "teacher parameters": teacher.parameters, "teacher's own error": attained, "seeds": len(grid.seeds),
    }  # fmt: skip
    ensure(attained <= TEACHER_ERROR, f"the teacher itself has the error {attained:.1e}", **numbers)
    ensure(high < 0, f"the slope's interval is [{low:.3f}, {high:.3f}]", **numbers)
    ensure(least > REALIZABLE_FLOOR, f"a student reaches {least:.2e} at {sizes[-1]} examples", **numbers)
    reason = (
        f"slope {numbers['slope']:.2f} [{low:.2f}, {high:.2f}]; with {sizes[-1]} examples, "
        f"{sizes[-1] / teacher.parameters:.0f} for a parameter of the teacher, every student is above {least:.1e}, and "
        "the teacher attains 0; the numbers depend on how long is trained"
    )
    rows = tuple((n, *each[:, k].tolist()) for k, n in enumerate(sizes))
    tables = {"errors": Table(("examples", *(f"seed {s}" for s in grid.seeds)), rows)}
    return Verdict(Status.NOT_REFUTED, Evidence.FITTED, reason, numbers, tables=tables)


def realizable_teacher(context: Context) -> Verdict:
    """Nothing is declared: two fits of the law to students of a teacher that they could equal, printed."""
    if not context.full:
        return undecided("exploratory, with the full budget alone; no expectation is declared", grids=0)
    grid, _ = _realizable(REALIZABLE_GRID, context)
    points, means = grid.points()
    rows = []
    for limits in ((16, 1024), (12, 512)):
        fitted = fitted_points(points, limits)
        fit = fit_scaling_law(points[fitted], means[fitted], chance=1.0, resamples=0)
        delta = fit.law(points[~fitted]) / means[~fitted] - 1
        rows.append((*limits, int(fitted.sum()), float(fit.residuals.std()), float(delta.mean()), float(delta.std())))
    columns = ("width up to", "examples up to", "fitted", "in sample: std", "held out: mean delta", "held out: std")
    said = "; ".join(f"up to {w}, {n}: {100 * d:+.1f} % ± {100 * s:.1f} %" for w, n, _, _, d, s in rows)
    return undecided(f"exploratory, no expectation is declared: {said}", fits=Table(columns, tuple(rows)))


# --- ReLU networks against a Nyquist learner ------------------------------------------------------------

BANDWIDTH, DIMENSION = 2, 2
NYQUIST_BELOW, RELU_ABOVE = 1e-24, 1e-6
UNITS = 64
SIDES_QUICK, SIDES_FULL = (5, 8, 16), (5, 8, 11, 16, 32)
STEPS_QUICK, STEPS_FULL = 500, 2000


def nyquist_against_relu(context: Context) -> Verdict:
    sides, seeds = (SIDES_FULL, 5) if context.full else (SIDES_QUICK, 2)
    steps = STEPS_FULL if context.full else STEPS_QUICK
    functions = [_band_limited(seed_of(context.seed, s, 9), context.device) for s in range(seeds)]
    rows = []
    for side in sides:
        context.log(f"{side * side} samples")
        relu = _relu_errors(functions, side, Schedule(steps), context)
        for s, coefficients in enumerate(functions):
            rows.append((side * side, s, _nyquist_error(coefficients, side, s), relu[s]))
    worst, best = max(r[2] for r in rows), min(r[3] for r in rows)
    needed = NyquistLearner(BANDWIDTH, DIMENSION).samples_needed
    numbers = {
        "D": needed,
        "Nyquist learner at most": worst,
        "ReLU network at least": best,
        "seeds": seeds,
        "steps": steps,
    }
    ensure(worst < NYQUIST_BELOW, f"the Nyquist learner has the error {worst:.1e}", **numbers)
    ensure(best > RELU_ABOVE, f"a ReLU network reaches {best:.1e}", **numbers)
    reason = (
        f"from D = {needed} samples on the Nyquist learner, as defined here and told K, is within {worst:.0e}; ReLU "
        f"networks of 2 × {UNITS} units, trained for {steps} steps, stay above {best:.1e} up to n = {sides[-1] ** 2}"
    )
    tables = {"errors": Table(("samples", "seed", "Nyquist learner", "ReLU network"), tuple(rows))}
    return Verdict(Status.NOT_REFUTED, Evidence.SAMPLED, reason, numbers, tables=tables)


def _band_limited(seed: int, device) -> Tensor:
    """Coefficients (D,) of norm 1."""
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randn((2 * BANDWIDTH + 1) ** DIMENSION, generator=generator, dtype=torch.float64)
    return (drawn / drawn.norm()).to(device)


def _elsewhere(seed: int, device) -> Tensor:
    """Points (N, 2) that no grid has."""
    generator = torch.Generator().manual_seed(seed_of(seed, 10))
    return torch.rand(2000, DIMENSION, generator=generator, dtype=torch.float64).to(device)


def _grid(side: int, device) -> Tensor:
    axis = torch.arange(side, dtype=torch.float64, device=device) / side
    return torch.cartesian_prod(axis, axis)


def _nyquist_error(coefficients: Tensor, side: int, seed: int) -> float:
    nodes, points = _grid(side, coefficients.device), _elsewhere(seed, coefficients.device)
    learner = NyquistLearner(BANDWIDTH, DIMENSION).fit(nodes, trigonometric_basis(nodes, BANDWIDTH) @ coefficients)
    gap = learner.predict(points) - trigonometric_basis(points, BANDWIDTH) @ coefficients
    return float((gap * gap).mean())


def _circle(x: Tensor) -> Tensor:
    """cos and sin of each coordinate: the torus as a network sees it."""
    return torch.cat([torch.cos(2 * math.pi * x), torch.sin(2 * math.pi * x)], 1)


def _relu_errors(functions: list[Tensor], side: int, schedule: Schedule, context: Context) -> list[float]:
    """Squared errors of trained networks, each seed its own function, measured as plain modules."""
    nodes, seeds = _grid(side, context.device), range(len(functions))
    values = torch.stack([(trigonometric_basis(nodes, BANDWIDTH) @ f)[:, None] for f in functions])
    x = _circle(nodes).expand(len(functions), -1, -1)
    pool = torch.arange(len(functions), device=context.device)
    stack = Stack.drawn(
        2 * DIMENSION,
        [UNITS] * len(functions),
        2,
        1,
        [seed_of(context.seed, s, side) for s in seeds],
        device=context.device,
    )
    order = torch.stack([batches(s, side * side, schedule) for s in seeds], 1).to(context.device)
    train(stack, Examples(x, values, pool), order, schedule)
    found = []
    for s, f in enumerate(functions):
        points = _elsewhere(s, context.device)
        with torch.no_grad():
            gap = stack.network(s)(_circle(points))[:, 0] - trigonometric_basis(points, BANDWIDTH) @ f
        found.append(float((gap * gap).mean()))
    return found
