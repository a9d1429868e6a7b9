"""Interpolants, parity rounding and node values against plain loops, in planes and in space."""

import itertools
import math
import random
from fractions import Fraction

import numpy as np
import pytest
import torch
from torch import nn

from constructions.bit_extraction import Design, layers_of, plain_network, step_values, table_of, word_cap, words_of
from theory.bit_extraction.checkers.block_structure import (
    _at_nodes,
    _nodes_failure,
    _worst,
    block_name,
    block_structure,
)
from theory.bit_extraction.checkers.interpolant import j1_interpolant, parity_rounded, realises_interpolant
from theory.checkers.uniform_error.simplices import affine_pieces
from theory.checkers.uniform_error.stack import linear_stack


def double(values):
    return torch.tensor(values, dtype=torch.float64)


# --- interpolants -----------------------------------------------------------------------------------------


def integral(y, z, cells):
    """∫₀¹ of y at the corner whose coordinate i is the odd end where τ_i ≥ t, else the even end."""
    z = [min(max(c, Fraction(0)), Fraction(cells)) for c in z]
    low = [min(int(c), cells - 1) for c in z]
    even = [a if a % 2 == 0 else a + 1 for a in low]
    odd = [a + 1 if a % 2 == 0 else a for a in low]
    tau = [abs(c - e) for c, e in zip(z, even, strict=True)]
    cuts = sorted({Fraction(0), Fraction(1), *tau})
    return sum(
        (t - s) * y[tuple(o if share >= t else e for share, e, o in zip(tau, even, odd, strict=True))]
        for s, t in itertools.pairwise(cuts)
    )


@pytest.mark.exact
@pytest.mark.parametrize(("k", "cells"), [(1, 1), (1, 4), (2, 1), (2, 3), (3, 2)])
def test_interpolants_are_integrals_over_corners(k, cells):
    dice = random.Random(f"{k} {cells}")
    y = {node: dice.randint(-9, 9) for node in itertools.product(range(cells + 1), repeat=k)}
    for node, value in y.items():
        assert j1_interpolant(y, [Fraction(c) for c in node], cells) == value
    for _ in range(120):
        z = [Fraction(dice.randint(-3, 6 * cells + 3), 6) for _ in range(k)]
        assert j1_interpolant(y, z, cells) == integral(y, z, cells)


@pytest.mark.exact
@pytest.mark.parametrize("shape", [(5,), (3, 3), (2, 3, 2)])
def test_parity_rounding_takes_the_next_integer_of_the_right_parity(shape):
    """Of all integers with the node's parity: at most one step away, the lower one of two as far."""
    dice = random.Random(str(shape))
    for step in (Fraction(1), Fraction(1, 3), Fraction(5, 4)):
        values = double([dice.randint(-40, 40) / 16 for _ in range(math.prod(shape))]).reshape(shape)
        y, low = parity_rounded(values, step)
        assert low == Fraction(float(values.min()))
        for node in itertools.product(*map(range, shape)):
            steps = (Fraction(float(values[node])) - low) / step
            near = [v for v in range(-2, 200) if v % 2 == sum(node) % 2 and -1 <= v - steps <= 1]
            # half-open on the side of the implementation: odd nodes round down to 2j + 1, even ones to the nearest
            assert y[node] in near
            assert len(near) == 1 or y[node] == max(near)


def plane():
    """A design in the plane with its node values and its network."""
    design = Design(2, 0, 3, 4)
    k = design.cells + 1
    step = 0.25
    grid = torch.arange(k, dtype=torch.float64)
    values = ((grid[:, None] * 0.11 - 0.2).abs() + (grid * 0.07 - 0.3).abs()) * 1.0
    y, _ = step_values(values[None], step * (1 + 1e-9), design)
    layers = layers_of(design, 3, (0, 2), (0.5, -1.0), (2.0, 0.25), step)
    return design, values, step, plain_network(layers, table_of(words_of(y, design), design)[0], float(values.min()))


