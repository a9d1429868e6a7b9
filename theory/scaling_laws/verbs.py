"""The verbs of `momlp scaling_laws`: fit and nyquist."""

from __future__ import annotations

import argparse
import json
import math
import re
from pathlib import Path

import torch
from rich.markup import escape
from rich.table import Table as Printed
from torch import Tensor

from constructions.errors import require_int, require_positive, shown
from constructions.scaling_laws.fit import LOSSES, RESAMPLES
from constructions.scaling_laws.law import require_chance
from constructions.scaling_laws.nyquist import samples_needed
from constructions.scaling_laws.points import MOST_AXES, Points
from constructions.scaling_laws.splits import largest
from constructions.scaling_laws.table import Table, read_table
from theory.command import add_device, as_typed, device_named, out, picture_file, require_writable, seed, working
from theory.figure_style import save_figure
from theory.scaling_laws import bounds
from theory.scaling_laws.fitting import Findings, Needed, Question, as_json, constants_of, find, named, points_of

EPILOG = """\
FILE.csv has a header, a row a run: a positive column for each size (examples, parameters, ...), the error, and perhaps
a group (seed, run, curve):

    n,m,error,seed
    64,4,0.894,0
    128,4,0.841,0

The law is u = A n^-alpha + B m^-beta + C, and error = chance u/sqrt(1 + u^2), or u where no chance is given. Intervals
are 95 % percentiles of fits to the groups (or rows) drawn anew; that of a predicted error is for one new measurement.

Exit codes: 0; 1 the law predicted the held-out points worse than their last value; 2 the table or an option cannot be
used, or the errors do not decrease."""
CONDITION = re.compile(r"\s*(.+?)\s*>\s*([^>=]+?)\s*")
FIT_OPTIONS = {"sizes": "--sizes", "errors": "--error", "held_out": "--hold-out", "fraction": "--hold-out",
               "chance": "--chance", "resamples": "--resamples"}  # fmt: skip


def add_fit(sub: argparse.ArgumentParser) -> None:
    sub.epilog = EPILOG
    sub.add_argument("file", metavar="FILE.csv", type=Path, help="a table of runs, see below")
    sub.add_argument("--error", metavar="COL", default="error", help="the column of errors (default %(default)s)")
    text = "the columns of sizes (default: every column of numbers but the error and the group)"
    sub.add_argument("--sizes", metavar="COL,COL", help=text)
    text = "what was measured together: a seed, a run, a curve; intervals draw groups (default: rows)"
    sub.add_argument("--group", metavar="COL", help=text)
    text = "the error of guessing: 1 - 1/C for C classes, ln(vocabulary) for nats a token (default: not known)"
    sub.add_argument("--chance", type=float, default=math.inf, help=text)
    far = sub.add_mutually_exclusive_group()
    text = "predict, and do not fit, this share of the points: those with the largest product of sizes"
    far.add_argument("--hold-out", type=float, metavar="FRACTION", help=text)
    text = "predict, and do not fit, the runs beyond a size; may be repeated"
    far.add_argument("--largest", action="append", metavar="COL>VALUE", help=text)
    text = "predict the error at these sizes; may be repeated (default: 2 and 10 times the largest)"
    sub.add_argument("--at", action="append", default=[], metavar="n=X,m=Y", help=text)
    text = "the sizes that this error needs; may be repeated"
    sub.add_argument("--target", type=float, action="append", default=[], metavar="E", help=text)
    sub.add_argument("--loss", choices=LOSSES, default=LOSSES[0], help="what is least (default %(default)s)")
    sub.add_argument("--no-constant", action="store_true", help="the law without C: errors fall to 0")
    text = "fits to data drawn anew, for intervals (default %(default)s)"
    sub.add_argument("--resamples", type=int, default=RESAMPLES, help=text)
    sub.add_argument("--force", action="store_true", help="fit errors that do not decrease, too")
    sub.add_argument("--plot", type=picture_file, metavar="PICTURE", help="draw the law, its cone and the points")
    sub.add_argument("--json", action="store_true", help="print JSON instead")
    sub.add_argument(
        "--seed", type=seed, default=0, help="of the draws: the same number, the same intervals (default %(default)s)"
    )
    add_device(sub)


