"""Numpy arrays where tensors are taken: what `momlp` exports answers them as it answers tensors, with arrays."""

import numpy as np
import pytest
import torch

import momlp
from constructions.distributed_momlp import Ranks, ShardedMoMLP
from constructions.lipschitz_expressiveness import two_unit_controller
from constructions.pathway_tree.flat_tree import FlatTree

X = np.random.default_rng(0).random((60, 2))
SYMMETRIC = np.eye(3) + np.ones((4, 3, 3))


def same(mine, theirs):
    """An array that holds a tensor's numbers."""
    assert isinstance(mine, np.ndarray)
    assert isinstance(theirs, torch.Tensor)
    assert np.array_equal(mine, theirs.numpy())


def tensor(array):
    return torch.from_numpy(np.array(array))


@pytest.mark.parametrize("options", [{"delta": 0.2}, {"leaves": 5}, {"leaves": 5, "method": "kmeans"}])
def test_routers_from_arrays(options):
    tree, other = (momlp.PathwayTree.from_points(x, **options) for x in (X, tensor(X)))
    assert torch.equal(tree.prototypes, other.prototypes)
    for name in ("route", "nearest_leaf"):
        same(getattr(tree, name)(X), getattr(tree, name)(tensor(X)))
    same(tree.flatten().route(X), tree.flatten().route(tensor(X)))
    integers = momlp.PathwayTree.from_points((100 * X).astype(np.int32), delta=20)
    assert integers.prototypes.dtype == torch.float64
    backwards = momlp.PathwayTree.from_points(X[::-1], delta=0.2)  # a view that torch cannot hold
    assert backwards.num_leaves > 1


def test_lattice_routers_answer_arrays():
    tree, z = momlp.PathwayTree((7, 5)), X * [7, 5]
    for name in ("route", "nearest_leaf"):
        same(getattr(tree, name)(z), getattr(tree, name)(tensor(z)))
    flat = tree.flatten()
    assert isinstance(flat, FlatTree)
    same(flat.route(z), flat.route(tensor(z)))


def test_routers_on_a_device_answer_arrays_on_the_host(device):
    tree = momlp.PathwayTree.from_points(X, delta=0.2)
    there = tree.to(device)
    assert np.array_equal(there.route(X), tree.route(X))
    assert np.array_equal(there.flatten().route(X), tree.route(X))


def test_the_points_stay_what_they_were():
    before = X.copy()
    frozen = X.copy()
    frozen.flags.writeable = False
    tree = momlp.PathwayTree.from_points(frozen, delta=0.2)
    tree.prototypes.zero_()
    assert np.array_equal(frozen, before)


def test_sharded_models_answer_arrays(tmp_path):
    model = momlp.build_momlp(momlp.targets.get("cone", n=2), eps=0.1)
    path = momlp.save(model, tmp_path / "model.safetensors")
    with Ranks.start() as ranks:
        sharded = ShardedMoMLP.load(path, ranks)
        same(sharded(X), model(tensor(X)).detach())
        same(sharded.predict(X), sharded.predict(tensor(X)))
        assert sharded(X[:0]).shape == (0, 1)
        with pytest.raises(TypeError, match="`x` must be an array of real numbers"):
            sharded(np.array([["a", "b"]]))
        with pytest.raises(ValueError, match="`x` must have shape"):
            sharded(X[:, :1])


def test_means_of_products_of_arrays():
    for options in ({}, {"k": 2}, {"nested": True}):
        same(momlp.am_gm_ratio(SYMMETRIC, **options), momlp.am_gm_ratio(tensor(SYMMETRIC), **options))
        same(momlp.expected_product(SYMMETRIC, **options), momlp.expected_product(tensor(SYMMETRIC), **options))
    start = np.diag([1.0, 2.0, 3.0])
    mine = momlp.expected_product(SYMMETRIC, 2, nested=True, start=start)
    same(mine, momlp.expected_product(tensor(SYMMETRIC), 2, nested=True, start=tensor(start)))
    with_complex = SYMMETRIC + 0.25j * (np.triu(np.ones(3), 1) - np.tril(np.ones(3), -1))
    same(momlp.am_gm_ratio(with_complex, 2), momlp.am_gm_ratio(tensor(with_complex), 2))
    assert momlp.expected_product(with_complex).dtype == np.complex128
    with pytest.raises(TypeError, match="`A` must be an array of numbers"):
        momlp.am_gm_ratio(np.full((2, 2, 2), "a"))


