"""The small parts of the four ways, against numbers worked out by hand."""

import math
from fractions import Fraction

import pytest
import torch
from flint import arb
from torch import nn

from constructions import LipschitzFunction, build_momlp, targets
from constructions.functions.symbolic.parser import parse
from constructions.functions.symbolic.tape import Instruction, compile_tape
from constructions.networks import Constant
from theory import Status, certify_uniform_error
from theory.checkers.uniform_error import (
    a_priori,
    certify,
    formula_rounding,
    sampled,
    simplex_error,
    simplices,
    stack,
    target_values,
)
from theory.checkers.uniform_error.boxes import half_widths, norm_above
from theory.checkers.uniform_error.branch_and_bound import Goal, Search, _halved, branch_and_bound
from theory.checkers.uniform_error.premises import forward_is_expert
from theory.checkers.uniform_error.ridge import FirstLayer, RidgeBank, _corners, first_layer_axis
from theory.checkers.uniform_error.share import WHOLE
from theory.checkers.uniform_error.simplices import (
    AffinePieces,
    Grid,
    NotAffine,
    read_grid,
    simplex_vertices,
    spacing_squared,
)
from theory.checkers.uniform_error.stack import StackBank, linear_stack
from theory.checkers.uniform_error.view import view_of

DOUBLE = {"dtype": torch.float64}


# --- Theorem 1, by equality ------------------------------------------------------------------------------


@pytest.mark.parametrize("expert", ["pencil", "constant"])
@pytest.mark.parametrize(("n", "eps"), [(1, 0.07), (2, 0.15), (3, 0.3)])
def test_a_priori_gives_the_plans_own_bound(n, eps, expert):
    f = targets.get("max_affine", n=n)
    model = build_momlp(f, eps=eps, expert=expert)
    c = certify_uniform_error(model, f, method="a_priori", samples=100)
    assert c.status is Status.CERTIFIED
    assert model.plan.error_bound <= c.upper <= model.plan.error_bound * (1 + 1e-9)


# --- simplices -------------------------------------------------------------------------------------------

GRID = Grid(cells=4, axes=(0, 2), slope=(4.0, 2.0), shift=(4.0, 6.0), unit=(0, 1))


def test_spacing_and_positions_of_a_grid():
    assert spacing_squared(GRID) == Fraction(1, 16) + Fraction(1, 4)
    assert GRID.position(torch.tensor([[0.0, 0.0], [4.0, 4.0]])).tolist() == [[0.0, 1.0], [1.0, 3.0]]
    # the axis with the larger (|b| + K)/w decides: (6 + 4)/2
    assert simplex_error._position_rounding(placed(GRID.shift)) == 8 * 2.0**-53 * 5.0
    assert simplex_error._position_rounding(placed(GRID.shift, (-12.0, 2.0))) == 8 * 2.0**-53 * 5.0
    assert simplex_error._position_rounding(placed(GRID.shift, (-20.0, 2.0))) == 8 * 2.0**-53 * 6.0
    moved = GRID.position(torch.tensor([[0.0, 0.0], [4.0, 4.0]]), torch.tensor([[4.0, 6.0], [8.0, 2.0]], **DOUBLE))
    assert moved.tolist() == [[0.0, 1.0], [2.0, 1.0]]


def placed(*shifts):
    """Pieces on GRID of experts whose grids lie at `shifts`."""
    nothing = torch.zeros(0, 3, 2, dtype=torch.int64)
    return AffinePieces(GRID, nothing, torch.zeros(len(shifts), 0, 3, 1, **DOUBLE), 1.0, torch.tensor(shifts, **DOUBLE))


def test_how_far_cells_reach_beyond_their_grids():
    def beyond(i, *boxes, shifts=(GRID.shift,)):
        lower, upper = torch.tensor(boxes, **DOUBLE).unbind(2)
        return simplex_error._beyond(placed(*shifts), lower, upper, i)

    box = ((0, 1), (0, 1), (0.5, 3.25))
    assert beyond(0, box) == 0.0
    assert beyond(1, box) == pytest.approx(0.5, rel=1e-15)
    other = ((-1, 1), (0, 1), (1, 3.25))
    assert beyond(0, other) == pytest.approx(1.0, rel=1e-15)
    assert beyond(1, other) == pytest.approx(0.25, rel=1e-15)
    # two leaves, the second one's grid [1, 2] and [1, 3]: the worst of the two, each with its own cell
    shifts, next_door = (GRID.shift, (8.0, 6.0)), ((1, 2.125), (0, 1), (1, 3))
    assert beyond(0, box, next_door, shifts=shifts) == pytest.approx(0.125, rel=1e-15)
    assert beyond(0, next_door, box, shifts=shifts) == pytest.approx(1.125, rel=1e-15)


