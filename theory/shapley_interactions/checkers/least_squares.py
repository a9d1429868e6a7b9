"""The regressions, solved exactly: the limit of weighted least squares as the outer weight grows, and the constrained
form.

Main definitions: `Regression`, `limit_operator`, `finite_operator`, `constrained_operator`, `minimiser`, `NotUnique`.
Main statements (proofs in docs/shapley_interactions.md): lim_{M→∞} (X'W_M X)⁻¹ X'W_M is *lexicographic* least squares:
minimise the outer sum of squares, then the inner weighted sum among its minimisers.
Implementation notes: constraints are brought to reduced echelon form, x = x₀ + Nz, and the inner sum is minimised over
z. "X_o x = y_o" is not what the limit solves: from order 2 on it has no solution.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from flint import fmpq_mat

from constructions.errors import require_int
from theory.shapley_interactions.checkers import weights
from theory.shapley_interactions.checkers.operators import derivative_sums, design_matrix, inclusion, rational
from theory.shapley_interactions.checkers.weights import MOST_PLAYERS


class NotUnique(ValueError):
    """A least-squares problem with more than one minimiser, or with constraints that contradict each other."""


@dataclass(frozen=True)
class Regression:
    """Order k over n players: λ, the weights of the inner sizes, and the outer sizes; other sizes are left out."""

    n: int
    k: int
    design: tuple[Fraction, ...]
    inner: Mapping[int, Fraction]
    outer: frozenset[int]

    @classmethod
    def of(cls, n: int, k: int, **changed) -> Regression:
        """The regression of the index; `changed` replaces fields, which is how broken ones are made.

        For n < 2k no size is inner, and what is left are the outer equations alone.
        """
        require_int("n", n, 1, MOST_PLAYERS)
        require_int("k", k, 1, n)
        inner = weights.kernel(n, k) if n >= 2 * k else {}
        fields = {
            "design": weights.design(k),
            "inner": inner,
            "outer": frozenset(range(n + 1)) - set(inner),
        }
        return cls(n, k, **(fields | changed))

    def matrix(self) -> fmpq_mat:
        """X, a row a coalition."""
        return design_matrix(self.n, self.k, self.design)

    def weight(self, outer: Fraction | int) -> list[Fraction]:
        """Coalition by coalition: μ_k on the inner sizes, `outer` on the outer ones, 0 on those left out."""
        by_size = [Fraction(outer) if t in self.outer else self.inner.get(t, Fraction(0)) for t in range(self.n + 1)]
        return [by_size[t.bit_count()] for t in range(1 << self.n)]


def limit_operator(regression: Regression) -> fmpq_mat:
    """L = lim_{M→∞} (X'W_M X)⁻¹ X'W_M, a column a coalition; NotUnique where the limit is no single operator."""
    x = regression.matrix()
    inner = weighted(x, regression.weight(0))
    outer = weighted(x, [Fraction(int(t.bit_count() in regression.outer)) for t in range(1 << regression.n)])
    return minimiser(inner * x, inner, outer * x, outer)


def finite_operator(regression: Regression, outer_weight: int) -> fmpq_mat:
    """(X'W_M X)⁻¹ X'W_M at one M = `outer_weight`; NotUnique where the normal matrix is singular."""
    x = regression.matrix()
    left = weighted(x, regression.weight(require_int("outer_weight", outer_weight, 1)))
    return _solved(left * x, left)


def constrained_operator(n: int, k: int) -> fmpq_mat:
    """T4: the minimiser of Σ_{T inner} μ_k(|T|)(v(T) − Σ_{S ⊆ T} x_S)² under (2), as an operator on v.

    ValueError for n < 2k.
    """
    unanimity = (*[Fraction(0)] * k, Fraction(1))
    x = design_matrix(n, k, unanimity)
    by_size = weights.kernel(n, k)
    inner = weighted(x, [by_size.get(t.bit_count(), Fraction(0)) for t in range(1 << n)])
    return minimiser(inner * x, inner, inclusion(n, k), derivative_sums(n, k))


def minimiser(gram: fmpq_mat, linear: fmpq_mat, constraints: fmpq_mat, right: fmpq_mat) -> fmpq_mat:
    """The x that minimises x'Gx − 2x'(linear·v) under constraints·x = right·v, as an operator on v.

    `gram` G is positive semidefinite. NotUnique for more than one minimiser, or constraints that contradict each other.
    """
    start, null = solutions(constraints, right)
    if null.ncols() == 0:
        return start
    across = null.transpose()
    return start + null * _solved(across * gram * null, across * (linear - gram * start))


def solutions(constraints: fmpq_mat, right: fmpq_mat) -> tuple[fmpq_mat, fmpq_mat]:
    """(x₀, N): the solutions of constraints·x = right·v are x₀v + Nz."""
    unknowns, games = constraints.ncols(), right.ncols()
    both = _beside(constraints, right)
    echelon, rank = both.rref()
    pivots = []
    for i in range(rank):
        pivot = next(j for j in range(both.ncols()) if echelon[i, j] != 0)
        if pivot >= unknowns:
            raise NotUnique("the constraints contradict each other")
        pivots.append(pivot)
    free = [j for j in range(unknowns) if j not in set(pivots)]
    start, null = fmpq_mat(unknowns, games), fmpq_mat(unknowns, len(free))
    for i, pivot in enumerate(pivots):
        for j in range(games):
            start[pivot, j] = echelon[i, unknowns + j]
        for c, j in enumerate(free):
            null[pivot, c] = -echelon[i, j]
    for c, j in enumerate(free):
        null[j, c] = 1
    return start, null


def _beside(first: fmpq_mat, second: fmpq_mat) -> fmpq_mat:
    rows = (a + b for a, b in zip(first.tolist(), second.tolist(), strict=True))
    return fmpq_mat(first.nrows(), first.ncols() + second.ncols(), [value for row in rows for value in row])


def weighted(x: fmpq_mat, weight: Sequence[Fraction]) -> fmpq_mat:
    """X'W for the diagonal W of these weights; ValueError unless there is one a row of X."""
    if len(weight) != x.nrows():
        raise ValueError(f"`weight` must have {x.nrows()} entries, got {len(weight)}")
    scaled = [value * w for row, w in zip(x.tolist(), map(rational, weight), strict=True) for value in row]
    return fmpq_mat(x.nrows(), x.ncols(), scaled).transpose()


def _solved(left: fmpq_mat, right: fmpq_mat) -> fmpq_mat:
    try:
        return left.solve(right)
    except ZeroDivisionError as err:
        raise NotUnique(f"the normal matrix of {left.nrows()} unknowns is singular") from err
