"""Training data sorted by expert: which rows each of E experts sees, and batches of equal width for all of them.

Main definitions: `Groups`, `assigned`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from constructions.fixed_order import squared_distances
from constructions.pathway_tree.prototype_tree import PrototypeTree


@dataclass(frozen=True)
class Groups:
    """Expert e owns the data rows `rows[start[e] : start[e + 1]]`."""

    rows: Tensor
    start: Tensor

    @classmethod
    def of(cls, owner: Tensor, rows: Tensor, experts: int) -> Groups:
        """From pairs (owner, row), in any order."""
        order = torch.argsort(owner, stable=True)
        sizes = torch.bincount(owner, minlength=experts)
        return cls(rows[order], torch.cat([sizes.new_zeros(1), sizes.cumsum(0)]))

    @property
    def sizes(self) -> Tensor:
        return torch.diff(self.start)

    @property
    def experts(self) -> int:
        return len(self.start) - 1

    @property
    def largest(self) -> int:
        return int(self.sizes.max()) if self.experts else 0

    def whole(self, experts: Tensor, width: int) -> tuple[Tensor, Tensor]:
        """All rows of these experts: data rows (E, width), 0 where `inside` (E, width) is False."""
        place = torch.arange(width)
        inside = place < self.sizes[experts][:, None]
        at = torch.where(inside, self.start[experts][:, None] + place, 0)
        rows = self.rows[at] if len(self.rows) else torch.zeros_like(at)
        return torch.where(inside, rows, 0), inside

    def draws(self, experts: Tensor, width: int, steps: int, *, seed: int, chunk: int) -> tuple[Tensor, Tensor]:
        """Rows (E, steps, width) for `steps` batches and which are real (E, 1, width).

        An expert with at most `width` rows sees all of them every step. Others draw at random from a stream of their
        own, so that an expert's batches do not depend on which others are trained beside it.
        """
        rows, inside = self.whole(experts, width)
        drawn = rows[:, None].repeat(1, steps, 1)
        many = (self.sizes[experts] > width).nonzero()[:, 0].tolist()
        for i in many:  # one generator an expert is the point
            expert = int(experts[i])
            source = np.random.default_rng([seed, expert, chunk])
            at = source.integers(int(self.sizes[expert]), size=(steps, width))
            drawn[i] = self.rows[int(self.start[expert]) + torch.from_numpy(at)]
        return drawn, inside[:, None]


def assigned(tree: PrototypeTree, z: Tensor, *, flat: bool, overlap: int) -> tuple[Tensor, Tensor]:
    """Pairs (leaf, row): every point z (N, n) goes to the leaf it is routed to, and to the overlap − 1 next nearest."""
    leaf = tree.nearest_leaf(z) if flat else tree.route(z)
    rows = torch.arange(len(z), device=z.device)
    if overlap == 1 or tree.num_leaves == 1:
        return leaf, rows
    count = min(overlap, tree.num_leaves)
    chunk = max(1, (1 << 24) // (8 * tree.leaf_prototypes.numel()))
    near = torch.cat(
        [squared_distances(p, tree.leaf_prototypes).topk(count, largest=False).indices for p in z.split(chunk)]
    )
    # the routed leaf first; of the nearest ones those that are not it, one fewer than `overlap`
    other = near != leaf[:, None]
    keep = other & (other.cumsum(-1) < count)
    return torch.cat([leaf, near[keep]]), torch.cat([rows, rows[:, None].expand_as(near)[keep]])


def owned_means(groups: Groups, values: Tensor) -> Tensor:
    """Means (E,) of values (N,) over each expert's rows; 1 where it has none."""
    owner = torch.repeat_interleave(torch.arange(groups.experts), groups.sizes)
    total = torch.zeros(groups.experts, dtype=torch.float64).index_add_(0, owner, values.double()[groups.rows])
    return torch.where(groups.sizes > 0, total / groups.sizes.clamp(min=1), 1.0)


def spread(groups: Groups, z: Tensor, weight: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """(mean (E, n), 1 / root mean square coordinate (E,)) of each expert's points z (N, n), of `weight` (N,) each; 0
    and 1 where it has none."""
    owner = torch.repeat_interleave(torch.arange(groups.experts), groups.sizes)
    points = z[groups.rows]
    count = groups.sizes.clamp(min=1)[:, None]
    relative = None if weight is None else weight.to(z)[groups.rows] / owned_means(groups, weight)[owner]

    def weighted(each: Tensor) -> Tensor:
        return each if relative is None else each * relative.view(-1, *(1,) * (each.ndim - 1))

    mean = torch.zeros(groups.experts, z.shape[1], dtype=z.dtype).index_add_(0, owner, weighted(points)) / count
    square = weighted((points - mean[owner]).square().mean(-1))
    variance = torch.zeros(groups.experts, dtype=z.dtype).index_add_(0, owner, square) / count[:, 0]
    # a single point, or copies of one, have no spread of their own
    return mean, torch.where(variance > 1e-12, variance, 1.0).rsqrt()
