"""The proof by simplices against loops over simplices, vertices and units, in rationals."""

import dataclasses
import itertools
import math
from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from theory.checkers.uniform_error import simplices
from theory.checkers.uniform_error.simplices import Grid, NotAffine, affine_pieces, read_grid, simplex_vertices
from theory.checkers.uniform_error.stack import Affine

DOUBLE = {"dtype": torch.float64}
CPU = torch.device("cpu")


def tensor(values):
    return torch.tensor(values, **DOUBLE)


def relu(weight, bias, last=False):
    weight, bias = tensor(weight), tensor(bias)
    return Affine(weight, bias, None if last else torch.zeros_like(bias))


def grid_layers(cells=3, k=1, n=None):
    """z_i = K − relu(K − x_i): the identity on [0, K]^k, clamped."""
    n = n or k
    rows = [[-1.0 if a == i else 0.0 for a in range(n)] for i in range(k)]
    second = [[-1.0 if a == i else 0.0 for a in range(k)] for i in range(k)]
    return [relu(rows, [float(cells)] * k), relu(second, [float(cells)] * k)]


def stack_of(hidden, cells=3, k=1):
    """The grid and layers (weight, bias) behind it, the last one linear."""
    behind = [relu(w, b, last=i == len(hidden) - 1) for i, (w, b) in enumerate(hidden)]
    return [*grid_layers(cells, k), *behind]


LINE = [([[1.0]], [0.0])]

# --- reading the grid ------------------------------------------------------------------------------------


def test_a_grid_is_read_unit_by_unit():
    first = relu([[0, 0, -2.0], [-0.5, 0, 0], [0, 0, -2.0]], [5.0, 1.0, 5.0])
    second = relu([[-1.0, 0, 0], [0, -1.0, 0], [0, 0, -1.0]], [7.0, 7.0, 7.0])
    stack = [first, second, relu([[1.0, 2.0, 3.0]], [0.0], last=True)]
    assert read_grid(stack) == Grid(7, (0, 2), (0.5, 2.0), (1.0, 5.0), (1, 0, 1))


@pytest.mark.parametrize(
    ("layer", "name", "where", "value", "why"),
    [
        (0, "alpha", 0, 0.5, "not a Linear/ReLU stack"),
        (1, "alpha", 1, 0.5, "not a Linear/ReLU stack"),
        (0, "weight", (0, 1), 1.0, "are not z = K"),
        (0, "weight", (0, 0), 0.0, "are not z = K"),
        (0, "weight", (0, 0), 1.0, "reads axis 0 in two ways, or decreasingly"),
        (1, "weight", (0, 1), 1.0, "are not z = K"),
        (1, "weight", (0, 0), 1.0, "are not z = K"),
        (1, "bias", 1, 4.0, "are not z = K"),
        (1, "bias", slice(None), 0.0, "are not z = K"),
        (1, "bias", slice(None), -3.0, "are not z = K"),
        (1, "bias", slice(None), 2.5, "are not z = K"),
        (1, "bias", slice(None), math.inf, "are not z = K"),
    ],
)
def test_what_is_no_grid_says_why(layer, name, where, value, why):
    stack = stack_of([([[1.0, 1.0]], [0.0])], k=2)
    read_grid(stack)
    getattr(stack[layer], name)[where] = value
    with pytest.raises(NotAffine, match=why):
        read_grid(stack)


def test_one_axis_is_read_in_one_way():
    stack = [
        relu([[-1.0], [-1.0]], [3.0, 3.0]),
        relu([[-1.0, 0.0], [0.0, -1.0]], [3.0, 3.0]),
        relu([[1.0, 1.0]], [0.0], True),
    ]
    assert read_grid(stack).unit == (0, 0)
    for name, value in (("weight", -2.0), ("bias", 2.0)):
        odd = [dataclasses.replace(layer) for layer in stack]
        odd[0] = Affine(stack[0].weight.clone(), stack[0].bias.clone(), stack[0].alpha)
        getattr(odd[0], name)[1] = value
        with pytest.raises(NotAffine, match="in two ways"):
            read_grid(odd)


def test_two_hidden_layers_are_enough_and_all_bend():
    assert read_grid(stack_of(LINE)).cells == 3
    grid = grid_layers()
    for stack in (
        grid,
        [grid[0], relu([[-1.0]], [3.0], last=True), *stack_of(LINE)[2:]],
        [*grid, relu([[1.0]], [0.0])],
    ):
        with pytest.raises(NotAffine, match="at least two hidden layers"):
            read_grid(stack)


