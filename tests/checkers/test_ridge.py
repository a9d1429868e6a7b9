"""The float64 and the rational tables of a pencil bank against the exact kernel."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from theory import exact
from theory.checkers.uniform_error.ridge import FirstLayer, RidgeBank, first_layer_axis
from theory.checkers.uniform_error.ridge_exact import ExactTables, exact_nodes, exact_values
from theory.checkers.uniform_error.stack import StackBank, linear_stack

dyadic = st.integers(-64, 64).map(lambda k: k / 16)


@st.composite
def banks(draw):
    """Random one-hidden-layer networks on axis 1 of [0,1]², weights of both signs, repeated kinks, PReLU slopes."""
    units = draw(st.integers(1, 6))
    pull = draw(st.lists(st.sampled_from([1.0, -1.0, 2.0, -0.5, 0.0]), min_size=units, max_size=units))
    bias = draw(st.lists(dyadic.map(lambda v: v / 4), min_size=units, max_size=units))
    alpha = draw(st.lists(st.sampled_from([0.0, 0.25, 1.5, -0.5]), min_size=units, max_size=units))
    out = draw(st.lists(dyadic, min_size=4 * units, max_size=4 * units))
    weight = torch.zeros(units, 2, dtype=torch.float64)
    weight[:, 1] = torch.tensor(pull)
    layer = FirstLayer(weight, torch.tensor(bias).double(), torch.tensor(alpha).double(), 1)
    out_weight = torch.tensor(out, dtype=torch.float64).reshape(2, 2, units)
    out_bias = torch.tensor([[0.5, -1.0], [0.25, 2.0]], dtype=torch.float64)
    lower, upper = torch.zeros(2, 2, dtype=torch.float64), torch.ones(2, 2, dtype=torch.float64)
    return RidgeBank.of(layer, out_weight, out_bias, lower, upper, unit=2.0**-53)


def module_of(bank, expert):
    units = len(bank.layer.bias)
    first, bend = nn.Linear(2, units, dtype=torch.float64), nn.PReLU(units, dtype=torch.float64)
    last = nn.Linear(units, 2, dtype=torch.float64)
    with torch.no_grad():
        first.weight.copy_(bank.layer.weight)
        first.bias.copy_(bank.layer.bias)
        bend.weight.copy_(bank.layer.slope)
        last.weight.copy_(bank.out_weight[expert])
        last.bias.copy_(bank.out_bias[expert])
    return nn.Sequential(first, bend, last)


@pytest.mark.law
@settings(max_examples=60)
@given(bank=banks(), t=st.lists(st.integers(0, 1024), min_size=1, max_size=5))
def test_tables_equal_the_exact_network(bank, t):
    """Law: float tables within their slack, rational tables exactly, at any point of the axis."""
    nodes = exact_nodes(bank)
    values = exact_values(bank, slice(None), nodes)
    for expert in range(2):
        net = module_of(bank, expert)
        for j, node in enumerate(nodes):
            assert list(values[expert, :, j]) == exact.evaluate_network(net, [0, exact.fraction(node)])
        for k in t:
            x = torch.tensor([[0.3, k / 1024]], dtype=torch.float64)
            piece = ((bank.ends[1:-1] < x[0, 1]).sum())[None]
            got = bank.values(torch.tensor([expert]), piece, x)[0]
            truth = exact.evaluate_network(net, x[0])
            for a, b in zip(got.tolist(), truth, strict=True):
                assert abs(float(exact.rational(a) - b)) <= bank.table_slack
            assert abs(net(x)[0].detach() - got).max() <= bank.table_slack + bank.forward_slack


def test_exact_tables_interpolate_exactly():
    weight = torch.tensor([[0.0, 1.0], [0.0, 1.0]], dtype=torch.float64)
    layer = FirstLayer(weight, torch.tensor([0.0, -0.5]).double(), torch.zeros(2).double(), 1)
    out = torch.tensor([[[1.0, -3.0]]], dtype=torch.float64)
    box = torch.zeros(1, 2).double(), torch.ones(1, 2).double()
    bank = RidgeBank.of(layer, out, torch.zeros(1, 1).double(), *box, unit=2.0**-53)
    tables = ExactTables.of(bank)
    x = torch.tensor([[0.1, 0.3], [0.9, 0.7]], dtype=torch.float64)
    got = tables.at(torch.tensor([0, 0]), torch.tensor([0, 1]), x)
    for row, value in zip(x, got, strict=True):
        t = exact.rational(float(row[1]))
        half = exact.rational(0.5)
        assert value[0] == t - 3 * max(t - half, exact.rational(0))


def test_rows_on_several_axes_are_no_ridge():
    assert first_layer_axis(torch.tensor([[1.0, 0.0], [0.0, 1.0]])) is None
    assert first_layer_axis(torch.tensor([[0.0, 2.0], [0.0, 0.0]])) == 1


@pytest.mark.law
@settings(max_examples=25)
@given(seed=st.integers(0, 10**6), prelu=st.booleans(), radius=st.floats(0.001, 0.5))
def test_stack_variation_bounds_every_move(seed, prelu, radius):
    """Law: |f̂(x) − f̂(c)| ≤ variation for random points of random boxes and random deep networks."""
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    bend = (lambda: nn.PReLU(8, init=-0.3, dtype=torch.float64)) if prelu else nn.ReLU
    net = nn.Sequential(
        nn.Linear(2, 8, dtype=torch.float64), bend(), nn.Linear(8, 8, dtype=torch.float64), bend(),
        nn.Linear(8, 2, dtype=torch.float64),
    )  # fmt: skip
    box = torch.zeros(1, 2).double(), torch.ones(1, 2).double()
    bank = StackBank.of(linear_stack(net), *box, unit=2.0**-53)
    centre = torch.rand(20, 2, dtype=torch.float64, generator=generator)
    half = radius * torch.rand(20, 2, dtype=torch.float64, generator=generator)
    zero = torch.zeros(20, dtype=torch.int64)
    allowed = bank.variation(zero, zero, centre, half) + 2 * bank.table_slack
    for _ in range(30):
        x = centre + half * (2 * torch.rand(20, 2, dtype=torch.float64, generator=generator) - 1)
        with torch.no_grad():
            assert bool(((net(x) - net(centre)).abs() <= allowed).all())
            assert torch.allclose(bank.values(zero, zero, x), net(x), atol=1e-13)


def test_unknown_stacks_are_not_read():
    assert linear_stack(nn.Sequential(nn.Linear(1, 1), nn.Tanh())) is None
    assert linear_stack(nn.ReLU()) is None