@as_typed(**FIT_OPTIONS)
def run_fit(args: argparse.Namespace) -> int:
    require_writable(args.plot, args.file)
    table = read_table(args.file)
    asked = _question(args, table)
    with working("fitting"):
        points, left_out = points_of(asked, device_named(args.device))
        found = find(asked, points, _far(args, points))
    found.warnings[:0] = left_out
    if args.plot:
        from theory.scaling_laws.plot import law_figure

        save_figure(law_figure(found), args.plot)
    if args.json:
        out.file.write(json.dumps(as_json(found), indent=2, allow_nan=False) + "\n")
    else:
        _say(found, args)
    return 1 if found.worse_than_last else 0


def _question(args: argparse.Namespace, table: Table) -> Question:
    error = table.column(args.error, "--error")
    group = None if args.group is None else table.column(args.group, "--group")
    if args.sizes is not None:
        axes = tuple(table.column(name, "--sizes") for name in args.sizes.split(","))
    else:
        axes = tuple(name for name in table.numeric() if name not in (error, group))
    apart = len({*axes, error, group}) == len(axes) + 2
    if not axes or not apart or len(axes) > MOST_AXES:
        which = ", ".join(axes) or "no column"
        raise ValueError(f"`--sizes` must name 1 to {MOST_AXES} columns beside {error} and the group, got {which}")
    require_chance(args.chance)
    for target in args.target:
        if not require_positive("--target", target) < args.chance:
            raise ValueError(f"`--target` must be below --chance = {args.chance:g}, got {target:g}")
    return Question(
        table, error, axes, group, args.chance, args.loss, not args.no_constant,
        tuple(_sizes(text, axes) for text in args.at), tuple(args.target), args.resamples, args.seed, args.force,
    )  # fmt: skip


def _sizes(text: str, axes: tuple[str, ...]) -> tuple[float, ...]:
    """Of n=8192,m=256."""
    given = {}
    for part in text.split(","):
        name, _, value = part.partition("=")
        given[name.strip()] = _number("--at", value, text)
    if set(given) != set(axes) or len(text.split(",")) != len(axes):
        wanted = ",".join(f"{name}=…" for name in axes)
        raise ValueError(f"`--at` must be {wanted}, got {shown(text)}")
    return tuple(float(require_positive("--at", given[name])) for name in axes)


def _number(option: str, value: str, text: str) -> float:
    try:
        return float(value)
    except ValueError:
        raise ValueError(f"`{option}` must hold numbers, got {shown(text)}") from None


def _far(args: argparse.Namespace, points: Points) -> Tensor | None:
    """The points held out, by their sizes alone."""
    if args.hold_out is not None:
        return largest(points.sizes, args.hold_out)
    if not args.largest:
        return None
    far = torch.zeros(len(points), dtype=torch.bool, device=points.sizes.device)
    for text in args.largest:
        found = CONDITION.fullmatch(text)
        if found is None or found[1] not in points.axes:
            raise ValueError(
                f"`--largest` must be COL>VALUE with a size of {', '.join(points.axes)}, got {shown(text)}"
            )
        far |= points.sizes[:, points.axes.index(found[1])] > _number("--largest", found[2], text)
    if not bool(far.any()):
        raise ValueError(f"`--largest` must hold out a point, none is beyond {', '.join(args.largest)}")
    return far


# --- what is said ----------------------------------------------------------------------------------------


def _say(found: Findings, args: argparse.Namespace) -> None:
    asked, fit = found.question, found.fit
    what = f"{asked.error} of {escape(asked.table.name)} against {', '.join(asked.axes)}"
    print_line(f"{what}: {len(found.points):,} points fitted, loss {asked.loss}")
    print_line(_formula(found))
    printed = Printed("constant")
    for heading in ("value", "95 % interval"):
        printed.add_column(heading, justify="right")
    for name, (value, interval) in constants_of(found).items():
        printed.add_row(escape(name), f"{value:.4g}", _between(interval))
    floor = fit.floor() if len(fit.draws) else None
    printed.add_row("floor (the error at infinite sizes)", f"{fit.law.floor:.4g}", _between(floor))
    out.print(printed)
    off = fit.residuals
    print_line(f"fitted points: mean {100 * float(off.mean()):+.1f} %, mean|δ| {100 * float(off.abs().mean()):.1f} %")
    for name, deviation in found.held_out.items():
        print_line(f"{'held-out' if name == 'law' else f'held-out, {name}'}: {deviation}")
    if not found.held_out:
        print_line("held-out: nothing; --hold-out 0.25 shows how good predictions of larger runs are")
    for row in found.predictions:
        interval = None if row.low is None or row.high is None else (row.low, row.high)
        print_line(f"predicted {asked.error} at {named(asked.axes, row.sizes)}: {row.error:.4g} {_between(interval)}")
    for row in found.needed:
        _say_needed(row, found)
    for warning in found.warnings:
        print_line(f"warning: {warning}")
    if found.worse_than_last:
        print_line("the law predicted the held-out points worse than repeating their last value")
    if args.plot:
        print_line(f"drawn: {escape(str(args.plot))}")


