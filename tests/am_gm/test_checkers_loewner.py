"""Exact positive semidefiniteness, Loewner order and norms; the inequality at given matrices."""

import itertools
import math
from fractions import Fraction

import pytest
import torch
from flint import fmpq, fmpq_mat
from hypothesis import given
from hypothesis import strategies as st

from constructions.am_gm import (
    de_sa_family,
    exact_matrices,
    expected_product_exact,
    float_matrices,
    integer_counterexample,
    random_matrices,
)
from theory.am_gm.checkers import (
    compare_means,
    exact_parts,
    lifted,
    loewner_le,
    norm_ge,
    norm_le,
    positive_semidefinite,
    tuples,
)
from theory.am_gm.checkers.elimination import positive_rank


def matrix(rows):
    return fmpq_mat(len(rows), len(rows), [fmpq(v) for row in rows for v in row])


def minors_say(rows):
    """Positive semidefinite iff every principal minor is ≥ 0, and the rank: another way."""
    size = len(rows)
    for count in range(1, size + 1):
        for chosen in itertools.combinations(range(size), count):
            if matrix([[rows[i][j] for j in chosen] for i in chosen]).det() < 0:
                return None
    return matrix(rows).rank()


symmetric = st.integers(1, 4).flatmap(
    lambda size: st.lists(st.integers(-2, 2), min_size=size * size, max_size=size * size).map(
        lambda v: [[v[max(i, j) * size + min(i, j)] for j in range(size)] for i in range(size)]
    )
)
gram = st.tuples(st.integers(1, 5), st.integers(0, 5)).flatmap(
    lambda s: st.lists(st.integers(-3, 3), min_size=s[0] * s[1], max_size=s[0] * s[1]).map(
        lambda v: [
            [sum(v[i * s[1] + k] * v[j * s[1] + k] for k in range(s[1])) for j in range(s[0])] for i in range(s[0])
        ]
    )
)


@pytest.mark.law
@given(symmetric)
def test_elimination_is_the_principal_minors(rows):
    found = positive_rank(rows)
    assert (found if isinstance(found, int) else None) == minors_say(rows)


@pytest.mark.law
@given(gram)
def test_gram_matrices_have_their_rank(rows):
    assert positive_rank(rows) == matrix(rows).rank()


@pytest.mark.exact
def test_matrices_by_hand():
    assert positive_rank([[0]]) == 0
    assert positive_rank([[-1]]) == (0, "its pivot is negative")
    assert positive_rank([[0, 1], [1, 5]]) == (0, "its pivot is 0, and its column is not")
    assert positive_rank([[0, 0], [0, 5]]) == 1
    assert positive_rank([[4, 2, 0], [2, 1, 1], [0, 1, 9]]) == (1, "its pivot is 0, and its column is not")
    assert positive_rank([[4, 2, 2], [2, 1, 1], [2, 1, 1]]) == 1
    assert positive_rank([[1, 2], [2, 3]]) == (1, "its pivot is negative")


def test_a_negative_eigenvalue_below_all_rounding():
    tiny = fmpq(1, 10**40)
    M = matrix([[1, 1], [1, 1]])
    assert positive_semidefinite(M).rank == 1
    assert positive_semidefinite(M + tiny * matrix([[0, 0], [0, 1]])).rank == 2
    report = positive_semidefinite(M - tiny * matrix([[0, 0], [0, 1]]))
    assert report.failure == "M is not positive semidefinite: in row 1 its pivot is negative"


def test_what_is_not_symmetric_or_no_matrix():
    report = positive_semidefinite(matrix([[1, 2], [0, 1]]))
    assert report.failure == "M is not symmetric: entries (1, 0) and (0, 1) differ"
    with pytest.raises(ValueError, match="`M` must be square and not empty, got 1 × 2"):
        positive_semidefinite(fmpq_mat(1, 2))
    with pytest.raises(ValueError, match="`M` must be square and not empty, got 0 × 0"):
        positive_semidefinite(fmpq_mat(0, 0))
    with pytest.raises(TypeError, match="`M` must be a fmpq_mat, got list"):
        positive_semidefinite([[1]])
    with pytest.raises(ValueError, match="`B` must have the size of `A`, 1, got 2"):
        loewner_le(matrix([[1]]), matrix([[1, 0], [0, 1]]))
    with pytest.raises(ValueError, match="finite"):
        norm_le(matrix([[1]]), float("nan"))


@pytest.mark.exact
def test_norms():
    M = matrix([[1, 2], [2, -2]])  # eigenvalues 2 and −3
    assert norm_le(M, 3).holds
    assert norm_le(M, Fraction(299, 100)).failure.startswith("bound + M is not positive semidefinite")
    assert norm_le(-M, Fraction(299, 100)).failure.startswith("bound - M is not positive semidefinite")
    v = fmpq_mat(2, 1, [1, -2])
    assert norm_ge(M, 3, v).holds
    assert norm_ge(M, Fraction(301, 100), v).failure == "|v'Mv|/v'v is about 3, less than 301/100"
    assert norm_ge(M, 0, fmpq_mat(2, 1)).failure == "the witness is 0"
    with pytest.raises(ValueError, match="`witness` must be 2 × 1, got 1 × 2"):
        norm_ge(M, 3, v.transpose())


# --- the inequality at given matrices -------------------------------------------------------------------