@pytest.mark.parametrize(
    ("values", "network", "lam", "h", "worst"),
    [
        # f may rise to the top of both cones, 1/2, half way; the network is 0 there
        ([0.0, 0.0], [0.0, 0.0], 1, 1, 0.5),
        ([0.0, 1.0], [0.0, 1.0], 1, 1, 0.0),
        ([0.0, 1.0], [0.0, 1.0], 3, 1, 4 / 3),
        ([1.0, 2.0], [1.0, 2.0], 3, 1, 4 / 3),
        ([2.0, 1.0], [2.0, 1.0], 3, 1, 4 / 3),
        ([0.0, 0.0], [0.25, 0.25], 1, 1, 0.75),
        ([0.0, 0.0], [-0.25, -0.25], 1, 1, 0.75),
        ([0.0, 0.0], [0.0, 2.0], 1, 1, 2.0),
        ([0.0, 0.0], [0.0, 0.0], 2, Fraction(1, 2), 0.5),
        ([0.5, 0.5], [0.0, 0.0], 0, 1, 0.5),
    ],
)
def test_error_between_two_nodes(values, network, lam, h, worst):
    target, net = (torch.tensor(v, **DOUBLE).reshape(1, 1, 2, 1) for v in (values, network))
    found = simplex_error._segment_error(target - net, net, target, Fraction(lam), Fraction(h))
    assert worst - 1e-15 <= found <= worst + 2e-14


def test_simplices_fill_the_cube_and_start_at_even_corners():
    vertices = simplex_vertices(3, 2, 0, 18, torch.device("cpu"))
    assert vertices.shape == (18, 3, 2)
    assert bool((vertices[:, 0] % 2 == 0).all())
    assert bool((vertices[:, 2] % 2 == 1).all())
    edges = (vertices[:, 1:] - vertices[:, :1]).double()
    assert torch.linalg.det(edges).abs().tolist() == [1.0] * 18  # twice the area of half a unit square
    assert len(torch.unique(vertices.flatten(1), dim=0)) == 18
    parts = [simplex_vertices(3, 2, a, b, torch.device("cpu")) for a, b in ((0, 7), (7, 18))]
    assert torch.equal(torch.cat(parts), vertices)


def test_grids_are_read_off_the_first_two_layers():
    model = build_momlp(targets.get("cone", n=2), eps=0.3, expert="bit_extraction", resolved=2)
    grid = read_grid(linear_stack(model.expert(0)))
    assert grid.axes == (0, 1)
    assert grid.cells == model.plan.network.cells
    nodes = grid.position(torch.tensor([[0.0, 0.0], [grid.cells, grid.cells]]))
    assert float(nodes[1, 0] - nodes[0, 0]) == pytest.approx(grid.cells / grid.slope[0])


# --- boxes and corners -----------------------------------------------------------------------------------


def test_halves_share_the_middle_of_the_widest_side():
    lo, hi = torch.tensor([[0.0, 0.0], [1.0, 2.0]], **DOUBLE), torch.tensor([[1.0, 3.0], [3.0, 2.5]], **DOUBLE)
    ids = torch.tensor([5, 6])
    expert, piece, low, high, bound = _halved(ids, ids + 1, lo, hi, torch.tensor([0.1, 0.2], **DOUBLE))
    assert (expert.tolist(), piece.tolist(), bound.tolist()) == ([5, 6, 5, 6], [6, 7, 6, 7], [0.1, 0.2, 0.1, 0.2])
    assert low.tolist() == [[0, 0], [1, 2], [0, 1.5], [2, 2]]
    assert high.tolist() == [[1, 1.5], [2, 2.5], [1, 3], [3, 2.5]]


def test_corners():
    assert _corners(0, 8, torch.device("cpu")).shape == (1, 0)
    assert _corners(2, 4, torch.device("cpu")).tolist() == [[0, 0], [1, 0], [0, 1], [1, 1]]
    some = _corners(10, 8, torch.device("cpu"))
    assert some.shape == (8, 10)
    assert len(torch.unique(some, dim=0)) == 8
    assert bool(((some == 0) | (some == 1)).all())
    assert bool((some[:, 0] == torch.arange(8) % 2).all())


