"""What an interval rests on: forward passes beside weights, banks of experts, Theorem 1's numbers, f's own values."""

import itertools
import math
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from flint import arb
from torch import nn

from constructions import LipschitzFunction
from constructions.functions.symbolic.parser import parse
from constructions.functions.symbolic.tape import compile_tape
from constructions.networks import Constant
from theory import exact
from theory.checkers.uniform_error import a_priori, banks, premises, target_values
from theory.checkers.uniform_error.premises import forward_is_expert, forward_matches
from theory.checkers.uniform_error.ridge import FirstLayer, RidgeBank
from theory.checkers.uniform_error.stack import UNIT, StackBank
from theory.checkers.uniform_error.view import view_of

DOUBLE = {"dtype": torch.float64}


def tensor(values):
    return torch.tensor(values, **DOUBLE)


# --- forward() beside the weights ------------------------------------------------------------------------


class Beside(nn.Module):
    """A foreign mixture of one constant expert on [0, 1] whose forward pass is off by `off`."""

    num_leaves = 1

    def __init__(self, value, off, ends=(0.0, 1.0), outputs=1):
        super().__init__()
        self.net = nn.Linear(1, outputs, **DOUBLE)
        with torch.no_grad():
            self.net.weight.zero_()
            self.net.bias.fill_(value)
        self.off, self.ends = off, ends

    def forward(self, x):
        return self.net(x)[:, :1] + self.off

    def route(self, x):
        return torch.zeros(len(x), dtype=torch.int64)

    def expert(self, leaf):
        return self.net

    def cell_bounds(self, leaf):
        return tuple(tensor([e]) for e in self.ends)


LINE = LipschitzFunction(lambda x: x[:, :1] * 0, n=1, lipschitz=0.0)


@pytest.mark.parametrize(
    ("value", "off", "holds"),
    [
        # 2·(1 + 4)·u of 1 are five steps of 2⁻⁵², and a hundredth more is no sixth
        (1.0, 5 * 2.0**-52, True),
        (1.0, 6 * 2.0**-52, False),
        (1.0, -10 * 2.0**-53, True),
        (1.0, -11 * 2.0**-53, False),
        (0.0, 0.9e-300, True),
        (0.0, 1.1e-300, False),
    ],
)
def test_a_forward_pass_may_be_off_by_its_rounding(value, off, holds):
    found = forward_is_expert(view_of(Beside(value, off), LINE.domain, 1, max_leaves=9), tensor([[0.5]]))
    assert found.holds is holds, found.detail
    assert found.name == "forward() uses these weights"
    if holds:
        assert found.detail.endswith("at 1 points; elsewhere forward() is taken at its word")


def test_the_limit_of_a_forward_pass_is_a_hundredth_above_its_slack():
    view = view_of(Beside(0.0, 0.0), LINE.domain, 1, max_leaves=9)
    stack = banks.foreign_bank(view.model.net, *view.reach(view.leaves), UNIT, 2.0**-1022)
    limit = stack.forward_slack * 1.01 + 1e-300
    for off, holds in ((limit, True), (-limit, True), (math.nextafter(limit, 1), False)):
        assert (
            forward_is_expert(view_of(Beside(0.0, off), LINE.domain, 1, max_leaves=9), tensor([[0.5]])).holds is holds
        )


@pytest.mark.parametrize("output", [0, 1])
def test_one_output_beside_the_weights_is_enough(output):
    off = torch.zeros(2, **DOUBLE)
    off[output] = 1e-9
    model = Beside(1.0, 0.0, outputs=2)
    view = SimpleNamespace(
        forward=lambda x: model.net(x) + off, route=lambda x: torch.zeros(len(x), 1), m=2, model=model,
        reach=lambda leaves: (torch.zeros(len(leaves), 1, **DOUBLE), torch.ones(len(leaves), 1, **DOUBLE)),
        expert=lambda leaf: model.net, read_whole=True,
    )  # fmt: skip
    assert not forward_is_expert(view, tensor([[0.25], [0.75]])).holds

    class Two(Points):
        def values(self, expert, piece, x):
            return torch.cat([x, x], 1)

    shift = 1e9 * off
    assert matched(lambda x: torch.cat([x, x], 1) + shift, Two()) is not None
    assert matched(lambda x: torch.cat([x, x], 1) + shift / 2, Two()) is None


