"""Flat trees give the leaves of the trees they are made of, to the last point, compiled and in torch operations."""

import importlib
import itertools
import math
import sys
import warnings
from dataclasses import replace
from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from constructions import BudgetExceeded, PathwayTree
from constructions.pathway_tree import flat_prototype_tree, flat_tree
from constructions.pathway_tree.flat_prototype_tree import FlatPrototypeTree
from constructions.pathway_tree.flat_tree import FlatTree
from constructions.pathway_tree.prototype_tree import PrototypeTree, arrange
from theory.pathway_tree.tree_structure import face_points

shapes = st.lists(st.integers(1, 14), min_size=1, max_size=4).map(tuple)
ENDS = (-math.inf, math.inf)
COMPILED = flat_tree.kernels()


def ways(flat):
    """The routers of a flat tree: as it comes (compiled where numba is), and in torch operations."""
    return [flat.route, flat.descend]


def neighbours(x):
    """Points, and one float step beside them along every axis at once."""
    return torch.cat([x, *(torch.nextafter(x, torch.full_like(x, end)) for end in ENDS)])


def corners(cells):
    """Every corner of every cell, its float neighbours, and points far outside."""
    grid = torch.cartesian_prod(*(torch.arange(m + 1, dtype=torch.float64) for m in cells)).reshape(-1, len(cells))
    mixed = grid.clone()
    mixed[:, ::2] = torch.nextafter(mixed[:, ::2], torch.full_like(mixed[:, ::2], math.inf))
    far = torch.tensor([-1e308, -1.0, -5e-324, -0.0, 5e-324, 1e17, 1e308], dtype=torch.float64)
    return torch.cat([neighbours(grid), mixed, far[:, None].expand(-1, len(cells)), far[:, None] * (grid[-1] > 1)])


# --- lattices -----------------------------------------------------------------------------------------------


@pytest.mark.law
@given(cells=shapes, valency=st.integers(2, 8), seed=st.integers(0, 2**31))
def test_the_leaves_are_those_of_the_tree(cells, valency, seed):
    """Law: uniform points, faces, and one float step beside faces; nodes and height are those of the tree."""
    tree = PathwayTree(cells, valency=valency)
    flat = tree.flatten()
    assert (flat.num_nodes, flat.height) == (tree.num_nodes, tree.height)
    z = face_points(cells, 60, torch.Generator().manual_seed(seed))
    expected = tree.flat_index(tree.route(z))
    for route in ways(flat):
        assert torch.equal(route(z), expected)


@pytest.mark.exact
@pytest.mark.parametrize("valency", range(2, 9))
@pytest.mark.parametrize("cells", [(1,), (17,), (5, 3), (1, 4, 1, 3), (2, 2, 2, 2), (11, 10)])
def test_corners_their_neighbours_and_points_outside(cells, valency):
    tree, z = PathwayTree(cells, valency=valency), corners(cells)
    expected = tree.flat_index(tree.route(z))
    assert torch.equal(expected, tree.flat_index(tree.nearest_leaf(z.clamp(-1e9, 1e9))))
    for route in ways(tree.flatten()):
        assert torch.equal(route(z), expected)


def test_arrays_by_hand():
    """5 cells: 3 and 2 of them at the boundary 3; breadth first."""
    flat = PathwayTree((5,)).flatten()
    assert flat.bound[:, 0].tolist() == [3, 2, 4, 1, math.inf, math.inf, math.inf, math.inf, math.inf]
    assert flat.first.tolist() == [1, 3, 5, 7, 4, 5, 6, 7, 8]
    assert flat.leaf.tolist() == [-1, -1, -1, -1, 2, 3, 4, 0, 1]
    assert flat.axis.tolist() == [0] * 9
    assert repr(flat) == "FlatTree(q=1, nodes=9, height=3)"
    assert flat.nbytes == 9 * (4 + 8 + 4 + 8)


