"""The law: the worked example to its digits, limits, needed sizes, and what it refuses."""

import math

import pytest
import torch
from scipy.optimize import minimize

from constructions.scaling_laws import ScalingLaw
from constructions.scaling_laws.points import distinct_rows

LAW = ScalingLaw((8.0, 4.0), (0.5, 1.0), 0.02, chance=1.0)
TABLE = {
    (64, 4): (2.02, 0.896195), (64, 16): (1.27, 0.785674), (64, 64): (1.0825, 0.734543),
    (256, 4): (1.52, 0.835417), (256, 16): (0.77, 0.610094), (256, 64): (0.5825, 0.503334),
    (1024, 4): (1.27, 0.785674), (1024, 16): (0.52, 0.461353), (1024, 64): (0.3325, 0.315516),
}  # fmt: skip


def sizes_of(*rows):
    return torch.tensor(rows, dtype=torch.float64)


@pytest.mark.parametrize("at", TABLE)
def test_the_worked_example(at):
    u, error = TABLE[at]
    assert float(LAW.u(sizes_of(at))) == pytest.approx(u, abs=1e-12)
    assert float(LAW(sizes_of(at))) == pytest.approx(error, abs=5e-7)


def test_needed_sizes_of_the_worked_example():
    assert LAW.floor == pytest.approx(0.02 / math.sqrt(1.0004), rel=1e-14)
    assert LAW.inverse(0.1) == pytest.approx(0.1005038, abs=5e-8)
    assert LAW.needed(0, 0.1, {1: 64.0}) == pytest.approx(197447.9, abs=0.05)
    n, m = LAW.cheapest(0.1)
    assert (n, m) == (pytest.approx(22219.28, abs=0.005), pytest.approx(149.0613, abs=5e-5))
    assert n * m == pytest.approx(3.312e6, rel=1e-3)
    assert LAW.needed(0, 0.02, {1: 64.0}) == math.inf
    assert LAW.needed(0, LAW.floor, {1: math.inf}) == math.inf
    assert LAW.cheapest(LAW.floor) == (math.inf, math.inf)


def test_needed_sizes_have_the_error():
    for axis, others in ((0, {1: 300.0}), (1, {0: 50000.0})):
        size = LAW.needed(axis, 0.1, others)
        at = [size, others[1]] if axis == 0 else [others[0], size]
        assert float(LAW(sizes_of(at))) == pytest.approx(0.1, rel=1e-12)


@pytest.mark.parametrize("chance", [1.0, 3.0, math.inf])
def test_the_cheapest_sizes_are_a_minimum(chance):
    """Against a general optimiser along the level line, three axes of different exponents."""
    law = ScalingLaw((3.0, 7.0, 2.0), (0.3, 0.9, 0.5), 0.01, chance)
    found = law.cheapest(0.2)
    assert float(law(sizes_of(found))) == pytest.approx(0.2, rel=1e-12)

    def product(logs):
        size = law.needed(0, 0.2, {1: math.exp(logs[0]), 2: math.exp(logs[1])})
        return math.log(size) + sum(logs) if size < math.inf else 1e9

    start = [math.log(found[1]) + 0.5, math.log(found[2]) - 0.1]
    best = minimize(product, start, method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-13})
    assert best.fun == pytest.approx(sum(map(math.log, found)), rel=1e-9)


def test_limits():
    assert float(LAW(sizes_of([math.inf, math.inf]))) == pytest.approx(LAW.floor, rel=1e-15)
    steep = ScalingLaw((1e300,), (2.0,), chance=1.0)
    assert steep(sizes_of([1e-3], [1e-200], [math.inf])).tolist() == [1.0, 1.0, 0.0]
    n = torch.logspace(0, 9, 200, dtype=torch.float64)
    assert bool((LAW(torch.stack([n, n], 1)).diff() < 0).all())


@pytest.mark.parametrize("error", [1e-9, 0.3, 0.999999])
def test_inverse(error):
    u = torch.tensor(LAW.inverse(error), dtype=torch.float64)
    assert float(u / torch.sqrt(1 + u * u)) == pytest.approx(error, rel=1e-12)
    assert ScalingLaw((1.0,), (1.0,)).inverse(error) == error


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda: ScalingLaw((1.0,), (1.0, 2.0)), "`coefficients` and `exponents` must have one entry an axis, got 1"),
        (lambda: ScalingLaw((0.0,), (1.0,)), "`coefficients` must be a positive finite number, got 0.0"),
        (lambda: ScalingLaw((1.0,), (math.nan,)), "`exponents` must be a positive finite number, got nan"),
        (lambda: ScalingLaw((1.0,), (1.0,), -1.0), "`constant` must be a non-negative finite number, got -1.0"),
        (lambda: ScalingLaw((1.0,), (1.0,), 0.0, math.nan), "`chance` must be a positive number"),
        (lambda: LAW.inverse(1.0), "`error` must be below chance = 1, got 1"),
        (lambda: LAW.needed(0, 0.1), "`others` must have a size for every axis but 0, of 2, got None"),
        (lambda: LAW.needed(0, 0.1, {1: -3}), "`others` must be positive sizes, got -3"),
        (lambda: LAW.needed(2, 0.1, {1: 3}), "`axis` must be an integer between 0 and 1, got 2"),
        (lambda: LAW(sizes_of([1.0, -1.0])), "`sizes` must be positive numbers, got -1"),
        (lambda: LAW(sizes_of([1.0, math.nan])), "`sizes` must be positive numbers, got nan"),
        (lambda: LAW(sizes_of([1.0])), r"`sizes` must have shape \(N, 2\), got \(1, 1\)"),
    ],
)
def test_what_it_refuses(change, words):
    with pytest.raises(ValueError, match=words):
        change()


def test_rows_are_told_apart_as_torch_does():
    rows = torch.randint(3, (500, 4), generator=torch.Generator().manual_seed(0)).double()
    expected = torch.unique(rows, dim=0, return_inverse=True)
    for ours, theirs in zip(distinct_rows(rows), expected, strict=True):
        assert torch.equal(ours, theirs)
