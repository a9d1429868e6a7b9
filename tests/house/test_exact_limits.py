"""The exact kernel at its limits: depths, kinds of tensors, breakpoints and routers against plain loops."""

import itertools
import random
from fractions import Fraction

import networkx as nx
import pytest
import torch
from torch import nn

from constructions.networks import Constant
from theory import exact


def nested(depth):
    network = nn.Linear(1, 1)
    for _ in range(depth):
        network = nn.Sequential(network)
    return network


def test_how_deep_stacks_may_be_nested():
    assert len(exact.plain_layers(nested(100))) == 1
    with pytest.raises(TypeError, match="must not be nested deeper than 100"):
        exact.plain_layers(nested(101))
    assert exact.plain_layers(nn.Sequential()) == []


def test_which_hooks_are_noticed():
    assert exact.altered(nn.Linear(1, 1)) is None
    for hook in ("register_forward_hook", "register_forward_pre_hook"):
        layer = nn.Linear(1, 1)
        handle = getattr(layer, hook)(lambda *arguments: None)
        assert exact.altered(layer) == "Linear has forward hooks"
        handle.remove()
        assert exact.altered(layer) is None
    for hook in ("register_module_forward_hook", "register_module_forward_pre_hook"):
        handle = getattr(nn.modules.module, hook)(lambda *arguments: None)
        assert exact.altered(nn.Linear(1, 1)) == "Linear has forward hooks"
        handle.remove()
    assert exact.altered(nn.Linear(1, 1)) is None


class Odd(nn.Parameter):
    pass


def test_which_tensors_are_weights():
    for layer in (nn.Linear(2, 2), nn.PReLU(2), Constant(torch.ones(2)), nn.Linear(2, 2, bias=False)):
        assert exact.altered(layer) is None
        for name in ("weight", "bias"):
            honest = getattr(layer, name, None)
            if honest is None:
                continue
            layer._parameters.pop(name, None)
            layer._buffers.pop(name, None)
            setattr(layer, name, Odd(honest.detach().clone()))
            sentence = f"the {name} of a {type(layer).__name__} is a Odd, not a dense torch.Tensor"
            assert exact.altered(layer) == sentence
            layer._parameters.pop(name, None)
            setattr(layer, name, nn.Parameter(honest.detach().clone()))
            assert exact.altered(layer) is None
    sparse = nn.Linear(2, 2)
    sparse.weight = nn.Parameter(torch.eye(2).to_sparse())
    assert exact.altered(sparse) == "the weight of a Linear is a torch.sparse_coo, not a dense torch.Tensor"


