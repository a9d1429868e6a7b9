"""The verb export: a stored model as an ONNX file or a program of torch.export, held to the model right away."""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from rich.markup import escape
from rich.table import Table

from constructions.errors import require_int
from constructions.export import export_onnx, export_pt2
from constructions.onnx_graph import onnx_package
from constructions.store import load
from theory.checkers.export_agreement import MOST_POINTS, Agreement, onnx_agrees, pt2_agrees
from theory.command import add_seed, out, output_file, require_writable, working


def add_export(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("file", metavar="FILE", type=Path, help="a stored model (.safetensors)")
    sub.add_argument("--onnx", type=output_file, metavar="FILE", help="write ONNX (extra onnx)")
    sub.add_argument("--pt2", type=output_file, metavar="FILE", help="write a program for torch.export.load")
    sub.add_argument("--fast", action="store_true", help="export the table of the experts' values, not the network")
    sub.add_argument(
        "--count",
        type=int,
        default=4096,
        help="random points, and as many on faces, to compare at (default %(default)d)",
    )
    add_seed(sub, "these points")


def run_export(args: argparse.Namespace) -> int:
    """Write what is asked for and compare it with the model: exit code 1 where they differ."""
    if args.onnx is None and args.pt2 is None:
        raise ValueError("`--onnx` FILE or `--pt2` FILE says what to write, got neither")
    require_int("--count", args.count, 1, MOST_POINTS)
    require_writable(args.onnx, args.file, args.pt2)
    require_writable(args.pt2, args.file, args.onnx)
    if args.onnx is not None:
        onnx_package("onnx")
        onnx_package("onnxruntime")
    model = load(args.file)
    if args.fast and hasattr(model, "tabulate"):
        model = model.tabulate()  # pyright: ignore[reportAttributeAccessIssue]
    elif args.fast:
        raise ValueError(f"`--fast` needs a model that was built for a function, {args.file} was trained on data")
    code = 0
    for path, write, agrees in ((args.onnx, export_onnx, onnx_agrees), (args.pt2, export_pt2, pt2_agrees)):
        if path is not None:
            with working(f"exporting to {path}"), torch.no_grad():
                write(model, path)
                report = agrees(path, model, count=args.count, seed=args.seed)
            _print(path, report)
            code = code if report.holds else 1
    return code


def _print(path: Path, report: Agreement) -> None:
    title = f"{path}: {'agrees with the model' if report.holds else 'DIFFERS from the model'}"
    table = Table("quantity", "value", title=escape(title), title_justify="left")
    for name, value in (
        ("bytes", str(path.stat().st_size)),
        ("points compared", str(report.points)),
        ("experts visited", f"{report.experts} of {report.leaves}"),
        ("same numbers at", f"{report.equal} points"),
        ("largest difference", f"{report.largest:.3g}"),
        ("derived bound, largest", f"{report.bound:.3g}"),
        *((("failure", report.failure),) if report.failure else ()),
    ):
        table.add_row(name, escape(value))
    out.print(table)
