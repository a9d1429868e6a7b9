"""Training a stack: batches, losses, AdamW in elementary operations, errors; no network feels another.

Main definitions: `Examples`, `Schedule`, `train`, `errors`, `slope`.
Notation: G networks, B points a batch, S pools of N points, d inputs, o outputs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from constructions import fixed_order
from constructions.errors import require_instance, require_int, require_tensor, shown
from constructions.progress import Log, silent
from constructions.scaling_laws.order_free import MOST_TERMS
from constructions.scaling_laws.stack import Pass, Stack

MOST_NUMBERS = 1 << 24
"""What an evaluation holds at once: activations of a layer."""

MOST_STEPS = 1 << 24


def _within(places: Tensor, count: int) -> bool:
    return places.numel() > 0 and int(places.min()) >= 0 and int(places.max()) < count


@dataclass(frozen=True)
class Examples:
    """S pools of points x (S, N, d) with values y (S, N, o) or classes y (S, N); network g draws from pool[g] (G,)."""

    x: Tensor
    y: Tensor
    pool: Tensor

    def __post_init__(self):
        for name, value, shape in (("x", self.x, "(S, N, d)"), ("y", self.y, "(S, N, …)"), ("pool", self.pool, "(G,)")):
            require_tensor(name, value, shape)
        if self.x.ndim != 3 or self.x.dtype != torch.float64 or not self.x.numel():
            raise ValueError(f"`x` must be float64 of shape (S, N, d), got {self.x.dtype} {tuple(self.x.shape)}")
        values = self.y.is_floating_point()
        if self.y.ndim != 2 + values or self.y.shape[:2] != self.x.shape[:2]:
            raise ValueError(f"`y` must have shape {tuple(self.x.shape[:2])} and outputs, got {tuple(self.y.shape)}")
        if self.pool.ndim != 1 or self.pool.dtype != torch.int64 or not _within(self.pool, len(self.x)):
            raise ValueError(f"`pool` must be one of the {len(self.x)} pools a network, got {shown(self.pool)}")

    def batch(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """x (G, B, d) and y of the places `index` (G, B) in each network's own pool."""
        place = index + self.pool[:, None] * self.x.shape[1]
        return self.x.flatten(0, 1)[place], self.y.flatten(0, 1)[place]


def slope(outputs: Tensor, y: Tensor) -> Tensor:
    """The derivative (G, B, o) of the mean loss of each network: squared error of values, cross entropy of classes."""
    points = outputs.shape[1]
    if y.is_floating_point():
        return (outputs - y) * (2 / (points * outputs.shape[2]))
    share = fixed_order.exp(outputs - outputs.amax(-1, keepdim=True))
    share = share / fixed_order.total(share)[..., None]
    chosen = torch.arange(outputs.shape[2], device=y.device) == y[..., None]
    return (share - chosen.double()) * (1 / points)


