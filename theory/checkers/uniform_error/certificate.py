"""`UniformErrorCertificate`: an interval for sup |f − f̂| with everything that stands behind it."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from constructions.display import Displayed, Facts, number
from theory.claim import Evidence, Status

if TYPE_CHECKING:
    from torch import nn

    from constructions.functions.lipschitz_function import LipschitzFunction


@dataclass(frozen=True)
class Premise:
    """Something the interval rests on; `holds` is False when a check of it failed."""

    name: str
    holds: bool
    detail: str

    def __str__(self) -> str:
        return f"{self.name}: {self.detail}" + ("" if self.holds else " (FAILS)")


@dataclass(frozen=True, repr=False)
class UniformErrorCertificate(Displayed):
    """lower ≤ sup over the domain and outputs of |f − f̂| ≤ upper.

    `witness` is a point with |f − f̂| ≥ lower; `slack` is the rounding allowance inside both ends; `evaluations` counts
    points of f; `leaves_checked` of `leaves` experts were looked at; `part` is (rank, world) of a shared search, and
    `about` a digest of the model's numbers, f's domain and values: what parts must have in common. The interval is
    void unless all premises hold.
    """

    method: str
    lower: float
    upper: float
    witness: tuple[float, ...] | None
    evidence: Evidence
    premises: tuple[Premise, ...]
    slack: float
    evaluations: int
    eps: float | None = None
    leaves: int = 1
    leaves_checked: int = 1
    seconds: float = 0.0
    device: str = "cpu"
    part: tuple[int, int] = (0, 1)
    about: str = ""

    def __post_init__(self) -> None:
        for name in ("lower", "upper", "slack"):
            if math.isnan(getattr(self, name)):
                raise ValueError(f"`{name}` must be a number, got nan")

    def _facts(self) -> Facts:
        facts = [("sup|f − f̂|", f"in [{number(self.lower)}, {number(self.upper)}]"), ("reason", self.reason)]
        facts += [] if self.eps is None else [("eps", number(self.eps))]
        facts += [("witness", str(self.witness)), ("method", self.method), ("rounding slack", number(self.slack))]
        facts += [("experts", f"{self.leaves_checked} of {self.leaves} looked at, {self.evaluations} values of f")]
        facts += [("premise" if p.holds else "FAILS", f"{p.name}: {p.detail}") for p in self.premises]
        return f"{self.status.value} ({self.evidence.name})", facts

    def about_this(self, model: nn.Module, f: LipschitzFunction) -> UniformErrorCertificate:
        """The same certificate, which knows what it is about, so that it can be saved; changed copies do not."""
        object.__setattr__(self, "_subject", (model, f))
        return self

    def __getstate__(self) -> dict[str, Any]:
        # ranks send certificates to each other, and a model may hang on an open file
        return {name: value for name, value in self.__dict__.items() if name != "_subject"}

    def save(self, path: str | os.PathLike, log: Callable[[str], None] = lambda message: None) -> Path:
        """Write a proof file that `momlp recheck` decides without this package, and the model beside it, as
        NAME.safetensors; returns the proof's path.

        ValueError unless this is CERTIFIED for an eps, and about a mixture of pencils or constants. The checker has
        bounds of its own, so boxes are looked for anew. What a black box does nobody can decide again: its declared
        modulus and its values at the nodes are premises that the proof states.
        """
        subject = self.__dict__.get("_subject")
        if subject is None:
            raise ValueError("`save` needs the certificate as `certify_uniform_error` returned it, got a changed copy")
        if self.status is not Status.CERTIFIED or self.eps is None:
            raise ValueError(f"`save` needs a certificate that is CERTIFIED for an eps, got {self.status.value}")
        from theory.error_proofs import save_uniform_error

        model, f = subject
        return save_uniform_error(path, model, f, self.eps, log=log)

    @property
    def failed(self) -> tuple[Premise, ...]:
        """The premises that do not hold."""
        return tuple(p for p in self.premises if not p.holds)

    @property
    def status(self) -> Status:
        """What may be said about sup |f − f̂| ≤ eps (without eps: whether the interval itself stands)."""
        if self.eps is not None and self.lower > self.eps and self.witness is not None:
            return Status.REFUTED
        if self.failed:
            return Status.INCONCLUSIVE
        if self.evidence <= Evidence.SAMPLED:
            return Status.NOT_REFUTED
        if self.part != (0, 1):
            return Status.INCONCLUSIVE  # one part of the domain says nothing of the others
        limit = math.inf if self.eps is None else math.nextafter(self.eps, math.inf)
        return Status.CERTIFIED if self.upper < limit else Status.INCONCLUSIVE

    @property
    def reason(self) -> str:
        """One sentence for a person."""
        span = f"{self.lower:.9g} ≤ sup|f − f̂| ≤ {self.upper:.9g}"
        if self.status is Status.REFUTED and math.isinf(self.lower):
            return "; ".join(p.detail for p in self.failed)
        if self.status is Status.REFUTED:
            return f"|f − f̂| ≥ {self.lower:.9g} > eps = {self.eps:.9g} at x = {self.witness}"
        if self.failed:
            return "; ".join(str(p) for p in self.failed)
        if self.evidence <= Evidence.SAMPLED:
            return f"largest error found {self.lower:.9g} on {self.evaluations} evaluations"
        if self.part != (0, 1):
            return f"{span} on part {self.part[0] + 1} of {self.part[1]}: `combined` puts parts together"
        if self.status is Status.INCONCLUSIVE:
            return f"{span}, which does not decide eps = {self.eps}"
        return span
