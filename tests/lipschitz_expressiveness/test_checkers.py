"""The methods against digits, against each other, and against two enumerations of cells that share no code."""

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from constructions.lipschitz_expressiveness import (
    all_ones,
    clipped_linear,
    gaussian_mlp,
    numpy_mlp,
    table_networks,
    tent_map,
    two_unit_controller,
)
from tests.lipschitz_expressiveness import cells_by_hand
from theory import LipschitzBounds, Measure, lipschitz_bounds
from theory.claim import Evidence, Status
from theory.lipschitz_expressiveness.checkers.lipsdp import available

needs_sdp = pytest.mark.skipif(not available(), reason="needs the extra sdp")

# product, sampled points of numpy's draws, constant on the box, cells there, on R^n (None: not in the table), LipSDP
DIGITS = [
    (6.874297, 4.001566, 4.001566, 31, (4.070856, 37), 4.189217),
    (9.500693, 2.101330, 2.239916, 48, (2.266212, 105), 4.185208),
    (3.853663, 1.103828, 1.763361, 35, None, 2.102393),
    (22.851254, 3.793471, 3.924442, 74, None, 7.736574),
    (18.159374, 4.638391, 4.714919, 138, None, 6.619926),
    (5.538863, 1.918194, 1.919220, 65, None, 2.751859),
]
ROWS = list(zip(table_networks(), DIGITS, strict=True))
SMALL = [pytest.param(*row, id=f"{i}:{row[0].name}") for i, row in enumerate(ROWS)]


def close(bounds, value, gap=1e-12):
    """The interval is narrow, holds, and prints as `value` to six decimals."""
    assert isinstance(bounds, LipschitzBounds)
    assert bounds.lower <= bounds.upper <= bounds.lower * (1 + gap)
    assert round(bounds.lower, 6) == value
    assert bounds.evidence >= Evidence.FLOAT64
    assert bounds.log2_upper == pytest.approx(math.log2(bounds.upper), abs=1e-12)


def attained(bounds, module, lower=None, upper=None):
    """The witness lies in the box, and autograd finds the Jacobian there, as steep as was said."""
    x = bounds.witness
    if lower is not None:
        assert bool(((lower <= x) & (x <= upper)).all())
    J = torch.func.jacrev(lambda y: module(y[None])[0])(x)
    assert torch.allclose(J, bounds.jacobian, rtol=1e-12, atol=1e-12)
    assert float(torch.linalg.matrix_norm(J, 2)) == pytest.approx(bounds.lower, rel=1e-12)


@pytest.mark.parametrize(("row", "digits"), SMALL)
def test_boxes_find_the_constants_of_the_table(row, digits):
    bounds = lipschitz_bounds(row.module, row.lower, row.upper, method="branch_and_bound")
    close(bounds, digits[2])
    attained(bounds, row.module, row.lower, row.upper)
    assert bounds.cells_or_boxes <= 100


@pytest.mark.parametrize(("row", "digits"), SMALL)
def test_products_and_samples_of_the_table(row, digits):
    assert round(lipschitz_bounds(row.module, method="product").upper, 6) == digits[0]
    J = torch.func.vmap(torch.func.jacrev(lambda y: row.module(y[None])[0]))(row.samples)
    sampled = float(torch.linalg.matrix_norm(J, 2).max())
    assert round(sampled, 6) == digits[1]
    found = lipschitz_bounds(row.module, row.lower, row.upper, method="sampled")
    assert sampled * (1 - 1e-12) <= found.lower <= digits[2] + 1e-6
    assert found.upper == math.inf
    assert found.status is Status.NOT_REFUTED


@pytest.mark.parametrize(
    ("row", "digits"),
    [pytest.param(*p.values, id=p.id, marks=[] if i < 3 else pytest.mark.slow) for i, p in enumerate(SMALL)],
)
def test_patterns_count_the_cells_of_the_table(row, digits):
    bounds = lipschitz_bounds(row.module, row.lower, row.upper, method="patterns", keep_cells=True)
    close(bounds, digits[2])
    assert bounds.cells_or_boxes == len(bounds.cells) == digits[3]
    assert max(cell.norm for cell in bounds.cells) == pytest.approx(bounds.upper, rel=1e-12)
    if digits[4] is not None:
        everywhere = lipschitz_bounds(row.module, method="patterns")
        close(everywhere, digits[4][0])
        assert everywhere.cells_or_boxes == digits[4][1]


@needs_sdp
@pytest.mark.parametrize(("row", "digits"), SMALL)
def test_semidefinite_programs_of_the_table(row, digits):
    bounds = lipschitz_bounds(row.module, method="lipsdp")
    # the last digit may round up: the certificate is worth a millionth
    assert digits[5] - 1e-6 < bounds.upper < digits[5] + 2e-6
    assert bounds.status is Status.CERTIFIED


