"""Routers compared in integers, the reflection certificate, the product rule for mixtures, and broken ones."""

import importlib
from dataclasses import replace

import pytest
import torch

from constructions.functions.box import Box
from constructions.vc_dimension import deep, mixture, one_hidden_layer, routing_only, routing_pairs, two_hidden_layers
from theory import exact
from theory.vc_dimension.checkers import (
    certified,
    shattered_by_random_labelings,
    shattered_by_reflections,
    shattered_exhaustively,
)
from theory.vc_dimension.checkers.exact_routing import binary_digits, route_exactly
from theory.vc_dimension.checkers.labelings import all_labelings
from theory.vc_dimension.checkers.mixtures import exact_cells


@pytest.mark.exact
@pytest.mark.parametrize(("n", "experts"), [(2, 2), (2, 5), (3, 4), (4, 3), (10, 2), (8, 2), (1, 6), (3, 1)])
def test_flat_routing_shatters(n, experts):
    shattered = routing_only(n, experts)
    assert shattered.size == (experts - 1) * n + 1
    assert shattered_exhaustively(shattered).holds
    assert certified(shattered).holds


@pytest.mark.exact
@pytest.mark.parametrize(
    ("n", "experts", "tree"), [(2, 4, True), (3, 4, True), (2, 8, True), (1, 8, True), (3, 4, False)]
)
def test_pairs_of_prototypes_shatter(n, experts, tree):
    shattered = routing_pairs(n, experts, tree=tree)
    assert shattered.size == experts // 2 * (n + 1)
    assert shattered_exhaustively(shattered).holds


def failures(shattered):
    """How many labelings of a router are not realised."""
    labels = all_labelings(0, 2**shattered.size, shattered.size, "cpu")
    levels, values = shattered.routers(labels)
    leaf = route_exactly(levels, shattered.points.double())
    return int(((values.gather(1, leaf) > 0) != labels).any(1).sum())


@pytest.mark.parametrize(("n", "pairs", "wrong", "total"), [(2, 3, 90, 512), (3, 2, 14, 256)])
def test_pairs_too_close_fail_flat_but_not_down_a_tree(monkeypatch, n, pairs, wrong, total):
    """With spacing 2 the prototype −e_1 of a pair lies on the corner e_1 of the one before it."""
    monkeypatch.setattr(importlib.import_module("constructions.vc_dimension.routing_only"), "SPACING", 2)
    flat = routing_pairs(n, 2 * pairs, tree=False)
    assert 2**flat.size == total
    assert failures(flat) == wrong
    if pairs == 2:
        assert failures(routing_pairs(n, 4, tree=True)) == 0


@pytest.mark.exact
def test_large_flat_routers_are_certified_and_run():
    shattered = routing_only(64, 65)
    report = shattered_by_reflections(shattered)
    assert report.holds, report.failure
    assert (report.points, report.worst) == (4097, -9)
    assert shattered_by_random_labelings(shattered, 2, torch.Generator().manual_seed(0)).holds


@pytest.mark.exact
def test_which_routers_the_reflections_certify():
    """Clusters of n ≥ 2 points and an apex; on a line the prototypes are no reflections."""
    for n, experts in ((2, 2), (2, 3), (3, 2), (5, 4)):
        assert shattered_by_reflections(routing_only(n, experts)).holds
    for experts in (2, 3, 6):
        report = shattered_by_reflections(routing_only(1, experts))
        assert report.failure == f"{experts} points in R^1 are not clusters of n and an apex"
    pairs = routing_pairs(2, 4, tree=False)
    assert "6 points in R^2 are not clusters" in shattered_by_reflections(pairs).failure


def test_broken_routers_are_rejected():
    honest = routing_only(3, 4)

    def moved(labels):
        levels, values = honest.routers(labels)
        levels[0][:, :, 2, 0] += 0.5
        return levels, values

    def inverted(labels):
        levels, values = honest.routers(labels)
        return levels, -values

    for routers in (moved, inverted):
        broken = replace(honest, routers=routers)
        assert not shattered_by_reflections(broken).holds
        assert not shattered_exhaustively(broken).holds
    coarse = shattered_by_reflections(replace(honest, binary_digits=2))
    assert "do not keep its prototypes apart" in coarse.failure
    points = honest.points.clone()
    points[1, 1] += 1
    assert not shattered_by_reflections(replace(honest, points=points)).holds


@pytest.mark.exact
def test_integer_routing_equals_the_exact_kernel():
    """Against rational distances, with prototypes fine enough to need the split, and ties to the lowest index."""
    generator = torch.Generator().manual_seed(3)
    points = torch.randint(-50, 50, (40, 3), generator=generator).double()
    for digits in (3, 35):
        prototypes = torch.randint(-(2**digits) * 40, 2**digits * 40, (2, 1, 7, 3), generator=generator) / 2.0**digits
        leaf = route_exactly([prototypes], points)
        for row, found in zip(prototypes[:, 0], leaf, strict=True):
            truth = [[exact.distance_squared(exact.vector(p), v) for v in row] for p in points]
            assert found.tolist() == [gaps.index(min(gaps)) for gaps in truth]
    tie = torch.tensor([[[[0.0, 0.0], [2.0, 0.0]]]], dtype=torch.float64)
    assert route_exactly([tie], torch.tensor([[1.0, 5.0]], dtype=torch.float64)).tolist() == [[0]]
    assert binary_digits(torch.tensor([1 / 3], dtype=torch.float64)) == 54
    assert "not multiples" in route_exactly([tie], torch.tensor([[0.5, 0.0]], dtype=torch.float64))