@pytest.mark.parametrize(
    ("rows", "axis"),
    [([[0, 1], [0, 2]], 1), ([[3, 0]], 0), ([[1, 0], [0, 1]], None), ([[1, 1]], None), ([[0, 0]], 1), ([[0, 0, 0]], 2)],
)
def test_the_axis_of_a_first_layer(rows, axis):
    assert first_layer_axis(torch.tensor(rows, **DOUBLE)) == axis


def test_boxes_of_a_bank_are_its_pieces():
    layer = FirstLayer(torch.tensor([[0, 1], [0, 2]], **DOUBLE), torch.tensor([0.0, -1.0]).double(), torch.zeros(2), 1)
    lower, upper = torch.tensor([[0, 0], [1, 0]], **DOUBLE), torch.tensor([[1, 1], [2, 1]], **DOUBLE)
    bank = RidgeBank.of(layer, torch.ones(2, 1, 2, **DOUBLE), torch.zeros(2, 1, **DOUBLE), lower, upper, unit=2.0**-53)
    assert bank.ends.tolist() == [0.0, 0.5, 1.0]
    expert, piece, lo, hi = bank.initial_boxes()
    assert (expert.tolist(), piece.tolist()) == ([0, 0, 1, 1], [0, 1, 0, 1])
    assert lo.tolist() == [[0, 0], [0, 0.5], [1, 0], [1, 0.5]]
    assert hi.tolist() == [[1, 0.5], [1, 1], [2, 0.5], [2, 1]]
    assert bank.slopes[0, 0].tolist() == [1.0, 3.0]
    assert bank.left_values[0, 0].tolist() == [0.0, 0.5]


def test_boxes_and_seeds_of_a_deep_expert():
    net = nn.Sequential(nn.Linear(2, 3, **DOUBLE), nn.ReLU(), nn.Linear(3, 1, **DOUBLE))
    lower, upper = torch.tensor([[1.0, 2.0]], **DOUBLE), torch.tensor([[2.0, 5.0]], **DOUBLE)
    bank = StackBank.of(linear_stack(net), lower, upper, unit=2.0**-53)
    assert (bank.experts, bank.pieces) == (1, 1)
    expert, piece, lo, hi = bank.initial_boxes()
    assert (expert.tolist(), piece.tolist(), lo.tolist(), hi.tolist()) == ([0], [0], [[1.0, 2.0]], [[2.0, 5.0]])
    expert, piece, x = bank.seeds(4)
    assert x.shape == (16 * 4 + 1, 2)
    assert x[-1].tolist() == [1.5, 3.5]
    assert bool(((x >= lower) & (x <= upper)).all())
    assert float(x[:, 1].max() - x[:, 1].min()) > 2.5
    assert not expert.any()
    assert not piece.any()


# --- the analysis of formulas ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("op", "exponent", "ball", "error", "moved"),
    [
        ("pow", Fraction(1, 2), (0, 0), 1e-4, 1e-2),
        ("pow", Fraction(2, 3), (0, 0), 1e-3, 1e-2),
        ("pow", Fraction(1, 2), (1, 0), 1e-6, 0.5e-6),
        ("pow", Fraction(2), (3, 0), 1e-6, 6e-6),
        ("pow", Fraction(-1), (2, 0), 1e-6, 0.25e-6),
        ("sin", Fraction(0), (0, 0), 1e-6, 1e-6),
        ("exp", Fraction(0), (2, 0), 1e-6, math.exp(2) * 1e-6),
        ("log", Fraction(0), (0.5, 0), 1e-6, 2e-6),
        ("atan", Fraction(0), (1, 0), 1e-6, 0.5e-6),
    ],
)
def test_how_far_a_function_moves(op, exponent, ball, error, moved):
    found = formula_rounding._moved(Instruction(op, exponent=exponent), arb(*ball), error)
    assert moved * (1 - 1e-9) <= found <= moved * (1 + 1e-4)
    assert formula_rounding._moved(Instruction(op, exponent=exponent), arb(*ball), 0.0) == 0.0


def test_what_a_product_rounds_by():
    """A factor 1 ± 1 twice: 3 for the factors, 8u for 2u of (1 + 1)·(1 + 1), and 4u of all that for higher orders."""
    u = 2.0**-53
    found = formula_rounding._product_error([(arb(1), 1.0), (arb(1), 1.0)])
    assert (found - 3) / u == pytest.approx(20, abs=3)
    assert formula_rounding._product_error([(arb(3), 0.0), (arb(5), 0.0)]) == pytest.approx(30 * u, rel=1e-12)
    assert formula_rounding._product_error([(arb(0), 0.0), (arb(0), 0.0)]) >= 2.0**-1022


