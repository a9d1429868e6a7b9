"""Where the inequality fails: De Sa's matrices for every n ≥ 5, and five integer matrices of size 3."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from fractions import Fraction

import sympy
from flint import fmpq, fmpq_mat

from constructions.am_gm import de_sa_family, expected_product_exact, integer_counterexample
from theory.am_gm.bounds import Spectrum, de_sa_mean
from theory.am_gm.checkers import norm_ge, norm_le, positive_semidefinite
from theory.claim import Context, Evidence, Status, Table, Verdict, ensure
from theory.exact import fraction

CONSTANTS = {
    5: Fraction(1, 2),
    6: Fraction(4, 9),
    7: Fraction(2, 5),
    8: Fraction(3, 8),
    9: Fraction(7, 20),
    10: Fraction(1, 3),
}
"""n -> c: admissible, and Re (1 + ic)^n < −1."""
SMALLER_K = ((7, 6), (8, 7), (9, 7), (9, 8), (10, 8), (10, 9))
BY_SUBSETS, BY_SUBSETS_FULL = 9, 10
UPPER_N, UPPER_C = 40, Fraction(157, 1000)

RATIO = Fraction(10109, 10000)
NORM_OF_SUM = Fraction(399230123, 2000)
DIRECTION = (5536, -5236, -6476)
TOTAL = -1230362690986280286102156211675520


def five(context: Context) -> Verdict:
    """De Sa's five matrices, c = 1/2: by subsets, by all 120 products, and by the closed form."""
    A = _family(5, CONSTANTS[5])
    mean = expected_product_exact(A)
    ensure(mean == _by_permutations(A), "the mean by subsets is not the mean of the 120 products")
    found = _spectrum(mean)
    ensure(found == de_sa_mean(5, CONSTANTS[5], 5), f"eigenvalues {found.ones}, {found.complement}")
    bound = Fraction(19, 16)
    ensure(norm_ge(mean, bound, _ones(5)), "the vector of ones")
    ensure(bound > 1, "19/16 is not above 1")
    numbers = {"eigenvalue": str(found.ones), "other_eigenvalue": str(found.complement), "products": math.perm(5, 5)}
    witness = (
        "constructions.am_gm.de_sa_family(5, '1/2', exact=True): A_k = I + 1y_k' + y_k1', y_k = (e_k - 1/5)/2, "
        "positive semidefinite with mean I, and the mean of the 120 products sends (1,1,1,1,1) to -19/16 of it"
    )
    return Verdict(Status.REFUTED, Evidence.EXACT, "‖E_wo[5]‖ ≥ 19/16 > 1 = ‖mean‖^5", numbers, witness=witness)


def from_five_on(context: Context) -> Verdict:
    """Re (1 + ic)^n < −1 with an admissible c for every n ≥ 5: rational for n ≤ 10, c = tan(π/n) beyond."""
    most, rows = BY_SUBSETS_FULL if context.full else BY_SUBSETS, []
    for n, c in CONSTANTS.items():
        ensure(c * c * (n - 1) <= 1, f"n = {n}: c = {c} is not admissible")
        by_subsets = n <= most
        if by_subsets:
            context.log(f"n = {n}: the mean products by subsets")
            A = _family(n, c)
        for k in [m for size, m in SMALLER_K if size == n] + [n]:
            closed = de_sa_mean(n, c, k)
            ensure(closed.ones < -1, f"n = {n}, k = {k}: the eigenvalue is {closed.ones}")
            if by_subsets:
                found = _spectrum(expected_product_exact(A, k))
                ensure(found == closed, f"n = {n}, k = {k}: by subsets {found}, by the closed form {closed}")
            rows.append((n, k, str(c), str(closed.ones), float(closed.ones), by_subsets))
    ensure(_steps_turn(), "a step does not multiply α + i(c/n)Σβ by 1 + ic")
    ensure(_tangents_are_admissible(), "c = tan(π/n) is not admissible for all n ≥ 10")
    ensure(_tangents_give_secants(), "Re (1 + i·tan t)^n is not cos(nt)/cos(t)^n")
    ensure(UPPER_C**2 * (UPPER_N - 1) <= 1, f"n = {UPPER_N}: c = {UPPER_C} is not admissible")
    upper = de_sa_mean(UPPER_N, UPPER_C, UPPER_N).ones
    ensure(upper > 1, f"n = {UPPER_N}: the eigenvalue is {upper}, not above 1")
    numbers = {"largest_n_by_subsets": most, "upper_half_at_40": float(upper)}
    reason = f"n ≤ {most} by all subsets, n ≤ 10 in rationals, n > 10: -sec(π/n)^n < -1 with (n-1)·tan(π/n)² < 1"
    witness = (
        "constructions.am_gm.de_sa_family(n, c, exact=True) with c = 1/2, 4/9, 2/5, 3/8, 7/20, 1/3 for n = 5, …, 10, "
        "and c = tan(pi/n) for n > 10: mean I, and Re (1 + ic)^n < -1 is an eigenvalue of E_wo[n]"
    )
    tables = {"eigenvalues": Table(("n", "k", "c", "exact", "eigenvalue", "by_subsets"), tuple(rows))}
    return Verdict(Status.REFUTED, Evidence.SYMBOLIC, reason, numbers, witness=witness, tables=tables)


