"""Paired training comparisons: all seeds and rates of a method at once, rates tuned on grids that grow past their edge.

The steps are those of `constructions.demo_optimizer.coding`, but the residuals lie in the coefficients, where what was
sent is crossed out instead of transformed back; replicas lie side by side along the axis of the chunks.

Main definitions: `Method`, `train`, `tuned_rate`, `trained`, `Paired`, `paired`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import torch
from scipy import stats
from torch import Tensor
from torch.func import grad, vmap

from constructions.demo_optimizer.chunks import Chunks
from constructions.demo_optimizer.coding import decode, largest
from constructions.demo_optimizer.transforms import Basis, basis
from theory.demo_optimizer.tasks import TASKS, WORKERS, Task, Weights

TUNING = (100, 101)
SEEDS = tuple(range(12))
GRID, ADAMW_GRID = (1e-3, 3e-3, 1e-2, 3e-2), (3e-3, 1e-2, 3e-2)
MOST_EXTENSIONS = 8
WARM_UP, LAST = 20, 0.1
DECAY, CHUNK = 0.999, 64
BETAS, EPSILON, SHRINK, SIGNUM = (0.9, 0.95), 1e-8, 0.01, 0.9
LEVEL = 0.95

Log = Callable[[str], None]


class Method(NamedTuple):
    """ "adamw", "signum" (dense signs of a momentum), or "demo" with k and a transform."""

    kind: str
    k: int = 32
    transform: str = "dct"

    def __str__(self) -> str:
        return f"demo, {self.transform}, k={self.k}" if self.kind == "demo" else self.kind

    @property
    def grid(self) -> tuple[float, ...]:
        return ADAMW_GRID if self.kind == "adamw" else GRID


ADAMW, DEMO = Method("adamw"), Method("demo")
FOUND_BEFORE = {
    ("digits", ADAMW): 3e-2,
    ("digits", DEMO): 3e-2,
    ("digits", Method("demo", 8)): 1e-2,
    ("digits", Method("demo", 8, "identity")): 1e-1,
    ("digits", Method("demo", 8, "random_orthogonal")): 3e-2,
    ("breast_cancer", ADAMW): 3e-3,
    ("breast_cancer", DEMO): 3e-3,
    ("text", ADAMW): 3e-2,
    ("text", DEMO): 3e-2,
}
"""Where a narrow grid begins. It is tried, not believed: a best rate at its edge moves it."""


class Trained(NamedTuple):
    """Of every replica: validation loss in nats and share of errors (R,)."""

    loss: tuple[float, ...]
    error: tuple[float, ...]


def rate_at(step: int, steps: int) -> float:
    """The factor of the rate: up linearly for 20 steps, then down along a cosine to a tenth."""
    if step < WARM_UP:
        return (step + 1) / WARM_UP
    along = (step - WARM_UP) / max(1, steps - WARM_UP)
    return LAST + (1 - LAST) * (1 + math.cos(math.pi * along)) / 2


# --- optimisers of many replicas -----------------------------------------------------------------------------


class _AdamW:
    def __init__(self, weights: Weights):
        self.first = {name: torch.zeros_like(w) for name, w in weights.items()}
        self.second = {name: torch.zeros_like(w) for name, w in weights.items()}
        self.t = 0

    def step(self, weights: Weights, gradients: Weights, rates: Tensor) -> None:
        """`gradients` are (R, W, …), `rates` (R,)."""
        self.t += 1
        for name, w in weights.items():
            g, rate = gradients[name].mean(1), _along(rates, w)
            self.first[name].lerp_(g, 1 - BETAS[0])
            self.second[name].lerp_(g * g, 1 - BETAS[1])
            scale = (self.second[name] / (1 - BETAS[1] ** self.t)).sqrt() + EPSILON
            w.mul_(1 - rate * SHRINK).sub_(rate * self.first[name] / (1 - BETAS[0] ** self.t) / scale)


class _Signum:
    def __init__(self, weights: Weights):
        self.momentum = {name: torch.zeros_like(w) for name, w in weights.items()}

    def step(self, weights: Weights, gradients: Weights, rates: Tensor) -> None:
        for name, w in weights.items():
            self.momentum[name].lerp_(gradients[name].mean(1), 1 - SIGNUM)
            w.sub_(_along(rates, w) * self.momentum[name].sign())


class _Bucket:
    """Weights whose chunks have equal sides, and the coefficients (R·W·C, h·w) of the workers' residuals."""

    def __init__(self, names: list[str], cuts: list[Chunks], turn: Basis, residual: Tensor):
        self.names, self.cuts, self.turn, self.residual = names, cuts, turn, residual


