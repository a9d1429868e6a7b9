"""Learning curves that others measured, and the rules by which a curve is called decreasing and cut for a test.

The tables lie beside this file with their licences (data/SOURCES.md). What is held out is decided by the sizes alone.

Main definitions: `LearningCurve`, `learning_curves`, `language_models`, `translation_curves`, `steps_of`, `decreasing`.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from constructions.errors import require_tensor

DATA = Path(__file__).parent / "data"
LEAST_ANCHORS, LEAST_REPEATS, LEAST_SIZE, BEYOND = 12, 5, 64, 8
MOST_UPWARD, MOST_LEFT = 0.2, 0.9
LANGUAGE_VOCABULARY = 50432
LARGEST_FITTED = 412_000_000
LOSS_OF = {"c4_original": "loss_c4", "rpj": "loss_redpajama", "rw_original": "loss_refinedweb"}


@dataclass(frozen=True)
class LearningCurve:
    """Errors (N,) at increasing sizes (N,), float64; `held_out` (N,) bool. `unit` is what is independent of others."""

    name: str
    unit: str
    sizes: Tensor
    errors: Tensor
    held_out: Tensor

    @property
    def fitted(self) -> tuple[Tensor, Tensor]:
        return self.sizes[~self.held_out], self.errors[~self.held_out]

    @property
    def beyond(self) -> tuple[Tensor, Tensor]:
        return self.sizes[self.held_out], self.errors[self.held_out]

    @property
    def decreasing(self) -> bool:
        """Judged by the fitted anchors alone."""
        return decreasing(self.fitted[1])


def steps_of(errors: Tensor) -> tuple[int, int, float]:
    """(upward steps, steps, last/first) of errors (N,) in the order of their sizes."""
    require_tensor("errors", errors, "(N,)")
    if errors.ndim != 1 or len(errors) < 2 or not bool((errors > 0).all()):
        raise ValueError(f"`errors` must be two positive numbers (N,) or more, got shape {tuple(errors.shape)}")
    return int((errors[1:] > errors[:-1]).sum()), len(errors) - 1, float(errors[-1] / errors[0])


def decreasing(errors: Tensor) -> bool:
    """At most 20 % of the steps go up, and the last error is at most 0.9 of the first."""
    up, steps, ratio = steps_of(errors)
    return up <= MOST_UPWARD * steps and ratio <= MOST_LEFT


def _rows(name: str) -> Iterator[dict[str, str]]:
    with open(DATA / name, newline="", encoding="utf-8") as file:
        yield from csv.DictReader(file)


def learning_curves() -> list[LearningCurve]:
    """The curves of scikit-learn learners with at least 12 anchors of 5 repeats and no error of 0, by data set and
    learner. Fitted are anchors from 64 to n_max/8, those beyond n_max/8 are held out; a unit is a data set."""
    found: dict[tuple[int, str], list[tuple[float, float]]] = defaultdict(list)
    for row in _rows("lcdb_large.csv"):
        if int(row["repeats"]) >= LEAST_REPEATS:
            anchor = float(row["n"]), float(row["error_mean"])
            found[int(row["openml_id"]), row["learner"]].append(anchor)
    curves = []
    for (data_set, learner), anchors in sorted(found.items()):
        table = torch.tensor(sorted(anchors), dtype=torch.float64)
        if len(table) < LEAST_ANCHORS or not bool((table[:, 1] > 0).all()):
            continue
        table = table[table[:, 0] >= LEAST_SIZE]
        far = table[:, 0] > table[-1, 0] / BEYOND
        curves.append(LearningCurve(f"{data_set} {learner}", str(data_set), table[:, 0], table[:, 1], far))
    return curves


def translation_curves() -> list[LearningCurve]:
    """Five translation models against sentence pairs; held out is what the authors held out."""
    found: dict[str, list[tuple[float, float, bool]]] = defaultdict(list)
    for row in _rows("translation.csv"):
        point = float(row["examples"]), float(row["log_perplexity"]), row["training"] != "1"
        found[row["model"]].append(point)
    curves = []
    for model, points in found.items():
        points.sort()
        sizes, errors, far = zip(*points, strict=True)
        x, y = (torch.tensor(v, dtype=torch.float64) for v in (sizes, errors))
        curves.append(LearningCurve(model, model, x, y, torch.tensor(far)))
    return curves


@dataclass(frozen=True)
class LanguageModels:
    """Runs on one training set: sizes (N, 2) of parameters and tokens, losses (N,) in nats a token, `held_out` (N,)."""

    training_set: str
    sizes: Tensor
    losses: Tensor
    held_out: Tensor

    def to(self, device: torch.device | str) -> LanguageModels:
        moved = (part.to(device) for part in (self.sizes, self.losses, self.held_out))
        return LanguageModels(self.training_set, *moved)


def language_models() -> list[LanguageModels]:
    """Three training sets, each with the loss on its own evaluation set; runs of more than 412M parameters are held
    out."""
    found: dict[str, list[tuple[float, float, float]]] = defaultdict(list)
    for row in _rows("language_models.csv"):
        loss = float(row[LOSS_OF[row["training_set"]]])
        found[row["training_set"]].append((float(row["parameters"]), float(row["tokens"]), loss))
    sets = []
    for name, runs in found.items():
        table = torch.tensor(runs, dtype=torch.float64)
        sets.append(LanguageModels(name, table[:, :2], table[:, 2], table[:, 0] > LARGEST_FITTED))
    return sets
