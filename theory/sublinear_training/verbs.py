"""The verbs of `momlp sublinear_training`: run, costs."""

from __future__ import annotations

import argparse
import json
import warnings
from pathlib import Path

import numpy as np
import torch
from rich.table import Table

from constructions.errors import require_int
from constructions.files import array_file, points_file, write_tensors, write_whole
from constructions.sublinear_training import GaussNewtonTrainer, ShiftedReLUNetwork, TrainingTrace, unit_sphere
from constructions.sublinear_training.data import random_signs
from constructions.sublinear_training.methods import METHODS
from theory.command import (
    add_device,
    add_seed,
    as_typed,
    device_named,
    err,
    out,
    output_file,
    picture_file,
    require_writable,
    working,
)
from theory.figure_style import save_figure
from theory.sublinear_training.figures import costs_figure

LARGEST_EXPONENT = 20
SCHEMA = 1


def add_run(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--data", type=Path, required=True, metavar="X.npy", help="points (n, d), rows of norm 1")
    sub.add_argument("--labels", type=Path, required=True, metavar="Y.npy", help="labels (n,)")
    sub.add_argument("--normalise", action="store_true", help="divide every row by its norm first")
    sub.add_argument("--width", type=int, required=True, help="number of hidden units m")
    sub.add_argument("--method", choices=METHODS, default="lazy", help="how the units that fire are found")
    sub.add_argument("--alpha", type=float, default=0.24, help="shift b = sqrt(2 alpha ln m) (default %(default)s)")
    sub.add_argument("--radius", type=float, help="how far a unit may move before it is keyed anew (default 1/(2b))")
    sub.add_argument("--steps", type=int, default=10, help="Gauss-Newton steps at most (default %(default)s)")
    sub.add_argument("--tolerance", type=float, default=1e-12, help="norm of the residual to stop at")
    sub.add_argument("--ridge", type=float, default=0.0, help="added to the Gram matrix, in units of its mean diagonal")
    sub.add_argument("--report", type=output_file, metavar="R.json", help="where to write all counts")
    sub.add_argument("--out", type=output_file, metavar="FILE", help="where to store the weights (.safetensors)")
    sub.add_argument("--checkpoint", type=output_file, metavar="FILE", help="write it after every step, resume from it")
    add_seed(sub)
    add_device(sub)


@as_typed(
    X="--data",
    y="--labels",
    m="--width",
    d="--data",
    alpha="--alpha",
    radius="--radius",
    ridge="--ridge",
    max_steps="--steps",
    tolerance="--tolerance",
)
def run_run(args: argparse.Namespace) -> int:
    _require_outputs(args)
    x = _points(args)
    device = device_named(args.device)
    net = ShiftedReLUNetwork.from_seed(x.shape[1], args.width, args.seed, args.alpha, device=device)
    with working("training") as log, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        options = {"method": args.method, "radius": args.radius, "ridge": args.ridge, "log": log}
        trainer = GaussNewtonTrainer(net, x.to(device), _labels(args.labels).to(device), **options)
        try:
            trace = trainer.fit(args.steps, args.tolerance, checkpoint=args.checkpoint)
        except (KeyboardInterrupt, ValueError):
            _rescue(args, trainer.trace, net, tuple(x.shape))
            raise
    for text in dict.fromkeys(str(w.message) for w in caught):
        err.print(f"momlp: note: {text}", highlight=False, soft_wrap=True)
    out.print(_table(trace))
    _write_report(args, net, trace, tuple(x.shape))
    if args.out is not None:
        tensors = {"weight": net.weight.detach().cpu(), "signs": net.signs.cpu()}
        write_tensors(args.out, tensors, {"bias": repr(net.bias), "activation": net.activation})
        out.print(f"stored in {args.out}", highlight=False)
    return 0


def _require_outputs(args: argparse.Namespace) -> None:
    outputs = (args.report, args.out, args.checkpoint)
    for k, path in enumerate(outputs):
        require_writable(path, args.data, args.labels)
        if path is not None and any(o is not None and path.resolve() == o.resolve() for o in outputs[:k]):
            raise ValueError(f"`--report`, `--out` and `--checkpoint` must be different files, got {path} twice")


def _points(args: argparse.Namespace) -> torch.Tensor:
    x = torch.from_numpy(np.array(points_file(args.data, None, name="--data"), dtype=np.float64))
    if not args.normalise:
        return x
    norms = x.norm(dim=1, keepdim=True)
    if not bool((norms > 0).all()):
        raise ValueError(f"`--normalise` needs rows that are not 0, row {int((norms[:, 0] == 0).nonzero()[0])} is")
    return x / norms


def _rescue(args: argparse.Namespace, trace: TrainingTrace, net: ShiftedReLUNetwork, shape: tuple[int, ...]) -> None:
    """What was reached before training stopped: the counts of whole steps, and where it goes on."""
    if trace.steps:
        _write_report(args, net, trace, shape)
    if args.checkpoint is not None and args.checkpoint.exists():
        err.print(f"the same command goes on from {args.checkpoint}", highlight=False)


def _labels(path: Path) -> torch.Tensor:
    """Float64 labels (n,), also from integers; ValueError for anything else."""
    values = array_file("--labels", path)
    if values.dtype.kind not in "iuf" or values.ndim != 1:
        raise ValueError(f"`--labels` must be numbers of shape (n,), got {values.dtype} {values.shape}")
    return torch.from_numpy(values.astype(np.float64))


def _write_report(
    args: argparse.Namespace, net: ShiftedReLUNetwork, trace: TrainingTrace, shape: tuple[int, ...]
) -> None:
    if args.report is not None:
        about = {"schema": SCHEMA, "n": shape[0], "d": shape[1], "m": net.width, "alpha": args.alpha, "seed": args.seed}
        text = json.dumps(about | trace.report(), indent=2, allow_nan=False)
        write_whole(args.report, lambda draft: draft.write_text(text))
        err.print(f"counts in {args.report}", highlight=False)


def _table(trace: TrainingTrace) -> Table:
    names = ("step", "residual", "fired pairs", "units moved", "keyed anew", "operations")
    table = Table(*names, title=f"method {trace.method}", title_justify="left")
    for t, s in enumerate(trace.steps):
        counts = (s.measured.fired, s.measured.touched, s.measured.refreshed, s.operations["total"])
        table.add_row(str(t), f"{s.residual_norm:.4e}", *(f"{c:,}" for c in counts))
    table.add_row("end", f"{trace.final_residual:.4e}", "", "", "", f"{trace.total_operations:,} with the keys' build")
    return table


# --- costs ----------------------------------------------------------------------------------------------------


def add_costs(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("--points", type=int, default=32, help="number of points n (default %(default)s)")
    sub.add_argument("--dimension", type=int, default=16, help="dimension d of the points (default %(default)s)")
    sub.add_argument("--alpha", type=float, default=0.24, help="shift b = sqrt(2 alpha ln m)")
    sub.add_argument(
        "--largest", type=int, default=14, help="log2 of the largest width, 11 to 20 (default %(default)s)"
    )
    add_seed(sub)
    sub.add_argument("--out", type=picture_file, metavar="PICTURE", help="where to draw the plot")


@as_typed(n="--points", d="--dimension", alpha="--alpha")
def run_costs(args: argparse.Namespace) -> int:
    require_int("--largest", args.largest, 11, LARGEST_EXPONENT)
    require_writable(args.out)
    g = torch.Generator().manual_seed(args.seed)
    x = unit_sphere(args.points, args.dimension, generator=g)
    y = random_signs(args.points, generator=g)
    widths = [2**e for e in range(10, args.largest + 1)]
    traces: dict[str, list[TrainingTrace]] = {method: [] for method in METHODS}
    with working("training") as log:
        for m in widths:
            for method in METHODS:
                log(f"{method}, m={m}")
                net = ShiftedReLUNetwork.from_seed(args.dimension, m, args.seed + m, args.alpha)
                traces[method].append(GaussNewtonTrainer(net, x, y, method=method).fit())
    out.print(_costs(widths, traces, args.points * args.dimension))
    if args.out is not None:
        save_figure(costs_figure(widths, traces, args.alpha, args.points, args.dimension), args.out)
        out.print(f"drawn to {args.out}", highlight=False)
    return 0


def _costs(widths: list[int], traces: dict[str, list[TrainingTrace]], scale: int) -> Table:
    """Operations of first step, last step and whole run, divided by 4 m n d (and by the steps)."""
    table = Table("m", *traces, title="operations / 4mnd: first step, last step, a step of the whole run")
    for k, m in enumerate(widths):
        cells = []
        for runs in traces.values():
            run, unit = runs[k], 4 * m * scale
            first, last = run.steps[0].operations["total"] / unit, run.steps[-1].operations["total"] / unit
            cells.append(f"{first:.3f}  {last:.3f}  {run.total_operations / unit / len(run.steps):.3f}")
        table.add_row(f"{m:,}", *cells)
    return table
