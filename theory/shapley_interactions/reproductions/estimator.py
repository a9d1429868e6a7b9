"""The estimator: what paired samples make exact, that the full budget gives the index, that error falls with budget."""

from __future__ import annotations

from fractions import Fraction

import torch
from torch import Tensor

from constructions.shapley_interactions import KernelSHAPIQ, SumOfUnanimity, TableGame, shapley_interactions
from theory.claim import Context, Evidence, Status, Table, Verdict, ensure
from theory.rates import fit_slope
from theory.shapley_interactions.bounds import bernoulli_identities
from theory.shapley_interactions.checkers import operators, paired
from theory.shapley_interactions.checkers.estimates import (
    EstimateReport,
    interactions_match,
    order_matches,
    rational_index,
    said_to_be_exact,
)
from theory.shapley_interactions.checkers.theorems import paired_holds

SLACK = 1e-10
MEANS = {k: dict.fromkeys(range(k, paired.PLAYERS - k + 1), 0) for k in (1, 2)}
"""A constant fitted at every inner size; of order 2 it takes its share of the pairs."""
PAIRS_FOR_MEANS = 9 + len(MEANS[2])
DRAWN_OF, DRAWN = 8, (100, 140)
"""Players, and budgets below 2^n, of paired draws."""
CASES = ((8, 3), (10, 3))
"""Players, and the highest order."""
SLOPE, AT_HALF = -1.0, 0.05
GAMES = ((10, 30), (12, 50))
"""Players and terms of sums of unanimity games."""
BUDGETS = (Fraction(1, 8), Fraction(1, 4), Fraction(3, 8), Fraction(1, 2))
"""Of the 2^n coalitions."""
DRAWS = 10


def paired_exact(context: Context) -> Verdict:
    """T5 on rational instances: a game of degree 3 and, by its unanimity games, every game of that degree."""
    ensure(bernoulli_identities(16), "the symmetry of λ")
    rows = []
    for seed in range(1, 11 if context.full else 3):
        context.log(f"paired sample {seed}")
        sample = paired.paired_sample(seed)
        game = operators.column(sample.values)
        estimate = paired.sampled_index(game, 2, sample.drawn)
        exact = {k: estimate[k] == operators.definition(paired.PLAYERS, k) * game for k in (1, 2)}
        ensure(exact[2], f"seed {seed}: order 2 is not exact")
        pairs = len(sample.drawn) // 2
        cases = [(1, {}), (1, MEANS), (2, {}), *([(2, MEANS)] if pairs >= PAIRS_FOR_MEANS else [])]
        for order, fitted in cases:
            where = f"seed {seed}, order {order}" + (", means fitted" if fitted else "")
            ensure(paired_holds(paired.PLAYERS, order, sample.drawn, fitted), where)
        rows.append((seed, pairs, exact[2], exact[1]))
        _paired_estimates(seed, context)
    reason = (
        "order 2 is exact on every game of degree 3, order 1 on every game of degree 2, in all samples; "
        f"on the samples' own games order 1 is exact in {sum(row[3] for row in rows)} of {len(rows)}; "
        f"and so is the estimator in float64, to {SLACK:g} of the largest value"
    )
    tables = {"samples": Table(("seed", "pairs", "order_2_exact", "order_1_exact"), tuple(rows))}
    return Verdict(Status.PROVED, Evidence.EXACT, reason, {"samples": len(rows)}, tables=tables)


def _paired_estimates(seed: int, context: Context) -> None:
    """The estimator itself, in float64: its paired draws on games of the degree for which they are exact."""
    for order in (1, 2):
        values = paired.game_of_degree(DRAWN_OF, order + 1, paired.congruential(seed))
        table = torch.tensor(values, dtype=torch.float64)
        for spent in DRAWN:
            estimator = KernelSHAPIQ(DRAWN_OF, order, "SII", generator=context.generator(), device=context.device)
            found, where = estimator.estimate(TableGame(table), spent), f"estimator, seed {seed}, {spent} coalitions"
            ensure(not found.exact and not found.rank_deficient, f"{where}: the sample is all, or too small")
            slack = SLACK * float(table.abs().max())
            ensure(order_matches(found, table, order, tolerance=slack), f"{where}, order {order}")


def _coalitions(n: int) -> Tensor:
    """All 2^n coalitions, mask by mask, boolean (2^n, n)."""
    return (torch.arange(1 << n)[:, None] >> torch.arange(n) & 1).bool()


def tables_of_games(n: int, generator: torch.Generator) -> dict[str, Tensor]:
    """Values of two games, mask by mask: any numbers, v(∅) among them; and a sum of unanimity games."""
    values = 2 * torch.rand(1 << n, generator=generator, dtype=torch.float64) - 1
    return {"random": values + 0.5, "unanimity": SumOfUnanimity(n, 40, generator)(_coalitions(n))}


