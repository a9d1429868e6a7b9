"""The verb verify: claims, their verdicts, and the table of them."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rich.markup import escape
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from constructions.files import require_folder
from constructions.ranks import Ranks
from theory import report
from theory.claim import Claim, Context
from theory.command import add_patience, device_named, err, joined, out, output_file, require_writable, seed
from theory.systems import select
from theory.together import run_together
from theory.verify import Row, Run


def add_verify(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("claims", nargs="*", metavar="CLAIM", help="claim ids or systems (default: all)")
    sub.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    sub.add_argument("--budget", choices=("quick", "full"), default="quick")
    sub.add_argument("--seed", type=seed, default=0)
    sub.add_argument("--numbers", action="store_true", help="also print every measured number")
    sub.add_argument(
        "--json", metavar="FILE", type=output_file, help="write the verdicts as JSON (- for standard output)"
    )
    sub.add_argument("--html", metavar="DIR", type=Path, help="write index.html and plots")
    add_patience(sub)


def run_verify(args: argparse.Namespace) -> int:
    chosen = select(args.claims)
    if args.json != Path("-"):
        require_writable(args.json)
    if args.html:
        for name in report.html_files(chosen):
            require_writable(require_folder(args.html) / name)
    device = device_named(args.device)
    with joined(args, device) as ranks:
        result = _decide(chosen, args, ranks)
        if result.lost:
            err.print(f"momlp: error: {escape(result.lost)}", highlight=False, soft_wrap=True)
        if ranks.leads:
            _show(result, args)
        if result.interrupted:
            if ranks.leads:
                err.print(f"interrupted after {len(result.rows)} of {len(chosen)} claims")
            return 1 if result.lost else 130
        # another rank's exit code would make torchrun end rank 0, which holds the whole table
        return 0 if result.as_expected or not ranks.leads else 1


def _decide(chosen: list[Claim], args: argparse.Namespace, ranks: Ranks) -> Run:
    progress = Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        TimeElapsedColumn(),
        console=err,
        transient=True,
        disable=not ranks.leads,
    )
    with progress:
        task = progress.add_task("starting")
        context = Context(
            budget=args.budget,
            device=ranks.device,
            seed=args.seed,
            log=lambda message: progress.update(task, description=escape(f"{current[0]}: {message}")),
        )
        current = [""]

        def starting(claim: Claim) -> None:
            current[0] = claim.id
            progress.update(task, description=claim.id)

        def finished(row: Row) -> None:
            mark = "" if row.as_expected else f" (expected {row.claim.expected.value})"
            place = f" (rank {ranks.rank})" if ranks.world > 1 else ""
            err.print(f"{row.verdict.status.value:<12} {row.claim.id}{mark}{place}", highlight=False)

        return run_together(chosen, context, ranks, starting=starting, finished=finished)


def _show(result: Run, args: argparse.Namespace) -> None:
    """Write and print what was asked for, files first: whoever reads what is printed may be gone."""
    if args.json and args.json != Path("-"):
        report.write_text(args.json, report.json_text(result))
        err.print(f"verdicts written to {escape(str(args.json))}")
    if args.html:
        err.print(f"report written to {escape(str(report.write_html(result, args.html)))}")
    if args.json == Path("-"):
        sys.stdout.write(report.json_text(result) + "\n")
        return
    out.print(report.verdict_table(result))
    if args.numbers:
        out.print(report.numbers_table(result))
