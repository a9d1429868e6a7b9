"""The tree checker accepts real trees and names what is wrong with broken ones."""

import re

import networkx as nx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from constructions import PathwayTree
from theory.pathway_tree.tree_structure import face_points, router_agreement, tree_structure, tree_structure_by_shape

CELLS, VALENCY = (7, 5), 3


def graph():
    return PathwayTree(CELLS, valency=VALENCY).to_networkx()


@pytest.mark.law
@settings(max_examples=30)
@given(cells=st.lists(st.integers(1, 9), min_size=1, max_size=3).map(tuple), valency=st.integers(2, 8))
def test_every_tree_is_accepted_and_both_ways_agree(cells, valency):
    tree = PathwayTree(cells, valency=valency)
    report = tree_structure(tree.to_networkx(), cells, valency=valency)
    by_shape = tree_structure_by_shape(tree)
    assert report.holds, report.failures
    assert by_shape.holds, by_shape.failures
    assert (report.leaves, report.height) == (by_shape.leaves, by_shape.height) == (tree.num_leaves, tree.height)


def shift_prototype(g):
    child = next(g.successors(((0, 7), (0, 5))))
    g.nodes[child]["prototype"] = (g.nodes[child]["prototype"][0] + 0.25, g.nodes[child]["prototype"][1])


def shift_off_axis(g):
    child = next(g.successors(((0, 7), (0, 5))))
    g.nodes[child]["prototype"] = (g.nodes[child]["prototype"][0], g.nodes[child]["prototype"][1] + 2.0**-40)


def swap_prototypes(g):
    a, b, *_ = g.successors(((0, 7), (0, 5)))
    g.nodes[a]["prototype"], g.nodes[b]["prototype"] = g.nodes[b]["prototype"], g.nodes[a]["prototype"]


def drop_leaf(g):
    g.remove_node(((6, 7), (4, 5)))


def add_edge(g):
    g.add_edge(((0, 1), (0, 1)), ((6, 7), (4, 5)))


def relabel_box(g):
    nx.relabel_nodes(g, {((6, 7), (4, 5)): ((6, 7), (3, 5))}, copy=False)


def rewire(g):
    """Two leaves swap parents."""
    a, b = ((0, 1), (0, 1)), ((6, 7), (4, 5))
    (pa,), (pb,) = list(g.predecessors(a)), list(g.predecessors(b))
    g.remove_edge(pa, a)
    g.remove_edge(pb, b)
    g.add_edge(pa, b)
    g.add_edge(pb, a)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (shift_prototype, "the bisector of children 0 and 1 is"),
        (shift_off_axis, "differ off the split axis"),
        (swap_prototypes, "do not increase"),
        (drop_leaf, "leaves, the lattice"),
        (add_edge, "not an arborescence"),
        (relabel_box, "node"),
        (rewire, "do not split exactly one axis|do not fill it"),
    ],
)
def test_damage_is_named(damage, message):
    broken = graph()
    damage(broken)
    report = tree_structure(broken, CELLS, valency=VALENCY)
    assert not report.holds
    assert re.search(message, " ".join(report.failures))


def test_wrong_lattice_and_valency_are_named():
    assert "the root is" in tree_structure(graph(), (5, 7), valency=VALENCY).failures[0]
    assert any("children, allowed" in f for f in tree_structure(graph(), CELLS, valency=2).failures)
    assert not tree_structure(nx.DiGraph(), CELLS, valency=2).holds


def test_by_shape_catches_a_wrong_prototype_rule():
    class Wrong(PathwayTree):
        def child_prototypes(self, node):
            first, *rest = super().child_prototypes(node)
            return [tuple(v + 1 for v in first), *rest]

    report = tree_structure_by_shape(Wrong((1000, 999)))
    assert not report.holds


def test_by_shape_looks_at_a_translate_of_every_box():
    """Right at the origin, and wrong for a box of the same widths elsewhere."""

    class Elsewhere(PathwayTree):
        def child_prototypes(self, node):
            found = super().child_prototypes(node)
            widths = tuple(b - a for a, b in node)
            return found[::-1] if widths == self.cells and all(a > 0 for a, _ in node) else found

    assert tree_structure_by_shape(PathwayTree((4, 3, 2))).holds
    report = tree_structure_by_shape(Elsewhere((4, 3, 2)))
    assert [failure.split(":")[0] for failure in report.failures] == ["node ((7, 11), (10, 13), (13, 15))"]


def test_router_agreement_names_the_point():
    z = face_points((4, 4), 100, torch.Generator().manual_seed(0))
    tree = PathwayTree((4, 4))
    floor = z.floor().long().clamp(max=3)  # puts faces on the other side
    agreement = router_agreement({"tree": tree.route(z), "floor": floor}, z)
    assert agreement.disagreements > 0
    assert "floor says" in agreement.first
    assert router_agreement({"tree": tree.route(z), "brute": tree.nearest_leaf(z)}, z).first is None


# --- graphs and routers made to be believed ---------------------------------------------------------------


def add_a_coordinate(g):
    """A third coordinate tilts the bisectors out of sight of the two axes."""
    for child in g.successors(((0, 7), (0, 5))):
        g.nodes[child]["prototype"] = (*g.nodes[child]["prototype"], float(child[0][0]))


def set_prototype(value):
    def damage(g):
        g.nodes[((0, 1), (0, 1))]["prototype"] = value

    return damage