def test_a_bound_one_step_off_is_noticed():
    """A negative control: the points of the tests above tell the wrong array from the right one."""
    tree, z = PathwayTree((5, 3)), corners((5, 3))
    flat = tree.flatten()
    expected = tree.flat_index(tree.route(z))
    for node, end in itertools.product(range(flat.num_nodes), ENDS):
        if math.isfinite(flat.bound[node, 0]):
            bound = flat.bound.clone()
            bound[node] = torch.nextafter(bound[node], torch.full_like(bound[node], end))
            for route in ways(replace(flat, bound=bound)):
                assert not torch.equal(route(z), expected)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_is_refused_as_by_the_tree(bad):
    tree = PathwayTree((5, 3))
    z = torch.rand(4, 2, dtype=torch.float64)
    z[2, 1] = bad
    messages = []
    for route in (tree.route, tree.flatten().route):
        with pytest.raises(ValueError, match="`z` must be finite, row 2") as caught:
            route(z)
        messages.append(str(caught.value))
    assert messages[0] == messages[1]
    for wrong, kind in ((z[:, :1], ValueError), (z[0], ValueError), (z.tolist(), TypeError), (z * 1j, TypeError)):
        with pytest.raises(kind, match="`z`"):
            tree.flatten().route(wrong)


def test_points_of_other_kinds():
    """float32, integers, transposed, with gradients, none at all; trees of one leaf."""
    tree = PathwayTree((7, 4), valency=3)
    flat = tree.flatten()
    z = torch.rand(2, 100, generator=torch.Generator().manual_seed(0)).T * 9 - 1
    for points in (z, z.double().requires_grad_(), z.int(), z[:0], z.to(torch.bfloat16)):
        expected = tree.flat_index(tree.route(points))
        assert torch.equal(flat.route(points), expected)
        assert expected.dtype == flat.route(points).dtype == torch.int64
    for cells in ((), (1,), (1, 1)):
        single, points = PathwayTree(cells), torch.zeros(3, len(cells))
        assert single.flatten().route(points).tolist() == [0, 0, 0]
        assert single.flatten().descend(points).tolist() == [0, 0, 0]


def test_trees_too_large_to_list():
    with pytest.raises(BudgetExceeded, match="6 leaves have more nodes than `max_nodes` = 10: use route"):
        PathwayTree((3, 2)).flatten(max_nodes=10)
    assert PathwayTree((3, 2)).flatten(max_nodes=11).num_nodes == 11
    with pytest.raises(BudgetExceeded, match="`max_nodes` = 16777216"):
        PathwayTree((10**300,) * 12).flatten()
    with pytest.raises(ValueError, match="`max_nodes` must be an integer between 1 and 2147483648"):
        PathwayTree((3, 2)).flatten(max_nodes=2**31 + 1)


def test_arrays_that_lead_astray_are_refused():
    """Compiled code does not look where it reads."""
    flat = PathwayTree((3, 2)).flatten()
    for name, value, message in (
        ("first", flat.first - 2, "`first` must lead to nodes 0 … 10"),
        ("first", flat.first + 5, "`first` must lead to nodes 0 … 10"),
        ("axis", flat.axis + 2, "`axis` must be 0 … 1"),
        ("axis", flat.axis - 1, "`axis` must be 0 … 1"),
        ("axis", flat.axis[:5], "`axis` must be 11 contiguous rows"),
        ("axis", flat.axis.long(), "`axis` must be 11 contiguous rows of torch.int32"),
        ("bound", flat.bound[:, 0], "`bound` must be 11"),
        ("leaf", flat.leaf.int(), "`leaf` must be 11"),
        ("height", -1, "`height` must be"),
    ):
        with pytest.raises(ValueError, match=message):
            replace(flat, **{name: value})
    with pytest.raises(ValueError, match="`axis` must be 0 contiguous rows"):
        FlatTree(*(t[:0] for t in (flat.axis, flat.bound, flat.first, flat.leaf)), q=2, height=0)


def test_on_the_device(device):
    tree, z = PathwayTree((17, 5, 3), valency=3), face_points((17, 5, 3), 2000, torch.Generator().manual_seed(0))
    expected = tree.flat_index(tree.route(z))
    flat = tree.flatten()
    for there in (tree.flatten(device=device), flat.to(device)):
        assert torch.equal(there.route(z.to(device)).cpu(), expected)
    assert torch.equal(flat.to(device).to("cpu").route(z), expected)
    with pytest.raises(ValueError, match="`z` must be on the tree's device cpu"):
        flat.route(z.to(device))