class _DeMo:
    def __init__(self, weights: Weights, method: Method):
        self.k, alike = method.k, {}
        for name, w in weights.items():
            cut = Chunks.of(w.shape[1:], CHUNK)
            alike.setdefault((cut.height, cut.width), []).append((name, cut))
        self.buckets = []
        for (h, width), entries in alike.items():
            w = weights[entries[0][0]]
            turn = basis(method.transform, h, width, device=w.device, dtype=w.dtype)
            count = w.shape[0] * WORKERS * sum(cut.count for _, cut in entries)
            residual = torch.zeros(count, h * width, dtype=w.dtype, device=w.device)
            self.buckets.append(_Bucket([n for n, _ in entries], [c for _, c in entries], turn, residual))

    def step(self, weights: Weights, gradients: Weights, rates: Tensor) -> None:
        for b in self.buckets:
            split = [_chunks(gradients[n], cut) for n, cut in zip(b.names, b.cuts, strict=True)]
            chunks = torch.cat(split, 2)
            replicas, workers, count, h, w = chunks.shape
            rate = rates.repeat_interleave(workers * count)[:, None]
            fresh = b.turn.forward(chunks.reshape(-1, h, w)).flatten(1)
            b.residual.mul_(DECAY).add_(fresh * rate)
            places = largest(b.residual, min(self.k, h * w))
            values = b.residual.gather(1, places)
            b.residual.scatter_(1, places, 0.0)
            places = places.view(replicas, workers, count, -1).transpose(0, 1).flatten(1, 2)
            values = values.view(replicas, workers, count, -1).transpose(0, 1).flatten(1, 2)
            signs = decode(list(places), list(values), b.turn, (h, w), dtype=chunks.dtype)
            parts = signs.view(replicas, count, h, w).split([cut.count for cut in b.cuts], 1)
            for name, cut, part in zip(b.names, b.cuts, parts, strict=True):
                weights[name].sub_(_along(rates, weights[name]) * _joined(part, cut))


def _along(rates: Tensor, w: Tensor) -> Tensor:
    """(R,) with the dimensions of w (R, …)."""
    return rates.view(-1, *[1] * (w.dim() - 1))


