"""Grids of students: networks of several widths on training sets of several sizes, trained in stacks.

Every seed has one pool of points; its training set of size n is the first n of them (nested), and the same pool and
the same batches serve every width (paired). Validation and test points are common to all. Errors are squared errors
divided by the variance of the target on the test points: the best constant has 1, which is the law's `chance`.

Main definitions: `ReLUTarget`, `train_students`, `ErrorGrid`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import torch
from torch import Tensor, nn

from constructions import fixed_order
from constructions.errors import (
    LARGEST_SEED,
    require_bool,
    require_device,
    require_instance,
    require_int,
    require_points,
    require_positive,
    require_seed,
    shown,
)
from constructions.progress import Log, require_log, silent
from constructions.scaling_laws.order_free import MOST_TERMS
from constructions.scaling_laws.stack import Stack, seed_of, whole_numbers
from constructions.scaling_laws.training import Examples, Schedule, errors, train

POOL, ORDER, COMMON = 1, 2, 3
"""What a seed is mixed with: its points, its batches, the common points."""

CHUNK = 512
MOST_POINTS = 1 << 24


class ReLUTarget:
    """A random ReLU network (d, h_1, …, 1): weights N(0, 2/in), biases N(0, spread²); answers are point by point, the
    inputs of a unit added one by one, so that a value does not depend on what else is asked."""

    def __init__(self, widths: Sequence[int], seed: int, *, spread: float = 0.5):
        require_seed("seed", seed)
        self.widths = whole_numbers("widths", widths, 1, 1 << 16)
        require_positive("spread", spread, allow_zero=True)
        if len(self.widths) < 2:
            raise ValueError(f"`widths` must have inputs and outputs at least, got {shown(widths)}")
        generator = torch.Generator().manual_seed(seed)
        draw = lambda *shape: torch.randn(*shape, generator=generator, dtype=torch.float64)  # noqa: E731
        self.layers = [(draw(b, a) * math.sqrt(2 / a), draw(b) * float(spread)) for a, b in pairwise(self.widths)]

    @property
    def parameters(self) -> int:
        return sum((a + 1) * b for a, b in pairwise(self.widths))

    def __call__(self, x: Tensor) -> Tensor:
        """(N, d) -> (N, outputs)."""
        require_points("x", x, self.widths[0])
        answers = []
        for part in x.split(CHUNK):
            for i, (weight, bias) in enumerate(self.layers):
                part = fixed_order.affine(part, weight.to(part.device), bias.to(part.device))
                if i + 1 < len(self.layers):
                    part = part.clamp(min=0)
            answers.append(part)
        return torch.cat(answers)

    def network(self) -> nn.Sequential:
        """As a module."""
        parts: list[nn.Module] = []
        for weight, bias in self.layers:
            linear = nn.Linear(weight.shape[1], weight.shape[0], dtype=torch.float64)
            with torch.no_grad():
                linear.weight.copy_(weight)
                linear.bias.copy_(bias)
            parts += [linear, nn.ReLU()]
        return nn.Sequential(*parts[:-1])


@dataclass(frozen=True)
class ErrorGrid:
    """Test errors (seeds, widths, sizes) of trained students, and the networks themselves."""

    widths: tuple[int, ...]
    sizes: tuple[int, ...]
    seeds: tuple[int, ...]
    errors: Tensor
    test: tuple[Tensor, Tensor] = field(repr=False)
    stacks: tuple[Stack, ...] = field(repr=False)

    @property
    def mean(self) -> Tensor:
        """(widths, sizes), the mean over the seeds."""
        return self.errors.mean(0)

    def points(self) -> tuple[Tensor, Tensor]:
        """Sizes (widths·sizes, 2) with columns m, n, and the mean errors of these points."""
        m = torch.tensor(self.widths, dtype=torch.float64)
        n = torch.tensor(self.sizes, dtype=torch.float64)
        return torch.cartesian_prod(m, n), self.mean.flatten()

    def network(self, seed: int, width: int, size: int) -> nn.Sequential:
        """The student of these values; ValueError for values that the grid does not have."""
        for name, value, known in (
            ("seed", seed, self.seeds),
            ("width", width, self.widths),
            ("size", size, self.sizes),
        ):
            if value not in known:
                raise ValueError(f"`{name}` must be one of {', '.join(map(str, known))}, got {shown(value)}")
        place = self.seeds.index(seed) * len(self.sizes) + self.sizes.index(size)
        return self.stacks[self.widths.index(width)].network(place)


def train_students(
    target: Callable[[Tensor], Tensor],
    widths: Sequence[int],
    sizes: Sequence[int],
    seeds: Sequence[int],
    *,
    inputs: int,
    schedule: Schedule | None = None,
    depth: int = 2,
    points: Callable[[int, torch.Generator], Tensor] | None = None,
    pool: int | None = None,
    validation: int = 1000,
    test: int = 4000,
    together: bool | None = None,
    device: torch.device | str | None = None,
    log: Log = silent,
) -> ErrorGrid:
    """Students inputs → w → … → w → 1 for every width w, size n and seed, of target(x), x (N, inputs) -> (N, 1).

    `points` draws (count, generator) -> (count, inputs), N(0, 1) without it. With a `watch` in the schedule the best
    step on the validation points is kept. A seed's `pool` has as many points as the largest size needs, or more: points
    depend on how many there are. `together` puts all widths into one stack, filled up with zeros; it changes
    no bit, only the speed: by default so on an accelerator, and a stack a width on the CPU.
    """
    place = require_device("device", device)
    require_int("inputs", inputs, 1, MOST_TERMS)
    require_log(log)
    widths, sizes = _increasing("widths", widths, MOST_TERMS), _increasing("sizes", sizes, MOST_POINTS)
    seeds = whole_numbers("seeds", seeds, 0, LARGEST_SEED)
    if len(set(seeds)) < len(seeds):
        raise ValueError(f"`seeds` must be each once, got {shown(seeds)}")
    schedule = Schedule(1000, decay=1e-3, watch=50) if schedule is None else schedule
    require_instance("schedule", schedule, Schedule)
    counts = (require_int("pool", sizes[-1] if pool is None else pool, sizes[-1], MOST_POINTS), validation, test)
    for name, function in (("target", target), ("points", points)):
        if not callable(function) and not (function is None and name == "points"):
            raise TypeError(f"`{name}` must be a function, got {type(function).__name__}")
    data = _Data.drawn(target, points or _normal(inputs), seeds, counts, place)
    together = place.type != "cpu" if together is None else require_bool("together", together)
    stacks, found = [], []
    for group in [widths] if together else [(w,) for w in widths]:
        log(f"widths {', '.join(map(str, group))}")
        stack, error = _trained(data, group, sizes, seeds, inputs, depth, schedule, log)
        stacks += _parted(stack, len(group))
        found.append(error.view(len(group), len(seeds), len(sizes)))
    grid = torch.cat(found).transpose(0, 1).contiguous().cpu()
    return ErrorGrid(widths, sizes, seeds, grid, data.test, tuple(stacks))


def _trained(data: _Data, group, sizes, seeds, inputs: int, depth: int, schedule: Schedule, log: Log):
    """The stack of a group of widths, ordered by width, seed and size, and its errors."""
    cells = [(w, s, n) for w in group for s in range(len(seeds)) for n in sizes]
    starts = [seed_of(seeds[s], n) for _, s, n in cells]
    device = data.x.device
    stack = Stack.drawn(inputs, [w for w, _, _ in cells], depth, 1, starts, device=device)
    order = torch.stack([batches(seeds[s], n, schedule) for _, s, n in cells], 1).to(device)
    pool = torch.tensor([s for _, s, _ in cells], device=device)
    train(stack, Examples(data.x, data.y, pool), order, schedule, validation=data.validation, log=log)
    return stack, errors(stack, *data.test)


def batches(seed: int, size: int, schedule: Schedule) -> Tensor:
    """Places (steps, B) in the first `size` points, with replacement: the same for every width."""
    generator = torch.Generator().manual_seed(seed_of(seed, size, ORDER))
    return torch.randint(size, (schedule.steps, schedule.batch), generator=generator)


@dataclass(frozen=True)
class _Data:
    x: Tensor
    y: Tensor
    validation: tuple[Tensor, Tensor]
    test: tuple[Tensor, Tensor]

    @classmethod
    def drawn(cls, target, points, seeds, counts: tuple[int, int, int], device) -> _Data:
        """`counts` of a pool, of validation and of test points."""
        pool, validation, test = counts
        common = torch.Generator().manual_seed(seed_of(COMMON))
        sets = [
            points(require_int(name, count, 2, MOST_POINTS), common)
            for name, count in (("validation", validation), ("test", test))
        ]
        pools = [points(pool, torch.Generator().manual_seed(seed_of(seed, POOL))) for seed in seeds]
        values = [_values(target, x) for x in (*sets, *pools)]
        seen = values[1][:, 0]
        middle = fixed_order.total(seen) / test
        spread = (fixed_order.contract(seen - middle, seen - middle) / test).sqrt()
        if not float(spread) > 0:
            raise ValueError("`target` must not be constant on the test points")
        values = [((y - middle) / spread).to(device) for y in values]
        sets = [x.to(device) for x in sets]
        return cls(torch.stack(pools).to(device), torch.stack(values[2:]), (sets[0], values[0]), (sets[1], values[1]))


def _values(target, x: Tensor) -> Tensor:
    y = target(x)
    if not isinstance(y, Tensor) or y.shape != (len(x), 1) or not bool(torch.isfinite(y).all()):
        got = tuple(y.shape) if isinstance(y, Tensor) else type(y).__name__
        raise ValueError(f"`target` must answer with finite numbers ({len(x)}, 1) for x {tuple(x.shape)}, got {got}")
    return y.detach().double()


def _normal(inputs: int):
    return lambda count, generator: torch.randn(count, inputs, generator=generator, dtype=torch.float64)


def _increasing(name: str, values: Sequence[int], most: int) -> tuple[int, ...]:
    values = whole_numbers(name, values, 1, most)
    if list(values) != sorted(set(values)):
        raise ValueError(f"`{name}` must be increasing, got {shown(values)}")
    return values


def _parted(stack: Stack, parts: int) -> list[Stack]:
    """The stack of each width."""
    if parts == 1:
        return [stack]
    each, found = len(stack) // parts, []
    for p in range(parts):
        few = range(p * each, (p + 1) * each)
        part = Stack(
            stack.sizes[0], [stack.widths[g] for g in few], stack.depth, stack.sizes[-1], device=stack.rows.device
        )
        width = part.widths[0]
        sizes = pairwise((stack.sizes[0], *(width,) * stack.depth, stack.sizes[-1]))
        for i, (a, b) in enumerate(sizes):
            part.weights[i].copy_(stack.weights[i][few.start : few.stop, :a, :b])
            part.biases[i].copy_(stack.biases[i][few.start : few.stop, :b])
        found.append(part)
    return found
