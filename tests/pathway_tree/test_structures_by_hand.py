"""What checks trees and nets, against plain loops and on both sides of every limit."""

import itertools
import math
from fractions import Fraction

import networkx as nx
import pytest
import torch

from constructions import PathwayTree
from constructions.pathway_tree.prototype_tree import PrototypeTree, arrange
from theory.claim import Status
from theory.pathway_tree.checkers import covering_net, covering_radius_le, own_leaves, rounding, routing_difference
from theory.pathway_tree.tree_structure import (
    face_points,
    router_agreement,
    tree_structure,
    tree_structure_by_shape,
)


def double(values):
    return torch.tensor(values, dtype=torch.float64)


# --- points beside faces ----------------------------------------------------------------------------------


def test_points_beside_faces_are_of_four_kinds():
    """A quarter each of faces, the floats below and above them, and anywhere; both ends of every axis at the end."""
    z = face_points((3, 5), 3000, torch.Generator().manual_seed(0))
    assert z.shape == (3002, 2)
    assert z[-2:].tolist() == [[0.0, 0.0], [3.0, 5.0]]
    for axis, count in enumerate((3, 5)):
        values = z[:-2, axis].tolist()
        assert min(values) == 0.0
        assert max(values) == float(count)
        faces = [v for v in values if v == round(v)]
        below = [v for v in values if v != round(v) and math.nextafter(v, math.inf) == round(v)]
        above = [v for v in values if v != round(v) and math.nextafter(v, -math.inf) == round(v)]
        inside = len(values) - len(faces) - len(below) - len(above)
        ends = 0.5 / count  # of the faces, below 0 and above the last one, which are clamped to faces
        for found, share in ((len(faces), 1 + 2 * ends), (len(below), 1 - ends), (len(above), 1 - ends), (inside, 1)):
            assert found == pytest.approx(750 * share, rel=0.2)
        assert {round(v) for v in faces} == set(range(count + 1))
        assert {round(v) for v in below} == set(range(1, count + 1))
        assert {round(v) for v in above} == set(range(count))
    assert face_points((2,), 1, torch.Generator().manual_seed(0)).shape == (3, 1)


def test_the_first_point_routed_otherwise_is_named():
    z = double([[0.5, 1.5], [1.5, 0.5], [2.5, 0.5], [0.5, 0.5]])
    one = torch.tensor([[0, 1], [1, 0], [2, 0], [0, 0]])
    for wrong in ([1], [2, 3], [0, 1, 2, 3]):
        for axis in (0, 1):
            other = one.clone()
            other[wrong, axis] += 1
            found = router_agreement({"a": one, "b": one, "c": other}, z)
            row = wrong[0]
            sentence = f"z = {z[row].tolist()}: a says {one[row].tolist()}, b says {one[row].tolist()}, c says "
            assert found.first == found.failure == f"{sentence}{other[row].tolist()}"
            assert (found.points, found.disagreements) == (4, len(wrong))
            assert "failure" not in repr(found)
            assert router_agreement({"a": one, "b": other, "c": one}, z).disagreements == len(wrong)
            assert router_agreement({"a": other, "b": one}, z).disagreements == len(wrong)
    with pytest.raises(ValueError, match=r"`z` must be points \(B, q\) with B ≥ 1, got \(4,\)"):
        router_agreement({"a": one[:, 0], "b": one[:, 0]}, z[:, 0])
    with pytest.raises(ValueError, match=r"`z` must be points \(B, q\) with B ≥ 1, got \(1, 4, 2\)"):
        router_agreement({"a": one[None], "b": one[None]}, z[None])
    with pytest.raises(ValueError, match="`routers` must hold int64 indices"):
        router_agreement({"a": one.int(), "b": one.int()}, z)


# --- the structure ----------------------------------------------------------------------------------------


def line(*nodes, root=None):
    """A root over [0, last + 1) with leaves or boxes (first, last + 1, prototype) below it."""
    root = root or ((0, max(n[1] for n in nodes)),)
    graph = nx.DiGraph()
    graph.add_node(root)
    for first, end, prototype in nodes:
        graph.add_node(((first, end),), prototype=(prototype,))
        graph.add_edge(root, ((first, end),))
    return graph


