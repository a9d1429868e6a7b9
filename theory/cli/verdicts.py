"""The verb verify: claims, their verdicts, and the table of them."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import torch
from rich.markup import escape
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from constructions.errors import require_int
from constructions.files import require_folder
from constructions.ranks import Ranks
from theory import report
from theory.claim import Claim, Context
from theory.command import (
    add_device,
    add_patience,
    add_seed,
    device_named,
    err,
    interrupted,
    joined,
    out,
    output_file,
    require_writable,
)
from theory.junit import junit_text
from theory.systems import select
from theory.together import run_together
from theory.verify import Row, Run
from theory.workers import run_in_processes

MOST_JOBS = 256


def add_verify(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("claims", nargs="*", metavar="CLAIM", help="claim ids or systems (default: all)")
    add_device(sub, "auto")
    text = "quick: seconds a claim; full: as long as the published sizes take, minutes to hours"
    sub.add_argument("--budget", choices=("quick", "full"), default="quick", help=text)
    add_seed(sub)
    sub.add_argument("--numbers", action="store_true", help="also print every measured number")
    text = "claims decided at a time, each by a process of one thread (default: the cores)"
    sub.add_argument("--jobs", type=int, help=text)
    sub.add_argument(
        "--json", metavar="FILE", type=output_file, help="write the verdicts as JSON (- for standard output)"
    )
    text = "write the verdicts as JUnit XML, a test case a claim"
    sub.add_argument("--junit", metavar="FILE", type=output_file, help=text)
    sub.add_argument("--html", metavar="DIR", type=Path, help="write index.html and plots into this folder")
    add_patience(sub)


def run_verify(args: argparse.Namespace) -> int:
    chosen, device = select(args.claims), device_named(args.device)
    jobs = _jobs(args, device)
    if args.json != Path("-"):
        require_writable(args.json)
    require_writable(args.junit)
    if args.json is not None and args.junit is not None and args.json.absolute() == args.junit.absolute():
        raise ValueError(f"`--json` and `--junit` must name two files, got {args.json} for both")
    if args.html:
        for name in report.html_files(chosen):
            require_writable(require_folder(args.html) / name)
    with joined(args, device) as ranks:
        result = _decide(chosen, args, ranks, jobs)
        if result.lost:
            err.print(f"momlp: error: {escape(result.lost)}", highlight=False, soft_wrap=True)
        if ranks.leads:
            _show(result, chosen, args)
        if result.interrupted:
            if ranks.leads:
                err.print(f"interrupted after {len(result.rows)} of {len(chosen)} claims")
            return 1 if result.lost else 130
        # another rank's exit code would make torchrun end rank 0, which holds the whole table
        return 0 if result.as_expected or not ranks.leads else 1


def _jobs(args: argparse.Namespace, device: torch.device) -> int:
    """Claims at a time: as asked for, else one a core, and one alone on an accelerator, whose memory they share."""
    if args.jobs is not None:
        return require_int("--jobs", args.jobs, 1, MOST_JOBS)
    return len(os.sched_getaffinity(0)) if device.type == "cpu" and hasattr(os, "sched_getaffinity") else 1


def _decide(chosen: list[Claim], args: argparse.Namespace, ranks: Ranks, jobs: int) -> Run:
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

        if ranks.world == 1 and jobs > 1 and len(chosen) > 1:
            return run_in_processes(chosen, context, jobs, starting=starting, finished=finished, stopped=interrupted)
        return run_together(chosen, context, ranks, starting=starting, finished=finished, stopped=interrupted)


def _show(result: Run, chosen: list[Claim], args: argparse.Namespace) -> None:
    """Write and print what was asked for, files first: whoever reads what is printed may be gone."""
    if args.json and args.json != Path("-"):
        report.write_text(args.json, report.json_text(result))
        err.print(f"verdicts written to {escape(str(args.json))}")
    if args.junit:
        report.write_text(args.junit, junit_text(result, chosen))
        err.print(f"JUnit XML written to {escape(str(args.junit))}")
    if args.html:
        err.print(f"report written to {escape(str(report.write_html(result, args.html)))}")
    if args.json == Path("-"):
        sys.stdout.write(report.json_text(result) + "\n")
        return
    out.print(report.verdict_table(result))
    if args.numbers:
        out.print(report.numbers_table(result), *report.measured_tables(result))
