"""Means of products: subset dynamic programming against all products, its exact twin, laws, arguments."""

import itertools
import math

import pytest
import torch
from flint import fmpq, fmpq_mat

from constructions.am_gm import (
    am_gm_ratio,
    de_sa_family,
    exact_matrices,
    expected_product,
    expected_product_exact,
    float_matrices,
)
from constructions.am_gm import expectation as rooms
from constructions.errors import BudgetExceeded

DOUBLE, COMPLEX = torch.float64, torch.complex128


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def positive(*shape, dtype=DOUBLE, seed=0):
    B = torch.randn(*shape, generator=seeded(seed), dtype=dtype)
    return B @ B.mH


def by_products(A, k, middle, nested=False):
    """The mean over all k-tuples of distinct indices, one product after another."""
    total, tuples = 0, list(itertools.permutations(range(A.shape[-3]), k))
    for order in tuples:
        product = torch.eye(A.shape[-1], dtype=A.dtype)
        for i in order:
            product = product @ A[..., i, :, :]
        total = total + (product @ middle @ product.mH if nested else product @ middle)
    return total / len(tuples)


# --- subset dynamic programming -------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [DOUBLE, COMPLEX])
@pytest.mark.parametrize("nested", [False, True])
def test_it_is_the_mean_of_all_products(dtype, nested):
    """`start` breaks the symmetry under reversal: multiplying on the wrong side would show."""
    A = torch.randn(2, 3, 5, 3, 3, generator=seeded(), dtype=dtype)
    middle = torch.randn(2, 3, 3, 3, generator=seeded(1), dtype=dtype)
    for k in range(1, 6):
        expected = by_products(A, k, middle, nested)
        assert torch.allclose(expected_product(A, k, nested=nested, start=middle), expected, rtol=1e-11, atol=1e-11)
    eye = torch.eye(3, dtype=dtype)
    assert torch.allclose(expected_product(A, nested=nested), by_products(A, 5, eye, nested), rtol=1e-11, atol=1e-11)


def test_the_wrong_side_shows_in_the_nested_mean_alone():
    A, eye = positive(4, 3, 3), torch.eye(3, dtype=DOUBLE)
    backwards = sum(A[d] @ A[c] @ A[b] @ A[a] for a, b, c, d in itertools.permutations(range(4))) / 24
    assert torch.allclose(expected_product(A), backwards, rtol=1e-11)
    inside_out = by_products(A.flip(0), 4, eye, nested=True)
    assert torch.allclose(expected_product(A, nested=True), inside_out, rtol=1e-11)
    squared = torch.linalg.matrix_power(expected_product(A), 2)
    assert not torch.allclose(expected_product(A, nested=True), squared, rtol=1e-2)


def test_with_replacement():
    A, middle = positive(2, 3, 2, 2), positive(2, 2, 2, seed=1)
    tuples = list(itertools.product(range(3), repeat=4))
    for nested in (False, True):
        total = 0
        for order in tuples:
            product = torch.eye(2, dtype=DOUBLE)
            for i in order:
                product = product @ A[:, i]
            total = total + (product @ middle @ product.mH if nested else product @ middle)
        found = expected_product(A, 4, replacement=True, nested=nested, start=middle)
        assert torch.allclose(found, total / len(tuples), rtol=1e-11)


def test_chunks_do_not_matter(monkeypatch):
    A = positive(7, 5, 3, 3)
    whole = expected_product(A)
    monkeypatch.setattr(rooms, "CHUNK_BYTES", 1)
    assert torch.allclose(expected_product(A), whole, rtol=1e-13)


def test_twelve_thirteen_and_twenty_matrices():
    """Numbers as 1 × 1 matrices: elementary symmetric polynomials. 13 and 20 have tables that are not kept."""
    for n, k in ((12, 12), (13, 13), (20, 3)):
        values = torch.rand(n, generator=seeded(n), dtype=DOUBLE) + 0.5
        symmetric = torch.zeros(n + 1, dtype=DOUBLE)
        symmetric[0] = 1
        for v in values:
            symmetric[1:] = symmetric[1:] + v * symmetric[:-1]
        found = expected_product(values[:, None, None], k)
        assert float(found) == pytest.approx(float(symmetric[k]) / math.comb(n, k), rel=1e-12)


