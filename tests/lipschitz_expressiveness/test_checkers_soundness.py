"""What stands behind the bounds, piece by piece, and that a broken piece is noticed."""

import itertools
import math
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from constructions.lipschitz_expressiveness import (
    gaussian_mlp,
    numpy_mlp,
    table_networks,
    two_unit_controller,
)
from constructions.networks import stack
from theory import Measure, lipschitz_bounds
from theory.lipschitz_expressiveness.checkers import cells, forms, patterns, witness
from theory.lipschitz_expressiveness.checkers.cells import Cells, Side
from theory.lipschitz_expressiveness.checkers.jacobians import Chain, slopes_at
from theory.lipschitz_expressiveness.checkers.lipsdp import available
from theory.lipschitz_expressiveness.checkers.network import read_network
from theory.lipschitz_expressiveness.checkers.norms import norm_above

K = torch.tensor([0.91707456, 1.63559619], dtype=torch.float64)
ONE = torch.ones(2, dtype=torch.float64)
needs_sdp = pytest.mark.skipif(not available(), reason="needs the extra sdp")


def layers(*pairs):
    return stack([tuple(torch.tensor(part, dtype=torch.float64) for part in pair) for pair in pairs])


TWINS = layers(([[1.0, 2.0], [1.0, 2.0]], [0.25, 0.25]), ([[1.0, -1.0]], [0.0]))
"""Two equal units whose outputs cancel: f = 0, and the patterns (1, 0) and (0, 1) do not exist."""


# --- norms -----------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    m=st.integers(1, 6),
    n=st.integers(1, 6),
    scale=st.sampled_from([1.0, 1e-200, 1e200, 1e-310]),
)
def test_norms_are_above_what_rationals_prove(seed, m, n, scale):
    J = torch.from_numpy(np.random.default_rng(seed).standard_normal((m, n))) * scale
    above = Fraction(float(norm_above(J)))
    v = witness.direction_of(J).tolist()
    Jv = [sum(Fraction(a) * Fraction(b) for a, b in zip(row, v, strict=True)) for row in J.tolist()]
    proved = sum(a * a for a in Jv) / sum(Fraction(b) ** 2 for b in v)
    assert proved <= above**2
    # and near: by a factor 1 + 1e-13, or what the least normal number leaves
    assert math.sqrt(proved / above**2) > 1 - 1e-12 or scale < 1e-300


def test_norms_do_not_trust_eigenvectors(monkeypatch):
    J = torch.from_numpy(np.random.default_rng(0).standard_normal((20, 4, 5)))
    true = torch.linalg.matrix_norm(J, 2)

    def wrong(gram):
        return type("Wrong", (), {"eigenvectors": torch.full_like(gram, 0.1)})()

    monkeypatch.setattr(torch.linalg, "eigh", wrong)
    assert bool((norm_above(J) >= true).all())


def test_norms_of_what_is_no_number_are_infinite():
    J = torch.zeros(3, 3, 3, dtype=torch.float64)
    J[0, 0, 0], J[1, 1, 1] = math.nan, math.inf
    assert norm_above(J).tolist() == [math.inf, math.inf, 0.0]


# --- affine forms ----------------------------------------------------------------------------------------


def escaped(network, lower, upper, points=10_000):
    """How many sampled pre-activations lie outside their bounds."""
    found = forms.preactivations(network, lower[None], upper[None])
    x = lower + torch.rand(points, len(lower), dtype=torch.float64) * (upper - lower)
    _, z = slopes_at(network, x)
    pairs = zip(z, found.low, found.high, strict=True)
    return sum(int(((v < low) | (v > high)).sum()) for v, low, high in pairs)


@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "tanh"])
def test_preactivations_stay_within_their_bounds(activation):
    draw = torch.Generator().manual_seed(3)
    for _ in range(5):
        module = gaussian_mlp((3, 6, 5, 4, 1), sigma=0.9, bias=0.4, activation=activation, generator=draw)
        lower = torch.randn(3, dtype=torch.float64, generator=draw)
        assert escaped(read_network(module), lower, lower + 1.5) == 0


