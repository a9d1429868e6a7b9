"""Mixtures of MLPs trained on ranks by DeMo, against AdamW alone."""

from __future__ import annotations

import math
from itertools import pairwise

from theory.claim import Context, Evidence, Status, Table, Verdict, ensure, undecided
from theory.demo_optimizer.mixtures import train_mixtures
from theory.demo_optimizer.runs_on_ranks import HEAD, mixtures_on_ranks
from theory.demo_optimizer.training import EdgeOfGrid, paired
from theory.trained_momlp.experiments import TASKS

MARGIN = 0.02
TRAINED, TRAINED_FULL = ("weierstrass",), ("weierstrass", "digits")
SEEDS, SEEDS_FULL = tuple(range(6)), tuple(range(12))
TOPK, COEFFICIENT, CHUNK = 4, 5, 64


def message_bytes(task: str) -> int:
    """The head, and a place and a value of 4 numbers of each 64 of an expert's weights."""
    about = TASKS[task]
    split = about.split(0)
    outputs = int(split.y.max()) + 1 if about.classification else 1
    sizes = (split.x.shape[1], *about.expert_hidden, outputs)
    weights = sum((a + 1) * b for a, b in pairwise(sizes))
    return HEAD + about.leaves * math.ceil(weights / CHUNK) * TOPK * COEFFICIENT


def trains_momlp(context: Context) -> Verdict:
    seeds, rows, worst = (SEEDS_FULL if context.full else SEEDS), [], None
    for task in TRAINED_FULL if context.full else TRAINED:
        context.log(f"AdamW on {task}")
        try:
            alone = train_mixtures(task, "adamw", seeds)
        except EdgeOfGrid as failure:
            ensure(False, str(failure))
            raise AssertionError from failure
        for world in (2, 4) if context.full else (2,):
            context.log(f"DeMo on {task}, {world} ranks")
            seen = mixtures_on_ranks(world, task, seeds)
            same = all((s["digest"], s["errors"]) == (seen[0]["digest"], seen[0]["errors"]) for s in seen)
            ensure(len(seen) == world and same, f"{task}: {world} ranks end with different mixtures")
            stated = message_bytes(task)
            often = [s["handed"].get(str(stated), 0) for s in seen]
            ensure(min(often) >= len(seeds), f"{task}: messages of {stated} bytes were handed over {often} times")
            difference = paired(seen[0]["errors"], alone.errors)
            rows.append((task, world, difference.mean, difference.low, difference.high, seen[0]["rate"], alone.rate))
            worst = difference if worst is None or difference.high > worst.high else worst
    assert worst is not None
    columns = ("task", "ranks", "difference", "lower end", "upper end", "rate", "AdamW's rate")
    tables = {"DeMo - AdamW": Table(columns, tuple(rows))}
    said = f"test errors of mixtures trained by DeMo − by AdamW: {worst} at worst, the same bits on all ranks"
    if worst.high <= MARGIN:
        return Verdict(Status.NOT_REFUTED, Evidence.SAMPLED, said, {"upper end": worst.high}, tables=tables)
    if worst.low > MARGIN:
        return Verdict(Status.REFUTED, Evidence.SAMPLED, said, {"lower end": worst.low}, witness=said, tables=tables)
    return undecided(said, **{"upper end": worst.high}, **tables)
