"""Method "sampled": the largest norm at points, then from cell to neighbouring cell as long as it grows. A lower end.

Points are uniform in the box (without one: normal, at scales 10^−1 … 10^2 of the nearest kinks), and on both sides of
kinks that random lines meet, found by halving. From the best of them every unit is flipped in turn: the point goes
straight through that kink, just beyond it.

Main definitions: `sampled`, `climb`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from theory.claim import Evidence
from theory.lipschitz_expressiveness.checkers.norms import norm_above
from theory.lipschitz_expressiveness.checkers.result import LipschitzBounds
from theory.lipschitz_expressiveness.checkers.search import Question, Search

CHUNK = 1 << 14
STARTS, ROUNDS, BEYOND = 8, 50, 1e-6
HALVINGS = 40


def sampled(question: Question) -> LipschitzBounds:
    """0 < lower ≤ Lip, from `question.points` points and what is next to them."""
    search = Search(question)
    looked = climb(search, question.points)
    search.step(looked, float("inf"), "points")
    lower = search.lower
    return LipschitzBounds(
        lower=lower,
        upper=float("inf"),
        log2_upper=float("inf"),
        method="sampled",
        evidence=Evidence.SAMPLED,
        reason=f"the largest of {looked} points and their neighbours: a lower end alone",
        cells_or_boxes=looked,
        witness=None if search.witness is None else search.witness.point,
        jacobian=search.jacobian(),
        history=tuple(search.history),
    )


def climb(search: Search, count: int) -> int:
    """Raise the lower end of a search by `count` points and their neighbours; how many were looked at."""
    question = search.question
    points = _points(question, count)
    looked = 0
    best: list[tuple[float, Tensor]] = []
    for part in [*points.split(CHUNK), *_both_sides(search, points)]:
        if search.late:
            break
        values = norm_above(search.matrices(part)[0])
        looked += len(part)
        order = values.argsort(descending=True)[:STARTS]
        best += [(float(values[i]), part[i]) for i in order]
        best = sorted(best, key=lambda pair: -pair[0])[:STARTS]
    if best and question.moved.kinks:
        best, more = _climbed(search, best)
        looked += more
    for _, point in best[:STARTS]:
        search.try_point(point)
    return looked


def _points(question: Question, count: int) -> Tensor:
    n, draw = question.network.inputs, question.generator()
    if question.lower is not None and question.upper is not None:
        unit = torch.rand(count, n, dtype=torch.float64, generator=draw)
        x = question.lower + unit * (question.upper - question.lower)
        # rounding must not leave the box
        return torch.minimum(torch.maximum(x, question.lower), question.upper).to(question.device)
    scale = 10.0 ** torch.linspace(-1, 2, count, dtype=torch.float64)[:, None]
    return (scale * torch.randn(count, n, dtype=torch.float64, generator=draw)).to(question.device)


def _both_sides(search: Search, points: Tensor) -> list[Tensor]:
    """Points just before and behind a kink on the segment from each point to the next, where their cells differ."""
    ends = torch.stack([points, points.roll(1, 0)])
    codes = _codes(search, ends.reshape(-1, points.shape[1]))
    if codes.shape[1] == 0:
        return []
    apart = (codes[: len(points)] != codes[len(points) :]).any(-1)
    near, far = ends[0][apart], ends[1][apart]
    if not len(near):
        return []
    code = _codes(search, near)
    for _ in range(HALVINGS):
        middle = (near + far) / 2
        same = (_codes(search, middle) == code).all(-1, keepdim=True)
        near, far = torch.where(same, middle, near), torch.where(same, far, middle)
    return [*near.split(CHUNK), *far.split(CHUNK)]


def _codes(search: Search, x: Tensor) -> Tensor:
    """Which kinked units are on at x (B, n): (B, kinks)."""
    _, _, values = search.matrices(x)
    hidden = search.question.moved.hidden
    kept = [(z > 0)[:, layer.bends] for z, layer in zip(values, hidden, strict=True)]
    return torch.cat(kept, 1) if kept else x.new_zeros(len(x), 0, dtype=torch.bool)


def _climbed(search: Search, best: list[tuple[float, Tensor]]) -> tuple[list[tuple[float, Tensor]], int]:
    looked = 0
    starts = torch.stack([point for _, point in best])
    values = torch.tensor([value for value, _ in best], dtype=torch.float64, device=starts.device)
    for _ in range(ROUNDS):
        if search.late:
            break
        around = _across(search, starts)  # (S, kinks, n)
        flat = around.reshape(-1, around.shape[-1])
        found = torch.cat([norm_above(search.matrices(part)[0]) for part in flat.split(CHUNK)])
        found = found.reshape(around.shape[:2])
        looked += len(flat)
        top, unit = found.max(1)
        better = top > values * (1 + 1e-12)
        if not bool(better.any()):
            break
        starts = torch.where(better[:, None], around[torch.arange(len(starts), device=starts.device), unit], starts)
        values = torch.where(better, top, values)
    order = values.argsort(descending=True).tolist()
    return [(float(values[i]), starts[i]) for i in order], looked


def _across(search: Search, x: Tensor) -> Tensor:
    """For every point (S, n) and kink the point straight beyond that kink (S, kinks, n), within the box."""
    question = search.question
    _, slopes, values = search.matrices(x)
    J, moved = None, []
    for layer, z, slope in zip(question.moved.hidden, values, slopes, strict=True):
        J = layer.weight.expand(len(x), -1, -1) if J is None else layer.weight @ J
        rows, height = J[:, layer.bends], z[:, layer.bends]
        step = height[..., None] * rows / rows.square().sum(-1, keepdim=True).clamp(min=1e-300)
        moved.append(x[:, None] - (1 + BEYOND) * step)
        J = slope[..., None] * J
    around = torch.cat(moved, 1)
    around = torch.where(torch.isfinite(around), around, x[:, None])
    if question.lower is not None and question.upper is not None:
        lower, upper = question.lower.to(x.device), question.upper.to(x.device)
        around = torch.minimum(torch.maximum(around, lower), upper)
    return around
