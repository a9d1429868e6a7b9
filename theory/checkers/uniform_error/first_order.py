"""The first-order bound of a box for a target that is a formula: slopes of f − f̂ instead of a modulus of f.

Main definition: `FirstOrder`.
Main statement: let e = f_i − f̂_i on a box [lo, hi] inside one cell (and one piece, where experts have pieces), and let
every ∂e/∂x_a lie in [l_a, h_a]: the slopes of f (`constructions.functions.symbolic.slopes`) less those of f̂, which the
bank has from the weights. For every point v of the box

    e(x) ≤ U(v) = e(v) + Σ_a max(h_a·(hi_a − v_a), l_a·(lo_a − v_a))        for all x in the box,

and the same for −e; the larger of both bounds |e|. With v the centre this is |e(c)| + Σ_a sup|∂_a e|·half_a at most.
The point v* = lo + s·(hi − lo), s_a = h_a/(h_a − l_a) clipped to [0, 1], has the least U among all v. Where e is
monotone it is the corner at which e is largest, and the bound is the supremum itself.

Proof. e(x) − e(v) = Σ_a g_a·(x_a − v_a) with g_a in [l_a, h_a]: f satisfies the mean value theorem of `slopes`, and so
does f̂, which on the closed box is continuous and piecewise affine or smooth (from one cell to the next it is not, so no
box reaches over one). And g·t ≤ max(h·(hi − v), l·(lo − v)) for t in [lo − v, hi − v] ∋ 0. Now v*: on an axis with
v*_a > v_a the value e(v*) exceeds e(v) by at most h_a·(v*_a − v_a), and the term of U(v*) is h_a·(hi_a − v*_a), or 0 at
v*_a = hi_a; both add up to h_a·(hi_a − v_a), a part of the term of U(v). With v*_a < v_a the same with l_a. So
U(v*) ≤ U(v). ∎

Of a target that is piecewise affine by its form there is a second bound, leaf by leaf (`affine_pieces`); the smaller
counts.

Rounding: slopes are rounded outward, their differences once more. v* may be any point of the box, so how it is rounded
does not matter. The sum has room of 2(n + 8)u of its terms, and the least normal number for each product. Values of f
and f̂ at v* are off by as much as everywhere in the search: η and the slack of the bank, which the search adds. NaN and
overflow are no bound: infinite.
Reference: E. Baumann, Optimal centered forms, BIT 28 (1988).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from constructions.functions.symbolic.intervals import keeps_small_numbers
from constructions.functions.symbolic.pieces import pieces_of
from constructions.functions.symbolic.slopes import SlopeTape
from constructions.functions.symbolic.tape import Tape
from theory.checkers.uniform_error.affine_pieces import PiecesOfTarget
from theory.checkers.uniform_error.banks import Bank
from theory.checkers.uniform_error.boxes import half_widths
from theory.checkers.uniform_error.stack import LEAST

CHUNK = 1 << 14
NUMBERS = 1 << 23


class FirstOrder:
    """Bounds of boxes by slopes, and the largest error seen on the way: `error` (0-dim) at `point` (n,).

    `known` is False where there is no formula, or the host rounds subnormal numbers to 0: then there is no such bound.
    """

    def __init__(self, tape: Tape | None, like: Tensor):
        """`like` are boxes' corners (B, n), whose place and dtype count."""
        tape = tape if keeps_small_numbers() else None
        self.slopes = None if tape is None else SlopeTape.of(tape)
        trees = () if tape is None else pieces_of(tape)
        self.pieces = [None if tree is None else PiecesOfTarget.of(tree, like) for tree in trees]
        self.error = like.new_zeros(())
        self.point = like.new_zeros(like.shape[1])
        self.asked = 0.0

    @property
    def known(self) -> bool:
        return self.slopes is not None

    @property
    def points(self) -> int:
        """Evaluations of f for each box."""
        return 0 if self.slopes is None else 2 * len(self.slopes.tape.outputs)

    def is_news(self, error: float, lower: float) -> bool:
        """Whether `error`, as it was read, is above the lower end and was not looked at before."""
        if not error > max(lower, self.asked):
            return False
        self.asked = error
        return True

    def bounds(self, bank: Bank, expert: Tensor, piece: Tensor, lo: Tensor, hi: Tensor) -> Tensor:
        """Upper bounds (B,) of |f − f̂| over boxes [lo, hi] (B, n) inside the given pieces of the given experts, of the
        largest output, without slack; inf where nothing is proved."""
        assert self.slopes is not None
        if not len(lo):
            return lo.new_zeros(0)
        tape = self.slopes.tape
        rows = max(1, min(CHUNK, NUMBERS // (len(tape.instructions) * 2 * (1 + tape.n))))
        parts = zip(*(t.split(rows) for t in (expert, piece, lo, hi)), strict=True)
        found = [self._bounds(self.slopes, bank, *part) for part in parts]
        return torch.cat(found)

    def _bounds(self, slopes: SlopeTape, bank: Bank, expert: Tensor, piece: Tensor, lo: Tensor, hi: Tensor) -> Tensor:
        ends = slopes.slopes(lo, hi)
        own = bank.slope_ends(expert, piece, lo, hi)
        centre = (lo + hi) / 2
        values, half = bank.values(expert, piece, centre), half_widths(lo, hi, centre)
        worst = lo.new_zeros(len(lo))
        for i, pieces in enumerate(self.pieces):
            low, high = difference(*(e[:, i] for e in ends), *(e[:, i] for e in own))
            bound = self._balanced_bound(slopes, i, bank, (expert, piece, lo, hi), low, high)
            if pieces is not None:
                other = pieces.bounds(values[:, i], own[0][:, i], own[1][:, i], centre, half)
                bound = torch.fmin(bound, other)
            worst = torch.maximum(worst, bound)
        return torch.nan_to_num(worst, nan=math.inf, posinf=math.inf)

    def _balanced_bound(
        self, slopes: SlopeTape, output: int, bank: Bank, boxes: tuple[Tensor, ...], low: Tensor, high: Tensor
    ) -> Tensor:
        """The larger of U(v*) for e and for −e, whose slopes are in [low, high] (B, n)."""
        expert, piece, lo, hi = boxes
        ends = torch.cat([low, -high]), torch.cat([high, -low])
        corners = lo.repeat(2, 1), hi.repeat(2, 1)
        x = balanced(*ends, *corners)
        error = slopes.tape(x)[:, output] - bank.values(expert.repeat(2), piece.repeat(2), x)[:, output]
        self._remember(error, x)
        error[len(lo) :].neg_()
        return torch.maximum(*above(error, *ends, *corners, x).chunk(2))

    def _remember(self, error: Tensor, x: Tensor) -> None:
        """Keep the point of the largest error, without asking the device; NaN is never larger."""
        size = torch.nan_to_num(error.abs(), nan=0.0)
        most, row = size.max(0)
        larger = most > self.error
        self.error = torch.where(larger, most, self.error)
        self.point = torch.where(larger, x.index_select(0, row[None])[0], self.point)


def difference(low: Tensor, high: Tensor, least: Tensor, largest: Tensor) -> tuple[Tensor, Tensor]:
    """[low, high] − [least, largest], rounded outward."""
    infinite = low.new_full((), math.inf)
    return torch.nextafter(low - largest, -infinite), torch.nextafter(high - least, infinite)


def balanced(low: Tensor, high: Tensor, lo: Tensor, hi: Tensor) -> Tensor:
    """The point v* (B, n) for slopes in [low, high]; the middle where they say nothing."""
    share = torch.nan_to_num(high / (high - low), nan=0.5, posinf=1.0, neginf=0.0).clamp(0, 1)
    return torch.minimum(torch.maximum(torch.lerp(lo, hi, share), lo), hi)


def above(error: Tensor, low: Tensor, high: Tensor, lo: Tensor, hi: Tensor, v: Tensor) -> Tensor:
    """U(v) (B,), rounded up."""
    n = lo.shape[-1]
    spread = torch.maximum(high * (hi - v), low * (lo - v)).sum(-1)
    return error + spread + ((error.abs() + spread) * ((n + 8) * 2.0**-52) + n * LEAST)