def three_by_three(context: Context) -> Verdict:
    """Five positive definite 3×3 matrices of integers: no rounding anywhere."""
    A = integer_counterexample()
    ensure(len(A) == 5 and all((M.nrows(), M.ncols()) == (3, 3) for M in A), "there are not five matrices of size 3")
    for k, M in enumerate(A):
        report = positive_semidefinite(M, name=f"matrix {k}")
        ensure(report, "the five matrices")
        ensure(report.rank == 3, f"matrix {k} is singular")
    norm = NORM_OF_SUM / 5
    ensure(norm_le(expected_product_exact(A, 1), norm), "the mean")
    mean, direction = expected_product_exact(A), fmpq_mat(3, 1, list(DIRECTION))
    ensure(mean == _by_permutations(A), "the mean by subsets is not the mean of the 120 products")
    value = fraction((direction.transpose() * mean * direction)[0, 0])
    ensure(math.perm(5, 5) * value == TOTAL, f"v'(sum of the 120 products)v is {math.perm(5, 5) * value}")
    ensure(norm_ge(mean, RATIO * norm**5, direction), "the direction v")
    ensure(RATIO > 1, "the ratio is not above 1")
    exact = abs(value) / (sum(x * x for x in DIRECTION) * norm**5)
    ratio = math.floor(exact * 10**10) / 10**10  # rounded down: it is a lower bound
    witness = (
        "constructions.am_gm.integer_counterexample(): ‖A_1 + … + A_5‖ ≤ 399230123/2000, and v = (5536, -5236, -6476) "
        f"has v'Σv = {TOTAL} over the 120 products"
    )
    reason = f"‖E_wo[5]‖/‖mean‖^5 ≥ {ratio:.10f} > 1.0109, in integers"
    numbers = {"ratio_at_least": ratio, "v'(sum)v": str(TOTAL)}
    return Verdict(Status.REFUTED, Evidence.EXACT, reason, numbers, witness=witness)


# --- matrices -------------------------------------------------------------------------------------------


def _family(n: int, c: Fraction) -> list[fmpq_mat]:
    """De Sa's matrices, each checked to be positive semidefinite, and their mean to be I."""
    A = de_sa_family(n, c, exact=True)
    ensure(len(A) == n, f"n = {n}: there are {len(A)} matrices")
    for k, M in enumerate(A):
        ensure(positive_semidefinite(M, name=f"matrix {k}"), f"n = {n}, c = {c}")
    mean = sum(A, start=fmpq_mat(n, n)) * fmpq(1, n)
    ensure(mean == fmpq_mat(n, n, [int(i == j) for i in range(n) for j in range(n)]), f"n = {n}: the mean is not I")
    return A


