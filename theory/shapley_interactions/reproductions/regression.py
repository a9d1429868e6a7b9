"""The index as a regression: the split form, the direct form where it holds and fails, the constrained form."""

from __future__ import annotations

from fractions import Fraction

from theory.claim import Context, Evidence, Status, Table, Verdict, ensure
from theory.shapley_interactions.bounds import HIGHEST, N, beta_identity, general_step, order_three, steps_of_order
from theory.shapley_interactions.checkers import operators
from theory.shapley_interactions.checkers.harmonics import constant_direct, constant_index, direct_fails, scalars_hold
from theory.shapley_interactions.checkers.least_squares import Regression, limit_operator
from theory.shapley_interactions.checkers.theorems import (
    constrained_holds,
    corollaries_hold,
    direct_holds,
    split_holds,
)
from theory.shapley_interactions.reproductions.cases import compared, orders, total

SYMBOLIC_ORDERS = 4
SCALAR_ORDERS, SCALAR_PLAYERS = 8, 30
LARGEST = 8
"""Of the numbers of players whose operators are compared; two more in the full budget."""
FAILING_ORDERS = (3, 4, 5)


def split_wls(context: Context) -> Verdict:
    """T1: its steps for symbolic n and t, its scalars in rationals, the operators themselves for small n."""
    ensure(beta_identity(), "the Beta integral")
    ensure(general_step(), "step 3")
    derived = 0
    for k in range(1, (HIGHEST if context.full else SYMBOLIC_ORDERS) + 1):
        context.log(f"split form: steps of order {k} for every n and t")
        report = steps_of_order(k)
        ensure(report, "polynomial identities")
        derived += report.checked
    scalars = 0
    for k in range(1, SCALAR_ORDERS + 1):
        context.log(f"split form: scalars of order {k}")
        for n in range(2 * k, SCALAR_PLAYERS + (11 if context.full else 1)):
            report = scalars_hold(n, k)
            ensure(report, "scalars")
            scalars += report.checked
    cases = orders(range(2, LARGEST + (3 if context.full else 1)), doubled=True)
    table = compared(context, "split form", split_holds, cases)
    also = compared(context, "corollaries", corollaries_hold, cases)
    reason = f"{derived} identities of polynomials in n and t, {scalars} scalars, operators for {len(cases)} pairs n, k"
    numbers = {"identities": derived, "scalars": scalars} | total(table)
    return Verdict(Status.PROVED, Evidence.SYMBOLIC, reason, numbers, tables={"entries": table, "corollaries": also})


def direct_wls(context: Context) -> Verdict:
    """T2 as operators on all games of up to 6 (7) players; n = 2 and 3 for pairs from the outer equations alone."""
    largest = 7 if context.full else 6
    cases = [(n, k) for k in (1, 2) for n in range(2, largest + 1)]
    table = compared(context, "direct form", direct_holds, cases)
    reason = f"the limit of least squares is the index for k = 1, 2 and every game of 2 to {largest} players"
    return Verdict(Status.PROVED, Evidence.EXACT, reason, total(table), tables={"entries": table})


def _singletons(n: int) -> list[int]:
    return [int(t == 1) for t in range(n + 1)]


def _direct(n: int, values: list[int]) -> list[Fraction]:
    """The direct form of order 3 of v(T) = values[|T|], by the operator on all 2^n coalitions."""
    game = operators.column([values[t.bit_count()] for t in range(1 << n)])
    return operators.entries(limit_operator(Regression.of(n, 3)) * operators.residual(n, 3) * game)


def _index(n: int, values: list[int]) -> list[Fraction]:
    game = operators.column([values[t.bit_count()] for t in range(1 << n)])
    return operators.entries(operators.definition(n, 3) * game)


def direct_wls_order3(context: Context) -> Verdict:
    """T3: both forms of v = 1[|T| = 1] from the operators and in closed form, and failing games of orders 3, 4, 5."""
    closed = order_three()
    rows = []
    for n in range(5, 9 if context.full else 7):
        context.log(f"direct form of order 3: n = {n}")
        direct, index = _direct(n, _singletons(n)), _index(n, _singletons(n))
        symbolic = [Fraction(str(value.subs(N, n))) for value in (closed.direct, closed.index)]
        scalar = [constant_direct(n, 3, _singletons(n)), constant_index(n, 3, _singletons(n))]
        ensure(set(direct) == {symbolic[0]} == {scalar[0]}, f"n = {n}: three values of the direct form: {direct[0]}")
        ensure(set(index) == {symbolic[1]} == {scalar[1]}, f"n = {n}: three values of the index: {index[0]}")
        ensure(direct[0] != index[0], f"n = {n}: both forms give {index[0]}")
        rows.append((n, str(direct[0]), str(index[0])))
    never = all(n < 5 or n.q != 1 for n in closed.equal_at)
    ensure(never, f"the closed forms agree at n in {closed.equal_at}")
    failures = []
    for k in FAILING_ORDERS:
        for n in range(k + 2, 31):
            found = direct_fails(n, k)
            ensure(found is not None, f"k = {k}, n = {n}: every game 1[|T| = a] comes out right")
            failures.append((k, n, *map(str, found or ())))
    direct, index = rows[1][1:]
    witness = (
        f"n = 6, v = 1[|T| = 1]: the limit of weighted least squares on v − v̂_2 gives every triple {direct}, SII is "
        f"{index}; {closed.direct} against {closed.index} for every n ≥ 5"
    )
    tables = {
        "triples": Table(("n", "direct_form", "index"), tuple(rows)),
        "failures": Table(("k", "n", "size", "direct_form", "index"), tuple(failures)),
    }
    reason = (
        f"the direct form of order 3 gives {direct} where the index is {index}; order 4 and 5 fail up to n = 30 too"
    )
    numbers = {"direct_form": direct, "index": index, "failing_orders_and_n": len(failures)}
    return Verdict(Status.REFUTED, Evidence.EXACT, reason, numbers, witness=witness, tables=tables)


def constrained_wls(context: Context) -> Verdict:
    """T4 as operators on all games, of v itself and of its residual game."""
    cases = orders(range(2, LARGEST + (3 if context.full else 1)), doubled=True)
    table = compared(context, "constrained form", constrained_holds, cases)
    reason = f"the constrained minimiser is unique and is the index, on every game of the {len(cases)} pairs n, k"
    return Verdict(Status.PROVED, Evidence.EXACT, reason, total(table), tables={"entries": table})
