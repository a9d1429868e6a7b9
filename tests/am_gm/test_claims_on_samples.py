"""Claims about random matrices and least squares: undecided where the numbers are broken on purpose."""

import math
from fractions import Fraction

import pytest
import torch
from flint import fmpq_mat

from constructions.am_gm import (
    LeastSquares,
    de_sa_family,
    example_rows,
    expected_product_exact,
    random_matrices,
    sampling_rates_exact,
    simulate_sampling,
)
from tests.am_gm.test_claims import undecided, verdict
from theory.am_gm.bounds import D, N
from theory.am_gm.reproductions import random_matrices as samples
from theory.am_gm.reproductions import sampling
from theory.am_gm.reproductions.sampling import within
from theory.claim import Status

# --- Theorem 6 ------------------------------------------------------------------------------------------


def test_a_mean_that_is_too_small(monkeypatch):
    honest = samples.mean_with
    monkeypatch.setattr(samples, "mean_with", lambda k, law: honest(k, law) - 1 / N**k)
    undecided("random_iid", "kaczmarz, k = 2", "has a negative coefficient")


def test_a_nested_mean_that_is_too_small(monkeypatch):
    monkeypatch.setattr(samples, "square_with", lambda law: (D + 2) ** 2 - 1 / N)
    undecided("random_iid", "wishart, nested")


def test_wrong_pairings(monkeypatch):
    honest = samples.trace_moment
    monkeypatch.setattr(samples, "trace_moment", lambda k: honest(k) + int(k == 3))
    undecided("random_iid", "w_3(n, 1) is not the moment of chi-square")


def test_a_law_whose_mean_is_another(monkeypatch):
    monkeypatch.setattr(samples, "de_sa_family", lambda n, exact: de_sa_family(n, exact=exact)[:4] * 2)
    undecided("random_iid", "do not average to (E A)^n = I")


def test_signs_are_judged_for_integers():
    assert samples._nonnegative((D - 1) * (D - 2) / N)
    assert not samples._nonnegative((D - 1) * (D - 3) / N)
    assert not samples._nonnegative(-1 / (N + D))
    assert not samples._nonnegative(1 - 2 / N)


