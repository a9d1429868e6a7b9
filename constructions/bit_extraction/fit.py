"""From a target and leaves to the tables of bit-extraction experts.

Main definitions: `fit_tables`, `grid_points`, `plan_layers`, `resolved_box`.
"""

from __future__ import annotations

import itertools

import torch
from torch import Tensor

from constructions.bit_extraction import layers_of, step_values, table_of, words_of
from constructions.bit_extraction.forms import Layer
from constructions.bit_extraction.plan import CHECKED_SHARES, BitExtractionPlan
from constructions.errors import ModulusViolation
from constructions.functions.lipschitz_function import LipschitzFunction, ModulusPremise
from constructions.momlp.fit import bytes_per_leaf, fit_experts, require_slopes

ROUNDING = 8 * 2.0**-53


def plan_layers(plan: BitExtractionPlan) -> tuple[Layer, ...]:
    """The layers of the plan's experts."""
    low = tuple(plan.domain.lo[a] for a in plan.axes) if plan.resolved_cells == 1 else None
    side = tuple(map(float, plan.resolved_sides))
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
    table = table_of(words_of(y, plan.network), plan.network).reshape(len(leaves), plan.m, -1)
    if plan.resolved_cells > 1:
        slope = torch.tensor([plan.network.cells / float(s) for s in plan.resolved_sides], dtype=torch.float64)
        reach = resolved_box(plan, leaves)[1] * slope.to(leaves.device)
        table = torch.cat([table, reach[:, None].expand(-1, plan.m, -1)], dim=2)
    return table, offset.reshape(len(leaves), plan.m)


def resolved_box(plan: BitExtractionPlan, leaves: Tensor) -> tuple[Tensor, Tensor]:
    """Lower and upper ends (E, k) of what the experts of leaves (E, q) resolve."""
    if plan.resolved_cells > 1:
        lower, upper = plan.lattice.faces(leaves)
    else:
        lower, upper = (end.expand(len(leaves), -1) for end in plan.domain.tensors(leaves.device))
    first = plan.axes[0]
    return lower[:, first:], upper[:, first:]


def grid_points(plan: BitExtractionPlan, leaves: Tensor) -> Tensor:
    """The nodes (E, (K+1)^k, n): the cell's centre on the routed axes, the grid on the resolved (both ends
    included)."""
    k, cells, routed = plan.resolved, plan.network.cells, plan.axes[0]
    steps = torch.arange(cells + 1, dtype=torch.float64, device=leaves.device)
    lower, upper = resolved_box(plan, leaves)
    axes = []
    for i, side in enumerate(plan.resolved_sides):
        t = lower[:, i, None] + steps * (float(side) / cells)
        t[:, -1] = upper[:, i]
        across = [len(t), *(cells + 1 if j == i else 1 for j in range(k))]
        axes.append(t.reshape(across).expand(-1, *[cells + 1] * k))
    grid = torch.stack(axes, dim=-1).reshape(len(leaves), -1, k)
    centres = plan.lattice.centres(leaves)[:, None, :routed].expand(-1, grid.shape[1], -1)
    return torch.cat([centres, grid], dim=-1)


@bytes_per_leaf.register
def _bytes_per_table(plan: BitExtractionPlan) -> int:
    nodes = (plan.network.cells + 1) ** plan.resolved
    return 8 * nodes * (2 * plan.n + 12 * plan.m)


def _require_modulus_in_cells(f: LipschitzFunction, plan: BitExtractionPlan, leaves: Tensor) -> None:
    """The pairs of `require_modulus` for cells whose experts resolve several axes, at three places of those axes."""
    routed = plan.axes[0]
    below, above = (face[:, :routed] for face in plan.lattice.faces(leaves))
    centre, half = plan.lattice.centres(leaves)[:, :routed], (above - below) / 2
    lower, upper = resolved_box(plan, leaves)
    spacing = (upper - lower) / plan.network.cells
    for share in CHECKED_SHARES:
        resolved = lower + share * (upper - lower)
        require_slopes(f, torch.cat([centre, resolved], dim=1), torch.cat([half, spacing], dim=1))


def _require_modulus(f: LipschitzFunction, plan: BitExtractionPlan, values: Tensor) -> None:
    """ModulusViolation naming neighbouring nodes, along axes or diagonals, whose values (E, K+1, …, m) contradict ω."""
    spacing = [float(side) / plan.network.cells for side in plan.resolved_sides]
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
