"""Run claims one after another; an error or Ctrl-C loses nothing that was decided before.

Main definitions: `run`, `Run`, `Row`.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

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
) -> Run:
    """Decide the claims in order. A reproduction that raises becomes INCONCLUSIVE with the error as its reason."""
    if not isinstance(context, Context):
        raise TypeError(f"`context` must be a Context, got {type(context).__name__}")
    try:
        claims = iter(claims)
    except TypeError as err:
        raise TypeError(f"`claims` must be claims one after another, got {type(claims).__name__}") from err
    result = Run(context)
    for claim in claims:
        if not isinstance(claim, Claim):
            raise TypeError(f"`claims` must be claims one after another, got {type(claim).__name__} among them")
        starting(claim)
        started = time.perf_counter()
        try:
            verdict = claim.verdict(context)
        except KeyboardInterrupt:
            result.interrupted = True
            break
        except Exception as err:
            place = traceback.extract_tb(err.__traceback__)[-1]
            reason = f"{type(err).__name__} in {place.name}: {err}"
            verdict = Verdict(Status.INCONCLUSIVE, Evidence.NONE, reason)
        seconds = time.perf_counter() - started
        row = Row(claim, with_run(verdict, seconds, str(context.device), context.seed))
        result.rows.append(row)
        finished(row)
    return result
