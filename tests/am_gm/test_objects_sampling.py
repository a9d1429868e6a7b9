"""Least squares, rates with and without replacement, and simulations."""

import itertools
from fractions import Fraction

import pytest
import torch
from flint import fmpq, fmpq_mat

from constructions.am_gm import (
    LeastSquares,
    am_gm_ratio,
    de_sa_family,
    example_rows,
    expected_product,
    expected_product_exact,
    float_matrices,
    sampling_rates,
    sampling_rates_exact,
    simulate_sampling,
)
from constructions.am_gm import sampling as room
from constructions.errors import BudgetExceeded

TENTH = Fraction(1, 10)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def problem():
    return LeastSquares(example_rows())


EXACT = {
    "kaczmarz": (
        "371707/5400000",
        "6212144345511971/18895680000000000",
        (1.688482e-3, 4.177820e-5, 5.968253e-2, 1.095374e-2),
        (0.20975, 0.13169),
    ),
    "sgd": (
        "32297550241279/45000000000000",
        "45841141067624251/46656000000000000",
        (0.2805690, 0.1451555, 0.4160166, 0.2166381),
        (0.97599, 0.91710),
    ),
}


def matrices(method):
    return problem().kaczmarz() if method == "kaczmarz" else problem().sgd(0.1)


def rationals(method):
    return problem().kaczmarz_exact() if method == "kaczmarz" else problem().sgd_exact(TENTH)


# --- rates ----------------------------------------------------------------------------------------------


@pytest.mark.exact
@pytest.mark.parametrize("method", EXACT)
def test_the_worked_example(method):
    without, repeated, later, ratios = EXACT[method]
    rates = sampling_rates_exact(rationals(method), 3)
    assert (rates.square_without[0], rates.square_with[0]) == (Fraction(without), Fraction(repeated))
    found = [float(v) for v in (*rates.square_without[1:], *rates.square_with[1:])]
    assert found == pytest.approx(later, rel=5e-7)
    A = matrices(method)
    assert [float(am_gm_ratio(A)), float(am_gm_ratio(A, nested=True))] == pytest.approx(ratios, abs=6e-6)


@pytest.mark.parametrize("method", EXACT)
def test_floats_follow_the_rationals(method):
    exact = sampling_rates_exact(rationals(method), 3, [1, -2, Fraction(1, 2)])
    floats = sampling_rates(matrices(method), 3, torch.tensor([1, -2, 0.5]))
    for name in ("mean_without", "mean_with", "square_without", "square_with"):
        assert [float(v) for v in getattr(exact, name)] == pytest.approx(list(getattr(floats, name)), rel=1e-9)


@pytest.mark.exact
def test_epochs_by_all_orders():
    """Two epochs of three rows, all 6·6 orders: the squares of their errors."""
    A = LeastSquares(example_rows()[1:4]).kaczmarz_exact()
    start, orders = fmpq_mat(3, 1, [1, 1, 1]), list(itertools.permutations(range(3)))
    total, mean = fmpq(0), fmpq_mat(3, 1)
    for one, two in itertools.product(orders, repeat=2):
        error = start
        for i in (*one, *two):
            error = A[i] * error
        total, mean = total + (error.transpose() * error)[0, 0], mean + error
    rates = sampling_rates_exact(A, 2)
    assert rates.square_without[1] == Fraction(int(total.p), int(total.q)) / 36
    length = (mean.transpose() * mean)[0, 0]
    assert rates.mean_without[1] == Fraction(int(length.p), int(length.q)) / 36**2


def test_the_mean_is_worse_and_the_mean_square_better():
    halves = [M * fmpq(1, 2) for M in de_sa_family(5, "1/2", exact=True)]
    rates = sampling_rates_exact(halves, 3)
    assert all(a > b for a, b in zip(rates.mean_without, rates.mean_with, strict=True))
    assert all(a < b for a, b in zip(rates.square_without, rates.square_with, strict=True))
    assert rates.mean_without[0] == 5 * Fraction(19, 512) ** 2
    assert rates.mean_with[0] == 5 * Fraction(16, 512) ** 2


def test_exact_expectation_of_the_examples():
    """‖E_wo‖ of Kaczmarz on the example, to the digits that are told."""
    W = float_matrices([expected_product_exact(rationals("kaczmarz"))])[0]
    assert float(torch.linalg.eigvalsh((W + W.T) / 2).abs().max()) == pytest.approx(0.0569244, abs=5e-8)


# --- simulation -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", EXACT)
def test_simulations_surround_the_exact_means(method):
    A, start = matrices(method), torch.ones(3, dtype=torch.float64)
    rates = sampling_rates(A, 2)
    exact = {False: rates.square_without, True: rates.square_with}
    for replacement in (False, True):
        found = simulate_sampling(A, start, 2, 20_000, replacement=replacement, generator=seeded(1))
        low, high = found.interval()
        values = torch.tensor(exact[replacement], dtype=torch.float64)
        assert bool(((low <= values) & (values <= high)).all())
        wrong = torch.tensor(exact[not replacement], dtype=torch.float64)
        assert not bool(((low <= wrong) & (wrong <= high)).any())
        mean = expected_product(A, replacement=replacement) @ start
        assert torch.allclose(found.mean_error[0], mean, atol=0.02)
        again = simulate_sampling(A, start, 2, 20_000, replacement=replacement, generator=seeded(1))
        assert torch.equal(found.mean, again.mean)