def test_lines_of_boxes_by_hand():
    honest = tree_structure(line((0, 1, 0.5), (1, 2, 1.5), (2, 3, 2.5)), (3,), valency=3)
    assert (honest.holds, honest.nodes, honest.leaves, honest.height, honest.bisectors) == (True, 4, 3, 1, 2)
    assert honest.failures == ()
    assert "failure=" not in repr(honest)
    half, few = Fraction(1, 2), "the graph has 2 leaves, the lattice 3"

    def gap(end):
        return f"node ((0, {end}),): the boxes of its children do not fill it side by side"

    def root(end, cells):
        return f"the root is ((0, {end}),), not the box of all cells ({cells},)"

    def children(end, count):
        return f"node ((0, {end}),) has {count} children, allowed are 2 to 3"

    order = "node ((0, 2),): prototypes of children 0 and 1 do not increase"
    bisector = "node ((0, 2),): the bisector of children 0 and 1 is 5/4 on axis 0, the boundary of their boxes is 1"
    four = line((0, 1, 0.5), (1, 2, 1.5), (2, 3, 2.5), (3, 4, 3.5))
    for graph, cells, sentences in (
        (line((0, 1, 0), (1, 2, 2)), (2,), ()),
        (line((0, 1, half), (1, 2, 2)), (2,), (bisector,)),
        (line((0, 1, 1), (1, 2, 1)), (2,), (order,)),
        (line((0, 1, 1.5), (1, 2, 0.5)), (2,), (order,)),
        (line((0, 1, 0.5), (1, 3, 1.5)), (3,), (few, "leaf ((1, 3),) is not a single cell")),
        (line((0, 1, 0.5), (1, 2, 1.5)), (3,), (root(2, 3), few)),
        (line((0, 1, 0.5), (1, 2, 1.5), root=((0, 3),)), (3,), (few, gap(3))),
        (line((1, 2, 0.5), (2, 3, 1.5), root=((0, 3),)), (3,), (few, gap(3))),
        (line((0, 1, 0.5), root=((0, 2),)), (1,), (root(2, 1), children(2, 1), gap(2))),
        (four, (4,), (children(4, 4),)),
    ):
        report = tree_structure(graph, cells, valency=3)
        assert report.failures == sentences
        assert report.failure == (sentences[0] if sentences else None)


def test_planes_of_boxes_by_hand():
    graph = nx.DiGraph()
    root, left, right = ((0, 2), (0, 1)), ((0, 1), (0, 1)), ((1, 2), (0, 1))
    graph.add_edges_from([(root, left), (root, right)])
    for places, sentence in (
        (((0.5, 0.5), (1.5, 0.5)), None),
        (
            ((0.5, 0.5), (1.5, 0.75)),
            f"node {root}: prototypes of children 0 and 1 differ off the split axis 0, on axis 1",
        ),
    ):
        graph.add_node(left, prototype=places[0])
        graph.add_node(right, prototype=places[1])
        assert tree_structure(graph, (2, 1), valency=2).failure == sentence
    both = nx.DiGraph()
    cells = [((0, 1), (0, 1)), ((1, 2), (1, 2))]
    for cell in cells:
        both.add_node(cell, prototype=tuple(a + 0.5 for a, _ in cell))
        both.add_edge(((0, 2), (0, 2)), cell)
    report = tree_structure(both, (2, 2), valency=2)
    assert "node ((0, 2), (0, 2)): its children do not split exactly one axis" in report.failures
    assert report.bisectors == 0


