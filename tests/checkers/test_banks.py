"""Experts in banks: which one, how many together, and what is the same for all of them."""

import itertools
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from constructions import build_momlp, targets
from constructions.networks import Constant
from theory.checkers.uniform_error import banks
from theory.checkers.uniform_error.ridge import FirstLayer, RidgeBank
from theory.checkers.uniform_error.stack import UNIT, StackBank
from theory.checkers.uniform_error.view import view_of

DOUBLE = {"dtype": torch.float64}


def tensor(values):
    return torch.tensor(values, **DOUBLE)


def layers(*widths, ends_with_relu=False, bends=True):
    parts = []
    for a, b in itertools.pairwise(widths):
        parts += [nn.Linear(a, b, **DOUBLE), *([nn.ReLU()] if bends else [])]
    return nn.Sequential(*(parts if ends_with_relu or not bends else parts[:-1]))


def one_axis(net):
    with torch.no_grad():
        net[0].weight[:, 0] = 0
    return net


@pytest.mark.parametrize(
    ("network", "kind"),
    [
        (one_axis(layers(2, 3, 1)), RidgeBank),
        (layers(2, 3, 1), StackBank),
        (one_axis(layers(2, 3, 1, ends_with_relu=True)), StackBank),
        (one_axis(layers(2, 3, 1, bends=False)), StackBank),
        (one_axis(layers(2, 3, 3, 1)), StackBank),
        (one_axis(layers(2, 1, ends_with_relu=True)), StackBank),
        (Constant(torch.tensor([2.0, 3.0])), RidgeBank),
        (nn.Sequential(Constant(torch.tensor([2.0, 3.0]))), RidgeBank),
    ],
)
def test_which_bank_an_expert_gets(network, kind):
    lower, upper = tensor([[0.0, 1.0]]), tensor([[1.0, 3.0]])
    bank = banks.foreign_bank(network, lower, upper, 2.0**-24, 2.0**-126)
    assert type(bank) is kind
    assert torch.equal(bank.lower, lower)
    assert torch.equal(bank.upper, upper)
    x = tensor([[0.25, 1.5], [0.75, 2.5]])
    expert = torch.zeros(2, dtype=torch.int64)
    piece = expert if kind is StackBank else torch.bucketize(x[:, bank.layer.axis].contiguous(), bank.ends[1:-1])
    with torch.no_grad():
        assert torch.allclose(bank.values(expert, piece, x), network(x).double(), atol=1e-12)
    if kind is RidgeBank:
        assert bank.layer.axis == 1
        assert len(bank.layer.slope) == len(bank.layer.bias) == len(bank.layer.weight)
        assert bank.out_weight.shape == (1, *bank.out_bias.shape[1:], len(bank.layer.bias))
    assert bank.forward_slack > bank.table_slack * 2.0**28


@pytest.mark.parametrize(
    ("network", "why"),
    [
        (nn.Sequential(Constant(torch.ones(1)), Constant(torch.ones(1))), "Constant\\(\\) is not supported"),
        (nn.Sequential(), "it has no layer"),
        (layers(3, 2, 1), "must take 2 inputs, got 3"),
        (layers(1, 2, 1), "must take 2 inputs, got 1"),
    ],
)
def test_experts_that_no_bank_holds_are_refused(network, why):
    with pytest.raises(ValueError, match=why):
        banks.foreign_bank(network, tensor([[0.0, 0.0]]), tensor([[1.0, 1.0]]), UNIT, 0.0)


def test_a_constant_that_was_altered_is_refused():
    for part in (0, None):
        network = nn.Sequential(Constant(torch.ones(1)))
        (network if part is None else network[0]).forward = lambda x: x
        with pytest.raises(ValueError, match="must consist of plain"):
            banks.foreign_bank(network, tensor([[0.0]]), tensor([[1.0]]), UNIT, 0.0)


class Rows(nn.Module):
    """What `_pencil_banks` asks of a mixture: cells, and output layers that name their leaf."""

    def __init__(self, cells):
        super().__init__()
        self.cells = cells

    def output_layers(self, leaves):
        return leaves[:, :1, None].expand(-1, 1, 3).float(), leaves[:, :1].float()


