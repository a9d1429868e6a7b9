"""The routing tree: routers agree at every float64 point, counts are exact, graphs have a budget."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from constructions import BudgetExceeded, PathwayTree
from constructions.functions.box import Box
from constructions.pathway_tree.lattice import Lattice
from constructions.pathway_tree.tree import child_widths, first_offset
from theory import exact
from theory.pathway_tree.tree_structure import face_points

shapes = st.lists(st.integers(1, 14), min_size=1, max_size=4).map(tuple)
valencies = st.integers(2, 8)


@pytest.mark.law
@given(cells=shapes, valency=valencies, seed=st.integers(0, 2**31))
def test_index_rule_tree_brute_force_and_exact_router_agree(cells, valency, seed):
    """Law: four routers agree at uniform points, on faces and one float step beside faces."""
    tree = PathwayTree(cells, valency=valency)
    z = face_points(cells, 60, torch.Generator().manual_seed(seed))
    by_index = Lattice(Box.of(None, len(cells) + 1), cells, 1).index(z)
    assert torch.equal(tree.route(z), by_index)
    assert torch.equal(tree.nearest_leaf(z), by_index)
    for point, leaf in zip(z[:12], by_index[:12], strict=True):
        assert exact.route_lattice(point, cells) == tuple(leaf.tolist())
        assert tree.path(point)[-1] == tuple((i, i + 1) for i in leaf.tolist())


def test_routing_is_identical_on_the_device(device):
    cells = (708, 33, 5)
    tree = PathwayTree(cells, valency=3)
    z = face_points(cells, 100_000, torch.Generator().manual_seed(0))
    assert torch.equal(tree.route(z.to(device)).cpu(), tree.route(z))


@pytest.mark.exact
@given(width=st.integers(2, 300), valency=valencies)
def test_children_widths_and_first_prototype(width, valency):
    """Wider children first; every prototype stays on its side of every boundary."""
    widths = child_widths(width, valency)
    assert sum(widths) == width
    assert widths == sorted(widths, reverse=True)
    t = first_offset(widths)
    distance, distances = t, [t]
    for w in widths[1:-1]:
        distance = w - distance
        distances.append(distance)
    assert 0 < t < widths[0]
    assert all(d > 0 for d in distances)


@pytest.mark.exact
@settings(max_examples=40)
@given(cells=st.lists(st.integers(1, 9), min_size=1, max_size=3).map(tuple), valency=valencies)
def test_counts_equal_the_graphs(cells, valency):
    tree = PathwayTree(cells, valency=valency)
    graph = tree.to_networkx()
    leaves = [v for v in graph if graph.out_degree(v) == 0]
    assert len(leaves) == tree.num_leaves == math.prod(cells)
    assert graph.number_of_nodes() == tree.num_nodes
    depth, compared = {tree.root: 0}, {tree.root: 0}
    for node in _topological(graph, tree.root):
        for child in graph.successors(node):
            depth[child] = depth[node] + 1
            compared[child] = compared[node] + graph.out_degree(node)
    assert max(depth.values()) == tree.height
    assert max(compared.values()) == tree.max_path_children()


def _topological(graph, root):
    todo = [root]
    while todo:
        node = todo.pop()
        yield node
        todo.extend(graph.successors(node))


@pytest.mark.exact
@given(m=st.integers(1, 500), q=st.integers(1, 4), valency=valencies)
def test_height_formula_for_equal_sides(m, q, valency):
    tree = PathwayTree((m,) * q, valency=valency)
    per_axis, reach = 0, 1
    while reach < m:
        reach, per_axis = reach * valency, per_axis + 1
    assert tree.height == q * per_axis
    if valency == 2:
        assert tree.height <= math.ceil(math.log2(m**q)) + q


def test_astronomic_trees_have_exact_counts_and_paths():
    tree = PathwayTree((1000,) * 30, valency=4)
    assert tree.num_leaves == 10**90
    assert tree.height == 30 * 5
    z = torch.full((30,), 500.25, dtype=torch.float64)
    assert tree.path(z)[-1] == ((500, 501),) * 30
    assert tree.route(z[None]).tolist() == [[500] * 30]
    with pytest.raises(BudgetExceeded, match="max_nodes"):
        tree.to_networkx()
    with pytest.raises(BudgetExceeded, match="max_leaves"):
        tree.nearest_leaf(z[None])
    with pytest.raises(BudgetExceeded, match="64-bit"):
        tree.flat_index(torch.zeros(1, 30, dtype=torch.int64))


def test_single_leaf_tree():
    tree = PathwayTree(())
    z = torch.zeros(3, 0, dtype=torch.float64)
    assert (tree.num_leaves, tree.height, tree.num_nodes) == (1, 0, 1)
    assert tree.route(z).shape == tree.nearest_leaf(z).shape == (3, 0)
    assert tree.path(z[0]) == [()]
    assert tree.to_networkx().number_of_nodes() == 1


@pytest.mark.parametrize("cells", [(0,), (2.0,), (-1, 3), (True,)])
def test_bad_cells(cells):
    with pytest.raises(ValueError, match="`cells`"):
        PathwayTree(cells)


@pytest.mark.parametrize("valency", [1, 9, 2.5])
def test_bad_valency(valency):
    with pytest.raises(ValueError, match="`valency`"):
        PathwayTree((3,), valency=valency)


def test_bad_path_point():
    with pytest.raises(ValueError, match="`z` must have shape"):
        PathwayTree((3, 3)).path(torch.zeros(3))


def test_limits_are_still_allowed(monkeypatch):
    z = torch.tensor([[0.5, 1.5]], dtype=torch.float64)
    tree = PathwayTree((3, 2))
    assert tree.nearest_leaf(z, max_leaves=6).tolist() == [[0, 1]]
    with pytest.raises(BudgetExceeded, match="all 6 leaves, more than max_leaves = 5"):
        tree.nearest_leaf(z, max_leaves=5)
    assert PathwayTree((1,) * 4096).num_leaves == 1
    with pytest.raises(ValueError, match="at most 4096 axes, got 4097"):
        PathwayTree((1,) * 4097)
    assert PathwayTree((2**16383,)).num_leaves == 2**16383
    with pytest.raises(BudgetExceeded, match=r"a product below 2\^16384"):
        PathwayTree((2**16384,))
    with pytest.raises(BudgetExceeded, match="more than 8589934592 bytes"):
        PathwayTree((2**30 + 1,)).leaf_indices()
    monkeypatch.setattr("constructions.pathway_tree.tree.MAX_LISTED_BYTES", 8 * 6 * 2)
    assert tree.leaf_indices().shape == (6, 2)
    monkeypatch.setattr("constructions.pathway_tree.tree.MAX_LISTED_BYTES", 8 * 6 * 2 - 1)
    with pytest.raises(BudgetExceeded, match="6 leaf indices of 2 numbers"):
        tree.leaf_indices()


def test_no_points_have_no_leaves():
    assert PathwayTree((3, 2)).nearest_leaf(torch.zeros(0, 2)).shape == (0, 2)
