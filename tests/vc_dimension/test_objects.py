"""Shattered sets as objects: points, widths and depths as promised, modules, mixtures on the actual router, bad
sizes."""

import itertools

import pytest
import torch
from torch import nn

from constructions.vc_dimension import (
    candidates,
    deep,
    deep_sizes,
    largest_set,
    mixture,
    one_hidden_layer,
    routing_only,
    routing_pairs,
    two_hidden_layers,
    wide,
    with_extra_inputs,
    with_extra_layers,
)
from constructions.vc_dimension.stacked_momlp import StackedMoMLP
from theory import exact


def hidden_widths(module):
    return [part.out_features for part in module if isinstance(part, nn.Linear)][:-1]


def some_labels(shattered, seed=0):
    return torch.rand(shattered.size, generator=torch.Generator().manual_seed(seed)) < 0.5


@pytest.mark.parametrize(("side", "blocks", "bits"), [(1, 2, 3), (2, 1, 1), (2, 3, 4), (4, 2, 3), (6, 2, 2)])
@pytest.mark.parametrize("layers_per_bit", [1, 2])
def test_deep_fits_its_architecture(side, blocks, bits, layers_per_bit):
    shattered = deep(side, blocks, bits, layers_per_bit=layers_per_bit)
    widths = hidden_widths(shattered.module(some_labels(shattered)))
    assert shattered.size == blocks * side**2 * bits
    assert len(widths) == 2 * blocks + layers_per_bit * bits + 1
    assert max(widths) <= max(2 * side + 3, 8 if layers_per_bit == 1 else 7)


@pytest.mark.parametrize(("n", "units", "bits"), [(3, 1, 2), (4, 3, 2), (9, 4, 5)])
def test_wide_fits_its_architecture(n, units, bits):
    shattered = wide(n, units, bits)
    widths = hidden_widths(shattered.module(some_labels(shattered)))
    assert shattered.size == (n - 1) * units * bits
    assert shattered.points.shape[1] == n
    assert len(widths) == bits + 3
    assert max(widths) <= max(2 * units, 8)


@pytest.mark.parametrize("side", [2, 5, 9])
def test_plane_grids_fit_their_architecture(side):
    shattered = two_hidden_layers(side)
    assert shattered.size == side**2
    assert hidden_widths(shattered.module(some_labels(shattered))) == [2 * (side - 1), side]


@pytest.mark.exact
@pytest.mark.parametrize(
    "shattered",
    [deep(2, 2, 3), deep(1, 2, 3), deep(2, 1, 3, layers_per_bit=2), wide(4, 2, 2), two_hidden_layers(4)],
    ids=lambda s: s.family,
)
def test_modules_answer_plus_or_minus_one_in_rationals(shattered):
    """The exact kernel on the plain Linear/ReLU stack: outputs are exactly ±1 and spell the labels."""
    for seed in range(3):
        labels = some_labels(shattered, seed)
        module = shattered.module(labels)
        values = [int(exact.evaluate_network(module, p)[0].p) for p in shattered.points]
        assert values == [1 if label else -1 for label in labels]


