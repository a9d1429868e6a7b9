"""Which activation patterns are realised: a point inside by a linear program, or a Farkas certificate in rationals.

Under a pattern every pre-activation is an affine function a·x + c. The cell {s_i(a_i·x + c_i) > 0 for all i, x in the
box} is open; the program max t ≤ 1 with s_i(a_i·x + c_i) ≥ t‖a_i‖ finds a point of it, or multipliers y ≥ 0. Neither is
believed: the point is looked at in exact arithmetic (`witness`), and a cell is *refuted* only where rational y ≥ 0, not
all 0, have

    sup over the box of Σ y_i s_i (a_i·x + c_i) ≤ 0:

inside the cell that sum would be positive. Functions that are 0 everywhere (a_i = 0, c_i = 0) count for nothing.
Without a box Σ y_i s_i a_i must be exactly 0, and where kinks meet in a point or a plane the sum is exactly 0: the
program's y are then moved to the nearest rational solution of the equations that they nearly satisfy.

Main definitions: `Side`, `Cells`.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from flint import fmpq, fmpq_mat
from scipy.optimize import linprog
from torch import Tensor

from theory.exact import fraction, rational
from theory.lipschitz_expressiveness.checkers.network import Network
from theory.lipschitz_expressiveness.checkers.witness import Bits

KEPT = 4096
"""Layers' affine functions that are remembered."""

REALISED = 1e-9
"""Margin of the program above which its point is worth a look."""

SUPPORT = 1e-7
"""Multipliers below this share of the largest are taken for 0."""


@dataclass(frozen=True)
class Side:
    """Unit `unit` of the layer after `prefix` (the patterns of the layers before it) is positive, or negative."""

    prefix: Bits
    unit: int
    positive: bool


@dataclass(frozen=True)
class Region:
    """The program's answer: margin t, its point x (n,), and multipliers y of the sides."""

    margin: float
    point: np.ndarray
    multipliers: np.ndarray


