"""Method "patterns": every realised activation pattern, depth first over the units in the order of the layers.

At a point inside what the units so far leave, the next unit has a sign: that side is realised by the same point. The
other side is decided by one linear program (`cells`): its point, or a refutation in rationals. What is neither stays,
and counts for the upper end alone. Exact for small networks: Lip = max ‖J_c‖ over the cells c.

Main definitions: `patterns`, `explore`, `Leaf`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch

from theory.claim import Evidence
from theory.lipschitz_expressiveness.checkers.cells import REALISED, Cells, Side
from theory.lipschitz_expressiveness.checkers.jacobians import Slopes
from theory.lipschitz_expressiveness.checkers.network import Network
from theory.lipschitz_expressiveness.checkers.product import product_above
from theory.lipschitz_expressiveness.checkers.result import Cell, LipschitzBounds
from theory.lipschitz_expressiveness.checkers.search import Question, Search
from theory.lipschitz_expressiveness.checkers.witness import Bits

Sides = tuple[Side, ...]
Status = list[np.ndarray]
"""Of every hidden layer what is known of its units: 1 on, −1 off, 0 either (width,)."""


@dataclass(frozen=True)
class Leaf:
    """A whole pattern that was not refuted, and a point that should lie in its cell (None: no such point is known)."""

    pattern: Bits
    point: np.ndarray | None


@dataclass(frozen=True)
class _Node:
    prefix: Bits
    bits: tuple[bool, ...]
    sides: Sides
    point: np.ndarray | None


def patterns(question: Question) -> LipschitzBounds:
    """The interval from all cells that meet the box, or all cells of R^n."""
    search, network, chain = Search(question), question.network, question.chain
    cells = Cells(network, question.lower, question.upper)
    kept: list[Cell] = []
    doubtful, upper, complete = 0, 0.0, True
    anyway = product_above(network, question.measure).upper
    leaves = explore(cells, None)
    for leaf in leaves:
        slopes = [s.to(question.device) for s in slopes_of(network, [leaf.pattern])]
        matrix = chain.product(slopes).reshape(-1, *chain.shape)
        norm = float(chain.above(slopes).flatten()[0])
        upper = max(upper, norm)
        witness = None if leaf.point is None else search.try_point(torch.from_numpy(leaf.point), matrix[0])
        if witness is None or witness.pattern != leaf.pattern:
            doubtful += 1
        else:
            kept.append(Cell(sum(leaf.pattern, ()), tuple(witness.point.tolist()), norm))
        search.step(len(kept) + doubtful, anyway, "cells")
        if len(kept) + doubtful >= question.cells or search.late:
            complete = next(leaves, None) is None
            break
    words = f"{len(kept)} cells" + (
        f" and {doubtful} patterns that no point and no certificate decides" if doubtful else ""
    )
    if not complete:
        upper = anyway
        words = f"stopped after {words}; the upper end is the product of the layers' norms"
    search.step(len(kept) + doubtful, upper, "cells")
    upper = search.checked(upper)
    return LipschitzBounds(
        lower=search.lower,
        upper=upper,
        log2_upper=log2_above(upper),
        method="patterns",
        evidence=Evidence.FLOAT64,
        reason=f"{words}, {cells.programs} linear programs",
        cells_or_boxes=len(kept),
        witness=None if search.witness is None else search.witness.point,
        jacobian=search.jacobian(),
        history=tuple(search.history),
        cells=tuple(kept) if question.keep_cells else (),
    )


def log2_above(value: float) -> float:
    """log2 of a float ≥ 0, rounded up."""
    return -math.inf if value == 0 else math.nextafter(math.log2(value), math.inf)


def slopes_of(network: Network, found: list[Bits]) -> Slopes:
    """The slopes (B, width) of every hidden layer under whole patterns."""
    slopes = []
    for layer, hidden in enumerate(network.hidden):
        on = torch.tensor([pattern[layer] for pattern in found], dtype=torch.bool)
        alpha = hidden.bias.new_ones(()) if hidden.alpha is None else hidden.alpha
        slopes.append(torch.where(on, torch.ones((), dtype=torch.float64), alpha))
    return slopes


def explore(cells: Cells, status: Status | None, late: Callable[[], bool] = lambda: False) -> Iterator[Leaf]:
    """All patterns that agree with `status` and are not refuted, one after another; it may stop early when `late`,
    which the caller asks, too."""
    hidden = cells.network.hidden
    if not hidden:
        yield Leaf((), _inside(cells))
        return
    stack = [_Node((), (), (), _inside(cells))]
    while stack and not late():
        node = stack.pop()
        if len(node.prefix) == len(hidden):
            yield Leaf(node.prefix, node.point)
            continue
        stack.extend(reversed(_children(cells, node, status)))


def _inside(cells: Cells) -> np.ndarray:
    n = cells.network.inputs
    # off the symmetric points, where kinks like to be
    share = 0.5 + 0.03 * np.sin(1.0 + np.arange(n))
    if cells.box is None:
        return share - 0.5
    lower, upper = cells.box
    return np.clip(lower + share * (upper - lower), lower, upper)


def _children(cells: Cells, node: _Node, status: Status | None) -> list[_Node]:
    """The node with its next unit on, or off, or both."""
    layer, unit = len(node.prefix), len(node.bits)
    known = None
    if not bool(cells.network.hidden[layer].bends[unit]):
        known = True
    elif status is not None and status[layer][unit] != 0:
        known = bool(status[layer][unit] > 0)
    elif (sign := cells.constant_sign(node.prefix, unit)) is not None:
        known = sign > 0
    if known is not None:
        return [_grown(cells, node, known, node.sides, node.point)]
    a, c = cells.functions(node.prefix)
    here = None
    if node.point is not None:
        height = float(a[unit] @ node.point + c[unit])
        size = float(np.abs(a[unit]) @ np.abs(node.point) + abs(c[unit]))
        here = height > 0 if abs(height) > 1e-9 * size else None
    children = []
    for positive in (True, False):
        sides = (*node.sides, Side(node.prefix, unit, positive))
        if positive is here:
            children.append(_grown(cells, node, positive, sides, node.point))
            continue
        region = cells.region(sides)
        if region.margin > REALISED:
            children.append(_grown(cells, node, positive, sides, region.point))
        elif not cells.refuted(sides, region.multipliers):
            children.append(_grown(cells, node, positive, sides, None))
    return children


def _grown(cells: Cells, node: _Node, on: bool, sides: Sides, point: np.ndarray | None) -> _Node:
    bits = (*node.bits, on)
    if len(bits) == len(cells.network.hidden[len(node.prefix)].bias):
        return _Node((*node.prefix, bits), (), sides, point)
    return _Node(node.prefix, bits, sides, point)
