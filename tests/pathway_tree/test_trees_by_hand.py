"""Trees, lattices and their checkers against plain loops, and on both sides of every limit."""

import itertools
import math
import random
from fractions import Fraction

import pytest
import torch

from constructions import BudgetExceeded, PathwayTree
from constructions.functions.box import Box
from constructions.pathway_tree.lattice import MAX_KNOTS, Lattice, ceil_sqrt
from constructions.pathway_tree.tree import _count, _line, child_widths, first_offset


def double(values):
    return torch.tensor(values, dtype=torch.float64)


# --- one node ---------------------------------------------------------------------------------------------


@pytest.mark.exact
@pytest.mark.parametrize("valency", range(2, 9))
def test_first_prototypes_are_the_middle_of_what_is_allowed(valency):
    """d_1 = t, d_j = w_j − d_{j−1}: the t with all d_j > 0 (j < v) and t < w_1 are an open interval; its middle."""
    for width in range(2, 40):
        widths = child_widths(width, valency)
        assert widths == sorted(len(range(j, width, min(valency, width))) for j in range(min(valency, width)))[::-1]
        low, high = Fraction(0), Fraction(widths[0])
        for j in range(1, len(widths) - 1):
            # d_j = ±(t − cut), the cut from the sums of the widths with alternating signs
            cut = sum((-1) ** i * widths[j - i] for i in range(j)) * (1 if j % 2 else -1)
            low, high = (low, min(high, Fraction(cut))) if j % 2 else (max(low, Fraction(cut)), high)
        assert first_offset(widths) == (low + high) / 2


@pytest.mark.exact
def test_lines_of_trees_by_recursion():
    def counted(width, valency):
        if width == 1:
            return 0, 0
        below = [counted(w, valency) for w in child_widths(width, valency)]
        return 1 + max(b[0] for b in below), min(valency, width) + max(b[1] for b in below)

    for valency in range(2, 9):
        for width in [*range(1, 70), 125, 129, 343, 345]:
            assert _line(width, valency) == counted(width, valency)


def test_nodes_that_are_none():
    tree = PathwayTree((3, 2))
    assert tree.is_leaf(((1, 2), (0, 1)))
    assert not tree.is_leaf(((1, 2), (0, 2)))
    assert tree.split_axis(((0, 2), (0, 2))) == 0
    assert tree.split_axis(((1, 2), (0, 2))) == 1
    for node in (((0, 3),), ((0, 3), (0, 2), (0, 1)), ((0, 0), (0, 2)), ((0, 3), (2, 1)), ((0, 3), (1, 1))):
        with pytest.raises(ValueError, match="`node` must be 2 pairs"):
            tree.is_leaf(node)
    for node in (
        None,
        [(0, 3), (0, 2)],
        ((0, 3), [0, 2]),
        ((0, 3), (0, 2, 4)),
        ((0, 3), (0, 2.0)),
        ((0, 3), (False, 2)),
    ):
        with pytest.raises(TypeError, match="`node` must be a tuple of pairs"):
            tree.is_leaf(node)
    with pytest.raises(ValueError, match="the tree is a single leaf"):
        PathwayTree(()).split_axis(())
    with pytest.raises(ValueError, match="must be an inner node, got the leaf"):
        tree.child_prototypes(((0, 1), (1, 2)))


# --- routing and numbering --------------------------------------------------------------------------------