def test_nothing_is_counted_of_malformed_trees():
    graph = line((0, 1, 0.5), (1, 2, 1.5))
    graph.nodes[((1, 2),)]["prototype"] = (1.5, 2.5)
    report = tree_structure(graph, (2,), valency=2)
    assert (report.nodes, report.leaves, report.height, report.bisectors) == (3, 0, 0, 0)
    assert report.failures == ("the prototype of node ((1, 2),) is not 1 numbers: (1.5, 2.5)",)
    graph.add_edge(((1, 2),), ((0, 1),))
    report = tree_structure(graph, (2,), valency=2)
    assert (report.nodes, report.leaves, report.height, report.bisectors) == (3, 0, 0, 0)
    assert report.failures == ("the graph is not an arborescence",)
    alone = nx.DiGraph()
    alone.add_node(((0, 1),))
    report = tree_structure(alone, (1,), valency=2)
    assert (report.holds, report.nodes, report.leaves, report.height, report.bisectors) == (True, 1, 1, 0, 0)
    missing = line((0, 1, 0.5), (1, 2, 1.5))
    del missing.nodes[((0, 1),)]["prototype"]
    assert tree_structure(missing, (2,), valency=2).failure.startswith(
        "the prototype of node ((0, 1),) is not 1 numbers"
    )
    for node in (
        "root",
        ((0, 2), (0, 1)),
        ((0, 0),),
        ((2, 1),),
        ((0, 2.0),),
        ((0, 1, 2),),
        ([0, 2],),
        (5,),
        ((True, 2),),
    ):
        odd = nx.DiGraph()
        odd.add_node(str(node) if isinstance(node[0], list) else node)
        assert "is not a box of 1 index ranges" in tree_structure(odd, (2,), valency=2).failure
    with pytest.raises(ValueError, match="`cells`"):
        tree_structure(alone, (0,), valency=2)
    with pytest.raises(ValueError, match="`valency`"):
        tree_structure(alone, (1,), valency=1)


@pytest.mark.exact
@pytest.mark.parametrize(
    ("cells", "valency"), [((5,), 2), ((4, 3), 2), ((9, 2, 4), 3), ((8, 8), 8), ((1, 1), 2), ((1, 6), 4)]
)
def test_shapes_count_what_the_graph_has(cells, valency):
    tree = PathwayTree(cells, valency=valency)
    report, by_shape = tree_structure(tree.to_networkx(), cells, valency=valency), tree_structure_by_shape(tree)
    assert report.holds
    assert by_shape.holds
    assert (report.leaves, report.height) == (by_shape.leaves, by_shape.height) == (math.prod(cells), tree.height)
    assert report.bisectors == report.leaves - 1  # every bisector divides a box in two
    shapes = list(tree.shapes())
    assert by_shape.nodes == len(shapes)
    assert by_shape.bisectors == sum(2 * (min(valency, max(s)) - 1) for s in shapes)


def test_a_tree_of_too_many_children_by_shape():
    class Wide(PathwayTree):
        def children(self, node):
            return PathwayTree(self.cells, valency=4).children(node)

        def child_prototypes(self, node):
            return PathwayTree(self.cells, valency=4).child_prototypes(node)

    assert tree_structure_by_shape(Wide((4,), valency=4)).holds
    failures = tree_structure_by_shape(Wide((4,), valency=3)).failures
    assert failures[:2] == ("node ((0, 4),) has 4 children", "node ((7, 11),) has 4 children")


# --- nets -------------------------------------------------------------------------------------------------


def test_nets_are_measured_as_by_a_loop(monkeypatch):
    generator = torch.Generator().manual_seed(0)
    for n in (1, 2, 5):
        for rows in (1, 3, 1000):
            points = torch.rand(11, n, generator=generator, dtype=torch.float64)
            net = torch.rand(4, n, generator=generator, dtype=torch.float64)
            monkeypatch.setattr("theory.pathway_tree.checkers.CHUNK_BYTES", rows * 8 * net.numel())
            report = covering_net(points, net)
            nearest = [min(math.dist(p, q) for q in net.tolist()) for p in points.tolist()]
            apart = min(math.dist(p, q) for p, q in itertools.combinations(net.tolist(), 2))
            unit = (n + 4) * 2.0**-53
            assert rounding(n) == unit
            assert (report.points, report.leaves, report.farthest) == (11, 4, nearest.index(max(nearest)))
            assert report.radius == pytest.approx(max(nearest) * (1 + unit), rel=2.0**-51)
            assert report.separation == pytest.approx(apart * (1 - unit), rel=2.0**-51)
            assert report.radius >= max(nearest) * (1 + unit / 2)
            assert report.separation <= apart * (1 - unit / 2)
    monkeypatch.setattr("theory.pathway_tree.checkers.CHUNK_BYTES", 1)
    assert covering_net(points, net) == report
    assert covering_net(points, net[:1]).separation == math.inf
    two = covering_net(points, double([[0.0] * 5, [0.5] + [0.0] * 4]))
    assert 0.5 * (1 - 2.0**-49) <= two.separation < 0.5


