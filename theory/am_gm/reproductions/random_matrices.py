"""Random matrices: Theorem 6 in exact values, and samples of the nested inequality and of the one with norms inside."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import sympy
import torch
from flint import fmpq, fmpq_mat
from torch import Tensor

from constructions.am_gm import (
    ENSEMBLES,
    am_gm_ratio,
    de_sa_family,
    expected_product_exact,
    random_matrices,
    worst_case_search,
)
from theory.am_gm.bounds import (
    LAWS,
    D,
    N,
    mean_with,
    mean_without,
    square_with,
    square_without,
    trace_moment,
)
from theory.claim import Context, Evidence, Status, Table, Verdict, ensure
from theory.exact import fraction

ROUNDING = 1e-9
DIGITS = 8
TUPLES, TUPLES_FULL = 200, 20_000
SEARCH_STEPS, SEARCH_STEPS_FULL = 60, 300
SIZES = ((2, 2), (3, 2), (3, 3), (4, 3), (4, 4))
"""(n, d)"""


def random_iid(context: Context) -> Verdict:
    """Theorem 6 beside its proof: exact means of two classes, as polynomials with no negative coefficient, and of a law
    on De Sa's five matrices."""
    longest, rows = (5, 5) if context.full else (4, 3), []
    for law, most in zip(LAWS, longest, strict=True):
        for k in range(2, most + 1):
            context.log(f"{law}: Wick pairings for k = {k}")
            with_, without = mean_with(k, law), mean_without(k, law)
            ensure(_nonnegative(with_ - without), f"{law}, k = {k}: {with_ - without} has a negative coefficient")
            rows.append((law, k, str(sympy.factor(without)), str(sympy.factor(with_))))
        gap = sympy.cancel(square_with(law) - square_without(2, law))
        ensure(_nonnegative(gap), f"{law}, nested: {gap} has a negative coefficient")
        rows.append((law, "nested 2", str(sympy.factor(square_without(2, law))), str(sympy.factor(square_with(law)))))
    for k in range(1, longest[0] + 1):
        chi = sympy.prod(N + 2 * j for j in range(k))  # E (chi-square with n degrees of freedom)^k
        one = sympy.expand(trace_moment(k).subs(D, 1))
        ensure(one == sympy.expand(chi), f"w_{k}(n, 1) is not the moment of chi-square")
    ensure(_nested_gap_is_a_variance(), "with minus without is not (E A⁴ − (E A²)²)/n")
    least = _law_on_a_counterexample(3 if context.full else 2)
    tables = {"exact_means": Table(("law", "k", "without", "with"), tuple(rows))}
    numbers = {"exact_means": len(rows), "law_on_five_matrices": str(least)}
    reason = f"{len(rows)} exact means, with minus without never negative; uniform on De Sa's five: {least} ≥ 1"
    return Verdict(Status.PROVED, Evidence.SYMBOLIC, reason, numbers, tables=tables)


def _nonnegative(value: sympy.Expr) -> bool:
    """Whether a rational function is ≥ 0 for integers n, d ≥ 1: at d = 1, and from d = 2 on, both shifted to 0, neither
    its numerator nor its denominator has a negative coefficient."""
    shifted = (value.subs({N: N + 1, D: d}, simultaneous=True) for d in (1, D + 2))
    parts = [part for one in shifted for part in sympy.fraction(sympy.cancel(sympy.together(one)))]
    return all(coefficient >= 0 for part in parts for coefficient in sympy.Poly(part, N, D).coeffs())


def _nested_gap_is_a_variance() -> bool:
    """The n² pairs of indices split into n equal ones and n(n−1) others; E A² = s·I, E A⁴ = t·I."""
    s, t = sympy.symbols("s t", positive=True)
    with_ = (N * t + N * (N - 1) * s**2) / N**2
    return sympy.expand(with_ - s**2 - (t - s**2) / N) == 0


def _law_on_a_counterexample(n: int) -> Fraction:
    """1'(E E_wr[n])1/5 for A_1, …, A_n independent and uniform on De Sa's five matrices, whose mean is I: over all 5ⁿ
    samples the means without repetition average to I, and those with to at least I at the vector of ones."""
    family = de_sa_family(5, exact=True)
    ones, identity = fmpq_mat(5, 1, [1] * 5), fmpq_mat(5, 5, [int(i == j) for i in range(5) for j in range(5)])
    without, with_ = fmpq_mat(5, 5), fmpq_mat(5, 5)
    for sample in itertools.product(family, repeat=n):
        without += expected_product_exact(list(sample))
        with_ += expected_product_exact(list(sample), replacement=True)
    share = fmpq(1, 5**n)
    ensure(without * share == identity, f"n = {n}: the means without repetition do not average to (E A)^n = I")
    value = fraction((ones.transpose() * with_ * ones)[0, 0] * share / 5)
    ensure(value >= 1, f"n = {n}: with repetition the mean is {value}, below 1")
    return value


