"""The tree checker accepts real trees and names what is wrong with broken ones."""

import re

import networkx as nx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from constructions import PathwayTree
from theory.checkers.tree_structure import face_points, router_agreement, tree_structure, tree_structure_by_shape

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


def test_router_agreement_names_the_point():
    z = face_points((4, 4), 100, torch.Generator().manual_seed(0))
    tree = PathwayTree((4, 4))
    floor = z.floor().long().clamp(max=3)  # puts faces on the other side
    agreement = router_agreement({"tree": tree.route(z), "floor": floor}, z)
    assert agreement.disagreements > 0
    assert "floor says" in agreement.first
    assert router_agreement({"tree": tree.route(z), "brute": tree.nearest_leaf(z)}, z).first is None