@pytest.mark.exact
def test_the_five_integer_matrices():
    A = integer_counterexample()
    assert [int(M.det()) for M in A] == [258064, 425514384, 111556, 500864400, 209786256]
    assert all(positive_semidefinite(M).rank == 3 for M in A)
    total, mu = sum(A, start=fmpq_mat(3, 3)), fmpq(399230123, 2000)
    identity = matrix([[1, 0, 0], [0, 1, 0], [0, 0, 1]])
    assert total == matrix([[199611, -30, -87], [-30, 199030, -613], [-87, -613, 197749]])
    assert loewner_le(total, mu * identity).holds
    for smaller in (fmpq(199615), fmpq(199615061, 1000)):
        assert not loewner_le(total, smaller * identity).holds
    v = fmpq_mat(3, 1, [5536, -5236, -6476])
    products = fmpq_mat(3, 3)
    for order in itertools.permutations(A):
        product = identity
        for M in order:
            product = product * M
        products = products + product
    assert (v.transpose() * products * v)[0, 0] == -1230362690986280286102156211675520
    scaled = expected_product_exact(A) / (mu / 5) ** 5
    assert products * fmpq(1, 120) == expected_product_exact(A)
    assert norm_ge(scaled, Fraction(10109474584, 10**10), v).holds
    assert not norm_ge(scaled, Fraction(10109474585, 10**10), v).holds


@pytest.mark.exact
def test_counterexamples_and_examples_are_told_apart():
    five = de_sa_family(5, "1/2", exact=True)
    assert compare_means(five, 5).failure.startswith("the norm without repetition is more than 1.0000")
    assert compare_means(five, 5).positive
    assert all(compare_means(five, k).holds for k in (1, 2, 3, 4))
    assert compare_means(five, 5, nested=True).holds
    assert not compare_means(integer_counterexample(), 5).holds
    assert compare_means(de_sa_family(4, "1/2", exact=True), 4).holds
    assert compare_means([fmpq_mat(2, 2)] * 3, 3).holds  # 0 ≤ 0


def test_norms_that_are_equal_up_to_rounding_are_not_decided():
    """diag(1, 1/2)·R with a rotation by rational numbers: both norms are 1, attained at no float vector."""
    c, s = fmpq(3, 5), fmpq(4, 5)
    R = matrix([[c, -s], [s, c]])
    lines = [R * matrix([[1, 0], [0, small]]) * R.transpose() for small in (fmpq(1, 2), fmpq(1, 3), fmpq(1, 7))]
    report = compare_means(lines, 3)
    assert (report.decided, report.failure) == (False, "the two norms are equal up to rounding: not decided")


def test_fresh_matrices_with_a_known_ratio():
    """Diagonal matrices: the ratio is that of the elementary symmetric means of numbers."""
    for values in ((1, 2, 3), (0, 0, 5, 1), (1, 1, 1, 9)):
        A = [matrix([[v, 0], [0, 0]]) for v in values]
        n = len(values)
        for k in range(1, n + 1):
            tuples = list(itertools.permutations(values, k))
            mean = Fraction(sum(math.prod(t) for t in tuples), len(tuples))
            W = expected_product_exact(A, k)
            assert Fraction(int(W[0, 0].p), int(W[0, 0].q)) == mean
            assert compare_means(A, k).holds


def test_rotated_counterexamples_are_found_in_floats_too():
    generator = torch.Generator().manual_seed(0)
    A = float_matrices(integer_counterexample())
    real = torch.linalg.qr(torch.randn(3, 3, generator=generator, dtype=torch.float64))[0]
    unitary = torch.linalg.qr(torch.randn(3, 3, generator=generator, dtype=torch.complex128))[0]
    for U in (real, unitary):
        report = compare_means(exact_parts(U @ A.to(U.dtype) @ U.mH), 5)
        assert (report.decided, report.holds, report.positive) == (True, False, True)


def test_rounding_is_lifted_away():
    five = exact_matrices(de_sa_family(5, "1/2"))
    assert not compare_means(five, 5).positive
    report = compare_means(lifted(five, Fraction(1, 10**9)), 5)
    assert (report.decided, report.holds, report.positive) == (True, False, True)


@pytest.mark.law
@pytest.mark.parametrize("ensemble", ["wishart", "rank_one"])
def test_random_matrices_of_four_never_fail(ensemble):
    for A in random_matrices(ensemble, 4, 3, count=10, generator=torch.Generator().manual_seed(0)):
        for k in (2, 3, 4):
            assert compare_means(exact_parts(A), k).holds


def test_wrong_guesses_decide_nothing(monkeypatch):
    """The floating point behind `compare_means` may say what it likes: only rational comparisons count."""
    guess = tuples._guess
    four, five = de_sa_family(4, "1/2", exact=True), de_sa_family(5, "1/2", exact=True)
    monkeypatch.setattr(tuples, "_guess", lambda M: (guess(M)[0] / 2, guess(M)[1]))
    assert not compare_means(four, 4).decided
    monkeypatch.setattr(tuples, "_guess", lambda M: (guess(M)[0] * 2, guess(M)[1]))
    assert not compare_means(five, 5).decided
    monkeypatch.setattr(tuples, "_guess", lambda M: (guess(M)[0], fmpq_mat(M.nrows(), 1)))
    assert not compare_means(four, 4).decided
    assert not compare_means(five, 5).decided