# --- data ---------------------------------------------------------------------------------------------------


def cloud(count, n, seed=0, grid=False):
    points = torch.rand(count, n, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return torch.unique((points * 4).round(), dim=0) if grid else points


def hard_points(tree, seed):
    """Prototypes, middles of siblings and of any two nodes, their neighbours, and points nowhere near."""
    p = tree.prototypes.double()
    below = tree.children[(tree.children >= 0).sum(1) > 1]
    middles = (p[below[:, 0].clamp(min=0)] + p[below[:, 1].clamp(min=0)]) / 2
    any_two = (p + p[torch.randperm(len(p), generator=torch.Generator().manual_seed(seed))]) / 2
    ends = torch.full((2, p.shape[1]), math.inf, dtype=torch.float64) * torch.tensor([[1.0], [-1.0]])
    far = torch.tensor([-1e308, -1e154, -1e3, 1e3, 1e200, 1.7e308], dtype=torch.float64)[:, None]
    return torch.cat([neighbours(torch.cat([p, middles, any_two])), far.expand(-1, p.shape[1]), p[:1] * far, ends])


def agrees(tree, x):
    expected, flat = tree.route(x), tree.flatten()
    assert int(expected.min()) >= 0
    for route in ways(flat):
        assert torch.equal(route(x), expected)


@pytest.mark.law
@settings(max_examples=60, deadline=None)
@given(
    count=st.integers(1, 200),
    n=st.integers(1, 6),
    valency=st.integers(2, 9),
    seed=st.integers(0, 99),
    grid=st.booleans(),
    shift=st.sampled_from([0.0, 1e9, -3.0]),
    scale=st.sampled_from([1.0, 1e-200, 1e150, 1e299]),
)
def test_the_leaves_are_those_of_the_tree_from_data(count, n, valency, seed, grid, shift, scale):
    """Law: random points and points where children tie or nearly do, clouds far from 0, tiny and huge ones."""
    points = torch.unique((cloud(count, n, seed, grid) + shift) * scale, dim=0)
    tree = arrange(points, valency=valency)[0]
    agrees(tree, torch.cat([hard_points(tree, seed), (cloud(50, n, seed + 1) + shift) * scale]))


def test_numbering_of_the_nodes():
    """Children of a node are neighbours, in their order; places without a child are left out."""
    children = torch.full((6, 3), -1)
    children[0] = torch.tensor([-1, 2, 1])
    children[1] = torch.tensor([4, -1, -1])
    children[2] = torch.tensor([5, -1, 3])
    prototypes = torch.arange(6.0, dtype=torch.float64)[:, None]
    tree = PrototypeTree(prototypes, children, torch.zeros(3, 1, dtype=torch.float64))
    flat = tree.flatten()
    assert flat.prototypes[:, 0].tolist() == [0, 2, 1, 5, 3, 4]
    assert flat.first.tolist()[:3] == [1, 3, 5]
    assert flat.count.tolist() == [2, 2, 1, 0, 0, 0]
    assert flat.leaf.tolist() == [-1, -1, -1, 0, 1, 2]
    assert (flat.num_nodes, flat.height, flat.n) == (6, 2, 1)
    assert repr(flat) == "FlatPrototypeTree(n=1, nodes=6, height=2)"
    agrees(tree, hard_points(tree, 0))


def test_squares_that_overflow_reach_a_leaf():
    """An absent first child was as near as the others: no leaf, −1, was found."""
    children = torch.tensor([[-1, 1, 2], [-1, -1, -1], [-1, -1, -1]])
    leaves = torch.tensor([[1.0], [2.0]], dtype=torch.float64)
    tree = PrototypeTree(torch.cat([leaves[:1], leaves]), children, leaves)
    x = torch.tensor([[1e200], [-1e200], [math.inf], [1.2], [1.9]], dtype=torch.float64)
    assert tree.route(x).tolist() == [0, 0, 0, 0, 1]
    agrees(tree, x)


def test_nan_is_refused_as_by_the_tree():
    tree, x = arrange(cloud(9, 2))[0], cloud(5, 2)
    x[3, 1] = math.nan
    for route in (tree.route, tree.flatten().route):
        with pytest.raises(ValueError, match="`x` must not be NaN, row 3"):
            route(x)
        with pytest.raises(ValueError, match="`x` must have shape"):
            route(x[:, :1])
    assert tree.flatten().route(x[:0]).shape == (0,)
    assert torch.equal(tree.flatten().route(x[:3].float()), tree.route(x[:3].float()))


@pytest.mark.skipif(COMPILED is None, reason="needs numba")
def test_ties_are_left_to_the_exact_way_and_without_it_they_are_wrong():
    """A negative control: on a grid the fast descent is unsure, and without its margin it differs."""
    tree = arrange(cloud(400, 3, grid=True) * 0.1, valency=4)[0]
    flat, x = tree.flatten(), hard_points(tree, 0)
    x = x[torch.isfinite(x).all(1) & (x.abs().amax(1) < 10)].contiguous()
    bisectors, _ = flat._arrays
    found = torch.empty(len(x), dtype=torch.int64)
    COMPILED.descend_bisectors(x.numpy(), *bisectors, found.numpy())
    unsure = found < 0
    assert 0 < int(unsure.sum()) < len(x)
    assert torch.equal(found[~unsure], tree.route(x)[~unsure])
    COMPILED.descend_bisectors(x.numpy(), *bisectors[:2], -1.0, *bisectors[3:], found.numpy())
    assert not torch.equal(found, tree.route(x))
    assert torch.equal(flat.route(x), tree.route(x))
    far = torch.full((1, 3), 1.01 * bisectors[1] + 1, dtype=torch.float64)
    COMPILED.descend_bisectors(far.numpy(), *bisectors, found[:1].numpy())
    assert int(found[0]) == -1


@pytest.mark.exact
@pytest.mark.parametrize("n", [1, 2, 5, 9])
def test_the_margin_covers_the_error_of_bisectors(n):
    """H of the compiled arrays against rationals: within u·n·r²·(7n + 19), and the margin is twice what it must be."""
    tree = arrange(cloud(40, n, seed=n) + 0.3, valency=3)[0]
    flat = tree.flatten()
    centre, reach, margin, first, count, begin, normal, offset, _ = flat._arrays[0]
    u = Fraction(1, 2**53)
    bound = u * n * Fraction(reach) ** 2 * (7 * n + 19)
    assert Fraction(margin) > 2 * u * n * Fraction(reach) ** 2 * (22 * n + 54)
    x = torch.from_numpy(centre) + (cloud(6, n, seed=77) * 2 - 1) * reach
    for node in torch.tensor(count.astype("int64")).nonzero()[:, 0].tolist()[:9]:
        nearest = [Fraction(v) for v in flat.prototypes[int(first[node])].tolist()]
        for c in range(1, int(count[node])):
            row, other = int(begin[node]) + c - 1, [Fraction(v) for v in flat.prototypes[int(first[node]) + c].tolist()]
            for point in x:
                exact = sum(
                    (Fraction(v) - p) ** 2 - (Fraction(v) - q) ** 2
                    for v, p, q in zip(point.tolist(), other, nearest, strict=True)
                )
                moved = point - torch.from_numpy(centre)
                computed = float(offset[row]) - float(torch.from_numpy(normal[row]) @ moved)
                assert abs(Fraction(computed) - exact) <= bound


def test_clouds_whose_squares_might_overflow_take_the_exact_way():
    tree = arrange(cloud(30, 2) * 1e200, valency=3)[0]
    assert tree.flatten()._arrays[0][2] == math.inf
    agrees(tree, hard_points(tree, 0))


def test_data_on_the_device(device):
    tree, x = arrange(cloud(200, 3), valency=3)[0], cloud(500, 3, seed=1)
    there = tree.flatten().to(device)
    assert torch.equal(there.route(x.to(device)).cpu(), tree.route(x))
    assert torch.equal(tree.to(device).flatten().route(x.to(device)).cpu(), tree.route(x))
    assert torch.equal(there.to("cpu").route(x), tree.route(x))
    with pytest.raises(ValueError, match="`x` must be on the tree's device"):
        there.route(x)


# --- compiled code ------------------------------------------------------------------------------------------


def test_without_numba_it_says_so_once(monkeypatch):
    monkeypatch.setitem(sys.modules, "numba", None)
    for module in ("constructions.pathway_tree.kernels", "constructions.jit"):
        monkeypatch.delitem(sys.modules, module, raising=False)
    flat_tree.kernels.cache_clear()
    tree, data = PathwayTree((5, 3)), arrange(cloud(40, 2))[0]
    z = corners((5, 3))
    try:
        with pytest.warns(UserWarning, match=r"routing in torch operations: install momlp\[fast\]") as said:
            assert torch.equal(tree.flatten().route(z), tree.flat_index(tree.route(z)))
        assert len(said) == 1
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert torch.equal(tree.flatten().route(z), tree.flat_index(tree.route(z)))
            assert torch.equal(data.flatten().route(z), data.route(z))
    finally:
        flat_tree.kernels.cache_clear()


@pytest.mark.skipif(COMPILED is None, reason="needs numba")
@pytest.mark.parametrize(("rows", "threads", "parts"), [(10, 3, 3), (2, 3, 2), (0, 3, 1), (7, 1, 1)])
def test_rows_are_shared_among_threads(monkeypatch, rows, threads, parts):
    monkeypatch.setattr(COMPILED, "ROWS_PER_THREAD", 1)
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    calls = []

    def kernel(points, factor, found):
        calls.append(len(points))
        found[:] = points * factor

    points, found = torch.arange(rows).numpy(), torch.full((rows,), -1).numpy()
    COMPILED.in_threads(kernel, points, 3, found=found)
    assert (found == 3 * points).all()
    assert (len(calls), sum(calls)) == (parts, rows)


@pytest.mark.skipif(COMPILED is None, reason="needs numba")
def test_many_threads_give_the_same_leaves(monkeypatch):
    tree, z = PathwayTree((21, 13, 5)), face_points((21, 13, 5), 3000, torch.Generator().manual_seed(0))
    data, x = arrange(cloud(300, 3))[0], cloud(3000, 3, seed=1)
    monkeypatch.setattr(COMPILED, "ROWS_PER_THREAD", 100)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 5)
    assert torch.equal(tree.flatten().route(z), tree.flat_index(tree.route(z)))
    assert torch.equal(data.flatten().route(x), data.route(x))


