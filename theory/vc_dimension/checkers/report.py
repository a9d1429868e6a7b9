"""`ShatteringReport`, and what every check of a shattered set starts with.

Main definitions: `ShatteringReport`, `distinct_points`, `wrong_label`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from theory.claim import Report


@dataclass(frozen=True)
class ShatteringReport(Report):
    """`points` are shattered if there is no `failure` and all labelings were covered.

    `labelings` networks were evaluated one by one (`evaluations` pairs of a labeling and a point); 0 for a certificate,
    which covers all 2^points labelings; fewer than 2^points are a sample, which proves nothing. `worst` is the
    certificate's largest off-cluster value (it must be ≤ −1). ValueError for a report that holds of nothing.
    """

    points: int
    labelings: int
    evaluations: int
    failure: str | None
    worst: int | None = None

    def __post_init__(self) -> None:
        if self.failure is None and (self.points < 1 or self.evaluations < 1):
            raise ValueError(
                f"`failure` must be given when nothing was evaluated, got {self.points} points and "
                f"{self.evaluations} evaluations"
            )


def distinct_points(points: Tensor) -> str | None:
    """A sentence naming a point of (k, n) that occurs twice, or None. Of finite points: NaN differs from itself."""
    values, counts = torch.unique(points, dim=0, return_counts=True)
    if bool((counts > 1).any()):
        return f"the point {values[counts.argmax()].tolist()} occurs {int(counts.max())} times"
    return None


def wrong_label(labels: Tensor, outputs: Tensor, points: Tensor) -> str | None:
    """A sentence naming the first labeling (B, k) and point where sgn of an output (B, k) is not the label, or None."""
    if labels.shape != outputs.shape or len(points) != labels.shape[1]:
        return f"outputs {tuple(outputs.shape)} at {len(points)} points do not match labels {tuple(labels.shape)}"
    # NaN is neither > 0 nor ≤ 0, so it is wrong for both labels
    wrong = ~torch.where(labels, outputs > 0, outputs <= 0)
    if not bool(wrong.any()):
        return None
    row = int(wrong.any(1).int().argmax())
    column = int(wrong[row].int().argmax())
    word = "".join(map(str, labels[row].int().tolist()))
    word = word if len(word) <= 80 else f"{word[:60]}… ({len(word)} labels)"
    return (
        f"labeling {word}: point {column}, {points[column].tolist()}, has label {int(labels[row, column])}, "
        f"the network gives {float(outputs[row, column]):g} ({int(wrong.sum())} of {wrong.numel()} wrong in this batch)"
    )
