"""`ShatteringReport`, and what every check of a shattered set starts with.

Main definitions: `ShatteringReport`, `distinct_points`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class ShatteringReport:
    """`points` are shattered if there is no `failure`.

    `labelings` networks were evaluated one by one (`evaluations` pairs of a labeling and a point); 0 for a certificate,
    which covers all 2^points labelings. `worst` is the certificate's largest off-cluster value (it must be ≤ −1).
    """

    points: int
    labelings: int
    evaluations: int
    failure: str | None
    worst: int | None = None

    @property
    def holds(self) -> bool:
        return self.failure is None


def distinct_points(points: Tensor) -> str | None:
    """A sentence naming a point of (k, n) that occurs twice, or None."""
    values, counts = torch.unique(points, dim=0, return_counts=True)
    if bool((counts > 1).any()):
        return f"the point {values[counts.argmax()].tolist()} occurs {int(counts.max())} times"
    return None


def wrong_label(labels: Tensor, outputs: Tensor, points: Tensor) -> str | None:
    """A sentence naming the first labeling (B, k) and point where sgn of an output (B, k) is not the label, or None."""
    wrong = (outputs > 0) != labels
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
