"""The vocabulary of verdicts: `Claim`, `Verdict`, `Status`, `Evidence`, and the registry of claims.

A verdict's status may not outrun its evidence: PROVED needs EXACT or SYMBOLIC, CERTIFIED at least FLOAT64, samples
and fits give NOT_REFUTED at most, REFUTED needs a witness. `Verdict` enforces it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum, IntEnum
from typing import Any

import torch

Number = int | float | str | bool


class Status(Enum):
    PROVED = "PROVED"
    CERTIFIED = "CERTIFIED"
    NOT_REFUTED = "NOT REFUTED"
    REFUTED = "REFUTED"
    INCONCLUSIVE = "INCONCLUSIVE"
    OPEN = "OPEN"


class Evidence(IntEnum):
    """Ordered from weak to strong; a verdict's evidence is its weakest link (`min`)."""

    NONE = 0
    FITTED = 1
    SAMPLED = 2
    FLOAT64 = 3
    ENCLOSED = 4
    SYMBOLIC = 5
    EXACT = 6


STRENGTH_NEEDED = {
    Status.PROVED: Evidence.SYMBOLIC,
    Status.CERTIFIED: Evidence.FLOAT64,
    Status.NOT_REFUTED: Evidence.FITTED,
}


@dataclass(frozen=True)
class Verdict:
    """The outcome of one reproduction.

    `numbers` is flat: measured name -> value. `witness` re-checks a refutation. `seconds` and `device` are filled in
    by the runner. ValueError when the status claims more than the evidence allows.
    """

    status: Status
    evidence: Evidence
    reason: str
    numbers: Mapping[str, Number] = field(default_factory=dict)
    bounds: Mapping[str, Number] = field(default_factory=dict)
    witness: str | None = None
    seconds: float = 0.0
    device: str = "cpu"
    seed: int | None = None

    def __post_init__(self) -> None:
        needed = STRENGTH_NEEDED.get(self.status)
        if needed is not None and self.evidence < needed:
            raise ValueError(
                f"`status` {self.status.value} needs evidence of at least {needed.name}, got {self.evidence.name}"
            )
        if self.status is Status.REFUTED and not self.witness:
            raise ValueError("`status` REFUTED needs a witness that anyone can check again")


def undecided(reason: str, **numbers: Number) -> Verdict:
    """The verdict of a reproduction whose check failed without a witness against the claim itself."""
    return Verdict(Status.INCONCLUSIVE, Evidence.NONE, reason, numbers)


@dataclass(frozen=True)
class Context:
    """What a reproduction may use. `budget` is "quick" or "full"; `log` reports progress and may be called often."""

    budget: str = "quick"
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    seed: int = 0
    log: Callable[[str], None] = lambda message: None

    @property
    def full(self) -> bool:
        return self.budget == "full"

    def generator(self) -> torch.Generator:
        """A fresh CPU generator with the context's seed."""
        return torch.Generator().manual_seed(self.seed)


@dataclass(frozen=True)
class Claim:
    """A statement, where it comes from, and how it is reproduced.

    `id` is "system.name"; `statement` is LaTeX; `expected` is the status that `momlp verify` insists on.
    `reproduce` is None for a claim that nobody has decided here yet: it shows as OPEN.
    """

    id: str
    title: str
    statement: str
    source: str
    expected: Status
    hypotheses: tuple[str, ...] = ()
    reproduce: Callable[[Context], Verdict] | None = None

    @property
    def system(self) -> str:
        return self.id.split(".")[0]

    def verdict(self, context: Context) -> Verdict:
        if self.reproduce is None:
            return Verdict(Status.OPEN, Evidence.NONE, "no reproduction is implemented yet")
        return self.reproduce(context)


REGISTRY: dict[str, Claim] = {}


def register(claim: Claim) -> Claim:
    """Add a claim to the registry; ValueError for a duplicate or malformed id."""
    if claim.id in REGISTRY:
        raise ValueError(f"`id` must be new, {claim.id!r} is registered already")
    system, _, name = claim.id.partition(".")
    if not system.isidentifier() or not name.isidentifier():
        raise ValueError(f"`id` must look like system.name, got {claim.id!r}")
    REGISTRY[claim.id] = claim
    return claim


def claim(**fields: Any) -> Callable[[Callable[[Context], Verdict]], Claim]:
    """Decorator: register the decorated reproduction as a claim with these fields."""

    def wrap(reproduce: Callable[[Context], Verdict]) -> Claim:
        return register(Claim(**fields, reproduce=reproduce))

    return wrap


def select(patterns: list[str]) -> list[Claim]:
    """Claims whose id or system equals one of `patterns`, in registry order; all of them for []."""
    unknown = [p for p in patterns if not any(p in (c.id, c.system) for c in REGISTRY.values())]
    if unknown:
        raise ValueError(f"no claim or system named {', '.join(unknown)} (see `momlp list`)")
    return [c for c in REGISTRY.values() if not patterns or c.id in patterns or c.system in patterns]


def with_run(verdict: Verdict, seconds: float, device: str, seed: int) -> Verdict:
    """The verdict with what only the runner knows."""
    return replace(verdict, seconds=seconds, device=device, seed=seed)
