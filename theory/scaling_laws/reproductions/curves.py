"""The law on curves that others measured, and on draws of a known law: always against what needs no law at all."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import torch
from torch import Tensor

from constructions.scaling_laws.curves import (
    LANGUAGE_VOCABULARY,
    LanguageModels,
    LearningCurve,
    translation_curves,
)
from constructions.scaling_laws.curves import (
    language_models as runs_of_language_models,
)
from constructions.scaling_laws.curves import (
    learning_curves as measured_curves,
)
from constructions.scaling_laws.deviation import Deviation, deviation_of
from constructions.scaling_laws.fit import fit_curves, fit_scaling_law
from constructions.scaling_laws.law import ScalingLaw
from constructions.scaling_laws.nyquist import exact_recovery
from theory.claim import Context, Evidence, Status, Table, Verdict, ensure
from theory.scaling_laws.checkers.split import residuals_are_of

NOISE, FAR = 0.02, (8192.0, 256.0)
LEAST_COVERAGE = 0.8
DRAWS = 20
WITHIN = 0.1
EVERY = 4
"""The quick instance of the learning curves: every fourth one, in the order of data sets and learners."""
SHUFFLES = 3
RESAMPLES = 9999
SMALL = 1e-4
"""Added to errors of curves before their ratios are taken."""


def recovery(context: Context) -> Verdict:
    law = ScalingLaw((8.0, 4.0), (0.5, 1.0), 0.02, chance=1.0)
    n, m = (torch.tensor(v, dtype=torch.float64) for v in ((64, 128, 256, 512, 1024), (4, 8, 16, 32)))
    sizes = torch.cartesian_prod(n, m).to(context.device)
    at = torch.tensor([FAR], dtype=torch.float64, device=context.device)
    truth, generator, rows = float(law(at)), torch.Generator().manual_seed(context.seed), []
    for draw in range(200 if context.full else DRAWS):
        context.log(f"draw {draw + 1}")
        noise = torch.randn(len(sizes), generator=generator, dtype=torch.float64).to(context.device)
        errors = law(sizes) * (1 + NOISE * noise)
        fit = fit_scaling_law(sizes, errors, chance=1.0, seed=draw)
        predicted, low, high = (float(part) for part in fit.predict(at))
        rows.append((draw, predicted / truth - 1, low, high, *fit.law.exponents, low <= truth <= high))
    covered = sum(row[-1] for row in rows)
    delta = torch.tensor([row[1] for row in rows], dtype=torch.float64)
    numbers = {
        "draws": len(rows), "covered": covered, "mean delta": float(delta.mean()), "std of delta": float(delta.std()),
        "mean alpha": sum(row[4] for row in rows) / len(rows), "mean beta": sum(row[5] for row in rows) / len(rows),
        "truth": truth,
    }  # fmt: skip
    ensure(covered >= LEAST_COVERAGE * len(rows), f"{covered} of {len(rows)} intervals hold the truth", **numbers)
    reason = (
        f"{covered} of {len(rows)} intervals hold the law at {FAR}, 8 times beyond what was fitted; predictions are "
        f"{100 * float(delta.mean()):+.1f} % ± {100 * float(delta.std()):.1f} % off"
    )
    columns = ("draw", "delta", "low", "high", "alpha", "beta", "covered")
    return Verdict(Status.NOT_REFUTED, Evidence.FITTED, reason, numbers, tables={"draws": Table(columns, tuple(rows))})


# --- language models -------------------------------------------------------------------------------------


def language_models(context: Context) -> Verdict:
    every, rows = {"law": [], "no envelope": [], "best small loss": [], "sizes shuffled": []}, []
    for runs in runs_of_language_models():
        context.log(runs.training_set)
        runs = runs.to(context.device)
        known, far = ~runs.held_out, runs.held_out
        fit = _fit(runs, known, math.log(LANGUAGE_VOCABULARY))
        ensure(
            residuals_are_of(fit.law, fit.residuals, runs.sizes[known], runs.losses[known]),
            f"{runs.training_set}: what was fitted",
        )
        delta = fit.law(runs.sizes[far]) / runs.losses[far] - 1
        plain = _fit(runs, known, math.inf).law(runs.sizes[far]) / runs.losses[far] - 1
        every["law"].append(delta)
        every["no envelope"].append(plain)
        every["best small loss"].append(runs.losses[known].min() / runs.losses[far] - 1)
        every["sizes shuffled"].append(_least_shuffled(runs, known))
        rows += [
            (runs.training_set, int(p), int(t), float(loss), float(d), float(a))
            for (p, t), loss, d, a in zip(runs.sizes[far], runs.losses[far], delta, plain, strict=True)
        ]
    found = {name: deviation_of(torch.cat(parts), seed=context.seed) for name, parts in every.items()}
    law = found["law"]
    numbers = {f"{name}: mean |delta|": d.mean_abs for name, d in found.items()}
    numbers |= {
        "low": law.low,
        "high": law.high,
        "mean delta": law.mean,
        "held out": law.points,
        "chance": LANGUAGE_VOCABULARY,
    }
    ensure(law.high < WITHIN, f"mean |δ| is {_said(law)}", **numbers)
    for name in ("best small loss", "sizes shuffled"):
        ensure(law.mean_abs < found[name].mean_abs, f"{name} is no worse: {_said(found[name])}", **numbers)
    reason = (
        f"{law.points} held-out runs: mean |δ| {_said(law)}, without the envelope {_said(found['no envelope'])}, "
        f"the best small loss again {_said(found['best small loss'])}, sizes shuffled "
        f"{_said(found['sizes shuffled'])}; the mean δ is {100 * law.mean:+.1f} %: a bias"
    )
    columns = ("training set", "parameters", "tokens", "loss", "delta", "delta without envelope")
    tables = {"held out": Table(columns, tuple(rows))}
    return Verdict(Status.NOT_REFUTED, Evidence.FITTED, reason, numbers, tables=tables)


def _fit(runs: LanguageModels, known: Tensor, chance: float):
    return fit_scaling_law(runs.sizes[known], runs.losses[known], chance=chance, resamples=0)


def _least_shuffled(runs: LanguageModels, known: Tensor) -> Tensor:
    """δ on the held-out runs of the best of three fits to losses whose sizes were dealt out anew."""
    sizes, losses, far = runs.sizes[known], runs.losses[known], runs.held_out
    deltas = []
    for k in range(SHUFFLES):
        order = torch.randperm(len(sizes), generator=torch.Generator().manual_seed(k)).to(sizes.device)
        law = fit_scaling_law(sizes[order], losses, chance=math.log(LANGUAGE_VOCABULARY), resamples=0).law
        deltas.append(law(runs.sizes[far]) / runs.losses[far] - 1)
    return min(deltas, key=lambda delta: float(delta.abs().mean()))


def _said(deviation: Deviation) -> str:
    return f"{100 * deviation.mean_abs:.1f} % [{100 * deviation.low:.1f}, {100 * deviation.high:.1f}]"


# --- learning curves of one axis -------------------------------------------------------------------------


@dataclass(frozen=True)
class Extrapolations:
    """Mean |δ| (N,) on the held-out anchors of N curves, by name of the rule that predicts them; `units` (N,) are the
    numbers of their data sets."""

    errors: dict[str, Tensor]
    units: Tensor
    decreasing: Tensor

    def ratio(self, other: str, where: Tensor, seed: int) -> tuple[float, float, float]:
        """Mean over data sets of the mean log ratio of errors, law to other, and the ends of its 95 % interval
        (bias-corrected and accelerated bootstrap: the ratios are skewed)."""
        logs = ((self.errors["law"] + SMALL) / (self.errors[other] + SMALL)).log()[where]
        units, inverse = self.units[where].unique(return_inverse=True)
        counts = torch.zeros(len(units), dtype=torch.float64).index_add_(0, inverse, torch.ones_like(logs))
        means = torch.zeros(len(units), dtype=torch.float64).index_add_(0, inverse, logs) / counts
        from scipy.stats import bootstrap  # takes most of a second to import

        drawn = bootstrap((means.numpy(),), np.mean, n_resamples=RESAMPLES, rng=np.random.default_rng(seed))
        ends = drawn.confidence_interval
        return float(means.mean()), float(ends.low), float(ends.high)

    def medians(self, where: Tensor) -> dict[str, float]:
        return {name: float(errors[where].median()) for name, errors in self.errors.items()}


def extrapolations(curves: Sequence[LearningCurve], context: Context, *, rivals: bool) -> Extrapolations:
    """Of the law and of the last value; with `rivals` also of the law without its constant and of shuffled sizes."""
    context.log(f"{len(curves)} curves")
    last = torch.stack([(c.fitted[1][-1] / c.beyond[1] - 1).abs().mean() for c in curves])
    errors = {"law": _errors(curves, _fitted(curves, context)), "last value": last}
    if rivals:
        errors["no constant"] = _errors(curves, _fitted(curves, context, constant=False))
        dealt = [_errors(curves, _fitted(curves, context, shuffle=k)) for k in range(SHUFFLES if context.full else 1)]
        errors["sizes shuffled"] = torch.stack(dealt).min(0).values
    units = torch.tensor([int(c.unit) for c in curves])
    return Extrapolations(errors, units, torch.tensor([c.decreasing for c in curves]))


def _fitted(curves: Sequence[LearningCurve], context: Context, *, constant: bool = True, shuffle: int | None = None):
    sizes, errors = [], []
    for curve in curves:
        x, y = curve.fitted
        if shuffle is not None:
            x = x[torch.randperm(len(x), generator=torch.Generator().manual_seed(shuffle))]
        sizes.append(x.to(context.device))
        errors.append(y.to(context.device))
    return fit_curves(sizes, errors, constant=constant)


def _errors(curves: Sequence[LearningCurve], laws: Sequence[ScalingLaw]) -> Tensor:
    found = []
    for curve, law in zip(curves, laws, strict=True):
        x, y = curve.beyond
        found.append((law(x[:, None]) / y - 1).abs().mean())
    return torch.stack(found)


def _interval(ratio: tuple[float, float, float]) -> str:
    return f"{ratio[0]:+.3f} [{ratio[1]:+.3f}, {ratio[2]:+.3f}]"


def learning_curves(context: Context) -> Verdict:
    curves = measured_curves()
    found = extrapolations(curves if context.full else curves[::EVERY], context, rivals=True)
    where = found.decreasing
    pure, dealt = (found.ratio(name, where, context.seed) for name in ("no constant", "sizes shuffled"))
    medians = found.medians(where)
    numbers = {"curves": int(where.sum()), "data sets": len(found.units[where].unique())}
    numbers |= {f"median error, {name}": value for name, value in medians.items()}
    numbers |= {"log ratio to no constant": pure[0], "its upper end": pure[2], "log ratio to shuffled": dealt[0]}
    numbers |= {
        "upper end to shuffled": dealt[2],
        "log ratio to last value": found.ratio("last value", where, context.seed)[0],
    }
    ensure(pure[2] < 0, f"without the constant the log ratio is {_interval(pure)}", **numbers)
    ensure(dealt[2] < 0, f"with sizes shuffled the log ratio is {_interval(dealt)}", **numbers)
    reason = (
        f"{int(where.sum())} decreasing curves of {numbers['data sets']} data sets: log ratio of errors to A n^−α "
        f"{_interval(pure)}, to shuffled sizes {_interval(dealt)}; to the last value "
        f"{_interval(found.ratio('last value', where, context.seed))}"
    )
    return Verdict(Status.NOT_REFUTED, Evidence.FITTED, reason, numbers)


def better_than_last_value(context: Context) -> Verdict:
    """On all curves also with the quick budget: every fourth one does not decide it."""
    found = extrapolations(measured_curves(), context, rivals=False)
    every = torch.ones_like(found.decreasing)
    ratio, medians = found.ratio("last value", every, context.seed), found.medians(every)
    flat = found.medians(~found.decreasing)
    worse = float((found.errors["law"] > found.errors["last value"]).double().mean())
    numbers = {
        "curves": len(every),
        "data sets": len(found.units.unique()),
        "law worse on": worse,
        "log ratio": ratio[0],
        "low": ratio[1],
        "high": ratio[2],
        "median error, law": medians["law"],
        "median error, last value": medians["last value"],
        "not decreasing: law": flat["law"],
        "not decreasing: last value": flat["last value"],
    }
    ensure(ratio[1] > 0, f"the log ratio of errors, law to last value, is {_interval(ratio)}", **numbers)
    witness = (
        f"errors on anchors beyond n_max/8 of {len(every)} curves: mean log ratio, law to last value, over "
        f"{numbers['data sets']} data sets {_interval(ratio)}"
    )
    reason = (
        f"repeating the last value is the better rule on average over data sets, {_interval(ratio)}, if not on most "
        f"curves (on {100 * worse:.0f} %); on curves that do not decrease the median errors are {flat['law']:.4f} and "
        f"{flat['last value']:.4f}"
    )
    return Verdict(Status.REFUTED, Evidence.SAMPLED, reason, numbers, witness=witness)


def translation(context: Context) -> Verdict:
    rows = []
    for curve in translation_curves():
        law = fit_curves([curve.fitted[0].to(context.device)], [curve.fitted[1].to(context.device)])[0]
        x, y = curve.beyond
        ensure(len(x) == 1 and float(x[0]) == float(curve.sizes.max()), f"{curve.name}: the last doubling is held out")
        rows.append(
            (curve.name, int(x[0]), float(y[0]), float(law(x[:, None]) / y - 1), float(curve.fitted[1][-1] / y[0] - 1))
        )
    off = deviation_of(torch.tensor([row[3] for row in rows], dtype=torch.float64), seed=context.seed)
    last = deviation_of(torch.tensor([row[4] for row in rows], dtype=torch.float64), seed=context.seed)
    worse = sum(abs(row[3]) > abs(row[4]) for row in rows)
    numbers = {
        "models": len(rows),
        "law worse on": worse,
        "law: mean |delta|": off.mean_abs,
        "last value": last.mean_abs,
    }
    ensure(off.low > last.high, f"the law is {_said(off)} off, the last value {_said(last)}", **numbers)
    said = ", ".join(f"{name}: {d:+.4f} and {v:+.4f}" for name, _, _, d, v in rows)
    witness = f"δ of the law and of the last value at {rows[0][1]} sentence pairs: {said}"
    reason = (
        f"the law is {_said(off)} off, the last value {_said(last)} on {len(rows)} models: the curves flatten faster "
        "than the fitted A n^−α + C"
    )
    columns = ("model", "examples", "log perplexity", "delta of the law", "delta of the last value")
    tables = {"held out": Table(columns, tuple(rows))}
    return Verdict(Status.REFUTED, Evidence.SAMPLED, reason, numbers, witness=witness, tables=tables)


def bandwidth_of_real_data(context: Context) -> Verdict:
    """Nothing decides it; that any 2k + 1 samples have bandwidth k is seen on random rationals."""
    draw, consistent = random.Random(context.seed), 0
    nodes = [Fraction(t) for t in range(-4, 5)]
    for k in (1, 2, 3, 4):
        values = [Fraction(draw.randint(-99, 99), draw.randint(1, 9)) for _ in range(2 * k + 1)]
        consistent += exact_recovery(k, nodes[: 2 * k + 1], values).consistent
    numbers = {"data sets": 4, "consistent with bandwidth (n - 1)/2": consistent}
    ensure(consistent == 4, "2k + 1 samples are not consistent with bandwidth k", **numbers)
    reason = "2k + 1 samples of anything are consistent with bandwidth k: no finite data set refutes or proves it"
    return Verdict(Status.OPEN, Evidence.SAMPLED, reason, numbers)