def test_the_worst_output_counts():
    """Two outputs, the second one off by a half."""
    tape = compile_tape(parse("x0, 2*x0", 1), 1)
    x = torch.tensor([[0.25], [0.5]], **DOUBLE)
    assert target_values.observed_rounding(tape, x, tape(x) + torch.tensor([0.0, 0.5], **DOUBLE)) == 0.5
    assert target_values.observed_rounding(tape, x, tape(x) + torch.tensor([0.5, 0.0], **DOUBLE)) == 0.5


def test_values_that_change_are_no_more_than_a_sample():
    generator = torch.Generator().manual_seed(0)
    calls = iter(range(10**6))
    restless = LipschitzFunction(lambda x: x[:, :1] + 0.01 * next(calls), n=1, lipschitz=1.0)
    eta, premise, known = target_values.evaluation_error(restless, generator)
    assert (eta, premise.holds, known) == (math.inf, False, False)


# --- sizes of boxes, by hand ------------------------------------------------------------------------------


@pytest.mark.parametrize(("lo", "hi", "centre", "half"), [(1, 4, 3, 2), (1, 4, 1.5, 2.5), (-3, -1, -1.25, 1.75)])
def test_half_widths_reach_the_farther_end(lo, hi, centre, half):
    found = half_widths(*(torch.tensor([[v]], **DOUBLE) for v in (lo, hi, centre)))
    assert half <= float(found) <= half * (1 + 1e-15)


def test_norms_are_rounded_up_even_where_nothing_is_left_to_round():
    least = 5e-324
    rows = torch.tensor([[3.0, -4.0], [1.0, 1.0], [least, least], [0.0, 0.0]], **DOUBLE)
    five, root, tiny, zero = norm_above(rows).tolist()
    assert 5 < five <= 5 * (1 + 1e-14)
    assert Fraction(root) ** 2 > 2
    assert root <= math.sqrt(2) * (1 + 1e-14)
    assert tiny == 2 * least
    assert zero == 0


# --- what rounds, by hand ---------------------------------------------------------------------------------


def line_bank(weight, bias, out, offset, lo=0.0, hi=1.0, slope=0.0, unit=2.0**-53):
    """One expert on [lo, hi] with hidden units weight·x + bias."""
    layer = FirstLayer(
        torch.tensor(weight, **DOUBLE)[:, None],
        torch.tensor(bias, **DOUBLE),
        torch.full((len(bias),), slope, **DOUBLE),
        0,
    )
    ends = torch.tensor([[lo]], **DOUBLE), torch.tensor([[hi]], **DOUBLE)
    return RidgeBank.of(layer, torch.tensor([[out]], **DOUBLE), torch.tensor([[offset]], **DOUBLE), *ends, unit=unit)


def test_what_a_pencil_rounds_by():
    """3·relu(2x − 1) + 5 on [0, 1]: S = 3·1 + 5, R = 3·(2 + 1), 16·(1 + 8)·S + 8·R units of roundoff; and what is lost
    below the normal numbers, 4·(1 + 8)·(3·9 + 9 + 5 + 1 + 1)."""
    bank = line_bank([2.0], [-1.0], [3.0], 5.0)
    at_lo = torch.tensor([-1.0], **DOUBLE)
    found = RidgeBank._roundings(bank.layer, bank.out_weight, bank.out_bias, at_lo, 0.0, 1.0)
    assert found == (16 * 9 * 8 + 8 * 9, 4 * 9 * 43)
    assert bank.table_slack == 1224 * 2.0**-53 + 1548 * 2.0**-1022
    assert line_bank([2.0], [-1.0], [3.0], 5.0, unit=2.0**-24).forward_slack == pytest.approx(1224 * 2.0**-24)
    # slopes beyond 1 make what is behind the unit larger: −2x − 1 is −3 at 1, times 4
    bent = line_bank([-2.0], [-1.0], [3.0], 5.0, slope=4.0)
    rounds, _ = RidgeBank._roundings(bent.layer, bent.out_weight, bent.out_bias, at_lo, 0.0, 1.0)
    assert rounds == 16 * 9 * (3 * 12 + 5) + 8 * 3 * 3 * 4


