"""Certificates and verdicts by many processes: boxes and claims are dealt to the ranks, results are put together.

Main definitions: `certify_together`, `combined`, `run_together`.
Main statement: each rank bounds its own part of the domain, so the largest lower and the largest upper end of the
parts hold for the whole; slack is the largest, evidence the weakest of the parts.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, fields, replace
from typing import Any

from torch import nn

from constructions.errors import RankFailed, RankLost, shown
from constructions.functions.lipschitz_function import LipschitzFunction
from constructions.ranks import Ranks
from theory.checkers.uniform_error.certificate import Premise, UniformErrorCertificate
from theory.checkers.uniform_error.certify import certify_uniform_error
from theory.checkers.uniform_error.share import Share
from theory.claim import Claim, Context, Evidence, Status, Table, Verdict
from theory.verify import Row, Run, run

# --- one certificate by many ranks ----------------------------------------------------------------------


def certify_together(model: nn.Module, f: LipschitzFunction, ranks: Ranks, **options: Any) -> UniformErrorCertificate:
    """`certify_uniform_error(model, f, **options)` with its boxes shared by all ranks; the same answer on every rank.

    To be called by all ranks with the same arguments. Leaves are dealt out, or boxes where there are fewer leaves than
    ranks (method "branch_and_bound"; the other methods then repeat the work). `max_evaluations` counts for each rank.
    An error on one rank is raised there and is `RankFailed` on the others; `RankLost` when a rank is gone.
    """
    started = time.perf_counter()
    meeting = _Meeting(ranks)
    found, error = None, None
    try:
        share = Share(ranks.rank, ranks.world, meeting.highest)
        found = certify_uniform_error(model, f, share=share, **options)
    except Exception as err:
        error = err
    meeting.close(error)
    parts = ranks.gathered(found, "putting certificates together")
    return replace(combined(parts), seconds=time.perf_counter() - started)


class _Meeting:
    """One exchange of lower ends that every rank takes part in, whether its search came that far or not."""

    def __init__(self, ranks: Ranks):
        self.ranks, self.held = ranks, False

    def highest(self, lower: float, error: Exception | None = None) -> float:
        self.held = True
        stage = "comparing lower ends"
        self.ranks.wait_for_all(stage)
        found = self.ranks.gathered((lower, error is not None), stage)
        failed = [rank for rank, (_, wrong) in enumerate(found) if wrong]
        if failed and error is None:
            raise RankFailed(f"rank {self.ranks.rank} stops: rank {failed[0]} failed while certifying, see its message")
        return max(value for value, _ in found)

    def close(self, error: Exception | None) -> None:
        """Raise this rank's error, or `RankFailed` when another has one."""
        if isinstance(error, RankLost):
            raise error
        if not self.held:
            try:
                self.highest(0.0, error)
            except RankFailed as told:
                error = told
        self.ranks.wait_for_all("certifying")
        self.ranks.agree(error, "certifying")


def combined(parts: Sequence[UniformErrorCertificate]) -> UniformErrorCertificate:
    """The certificate of a whole from those of its parts; it does not stand when some of its experts are in no part."""
    if not parts or not all(isinstance(c, UniformErrorCertificate) for c in parts):
        raise ValueError(f"`parts` must be certificates of all parts, got {shown(parts)}")
    if len({(c.about, c.method, c.eps) for c in parts}) > 1:
        raise ValueError("`parts` must answer one question: their models, functions, methods or eps differ")
    best = max(parts, key=lambda c: c.lower)
    shared = [p for p in best.premises if all(p in c.premises for c in parts)]
    own = [replace(p, name=f"{p.name}, rank {r}") for r, c in enumerate(parts) for p in c.premises if p not in shared]
    evidence, read = min(c.evidence for c in parts), sum(c.leaves_checked for c in parts)
    missing = {(rank, best.part[1]) for rank in range(best.part[1])} ^ {c.part for c in parts}
    if evidence > Evidence.SAMPLED and (missing or len(parts) != best.part[1] or read < best.leaves):
        detail = f"they are {sorted(c.part for c in parts)} as (rank, world) and read {read} of {best.leaves} experts"
        own.append(Premise("the parts make a whole", False, detail))
    upper = max(c.upper for c in parts)
    if not best.lower <= upper:
        own.append(Premise("the ends agree", False, f"{best.lower:.9g} is above {upper:.9g}"))
    return replace(
        best,
        upper=upper,
        evidence=evidence,
        premises=(*shared, *own),
        slack=max(c.slack for c in parts),
        evaluations=sum(c.evaluations for c in parts),
        leaves_checked=min(best.leaves, read),
        seconds=max(c.seconds for c in parts),
        part=(0, 1),
    )


# --- many claims by many ranks --------------------------------------------------------------------------


def run_together(
    claims: list[Claim],
    context: Context,
    ranks: Ranks,
    *,
    starting: Callable[[Claim], None] = lambda claim: None,
    finished: Callable[[Row], None] = lambda row: None,
    stopped: Callable[[], bool] = lambda: False,
) -> Run:
    """`theory.verify.run` with claims dealt to the ranks as they become free. To be called by all ranks.

    Rank 0 gets all rows, in the order of the claims; the others get their own. When a rank is lost, or after Ctrl-C,
    the rows that were decided before are there and `interrupted` is True.
    """
    if ranks.world == 1:
        return run(claims, context, starting=starting, finished=finished, stopped=stopped)

    reached: list[Row] = []

    def decided(row: Row) -> None:
        reached.append(row)
        ranks.publish(_key(row.claim), _written(row.verdict))
        finished(row)

    try:
        own = run(_queue(claims, ranks), context, starting=starting, finished=decided, stopped=stopped)
        if not own.interrupted:
            ranks.wait_for_all("deciding claims")
    except (RankLost, KeyboardInterrupt) as err:
        own = Run(context, reached, interrupted=True, lost=str(err) or None)
    if not ranks.leads:
        return own
    try:
        own.rows = _decided(claims, context, ranks)
    except RankLost as err:  # the store is gone: what this rank decided itself is still here
        own.interrupted, own.lost = True, own.lost or str(err)
    own.interrupted |= len(own.rows) < len(claims)
    return own


def _queue(claims: list[Claim], ranks: Ranks) -> Iterator[Claim]:
    """The next claim that no rank has taken, until there is none."""
    while (index := ranks.take("claims")) < len(claims):
        yield claims[index]


def _key(claim: Claim) -> str:
    return f"verdict of {claim.id}"


def _decided(claims: list[Claim], context: Context, ranks: Ranks) -> list[Row]:
    found = ((c, ranks.published(_key(c))) for c in claims)
    return [Row(c.within(context.budget), _read(text)) for c, text in found if text is not None]


def _written(verdict: Verdict) -> str:
    """JSON that gives back every number as it is: integers of any length, floats by their shortest digits, inf."""
    words = {f.name: getattr(verdict, f.name) for f in fields(verdict)}
    words |= {"status": verdict.status.name, "evidence": verdict.evidence.name}
    words |= {name: dict(words[name]) for name in ("numbers", "bounds")}
    return json.dumps(words | {"tables": {name: asdict(table) for name, table in verdict.tables.items()}})


def _read(text: str) -> Verdict:
    words = json.loads(text)
    words |= {"status": Status[words["status"]], "evidence": Evidence[words["evidence"]]}
    words["tables"] = {
        name: Table(tuple(table["columns"]), tuple(map(tuple, table["rows"])))
        for name, table in words["tables"].items()
    }
    return Verdict(**words)