def _by_permutations(A: Sequence[fmpq_mat]) -> fmpq_mat:
    """The mean of all n! products."""
    d = A[0].nrows()
    total = fmpq_mat(d, d)
    for order in itertools.permutations(A):
        product = order[0]
        for M in order[1:]:
            product = product * M
        total += product
    return total * fmpq(1, math.factorial(len(A)))


def _ones(n: int) -> fmpq_mat:
    return fmpq_mat(n, 1, [1] * n)


def _spectrum(M: fmpq_mat) -> Spectrum:
    """The eigenvalues of (a − b)·I + b·J; undecided when M is none."""
    n, a, b = M.nrows(), M[0, 0], M[0, 1]
    same = all(M[i, j] == (a if i == j else b) for i in range(n) for j in range(n))
    ensure(same, f"the mean product of size {n} does not commute with permutations")
    return Spectrum(fraction(a + (n - 1) * b), fraction(a - b))


# --- every n --------------------------------------------------------------------------------------------


def _steps_turn() -> bool:
    """α' = α − (c²/n)b and b' = b + nα make α' + i(c/n)b' = (1 + ic)(α + i(c/n)b); A_k1 and A_ky_j as used there."""
    alpha, b, c, n = sympy.symbols("alpha b c n", real=True, nonzero=True)
    after = (alpha - c**2 / n * b) + sympy.I * c / n * (b + n * alpha)
    turned = sympy.expand(after - (1 + sympy.I * c) * (alpha + sympy.I * c / n * b)) == 0
    return turned and all(_acts_as_used(size, CONSTANTS[size]) for size in (5, 6))


def _acts_as_used(n: int, c: Fraction) -> bool:
    """A_k1 = 1 + n·y_k and A_ky_j = y_j − (c²/n)·1 for j ≠ k, on the matrices themselves."""
    A, ones, value = de_sa_family(n, c, exact=True), _ones(n), fmpq(c.numerator, c.denominator)
    y = [fmpq_mat(n, 1, [value * (int(i == k) - fmpq(1, n)) for i in range(n)]) for k in range(n)]
    return all(M * ones == ones + y[k] * n for k, M in enumerate(A)) and all(
        A[k] * y[j] == y[j] - ones * (value * value / n) for k, j in itertools.permutations(range(n), 2)
    )


def _tangents_are_admissible() -> bool:
    """(n−1)·tan²(π/n) < 1 for n ≥ 10: tan x/x increases, so that it is at most (10·tan(π/10))²·(n−1)/n² for n ≥ 10."""
    x = sympy.Symbol("x", real=True)
    # 2x²cos²x·(tan x/x)' = 2x − sin 2x, which is 0 at 0 and has the derivative 4·sin²x ≥ 0
    numerator = 2 * x - sympy.sin(2 * x)
    slope = sympy.diff(sympy.tan(x) / x, x) * 2 * x**2 * sympy.cos(x) ** 2
    increases = sympy.simplify(slope - numerator) == 0 and numerator.subs(x, 0) == 0
    increases = increases and sympy.simplify(sympy.diff(numerator, x) - 4 * sympy.sin(x) ** 2) == 0
    square = 1 - 2 / sympy.sqrt(5)
    ten = sympy.simplify(sympy.tan(sympy.pi / 10) ** 2 - square) == 0
    # (n−1)/n² < 1/n: for n ≥ 11 less than 100·square/11
    return bool(increases and ten and (9 * square < 1) and (100 * square < 11))


def _tangents_give_secants() -> bool:
    """(1 + i·tan t)·cos t = e^{it}; at t = π/n the n-th power has the real part cos π/cosⁿ(π/n) = −secⁿ(π/n)."""
    t = sympy.Symbol("t", real=True)
    difference = (1 + sympy.I * sympy.tan(t)) * sympy.cos(t) - sympy.exp(sympy.I * t)
    return sympy.simplify(difference.rewrite(sympy.cos)) == 0 and sympy.cos(sympy.pi) == -1