def test_weights_of_other_shapes():
    for change, message in (
        (torch.zeros(3), r"must have a weight \(out, in\), got shape \(3,\)"),
        (torch.zeros(2, 3, 1), r"must have a weight \(out, in\), got shape \(2, 3, 1\)"),
    ):
        layer = nn.Linear(3, 2)
        layer.weight = nn.Parameter(change)
        for evaluate in (exact.Compiled, lambda n: exact.evaluate_network(n, [1, 2, 3])):
            with pytest.raises(ValueError, match=message):
                evaluate(layer)
    square = nn.Linear(2, 2, bias=False)
    square.weight.data.copy_(torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
    assert exact.evaluate_network(square, [1, 10]) == exact.Compiled(square)([1, 10]) == [21, 43]
    one = nn.PReLU(1)
    one.weight.data.fill_(0.5)
    assert exact.evaluate_network(one, [-2, 3, -4]) == [-1, 3, -2]
    assert exact.Compiled(nn.ReLU())([-1, 2]) == [0, 2]
    assert exact.Compiled(nn.ReLU()).inputs is None


def test_rows_of_numbers():
    assert exact.vector([1, 0.5, Fraction(1, 3)]) == [1, exact.rational(Fraction(1, 2)), exact.rational(Fraction(1, 3))]
    assert exact.vector(torch.tensor([1.5, 2.0])) == [exact.rational(1.5), 2]
    assert exact.vector(iter((1, 2))) == [1, 2]
    assert exact.vector(()) == []
    for values in ("1", b"1", 5, None):
        with pytest.raises(TypeError, match="`values` must be one row of numbers"):
            exact.vector(values)
    for shape in ((), (1, 2)):
        with pytest.raises(ValueError, match="`values` must be one row of numbers, got a tensor of shape"):
            exact.vector(torch.zeros(shape))


@pytest.mark.exact
def test_breakpoints_are_all_zeros_of_all_units():
    """One layer of units a_i + b_i·s: breakpoints 0, 1 and every −a/b between them, and the outputs there."""
    dice = random.Random(0)
    for _ in range(40):
        units = [(dice.randint(-6, 6), dice.randint(-6, 6)) for _ in range(4)]
        net = nn.Sequential(nn.Linear(1, 4), nn.ReLU(), nn.Linear(4, 1)).double()
        with torch.no_grad():
            net[0].weight.copy_(torch.tensor([[float(b)] for _, b in units]))
            net[0].bias.copy_(torch.tensor([float(a) for a, _ in units]))
            net[2].weight.copy_(torch.tensor([[1.0, -2.0, 3.0, 5.0]]))
            net[2].bias.fill_(0.25)
        cuts = sorted({Fraction(0), Fraction(1), *(Fraction(-a, b) for a, b in units if b and 0 < Fraction(-a, b) < 1)})
        times, states = exact.along_line(net, [0], [1])
        assert [exact.fraction(t) for t in times] == cuts
        for s, state in zip(cuts, states, strict=True):
            value = sum(w * max(a + b * s, 0) for w, (a, b) in zip((1, -2, 3, 5), units, strict=True)) + Fraction(1, 4)
            assert [exact.fraction(v) for v in state] == [value]
    times, states = exact.along_line(nn.ReLU(), [1, -2, 0], [-3, 2, 5])
    assert [exact.fraction(t) for t in times] == [0, Fraction(1, 4), Fraction(1, 2), 1]
    assert [[exact.fraction(v) for v in state] for state in states] == [
        [1, 0, 0],
        [0, 0, Fraction(5, 4)],
        [0, 0, Fraction(5, 2)],
        [0, 2, 5],
    ]
    with pytest.raises(ValueError, match="`end` must have 2 coordinates like `start`, got 1"):
        exact.along_line(nn.ReLU(), [1, 2], [1])


@pytest.mark.exact
def test_lattices_of_all_sizes_by_hand():
    for count in (1, 2, 3, 5):
        for sixth in range(-20, 6 * count + 21):
            z = Fraction(sixth, 6)
            gaps = [abs(z - Fraction(2 * i + 1, 2)) for i in range(count)]
            assert exact.route_lattice([z], [count]) == (gaps.index(min(gaps)),)
    for cells in ([0], [-1], [2.0], [True]):
        with pytest.raises(ValueError, match="`cells`"):
            exact.route_lattice([1], cells)


def test_ways_down_a_graph_by_hand():
    """The nearest child at every node, the first one of equals; every node of a chain is passed."""
    graph = nx.DiGraph()
    for name, place in (("a", (0, 0)), ("b", (2, 0)), ("c", (1, 3)), ("d", (2, 2)), ("e", (2, -2))):
        graph.add_node(name, prototype=place)
    graph.add_edges_from([("root", "a"), ("root", "b"), ("root", "c"), ("b", "d"), ("b", "e")])
    for point, way in (
        ((0, 0), ["root", "a"]),
        ((1, 0), ["root", "a"]),
        ((Fraction(11, 10), 0), ["root", "b", "d"]),
        ((3, Fraction(-1, 9)), ["root", "b", "e"]),
        ((1, 2), ["root", "c"]),
    ):
        assert exact.route_graph(graph, point) == way
    chain = nx.DiGraph(list(itertools.pairwise(range(5))))
    nx.set_node_attributes(chain, (0,), "prototype")
    assert exact.route_graph(chain, [1]) == [0, 1, 2, 3, 4]
    alone = nx.DiGraph()
    alone.add_node(7)
    assert exact.route_graph(alone, [1]) == [7]
    with pytest.raises(ValueError, match="exactly one root, got 0"):
        exact.route_graph(nx.DiGraph(), [1])
    # a circle is left as soon as there are more nodes on the way than in the graph
    circle = nx.DiGraph([(0, 1), (1, 2), (2, 3), (3, 1)])
    nx.set_node_attributes(circle, (0,), "prototype")
    asked = []
    with pytest.MonkeyPatch.context() as patch:
        honest = exact._prototype
        patch.setattr(exact, "_prototype", lambda graph, node: asked.append(node) or honest(graph, node))
        with pytest.raises(ValueError, match="the way down from 0 runs in a circle"):
            exact.route_graph(circle, [1])
    assert asked == [1, 2, 3]
    assert exact.distance_squared(exact.vector([1, 5]), [4, 1]) == 25
    assert exact.distance_squared([], []) == 0