@pytest.mark.exact
@pytest.mark.parametrize(
    ("expert", "experts", "valency", "points"),
    [
        (one_hidden_layer(2, 1), 4, 2, 12),
        (one_hidden_layer(2, 2), 2, 2, 10),
        (one_hidden_layer(2, 1), 3, 3, 9),
        (one_hidden_layer(1, 2), 4, 2, 12),
        (two_hidden_layers(2), 3, 2, 12),
    ],
)
def test_mixtures_shatter_end_to_end(expert, experts, valency, points):
    shattered = mixture(expert, experts, valency=valency)
    report = shattered_exhaustively(shattered)
    assert report.holds, report.failure
    assert (report.points, report.labelings) == (points, 2**points)
    assert certified(shattered).holds


@pytest.mark.exact
@pytest.mark.parametrize(
    ("expert", "experts", "points"), [(one_hidden_layer(16, 16), 16, 4112), (deep(4, 4, 8), 8, 4096)]
)
def test_large_mixtures_are_certified(expert, experts, points):
    report = certified(mixture(expert, experts))
    assert report.holds, report.failure
    assert report.points == points


def test_broken_mixtures_are_rejected():
    honest = mixture(one_hidden_layer(2, 1), 4)
    first, second, *rest = honest.cells
    for cells in ((second, second, *rest), (first, replace(second, points=second.points + 1), *rest)):
        broken = replace(honest, cells=tuple(cells))
        assert not certified(broken).holds
        assert not shattered_exhaustively(broken).holds
    swapped = replace(honest, cells=(replace(first, weights=second.weights), second, *rest))
    assert "cell 0" in certified(swapped).failure or "labeling" in certified(swapped).failure
    shifted = replace(honest, domain=replace(honest.domain, lo=(honest.domain.lo[0] - 5.0, *honest.domain.lo[1:])))
    assert "sends point" in certified(shifted).failure


def test_mixtures_on_the_device(device):
    assert shattered_exhaustively(mixture(one_hidden_layer(2, 1), 4), device=device).holds


@pytest.mark.exact
def test_squares_that_do_not_fit_into_int64_decide_all_the_same():
    """Prototypes 8192 and 0 with 20 binary digits: (8192·2²⁰)² + 2·4096·8192·2⁴⁰ is 2⁶⁷."""
    level = torch.tensor([[[[8192.0], [0.0], [8192 + 2.0**-20]]]], dtype=torch.float64)
    assert route_exactly([level], torch.tensor([[-4096.0], [4096.0], [4097.0]]).double()).tolist() == [[1, 0, 0]]


def test_prototypes_between_the_binary_digits_are_refused():
    honest = routing_only(3, 4)

    def shifted(labels):
        levels, values = honest.routers(labels)
        levels[0][:, :, 2, 0] += 2.0 ** -(honest.binary_digits + 1)
        return levels, values

    failure = shattered_by_reflections(replace(honest, routers=shifted)).failure
    assert failure == f"the prototypes are not multiples of 2^-{honest.binary_digits}"


def test_routers_that_do_not_fit_are_named():
    honest = routing_only(3, 4)

    def failure(change):
        return shattered_by_reflections(replace(honest, routers=lambda y: change(*honest.routers(y)))).failure

    assert failure(lambda levels, values: (levels, values[:, :-1])) == "the routers: answers (13, 3) for 4 prototypes"
    assert failure(lambda levels, values: (levels, values[:-1])) == "the routers: answers (12, 4) for 4 prototypes"
    assert failure(lambda levels, values: ([levels[0] * float("nan")], values)).startswith("the routers: `levels[0]`")
    assert failure(lambda levels, values: ([], values)).startswith("the routers: `levels` must hold")
    assert "is not flat" in failure(lambda levels, values: ([levels[0] + 1], values))


def test_points_on_the_face_of_a_cell_are_not_inside():
    line = Box((0.0,), (4.0,))
    inside = torch.tensor([[0.5], [1.5]])
    assert exact_cells(line, 4, inside, torch.tensor([0, 1])) is None
    assert (
        exact_cells(line, 4, inside, torch.tensor([0, 2])) == "points with first coordinate 1.5 are not inside cell 2"
    )
    for face, cell in ((1.0, 0), (1.0, 1), (2.0, 1), (4.0, 3)):
        assert "are not inside cell" in exact_cells(line, 4, torch.tensor([[0.5], [face]]), torch.tensor([0, cell]))
    assert "is not in the domain" in exact_cells(line, 4, torch.tensor([[0.5], [4.5]]), torch.tensor([0, 3]))