def test_pieces_of_equal_kinks_are_left_out():
    bank = line_bank([1.0, 2.0], [-0.5, -1.0], [1.0, 1.0], 0.0)
    assert bank.ends.tolist() == [0.0, 0.5, 0.5, 1.0]
    assert bank.pieces == 3
    expert, piece, lo, hi = bank.initial_boxes()
    assert (expert.tolist(), piece.tolist()) == ([0, 0], [0, 2])
    assert (lo.tolist(), hi.tolist()) == ([[0.0], [0.5]], [[0.5], [1.0]])
    assert bank.seeds(8)[2].flatten().tolist() == [0.0, 0.25, 0.5, 0.75]


def test_seeds_of_a_constant_lie_inside_both_ends_and_in_the_middle():
    flat = line_bank([], [], [], 5.0)
    step = 2.0**-30
    assert flat.seeds(8)[2].flatten().tolist() == [step, 0.5, 1 - step]
    assert len(flat.initial_boxes()[0]) == 1


def test_what_a_stack_rounds_by():
    """2x − 3 on [−1, 1]: 2·(1 + 4) roundings of 2·1 + 3, and 2·(2 + 1 + 1 + 4) least numbers lost."""
    net = nn.Sequential(nn.Linear(1, 1, **DOUBLE))
    with torch.no_grad():
        net[0].weight.fill_(2.0)
        net[0].bias.fill_(-3.0)
    ends = torch.tensor([[-1.0]], **DOUBLE), torch.tensor([[1.0]], **DOUBLE)
    u, least = 2.0**-24, 2.0**-126
    bank = StackBank.of(linear_stack(net), *ends, unit=u, least=least)
    assert bank.forward_slack == 50 * u + 16 * least
    assert bank.table_slack == 50 * 2.0**-53 + 16 * 2.0**-1022
    zero = torch.zeros(1, dtype=torch.int64)
    half = torch.tensor([[0.25]], **DOUBLE)
    moved = bank.variation(zero, zero, torch.zeros(1, 1, **DOUBLE), half)
    assert 0.5 <= float(moved) <= 0.5 * (1 + 1e-11)
    assert float(bank.variation(zero, zero, half, half * 0)) == 3 * 2.0**-1022


def test_what_two_layers_round_by():
    """5·φ(2x − 3) + 1 on [−1, 1], φ with slope 3 below 0: |2x − 3| ≤ 5, φ ≤ 15, the output ≤ 76.

    2·(5 + 5)·76 roundings; 2 + 1 + 1 + 4 = 8 least numbers are lost in front of φ, 8·3 + 3 + 5 + 2 = 34 behind it, and
    5·34 + 5 + 15 + 1 + 4 = 195 in the end, doubled.
    """
    net = nn.Sequential(nn.Linear(1, 1, **DOUBLE), nn.PReLU(init=3.0, **DOUBLE), nn.Linear(1, 1, **DOUBLE))
    with torch.no_grad():
        for layer, weight, bias in ((net[0], 2.0, -3.0), (net[2], 5.0, 1.0)):
            layer.weight.fill_(weight)
            layer.bias.fill_(bias)
    ends = torch.tensor([[-1.0]], **DOUBLE), torch.tensor([[1.0]], **DOUBLE)
    assert StackBank.of(linear_stack(net), *ends, unit=1.0, least=0.0).forward_slack == 2 * 10 * 76
    assert StackBank.of(linear_stack(net), *ends, unit=0.0, least=1.0).forward_slack == 2 * 195
    assert StackBank.of(linear_stack(net[:1]), *ends, unit=0.0, least=1.0).forward_slack == 2 * 8


def test_a_unit_within_rounding_of_its_kink_may_have_either_slope():
    """x − 1 beside 1, slope 3 below the kink: the half width is far below what the sum x − 1 rounds by."""
    net = nn.Sequential(nn.Linear(1, 1, **DOUBLE), nn.PReLU(init=3.0, **DOUBLE), nn.Linear(1, 1, **DOUBLE))
    with torch.no_grad():
        for layer, bias in ((net[0], -1.0), (net[2], 0.0)):
            layer.weight.fill_(1.0)
            layer.bias.fill_(bias)
    ends = torch.tensor([[0.0]], **DOUBLE), torch.tensor([[2.0]], **DOUBLE)
    bank = StackBank.of(linear_stack(net), *ends, unit=2.0**-53)
    zero, half = torch.zeros(1, dtype=torch.int64), torch.tensor([[1e-20]], **DOUBLE)
    assert float(bank.variation(zero, zero, torch.ones(1, 1, **DOUBLE), half)) >= 3e-20


