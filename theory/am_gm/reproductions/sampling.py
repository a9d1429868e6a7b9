"""Steps of least squares with and without replacement: exact rates, simulations, and the two measures at odds."""

from __future__ import annotations

from fractions import Fraction

from flint import fmpq, fmpq_mat
from torch import Tensor

from constructions.am_gm import (
    LeastSquares,
    SamplingRates,
    Simulation,
    de_sa_family,
    example_rows,
    expected_product_exact,
    sampling_rates_exact,
    simulate_sampling,
)
from theory.am_gm.bounds import de_sa_mean, de_sa_square
from theory.am_gm.checkers import loewner_le, norm_ge, norm_le, positive_semidefinite
from theory.claim import Context, Evidence, Report, Status, Table, Verdict, ensure

EPOCHS = 3
RUNS, RUNS_FULL = 20_000, 200_000
STEP = Fraction(1, 10)
CONFIDENCE = 0.999  # of all intervals together
HALF = fmpq(1, 2)


def least_squares(context: Context) -> Verdict:
    """Exact mean squares of Kaczmarz and SGD on the example, and simulations beside them."""
    problem = LeastSquares(example_rows().to(context.device))
    methods = {
        "kaczmarz": (problem.kaczmarz_exact(), problem.kaczmarz()),
        "sgd": (problem.sgd_exact(STEP), problem.sgd(STEP)),
    }
    runs, generator, rows = RUNS_FULL if context.full else RUNS, context.generator(), []
    each = 1 - (1 - CONFIDENCE) / (len(methods) * 2 * EPOCHS)
    for method, (exact, matrices) in methods.items():
        for i, M in enumerate(exact):
            ensure(positive_semidefinite(M, name=f"I - step·a_{i}a_{i}'"), method)
        rates = sampling_rates_exact(exact, EPOCHS)
        less = all(a < b for a, b in zip(rates.square_without, rates.square_with, strict=True))
        ensure(less, f"{method}: without replacement is not less")
        for replacement, expected in ((False, rates.square_without), (True, rates.square_with)):
            name = f"{method}, {'with' if replacement else 'without'} replacement"
            context.log(f"{name}: {runs} runs")
            found = simulate_sampling(
                matrices, _ones(matrices), EPOCHS, runs, replacement=replacement, generator=generator
            )
            ensure(within(found, expected, each), name)
            rows += [
                (
                    method,
                    replacement,
                    epoch + 1,
                    str(value) if epoch == 0 else "",
                    float(value),
                    float(found.mean[epoch]),
                )
                for epoch, value in enumerate(expected)
            ]
    columns = ("method", "replacement", "epoch", "exact", "mean_square", "simulated")
    numbers = {"runs": runs, "intervals": len(rows)}
    reason = f"{len(rows)} means of {runs} runs in their intervals (99.9 % together); without < with at every epoch"
    tables = {"mean_squares": Table(columns, tuple(rows))}
    return Verdict(Status.NOT_REFUTED, Evidence.SAMPLED, reason, numbers, tables=tables)


def _ones(matrices: Tensor) -> Tensor:
    return matrices.new_ones(matrices.shape[-1])


def within(found: Simulation, expected: tuple[Fraction, ...], confidence: float) -> Report:
    """Whether the exact means (one an epoch) lie in the simulation's intervals."""
    low, high = (end.tolist() for end in found.interval(confidence))
    if len(low) != len(expected):
        return Report(f"{len(low)} epochs were simulated, not {len(expected)}")
    for epoch, (least, most, value) in enumerate(zip(low, high, expected, strict=True), start=1):
        if not least <= float(value) <= most:
            return Report(f"after epoch {epoch} the exact mean {float(value):.6g} is not in [{least:.6g}, {most:.6g}]")
    return Report()


def mean_against_square(context: Context) -> Verdict:
    """C_k = A_k/2 = I − H_k with H_k ⪰ 0, De Sa's A_k: the two orders, by subsets in rationals and by closed forms."""
    A = [M * HALF for M in de_sa_family(5, Fraction(1, 2), exact=True)]
    identity = fmpq_mat(5, 5, [int(i == j) for i in range(5) for j in range(5)])
    for k, M in enumerate(A):
        ensure(loewner_le(M, identity), f"C_{k} ⪯ I")
        ensure(positive_semidefinite(M, name=f"C_{k}"), "C_k is no step of least squares")
    mean, repeated = expected_product_exact(A), expected_product_exact(A, replacement=True)
    ones = fmpq_mat(5, 1, [1] * 5)
    ensure(norm_ge(mean, Fraction(19, 512), ones), "the mean without replacement")
    ensure(norm_le(repeated, Fraction(1, 32)), "the mean with replacement")
    ensure(de_sa_mean(5, Fraction(1, 2), 5).norm / 32 == Fraction(19, 512), "the closed form of the mean")
    nested, nested_repeated = (expected_product_exact(A, nested=True, replacement=r) for r in (False, True))
    without, with_ = (de_sa_square(5, Fraction(1, 2), 5, replacement=r).norm / 1024 for r in (False, True))
    ensure(norm_le(nested, without), "the mean square without replacement")
    ensure(norm_ge(nested_repeated, with_, ones), "the mean square with replacement")
    ensure(without < with_, f"{without} is not below {with_}")
    ensure(loewner_le(nested, nested_repeated), "Ñ_wo ⪯ Ñ_wr")
    rates: SamplingRates[Fraction] = sampling_rates_exact(A, EPOCHS)
    rows = [
        (epoch + 1, *(float(column[epoch]) for column in columns))
        for columns in ((rates.mean_without, rates.mean_with, rates.square_without, rates.square_with),)
        for epoch in range(EPOCHS)
    ]
    numbers = {"mean_without": "19/512", "mean_with": "1/32", "nested_ratio": float(without / with_)}
    reason = f"‖E_wo‖ = 19/512 > 1/32 = ‖E_wr‖, yet Ñ_wo ⪯ Ñ_wr with the ratio {float(without / with_):.6f}"
    tables = {"from_ones": Table(("epoch", "mean_without", "mean_with", "square_without", "square_with"), tuple(rows))}
    return Verdict(Status.PROVED, Evidence.EXACT, reason, numbers, tables=tables)