def test_positions_and_spacing():
    grid = Grid(4, (0, 1), (4.0, 0.5), (6.0, -1.0), (0, 1))
    z = torch.tensor([[0, 1], [4, 2]])
    expected = [[(a - 4 + 6) / 4, (b - 4 - 1) / 0.5] for a, b in z.tolist()]
    assert grid.position(z).tolist() == expected
    assert simplices.spacing_squared(grid) == Fraction(1, 16) + 4


# --- the triangulation -----------------------------------------------------------------------------------


def vertices_by_hand(cells, k, number):
    orders = list(itertools.permutations(range(k)))
    cell, order = divmod(number, len(orders))
    low = [(cell // cells**i) % cells for i in range(k)]
    point, found = [c + c % 2 for c in low], []
    for axis in [None, *orders[order]]:
        if axis is not None:
            point = [low[i] + 1 - low[i] % 2 if i == axis else c for i, c in enumerate(point)]
        found.append(point)
    return found


@pytest.mark.parametrize(("cells", "k"), [(1, 1), (4, 1), (3, 2), (2, 3), (3, 3)])
def test_simplices_are_cells_times_orders(cells, k):
    total = math.factorial(k) * cells**k
    expected = [vertices_by_hand(cells, k, number) for number in range(total)]
    assert simplex_vertices(cells, k, 0, total, CPU).tolist() == expected
    assert simplex_vertices(cells, k, total // 3, total - 1, CPU).tolist() == expected[total // 3 : total - 1]


# --- what is carried over a simplex ----------------------------------------------------------------------


def carried_by_hand(hidden, cells, k, vertices):
    """(values at the vertices, width of the interval that is left, size of the output's sums)."""
    affine = [[Fraction(c) for c in point] for point in vertices]
    low, high = [Fraction(0)] * k, [Fraction(0)] * k
    for i, (weight, bias) in enumerate(hidden):
        largest = [
            max(abs(point[j]) for point in affine) + max(abs(low[j]), abs(high[j])) for j in range(len(affine[0]))
        ]
        sums = [
            sum(abs(int(w)) * s for w, s in zip(row, largest, strict=True)) + abs(int(b))
            for row, b in zip(weight, bias, strict=True)
        ]
        affine = [
            [
                sum(int(w) * v for w, v in zip(row, point, strict=True)) + int(b)
                for row, b in zip(weight, bias, strict=True)
            ]
            for point in affine
        ]
        ends = [[sorted((int(w) * a, int(w) * b)) for w, a, b in zip(row, low, high, strict=True)] for row in weight]
        low, high = [sum(e[0] for e in row) for row in ends], [sum(e[1] for e in row) for row in ends]
        if i == len(hidden) - 1:
            return affine, [b - a for a, b in zip(low, high, strict=True)], max(sums) * (len(weight[0]) + 2)
        for j in range(len(weight)):
            below, above = min(p[j] for p in affine) + low[j], max(p[j] for p in affine) + high[j]
            if below < 0:
                for point in affine:
                    point[j] = Fraction(0)
                low[j], high[j] = Fraction(0), max(above, Fraction(0))
    raise AssertionError


small = st.integers(-2, 2).map(float)


@st.composite
def networks(draw):
    cells, k = draw(st.sampled_from([(1, 1), (2, 1), (3, 1), (2, 2)]))
    widths = [k, *draw(st.lists(st.integers(1, 3), min_size=1, max_size=3)), draw(st.integers(1, 2))]
    hidden = []
    for a, b in itertools.pairwise(widths):
        weight = [draw(st.lists(small, min_size=a, max_size=a)) for _ in range(b)]
        hidden.append((weight, draw(st.lists(st.integers(-4, 4).map(float), min_size=b, max_size=b))))
    return hidden, cells, k


@settings(max_examples=150)
@given(networks(), st.integers(0, 40))
def test_pieces_are_those_of_loops_over_units(network, chunk):
    hidden, cells, k = network
    total = math.factorial(k) * cells**k
    truth = [carried_by_hand(hidden, cells, k, vertices_by_hand(cells, k, number)) for number in range(total)]
    wide = [number for number, (_, widths, _) in enumerate(truth) if any(widths)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(simplices, "VALUES_PER_CHUNK", chunk)
        if wide:
            width = f"{float(max(truth[wide[0]][1])):g}"
            with pytest.raises(
                NotAffine, match=f"on simplex {wide[0]}, vertices .* an interval of width {width}$"
            ) as fault:
                affine_pieces([stack_of(hidden, cells, k)])
            assert fault.value.vertex == tuple(vertices_by_hand(cells, k, wide[0])[0])
            return
        found = affine_pieces([stack_of(hidden, cells, k)])
    assert found.values.shape == (1, total, k + 1, len(hidden[-1][0]))
    assert found.values[0].tolist() == [values for values, _, _ in truth]
    assert found.vertices.tolist() == [vertices_by_hand(cells, k, number) for number in range(total)]
    assert found.size == max(size for _, _, size in truth)


def test_a_unit_that_touches_0_stays_affine_and_one_below_it_is_0():
    """relu(z) with z down to 0; relu(−z − 1) = 0; relu(2 − z) on [0, 3] has both signs in the last cell only."""
    found = affine_pieces([stack_of([([[1.0], [-1.0]], [0.0, -1.0]), ([[1.0, 5.0]], [0.5])])])
    assert found.values.flatten().tolist() == [0.5, 1.5, 2.5, 1.5, 2.5, 3.5]
    with pytest.raises(NotAffine, match=r"on simplex 1, .* an interval of width 1$"):
        affine_pieces([stack_of([([[-2.0]], [3.0]), ([[1.0]], [0.0])])])


def test_small_outputs_have_small_sizes():
    assert affine_pieces([stack_of([([[2.0**-9]], [2.0**-9])], cells=1)]).size == 2 * 2.0**-9 * 3


def test_experts_side_by_side_are_those_one_by_one():
    stacks = [
        stack_of([([[1.0], [2.0]], [1.0, 0.0]), ([[a, 1.0]], [b])]) for a, b in ((1.0, 0.0), (2.0, 0.0), (2.0, 5.0))
    ]
    together = affine_pieces(stacks)
    alone = [affine_pieces([stack]) for stack in stacks]
    assert torch.equal(together.values, torch.cat([part.values for part in alone]))
    assert together.size == max(part.size for part in alone)
    assert together.values.shape[:2] == (3, 3)


def test_what_all_experts_share_is_kept_once():
    same, other, half = tensor([1.0, 2.0]), tensor([3.0, 4.0]), tensor([1.0, 4.0])
    groups = [[same, same.clone()], [same, other], [same, half], [same], [same, same, half]]
    assert simplices._agree(groups) == [True, False, False, True, False]
    stacks = [stack_of([([[1.0]], [0.0]), ([[a]], [0.0])]) for a in (1.0, 2.0)]
    assert [(len(w), len(b)) for w, b in simplices._stacked(stacks)] == [(1, 1), (2, 1)]
    assert simplices._share_all_but_the_place(stacks)


# --- what is refused -------------------------------------------------------------------------------------


def test_sums_that_a_float_does_not_hold_are_refused():
    for bias, fits in ((2.0**53 - 4, True), (2.0**53 - 3, False)):  # and 3·1 of the largest z
        stack = stack_of([([[1.0]], [bias]), ([[0.0]], [0.0])])
        if fits:
            assert affine_pieces([stack]).values.abs().max() == 0
        else:
            with pytest.raises(NotAffine, match=r"layer 2: sums reach 2\^53"):
                affine_pieces([stack])
    # what is only an interval counts as well: relu(2⁵¹(2z − 1)) on [0, 1] is one of [0, 2⁵¹], times 4
    for factor, fits in ((3.0, True), (4.0, False)):
        stack = stack_of([([[2.0**52]], [-(2.0**51)]), ([[factor]], [0.0]), ([[0.0]], [1.0])], cells=1)
        if fits:
            assert affine_pieces([stack]).values.flatten().tolist() == [1.0, 1.0]
        else:
            with pytest.raises(NotAffine, match=r"layer 3: sums reach 2\^53"):
                affine_pieces([stack])
    # the output may be of any size
    assert affine_pieces([stack_of([([[2.0**60]], [0.0])])]).values.max() == 3 * 2.0**60


@pytest.mark.parametrize(("place", "layer"), [("weight", 2), ("bias", 2), ("weight", 3), ("bias", 3)])
def test_only_the_output_may_have_fractions(place, layer):
    stack = stack_of([([[1.0]], [0.0]), ([[1.0]], [0.0]), ([[0.25]], [0.125])])
    affine_pieces([stack])
    getattr(stack[layer], place)[...] += 0.5
    with pytest.raises(NotAffine, match=f"layer {layer}: the weights are not integers"):
        affine_pieces([stack])


@pytest.mark.parametrize("place", ["weight", "bias"])
@pytest.mark.parametrize("entry", [0, 1])
def test_one_entry_is_enough(place, entry):
    for value, why in ((math.nan, "not all finite"), (0.5, "layer 2: the weights are not integers")):
        stack = stack_of([([[1.0], [2.0]], [0.0, 1.0]), ([[1.0, 1.0]], [0.0])])
        getattr(stack[2], place)[entry] = value
        with pytest.raises(NotAffine, match=why):
            affine_pieces([stack])


@pytest.mark.parametrize("place", ["weight", "bias"])
@pytest.mark.parametrize("layer", [0, 2, 3])
def test_weights_that_are_no_numbers_are_refused(place, layer):
    stacks = [stack_of([([[1.0]], [0.0]), ([[1.0]], [0.0])]) for _ in range(2)]
    getattr(stacks[1][layer], place)[...] = math.nan
    with pytest.raises(NotAffine):
        affine_pieces(stacks)


@pytest.mark.parametrize("odd", [1, 2])
@pytest.mark.parametrize("place", ["alpha 0", "alpha 2", "weight 0", "bias 1"])
def test_experts_that_do_not_share_the_grid_are_refused(odd, place):
    stacks = [stack_of([([[1.0]], [0.0]), ([[1.0]], [0.0])]) for _ in range(3)]
    assert len(affine_pieces(stacks).values) == 3
    name, layer = place.split()
    part = getattr(stacks[odd][int(layer)], name)
    part += -1.0 if name == "weight" else 1.0
    for several in (stacks, [stacks[0], stacks[odd]]):
        with pytest.raises(NotAffine, match=r"do not share their first two layers|not a Linear/ReLU stack"):
            affine_pieces(several)


@pytest.mark.parametrize("odd", [0, 1, 2])
def test_grids_may_lie_elsewhere(odd):
    """A first bias of its own moves one expert's grid; in two units of one axis alone it makes two grids."""
    stacks = [stack_of([([[1.0]], [0.0]), ([[1.0]], [0.0])]) for _ in range(3)]
    stacks[odd][0].bias[:] += 1.0
    found, at = affine_pieces(stacks), [float(stack[0].bias[0]) for stack in stacks]
    assert found.shift.tolist() == [[b] for b in at]
    double = [
        [
            relu([[-1.0], [-1.0]], [3.0, 3.0]),
            relu([[-1.0, 0.0], [0.0, -1.0]], [3.0, 3.0]),
            relu([[1.0, 1.0]], [0.0], True),
        ]
        for _ in range(3)
    ]
    double[odd][0].bias[:] += 1.0
    assert affine_pieces(double).shift.tolist() == [[3.0 + (e == odd)] for e in range(3)]
    double[odd][0].bias[1] += 1.0
    with pytest.raises(NotAffine, match="in two ways"):
        affine_pieces(double)


@pytest.mark.parametrize("odd", [0, 1, 2])
def test_one_expert_of_another_architecture_is_refused(odd):
    stacks = [stack_of([([[1.0]], [0.0]), ([[1.0]], [0.0])]) for _ in range(3)]
    stacks[odd] = stack_of([([[1.0], [1.0]], [0.0, 0.0]), ([[1.0, 1.0]], [0.0])])
    with pytest.raises(NotAffine, match="do not have one architecture"):
        affine_pieces(stacks)


def test_too_many_simplices_are_refused(monkeypatch):
    with pytest.raises(NotAffine, match=f"has {2**24 + 1} simplices, more than {2**24}"):
        affine_pieces([stack_of(LINE, cells=2**24 + 1)])
    monkeypatch.setattr(simplices, "MAX_SIMPLICES", 18)
    stack = stack_of([([[1.0, 1.0]], [0.0])], cells=3, k=2)
    assert affine_pieces([stack]).values.shape[1] == 18
    monkeypatch.setattr(simplices, "MAX_SIMPLICES", 17)
    with pytest.raises(NotAffine, match="has 18 simplices, more than 17"):
        affine_pieces([stack])