def test_orders_are_permutations_and_draws_are_not():
    """Projections onto the axes of R³: an order kills every axis, a draw with repetition mostly not."""
    A = torch.eye(3, dtype=torch.float64) - torch.diag_embed(torch.eye(3, dtype=torch.float64))
    start = torch.ones(3, dtype=torch.float64)
    orders = simulate_sampling(A, start, 1, 500, replacement=False, generator=seeded())
    assert orders.mean.tolist() == [0]
    draws = simulate_sampling(A, start, 1, 20_000, replacement=True, generator=seeded())
    low, high = draws.interval()
    assert float(low) < 3 * (2 / 3) ** 3 < float(high)


def test_every_order_is_as_likely():
    """6 orders, 12,000 runs."""
    rows = room._letters(12_000, 3, False, seeded()).tolist()
    counts = [sum(row == list(order) for row in rows) for order in {tuple(row) for row in rows}]
    assert len(counts) == 6
    assert sum((c - 2000) ** 2 / 2000 for c in counts) < 20.5  # 99.9 % of chi squared, 5 degrees of freedom


def test_chunks_and_confidence(monkeypatch):
    A, start = matrices("sgd"), torch.ones(3, dtype=torch.float64)
    monkeypatch.setattr(room, "CHUNK_NUMBERS", 90)
    found = simulate_sampling(A, start, 1, 4003, replacement=False, generator=seeded())
    narrow, wide = found.interval(0.9), found.interval(0.999)
    assert float(wide[0]) < float(narrow[0]) < float(found.mean) < float(narrow[1]) < float(wide[1])
    exact = sampling_rates(A, 1).square_without[0]
    assert float(wide[0]) < exact < float(wide[1])
    for bad in (0.0, 1.0, float("nan"), 1):
        with pytest.raises(ValueError, match="`confidence` must be a float between 0 and 1"):
            found.interval(bad)


def test_the_simulation_on_a_device(device):
    A, start = matrices("sgd"), torch.ones(3, dtype=torch.float64)
    there = simulate_sampling(A.to(device), start.to(device), 2, 50, replacement=False, generator=seeded())
    here = simulate_sampling(A, start, 2, 50, replacement=False, generator=seeded())
    assert torch.allclose(there.mean.cpu(), here.mean, rtol=1e-12)


# --- least squares --------------------------------------------------------------------------------------


def test_a_step_is_what_the_matrices_say():
    """Iterates of x ← x − γ(a'x − b)a from 0: their error is the product of the matrices times that of the start."""
    rows, solution = example_rows(), torch.tensor([2.0, -1, 3], dtype=torch.float64)
    system = LeastSquares(rows, rows @ solution)
    assert torch.allclose(system.solution, solution)
    for A, step in ((system.sgd(0.1), lambda a: 0.1), (system.kaczmarz(), lambda a: 1 / (a @ a))):
        x = torch.zeros(3, dtype=torch.float64)
        error = -solution
        for i, (a, b) in enumerate(zip(system.rows, system.targets, strict=True)):
            x = x - step(a) * (a @ x - b) * a
            error = A[i] @ error
        assert torch.allclose(x - solution, error, rtol=1e-12)


def test_exact_and_float_matrices_agree():
    assert torch.allclose(float_matrices(problem().kaczmarz_exact()), problem().kaczmarz(), atol=1e-15)
    assert torch.allclose(float_matrices(problem().sgd_exact(TENTH)), problem().sgd(TENTH), atol=1e-15)


def test_arguments_of_least_squares():
    rows = example_rows()
    with pytest.raises(ValueError, match=r"`step` must be at most 1/\|a_i\|².*row 3 has step·\|a_i\|² = 1\.2"):
        problem().sgd(0.4)
    assert problem().sgd(0.4, allow_indefinite=True).shape == (6, 3, 3)
    assert len(problem().sgd_exact(Fraction(1, 5))) == 6
    with pytest.raises(ValueError, match="row 4 has"):
        problem().sgd_exact(Fraction(1, 5) + Fraction(1, 10**30))
    rows[2] = 0
    with pytest.raises(ValueError, match="`rows` must have no row of zeros for Kaczmarz, row 2 is"):
        LeastSquares(rows).kaczmarz()
    with pytest.raises(ValueError, match="`targets` must be attained by some x, the least residual is"):
        LeastSquares(rows, torch.ones(6))
    with pytest.raises(ValueError, match="`targets` must be 6 finite numbers"):
        LeastSquares(rows, torch.ones(5))
    with pytest.raises(ValueError, match="`rows` must be finite, row 0"):
        LeastSquares(rows * float("nan"))
    with pytest.raises(ValueError, match="`step` must be a positive finite number, got 0"):
        problem().sgd(0)


def test_arguments_of_sampling():
    A, start = matrices("sgd"), torch.ones(3, dtype=torch.float64)
    skew = A.clone()
    skew[0, 0, 1] += 1
    with pytest.raises(ValueError, match="`A` must be Hermitian, the largest asymmetry of matrix 0 is 1"):
        sampling_rates(skew, 1)
    with pytest.raises(ValueError, match="`A` must hold symmetric matrices"):
        sampling_rates_exact([fmpq_mat(2, 2, [1, 2, 0, 1])], 1)
    with pytest.raises(ValueError, match="`e0` must be 3 finite numbers"):
        sampling_rates(A, 1, torch.ones(2))
    with pytest.raises(ValueError, match="`e0` must be 3 integers or Fractions"):
        sampling_rates_exact(rationals("sgd"), 1, [1.0, 1, 1])
    with pytest.raises(ValueError, match="`epochs` must be an integer between 1 and 10000, got 0"):
        sampling_rates(A, 0)
    with pytest.raises(ValueError, match="`runs` must be an integer at least 2"):
        simulate_sampling(A, start, 1, 1, replacement=False, generator=seeded())
    with pytest.raises(BudgetExceeded, match="`runs` × `epochs`"):
        simulate_sampling(A, start, 1000, 10**9, replacement=False, generator=seeded())
