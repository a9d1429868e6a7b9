"""Learners of band-limited functions: what they recover, what they refuse, and the same in rationals."""

import math
from fractions import Fraction

import pytest
import torch

from constructions.scaling_laws import nyquist
from constructions.scaling_laws.nyquist import (
    NyquistLearner,
    circle_basis,
    exact_recovery,
    periodic_spline,
    samples_needed,
    trigonometric_basis,
)

NODES = [Fraction(t) for t in ("-5", "-2", "-1", "-1/3", "0", "1/2", "3/2", "4")]
COEFFICIENTS = tuple(Fraction(c) for c in ("3", "-1", "2", "1/2", "0", "-4", "5/3"))


def drawn(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def grid(side, dimension, seed=0):
    """A grid, its points in a random order."""
    axis = torch.arange(side, dtype=torch.float64) / side
    points = torch.cartesian_prod(*[axis] * dimension).view(-1, dimension)
    return points[torch.randperm(len(points), generator=torch.Generator().manual_seed(seed))]


@pytest.mark.parametrize(("bandwidth", "dimension"), [(0, 1), (3, 1), (10, 1), (2, 2), (1, 3)])
@pytest.mark.parametrize("more", [0, 1, 4])
def test_a_grid_gives_the_function_back(bandwidth, dimension, more):
    size = samples_needed(bandwidth, dimension)
    truth = drawn(size, 2) - 0.5
    x, elsewhere = grid(2 * bandwidth + 1 + more, dimension), drawn(50, dimension, seed=1)
    learner = NyquistLearner(bandwidth, dimension).fit(x, trigonometric_basis(x, bandwidth) @ truth)
    assert torch.allclose(learner.coefficients, truth, atol=1e-13)
    assert torch.allclose(learner.predict(elsewhere), trigonometric_basis(elsewhere, bandwidth) @ truth, atol=1e-12)
    assert (learner.condition, learner.variance_factor) == (1.0, size / len(x))
    assert learner.informative == (more > 0)


@pytest.mark.parametrize(("bandwidth", "dimension"), [(3, 1), (2, 2), (1, 3)])
def test_random_nodes_give_it_back_as_well(bandwidth, dimension):
    size = samples_needed(bandwidth, dimension)
    truth, x, elsewhere = drawn(size), drawn(size + 3, dimension, seed=2), drawn(50, dimension, seed=3)
    learner = NyquistLearner(bandwidth, dimension).fit(x, trigonometric_basis(x, bandwidth) @ truth)
    values = learner.predict(elsewhere)
    assert values.shape == (50,)
    assert torch.allclose(values, trigonometric_basis(elsewhere, bandwidth) @ truth, atol=1e-13 * learner.condition)
    basis = trigonometric_basis(x, bandwidth)
    assert learner.variance_factor == pytest.approx(float((basis.t() @ basis).inverse().trace()), rel=1e-6)


def test_the_transform_of_a_grid_and_least_squares_agree():
    x, y = grid(9, 2), drawn(81, seed=5)
    by_transform = NyquistLearner(2, 2).fit(x, y)
    moved = NyquistLearner(2, 2).fit(x + 1e-6, y)  # off the grid: least squares
    assert moved.condition > 1
    assert torch.allclose(by_transform.coefficients, moved.coefficients, atol=1e-4)


def test_a_period_more_is_the_same_point():
    x, y = drawn(7, 1), drawn(7, seed=1)
    first, second = NyquistLearner(3).fit(x, y), NyquistLearner(3).fit(x + 2, y)
    assert torch.allclose(first.coefficients, second.coefficients, atol=1e-8 * first.condition)


def test_the_basis_is_orthonormal():
    x = grid(32, 2)
    basis = trigonometric_basis(x, 3)
    assert torch.allclose(basis.t() @ basis / len(x), torch.eye(49, dtype=torch.float64), atol=1e-13)
    assert torch.allclose(basis.square().sum(1), torch.full((1024,), 49.0, dtype=torch.float64))


def test_one_degree_less_is_not_enough():
    x = grid(9, 1)
    truth = drawn(7) + 1
    learner = NyquistLearner(2).fit(x, trigonometric_basis(x, 3) @ truth)
    elsewhere = drawn(20, 1, seed=1)
    assert float((learner.predict(elsewhere) - trigonometric_basis(elsewhere, 3) @ truth).abs().max()) > 0.5


def test_an_unknown_bandwidth_is_found_from_one_sample_more():
    truth = drawn(7) + 1
    for n, informative in ((7, False), (8, True), (12, True)):
        x = drawn(n, 1, seed=4)
        learner = NyquistLearner(5, unknown=True).fit(x, trigonometric_basis(x, 3) @ truth)
        assert (learner.degree, learner.informative) == (3, informative)


def test_samples_of_no_such_function_are_refused():
    x, y = drawn(12, 1, seed=4), drawn(12, seed=9)
    with pytest.raises(ValueError, match=r"`y` must be samples of a function of bandwidth 5 at most, these 12 are not"):
        NyquistLearner(5, unknown=True).fit(x, y)


def test_fewer_than_d_samples_are_refused_with_the_number_needed():
    with pytest.raises(ValueError, match=r"`x` must be 25 points or more at bandwidth 2, got 24"):
        NyquistLearner(2, 2).fit(drawn(24, 2), drawn(24))


def test_a_doubled_node_is_refused():
    x = grid(7, 1)
    x[1] = x[0]
    with pytest.raises(ValueError, match="`x` must determine a function of bandwidth 3, these 7 points do not"):
        NyquistLearner(3).fit(x, drawn(7))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: NyquistLearner(-1), "`bandwidth` must be an integer between 0 and"),
        (lambda: NyquistLearner(2, 0), "`dimension` must be an integer between 1 and 64"),
        (lambda: NyquistLearner(10, 8), "`bandwidth` must leave at most 65536 functions"),
        (lambda: NyquistLearner(2, unknown=1), "`unknown` must be True or False"),
        (lambda: NyquistLearner(2).predict(drawn(3, 1)), "`fit` must come before `predict`"),
        (lambda: NyquistLearner(2).fit(drawn(9, 2), drawn(9)), r"`x` must have shape \(n, 1\), got \(9, 2\)"),
        (lambda: NyquistLearner(2).fit(drawn(9, 1), drawn(8)), r"`y` must be finite of shape \(9,\)"),
        (lambda: NyquistLearner(2).fit(drawn(9, 1), drawn(9) / 0), "`y` must be finite"),
        (lambda: exact_recovery(1, [0.5], [1]), "`nodes` must be rational numbers"),
        (lambda: exact_recovery(1, [1, 2], [1]), "`values` must be as many as `nodes`, 2, got 1"),
        (lambda: periodic_spline(drawn(2, 2), drawn(3)), "`values` and `x` must be one row each"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises((ValueError, TypeError), match=message):
        call()


def test_predictions_come_in_chunks(monkeypatch):
    x, y = grid(9, 1), drawn(9)
    learner = NyquistLearner(3).fit(x, y)
    whole = learner.predict(drawn(40, 1))
    monkeypatch.setattr(nyquist, "MOST_NUMBERS", 30)
    assert torch.allclose(learner.predict(drawn(40, 1)), whole, atol=1e-14)


# --- splines ----------------------------------------------------------------------------------------------


def test_a_spline_interpolates_and_wraps():
    values = torch.tensor([1.0, 3.0, 0.0, 2.0], dtype=torch.float64)
    x = torch.tensor([0.0, 0.25, 0.5, 0.75, 1.0, -0.25, 0.125, 0.875, 1 - 2**-53], dtype=torch.float64)
    expected = [1.0, 3.0, 0.0, 2.0, 1.0, 2.0, 2.0, 1.5, 1.0]
    assert torch.allclose(periodic_spline(values, x), torch.tensor(expected, dtype=torch.float64))


# --- rationals --------------------------------------------------------------------------------------------


def samples(coefficients, nodes):
    bandwidth = len(coefficients) // 2
    return [sum(a * b for a, b in zip(circle_basis(bandwidth, t), coefficients, strict=True)) for t in nodes]


def test_the_worked_example():
    values = samples(COEFFICIENTS, NODES)
    for n in (8, 7):
        assert exact_recovery(3, NODES[:n], values[:n]).coefficients == COEFFICIENTS
    six = exact_recovery(3, NODES[:6], values[:6])
    assert (six.rank, six.coefficients, six.kernel) == (6, None, ((96, -105, 145, -48, -114, 57, 1),))
    five = exact_recovery(3, NODES[:5], values[:5])
    assert (five.rank, len(five.kernel), five.consistent) == (5, 2, True)
    for n in (6, 7, 8):
        assert [exact_recovery(k, NODES[:n], values[:n]).consistent for k in range(4)] == [False, False, False, True]


def test_the_circle_basis_is_cos_and_sin():
    for t in (Fraction(0), Fraction(1, 3), Fraction(-7, 2)):
        angle = 2 * math.atan(t)
        expected = [1.0, *(f(k * angle) for k in (1, 2, 3) for f in (math.cos, math.sin))]
        assert [float(v) for v in circle_basis(3, t)] == pytest.approx(expected, abs=1e-14)


def test_one_changed_sample_is_inconsistent():
    values = samples(COEFFICIENTS, NODES)
    values[2] += 1
    result = exact_recovery(3, NODES, values)
    assert (result.consistent, result.coefficients) == (False, None)
