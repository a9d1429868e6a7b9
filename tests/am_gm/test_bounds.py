"""Closed forms: the printed tables, all products by brute force in Fractions, subsets in rationals, and samples."""

import itertools
import math
from collections import Counter
from fractions import Fraction

import pytest
import sympy
import torch

from constructions.am_gm import (
    LeastSquares,
    de_sa_family,
    example_rows,
    expected_product,
    expected_product_exact,
    random_matrices,
    sampling_rates_exact,
)
from theory.am_gm import bounds
from theory.am_gm.bounds import D, N, de_sa_mean, de_sa_square, mean_with, mean_without, trace_moment
from theory.exact import fraction

HALF = Fraction(1, 2)
PRINTED = {  # (n, c): Re (1+ic)^m for m = 1, …, n, and the other eigenvalue at m = n
    (2, "1"): ("1 0", "0"),
    (3, "1/2"): ("1 3/4 1/4", "5/8"),
    (4, "1/2"): ("1 3/4 1/4 -7/16", "25/48"),
    (5, "1/2"): ("1 3/4 1/4 -7/16 -19/16", "29/64"),
    (6, "4/9"): ("1 65/81 11/27 -959/6561 -5119/6561 -736255/531441", "1389509/2657205"),
    (7, "2/5"): ("1 21/25 13/25 41/625 -59/125 -15939/15625 -23323/15625", "27401/46875"),
    (8, "3/8"): (
        "1 55/64 37/64 721/4096 -1259/4096 -213785/262144 -335663/262144 -27358559/16777216",
        "73304737/117440512",
    ),
}


def multiplied(A, B):
    return [[sum(a * b for a, b in zip(row, column, strict=True)) for column in zip(*B, strict=True)] for row in A]


def transposed(A):
    return [list(column) for column in zip(*A, strict=True)]


def identity(d):
    return [[Fraction(int(i == j)) for j in range(d)] for i in range(d)]


def family(n, c):
    """De Sa's matrices in Fractions, from their definition."""
    y = [[c * (int(i == k) - Fraction(1, n)) for i in range(n)] for k in range(n)]
    return [[[int(i == j) + v[i] + v[j] for j in range(n)] for i in range(n)] for v in y]


def brute_means(A, m):
    """The means of P and of PPᵀ over all products P of m distinct ones, in every order."""
    d = len(A[0])
    total, nested = ([[Fraction(0)] * d for _ in range(d)] for _ in range(2))
    for order in itertools.permutations(A, m):
        P = identity(d)
        for M in order:
            P = multiplied(P, M)
        square = multiplied(P, transposed(P))
        total = [[a + b for a, b in zip(r, s, strict=True)] for r, s in zip(total, P, strict=True)]
        nested = [[a + b for a, b in zip(r, s, strict=True)] for r, s in zip(nested, square, strict=True)]
    count = math.perm(len(A), m)
    return tuple([[v / count for v in row] for row in M] for M in (total, nested))


def spectrum(M):
    n = len(M)
    assert all(M[i][j] == M[0][int(i != j)] for i in range(n) for j in range(n))
    return M[0][0] + (n - 1) * M[0][1], M[0][0] - M[0][1]


# --- De Sa's family -------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", PRINTED)
def test_printed_eigenvalues(key):
    n, c = key[0], Fraction(key[1])
    assert c * c * (n - 1) <= 1
    values, other = PRINTED[key]
    assert " ".join(str(de_sa_mean(n, c, m).ones) for m in range(1, n + 1)) == values
    assert str(de_sa_mean(n, c, n).complement) == other


@pytest.mark.parametrize(("n", "c"), [(2, Fraction(1)), (3, HALF), (4, HALF), (4, Fraction(2, 7)), (5, HALF)])
def test_all_products_in_fractions(n, c):
    for m in range(1, n + 1):
        mean, nested = brute_means(family(n, c), m)
        assert spectrum(mean) == de_sa_mean(n, c, m)
        assert spectrum(nested) == de_sa_square(n, c, m)


