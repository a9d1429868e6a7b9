"""Routing: the pathway tree sends every input to its nearest prototype, and all routers agree."""

from __future__ import annotations

from constructions import Box, Lattice, PathwayTree
from theory.checkers.tree_structure import (
    face_points,
    router_agreement,
    tree_structure,
    tree_structure_by_shape,
)
from theory.claim import Context, Evidence, Number, Status, Verdict, claim, undecided

V2 = "arXiv:2402.03460v2, abstract"
OURS = "momlp, README section 'The construction and its proof'"

TREES = [((708,), 2), ((30, 30), 2), ((21, 13, 5), 3), ((17, 1, 9), 5), ((64,), 8), ((11, 10, 9), 7), ((6,) * 4, 4)]


@claim(
    id="pathway_tree.nearest_prototype",
    title="Tree routing is nearest-prototype routing",
    statement=r"\text{nearest child at every node}=\text{nearest leaf prototype}",
    source=V2,
    expected=Status.PROVED,
    hypotheses=("lattice coordinates", "valency 2..8"),
)
def tree_routing(context: Context) -> Verdict:
    """At every node of every graph the bisectors are the box boundaries, in rationals; huge trees by box shape."""
    nodes = bisectors = 0
    for cells, valency in TREES:
        report = tree_structure(PathwayTree(cells, valency=valency).to_networkx(), cells, valency=valency)
        nodes, bisectors = nodes + report.nodes, bisectors + report.bisectors
        if not report.holds:
            return undecided(f"cells {cells}, valency {valency}: {report.failures[0]}")
    largest = 0
    for cells, valency in (((16,) * 9, 2), ((708, 707), 3), ((100,) * 20, 8)):
        report = tree_structure_by_shape(PathwayTree(cells, valency=valency))
        largest = max(largest, report.leaves)
        bisectors += report.bisectors
        if not report.holds:
            return undecided(f"cells {cells}, valency {valency}: {report.failures[0]}")
    numbers: dict[str, Number] = {"graph_nodes": nodes, "bisectors": bisectors, "leaves_of_largest_tree": largest}
    return Verdict(Status.PROVED, Evidence.EXACT, f"{bisectors} bisectors equal their boundaries", numbers)


@claim(
    id="pathway_tree.router_agreement",
    title="Index rule, tree and brute force agree, faces included",
    statement=r"i_a=\max(\lceil z_a\rceil-1,0)",
    source=OURS,
    expected=Status.NOT_REFUTED,
    hypotheses=("float64 lattice points: uniform, on faces, and one step beside faces",),
)
def router_agreement_claim(context: Context) -> Verdict:
    """Three independent routers on adversarial points; disagreement is a witness."""
    points = 0
    for cells, valency in TREES:
        tree = PathwayTree(cells, valency=valency)
        z = face_points(cells, 20_000 if context.full else 4_000, context.generator())
        z = z.to(context.device)
        lattice = Lattice(Box.of(None, len(cells) + 1), cells, 1)
        agreement = router_agreement(
            {"index rule": lattice.index(z), "tree": tree.route(z), "brute force": tree.nearest_leaf(z)}, z
        )
        points += agreement.points
        if agreement.first is not None:
            return Verdict(Status.REFUTED, Evidence.EXACT, agreement.first, {"points": points}, witness=agreement.first)
    return Verdict(Status.NOT_REFUTED, Evidence.SAMPLED, f"{points} points, no disagreement", {"points": points})
