"""Nets of a point cloud: which of its points (or means) become the leaves of a router.

Main definitions: `farthest_point`, `kmeans_centres`, `Net`.
Main statement: let r_k be the covering radius of the first k points of the farthest-point traversal. These are at least
r_{k−1} ≥ r_k apart: the first k with r_k ≤ δ is a δ-net and a packing of separation > δ at once (Gonzalez 1985).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from constructions.errors import require_cloud, require_int, require_positive, require_seed

MARGIN = 1 + 2.0**-30


@dataclass(frozen=True)
class Net:
    """Indices (L,) of the chosen points in the order of choice; `radii[k − 1]` is what the first k of them leave."""

    chosen: Tensor
    radii: Tensor

    def size(self, delta: float) -> int:
        """How many of the chosen points cover the cloud within delta; ValueError when all of them do not."""
        require_positive("delta", delta, allow_zero=True)
        enough = (self.radii <= delta).nonzero()
        if not len(enough):
            raise ValueError(f"`delta` must be at least {float(self.radii[-1]):.6g}, where this net ended, got {delta}")
        return int(enough[0]) + 1


def farthest_point(points: Tensor, *, delta: float = 0.0, leaves: int | None = None) -> Net:
    """The traversal of points (N, n), from the first one until `leaves` are chosen or the radius is at most `delta`.

    Each choice depends on all before it, so the loop over chosen points stays; a step looks only at the points whose
    chosen neighbour is near enough to lose them (triangle inequality).
    """
    require_cloud("points", points)
    require_positive("delta", delta, allow_zero=True)
    limit = len(points) if leaves is None else require_int("leaves", leaves, 1, len(points))
    chosen, radii = [0], []
    gap = (points - points[0]).square().sum(-1)
    owner = torch.zeros(len(points), dtype=torch.int64, device=points.device)
    centres = torch.empty(min(limit, 1024), points.shape[1], dtype=points.dtype, device=points.device)
    centres[0] = points[0]
    while True:
        square, index = gap.max(0)
        radii.append(math.sqrt(float(square)))
        if radii[-1] <= delta or len(chosen) == limit or radii[-1] == 0.0:
            return Net(torch.tensor(chosen, device=points.device), torch.tensor(radii, dtype=torch.float64))
        at, count = int(index), len(chosen)
        if count == len(centres):
            centres = torch.cat([centres, torch.empty_like(centres)])
        centres[count] = points[at]
        # no point of a centre farther than twice the radius from the new one can move to it
        near = (centres[:count] - points[at]).square().sum(-1) < 4 * square * MARGIN
        rows = near[owner].nonzero()[:, 0]
        fresh = (points[rows] - points[at]).square().sum(-1)
        closer = fresh < gap[rows]
        gap[rows[closer]] = fresh[closer]
        owner[rows[closer]] = count
        chosen.append(at)


def kmeans_centres(points: Tensor, leaves: int, seed: int) -> Tensor:
    """Distinct centres (at most `leaves`, n) of scikit-learn's k-means."""
    require_cloud("points", points)
    require_int("leaves", leaves, 1, len(points))
    require_seed("seed", seed)
    # takes a second to import, and every process would pay for it
    from sklearn.cluster import KMeans

    # numpy's seeds have 32 bits, torch's (and that of a generator nobody seeded) 63
    model = KMeans(n_clusters=leaves, random_state=seed % 2**32, n_init="auto").fit(points.cpu().numpy())
    return torch.unique(torch.from_numpy(model.cluster_centers_).to(points), dim=0)