def test_a_slope_of_the_wrong_layer_is_noticed(monkeypatch):
    right, seen = forms._kinked, []

    def wrong(alpha, state, low, high):
        seen.append((low, high))
        return right(alpha, state, *seen[-2:][0])

    monkeypatch.setattr(forms, "_kinked", wrong)
    found = 0
    for seed in range(20):
        seen.clear()
        module = gaussian_mlp((3, 6, 6, 6, 1), sigma=1.5, bias=0.4, generator=torch.Generator().manual_seed(seed))
        one = torch.full((3,), 0.2, dtype=torch.float64)
        found += escaped(read_network(module), -one, one)
    assert found > 100


def test_kinks_with_every_slope_are_enclosed():
    slopes = torch.tensor([-2.0, -0.5, 0.0, 0.3, 1.0, 1.7], dtype=torch.float64)
    module = nn.Sequential(nn.Linear(1, 6), nn.PReLU(6), nn.Linear(6, 6), nn.PReLU(6), nn.Linear(6, 1)).double()
    module[1].weight.data, module[3].weight.data = slopes, slopes.flip(0)
    for low, high in ((-1.0, 2.0), (-3.0, -1.0), (0.5, 0.7)):
        corner = torch.tensor([low]).double()
        assert escaped(read_network(module), corner, corner + (high - low)) == 0
        bounds = lipschitz_bounds(module, corner, corner + (high - low), method="branch_and_bound")
        exact = lipschitz_bounds(module, corner, corner + (high - low), method="line")
        assert bounds.lower == pytest.approx(exact.lower, rel=1e-9)
        assert exact.exact_squared <= Fraction(bounds.upper) ** 2


# --- cells -----------------------------------------------------------------------------------------------


def test_the_slack_of_products_covers_their_rounding():
    network = read_network(numpy_mlp((3, 8, 8, 2), np.random.default_rng(0)))
    chain = Chain.of(network, Measure())
    slopes, _ = slopes_at(network, torch.rand(1, 3, dtype=torch.float64))
    exact = [[Fraction(v) for v in row] for row in network.matrices[0].tolist()]
    for weight, slope in zip(network.matrices[1:], slopes, strict=True):
        scaled = [[Fraction(s) * v for v in row] for s, row in zip(slope[0].tolist(), exact, strict=True)]
        exact = [
            [sum(Fraction(w) * r[j] for w, r in zip(row, scaled, strict=True)) for j in range(3)]
            for row in weight.tolist()
        ]
    off = sum(
        (Fraction(a) - b) ** 2
        for a, b in zip(chain.product(slopes).flatten().tolist(), itertools.chain(*exact), strict=True)
    )
    assert 0 < off <= Fraction(chain.slack) ** 2


def test_equal_units_have_two_patterns():
    bounds = lipschitz_bounds(TWINS, -ONE, ONE, method="patterns", keep_cells=True)
    assert sorted(cell.pattern for cell in bounds.cells) == [(False, False), (True, True)]
    assert bounds.lower == 0
    assert bounds.upper < 1e-13
    boxes = lipschitz_bounds(TWINS, -ONE, ONE, method="branch_and_bound")
    assert boxes.upper < 1e-13


def test_without_a_margin_equal_units_have_four(monkeypatch):
    monkeypatch.setattr(patterns, "REALISED", -1e-6)
    bounds = lipschitz_bounds(TWINS, -ONE, ONE, method="patterns")
    assert bounds.cells_or_boxes == 2  # what exact arithmetic saw
    assert "2 patterns that no point and no certificate decides" in bounds.reason
    assert bounds.upper > 2  # and what was not refuted counts