def test_points_lie_in_the_cells_that_they_are_routed_to():
    f = LipschitzFunction(lambda x: x[:, :1] * 0, n=1, lipschitz=0.0, domain=(-1, 2))
    view = view_of(Beside(0.0, 0.0), f.domain, 1, max_leaves=9)
    margin = 3 * 8 * UNIT + 2 * 2 * UNIT
    assert [float(e) for e in view.reach(view.leaves)] == [0 - margin, 1 + margin]
    for x, holds in ((0.0, True), (1.0, True), (1 + margin, True), (1 + 2 * margin, False), (-2 * margin, False)):
        found = forward_is_expert(view, tensor([[0.5], [x]]))
        assert (found.holds, found.name) == (holds, found.name if holds else "route(x) agrees with cell_bounds")


def test_experts_have_the_mixtures_outputs_and_finite_weights():
    found = forward_is_expert(view_of(Beside(0.0, 0.0, outputs=2), LINE.domain, 1, max_leaves=9), tensor([[0.5]]))
    assert (found.holds, found.detail) == (False, "the expert of leaf [0] gives 2 outputs, the mixture 1")
    wild = Beside(0.0, 0.0)
    wild.net.register_buffer("more", torch.tensor([1.0, math.nan]))
    found = forward_is_expert(view_of(wild, LINE.domain, 1, max_leaves=9), tensor([[0.5]]))
    assert (found.holds, found.detail) == (False, "the weights of leaf [0] are not all finite")


def matched(model, bank, total=1):
    view = SimpleNamespace(model=model, total=total)
    return forward_matches(view, torch.tensor([[7], [8]]), bank)


class Points:
    """A bank that is no pencil: `values` are x itself, 4097 seeds."""

    table_slack, forward_slack = 0.25, 0.5

    def __init__(self):
        self.asked = []

    def seeds(self, most):
        assert most == 256
        x = torch.linspace(0, 1, 4097, **DOUBLE)[:, None]
        ids = (x[:, 0] > 0.5).long()
        return ids, ids, x

    def values(self, expert, piece, x):
        self.asked.append(x.flatten().tolist())
        return x


@pytest.mark.parametrize(("total", "points"), [(1, 4096), (3, 1365), (4096, 1), (10**6, 1)])
def test_many_experts_are_asked_at_fewer_points_the_last_of_the_seeds(total, points):
    bank = Points()
    assert matched(lambda x: x, bank, total) is None
    assert bank.asked[0] == bank.seeds(256)[2].flatten()[-points:].tolist()


def test_a_forward_pass_is_compared_with_both_slacks():
    limit = 1.01 * 0.75
    assert matched(lambda x: x * 0 + x + 0.757, Points()) is None
    for off in (0.758, math.nan, -0.758):
        found = matched(lambda x, off=off: torch.where(x > 0.75, x + off, x), Points())
        assert (found.name, found.holds) == ("forward() uses these weights", False)
        assert found.detail.startswith("at x = [0.750244140625] (leaf [8]) forward() gives")
    assert limit < 0.758
    zero = Points()
    zero.table_slack = zero.forward_slack = 0.0
    assert matched(lambda x: x, zero) is None
    assert matched(lambda x: torch.cat([x, x], 1), zero).detail.startswith(
        "it gives 2 outputs, the experts from leaf [7] on 1"
    )


def test_pencils_are_compared_at_the_middles_of_pieces(monkeypatch):
    layer = FirstLayer(tensor([[4.0], [2.0]]), tensor([-1.0, -1.0]), torch.zeros(2, **DOUBLE), 0)
    ends = torch.zeros(2, 1, **DOUBLE), torch.ones(2, 1, **DOUBLE)
    out = tensor([[[1.0, 2.0]], [[3.0, 4.0]]])
    bank = RidgeBank.of(layer, out, torch.zeros(2, 1, **DOUBLE), *ends, unit=UNIT)
    middles = [0.125, 0.375, 0.75, 0.375, 0.75, 0.125]  # another run of them for the next expert
    asked = []

    def model(x, wrong=0.0):
        asked.append(x.flatten().tolist())
        hidden = (x * tensor([4.0, 2.0]) - 1).clamp(min=0)
        rows = torch.arange(len(x)) // 3
        return (hidden * out[rows, 0]).sum(1, keepdim=True) + wrong

    assert matched(model, bank) is None
    assert asked == [middles]
    assert matched(lambda x: model(x, 1e-9), bank) is not None