def errors(stack: Stack, x: Tensor, y: Tensor) -> Tensor:
    """(G,) of each network on common points x (N, d): mean squared error on values y (N, o), share of wrong classes y
    (N,)."""
    step = max(1, MOST_NUMBERS // (len(x) * max(stack.sizes)))
    found = []
    for first in range(0, len(stack), step):
        last = min(len(stack), first + step)
        outputs = Pass(stack, first, last).outputs(x.expand(last - first, *x.shape))
        if y.is_floating_point():
            gap = (outputs - y).flatten(1)
            found.append(fixed_order.total(gap * gap) / gap.shape[1])
        else:
            found.append((outputs.argmax(-1) != y).sum(1).double() / len(y))
    return torch.cat(found)


@dataclass(frozen=True)
class Schedule:
    """AdamW with decoupled weight decay for `steps` batches; the rate falls from `rate` to 0 along a cosine.

    With `watch` > 0, every so many steps the error on a validation set is taken, and the best numbers are kept.
    """

    steps: int
    batch: int = 64
    rate: float = 5e-3
    decay: float = 0.0
    watch: int = 0

    def __post_init__(self):
        require_int("steps", self.steps, 1, MOST_STEPS)
        require_int("batch", self.batch, 1, MOST_TERMS)
        require_int("watch", self.watch, 0)
        for name in ("rate", "decay"):
            value = getattr(self, name)
            if not isinstance(value, (int, float)) or isinstance(value, bool) or not 0 <= value < 1:
                raise ValueError(f"`{name}` must be a number of at least 0 and below 1, got {shown(value)}")

    def rate_at(self, step: int) -> float:
        """Before step 0, 1, …"""
        return self.rate * (1 + math.cos(math.pi * step / self.steps)) / 2


class AdamW:
    """Its moments for rows (G, P), in elementary operations only."""

    BETA, BETA_SQUARE, EPS = 0.9, 0.999, 1e-8

    def __init__(self, rows: Tensor):
        self.rows, self.number = rows, 0
        self.average, self.square = torch.zeros_like(rows), torch.zeros_like(rows)

    def descend(self, gradient: Tensor, rate: float, decay: float) -> None:
        """One step down `gradient` (G, P), which is overwritten."""
        self.number += 1
        if decay:
            self.rows.mul_(1 - rate * decay)
        self.average.mul_(self.BETA).add_(gradient * (1 - self.BETA))
        self.square.mul_(self.BETA_SQUARE).add_(gradient.mul_(gradient).mul_(1 - self.BETA_SQUARE))
        root = self.square.sqrt().mul_(1 / math.sqrt(1 - self.BETA_SQUARE**self.number)).add_(self.EPS)
        self.rows.sub_(torch.div(self.average, root, out=root).mul_(rate / (1 - self.BETA**self.number)))


def train(
    stack: Stack,
    examples: Examples,
    order: Tensor,
    schedule: Schedule,
    *,
    first: int = 0,
    last: int | None = None,
    masks: Tensor | None = None,
    validation: tuple[Tensor, Tensor] | None = None,
    log: Log = silent,
) -> None:
    """Train all networks of `stack`, in place, on batches `order` (steps, G, B) of places in their pools.

    Only the steps from `first` to before `last` are made, with the rates that they have in the schedule. Where `masks`
    (G, P) is False a number stays as it is: pruned weights are zeros. With a `validation` set (x, y) and a `watch`, the
    stack ends with each network's best numbers. ValueError where a network ends with NaN or infinity.
    """
    _require_run(stack, examples, order, schedule)
    optimiser, gradient, run = AdamW(stack.rows), torch.zeros_like(stack.rows), Pass(stack)
    weights, biases = stack.layers(gradient)
    watched = schedule.watch if validation is not None else 0
    best, best_rows = torch.full_like(stack.rows[:, 0], math.inf), stack.rows.clone()
    for step in range(first, schedule.steps if last is None else last):
        x, y = examples.batch(order[step])
        run.backward(slope(run.outputs(x), y), weights, biases)
        if masks is not None:
            gradient.mul_(masks)
        optimiser.descend(gradient, schedule.rate_at(step), schedule.decay)
        if validation is not None and watched and (step + 1) % watched == 0:
            log(f"{len(stack)} networks: step {step + 1} of {schedule.steps}")
            now = errors(stack, *validation)
            better = now < best
            best = torch.where(better, now, best)
            best_rows = torch.where(better[:, None], stack.rows, best_rows)
    if watched:
        stack.rows.copy_(torch.where(torch.isfinite(best)[:, None], best_rows, math.nan))
    finite = torch.isfinite(stack.rows).all(1)
    if not bool(finite.all()):
        raise ValueError(f"`schedule` makes network {int((~finite).nonzero()[0])} diverge: its weights are not finite")


def _require_run(stack: Stack, examples: Examples, order: Tensor, schedule: Schedule) -> None:
    """TypeError or ValueError unless these fit together."""
    require_instance("stack", stack, Stack)
    require_instance("examples", examples, Examples)
    require_instance("schedule", schedule, Schedule)
    require_tensor("order", order, "(steps, G, B)")
    if order.ndim != 3 or len(order) < schedule.steps or order.shape[1] != len(stack) or order.dtype != torch.int64:
        wanted = f"({schedule.steps}, {len(stack)}, B)"
        raise ValueError(f"`order` must be int64 of shape {wanted}, got {order.dtype} {tuple(order.shape)}")
    if not 1 <= order.shape[2] <= MOST_TERMS or not _within(order, examples.x.shape[1]):
        raise ValueError(f"`order` must be places below {examples.x.shape[1]} in batches of at most {MOST_TERMS}")
    outputs = examples.y.shape[2] if examples.y.is_floating_point() else stack.sizes[-1]
    if examples.x.shape[2] != stack.sizes[0] or outputs != stack.sizes[-1] or len(examples.pool) != len(stack):
        raise ValueError(
            f"`examples` must be for {len(stack)} networks of {stack.sizes[0]} inputs, {stack.sizes[-1]} outputs"
        )
