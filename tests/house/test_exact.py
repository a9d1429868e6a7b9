"""The exact kernel against independent arithmetic."""

import itertools
from fractions import Fraction

import networkx as nx
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from constructions import PathwayTree
from constructions.networks import Constant
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


# --- routers -----------------------------------------------------------------------------------------------


@pytest.mark.exact
def test_lattice_routing_by_hand():
    """Prototypes are the half-integers: cell i is (i, i + 1], the ends belong to the outer cells, ties go down."""
    third = Fraction(1, 3)
    for z, cell in ((0, 0), (third, 0), (Fraction(9, 10), 0), (1, 0), (1 + third, 1), (Fraction(19, 10), 1), (2, 1)):
        assert exact.route_lattice([z], [4]) == (cell,)
    assert exact.route_lattice([Fraction(10**30 + 1, 10**30)], [4]) == (1,)
    for z, cell in ((-third, 0), (-50, 0), (4, 3), (4 + third, 3), (50, 3), (Fraction(7, 2), 3)):
        assert exact.route_lattice([z], [4]) == (cell,)
    assert exact.route_lattice([Fraction(3, 2), 0, 99], [4, 1, 7]) == (1, 0, 6)
    assert exact.route_lattice([], []) == ()
    assert exact.route_lattice(torch.tensor([2.5]), [4]) == (2,)


@given(z=st.fractions(-3, 9, max_denominator=48), count=st.integers(1, 6))
def test_lattice_routing_is_the_argmin(z, count):
    gaps = [abs(z - i - Fraction(1, 2)) for i in range(count)]
    assert exact.route_lattice([z], [count]) == (gaps.index(min(gaps)),)


def test_lattice_arguments_are_named():
    with pytest.raises(ValueError, match="`z` must have 2 coordinates"):
        exact.route_lattice([1], [4, 4])
    with pytest.raises(ValueError, match="`cells`"):
        exact.route_lattice([1], [0])
    with pytest.raises(ValueError, match="`value` must be finite"):
        exact.route_lattice([float("nan")], [4])


def test_graphs_with_several_roots_circles_or_no_prototypes():
    graph = PathwayTree((4,)).to_networkx()
    assert len(exact.route_graph(graph, [Fraction(1, 3)])) == 3
    graph.add_node("another root")
    with pytest.raises(ValueError, match="`graph` must have exactly one root, got 2"):
        exact.route_graph(graph, [1])
    with pytest.raises(ValueError, match="`graph` must have exactly one root, got 0"):
        exact.route_graph(nx.DiGraph([(1, 2), (2, 1)]), [1])
    circle = nx.DiGraph([(0, 1), (1, 2), (2, 1)])
    nx.set_node_attributes(circle, (0,), "prototype")
    with pytest.raises(ValueError, match="runs in a circle"):
        exact.route_graph(circle, [1])
    with pytest.raises(ValueError, match="node 1 has none"):
        exact.route_graph(nx.DiGraph([(0, 1)]), [1])
    line = nx.DiGraph([(0, 1), (1, 2)])
    nx.set_node_attributes(line, (0,), "prototype")
    assert exact.route_graph(line, [1]) == [0, 1, 2]
    with pytest.raises(ValueError, match="`prototype` must have 2 coordinates, got 1"):
        exact.route_graph(line, [1, 2])
    assert exact.distance_squared(exact.vector([1, Fraction(1, 2)]), [3, 0]) == exact.rational(Fraction(17, 4))


# --- what forward() does is read off the class, and nothing may change it -------------------------------------


def small():
    net = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1)).double()
    with torch.no_grad():
        for p in net.parameters():
            p.copy_(torch.arange(p.numel(), dtype=torch.float64).reshape(p.shape) - 2)
    return net