# --- other enumerations ----------------------------------------------------------------------------------


@pytest.mark.parametrize("row", [pytest.param(r[0], id=r[0].name) for r in ROWS[:3]])
def test_polygons_in_fractions_are_the_same_cells(row):
    area = cells_by_hand.polygons(row.module, row.lower, row.upper)
    assert sum(area.values()) == math.prod(Fraction(float(s)) for s in row.upper - row.lower)
    found = lipschitz_bounds(row.module, row.lower, row.upper, method="patterns", keep_cells=True)
    flat = {tuple(bit for layer in pattern for bit in layer) for pattern in area}
    assert {tuple(map(int, cell.pattern)) for cell in found.cells} == flat
    assert found.lower == pytest.approx(cells_by_hand.largest(row.module, area), rel=1e-12)


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    hidden=st.lists(st.integers(1, 5), min_size=1, max_size=3),
    outputs=st.integers(1, 3),
    bias=st.sampled_from([0.5, 2.0, 1e-3]),
    leaky=st.booleans(),
)
def test_fresh_networks_of_two_inputs(seed, hidden, outputs, bias, leaky):
    module = numpy_mlp((2, *hidden, outputs), np.random.default_rng(seed), bias=bias)
    if leaky:
        module = nn.Sequential(*(nn.LeakyReLU(0.3) if type(part) is nn.ReLU else part for part in module))
    lower, upper = torch.tensor([-1.0, -0.5]).double(), torch.tensor([0.75, 1.5]).double()
    area = cells_by_hand.polygons(module, lower, upper)
    exact = cells_by_hand.largest(module, area)
    boxes = lipschitz_bounds(module, lower, upper, method="branch_and_bound")
    assert boxes.lower * (1 - 1e-12) <= exact <= boxes.upper * (1 + 1e-12)
    assert boxes.gap <= 1e-9
    cells = lipschitz_bounds(module, lower, upper, method="patterns", keep_cells=True)
    assert cells.lower == pytest.approx(exact, rel=1e-12, abs=1e-300)
    flat = {tuple(bit for layer in pattern for bit in layer) for pattern in area}
    assert {tuple(map(int, cell.pattern)) for cell in cells.cells} == flat


@settings(max_examples=4, deadline=None)
@given(
    seed=st.integers(0, 10**6), inputs=st.integers(3, 4), outputs=st.integers(1, 2), bias=st.sampled_from([0.0, 0.5])
)
def test_fresh_networks_of_more_inputs(seed, inputs, outputs, bias):
    module = numpy_mlp((inputs, 3, 3, outputs), np.random.default_rng(seed), bias=bias)
    upper = torch.full((inputs,), 1.0, dtype=torch.float64)
    found = cells_by_hand.patterns(module, -upper, upper)
    exact = cells_by_hand.largest(module, found)
    boxes = lipschitz_bounds(module, -upper, upper, method="branch_and_bound")
    assert boxes.upper >= exact * (1 - 1e-12)
    cells = lipschitz_bounds(module, -upper, upper, method="patterns", keep_cells=True)
    flat = {tuple(bit for layer in pattern for bit in layer) for pattern in found}
    assert flat <= {tuple(map(int, cell.pattern)) for cell in cells.cells}  # thinner than a program sees: not in flat
    assert cells.lower == pytest.approx(boxes.lower, rel=1e-9, abs=1e-300)


# --- known constants -------------------------------------------------------------------------------------


@pytest.mark.exact
@pytest.mark.parametrize("depth", [1, 3, 6, 10])
def test_tent_maps_have_slope_two_to_the_depth(depth):
    zero = torch.zeros(1, dtype=torch.float64)
    bounds = lipschitz_bounds(tent_map(depth), zero, zero + 1)
    assert bounds.method == "line"
    assert bounds.exact_squared == 4**depth
    assert bounds.lower == bounds.upper == 2.0**depth
    assert bounds.cells_or_boxes == 2**depth
    assert bounds.status is Status.PROVED
    attained(bounds, tent_map(depth), zero, zero + 1)
    product = lipschitz_bounds(tent_map(depth), method="product")
    assert product.log2_upper == pytest.approx(depth / 2 * math.log2(40), rel=1e-14)


@pytest.mark.parametrize("method", ["branch_and_bound", "patterns"])
def test_other_methods_agree_on_a_tent_map(method):
    zero = torch.zeros(1, dtype=torch.float64)
    bounds = lipschitz_bounds(tent_map(4), zero, zero + 1, method=method)
    assert bounds.lower == 16.0
    assert bounds.upper == pytest.approx(16.0, rel=1e-11)


@pytest.mark.parametrize("method", ["auto", "patterns", "product"])
def test_all_ones_has_the_product(method):
    bounds = lipschitz_bounds(all_ones((3, 4, 4, 2)), method=method)
    assert bounds.upper == pytest.approx(16 * math.sqrt(6), rel=1e-13)
    assert method == "product" or bounds.lower == pytest.approx(16 * math.sqrt(6), rel=1e-13)