@pytest.mark.parametrize(("n", "c"), [(6, Fraction(4, 9)), (7, Fraction(2, 5)), (8, Fraction(3, 8))])
def test_subsets_in_rationals(n, c):
    A = de_sa_family(n, c, exact=True)
    for m in (2, n - 1, n):
        rows = [[fraction(v) for v in row] for row in expected_product_exact(A, m).tolist()]
        assert spectrum(rows) == de_sa_mean(n, c, m)
    for replacement in (False, True):
        middle = None
        for epochs in (1, 2, 3):
            middle = expected_product_exact(A, nested=True, replacement=replacement, start=middle)
            rows = [[fraction(v) for v in row] for row in middle.tolist()]
            assert spectrum(rows) == de_sa_square(n, c, n, epochs=epochs, replacement=replacement)


def test_the_mean_is_a_power_of_a_complex_number():
    for n, c in ((9, Fraction(7, 20)), (40, Fraction(157, 1000)), (64, Fraction(-1, 8))):
        for m in (1, 2, n // 2, n):
            real = sympy.re(sympy.expand((1 + sympy.I * sympy.Rational(c.numerator, c.denominator)) ** m))
            assert de_sa_mean(n, c, m).ones == Fraction(int(real.p), int(real.q))


def test_printed_decimals():
    nine = [float(de_sa_mean(9, Fraction(7, 20), m).ones) for m in (7, 8, 9)]
    assert nine == pytest.approx([-1.060149, -1.430809, -1.671600], abs=5e-7)
    ten = [float(de_sa_mean(10, Fraction(1, 3), m).ones) for m in (8, 9, 10)]
    assert ten == pytest.approx([-1.285170, -1.558299, -1.688631], abs=5e-7)
    assert float(de_sa_mean(40, Fraction(157, 1000), 40).ones) == pytest.approx(1.625055, abs=5e-7)
    # n = 4 at the extreme c: 1 − 6c² + c⁴ at c² = 1/3
    assert 1 - 6 * Fraction(1, 3) + Fraction(1, 9) == Fraction(-8, 9)
    ratios = [
        float(de_sa_square(n, c, n).norm / de_sa_square(n, c, n, replacement=True).norm)
        for n, c in ((5, HALF), (6, Fraction(4, 9)), (7, Fraction(2, 5)), (8, Fraction(3, 8)))
    ]
    assert ratios == pytest.approx([0.289148, 0.342278, 0.366056, 0.377877], abs=5e-7)


def test_no_step_and_no_deviation():
    assert de_sa_mean(7, 0, 5) == (1, 1)
    assert de_sa_square(7, 0, 5, epochs=4) == de_sa_square(7, 0, 5, epochs=4, replacement=True) == (1, 1)
    assert bounds.Spectrum(Fraction(-3), Fraction(2)).norm == 3


@pytest.mark.parametrize("wrong", [0, -1, 2.0, True, "3", None, [2], math.nan])
def test_arguments(wrong):
    calls = {
        "n": (lambda: de_sa_mean(wrong, HALF, 1), lambda: bounds.block_weight(2, wrong, 1)),
        "m": (lambda: de_sa_mean(4, HALF, wrong), lambda: de_sa_square(4, HALF, wrong)),
        "epochs": (lambda: de_sa_square(4, HALF, 2, epochs=wrong),),
        "k": (lambda: trace_moment(wrong), lambda: mean_without(wrong, "wishart")),
        "q": (lambda: bounds.block_weight(wrong, 2, 1),),
    }
    for name, actions in calls.items():
        for action in actions:
            with pytest.raises((TypeError, ValueError), match=f"`{name}`"):
                action()


def test_sizes_and_names():
    for action, name in (
        (lambda: de_sa_mean(4, HALF, 5), "m"),
        (lambda: de_sa_mean(65, HALF, 5), "n"),
        (lambda: de_sa_mean(4, 0.5, 2), "c"),
        (lambda: de_sa_mean(4, True, 2), "c"),
        (lambda: de_sa_square(4, HALF, 2, replacement=1), "replacement"),
        (lambda: trace_moment(7), "k"),
        (lambda: mean_with(2, "cauchy"), "law"),
        (lambda: mean_without(2, "cauchy"), "law"),
        (lambda: bounds.square_with("cauchy"), "law"),
        (lambda: bounds.square_without(2, None), "law"),
        (lambda: bounds.block_weight(2, 3, 4), "k"),
    ):
        with pytest.raises((TypeError, ValueError), match=f"`{name}`"):
            action()


# --- random matrices ------------------------------------------------------------------------------------


def test_the_moments_of_wishart_matrices():
    n, d = N, D
    expected = {
        1: n,
        2: n**2 + n * d + n,
        3: n**3 + 3 * n**2 * d + 3 * n**2 + n * d**2 + 3 * n * d + 4 * n,
        4: n**4 + 6 * n**3 * d + 6 * n**3 + 6 * n**2 * d**2 + 17 * n**2 * d + 21 * n**2 + n * d**3 + 6 * n * d**2
        + 21 * n * d + 20 * n,
        5: n**5 + 10 * n**4 * d + 10 * n**4 + 20 * n**3 * d**2 + 55 * n**3 * d + 65 * n**3 + 10 * n**2 * d**3
        + 55 * n**2 * d**2 + 175 * n**2 * d + 160 * n**2 + n * d**4 + 10 * n * d**3 + 65 * n * d**2
        + 160 * n * d + 148 * n,
    }  # fmt: skip
    for k, value in expected.items():
        assert sympy.expand(trace_moment(k) - value) == 0
        chi = sympy.prod(n + 2 * j for j in range(k))
        assert sympy.expand(value.subs(d, 1) - chi) == 0
        # one matrix: |g|^{2k}, chi-square with d degrees of freedom, over d
        assert sympy.expand(value.subs(n, 1) * d - sympy.prod(d + 2 * j for j in range(k))) == 0
    assert sympy.expand(mean_with(2, "wishart") - (1 + (d + 1) / n)) == 0
    # n and d change places: tr (GG')^k = tr (G'G)^k
    swapped = expected[4].subs({n: d, d: n}, simultaneous=True)
    assert sympy.expand(expected[4] * d - swapped * n) == 0


def test_the_moments_of_kaczmarz_matrices():
    n, d = N, D
    assert sympy.simplify(mean_with(2, "kaczmarz") - ((1 - 1 / d) ** 2 + (d - 1) / (n * d**2))) == 0
    e2 = 1 / (n * d) + (1 - 1 / n) / d**2
    e3 = (n / d + 3 * n * (n - 1) / d**2 + n * (n - 1) * (n - 2) / d**3) / n**3
    assert sympy.simplify(mean_with(3, "kaczmarz") - (1 - 3 / d + 3 * e2 - e3)) == 0
    assert sympy.simplify(bounds.square_with("kaczmarz") - ((1 - 1 / n) * (1 - 1 / d) ** 2 + (1 - 1 / d) / n)) == 0
    wishart = (1 - 1 / n) * (d + 2) ** 2 + (d + 2) * (d + 4) * (d + 6) / n
    assert sympy.simplify(bounds.square_with("wishart") - wishart) == 0
    assert bounds.square_without(2, "wishart") == (d + 2) ** 2
    for k in (1, 2, 3, 4):
        # one matrix is a projection, and in dimension 1 it is 0
        assert sympy.simplify(mean_with(k, "kaczmarz").subs(n, 1) - (1 - 1 / d)) == 0
        assert mean_with(k, "kaczmarz").subs(d, 1) == 0


@pytest.mark.parametrize("law", bounds.LAWS)
def test_exact_means_against_a_sample(law):
    """Half a million entries of the mean, to five standard errors."""
    n, d = 4, 3
    A = random_matrices(law_name(law), n, d, count=60_000, generator=torch.Generator().manual_seed(0))
    for k in (2, 3, 4):
        for replacement, exact in ((True, mean_with(k, law)), (False, mean_without(k, law))):
            values = expected_product(A, k, replacement=replacement).diagonal(dim1=-2, dim2=-1).mean(-1)
            wanted = float(exact.subs({N: n, D: d}))
            assert abs(float(values.mean()) - wanted) <= 5 * float(values.std()) / len(values) ** 0.5
    for replacement, exact in ((True, bounds.square_with(law)), (False, bounds.square_without(2, law))):
        values = expected_product(A, 2, nested=True, replacement=replacement).diagonal(dim1=-2, dim2=-1).mean(-1)
        wanted = float(exact.subs({N: n, D: d}))
        assert abs(float(values.mean()) - wanted) <= 5 * float(values.std()) / len(values) ** 0.5


def law_name(law):
    """The ensemble whose matrices are gg', not the Wishart matrices GG'/d of d columns."""
    return {"wishart": "rank_one", "kaczmarz": "kaczmarz"}[law]


# --- blocks ---------------------------------------------------------------------------------------------


def test_block_weights_by_shuffling_every_order():
    """All orders of the indices cut into blocks: each partition occurs q!^n times."""
    for q, n, k, partitions in ((2, 3, 3, 90), (3, 2, 2, 20), (2, 4, 2, 2520), (2, 4, 4, 2520)):
        counts, seen = Counter(), set()
        for order in itertools.permutations(range(q * n)):
            blocks = tuple(tuple(sorted(order[i * q : (i + 1) * q])) for i in range(n))
            if blocks not in seen:
                seen.add(blocks)
                counts.update(itertools.product(*blocks[:k]))
        assert len(seen) == partitions
        assert set(counts.values()) == {bounds.block_weight(q, n, k)}
        assert len(counts) == math.perm(q * n, k)
    assert bounds.block_weight(2, 4, 4) == 24
    assert Fraction(24, 2520 * 16) == Fraction(1, math.perm(8, 4))


# --- least squares --------------------------------------------------------------------------------------

ROWS = ((1, 0, 0), (1, 1, 0), (0, 1, 1), (1, -1, 1), (2, 1, 0), (0, 1, -2))
EXACT = {  # E|e|² after one epoch, without and with replacement
    "kaczmarz": (Fraction(371707, 5400000), Fraction(6212144345511971, 18895680000000000)),
    "sgd": (Fraction(32297550241279, 45000000000000), Fraction(45841141067624251, 46656000000000000)),
}
EPOCHS = {  # E|e|² after epochs 1, 2, 3, without and with; operator norms of the means, of the nested means
    "kaczmarz": ((0.06883463, 1.688482e-3, 4.177820e-5), (0.3287600, 5.968253e-2, 1.095374e-2)),
    "sgd": ((0.7177233, 0.2805690, 0.1451555), (0.9825347, 0.4160166, 0.2166381)),
}
NORMS = {
    "kaczmarz": (0.0569244, 0.2713979, 0.0288391, 0.2189858),
    "sgd": (0.7649054, 0.7837252, 0.5859431, 0.6389102),
}
RATIOS = {"kaczmarz": (0.20975, 0.13169), "sgd": (0.97599, 0.91710)}


def steps(method):
    """The matrices I − γaa' in Fractions."""
    scales = [Fraction(1, sum(a * a for a in row)) if method == "kaczmarz" else Fraction(1, 10) for row in ROWS]
    return [
        [[int(i == j) - s * row[i] * row[j] for j in range(3)] for i in range(3)]
        for row, s in zip(ROWS, scales, strict=True)
    ]


@pytest.mark.parametrize("method", EXACT)
def test_the_rates_of_the_example(method):
    A = steps(method)
    without = Fraction(0)
    for order in itertools.permutations(A):
        e = [[Fraction(1)]] * 3
        for M in order:
            e = multiplied(M, e)
        without += sum(v[0] ** 2 for v in e)
    middle = identity(3)
    for _ in range(6):
        terms = [multiplied(multiplied(M, middle), M) for M in A]
        middle = [[sum(T[i][j] for T in terms) / 6 for j in range(3)] for i in range(3)]
    assert (without / 720, sum(map(sum, middle))) == EXACT[method]

    problem = LeastSquares(example_rows())
    exact = problem.kaczmarz_exact() if method == "kaczmarz" else problem.sgd_exact(Fraction(1, 10))
    assert [[[fraction(v) for v in row] for row in M.tolist()] for M in exact] == A
    rates = sampling_rates_exact(exact, 3)
    assert (rates.square_without[0], rates.square_with[0]) == EXACT[method]
    for found, printed in zip((rates.square_without, rates.square_with), EPOCHS[method], strict=True):
        assert [float(v) for v in found] == pytest.approx(printed, rel=2e-7)


@pytest.mark.parametrize("method", NORMS)
def test_the_norms_of_the_example(method):
    A = torch.tensor([[[float(v) for v in row] for row in M] for M in steps(method)], dtype=torch.float64)
    norms = [
        float(torch.linalg.matrix_norm(expected_product(A, nested=nested, replacement=replacement), ord=2))
        for nested in (False, True)
        for replacement in (False, True)
    ]
    assert norms == pytest.approx(NORMS[method], abs=6e-8)
    assert (norms[0] / norms[1], norms[2] / norms[3]) == pytest.approx(RATIOS[method], abs=6e-6)
