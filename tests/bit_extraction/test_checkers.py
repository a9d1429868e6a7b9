"""Node values and interpolants: shapes before values, NaN never passes, and no points prove nothing."""

import math
from fractions import Fraction

import pytest
import torch
from torch import nn

from constructions.bit_extraction import Design, layers_of, plain_network, step_values, table_of, words_of
from theory.bit_extraction.checkers.block_structure import _nodes_failure, block_name, block_structure
from theory.bit_extraction.checkers.interpolant import (
    j1_interpolant,
    parity_rounded,
    realises_interpolant,
    sample_points,
)

DESIGN = Design(1, 1, 3, 4)
STEP = 1 / DESIGN.cells
VALUES = (torch.arange(DESIGN.cells + 1, dtype=torch.float64) / DESIGN.cells - 0.4).abs()


def network():
    """The honest plain network of VALUES."""
    y, _ = step_values(VALUES[None], STEP * (1 + 1e-9), DESIGN)
    layers = layers_of(DESIGN, 1, (0,), (0.0,), (1.0,), STEP)
    return plain_network(layers, table_of(words_of(y, DESIGN), DESIGN)[0], float(VALUES.min()))


POINTS = sample_points(DESIGN.cells, DESIGN.m, 1, 9, torch.Generator().manual_seed(0))


def test_the_honest_network_passes_both():
    assert block_structure(network(), VALUES, STEP, DESIGN).failure is None
    assert realises_interpolant(network(), VALUES, STEP, POINTS).failure is None


def two_outputs():
    net = network()
    last = net[-1]
    twice = nn.Linear(last.in_features, 2, dtype=torch.float64)
    with torch.no_grad():
        twice.weight.copy_(torch.cat([last.weight, last.weight + 1]))
        twice.bias.copy_(torch.cat([last.bias, last.bias]))
    net[-1] = twice
    return net


def test_a_second_output_and_other_shapes_are_named():
    for check in (
        lambda net, values: block_structure(net, values, STEP, DESIGN),
        lambda net, values: realises_interpolant(net, values, STEP, POINTS),
    ):
        assert check(two_outputs(), VALUES).failure == "the network has 2 outputs, not one"
        assert check(nn.Sequential(nn.Tanh()), VALUES).failure == "the network is not a Linear/ReLU stack"
        for values in (VALUES[:-1], VALUES[None], VALUES[:1], VALUES[:, None]):
            failure = check(network(), values).failure
            assert failure == f"the network has nodes ({DESIGN.cells + 1},), the values are {tuple(values.shape)}"


def test_values_of_nan_never_pass():
    values = VALUES.clone()
    values[5] = math.nan
    failure = block_structure(network(), values, STEP, DESIGN).failure
    assert failure == f"{block_name((5,), DESIGN.m)}: node (5,) is nan steps from the function"
    with pytest.raises(ValueError, match="`values` must be finite"):
        realises_interpolant(network(), values, STEP, POINTS)
    found = VALUES.clone()
    found[3] = math.nan
    assert "node (3,) is nan steps" in _nodes_failure(found, VALUES, STEP, 3)


def test_node_values_by_hand():
    """Within one step of the function, and one step between neighbours; the first node that is not is named."""
    found = torch.tensor([0.0, 1.0, 2.0, 1.0], dtype=torch.float64)
    assert _nodes_failure(found, found + 1, 1.0, 3) is None
    assert _nodes_failure(found, found - 1, 1.0, 3) is None
    assert _nodes_failure(found, found + 1.1, 1.0, 3).endswith("node (0,) is 1.1 steps from the function")
    assert _nodes_failure(found, found, 2.0, 3).endswith("node (0,) and the next on axis 0 do not differ by one step")
    found[2] = 1.5
    assert _nodes_failure(found, found, 1.0, 3).endswith("node (1,) and the next on axis 0 do not differ by one step")
    plane = torch.tensor([[0.0, 1.0], [1.0, 1.0]], dtype=torch.float64)
    assert "axis 0" in _nodes_failure(plane, plane, 1.0, 3)
    assert block_name((4, 3), 3) == "class (1, 1), block (0, 0)"
    assert block_name((6, 11), 3) == "class (0, 1), block (1, 1)"


@pytest.mark.parametrize("points", [[], (), None, 3])
def test_no_points_prove_nothing(points):
    with pytest.raises(ValueError, match="`points` must be a non-empty list"):
        realises_interpolant(network(), VALUES, STEP, points)