def test_interval_jacobians_are_rounded_outward():
    least, r = 2.0**-1022, 2.0**-44
    assert stack._relative(1) == r
    assert stack._relative(1020) == 1024 * 2.0**-52
    weight = torch.tensor([[2.0, -3.0]], **DOUBLE)
    ones, zeros = torch.ones(1, 2, 1, **DOUBLE), torch.zeros(1, 2, 1, **DOUBLE)
    low, high = stack._times(weight, ones, ones, 1)
    assert (-1 - float(low)) / r == pytest.approx(5, rel=1e-3)
    assert (float(high) + 1) / r == pytest.approx(5, rel=1e-3)
    low, high = stack._times(weight, zeros, zeros, 1)
    assert (float(low), float(high)) == (-11 * least, 11 * least)  # 2 + 3, and 2 + 4 for two summands
    low, high = stack._times(weight, ones, 3 * ones, 1)
    assert float(low) == pytest.approx(2 - 9, rel=1e-12)
    assert float(high) == pytest.approx(6 - 3, rel=1e-12)
    gain, five = torch.tensor([[3.0]], **DOUBLE), torch.full((1, 1, 1), 5.0, **DOUBLE)
    low, high = stack._scaled(gain, gain, five, five)
    assert 16 <= (15 - float(low)) / 2.0**-53 <= 48
    assert 16 <= (float(high) - 15) / 2.0**-53 <= 48
    low, high = stack._scaled(gain, gain, 0 * five, 0 * five)
    assert (float(low), float(high)) == (-7 * least, 7 * least)
    low, high = stack._scaled(gain, 2 * gain, -five, five)
    assert float(low) == pytest.approx(-30)
    assert float(high) == pytest.approx(30)


# --- both ends of the search ------------------------------------------------------------------------------


def constant_view(value=0.0):
    """(view, f) of a constant network and a constant target, both `value`."""
    net = nn.Sequential(nn.Linear(1, 1, **DOUBLE))
    with torch.no_grad():
        net[0].weight.zero_()
        net[0].bias.fill_(value)
    f = LipschitzFunction(lambda x: x[:, :1] * 0 + value, n=1, lipschitz=0.0)
    return view_of(net, f.domain, 1, max_leaves=1), f


def test_the_slack_is_in_both_ends():
    """Nothing is off but η = 1/8 itself: the upper end is η and rounding, the lower end is 0."""
    view, f = constant_view(0.25)
    search = Search(f, Goal(eps=1.0), 0.125, 10**4, False, lambda message: None)
    branch_and_bound(view, search)
    assert 0.125 <= search.slack <= 0.125 + 1e-13
    assert 0.125 <= search.upper <= 0.125 + 1e-13
    assert search.lower == 0.0
    assert search.witness is not None


def test_an_exhausted_search_says_so():
    f = targets.get("cone", n=2)
    said = []
    c = certify_uniform_error(
        build_momlp(f, eps=0.3), f, eps=0.3, gap=1e-6, max_evaluations=1, samples=10, log=said.append
    )
    assert "max_evaluations reached before the bounds met the goal" in said
    assert math.isfinite(c.upper)


def test_ends_that_meet_agree():
    assert certify._sane(certify.Findings(0.0, lower=0.5, upper=0.5), None, WHOLE) == []
    (failing,) = certify._sane(certify.Findings(0.0, lower=math.nextafter(0.5, 1), upper=0.5), None, WHOLE)
    assert (failing.name, failing.holds) == ("the ends agree", False)
    assert certify._sane(certify.Findings(math.nextafter(0.25, 0), upper=0.5), 0.5, WHOLE) == []
    (failing,) = certify._sane(certify.Findings(0.25, upper=0.5), 0.5, WHOLE)
    assert (failing.name, failing.holds) == ("rounding", False)


def test_a_network_of_zeros_matches_itself():
    """Its rounding is far below 1e-300, and so is every difference."""
    net = nn.Sequential(nn.Linear(1, 1, **DOUBLE))
    with torch.no_grad():
        for p in net.parameters():
            p.zero_()
    f = LipschitzFunction(lambda x: x[:, :1] * 0, n=1, lipschitz=0.0)
    premise = forward_is_expert(view_of(net, f.domain, 1, max_leaves=1), torch.tensor([[0.5]], **DOUBLE))
    assert premise.holds, premise.detail