@pytest.mark.skipif(COMPILED is None, reason="needs numba")
def test_a_folder_that_cannot_be_written_compiles_without_one(monkeypatch):
    calls = []

    def njit(cache=False, **options):
        calls.append(cache)
        if cache:
            raise RuntimeError("cannot cache function 'f': no locator available for file 'f.py'")
        return lambda function: function

    jit = importlib.import_module("constructions.jit")
    monkeypatch.setattr(jit, "njit", njit)
    assert jit.jit()(abs)(-3) == 3
    assert calls == [True, False]


def test_torch_operations_work_in_parts(monkeypatch):
    monkeypatch.setattr(flat_tree, "kernels", lambda: None)
    monkeypatch.setattr(flat_prototype_tree, "kernels", lambda: None)
    monkeypatch.setattr(flat_tree, "ROWS_ON_CPU", 7)
    monkeypatch.setattr(flat_prototype_tree, "CHUNK_BYTES", 8 * 2 * 2 * 7)
    tree, data, z = PathwayTree((5, 3)), arrange(cloud(40, 2))[0], corners((5, 3))
    assert torch.equal(tree.flatten().route(z), tree.flat_index(tree.route(z)))
    assert torch.equal(data.flatten().route(z), data.route(z))
    assert isinstance(data.flatten(), FlatPrototypeTree)
