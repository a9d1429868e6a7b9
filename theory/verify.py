"""Run claims one after another; an error or Ctrl-C loses nothing that was decided before.

Main definitions: `run`, `decided`, `Run`, `Row`.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from theory.claim import Claim, Context, Evidence, Status, Verdict, with_run


@dataclass(frozen=True)
class Row:
    claim: Claim
    verdict: Verdict

    @property
    def as_expected(self) -> bool:
        return self.verdict.status is self.claim.expected


@dataclass
class Run:
    """The rows decided so far; `interrupted` after Ctrl-C, or when a rank was `lost` (the message says which)."""

    context: Context
    rows: list[Row] = field(default_factory=list)
    interrupted: bool = False
    lost: str | None = None

    @property
    def as_expected(self) -> bool:
        return not self.interrupted and all(row.as_expected for row in self.rows)


def run(
    claims: Iterable[Claim],
    context: Context,
    *,
    starting: Callable[[Claim], None] = lambda claim: None,
    finished: Callable[[Row], None] = lambda row: None,
    stopped: Callable[[], bool] = lambda: False,
) -> Run:
    """Decide the claims in order. A reproduction that raises becomes INCONCLUSIVE with the error as its reason.

    Where `stopped` says afterwards that somebody asked to stop, an interruption was lost in a claim: it has no verdict.
    """
    result = Run(_required(context))
    for claim in _each(claims):
        try:
            starting(claim)
            row = decided(claim, context)
            if stopped():
                raise KeyboardInterrupt
            result.rows.append(row)
            finished(row)
        except KeyboardInterrupt:
            result.interrupted = True
            break
    return result


def decided(claim: Claim, context: Context) -> Row:
    """The claim with its verdict, and what only the runner knows: seconds, device and seed."""
    started = time.perf_counter()
    try:
        verdict = claim.verdict(context)
    except Exception as err:
        place = traceback.extract_tb(err.__traceback__)[-1]
        reason = f"{type(err).__name__} in {place.name}: {err}"
        verdict = Verdict(Status.INCONCLUSIVE, Evidence.NONE, reason)
    claim = claim.within(context.budget)
    return Row(claim, with_run(verdict, time.perf_counter() - started, str(context.device), context.seed))


def _required(context: Any) -> Context:
    if not isinstance(context, Context):
        raise TypeError(f"`context` must be a Context, got {type(context).__name__}")
    return context


def _each(claims: Any) -> Iterator[Claim]:
    try:
        claims = iter(claims)
    except TypeError as err:
        raise TypeError(f"`claims` must be claims one after another, got {type(claims).__name__}") from err
    for claim in claims:
        if not isinstance(claim, Claim):
            raise TypeError(f"`claims` must be claims one after another, got {type(claim).__name__} among them")
        yield claim