def test_gradients_pass():
    A = positive(3, 2, 2).requires_grad_(True)
    assert torch.autograd.gradcheck(lambda a: expected_product(a, 3, nested=True), (A,))


def test_the_device_gives_the_same(device):
    A, middle = positive(3, 4, 3, 3), positive(3, 3, 3, seed=1)
    for options in ({}, {"nested": True}, {"replacement": True}, {"replacement": True, "nested": True}):
        there = expected_product(A.to(device), 3, start=middle.to(device), **options)
        assert there.device.type == torch.device(device).type
        here = expected_product(A, 3, start=middle, **options)
        assert torch.allclose(there.cpu(), here, rtol=1e-12)
    assert torch.allclose(am_gm_ratio(A.to(device)).cpu(), am_gm_ratio(A), rtol=1e-12)


# --- the exact twin -------------------------------------------------------------------------------------


@pytest.mark.exact
def test_the_exact_twin_is_the_mean_of_all_products():
    A = [
        fmpq_mat(2, 2, [fmpq(a, 3), fmpq(1, b), fmpq(2, 7), fmpq(a - b, 5)])
        for a, b in ((1, 2), (3, 4), (-5, 6), (0, 1))
    ]
    start = fmpq_mat(2, 2, [1, fmpq(1, 2), 3, -4])
    for k, nested in itertools.product((1, 2, 3, 4), (False, True)):
        for replacement in (False, True):
            choose = itertools.product(range(4), repeat=k) if replacement else itertools.permutations(range(4), k)
            tuples, total = list(choose), fmpq_mat(2, 2)
            for order in tuples:
                product = fmpq_mat(2, 2, [1, 0, 0, 1])
                for i in order:
                    product = product * A[i]
                total = total + (product * start * product.transpose() if nested else product * start)
            found = expected_product_exact(A, k, replacement=replacement, nested=nested, start=start)
            assert found == total * fmpq(1, len(tuples))


def test_floats_are_read_exactly_and_rounded_once():
    A = torch.tensor([[[0.1, 2.0**-1074], [1e300, -3.0]]], dtype=DOUBLE)
    assert torch.equal(float_matrices(exact_matrices(A)), A)
    assert exact_matrices(A)[0][0, 0] == fmpq(*(0.1).as_integer_ratio())


@pytest.mark.parametrize("n", [3, 5, 6])
def test_both_programs_agree_on_de_sa(n):
    exact, numbers = de_sa_family(n, exact=True), de_sa_family(n)
    assert torch.allclose(float_matrices(exact), numbers, rtol=0, atol=1e-15)
    for k, nested in itertools.product(range(1, n + 1), (False, True)):
        there = float_matrices([expected_product_exact(exact, k, nested=nested)])[0]
        assert torch.allclose(expected_product(numbers, k, nested=nested), there, rtol=1e-12, atol=1e-12)


# --- laws -----------------------------------------------------------------------------------------------


@pytest.mark.law
@pytest.mark.parametrize("dtype", [DOUBLE, COMPLEX])
def test_laws(dtype):
    A = positive(6, 5, 3, 3, dtype=dtype)
    U = torch.linalg.qr(torch.randn(3, 3, generator=seeded(2), dtype=dtype))[0]
    order = torch.randperm(5, generator=seeded(3))
    for k, nested in itertools.product((2, 4, 5), (False, True)):
        f = expected_product(A, k, nested=nested)
        assert torch.allclose(f, f.mH, rtol=1e-10, atol=1e-8)
        assert torch.allclose(expected_product(U @ A @ U.mH, k, nested=nested), U @ f @ U.mH, rtol=1e-9, atol=1e-8)
        assert torch.allclose(expected_product(A[:, order], k, nested=nested), f, rtol=1e-10)
        degree = 2 * k if nested else k
        assert torch.allclose(expected_product(3 * A, k, nested=nested), 3.0**degree * f, rtol=1e-10)


