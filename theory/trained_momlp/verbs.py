"""The verbs of `momlp trained_momlp`: train."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.table import Table
from torch import Tensor

from constructions import Routing, TrainedMoMLP, save, train_momlp
from constructions.demo_optimizer import StepCounts
from constructions.files import array_file, points_file
from constructions.pathway_tree.tree import NET_METHODS
from constructions.progress import silent
from constructions.trained_momlp.data_parallel import OPTIMIZERS
from constructions.trained_momlp.model import ROUTERS, TASKS
from constructions.trained_momlp.training import Options
from theory.command import (
    add_device,
    add_patience,
    add_seed,
    device_named,
    err,
    joined,
    out,
    output_file,
    require_writable,
    working,
)

Data = tuple[Tensor, Tensor, Tensor | None]
"""Points, values, and weights where they are given."""


def add_train(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--points", type=Path, required=True, help="points (B, n), .npy")
    sub.add_argument(
        "--values",
        type=Path,
        required=True,
        help="floating values (B,) or (B, m), or integer classes (B,) from 0 on, .npy",
    )
    sub.add_argument("--weights", type=Path, help="how often each point counts (B,), .npy (default: once)")
    sub.add_argument(
        "--out", type=output_file, required=True, metavar="FILE", help="where to store the model (.safetensors)"
    )
    sub.add_argument("--leaves", type=int, required=True, help="number of experts")
    sub.add_argument("--hidden", default="16", help="widths of an expert's hidden layers, e.g. 16 or 32,32")
    sub.add_argument("--task", choices=TASKS, default="regression", help="what the values are")
    sub.add_argument("--method", choices=NET_METHODS, default="kmeans", help="how prototypes are chosen")
    sub.add_argument(
        "--router", choices=ROUTERS, default="tree", help="down a tree, or to the nearest of all prototypes"
    )
    sub.add_argument("--valency", type=int, default=2, help="children of a node of the tree")
    sub.add_argument("--overlap", type=int, default=1, help="experts that each point trains")
    sub.add_argument("--validation", type=float, default=0.2, help="share of the points kept for early stopping")
    defaults = Options()
    sub.add_argument("--steps", type=int, default=defaults.steps, help="optimizer steps of an expert at most")
    sub.add_argument("--batch", type=int, default=defaults.batch_size, help="points a step and expert")
    sub.add_argument("--rate", type=float, default=defaults.learning_rate, help="learning rate")
    sub.add_argument(
        "--budget-bytes", type=int, help="train group after group within this many bytes (default: all at once)"
    )
    sub.add_argument("--checkpoint", type=output_file, metavar="FILE", help="write it while training, resume from it")
    sub.add_argument(
        "--optimizer", choices=OPTIMIZERS, default="adamw", help="demo: data-parallel, with all that torchrun started"
    )
    sub.add_argument("--topk", type=int, help="coefficients that demo sends of each 64 numbers (default 4)")
    sub.add_argument("--decay", type=float, help="what demo keeps of the momentum from step to step (default 0.999)")
    add_seed(sub)
    add_device(sub)
    add_patience(sub)


def run_train(args: argparse.Namespace) -> int:
    require_writable(args.out, args.points, args.values, args.weights, args.checkpoint)
    require_writable(args.checkpoint, args.points, args.values, args.weights)
    demo = {key: getattr(args, key) for key in ("topk", "decay") if getattr(args, key) is not None}
    if demo and args.optimizer != "demo":
        raise ValueError(f"`--{next(iter(demo))}` is for --optimizer demo, got {args.optimizer}")
    x = torch.from_numpy(np.array(points_file(args.points, None, name="--points"), dtype=np.float64))
    y = _values(args.values, args.task)
    weight = None if args.weights is None else _weights(args.weights, len(x))
    with joined(args, device_named(args.device)) as ranks:
        if ranks.world > 1 and args.optimizer != "demo":
            raise ValueError(f"`--optimizer` must be demo under torchrun, got {args.optimizer}")
        try:
            with working("training") if ranks.leads else nullcontext(silent) as log:
                model = _trained(args, (x, y, weight), ranks.device, demo, log)
        except KeyboardInterrupt:
            if ranks.leads and args.checkpoint is not None and args.checkpoint.exists():
                err.print(f"the same command goes on from {args.checkpoint}", highlight=False)
            raise
        if ranks.leads:
            out.print(_table(model, (x, y, weight), ranks.world))
            out.print(f"stored in {save(model, args.out)}", highlight=False)
    return 0


def _trained(
    args: argparse.Namespace, data: Data, device: torch.device, demo: dict[str, Any], log: Callable[[str], None]
) -> TrainedMoMLP:
    x, y, weight = data
    return train_momlp(
        x,
        y,
        leaves=args.leaves,
        expert_hidden=_widths(args.hidden),
        routing=Routing(args.method, args.valency, args.router, args.overlap),
        task=args.task,
        validation=args.validation,
        sample_weight=weight,
        options=Options(steps=args.steps, batch_size=args.batch, learning_rate=args.rate),
        budget_bytes=args.budget_bytes,
        checkpoint=args.checkpoint,
        log=log,
        generator=torch.Generator().manual_seed(args.seed),
        device=device,
        optimizer=args.optimizer,
        **demo,
    )


def _values(path: Path, task: str) -> Tensor:
    """Float64 values, or int64 classes; ValueError for anything else."""
    values = array_file("--values", path)
    kinds, wanted = ("iu", "integer classes") if task == "classification" else ("f", "floating values")
    if values.dtype.kind not in kinds or values.ndim not in (1, 2):
        raise ValueError(f"`--values` must be {wanted} for {task}, got {values.dtype} {values.shape}")
    return torch.from_numpy(values.astype(np.int64 if task == "classification" else np.float64))


def _weights(path: Path, count: int) -> Tensor:
    """Float64 weights (count,); ValueError for anything else."""
    weights = array_file("--weights", path)
    if weights.dtype.kind not in "iuf" or weights.shape != (count,):
        raise ValueError(f"`--weights` must be numbers of shape ({count},), got {weights.dtype} {weights.shape}")
    return torch.from_numpy(weights.astype(np.float64))


def _widths(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(",")) if text.strip() else ()
    except ValueError as error:
        raise ValueError(f"`--hidden` must be integers separated by commas, got {text!r}") from error


def _table(model: TrainedMoMLP, data: Data, ranks: int) -> Table:
    x, y, weight = data
    report, found = model.report, model.predict(x)
    given = "all points given" if weight is None else "all points given, by weight"
    share = torch.full((len(x),), 1 / len(x), dtype=torch.float64) if weight is None else weight / weight.sum()
    if model.task == "classification":
        name, error = f"share of wrong classes, {given}", float((found != y).double() @ share)
    else:
        squares = (found - y.reshape(found.shape)).square().reshape(len(x), -1).mean(1)
        name, error = f"root mean square error, {given}", math.sqrt(float(squares @ share))
    sent = () if report.sent is None else _sent(report.sent, ranks)
    table = Table("quantity", "value")
    for row in (
        ("experts L", model.num_leaves),
        ("parameters of an expert P", model.active_parameters),
        ("total parameters L·P", model.total_parameters),
        ("height of the tree", model.tree.height),
        ("steps of an expert", f"{int(report.steps.min())} to {int(report.steps.max())}"),
        ("groups on the device one after another", report.groups),
        *sent,
        (name, f"{error:.6g}"),
        ("seconds", f"{report.seconds:.2f}"),
    ):
        table.add_row(row[0], str(row[1]))
    return table


def _sent(counts: StepCounts, ranks: int) -> tuple[tuple[str, object], ...]:
    """The rows about training data-parallel."""
    return (
        ("ranks", ranks),
        ("steps together", counts.messages),
        ("bytes of coefficients a rank and step", counts.payload_bytes // max(1, counts.messages)),
    )
