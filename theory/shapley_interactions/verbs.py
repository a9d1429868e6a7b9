"""The verbs of `momlp shapley_interactions`: explain."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from rich.markup import escape
from rich.table import Table
from torch import Tensor

from constructions import MoMLP, TabulatedMoMLP, TrainedMoMLP, load
from constructions.errors import require_choice, require_int, shown
from constructions.files import array_file, points_file, write_whole
from constructions.shapley_interactions import ExpertGame, FeatureGame, InteractionValues, explain
from constructions.shapley_interactions.expert_game import LOSSES, OFF
from constructions.shapley_interactions.values import INDICES
from theory.command import (
    add_device,
    add_seed,
    as_typed,
    device_named,
    imported,
    out,
    output_file,
    require_writable,
    working,
)
from theory.figure_style import save_figure
from theory.shapley_interactions.figures import PLOTS

TOLERANCE = 1e-9
BACKGROUND = 100
"""Rows that stand for "not known" when none are given."""


def add_explain(sub: argparse.ArgumentParser) -> None:
    sub.add_argument(
        "model", metavar="MODEL", help="a stored model (.safetensors), or MODULE:ATTR, any model in Python"
    )
    sub.add_argument("--points", type=Path, required=True, help="points (B, n), .npy")
    sub.add_argument("--row", type=int, help="the point explained (default 0; of experts: all of them)")
    sub.add_argument("--players", choices=("features", "experts"), default="features", help="what is given a share")
    sub.add_argument(
        "--background", type=Path, help=f"rows (b, n), .npy (default: {BACKGROUND} of the points, at random)"
    )
    sub.add_argument("--groups", help="columns that are one player, e.g. '0,1;2;3' (default: each its own)")
    sub.add_argument("--output", type=int, default=0, help="the number of the model's output, from 0 on (default 0)")
    sub.add_argument("--fixed-expert", action="store_true", help="compare with the row's expert alone, without routing")
    sub.add_argument(
        "--values", type=Path, help="of experts: values or classes (B,), .npy (default: the model's function)"
    )
    sub.add_argument("--loss", choices=LOSSES, help="of experts (default: squared, or error for classes)")
    sub.add_argument("--off", choices=OFF, default=OFF[0], help="what answers for an expert that is off")
    sub.add_argument("--index", choices=INDICES, default="k-SII", help="which interaction index")
    sub.add_argument("--order", type=int, help="players of an interaction at most (default 2)")
    sub.add_argument("--budget", type=int, help="coalitions to evaluate (default: all of 14 players, else 16384)")
    sub.add_argument("--repeats", type=int, default=1, help="draws, of BUDGET each: their mean and its standard errors")
    sub.add_argument("--unpaired", action="store_true", help="draw coalitions without their complements")
    sub.add_argument("--top", type=int, default=10, help="interactions printed (default %(default)s)")
    sub.add_argument("--plot", choices=PLOTS, help="what a .png shows (default: force, or bar)")
    sub.add_argument(
        "--out", type=output_file, action="append", default=[], metavar="FILE", help=".json or .png; may be repeated"
    )
    add_seed(sub)
    add_device(sub)


@as_typed(
    targets="--values",
    **{name: f"--{name}" for name in ("groups", "order", "index", "budget", "repeats", "output", "off", "loss")},
)
def run_explain(args: argparse.Namespace) -> int:
    for path in args.out:
        require_choice("--out", path.suffix, (".json", ".png"))
        require_writable(path, args.points, args.background, args.values, Path(args.model))
    require_int("--top", args.top, 1)
    if args.plot == "force" and any(path.suffix == ".png" for path in args.out) and _cannot_be_a_way(args):
        raise ValueError(f"`--plot` force must have an index that adds up, k-SII or SV, got {args.index}")
    device = device_named(args.device)
    model = _model(args.model, device)
    if args.players == "experts":
        found, asked = _experts(args, model)
        others = None
    else:
        game = _features(args, model)
        found, asked = _explained(args, game), game.answers(game.x[None])[0].reshape(-1)[args.output]
        others = _explained(args, _fixed(args, model, game)) if args.fixed_expert else None
    how = f"{found.evaluations:,} coalitions evaluated" if found.evaluations else "in closed form"
    out.print(f"{found.index} of order {found.max_order}, {found.how}: {how}", highlight=False)
    out.print(_table(found, args.top, others))
    code = _sum_check(found, asked, _tolerance(model))
    for path in args.out:
        _write(found, path, args.plot)
        out.print(f"written to {escape(str(path))}", highlight=False)
    return code


def _model(text: str, device: torch.device) -> Any:
    """A stored model, or an attribute of a module of the user's."""
    if ":" not in text or os.path.exists(text):
        return load(Path(text), device=device)
    return imported("MODEL", text)