def relabel(node):
    return lambda g: nx.relabel_nodes(g, {((6, 7), (4, 5)): node}, copy=False)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (add_a_coordinate, "is not 2 numbers"),
        (set_prototype(None), "is not 2 numbers: None"),
        (set_prototype((0.5,)), "is not 2 numbers"),
        (set_prototype((float("nan"), 0.5)), "must be finite"),
        (set_prototype((0.5, float("inf"))), "must be finite"),
        (set_prototype((0.5, "0.5")), "must be a real number, got str"),
        (relabel("leaf"), "node 'leaf' is not a box of 2 index ranges"),
        (relabel(((6, 7),)), "is not a box of 2"),
        (relabel(((7, 6), (4, 5))), "is not a box of 2"),
        (relabel(((6, 7), (4, 4))), "is not a box of 2"),
        (relabel(((6, 7), (4,))), "is not a box of 2"),
        (relabel(((6, 7), 4)), "is not a box of 2"),
        (relabel(((6, 7), (4, 5.5))), "is not a box of 2"),
    ],
)
def test_malformed_nodes_are_named(damage, message):
    broken = graph()
    damage(broken)
    report = tree_structure(broken, CELLS, valency=VALENCY)
    assert len(report.failures) == 1
    assert message in report.failures[0]


def test_a_root_needs_no_prototype():
    free = graph()
    free.nodes[((0, 7), (0, 5))].pop("prototype")
    assert tree_structure(free, CELLS, valency=VALENCY).holds


@pytest.mark.parametrize(("cells", "valency", "message"), [((7, 0), 3, "`cells`"), ((7, 5), 1, "`valency`")])
def test_sizes_are_named(cells, valency, message):
    with pytest.raises(ValueError, match=message):
        tree_structure(graph(), cells, valency=valency)


def test_types_are_named():
    with pytest.raises(TypeError, match="`graph`"):
        tree_structure(None, CELLS, valency=VALENCY)
    with pytest.raises(TypeError, match="`tree`"):
        tree_structure_by_shape(graph())


def test_by_shape_does_not_ask_the_tree_how_many_leaves_it_has():
    class Few(PathwayTree):
        @property
        def num_leaves(self):
            return 1

    honest = tree_structure_by_shape(PathwayTree((4, 4)))
    assert (honest.leaves, honest.height, honest.holds) == (16, 4, True)
    assert tree_structure_by_shape(Few((4, 4))) == honest


def test_counts_by_hand():
    report = tree_structure(PathwayTree((3, 2), valency=2).to_networkx(), (3, 2), valency=2)
    assert (report.nodes, report.leaves, report.height, report.bisectors) == (11, 6, 3, 5)
    by_shape = tree_structure_by_shape(PathwayTree((3, 2), valency=2))
    assert (by_shape.leaves, by_shape.height) == (6, 3)


def test_router_agreement_of_shapes_that_broadcast():
    z = face_points((4, 4), 10, torch.Generator().manual_seed(0))
    leaf = PathwayTree((4, 4)).route(z)
    for routers, message in (
        ({"one": leaf}, "at least two routers"),
        ({}, "at least two routers"),
        (None, "at least two routers"),
        ({"one": leaf, "two": leaf[:1]}, "must hold int64 indices"),
        ({"one": leaf[:, :1], "two": leaf[:, :1]}, "must hold int64 indices"),
        ({"one": leaf.double() * float("nan"), "two": leaf}, "must hold int64 indices"),
        ({"one": leaf.tolist(), "two": leaf}, "must hold int64 indices"),
    ):
        with pytest.raises(ValueError, match=message):
            router_agreement(routers, z)
    with pytest.raises(ValueError, match="`z` must be points"):
        router_agreement({"one": leaf[:0], "two": leaf[:0]}, z[:0])
    other = leaf.clone()
    other[3, 1] = (other[3, 1] + 1) % 4
    agreement = router_agreement({"one": leaf, "two": leaf, "three": other}, z)
    assert (agreement.points, agreement.disagreements) == (len(z), 1)
    assert agreement.first.startswith(f"z = {z[3].tolist()}: one says")


def test_nothing_is_counted_of_what_is_no_tree():
    empty = tree_structure(nx.DiGraph(), CELLS, valency=2)
    assert (empty.nodes, empty.leaves, empty.height, empty.bisectors) == (0, 0, 0, 0)
    gap = nx.DiGraph([(((0, 3),), ((0, 1),)), (((0, 3),), ((2, 3),))])
    nx.set_node_attributes(gap, {((0, 1),): (0.5,), ((2, 3),): (2.5,)}, "prototype")
    report = tree_structure(gap, (3,), valency=2)
    assert (report.nodes, report.leaves, report.height, report.bisectors) == (3, 2, 1, 0)
    assert any("do not fill it side by side" in failure for failure in report.failures)


def test_a_tree_of_one_leaf_by_shape():
    report = tree_structure_by_shape(PathwayTree(()))
    assert (report.holds, report.nodes, report.leaves, report.height, report.bisectors) == (True, 1, 1, 0, 0)


def test_points_beside_every_face_are_tried():
    z = face_points((3,), 2000, torch.Generator().manual_seed(0))[:, 0]
    assert float(z.min()) == 0.0
    assert float(z.max()) == 3.0
    one = torch.ones(1, dtype=torch.float64)
    for face in (one, 2 * one, 3 * one):
        assert bool((z == face).any())
        assert bool((z == torch.nextafter(face, 0 * one)).any())
    assert bool((z == torch.nextafter(one, 2 * one)).any())
    assert int((z != z.round()).sum()) > 500


def test_routers_that_agree_differ_nowhere():
    z = face_points((4, 4), 10, torch.Generator().manual_seed(0))
    leaf = PathwayTree((4, 4)).route(z)
    agreement = router_agreement({"one": leaf, "two": leaf}, z)
    assert (agreement.points, agreement.disagreements, agreement.first) == (12, 0, None)