def test_least_squares_of_arrays():
    rows, targets = np.random.default_rng(1).random((3, 3)), np.arange(3)
    mine, theirs = momlp.LeastSquares(rows, targets), momlp.LeastSquares(tensor(rows), tensor(targets))
    assert torch.equal(mine.solution, theirs.solution)


def test_games_of_arrays():
    y = np.sin(3 * X[:, 0])
    model = momlp.train_momlp(X, y, leaves=3, expert_hidden=(4,), options=momlp.Options(steps=5))
    mine, theirs = momlp.ExpertGame(model, X, y), momlp.ExpertGame(model, tensor(X), tensor(y))
    assert torch.equal(mine.values, theirs.values)
    kinds = (y > 0.5) * 1
    classes = momlp.train_momlp(
        X, kinds, leaves=3, expert_hidden=(4,), task="classification", options=momlp.Options(steps=5)
    )
    mine = momlp.ExpertGame(classes, X, kinds, loss="log")
    assert torch.equal(mine.values, momlp.ExpertGame(classes, tensor(X), tensor(kinds), loss="log").values)


def test_training_and_forests_of_arrays():
    x = X / np.linalg.norm(X, axis=1, keepdims=True)
    x, y = x[:8], np.sign(X[:8, 0] - 0.5)
    weights = []
    for points, labels in ((x, y), (tensor(x), tensor(y))):
        net = momlp.ShiftedReLUNetwork.from_seed(2, 512, seed=0)
        momlp.GaussNewtonTrainer(net, points, labels).step()
        weights.append(net.weight.detach())
    assert torch.equal(*weights)
    keys = np.random.default_rng(0).normal(size=(50, 3))
    mine, theirs = momlp.MaxTreeForest(keys).query(1.0), momlp.MaxTreeForest(tensor(keys)).query(1.0)
    assert torch.equal(mine.neurons, theirs.neurons)
    assert torch.equal(mine.points, theirs.points)


def test_lipschitz_bounds_of_arrays():
    net = two_unit_controller(torch.tensor([0.9, 1.6], dtype=torch.float64))
    box = np.array([-1.0, -2.0]), np.array([2, 1])
    mine, theirs = momlp.lipschitz_bounds(net, *box), momlp.lipschitz_bounds(net, *map(tensor, box))
    assert (mine.lower, mine.upper) == (theirs.lower, theirs.upper)
    A, B, P = np.array([[1.0, 0.1], [0.0, 1.0]]), np.array([[0.005], [0.1]]), np.array([[2.0, 1.0], [1.0, 2.0]])
    loops = momlp.Measure.closed_loop(A, B, P), momlp.Measure.closed_loop(*map(tensor, (A, B, P)))
    found = [momlp.lipschitz_bounds(net, measure=measure).upper for measure in loops]
    assert found[0] == found[1]
    with pytest.raises(TypeError, match="`left` must be an array of real numbers"):
        momlp.lipschitz_bounds(net, left=np.array([["a"]]))


def test_exported_models_are_compared_at_arrays(tmp_path):
    model = momlp.build_momlp(momlp.targets.get("cone", n=2), eps=0.1)
    same(momlp.export_bound(model, X), momlp.export_bound(model, tensor(X)))
    path = momlp.export_pt2(model, tmp_path / "model.pt2")
    assert momlp.pt2_agrees(path, model, x=X, count=10) == momlp.pt2_agrees(path, model, x=tensor(X), count=10)
