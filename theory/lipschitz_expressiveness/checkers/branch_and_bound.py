"""Method "branch_and_bound": boxes, all of a generation in one batch, the worst first.

On a box every unit is on, off, or undecided (`forms`). Upper ends of a box: the interval of Jacobians that the
slopes' ranges leave (`Chain.enclosed`); and, for few undecided units, the largest ‖J‖ over their 2^u patterns: J is
affine in each slope, ‖·‖ convex, so the vertices say it all. Patterns above the lower end are then looked at in
descending order: a sampled point or a linear program's point realises the first, or a refutation in rationals crosses
it out (`cells`). Where boxes get small and as many units stay undecided, kinks meet there: `patterns.explore` lists
the cells of that box.

Without hidden biases J(tx) = J(x) for t > 0: the faces of the cube carry all cells of R^n, and of every box around 0.

Soundness: every cell that meets the interior of the box meets that of a sub-box (of a face), and is among its patterns
unless it is refuted there; the lower end is exact (`witness`). With tanh units the vertices are intervals of Jacobians.

Main definition: `branch_and_bound`.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import torch
from torch import Tensor

from theory.claim import Evidence
from theory.lipschitz_expressiveness.checkers.cells import REALISED, Cells, Side
from theory.lipschitz_expressiveness.checkers.forms import Forms, preactivations, slope_ranges
from theory.lipschitz_expressiveness.checkers.frontier import Frontier, split_axis
from theory.lipschitz_expressiveness.checkers.jacobians import slopes_at
from theory.lipschitz_expressiveness.checkers.norms import frobenius_above, norm_above
from theory.lipschitz_expressiveness.checkers.patterns import explore, log2_above, slopes_of
from theory.lipschitz_expressiveness.checkers.product import product_above
from theory.lipschitz_expressiveness.checkers.result import LipschitzBounds
from theory.lipschitz_expressiveness.checkers.sampled import climb
from theory.lipschitz_expressiveness.checkers.search import Question, Search
from theory.lipschitz_expressiveness.checkers.witness import Bits

BATCH = 512
VERTICES = 1 << 21
"""Patterns times units in one batch."""

SEEDS = 256
"""Points of the first look at a box."""

LOOKS = 32
"""Points of a box whose patterns need no linear program."""

WALK = 6
"""A box is walked through, pattern by pattern, when no more than that are above the lower end."""

STALLED = 4
"""Halvings of every axis without a unit less: then the cells of the box are listed."""

LISTED = 500


def branch_and_bound(question: Question) -> LipschitzBounds:
    """The interval when the gap is closed, or time or boxes are over."""
    bounding = Bounding(question)
    examined, upper = bounding.run()
    search = bounding.search
    upper = search.checked(upper)
    closed = upper <= search.threshold
    words = f"{examined} boxes, {bounding.cells.programs if bounding.cells else 0} linear programs"
    return LipschitzBounds(
        lower=search.lower,
        upper=upper,
        log2_upper=log2_above(upper),
        method="branch_and_bound",
        evidence=Evidence.FLOAT64,
        reason=words if closed else f"{words}: stopped before the gap was {question.gap:g}",
        cells_or_boxes=examined,
        witness=None if search.witness is None else search.witness.point,
        jacobian=search.jacobian(),
        history=tuple(search.history),
    )


class Bounding:
    """One search over boxes."""

    def __init__(self, question: Question):
        self.question, self.search = question, Search(question)
        self.network, self.chain = question.moved, question.chain
        self.cells = Cells(question.network, None, None) if question.network.piecewise_affine else None
        self.bends = [layer.bends for layer in self.network.hidden]
        self.alphas = torch.cat(
            [h.bias.new_zeros(len(h.bias)) if h.alpha is None else h.alpha for h in self.network.hidden]
            or [torch.zeros(0, dtype=torch.float64, device=question.device)]
        )
        self.widths = [len(h.bias) for h in self.network.hidden]
        self.places = [(layer, unit) for layer, width in enumerate(self.widths) for unit in range(width)]
        self.generator = question.generator()
        self.settled = 0.0

    def run(self) -> tuple[int, float]:
        """Boxes examined, and the upper end."""
        climb(self.search, SEEDS)
        frontier = self._first()
        examined, upper = 0, float(frontier.bound.max())
        while len(frontier) and upper > self.search.threshold:
            if self.search.late or examined >= self.question.boxes:
                break
            order = frontier.bound.argsort(descending=True)
            size = min(BATCH, self.question.boxes - examined)
            taken, frontier = frontier.rows(order[:size]), frontier.rows(order[size:])
            examined += len(taken)
            boxes, forms = self._examined(taken)
            halves, stuck = self._open(replace(boxes, axis=split_axis(boxes, forms))).halved()
            self._settle(stuck)
            frontier = self._open(frontier.joined(halves))
            upper = max(self.settled, float(frontier.bound.max())) if len(frontier) else self.settled
            self.search.step(examined, upper, "boxes")
        return examined, upper

    def _first(self) -> Frontier:
        """The box, or the faces of the cube where that is as good; bounded by the product of norms."""
        question, n = self.question, self.question.network.inputs
        lower, upper = question.lower, question.upper
        if question.radial:
            low = -torch.ones(2 * n, n, dtype=torch.float64)
            high = torch.ones(2 * n, n, dtype=torch.float64)
            for axis in range(n):
                high[2 * axis, axis], low[2 * axis + 1, axis] = -1.0, 1.0
        else:
            assert lower is not None
            assert upper is not None
            low, high = lower[None], upper[None]
        low, high = low.to(question.device), high.to(question.device)
        bound = low.new_full((len(low),), product_above(question.network, question.measure).upper)
        zero = torch.zeros(len(low), dtype=torch.int64, device=low.device)
        return Frontier(low, high, bound, zero + sum(self.widths), zero, zero)

    def _open(self, frontier: Frontier) -> Frontier:
        """Boxes above the threshold; the others are settled."""
        closed = ~(frontier.bound > self.search.threshold)
        self._settle(frontier.bound[closed])
        return frontier.rows((~closed).nonzero()[:, 0])

    def _settle(self, bounds: Tensor) -> None:
        if len(bounds):
            self.settled = max(self.settled, float(bounds.max()))

    # --- one generation

    def _examined(self, boxes: Frontier) -> tuple[Frontier, Forms]:
        """The boxes with their new bounds, and the forms on them."""
        forms = preactivations(self.network, boxes.lower, boxes.upper)
        ranges = [
            slope_ranges(layer, low, high)
            for layer, low, high in zip(self.network.hidden, forms.low, forms.high, strict=True)
        ]
        low, high = [r[0] for r in ranges], [r[1] for r in ranges]
        bound = torch.minimum(boxes.bound, self._enclosed(low, high).expand(len(boxes)))
        self._centres(boxes)
        free = self._undecided(forms, len(boxes))
        count = free.sum(-1)
        stalled = torch.where(count < boxes.count, 0, boxes.stalled + 1)
        boxes = replace(boxes, bound=bound, count=count, stalled=stalled)
        none = bound.new_zeros(len(boxes), 0)
        ends = torch.stack([torch.cat([none, *low], -1), torch.cat([none, *high], -1)])
        for u in range(self.question.undecided + 1):
            self._vertices(boxes, ends, free, forms, u)
        self._list_stalled(boxes, forms, free)
        return boxes, forms

    def _centres(self, boxes: Frontier) -> None:
        centres = (boxes.lower + boxes.upper) / 2
        matrices = self.search.matrices(centres)[0]
        values = _inf_for_nan(norm_above(matrices))
        top = int(values.argmax())
        if math.isfinite(float(values[top])) and float(values[top]) > self.search.threshold:
            self.search.try_point(centres[top], matrices[top])

    def _undecided(self, forms: Forms, count: int) -> Tensor:
        """Which units bend inside each box (B, units)."""
        parts = [
            bends & ~(low >= 0) & ~(high <= 0)
            for bends, low, high in zip(self.bends, forms.low, forms.high, strict=True)
        ]
        return torch.cat(parts, -1) if parts else torch.zeros(count, 0, dtype=torch.bool, device=self.question.device)

    def _vertices(self, boxes: Frontier, ends: Tensor, free: Tensor, forms: Forms, u: int) -> None:
        """Bound the boxes with u undecided units that are still open by their 2^u patterns, and walk through those.

        `ends` (2, B, units) are the smallest and largest slopes."""
        rows = ((boxes.count == u) & (boxes.bound > self.search.threshold)).nonzero()[:, 0]
        if not len(rows):
            return
        bits = torch.tensor(list(itertools.product((False, True), repeat=u)), dtype=torch.bool, device=rows.device)
        bits = bits.reshape(2**u, u)
        for part in rows.split(max(1, VERTICES // (2**u * max(1, ends.shape[-1])))):
            units = free[part].nonzero()[:, 1].reshape(len(part), u)
            slopes = torch.where(bits, 1.0, self.alphas[units][:, None, :])
            low, high = (self._filled(end[part], units, slopes) for end in ends)
            values = self._norms(low) if self.cells is not None else self._enclosed(low, high)
            values = values.expand(len(part), len(bits))
            boxes.bound[part] = torch.minimum(boxes.bound[part], values.amax(-1))
            if u and self.cells is not None:
                self._walk(boxes, part, units, bits, values, forms)

    def _filled(self, base: Tensor, units: Tensor, slopes: Tensor) -> list[Tensor]:
        """Slopes (B, P, width) of every layer: those of the undecided units (B, u) are given for P patterns."""
        patterns = slopes.shape[1]
        every = base[:, None, :].expand(-1, patterns, -1)
        return list(every.scatter(2, units[:, None, :].expand(-1, patterns, -1), slopes).split(self.widths, -1))

    def _norms(self, slopes: list[Tensor]) -> Tensor:
        """Upper ends of ‖offset + left·J·right‖ for these slopes; Frobenius norms where they are small."""
        matrices = self.chain.product(slopes)
        rough = frobenius_above(matrices) + self.chain.slack
        open_ = ~(rough <= self.search.threshold)
        if min(matrices.shape[-2:]) > 1:
            rough[open_] = torch.minimum(norm_above(matrices[open_]) + self.chain.slack, _inf_for_nan(rough[open_]))
        return _inf_for_nan(rough)

    def _enclosed(self, low: list[Tensor], high: list[Tensor]) -> Tensor:
        return _inf_for_nan(self.chain.enclosed(low, high))

    # --- realisable or not

    def _walk(self, boxes: Frontier, rows: Tensor, units: Tensor, bits: Tensor, values: Tensor, forms: Forms) -> None:
        """Settle boxes with few patterns above the lower end."""
        near = (values > self.search.threshold).any(-1).nonzero()[:, 0]
        if not len(near):
            return
        rows, units, values = rows[near], units[near], values[near]
        points, codes = self._look(boxes, rows, units)
        self._best_sample(values, points, codes)
        few = ((values > self.search.threshold).sum(-1) <= WALK).nonzero()[:, 0].tolist()
        for i in few:
            if self.search.late:
                return
            box = int(rows[i])
            if bool(boxes.bound[box] > self.search.threshold):
                shown = {int(code): point for code, point in zip(codes[i].tolist(), points[i], strict=True)}
                whole = [(low[box] >= 0).tolist() for low in forms.low]
                found = self._walked(boxes, box, whole, units[i].tolist(), bits.tolist(), values[i], shown)
                boxes.bound[box] = min(float(boxes.bound[box]), found)

    def _look(self, boxes: Frontier, rows: Tensor, units: Tensor) -> tuple[Tensor, Tensor]:
        """Random points (B, LOOKS, n) of these boxes, and the number of the pattern (B, LOOKS) that each has there."""
        lower, upper = boxes.lower[rows][:, None], boxes.upper[rows][:, None]
        unit = torch.rand(len(rows), LOOKS, lower.shape[-1], dtype=torch.float64, generator=self.generator)
        x = lower + unit.to(lower.device) * (upper - lower)
        x = torch.minimum(torch.maximum(x, lower), upper)
        _, z = slopes_at(self.network, x.reshape(-1, x.shape[-1]))
        on = (torch.cat(z, -1) > 0).reshape(len(rows), LOOKS, -1)
        chosen = on.gather(2, units[:, None, :].expand(-1, LOOKS, -1))
        weights = 2 ** torch.arange(units.shape[1] - 1, -1, -1, device=rows.device)
        return x, (chosen * weights).sum(-1)

    def _best_sample(self, values: Tensor, points: Tensor, codes: Tensor) -> None:
        """Raise the lower end by the best pattern that a point showed."""
        seen = values.gather(1, codes)
        box, look = divmod(int(seen.argmax()), seen.shape[1])
        if float(seen[box, look]) > self.search.threshold:
            self.search.try_point(points[box, look])

    def _walked(
        self,
        boxes: Frontier,
        box: int,
        whole: list[list[bool]],
        units: list[int],
        bits: list[list[bool]],
        values: Tensor,
        shown: dict[int, Tensor],
    ) -> float:
        """The box's upper end after its patterns, from the largest norm down, were refuted or found."""
        assert self.cells is not None
        self.cells.set_box(boxes.lower[box].cpu(), boxes.upper[box].cpu())
        for code in values.argsort(descending=True).tolist():
            value = float(values[code])
            if value <= self.search.threshold:
                return value
            if code in shown:
                self.search.try_point(shown[code])
                return value
            sides = self._sides(whole, units, bits[code])
            region = self.cells.region(sides)
            if region.margin > REALISED:
                self.search.try_point(torch.from_numpy(region.point))
                return value
            if not self.cells.refuted(sides, region.multipliers):
                return value
        return 0.0  # no pattern is left

    def _sides(self, whole: list[list[bool]], units: list[int], on: list[bool]) -> list[Side]:
        """The undecided units' sides under this pattern; `whole` says what the others are."""
        places = [self.places[index] for index in units]
        layers = [list(row) for row in whole]
        for (layer, unit), bit in zip(places, on, strict=True):
            layers[layer][unit] = bit
        pattern: Bits = tuple(tuple(row) for row in layers)
        return [Side(pattern[:layer], unit, bit) for (layer, unit), bit in zip(places, on, strict=True)]

    # --- where kinks meet

    def _list_stalled(self, boxes: Frontier, forms: Forms, free: Tensor) -> None:
        """List the cells of boxes that get smaller and not simpler."""
        if self.cells is None:
            return
        wanted = (boxes.stalled >= STALLED * boxes.lower.shape[1]) & (boxes.bound > self.search.threshold)
        for box in wanted.nonzero()[:, 0].tolist():
            if self.search.late:
                return
            boxes.stalled[box] = 0
            value = self._listed(boxes, box, forms, free)
            boxes.bound[box] = min(float(boxes.bound[box]), value)

    def _listed(self, boxes: Frontier, box: int, forms: Forms, free: Tensor) -> float:
        """The box's upper end from its own cells; inf where they are too many."""
        assert self.cells is not None
        self.cells.set_box(boxes.lower[box].cpu(), boxes.upper[box].cpu())
        undecided = free[box].split(self.widths)
        status = [
            torch.where(u, 0, torch.where(low[box] >= 0, 1, -1)).cpu().numpy()
            for u, low in zip(undecided, forms.low, strict=True)
        ]
        upper = 0.0
        for count, leaf in enumerate(explore(self.cells, status), 1):
            if count > LISTED or self.search.late:
                return math.inf
            value = float(
                self._norms([s.to(self.question.device) for s in slopes_of(self.question.network, [leaf.pattern])])[0]
            )
            upper = max(upper, value)
            if value > self.search.threshold and leaf.point is not None:
                self.search.try_point(torch.from_numpy(leaf.point))
        return upper


def _inf_for_nan(values: Tensor) -> Tensor:
    return torch.where(torch.isnan(values), torch.inf, values)