def test_arguments_are_named():
    with pytest.raises(ValueError, match="`points` must have 1 coordinates"):
        realises_interpolant(network(), VALUES, STEP, [[Fraction(1), Fraction(2)]])
    for step in (0, -1.0, math.nan, math.inf, "1"):
        for call in (
            lambda step=step: realises_interpolant(network(), VALUES, step, POINTS),
            lambda step=step: block_structure(network(), VALUES, step, DESIGN),
            lambda step=step: parity_rounded(VALUES, step),
        ):
            with pytest.raises(ValueError, match="`step`"):
                call()
    for call in (
        lambda: realises_interpolant(None, VALUES, STEP, POINTS),
        lambda: realises_interpolant(network(), VALUES.tolist(), STEP, POINTS),
        lambda: block_structure(5, VALUES, STEP, DESIGN),
        lambda: block_structure(network(), None, STEP, DESIGN),
        lambda: block_structure(network(), VALUES, STEP, None),
    ):
        with pytest.raises(TypeError, match="must be a"):
            call()
    with pytest.raises(ValueError, match="`cells`"):
        j1_interpolant({}, [Fraction(0)], 0)
    with pytest.raises(ValueError, match="`count`"):
        sample_points(5, 3, 1, 0, torch.Generator())


def test_a_changed_bias_and_a_changed_point_are_named():
    net = network()
    net[-1].bias.data += 2 * STEP
    assert realises_interpolant(net, VALUES, STEP, POINTS).failure.startswith("at node 0 the network gives")
    wrong = VALUES.clone()
    wrong[-1] += 4 * STEP
    failure = realises_interpolant(network(), wrong, STEP, [[Fraction(DESIGN.cells)]]).failure
    assert failure.startswith(f"at z = ['{DESIGN.cells}'] the network is at")


def test_parity_rounding_by_hand():
    """Even nodes to the nearest even step above −1, odd nodes to the odd one: never more than a step away."""
    values = torch.tensor([0.0, 0.5, 2.0, 2.5], dtype=torch.float64)
    y, low = parity_rounded(values, Fraction(1))
    assert (y, low) == ({(0,): 0, (1,): 1, (2,): 2, (3,): 3}, 0)
    y, low = parity_rounded(values + 1, Fraction(1, 2))
    assert (y, low) == ({(0,): 0, (1,): 1, (2,): 4, (3,): 5}, 1)
    assert j1_interpolant(y, [Fraction(1, 2)], 3) == Fraction(1, 2)
    assert j1_interpolant(y, [Fraction(-7)], 3) == 0
    assert j1_interpolant(y, [Fraction(5, 2)], 3) == Fraction(9, 2)
    assert j1_interpolant(y, [Fraction(99)], 3) == 5


def test_the_value_at_node_0_may_round_and_no_more():
    """2⁻⁵⁰·(|c0| + 8·step·K²) is what the output bias may round by."""
    allowed = 2.0**-50 * (abs(float(VALUES.min())) + 8 * STEP * DESIGN.cells**2)
    for share, holds in ((0.5, True), (-0.5, True), (1.5, False), (-1.5, False)):
        net = network()
        report = realises_interpolant(net, VALUES, STEP, POINTS)
        assert report.holds
        net[-1].bias.data += share * allowed
        assert realises_interpolant(net, VALUES, STEP, POINTS).holds is holds


def test_one_value_that_is_no_number_is_enough():
    for place in (0, 3):
        values = VALUES.clone()
        values[place] = math.inf
        with pytest.raises(ValueError, match="`values` must be finite"):
            parity_rounded(values, Fraction(1))


def test_a_node_exactly_at_its_allowance_passes():
    reach = 1 + 1e-6
    found = torch.tensor([reach, reach - 1], dtype=torch.float64)
    assert _nodes_failure(found, torch.tensor([0.0, reach - 1], dtype=torch.float64), 1.0, 3) is None
    found[0] = math.nextafter(reach, 2)
    assert "node (0,) is 1 steps from" in _nodes_failure(
        found, torch.tensor([0.0, reach - 1], dtype=torch.float64), 1.0, 3
    )


def test_where_points_are_sampled():
    """K = 11, m = 3: sixteenths from −1 to 12; ends of groups of three nodes; half cells behind the boundaries."""
    cells, m = 11, 3
    points = sample_points(cells, m, 1, 12000, torch.Generator().manual_seed(0))
    anywhere, nodes, gaps = ({z[0] for z in points[kind::3]} for kind in range(3))
    assert anywhere == {Fraction(i, 16) for i in range(-16, 16 * cells + 17)}
    assert nodes == {Fraction(min(cells, m * group - before)) for group in range(5) for before in (0, 1)}
    starts = {2 * m * block - 2 + m * parity for block in range(3) for parity in (0, 1)}
    assert gaps == {start + Fraction(i, 16) for start in starts for i in range(9)}
