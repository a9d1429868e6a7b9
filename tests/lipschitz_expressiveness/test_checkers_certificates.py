"""Tanh networks, semidefinite certificates, lines in rationals, products in logarithms; and what breaks them."""

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from constructions.lipschitz_expressiveness import (
    gaussian_mlp,
    numpy_mlp,
    table_networks,
    tent_map,
)
from constructions.networks import stack
from theory import Measure, lipschitz_bounds
from theory.claim import Evidence, Status
from theory.lipschitz_expressiveness.checkers import branch_and_bound
from theory.lipschitz_expressiveness.checkers.lipsdp import Program, available, verified
from theory.lipschitz_expressiveness.checkers.network import read_network
from theory.lipschitz_expressiveness.checkers.result import LipschitzBounds

K = torch.tensor([0.91707456, 1.63559619], dtype=torch.float64)
ONE = torch.ones(2, dtype=torch.float64)
needs_sdp = pytest.mark.skipif(not available(), reason="needs the extra sdp")


def layers(*pairs):
    return stack([tuple(torch.tensor(part, dtype=torch.float64) for part in pair) for pair in pairs])


# --- tanh ------------------------------------------------------------------------------------------------


def test_tanh_networks_are_enclosed():
    module = gaussian_mlp(
        (2, 5, 5, 1), sigma=0.8, bias=0.5, activation="tanh", generator=torch.Generator().manual_seed(1)
    )
    bounds = lipschitz_bounds(module, -2 * ONE, 2 * ONE, gap=1e-2)
    assert bounds.gap <= 1e-2
    side = torch.linspace(-2, 2, 201, dtype=torch.float64)
    x = torch.cartesian_prod(side, side)
    J = torch.func.vmap(torch.func.jacrev(lambda y: module(y[None])[0]))(x)
    largest = float(torch.linalg.matrix_norm(J, 2).max())
    assert bounds.lower * 0.999 <= largest <= bounds.upper


def test_tanh_beside_relu_is_enclosed():
    module = nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2)).double()
    for i, p in enumerate(module.parameters()):
        p.data = torch.randn(p.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(i))
    bounds = lipschitz_bounds(module, -ONE, ONE, gap=1e-2)
    assert bounds.gap <= 1e-2
    x = 2 * torch.rand(20_000, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) - 1
    J = torch.func.vmap(torch.func.jacrev(lambda y: module(y[None])[0]))(x)
    assert bounds.lower * 0.95 <= float(torch.linalg.matrix_norm(J, 2).detach().max()) <= bounds.upper


# --- LipSDP ----------------------------------------------------------------------------------------------


def test_a_certificate_is_verified_and_a_short_one_is_not():
    """By hand: f = relu(x), t = 1 and ρ = 1 is tight: S = [[ρ, −t], [−t, 2t − 1]]."""
    program = Program.of(read_network(layers(([[1.0]], [0.0]), ([[1.0]], [0.0]))), Measure())
    one = torch.ones(1, dtype=torch.float64)
    S, _ = program.matrix(3.0, 2 * one)
    assert S.tolist() == [[3.0, -2.0], [-2.0, 3.0]]
    assert verified(program, 1 + 1e-9, one)
    assert not verified(program, 1 - 1e-9, one)
    assert not verified(program, 1.0, one)  # true, and not to be told in float64
    for bad in (math.nan, math.inf, -1.0):
        assert not verified(program, bad, one)
        assert not verified(program, 2.0, bad * one)


@needs_sdp
@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "tanh", "linear"])
def test_semidefinite_bounds_are_above_points(activation):
    module = gaussian_mlp(
        (2, 5, 4, 2), sigma=0.8, bias=0.5, activation=activation, generator=torch.Generator().manual_seed(2)
    )
    bounds = lipschitz_bounds(module, method="lipsdp")
    lower = lipschitz_bounds(module, -2 * ONE, 2 * ONE, method="sampled").lower
    assert lower <= bounds.upper < lipschitz_bounds(module, method="product").upper


@needs_sdp
def test_a_solver_that_lies_is_not_believed(monkeypatch):
    from theory.lipschitz_expressiveness.checkers import lipsdp

    row = next(table_networks())
    honest = lipsdp._solved

    def low(program, scale, seconds):
        rho, t = honest(program, scale, seconds)
        return rho / 2, t

    monkeypatch.setattr(lipsdp, "_solved", low)
    with pytest.raises(ValueError, match="no multipliers that can be verified"):
        lipschitz_bounds(row.module, method="lipsdp")
    bounds = lipschitz_bounds(row.module, row.lower, row.upper, boxes=1, undecided=0, seconds=2)
    assert bounds.upper >= 4.0015


