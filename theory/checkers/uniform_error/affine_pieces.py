"""Bounds of f − f̂ on boxes for a target that is a max and min of affine functions (`symbolic.pieces`).

Main definition: `PiecesOfTarget`.
Main statement: let u be a leaf and [l_a, h_a] ∋ every ∂(u − f̂)/∂x_a on a box with centre c. Then u − f̂ differs from its
value at c by at most R = Σ_a max(|l_a|, |h_a|)·half_a. If sup and inf bound the parts of a max, the largest sup and the
largest inf bound the max (min: the smallest): it is one of its parts, and at least each of them.

Where f̂ is affine, each leaf's own bounds are attained; so the upper end of a max, and the lower end of a min, are exact
up to rounding. The other end is at least as good as that of any single leaf, which is what linear relaxations that take
a ReLU as 0 or as its argument use. Rounding: sums of n + 2 products, with all that may be lost in any order.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from constructions.functions.symbolic.pieces import Affine, Node, leaves_of
from theory.checkers.uniform_error.stack import LEAST


@dataclass(frozen=True)
class PiecesOfTarget:
    """A tree with its leaves as arrays: `constant` (k, 2) and `slope` (k, n, 2), lower and upper ends."""

    tree: Node
    constant: Tensor
    slope: Tensor

    @classmethod
    def of(cls, tree: Node, like: Tensor) -> PiecesOfTarget:
        """On the device of boxes (B, n)."""
        leaves = leaves_of(tree)
        slopes = [[dict(leaf.slopes).get(axis, (0.0, 0.0)) for axis in range(like.shape[1])] for leaf in leaves]
        place = {"dtype": torch.float64, "device": like.device}
        return cls(tree, torch.tensor([leaf.constant for leaf in leaves], **place), torch.tensor(slopes, **place))

    def bounds(self, value: Tensor, low: Tensor, high: Tensor, centre: Tensor, half: Tensor) -> Tensor:
        """Upper bounds (B,) of |f − f̂| over centre ± half (B, n), where f̂ is `value` (B,) at the centre and its partial
        derivatives lie in [low, high] (B, n)."""
        n = centre.shape[1]
        middle, radius = self.slope.mean(-1), (self.slope[..., 1] - self.slope[..., 0]) * (1 + 2.0**-50)
        constant, width = self.constant.mean(-1), (self.constant[:, 1] - self.constant[:, 0]) * (1 + 2.0**-50)
        at = constant[:, None] + middle @ centre.T - value
        size = constant.abs()[:, None] + middle.abs() @ centre.abs().T + value.abs()
        unknown = width[:, None] + radius @ centre.abs().T
        spread = torch.zeros_like(at)
        for axis in range(n):
            steep = torch.maximum(
                (self.slope[:, axis, 1, None] - low[:, axis]).abs(),
                (self.slope[:, axis, 0, None] - high[:, axis]).abs(),
            )
            spread = spread + steep * half[:, axis]
        room = (size + at.abs() + unknown + spread) * ((n + 8) * 2.0**-52) + (3 * n + 2) * LEAST
        above, below = at + (spread + unknown + room), at - (spread + unknown + room)
        above, below = _reduced(self.tree, list(above), list(below))
        return torch.maximum(above, -below)


def _reduced(node: Node, above: list[Tensor], below: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Bounds of the tree from those of its leaves."""
    if isinstance(node, Affine):
        return above[0], below[0]
    start, found = 0, []
    for part in node.parts:
        found.append(_reduced(part, above[start : start + part.leaves], below[start : start + part.leaves]))
        start += part.leaves
    fold = torch.maximum if node.op == "max" else torch.minimum
    up, down = found[0]
    for other_up, other_down in found[1:]:
        up, down = fold(up, other_up), fold(down, other_down)
    return up, down
