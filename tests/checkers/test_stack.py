"""`StackBank` against a second truth: its formulas in rationals, entry by entry, with every allowance made large."""

import itertools
import math
from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from theory import exact
from theory.checkers.uniform_error import stack
from theory.checkers.uniform_error.stack import Affine, StackBank, linear_stack, precision, read_stack, stack_fault

DOUBLE = {"dtype": torch.float64}
NOWHERE = torch.zeros(1, dtype=torch.int64)


def tensor(values):
    return torch.tensor(values, **DOUBLE)


def bank_of(layers, n=2, **precisions):
    """A bank on [−1, 3] × … of layers (weight, bias, slopes or None)."""
    kept = [Affine(tensor(w), tensor(b), None if a is None else tensor(a)) for w, b, a in layers]
    ends = tensor([[-1.0] * n]), tensor([[3.0] * n])
    return StackBank.of(kept, *ends, **({"unit": 2.0**-53} | precisions))


# --- reading ---------------------------------------------------------------------------------------------


def nested(depth):
    net = nn.Linear(1, 1, **DOUBLE)
    for _ in range(depth):
        net = nn.Sequential(net)
    return net


def test_stacks_are_read_down_to_the_deepest_that_is_allowed():
    assert linear_stack(nested(exact.DEEPEST)) is not None
    assert stack_fault(nested(exact.DEEPEST + 1)) == f"it is nested deeper than {exact.DEEPEST}"
    assert stack_fault(nested(2)) is None


def test_what_is_read_is_what_the_layers_hold():
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Linear(2, 3, bias=False),
        nn.PReLU(3),
        nn.Identity(),
        nn.Linear(3, 2),
        nn.PReLU(1),
        nn.Linear(2, 2),
        nn.ReLU(),
    )
    with torch.no_grad():
        net[1].weight.copy_(torch.tensor([0.5, -1.0, 2.0]))
    first, second, third = linear_stack(net)
    for layer, module in zip((first, second, third), (net[0], net[3], net[5]), strict=True):
        assert torch.equal(layer.weight, module.weight.double())
    assert first.bias.tolist() == [0, 0, 0]
    assert torch.equal(second.bias, net[3].bias.double())
    assert (first.alpha.tolist(), second.alpha.tolist(), third.alpha.tolist()) == ([0.5, -1, 2], [0.25, 0.25], [0, 0])


@pytest.mark.parametrize(
    ("layers", "fault"),
    [
        ([], "it has no layer"),
        ([nn.ReLU()], "ReLU() where a Linear layer is needed"),
        ([nn.Linear(1, 2), nn.ReLU(), nn.ReLU()], "ReLU() where a Linear layer is needed"),
        ([nn.Linear(1, 2), nn.Tanh()], "Tanh() is no Linear, ReLU or PReLU layer"),
        ([nn.Linear(1, 2), nn.ReLU(), nn.Linear(3, 1)], "takes 3 inputs where there are 2"),
        ([nn.Linear(1, 2), nn.PReLU(3), nn.Linear(2, 1)], "has (3,) slopes for 2 units"),
        ([nn.Linear(1, 2), nn.Linear(2, 1).double()], "['torch.float32', 'torch.float64']"),
        ([nn.Linear(1, 2).bfloat16()], "['torch.bfloat16']"),
    ],
)
def test_what_is_no_stack_says_why(layers, fault):
    net = nn.Sequential(*layers)
    assert fault in stack_fault(net)
    assert linear_stack(net) is None


@pytest.mark.parametrize(
    ("name", "value", "shapes"),
    [
        ("weight", torch.ones(2), "weights (2,) and biases (2,)"),
        ("weight", torch.ones(2, 1, 1), "weights (2, 1, 1) and biases (2,)"),
        ("weight", torch.ones(2, 0), "weights (2, 0) and biases (2,)"),
        ("bias", torch.ones(1), "weights (2, 1) and biases (1,)"),
        ("bias", torch.ones(2, 1), "weights (2, 1) and biases (2, 1)"),
    ],
)
def test_weights_of_another_shape_are_refused(name, value, shapes):
    layer = nn.Linear(1, 2)
    setattr(layer, name, nn.Parameter(value))
    assert shapes in stack_fault(layer)


