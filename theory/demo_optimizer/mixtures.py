"""Mixtures of MLPs trained data-parallel by DeMo, and alone by AdamW, each at its own best rate.

Main definitions: `Mixtures`, `train_mixtures`.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass

import torch

from constructions import Routing, TrainedMoMLP, train_momlp
from constructions.trained_momlp import Options
from theory.demo_optimizer.training import EdgeOfGrid, next_rate
from theory.trained_momlp.experiments import TASKS, Split, Task

STEPS, EVERY = 150, 25
GRID = (3e-2, 1e-1, 3e-1)  # tried, not believed: a best rate at its edge moves it
MOST_EXTENSIONS = 4
TUNING = (100, 101)


@dataclass(frozen=True)
class Mixtures:
    """The rate, the mean validation errors of all rates tried, test errors by seed, a digest of all models' weights."""

    rate: float
    tried: tuple[tuple[float, float], ...]
    errors: tuple[float, ...]
    digest: str


def train_mixtures(name: str, optimizer: str, seeds: tuple[int, ...]) -> Mixtures:
    """Tune on two seeds of their own until the best rate is inside of the grid, then train the others.

    On ranks all do this together, and find the same. EdgeOfGrid when the grid has grown four times in vain.
    """
    task, means, new = TASKS[name], {}, list(GRID)
    for _ in range(MOST_EXTENSIONS + 1):
        for rate in new:
            found = [_error(task, *_trained(task, optimizer, seed, rate), held_out=True) for seed in TUNING]
            mean = sum(found) / len(found)
            means[rate] = mean if math.isfinite(mean) else math.inf
        rates = sorted(means)
        best = min(rates, key=means.__getitem__)
        if best not in (rates[0], rates[-1]):
            break
        new = [next_rate(best, -1 if best == rates[0] else 1)]
    else:
        raise EdgeOfGrid(f"{optimizer} on {name}: the best rate {best:g} is at the edge of the grid")
    errors, digest = [], hashlib.sha256()
    for seed in seeds:
        model, split = _trained(task, optimizer, seed, best)
        errors.append(_error(task, model, split, held_out=False))
        for tensor in model.state_dict().values():
            digest.update(tensor.contiguous().cpu().numpy().tobytes())
    return Mixtures(best, tuple((r, means[r]) for r in rates), tuple(errors), digest.hexdigest())


def _trained(task: Task, optimizer: str, seed: int, rate: float) -> tuple[TrainedMoMLP, Split]:
    split = task.split(seed)
    model = train_momlp(
        split.x,
        split.y,
        leaves=task.leaves,
        expert_hidden=task.expert_hidden,
        routing=Routing(overlap=task.overlap),
        task=task.kind,
        validation=split.held,
        options=Options(steps=STEPS, evaluate_every=EVERY, learning_rate=rate),
        generator=torch.Generator().manual_seed(1000 + seed),
        dtype=torch.float32,
        optimizer=optimizer,
    )
    return model, split


def _error(task: Task, model: TrainedMoMLP, split: Split, *, held_out: bool) -> float:
    """Share of wrong classes, or the root mean square error in deviations of the target."""
    x, y = (split.x[split.held], split.y[split.held]) if held_out else (split.test_x, split.test_y)
    found = model.predict(x)
    if task.classification:
        return float((found != y).double().mean())
    return float((found[:, 0] - y).square().mean().sqrt() / y.std())