class Cells:
    """The cells of a piecewise affine network in a box lower ≤ x ≤ upper (n,), or in R^n. On the CPU."""

    def __init__(self, network: Network, lower: Tensor | None, upper: Tensor | None):
        self.network = network
        self.weights = [layer.weight.numpy() for layer in network.hidden]
        self.biases = [layer.bias.numpy() for layer in network.hidden]
        self.alphas = [layer.alpha.numpy() for layer in network.hidden if layer.alpha is not None]
        self._near: OrderedDict[Bits, tuple[np.ndarray, np.ndarray]] = OrderedDict()
        self._exact: OrderedDict[Bits, tuple[fmpq_mat, fmpq_mat]] = OrderedDict()
        self._exact_weights: list[tuple[fmpq_mat, fmpq_mat]] = []
        self.programs = 0
        self.box: tuple[np.ndarray, np.ndarray] | None = None
        self.set_box(lower, upper)

    def set_box(self, lower: Tensor | None, upper: Tensor | None) -> None:
        """Go on with another box (n,), keeping what is known of patterns."""
        self.box = None if lower is None or upper is None else (lower.numpy(), upper.numpy())

    # --- affine functions under a pattern

    def functions(self, prefix: Bits) -> tuple[np.ndarray, np.ndarray]:
        """a (width, n) and c (width,) of the layer after `prefix`, in float64."""
        found = self._near.get(prefix)
        if found is None:
            layer = len(prefix)
            weight, bias = self.weights[layer], self.biases[layer]
            if layer == 0:
                found = weight, bias
            else:
                a, c = self.functions(prefix[:-1])
                slope = np.where(np.array(prefix[-1]), 1.0, self.alphas[layer - 1])
                found = weight @ (slope[:, None] * a), weight @ (slope * c) + bias
            _keep(self._near, prefix, found)
        return found

    def exact_functions(self, prefix: Bits) -> tuple[fmpq_mat, fmpq_mat]:
        """a (width, n) and c (width, 1) of the layer after `prefix`, in rationals."""
        found = self._exact.get(prefix)
        if found is None:
            weight, bias = self._rationals(len(prefix))
            if not prefix:
                found = weight, bias
            else:
                a, c = self.exact_functions(prefix[:-1])
                alpha = self.alphas[len(prefix) - 1]
                slope = [fmpq(1) if on else rational(float(s)) for on, s in zip(prefix[-1], alpha, strict=True)]
                found = weight * _rows_scaled(slope, a), weight * _rows_scaled(slope, c) + bias
            _keep(self._exact, prefix, found)
        return found

    def _rationals(self, layer: int) -> tuple[fmpq_mat, fmpq_mat]:
        while len(self._exact_weights) <= layer:
            weight, bias = self.weights[len(self._exact_weights)], self.biases[len(self._exact_weights)]
            pair = (
                fmpq_mat(weight.shape[0], weight.shape[1], [rational(v) for v in weight.ravel().tolist()]),
                fmpq_mat(len(bias), 1, [rational(v) for v in bias.tolist()]),
            )
            self._exact_weights.append(pair)
        return self._exact_weights[layer]

    def constant_sign(self, prefix: Bits, unit: int) -> int | None:
        """The sign −1, 0, 1 of a unit whose pre-activation is constant under `prefix`; None where it is not."""
        if np.abs(self.functions(prefix)[0][unit]).max() > 1e-9 * np.abs(self.weights[len(prefix)][unit]).max():
            return None
        a, c = self.exact_functions(prefix)
        if any(a[unit, j] != 0 for j in range(a.ncols())):
            return None
        return int(c[unit, 0] > 0) - int(c[unit, 0] < 0)

    # --- the program, and what refutes a cell

    def region(self, sides: Sequence[Side]) -> Region:
        """The point with the largest margin to all sides, in the box."""
        self.programs += 1
        a, c = self._signed(sides)
        n = self.network.inputs
        centre, half = np.zeros(n), np.ones(n)
        if self.box is not None:
            centre, half = (self.box[0] + self.box[1]) / 2, (self.box[1] - self.box[0]) / 2
        rows, free = a * half, a @ centre + c
        size = np.sqrt((rows**2).sum(1))
        size = np.where(size > 0, size, np.maximum(np.abs(free), 1e-300))
        table = np.column_stack([-rows / size[:, None], np.ones(len(rows))])
        cost = np.zeros(n + 1)
        cost[-1] = -1.0
        span = (None, None) if self.box is None else (-1.0, 1.0)
        options = {"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10}
        done = linprog(
            cost, A_ub=table, b_ub=free / size, bounds=[span] * n + [(None, 1.0)], method="highs", options=options
        )
        if done.x is None:
            return Region(0.0, centre, np.zeros(len(rows)))
        return Region(float(done.x[-1]), centre + half * done.x[:-1], -done.ineqlin.marginals / size)

    def _signed(self, sides: Sequence[Side]) -> tuple[np.ndarray, np.ndarray]:
        """Rows and constants of s(a·x + c) in float64."""
        a, c = np.empty((len(sides), self.network.inputs)), np.empty(len(sides))
        for i, side in enumerate(sides):
            rows, constants = self.functions(side.prefix)
            sign = 1.0 if side.positive else -1.0
            a[i], c[i] = sign * rows[side.unit], sign * constants[side.unit]
        return a, c

    def refuted(self, sides: Sequence[Side], multipliers: np.ndarray) -> bool:
        """Whether multipliers near these prove, in rationals, that no point of the box lies on all these sides."""
        y = np.where(np.isfinite(multipliers), np.maximum(multipliers, 0.0), 0.0)
        if not y.max(initial=0.0) > 0:
            return False
        y = y / y.max()
        chosen = [i for i in np.argsort(-y) if y[i] > SUPPORT]
        known = [self._exact_side(sides[i]) for i in chosen]
        kept = [(float(y[i]), row, c) for i, (row, c) in zip(chosen, known, strict=True) if any(row) or c != 0]
        if self.box is not None and self._contradict([rational(w) for w, *_ in kept], kept):
            return True
        while kept:
            moved = self._moved(kept)
            if moved is not None and self._contradict(moved, kept):
                return True
            kept = kept[:-1]
        return False

    def _exact_side(self, side: Side) -> tuple[list[fmpq], fmpq]:
        a, c = self.exact_functions(side.prefix)
        sign = 1 if side.positive else -1
        return [sign * a[side.unit, j] for j in range(a.ncols())], sign * c[side.unit, 0]

    def _moved(self, kept: list[tuple[float, list[fmpq], fmpq]]) -> list[fmpq] | None:
        """Multipliers near the given ones with Σ y_i a_i exactly 0 in the axes in which it nearly is; None if there are
        none. Free unknowns keep their values, the others follow."""
        try:
            near = np.array([[float(fraction(v)) for v in row] for _, row, _ in kept])
        except OverflowError:  # beyond floats: the side stays undecided
            return None
        weights = np.array([w for w, *_ in kept])
        total, size = np.abs(weights @ near), weights @ np.abs(near)
        still = [a for a in range(near.shape[1]) if self.box is None or total[a] <= 1e-6 * size[a]]
        if not still:
            return None
        table = fmpq_mat(len(still), len(kept), [row[a] for a in still for _, row, _ in kept])
        reduced, rank = table.rref()
        pivots, column = [], 0
        for i in range(rank):
            while reduced[i, column] == 0:
                column += 1
            pivots.append(column)
        y = [rational(Fraction(w).limit_denominator(10**12)) for w, *_ in kept]
        free = [j for j in range(len(kept)) if j not in pivots]
        for i, pivot in enumerate(pivots):
            y[pivot] = -sum((reduced[i, j] * y[j] for j in free), start=fmpq(0))
        return y

    def _contradict(self, y: list[fmpq], kept: list[tuple[float, list[fmpq], fmpq]]) -> bool:
        """Whether y ≥ 0, not all 0, and sup over the box of Σ y_i (a_i·x + c_i) ≤ 0: all in rationals."""
        if any(w < 0 for w in y) or not any(w > 0 for w in y):
            return False
        total = sum((w * c for w, (*_, c) in zip(y, kept, strict=True)), start=fmpq(0))
        for axis in range(self.network.inputs):
            slope = sum((w * row[axis] for w, (_, row, _) in zip(y, kept, strict=True)), start=fmpq(0))
            if slope == 0:
                continue
            if self.box is None:
                return False
            end = self.box[1] if slope > 0 else self.box[0]
            total += slope * rational(float(end[axis]))
        return total <= 0


def _rows_scaled(slopes: list[fmpq], matrix: fmpq_mat) -> fmpq_mat:
    columns = matrix.ncols()
    entries = matrix.entries()
    return fmpq_mat(len(slopes), columns, [slopes[i // columns] * v for i, v in enumerate(entries)])


def _keep(store: OrderedDict, key: Bits, value: object) -> None:
    store[key] = value
    if len(store) > KEPT:
        store.popitem(last=False)
