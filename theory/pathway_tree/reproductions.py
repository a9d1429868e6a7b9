"""Routing: the pathway tree sends every input to its nearest prototype, and all routers agree."""

from __future__ import annotations

import torch

from constructions import Box, Lattice, PathwayTree
from constructions.pathway_tree.nets import farthest_point
from constructions.pathway_tree.prototype_tree import arrange
from theory.claim import Context, Evidence, Number, Report, Status, Table, Verdict, ensure
from theory.pathway_tree import checkers
from theory.pathway_tree import tree_structure as routers
from theory.pathway_tree.manifolds import SHAPES, Cloud, embedded
from theory.pathway_tree.tree_structure import face_points, tree_structure, tree_structure_by_shape
from theory.rates import fit_slope

TREES = [((708,), 2), ((30, 30), 2), ((21, 13, 5), 3), ((17, 1, 9), 5), ((64,), 8), ((11, 10, 9), 7), ((6,) * 4, 4)]
HUGE_TREES = [((16,) * 9, 2), ((708, 707), 3), ((100,) * 20, 8)]


def nearest_prototype(context: Context) -> Verdict:
    """At every node of every graph the bisectors are the box boundaries, in rationals; huge trees by box shape."""
    nodes = bisectors = 0
    for cells, valency in TREES:
        report = tree_structure(PathwayTree(cells, valency=valency).to_networkx(), cells, valency=valency)
        nodes, bisectors = nodes + report.nodes, bisectors + report.bisectors
        ensure(report, f"cells {cells}, valency {valency}")
    largest = 0
    for cells, valency in HUGE_TREES:
        report = tree_structure_by_shape(PathwayTree(cells, valency=valency))
        largest = max(largest, report.leaves)
        bisectors += report.bisectors
        ensure(report, f"cells {cells}, valency {valency}")
    numbers: dict[str, Number] = {"graph_nodes": nodes, "bisectors": bisectors, "leaves_of_largest_tree": largest}
    return Verdict(Status.PROVED, Evidence.EXACT, f"{bisectors} bisectors equal their boundaries", numbers)


def router_agreement(context: Context) -> Verdict:
    """Three independent routers on adversarial points; disagreement is a witness."""
    points = 0
    for cells, valency in TREES:
        tree = PathwayTree(cells, valency=valency)
        z = face_points(cells, 20_000 if context.full else 4_000, context.generator())
        z = z.to(context.device)
        lattice = Lattice(Box.of(None, len(cells) + 1), cells, 1)
        agreement = routers.router_agreement(
            {"index rule": lattice.index(z), "tree": tree.route(z), "brute force": tree.nearest_leaf(z)}, z
        )
        points += agreement.points
        if agreement.first is not None:
            return Verdict(Status.REFUTED, Evidence.EXACT, agreement.first, {"points": points}, witness=agreement.first)
    return Verdict(Status.NOT_REFUTED, Evidence.SAMPLED, f"{points} points, no disagreement", {"points": points})


# --- routers from data ------------------------------------------------------------------------------------

AMBIENT = (10, 20, 50)
SLOPE_TOLERANCE = 0.1
DELTA = {1: 0.05, 2: 0.4}
"""Intrinsic dimension -> δ of a net."""


def _deltas(dimension: int, full: bool) -> list[float]:
    if dimension == 1:
        return [0.8 * 2.0**-j for j in range(8 if full else 7)]
    return [0.8 * 2.0 ** (-j / 2) for j in range(6 if full else 5)]


def cloud_of(name: str, n: int, context: Context) -> Cloud:
    count = 160_000 if context.full else 80_000
    return embedded(name, n, count=20_000 if name == "circle" else count, generator=context.generator())


def covering_net(context: Context) -> Verdict:
    """Radius and separation of nets of four shapes, measured without the builder and decided in integers; tree against
    flat routing."""
    nets, trees = [], []
    for name in SHAPES:
        cloud = cloud_of(name, 10, context)
        points = cloud.points.to(context.device)[:: 2 if context.full else 4]
        for valency in (2, 8):
            delta = DELTA[cloud.dimension]
            context.log(f"{name}, valency {valency}")
            tree = PathwayTree.from_points(points, delta=delta, valency=valency)
            verdict = checkers.covering_radius_le(points, tree, delta)
            if verdict.status is not Status.CERTIFIED:
                return verdict
            ensure(checkers.covers_in_integers(points, tree.leaf_prototypes, delta), name)
            ensure(checkers.own_leaves(tree), name)
            difference = checkers.routing_difference(tree, points)
            trees.append((name, valency, tree.height, difference.rate, difference.worst_excess))
        nets.append((name, tree.num_leaves, verdict.bounds["radius"], verdict.numbers["separation"]))
    rates = [rate for *_, rate, _ in trees]
    span = f"{min(rates):.1%} to {max(rates):.1%}"
    reason = f"{len(trees)} trees; tree and nearest-leaf routing differ on {span} of points"
    tables = {
        "nets": Table(("shape", "leaves", "radius", "separation"), tuple(nets)),
        "trees": Table(("shape", "valency", "height", "disagreement", "worst_excess"), tuple(trees)),
    }
    return Verdict(Status.CERTIFIED, Evidence.EXACT, reason, {"trees": len(trees)}, tables=tables)


def intrinsic_dimension(context: Context) -> Verdict:
    """Counts of farthest-point nets inside two-sided bounds; slopes of log L against log 1/δ within 10 % of d."""
    nets = []
    for name in SHAPES:
        for n in AMBIENT:
            context.log(f"{name} in R^{n}")
            cloud = cloud_of(name, n, context)
            deltas = _deltas(cloud.dimension, context.full)
            points = cloud.points.to(context.device)
            net = farthest_point(points, delta=deltas[-1])
            counts = [net.size(d) for d in deltas]
            for delta, count in zip(deltas, counts, strict=True):
                low, high = cloud.at_least(delta + cloud.spacing), cloud.at_most(delta)
                reason = f"{name} in R^{n}: {count} leaves at delta = {delta:.4g}, not in [{low}, {high}]"
                ensure(low <= count <= high, reason)
            ensure(_is_net(points[::8], points[net.chosen[: counts[-1]]], deltas[-1]), f"{name} in R^{n}")
            slope = fit_slope([1 / d for d in deltas], counts).slope
            nets.append((name, cloud.dimension, n, counts[-1], slope))
            near = abs(slope - cloud.dimension) <= SLOPE_TOLERANCE * cloud.dimension
            ensure(near, f"{name} in R^{n}: slope {slope:.3f}, the dimension is {cloud.dimension}")
    slopes = {d: [slope for _, dimension, *_, slope in nets if dimension == d] for d in (1, 2)}
    said = "; ".join(f"d = {d}: {min(v):.3f} to {max(v):.3f}" for d, v in slopes.items())
    reason = f"slopes {said}, in R^10, R^20 and R^50 alike"
    tables = {"nets": Table(("shape", "dimension", "n", "leaves", "slope"), tuple(nets))}
    return Verdict(Status.NOT_REFUTED, Evidence.FITTED, reason, {"nets": len(nets)}, tables=tables)


def _is_net(points: torch.Tensor, chosen: torch.Tensor, delta: float) -> Report:
    """Whether the chosen prototypes are a δ-net of these points: the counts are of real nets."""
    found = checkers.covering_net(points, arrange(chosen)[0].leaf_prototypes)
    holds = found.radius <= delta * (1 + 1e-12) and found.separation >= delta * (1 - 1e-12)
    return Report(None if holds else f"radius {found.radius}, separation {found.separation} at delta = {delta}")
