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
from theory import proofs, report
from theory.claim import Claim, Context, Status
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
    working,
)
from theory.junit import junit_text
from theory.systems import proofs as proofs_of
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
    text = (
        "write a proof file for every PROVED or CERTIFIED claim that has one into this folder, and re-decide them all"
    )
    sub.add_argument("--proofs", metavar="DIR", type=Path, help=text)
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
    if args.proofs:
        require_folder(args.proofs)
    with joined(args, device) as ranks:
        result = _decide(chosen, args, ranks, jobs)
        if result.lost:
            err.print(f"momlp: error: {escape(result.lost)}", highlight=False, soft_wrap=True)
        if ranks.leads:
            rechecked, failure = None, None
            try:
                if args.proofs and not result.interrupted:
                    rechecked = _proved_again(result, args.proofs)
            except KeyboardInterrupt:  # the verdicts stand, and took longer than their proofs
                result.interrupted = True
            except OSError as error:
                failure = error
            _show(result, chosen, args, rechecked)
            if failure is not None:
                raise failure
        if result.interrupted:
            if ranks.leads:
                err.print(f"interrupted after {len(result.rows)} of {len(chosen)} claims")
            return 1 if result.lost else 130
        # another rank's exit code would make torchrun end rank 0, which holds the whole table
        if not ranks.leads:
            return 0
        return 0 if result.as_expected and (rechecked is None or False not in rechecked.values()) else 1


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


def _proved_again(result: Run, folder: Path) -> dict[str, bool | None]:
    """Claim -> whether the checker, in a process of its own, proves all its files; None for a claim without any."""
    written: dict[str, list[Path]] = {}
    with working("writing proofs") as log:
        for row in result.rows:
            produce = proofs_of(row.claim.id)
            if produce is not None and row.verdict.status in (Status.PROVED, Status.CERTIFIED):
                log(row.claim.id)
                try:
                    made = produce(result.context, folder)
                except Exception as error:  # a claim without its files is one that was not re-checked
                    err.print(f"no proof of {row.claim.id}: {escape(str(error))}", highlight=False, soft_wrap=True)
                    written[row.claim.id] = []
                    continue
                written[row.claim.id] = proofs.write_claim(folder, row.claim.id, made)
        files = [path for paths in written.values() for path in paths]
        log(f"re-deciding {len(files)} files")
        proved = proofs.rechecked(files) if files else {}
    for path, good in proved.items():
        if not good:
            err.print(f"not proved: {escape(path)}", highlight=False, soft_wrap=True)
    answers: dict[str, bool | None] = dict.fromkeys(row.claim.id for row in result.rows)
    return answers | {
        claim: bool(paths) and all(proved[str(path)] for path in paths) for claim, paths in written.items()
    }


def _show(result: Run, chosen: list[Claim], args: argparse.Namespace, rechecked: dict[str, bool | None] | None) -> None:
    """Write and print what was asked for, files first: whoever reads what is printed may be gone."""
    if args.json and args.json != Path("-"):
        report.write_text(args.json, report.json_text(result, rechecked))
        err.print(f"verdicts written to {escape(str(args.json))}")
    if args.junit:
        report.write_text(args.junit, junit_text(result, chosen))
        err.print(f"JUnit XML written to {escape(str(args.junit))}")
    if args.html:
        err.print(f"report written to {escape(str(report.write_html(result, args.html)))}")
    if args.json == Path("-"):
        sys.stdout.write(report.json_text(result, rechecked) + "\n")
        return
    out.print(report.verdict_table(result, rechecked))
    if rechecked is not None:
        out.print(report.share_of_proofs(result, rechecked), highlight=False)
    if args.numbers:
        out.print(report.numbers_table(result), *report.measured_tables(result))
