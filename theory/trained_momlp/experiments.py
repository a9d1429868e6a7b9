"""Paired experiments: a trained MoMLP against centralised MLPs on the same splits.

Main definitions: `Task`, `TASKS`, `compare`, `Comparison`.
Every seed draws one split (training, validation, test) that all methods share. Errors are measured on the test rows:
root mean square error over the deviation of the test values (regression), share of wrong classes (classification).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from constructions import targets
from constructions.trained_momlp import Routing, TrainedMoMLP, central_hidden, prepare, train_together
from constructions.trained_momlp.training import Options

METHODS = ("momlp", "central", "active")


@dataclass(frozen=True)
class Split:
    """Points (N, n) and targets (N,); `held` marks validation rows; test points and noise-free test targets."""

    x: Tensor
    y: Tensor
    held: Tensor
    test_x: Tensor
    test_y: Tensor


@dataclass(frozen=True)
class Task:
    """A data set and the sizes of the mixture; the central MLP has `depth` hidden layers and more parameters."""

    name: str
    kind: str
    split: Callable[[int], Split]
    leaves: int
    expert_hidden: tuple[int, ...]
    overlap: int = 1
    depth: int = 2

    @property
    def classification(self) -> bool:
        return self.kind == "classification"


# --- data ---------------------------------------------------------------------------------------------


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(1000 + seed)


def _last_fifth(count: int) -> Tensor:
    return torch.arange(count) >= count - count // 5


def _sampled(name: str, n: int, count: int, noise: float) -> Callable[[int], Split]:
    """A target of the library at uniform points, with Gaussian noise of `noise` deviations."""

    def split(seed: int) -> Split:
        g, f = _generator(seed), targets.get(name, n=n)
        x, test = f.domain.sample(count, g), f.domain.sample(4000, g)
        y, truth = f(x)[:, 0], f(test)[:, 0]
        y = y + noise * truth.std() * torch.randn(count, generator=g, dtype=torch.float64)
        return Split(x, y, _last_fifth(count), test, truth)

    return split


def _friedman(count: int) -> Callable[[int], Split]:
    def split(seed: int) -> Split:
        from sklearn import datasets  # takes a second to import

        x, y = datasets.make_friedman1(count, noise=1.0, random_state=1000 + seed)
        test, truth = datasets.make_friedman1(4000, noise=0.0, random_state=5000 + seed)
        x, y, test, truth = (torch.from_numpy(a) for a in (x, y, test, truth))
        return Split(x, y, _last_fifth(count), test, truth)

    return split


def _checkerboard(count: int, squares: int) -> Callable[[int], Split]:
    def split(seed: int) -> Split:
        x = torch.rand(count + 4000, 2, generator=_generator(seed), dtype=torch.float64)
        y = ((x * squares).floor().sum(-1) % 2).long()
        return Split(x[:count], y[:count], _last_fifth(count), x[count:], y[count:])

    return split


def _spirals(count: int, turns: float) -> Callable[[int], Split]:
    def split(seed: int) -> Split:
        g = _generator(seed)
        total = count + 4000
        share = torch.rand(total, generator=g, dtype=torch.float64).sqrt()
        y = torch.randint(2, (total,), generator=g)
        angle = share * turns * 2 * torch.pi + y * torch.pi
        x = torch.stack([share * angle.cos(), share * angle.sin()], 1)
        x = x + 0.02 * torch.randn(total, 2, generator=g, dtype=torch.float64)
        return Split(x[:count], y[:count], _last_fifth(count), x[count:], y[count:])

    return split


def _table(name: str) -> Callable[[int], Split]:
    """The data set `load_NAME` of scikit-learn, 45 % training, 15 % validation, 40 % test: many test rows, since they
    make the noise of the comparison."""

    def split(seed: int) -> Split:
        from sklearn import datasets  # takes a second to import

        inputs, classes = getattr(datasets, f"load_{name}")(return_X_y=True)
        order = torch.randperm(len(inputs), generator=_generator(seed))
        x, y = torch.from_numpy(inputs).double()[order], torch.from_numpy(classes).long()[order]
        known, trained = len(x) * 6 // 10, len(x) * 45 // 100
        return Split(x[:known], y[:known], torch.arange(known) >= trained, x[known:], y[known:])

    return split


TASKS = {
    t.name: t
    for t in (
        Task("weierstrass", "regression", _sampled("weierstrass", 1, 1000, 0.1), 16, (12,)),
        Task("franke", "regression", _sampled("franke", 2, 1000, 0.1), 12, (12,), overlap=3),
        Task("sum_of_sines", "regression", _sampled("sum_of_sines", 2, 1000, 0.1), 12, (12,), overlap=3),
        Task("max_affine", "regression", _sampled("max_affine", 5, 1500, 0.1), 8, (16,), overlap=3),
        Task("friedman", "regression", _friedman(1000), 8, (16,), overlap=3),
        Task("checkerboard", "classification", _checkerboard(1500, 6), 24, (12,)),
        Task("two_spirals", "classification", _spirals(800, 3.0), 16, (12,)),
        Task("digits", "classification", _table("digits"), 10, (16,), overlap=3),
        Task("breast_cancer", "classification", _table("breast_cancer"), 4, (8,), overlap=2),
    )
}


# --- comparison ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Comparison:
    """Test errors (seeds,) of each method, its sizes, and the learning rate that it was given."""

    task: Task
    errors: dict[str, Tensor]
    total: dict[str, int]
    active: dict[str, int]
    rates: dict[str, float]
    seeds: int

    def difference(self, peer: str) -> tuple[float, float, float]:
        """(mean, lower, upper) of the paired differences MoMLP − peer, a 95 % Student interval; negative is better."""
        from scipy import stats  # takes most of a second to import

        gap = (self.errors["momlp"] - self.errors[peer]).numpy()
        mean, spread = float(gap.mean()), float(stats.sem(gap))
        if spread == 0.0:
            return mean, mean, mean
        low, high = stats.t.interval(0.95, len(gap) - 1, loc=mean, scale=spread)
        return mean, float(low), float(high)


def compare(
    task: Task,
    *,
    seeds: int,
    options: Options,
    rates: tuple[float, ...] = (3e-3, 1e-2),
    log: Callable[[str], None] = lambda message: None,
    device: torch.device | None = None,
) -> Comparison:
    """Train the three methods on the splits of seeds 0 … seeds − 1, all seeds of a method in one bank.

    Each method gets the one of `rates` with the least mean validation error over all seeds. Same steps, early stopping
    and splits for all, and the same number of points a step: `options.batch_size` of them are shared out among the
    experts of a mixture, each point to the `overlap` experts that it trains.
    """
    splits = [task.split(seed) for seed in range(seeds)]
    best: dict[str, list[TrainedMoMLP]] = {}
    chosen: dict[str, float] = {}
    for method in METHODS:
        errors_of_rates = []
        for rate in rates:
            log(f"{task.name}: training {method} at rate {rate:g}, {seeds} seeds")
            shape = _shape(task, method, best.get("momlp"))
            fixed = {"task": task.kind, "dtype": torch.float32, **shape}
            parts = [
                prepare(s.x, s.y, validation=s.held, generator=_generator(i), **fixed) for i, s in enumerate(splits)
            ]
            own = replace(options, learning_rate=rate, batch_size=_batch(task, method, options.batch_size))
            models = train_together(parts, own, device=device)
            errors_of_rates.append(
                float(np.mean([_validation_error(task, m, s) for m, s in zip(models, splits, strict=True)]))
            )
            if errors_of_rates[-1] == min(errors_of_rates):
                best[method], chosen[method] = models, rate
    errors = {
        method: torch.tensor([_test_error(task, m, s) for m, s in zip(found, splits, strict=True)], dtype=torch.float64)
        for method, found in best.items()
    }
    total = {k: max(m.total_parameters for m in v) for k, v in best.items()}
    active = {k: v[0].active_parameters for k, v in best.items()}
    return Comparison(task, errors, total, active, chosen, seeds)


def _batch(task: Task, method: str, points: int) -> int:
    """Points a step of one network."""
    return math.ceil(points * task.overlap / task.leaves) if method == "momlp" else points


def _shape(task: Task, method: str, mixture: list[TrainedMoMLP] | None) -> dict:
    """Arguments of `prepare` that differ between the methods; a central MLP is a mixture of one."""
    if method == "momlp":
        return {"leaves": task.leaves, "expert_hidden": task.expert_hidden, "routing": Routing(overlap=task.overlap)}
    assert mixture is not None
    if method == "active":
        return {"leaves": 1, "expert_hidden": task.expert_hidden}
    first = mixture[0]
    largest = max(m.total_parameters for m in mixture)
    return {"leaves": 1, "expert_hidden": central_hidden(first.n, first.m, depth=task.depth, at_least=largest)}


def _validation_error(task: Task, model: TrainedMoMLP, split: Split) -> float:
    return _error(task, model, split.x[split.held], split.y[split.held])


def _test_error(task: Task, model: TrainedMoMLP, split: Split) -> float:
    return _error(task, model, split.test_x, split.test_y)


def _error(task: Task, model: TrainedMoMLP, x: Tensor, y: Tensor) -> float:
    found = model.predict(x)
    if task.classification:
        return float((found != y).double().mean())
    return float((found[:, 0] - y).square().mean().sqrt() / y.std())
