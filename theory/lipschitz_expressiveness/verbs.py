"""The verbs of `momlp lipschitz_expressiveness`: bounds."""

from __future__ import annotations

import argparse
import json
import math
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.markup import escape
from rich.table import Table
from torch import Tensor, nn

from constructions import load
from constructions.errors import require_int, shown
from constructions.files import write_whole
from constructions.mixture import LatticeMixture
from theory.command import (
    add_device,
    add_seed,
    as_typed,
    device_named,
    imported,
    out,
    output_file,
    picture_file,
    require_writable,
    working,
)
from theory.figure_style import save_figure
from theory.lipschitz_expressiveness.checkers import METHODS, LipschitzBounds, lipschitz_bounds
from theory.lipschitz_expressiveness.figures import bounds_figure

MOST_LEAVES = 1000
"""Experts of a mixture that are bounded one after another without being named."""

INTERVAL = re.compile(r"\s*\[([^\[\],;]+),([^\[\],;]+)\]\s*")


@dataclass(frozen=True)
class Subject:
    """A network and the box that it is bounded on, None for R^n."""

    name: str
    module: nn.Module
    box: tuple[Tensor, Tensor] | None


def add_bounds(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("model", metavar="MODEL", help="a stored model, or MODULE:ATTR for an nn.Sequential of yours")
    sub.add_argument(
        "--box", help="'[lo,hi]' for all inputs or '[lo,hi];[lo,hi];…' (default: an expert's cell, or R^n)"
    )
    sub.add_argument("--leaf", type=int, help="the number of one expert of a stored mixture (default: all of them)")
    sub.add_argument("--method", choices=METHODS, default="auto", help="how; auto: what the network's size affords")
    sub.add_argument("--gap", type=float, default=1e-9, help="stop at upper/lower <= 1 + GAP (default %(default)g)")
    sub.add_argument(
        "--seconds",
        type=float,
        default=60.0,
        help="seconds of searching, then the interval so far (default %(default)g)",
    )
    sub.add_argument(
        "--boxes", type=int, default=1_000_000, help="boxes of branch_and_bound at most (default %(default)d)"
    )
    sub.add_argument(
        "--cells", type=int, default=100_000, help="cells of patterns and line at most (default %(default)d)"
    )
    sub.add_argument("--points", type=int, default=1_000, help="points of sampled (default %(default)d)")
    sub.add_argument("--undecided", type=int, default=8, help="units of a box tried both ways (default %(default)d)")
    sub.add_argument(
        "--input-shape",
        metavar="C,H,W",
        help="shape of one input, where the network starts with a Conv2d (default: flat)",
    )
    add_seed(sub)
    add_device(sub)
    sub.add_argument(
        "--out", type=picture_file, metavar="PICTURE", help="draw how the interval closed, and two inputs' cells"
    )
    sub.add_argument("--json", nargs="?", const="-", metavar="FILE", help="write it as JSON (- for standard output)")


@as_typed(
    module="MODEL",
    lower="--box: lower ends",
    upper="--box: upper ends",
    input_shape="--input-shape",
    **{name: f"--{name}" for name in ("method", "gap", "seconds", "boxes", "cells", "points", "undecided")},
)
def run_bounds(args: argparse.Namespace) -> int:
    file = None if args.json in (None, "-") else output_file(args.json)
    require_writable(args.out)
    require_writable(file)
    found = _bounded(args)
    subject, bounds = max(found, key=lambda pair: (pair[1].log2_upper, pair[1].lower))
    if args.json != "-":
        out.print(_table(subject, bounds))
        if len(found) > 1:
            closed = sum(b.gap <= args.gap for _, b in found)
            said = f"the largest upper end of {len(found)} experts, each on its own cell; {closed} intervals are closed"
            out.print(said, highlight=False)
    if args.json is not None:
        experts = [{"name": s.name, "lower": b.lower, "log2_upper": _finite(b.log2_upper)} for s, b in found]
        text = json.dumps(_as_json(subject, bounds) | {"experts": experts}, indent=2, allow_nan=False)
        if file is None:
            sys.stdout.write(text + "\n")
        else:
            write_whole(file, lambda draft: draft.write_text(text))
    if args.out is not None:
        save_figure(bounds_figure(subject.module, bounds, subject.box, _shape(args.input_shape)), args.out)
        if args.json != "-":
            out.print(f"drawn to {args.out}", highlight=False)
    return 0


def _bounded(args: argparse.Namespace) -> list[tuple[Subject, LipschitzBounds]]:
    """Every network asked for, and its interval."""
    found: list[tuple[Subject, LipschitzBounds]] = []
    with working("bounding") as log:
        for subject in _subjects(args):
            lower, upper = subject.box if subject.box is not None else (None, None)
            bounds = lipschitz_bounds(
                subject.module,
                lower,
                upper,
                method=args.method,
                gap=args.gap,
                seconds=args.seconds,
                boxes=args.boxes,
                cells=args.cells,
                points=args.points,
                undecided=args.undecided,
                input_shape=_shape(args.input_shape),
                device=device_named(args.device),
                seed=args.seed,
                log=lambda message, name=subject.name: log(f"{name}: {message}"),
            )
            found.append((subject, bounds))
    return found


def _subjects(args: argparse.Namespace) -> Iterator[Subject]:
    if ":" in args.model and not Path(args.model).exists():
        module = imported("MODEL", args.model)
        if not isinstance(module, nn.Module):
            raise ValueError(f"`MODEL` {args.model} must be a torch.nn.Module, got {type(module).__name__}")
        if args.leaf is not None:
            raise ValueError("`--leaf` is for stored mixtures")
        yield Subject(args.model, module, _box(args.box, module, args.input_shape))
        return
    model = load(args.model)
    network = getattr(model, "network", model)
    if not isinstance(network, LatticeMixture):
        raise ValueError(f"{args.model} was trained on data: its experts have no cells, name one with MODULE:ATTR")
    yield from _experts(network, args)


def _experts(model: LatticeMixture, args: argparse.Namespace) -> Iterator[Subject]:
    """Every expert on its own cell; the mixture itself jumps where cells meet, so that is all there is to bound."""
    count = model.num_leaves
    if args.leaf is not None:
        require_int("--leaf", args.leaf, 0, count - 1)
    elif count > MOST_LEAVES:
        raise ValueError(f"`--leaf` is needed for a mixture of {count} > {MOST_LEAVES} experts")
    leaves = model.leaf_indices(torch.device("cpu"))
    for number in range(count) if args.leaf is None else [args.leaf]:
        expert = model.expert(leaves[number])
        lower, upper = model.cell_bounds(leaves[number][None])
        box = (lower[0], upper[0]) if args.box is None else _box(args.box, expert, None)
        yield Subject(f"expert {number} of {count}", expert, box)


def _shape(text: str | None) -> tuple[int, ...] | None:
    if text is None:
        return None
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise ValueError(f"`--input-shape` must be integers separated by commas, got {shown(text)}") from error


def _box(text: str | None, module: nn.Module, input_shape: str | None) -> tuple[Tensor, Tensor] | None:
    if text is None:
        return None
    matches = [INTERVAL.fullmatch(part) for part in text.split(";")]
    try:
        ends = [(float(m[1]), float(m[2])) for m in matches if m is not None]
    except ValueError:
        ends = []
    if len(ends) != len(matches):
        raise ValueError(f"`--box` must look like '[-1,1]' or '[-1,1];[0,2]', got {shown(text)}")
    if len(ends) == 1:
        from theory.lipschitz_expressiveness.checkers.network import read_network

        ends = ends * read_network(module, _shape(input_shape)).inputs
    corners = torch.tensor(ends, dtype=torch.float64)
    return corners[:, 0], corners[:, 1]


# --- what is printed -----------------------------------------------------------------------------------


def _upper(bounds: LipschitzBounds) -> str:
    if bounds.log2_upper == math.inf:
        return "none"
    return _number(bounds.upper) if bounds.upper < math.inf else f"2^{bounds.log2_upper:.4f}"


def _number(value: float) -> str:
    return f"{value:.9g}"


def _table(subject: Subject, bounds: LipschitzBounds) -> Table:
    where = "R^n" if subject.box is None else _span(subject.box)
    title = f"{bounds.status.value}: Lipschitz constant of {subject.name} on {where}"
    table = Table("quantity", "value", title=escape(title), title_justify="left")
    rows = [
        ("lower", _number(bounds.lower)),
        ("upper", _upper(bounds)),
        ("gap", _number(bounds.gap) if bounds.gap < math.inf else "none"),
        *([] if bounds.exact_squared is None else [("its square", shown(str(bounds.exact_squared)).strip("'"))]),
        ("witness", "none" if bounds.witness is None else shown(bounds.witness.tolist())),
        ("method", bounds.method),
        ("evidence", bounds.evidence.name),
        ("how", bounds.reason),
        ("seconds", f"{bounds.seconds:.2f}"),
    ]
    for name, value in rows:
        table.add_row(name, escape(value))
    return table


def _span(box: tuple[Tensor, Tensor]) -> str:
    sides = [f"[{a:g}, {b:g}]" for a, b in zip(box[0].tolist(), box[1].tolist(), strict=True)]
    return " × ".join(sides) if len(sides) <= 6 else f"{' × '.join(sides[:5])} × … ({len(sides)} axes)"


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _as_json(subject: Subject, bounds: LipschitzBounds) -> dict[str, Any]:
    """Numbers beyond the largest float, and those that are infinite, as null: their logarithm is there."""
    return {
        "schema": 1,
        "name": subject.name,
        "box": None if subject.box is None else [corner.tolist() for corner in subject.box],
        "status": bounds.status.value,
        "evidence": bounds.evidence.name,
        "method": bounds.method,
        "lower": bounds.lower,
        "upper": _finite(bounds.upper),
        "log2_upper": _finite(bounds.log2_upper),
        "exact_squared": None if bounds.exact_squared is None else str(bounds.exact_squared),
        "witness": None if bounds.witness is None else bounds.witness.tolist(),
        "jacobian": None if bounds.jacobian is None else bounds.jacobian.tolist(),
        "cells_or_boxes": bounds.cells_or_boxes,
        "reason": bounds.reason,
        "seconds": bounds.seconds,
    }
