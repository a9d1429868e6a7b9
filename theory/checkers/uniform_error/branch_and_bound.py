"""Way 2: branch and bound over boxes inside one cell and one affine piece. It does not use Theorem 1.

    |f − f̂| ≤ |f(c) − f̂(c)| + ω(half diagonal) + (variation of f̂ over the box)       on a box with centre c.

Where f is a formula, boxes that this leaves open are bounded by the slopes of f − f̂, too (`first_order`), and the
smaller bound counts; not where `enclosed` trusts nothing but balls.

It starts from the adversarial sample (cell corners × knots and mid-knots), so that the lower end is nearly right from
the beginning, then splits the widest side of every box whose bound is still above the threshold.

Main definition: `branch_and_bound`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from constructions.functions.lipschitz_function import LipschitzFunction
from theory.checkers.uniform_error.banks import Bank, banks_of
from theory.checkers.uniform_error.boxes import half_widths, norm_above
from theory.checkers.uniform_error.certificate import Premise
from theory.checkers.uniform_error.first_order import FirstOrder
from theory.checkers.uniform_error.premises import forward_matches
from theory.checkers.uniform_error.ridge_exact import ExactTables
from theory.checkers.uniform_error.target_values import enclosed_errors
from theory.checkers.uniform_error.view import MixtureView

Frontier = tuple[Tensor, Tensor, Tensor, Tensor, Tensor]
"""Boxes: expert, piece (B,), lower and upper corners (B, n), and the bound (B,) of the box that each was cut from."""

Batch = tuple[Tensor, Tensor, Tensor, Tensor, Tensor, bool]
BATCH = 1 << 17
HALVINGS = 3  # of a formula's boxes at a time: what few boxes cost is not their number
MAX_CORNERS = 64


@dataclass
class Goal:
    """When a box is settled. With both `eps` and `gap` the search goes on until both are met."""

    eps: float | None = None
    gap: float | None = None
    abs_tol: float = 0.0

    def threshold(self, lower: float) -> float:
        """Boxes with a bound at most this need no further splitting; inf when eps is refuted and no gap asked for."""
        if self.eps is not None and self.gap is None and lower > self.eps:
            return math.inf
        wanted = [self.eps] if self.eps is not None and lower <= self.eps else []
        if self.gap is not None:
            wanted.append((1 + self.gap) * lower)
        return max(min(wanted, default=0.0), self.abs_tol)


@dataclass
class Search:
    """State shared by all banks: the interval so far, and what it cost.

    `elsewhere` is a lower end that another part of the search reached; it counts for when to stop, not for `lower`.
    """

    f: LipschitzFunction
    goal: Goal
    eta: float
    max_evaluations: int
    enclosed: bool
    log: Callable[[str], None]
    lower: float = 0.0
    witness: tuple[float, ...] | None = None
    upper: float = 0.0
    evaluations: int = 0
    slack: float = 0.0
    exhausted: bool = False
    pieces: int = 0
    mismatch: Premise | None = None
    elsewhere: float = 0.0

    @property
    def threshold(self) -> float:
        return self.goal.threshold(max(self.lower, self.elsewhere))

    def errors(self, bank: Bank, expert: Tensor, piece: Tensor, x: Tensor) -> Tensor:
        """|f − f̂| (B, m) at x, from the bank's tables."""
        self.evaluations += len(x)
        return (self.f.evaluate(x) - bank.values(expert, piece, x)).abs()

    def raise_lower(self, view: MixtureView, candidates: Tensor, slack: float) -> None:
        """Confirm candidate witnesses (B, n) with the model's own forward pass."""
        found = view.errors(self.f, candidates)
        best = int(found.argmax())
        value = float(found[best]) - self.eta - slack
        value = value if value > 0 else 0.0
        if value > self.lower or self.witness is None:
            self.lower, self.witness = value, tuple(candidates[best].tolist())


def branch_and_bound(view: MixtureView, search: Search) -> None:
    """Fill in `search`: lower, upper, witness, evaluations; `exhausted` or `mismatch` if those ended it."""
    for index, (leaves, bank) in enumerate(banks_of(view)):
        search.mismatch = forward_matches(view, leaves, bank)
        if search.mismatch is not None:
            search.upper = math.inf
            break
        _seed(view, bank, search)
        search.log(f"seeding bank {index + 1}: sup ≥ {search.lower:.6g}")
    search.elsewhere = view.share.meet(search.lower)
    if search.mismatch is not None:
        return
    for index, (_, bank) in enumerate(banks_of(view)):
        _refine(view, bank, search)
        search.log(f"bank {index + 1}: {search.lower:.6g} ≤ sup ≤ {search.upper:.6g} so far")


def _seed(view: MixtureView, bank: Bank, search: Search) -> None:
    expert, piece, x = view.own_boxes(bank.seeds(MAX_CORNERS))
    candidates = []
    for rows in torch.arange(len(x), device=x.device).split(BATCH) if len(x) else ():
        error = search.errors(bank, expert[rows], piece[rows], x[rows]).amax(-1)
        candidates.append(x[rows[error.argmax()]])
    slack = bank.forward_slack + bank.table_slack
    search.slack = max(search.slack, slack + search.eta)
    if candidates:
        search.raise_lower(view, torch.stack(candidates), slack)