def test_a_refutation_needs_every_multiplier():
    network = read_network(TWINS)
    twins = Cells(network, -ONE, ONE)
    apart = [Side((), 0, True), Side((), 1, False)]
    assert twins.refuted(apart, np.array([1.0, 1.0]))
    assert twins.refuted(apart, np.array([1.0, 1.0 + 1e-9]))
    for bad in ([1.0, 0.0], [0.0, 0.0], [math.nan, 1.0], [-1.0, -1.0], [math.inf, 1.0]):
        assert not twins.refuted(apart, np.array(bad))
    together = [Side((), 0, True), Side((), 1, True)]
    for weights in itertools.product((0.0, 0.5, 1.0), repeat=2):
        assert not twins.refuted(together, np.array(weights))


def test_units_that_are_nothing_refute_nothing():
    """A unit with weights and bias 0 is 0 everywhere: neither of its sides may cross out a cell."""
    module = layers(([[0.0, 0.0], [1.0, 1.0]], [0.0, 0.1]), ([[3.0, 1.0]], [0.0]))
    nothing = Cells(read_network(module), -ONE, ONE)
    for on in (True, False):
        assert not nothing.refuted([Side((), 0, on)], np.array([1.0]))
        assert not nothing.refuted([Side((), 0, on), Side((), 1, True)], np.array([1.0, 1e-3]))
    for method in ("branch_and_bound", "patterns"):
        bounds = lipschitz_bounds(module, -ONE, ONE, method=method)
        assert bounds.lower == pytest.approx(math.sqrt(2), rel=1e-14)
        assert bounds.gap < 1e-12


def test_three_lines_through_a_point():
    """Six of eight patterns, and the other two are refuted by sums that are exactly 0."""
    module = layers(([[1.0, 0.1], [-0.4, 0.9], [-0.7, -1.3]], [0.0] * 3), ([[1.0, 2.0, 4.0]], [0.0]))
    for box in ((), (-ONE, ONE)):
        bounds = lipschitz_bounds(module, *box, method="patterns")
        assert bounds.cells_or_boxes == 6
        assert "no certificate" not in bounds.reason


def test_a_thin_cell_counts():
    """A strip of width 2⁻⁴⁰ with a slope of its own: too thin for samples, not for boxes."""
    width = 2.0**-40
    module = layers(([[1.0], [1.0]], [-0.3, -0.3 - width]), ([[8.0, -9.0]], [0.0]))
    zero = torch.zeros(1, dtype=torch.float64)
    for method in ("branch_and_bound", "patterns", "line"):
        bounds = lipschitz_bounds(module, zero, zero + 1, method=method)
        assert bounds.upper >= 8.0
        assert method == "patterns" or bounds.lower == 8.0


# --- branch and bound without its parts ------------------------------------------------------------------


def test_without_programs_the_controller_is_not_certified(monkeypatch):
    """Vertices alone count the pattern (1, 1), which does not exist: the interval stays open."""
    net = two_unit_controller(K)
    blind = cells.Region(0.0, np.zeros(2), np.zeros(2))
    monkeypatch.setattr(cells.Cells, "region", lambda self, sides: replace(blind, multipliers=np.zeros(len(sides))))
    bounds = lipschitz_bounds(net, -ONE, ONE, method="branch_and_bound", boxes=2000)
    assert bounds.upper == pytest.approx(2 * float(K.norm()), rel=1e-9)
    assert bounds.lower == pytest.approx(float(K.norm()), rel=1e-9)


def test_a_program_that_lies_cannot_lower_the_upper_end(monkeypatch):
    """Wrong multipliers and wrong points change the work, not the truth."""
    row = next(table_networks())
    exact = lipschitz_bounds(row.module, row.lower, row.upper, method="patterns").lower
    for margin, value in ((0.0, 1.0), (1.0, 0.0), (-5.0, 3.0)):

        def lying(self, sides, margin=margin, value=value):
            return cells.Region(margin, np.full(2, 0.1), np.full(len(sides), value))

        monkeypatch.setattr(cells.Cells, "region", lying)
        for method in ("branch_and_bound", "patterns"):
            bounds = lipschitz_bounds(row.module, row.lower, row.upper, method=method, seconds=2)
            assert bounds.lower <= exact * (1 + 1e-12)
            assert bounds.upper >= exact * (1 - 1e-12)


