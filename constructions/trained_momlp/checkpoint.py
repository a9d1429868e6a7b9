"""Checkpoints of a training run: written whole, resumed only by the run that wrote them.

Main definitions: `State`, `write_state`, `read_state`.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, fields
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from constructions.errors import StoreError
from constructions.files import require_regular, write_tensors


@dataclass
class State:
    """Finished rows of all experts so far, and the group of experts from `first` on that is being trained.

    `best` and `best_loss` are what early stopping keeps, `waited` counts evaluations without improvement, `average` and
    `square` are AdamW's moments, or the residuals of all workers and nothing.
    """

    finished: Tensor
    losses: Tensor
    stopped: Tensor
    first: int
    step: int
    rows: Tensor
    best: Tensor
    best_loss: Tensor
    waited: Tensor
    average: Tensor
    square: Tensor


TENSORS = tuple(f.name for f in fields(State) if f.name not in ("first", "step"))


def write_state(path: Path, state: State, run: str) -> None:
    """Write a checkpoint, whole or not at all; OSError names the path."""
    tensors = {name: getattr(state, name).detach().cpu().contiguous().clone() for name in TENSORS}
    metadata = {"momlp_run": json.dumps({"run": run, "first": state.first, "step": state.step})}
    write_tensors(path, tensors, metadata)


def read_state(path: Path, run: str) -> State | None:
    """The state stored at `path`, None when there is no such file; StoreError when another run wrote it."""
    if not os.path.lexists(path):
        return None
    try:
        require_regular(path)
        with safe_open(path, framework="pt") as file:
            found = json.loads((file.metadata() or {}).get("momlp_run", "{}"))
            ours = isinstance(found, dict) and found.get("run") == run
            tensors = {name: file.get_tensor(name).clone() for name in TENSORS if ours}
            place = (int(found["first"]), int(found["step"])) if ours else (0, 0)
    except (SafetensorError, OSError, ValueError, TypeError, KeyError, RecursionError) as err:
        raise StoreError(f"cannot resume from {path}: {err}") from err
    if not tensors:
        raise StoreError(f"cannot resume from {path}: it belongs to a run with other data, options or seed")
    return State(first=place[0], step=place[1], **tensors)


def fresh_state(initial: Tensor, first: int, end: int, previous: State | None, moments: tuple[Tensor, Tensor]) -> State:
    """The start of the group of experts first … end − 1 of the bank `initial` (E, P), with its `moments`."""
    count = len(initial)
    rows = initial[first:end].clone()
    return State(
        finished=initial if previous is None else previous.finished,
        losses=torch.full((count,), torch.inf) if previous is None else previous.losses,
        stopped=torch.zeros(count, dtype=torch.int64) if previous is None else previous.stopped,
        first=first,
        step=0,
        rows=rows,
        best=rows.clone(),
        best_loss=torch.full((len(rows),), torch.inf, dtype=rows.dtype),
        waited=torch.zeros(len(rows), dtype=torch.int64),
        average=moments[0],
        square=moments[1],
    )
