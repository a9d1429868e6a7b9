"""Trained MoMLPs: "superior performance compared to larger centralised benchmarks", one verdict a task."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import torch

from constructions.trained_momlp import prepare
from constructions.trained_momlp.training import Options, bytes_per_expert, train_bank
from theory.checkers.resident_memory import MemoryMeter, resident_bytes_le
from theory.claim import Context, Evidence, Number, Status, Table, Verdict, ensure, undecided
from theory.trained_momlp.experiments import TASKS, compare

BUDGETED = (24, 20)
"""(experts, steps) of the bank within a budget."""
OPTIONS = Options(batch_size=128, evaluate_every=30, patience=20)


@dataclass(frozen=True)
class Protocol:
    """How long and how often a task is trained; `rates` are learning rates to choose from on the validation rows."""

    seeds: int
    steps: int
    rates: tuple[float, ...]


# longer where the central MLP is far from converged after 600 steps and the verdict another one then; more seeds
# where splits make more noise
QUICK = dict.fromkeys(TASKS, Protocol(12, 600, (1e-2,))) | {
    "franke": Protocol(12, 1200, (1e-2,)),
    "two_spirals": Protocol(12, 2000, (2e-2,)),
    "digits": Protocol(20, 400, (1e-2,)),
    "breast_cancer": Protocol(20, 600, (1e-2,)),
}
FULL = dict.fromkeys(TASKS, Protocol(20, 3000, (3e-3, 1e-2))) | {"friedman": Protocol(60, 3000, (3e-3, 1e-2))}

SHORT = Protocol(12, 600, (1e-2,))


def performance(name: str, context: Context, protocol: Protocol | None = None) -> Verdict:
    """Paired test errors of the mixture and of a central MLP with more parameters, on shared splits."""
    protocol = protocol or (FULL if context.full else QUICK)[name]
    seeds, options = protocol.seeds, replace(OPTIONS, steps=protocol.steps)
    found = compare(
        TASKS[name], seeds=seeds, options=options, rates=protocol.rates, log=context.log, device=context.device
    )
    numbers: dict[str, Number] = {"seeds": seeds, "steps": protocol.steps}
    errors = {name: float(each.mean()) for name, each in found.errors.items()}
    rows = tuple((name, error, found.total[name], found.active[name]) for name, error in errors.items())
    gaps = tuple((peer, *found.difference(peer)) for peer in ("central", "active"))
    tables = {
        "methods": Table(("method", "error", "parameters", "active_parameters"), rows),
        "differences": Table(("peer", "mean", "lower", "upper"), gaps),
    }
    ensure(found.total["central"] >= found.total["momlp"], "the central MLP is not larger", **numbers, **tables)
    _, mean, low, high = gaps[0]
    reason = f"error − central error = {mean:.4f}, 95 % interval [{low:.4f}, {high:.4f}], {seeds} paired seeds"
    if high < 0:
        return Verdict(Status.NOT_REFUTED, Evidence.SAMPLED, reason, numbers, tables=tables)
    if low > 0:
        budget = "full" if context.full else "quick"
        witness = f"momlp verify trained_momlp.{name} --budget {budget} --numbers: {reason}"
        return Verdict(Status.REFUTED, Evidence.SAMPLED, reason, numbers, witness=witness, tables=tables)
    return undecided(reason, **numbers, **tables)


weierstrass = partial(performance, "weierstrass")
checkerboard = partial(performance, "checkerboard")
sum_of_sines = partial(performance, "sum_of_sines")
max_affine = partial(performance, "max_affine")
franke = partial(performance, "franke")
friedman = partial(performance, "friedman")
two_spirals = partial(performance, "two_spirals")
digits = partial(performance, "digits")
breast_cancer = partial(performance, "breast_cancer")


def two_spirals_short(context: Context) -> Verdict:
    """The verdict of two spirals turns around with the length of the training."""
    return performance("two_spirals", context, replace(SHORT, seeds=20) if context.full else SHORT)


def budgeted_training(context: Context) -> Verdict:
    """The same bank trained at once and in groups, weights compared bit by bit, live tensors counted throughout."""
    leaves, steps = (60, 60) if context.full else BUDGETED
    data = TASKS["max_affine"].split(context.seed)
    options = Options(steps=steps, batch_size=64, evaluate_every=10)

    def trained(share: int | None) -> tuple[torch.Tensor, int, int, int]:
        """(rows, groups, peak, budget) with a budget of `share` experts."""
        ready = prepare(data.x, data.y, leaves=leaves, expert_hidden=(32, 32), generator=context.generator())
        problem, first = ready.problem, ready.initial
        budget = None if share is None else share * bytes_per_expert(problem, ready.widths, options)
        host = [problem.z, problem.y, first, problem.centre, problem.scale]
        host += [t for g in (problem.train, problem.validation) for t in (g.rows, g.start)]
        context.log(f"{leaves} experts, budget {budget} bytes")
        with MemoryMeter(host, device=context.device) as meter:
            found = train_bank(problem, first, ready.widths, options, budget_bytes=budget, device=context.device)
        return found.rows.clone(), found.groups, meter.peak, budget or 0

    joint, _, whole, _ = trained(None)
    numbers: dict[str, Number] = {"experts": leaves, "steps": steps, "peak_joint": whole}
    runs: list[tuple[Number, ...]] = [(leaves, 1, "none", whole)]
    for share in (1, 8):
        rows, groups, peak, budget = trained(share)
        runs.append((share, groups, budget, peak))
        if not torch.equal(rows, joint):
            expert = int((rows != joint).any(-1).int().argmax())
            witness = f"seed {context.seed}, {groups} groups: expert {expert} differs from the joint run"
            return Verdict(Status.REFUTED, Evidence.EXACT, witness, numbers, witness=witness)
        verdict = resident_bytes_le(peak, budget, whole)
        if verdict.status is Status.REFUTED:
            return verdict
    groups, peaks = (", ".join(str(run[i]) for run in runs) for i in (1, 3))
    reason = f"{leaves} experts equal bit by bit in {groups} groups; peaks {peaks} bytes"
    tables = {"runs": Table(("experts_at_once", "groups", "budget", "peak"), tuple(runs))}
    return Verdict(Status.NOT_REFUTED, Evidence.SAMPLED, reason, numbers, tables=tables)