def test_distances_too_large_or_too_small():
    with pytest.raises(ValueError, match="the square of a distance from row 1 overflows"):
        covering_net(double([[0.0], [1e200], [5.0]]), double([[0.0]]))
    report = covering_net(double([[0.0] * 3]), double([[0.0] * 3]))
    assert report.radius == math.sqrt(3) * 2.0**-536
    assert covering_net(double([[0.0]]), double([[0.0], [2.0**-537]])).separation == 0.0
    assert covering_net(double([[0.0]]), double([[0.0], [2.0**-530]])).separation == pytest.approx(
        2.0**-530 - 2.0**-536, rel=1e-9
    )


def test_clouds_of_another_form():
    net = double([[0.0, 0.0]])
    for points in (
        torch.zeros(3).double(),
        torch.zeros(3, 1),
        torch.zeros(3, 3),
        torch.zeros(0, 2),
        torch.zeros(1, 2, 2),
    ):
        with pytest.raises(ValueError, match=r"`points` must have shape \(N, 2\) with N ≥ 1"):
            covering_net(points, net)
    for prototypes in (torch.zeros(3).double(), torch.zeros(3, 0), torch.zeros(0, 2), torch.zeros(1, 2, 2)):
        with pytest.raises(ValueError, match=r"`prototypes` must have shape \(N, n\) with N ≥ 1"):
            covering_net(net, prototypes)
    for points in (
        torch.zeros(2, 2, dtype=torch.int64),
        double([[0.0, math.nan], [0.0, 0.0]]),
        double([[math.inf, 0.0]]),
    ):
        with pytest.raises(ValueError, match="`points` must be finite floating numbers"):
            covering_net(points, net)


def test_delta_at_its_limits():
    """Distances equal to delta up to 2·rounding count as within, and as apart; a float more does not."""
    tree = arrange(double([[0.0], [3.0]]))[0]
    points = double([[0.0], [3.0], [1.0]])
    report = covering_net(points, tree.leaf_prototypes)
    unit = 2 * rounding(1)
    least, most = report.radius / (1 + unit), report.separation / (1 - unit)
    near = [
        v
        for d in (least, most)
        for v in (d * (1 - 1e-15), math.nextafter(d, 0), d, math.nextafter(d, 9), d * (1 + 1e-15))
    ]
    seen = set()
    for delta in near:
        holds = report.radius <= delta * (1 + unit) and report.separation >= delta * (1 - unit)
        verdict = covering_radius_le(points, tree, delta)
        assert verdict.status is (Status.CERTIFIED if holds else Status.REFUTED)
        seen.add((holds, delta < 2))
    assert len(seen) == 4


def test_routes_that_differ_are_named():
    tree = arrange(double([[0.0], [1.0], [2.0], [3.0]]))[0]
    assert own_leaves(tree).failure is None
    moved = PrototypeTree(tree.prototypes, tree.children, tree.leaf_prototypes[[1, 0, 2, 3]])
    points = double([[0.1], [2.1], [2.9], [1.0]])
    found = routing_difference(moved, points)
    down, flat = moved.route(points), moved.nearest_leaf(points)
    excess = [
        abs(float(p - moved.leaf_prototypes[d])) - abs(float(p - moved.leaf_prototypes[f]))
        for p, d, f in zip(points[:, 0], down, flat, strict=True)
    ]
    wrong = [i for i in range(4) if int(down[i]) != int(flat[i])]
    assert 0 < len(wrong) < 4
    assert (found.points, found.disagreements, found.rate) == (4, len(wrong), len(wrong) / 4)
    assert found.worst_excess == pytest.approx(max(excess))
    assert found.mean_excess == pytest.approx(sum(excess) / 4)
    assert (
        found.failure
        == f"point {wrong[0]} is routed to leaf {int(down[wrong[0]])}, the nearest is {int(flat[wrong[0]])}"
    )
    lost = next(i for i, p in enumerate(moved.leaf_prototypes) if int(moved.route(p[None])) != i)
    assert own_leaves(moved).failure.startswith(f"the prototype of leaf {lost} is routed to leaf ")