def test_theorem_six_on_laws_of_three_matrices():
    """Every sample of a law on three rational matrices: E E_wo = (E A)^k, and Jensen at the vector of the largest
    eigenvalue, which is rational here."""
    A = [fmpq_mat(2, 2, rows) for rows in ([3, 1, 1, 3], [2, -1, -1, 2], [1, 0, 0, 1])]
    v = fmpq_mat(2, 1, [1, 1])
    for n, k in ((2, 2), (3, 2), (3, 3)):
        without, with_ = fmpq_mat(2, 2), fmpq_mat(2, 2)
        for i in range(3**n):
            sample = [A[i // 3**j % 3] for j in range(n)]
            without += expected_product_exact(sample, k)
            with_ += expected_product_exact(sample, k, replacement=True)
        mean = (A[0] + A[1] + A[2]) / 3
        assert without / 3**n == mean**k
        assert mean * v == v * 2  # the eigenvalues of the mean are 2 and 2
        assert (v.transpose() * with_ * v)[0, 0] / 3**n >= 2 * 2**k


# --- samples --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [1.1, math.nan, math.inf])
def test_ratios_that_would_refute(monkeypatch, value):
    monkeypatch.setattr(samples, "am_gm_ratio", lambda A, k, nested: A.new_full(A.shape[:1], value))
    undecided("mean_square", "look at it in rationals")


def test_a_search_that_would_refute(monkeypatch):
    monkeypatch.setattr(
        samples, "worst_case_search", lambda n, d, k, **options: (torch.tensor(1.001), torch.zeros(n, d, d))
    )
    undecided("mean_square", "a ratio of 1.001")


def test_means_of_norms_the_other_way_round(monkeypatch):
    honest = samples.norm_means
    monkeypatch.setattr(samples, "norm_means", lambda A, k: honest(A, k)[::-1])
    undecided("norms_inside", "was met")
    monkeypatch.setattr(samples, "norm_means", lambda A, k: (A.new_full(A.shape[:1], math.nan),) * 2)
    undecided("norms_inside", "nan")


def test_means_of_norms_one_by_one():
    import itertools

    A = random_matrices("wishart", 3, 2, count=2, generator=torch.Generator().manual_seed(5))
    for k in (2, 3):
        distinct, every = samples.norm_means(A, k)
        for b in range(2):
            norms = {
                word: float(torch.linalg.matrix_norm(torch.linalg.multi_dot([A[b, i] for i in word]), ord=2))
                for word in itertools.product(range(3), repeat=k)
            }
            other = [v for word, v in norms.items() if len(set(word)) == k]
            assert float(every[b]) == pytest.approx(sum(norms.values()) / 3**k, rel=1e-12)
            assert float(distinct[b]) == pytest.approx(sum(other) / math.perm(3, k), rel=1e-12)


# --- least squares --------------------------------------------------------------------------------------


def test_repetition_passed_off_as_a_fresh_order(monkeypatch):
    """Draws with replacement leave the interval of the exact mean without, and conversely."""
    for lie, place in ((True, "without"), (False, "with")):
        monkeypatch.setattr(
            sampling,
            "simulate_sampling",
            lambda A, e0, epochs, runs, *, replacement, generator, lie=lie: simulate_sampling(
                A, e0, epochs, runs, replacement=lie, generator=generator
            ),
        )
        undecided("least_squares", f"kaczmarz, {place} replacement: after epoch 1 the exact mean")


def test_one_order_for_all_epochs_is_noticed(monkeypatch):
    """A fixed order instead of a fresh one."""

    def fixed(A, e0, epochs, runs, *, replacement, generator):
        found = simulate_sampling(A, e0, epochs, runs, replacement=replacement, generator=generator)
        e = e0
        for M in A:
            e = M @ e
        if not replacement:
            found.mean[0] = e.square().sum()
        return found

    monkeypatch.setattr(sampling, "simulate_sampling", fixed)
    undecided("least_squares", "kaczmarz, without replacement: after epoch 1")


def test_rates_of_other_matrices_are_noticed(monkeypatch):
    def other(A, epochs):
        return sampling_rates_exact([*A[:-1], A[0]], epochs)

    monkeypatch.setattr(sampling, "sampling_rates_exact", other)
    assert verdict("least_squares").status is Status.INCONCLUSIVE


def test_intervals():
    A = LeastSquares(example_rows()).kaczmarz()
    generator = torch.Generator().manual_seed(0)
    found = simulate_sampling(A, torch.ones(3, dtype=torch.float64), 2, 50, replacement=True, generator=generator)
    low, high = (end.tolist() for end in found.interval(0.99))
    inside = tuple(Fraction((a + b) / 2) for a, b in zip(low, high, strict=True))
    assert within(found, inside, 0.99).holds
    assert "2 epochs were simulated, not 1" in within(found, inside[:1], 0.99).failure
    assert "after epoch 2" in within(found, (inside[0], Fraction(2 * high[1])), 0.99).failure
    found.mean[0] = math.nan
    assert "after epoch 1" in within(found, inside, 0.99).failure


def test_other_matrices_are_not_at_odds(monkeypatch):
    monkeypatch.setattr(sampling, "de_sa_family", lambda n, c, exact: de_sa_family(n, Fraction(2, 5), exact=exact))
    undecided("mean_against_square", "the mean without replacement")
    monkeypatch.setattr(sampling, "de_sa_family", lambda n, c, exact: [M * 2 for M in de_sa_family(n, c, exact=exact)])
    undecided("mean_against_square", "C_0 ⪯ I")


def test_a_mean_square_that_is_not_smaller(monkeypatch):
    honest = sampling.de_sa_square
    monkeypatch.setattr(sampling, "de_sa_square", lambda n, c, m, replacement: honest(n, c, m, replacement=True))
    undecided("mean_against_square", "is not below")
