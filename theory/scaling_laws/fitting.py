"""The law of a table of runs: fitted, tried on what was held out beside what needs no law, and asked for sizes.

Main definitions: `Question`, `Findings`, `find`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from constructions.scaling_laws.deviation import Deviation, deviation_of
from constructions.scaling_laws.fit import RESAMPLES, fit_scaling_law
from constructions.scaling_laws.intervals import FittedLaw
from constructions.scaling_laws.points import Points
from constructions.scaling_laws.splits import beyond, last_values, not_decreasing
from constructions.scaling_laws.table import Table

FAR = 10.0
FEW_GROUPS = 10
LEVEL = 0.95
LAST, PURE = "last value", "no constant"
ON_SUCH_CURVES = (
    "repeating the last value was the better predictor on such curves (shared data: .0226 against .0330); --force fits "
    "them all the same"
)


@dataclass(frozen=True)
class Question:
    """What is asked of a table; `held_out` (N,) bool or None, `at` sizes to predict, `targets` errors to reach."""

    table: Table
    error: str
    axes: tuple[str, ...]
    group: str | None = None
    chance: float = math.inf
    loss: str = "relative"
    constant: bool = True
    at: tuple[tuple[float, ...], ...] = ()
    targets: tuple[float, ...] = ()
    resamples: int = RESAMPLES
    seed: int = 0
    force: bool = False


@dataclass(frozen=True)
class Prediction:
    """An error at `sizes`, which lie `beyond` times outside of what was fitted; `low` and `high` may be None."""

    sizes: tuple[float, ...]
    error: float
    low: float | None
    high: float | None
    beyond: float


@dataclass(frozen=True)
class Needed:
    """Sizes for a target: of each axis with the others at their largest fitted sizes, and the cheapest product; each
    (value, interval or None). `floor` is what cannot be undercut, `why` is said where the target cannot be reached."""

    target: float
    alone: dict[str, tuple[float, tuple[float, float] | None]]
    cheapest: dict[str, tuple[float, tuple[float, float] | None]]
    why: str | None


@dataclass(frozen=True)
class Findings:
    """All that the command says."""

    question: Question
    points: Points
    far: Points
    fit: FittedLaw
    held_out: dict[str, Deviation]
    predictions: list[Prediction]
    needed: list[Needed]
    warnings: list[str] = field(default_factory=list)

    @property
    def worse_than_last(self) -> bool:
        """Whether the law predicted the held-out points worse than their last value did."""
        return bool(self.held_out) and not self.held_out["law"].mean_abs <= self.held_out[LAST].mean_abs


# --- rows ------------------------------------------------------------------------------------------------


def points_of(asked: Question, device: torch.device) -> tuple[Points, list[str]]:
    """The points of the table's rows, and what is to be said about rows that were left out."""
    table = asked.table
    columns = np.stack([table.numbers(name) for name in (*asked.axes, asked.error)], 1)
    known = np.asarray(~np.isnan(columns).any(1))
    said = []
    if not known.all():
        where = table.lines[~known]
        first = ", ".join(str(line) for line in where[:5]) + (", …" if len(where) > 5 else "")
        said.append(f"{len(where)} row{'s' * (len(where) > 1)} with an empty cell left out (line {first})")
    columns, lines = columns[known], table.lines[known]
    if not len(lines):
        raise ValueError(f"{table.name} must have a row with numbers in {', '.join((*asked.axes, asked.error))}")
    for index, name in enumerate((*asked.axes, asked.error)):
        top = asked.chance if name == asked.error else math.inf
        hint = "" if name == asked.error else " (is it a size? --sizes names those, --group what belongs together)"
        _require_range(table.name, name, columns[:, index], lines, top, hint)
    groups = None
    if asked.group is not None:
        groups = [name for name, there in zip(table.text(asked.group), known.tolist(), strict=True) if there]
    sizes, errors = (torch.from_numpy(part.copy()).to(device) for part in (columns[:, :-1], columns[:, -1]))
    return Points.of(sizes, errors, groups, asked.chance, asked.axes), said