def test_slopes_on_the_wrong_side_are_noticed(monkeypatch):
    row = next(table_networks())
    right = Chain.product

    def wrong(self, slopes):
        return right(self, [s.roll(1, -1) for s in slopes])

    x = row.samples[:50]
    J = torch.func.vmap(torch.func.jacrev(lambda y: row.module(y[None])[0]))(x)
    network = read_network(row.module)
    chain = Chain.of(network, Measure())
    slopes, _ = slopes_at(network, x)
    assert torch.allclose(chain.product(slopes), J, rtol=1e-13, atol=1e-13)
    monkeypatch.setattr(Chain, "product", wrong)
    assert not torch.allclose(chain.product(slopes), J, rtol=1e-3, atol=1e-3)


def test_budgets_leave_an_honest_interval():
    module = numpy_mlp((4, 12, 12, 2), np.random.default_rng(0))
    corner = torch.ones(4, dtype=torch.float64)
    whole = lipschitz_bounds(module, -corner, corner, method="branch_and_bound", gap=1e-3, seconds=20)
    ends = []
    for boxes in (1, 10, 300):
        part = lipschitz_bounds(module, -corner, corner, method="branch_and_bound", boxes=boxes)
        assert part.cells_or_boxes <= boxes
        assert part.lower <= whole.upper
        assert part.upper >= whole.lower
        ends.append(part.upper)
    assert ends == sorted(ends, reverse=True)
    stopped = lipschitz_bounds(module, -corner, corner, method="patterns", cells=5)
    assert stopped.cells_or_boxes <= 5
    assert stopped.reason.startswith("stopped after")
    assert stopped.upper == lipschitz_bounds(module, method="product").upper
    late = lipschitz_bounds(module, -corner, corner, method="branch_and_bound", seconds=1e-9)
    assert late.upper >= whole.lower


def test_progress_is_told_and_the_interval_closes():
    said = []
    row = list(table_networks())[4]
    bounds = lipschitz_bounds(row.module, row.lower, row.upper, method="branch_and_bound", log=said.append)
    assert said
    assert all("≤ Lip ≤" in words for words in said)
    ups, lows = [s.upper for s in bounds.history], [s.lower for s in bounds.history]
    assert ups == sorted(ups, reverse=True)
    assert lows == sorted(lows)
    assert (lows[-1], ups[-1]) == (bounds.lower, bounds.upper)


def test_equal_seeds_give_equal_intervals():
    row = list(table_networks())[3]
    first, second = (lipschitz_bounds(row.module, row.lower, row.upper, method="branch_and_bound") for _ in "ab")
    assert (first.lower, first.upper, first.reason) == (second.lower, second.upper, second.reason)
    assert torch.equal(first.witness, second.witness)


@pytest.mark.parametrize("scale", [1e-170, 1e-90, 1e90])
def test_tiny_and_huge_weights_keep_their_bounds(scale):
    row = next(table_networks())
    weight = row.module[2].weight * scale
    module = stack([(row.module[0].weight, row.module[0].bias), (weight, torch.zeros(3, dtype=torch.float64))])
    for method in ("branch_and_bound", "patterns"):
        bounds = lipschitz_bounds(module, row.lower, row.upper, method=method)
        assert bounds.lower / scale == pytest.approx(4.001566201, rel=1e-9)
        assert bounds.lower <= bounds.upper <= bounds.lower * (1 + 1e-9)


def test_witnesses_lie_in_boxes_far_from_zero():
    for seed in range(4):
        module = numpy_mlp((2, 4, 3, 1), np.random.default_rng(seed), bias=3.0)
        lower = torch.tensor([0.1 + seed, -7.3]).double()
        upper = lower + torch.tensor([0.7, 1e-3]).double()
        for method in ("branch_and_bound", "patterns", "sampled"):
            x = lipschitz_bounds(module, lower, upper, method=method).witness
            assert bool(((lower <= x) & (x <= upper)).all())