def test_two_linear_layers_may_follow_each_other():
    assert len(read_stack(nn.Sequential(nn.Linear(1, 2), nn.Linear(2, 3)))) == 2


# --- precisions ------------------------------------------------------------------------------------------


def test_the_coarsest_tensor_counts_wherever_it_is_kept():
    for dtype, (unit, least) in stack.FLOATS.items():
        assert (unit, least) == (torch.finfo(dtype).eps / 2, torch.finfo(dtype).tiny)
    fine, coarse = nn.Linear(1, 1, **DOUBLE), nn.Linear(1, 1)
    assert precision(fine) == precision(nn.ReLU()) == stack.FLOATS[torch.float64]
    assert precision(coarse) == precision(fine, coarse) == precision(nn.Sequential(fine, coarse))
    assert precision(coarse) == stack.FLOATS[torch.float32]
    for keep in (
        lambda: fine.register_buffer("more", torch.ones(1)),
        lambda: setattr(fine, "more", torch.ones(1)),
    ):
        keep()
        assert precision(fine) == stack.FLOATS[torch.float32]
        del fine.more
    fine.count = torch.ones(1, dtype=torch.int64)
    assert precision(fine) == stack.FLOATS[torch.float64]
    fine.more = torch.ones(1, dtype=torch.bfloat16)
    with pytest.raises(ValueError, match="must have float64 or float32 parameters"):
        precision(fine)


# --- what a forward pass rounds by -----------------------------------------------------------------------

small = st.integers(-4, 4)


@st.composite
def stacks(draw, linear_end=True):
    """Layers of small integers with widths 1 … 3, slopes of both signs."""
    widths = [2, *draw(st.lists(st.integers(1, 3), min_size=1, max_size=3))]
    layers = []
    for i, (a, b) in enumerate(itertools.pairwise(widths)):
        weight = [draw(st.lists(small, min_size=a, max_size=a)) for _ in range(b)]
        bias = draw(st.lists(small, min_size=b, max_size=b))
        last = linear_end and i == len(widths) - 2
        slopes = None if last else draw(st.lists(st.sampled_from([0, 0.5, 1, 3, -0.25, -2]), min_size=b, max_size=b))
        layers.append((weight, bias, slopes))
    return layers


def rounding_by_hand(layers, lower, upper):
    """(2·depth·largest output, 2·largest loss below the normal numbers), unit by unit."""
    size = [max(abs(a), abs(b)) for a, b in zip(lower, upper, strict=True)]
    lost, depth = [0.0] * len(size), 0
    for weight, bias, slopes in layers:
        n = len(size)
        lost = [
            sum(abs(w) * v for w, v in zip(row, lost, strict=True)) + sum(map(abs, row)) + sum(size) + n + 4
            for row in weight
        ]
        size = [
            sum(abs(w) * s for w, s in zip(row, size, strict=True)) + abs(b)
            for row, b in zip(weight, bias, strict=True)
        ]
        depth += n + 4
        for i, slope in enumerate(slopes or ()):
            gain = max(1, abs(slope))
            lost[i] = lost[i] * gain + gain + size[i] + 2
            size[i] *= gain
    return 2 * depth * max(size), 2 * max(lost)


@given(stacks(), st.tuples(small, small), st.tuples(small, small))
def test_what_a_stack_may_round_by_is_the_stated_sum(layers, one, other):
    lower, upper = (
        [float(min(p)) for p in zip(one, other, strict=True)],
        [float(max(p)) for p in zip(one, other, strict=True)],
    )
    kept = [Affine(tensor(w), tensor(b), None if a is None else tensor(a)) for w, b, a in layers]
    bank = StackBank.of(kept, tensor([lower]), tensor([upper]), unit=0.5, least=0.25)
    rounding, underflow = rounding_by_hand(layers, lower, upper)
    assert bank.forward_slack == rounding / 2 + underflow / 4
    assert bank.table_slack == rounding * 2.0**-53 + underflow * 2.0**-1022
    assert StackBank.of(kept, tensor([lower]), tensor([upper]), unit=0.0).forward_slack == underflow * 2.0**-1022


