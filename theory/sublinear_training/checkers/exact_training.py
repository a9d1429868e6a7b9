"""Gauss–Newton training in rationals: the slow twin, with its own trees, lists and loops.

    (K∘C) γ = F − Y,   w_r ← w_r − a_r Σ_{i: r fires} γ_i x_i,   F_i = Σ_{r fires at x_i} a_r (⟨w_r, x_i⟩ − b)

The width does not occur (γ = g/√m, Y = √m y): with rational weights, points, shift and labels every step is rational.

Main definitions: `ExactTrainer`, `ExactStep`, `Singular`, `SilentPoint`.
Implementation notes: a stale key is refreshed by ‖w_r − w_r^ref‖² > R², which is rational; path lengths are not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from flint import fmpq, fmpq_mat

from theory.exact import rational

METHODS = ("dense", "eager", "flat", "lazy")
Pairs = tuple[tuple[int, int], ...]


class Singular(ValueError):
    """The Gram matrix of a step is singular."""


class SilentPoint(ValueError):
    """A point fires no unit."""


@dataclass(frozen=True)
class ExactStep:
    """One step: F − Y, γ, fired pairs (unit, point) in order, visits of each tree, nodes written in one, stale pairs
    reported and tested, units refreshed, Σ of squared moves, det(K∘C)."""

    residual: tuple[fmpq, ...]
    solution: tuple[fmpq, ...]
    fired: Pairs
    visits: tuple[int, ...]
    written: int
    reported: int
    candidates: int
    refreshed: tuple[int, ...]
    moves: tuple[fmpq, ...]
    determinant: fmpq

    @property
    def squared_movement(self) -> fmpq:
        return sum(self.moves, fmpq(0))


class ExactTrainer:
    """Weights (m rows of d), signs ±1, points (n rows), labels Y = √m y, shift b and radius R, all rational."""

    def __init__(
        self, weights: Sequence, signs: Sequence[int], points: Sequence, labels: Sequence, bias, radius, *, method: str
    ):
        if method not in METHODS:
            raise ValueError(f"`method` must be one of {', '.join(METHODS)}, got {method!r}")
        self.method, self.signs = method, [int(s) for s in signs]
        self.weights = [[rational(v) for v in row] for row in weights]
        self.points = [[rational(v) for v in row] for row in points]
        self.labels, self.bias, self.radius = [rational(v) for v in labels], rational(bias), rational(radius)
        if len(self.signs) != len(self.weights) or len(self.labels) != len(self.points):
            raise ValueError("`signs` must be as many as `weights`, `labels` as many as `points`")
        if any(sum((v * v for v in x), fmpq(0)) != 1 for x in self.points):
            raise ValueError("`points` must have norm 1")
        self.reference = [list(row) for row in self.weights]
        self.levels = max(0, len(self.weights) - 1).bit_length()
        self.trees = [self._tree(i) for i in range(len(self.points))]
        self.products = [[_dot(x, z) for z in self.points] for x in self.points]

    # --- trees: node 1 the root, None for −∞ ---

    def _tree(self, point: int) -> list[fmpq | None]:
        leaves = 1 << self.levels
        nodes: list[fmpq | None] = [None] * (2 * leaves)
        for unit, row in enumerate(self.weights):
            nodes[leaves + unit] = _dot(row, self.points[point])
        for node in range(leaves - 1, 0, -1):
            nodes[node] = _larger(nodes[2 * node], nodes[2 * node + 1])
        return nodes

    def _query(self, threshold: fmpq) -> tuple[list[tuple[int, int]], tuple[int, ...]]:
        """Pairs with a key above the threshold, and how many nodes each tree compared."""
        found, visits, leaves = [], [], 1 << self.levels
        for point, nodes in enumerate(self.trees):
            stack, seen = [1], 0
            while stack:
                node = stack.pop()
                seen += 1
                value = nodes[node]
                if value is None or not value > threshold:
                    continue
                if node >= leaves:
                    found.append((node - leaves, point))
                else:
                    stack += [2 * node, 2 * node + 1]
            visits.append(seen)
        return sorted(found), tuple(visits)

    def _rekey(self, units: Sequence[int]) -> int:
        """New keys for these units in all trees; nodes written in one."""
        leaves, written = 1 << self.levels, set()
        for unit in units:
            self.reference[unit] = list(self.weights[unit])
            for point, nodes in enumerate(self.trees):
                nodes[leaves + unit] = _dot(self.weights[unit], self.points[point])
            written.add(leaves + unit)
        level = set(written)
        while level and min(level) > 1:
            level = {node >> 1 for node in level}
            written |= level
            for nodes in self.trees:
                for node in level:
                    nodes[node] = _larger(nodes[2 * node], nodes[2 * node + 1])
        return len(written)

    # --- a step ---

    def _find(self) -> tuple[list[tuple[int, int]], tuple[int, ...], int, int]:
        """Fired pairs, visits, stale pairs reported and tested."""
        if self.method == "dense":
            fired = [
                (unit, point)
                for unit, row in enumerate(self.weights)
                for point, x in enumerate(self.points)
                if _dot(row, x) > self.bias
            ]
            return fired, (), 0, 0
        if self.method == "eager":
            fired, visits = self._query(self.bias)
            return fired, visits, 0, 0
        reported, visits = self._query(self.bias - self.radius)
        tested = [(unit, point) for unit, point in reported if self._may_fire(unit, point)]
        fired = [(u, i) for u, i in tested if _dot(self.weights[u], self.points[i]) > self.bias]
        return fired, visits if self.method == "lazy" else (), len(reported), len(tested)

    def _may_fire(self, unit: int, point: int) -> bool:
        """Whether the stale key and the way since then leave room for ⟨w, x⟩ > b."""
        short = self.bias - _dot(self.reference[unit], self.points[point])
        return short < 0 or short * short < self._displacement(unit)

    def _displacement(self, unit: int) -> fmpq:
        pairs = zip(self.weights[unit], self.reference[unit], strict=True)
        return sum(((w - v) ** 2 for w, v in pairs), fmpq(0))

    def residual(self) -> tuple[fmpq, ...]:
        """F − Y of the weights as they are."""
        return self._residual(self._find()[0])

    def _residual(self, fired: list[tuple[int, int]]) -> tuple[fmpq, ...]:
        sums = [-label for label in self.labels]
        for unit, point in fired:
            sums[point] += self.signs[unit] * (_dot(self.weights[unit], self.points[point]) - self.bias)
        return tuple(sums)

    def step(self) -> ExactStep:
        """Move once; `SilentPoint` or `Singular` where that is not possible."""
        fired, visits, reported, tested = self._find()
        count, at = len(self.points), {}
        for unit, point in fired:
            at.setdefault(unit, []).append(point)
        both = [[0] * count for _ in range(count)]
        for points in at.values():
            for i in points:
                for j in points:
                    both[i][j] += 1
        if not all(both[i][i] for i in range(count)):
            raise SilentPoint(f"point {next(i for i in range(count) if not both[i][i])} fires no unit")
        gram = fmpq_mat([[k * c for k, c in zip(*rows, strict=True)] for rows in zip(self.products, both, strict=True)])
        if gram.det() == 0:
            raise Singular("the Gram matrix is singular")
        residual = self._residual(fired)
        solved = gram.solve(fmpq_mat([[r] for r in residual]))
        solution = [solved[i, 0] for i in range(count)]
        moves = [self._move(unit, [(solution[i], self.points[i]) for i in points]) for unit, points in at.items()]
        units, written = sorted(at), 0
        if self.method in ("flat", "lazy"):
            units = [unit for unit in units if self._displacement(unit) > self.radius**2]
        if self.method != "dense":
            written = self._rekey(units)
        return ExactStep(
            residual, tuple(solution), tuple(fired), visits, written, reported, tested, tuple(units), tuple(moves),
            gram.det(),
        )  # fmt: skip

    def _move(self, unit: int, terms: list[tuple[fmpq, list[fmpq]]]) -> fmpq:
        """Move a unit; the square of its way."""
        change = [sum((g * x[a] for g, x in terms), fmpq(0)) for a in range(len(self.weights[unit]))]
        self.weights[unit] = [w - self.signs[unit] * c for w, c in zip(self.weights[unit], change, strict=True)]
        return sum((c * c for c in change), fmpq(0))


def _dot(first: Sequence[fmpq], second: Sequence[fmpq]) -> fmpq:
    return sum((a * b for a, b in zip(first, second, strict=True)), fmpq(0))


def _larger(first: fmpq | None, second: fmpq | None) -> fmpq | None:
    if first is None or second is None:
        return second if first is None else first
    return max(first, second)
