"""Covering and separation of data routers: NaN, extreme numbers and too few points prove nothing."""

import math
from fractions import Fraction

import pytest
import torch

from constructions.pathway_tree.prototype_tree import PrototypeTree, arrange
from theory.claim import Status
from theory.pathway_tree.checkers import (
    SMALLEST_ROOT,
    covering_net,
    covering_radius_le,
    covers_in_integers,
    own_leaves,
    rounding,
    routing_difference,
)

LEAVES = torch.tensor([[0.0, 0.0], [4.0, 0.0], [0.0, 4.0], [4.0, 4.0]], dtype=torch.float64)
TREE = arrange(LEAVES)[0]
POINTS = torch.tensor([[1.0, 0.0], [4.0, 3.0], [0.0, 4.0]], dtype=torch.float64)


def test_values_by_hand():
    report = covering_net(POINTS, TREE.leaf_prototypes)
    assert (report.points, report.leaves) == (3, 4)
    assert report.farthest in (0, 1)
    assert 1 <= report.radius <= 1 + 1e-14
    assert 4 - 1e-14 <= report.separation <= 4
    assert rounding(2) == 6 * 2.0**-53
    alone = covering_net(POINTS, LEAVES[:1])
    assert (alone.farthest, alone.separation) == (1, math.inf)
    assert 5 <= alone.radius <= 5 + 1e-13


@pytest.mark.parametrize(
    ("delta", "status"),
    [
        (0.5, Status.REFUTED),
        (1 - 1e-9, Status.REFUTED),
        (1.0, Status.CERTIFIED),
        (4.0, Status.CERTIFIED),
        (4 + 1e-9, Status.REFUTED),
        (5.0, Status.REFUTED),
    ],
)
def test_radius_and_separation_decide(delta, status):
    verdict = covering_radius_le(POINTS, TREE, delta)
    assert verdict.status is status
    if status is Status.REFUTED:
        assert ("no prototype within" in verdict.witness) == (delta < 1)


@pytest.mark.parametrize("delta", [math.nan, math.inf, 0, -1.0, "1", None, torch.tensor(1.0)])
def test_a_delta_that_is_no_distance(delta):
    with pytest.raises(ValueError, match="`delta` must be a positive finite number"):
        covering_radius_le(POINTS, TREE, delta)


@pytest.mark.parametrize(
    ("points", "message"),
    [
        (torch.full((2, 2), math.nan), "`points` must be finite"),
        (torch.tensor([[0.0, 0.0], [math.inf, 0.0]]), "`points` must be finite"),
        (torch.zeros(0, 2), "`points` must have shape"),
        (torch.zeros(3, 1), "`points` must have shape"),
        (torch.zeros(2), "`points` must have shape"),
        (torch.zeros(2, 2, dtype=torch.int64), "`points` must be finite floating"),
        (torch.full((1, 2), 1e200, dtype=torch.float64), "overflows"),
    ],
)
def test_points_that_prove_nothing(points, message):
    with pytest.raises(ValueError, match=message):
        covering_radius_le(points, TREE, 1.0)
    if "overflows" not in message:
        with pytest.raises(ValueError, match=message):
            routing_difference(TREE, points)


def test_prototypes_that_are_nan():
    prototypes = TREE.prototypes.clone()
    leaves = TREE.leaf_prototypes.clone()
    broken = PrototypeTree(prototypes, TREE.children, leaves)
    leaves[1] = math.nan  # after the tree was made, which would refuse it
    with pytest.raises(ValueError, match="`prototypes` must be finite"):
        covering_radius_le(POINTS, broken, 1.0)
    with pytest.raises(ValueError, match="leaf_prototypes` must be finite"):
        own_leaves(broken)


def test_distances_whose_squares_vanish():
    """1e-170 apart: the squares are 0, the distances are not, and no δ below them is certified."""
    points = torch.tensor([[0.0, 0.0], [1e-170, 0.0]], dtype=torch.float64)
    report = covering_net(points, points[:1])
    assert report.radius == math.sqrt(2) * SMALLEST_ROOT >= 1e-170
    assert covering_net(points, points).separation == 0


def test_types_are_named():
    for call in (
        lambda: covering_radius_le(POINTS, None, 1.0),
        lambda: covering_radius_le(POINTS.tolist(), TREE, 1.0),
        lambda: routing_difference(None, POINTS),
        lambda: own_leaves(LEAVES),
    ):
        with pytest.raises(TypeError, match="must be a"):
            call()


def test_own_leaves_names_the_first_lost_one():
    assert own_leaves(TREE).holds
    swapped = PrototypeTree(TREE.prototypes, TREE.children, TREE.leaf_prototypes[[0, 2, 1, 3]])
    assert own_leaves(swapped).failure == "the prototype of leaf 1 is routed to leaf 2"


def test_differences_by_hand():
    difference = routing_difference(TREE, POINTS)
    assert (difference.points, difference.disagreements, difference.rate) == (3, 0, 0)
    assert (difference.worst_excess, difference.mean_excess, difference.failure) == (0, 0, None)
    swapped = PrototypeTree(TREE.prototypes, TREE.children, TREE.leaf_prototypes[[0, 2, 1, 3]])
    difference = routing_difference(swapped, LEAVES)
    assert (difference.disagreements, difference.rate) == (2, 0.5)
    assert difference.failure == "point 1 is routed to leaf 1, the nearest is 2"
    assert difference.worst_excess == math.sqrt(32)
    assert difference.mean_excess == math.sqrt(32) / 2


def test_radius_and_separation_are_rounded_apart():
    """√2, which no float is."""
    pair = torch.tensor([[0.0, 0.0], [1.0, 1.0]], dtype=torch.float64)
    report = covering_net(pair[1:], pair[:1])
    assert Fraction(report.radius) ** 2 > 2
    assert report.radius <= math.sqrt(2) * (1 + 1e-14)
    separation = covering_net(pair, pair).separation
    assert Fraction(separation) ** 2 < 2
    assert separation >= math.sqrt(2) * (1 - 1e-14)


def test_covering_in_integers_has_no_tolerance():
    points = torch.tensor([[0.0, 0.0], [3.0, 4.0], [6.0, 8.0]], dtype=torch.float64)
    net = points[1:2]
    assert covers_in_integers(points, net, 5.0).holds
    below = math.nextafter(5.0, 0.0)
    assert covers_in_integers(points, net, below).failure == f"point 0 has no prototype within {below!r}"
    moved = points.clone()
    moved[2, 1] = math.nextafter(8.0, 9.0)
    assert covers_in_integers(moved, net, 5.0).failure == "point 2 has no prototype within 5.0"
    ends = points[::2]
    assert covers_in_integers(points, ends, math.nextafter(10.0, 0.0)).holds
    assert covers_in_integers(points, ends, 10.0).failure == "prototypes 0 and 1 are not more than 10.0 apart"
    tiny = torch.tensor([[5e-324], [0.0]], dtype=torch.float64)
    assert covers_in_integers(tiny, tiny[1:], 5e-324).holds
    assert covers_in_integers(tiny, tiny, 1e-300).failure == "prototypes 0 and 1 are not more than 1e-300 apart"
    for delta in (math.nan, 0.0, -1.0):
        with pytest.raises(ValueError, match="`delta`"):
            covers_in_integers(points, net, delta)
