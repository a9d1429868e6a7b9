"""What each theorem says, as one instrument for one n and k: it compares exact operators and names the first entry in
which they differ.

Main definitions: `forms_agree`, `split_holds`, `corollaries_hold`, `direct_holds`, `constrained_holds`, `k_sii_holds`,
`paired_holds`, `first_available_holds`; each answers with a `TheoremReport`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import comb
from types import MappingProxyType

from flint import fmpq_mat

from constructions.errors import require_int
from theory.claim import Report
from theory.shapley_interactions.checkers import operators, weights
from theory.shapley_interactions.checkers.least_squares import (
    NotUnique,
    Regression,
    constrained_operator,
    finite_operator,
    limit_operator,
    solutions,
    weighted,
)
from theory.shapley_interactions.checkers.operators import matrix, operators_equal, restricted
from theory.shapley_interactions.checkers.paired import sampled_index
from theory.shapley_interactions.checkers.weights import members, sets, subsets


@dataclass(frozen=True)
class TheoremReport(Report):
    """`compared` entries of operators were found equal before the `failure`, if there is one."""

    compared: int
    failure: str | None


class _Comparison:
    """Counts entries and keeps the first failure."""

    def __init__(self) -> None:
        self.compared = 0
        self.failure: str | None = None

    def equal(self, name: str, first: fmpq_mat, second: fmpq_mat, rows: Sequence[int]) -> None:
        """Operators on games, whose rows are these sets."""
        if self.failure is None:
            report = operators_equal(first, second, rows)
            self.compared += first.nrows() * first.ncols() if report.holds else 0
            self.failure = None if report.holds else f"{name}: {report.failure}"

    def holds(self, right: bool, sentence: str) -> None:
        if self.failure is None and not right:
            self.failure = sentence


def _decided(compare: Callable[[_Comparison], None]) -> TheoremReport:
    """The report of a comparison; a regression without a unique solution is a failure, too."""
    found = _Comparison()
    try:
        compare(found)
    except NotUnique as err:
        found.holds(False, str(err))
    return TheoremReport(found.compared, found.failure)


def inner_and_outer(n: int, k: int) -> tuple[set[int], set[int]]:
    """The coalitions of size k … n − k, and all others."""
    inner = {t for t in range(1 << n) if k <= t.bit_count() <= n - k}
    return inner, set(range(1 << n)) - inner


def forms_agree(n: int, k: int) -> TheoremReport:
    """The definition, (1a) and (1b) are one operator, and it satisfies (2)."""

    def compare(found: _Comparison) -> None:
        index = operators.definition(n, k)
        found.equal("definition and (1a)", index, operators.by_weights(n, k), sets(n, k))
        found.equal("definition and (1b)", index, operators.by_moebius(n, k), sets(n, k))
        found.equal("(2)", operators.inclusion(n, k) * index, operators.derivative_sums(n, k), sets(n, k - 1))

    return _decided(compare)


def split_holds(n: int, k: int, regression: Regression | None = None) -> TheoremReport:
    """T1: X'W_M X is invertible; L and Q agree on inner coalitions; Q outside and L inside give SII of the residual.

    The kernel of X'W_M X is the same for every M > 0, so one M decides. A `regression` given stands in for the right
    one.
    """

    def compare(found: _Comparison) -> None:
        used = Regression.of(n, k) if regression is None else regression
        inner, outer = inner_and_outer(n, k)
        found.holds(bool(inner), f"no coalition is inner for n = {n}, k = {k}")
        finite_operator(used, 1)
        limit, index = limit_operator(used), operators.by_weights(n, k)
        found.equal("inner columns", restricted(limit, inner), restricted(index, inner), sets(n, k))
        split = restricted(index, outer) + restricted(limit, inner)
        found.equal("split form", split * operators.residual(n, k), operators.definition(n, k), sets(n, k))

    return _decided(compare)


def corollaries_hold(n: int, k: int) -> TheoremReport:
    """(a) ker X_o = H_k, of dimension C(n,k) − C(n,k−1); (b) the inner Gram matrix is the identity on H_k;
    (c) Q_outer v is orthogonal to H_k, Q_inner v lies in it, and Q_outer ignores the lower orders."""

    def compare(found: _Comparison) -> None:
        regression, index, sums = Regression.of(n, k), operators.by_weights(n, k), operators.inclusion(n, k)
        basis = solutions(sums, fmpq_mat(sums.nrows(), 0))[1]
        across, x = basis.transpose(), regression.matrix()
        dimension, rank = comb(n, k) - comb(n, k - 1), comb(n, k - 1)
        found.holds(basis.ncols() == dimension, f"(a) H_k has dimension {basis.ncols()}, not {dimension}")
        outer = inner_and_outer(n, k)[1]
        rim = weighted(x, [Fraction(int(t in outer)) for t in range(1 << n)]).transpose()
        found.holds(rim.rank() == rank, f"(a) X_o has rank {rim.rank()}, not {rank}")
        found.holds(_vanishes(rim * basis), "(a) X_o does not vanish on H_k")
        gram = across * weighted(x, regression.weight(0)) * x * basis
        found.holds(gram == across * basis, "(b) the inner Gram matrix is not the identity on H_k")
        on_the_rim = restricted(index, outer)
        found.holds(_vanishes(across * on_the_rim), "(c) Q_outer has a part in H_k")
        found.holds(_vanishes(sums * (index - on_the_rim)), "(c) Q_inner has a part off H_k")
        found.holds(_vanishes(on_the_rim * operators.lower_orders(n, k - 1)), "(c) Q_outer sees the lower orders")
        found.compared += gram.nrows() * gram.ncols()

    return _decided(compare)


def _vanishes(found: fmpq_mat) -> bool:
    return found == fmpq_mat(found.nrows(), found.ncols())


def direct_holds(n: int, k: int, regression: Regression | None = None) -> TheoremReport:
    """T2: L applied to the residual game is SII (for n < 2k from the outer equations alone)."""

    def compare(found: _Comparison) -> None:
        used = Regression.of(n, k) if regression is None else regression
        direct = limit_operator(used) * operators.residual(n, k)
        found.equal("direct form", direct, operators.definition(n, k), sets(n, k))

    return _decided(compare)


def constrained_holds(n: int, k: int) -> TheoremReport:
    """T4: the minimiser under (2) is SII, of v and of v less its lower orders; (2) reads outer coalitions only."""

    def compare(found: _Comparison) -> None:
        constrained, index = constrained_operator(n, k), operators.definition(n, k)
        found.equal("constrained form", constrained, index, sets(n, k))
        found.equal("of the residual game", constrained * operators.residual(n, k), index, sets(n, k))
        read = restricted(operators.derivative_sums(n, k), inner_and_outer(n, k)[0])
        found.holds(_vanishes(read), "the constraints read an inner coalition")

    return _decided(compare)


# --- k-SII --------------------------------------------------------------------------------------------------


def k_sii_holds(n: int) -> TheoremReport:
    """T6 for all k ≤ n: recursion, v̂_k as a sum of Φ_k over subsets, efficiency, and n-SII = Möbius."""

    def compare(found: _Comparison) -> None:
        everyone, games = (1 << n) - 1, range(1 << n)
        previous: dict[int, fmpq_mat] = {}
        for k in range(1, n + 1):
            index = operators.aggregated(n, k)
            for s in range(1, k + 1):
                found.equal(f"(i) k = {k}", index[s], _recursion(n, k, s, previous), sets(n, s))
            summed = _summed(n, index)
            found.equal(f"(ii) k = {k}", operators.lower_orders(n, k), summed, games)
            whole = fmpq_mat(1, 1 << n, summed.tolist()[everyone])
            efficient = matrix([[int(t == everyone) for t in games]], 1 << n)
            found.equal(f"(iii) k = {k}", whole, efficient, [everyone])
            previous = index
        found.equal("(iv) v̂_n", operators.lower_orders(n, n), operators.identity(1 << n), games)
        moebius = operators.moebius(n).tolist()
        for s, index in previous.items():
            right = fmpq_mat(comb(n, s), 1 << n, [value for mask in sets(n, s) for value in moebius[mask]])
            found.equal("(iv) n-SII", index, right, sets(n, s))

    return _decided(compare)


def _recursion(n: int, k: int, s: int, previous: Mapping[int, fmpq_mat]) -> fmpq_mat:
    """φ for s = k, else Φ_{k−1}(S) + B_{k−s} Σ_{|L| = k, L ⊇ S} φ(L)."""
    index = operators.by_weights(n, k)
    if s == k:
        return index
    factor = weights.bernoulli(k - s)
    rows = [[factor * int(part & ~whole == 0) for whole in sets(n, k)] for part in sets(n, s)]
    return previous[s] + matrix(rows, comb(n, k)) * index


def _summed(n: int, index: Mapping[int, fmpq_mat]) -> fmpq_mat:
    """v(∅) + Σ_{S ⊆ T} Φ(S), a row a coalition T."""
    found = operators.lower_orders(n, 0)
    for s, part in index.items():
        inside = [[int(mask & ~t == 0) for mask in sets(n, s)] for t in range(1 << n)]
        found += matrix(inside, comb(n, s)) * part
    return found


# --- samples --------------------------------------------------------------------------------------------------


def paired_holds(
    n: int, order: int, drawn: Mapping[int, Fraction], fitted: Mapping[int, Mapping[int, int]] = MappingProxyType({})
) -> TheoremReport:
    """T5: the sample's estimate of this order is SII for every game of degree ≤ `order` + 1, by its unanimity games.

    `fitted` is that of `sampled_index`.
    """

    def compare(found: _Comparison) -> None:
        terms = [a for a in range(1 << n) if a.bit_count() <= order + 1]
        games = matrix([[int(a & ~t == 0) for a in terms] for t in range(1 << n)], len(terms))
        estimate = sampled_index(games, order, drawn, fitted=fitted)[order]
        index = operators.definition(n, order) * games
        for j, a in enumerate(terms):
            right = all(estimate[i, j] == index[i, j] for i in range(index.nrows()))
            found.holds(right, f"order {order} of the unanimity game of {members(a)} is not exact")
        found.compared += index.nrows() * index.ncols()

    return _decided(compare)


# --- first available --------------------------------------------------------------------------------------------


def first_available_game(n: int, player: int | None, before: int) -> list[int]:
    """v(T) = 1[player ∈ T, T ∩ before = ∅], mask by mask; without a player v(T) = 1[T ∩ before = ∅]."""
    require_int("n", n, 1, weights.MOST_PLAYERS)
    return [int(t & before == 0 and (player is None or t >> player & 1 == 1)) for t in range(1 << n)]


def first_available_index(s: int, player: int | None, before: int) -> Fraction:
    """T7's closed form of SII(S) for the mask S = `s` ≠ ∅, with r = |before| + 1 (|before| without a player)."""
    size, rank = s.bit_count(), before.bit_count() + int(player is not None)
    reach = before | (0 if player is None else 1 << player)
    if s & ~reach:
        return Fraction(0)
    if player is None:
        return Fraction((-1) ** size, rank - size + 1)
    if s >> player & 1:
        return Fraction((-1) ** (size - 1), rank - size + 1)
    return Fraction((-1) ** size, (rank - size) * (rank - size + 1))


def first_available_holds(n: int) -> TheoremReport:
    """T7 for every player, every set of players before it, and every S; and for "none of a set is available"."""

    def compare(found: _Comparison) -> None:
        everyone = (1 << n) - 1
        cases = [(a, before) for a in range(n) for before in subsets(everyone ^ 1 << a)]
        cases += [(None, before) for before in subsets(everyone) if before]
        tables = [first_available_game(n, *case) for case in cases]
        games = matrix([list(row) for row in zip(*tables, strict=True)], len(cases))
        for k in range(1, n + 1):
            index = operators.definition(n, k) * games
            for i, s in enumerate(sets(n, k)):
                for j, (player, before) in enumerate(cases):
                    closed = operators.rational(first_available_index(s, player, before))
                    if index[i, j] != closed:
                        who = "nobody" if player is None else f"player {player + 1}"
                        game = f"{who} after {members(before)}"
                        found.holds(False, f"{game}, S = {members(s)}: {index[i, j]}, not {closed}")
                    found.compared += 1

    return _decided(compare)
