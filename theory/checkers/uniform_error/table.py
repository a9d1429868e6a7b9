"""Mixtures that interpolate a table instead of running their experts: how far their answers are from the experts'.

Nothing of the table is believed. (1) Table and experts are piecewise affine along the resolved axis, so the largest
difference, in real arithmetic, is at a knot of one of them: it is computed there in rationals, for all experts. For
deep experts the vertices of their own grid are compared, and what the table's coordinates deviate from the grid's is
allowed for. (2) Rounding of the interpolation follows from the entries (`_rounding`). (3) forward() is compared with
rational interpolation of the entries at knots, faces of cells and their neighbouring floats.

Main definitions: `table_difference`, `TableDifference`.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import torch
from flint import fmpq
from torch import Tensor

from constructions.mixture import LatticeMixture, NodeTable
from theory import exact
from theory.checkers.uniform_error.banks import banks_of
from theory.checkers.uniform_error.certificate import Premise
from theory.checkers.uniform_error.ridge import RidgeBank
from theory.checkers.uniform_error.ridge_exact import exact_nodes, exact_values, rationals
from theory.checkers.uniform_error.simplex_error import EXPERTS_PER_BATCH, pieces_of
from theory.checkers.uniform_error.simplices import AffinePieces, NotAffine
from theory.checkers.uniform_error.stack import FLOATS, UNIT
from theory.checkers.uniform_error.view import MixtureView

NAME = "the table holds the experts' values"
SAMPLE = 24
ENTRIES_PER_STEP = 1 << 17


@dataclass(frozen=True)
class TableDifference:
    """`slack` ≥ |forward(x) − expert(x)| everywhere, when all `premises` hold; 0 otherwise, and without a table."""

    slack: float
    premises: tuple[Premise, ...]


@dataclass
class _Gap:
    """The largest difference in real arithmetic, at least `least` and at most `most`, and where."""

    least: float = 0.0
    most: float = 0.0
    where: str = "-"

    def include(self, least: float, most: float, where: str) -> None:
        if least > self.least:
            self.least, self.where = least, where
        self.most = max(self.most, most)


def table_difference(view: MixtureView) -> TableDifference:
    """How far the model's answers are from those of its experts on the leaves of the view."""
    table = view.model.node_table() if isinstance(view.model, LatticeMixture) else None
    if table is None:
        return TableDifference(0.0, ())
    assert isinstance(view.model, LatticeMixture)
    fault = _fault(view.model, table)
    gap = _Gap()
    if fault is None:
        fault = (_grids if view.model.steep else _pencils)(view, table, gap)
    if fault is not None:
        return TableDifference(0.0, (Premise(NAME, False, fault),))
    rounding = _rounding(table)
    if not gap.least <= table.slack:
        detail = f"they differ by {gap.least:.9g} at {gap.where}, the table says {table.slack:.9g} at most"
        return TableDifference(0.0, (Premise(NAME, False, detail),))
    fault = _forward_fault(view, table, rounding)
    if fault is not None:
        return TableDifference(0.0, (Premise("forward() interpolates the table", False, fault),))
    detail = (
        f"within {gap.most:.3g} in real arithmetic, interpolation rounds by {rounding:.3g} at most; forward() was "
        f"compared with it at {4 * SAMPLE} points, elsewhere it is taken at its word"
    )
    return TableDifference(gap.most + rounding, (Premise(NAME, True, detail),))


def _fault(model: LatticeMixture, table: NodeTable) -> str | None:
    """Why this is no table of the model's shape, or None."""
    k, values = len(table.cells), table.values
    shape = (model.num_leaves, math.prod(c + 1 for c in table.cells), model.m)
    if not len(table.lo) == len(table.scale) == k == model.n - len(model.cells):
        return f"it has {k} axes of nodes for {model.n} inputs, {len(model.cells)} of them routed"
    if values.shape != shape or values.dtype not in FLOATS:
        return f"it must have {shape} float64 or float32 entries, got {values.dtype} {tuple(values.shape)}"
    finite = torch.isfinite(values)
    if not bool(finite.all()):
        return f"entry {(~finite).nonzero()[0].tolist()} is not finite"
    numbers = [*table.lo, *table.scale]
    if not (all(map(math.isfinite, numbers)) and all(s > 0 for s in table.scale) and all(c >= 1 for c in table.cells)):
        return f"its axes are lo = {table.lo}, scale = {table.scale}, cells = {table.cells}"
    return None


def _entries(view: MixtureView, table: NodeTable, leaves: Tensor) -> Tensor:
    """Entries (E, nodes, m) of leaves (E, q)."""
    assert isinstance(view.model, LatticeMixture)
    return table.values[view.model.tree.flat_index(leaves)]


# --- one-hidden-layer experts: both sides in rationals at the knots of both ---------------------------------