@pytest.mark.parametrize(
    ("pieces", "experts", "sample"), [(3, 2, 4096), (10, 3, 12), (10, 3, 13), (7, 5, 5), (7, 5, 3), (9, 4, 36)]
)
def test_some_pieces_of_every_expert(monkeypatch, pieces, experts, sample):
    monkeypatch.setattr(premises, "FORWARD_SAMPLE", sample)
    each = max(1, min(pieces, sample // experts))
    step = math.ceil(pieces / each)
    expected = [e * pieces + (e + step * k) % pieces for e in range(experts) for k in range(each)]
    assert premises._sampled_pieces(pieces, experts).tolist() == expected


def test_networks_on_the_host_are_taken_as_they_are():
    for net in (nn.Linear(1, 1), nn.Identity()):
        assert premises._on_the_host(net) is net


def test_networks_elsewhere_are_copied(sim):
    mixed = nn.Sequential(nn.Linear(1, 1), nn.Linear(1, 1).to(sim))
    found = premises._on_the_host(mixed)
    assert found is not mixed
    assert all(p.device.type == "cpu" for p in found.parameters())
    assert mixed[1].weight.device.type != "cpu"


# --- banks -----------------------------------------------------------------------------------------------


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
    piece = expert if kind is StackBank else torch.bucketize(x[:, bank.layer.axis], bank.ends[1:-1])
    with torch.no_grad():
        assert torch.allclose(bank.values(expert, piece, x), network(x).double(), atol=1e-12)
    if kind is RidgeBank:
        assert bank.layer.axis == 1
    assert bank.forward_slack > bank.table_slack * 2.0**28


@pytest.mark.parametrize(
    ("network", "why"),
    [
        (nn.Sequential(Constant(torch.ones(1)), Constant(torch.ones(1))), "Linear layer is needed"),
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


# --- Theorem 1 -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("chunk", [1, 8, 10**6])
def test_theorem_1s_numbers_by_loops(monkeypatch, chunk):
    """Three experts in three dimensions that read axis 1, two outputs; f asked expert by expert, or at once."""
    monkeypatch.setattr(a_priori, "NODES_PER_STEP", chunk)
    asked = []

    def fn(x):
        asked.append(len(x))
        return torch.stack([x[:, 0] + 2 * x[:, 1], x[:, 2] * x[:, 1]], dim=1)

    f = LipschitzFunction(fn, n=3, m=2, lipschitz=50.0, domain=((0, 8), (0, 1), (0, 8)))
    units, axis = [(3.0, -1.0, 0.25), (-4.0, 1.0, 0.0)], 1
    weight = tensor([[0.0, w, 0.0] for w, _, _ in units])
    layer = FirstLayer(weight, tensor([b for _, b, _ in units]), tensor([s for _, _, s in units]), axis)
    lower, upper = tensor([[0, 0, 0], [1, 0, 2], [3, 0, 5]]), tensor([[1, 1, 2], [3, 1, 5], [4, 1, 6]])
    out, offset = torch.arange(12.0, **DOUBLE).reshape(3, 2, 2) - 5, tensor([[1, 2], [3, -4], [0, 20]])
    bank = RidgeBank.of(layer, out, offset, lower, upper, unit=UNIT)
    measured = a_priori.Measured()
    asked.clear()
    a_priori._measure(torch.tensor([[10], [11], [12]]), bank, f, measured)

    nodes = [Fraction(0), Fraction(1, 4), Fraction(1, 3), Fraction(1)]
    gaps = {}
    for e, j, (i, t) in itertools.product(range(3), range(2), enumerate(nodes)):
        value = Fraction(float(offset[e, j]))
        for k, (w, b, s) in enumerate(units):
            z = Fraction(w) * t + Fraction(b)
            value += Fraction(float(out[e, j, k])) * (z if z > 0 else Fraction(s) * z)
        x = [float(lower[e, 0] + upper[e, 0]) / 2, float(t), float(lower[e, 2] + upper[e, 2]) / 2]
        gaps[e, j, i] = abs(Fraction(float(fn(tensor([x]))[0, j])) - value)
    worst = max(gaps, key=gaps.get)
    assert measured.tau == math.nextafter(float(gaps[worst]), math.inf)
    assert measured.tau_where == f"leaf {[10 + worst[0]]}, output {worst[1]}, node {worst[2]}"
    assert (measured.b, measured.b_where) == (Fraction(1, 3), f"after {1 / 3:.9g} on axis 1")
    assert measured.shift == abs(Fraction(1 / 3) - Fraction(1, 3))
    assert math.sqrt(3.25) <= measured.a <= math.sqrt(3.25) * (1 + 1e-14)
    assert measured.nodes == 3 * 2 * 4
    sizes = [n for n in asked if n != 1]
    assert sizes == {1: [4] * 3, 8: [8, 4], 10**6: [12]}[chunk]

    # again: nothing gets better, the first name stays
    kept = (measured.a, measured.b, measured.tau, measured.tau_where, measured.b_where, measured.shift)
    a_priori._measure(torch.tensor([[20], [21], [22]]), bank, f, measured)
    assert (measured.a, measured.b, measured.tau, measured.tau_where, measured.b_where, measured.shift) == kept
    assert measured.nodes == 2 * 24
    rich = a_priori.Measured(a=100.0, shift=Fraction(1), b=Fraction(50), tau=1e6, slack=9.0)
    a_priori._measure(torch.tensor([[20], [21], [22]]), bank, f, rich)
    assert (rich.a, rich.shift, rich.b, rich.tau, rich.slack, rich.b_where) == (100, 1, 50, 1e6, 9.0, "-")


def test_the_first_of_equal_gaps_is_named():
    layer = FirstLayer(tensor([[2.0]]), tensor([-1.0]), tensor([0.0]), 0)
    f = LipschitzFunction(lambda x: x[:, :1] * 0, n=1, lipschitz=1.0, domain=(-5, 5))
    measured = a_priori.Measured()
    for leaf, lo in ((0, 0.0), (1, 0.5), (2, -0.5)):
        bank = RidgeBank.of(layer, tensor([[[0.0]]]), tensor([[1.0]]), tensor([[lo]]), tensor([[lo + 0.5]]), unit=UNIT)
        a_priori._measure(torch.tensor([[leaf]]), bank, f, measured)
    assert (measured.b, measured.b_where) == (Fraction(1, 4), "after 0 on axis 0")
    assert measured.tau_where == "leaf [0], output 0, node 0"


@pytest.mark.parametrize(("steps", "farthest"), [(3, 2), (1, 1)])
def test_cells_reach_to_their_farther_end(steps, farthest):
    """The middle of 1 and 1 + 3·2⁻⁵² is rounded up, that of 1 and 1 + 2⁻⁵² down."""
    layer = FirstLayer(tensor([[0.0, 2.0]]), tensor([-1.0]), tensor([0.0]), 1)
    ends = tensor([[1.0, 0.0]]), tensor([[1 + steps * 2.0**-52, 1.0]])
    bank = RidgeBank.of(layer, tensor([[[0.0]]]), tensor([[1.0]]), *ends, unit=UNIT)
    f = LipschitzFunction(lambda x: x[:, :1] * 0, n=2, lipschitz=1.0, domain=(0, 2))
    measured = a_priori.Measured()
    a_priori._measure(torch.tensor([[0]]), bank, f, measured)
    assert measured.a == pytest.approx(farthest * 2.0**-52, rel=1e-12, abs=0)


def test_theorem_1s_bound_is_the_sum_of_its_parts(monkeypatch):
    def measure(leaves, bank, f, measured):
        measured.a, measured.b, measured.tau, measured.slack, measured.shift = (
            3.0,
            Fraction(4),
            0.25,
            0.125,
            Fraction(1),
        )

    layer = FirstLayer(tensor([[2.0]]), tensor([-1.0]), tensor([0.0]), 0)
    bank = RidgeBank.of(layer, tensor([[[0.0]]]), tensor([[1.0]]), tensor([[0.0]]), tensor([[1.0]]), unit=UNIT)
    monkeypatch.setattr(a_priori, "_measure", measure)
    monkeypatch.setattr(a_priori, "banks_of", lambda view: [(torch.tensor([[0]]), bank)])
    monkeypatch.setattr(a_priori, "forward_matches", lambda *args: None)
    f = LipschitzFunction(lambda x: x[:, :1] * 0, n=1, lipschitz=2.0)
    upper, measured, found = a_priori.a_priori(None, f, 0.5, lambda message: None)
    slack = 0.125 + f.modulus.upper(Fraction(1))
    assert measured.slack == slack
    assert upper == math.nextafter((f.modulus.upper(Fraction(25)) + 0.25 + 0.5 + slack) * (1 + 2.0**-50), math.inf)
    assert [p.holds for p in found] == [True] * 3
    failing = premises.Premise("forward() uses these weights", False, "no")
    monkeypatch.setattr(a_priori, "forward_matches", lambda *args: failing)
    assert a_priori.a_priori(None, f, 0.5, lambda message: None)[::2] == (math.inf, [failing])


def test_theorem_1_speaks_of_pencils_alone(monkeypatch):
    monkeypatch.setattr(a_priori, "banks_of", lambda view: [(torch.tensor([[3]]), Points())])
    upper, _, (failing,) = a_priori.a_priori(None, LINE, 0.5, lambda message: None)
    assert (upper, failing.holds, failing.detail) == (math.inf, False, "leaf [3] is not")
    assert failing.name == "experts are one-hidden-layer pencils"


# --- f's own values --------------------------------------------------------------------------------------


def fickle(value, change):
    """`value`, and `change` more when asked at 2048 points."""
    return LipschitzFunction(lambda x: x[:, :1] * 0 + value + (change if len(x) == 2048 else 0), n=1, lipschitz=0.0)


def evaluated(f):
    eta, premise, known = target_values.evaluation_error(f, torch.Generator().manual_seed(0))
    return eta, premise.holds, known


@pytest.mark.parametrize(
    ("value", "change", "holds"),
    [
        # a billionth of max(1, |f|)
        (0.0, 1e-9, True), (0.0, 1.1e-9, False), (0.5, 2.0**-30, True), (0.5, 2.0**-29, False),
        (4.0, 2.0**-28, True), (4.0, 2.0**-27, False), (-4.0, -(2.0**-28), True), (-4.0, 2.0**-27, False),
    ],
)  # fmt: skip
def test_answers_may_change_with_the_batch_by_a_billionth(value, change, holds):
    expected = (2 * abs(change), True, True) if holds else (math.inf, False, False)
    assert evaluated(fickle(value, change)) == expected


def test_a_black_box_is_known_to_4_ulps_of_its_largest_value():
    assert evaluated(fickle(-3.0, 0.0)) == (4 * math.ulp(3.0), True, True)
    ramp = LipschitzFunction(lambda x: x[:, :1] * 8 - 5, n=1, lipschitz=8.0)
    assert evaluated(ramp) == (4 * math.ulp(4.5), True, True)


@pytest.mark.parametrize(
    ("seen", "proved", "answer"),
    [
        (1.0, 2.0, (2.0, True, True)),
        (2.0, 2.0, (2.0, True, True)),
        (0.0, 0.0, (4 * math.ulp(0.49), True, True)),
        (2.0, math.nextafter(2.0, 0), (math.inf, False, False)),
        (math.nan, 2.0, (math.inf, False, False)),
        (1.0, math.inf, (2.0, True, False)),
        (0.0, math.inf, (4 * math.ulp(0.49), True, False)),
        (math.inf, math.inf, (math.inf, True, False)),
    ],
)
def test_a_formula_is_known_as_far_as_it_is_proved(monkeypatch, seen, proved, answer):
    monkeypatch.setattr(target_values, "observed_rounding", lambda *args: seen)
    monkeypatch.setattr(target_values, "formula_rounding", lambda *args: proved)
    assert evaluated(LipschitzFunction.from_sympy("x0/2", n=1)) == answer


def test_distances_from_balls_are_the_largest():
    assert target_values._distance(1.0, arb(2.5, 0.5)) == pytest.approx(2.0, rel=1e-8)
    assert target_values._distance(1.0, arb.nan()) == math.inf
    x = tensor([[0.25], [0.5]])
    tape = compile_tape(parse("x0, 1 - x0", 1), 1)
    assert target_values.observed_rounding(tape, x) == 0.0
    assert target_values.observed_rounding(tape, x, tensor([[0.25, 0.75], [0.5, 0.75]])) == 0.25


def test_enclosed_errors_are_upper_bounds_in_every_output():
    f = LipschitzFunction.from_sympy("x0, x0/3", n=1)
    network = np.array(
        [[exact.rational(Fraction(1, 3)), exact.rational(0)], [exact.rational(1), exact.rational(1)]], dtype=object
    )
    found = target_values.enclosed_errors(f, tensor([[0.25], [1.0]]), network)
    truth = [[Fraction(1, 12), Fraction(1, 12)], [Fraction(0), Fraction(2, 3)]]
    assert found.shape == (2, 2)
    for row, expected in zip(found.tolist(), truth, strict=True):
        for value, error in zip(row, expected, strict=True):
            assert error < Fraction(value) <= error + Fraction(2) ** -51