def _cannot_be_a_way(args: argparse.Namespace) -> bool:
    """An index of which it is known before anything is evaluated that it does not add up."""
    return args.index == "SII" and args.order != 1


def _generator(args: argparse.Namespace) -> torch.Generator:
    return torch.Generator().manual_seed(args.seed)


def _explained(args: argparse.Namespace, game: FeatureGame | ExpertGame) -> InteractionValues:
    with working("evaluating coalitions") as log:
        found = explain(
            game,
            order=args.order,
            index=args.index,
            budget=args.budget,
            paired=not args.unpaired,
            repeats=args.repeats,
            generator=_generator(args),
            log=log,
        )
    return found.output(require_int("--output", args.output, 0, found.outputs - 1))


# --- features ---------------------------------------------------------------------------------------------


def _rows(path: Path, n: int | None, name: str) -> Tensor:
    return torch.from_numpy(np.array(points_file(path, n, name=name), dtype=np.float64))


def _features(args: argparse.Namespace, model: Any) -> FeatureGame:
    for name in ("values", "loss"):
        if getattr(args, name) is not None:
            raise ValueError(f"`--{name}` is for --players experts, got {shown(str(getattr(args, name)))}")
    points = _rows(args.points, None, "--points")
    row = require_int("--row", 0 if args.row is None else args.row, 0, len(points) - 1)
    if args.background is not None:
        background = _rows(args.background, points.shape[1], "--background")
    else:
        background = points[torch.randperm(len(points), generator=_generator(args))[:BACKGROUND]]
    game = FeatureGame(model, points[row], background, groups=_groups(args.groups))
    count = f"{len(background)} {'rows' if args.background is not None else 'of the points'} as background"
    out.print(f"row {row} of {escape(str(args.points))}, output {args.output}, {count}", highlight=False)
    return game


def _groups(text: str | None) -> list[list[int]] | None:
    try:
        return None if text is None else [[int(c) for c in group.split(",")] for group in text.split(";")]
    except ValueError as error:
        raise ValueError(f"`--groups` must be columns such as '0,1;2;3', got {shown(text)}") from error


def _fixed(args: argparse.Namespace, model: Any, game: FeatureGame) -> FeatureGame:
    """The game of the expert that answers the row, asked about every coalition."""
    if not isinstance(model, MoMLP | TabulatedMoMLP | TrainedMoMLP):
        raise ValueError(f"`--fixed-expert` needs a mixture, got {type(model).__name__}")
    leaf: Any = model.route(game.x[None].to(model.place))[0].tolist()  # an integer, or a multi-index
    return FeatureGame(model.expert(leaf), game.x, game.background, groups=_groups(args.groups))


# --- experts ----------------------------------------------------------------------------------------------


def _experts(args: argparse.Namespace, model: Any) -> tuple[InteractionValues, Tensor]:
    for name in ("background", "groups"):
        if getattr(args, name) is not None:
            raise ValueError(f"`--{name}` is for --players features, got {shown(str(getattr(args, name)))}")
    if args.fixed_expert:
        raise ValueError("`--fixed-expert` is for --players features, got --players experts")
    if not isinstance(model, MoMLP | TabulatedMoMLP | TrainedMoMLP):
        raise ValueError(f"`MODEL` must be a mixture for --players experts, got {type(model).__name__}")
    points = _rows(args.points, model.n, "--points")
    targets = _targets(args, model, points)
    if args.row is not None:
        require_int("--row", args.row, 0, len(points) - 1)
    loss = args.loss or ("squared" if targets.is_floating_point() else "error")
    with working("asking every expert") as log:
        game = ExpertGame(model, points.to(model.place), targets.to(model.place), loss=loss, off=args.off, log=log)
    where, constant = f"over {len(points)} points", f"baseline: the best constant answer for all {len(points)}"
    if args.row is not None:
        game, where = game.at(args.row), f"at row {args.row} of {escape(str(args.points))}"
        points, targets = points[args.row :][:1], targets[args.row :][:1]
    if args.off == "zero":
        constant = "baseline: the answer 0"
    out.print(f"minus the {loss} loss {where}, {game.n} experts as players; {constant}", highlight=False)
    return _explained(args, game), -_mean_loss(model, points, targets, loss)


