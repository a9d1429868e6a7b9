"""Proof files of the claims about routers: every node's bisectors, and nets of points."""

from __future__ import annotations

from fractions import Fraction

import torch

from constructions import PathwayTree
from theory.claim import Context
from theory.pathway_tree.manifolds import SHAPES
from theory.pathway_tree.reproductions import DELTA, TREES, cloud_of
from theory.proofs import Producer, Proof, facts

LARGEST = 2000
"""Nodes of a tree that is written down."""


def _nearest_prototype() -> list[Proof]:
    """Trees node by node: a box of cells, its children's boxes and prototypes. Children's prototypes differ on one axis
    alone, and half-way between neighbours lies the boundary of their boxes; so the nearest child's box holds the point,
    and at the end that is one cell: the one whose middle is nearest."""
    held = []
    for cells, valency in TREES:
        graph = PathwayTree(cells, valency=valency).to_networkx()
        if len(graph) > LARGEST:
            continue
        place = {node: i for i, node in enumerate(graph)}
        nodes = [
            [[list(side) for side in node], graph.nodes[node]["prototype"], [place[c] for c in graph.successors(node)]]
            for node in graph
        ]
        held.append([list(cells), valency, nodes])
    definitions = {
        "moved": "lambda p, q: [a for a in range(len(p)) if p[a] != q[a]]",
        "children": "lambda t, v: [t[2][c] for c in v[2]]",
        "inner": "lambda t: [v for v in t[2] if len(v[2]) > 0]",
        "leaves": "lambda t: [v for v in t[2] if len(v[2]) == 0]",
        "steps": "lambda t, v: [[children(t, v)[i], children(t, v)[i + 1]] for i in range(len(v[2]) - 1)]",
        "cut": "lambda t, v: moved(children(t, v)[0][1], children(t, v)[1][1])[0]",
        "off": "lambda v, a: [v[0][b] for b in range(len(v[0])) if b != a]",
    }
    return [
        facts(
            # the root is the whole lattice, leaves are its cells, each once
            "all([t[2][0][0] == [[0, m] for m in t[0]] for t in trees])",
            "all([[side[1] - side[0] for side in v[0]] == [1 for m in t[0]] for t in trees for v in leaves(t)])",
            "all([len(set([v[0] for v in leaves(t)])) == len(leaves(t)) == prod(t[0]) for t in trees])",
            # children: at most the valency, in a row along one axis, and they fill the node's box
            "all([2 <= len(v[2]) <= t[1] for t in trees for v in inner(t)])",
            "all([moved(s[0][1], s[1][1]) == [cut(t, v)] for t in trees for v in inner(t) for s in steps(t, v)])",
            "all([off(c, cut(t, v)) == off(v, cut(t, v)) for t in trees for v in inner(t) for c in children(t, v)])",
            "all([s[0][0][cut(t, v)][1] == s[1][0][cut(t, v)][0] for t in trees for v in inner(t) "
            "for s in steps(t, v)])",
            "all([[children(t, v)[0][0][cut(t, v)][0], children(t, v)[len(v[2]) - 1][0][cut(t, v)][1]] "
            "== v[0][cut(t, v)] for t in trees for v in inner(t)])",
            # the bisector of neighbours is the boundary of their boxes
            "all([s[0][1][cut(t, v)] + s[1][1][cut(t, v)] == 2*s[0][0][cut(t, v)][1] "
            "and s[0][1][cut(t, v)] < s[1][1][cut(t, v)] for t in trees for v in inner(t) for s in steps(t, v)])",
            f"len(trees) == {len(held)}",
            data={"trees": held},
            definitions=definitions,
        )
    ]


def _covering_net(context: Context) -> list[Proof]:
    """Points and prototypes as integers in units of 2^−40, rounded to nearest: distances move by less than 2^−37. A
    point has with it the leaf that is said to be near."""
    unit, nets = 2.0**40, []
    for name in SHAPES:
        cloud = cloud_of(name, 10, context)
        points, delta = cloud.points[::4], DELTA[cloud.dimension]
        tree = PathwayTree.from_points(points, delta=delta, valency=2)
        leaves = tree.leaf_prototypes
        some = points[:: max(1, len(points) // 1000)]
        nearest = torch.cat([(part[:, None] - leaves).square().sum(-1).argmin(1) for part in some.split(100)])
        held = [(x * unit).round().long().tolist() for x in (some, leaves)]
        nets.append([*held, nearest.tolist(), Fraction(delta) * 2**40])
    definitions = {
        "gap": "lambda x, y: sum([(a - b)*(a - b) for a, b in zip(x, y)])",
        "slack": "2**4",
    }
    return [
        facts(
            "all([gap(x, t[1][i]) <= (t[3] + slack)**2 for t in nets for x, i in zip(t[0], t[2])])",
            "all([gap(t[1][i], t[1][j]) > (t[3] - slack)**2 for t in nets for i in range(len(t[1])) "
            "for j in range(i)])",
            f"len(nets) == {len(nets)}",
            data={"nets": nets},
            definitions=definitions,
        )
    ]


PROOFS: dict[str, Producer] = {
    "nearest_prototype": lambda context, folder: _nearest_prototype(),
    "covering_net": lambda context, folder: _covering_net(context),
}