def test_ends_that_exclude_each_other_are_an_error(monkeypatch):
    row = next(table_networks())
    monkeypatch.setattr(Chain, "above", lambda self, slopes: torch.ones(1, dtype=torch.float64))
    with pytest.raises(RuntimeError, match="two ends exclude each other"):
        lipschitz_bounds(row.module, row.lower, row.upper, method="patterns")


def test_points_outside_the_box_prove_nothing(monkeypatch):
    """The slope is 1 in the box and 11 beyond it, where a program that lies points to."""
    module = layers(([[1.0], [1.0]], [-1.0, 0.25]), ([[10.0, 1.0]], [0.0]))
    beyond = np.full(1, 2.0)
    monkeypatch.setattr(Cells, "region", lambda self, sides: cells.Region(1.0, beyond, np.zeros(len(sides))))
    zero = torch.zeros(1, dtype=torch.float64)
    bounds = lipschitz_bounds(module, zero, zero + 0.5, method="patterns")
    assert bounds.lower <= 1.0 <= bounds.upper
    assert 0 <= float(bounds.witness) <= 0.5


def far_apart(*matrices):
    """A ReLU network without biases, in float64."""
    layers = []
    for rows in matrices:
        weight = torch.tensor(rows, dtype=torch.float64)
        linear = nn.Linear(weight.shape[1], weight.shape[0], bias=False, dtype=torch.float64)
        linear.weight.data.copy_(weight)
        layers += [linear, nn.ReLU()]
    return nn.Sequential(*layers[:-1])


@pytest.mark.parametrize("method", ["auto", "branch_and_bound", "patterns", "product", "lipsdp"])
def test_products_that_underflow_on_the_way_prove_nothing(method):
    """relu(x_2) as 1e-200·1e-200·1e200·1e200: what float64 multiplies is 0, the constant is 1."""
    net, ones = far_apart([[0, 1e-200]], [[1e-200]], [[1e200]], [[1e200]]), torch.ones(2, dtype=torch.float64)
    try:
        found = lipschitz_bounds(net, -ones, ones, method=method)
    except (ValueError, ImportError) as err:
        assert "too large for a semidefinite program" in str(err) or "momlp[sdp]" in str(err)  # noqa: PT017
        assert method != "auto"
        return
    assert found.lower <= 1 <= found.upper


@pytest.mark.parametrize("depth", [5, 30])
def test_many_small_layers_before_as_many_large_ones(depth):
    net = far_apart(*[[[10.0**-12]]] * depth, *[[[10.0**12]]] * depth)
    wide = far_apart([[0, 1.0]], *[[[10.0**-12]]] * depth, *[[[10.0**12]]] * depth)
    assert lipschitz_bounds(net).upper >= 1 - 1e-9
    ones = torch.ones(2, dtype=torch.float64)
    assert lipschitz_bounds(wide, -ones, ones).upper >= 1 - 1e-9


def test_kinks_and_slopes_beyond_floats():
    net = nn.Sequential(nn.Linear(1, 1), nn.ReLU(), nn.Linear(1, 1)).double()
    for value, number in zip(net.parameters(), (1e-300, 1e300, 1.0, 0.0), strict=True):
        value.data.fill_(number)
    found = lipschitz_bounds(net, method="line")
    assert found.lower <= 1e-300 <= found.upper
    steep = lipschitz_bounds(far_apart([[1e200]], [[1.0]]), method="line", keep_cells=True)
    assert max(cell.norm for cell in steep.cells) == pytest.approx(1e200)


def test_boxes_that_no_float_can_measure_are_refused():
    ones = torch.ones(2, dtype=torch.float64)
    with pytest.raises(ValueError, match="less than 8e307 apart"):
        lipschitz_bounds(far_apart([[1.0, 0]], [[1.0]]), -1.7e308 * ones, 1.7e308 * ones)
