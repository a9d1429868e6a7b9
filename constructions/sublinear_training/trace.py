"""What training did, step by step.

Main definitions: `StepRecord`, `TrainingTrace`.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field, fields

from torch import Tensor

from constructions.sublinear_training.operations import Measured


@dataclass(frozen=True)
class StepRecord:
    """One step, begun at a residual of norm `residual_norm`.

    `measured` are its integers, `operations` what they add up to; `gram` (n, n) is the exact Gram matrix of the
    gradients at its beginning, `solution` (n,) solves it.
    """

    residual_norm: float
    squared_movement: float
    measured: Measured
    operations: dict[str, int]
    gram: Tensor = field(repr=False, compare=False)
    solution: Tensor = field(repr=False, compare=False)

    def numbers(self) -> dict:
        """All but the tensors, for JSON."""
        return {
            "residual_norm": self.residual_norm,
            "squared_movement": self.squared_movement,
            **asdict(self.measured),
            "operations": self.operations,
        }

    @classmethod
    def of(cls, numbers: dict, gram: Tensor, solution: Tensor) -> StepRecord:
        """What `numbers` were taken from; KeyError or TypeError for other ones."""
        counts = Measured(**{f.name: int(numbers[f.name]) for f in fields(Measured)})
        norm, moved = float(numbers["residual_norm"]), float(numbers["squared_movement"])
        return cls(norm, moved, counts, dict(numbers["operations"]), gram, solution)


@dataclass
class TrainingTrace:
    """The steps of a run and the residual's norm after the last of them. `build` operations came before the first."""

    method: str
    steps: list[StepRecord]
    final_residual: float
    build: int

    @property
    def residuals(self) -> list[float]:
        """Norms before each step, and after the last."""
        return [*(s.residual_norm for s in self.steps), self.final_residual]

    def steps_to_tolerance(self, tolerance: float) -> int | None:
        """Steps until the residual's norm is at most `tolerance`; None when it never was."""
        return next((t for t, norm in enumerate(self.residuals) if norm <= tolerance), None)

    @property
    def total_operations(self) -> int:
        """Of the build and all steps; ValueError where they were not counted."""
        if not all(s.operations for s in self.steps):
            raise ValueError("the operations of this run were not counted")
        return self.build + sum(s.operations["total"] for s in self.steps)

    def report(self) -> dict:
        """All numbers, for JSON; the residual after the last step is None in a run that was stopped."""
        return {
            "method": self.method,
            "build_operations": self.build,
            "total_operations": self.total_operations if all(s.operations for s in self.steps) else None,
            "final_residual": self.final_residual if math.isfinite(self.final_residual) else None,
            "steps": [s.numbers() for s in self.steps],
        }

    def table(self) -> str:
        """A line a step: residual, fired pairs, touched units, refreshed units, operations."""
        head = f"{'step':>4} {'residual':>12} {'fired':>10} {'touched':>10} {'refreshed':>10} {'operations':>14}"
        lines = []
        for t, s in enumerate(self.steps):
            counts = f"{s.measured.fired:>10,} {s.measured.touched:>10,} {s.measured.refreshed:>10,}"
            total = f"{s.operations['total']:>14,}" if s.operations else f"{'-':>14}"
            lines.append(f"{t:>4} {s.residual_norm:>12.4e} {counts} {total}")
        return "\n".join([head, *lines, f"{len(self.steps):>4} {self.final_residual:>12.4e}"])