@pytest.mark.exact
@pytest.mark.parametrize("valency", [2, 3, 5, 8])
@pytest.mark.parametrize("cells", [(1,), (9,), (2, 7), (7, 2), (3, 3), (4, 1, 5)])
def test_routes_numbers_and_graphs_by_hand(cells, valency):
    tree = PathwayTree(cells, valency=valency)
    every = list(itertools.product(*(range(m) for m in cells)))
    assert tree.leaf_indices().tolist() == [list(leaf) for leaf in every]
    assert tree.flat_index(torch.tensor(every)).tolist() == list(range(len(every)))
    ends = [0.0, 0.25, 1.0, 1.5, 2.0, 2.5, 3.0]
    z = [[min(v, m) for v, m in zip(p, cells, strict=True)] for p in itertools.product(ends, repeat=len(cells))]
    z += [[m - 0.25 for m in cells], [float(m) for m in cells], [-3.0] * len(cells), [m + 9.0 for m in cells]]
    leaves = [[min(max(math.ceil(v) - 1, 0), m - 1) for v, m in zip(p, cells, strict=True)] for p in z]
    assert tree.route(double(z)).tolist() == leaves
    assert tree.nearest_leaf(double(z)).tolist() == leaves
    graph = tree.to_networkx(max_nodes=tree.num_nodes)
    assert graph.nodes[tree.root]["prototype"] == tuple(m / 2 for m in cells)
    for point, leaf in list(zip(z, leaves, strict=True))[:: max(1, len(z) // 20)]:
        path = tree.path(double(point))
        assert path[-1] == tuple((i, i + 1) for i in leaf)
        assert path[0] == tree.root
        assert all(child in tree.children(node) for node, child in itertools.pairwise(path))
    if len(every) > 1:
        with pytest.raises(BudgetExceeded, match=f"more than `max_nodes` = {tree.num_nodes - 1};"):
            tree.to_networkx(max_nodes=tree.num_nodes - 1)


def test_coordinates_and_leaves_of_another_form():
    tree = PathwayTree((3, 2))
    for z in (torch.zeros(2), torch.zeros(1, 3), torch.zeros(1, 1), torch.zeros(1, 2, 2), torch.zeros(2, 2, 1)):
        for call in (tree.route, tree.nearest_leaf):
            with pytest.raises(ValueError, match=r"`z` must have shape \(B, 2\)"):
                call(z)
    for row, column, value in ((0, 0, math.nan), (2, 1, math.inf), (1, 0, -math.inf)):
        z = torch.zeros(3, 2)
        z[row, column] = value
        with pytest.raises(ValueError, match=f"`z` must be finite, row {row} is"):
            tree.route(z)
    for leaf in (torch.zeros(2, dtype=torch.int64), torch.zeros(1, 3, dtype=torch.int64), torch.zeros(1, 2, 2).long()):
        with pytest.raises(ValueError, match=r"`leaf` must have shape \(B, 2\)"):
            tree.flat_index(leaf)
    for leaf in (torch.zeros(1, 2), torch.zeros(1, 2, dtype=torch.bool)):
        with pytest.raises(TypeError, match="`leaf` must hold integers"):
            tree.flat_index(leaf)
    assert PathwayTree(()).leaf_indices().shape == (1, 0)
    assert PathwayTree(()).flat_index(torch.zeros(3, 0, dtype=torch.int64)).tolist() == [0, 0, 0]


def test_numbers_of_leaves_at_their_limits():
    tree = PathwayTree((2**63 - 1,))
    assert tree.flat_index(torch.tensor([[2**63 - 2]])).tolist() == [2**63 - 2]
    with pytest.raises(BudgetExceeded, match="9223372036854775808 leaves have no 64-bit ids"):
        PathwayTree((2**63,)).flat_index(torch.tensor([[0]]))
    with pytest.raises(BudgetExceeded, match="all 4194305 leaves, more than max_leaves = 4194304"):
        PathwayTree((2**22 + 1,)).nearest_leaf(torch.zeros(1, 1))
    with pytest.raises(ValueError, match="`max_leaves`"):
        PathwayTree((2,)).nearest_leaf(torch.zeros(1, 1), max_leaves=0)
    assert PathwayTree((1,)).nearest_leaf(torch.zeros(1, 1), max_leaves=1).tolist() == [[0]]
    assert PathwayTree((100_001,)).num_nodes == 200_001
    with pytest.raises(
        BudgetExceeded, match="the graph has 100001 leaves and more nodes, more than `max_nodes` = 200000;"
    ):
        PathwayTree((100_001,)).to_networkx()
    with pytest.raises(ValueError, match="`max_nodes`"):
        PathwayTree((1,)).to_networkx(max_nodes=0)
    assert PathwayTree((1,)).to_networkx(max_nodes=1).number_of_nodes() == 1
    assert PathwayTree((2**8191, 2**8191)).num_leaves == 2**16382
    assert PathwayTree((2**8191, 2**8192)).num_leaves == 2**16383
    with pytest.raises(BudgetExceeded, match=r"a product below 2\^16384"):
        PathwayTree((2**8192, 2**8192))
    assert _count(2**200 - 1) == str(2**200 - 1)
    assert _count(2**200) == "about 2^200"
    assert PathwayTree((9,), valency=8).valency == 8


def test_how_many_leaves_of_a_line_are_listed(monkeypatch):
    monkeypatch.setattr("constructions.pathway_tree.tree.MAX_LISTED_BYTES", 8 * 6)
    assert PathwayTree((6,)).leaf_indices().tolist() == [[i] for i in range(6)]
    with pytest.raises(BudgetExceeded, match="7 leaf indices of 1 numbers take more than 48 bytes"):
        PathwayTree((7,)).leaf_indices()


def test_shapes_of_boxes(monkeypatch):
    tree = PathwayTree((5, 3))

    def below(shape):
        found = {shape}
        if shape[0] > 1:
            for width in child_widths(shape[0], 2):
                found |= below(tuple(sorted((width, *shape[1:]), reverse=True)))
        return found

    shapes = list(tree.shapes())
    assert len(shapes) == len(set(shapes))
    assert set(shapes) == below((5, 3))
    monkeypatch.setattr("constructions.pathway_tree.tree.MAX_SHAPES", len(shapes))
    assert set(tree.shapes()) == set(shapes)
    monkeypatch.setattr("constructions.pathway_tree.tree.MAX_SHAPES", len(shapes) - 1)
    with pytest.raises(BudgetExceeded, match=f"more than {len(shapes) - 1} shapes of boxes"):
        list(tree.shapes())


def test_points_of_a_cloud_by_hand():
    """Greedy: the first point, then the farthest; δ = 2 leaves nothing farther, three leaves are those three."""
    cloud = double([[0.0], [1.0], [10.0], [9.0], [5.0]])
    for options in ({"delta": 4.5}, {"leaves": 3}):
        tree = PathwayTree.from_points(cloud, **options)
        assert sorted(tree.leaf_prototypes[:, 0].tolist()) == [0.0, 5.0, 10.0]
    assert PathwayTree.from_points(cloud, delta=5.0).num_leaves == 2
    assert PathwayTree.from_points(cloud, delta=0.5).num_leaves == 5
    assert PathwayTree.from_points(cloud, leaves=5).num_leaves == 5
    assert PathwayTree.from_points(cloud, leaves=1).num_leaves == 1
    assert PathwayTree.from_points(cloud, leaves=4, valency=64).valency == 64
    assert PathwayTree.from_points(cloud, leaves=4).valency == 2
    means = PathwayTree.from_points(cloud, leaves=2, method="kmeans")
    assert sorted(means.leaf_prototypes[:, 0].tolist()) == pytest.approx([2.0, 9.5])
    for options, message in (
        ({}, "give exactly one of `delta` and `leaves`"),
        ({"delta": 1.0, "leaves": 2}, "give exactly one of `delta` and `leaves`"),
        ({"leaves": 0}, "`leaves`"),
        ({"leaves": 6}, "`leaves`"),
        ({"delta": 0.0}, "`delta`"),
        ({"delta": 1.0, "method": "kmeans"}, "`leaves` is needed for method='kmeans'"),
        ({"leaves": 2, "valency": 1}, "`valency`"),
        ({"leaves": 2, "valency": 65}, "`valency`"),
        ({"leaves": 2, "seed": -1}, "`seed`"),
    ):
        with pytest.raises(ValueError, match=message):
            PathwayTree.from_points(cloud, **options)
    with pytest.raises(ValueError, match="`leaves` must be at most the 5 distinct points, got 6"):
        PathwayTree.from_points(torch.cat([cloud, cloud]), leaves=6)


# --- lattices ---------------------------------------------------------------------------------------------


@pytest.mark.exact
def test_square_roots_rounded_up():
    for value in (-3, 0, Fraction(1, 9), 1, Fraction(10, 9), 2, 4, Fraction(37, 9), 5, 9, 10, 2**80, 2**80 + 1):
        found = ceil_sqrt(Fraction(value))
        assert found == min(k for k in (1, 2, 3, 4, 2**40, 2**40 + 1) if k * k >= value)
    assert ceil_sqrt(4) == 2
    for value in (True, 4.0, None):
        with pytest.raises(TypeError, match="`value` must be a Fraction"):
            ceil_sqrt(value)


BOX = Box((-1.0, 2.0, 0.5), (2.0, 2.5, 8.5))


@pytest.mark.exact
def test_lattices_by_hand():
    """Steps of 1/2 on the first axis, 1/8 on the second, knots 2 apart on the third: all dyadic, so all exact."""
    lattice = Lattice(BOX, (6, 4), 4)
    index = [list(leaf) for leaf in itertools.product(range(6), range(4))]
    centres = [[-1 + (i + 0.5) / 2, 2 + (j + 0.5) / 8] for i, j in index]
    assert lattice.centres(torch.tensor(index)).tolist() == centres
    low, high = lattice.faces(torch.tensor(index))
    assert low.tolist() == [[-1 + i / 2, 2 + j / 8] for i, j in index]
    assert high.tolist() == [[-1 + (i + 1) / 2, 2 + (j + 1) / 8] for i, j in index]
    assert lattice.knot_positions().tolist() == [0.5, 2.5, 4.5, 6.5, 8.5]
    dice = random.Random(0)
    points = [
        [-1 + dice.randint(0, 96) / 32, 2 + dice.randint(0, 64) / 128, 0.5 + dice.randint(0, 256) / 32]
        for _ in range(60)
    ]
    points += [[-1.0, 2.0, 0.5], [2.0, 2.5, 8.5]]
    z = [[(x + 1) * 2, (y - 2) * 8] for x, y, _ in points]
    assert lattice.coordinates(double(points)).tolist() == z
    leaf = [[max(math.ceil(a) - 1, 0), max(math.ceil(b) - 1, 0)] for a, b in z]
    assert lattice.index(double(z)).tolist() == leaf
    assert lattice.index(double([[-5.0, 9.0]])).tolist() == [[0, 3]]
    offsets = [
        [x - (-1 + (i + 0.5) / 2), y - (2 + (j + 0.5) / 8), min(abs(t - k) for k in (0.5, 2.5, 4.5, 6.5, 8.5))]
        for (x, y, t), (i, j) in zip(points, leaf, strict=True)
    ]
    assert lattice.offset_from_nodes(double(points)).tolist() == offsets
    assert Lattice(BOX, (6, 4), 0).offset_from_nodes(double(points)).tolist() == [row[:2] for row in offsets]
    assert lattice.offset_from_nodes(torch.zeros(1, 3, dtype=torch.float32)).dtype is torch.float32


def test_the_last_face_is_the_end_of_the_domain():
    third = Lattice(Box((0.0,), (0.7,)), (3,), 0)
    low, high = third.faces(torch.tensor([[0], [1], [2]]))
    assert float(high[2]) == 0.7
    assert high[:2].tolist() == low[1:].tolist()
    uneven = Lattice(Box((0.1,), (0.7,)), (), 7)
    t = uneven.knot_positions()
    assert len(t) == 8
    assert (float(t[0]), float(t[-1])) == (0.1, 0.7)
    assert t.diff().tolist() == pytest.approx([0.6 / 7] * 7)


def test_sizes_of_lattices():
    for cells, knots in (((6, 4), 1), ((6, 4, 2), 0), ((), 5), ((3,), 0)):
        assert Lattice(BOX, cells, knots).q == len(cells)
    for cells, knots, sentence in (
        ((6, 4, 2), 1, "3 axes of cells and one of knots"),
        ((6, 4, 2), 2, "3 axes of cells and one of knots"),
        ((1, 1, 1, 1), 0, "4 axes of cells"),
    ):
        with pytest.raises(ValueError, match=f"must fit the domain's 3 axes, got {sentence}$"):
            Lattice(BOX, cells, knots)
    with pytest.raises(ValueError, match="`knots`"):
        Lattice(BOX, (6,), -1)
    for knots in (0, MAX_KNOTS + 1):
        with pytest.raises(ValueError, match=f"`knots` must be between 1 and 4294967296 to be listed, got {knots}"):
            Lattice(BOX, (6, 4), knots).knot_positions()
    assert Lattice(BOX, (6, 4), 1).knot_positions().tolist() == [0.5, 8.5]
    lattice = Lattice(BOX, (6, 4), 1)
    for rows in (torch.zeros(2), torch.zeros(1, 3), torch.zeros(1, 1), torch.zeros(1, 2, 2)):
        for name, call in (("z", lattice.index), ("index", lattice.centres), ("index", lattice.faces)):
            with pytest.raises(ValueError, match=rf"`{name}` must have shape \(B, 2\)"):
                call(rows)
    for x in (torch.zeros(3), torch.zeros(4, 1), torch.zeros(3, 3, 3)):
        with pytest.raises(ValueError, match=r"`x` must have shape \(B, 3\)"):
            lattice.coordinates(x)
    assert lattice.coordinates(torch.zeros(4, 2)).shape == (4, 2)