def test_values_by_hand_compiled_and_not():
    """x = (1, 1/2): pre-activations −2.5 − 2, 0.5 − 1, 3.5 + 0 … by hand."""
    point = [1, Fraction(1, 2)]
    # rows (−2, −1), (0, 1), (2, 3), biases −2, −1, 0; outputs −2, −1, 0, bias −2
    hidden = [max(Fraction(0), v) for v in (Fraction(-9, 2), Fraction(-1, 2), Fraction(7, 2))]
    value = -2 * hidden[0] - hidden[1] + 0 * hidden[2] - 2
    for found in (exact.evaluate_network(small(), point), exact.Compiled(small())(point)):
        assert [exact.fraction(v) for v in found] == [value]
    net = small()
    net[2].weight.data[0, 2] = 0.5
    assert exact.Compiled(net)(point) == exact.evaluate_network(net, point) == [exact.rational(Fraction(-1, 4))]


def test_a_relu_or_linear_used_twice_is_applied_twice():
    act, layer = nn.ReLU(), nn.Linear(1, 1, dtype=torch.float64)
    with torch.no_grad():
        layer.weight.fill_(-1.0)
        layer.bias.fill_(1.0)
    net = nn.Sequential(layer, act, layer, act, nn.Identity(), nn.Sequential(layer))
    assert len(exact.plain_layers(net)) == 6
    for x, y in ((0, 1), (1, 0), (5, 0), (-3, 1)):
        assert float(net(torch.tensor([[float(x)]], dtype=torch.float64))) == y
        assert exact.evaluate_network(net, [x]) == [y]
    with pytest.raises(TypeError, match="no compiled evaluation for Identity"):
        exact.Compiled(net)


class Twice(nn.Linear):
    def forward(self, x):
        return 2 * super().forward(x)


def altered(change):
    net = small()
    return change(net) or net


def own_forward(net):
    net[1].forward = lambda x: x


def compiled(net):
    net[0].compile()


def hooked(net):
    net[0].register_forward_hook(lambda *arguments: None)


def early(net):
    net.register_forward_pre_hook(lambda *arguments: None)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda net: Twice(2, 1), "no exact evaluation for Twice"),
        (lambda net: nn.Sequential(nn.Sequential(Twice(2, 1))), "no exact evaluation for Twice"),
        (lambda net: type("Other", (nn.Sequential,), {})(*net), "no exact evaluation for Other"),
        (lambda net: type("Other", (nn.ReLU,), {})(), "no exact evaluation for Other"),
        (own_forward, "ReLU has its own forward"),
        (compiled, "Linear has its own _compiled_call_impl"),
        (hooked, "Linear has forward hooks"),
        (early, "Sequential has forward hooks"),
        (lambda net: nn.utils.parametrizations.weight_norm(net[0]) and None, "no exact evaluation for Parametrized"),
        (lambda net: 5, "`network` must be a torch.nn.Module, got int"),
    ],
)
def test_networks_whose_forward_may_be_anything(change, message):
    for evaluate in (
        lambda net: exact.evaluate_network(net, [1, 2]),
        exact.Compiled,
        lambda net: exact.along_line(net, [0, 0], [1, 1]),
    ):
        with pytest.raises(TypeError, match=message):
            evaluate(altered(change))


def test_sizes_that_do_not_fit():
    net = small()
    for point in ([1], [1, 2, 3], []):
        with pytest.raises(ValueError, match=f"`point` must have 2 coordinates, got {len(point)}"):
            exact.Compiled(net)(point)
        with pytest.raises(ValueError, match=f"does not accept {len(point)} inputs"):
            exact.evaluate_network(net, point)
    wrong = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(4, 1))
    for evaluate in (exact.Compiled, lambda n: exact.evaluate_network(n, [1, 2])):
        with pytest.raises(ValueError, match="does not accept 3 inputs"):
            evaluate(wrong)
    net[0].bias = nn.Parameter(net[0].bias[:1])
    for evaluate in (exact.Compiled, lambda n: exact.evaluate_network(n, [1, 2])):
        with pytest.raises(ValueError, match=r"must have a bias \(3,\), got shape \(1,\)"):
            evaluate(net)
    with pytest.raises(ValueError, match="`end` must have 1 coordinates like `start`, got 2"):
        exact.along_line(small(), [0], [1, 1])
    slopes = nn.Sequential(nn.Linear(2, 3), nn.PReLU(2))
    with pytest.raises(ValueError, match="does not accept 3 inputs"):
        exact.evaluate_network(slopes, [1, 2])
    with pytest.raises(TypeError, match="no compiled evaluation for PReLU"):
        exact.Compiled(slopes)


