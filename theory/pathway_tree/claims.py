"""What is claimed; the reproductions are in `theory.pathway_tree.reproductions`, one function a claim."""

from __future__ import annotations

from theory.claim import Evidence, Statement, Status, part
from theory.sources import ABSTRACT_V2, OURS

STATEMENTS = {
    "nearest_prototype": Statement(
        title="Tree routing is nearest-prototype routing",
        statement=r"\text{nearest child at every node}=\text{nearest leaf prototype}",
        source=ABSTRACT_V2,
        expected=Status.PROVED,
        evidence=Evidence.EXACT,
        hypotheses=("lattice coordinates", "valency 2..8"),
        decided_by=(
            "At every node of ten trees the bisectors of the children's prototypes are compared with the faces of "
            "their boxes in rationals: seven graphs node by node, three huge trees by the shapes of their boxes."
        ),
        does_not_say=(
            "Anything about routers from data, whose tree and nearest-leaf answers differ on some points "
            "(covering_net), or about trees whose prototypes are no lattice; the listed cells and valencies are "
            "decided, all others only by the argument on the page."
        ),
        files=part(
            "every node of five of the ten trees, those of at most 2000 nodes: bisectors are the boundaries of boxes"
        ),
    ),
    "router_agreement": Statement(
        title="Index rule, tree and brute force agree, faces included",
        statement=r"i_a=\max(\lceil z_a\rceil-1,0)",
        source=OURS.at("docs/pathway_tree.md, Theorem 2"),
        expected=Status.NOT_REFUTED,
        evidence=Evidence.SAMPLED,
        hypotheses=("float64 lattice points: uniform, on faces, and one step beside faces",),
        decided_by=(
            "The index rule, the tree and a search of all prototypes answer float64 points, many on faces and one "
            "step beside them; the first disagreement would be the witness."
        ),
        does_not_say=(
            "That the three agree at every float64 point: some thousand points a tree were asked; and anything about"
            " float32 inputs."
        ),
    ),
    "covering_net": Statement(
        title="A router from data covers its points within δ with leaves more than δ apart",
        statement=r"\max_x\min_i|x-p_i|\le\delta<\min_{i\ne j}|p_i-p_j|",
        source=OURS.at("docs/pathway_tree.md, Theorem 3"),
        expected=Status.CERTIFIED,
        evidence=Evidence.EXACT,
        hypotheses=("farthest-point net of a finite cloud", "every leaf prototype is routed to its own leaf"),
        decided_by=(
            "Nets of four clouds are measured from all distances, without the builder; that every point has a "
            "prototype within δ and all prototypes are more than δ apart is decided in integers; every prototype is "
            "sent down the tree."
        ),
        does_not_say=(
            "That the net covers points that are not in the cloud, that it has the fewest leaves, or that the tree "
            "finds the nearest leaf: it misses it for a measured share of points."
        ),
        files=part(
            "separation and radius of four nets up to 2^-36, the radius at about a thousand points each; not the "
            "way down the tree"
        ),
    ),
    "intrinsic_dimension": Statement(
        title="Leaves of a router from data grow with the intrinsic dimension, not the ambient one",
        statement=r"L(\delta)=\Theta(\delta^{-d})\text{ on a set of dimension }d\text{ in }\mathbb R^n",
        source=OURS.at("docs/pathway_tree.md, Theorem 4"),
        expected=Status.NOT_REFUTED,
        evidence=Evidence.FITTED,
        hypotheses=("circle d = 1; flat torus, swiss roll, sphere d = 2", "isometric in R^10, R^20, R^50", "δ ≤ 0.8"),
        decided_by=(
            "Counts of nets of four known shapes at falling δ are compared with two-sided bounds, and the slope of "
            "ln L against ln 1/δ with the dimension, within 10 %."
        ),
        does_not_say=(
            "Anything about real data, about noise across the manifold, or about δ far below the listed ones; a "
            "slope is no proof, and the constant in front still depends on the shape."
        ),
        slow=True,
    ),
}