def _mean_loss(model: Any, points: Tensor, targets: Tensor, loss: str) -> Tensor:
    """The loss of the model's own answers, in which nothing of the game takes part."""
    own = next((p.dtype for p in model.parameters() if p.is_floating_point()), points.dtype)
    with torch.no_grad():
        answers = model(points.to(model.place, own)).cpu().double().reshape(len(points), -1)
    if loss == "squared":
        return (answers - targets.cpu().double().reshape(len(points), -1)).square().sum(-1).mean()
    if loss == "error":
        return (answers.argmax(-1) != targets.cpu()).double().mean()
    return torch.nn.functional.cross_entropy(answers, targets.cpu())


def _targets(args: argparse.Namespace, model: Any, points: Tensor) -> Tensor:
    if args.values is not None:
        values = array_file("--values", args.values)
        if values.dtype.kind not in "iuf" or values.ndim not in (1, 2) or len(values) != len(points):
            wanted = f"numbers of shape ({len(points)},)"
            raise ValueError(f"`--values` must be {wanted}, got {values.dtype} {values.shape}")
        whole = values.dtype.kind in "iu" and _classifies(args, model)
        return torch.from_numpy(values.astype(np.int64 if whole else np.float64))
    if isinstance(model, TrainedMoMLP) or model.target is None:
        raise ValueError("`--values` is needed: the model does not hold the function that it stands for")
    return model.target(points)


def _classifies(args: argparse.Namespace, model: Any) -> bool:
    """Whether integers are classes: for a loss of classes, or a model that was trained on them."""
    if args.loss is not None:
        return args.loss != "squared"
    return isinstance(model, TrainedMoMLP) and model.task == "classification"


# --- what is said -----------------------------------------------------------------------------------------


def _table(found: InteractionValues, count: int, others: InteractionValues | None) -> Table:
    size = sum(len(v) for v in found.orders)
    table = Table("interaction")
    table.add_column(f"value (the largest of {size:,})" if size > count else "value", justify="right")
    if found.errors is not None:
        table.add_column("standard error", justify="right")
    if others is not None:
        table.add_column("expert alone", justify="right")
        table.add_column("routing", justify="right")
    for i in found.top(count):
        cells = [escape(" × ".join(i.names)), f"{i.value:+.6g}"]
        if i.standard_error is not None:
            cells.append(f"{i.standard_error:.2g}")
        if others is not None:
            alone = float(others[i.players])
            cells += [f"{alone:+.6g}", f"{i.value - alone:+.6g}"]
        table.add_row(*cells)
    return table


def _tolerance(model: Any) -> float:
    """For sums of the model's answers, whose rounding in single precision depends on how many rows it is asked."""
    parameters = model.parameters() if isinstance(model, torch.nn.Module) else ()
    own = [torch.finfo(p.dtype).eps for p in parameters if p.is_floating_point()]
    return max([TOLERANCE, *(64 * eps for eps in own)])


def _sum_check(found: InteractionValues, asked: Tensor, tolerance: float) -> int:
    """Print baseline + sum = prediction; 1 when that fails. The prediction is `asked`, the model's own answer."""
    if found.rank_deficient:
        out.print("the budget does not determine all values: those of least norm were taken", highlight=False)
    if not found.sums:
        what = f"{found.index} of order {found.max_order}"
        out.print(
            f"baseline {float(found.baseline):.9g}, prediction {float(found.prediction):.9g}; {what} has no sum check"
        )
        return 0
    prediction = float(asked)  # not the game's own v(N)
    baseline, total = float(found.baseline), float(found.total)
    gap = float(found.sum_gap(torch.as_tensor(prediction, dtype=found.baseline.dtype, device=found.baseline.device)))
    holds = gap <= tolerance
    said = f"baseline {baseline:.9g} + sum {total:.9g} = prediction {prediction:.9g}"
    out.print(f"{said} ({'holds' if holds else 'FAILS'} to {tolerance:.2g}: {gap:.1e})", highlight=False)
    return 0 if holds else 1


def _write(found: InteractionValues, path: Path, plot: str | None) -> None:
    if path.suffix == ".json":
        write_whole(path, lambda draft: draft.write_text(found.to_json(), encoding="utf-8"))
        return
    figure = Figure(figsize=(7, 5), layout="constrained")
    PLOTS[plot or ("force" if found.sums else "bar")](found, figure.subplots())
    save_figure(figure, path)
