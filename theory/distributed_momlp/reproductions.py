"""Mixtures over many processes, and within a byte budget: the same answers, and the costs that were planned."""

from __future__ import annotations

import json
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from constructions import build_momlp, load, save, targets
from constructions.distributed_momlp import plan_devices, simulated_traffic
from constructions.expert_rows.answers import stream
from constructions.momlp.model import MoMLP
from theory.checkers.resident_memory import peak_resident_bytes, resident_bytes_le
from theory.claim import Context, Evidence, Number, Status, Table, Verdict, ensure
from theory.torchrun import torchrun

N, EPS = 3, 0.03
BUDGETED = (0.006, 3_000)
"""(eps, queries) of the model within a budget."""
BATCH = 256
TIMES_SMALLER = 60


def evaluate_by_torchrun(folder: Path, x: Tensor, processes: int, *, batch: int) -> tuple[np.ndarray, list[dict]]:
    """Outputs (B, m) and the ranks' reports for the model stored as `folder`/model.safetensors."""
    points, out, report = folder / "x.npy", folder / "y.npy", folder / "report.json"
    np.save(points, x.numpy())
    arguments = [folder / "model.safetensors", "--points", points, "--out", out, "--report", report, "--batch", batch]
    torchrun(processes, "theory", "eval", *arguments, check=True)
    return np.load(out), json.loads(report.read_text())


def _stored(folder: Path) -> MoMLP:
    model = build_momlp(targets.get("sum_of_sines", n=N), eps=EPS)
    save(model, folder / "model.safetensors")
    return model


def same_outputs(context: Context) -> Verdict:
    """Files written by torchrun against the model in this process, compared bit by bit."""
    worlds, count = ((2, 4), 1_000_000) if context.full else ((2,), 100_000)
    x = torch.rand(count, N, generator=context.generator(), dtype=torch.float64)
    loads = {"spread": x, "one_expert": x * 1e-3}
    numbers: dict[str, Number] = {"points": 0}
    busiest = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = _stored(folder)
        numbers["experts"] = model.num_leaves
        for world in worlds:
            for kind, points in loads.items():
                context.log(f"{world} processes, {kind}, {count} points")
                found, reports = evaluate_by_torchrun(folder, points, world, batch=1 << 16)
                expected = model(points).numpy()
                wrong = (found != expected).any(-1)
                numbers["points"] = int(numbers["points"]) + count
                busiest.append((world, kind, count, int(simulated_traffic(model, points, world).sum(0).max())))
                if wrong.any():
                    row = int(wrong.argmax())
                    witness = f"{world} ranks, x = {points[row].tolist()}: {found[row]} is not {expected[row]}"
                    return Verdict(Status.REFUTED, Evidence.EXACT, witness, numbers, witness=witness)
                owned = sum(r["experts"] for r in reports)
                ensure(owned == model.num_leaves, "the ranks do not own every expert once", **numbers)
    reason = f"{numbers['points']} outputs equal bit by bit, {' and '.join(map(str, worlds))} processes"
    tables = {"loads": Table(("processes", "load", "points", "of_the_busiest"), tuple(busiest))}
    return Verdict(Status.NOT_REFUTED, Evidence.SAMPLED, reason, numbers, tables=tables)


def device_plan(context: Context) -> Verdict:
    """Experts, bytes held, messages and bytes sent, rank by rank, by equality."""
    x = torch.rand(3000, N, generator=context.generator(), dtype=torch.float64)
    numbers: dict[str, Number] = {"equalities": 0}
    rows = []
    worlds = (2, 3, 4) if context.full else (3,)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = _stored(folder)
        for world in worlds:
            context.log(f"{world} processes")
            plan = plan_devices(N, EPS, model.plan.modulus.lam, device_bytes=1 << 30, devices=world, batch=len(x))
            _, reports = evaluate_by_torchrun(folder, x, world, batch=len(x))
            traffic = simulated_traffic(model, x, world)
            kept = traffic.diagonal()
            sent, answered = (traffic.sum(1) - kept).tolist(), (traffic.sum(0) - kept).tolist()
            pairs = [(plan.leaves, sum(r["experts"] for r in reports))]
            pairs += [(plan.experts, max(r["experts"] for r in reports))]
            pairs += [(plan.bytes, max(r["resident_bytes"] for r in reports))]
            for r, out, back in zip(reports, sent, answered, strict=True):
                pairs += [(plan.messages, r["forward_messages"]), (plan.sent_bytes(out, back), r["forward_bytes"])]
            rows.append((world, plan.bytes, sum(r["forward_bytes"] for r in reports)))
            numbers["equalities"] = int(numbers["equalities"]) + len(pairs)
            wrong = [p for p in pairs if p[0] != p[1]]
            if wrong:
                witness = f"{world} ranks: planned {wrong[0][0]}, measured {wrong[0][1]}"
                return Verdict(Status.REFUTED, Evidence.EXACT, witness, numbers, witness=witness)
    reason = f"{numbers['equalities']} counts of {', '.join(map(str, worlds))} processes equal the plan"
    tables = {"plans": Table(("processes", "bytes_held", "bytes_sent"), tuple(rows))}
    return Verdict(Status.NOT_REFUTED, Evidence.SAMPLED, reason, numbers, tables=tables)


def memory_budget(context: Context) -> Verdict:
    """Peak bytes of all tensors alive while a stored model answers half clustered, half spread queries."""
    eps, count = (0.004, 20_000) if context.full else BUDGETED
    with tempfile.TemporaryDirectory() as name:
        model = build_momlp(targets.get("sum_of_sines", n=N), eps=eps)
        path = save(model, Path(name) / "model.safetensors")
        x = torch.rand(count, N, generator=context.generator(), dtype=torch.float64)
        x[::2, :2] *= 0.1
        whole = sum(p.nbytes for p in model.parameters())
        budget = whole // TIMES_SMALLER
        lazy: Any = load(path, lazy=True, budget_bytes=budget, device=context.device)
        x_there = x.to(context.device)
        context.log(f"{count} queries within {budget} of {whole} bytes")
        parts, peak = peak_resident_bytes(
            lambda: stream(lazy, x_there.split(BATCH)), device=context.device, ignored=[x_there]
        )
        found, expected = torch.cat(parts), model.to(context.device)(x_there).cpu()
        statistics = lazy.statistics
    verdict = resident_bytes_le(peak, budget, whole)
    more = {"queries": count, "hit_rate": statistics.hit_rate, "prefetched": statistics.prefetched}
    verdict = replace(verdict, numbers={**verdict.numbers, **more})
    wrong = (found != expected).any(-1)
    if wrong.any():
        row = int(wrong.int().argmax())
        witness = f"x = {x[row].tolist()}: {found[row].tolist()} within the budget, {expected[row].tolist()} without"
        return Verdict(Status.REFUTED, Evidence.EXACT, witness, verdict.numbers, verdict.bounds, witness=witness)
    return verdict