def _formula(found: Findings) -> str:
    law, chance = found.fit.law, found.question.chance
    parts = zip(law.coefficients, found.question.axes, law.exponents, strict=True)
    terms = " + ".join(f"{a:.4g}·{name}^−{rate:.4g}" for a, name, rate in parts)
    u = f"{terms} + {law.constant:.4g}"
    return f"{found.question.error} = {u}" if math.isinf(chance) else f"error = {chance:.6g}·u/√(1 + u²), u = {u}"


def _say_needed(row: Needed, found: Findings) -> None:
    if row.why is not None:
        print_line(f"for {row.target:g}: {row.why}")
        return
    largest_of = dict(zip(found.question.axes, found.points.sizes.amax(0).tolist(), strict=True))
    for name, (size, interval) in row.alone.items():
        others = named(*zip(*((n, s) for n, s in largest_of.items() if n != name), strict=True)) if row.cheapest else ""
        beside = f" at {others}" if others else ""
        if math.isinf(size):
            print_line(f"for {row.target:g}: no {name} is enough{beside}, whose part of the error is above it")
        else:
            print_line(f"for {row.target:g}: {name} = {size:.6g} {_between(interval)}{beside}")
    if row.cheapest:
        sizes = ", ".join(f"{name} = {size:.6g} {_between(i)}" for name, (size, i) in row.cheapest.items())
        print_line(f"for {row.target:g}, the least product: {sizes}")


def _between(interval: tuple[float, float] | None) -> str:
    return "" if interval is None else escape(f"[{interval[0]:.4g}, {interval[1]:.4g}]")


def print_line(text: str) -> None:
    out.print(text, highlight=False, soft_wrap=True)


# --- nyquist ---------------------------------------------------------------------------------------------


def add_nyquist(sub: argparse.ArgumentParser) -> None:
    sub.add_argument(
        "--bandwidth", type=int, required=True, metavar="K", help="degree K of the trigonometric polynomials"
    )
    sub.add_argument(
        "--dimension", type=int, default=1, metavar="r", help="dimension r of the torus (default %(default)s)"
    )
    text = "numbers of samples to say the errors for (default: around D)"
    sub.add_argument("--samples", type=int, nargs="+", metavar="n", help=text)
    sub.add_argument(
        "--variance", type=float, default=1.0, help="variance of the noise of a sample (default %(default)s)"
    )


@as_typed(bandwidth="--bandwidth", dimension="--dimension", n="--samples", variance="--variance")
def run_nyquist(args: argparse.Namespace) -> int:
    require_int("--bandwidth", args.bandwidth, 0)
    needed = samples_needed(args.bandwidth, args.dimension)
    require_positive("--variance", args.variance, allow_zero=True)
    samples = args.samples or sorted(
        {n for n in (0, needed // 2, needed - 1, needed, needed + 1, 2 * needed) if n >= 0}
    )
    out.print(f"D = {needed} samples determine a function of bandwidth {args.bandwidth} on T^{args.dimension}")
    printed = Printed("samples", "worst case, ‖f‖ ≤ 1", "average on the sphere", f"noise of variance {args.variance:g}")
    for n in samples:
        average = bounds.average_error(n, args.bandwidth, args.dimension)
        noise = "-"
        if n >= needed:
            noise = f"{float(bounds.noise_error(n, args.bandwidth, args.dimension, variance=args.variance)):.6g}"
        worst = bounds.worst_case_error(n, args.bandwidth, args.dimension)
        printed.add_row(str(n), str(worst), f"{average} = {float(average):.6g}", noise)
    out.print(printed)
    return 0
