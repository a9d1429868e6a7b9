"""Method "line": one input. Every kink and every slope of a piecewise affine network on a segment or on all of R, in
rationals: the breakpoints of a layer are those of the layer before and the zeros of its units in between. EXACT.

Main definitions: `line`, `Pieces`, `pieces_of`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

import torch
from flint import fmpq
from torch import Tensor

from theory.claim import Evidence
from theory.exact import fraction, rational, require_denormals
from theory.lipschitz_expressiveness.checkers.measure import Measure
from theory.lipschitz_expressiveness.checkers.network import Network
from theory.lipschitz_expressiveness.checkers.result import Cell, LipschitzBounds
from theory.lipschitz_expressiveness.checkers.search import Question, Search
from theory.lipschitz_expressiveness.checkers.witness import float_below, sqrt_below

Vector = list[fmpq]


@dataclass(frozen=True)
class Pieces:
    """A piecewise affine function of x in R: breaks t_1 < … < t_k, and on each of the k + 1 pieces slope and intercept.

    `start` and `end` cut the line (None: it goes on for ever); breaks lie strictly between them.
    """

    breaks: Vector
    slopes: list[Vector]
    intercepts: list[Vector]
    start: fmpq | None = None
    end: fmpq | None = None

    def span(self, piece: int) -> tuple[fmpq | None, fmpq | None]:
        left = self.breaks[piece - 1] if piece else self.start
        return left, self.breaks[piece] if piece < len(self.breaks) else self.end

    def inside(self, piece: int) -> fmpq:
        """A point of the piece."""
        left, right = self.span(piece)
        if left is None:
            return fmpq(0) if right is None else right - 1
        return left + 1 if right is None else (left + right) / 2


def line(question: Question) -> LipschitzBounds:
    """The constant itself: its square as a rational, and floats on both sides of it."""
    search = Search(question)
    network, measure = question.network, question.measure
    found = pieces_of(network, question.lower, question.upper, question.cells)
    squares = [_measured(slope, measure) for slope in found.slopes]
    best = max(range(len(squares)), key=lambda i: squares[i])
    squared = fraction(squares[best])
    lower, upper = sqrt_below(squared), _sqrt_above(squared)
    kept = ()
    if question.keep_cells:
        places = ((_float_in(found, i), s) for i, s in enumerate(squares))
        kept = tuple(Cell((), (x,), _sqrt_above(fraction(s))) for x, s in places if x is not None)
    inside = _float_in(found, best)
    if inside is not None:
        search.try_point(torch.tensor([inside], dtype=torch.float64))
    shown = search.witness is not None and search.lower >= lower * (1 - 1e-12)  # a piece may hold no float
    count = _affine_pieces(found)
    search.lower = lower
    search.step(len(found.slopes), upper, "pieces")
    loose = bool(measure.relative or measure.absolute)
    if loose:
        lower = float_below(
            max(Fraction(lower) * (1 - Fraction(measure.relative)) - Fraction(measure.absolute), Fraction(0))
        )
        upper = question.above(upper)
    return LipschitzBounds(
        lower=lower,
        upper=upper,
        log2_upper=-math.inf if upper == 0 else math.nextafter(math.log2(upper), math.inf),
        method="line",
        evidence=Evidence.FLOAT64 if loose else Evidence.EXACT,
        reason=f"{count} affine pieces, in rationals",
        cells_or_boxes=count,
        witness=search.witness.point if shown and search.witness is not None else None,
        jacobian=search.jacobian() if shown else None,
        exact_squared=None if loose else squared,
        history=tuple(search.history),
        cells=kept,
    )


def pieces_of(network: Network, lower: Tensor | None, upper: Tensor | None, most: int) -> Pieces:
    """The network on lower ≤ x ≤ upper (1,), or on R; ValueError where it has more than `most` pieces."""
    require_denormals()
    start, end = (None if t is None else rational(t.item()) for t in (lower, upper))
    state = Pieces([], [[fmpq(1)]], [[fmpq(0)]], start, end)
    for layer in network.hidden:
        assert layer.alpha is not None
        state = _affine(state, layer.weight, layer.bias)
        state = _bent(_cut(state, layer.bends.tolist(), most), [rational(a) for a in layer.alpha.tolist()])
    return _affine(state, network.weight, network.bias)


def _affine(state: Pieces, weight: Tensor, bias: Tensor) -> Pieces:
    rows = [[(j, rational(w)) for j, w in enumerate(row) if w] for row in weight.tolist()]
    constants = [rational(b) for b in bias.tolist()]
    slopes = [[sum((w * s[j] for j, w in row), start=fmpq(0)) for row in rows] for s in state.slopes]
    intercepts = [
        [sum((w * s[j] for j, w in row), start=b) for row, b in zip(rows, constants, strict=True)]
        for s in state.intercepts
    ]
    return Pieces(state.breaks, slopes, intercepts, state.start, state.end)


def _cut(state: Pieces, bends: list[bool], most: int) -> Pieces:
    """Cut every piece where a unit that bends is 0."""
    breaks: Vector = []
    slopes: list[Vector] = []
    intercepts: list[Vector] = []
    for piece, (slope, intercept) in enumerate(zip(state.slopes, state.intercepts, strict=True)):
        left, right = state.span(piece)
        zeros = {-c / s for s, c, bent in zip(slope, intercept, bends, strict=True) if bent and s != 0}
        inner = sorted(z for z in zeros if (left is None or z > left) and (right is None or z < right))
        slopes += [slope] * (len(inner) + 1)
        intercepts += [intercept] * (len(inner) + 1)
        breaks += inner if piece == len(state.breaks) else [*inner, state.breaks[piece]]
        if len(slopes) > most:
            raise ValueError(f"`cells` must be larger: the network has more than {most} pieces")
    return Pieces(breaks, slopes, intercepts, state.start, state.end)


def _bent(state: Pieces, alpha: Vector) -> Pieces:
    slopes, intercepts = [], []
    for piece, (slope, intercept) in enumerate(zip(state.slopes, state.intercepts, strict=True)):
        x = state.inside(piece)
        gains = [fmpq(1) if s * x + c > 0 else a for s, c, a in zip(slope, intercept, alpha, strict=True)]
        slopes.append([g * s for g, s in zip(gains, slope, strict=True)])
        intercepts.append([g * c for g, c in zip(gains, intercept, strict=True)])
    return Pieces(state.breaks, slopes, intercepts, state.start, state.end)


def _measured(slope: Vector, measure: Measure) -> fmpq:
    """‖offset + left·slope·right‖₂² of a column times a row."""
    column = slope
    if measure.left is not None:
        column = [
            sum((rational(w) * s for w, s in zip(row, slope, strict=True)), start=fmpq(0))
            for row in measure.left.tolist()
        ]
    row = [fmpq(1)] if measure.right is None else [rational(w) for w in measure.right[0].tolist()]
    if measure.offset is None:
        return sum((c * c for c in column), start=fmpq(0)) * sum((r * r for r in row), start=fmpq(0))
    if len(row) > 1:
        raise ValueError("`right` must have one column for the method line with an offset")
    offset = [rational(o) for o in measure.offset[:, 0].tolist()]
    return sum(((o + c * row[0]) ** 2 for o, c in zip(offset, column, strict=True)), start=fmpq(0))


def _affine_pieces(found: Pieces) -> int:
    """Pieces of the outputs: neighbours with one slope are one."""
    return 1 + sum(a != b for a, b in zip(found.slopes, found.slopes[1:], strict=False))


def _float_in(found: Pieces, piece: int) -> float | None:
    """A float near the middle of a piece (within it wherever a float is); None beyond the largest."""
    try:
        return float(fraction(found.inside(piece)))
    except OverflowError:
        return None


def _sqrt_above(value: Fraction) -> float:
    near = sqrt_below(value)
    return near if Fraction(near) ** 2 == value else math.nextafter(near, math.inf)