def test_a_network_in_the_plane():
    design, values, step, network = plane()
    assert block_structure(network, values, step, design).failure is None
    dice = random.Random(0)
    points = [[Fraction(dice.randint(-8, 8 * design.cells + 8), 8) for _ in range(2)] for _ in range(12)]
    assert realises_interpolant(network, values, step, points).failure is None
    for node in ((1, 4), (5, 0), (0, 5)):
        wrong = values.clone()
        wrong[node] += 4 * step
        failure = block_structure(network, wrong, step, design).failure
        assert failure.startswith(f"{block_name(node, 3)}: node {node} is ")
        found = realises_interpolant(network, wrong, step, [[Fraction(c) for c in node]]).failure
        assert found.startswith(f"at z = {[str(c) for c in node]} the network is at ")
    pieces = affine_pieces([linear_stack(network)])
    at_nodes = _at_nodes(pieces)
    assert at_nodes.shape == (6, 6)
    y, low = parity_rounded(values, Fraction(step))
    for node in itertools.product(range(6), repeat=2):
        assert float(at_nodes[node]) == pytest.approx(float(low) + step * y[node], abs=1e-9)
    assert realises_interpolant(network, values.T.contiguous(), step, points).failure is not None
    with pytest.raises(ValueError, match="`points` must have 2 coordinates"):
        realises_interpolant(network, values, step, [*points, [Fraction(1)]])
    shape = tuple(values[:-1].shape)
    for check in (
        realises_interpolant(network, values[:-1], step, points),
        block_structure(network, values[:-1], step, design),
    ):
        assert check.failure == f"the network has nodes (6, 6), the values are {shape}"


# --- node values ------------------------------------------------------------------------------------------


def test_the_worst_entry_is_the_first_of_the_largest():
    for rows in ([[0.0, 3.0], [3.0, 1.0]], [[0.0, math.nan], [9.0, math.nan]], [[0.0, math.inf], [9.0, 1.0]]):
        assert _worst(double(rows)) == (0, 1)
    assert _worst(double([[0.0, 1.0], [1.0, 2.0]])) == (1, 1)
    assert _worst(double([2.0, 2.0])) == (0,)


def test_names_of_blocks():
    for m in (3, 5):
        for node in itertools.product(range(4 * m), repeat=2):
            groups = [next(g for g in range(5) if g * m <= v < (g + 1) * m) for v in node]
            parity, block = tuple(g & 1 for g in groups), tuple(g >> 1 for g in groups)
            assert block_name(node, m) == f"class {parity}, block {block}"


def test_steps_between_neighbours_up_to_a_millionth():
    """1 ± 10⁻⁶ steps between neighbours, of both signs, on both axes."""
    for step in (1.0, 0.25, 8.0):
        flat = double([[0.0, 1.0, 0.0], [1.0, 0.0, -1.0]]) * step
        assert _nodes_failure(flat, flat, step, 3) is None
        for node, axis, first in ((np.s_[:, 2], 1, (0, 1)), (np.s_[1, 2], 0, (0, 2))):
            for share, right in ((0.9e-6, True), (-0.9e-6, True), (1.3e-6, False), (-1.3e-6, False)):
                found = flat.clone()
                found[node] += share * step
                failure = _nodes_failure(found, found, step, 3)
                if right:
                    assert failure is None
                else:
                    assert failure.endswith(f"node {first} and the next on axis {axis} do not differ by one step")
        # a millionth of a step beside the function, and no more
        assert _nodes_failure(flat, flat + step * (1 + 0.9e-6), step, 3) is None
        failure = _nodes_failure(flat, flat - step * (1 + 1.3e-6), step, 3)
        assert failure.endswith("node (0, 0) is 1 steps from the function")


def test_one_output_and_short_words():
    design, values, step, network = plane()
    cap = word_cap(design.lookup)
    assert max(design.lengths) <= cap
    long = Design(1, 0, 2 * (cap // 2) + 3, 2)
    if max(long.lengths) > cap:
        failure = block_structure(network, values, step, long).failure
        assert (
            failure
            == f"word 0 of every block has {long.lengths[0]} bits, float64 decodes {cap} ({long.lookup} look-up)"
        )
    last = network[-1]
    none = nn.Sequential(*list(network)[:-1], nn.Linear(last.in_features, 2, dtype=torch.float64))
    assert block_structure(none, values, step, design).failure == "the network has 2 outputs, not one"
    points = [[Fraction(0), Fraction(0)]]
    assert realises_interpolant(none, values, step, points).failure == "the network has 2 outputs, not one"