def test_what_is_lost_counts_where_nothing_else_does():
    layers = [([[0.0, 0.0]], [0.0], None)]
    bank = StackBank.of([Affine(tensor(w), tensor(b), a) for w, b, a in layers], *[tensor([[0.0, 0.0]])] * 2, unit=1.0)
    assert bank.table_slack == bank.forward_slack == 2 * 6 * 2.0**-1022


@settings(max_examples=40)
@given(st.integers(0, 10**6), st.sampled_from([torch.float32, torch.float64]))
def test_the_slacks_hold_what_really_rounds(seed, dtype):
    """Numbers with full mantissas, cancelling sums: forward() and the tables against rationals."""
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Linear(2, 3), nn.PReLU(3), nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 2)).to(dtype)
    with torch.no_grad():
        net[1].weight.copy_(torch.randn(3))
        net[2].weight[1] = -net[2].weight[0]
    unit, least = stack.FLOATS[dtype]
    bank = StackBank.of(linear_stack(net), tensor([[-1.0, -1.0]]), tensor([[3.0, 3.0]]), unit=unit, least=least)
    x = (torch.rand(5, 2) * 4 - 1).to(dtype)
    with torch.no_grad():
        said, tables = net(x), bank.values(NOWHERE, NOWHERE, x.double())
    for row in range(len(x)):
        truth = [exact.fraction(v) for v in exact.evaluate_network(net, x[row])]
        for j, value in enumerate(truth):
            assert abs(Fraction(float(said[row, j])) - value) <= Fraction(bank.forward_slack)
            assert abs(Fraction(float(tables[row, j])) - value) <= Fraction(bank.table_slack)


# --- values and variation --------------------------------------------------------------------------------


def test_values_bend_at_0():
    bank = bank_of([([[1.0]], [0.0], [3.0]), ([[1.0]], [0.0], None)], n=1)
    assert bank.values(NOWHERE, NOWHERE, tensor([[-2.0], [0.0], [2.0]])).flatten().tolist() == [-6, 0, 2]
    # an infinite slope at 0 is no number, as torch says
    wild = bank_of([([[1.0]], [0.0], [math.inf])], n=1)
    assert bool(torch.isnan(wild.values(NOWHERE, NOWHERE, tensor([[0.0]]))).all())


RELATIVE, FLOOR, SPREAD, U = Fraction(1, 8), Fraction(1, 16), Fraction(5, 4), Fraction(1, 32)


@pytest.fixture
def coarse(monkeypatch):
    """Allowances that no digit hides: 1/8 of a sum, 1/16 for what is lost, 1/32 for a product, 1/4 for a result."""
    monkeypatch.setattr(stack, "_relative", lambda terms: float(RELATIVE))
    monkeypatch.setattr(stack, "LEAST", float(FLOOR))
    monkeypatch.setattr(stack, "UNIT", float(U))
    monkeypatch.setattr(stack, "INFLATION", float(SPREAD))


def variation_by_hand(layers, centre, half):
    """The interval Jacobian with the stated allowances, entry by entry, in rationals."""
    middle, radius = [Fraction(c) for c in centre], [Fraction(h) for h in half]
    n, low, high = len(centre), None, None
    for weight, bias, slopes in layers:
        rows = [[Fraction(w) for w in row] for row in weight]
        width = sum(abs(m) + r for m, r in zip(middle, radius, strict=True))
        pads = [
            (sum(abs(w) * (abs(m) + r) for w, m, r in zip(row, middle, radius, strict=True)) + abs(b)) * RELATIVE
            + FLOOR * (sum(map(abs, row)) + width + len(row) + 4)
            for row, b in zip(rows, bias, strict=True)
        ]
        radius = [
            sum(abs(w) * r for w, r in zip(row, radius, strict=True)) + p for row, p in zip(rows, pads, strict=True)
        ]
        middle = [sum(w * m for w, m in zip(row, middle, strict=True)) + b for row, b in zip(rows, bias, strict=True)]
        low, high = times_by_hand(rows, low, high, n)
        if slopes is None:
            continue
        for i, slope in enumerate(map(Fraction, slopes)):
            bottom, top = middle[i] - radius[i], middle[i] + radius[i]
            gains = [Fraction(1)] if bottom > 0 else [slope] if top < 0 else [Fraction(1), slope]
            low[i], high[i] = scaled_by_hand(min(gains), max(gains), low[i], high[i])
            images = [v if v > 0 else slope * v for v in (bottom, top)]
            if bottom <= 0 <= top:
                images.append(Fraction(0))
            middle[i] = (min(images) + max(images)) / 2
            radius[i] = (max(images) - min(images)) / 2 * SPREAD + FLOOR * (1 + abs(slope))
    found = []
    for a, b in zip(low, high, strict=True):
        largest = [max(abs(u), abs(v)) for u, v in zip(a, b, strict=True)]
        floor = FLOOR * (sum(largest) + sum(map(Fraction, half)) + n)
        found.append(sum(g * Fraction(h) for g, h in zip(largest, half, strict=True)) * SPREAD + floor)
    return found


