"""The boxes that a search still has to look at, and how they are cut.

Main definitions: `Frontier`, `split_axis`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from theory.lipschitz_expressiveness.checkers.forms import Forms

NAMES = ("lower", "upper", "bound", "count", "stalled", "axis")


@dataclass(frozen=True)
class Frontier:
    """Boxes lower, upper (B, n), and of each an upper end, its undecided units, halvings since there were more of them,
    and the axis to cut it along next (B,)."""

    lower: Tensor
    upper: Tensor
    bound: Tensor
    count: Tensor
    stalled: Tensor
    axis: Tensor

    def __len__(self) -> int:
        return len(self.bound)

    def rows(self, index: Tensor) -> Frontier:
        return Frontier(*(getattr(self, name)[index] for name in NAMES))

    def joined(self, other: Frontier) -> Frontier:
        return Frontier(*(torch.cat([getattr(self, name), getattr(other, name)]) for name in NAMES))

    def halved(self) -> tuple[Frontier, Tensor]:
        """Both halves of every box along its axis (they share the middle, nothing is lost), and the upper ends
        (S,) of those without a float in between, which are not cut."""
        axis = self.axis[:, None]
        low, high = self.lower.gather(1, axis), self.upper.gather(1, axis)
        middle = (low + high) / 2
        stuck = ((middle <= low) | (middle >= high))[:, 0]
        if bool(stuck.any()):
            rest, _ = self.rows((~stuck).nonzero()[:, 0]).halved()
            return rest, self.bound[stuck]
        first = replace(self, upper=self.upper.scatter(1, axis, middle))
        second = replace(self, lower=self.lower.scatter(1, axis, middle))
        return first.joined(second), self.bound[:0]


def split_axis(boxes: Frontier, forms: Forms) -> Tensor:
    """The axis (B,) that moves the undecided units most, in shares of their own ranges; else the widest."""
    side = boxes.upper - boxes.lower
    score = torch.zeros_like(side)
    for low, high, reach in zip(forms.low, forms.high, forms.reach, strict=True):
        share = torch.where((low < 0) & (high > 0), 1 / (high - low).clamp(min=1e-300), 0.0)
        score = score + (share[..., None] * reach).sum(-2)
    score = torch.where(side > 0, score, -1.0)
    return torch.where(score.amax(-1) > 0, score.argmax(-1), side.argmax(-1))