@pytest.mark.exact
def test_coupled_multipliers_prove_too_much():
    """f = relu(x) − relu(x − 1) has slope 1, and T = ½[[1, −1], [−1, 1]] satisfies the inequality with ρ = 0."""
    W, V = np.array([[1], [1]], dtype=object), np.array([[1, -1]], dtype=object)
    T = np.array([[Fraction(1, 2), Fraction(-1, 2)], [Fraction(-1, 2), Fraction(1, 2)]], dtype=object)
    assert not (T @ W).any()
    assert not (2 * T - V.T @ V).any()
    module = layers(([[1.0], [1.0]], [0.0, -1.0]), ([[1.0, -1.0]], [0.0]))
    assert lipschitz_bounds(module).exact_squared == 1
    if available():
        assert lipschitz_bounds(module, method="lipsdp").upper >= 1


# --- line, product, results ------------------------------------------------------------------------------


@pytest.mark.exact
def test_a_wrong_tent_map_is_noticed():
    module = tent_map(5)
    for part in module:
        if type(part) is nn.Linear:
            part.weight[part.weight == -4.0] = -3.0
    zero = torch.zeros(1, dtype=torch.float64)
    right = lipschitz_bounds(tent_map(5), zero, zero + 1, keep_cells=True)
    assert {cell.norm for cell in right.cells} == {32.0}
    wrong = lipschitz_bounds(module, zero, zero + 1, keep_cells=True)
    assert {cell.norm for cell in wrong.cells} != {32.0}
    assert wrong.cells_or_boxes != 32


@pytest.mark.exact
@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), hidden=st.lists(st.integers(1, 5), min_size=1, max_size=3), boxed=st.booleans())
def test_lines_are_steepest_where_fractions_say(seed, hidden, boxed):
    """The slope between neighbours of a fine exact sample never exceeds the constant, and reaches it somewhere."""
    module = numpy_mlp((1, *hidden, 1), np.random.default_rng(seed))
    box = (torch.tensor([-1.0]).double(), torch.tensor([2.0]).double()) if boxed else ()
    bounds = lipschitz_bounds(module, *box, method="line")
    other = lipschitz_bounds(module, *box, method="patterns")
    assert other.lower == pytest.approx(bounds.lower, rel=1e-12, abs=1e-300)
    assert Fraction(bounds.lower) ** 2 <= bounds.exact_squared <= Fraction(bounds.upper) ** 2


def test_products_beyond_floats_stay_in_logarithms():
    module = tent_map(600)
    bounds = lipschitz_bounds(module, method="product")
    assert bounds.upper == math.inf
    assert bounds.log2_upper == pytest.approx(300 * math.log2(40), rel=1e-12)
    assert bounds.log2_upper >= 300 * math.log2(40) - 1e-10
    assert bounds.status is Status.CERTIFIED
    plain = 1.0
    for part in module:
        plain *= float(torch.linalg.matrix_norm(part.weight, 2)) if type(part) is nn.Linear else 1.0
    assert plain == math.inf  # what linear floats would have said
    with pytest.raises(ValueError, match='products no float can hold: method="product" gives the logarithm'):
        lipschitz_bounds(module, method="patterns")


def test_results_refuse_what_is_no_interval():
    good = {"log2_upper": 1.0, "method": "product", "evidence": Evidence.FLOAT64, "reason": ""}
    assert LipschitzBounds(1.0, 2.0, **good).gap == 1.0
    for lower, upper in ((math.nan, 1.0), (1.0, math.nan), (2.0, 1.0), (-1.0, 1.0), (math.inf, math.inf)):
        with pytest.raises(ValueError, match="`lower` ≤ `upper` must be numbers"):
            LipschitzBounds(lower, upper, **good)
    assert LipschitzBounds(0.0, 0.0, **good).gap == 0.0
    assert LipschitzBounds(0.0, 1.0, **good).gap == math.inf


def test_boxes_are_examined_in_batches(monkeypatch):
    """One box at a time finds the same constant."""
    row = list(table_networks())[3]
    together = lipschitz_bounds(row.module, row.lower, row.upper, method="branch_and_bound")
    monkeypatch.setattr(branch_and_bound, "BATCH", 1)
    alone = lipschitz_bounds(row.module, row.lower, row.upper, method="branch_and_bound")
    assert alone.lower == pytest.approx(together.lower, rel=1e-12)
    assert alone.gap < 1e-9