# --- samples --------------------------------------------------------------------------------------------


def mean_square(context: Context) -> Verdict:
    """The largest nested ratio among random tuples of five ensembles, and of a gradient search; the question stays
    open."""
    rows, generator = [], context.generator()
    count = math.ceil((TUPLES_FULL if context.full else TUPLES) / (len(ENSEMBLES) * len(SIZES)))
    for ensemble, (n, d) in itertools.product(ENSEMBLES, SIZES):
        A = random_matrices(ensemble, n, d, count=count, generator=generator, device=context.device)
        for k in range(2, n + 1):
            rows.append((ensemble, n, d, k, float(am_gm_ratio(A, k, nested=True).max())))
    steps = SEARCH_STEPS_FULL if context.full else SEARCH_STEPS
    for n, d in ((3, 2), (4, 3)) if context.full else ((3, 2),):
        context.log(f"gradient search, n = {n}, d = {d}")
        ratio, _ = worst_case_search(n, d, n, nested=True, steps=steps, generator=generator, device=context.device)
        rows.append(("search", n, d, n, float(ratio)))
    tables = {"largest": _table(rows)}
    largest = max(row[4] for row in rows)
    finite = all(math.isfinite(row[4]) for row in rows)
    ensure(finite and largest <= 1 + ROUNDING, f"a ratio of {largest:.12g} was met: look at it in rationals", **tables)
    tuples = count * len(ENSEMBLES) * len(SIZES)
    numbers = {"tuples": tuples, "largest_ratio": round(largest, DIGITS)}
    reason = f"neither proved nor refuted here: the largest ratio of {tuples} tuples and a search is {largest:.6f}"
    return Verdict(Status.OPEN, Evidence.SAMPLED, reason, numbers, tables=tables)


def norms_inside(context: Context) -> Verdict:
    """Means of ‖A_{j_1}⋯A_{j_k}‖ over distinct and over all tuples, at random tuples and De Sa's five matrices."""
    rows, generator = [], context.generator()
    count = math.ceil((TUPLES_FULL if context.full else TUPLES) / (len(ENSEMBLES) * len(SIZES)))
    for ensemble, (n, d) in itertools.product(ENSEMBLES, SIZES):
        context.log(f"{ensemble}, n = {n}, d = {d}")
        A = random_matrices(ensemble, n, d, count=count, generator=generator, device=context.device)
        for k in range(2, n + 1):
            distinct, every = norm_means(A, k)
            rows.append((ensemble, n, d, k, float((distinct / every).max())))
    distinct, every = norm_means(de_sa_family(5, Fraction(1, 2), device=context.device)[None], 5)
    rows.append(("de_sa", 5, 5, 5, float(distinct / every)))
    tables = {"largest": _table(rows)}
    largest = max(row[4] for row in rows)
    good = all(row[4] <= 1 + ROUNDING for row in rows)
    ensure(good, f"a ratio of {largest:.12g} was met", **tables)
    tuples = count * len(ENSEMBLES) * len(SIZES) + 1
    de_sa = {"de_sa_distinct": round(float(distinct), DIGITS), "de_sa_all": round(float(every), DIGITS)}
    numbers = {"tuples": tuples, "largest_ratio": round(largest, DIGITS), **de_sa}
    reason = (
        f"the largest ratio of {tuples} tuples is {largest:.6f}; on De Sa's five matrices {float(distinct / every):.3f}"
    )
    return Verdict(Status.NOT_REFUTED, Evidence.SAMPLED, reason, numbers, tables=tables)


def _table(rows: list[tuple]) -> Table:
    """Ratios to the digits that every device agrees on."""
    return Table(("ensemble", "n", "d", "k", "ratio"), tuple((*row[:-1], round(row[-1], DIGITS)) for row in rows))


def norm_means(A: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Means of ‖A_{j_1}⋯A_{j_k}‖ (B,) over distinct and over all k-tuples, of A (B, n, d, d)."""
    n = A.shape[1]
    products = A
    for _ in range(k - 1):
        products = (A[:, :, None] @ products[:, None]).flatten(1, 2)
    norms = torch.linalg.matrix_norm(products, ord=2)
    words = torch.cartesian_prod(*[torch.arange(n, device=A.device)] * k).reshape(-1, k)
    ordered = words.sort(1).values
    distinct = (ordered[:, 1:] != ordered[:, :-1]).all(1)
    return norms[:, distinct].mean(1), norms.mean(1)