def times_by_hand(rows, low, high, n):
    if low is None:
        return [list(row) for row in rows], [list(row) for row in rows]
    below, above = [], []
    for row in rows:
        below.append([])
        above.append([])
        for a in range(n):
            column = [(lo[a], hi[a]) for lo, hi in zip(low, high, strict=True)]
            ends = [((lo + hi) / 2, (hi - lo) / 2) for lo, hi in column]
            centre = sum(w * m for w, (m, _) in zip(row, ends, strict=True))
            spread = sum(abs(w) * (r + abs(m) * RELATIVE) for w, (m, r) in zip(row, ends, strict=True)) * (1 + RELATIVE)
            spread += FLOOR * (sum(map(abs, row)) + sum(abs(m) + r for m, r in ends) + len(row) + 4)
            below[-1].append(centre - spread)
            above[-1].append(centre + spread)
    return below, above


def scaled_by_hand(gain_low, gain_high, low, high):
    below, above = [], []
    for a, b in zip(low, high, strict=True):
        products = [g * j for g in (gain_low, gain_high) for j in (a, b)]
        pad = max(map(abs, products)) * 2 * U + FLOOR * (1 + abs(gain_low) + abs(gain_high) + abs(a) + abs(b))
        below.append(min(products) - pad)
        above.append(max(products) + pad)
    return below, above


eighths = st.integers(-16, 16).map(lambda k: k / 8)


@pytest.mark.usefixtures("coarse")
def test_variation_is_the_stated_interval_jacobian():
    @settings(max_examples=150)
    @given(stacks(), st.lists(eighths, min_size=2, max_size=2), st.lists(eighths.map(abs), min_size=2, max_size=2))
    def check(layers, centre, half):
        bank = bank_of(layers)
        found = bank.variation(NOWHERE, NOWHERE, tensor([centre]), tensor([half]))[0].tolist()
        assert found == pytest.approx([float(v) for v in variation_by_hand(layers, centre, half)], rel=1e-12)

    check()


@pytest.mark.usefixtures("coarse")
def test_boxes_side_by_side_are_those_one_by_one():
    layers = [([[1.0, 2.0], [-3.0, 1.0]], [0.0, 1.0], [0.5, -2.0]), ([[1.0, 0.5], [1.0, -1.0]], [0.5, 0.0], None)]
    centre, half = torch.randn(5, 2, **DOUBLE), torch.rand(5, 2, **DOUBLE)
    found = bank_of(layers).variation(NOWHERE, NOWHERE, centre, half)
    alone = [bank_of(layers).variation(NOWHERE, NOWHERE, c[None], h[None]) for c, h in zip(centre, half, strict=True)]
    assert torch.allclose(found, torch.cat(alone), rtol=1e-14)