@pytest.mark.parametrize(("axes", "rows"), [(1, 16), (3, 16), (4, 8), (6, 2), (9, 2)])
def test_banks_hold_so_many_pieces_and_their_seeds(monkeypatch, axes, rows):
    monkeypatch.setattr(banks, "PIECES_PER_BANK", 16 * 4)
    leaves = torch.arange(20)[:, None].expand(-1, axes)
    view = SimpleNamespace(
        leaves=leaves, reach=lambda part: (torch.zeros(len(part), 2, **DOUBLE), torch.ones(len(part), 2, **DOUBLE))
    )
    layer = FirstLayer(tensor([[0.0, 1.0]] * 3), tensor([0.0] * 3), tensor([0.0] * 3), 1)
    found = list(banks._pencil_banks(view, Rows((2,) * axes), layer))
    assert [len(part) for part, _ in found] == [min(rows, 20 - k) for k in range(0, 20, rows)]
    assert torch.equal(torch.cat([part for part, _ in found]), leaves)
    for part, bank in found:
        assert torch.equal(bank.out_bias, part[:, :1].double())
        assert bank.out_weight.dtype == torch.float64


def test_leaves_are_apart_where_their_intervals_differ():
    lower = tensor([[0, 0], [1, 0], [0, 0.5], [1, 0], [0, 0]])
    upper = tensor([[1, 1], [2, 1], [1, 1.0], [2, 2], [1, 1]])
    leaves = torch.arange(5)[:, None]
    view = SimpleNamespace(leaves=leaves, reach=lambda part: (lower[part[:, 0]], upper[part[:, 0]]))

    def parts(pull, axis, of=None):
        weight = torch.zeros(len(pull), 2, **DOUBLE)
        weight[:, axis] = tensor(pull)
        if of is not None:
            view.leaves = leaves[of]
        found = banks._by_interval(view, FirstLayer(weight, tensor([0.0] * len(pull)), tensor([0.0] * len(pull)), axis))
        view.leaves = leaves
        return sorted(part.flatten().tolist() for part in found)

    assert parts([0.0, 1.0], 1) == [[0, 1, 4], [2], [3]]
    assert parts([1.0], 0) == [[0, 2, 4], [1, 3]]
    assert parts([0.0], 1) == [[0, 1, 2, 3, 4]]
    assert parts([1.0], 1, [0, 1, 4]) == [[0, 1, 4]]
    assert parts([1.0], 1, []) == [[]]


def test_shared_layers_are_read_in_float64():
    weight = torch.tensor([[0.0, 2.0], [0.0, 3.0]])
    for slope, kept in ((None, [0.0, 0.0]), (torch.tensor([0.5, 2.0]), [0.5, 2.0])):
        model = SimpleNamespace(shared_layer=lambda s=slope: (weight, torch.tensor([1.0, 4.0]), s))
        layer = banks._shared_layer(model)
        assert (layer.axis, layer.pull.tolist(), layer.bias.tolist(), layer.slope.tolist()) == (1, [2, 3], [1, 4], kept)
        assert {t.dtype for t in (layer.weight, layer.bias, layer.slope)} == {torch.float64}
    assert banks._shared_layer(SimpleNamespace(shared_layer=lambda: None)) is None
    with pytest.raises(ValueError, match="rows along one axis"):
        banks._shared_layer(SimpleNamespace(shared_layer=lambda: (torch.eye(2), torch.ones(2), None)))


@pytest.mark.parametrize("expert", ["pencil", "constant"])
def test_experts_that_share_a_layer_are_in_one_bank(expert):
    f = targets.get("cone", n=2)
    model = build_momlp(f, eps=0.3, expert=expert)
    view = view_of(model, f.domain, 1, max_leaves=10**6)
    ((leaves, bank),) = banks.banks_of(view)
    assert torch.equal(leaves, view.leaves)
    assert bank.experts == model.num_leaves > 1


def test_experts_of_others_have_a_bank_each():
    f = targets.get("cone", n=2)
    net = layers(2, 3, 1)
    ((leaves, bank),) = banks.banks_of(view_of(net, f.domain, 1, max_leaves=9))
    assert (leaves.tolist(), bank.experts) == ([[0]], 1)
    assert (bank.lower.tolist(), bank.upper.tolist()) == ([[0, 0]], [[1, 1]])
