"""The exact kernel against independent arithmetic."""

import itertools
from fractions import Fraction

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from constructions import PathwayTree
from theory import exact

small = st.fractions(-2, 2, max_denominator=64)
plane_point = st.lists(small, min_size=2, max_size=2)


def network(widths, seed, activation):
    torch.manual_seed(seed)
    layers = []
    for a, b in itertools.pairwise(widths):
        layers += [nn.Linear(a, b, dtype=torch.float64), activation(b)]
    return nn.Sequential(*layers[:-1])


def by_hand(net, point):
    """Independent truth: Fractions, written out from the state dict."""
    state = list(point)
    for layer in net:
        if isinstance(layer, nn.Linear):
            weight = [[Fraction(v) for v in row] for row in layer.weight.tolist()]
            bias = [Fraction(v) for v in layer.bias.tolist()]
            state = [sum(w * s for w, s in zip(r, state, strict=True)) + b for r, b in zip(weight, bias, strict=True)]
        else:
            alpha = Fraction(layer.weight.item()) if isinstance(layer, nn.PReLU) else Fraction(0)
            state = [s if s > 0 else alpha * s for s in state]
    return state


@pytest.mark.exact
@pytest.mark.parametrize("activation", [lambda _: nn.ReLU(), lambda _: nn.PReLU(dtype=torch.float64)])
@given(point=st.lists(small, min_size=3, max_size=3), seed=st.integers(0, 1000))
def test_evaluation_equals_fractions(activation, point, seed):
    net = network((3, 5, 4, 2), seed, activation)
    assert [exact.fraction(v) for v in exact.evaluate_network(net, point)] == by_hand(net, point)


def test_evaluation_agrees_with_torch_in_float64():
    net = network((3, 20, 20, 2), 1, lambda _: nn.ReLU())
    x = torch.rand(10, 3, dtype=torch.float64)
    for row, y in zip(x, net(x), strict=True):
        assert [float(exact.fraction(v)) for v in exact.evaluate_network(net, row)] == pytest.approx(
            y.tolist(), abs=1e-14
        )


@pytest.mark.exact
@given(
    start=st.lists(small, min_size=2, max_size=2), end=st.lists(small, min_size=2, max_size=2), seed=st.integers(0, 500)
)
def test_breakpoints_along_a_line(start, end, seed):
    """Values at breakpoints are the network's, and the network is affine in between (checked at the middle)."""
    net = network((2, 4, 3, 1), seed, lambda _: nn.ReLU())
    times, states = exact.along_line(net, start, end)
    assert times[0] == 0
    assert times[-1] == 1
    assert all(a < b for a, b in itertools.pairwise(times))

    def at(s):
        return exact.evaluate_network(
            net, [exact.rational(a) + s * exact.rational(b - a) for a, b in zip(start, end, strict=True)]
        )

    for (s, u), (t, v) in zip(zip(times, states, strict=True), zip(times[1:], states[1:], strict=True), strict=False):
        assert at(s) == u
        assert at((s + t) / 2) == [(a + b) / 2 for a, b in zip(u, v, strict=True)]


def test_breakpoints_are_the_kinks_of_a_pencil():
    net = nn.Sequential(nn.Linear(1, 2, dtype=torch.float64), nn.ReLU(), nn.Linear(2, 1, dtype=torch.float64))
    with torch.no_grad():
        net[0].weight.fill_(1.0)
        net[0].bias.copy_(torch.tensor([-0.25, -0.5]))
    times, _ = exact.along_line(net, [0], [1])
    assert [exact.fraction(t) for t in times] == [0, Fraction(1, 4), Fraction(1, 2), 1]


def test_graph_routing_prefers_the_first_child_on_ties():
    graph = PathwayTree((2,)).to_networkx()
    assert exact.route_graph(graph, [1])[-1] == ((0, 1),)
    assert exact.route_graph(graph, [Fraction(10**20 + 1, 10**20)])[-1] == ((1, 2),)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_non_finite_numbers_are_refused(value):
    with pytest.raises(ValueError, match="`value` must be finite"):
        exact.rational(value)


def test_unknown_layers_and_shapes_are_refused():
    with pytest.raises(TypeError, match="no exact evaluation for Tanh"):
        exact.evaluate_network(nn.Sequential(nn.Tanh()), [1])
    with pytest.raises(ValueError, match="does not accept 2 inputs"):
        exact.evaluate_network(nn.Linear(3, 1), [1, 2])
