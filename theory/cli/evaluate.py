"""The verb eval: a stored model on a file of points, in one process or with all that torchrun started."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import torch
from rich.markup import escape

from constructions import MoMLP, TabulatedMoMLP, TrainedMoMLP
from constructions.distributed_momlp import ShardedMoMLP, evaluate_file
from constructions.errors import require_int
from constructions.expert_rows.answers import stream
from constructions.files import points_file, write_array, write_whole
from constructions.progress import silent, tracked
from constructions.ranks import DEFAULT_TIMEOUT, Ranks
from constructions.store import load
from theory.command import add_device, device_named, out, output_file, require_writable, working

MOST_ROWS = 2**62  # torch counts in int64


def add_eval(sub: argparse.ArgumentParser) -> None:
    sub.add_argument("file", type=Path, help="a stored model (.safetensors)")
    sub.add_argument("--points", type=Path, required=True, help="points (B, n), .npy")
    sub.add_argument("--out", type=output_file, required=True, help="where to write the outputs (B, m), .npy")
    sub.add_argument("--fast", action="store_true", help="from a table of the experts' values, within a printed slack")
    sub.add_argument("--lazy", action="store_true", help="read experts from the file when first needed")
    sub.add_argument(
        "--budget-bytes", type=int, help="bytes of weights in memory at most (implies --lazy; default: all)"
    )
    sub.add_argument("--batch", type=int, default=1 << 16, help="points at a time (of each rank)")
    add_device(sub)
    sub.add_argument("--timeout", type=float, default=DEFAULT_TIMEOUT, help="seconds to wait for a silent rank")
    sub.add_argument("--report", type=output_file, metavar="JSON", help="write what each rank holds and sent, as JSON")


def run_eval(args: argparse.Namespace) -> int:
    """One process reads the model whole or expert by expert; ranks hold a share of the experts each."""
    require_writable(args.out, args.file, args.points, args.report)
    require_writable(args.report, args.file, args.points)
    on_demand = args.lazy or args.budget_bytes is not None
    if args.fast and (on_demand or "RANK" in os.environ):
        raise ValueError(
            "`--fast` holds a table of all experts in one process: leave out --lazy, --budget-bytes and torchrun"
        )
    if args.fast or (args.report is None and "RANK" not in os.environ):
        return _alone(args, on_demand)
    if on_demand:
        raise ValueError("`--lazy` and `--budget-bytes` are for one process: ranks hold their share of the experts")
    return _together(args)


def _alone(args: argparse.Namespace, lazy: bool) -> int:
    device = device_named(args.device)
    model = load(args.file, lazy=lazy, budget_bytes=args.budget_bytes, device=device)
    if args.fast and isinstance(model, TrainedMoMLP):
        raise ValueError(f"`--fast` needs a model that was built for a function, {args.file} was trained on data")
    if args.fast and isinstance(model, MoMLP):
        model = model.tabulate()
    points = points_file(args.points, model.n, name="--points")
    x = torch.from_numpy(np.array(points, dtype=np.float64)).to(device)
    parts = x.split(require_int("--batch", args.batch, 1, MOST_ROWS))
    with torch.no_grad(), working("evaluating") as log:
        results = list(stream(model, tracked(parts, "evaluating", log)))
    y = torch.cat(results)
    write_array(args.out, y.cpu().numpy())
    ran = _what_ran(model)
    if args.report:
        whole = [{"rank": 0, "points": len(x), "resident_bytes": model.resident_bytes, **ran}]
        write_whole(args.report, lambda draft: draft.write_text(json.dumps(whole, indent=2)))
    table = isinstance(model, TabulatedMoMLP)
    how = f"a table of its experts, within {model.slack:.3g} of the network" if table else "the network"
    out.print(f"{len(x)} points evaluated by {how}, written to {escape(str(args.out))}", highlight=False)
    return 0


def _what_ran(model: MoMLP | TabulatedMoMLP | TrainedMoMLP) -> dict[str, str | float]:
    """What answered, and how far its answers may be from the network's."""
    if isinstance(model, TabulatedMoMLP):
        return {"ran": "table", "slack": model.slack}
    return {"ran": "network", "slack": 0.0}


def _together(args: argparse.Namespace) -> int:
    # torchrun ends the survivors of a lost rank with SIGTERM: let them clean up their drafts
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with Ranks.start(timeout=args.timeout, device=device_named(args.device)) as ranks:
        model = ShardedMoMLP.load(args.file, ranks)
        started = time.perf_counter()
        with working("evaluating") if ranks.leads else nullcontext(silent) as log:
            count = evaluate_file(model, args.points, args.out, batch=args.batch, log=log)
        seconds = time.perf_counter() - started
        reports = ranks.gathered(model.report(), "reporting")
        if ranks.leads:
            if args.report:
                reports = [r | _what_ran(model.model) for r in reports]
                write_whole(args.report, lambda draft: draft.write_text(json.dumps(reports, indent=2)))
            experts = [r["experts"] for r in reports]
            each = f"{min(experts)} to {max(experts)}" if min(experts) != max(experts) else f"{experts[0]}"
            said = f"{count} points evaluated by {ranks.world} ranks of {each} experts in {seconds:.2f} s"
            out.print(said, highlight=False)
            out.print(f"written to {escape(str(args.out))}", highlight=False)
    return 0