def test_a_forward_pass_beside_its_weights_fails():
    """By one part in a million, at one point."""

    class Liar(nn.Module):
        num_leaves = 1

        def __init__(self):
            super().__init__()
            self.net = nn.Linear(1, 1, **DOUBLE)

        def forward(self, x):
            return self.net(x) * torch.where(x > 0.75, 1 + 1e-6, 1.0)

        def route(self, x):
            return torch.zeros(len(x), dtype=torch.int64)

        def expert(self, leaf):
            return self.net

        def cell_bounds(self, leaf):
            return torch.zeros(1, **DOUBLE), torch.ones(1, **DOUBLE)

    f = LipschitzFunction(lambda x: x[:, :1], n=1, lipschitz=1.0)
    view = view_of(Liar(), f.domain, 1, max_leaves=1)
    x = torch.tensor([[0.25], [0.5], [0.9]], **DOUBLE)
    assert forward_is_expert(view, x[:2]).holds
    found = forward_is_expert(view, x)
    assert not found.holds
    assert found.detail.startswith("at x = [0.9] (leaf [0]) forward() gives")


# --- Theorem 1, measured by hand --------------------------------------------------------------------------


def test_the_widest_cell_counts_and_where_f_was_asked():
    """Cells of half widths 1/2 and 1 beside the axis; the kink 1/3 of 3t − 1 is no float."""
    layer = FirstLayer(
        torch.tensor([[0.0, 3.0]], **DOUBLE), torch.tensor([-1.0], **DOUBLE), torch.zeros(1, **DOUBLE), 1
    )
    lower, upper = torch.tensor([[0, 0], [1, 0]], **DOUBLE), torch.tensor([[1, 1], [3, 1]], **DOUBLE)
    bank = RidgeBank.of(layer, torch.ones(2, 1, 1, **DOUBLE), torch.zeros(2, 1, **DOUBLE), lower, upper, unit=2.0**-53)
    f = LipschitzFunction(lambda x: x[:, :1] * 0, n=2, lipschitz=1e6, domain=((0, 3), (0, 1)))
    measured = a_priori.Measured()
    a_priori._measure(torch.tensor([[0], [1]]), bank, f, measured)
    assert 1 <= measured.a <= 1 + 1e-14
    assert measured.b == Fraction(1, 3)
    assert measured.shift == abs(Fraction(1, 3) - Fraction(1 / 3))
    assert measured.slack == bank.forward_slack
    assert measured.nodes == 2 * 3
    assert 2 <= measured.tau <= 2 + 1e-14
    assert measured.tau_where == "leaf [0], output 0, node 2"


def test_f_asked_beside_a_node_costs_what_f_may_change_there():
    f = LipschitzFunction(lambda x: x[:, :1] * 0, n=1, lipschitz=1e6)
    net = nn.Sequential(nn.Linear(1, 1, **DOUBLE), nn.ReLU(), nn.Linear(1, 1, **DOUBLE))
    with torch.no_grad():
        net[0].weight.fill_(3.0)
        net[0].bias.fill_(-1.0)
        net[2].weight.fill_(1e-9)
        net[2].bias.zero_()
    upper, measured, premises = a_priori.a_priori(view_of(net, f.domain, 1, max_leaves=1), f, 0.125, lambda m: None)
    assert all(p.holds for p in premises)
    moved = 1e6 * float(abs(Fraction(1, 3) - Fraction(1 / 3)))
    assert moved <= measured.slack <= moved * 1.001
    parts = (f.modulus.upper(measured.b**2), measured.tau, 0.125, measured.slack)
    assert Fraction(upper) >= sum(map(Fraction, parts))
    assert upper <= math.fsum(parts) * (1 + 1e-14)


def test_constants_have_one_node():
    _, f = constant_view()
    view = view_of(nn.Sequential(Constant(torch.zeros(1, **DOUBLE))), f.domain, 1, max_leaves=1)
    _, measured, _ = a_priori.a_priori(view, f, 0.0, lambda message: None)
    assert (measured.nodes, measured.b) == (1, 0)


# --- simplices, measured by hand --------------------------------------------------------------------------


