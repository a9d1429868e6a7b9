"""What the methods answer: an interval for the Lipschitz constant, with a point that attains the lower end.

Main definitions: `LipschitzBounds`, `Step`, `Cell`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

from torch import Tensor

from theory.claim import Evidence, Status


@dataclass(frozen=True)
class Step:
    """How far a search was: after `seconds` and that many boxes or cells, lower ≤ Lip ≤ upper."""

    seconds: float
    count: int
    lower: float
    upper: float


@dataclass(frozen=True)
class Cell:
    """A set on which the network is affine: its activation pattern, a point inside (n_0,), and ‖J‖ there."""

    pattern: tuple[bool, ...]
    point: tuple[float, ...]
    norm: float


@dataclass(frozen=True)
class LipschitzBounds:
    """lower ≤ sup over the domain of ‖offset + left·J(x)·right‖₂ ≤ upper; without a measure that is Lip(f).

    `log2_upper` is the logarithm of the upper end, also where that is beyond the largest float (then `upper` is inf).
    `method` is the one that ran and `reason` says in a sentence what came of it (and what "auto" went by).
    `cells_or_boxes` counts cells of the network, boxes of the search, or sampled points. `witness` (n_0,) is a point of
    the domain off every kink and `jacobian` the measured matrix there, in float64: its norm is at least `lower`, which
    exact rational arithmetic (of tanh networks: ball arithmetic) found there. `exact_squared` is the square of the
    constant where that is known as a rational. `history` shows the interval closing. All tensors are on the CPU.
    """

    lower: float
    upper: float
    log2_upper: float
    method: str
    evidence: Evidence
    reason: str
    cells_or_boxes: int = 0
    witness: Tensor | None = None
    jacobian: Tensor | None = None
    exact_squared: Fraction | None = None
    history: tuple[Step, ...] = ()
    cells: tuple[Cell, ...] = ()
    seconds: float = 0.0
    device: str = "cpu"

    def __post_init__(self) -> None:
        ordered = 0 <= self.lower < math.inf and self.lower <= self.upper  # NaN fails, too
        if not ordered or math.isnan(self.log2_upper):
            raise ValueError(f"`lower` ≤ `upper` must be numbers, got {self.lower}, {self.upper}, {self.log2_upper}")

    @property
    def gap(self) -> float:
        """upper / lower − 1: 0 for 0 ≤ Lip ≤ 0, inf where the lower end is 0 alone."""
        if self.upper == self.lower:
            return 0.0
        return math.inf if self.lower == 0 else self.upper / self.lower - 1

    @property
    def status(self) -> Status:
        """PROVED for a rational value, CERTIFIED for an interval with a finite upper end, else NOT_REFUTED."""
        if self.evidence is Evidence.EXACT and self.exact_squared is not None:
            return Status.PROVED
        strong = self.evidence >= Evidence.FLOAT64 and self.log2_upper < math.inf
        return Status.CERTIFIED if strong else Status.NOT_REFUTED
