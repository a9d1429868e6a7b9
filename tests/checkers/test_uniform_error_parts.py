"""The small parts of the four ways, against numbers worked out by hand."""

import math
from fractions import Fraction

import pytest
import torch
from flint import arb
from torch import nn

from constructions import LipschitzFunction, build_momlp, targets
from constructions.functions.symbolic.tape import Instruction
from theory import Status, certify_uniform_error
from theory.checkers.uniform_error import formula_rounding, simplex_error
from theory.checkers.uniform_error.branch_and_bound import _halved
from theory.checkers.uniform_error.ridge import FirstLayer, RidgeBank, _corners, first_layer_axis
from theory.checkers.uniform_error.simplices import Grid, read_grid, simplex_vertices, spacing_squared
from theory.checkers.uniform_error.stack import StackBank, linear_stack

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
    assert simplex_error._position_rounding(GRID) == 8 * 2.0**-53 * 5.0


def test_how_far_the_domain_reaches_beyond_a_grid():
    f = LipschitzFunction(lambda x: x[:, :1], n=3, lipschitz=1.0, domain=((0, 1), (0, 1), (0.5, 3.25)))
    assert simplex_error._beyond(GRID, f, 0) == 0.0
    assert simplex_error._beyond(GRID, f, 1) == pytest.approx(0.5, rel=1e-15)
    g = LipschitzFunction(lambda x: x[:, :1], n=3, lipschitz=1.0, domain=((-1, 1), (0, 1), (1, 3.25)))
    assert simplex_error._beyond(GRID, g, 0) == pytest.approx(1.0, rel=1e-15)
    assert simplex_error._beyond(GRID, g, 1) == pytest.approx(0.25, rel=1e-15)


@pytest.mark.parametrize(
    ("values", "network", "lam", "h", "worst"),
    [
        # f may rise to the top of both cones, 1/2, half way; the network is 0 there
        ([0.0, 0.0], [0.0, 0.0], 1, 1, 0.5),
        ([0.0, 1.0], [0.0, 1.0], 1, 1, 0.0),
        ([0.0, 1.0], [0.0, 1.0], 3, 1, 4 / 3),
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
    assert worst - 1e-15 <= found <= worst + 1e-14


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