def test_what_is_measured_on_the_simplices():
    """K = 2 on [0, 1], f = x at 0, 1/2, 1, the network −1, 1/2, 1: a gap of 1 at 0.

    The slack is 64·3u·2 for the spread, 8u for the largest value, 2u·10 for the sums and 16u for the positions."""
    view, _ = constant_view()
    f = LipschitzFunction(lambda x: x[:, :1], n=1, lipschitz=1.0)
    grid = Grid(cells=2, axes=(0,), slope=(2.0,), shift=(2.0,), unit=(0,))
    values = torch.tensor([[-1.0, 0.5], [1.0, 0.5]], **DOUBLE).reshape(1, 2, 2, 1)
    pieces = AffinePieces(grid, torch.tensor([[[0], [1]], [[2], [1]]]), values, 10.0, torch.tensor([[2.0]], **DOUBLE))
    measured = simplex_error.Measured()
    simplex_error._measure(view, view.leaves, pieces, f, measured)
    assert (measured.vertex, measured.simplices, measured.nodes, measured.offset) == (1.0, 2, 3, 0.0)
    assert 1.0 <= measured.line <= 1.0 + 1e-14
    assert measured.slack == pytest.approx((64 * 3 * 2 + 8 + 20 + 16) * 2.0**-53, rel=1e-9)


def test_the_upper_end_is_the_sum_of_its_parts():
    model = build_momlp(targets.get("cone", n=2), eps=0.5, expert="bit_extraction")
    view = view_of(model, model.domain, 1, max_leaves=10**6)
    upper, measured, premises = simplex_error.simplex_error(view, model.target, 0.125, lambda message: None)
    assert measured.offset > 0
    parts = (measured.line, measured.offset, 0.125, measured.slack)
    assert Fraction(upper) >= sum(map(Fraction, parts))
    assert upper <= math.fsum(parts) * (1 + 1e-14)
    assert premises[0].detail == f"{measured.simplices} simplices of {model.num_leaves} experts, exact"
    assert measured.simplices == model.num_leaves * model.plan.network.cells


def test_the_rounding_of_a_segment_grows_with_its_numbers():
    flat = torch.full((1, 1, 2, 1), 1024.0, **DOUBLE)
    assert simplex_error._segment_error(flat * 0, flat, flat, Fraction(0), Fraction(1)) == 16 * 2048 * 2.0**-53


def test_one_output_that_is_not_affine_is_enough():
    corner = torch.tensor([[[0], [1]]])
    zeros = torch.zeros(1, 1, 2, **DOUBLE)
    simplices._require_affine(zeros, zeros, corner, 0, 5)
    for output in (0, 1):
        wide = zeros.clone()
        wide[..., output] = 1.0
        for low, high in ((-wide, zeros), (zeros, wide)):
            with pytest.raises(NotAffine, match=r"layer 5: on simplex 3, .* an interval of width 1"):
                simplices._require_affine(low, high, corner, 3, 5)


# --- samples ----------------------------------------------------------------------------------------------


def test_half_of_the_adversarial_points_are_at_mid_knots():
    f = targets.get("cone", n=2)
    model = build_momlp(f, eps=0.3)
    view = view_of(model, f.domain, 1, max_leaves=10**6)
    x = sampled._adversarial(view, f, torch.Generator().manual_seed(0), 200)
    t = model.knots()
    middle = torch.isin(x[:, 1], (t[:-1] + t[1:]) / 2)
    assert bool(middle[::2].all())
    assert int(middle[1::2].sum()) < 50
    lower, upper = view.bounds(view.leaves)
    for end in (lower, upper):
        assert int(torch.isin(x[:, 0], end[:, 0]).sum()) > 50
    assert bool(((x >= 0) & (x <= 1)).all())


def test_ascent_climbs_and_stays_inside():
    view, _ = constant_view()
    for top, reached in ((1.0, (0.55, 0.57)), (0.52, (0.52, 0.52))):
        f = LipschitzFunction(lambda x: x[:, :1], n=1, lipschitz=1.0, domain=(0, top))
        climbed = float(sampled._ascend(view, f, torch.tensor([[0.5]], **DOUBLE))[0])
        assert reached[0] <= climbed <= reached[1]


@pytest.mark.parametrize("gradient", [True, False])
def test_every_point_of_f_is_counted(gradient):
    asked = []

    def fn(x):
        asked.append(len(x))
        return x[:, :1] if gradient else x[:, :1].detach()

    f = LipschitzFunction(fn, n=1, lipschitz=1.0)
    view, _ = constant_view()
    asked.clear()
    *_, evaluations = sampled.sampled_error(view, f, torch.Generator().manual_seed(0), 10, lambda message: None)
    assert evaluations == sum(asked)
