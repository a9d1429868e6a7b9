"""Lipschitz constants of given networks, part of `run.py`; alone: `python benchmarks/lipschitz_expressiveness.py`.

Seconds until the interval is within one percent, against the way without boxes (all activation patterns, one linear
program a branch) and against the semidefinite bound, which stays looser; and Jacobians a second at points, against
torch.func.jacrev.

Main definitions: `intervals`, `jacobians`, `rows`.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import torch
from rich.console import Console
from timing import row, show, timed_row
from torch import nn

from constructions.lipschitz_expressiveness import numpy_mlp, table_networks
from theory import LipschitzBounds, Measure, lipschitz_bounds
from theory.lipschitz_expressiveness.checkers.jacobians import Chain, slopes_at
from theory.lipschitz_expressiveness.checkers.lipsdp import available
from theory.lipschitz_expressiveness.checkers.network import read_network

WIDTHS = ((2, 16, 16, 1), (4, 10, 10, 2))
GAP = 0.01
PATIENCE = 20.0  # seconds for the peer


def timed(call: Callable[[], LipschitzBounds]) -> tuple[float, LipschitzBounds]:
    """Seconds of one call after a warm-up on a small network, and its interval."""
    started = time.perf_counter()
    found = call()
    return time.perf_counter() - started, found


def intervals(*, quick: bool = False) -> list[dict]:
    """How long an interval of one percent takes on the box [−1, 1]^n, for networks of numpy's seed 0."""
    small = next(table_networks())
    lipschitz_bounds(small.module, small.lower, small.upper)
    if available():
        lipschitz_bounds(small.module, method="lipsdp")
    found = []
    for widths in WIDTHS:
        module = numpy_mlp(widths, np.random.default_rng(0))
        corner = torch.ones(widths[0], dtype=torch.float64)
        ours, bounds = timed(lambda m=module, c=corner: lipschitz_bounds(m, -c, c, method="branch_and_bound", gap=GAP))
        if not bounds.gap <= GAP:
            raise RuntimeError(f"the interval did not close: {bounds.lower} to {bounds.upper}")
        name = "-".join(map(str, widths))
        about = f"{name} on [-1, 1]^{widths[0]}: {bounds.lower:.6g} ≤ Lip ≤ {bounds.upper:.6g} in {ours:.2f} s"
        found += _against(about, ours, bounds, module, corner, quick=quick)
    return found


def _against(
    about: str, ours: float, bounds: LipschitzBounds, module: nn.Module, corner: torch.Tensor, *, quick: bool
) -> list[dict]:
    seconds = PATIENCE / 10 if quick else PATIENCE
    theirs, cells = timed(lambda: lipschitz_bounds(module, -corner, corner, method="patterns", seconds=seconds))
    if cells.lower > bounds.upper or bounds.lower > cells.upper:
        raise RuntimeError(f"two intervals exclude each other: {bounds} {cells}")
    done = f"{cells.cells_or_boxes} cells" + ("" if cells.gap < GAP else f", unfinished after {theirs:.0f} s")
    found = [row(about, f"all patterns ({done})", "intervals/s", 1 / ours, 1 / theirs)]
    if available():
        theirs, program = timed(lambda: lipschitz_bounds(module, method="lipsdp"))
        loose = program.upper / bounds.lower - 1
        found.append(row(about, f"LipSDP by cvxpy, {loose:.0%} above", "intervals/s", 1 / ours, 1 / theirs))
    return found


def jacobians(points: int) -> dict:
    """Jacobians a second of a 2-64-64-3 network."""
    module = numpy_mlp((2, 64, 64, 3), np.random.default_rng(0))
    network = read_network(module)
    chain = Chain.of(network, Measure())
    x = torch.rand(points, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    peer = torch.func.vmap(torch.func.jacrev(lambda y: module(y[None])[0]))

    def ours() -> torch.Tensor:
        return chain.product(slopes_at(network, x)[0])

    if not torch.allclose(ours(), peer(x), rtol=1e-10, atol=1e-10):
        raise RuntimeError("the Jacobians differ")
    name = f"Jacobians of 2-64-64-3 at {points} points"
    return timed_row(name, "torch.func.jacrev", "points/s", (points, points), ours, lambda: peer(x))


def rows(*, quick: bool = False) -> list[dict]:
    return [*intervals(quick=quick), jacobians(2_000 if quick else 20_000)]


if __name__ == "__main__":
    show(rows(), Console(width=200))
