"""From a target and leaves to the tables of bit-extraction experts.

Main definitions: `fit_tables`, `grid_points`, `plan_layers`.
"""

from __future__ import annotations

import itertools

import torch
from torch import Tensor

from constructions.bit_extraction import layers_of, step_values, table_of, words_of
from constructions.bit_extraction.forms import Layer
from constructions.bit_extraction.plan import BitExtractionPlan
from constructions.errors import ModulusViolation
from constructions.functions.lipschitz_function import LipschitzFunction, ModulusPremise
from constructions.momlp.fit import bytes_per_leaf, fit_experts, require_slopes

ROUNDING = 8 * 2.0**-53


def plan_layers(plan: BitExtractionPlan) -> tuple[Layer, ...]:
    """The layers of the plan's experts."""
    low = tuple(plan.domain.lo[a] for a in plan.axes)
    side = tuple(float(plan.domain.sides[a]) for a in plan.axes)
    return layers_of(plan.network, plan.n, plan.axes, low, side, plan.step)


@fit_experts.register
@torch.no_grad()
def _fit(plan: BitExtractionPlan, f: LipschitzFunction, leaves: Tensor) -> tuple[Tensor, Tensor]:
    if f.premise is ModulusPremise.DECLARED:
        _require_modulus_in_cells(f, plan, leaves)
    return fit_tables(f, plan, leaves)


def fit_tables(f: LipschitzFunction, plan: BitExtractionPlan, leaves: Tensor) -> tuple[Tensor, Tensor]:
    """Tables (E, m, T) and offsets (E, m) of the experts of `leaves` (E, q).

    Raises ValueError for NaN or inf from f, `ModulusViolation` when node values contradict the modulus.
    """
    nodes = plan.network.cells + 1
    shape = (len(leaves), *[nodes] * plan.resolved)
    values = f.evaluate(grid_points(plan, leaves).reshape(-1, plan.n)).reshape(*shape, plan.m)
    if f.premise is ModulusPremise.DECLARED:
        _require_modulus(f, plan, values)
    flat = values.movedim(-1, 1).reshape(-1, *shape[1:])
    y, offset = step_values(flat, plan.step, plan.network)
    table = table_of(words_of(y, plan.network), plan.network)
    return table.reshape(len(leaves), plan.m, -1), offset.reshape(len(leaves), plan.m)


def grid_points(plan: BitExtractionPlan, leaves: Tensor) -> Tensor:
    """The nodes (E, (K+1)^k, n): the cell's centre, and the grid on the resolved axes (both ends included)."""
    device = leaves.device
    steps = torch.arange(plan.network.cells + 1, dtype=torch.float64, device=device)
    axes = []
    for a in plan.axes:
        t = plan.domain.lo[a] + steps * (float(plan.domain.sides[a]) / plan.network.cells)
        t[-1] = plan.domain.hi[a]
        axes.append(t)
    grid = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).reshape(-1, plan.resolved)
    centres = plan.lattice.centres(leaves)[:, None].expand(-1, len(grid), -1)
    return torch.cat([centres, grid.expand(len(leaves), -1, -1)], dim=-1)


@bytes_per_leaf.register
def _bytes_per_table(plan: BitExtractionPlan) -> int:
    nodes = (plan.network.cells + 1) ** plan.resolved
    return 8 * nodes * (2 * plan.n + 12 * plan.m)


def _require_modulus_in_cells(f: LipschitzFunction, plan: BitExtractionPlan, leaves: Tensor) -> None:
    """The pairs of `require_modulus` for cells whose experts resolve several axes, at three places of those axes."""
    centre = plan.lattice.centres(leaves)
    half = (plan.lattice.faces(leaves)[1] - plan.lattice.faces(leaves)[0]) / 2
    lo, hi = (end[0, list(plan.axes)] for end in (e.reshape(1, -1) for e in f.domain.tensors(leaves.device)))
    spacing = ((hi - lo) / plan.network.cells).expand(len(leaves), -1)
    for share in (0.25, 0.5, 0.75):
        resolved = (lo + share * (hi - lo)).expand(len(leaves), -1)
        require_slopes(f, torch.cat([centre, resolved], dim=1), torch.cat([half, spacing], dim=1))


def _require_modulus(f: LipschitzFunction, plan: BitExtractionPlan, values: Tensor) -> None:
    """ModulusViolation naming neighbouring nodes, along axes or diagonals, whose values (E, K+1, …, m) contradict ω."""
    spacing = [float(plan.domain.sides[a]) / plan.network.cells for a in plan.axes]
    slack = ROUNDING * float(values.abs().max())
    for move in itertools.product((0, 1, -1), repeat=plan.resolved):
        if not any(move) or next(step for step in move if step) < 0:
            continue
        ahead, behind = values, values
        for axis, step in enumerate(move, start=1):
            if step:
                inner, shifted = ahead.shape[axis] - 1, (ahead, behind) if step > 0 else (behind, ahead)
                later, earlier = shifted[0].narrow(axis, 1, inner), shifted[1].narrow(axis, 0, inner)
                ahead, behind = (later, earlier) if step > 0 else (earlier, later)
        distance = sum((h * step) ** 2 for h, step in zip(spacing, move, strict=True)) ** 0.5
        allowed = float(f.modulus.above(torch.tensor([distance], dtype=torch.float64) * (1 + 2.0**-40))) + slack
        gap = (ahead - behind).abs()
        if not float(gap.max()) <= allowed:
            at = (gap == gap.max()).nonzero()[0].tolist()
            raise ModulusViolation(
                f"the declared modulus ω(t) = {f.modulus} of {f.name!r} is contradicted by its values: node "
                f"{at[1:-1]} and the next in direction {list(move)} differ by {float(gap.max()):.9g}, "
                f"ω allows {allowed:.9g}",
                first=tuple(at[1:-1]),
                second=tuple(i + s for i, s in zip(at[1:-1], move, strict=True)),
                observed=float(gap.max()),
                declared=allowed,
            )
