"""Order 1 and 2 from a sample of the inner coalitions, in rational numbers: what paired weights make exact.

Main definitions: `congruential`, `game_of_degree`, `Sample`, `paired_sample`, `sampled_index`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from types import MappingProxyType

from flint import fmpq_mat

from constructions.errors import require_int
from theory.shapley_interactions.checkers import weights
from theory.shapley_interactions.checkers.least_squares import minimiser, weighted
from theory.shapley_interactions.checkers.operators import derivative_sums, design_matrix, inclusion, matrix

PLAYERS = 6
PAIRS_KEPT_ABOVE = -20


def congruential(seed: int) -> Iterator[int]:
    """The integers ⌊x/65536⌋ mod 201 − 100 of x ← (1103515245x + 12345) mod 2^31, from x = `seed`."""
    x = require_int("seed", seed, 0)
    while True:
        x = (1103515245 * x + 12345) % 2**31
        yield x // 65536 % 201 - 100


def congruential_game(n: int, seed: int) -> list[int]:
    """2^n values between −100 and 100, mask by mask."""
    require_int("n", n, 1, weights.MOST_PLAYERS)
    return list(islice(congruential(seed), 1 << n))


def game_of_degree(n: int, degree: int, numbers: Iterator[int]) -> list[int]:
    """v(T) = Σ_{A ⊆ T} m(A), with the next number as m(A) for every |A| ≤ `degree` in the order of masks."""
    values = [next(numbers) if a.bit_count() <= degree else 0 for a in range(1 << n)]
    for i in range(n):
        for mask in range(1 << n):
            if mask >> i & 1:
                values[mask] += values[mask ^ 1 << i]
    return values


@dataclass(frozen=True)
class Sample:
    """A game of PLAYERS players and the weights ω of the coalitions of size 2 … n − 2 that were looked at."""

    values: tuple[int, ...]
    drawn: Mapping[int, Fraction]


def paired_sample(seed: int) -> Sample:
    """A game of degree 3, and pairs of complementary coalitions with equal weights."""
    numbers = congruential(seed)
    game, full = game_of_degree(PLAYERS, 3, numbers), (1 << PLAYERS) - 1
    inner = [t for t in range(1 << (PLAYERS - 1)) if 2 <= t.bit_count() <= PLAYERS - 2]
    kept = [t for t in inner if next(numbers) > PAIRS_KEPT_ABOVE]
    drawn = {}
    for t in kept:
        drawn[t] = drawn[full ^ t] = Fraction(1 + abs(next(numbers)), 7)
    return Sample(tuple(game), drawn)


def sampled_index(
    games: fmpq_mat,
    order: int,
    drawn: Mapping[int, Fraction],
    *,
    fitted: Mapping[int, Mapping[int, int]] = MappingProxyType({}),
    residual: bool = True,
    constrained: bool = True,
) -> dict[int, fmpq_mat]:
    """k ↦ the estimate of SII of order k, for k ≤ `order`: constrained least squares on a sample, a column a game.

    `games` are whole games as columns, of which only the coalitions in `drawn` (with their weights ω) and those of
    sizes below `order` and above n − `order` (weight 1) are used. `fitted` are, for each k, sizes t ↦ j: beside the
    index any function Σ_{|R| = j} a_R·1[R ⊆ T] is fitted to the coalitions of that size. Without `residual` lower
    orders are not subtracted, without `constrained` the inner sum alone is minimised. ValueError for games of no 2^n
    values or weights that are not positive, NotUnique for a sample that does not determine the estimate.
    """
    n = games.nrows().bit_length() - 1
    if games.nrows() != 1 << n:
        raise ValueError(f"`games` must have 2^n rows, got {games.nrows()}")
    if not all(w > 0 for w in drawn.values()):
        raise ValueError("`drawn` must have positive weights")
    y = games - _first_row_repeated(games)
    found: dict[int, fmpq_mat] = {}
    for k in range(1, order + 1):
        x, weight = design_matrix(n, k), _weights(n, k, order, drawn)
        inner = weighted(x, weight)
        inner -= inner * _explained(n, weight, fitted.get(k, {}))
        sums, right = inclusion(n, k), derivative_sums(n, k)
        if not constrained:
            sums, right = fmpq_mat(0, x.ncols()), fmpq_mat(0, 1 << n)
        found[k] = minimiser(inner * x, inner * y, sums, right * y)
        if residual:
            y = y - x * found[k]
    return found


def _weights(n: int, k: int, order: int, drawn: Mapping[int, Fraction]) -> list[Fraction]:
    """μ_k·ω, coalition by coalition; 0 where nothing was drawn and on the sizes that are outer for k."""
    kernel, found = weights.kernel(n, k), []
    for mask in range(1 << n):
        size = mask.bit_count()
        seen = drawn.get(mask, Fraction(0)) if order <= size <= n - order else Fraction(1)
        found.append(kernel.get(size, Fraction(0)) * seen)
    return found


def _explained(n: int, weight: Sequence[Fraction], fitted: Mapping[int, int]) -> fmpq_mat:
    """F (F'WF)⁻¹ F'W of the fitted functions F, as many of them as the sample tells apart: what they explain of y."""
    listed = [(t, r) for t, j in fitted.items() for r in weights.sets(n, j)]
    columns = [[int(mask.bit_count() == t and r & ~mask == 0) for t, r in listed] for mask in range(1 << n)]
    functions = matrix(columns, len(listed))
    seen = weighted(functions, weight)
    echelon, rank = (seen * functions).rref() if listed else (seen, 0)
    pivots = [next(j for j in range(len(listed)) if echelon[i, j] != 0) for i in range(rank)]
    kept = matrix([[row[j] for j in pivots] for row in columns], rank)
    within = weighted(kept, weight)
    return kept * (within * kept).solve(within) if rank else fmpq_mat(1 << n, 1 << n)


def _first_row_repeated(games: fmpq_mat) -> fmpq_mat:
    """v(∅) on every coalition."""
    first = games.tolist()[0]
    return fmpq_mat(games.nrows(), games.ncols(), first * games.nrows())