@pytest.mark.usefixtures("coarse")
@pytest.mark.parametrize("slope", [0.5, 3.0, -2.0])
@pytest.mark.parametrize("centre", [2.0, 0.25, -0.25, -2.0])
@pytest.mark.parametrize("side", [1, -1])
def test_units_behind_others_switch_where_their_intervals_say(slope, centre, side):
    """The bias from which on a unit of the second layer is surely on (or off), in rationals, and a little beside it."""

    def layers(bias):
        return [([[1.0], [-3.0]], [0.0, 1.0], [slope, 0.25]), ([[1.0, 0.5]], [bias], [3.0]), ([[1.0]], [0.0], None)]

    def by_hand(bias):
        return variation_by_hand(layers(bias), [centre], [1.0])[0]

    near, far = 0.0, side * 1000.0
    sure = by_hand(far)
    assert by_hand(near) != sure
    for _ in range(60):
        middle = (near + far) / 2
        near, far = (near, middle) if by_hand(middle) == sure else (middle, far)
    for bias in (near - side * 1e-9, far + side * 1e-9):
        bank = bank_of(layers(bias), n=1)
        found = float(bank.variation(NOWHERE, NOWHERE, tensor([[centre]]), tensor([[1.0]])))
        assert found == pytest.approx(float(by_hand(bias)), rel=1e-12)
    assert by_hand(near - side * 1e-9) != by_hand(far + side * 1e-9)


def test_a_unit_is_on_where_all_of_the_box_is(monkeypatch):
    """Without allowances: the box may touch the kink, and does not yet lie on one side of it."""
    monkeypatch.setattr(stack, "_relative", lambda terms: 0.0)
    monkeypatch.setattr(stack, "LEAST", 0.0)
    monkeypatch.setattr(stack, "UNIT", 0.0)
    bank = bank_of([([[1.0]], [0.0], [3.0]), ([[1.0]], [0.0], None)], n=1)
    flat = bank_of([([[1.0]], [0.0], [0.5]), ([[1.0]], [0.0], None)], n=1)
    for centre, steep, gentle in ((1.0, 3, 1), (1.125, 1, 1), (-1.0, 3, 1), (-1.125, 3, 0.5), (0.0, 3, 1)):
        for part, slope in ((bank, steep), (flat, gentle)):
            found = float(part.variation(NOWHERE, NOWHERE, tensor([[centre]]), tensor([[1.0]])))
            assert found == slope * stack.INFLATION


def test_the_true_allowances_are_the_stated_ones():
    """2⁻⁴⁰ of a result; where a unit switches, max(2⁻⁴⁴, 10u) of |w|·(|c| + h) + |b|, and not more."""
    assert stack.INFLATION - 1 == 2.0**-40
    plain = bank_of([([[4.0]], [0.0], None)], n=1)
    moved = float(plain.variation(NOWHERE, NOWHERE, tensor([[0.0]]), tensor([[2.0]])))
    assert moved == 8 * (1 + 2.0**-40)
    pad = (1.5 + 0.5) * 2.0**-44
    for share, slope in ((0.99, 3), (1.01, 1)):
        layers = [([[1.0]], [-0.5 + share * pad], [3.0]), ([[1.0]], [0.0], None)]
        found = float(bank_of(layers, n=1).variation(NOWHERE, NOWHERE, tensor([[1.0]]), tensor([[0.5]])))
        assert found == pytest.approx(0.5 * slope, rel=1e-9)
    assert [stack._relative(terms) for terms in (1, 252, 253, 1020)] == [2.0**-44, 2.0**-44, 257 * 2.0**-52, 2.0**-42]


def test_boxes_and_seeds_lie_in_the_cell():
    bank = StackBank.of(
        [Affine(tensor([[1.0, 1.0]]), tensor([0.0]), None)], tensor([[1.0, 2.0]]), tensor([[2.0, 6.0]]), unit=1.0
    )
    unit = torch.rand(16 * 3, 2, generator=torch.Generator().manual_seed(0), **DOUBLE)
    expert, piece, x = bank.seeds(3)
    assert torch.equal(x[:-1], tensor([1.0, 2.0]) + unit * tensor([1.0, 4.0]))
    assert x[-1].tolist() == [1.5, 4.0]
    assert expert.tolist() == piece.tolist() == [0] * 49
    assert [t.tolist() for t in bank.initial_boxes()] == [[0], [0], [[1, 2]], [[2, 6]]]