@pytest.mark.parametrize("widths", [(2, 8, 8, 1), (3, 6, 6, 2)])
def test_without_biases_a_box_is_all_of_space(widths):
    module = gaussian_mlp(widths, sigma=0.5, generator=torch.Generator().manual_seed(0))
    exact = lipschitz_bounds(module, method="patterns")
    upper = torch.ones(widths[0], dtype=torch.float64)
    for box in ((), (-upper, upper), (-1e-9 * upper, 1e9 * upper)):
        bounds = lipschitz_bounds(module, *box, method="branch_and_bound")
        assert bounds.gap <= 1e-9
        assert bounds.lower == pytest.approx(exact.lower, rel=1e-9)
        attained(bounds, module, *box)
    shifted = nn.Sequential(nn.Linear(widths[0], widths[0]).double(), *module).requires_grad_(False)
    shifted[0].weight.copy_(torch.eye(widths[0]))
    shifted[0].bias.fill_(-0.3)  # all kinks meet at (.3, …, .3), inside the box
    moved = lipschitz_bounds(shifted, -upper, upper, method="branch_and_bound")
    assert moved.lower == pytest.approx(exact.lower, rel=1e-9)
    assert moved.gap <= 1e-9


# --- control ---------------------------------------------------------------------------------------------

K = torch.tensor([0.91707456, 1.63559619], dtype=torch.float64)
A = torch.tensor([[1, 0.1], [0, 1]], dtype=torch.float64)
B = torch.tensor([[0.005], [0.1]], dtype=torch.float64)
P = torch.tensor([[17.83493132, 10.01249220], [10.01249220, 17.85658646]], dtype=torch.float64)
LOOP = Measure.closed_loop(A, B, P)


def test_a_closed_loop_is_certified_where_the_product_is_not():
    net, one = two_unit_controller(K), torch.ones(2, dtype=torch.float64)
    alone = lipschitz_bounds(net, -one, one)
    assert round(alone.upper, 8) == round(alone.lower, 8) == 1.8751535
    assert round(lipschitz_bounds(net, method="product").upper, 8) == 3.750307
    loop = lipschitz_bounds(net, -one, one, measure=LOOP)
    assert round(loop.upper, 8) == round(loop.lower, 8) == 0.95152602
    assert round(lipschitz_bounds(net, method="product", measure=LOOP).upper, 8) == 1.39874889
    every = lipschitz_bounds(net, method="patterns", measure=LOOP, keep_cells=True)
    assert sorted(cell.pattern for cell in every.cells) == [(False, True), (True, False)]
    open_loop = lipschitz_bounds(nn.Linear(2, 1).double().requires_grad_(False), measure=_still(LOOP))
    assert round(open_loop.upper, 8) == 1.06218649


def _still(measure):
    """The same without the controller."""
    return Measure(torch.zeros_like(measure.left), measure.right, measure.offset)


@pytest.mark.parametrize(
    ("radius", "value"), [(0.39, 0.951526), (0.3917465, 0.951526), (0.3917467, 1.062186), (0.40, 1.062186)]
)
def test_a_saturated_controller_holds_up_to_its_radius(radius, value):
    corner = torch.full((2,), radius, dtype=torch.float64)
    close(lipschitz_bounds(clipped_linear(K), -corner, corner, measure=LOOP), value)


def test_the_order_of_the_weights_matters():
    swapped = Measure.closed_loop(A, B, torch.linalg.inv(P).add(torch.linalg.inv(P).T) / 2)
    net, one = two_unit_controller(K), torch.ones(2, dtype=torch.float64)
    assert lipschitz_bounds(net, -one, one, measure=swapped).lower > 1.0


def test_weighted_norms_are_those_of_scaled_variables():
    row = ROWS[0][0]
    into, out = torch.diag(torch.tensor([4.0, 0.25]).double()), torch.diag(torch.tensor([9.0, 1.0, 4.0]).double())
    weighted = lipschitz_bounds(row.module, row.lower, row.upper, measure=Measure.weighted(out=out, into=into))
    left, right = torch.diag(torch.tensor([3.0, 1.0, 2.0]).double()), torch.diag(torch.tensor([0.5, 2.0]).double())
    direct = lipschitz_bounds(row.module, row.lower, row.upper, left=left, right=right)
    assert weighted.lower == pytest.approx(direct.lower, rel=1e-12)
    assert weighted.lower <= direct.upper <= weighted.upper * (1 + 1e-15)
    found = cells_by_hand.polygons(row.module, row.lower, row.upper)
    exact = max(np.linalg.norm(left.numpy() @ cells_by_hand.jacobian(row.module, p) @ right.numpy(), 2) for p in found)
    assert direct.lower == pytest.approx(exact, rel=1e-12)
