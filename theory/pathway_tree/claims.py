"""What is claimed; the reproductions are in `theory.pathway_tree.reproductions`, one function a claim."""

from __future__ import annotations

from theory.claim import Statement, Status
from theory.sources import ABSTRACT_V2, OURS

STATEMENTS = {
    "nearest_prototype": Statement(
        title="Tree routing is nearest-prototype routing",
        statement=r"\text{nearest child at every node}=\text{nearest leaf prototype}",
        source=ABSTRACT_V2,
        expected=Status.PROVED,
        hypotheses=("lattice coordinates", "valency 2..8"),
    ),
    "router_agreement": Statement(
        title="Index rule, tree and brute force agree, faces included",
        statement=r"i_a=\max(\lceil z_a\rceil-1,0)",
        source=OURS.at("docs/pathway_tree.md"),
        expected=Status.NOT_REFUTED,
        hypotheses=("float64 lattice points: uniform, on faces, and one step beside faces",),
    ),
    "covering_net": Statement(
        title="A router from data covers its points within δ with leaves more than δ apart",
        statement=r"\max_x\min_i|x-p_i|\le\delta<\min_{i\ne j}|p_i-p_j|",
        source=OURS.at("docs/pathway_tree.md"),
        expected=Status.CERTIFIED,
        hypotheses=("farthest-point net of a finite cloud", "every leaf prototype is routed to its own leaf"),
    ),
    "intrinsic_dimension": Statement(
        title="Leaves of a router from data grow with the intrinsic dimension, not the ambient one",
        statement=r"L(\delta)=\Theta(\delta^{-d})\text{ on a set of dimension }d\text{ in }\mathbb R^n",
        source=OURS.at("docs/pathway_tree.md"),
        expected=Status.NOT_REFUTED,
        hypotheses=("circle d = 1; flat torus, swiss roll, sphere d = 2", "isometric in R^10, R^20, R^50", "δ ≤ 0.8"),
        slow=True,
    ),
}
