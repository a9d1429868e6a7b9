"""What is held out of runs, whether errors decrease at all, and what predicts without a law.

Main definitions: `largest`, `not_decreasing`, `last_values`, `averaged`.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from constructions.errors import require_positive
from constructions.scaling_laws.curves import MOST_LEFT, MOST_UPWARD, steps_of
from constructions.scaling_laws.points import Points, distinct_rows

MOST_VALUES = 32
CELLS = 16
BLOCK = 256
A_RISE = 1.02
"""On one of several axes errors saturate where another is the limit: smaller rises are not counted there."""


def largest(sizes: Tensor, fraction: float) -> Tensor:
    """(N,) bool: the different points (N, k) of the largest products of sizes, about `fraction` of them and at least
    one. Points of equal sizes stay together."""
    require_positive("fraction", fraction)
    if not fraction < 1:
        raise ValueError(f"`fraction` must be between 0 and 1, got {fraction}")
    distinct, where = distinct_rows(sizes)
    order = distinct.log().sum(1).argsort(stable=True)
    count = max(1, round(fraction * len(distinct)))
    far = torch.zeros(len(distinct), dtype=torch.bool, device=sizes.device)
    far[order[len(distinct) - count :]] = True
    return far[where]


def averaged(sizes: Tensor, errors: Tensor) -> tuple[Tensor, Tensor]:
    """The different sizes (U, k), in increasing order, and their mean errors (U,)."""
    distinct, where = distinct_rows(sizes)
    count = torch.zeros(len(distinct), dtype=errors.dtype, device=errors.device).index_add_(
        0, where, torch.ones_like(errors)
    )
    return distinct, torch.zeros_like(count).index_add_(0, where, errors) / count


def not_decreasing(points: Points) -> str | None:
    """Why errors do not decrease, or None: along an axis more than 20 % of the steps go up, or its last error is above
    0.9 of its first.

    Errors of equal sizes are averaged, and axes of more than 32 values are cut into 16 parts. Steps along an axis are
    those where the other sizes stay as they are; its fall is the largest of them. An axis on which there are none
    (sizes that grow together) says nothing, and if none does, the order of the products of sizes is judged.
    """
    parts = torch.stack([_parts(points.sizes[:, axis]) for axis in range(points.sizes.shape[1])], 1)
    sizes, errors = averaged(parts, points.errors)
    judged = False
    for axis, name in enumerate(points.axes):
        lines = _lines(sizes, errors, axis)
        if not lines:
            continue
        judged = True
        if len(points.axes) == 1:
            ups, steps, fall = steps_of(lines[0])
        else:
            ups = sum(int((line[1:] > A_RISE * line[:-1]).sum()) for line in lines)
            steps, fall = sum(len(line) - 1 for line in lines), min(float(line[-1] / line[0]) for line in lines)
        why = _verdict(f"along `{name}`", ups, steps, fall)
        if why is not None:
            return why
    if judged:
        return None
    order = points.sizes.log().sum(1)
    _, line = averaged(_parts(order.exp())[:, None], points.errors)
    return _verdict("in the order of their product", *steps_of(line)) if len(line) > 1 else None


def _verdict(where: str, ups: int, steps: int, fall: float) -> str | None:
    if ups > MOST_UPWARD * steps:
        return f"{where} {ups} of {steps} steps go up"
    if not fall <= MOST_LEFT:
        return f"{where} the last error is {fall:.2f} of the first"
    return None


def _parts(values: Tensor) -> Tensor:
    """The values (N,), or numbers of 16 equal parts of their logarithms where there are many."""
    if len(values.unique()) <= MOST_VALUES:
        return values
    logs = values.log()
    low, high = logs.min(), logs.max()
    return ((logs - low) / (high - low) * CELLS).floor().clamp(max=CELLS - 1) + 1


def _lines(sizes: Tensor, errors: Tensor, axis: int) -> list[Tensor]:
    """Errors along `axis`, in order, wherever there are two or more at the same other sizes."""
    others = [other for other in range(sizes.shape[1]) if other != axis]
    if others:
        _, number = distinct_rows(sizes[:, others])
    else:
        number = torch.zeros(len(sizes), dtype=torch.int64, device=sizes.device)
    order = sizes[:, axis].argsort(stable=True)
    order = order[number[order].argsort(stable=True)]
    counts = torch.bincount(number).tolist()
    return [line for line in errors[order].split(counts) if len(line) > 1]


def last_values(sizes: Tensor, errors: Tensor, at: Tensor) -> Tensor:
    """Predictions (M,) at sizes (M, k) that repeat the last value seen: the mean error at the largest fitted point
    (U, k) that exceeds it on no axis, by the product of sizes; the least mean error where there is none."""
    known, means = averaged(sizes, errors)
    product = known.log().sum(1)
    order = product.argsort(descending=True, stable=True)
    known, ordered = known[order], means[order]
    predicted = means.min().expand(len(at)).clone()
    waiting = torch.arange(len(at), device=at.device)
    for start in range(0, len(known), BLOCK):  # most find theirs among the first
        part = slice(start, start + BLOCK)
        below = (known[None, part] <= at[waiting][:, None]).all(2)
        found = below.any(1)
        first = below.to(torch.uint8).argmax(1)
        predicted[waiting[found]] = ordered[part][first[found]]
        waiting = waiting[~found]
        if not len(waiting):
            break
    return predicted


def beyond(sizes: Tensor, at: Tensor) -> float:
    """How many times the largest fitted size of an axis is exceeded by sizes (k,), at most over the axes."""
    return math.exp(float((at.log() - sizes.log().amax(0)).max()))