def test_slopes_of_every_unit_are_used():
    act = nn.PReLU(3, dtype=torch.float64)
    act.weight.data.copy_(torch.tensor([0.5, -1.0, 2.0]))
    assert exact.evaluate_network(act, [-2, -3, -4]) == [-1, 3, -8]
    assert exact.evaluate_network(act, [0, 1, 2]) == [0, 1, 2]


@pytest.mark.parametrize(
    "change", [lambda p: p.fill_(float("nan")), lambda p: p.view(-1)[0].fill_(float("inf"))], ids=["nan", "inf"]
)
def test_weights_that_are_not_finite(change):
    for position in (0, 2):
        for name in ("weight", "bias"):
            net = small()
            with torch.no_grad():
                change(getattr(net[position], name))
            for evaluate in (exact.Compiled, lambda n: exact.evaluate_network(n, [1, 2])):
                with pytest.raises(ValueError, match="`value` must be finite"):
                    evaluate(net)


@pytest.mark.parametrize("value", ["1", None, [1], torch.zeros(2), 1j])
def test_what_is_no_number(value):
    with pytest.raises((TypeError, ValueError), match="`value` must be"):
        exact.rational(value)


@pytest.mark.parametrize("values", [5, "12", torch.zeros(1, 2), torch.tensor(1.0), None])
def test_what_is_no_row_of_numbers(values):
    with pytest.raises((TypeError, ValueError), match="`values` must be one row of numbers"):
        exact.vector(values)


def test_constants_and_missing_biases():
    assert exact.evaluate_network(Constant(torch.tensor([1.5, 2.0])), [9]) == [exact.rational(1.5), 2]
    bare = nn.Linear(2, 1, bias=False, dtype=torch.float64)
    bare.weight.data.copy_(torch.tensor([[2.0, 3.0]]))
    assert exact.evaluate_network(bare, [1, 1]) == exact.Compiled(bare)([1, 1]) == [5]


def test_a_line_that_crosses_a_kink_twice_at_once():
    """Two units switch at the same s: one breakpoint, and one for each later layer's own zero."""
    net = nn.Sequential(nn.Linear(1, 2), nn.ReLU(), nn.Linear(2, 1), nn.ReLU()).double()
    with torch.no_grad():
        net[0].weight.copy_(torch.tensor([[1.0], [-1.0]]))
        net[0].bias.zero_()
        net[2].weight.fill_(1.0)
        net[2].bias.fill_(-0.5)
    times, states = exact.along_line(net, [-1], [1])
    assert [exact.fraction(t) for t in times] == [0, Fraction(1, 4), Fraction(1, 2), Fraction(3, 4), 1]
    assert [exact.fraction(s[0]) for s in states] == [Fraction(1, 2), 0, 0, 0, Fraction(1, 2)]


def test_ends_of_a_line_that_lie_on_a_kink_are_no_breakpoints_of_their_own():
    """x, −x, 1 − x and x − 1 on [0, 1]: zeros of both signs at both ends."""
    net = nn.Sequential(nn.Linear(1, 4), nn.ReLU(), nn.Linear(4, 1)).double()
    with torch.no_grad():
        net[0].weight.copy_(torch.tensor([[1.0], [-1.0], [-1.0], [1.0]]))
        net[0].bias.copy_(torch.tensor([0.0, 0.0, 1.0, -1.0]))
        net[2].weight.fill_(1.0)
        net[2].bias.zero_()
    times, states = exact.along_line(net, [0], [1])
    assert times == [0, 1]
    assert states == [[1], [1]]
    times, _ = exact.along_line(net, [-1], [2])
    assert [exact.fraction(t) for t in times] == [0, Fraction(1, 3), Fraction(2, 3), 1]
