"""Search for certificates: a semidefinite program in floating point, rounded to rationals that satisfy the identity.

The unknowns are the entries of H and G_0, one an orbit. The identity is a linear system over the rationals, one
equation a word up to renaming; elimination leaves a few free entries. cvxpy and Clarabel find values of them with
H ⪰ tI, G_0 ⪰ tI and t as large as possible; these are rounded, and the other entries follow exactly. For the upper half
with the bound (n)_m, where A_i = I gives equality, G_0 kills the vector of ones: that is added to the system, and
G_0 ⪰ tI is asked on its complement. What comes out is checked by `theory.am_gm.checkers`, like anybody's file.

Needs the extra `momlp[sdp]`.

Main definition: `search_certificate`.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from flint import fmpq, fmpq_mat

from constructions.am_gm.certificate import SIDES, Certificate
from constructions.am_gm.orbits import Pair, Word, first_pair, growing_words, orbits, words_up_to
from constructions.errors import BudgetExceeded, require_choice, require_int, shown
from constructions.progress import silent

MOST_WORDS = 100
LEAST_MARGIN = 1e-7
LARGEST_DENOMINATOR = 10**12


def search_certificate(
    n: int,
    m: int,
    side: str,
    bound: Fraction | int | None = None,
    *,
    denominator: int = 10**6,
    log: Callable[[str], None] = silent,
) -> Certificate | None:
    """A candidate for s f ⪯ bound ((n)_m when None), or None when no strictly feasible one is found.

    `denominator` is that of the free entries. ImportError without the extra `sdp`; BudgetExceeded for more than 100
    words (m ≥ 6, n ≥ 5).
    """
    require_int("n", n, 1, 9)
    require_int("m", m, 1, n)
    require_choice("side", side, tuple(SIDES))
    value = math.perm(n, m) if bound is None else bound
    if isinstance(value, bool) or not isinstance(value, (int, Fraction)):
        raise TypeError(f"`bound` must be an integer or a Fraction, got {shown(bound)}")
    require_int("denominator", denominator, 1, LARGEST_DENOMINATOR)
    count = sum(n**j for j in range(m // 2 + 1))
    if count > MOST_WORDS:
        raise BudgetExceeded(f"`n` and `m` give matrices of {count} words, at most {MOST_WORDS} are searched")
    program = _Program.of(n, m, side, Fraction(value))
    if program is None:
        log("the linear system has no solution")
        return None
    free = program.solved(log)
    return None if free is None else program.certificate([Fraction(round(z * denominator), denominator) for z in free])


@dataclass(frozen=True)
class _Program:
    """Entries x = shift + Σ_f z_f directions[f], exactly, with the places of H's and G_0's orbits in x."""

    n: int
    m: int
    side: str
    bound: Fraction
    pairs: list[tuple[str, Pair]]
    free: list[int]
    shift: list[Fraction]
    directions: list[list[Fraction]]
    tight: bool

    @classmethod
    def of(cls, n: int, m: int, side: str, bound: Fraction) -> _Program | None:
        """None when no entries satisfy the identity."""
        longest = m // 2
        pairs = [("H", p) for p in orbits(n, longest, fixed=0)] + [("G", p) for p in orbits(n, longest, fixed=1)]
        tight = side == "upper" and bound == math.perm(n, m)
        solved = _solved(_equations(n, m, side, bound, pairs, tight), len(pairs))
        return None if solved is None else cls(n, m, side, bound, pairs, *solved, tight)

    def certificate(self, free: Sequence[Fraction]) -> Certificate:
        """The certificate with these free entries."""
        x = list(self.shift)
        for z, direction in zip(free, self.directions, strict=True):
            x = [a + z * b for a, b in zip(x, direction, strict=True)]
        parts = {name: {p: v for (kind, p), v in zip(self.pairs, x, strict=True) if kind == name} for name in "HG"}
        return Certificate(self.n, self.m, self.side, self.bound, parts["H"], parts["G"])

    def solved(self, log: Callable[[str], None]) -> list[float] | None:
        """Free entries with the largest margin, or None when that is not positive."""
        cvxpy = _cvxpy()
        z, t = cvxpy.Variable(max(1, len(self.free))), cvxpy.Variable()
        constraints = [t <= 1]
        for name, fixed in (("H", 0), ("G", 1)):
            constant, linear = self._affine(name, fixed)
            size = len(constant)
            basis = _complement_of_ones(size) if self.tight and name == "G" else np.eye(size)
            flat = np.stack([(basis.T @ M @ basis).ravel() for M in linear] or [np.zeros(basis.shape[1] ** 2)], axis=1)
            rows = basis.shape[1]
            matrix = cvxpy.reshape(flat @ z + (basis.T @ constant @ basis).ravel(), (rows, rows), order="C")
            constraints.append((matrix + matrix.T) / 2 - t * np.eye(rows) >> 0)
        problem = cvxpy.Problem(cvxpy.Maximize(t), constraints)
        log(f"a semidefinite program in {len(self.free)} free entries")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # of inaccuracy: the exact check alone decides
                problem.solve(solver=cvxpy.CLARABEL)
        except cvxpy.error.SolverError as err:
            log(f"the solver gave up: {err}")
            return None
        margin = None if t.value is None else float(t.value)
        log(f"{problem.status}, margin {margin}")
        if margin is None or not margin > LEAST_MARGIN:
            return None
        return [float(v) for v in z.value[: len(self.free)]]

    def _affine(self, name: str, fixed: int) -> tuple[np.ndarray, list[np.ndarray]]:
        """The matrix as shift + Σ_f z_f directions[f], in floating point."""
        words = words_up_to(self.n, self.m // 2)
        place = {p: i for i, (kind, p) in enumerate(self.pairs) if kind == name}
        index = np.array([[place[first_pair(u, v, fixed=fixed)] for v in words] for u in words])
        constant, *linear = (np.array([float(v) for v in x])[index] for x in (self.shift, *self.directions))
        return constant, linear


def _cvxpy() -> Any:
    try:
        import clarabel  # noqa: F401
        import cvxpy
    except ImportError as err:
        raise ImportError("the search for certificates needs cvxpy and clarabel: pip install 'momlp[sdp]'") from err
    return cvxpy


def _complement_of_ones(size: int) -> np.ndarray:
    """An orthonormal basis (size, size − 1) of the vectors whose entries sum to 0."""
    return np.linalg.qr(np.concatenate([np.ones((size, 1)), np.eye(size)[:, 1:]], axis=1))[0][:, 1:]


# --- the linear system ----------------------------------------------------------------------------------


def _equations(
    n: int, m: int, side: str, bound: Fraction, pairs: list[tuple[str, Pair]], tight: bool
) -> list[dict[int, Fraction]]:
    """Rows column -> coefficient, the right sides in column len(pairs)."""
    longest, right = m // 2, len(pairs)
    place = {key: i for i, key in enumerate(pairs)}
    rows: list[dict[int, Fraction]] = []
    for word in growing_words(n, 2 * longest + 1):
        row: dict[int, Fraction] = {}
        for cut in range(len(word) + 1):
            u, rest = word[:cut][::-1], word[cut:]
            if len(u) <= longest and len(rest) <= longest:
                _add(row, place["H", first_pair(u, rest, fixed=0)], n)
            if rest and len(u) <= longest and len(rest) <= longest + 1:
                i, v = rest[0], rest[1:]
                _add(row, place["H", first_pair(u, v, fixed=0)], -1)
                _add(row, place["G", first_pair(_swapped(u, i), _swapped(v, i), fixed=1)], 1)
        distinct = len(word) == m and len(set(word)) == m
        _add(row, right, (bound if not word else Fraction(0)) - (SIDES[side] if distinct else 0))
        rows.append(row)
    if tight:
        words = words_up_to(n, longest)
        for u in words:
            row = {}
            for v in words:
                _add(row, place["G", first_pair(u, v, fixed=1)], 1)
            rows.append(row)
    return rows


def _add(row: dict[int, Fraction], column: int, value: Fraction | int) -> None:
    row[column] = row.get(column, Fraction(0)) + value


def _swapped(word: Word, i: int) -> Word:
    swap = {0: i, i: 0}
    return tuple(swap.get(c, c) for c in word)


def _solved(
    rows: list[dict[int, Fraction]], columns: int
) -> tuple[list[int], list[Fraction], list[list[Fraction]]] | None:
    """The free columns, and all solutions as shift + Σ z_f direction_f; None for a contradiction.

    Columns are reversed, so that the last ones become pivots: those of G, which are more than those of H.
    """
    order = [*range(columns - 1, -1, -1), columns]
    entries = [[row.get(c, Fraction(0)) for c in order] for row in rows]
    flat = [fmpq(v.numerator, v.denominator) for row in entries for v in row]
    reduced, rank = fmpq_mat(len(rows), columns + 1, flat).rref()
    table = [[Fraction(int(v.p), int(v.q)) for v in row] for row in reduced.tolist()[:rank]]
    pivots = [next(c for c, v in enumerate(row) if v) for row in table]
    if columns in pivots:
        return None
    free = [c for c in range(columns) if c not in pivots]
    shift = [Fraction(0)] * columns
    directions = [[Fraction(int(order[c] == column)) for column in range(columns)] for c in free]
    for row, pivot in zip(table, pivots, strict=True):
        shift[order[pivot]] = row[columns]
        for direction, c in zip(directions, free, strict=True):
            direction[order[pivot]] = -row[c]
    return [order[c] for c in free], shift, directions