def _require_range(file: str, name: str, values: np.ndarray, lines: np.ndarray, top: float, hint: str) -> None:
    wrong = ~((values > 0) & (values < top))
    if not wrong.any():
        return
    row = int(wrong.argmax())
    what = "a positive finite number" if math.isinf(top) else f"positive and below --chance = {top:g}"
    raise ValueError(f"{file}, line {lines[row]}: `{name}` must be {what}, got {values[row]:g}{hint}")


# --- the whole -------------------------------------------------------------------------------------------


def find(asked: Question, every: Points, far: Tensor | None) -> Findings:
    """Fit the points that are not `far` (N,), and answer everything that was asked."""
    mask = torch.zeros(len(every), dtype=torch.bool, device=every.sizes.device) if far is None else far
    points, others = every.where(~mask), every.where(mask)
    if len(points) == 0:
        raise ValueError(f"`held_out` must leave points to fit, got all {len(every)}")
    points.require_design()
    why = not_decreasing(points)
    if why is not None and not asked.force:
        raise ValueError(f"the errors do not decrease: {why}; {ON_SUCH_CURVES}")
    fit = _fit(asked, every, mask, constant=asked.constant, resamples=asked.resamples)
    found = Findings(
        asked, points, others, fit, _held_out(asked, every, mask, fit), _predictions(asked, points, fit),
        [_needed(target, points, fit) for target in asked.targets],
    )  # fmt: skip
    found.warnings.extend([] if why is None else [f"the errors do not decrease: {why}"])
    found.warnings.extend(_warnings(found))
    return found


def _fit(asked: Question, every: Points, mask: Tensor, *, constant: bool, resamples: int) -> FittedLaw:
    groups = None if asked.group is None else every.groups
    return fit_scaling_law(
        every.sizes, every.errors, chance=asked.chance, groups=groups, loss=asked.loss, constant=constant,
        held_out=mask, resamples=resamples, seed=asked.seed, axes=asked.axes,
    )  # fmt: skip


def _held_out(asked: Question, every: Points, mask: Tensor, fit: FittedLaw) -> dict[str, Deviation]:
    """Deviations of the law and of what needs less, on the same points."""
    if fit.held_out is None:
        return {}
    points, others = every.where(~mask), every.where(mask)
    groups = None if asked.group is None else others.groups
    last = last_values(points.sizes, points.errors, others.sizes)
    found = {"law": fit.held_out, LAST: deviation_of(last / others.errors - 1, groups, seed=asked.seed)}
    if asked.constant:
        pure = _fit(asked, every, mask, constant=False, resamples=0).held_out
        found |= {} if pure is None else {PURE: pure}
    return found


def _predictions(asked: Question, points: Points, fit: FittedLaw) -> list[Prediction]:
    largest = points.sizes.amax(0)
    at = asked.at or tuple(tuple((largest * times).tolist()) for times in (2, FAR))
    sizes = torch.tensor(at, dtype=torch.float64, device=points.sizes.device)
    far = [beyond(points.sizes, row) for row in sizes]
    if not len(fit.draws):
        values = fit.law(sizes).tolist()
        return [Prediction(s, e, None, None, b) for s, e, b in zip(at, values, far, strict=True)]
    parts = [part.tolist() for part in fit.predict(sizes, LEVEL)]
    return [Prediction(s, e, low, high, b) for s, e, low, high, b in zip(at, *parts, far, strict=True)]


def _needed(target: float, points: Points, fit: FittedLaw) -> Needed:
    law, names = fit.law, points.axes
    largest = dict(enumerate(points.sizes.amax(0).tolist()))
    alone = {}
    for axis, name in enumerate(names):
        others = {other: size for other, size in largest.items() if other != axis}
        interval = fit.needed(axis, target, others, LEVEL) if len(fit.draws) else None
        alone[name] = law.needed(axis, target, others), interval
    intervals: Sequence[tuple[float, float] | None] = [None] * len(names)
    if len(fit.draws):
        intervals = fit.cheapest(target, LEVEL)
    cheapest = (
        dict(zip(names, zip(law.cheapest(target), intervals, strict=True), strict=True)) if len(names) > 1 else {}
    )
    why = None
    if law.inverse(target) <= law.constant:
        between = " [{:.4g}, {:.4g}]".format(*fit.floor(LEVEL)) if len(fit.draws) else ""
        why = f"unreachable: floor {law.floor:.4g}{between}"
    return Needed(target, alone, cheapest, why)


