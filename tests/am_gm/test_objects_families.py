"""Matrices at which the inequality fails, random ones, and the search for others."""

from fractions import Fraction

import pytest
import torch
from flint import fmpq, fmpq_mat

from constructions.am_gm import (
    ENSEMBLES,
    am_gm_ratio,
    de_sa_family,
    expected_product,
    expected_product_exact,
    float_matrices,
    integer_counterexample,
    largest_c,
    random_matrices,
    worst_case_search,
)
from constructions.am_gm.expectation import norm, require_positive
from constructions.errors import BudgetExceeded


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.exact
@pytest.mark.parametrize(
    ("n", "c", "values", "other"),
    [
        (2, "1", "1 0", "0"),
        (3, "1/2", "1 3/4 1/4", "5/8"),
        (4, "1/2", "1 3/4 1/4 -7/16", "25/48"),
        (5, "1/2", "1 3/4 1/4 -7/16 -19/16", "29/64"),
        (6, "4/9", "1 65/81 11/27 -959/6561 -5119/6561 -736255/531441", "1389509/2657205"),
        (7, "2/5", "1 21/25 13/25 41/625 -59/125 -15939/15625 -23323/15625", "27401/46875"),
        (
            8,
            "3/8",
            "1 55/64 37/64 721/4096 -1259/4096 -213785/262144 -335663/262144 -27358559/16777216",
            "73304737/117440512",
        ),
    ],
)
def test_de_sa(n, c, values, other):
    A = de_sa_family(n, c, exact=True)
    ones = fmpq_mat(n, 1, [1] * n)
    identity = fmpq_mat(n, n, [int(i == j) for i in range(n) for j in range(n)])
    assert sum(A, start=fmpq_mat(n, n)) == n * identity
    for k, value in enumerate(values.split(), 1):
        E = expected_product_exact(A, k)
        assert E * ones == ones * fmpq(*Fraction(value).as_integer_ratio())
        assert all(E[i, j] == E[0, 1] and E[i, i] == E[0, 0] for i in range(n) for j in range(n) if i != j)
    assert E[0, 0] - E[0, 1] == fmpq(*Fraction(other).as_integer_ratio())
    if n == 5:
        assert (E[0, 0], E[0, 1]) == (fmpq(1, 8), fmpq(-21, 64))


def test_the_largest_c():
    assert [str(largest_c(n)) for n in (2, 3, 4, 5, 10, 17)] == ["1", "7/10", "57/100", "1/2", "33/100", "1/4"]
    for n in range(2, 30):
        c = largest_c(n)
        assert c**2 * (n - 1) <= 1 < (c + Fraction(1, 100)) ** 2 * (n - 1)
        assert torch.equal(de_sa_family(n), de_sa_family(n, c))


def test_ratios_in_floats():
    assert float(am_gm_ratio(de_sa_family(5, "1/2"))) == pytest.approx(19 / 16, rel=1e-12)
    for n, c, ratio in ((5, "1/2", 0.289148), (6, "4/9", 0.342278), (7, "2/5", 0.366056), (8, "3/8", 0.377877)):
        assert float(am_gm_ratio(de_sa_family(n, c), nested=True)) == pytest.approx(ratio, abs=5e-7)
    assert float(am_gm_ratio(float_matrices(integer_counterexample()))) == pytest.approx(1.0109474632, abs=1e-9)
    halved = de_sa_family(5, "1/2") / 2
    means = [expected_product(halved, replacement=r) for r in (False, True)]
    assert [float(norm(M)) for M in means] == pytest.approx([19 / 512, 16 / 512], rel=1e-12)


@pytest.mark.parametrize("ensemble", ENSEMBLES)
def test_ensembles(ensemble):
    A = random_matrices(ensemble, 3, 4, count=5000, generator=seeded())
    assert A.shape == (5000, 3, 4, 4)
    require_positive("A", A)
    assert torch.equal(A, random_matrices(ensemble, 3, 4, count=5000, generator=seeded()))
    trace = A.diagonal(dim1=-2, dim2=-1).sum(-1)
    rank = int(torch.linalg.matrix_rank(A[0, 0]))
    mean = {"rank_one": 4, "wishart": 4, "kaczmarz": 3, "heavy_tails": 1, "near_collinear": 1}[ensemble]
    assert float(trace.mean()) == pytest.approx(mean, abs=0.15)
    assert rank == {"wishart": 4, "kaczmarz": 3}.get(ensemble, 1)
    assert bool((am_gm_ratio(A[:200]) <= 1 + 1e-9).all())


def test_the_search_finds_what_is_known():
    """At n = 4 nothing beyond 1, at n = 5 no more than the weak certificate; the ratio is that of the matrices."""
    for n, least, most in ((4, 0.85, 1), (5, 1, 1.2055)):
        ratio, A = worst_case_search(n, n, n, steps=300, restarts=6, generator=seeded())
        assert least < float(ratio) <= most + 1e-9
        assert float(am_gm_ratio(A)) == pytest.approx(float(ratio), rel=1e-9)
        assert float(torch.linalg.eigvalsh(A.mean(0))[-1]) == pytest.approx(1)
    ratio, _ = worst_case_search(3, 2, 3, nested=True, steps=50, restarts=4, generator=seeded())
    assert 0.5 < float(ratio) <= 1 + 1e-9
    ratio, _ = worst_case_search(3, 2, 3, side="upper", steps=50, restarts=4, generator=seeded())
    assert 0.9 < float(ratio) <= 1 + 1e-9


def test_arguments_of_the_families():
    with pytest.raises(ValueError, match=r"`c` must satisfy c² ≤ 1/\(n−1\) = 1/4, got '51/100'"):
        de_sa_family(5, "51/100")
    for bad in ("half", "1/0", "nan"):
        with pytest.raises(ValueError, match="`c` must be a rational number"):
            de_sa_family(5, bad)
    for bad in (0.5, True, None.__class__):
        with pytest.raises(TypeError, match="`c` must be a Fraction"):
            de_sa_family(5, bad)
    with pytest.raises(ValueError, match="`n` must be an integer between 2 and 256, got 1"):
        de_sa_family(1)
    with pytest.raises(ValueError, match="`ensemble` must be one of rank_one"):
        random_matrices("gaussian", 2, 2, generator=seeded())
    with pytest.raises(BudgetExceeded, match="`count` tuples"):
        random_matrices("wishart", 20, 1000, count=1000, generator=seeded())
    with pytest.raises(ValueError, match="`A` must hold square matrices of one size"):
        expected_product_exact([fmpq_mat(2, 2), fmpq_mat(3, 3)])
    with pytest.raises(ValueError, match="`n` must be an integer between 1 and 16, got 17"):
        expected_product_exact([fmpq_mat(1, 1)] * 17)
    for bad in ([], [1], fmpq_mat(2, 2)):
        with pytest.raises(TypeError, match=r"`A` must be a list of flint\.fmpq_mat"):
            expected_product_exact(bad)
