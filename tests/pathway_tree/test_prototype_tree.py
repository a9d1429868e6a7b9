"""Routers from data: laws of nets and trees over random clouds, against brute force, and bad input."""

import networkx as nx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from constructions import PathwayTree
from constructions.pathway_tree.nets import farthest_point
from constructions.pathway_tree.prototype_tree import PrototypeTree, arrange
from theory.claim import Status
from theory.pathway_tree.checkers import covering_net, covering_radius_le, own_leaves, routing_difference


def cloud(count, n, seed=0):
    return torch.rand(count, n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def plain_traversal(points, count):
    """Every point against every chosen point, no pruning."""
    chosen = [0]
    gap = (points - points[0]).square().sum(-1)
    while len(chosen) < count:
        chosen.append(int(gap.argmax()))
        gap = torch.minimum(gap, (points - points[chosen[-1]]).square().sum(-1))
    return chosen


@pytest.mark.parametrize("n", [1, 2, 7])
def test_the_pruned_traversal_is_the_plain_one(n):
    points = cloud(3000, n, seed=n)
    assert farthest_point(points, leaves=200).chosen.tolist() == plain_traversal(points, 200)


@pytest.mark.law
@settings(max_examples=40)
@given(
    count=st.integers(1, 300),
    n=st.integers(1, 6),
    valency=st.integers(2, 9),
    seed=st.integers(0, 99),
    grid=st.booleans(),
)
def test_laws_of_a_tree_over_points(count, n, valency, seed, grid):
    """Leaves are the distinct points in tree order, each routed to itself; the graph is an arborescence."""
    points = cloud(count, n, seed)
    points = torch.unique((points * 4).round() if grid else points, dim=0)
    tree, order = arrange(points, valency=valency)
    assert torch.equal(tree.leaf_prototypes, points[order])
    assert sorted(order.tolist()) == list(range(len(points)))
    assert own_leaves(tree).holds
    graph = tree.to_networkx()
    assert nx.is_arborescence(graph)
    degrees = {d for _, d in graph.out_degree() if d}
    assert degrees <= set(range(2, valency + 1))
    x = cloud(50, n, seed + 1)
    assert torch.equal(tree.route(x), walk(tree, graph, x))
    expected = torch.stack([(x - p).square().sum(-1) for p in tree.leaf_prototypes], 1).argmin(-1)
    assert torch.equal(tree.nearest_leaf(x), expected)


def walk(tree, graph, x):
    """The leaf of each point by stepping through the networkx graph."""
    found = []
    for point in x.tolist():
        node = 0
        while below := sorted(graph.successors(node)):
            gaps = [sum((a - b) ** 2 for a, b in zip(point, graph.nodes[c]["prototype"], strict=True)) for c in below]
            node = below[gaps.index(min(gaps))]
        found.append(graph.nodes[node]["leaf"])
    return torch.tensor(found)


def test_delta_gives_a_certified_net():
    points = cloud(4000, 3)
    tree = PathwayTree.from_points(points, delta=0.2)
    verdict = covering_radius_le(points, tree, 0.2)
    assert verdict.status is Status.CERTIFIED
    assert verdict.numbers["separation"] > 0.2
    fewer, _ = arrange(tree.leaf_prototypes[1:])
    assert covering_radius_le(points, fewer, 0.2).status is Status.REFUTED
    crowded, _ = arrange(torch.cat([tree.leaf_prototypes, tree.leaf_prototypes[:1] + 0.01]))
    assert "apart" in covering_radius_le(points, crowded, 0.2).reason


def test_kmeans_and_leaves_give_that_many_leaves():
    points = cloud(2000, 4)
    for method in ("kmeans", "farthest_point"):
        tree = PathwayTree.from_points(points, leaves=37, valency=3, method=method)
        assert tree.num_leaves == 37
        report = covering_net(points, tree.leaf_prototypes)
        assert report.radius >= float((points - tree.leaf_prototypes[tree.nearest_leaf(points)]).norm(dim=1).max())


def test_routing_difference_counts_what_it_says():
    tree = PathwayTree.from_points(cloud(2000, 2), leaves=64)
    x = cloud(500, 2, seed=7)
    difference = routing_difference(tree, x)
    assert difference.disagreements == int((tree.route(x) != tree.nearest_leaf(x)).sum()) > 0
    assert difference.worst_excess >= difference.mean_excess > 0
    single = PathwayTree.from_points(cloud(10, 2), leaves=1)
    assert routing_difference(single, x).disagreements == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "exactly one of `delta` and `leaves`"),
        ({"delta": 0.1, "leaves": 3}, "exactly one of `delta` and `leaves`"),
        ({"delta": -1.0}, "`delta` must be a positive"),
        ({"delta": 0.1, "method": "kmeans"}, "`leaves` is needed"),
        ({"leaves": 11}, "`leaves` must be an integer between 1 and 10"),
        ({"leaves": 2, "method": "grid"}, "`method` must be one of"),
        ({"leaves": 2, "valency": 1}, "`valency` must be"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        PathwayTree.from_points(cloud(10, 2), **arguments)


def test_bad_points():
    with pytest.raises(TypeError, match=r"`points` must be a torch\.Tensor"):
        PathwayTree.from_points([[0.0]], leaves=1)
    bad = cloud(5, 2)
    bad[3, 1] = float("nan")
    with pytest.raises(ValueError, match="`points` must be finite, row 3"):
        PathwayTree.from_points(bad, leaves=1)
    with pytest.raises(ValueError, match="at most the 1 distinct points"):
        PathwayTree.from_points(torch.zeros(5, 2), leaves=2)


@pytest.mark.parametrize("children", [[[1, 1], [-1, -1]], [[0, 1], [-1, -1]], [[-1, -1], [-1, -1]], [[1, 2], [-1, -1]]])
def test_tables_that_are_no_tree_are_refused(children):
    with pytest.raises(ValueError, match="`children` must name every node"):
        PrototypeTree(torch.zeros(2, 1), torch.tensor(children), torch.zeros(1, 1))
