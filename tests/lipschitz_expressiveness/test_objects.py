"""Random networks, networks with known constants, and what their builders refuse."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from constructions.errors import BudgetExceeded
from constructions.lipschitz_expressiveness import (
    TABLE,
    all_ones,
    clipped_linear,
    gaussian_mlp,
    numpy_mlp,
    table_networks,
    tent_map,
    two_unit_controller,
)

K = torch.tensor([0.91707456, 1.63559619], dtype=torch.float64)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.exact
@pytest.mark.parametrize("depth", [1, 2, 5])
def test_a_tent_map_folds_the_interval(depth):
    x = torch.arange(2**depth + 1, dtype=torch.float64)[:, None] / 2**depth
    assert torch.equal(tent_map(depth)(x)[:, 0], torch.arange(2**depth + 1, dtype=torch.float64) % 2)


def test_a_tent_map_has_small_weights_and_two_units_a_layer():
    net = tent_map(4)
    weights = torch.cat([p.flatten() for p in net.parameters()]).abs().unique().tolist()
    assert weights == [0.0, 0.5, 1.0, 2.0, 4.0]
    assert [type(part) for part in net] == [nn.Linear, nn.ReLU] * 4 + [nn.Linear]
    assert [part.out_features for part in net if type(part) is nn.Linear] == [2, 2, 2, 2, 1]


def test_all_ones_attains_the_product_of_norms():
    net = all_ones((3, 4, 5, 2))
    J = torch.func.jacrev(net)(torch.ones(3, dtype=torch.float64))
    assert float(torch.linalg.matrix_norm(J, 2)) == pytest.approx(math.sqrt(3 * 2) * 4 * 5, rel=1e-14)


def test_controllers_are_the_linear_and_the_clipped_law():
    x = 2 * torch.rand(200, 2, dtype=torch.float64, generator=generator()) - 1
    assert torch.allclose(two_unit_controller(K)(x)[:, 0], -x @ K, rtol=0, atol=1e-15)
    clipped = clipped_linear(K)(x)[:, 0]
    assert torch.allclose(clipped, (-x @ K).clamp(-1, 1), rtol=0, atol=1e-15)
    assert bool((clipped.abs() == 1).any())


def test_gaussian_weights_have_the_asked_size():
    net = gaussian_mlp((40, 60, 50, 3), sigma=0.5, bias=2.0, activation="tanh", generator=generator())
    assert [type(part).__name__ for part in net] == ["Linear", "Tanh", "Linear", "Tanh", "Linear"]
    assert float(net[2].weight.std()) == pytest.approx(0.5, rel=0.05)
    assert float(net[0].bias.std()) == pytest.approx(2.0, rel=0.3)
    assert net[0].weight.dtype is torch.float64


def test_equal_seeds_give_equal_networks():
    first, second, other = (gaussian_mlp((2, 3, 1), sigma=1.0, generator=generator(s)) for s in (1, 1, 2))
    assert torch.equal(first[0].weight, second[0].weight)
    assert not torch.equal(first[0].weight, other[0].weight)
    assert not first[0].bias.any()


def test_the_table_is_what_numpy_draws():
    rows = list(table_networks())
    assert [row.name for row in rows] == ["-".join(map(str, widths)) for _, widths, _, _ in TABLE]
    rng = np.random.default_rng(0)
    weight = rng.standard_normal((8, 2)) / math.sqrt(2) * 1.4
    assert torch.equal(rows[0].module[0].weight, torch.from_numpy(weight))
    assert torch.equal(rows[0].module[0].bias, torch.from_numpy(0.5 * rng.standard_normal(8)))
    for row, (_, widths, radius, samples) in zip(rows, TABLE, strict=True):
        assert row.samples.shape == (samples, widths[0])
        assert bool(((row.samples >= row.lower) & (row.samples <= row.upper)).all())
        assert row.upper.tolist() == [radius] * widths[0]


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: tent_map(0), "`depth` must be an integer between 1 and 1000, got 0"),
        (lambda: tent_map(True), "`depth` must be an integer"),
        (lambda: all_ones((3,)), r"`widths` must be at least two positive integers \(n_0, …, n_L\), got \(3,\)"),
        (lambda: all_ones((3, 0, 1)), "`widths` must be"),
        (lambda: all_ones("ab"), "`widths` must be"),
        (lambda: all_ones((10**5, 10**5)), "`widths` must be smaller"),
        (lambda: gaussian_mlp((1, 1), sigma=0.0, generator=generator()), "`sigma` must be a positive"),
        (lambda: gaussian_mlp((1, 1), sigma=1.0, bias=-1.0, generator=generator()), "`bias` must be a non-negative"),
        (lambda: gaussian_mlp((1, 1), sigma=1.0, activation="gelu", generator=generator()), "`activation` must be one"),
        (lambda: gaussian_mlp((1, 1), sigma=1.0, generator=3), "`generator` must be a Generator, got int"),
        (lambda: numpy_mlp((1, 1), 0), "`rng` must be a Generator, got int"),
        (lambda: numpy_mlp((1, 1), np.random.default_rng(0), gain=math.nan), "`gain` must be a positive"),
        (lambda: two_unit_controller(torch.ones(2, 2)), r"`K` must have shape \(n,\), got \(2, 2\)"),
        (lambda: clipped_linear([1.0]), "`K` must be a dense real torch.Tensor"),
        (lambda: clipped_linear(torch.tensor([1.0, math.inf])), "`K` must be finite"),
    ],
)
def test_bad_arguments_get_one_sentence(call, words):
    with pytest.raises((ValueError, TypeError, BudgetExceeded), match=words) as caught:
        call()
    assert "\n" not in str(caught.value)