@pytest.mark.law
def test_numbers_obey_maclaurin():
    """Commuting matrices, every n and k: the scalar inequality."""
    for n in range(2, 7):
        A = torch.diag_embed(torch.rand(10, n, 3, generator=seeded(n), dtype=DOUBLE))
        for k in range(1, n + 1):
            assert bool((am_gm_ratio(A, k) <= 1 + 1e-12).all())
            assert bool((am_gm_ratio(A, k, nested=True) <= 1 + 1e-12).all())


@pytest.mark.law
def test_blocks():
    """The mean of E_wo[k] of the block means over all partitions is E_wo[k]: 6 = 2·3, k = 3."""
    A = positive(6, 2, 2)
    found, count = 0, 0
    for first in itertools.combinations(range(6), 2):
        rest = [i for i in range(6) if i not in first]
        for second in itertools.combinations(rest, 2):
            third = [i for i in rest if i not in second]
            blocks = torch.stack([A[list(block)].mean(0) for block in (first, second, third)])
            found, count = found + expected_product(blocks), count + 1
    assert count == 90
    assert torch.allclose(found / count, expected_product(A, 3), rtol=1e-11)


def test_ratios_at_the_ends():
    eye = torch.eye(3, dtype=DOUBLE).expand(4, 3, 3)
    assert float(am_gm_ratio(eye)) == 1
    assert float(am_gm_ratio(0 * eye)) == 1
    assert am_gm_ratio(torch.stack([eye, 0 * eye])).tolist() == [1, 1]
    halves = torch.diag_embed(torch.tensor([[1.0, 0], [0, 1.0]], dtype=DOUBLE))
    assert float(am_gm_ratio(halves)) == 0
    assert float(am_gm_ratio(eye * 1e300, nested=True)) == 1
    assert float(am_gm_ratio(eye * 5e-324)) == 1


# --- arguments ------------------------------------------------------------------------------------------


def test_arguments_of_the_means():
    A = positive(4, 3, 3)
    for bad, match in (
        (A[0], r"`A` must have shape \(\.\.\., n, d, d\), none of them 0, got \(3, 3\)"),
        (A[:, :2], r"got \(4, 2, 3\)"),
        (A[:0], r"got \(0, 3, 3\)"),
        (A * float("nan"), "`A` must be finite"),
    ):
        with pytest.raises(ValueError, match=match):
            expected_product(bad)
    for k in (0, 5, 2.0, True):
        with pytest.raises(ValueError, match="`k` must be an integer between 1 and 4"):
            expected_product(A, k)
    with pytest.raises(ValueError, match="`n` must be an integer between 1 and 20, got 21"):
        expected_product(A[:1].expand(21, 3, 3), 2)
    with pytest.raises(BudgetExceeded, match="184756 subsets"):
        expected_product(torch.zeros(1, 1, 1, dtype=DOUBLE).expand(20, 100, 100))
    with pytest.raises(TypeError, match="`A` must be a dense"):
        expected_product(A.tolist())
    with pytest.raises(TypeError, match="`nested` must be True or False"):
        expected_product(A, nested=1)
    with pytest.raises(ValueError, match=r"`start` must be \(\.\.\., 3, 3\)"):
        expected_product(A, start=torch.eye(2))
    with pytest.raises(ValueError, match=r"`start` must fit \(\) tuples"):
        expected_product(A, start=positive(2, 3, 3))


def test_what_is_not_positive_semidefinite_is_named():
    A = positive(2, 4, 3, 3)
    A[1, 2, 0, 1] += 0.5
    with pytest.raises(ValueError, match=r"`A` must be Hermitian, the largest asymmetry of matrix \(1, 2\) is 0.5"):
        am_gm_ratio(A)
    A = torch.diag_embed(torch.tensor([[1.0, 2.0], [3.0, -1e-3]], dtype=DOUBLE))
    with pytest.raises(ValueError, match=r"positive semidefinite, the least eigenvalue of matrix 1 is -0\.001"):
        am_gm_ratio(A)
    A[1, 1, 1] = -1e-14  # rounding
    assert float(am_gm_ratio(A)) > 0
