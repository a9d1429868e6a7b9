"""Attacks on the arithmetic below the checks: flushed denormals, integers beyond 2^53, squares that vanish."""

from fractions import Fraction

import pytest
import torch
from torch import nn

from constructions import PathwayTree
from theory import Status, exact
from theory.bit_extraction.checkers.interpolant import realises_interpolant
from theory.pathway_tree.checkers import covering_net, covering_radius_le
from theory.vc_dimension.checkers.networks import check_networks

DOUBLE = {"dtype": torch.float64}
FLUSHED = "`torch.set_flush_denormal.True.` is in force"


@pytest.fixture
def flushed():
    if not torch.set_flush_denormal(True):
        pytest.skip("this processor has no such mode")
    yield
    torch.set_flush_denormal(False)


def one_point():
    """Weights of 2^-1050 on a point of 2^1000: the output is 2^-50 - 2^-60, and -2^-60 where the weight reads as 0."""
    weight = torch.full((2, 1, 1), 2.0**-1050, **DOUBLE)
    bias = torch.tensor([[-(2.0**-60)], [2.0**-60]], **DOUBLE)
    return torch.tensor([[2.0**1000]], **DOUBLE), torch.tensor([[False], [True]]), [(weight, bias)]


def test_a_label_that_hangs_on_a_denormal_weight():
    assert "has label 0, the network gives" in check_networks(*one_point()).failure


def test_nothing_is_exact_where_denormals_are_flushed(flushed):
    """The same set was once shattered in this mode, and exact.rational(2^-1050) was 0."""
    layer = nn.Linear(1, 1, **DOUBLE)
    layer.weight.data.fill_(0.0)
    points = torch.rand(3, 2, **DOUBLE)
    for action in (
        lambda: check_networks(*one_point()),
        lambda: exact.rational(2.0**-1050),
        lambda: exact.evaluate_network(layer, [1.0]),
        lambda: exact.Compiled(layer)([0.0]),
        lambda: exact.route_lattice([0.0], [2]),
        lambda: covering_net(points, points),
    ):
        with pytest.raises(ValueError, match=FLUSHED):
            action()


def test_numbers_that_are_no_zeros_are_read_all_the_same(flushed):
    assert exact.rational(0.5) == exact.rational(Fraction(1, 2))


@pytest.mark.parametrize("dtype", [torch.int64, torch.int32, torch.float64, torch.float32])
@pytest.mark.parametrize("value", [2**53 + 1, -(2**62) - 1, 3, 2**24])
def test_compiled_networks_read_weights_as_they_are(dtype, value):
    if dtype is not torch.int64 and abs(value) > 2**30:
        value = 2**24
    layer = nn.Linear(1, 1)
    del layer.weight, layer.bias
    layer.weight, layer.bias = torch.tensor([[value]], dtype=dtype), torch.tensor([value], dtype=dtype)
    assert exact.Compiled(layer)([1])[0] == exact.evaluate_network(layer, [1])[0] == 2 * value


@pytest.mark.parametrize(
    "network",
    [
        nn.Sequential(nn.Linear(1, 1), nn.ReLU(), nn.Linear(1, 1)),
        nn.Linear(1, 1),
        nn.Sequential(nn.Linear(1, 1), nn.PReLU(init=0.0), nn.Linear(1, 1), nn.PReLU(init=0.0), nn.Linear(1, 1)),
    ],
)
def test_other_networks_are_no_interpolants(network):
    report = realises_interpolant(network.double(), torch.zeros(2, **DOUBLE), 1.0, [[Fraction(0)]])
    assert not report.holds


@pytest.mark.parametrize("scale", [1e-147, 1e-155, 1e-161])
def test_distances_whose_squares_vanish_decide_nothing(scale):
    """Once REFUTED: the lower bound of the separation is 0, and was told as if it were the separation."""
    points = torch.rand(50, 2, generator=torch.Generator().manual_seed(0), **DOUBLE) * scale
    tree = PathwayTree.from_points(points, leaves=8, method="farthest_point")
    verdict = covering_radius_le(points, tree, scale)
    assert verdict.status is Status.INCONCLUSIVE
    assert "too small" in verdict.reason


@pytest.mark.parametrize("scale", [1.0, 1e-120, 1e120])
def test_control_other_scales_are_decided(scale):
    points = torch.rand(50, 2, generator=torch.Generator().manual_seed(0), **DOUBLE) * scale
    tree = PathwayTree.from_points(points, leaves=8, method="farthest_point")
    radius = covering_net(points, tree.leaf_prototypes).radius
    assert covering_radius_le(points, tree, radius).status is Status.CERTIFIED
    assert covering_radius_le(points, tree, radius / 2).status is Status.REFUTED


def test_points_that_want_gradients_are_points():
    points = torch.rand(5, 2, **DOUBLE).requires_grad_()
    assert covering_net(points, points).leaves == 5