def _chunks(x: Tensor, cut: Chunks) -> Tensor:
    """(R, W, …) → (R, W, C, h, w)."""
    h, w = cut.height, cut.width
    x = x.reshape(*x.shape[:2], cut.rows // h, h, cut.columns // w, w)
    return x.transpose(3, 4).reshape(*x.shape[:2], -1, h, w)


def _joined(chunks: Tensor, cut: Chunks) -> Tensor:
    """(R, C, h, w) → (R, …)."""
    h, w = cut.height, cut.width
    x = chunks.reshape(-1, cut.rows // h, cut.columns // w, h, w)
    return x.transpose(2, 3).reshape(-1, *cut.shape)


def optimiser(weights: Weights, method: Method) -> _AdamW | _Signum | _DeMo:
    """The optimiser of replicas (R, …) by its name."""
    if method.kind == "demo":
        return _DeMo(weights, method)
    return _AdamW(weights) if method.kind == "adamw" else _Signum(weights)


# --- training ------------------------------------------------------------------------------------------------


class Replicas:
    """Replicas (seed, rate), their weights (R, …) and batches: the same for all methods with the same seed."""

    def __init__(self, task: Task, seeds: Sequence[int], device: torch.device):
        self.task, self.device = task, device
        starts, batches, held_out = [], [], []
        for seed in seeds:
            g = torch.Generator().manual_seed(1000 + seed)
            starts.append(task.start(g))
            train, validate = task.split(g)
            picks = torch.randint(len(train), (task.steps, WORKERS * task.points), generator=g)
            batches.append(train[picks].view(task.steps, WORKERS, task.points))
            held_out.append(validate)
        self.weights = {name: torch.stack([s[name] for s in starts]).to(device) for name in starts[0]}
        self.batches, self.held_out = torch.stack(batches), torch.stack(held_out)
        self.gradient = vmap(grad(task.loss))
        self.gradient_of_each = vmap(vmap(grad(task.loss), in_dims=(None, 0, 0)))

    def gradients(self, step: int) -> Weights:
        """(R, W, …)."""
        return self.gradient_of_each(self.weights, *self._at(self.batches[:, step]))

    def mean_gradients(self, step: int) -> Weights:
        """(R, 1, …): the workers have equally many points, so their mean is the gradient at all of these."""
        found = self.gradient(self.weights, *self._at(self.batches[:, step].flatten(1)))
        return {name: g[:, None] for name, g in found.items()}

    def _at(self, places: Tensor) -> tuple[Tensor, Tensor]:
        return self.task.inputs[places].to(self.device), self.task.targets[places].to(self.device)

    def validated(self) -> Trained:
        x, y = self._at(self.held_out)
        loss, error = vmap(self.task.loss)(self.weights, x, y), vmap(self.task.error)(self.weights, x, y)
        return Trained(tuple(loss.double().tolist()), tuple(error.double().tolist()))


@cache
def train(task: str, method: Method, pairs: tuple[tuple[int, float], ...], device: torch.device) -> Trained:
    """Train a replica for each (seed, rate), all at once."""
    work = TASKS[task]()
    replicas = Replicas(work, [seed for seed, _ in pairs], device)
    rates = torch.tensor([rate for _, rate in pairs], dtype=torch.float32, device=device)
    steps = optimiser(replicas.weights, method)
    gradients = replicas.gradients if method.kind == "demo" else replicas.mean_gradients
    for t in range(work.steps):
        steps.step(replicas.weights, gradients(t), rates * rate_at(t, work.steps))
    return replicas.validated()


class EdgeOfGrid(Exception):
    """The best rate is at the edge of its grid, however far that was extended."""


class Tuned(NamedTuple):
    """The chosen rate, and (rate, mean loss of the tuning seeds) of all that were tried."""

    rate: float
    tried: tuple[tuple[float, float], ...]


@cache
def tuned_rate(task: str, method: Method, device: torch.device, wide: bool = True) -> Tuned:
    """The rate with the least mean validation loss on two seeds of their own, which is inside of what was tried.

    A grid whose best rate is its first or last grows there by a factor 3; EdgeOfGrid after eight times. The narrow grid
    begins with three rates around what the wide one has found before.
    """
    means: dict[float, float] = {}
    found_before = FOUND_BEFORE.get((task, method))
    new = list(method.grid)
    if found_before is not None and not wide:
        new = [next_rate(found_before, d) for d in (-1, 0, 1)]
    for _ in range(MOST_EXTENSIONS + 1):
        pairs = tuple((seed, rate) for rate in new for seed in TUNING)
        found = train(task, method, pairs, device).loss
        for i, rate in enumerate(new):
            means[rate] = _mean(found[i * len(TUNING) : (i + 1) * len(TUNING)])
        rates = sorted(means)
        best = min(rates, key=means.__getitem__)
        if not math.isfinite(means[best]):
            raise EdgeOfGrid(f"{method} on {task}: no rate has a finite loss")
        if best not in (rates[0], rates[-1]):
            return Tuned(best, tuple((rate, means[rate]) for rate in rates))
        new = [next_rate(best, -1)] if best == rates[0] else [next_rate(best, 1)]
    raise EdgeOfGrid(f"{method} on {task}: the best rate {best:g} is at the edge of {rates[0]:g} … {rates[-1]:g}")


def next_rate(rate: float, direction: int) -> float:
    """The neighbour in 1, 3, 10, 30, …"""
    exponent = round(2 * math.log10(rate)) + direction
    return float(f"{3 if exponent % 2 else 1}e{exponent // 2}")


def _mean(losses: Sequence[float]) -> float:
    """Infinite where one is not a number: a rate that fails once is not chosen."""
    total = sum(losses) / len(losses)
    return total if math.isfinite(total) else math.inf


def trained(
    task: str, method: Method, seeds: tuple[int, ...], device: torch.device, log: Log, *, wide: bool = True
) -> tuple[Tuned, Trained]:
    """Tune, then train other seeds at the tuned rate."""
    log(f"{method} on {task}")
    tuned = tuned_rate(task, method, device, wide)
    return tuned, train(task, method, tuple((seed, tuned.rate) for seed in seeds), device)


@dataclass(frozen=True)
class Paired:
    """Mean of differences over seeds with a Student interval at 95 %."""

    mean: float
    low: float
    high: float
    seeds: int

    def __str__(self) -> str:
        return f"{self.mean:+.4f} [{self.low:+.4f}, {self.high:+.4f}]"


def paired(ours: Sequence[float], theirs: Sequence[float]) -> Paired:
    """The mean of ours − theirs, seed by seed; ValueError unless both are as many, two or more, and finite."""
    if len(ours) != len(theirs) or len(ours) < 2:
        raise ValueError(f"`ours` and `theirs` must be as many, 2 or more, got {len(ours)} and {len(theirs)}")
    differences = torch.tensor(list(ours), dtype=torch.float64) - torch.tensor(list(theirs), dtype=torch.float64)
    if not bool(torch.isfinite(differences).all()):
        raise ValueError("`ours` and `theirs` must be finite")
    n, mean = len(differences), float(differences.mean())
    half = float(stats.t.ppf((1 + LEVEL) / 2, n - 1)) * float(differences.std()) / math.sqrt(n)
    return Paired(mean, mean - half, mean + half, n)