def test_best_split_of_the_depth():
    """Enumerated, and at least the closed form ⌊(W−3)/2⌋²·((J−1)² − 4)/8."""
    for depth, width in itertools.product(range(4, 60), (8, 9, 11, 16)):
        sizes = deep_sizes(depth, width)
        points = sizes["side"] ** 2 * sizes["blocks"] * sizes["bits"]
        best = max(b * (depth - 1 - 2 * b) for b in range(1, depth) if depth - 1 - 2 * b >= 1)
        assert points == ((width - 3) // 2) ** 2 * best
        assert points >= ((width - 3) // 2) ** 2 * ((depth - 1) ** 2 - 4) / 8
        assert 2 * sizes["blocks"] + sizes["bits"] + 1 == depth
    assert deep_sizes(3, 8) is None
    assert deep_sizes(4, 7) is None


@pytest.mark.parametrize(("n", "depth", "width"), [(1, 1, 3), (2, 2, 4), (3, 4, 8), (5, 6, 9), (7, 5, 1), (4, 3, 2)])
def test_candidates_are_as_large_as_they_say_and_fit(n, depth, width):
    for candidate in candidates(n, depth, width):
        shattered = candidate.build()
        widths = hidden_widths(shattered.module(some_labels(shattered)))
        assert (shattered.family, shattered.size) == (candidate.family, candidate.points)
        assert shattered.points.shape[1] == n
        assert len(widths) == depth
        assert max(widths) <= width
    assert largest_set(n, depth, width).points == max(c.points for c in candidates(n, depth, width))


def test_words_longer_than_float64_have_no_networks():
    with pytest.raises(ValueError, match="words of 64 bits"):
        deep(2, 1, 64).module(torch.zeros(256, dtype=torch.bool))


@pytest.mark.parametrize("valency", [2, 3])
def test_mixtures_are_real_mixtures_with_a_router(valency):
    expert = two_hidden_layers(3)
    shattered = mixture(expert, 5, valency=valency)
    labels = some_labels(shattered)
    module = shattered.module(labels)
    assert isinstance(module, StackedMoMLP)
    assert module.num_leaves == 5
    assert module.tree.valency == valency
    points = shattered.points.double()
    assert module.route(points)[:, 0].tolist() == [cell for cell in range(5) for _ in range(9)]
    assert torch.equal(module(points)[:, 0] > 0, labels)
    lower, upper = module.cell_bounds(2)
    assert bool(((points[18:27] > lower) & (points[18:27] < upper)).all())
    assert module.active_parameters == sum(p.numel() for p in module.expert(2).parameters())
    own = module.expert((2,))(points[18:27])
    assert torch.equal(own, module(points[18:27]))


def test_stacked_mixtures_refuse_what_does_not_fit():
    shattered = mixture(one_hidden_layer(2, 3), 3)
    module = shattered.module(some_labels(shattered))
    domain, cells = module.lattice.domain, module.tree.cells
    layers = [(w.detach(), b.detach()) for w, b in zip(module.weights, module.biases, strict=True)]
    with pytest.raises(ValueError, match=r"`layers\[0\]` must hold 1 or 4"):
        StackedMoMLP(domain, (4,), layers)
    with pytest.raises(ValueError, match=r"`layers\[1\]` must be weights"):
        StackedMoMLP(domain, cells, [layers[0], layers[0]])
    with pytest.raises(ValueError, match="`x`"):
        module(torch.full((1, 2), 1e9, dtype=torch.float64))
    with pytest.raises(ValueError, match="single leaf"):
        module.expert(torch.tensor([[0], [1]]))
    assert module(torch.empty(0, 2, dtype=torch.float64)).shape == (0, 1)


def test_routers_are_modules_with_dyadic_prototypes():
    shattered = routing_only(3, 4)
    labels = some_labels(shattered)
    module = shattered.module(labels)
    assert module.num_leaves == 4
    scaled = module.levels[0] * 2.0**shattered.binary_digits
    assert torch.equal(scaled, scaled.round())
    assert torch.equal(module(shattered.points.double())[:, 0] > 0, labels)
    tree = routing_pairs(2, 8, tree=True)
    assert [tuple(level.shape) for level in tree.module(some_labels(tree)).levels] == [(1, 2, 2), (2, 2, 2), (4, 2, 2)]


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: deep(0, 1, 1), "`side`"),
        (lambda: deep(1, 1, 1, layers_per_bit=3), "`layers_per_bit`"),
        (lambda: wide(2, 1, 1), "`n`"),
        (lambda: two_hidden_layers(1), "`side`"),
        (lambda: mixture(two_hidden_layers(2), 0), "`experts`"),
        (lambda: routing_only(2, 0), "`experts`"),
        (lambda: routing_pairs(2, 6, tree=True), "power of two"),
        (lambda: routing_pairs(2, 3, tree=False), "even"),
        (lambda: with_extra_layers(two_hidden_layers(2), -1), "`count`"),
        (lambda: with_extra_inputs(two_hidden_layers(2), -1), "`count`"),
        (lambda: routing_only(2, 3).module(torch.zeros(2, dtype=torch.bool)), "`labels`"),
    ],
)
def test_bad_sizes(build, message):
    with pytest.raises(ValueError, match=message):
        build()