def _warnings(found: Findings) -> list[str]:
    fit, asked = found.fit, found.question
    said = []
    for name in fit.at_bounds:
        if name == "constant":
            said.append("C is 0: no floor was seen, and a floor below the errors that were seen is not ruled out")
        else:
            what, _, axis = name.partition(" ")
            said.append(f"the {what} of `{axis}` is at its bound: these runs do not determine it")
    if not fit.at_bounds and bool(torch.isinf(fit.covariance).any()) and asked.constant:
        said.append("these runs do not determine all constants: intervals of single constants mean little")
    if not len(fit.draws):
        said.append("no intervals: " + ("one group" if fit.groups < 2 else "--resamples 0"))
    elif fit.groups < FEW_GROUPS:
        said.append(f"intervals rest on {fit.groups} groups")
    for row in found.predictions:
        if row.beyond > FAR * (1 + 1e-9):
            said.append(f"at {named(asked.axes, row.sizes)} the law is {row.beyond:.3g} times beyond what was fitted")
    for row in found.needed:
        sizes = [*row.alone.values(), *row.cheapest.values()]
        ends = [interval for size, interval in sizes if interval is not None and math.isfinite(size)]
        if row.why is None and any(math.isinf(high) for _, high in ends):
            said.append(f"for {row.target:g} a size may have no bound: by some of the refits it is out of reach")
        largest = found.points.sizes.amax(0).tolist()
        times = [size / top for (size, _), top in zip(row.alone.values(), largest, strict=True)]
        if row.why is None and any(FAR < t < math.inf for t in times):
            said.append(f"for {row.target:g} a size is more than {FAR:g} times beyond what was fitted")
    return said


def named(axes: Sequence[str], sizes: Sequence[float]) -> str:
    """n=8192, m=256."""
    return ", ".join(f"{name}={size:.6g}" for name, size in zip(axes, sizes, strict=True))


# --- as JSON ---------------------------------------------------------------------------------------------


def as_json(found: Findings) -> dict[str, Any]:
    """Numbers as they are; an infinity is the text "inf", what is not known is null."""
    fit, asked = found.fit, found.question
    constants = constants_of(found)
    return _plain({
        "file": asked.table.name, "error": asked.error, "sizes": list(asked.axes), "group": asked.group,
        "chance": asked.chance, "loss": asked.loss, "points": len(found.points), "groups": fit.groups,
        "level": LEVEL,
        "law": {name: {"value": value, "interval": interval} for name, (value, interval) in constants.items()},
        "floor": {"value": fit.law.floor, "interval": fit.floor(LEVEL) if len(fit.draws) else None},
        "in_sample": {"mean": float(fit.residuals.mean()), "mean_abs": float(fit.residuals.abs().mean()),
                      "std": float(fit.residuals.std())},
        "held_out": {name: vars(d) for name, d in found.held_out.items()},
        "predictions": [{"sizes": dict(zip(asked.axes, p.sizes, strict=True)), "error": p.error,
                         "interval": None if p.low is None else (p.low, p.high), "beyond": p.beyond}
                        for p in found.predictions],
        "targets": [{"target": n.target, "why_not": n.why,
                     "needed": {k: {"value": v, "interval": i} for k, (v, i) in n.alone.items()},
                     "cheapest": {k: {"value": v, "interval": i} for k, (v, i) in n.cheapest.items()}}
                    for n in found.needed],
        "warnings": found.warnings,
    })  # fmt: skip


def constants_of(found: Findings) -> Mapping[str, tuple[float, tuple[float, float] | None]]:
    """Names of constants -> (value, interval or None)."""
    law, axes = found.fit.law, found.question.axes
    names = [name for axis in axes for name in (f"coefficient of {axis}", f"exponent of {axis}")] + ["constant"]
    values = [v for pair in zip(law.coefficients, law.exponents, strict=True) for v in pair] + [law.constant]
    intervals: list[Any] = [None] * len(values)
    if len(found.fit.draws):
        intervals = [tuple(pair) for pair in found.fit.interval(LEVEL).tolist()]
    return {name: (v, i) for name, v, i in zip(names, values, intervals, strict=True)}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value