def _refine(view: MixtureView, bank: Bank, search: Search) -> None:
    """Depth-first over batches of boxes, so that the frontier stays a few batches wide."""
    slack = bank.forward_slack + bank.table_slack + (0.0 if search.enclosed else search.eta)
    tables = ExactTables.of(bank) if search.enclosed else None
    boxes = view.own_boxes(bank.initial_boxes())
    search.pieces += len(boxes[0])
    slopes = FirstOrder(None if search.enclosed else search.f.tape, boxes[2])
    settled = torch.zeros_like(slopes.error)
    parents = torch.full((len(boxes[0]),), math.inf, dtype=torch.float64, device=boxes[2].device)
    stack = _batches((boxes[0], boxes[1], boxes[2], boxes[3], parents), known=False)
    while stack:
        expert, piece, lo, hi, parent, known = stack.pop()
        # every piece is bounded at least once, so that an exhausted search still has a finite upper end
        if known and (search.exhausted or search.evaluations + len(lo) > search.max_evaluations):
            search.exhausted = True
            search.upper = max(search.upper, float(parent.max()))
            continue
        centre = (lo + hi) / 2
        half = half_widths(lo, hi, centre)
        error, bound = _bounds(bank, tables, search, expert, piece, centre, half)
        bound = torch.minimum(bound + slack, parent)
        # every number that the host reads makes it wait for the device: one reading a batch, and which boxes are open
        seen = torch.stack([torch.isfinite(bound).all().double(), error.amax(), slopes.error]).tolist()
        if not seen[0]:  # NaN too
            search.upper = math.inf
            return
        if seen[1] > search.lower:
            search.raise_lower(view, centre[error.argmax()][None], slack)
        if slopes.is_news(seen[2], search.lower):
            search.raise_lower(view, slopes.point[None], slack)
        threshold = max(search.threshold, 2 * slack)
        if math.isinf(threshold):
            # refuted, and no gap was asked for: the lower end says it all
            search.upper = math.inf
            return
        boxes = (expert, piece, lo, hi)
        rows = _open(bank, slopes, search, boxes, bound, threshold, slack)
        settled = torch.maximum(settled, bound.masked_fill(bound > threshold, 0.0).amax())
        if len(rows):
            parts = (expert[rows], piece[rows], lo[rows], hi[rows], bound[rows])
            # as often whatever else is in the batch: parts of a shared search must end like the whole
            for _ in range(HALVINGS if slopes.known else 1):
                parts = _halved(*parts)
            stack.extend(_batches(parts, known=True))
    search.upper = max(search.upper, float(settled))


def _open(
    bank: Bank,
    slopes: FirstOrder,
    search: Search,
    boxes: tuple[Tensor, ...],
    bound: Tensor,
    threshold: float,
    slack: float,
) -> Tensor:
    """Rows of the boxes whose bounds are above the threshold, after those that were are bounded by slopes, too, in
    `bound`."""
    rows = (bound > threshold).nonzero()[:, 0]
    if not len(rows) or not slopes.known:
        return rows
    search.evaluations += slopes.points * len(rows)
    finer = slopes.bounds(bank, *(t[rows] for t in boxes)) + slack
    bound[rows] = torch.minimum(bound[rows], finer)
    return (bound > threshold).nonzero()[:, 0]


def _bounds(
    bank: Bank,
    tables: ExactTables | None,
    search: Search,
    expert: Tensor,
    piece: Tensor,
    centre: Tensor,
    half: Tensor,
) -> tuple[Tensor, Tensor]:
    """(error at the centre, upper bound over the box) of the largest output error, (B,) each, without slack."""
    if tables is not None:
        search.evaluations += len(centre)
        error = enclosed_errors(search.f, centre, tables.at(expert, piece, centre))
    else:
        error = search.errors(bank, expert, piece, centre)
    moved = bank.variation(expert, piece, centre, half) * (1 + 2.0**-49)
    # one rounding a sum, each up to u of the result
    bound = ((error + moved).amax(-1) + search.f.modulus.above(norm_above(half))) * (1 + 2.0**-50)
    return error.amax(-1), bound


def _halved(expert: Tensor, piece: Tensor, lo: Tensor, hi: Tensor, bound: Tensor) -> Frontier:
    """Both halves of every box along its widest side; they share the middle, so nothing is lost to rounding."""
    axis = (hi - lo).argmax(-1, keepdim=True)
    middle = ((lo + hi) / 2).gather(1, axis)
    low_hi, high_lo = hi.scatter(1, axis, middle), lo.scatter(1, axis, middle)
    return (
        expert.repeat(2),
        piece.repeat(2),
        torch.cat([lo, high_lo]),
        torch.cat([low_hi, hi]),
        bound.repeat(2),
    )


def _batches(boxes: Frontier, *, known: bool) -> list[Batch]:
    """Parts of at most BATCH boxes; `known` says whether the bounds of their parents are finite."""
    expert, piece, lo, hi, parent = (t.split(BATCH) for t in boxes)
    parts = list(zip(expert, piece, lo, hi, parent, itertools.repeat(known), strict=False))
    return parts if len(boxes[0]) else []
