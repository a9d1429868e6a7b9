"""Routers from data, measured on their points: covering radius, separation, and how flat and tree routing differ.

Main definitions: `covering_net`, `covers_in_integers`, `routing_difference`, `own_leaves`.
Notation: leaf prototypes p_1 … p_L; covering radius max_x min_i |x − p_i|, separation min_{i≠j} |p_i − p_j|.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import torch
from scipy.spatial import KDTree
from torch import Tensor

from constructions.errors import require_instance, require_positive
from constructions.pathway_tree.prototype_tree import PrototypeTree
from theory import exact
from theory.claim import Evidence, Report, Status, Verdict

CHUNK_BYTES = 1 << 20  # of a chunk's squared distances: they stay in the processor's cache
SMALLEST_ROOT = 2.0**-536  # squares below 2^−1074 vanish, which hides distances up to √n times this


def rounding(n: int) -> float:
    """A relative bound for the distance of float64 points in R^n computed from squared differences."""
    return (n + 4) * 2.0**-53


def vanishing(n: int) -> float:
    """A bound of what a distance in R^n may lose because squares of its coordinates are below the denormal numbers."""
    return math.sqrt(n) * SMALLEST_ROOT


@dataclass(frozen=True)
class CoveringReport:
    """`radius` and `separation` bound the real numbers from above and below, rounding included.

    `farthest` is the row of the point farthest from all prototypes.
    """

    points: int
    leaves: int
    radius: float
    separation: float
    farthest: int


def covering_net(points: Tensor, prototypes: Tensor) -> CoveringReport:
    """Measure prototypes (L, n) as a net of points (N, n): every point against every prototype, nothing pruned.

    ValueError for points or prototypes that are not finite, none at all, or so far apart that squares overflow.
    """
    p = _require_cloud("prototypes", prototypes)
    x = _require_cloud("points", points, p.shape[1])
    slack, underflow = rounding(x.shape[1]), vanishing(x.shape[1])
    nearest = torch.cat([_squares(part, p).amin(1) for part in x.split(max(1, CHUNK_BYTES // (8 * len(p))))]).sqrt()
    worst = int(nearest.argmax())
    if not math.isfinite(float(nearest[worst])):
        raise ValueError(f"`points` must be nearer: the square of a distance from row {worst} overflows")
    separation = math.inf
    if len(p) > 1:
        found, _ = KDTree(p.cpu().numpy()).query(p.cpu().numpy(), k=2)
        separation = max(0.0, float(found[:, 1].min()) * (1 - slack) - underflow)
    return CoveringReport(len(x), len(p), float(nearest[worst]) * (1 + slack) + underflow, separation, worst)


def _squares(x: Tensor, p: Tensor) -> Tensor:
    """Squared distances (N, L), added up coordinate by coordinate."""
    found = x.new_zeros(len(x), len(p))
    for own, other in zip(x.T[:, :, None], p.T, strict=True):
        gap = own - other
        found += gap.mul_(gap)
    return found


def _require_cloud(name: str, points: Tensor, n: int | None = None) -> Tensor:
    """`points` in float64 if they are finite and (N ≥ 1, n ≥ 1); TypeError or ValueError otherwise."""
    require_instance(name, points, Tensor)
    exact.require_denormals()
    if points.ndim != 2 or 0 in points.shape or (n is not None and points.shape[1] != n):
        raise ValueError(f"`{name}` must have shape (N, {n or 'n'}) with N ≥ 1, got {tuple(points.shape)}")
    if not points.is_floating_point() or not bool(torch.isfinite(points).all()):
        raise ValueError(f"`{name}` must be finite floating numbers, got {points.dtype} with NaN or inf or integers")
    return points.detach().double()


def covers_in_integers(points: Tensor, prototypes: Tensor, delta: float) -> Report:
    """Whether every point (N, n) has a prototype (L, n) within delta and prototypes are more than delta apart: in
    integers, multiples of one power of two, without any rounding."""
    p = _require_cloud("prototypes", prototypes)
    x = _require_cloud("points", points, p.shape[1])
    require_positive("delta", delta)
    # where floats find the nearest one need not be the nearest: any within delta will do
    nearest = torch.cat([_squares(part, p).argmin(1) for part in x.split(max(1, CHUNK_BYTES // (8 * len(p))))])
    scale = max(v.as_integer_ratio()[1] for v in (delta, *x.unique().tolist(), *p.unique().tolist()))
    places, nets = _integers(x, scale), _integers(p, scale)
    most = (Fraction(delta) * scale) ** 2
    outside = (((places - nets[nearest.cpu().numpy()]) ** 2).sum(1) > most).nonzero()[0]
    if len(outside):
        return Report(f"point {outside[0]} has no prototype within {delta!r}")
    for i in range(len(nets) - 1):
        near = (((nets[i + 1 :] - nets[i]) ** 2).sum(1) <= most).nonzero()[0]
        if len(near):
            return Report(f"prototypes {i} and {i + 1 + near[0]} are not more than {delta!r} apart")
    return Report()


def _integers(points: Tensor, scale: int) -> np.ndarray:
    """points·scale as Python's integers (N, n)."""
    ratios = (v.as_integer_ratio() for v in points.flatten().tolist())
    return np.array([top * (scale // below) for top, below in ratios], dtype=object).reshape(tuple(points.shape))


def covering_radius_le(points: Tensor, tree: PrototypeTree, delta: float) -> Verdict:
    """CERTIFIED when every point has a leaf prototype within delta, and these are more than delta apart.

    Distances equal to delta up to the rounding of float64 count as within, and as apart. INCONCLUSIVE for a delta so
    small that squares vanish: no distance is known to that precision.
    """
    require_instance("tree", tree, PrototypeTree)
    require_positive("delta", delta)
    report = covering_net(points, tree.leaf_prototypes)
    numbers = {"points": report.points, "leaves": report.leaves, "separation": report.separation}
    bounds = {"delta": delta, "radius": report.radius}
    if not vanishing(tree.n) < delta * 2.0**-54:
        reason = f"delta = {delta:.6g} is too small: squares of float64 lose distances up to {vanishing(tree.n):.3g}"
        return Verdict(Status.INCONCLUSIVE, Evidence.FLOAT64, reason, numbers, bounds)
    if not report.radius <= delta * (1 + 2 * rounding(tree.n)):
        x = points[report.farthest].tolist()
        reason = f"no prototype within {delta:.6g} of x = {x}, the nearest is {report.radius:.6g} away"
        return Verdict(Status.REFUTED, Evidence.FLOAT64, reason, numbers, bounds, witness=reason)
    if not report.separation >= delta * (1 - 2 * rounding(tree.n)):
        reason = f"two prototypes are {report.separation:.6g} apart, less than {delta:.6g}"
        return Verdict(Status.REFUTED, Evidence.FLOAT64, reason, numbers, bounds, witness=reason)
    reason = f"{report.leaves} leaves, radius {report.radius:.6g}, separation {report.separation:.6g}"
    return Verdict(Status.CERTIFIED, Evidence.FLOAT64, reason, numbers, bounds)


@dataclass(frozen=True)
class RoutingDifference(Report):
    """Tree against flat routing on `points`: how many land in another leaf, and at what price.

    `worst_excess` is the largest (distance to the tree's leaf) − (distance to the nearest leaf), `mean_excess` its
    mean; the `failure` names the first point with two leaves.
    """

    points: int
    disagreements: int
    worst_excess: float
    mean_excess: float
    failure: str | None

    @property
    def rate(self) -> float:
        return self.disagreements / self.points


def routing_difference(tree: PrototypeTree, points: Tensor) -> RoutingDifference:
    """Compare both routers at points (N, n); distances are recomputed from the leaf prototypes. ValueError if N = 0."""
    require_instance("tree", tree, PrototypeTree)
    x = _require_cloud("points", points, tree.n)
    down, flat = tree.route(x), tree.nearest_leaf(x)
    to_leaf = [(x - tree.leaf_prototypes[leaf]).square().sum(-1).sqrt() for leaf in (down, flat)]
    excess = to_leaf[0] - to_leaf[1]
    differ, failure = down != flat, None
    if bool(differ.any()):
        row = int(differ.int().argmax())
        failure = f"point {row} is routed to leaf {int(down[row])}, the nearest is {int(flat[row])}"
    return RoutingDifference(len(x), int(differ.sum()), float(excess.max()), float(excess.mean()), failure)


def own_leaves(tree: PrototypeTree) -> Report:
    """Whether every leaf's own prototype is routed to it down the tree; the failure names the first that is not."""
    require_instance("tree", tree, PrototypeTree)
    _require_cloud("tree.leaf_prototypes", tree.leaf_prototypes)
    reached = tree.route(tree.leaf_prototypes)
    wrong = reached != torch.arange(tree.num_leaves, device=tree.prototypes.device)
    if not bool(wrong.any()):
        return Report()
    lost = int(wrong.int().argmax())
    return Report(f"the prototype of leaf {lost} is routed to leaf {int(reached[lost])}")
