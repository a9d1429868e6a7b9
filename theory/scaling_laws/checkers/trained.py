"""Trained and pruned networks measured as plain modules: their errors, and which weights are left.

Main definitions: `student_errors_eq`, `PruningWitness`.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from constructions.scaling_laws.pruning import PruningCurve
from constructions.scaling_laws.stack import Stack
from constructions.scaling_laws.students import ErrorGrid
from theory.claim import Report

TOLERANCE = 1e-3
"""Of relative errors: training rounds operands to 22 bits, a plain module does not."""

FLOOR = 1e-12
"""Errors below it are that rounding itself."""


def student_errors_eq(grid: ErrorGrid, target: Callable[[Tensor], Tensor]) -> Report:
    """Whether each error of a grid is the mean squared error of the student's module on the test points, divided by the
    variance of the target there."""
    x, y = (t.cpu() for t in grid.test)
    values = target(x)
    values = (values - values.mean()) / values.var(correction=0).sqrt()
    gap = float((values - y).abs().max())
    if not gap <= FLOOR:
        return Report(f"the test values are {gap:.1e} off the standardised target")
    if grid.errors.shape != (len(grid.seeds), len(grid.widths), len(grid.sizes)):
        return Report(f"errors of shape {tuple(grid.errors.shape)}")
    for i, seed in enumerate(grid.seeds):
        for j, width in enumerate(grid.widths):
            for k, size in enumerate(grid.sizes):
                network = grid.network(seed, width, size).cpu()
                if (widest := max(p.shape[0] for p in network.parameters())) != width:
                    return Report(f"the student of width {width} has {widest} units")
                with torch.no_grad():
                    error = float((network(x) - values).square().mean())
                said = float(grid.errors[i, j, k])
                if not abs(said - error) <= TOLERANCE * error + FLOOR:
                    return Report(
                        f"seed {seed}, width {width}, size {size}: error {said:.6g}, the module has {error:.6g}"
                    )
    return Report()


class PruningWitness:
    """Watches rounds of pruning as `finished` of `prune_iteratively`, by the modules alone; asked by `report`.

    In every round each network must keep round(keep·k) of its k weights, all of them among those it had, and the
    largest ones by what they were after the round before.
    """

    def __init__(self, x: Tensor, y: Tensor, keep: float):
        self.x, self.y, self.keep = x, y, keep
        self.failure: str | None = None
        self.densities: list[list[float]] = []
        self.errors: list[list[float]] = []
        self._before: list[Tensor] = []

    def __call__(self, number: int, stack: Stack, masks: Tensor) -> None:
        now, densities, errors = [], [], []
        for g in range(len(stack)):
            network = stack.network(g)
            weights = torch.cat([m.weight.detach().flatten() for m in network if isinstance(m, nn.Linear)])
            self._look(number, g, weights)
            now.append(weights)
            densities.append(int((weights != 0).sum()) / len(weights))
            with torch.no_grad():
                errors.append(int((network(self.x).argmax(1) != self.y).sum()) / len(self.y))
        self._before = now
        self.densities.append(densities)
        self.errors.append(errors)

    def _look(self, number: int, g: int, weights: Tensor) -> None:
        if self.failure is not None:
            return
        where = f"round {number}, network {g}"
        kept = weights != 0
        if number == 0:
            if not bool(kept.all()):
                self.failure = f"{where}: {int((~kept).sum())} weights are 0 before any pruning"
            return
        if not self._before:
            self.failure = f"{where}: the round before was not seen"
            return
        before = self._before[g].abs()
        had = before != 0
        count = round(self.keep * int(had.sum()))
        if int(kept.sum()) != count:
            self.failure = f"{where}: {int(kept.sum())} weights are left, {count} should be"
        elif bool((kept & ~had).any()):
            self.failure = f"{where}: a weight that was pruned is back"
        elif count and bool((had & ~kept).any()) and not float(before[kept].min()) >= float(before[had & ~kept].max()):
            self.failure = f"{where}: a weight is left that was smaller than one that is not"

    def report(self, curve: PruningCurve) -> Report:
        """Whether all rounds were right and the curve has the densities and errors of the modules."""
        if self.failure is not None:
            return Report(self.failure)
        densities, errors = (torch.tensor(v, dtype=torch.float64) for v in (self.densities, self.errors))
        for name, said, seen, slack in (
            ("density", curve.densities, densities, 1e-12),
            ("error", curve.errors, errors, 2.5 / len(self.y)),  # two points at most on which two classes tie
        ):
            if said.shape != seen.shape:
                return Report(f"the curve has {name} of shape {tuple(said.shape)}, {tuple(seen.shape)} were seen")
            gap = float((said - seen).abs().max())
            if not gap <= slack:
                return Report(f"the curve's {name} is {gap:.2e} off the module's")
        return Report()
