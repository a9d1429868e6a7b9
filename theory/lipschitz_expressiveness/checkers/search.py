"""What all methods share: the question, the lower end with its witness, the clock, and the interval so far.

Main definitions: `Question`, `Search`.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from constructions.progress import PAUSE, Log
from theory.lipschitz_expressiveness.checkers.jacobians import Chain, Slopes, slopes_at
from theory.lipschitz_expressiveness.checkers.measure import Measure
from theory.lipschitz_expressiveness.checkers.network import Network
from theory.lipschitz_expressiveness.checkers.result import Step
from theory.lipschitz_expressiveness.checkers.witness import ExactChain, Witness, direction_of

ROUNDINGS = 8
"""Of a product's rounding slack: ends nearer than that to each other are one."""


@dataclass(frozen=True)
class Question:
    """A network on the CPU, its box lower < x < upper (n,) or None for R^n, what is measured, and what may be spent."""

    network: Network
    lower: Tensor | None
    upper: Tensor | None
    measure: Measure
    gap: float
    seconds: float
    boxes: int
    cells: int
    points: int
    undecided: int
    keep_cells: bool
    device: torch.device
    seed: int
    log: Log

    @cached_property
    def moved(self) -> Network:
        """The network on the device."""
        return self.network.to(self.device)

    @cached_property
    def chain(self) -> Chain:
        """The measured products on the device."""
        return Chain.of(self.moved, self.measure.to(self.device))

    @cached_property
    def exact(self) -> ExactChain:
        return ExactChain(self.network, self.measure)

    @cached_property
    def radial(self) -> bool:
        """Whether J(tx) = J(x) for t > 0 and every direction meets the domain: no hidden biases, and 0 inside it."""
        around = self.lower is None or self.upper is None or bool(((self.lower < 0) & (self.upper > 0)).all())
        return self.network.homogeneous and around

    def inside(self, point: Tensor) -> Tensor:
        """The nearest point (n,) of the box, or for a radial question one in the same direction."""
        if self.lower is None or self.upper is None:
            return point
        for _ in range(2200 if self.radial else 0):
            if bool(((self.lower <= point) & (point <= self.upper)).all()):
                return point
            point = point / 2
        return torch.minimum(torch.maximum(point, self.lower), self.upper)

    def generator(self) -> torch.Generator:
        return torch.Generator().manual_seed(self.seed)

    def above(self, value: float) -> float:
        """An upper end that makes room for the measure's own rounding."""
        if not self.measure.relative and not self.measure.absolute:
            return value
        return (value * (1 + self.measure.relative) + self.measure.absolute) * (1 + 2.0**-50)


@dataclass
class Search:
    """The lower end so far, and how the interval closed."""

    question: Question
    lower: float = 0.0
    witness: Witness | None = None
    history: list[Step] = field(default_factory=list)
    started: float = field(default_factory=time.monotonic)
    said: float = -PAUSE

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.started

    @property
    def late(self) -> bool:
        return self.seconds > self.question.seconds

    @property
    def threshold(self) -> float:
        """Nothing at most this is worth a look: below it, or too near for float64 to tell."""
        return self.lower * (1 + self.question.gap) + ROUNDINGS * self.question.chain.slack

    def step(self, count: int, upper: float, words: str) -> None:
        """Note where the interval stands after `count` boxes or cells."""
        upper = max(self.question.above(upper), self.lower)
        if self.history and (self.history[-1].lower, self.history[-1].upper) == (self.lower, upper):
            self.history.pop()
        self.history.append(Step(self.seconds, count, self.lower, upper))
        if time.monotonic() - self.said >= PAUSE:
            self.said = time.monotonic()
            self.question.log(f"{count} {words}: {self.lower:.9g} ≤ Lip ≤ {upper:.9g}")

    def checked(self, upper: float) -> float:
        """The upper end with the measure's rounding; RuntimeError where the lower end excludes it."""
        found = self.question.above(upper)
        if not found >= self.lower:
            raise RuntimeError(f"two ends exclude each other: {self.lower!r} ≤ Lip ≤ {found!r}")
        return found

    def matrices(self, x: Tensor) -> tuple[Tensor, Slopes, list[Tensor]]:
        """Measured matrices (B, p, q) at x (B, n), slopes and pre-activations, as float64 finds them."""
        slopes, values = slopes_at(self.question.moved, x)
        found = self.question.chain.product(slopes)
        return found.expand(len(x), *found.shape[-2:]), slopes, values

    def try_point(self, point: Tensor, matrix: Tensor | None = None) -> Witness | None:
        """Look at the point (n,), or the one nearest to it in the domain, exactly: the lower end may rise.

        `matrix` (p, q) is the measured one there, where it is known: it says in which direction to look."""
        point = self.question.inside(point.detach().cpu())
        if matrix is None:
            matrix = self.matrices(point[None].to(self.question.device))[0][0]
        matrix = matrix.cpu()
        if not bool(torch.isfinite(matrix).all()):
            return None
        found = self.question.exact.lower(point, direction_of(matrix))
        if found is not None and (found.lower > self.lower or self.witness is None):
            self.lower, self.witness = found.lower, found
        return found

    def jacobian(self) -> Tensor | None:
        """The measured matrix at the witness."""
        if self.witness is None:
            return None
        return self.matrices(self.witness.point[None].to(self.question.device))[0][0].cpu()
