"""Forward passes beside the weights that they are said to have, at the limits of their rounding."""

import math
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from constructions import LipschitzFunction
from constructions.functions.box import Box
from theory.checkers.uniform_error import banks, premises
from theory.checkers.uniform_error.premises import forward_is_expert, forward_matches
from theory.checkers.uniform_error.ridge import FirstLayer, RidgeBank
from theory.checkers.uniform_error.stack import UNIT
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


def test_what_a_table_may_be_off_by_comes_on_top():
    view = view_of(Beside(0.0, 0.25), LINE.domain, 1, max_leaves=9)
    for slack, holds in ((0.25, True), (0.2499, False), (0.0, False), (math.nan, False)):
        assert forward_is_expert(replace(view, table_slack=slack), tensor([[0.5]])).holds is holds


@pytest.mark.parametrize("output", [0, 1])
def test_one_output_beside_the_weights_is_enough(output):
    off = torch.zeros(2, **DOUBLE)
    off[output] = 1e-9
    model = Beside(1.0, 0.0, outputs=2)
    view = SimpleNamespace(
        table_slack=0.0,
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
    for x, holds in (
        (0.0, True),
        (1.0, True),
        (-margin, True),
        (1 + margin, True),
        (1 + 2 * margin, False),
        (-2 * margin, False),
    ):
        found = forward_is_expert(view, tensor([[0.5], [x]]))
        assert (found.holds, found.name) == (holds, found.name if holds else "route(x) agrees with cell_bounds")


@pytest.mark.parametrize("ends", [(-3.0, 1.0), (-1.0, 3.0)])
def test_the_farther_end_of_a_cell_says_what_rounds(ends):
    """2x on a cell that reaches to 3 rounds by 2·(1 + 4)·6 units, and 3 times less where it reaches to 1 only."""
    net = nn.Linear(1, 1, bias=False, **DOUBLE)
    with torch.no_grad():
        net.weight.fill_(2.0)
    for units, holds in ((50, True), (70, False)):
        view = SimpleNamespace(
        table_slack=0.0,
            forward=lambda x, u=units: net(x) + u * UNIT, route=lambda x: torch.zeros(len(x), 1), m=1, model=net,
            reach=lambda leaves: tuple(tensor([[e]]) for e in ends), expert=lambda leaf: net, read_whole=True,
        )  # fmt: skip
        assert forward_is_expert(view, tensor([[0.25]])).holds is holds


@pytest.mark.parametrize(("gap", "holds"), [(0.0, True), (0.125, False)])
def test_cells_that_are_no_product_cover_by_their_volumes(gap, holds):
    """Three cells of the unit square, one of them as high as the other two together."""
    lower, upper = tensor([[0, 0], [0.5, 0], [0.5, 0.5]]), tensor([[0.5, 1], [1, 0.5], [1, 1 - gap]])
    view = SimpleNamespace(
        table_slack=0.0,
        routed=True, complete=True, every=torch.arange(3)[:, None], total=3, domain=Box((0.0, 0.0), (1.0, 1.0)),
        bounds=lambda leaves: (lower, upper),
    )  # fmt: skip
    found = premises.cells_cover(view)
    assert (found.name, found.holds) == ("cells cover the domain", holds)


@pytest.mark.parametrize(("x", "holds"), [([0.5, 0.5], True), ([0.5, 2.0], False), ([-1.0, 0.5], False)])
def test_a_point_lies_in_its_cell_on_every_axis(sim, x, holds):
    """Wherever the cells are kept: what is compared number by number lies on the host."""
    net = nn.Linear(2, 1, **DOUBLE)
    for place in (torch.device("cpu"), sim):
        ends = torch.zeros(1, 2, **DOUBLE).to(place), torch.ones(1, 2, **DOUBLE).to(place)
        view = SimpleNamespace(
        table_slack=0.0,
            forward=net, route=lambda x: torch.zeros(len(x), 1), m=1, model=net, read_whole=True,
            reach=lambda leaves, e=ends: e, expert=lambda leaf: net,
        )  # fmt: skip
        assert forward_is_expert(view, tensor([x])).holds is holds


def test_experts_have_the_mixtures_outputs_and_finite_weights():
    found = forward_is_expert(view_of(Beside(0.0, 0.0, outputs=2), LINE.domain, 1, max_leaves=9), tensor([[0.5]]))
    assert (found.holds, found.detail) == (False, "the expert of leaf [0] gives 2 outputs, the mixture 1")
    wild = Beside(0.0, 0.0)
    wild.net.register_buffer("more", torch.tensor([1.0, math.nan]))
    found = forward_is_expert(view_of(wild, LINE.domain, 1, max_leaves=9), tensor([[0.5]]))
    assert (found.holds, found.detail) == (False, "the weights of leaf [0] are not all finite")


def matched(model, bank, total=1, table=0.0):
    view = SimpleNamespace(model=model, total=total, table_slack=table)
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
    # what a table may be off by comes on top, as it is
    assert matched(lambda x: x * 0 + x + 0.757 + 0.125, Points(), table=0.125) is None
    assert not matched(lambda x: x * 0 + x + 0.758 + 0.125, Points(), table=0.125).holds
    zero = Points()
    zero.table_slack = zero.forward_slack = 0.0
    assert matched(lambda x: x, zero) is None
    found = matched(lambda x: torch.cat([x, x], 1), zero)
    assert found.detail.startswith("it gives 2 outputs, the experts from leaf [7] on 1")
    assert not found.holds


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