def _pencils(view: MixtureView, table: NodeTable, gap: _Gap) -> str | None:
    for leaves, bank in banks_of(view):
        resolved = isinstance(bank, RidgeBank) and bank.resolves
        if not isinstance(bank, RidgeBank) or len(table.cells) > 1 or (resolved and bank.layer.axis != view.n - 1):
            return f"the experts from leaf {leaves[0].tolist()} on are not pencils along the table's one axis"
        entries = _entries(view, table, leaves)
        if not table.cells:
            if resolved:
                return f"it holds constants, the experts from leaf {leaves[0].tolist()} on are none"
            _compare(gap, leaves, rationals(entries[:, 0]), rationals(bank.out_bias))
            continue
        nodes, knots = exact_nodes(bank), _knots(table, bank)
        rows = max(1, ENTRIES_PER_STEP // (len(nodes) + len(knots)))
        for start in range(0, bank.experts, rows):
            part = slice(start, start + rows)
            own, held = exact_values(bank, part, nodes), rationals(entries[part].transpose(1, 2))
            regular = np.array([exact.rational(j) for j in range(table.cells[0] + 1)], dtype=object)
            _compare(gap, leaves[part], _between(regular, held, _place(table, nodes)), own)
            _compare(gap, leaves[part], _between(regular, held, _place(table, knots)), _between(nodes, own, knots))
    return None


def _knots(table: NodeTable, bank: RidgeBank) -> np.ndarray:
    """The table's own knots lo + j/scale inside the experts' interval."""
    low, high = (exact.rational(float(end[0, bank.layer.axis])) for end in (bank.lower, bank.upper))
    lo, scale = exact.rational(table.lo[0]), exact.rational(table.scale[0])
    inside = [x for j in range(table.cells[0] + 1) if low <= (x := lo + fmpq(j) / scale) <= high]
    return np.array(inside or [low], dtype=object)


def _place(table: NodeTable, x: np.ndarray) -> np.ndarray:
    """Coordinates of x (T,), clamped to the table, in rationals."""
    lo, scale, last = exact.rational(table.lo[0]), exact.rational(table.scale[0]), fmpq(table.cells[0])
    return np.array([min(max((v - lo) * scale, fmpq(0)), last) for v in x], dtype=object)


def _between(nodes: np.ndarray, values: np.ndarray, x: np.ndarray) -> np.ndarray:
    """The interpolant of values (E, m, T) at increasing nodes (T,), at the points x, exactly."""
    left = np.clip(np.searchsorted(nodes, x, side="right") - 1, 0, max(0, len(nodes) - 2))
    if len(nodes) < 2:
        return values[..., left]
    share = (x - nodes[left]) / (nodes[left + 1] - nodes[left])
    return values[..., left] + (values[..., left + 1] - values[..., left]) * share


def _compare(gap: _Gap, leaves: Tensor, first: np.ndarray, second: np.ndarray) -> None:
    difference = np.abs(first - second)
    if not difference.size:
        return
    at = int(difference.argmax())
    worst = exact.fraction(difference.flat[at])
    expert = np.unravel_index(at, difference.shape)[0]
    below, above = math.nextafter(float(worst), 0.0), math.nextafter(float(worst), math.inf)
    gap.include(below, above if worst else 0.0, f"a knot of leaf {leaves[expert].tolist()}")


# --- deep experts over a grid: their vertex values --------------------------------------------------------------


def _grids(view: MixtureView, table: NodeTable, gap: _Gap) -> str | None:
    for leaves in view.leaves.split(EXPERTS_PER_BATCH):
        try:
            pieces = pieces_of(view, leaves)
        except NotAffine as failure:
            return f"the experts from leaf {leaves[0].tolist()} on are not affine on a grid: {failure}"
        grid, k = pieces.grid, len(table.cells)
        if grid.axes != tuple(range(view.n - k, view.n)) or any(cells != grid.cells for cells in table.cells):
            return f"its axes have {table.cells} cells, the experts' grid {grid.cells} on the axes {grid.axes}"
        if not bool((pieces.shift == torch.tensor(grid.shift, dtype=torch.float64)).all()):
            return f"the experts from leaf {leaves[0].tolist()} on have their grids at different places"
        if pieces.values.shape[-1] != view.m:
            return f"the experts have {pieces.values.shape[-1]} outputs, the table {view.m}"
        strides = torch.tensor([(grid.cells + 1) ** (k - 1 - i) for i in range(k)], device=pieces.vertices.device)
        held = _entries(view, table, leaves)[:, (pieces.vertices * strides).sum(-1)].double()
        difference = (held - pieces.values).abs()
        worst, own = float(difference.max()), 2 * UNIT * pieces.size + 2 * UNIT * float(pieces.values.abs().max())
        expert = int(difference.flatten(1).amax(1).argmax())
        moved = float(_moved(view, table, pieces)) * (1 + 2.0**-40)
        gap.include(worst - own, worst + own + moved, f"a vertex of leaf {leaves[expert].tolist()}")
    return None


def _moved(view: MixtureView, table: NodeTable, pieces: AffinePieces) -> Fraction:
    """What the experts change by where the table's coordinates differ from their own K − b + w·x."""
    grid = pieces.grid
    steepest = Fraction(float(pieces.values.diff(dim=2).abs().max()) + 4 * UNIT * pieces.size)
    total = Fraction(0)
    for i, axis in enumerate(grid.axes):
        ends = (Fraction(view.domain.lo[axis]), Fraction(view.domain.hi[axis]))
        own = (grid.cells - Fraction(grid.shift[i]) + Fraction(grid.slope[i]) * x for x in ends)
        theirs = ((x - Fraction(table.lo[i])) * Fraction(table.scale[i]) for x in ends)
        total += max(abs(a - b) for a, b in zip(own, theirs, strict=True))
    return total * steepest


# --- rounding, and whether forward() is what it should be ----------------------------------------------------------


def _rounding(table: NodeTable) -> float:
    """What float64 coordinates, shares, differences, products and sums add, and the answer in the table's dtype.

    A coordinate of at most K is off by 3.01uK, on a wrong piece thrice that counts; then 2.02u of a difference and u of
    a partial sum an axis.
    """
    k = len(table.cells)
    if not k or not table.values.numel():
        return 0.0
    grid = table.values.double().reshape(len(table.values), *(c + 1 for c in table.cells), -1)
    step = max(float(grid.diff(dim=1 + i).abs().max()) for i in range(k)) * (1 + 4 * UNIT)
    size = float(grid.abs().max()) + k * step
    u, least = FLOATS[table.values.dtype]
    answer = u * size + least if u != UNIT else 0.0
    total = (
        step * 12 * UNIT * sum(table.cells) + k * UNIT * (size + 2.02 * step) + k * FLOATS[torch.float64][1] + answer
    )
    return math.nextafter(total * (1 + 2.0**-40), math.inf)


def _forward_fault(view: MixtureView, table: NodeTable, rounding: float) -> str | None:
    """The first point at which forward() is not the interpolation of the table, or None."""
    x = _points(view, table)
    with torch.no_grad():
        y = view.forward(x)
    leaves = view.route(x)
    entries = _entries(view, table, leaves)
    for row in range(len(x)):
        for output in range(view.m):
            expected = exact.fraction(_interpolated(table, entries[row, :, output], x[row]))
            found = Fraction(float(y[row, output]))
            if not abs(found - expected) <= Fraction(rounding):
                return (
                    f"at x = {x[row].tolist()} (leaf {leaves[row].tolist()}) it gives {float(found)!r}, the table "
                    f"{float(expected)!r}"
                )
    return None


def _points(view: MixtureView, table: NodeTable) -> Tensor:
    """Random points, points on faces of cells and on knots, and the neighbouring floats of these, inside the domain."""
    generator = torch.Generator().manual_seed(0)
    lo, hi = view.domain.tensors(view.leaves.device)
    x = view.domain.sample(SAMPLE, generator).to(lo.device)
    lower, upper = view.bounds(view.leaves[torch.randint(len(view.leaves), (SAMPLE,), generator=generator)])
    faces = torch.where(torch.rand(SAMPLE, view.n, generator=generator).to(lo.device) < 0.5, lower, upper)
    for i, cells in enumerate(table.cells):
        axis = view.n - len(table.cells) + i
        j = torch.randint(cells + 1, (SAMPLE,), generator=generator).to(lo.device)
        faces[:, axis] = table.lo[i] + j / table.scale[i]
    infinity = torch.full_like(faces, math.inf)
    every = [x, faces, torch.nextafter(faces, infinity), torch.nextafter(faces, -infinity)]
    return torch.minimum(torch.maximum(torch.cat(every), lo), hi)


def _interpolated(table: NodeTable, entries: Tensor, x: Tensor) -> fmpq:
    """Exact interpolation of one expert's entries (nodes,) at x (n,): from the even vertex of its unit cell one axis
    after the other, that of the largest share first."""
    k, strides = len(table.cells), [math.prod(c + 1 for c in table.cells[i + 1 :]) for i in range(len(table.cells))]
    at, moves = 0, []
    for i, (lo, scale, cells) in enumerate(zip(table.lo, table.scale, table.cells, strict=True)):
        z = (exact.rational(float(x[len(x) - k + i])) - exact.rational(lo)) * exact.rational(scale)
        z = min(max(z, fmpq(0)), fmpq(cells))
        j = min(int(z.p // z.q), cells - 1)
        even = j % 2 == 0 or k == 1
        at += (j if even else j + 1) * strides[i]
        moves.append((z - j if even else j + 1 - z, strides[i] if even else -strides[i]))
    places = itertools.accumulate((step for _, step in sorted(moves, key=lambda m: -m[0])), initial=at)
    numbers = [exact.rational(float(entries[place])) for place in places]
    shares = sorted((share for share, _ in moves), reverse=True)
    return sum((s * (b - a) for s, (a, b) in zip(shares, itertools.pairwise(numbers), strict=True)), start=numbers[0])