def consistency(context: Context) -> Verdict:
    """Estimator at the full budget, and the exact index, against rational numbers from the same float64 values."""
    rows, generator = [], context.generator()
    for n, highest in (*CASES, *(((12, 4),) if context.full else ())):
        for name, table in tables_of_games(n, generator).items():
            game, tolerance = TableGame(table), Fraction(1, 10**10) * Fraction(float(table.abs().max()))
            for order in range(1, highest + 1):
                context.log(f"full budget: {name}, n = {n}, order {order}")
                for index in ("SII", "k-SII"):
                    estimator = KernelSHAPIQ(n, order, index, generator=context.generator(), device=context.device)
                    found = estimator.estimate(game, 2**n)
                    full = interactions_match(found, table, index, order, tolerance=tolerance)
                    where = f"{name}, n = {n}, order {order}, {index}"
                    ensure(full, f"estimator, {where}")
                    ensure(said_to_be_exact(found, 2**n), f"estimator, {where}")
                    direct = _exact_index(table, index, order, tolerance, where, context)
                    rows.append((name, n, order, index, full.worst, direct.worst))
                where = f"{name}, n = {n}, order {order}, Moebius"
                _exact_index(table, "Moebius", order, tolerance, where, context)
    tables = {"errors": Table(("game", "n", "order", "index", "estimator", "exact_index"), tuple(rows))}
    worst = max(row[4] for row in rows)
    numbers = {"worst_error": worst, "worst_error_of_the_exact_index": max(row[5] for row in rows), "slack": SLACK}
    reason = f"the largest error at the full budget is {worst:.1e}, the slack {SLACK:g} of the largest value"
    return Verdict(Status.CERTIFIED, Evidence.EXACT, reason, numbers, tables=tables)


def _exact_index(
    table: Tensor, index: str, order: int, tolerance: Fraction, where: str, context: Context
) -> EstimateReport:
    n = len(table).bit_length() - 1
    found = shapley_interactions(TableGame(table), n, order, index, device=context.device)
    report = interactions_match(found, table, index, order, tolerance=tolerance)
    ensure(report, f"exact index, {where}")
    ensure(said_to_be_exact(found, 2**n), f"exact index, {where}")
    return report


def budget(context: Context) -> Verdict:
    """The slope of ln MSE in ln budget over four budgets, on two fixed games, orders 1 and 2, paired and not; and the
    error at the largest budget in units of the mean square of the index, lest a slope hide a wrong constant."""
    draws, rows, slopes = 3 * DRAWS if context.full else DRAWS, [], []
    fixed = torch.Generator().manual_seed(1)
    for n, terms in GAMES:
        table = SumOfUnanimity(n, terms, fixed)(_coalitions(n))
        right = {
            k: torch.tensor([float(v) for v in row], dtype=torch.float64)
            for k, row in rational_index(table.tolist(), 2).items()
        }
        budgets = [int(part * 2**n) for part in BUDGETS]
        for pairs in (True, False):
            context.log(f"errors at {len(budgets)} budgets: n = {n}, {'paired' if pairs else 'unpaired'}")
            errors = [_relative_errors(TableGame(table), b, pairs, right, draws, context) for b in budgets]
            for k in right:
                curve = [error[k] for error in errors]
                rows += [(n, pairs, k, b, error) for b, error in zip(budgets, curve, strict=True)]
                fit = fit_slope(budgets, curve)
                slopes.append((n, pairs, k, fit.slope, fit.error, curve[-1]))
    tables = {
        "errors": Table(("n", "paired", "order", "budget", "relative_mse"), tuple(rows)),
        "slopes": Table(("n", "paired", "order", "slope", "slope_error", "relative_mse_at_half"), tuple(slopes)),
    }
    flattest, largest = max(row[3] + 2 * row[4] for row in slopes), max(row[5] for row in slopes)
    ensure(flattest < SLOPE, f"a slope plus twice its error is {flattest:.2f}, not below {SLOPE:g}", **tables)
    ensure(largest < AT_HALF, f"an error at half the coalitions is {largest:.2g} of the mean square", **tables)
    reason = (
        f"every slope of ln MSE in ln budget plus twice its error is below {flattest:.2f}, and MSE at half the "
        f"coalitions below {largest:.2g} of the mean square of the index, over {draws} draws each"
    )
    numbers = {"flattest_slope": flattest, "largest_relative_mse_at_half": largest, "draws": draws}
    return Verdict(Status.NOT_REFUTED, Evidence.FITTED, reason, numbers, tables=tables)


def _relative_errors(
    game: TableGame, budget: int, pairs: bool, right: dict[int, Tensor], draws: int, context: Context
) -> dict[int, float]:
    """Order ↦ mean squared error over all interactions and draws, in units of their mean square."""
    totals = dict.fromkeys(right, 0.0)
    for draw in range(draws):
        generator = torch.Generator().manual_seed((context.seed + draw) % 2**63)
        estimator = KernelSHAPIQ(game.n, max(right), "SII", paired=pairs, generator=generator, device=context.device)
        found = estimator.estimate(game, budget)
        ensure(not found.rank_deficient, f"n = {game.n}: a sample of {budget} does not determine the index")
        for k, truth in right.items():
            totals[k] += float((found.order(k).cpu() - truth).square().mean() / truth.square().mean()) / draws
    return totals
