"""Super-expressive neurons as modules: margins, depth and width, and what they refuse."""

from fractions import Fraction

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from constructions.super_expressive import EUAF, FAMILIES, network
from theory.super_expressive.checkers import exact_labels


@pytest.mark.law
@given(labels=st.lists(st.integers(0, 1), min_size=1, max_size=200))
def test_euaf_margin_is_above_a_sixth(labels):
    """Law: for every k and labeling the EUAF margin exceeds 1/6."""
    found, margin = exact_labels("euaf", FAMILIES["euaf"].weight(labels), len(labels))
    assert [int(v) for v in found] == labels
    assert margin > Fraction(1, 6)


@pytest.mark.law
@pytest.mark.parametrize("name", ["euaf", "sine"])
@given(labels=st.lists(st.integers(0, 1), min_size=1, max_size=20), depth=st.integers(1, 4), width=st.integers(1, 3))
def test_modules_of_any_depth_and_width_realise_the_labels(name, labels, depth, width):
    """Two truths: the float64 module and the integers, while float64 can hold the weight."""
    x = torch.tensor([[float(p)] for p in FAMILIES[name].points(len(labels))], dtype=torch.float64)
    y = network(name, labels, depth=depth, width=width)(x)[:, 0]
    assert (y > 0).int().tolist() == labels


def test_euaf_is_a_triangle_wave_and_the_identity_on_the_unit_interval():
    x = torch.linspace(0, 1, 101, dtype=torch.float64)
    act = EUAF()
    assert torch.allclose(act(x), x, atol=1e-15)
    assert torch.allclose(act(x + 2), x, atol=1e-14)
    assert torch.allclose(act(1 + x), 1 - x, atol=1e-14)
    assert float(act(torch.tensor(-1.0))) == -0.5


def test_bad_input():
    with pytest.raises(ValueError, match="`labels`"):
        FAMILIES["euaf"].weight([0, 2])
    with pytest.raises(ValueError, match="`labels`"):
        network("sine", [])
    with pytest.raises(ValueError, match="`name`"):
        network("relu", [1])
    with pytest.raises(ValueError, match="`depth`"):
        network("euaf", [1], depth=0)
    with pytest.raises(ValueError, match="`k`"):
        FAMILIES["sine"].points(0)
