"""Iterative magnitude pruning of a stack: train, keep the largest weights of each network, rewind, train again.

Pruning is global over the weight matrices of a network, biases are kept. Round r trains with k_r weights, k_0 all of
them and k_{r+1} = round(keep·k_r); after every round the weights that stay go back to what they were at step `rewind`
of the first training. Networks of several widths are one stack, each bit for bit as if it were alone.

Main definitions: `prune_iteratively`, `PruningCurve`, `largest_weights`, `teacher_classes`.
Source: Rosenfeld, Frankle, Carbin and Shavit, arXiv:2006.10621 (the protocol: magnitudes, rewinding, retraining).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from constructions import fixed_order
from constructions.errors import LARGEST_SEED, require_device, require_instance, require_int, require_tensor, shown
from constructions.progress import Log, require_log, silent
from constructions.scaling_laws.stack import Stack, seed_of, whole_numbers
from constructions.scaling_laws.students import COMMON, MOST_POINTS, POOL, ReLUTarget, batches
from constructions.scaling_laws.training import Examples, Schedule, errors, train

MOST_ROUNDS = 1000


@dataclass(frozen=True)
class PruningCurve:
    """Errors and densities (rounds + 1, G) of a stack's networks; round 0 is unpruned. All networks have `depth` hidden
    layers of widths[g] units."""

    depth: int
    widths: tuple[int, ...]
    densities: Tensor
    errors: Tensor

    def averaged(self) -> tuple[tuple[int, ...], Tensor, Tensor]:
        """Distinct widths in order, their densities (rounds + 1, W) and errors averaged over networks of one width."""
        distinct = tuple(dict.fromkeys(self.widths))
        same = torch.tensor([[w == each for w in self.widths] for each in distinct])
        count = same.sum(1).double()
        mean = lambda values: torch.stack([values[:, row].sum(1) for row in same], 1) / count  # noqa: E731
        return distinct, mean(self.densities), mean(self.errors)


def weight_places(stack: Stack) -> Tensor:
    """(G, P), True at the numbers of a row that are weights of a network of its own width: no bias, no filling."""
    places = torch.zeros(stack.rows.shape, dtype=torch.bool, device=stack.rows.device)
    weights, _ = stack.layers(places)
    for g, width in enumerate(stack.widths):
        for layer, (a, b) in enumerate(pairwise((stack.sizes[0], *(width,) * stack.depth, stack.sizes[-1]))):
            weights[layer][g, :a, :b] = True
    return places


def largest_weights(rows: Tensor, among: Tensor, count: Tensor) -> Tensor:
    """(G, P), True at the count[g] numbers of rows[g] of the largest magnitude among[g]; ties to the lowest place."""
    magnitude = torch.where(among, rows.abs(), -1.0)
    order = torch.sort(magnitude, dim=1, descending=True, stable=True).indices
    chosen = torch.arange(rows.shape[1], device=rows.device) < count[:, None]
    return torch.zeros_like(among).scatter_(1, order, chosen) & among


def prune_iteratively(
    stack: Stack,
    examples: Examples,
    test: tuple[Tensor, Tensor],
    order: Tensor,
    schedule: Schedule,
    *,
    keep: float = 0.64,
    rounds: int = 12,
    rewind: int = 50,
    finished: Callable[[int, Stack, Tensor], None] = lambda number, stack, masks: None,
    log: Log = silent,
) -> PruningCurve:
    """Train and prune `stack` in place for `rounds` rounds after the first training.

    `order` (steps, G, B) are the batches of every round, `test` (x, y) common points. After each training `finished`
    sees its number, the stack and the masks (G, P) of the weights that it has. ValueError for a `keep` outside (0, 1).
    """
    require_instance("stack", stack, Stack)
    require_instance("schedule", schedule, Schedule)
    if not isinstance(keep, float) or not 0 < keep < 1:
        raise ValueError(f"`keep` must be a number between 0 and 1, got {shown(keep)}")
    require_int("rounds", rounds, 0, MOST_ROUNDS)
    if not callable(finished):
        raise TypeError(f"`finished` must be a function, got {type(finished).__name__}")
    require_int("rewind", rewind, 0, schedule.steps - 1)
    require_log(log)
    x, y = _test_points(test)
    weights = weight_places(stack)
    everything, masks = weights.sum(1), weights
    train(stack, examples, order, schedule, last=rewind)
    start = stack.rows.clone()
    densities, found = [], []
    for number in range(rounds + 1):
        log(f"pruning round {number} of {rounds}")
        if number:
            count = (masks.sum(1).double() * keep).round().long()
            masks = largest_weights(stack.rows, masks, count)
            stack.rows.copy_(torch.where(masks | ~weights, start, 0.0))
        train(stack, examples, order, schedule, first=rewind, masks=masks | ~weights)
        finished(number, stack, masks)
        densities.append(masks.sum(1).double() / everything)
        found.append(errors(stack, x, y))
    return PruningCurve(stack.depth, stack.widths, torch.stack(densities).cpu(), torch.stack(found).cpu())


def _test_points(test: Any) -> tuple[Tensor, Tensor]:
    if not isinstance(test, tuple) or len(test) != 2:
        raise ValueError(f"`test` must be points x (N, d) and their values or classes, got {shown(test)}")
    x, y = require_tensor("test", test[0], "(N, d)"), require_tensor("test", test[1], "(N,) or (N, o)")
    if x.ndim != 2 or len(x) != len(y) or not len(x):
        raise ValueError(f"`test` must be as many values as points, got {tuple(y.shape)} for {tuple(x.shape)}")
    return x, y


@dataclass(frozen=True)
class Classification:
    """Pools of points (S, N, d) with classes (S, N), and common test points with theirs."""

    x: Tensor
    y: Tensor
    test: tuple[Tensor, Tensor]


def teacher_classes(
    seeds: Sequence[int], points: int, *, test: int = 8000, widths: Sequence[int] = (12, 64, 10), teacher: int = 0,
    device: torch.device | str | None = None,
) -> Classification:  # fmt: skip
    """A pool a seed; classes are the largest of a random ReLU network's outputs, standardised on the test points."""
    place = require_device("device", device)
    target = ReLUTarget(widths, teacher)
    count = require_int("points", points, 1, MOST_POINTS)
    require_int("test", test, 2, MOST_POINTS)
    draw = lambda n, seed: torch.randn(  # noqa: E731
        n, target.widths[0], generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    )
    pools = [draw(count, seed_of(seed, POOL)) for seed in whole_numbers("seeds", seeds, 0, LARGEST_SEED)]
    common = draw(test, seed_of(COMMON))
    values = target(common)
    middle = fixed_order.total(values.t()) / test
    spread = (fixed_order.total(((values - middle) ** 2).t()) / test).sqrt()
    classes = [((target(x) - middle) / spread).argmax(1).to(place) for x in (common, *pools)]
    return Classification(torch.stack(pools).to(place), torch.stack(classes[1:]), (common.to(place), classes[0]))


def pruned_teacher_students(
    data: Classification,
    widths: Sequence[int],
    depth: int,
    seeds: Sequence[int],
    schedule: Schedule,
    **options,
) -> PruningCurve:
    """`prune_iteratively` for students of every width and seed on that seed's pool, all widths in one stack; networks
    are ordered by width, then seed."""
    require_instance("data", data, Classification)
    require_instance("schedule", schedule, Schedule)
    widths, seeds = whole_numbers("widths", widths, 1), whole_numbers("seeds", seeds, 0, LARGEST_SEED)
    if len(seeds) != len(data.x):
        raise ValueError(f"`seeds` must be one a pool, {len(data.x)}, got {shown(seeds)}")
    cells = [(w, s) for w in widths for s in range(len(seeds))]
    device, points = data.x.device, data.x.shape[1]
    classes = int(data.test[1].max()) + 1
    stack = Stack.drawn(
        data.x.shape[2], [w for w, _ in cells], depth, classes, [seeds[s] for _, s in cells], device=device
    )
    each = [batches(seed, points, schedule) for seed in seeds]
    order = torch.stack([each[s] for _, s in cells], 1).to(device)
    pool = torch.tensor([s for _, s in cells], device=device)
    return prune_iteratively(stack, Examples(data.x, data.y, pool), data.test, order, schedule, **options)
