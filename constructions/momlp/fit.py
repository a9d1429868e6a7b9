"""From a target and leaves to expert weights, and the check that the declared modulus is not a lie.

Main definitions: `fit_experts`, `bytes_per_leaf`, `require_modulus`, `require_slopes`.
Implementation notes: a plan of another kind registers its own `fit_experts` and `bytes_per_leaf` beside its class.
Main statement: with an honest modulus |y_j − y_{j+1}| ≤ ω(t_{j+1} − t_j) + 8·2⁻⁵³·max|y| at all neighbouring nodes;
the rounding term matters (without it λ·x is accused at most pairs). Axis pairs cannot see a diagonal slope when
n ≥ 4, so every cell adds a pair along the signs of its axis differences and a pair along the differences themselves.
"""

from __future__ import annotations

from functools import singledispatch

import torch
from torch import Tensor

from constructions.errors import ModulusViolation
from constructions.functions.lipschitz_function import LipschitzFunction, ModulusPremise
from constructions.momlp.experts import FAMILIES
from constructions.momlp.plan import Plan

ROUNDING = 8 * 2.0**-53
DISTANCE_ROUNDING = 1 + 2.0**-50


def node_axis(plan: Plan, device: torch.device, dtype: torch.dtype) -> Tensor:
    """The nodes t (K+1,) of the resolved axis as float64 values that `dtype` represents; (1,) zeros if none."""
    if not plan.knots:
        return torch.zeros(1, dtype=torch.float64, device=device)
    t = plan.lattice.knot_positions(device)
    rounded = t.to(dtype).double()
    if bool((torch.diff(rounded) <= 0).any()):
        raise ValueError(
            f"`dtype` {dtype} cannot tell {plan.knots} knots on [{float(t[0]):g}, {float(t[-1]):g}] apart: "
            "use float64 or a larger eps"
        )
    # float32 rounding may leave the domain; the end nodes only carry slopes, their kinks stay at or before lo
    return rounded.clamp(t[0], t[-1])


def node_values(f: LipschitzFunction, plan: Plan, leaves: Tensor, t: Tensor) -> Tensor:
    """f at the nodes (c, t_j): (E, max(K, 0) + 1, m) for leaves (E, q)."""
    centres = plan.lattice.centres(leaves)
    points = centres[:, None, :].expand(-1, len(t), -1)
    if plan.knots:
        points = torch.cat([points, t[None, :, None].expand(len(leaves), -1, 1)], dim=-1)
    return f.evaluate(points.reshape(-1, plan.n)).reshape(len(leaves), len(t), plan.m)


@singledispatch
@torch.no_grad()
def fit_experts(plan: Plan, f: LipschitzFunction, leaves: Tensor) -> tuple[Tensor, Tensor]:
    """Output weights (E, m, K) (or tables) and biases (E, m) of the experts of `leaves` (E, q), in the plan's dtype.

    Raises ValueError for NaN or inf from f, `ModulusViolation` when node values contradict a declared modulus.
    """
    t = node_axis(plan, leaves.device, plan.dtype)
    y = node_values(f, plan, leaves, t)
    if f.premise is ModulusPremise.DECLARED:
        require_modulus(f, plan, leaves, t, y)
    weight, bias = FAMILIES[plan.expert].fit(t, y)
    return weight.to(plan.dtype), bias.to(plan.dtype)


@singledispatch
def bytes_per_leaf(plan: Plan) -> int:
    """Working memory of `fit_experts` for one leaf: nodes, values and the pairs of the modulus check."""
    nodes = max(plan.knots, 0) + 1
    pairs = 2 * plan.n + 4 * plan.m
    return 8 * ((nodes + 2 * pairs) * (plan.n + 4 * plan.m) + 4 * plan.n)


# --- is the modulus a lie? ----------------------------------------------------------------------------


def require_modulus(f: LipschitzFunction, plan: Plan, leaves: Tensor, t: Tensor, y: Tensor) -> None:
    """ModulusViolation naming two points of some cell of `leaves` (E, q) whose values contradict ω.

    `t` (T,) are the knots, `y` (E, T, m) the node values.
    """
    centre = plan.lattice.centres(leaves)
    half = (plan.lattice.faces(leaves)[1] - plan.lattice.faces(leaves)[0]) / 2
    if plan.knots:
        jumps = torch.diff(y, dim=1).abs().amax(-1)  # (E, K)
        steepest = jumps.argmax(1)
        first = torch.cat([centre, t[steepest][:, None]], dim=1)
        second = torch.cat([centre, t[steepest + 1][:, None]], dim=1)
        rows = torch.arange(len(leaves), device=y.device)
        _require_pairs(f, first, second, y[rows, steepest], y[rows, steepest + 1])
        middle = ((t[steepest] + t[steepest + 1]) / 2)[:, None]
        spacing = ((t[steepest + 1] - t[steepest]) / 2)[:, None]
        centre, half = torch.cat([centre, middle], dim=1), torch.cat([half, spacing], dim=1)
    require_slopes(f, centre, half)


def require_slopes(f: LipschitzFunction, centre: Tensor, half: Tensor) -> None:
    """Pairs along the axes, the signs of the difference quotients, and the quotients, in boxes centre ± half (E, n)."""
    slopes = _axis_differences(f, centre, half)  # (E, n, m)
    for output in range(slopes.shape[2]):
        gradient = slopes[:, :, output]
        reach = (half / gradient.abs().clamp(min=1e-300)).amin(1, keepdim=True)
        for step in (gradient.sign() * half, gradient * reach):
            _require_step(f, centre, step)


def _axis_differences(f: LipschitzFunction, centre: Tensor, half: Tensor) -> Tensor:
    """Difference quotients (E, n, m) over each axis of the boxes centre ± half (E, n), each pair checked."""
    count, n = centre.shape
    steps = torch.diag_embed(half)  # (E, n, n)
    first = (centre[:, None] - steps).reshape(-1, n)
    second = (centre[:, None] + steps).reshape(-1, n)
    first, second = _clamped(f, first), _clamped(f, second)
    low, high = f.evaluate(first), f.evaluate(second)
    _require_pairs(f, first, second, low, high)
    return (high - low).reshape(count, n, -1) / (2 * half[:, :, None])


def _require_step(f: LipschitzFunction, centre: Tensor, step: Tensor) -> None:
    first, second = _clamped(f, centre - step), _clamped(f, centre + step)
    _require_pairs(f, first, second, f.evaluate(first), f.evaluate(second))


def _clamped(f: LipschitzFunction, x: Tensor) -> Tensor:
    lo, hi = f.domain.tensors(x.device)
    return torch.minimum(torch.maximum(x, lo), hi)


def _require_pairs(f: LipschitzFunction, first: Tensor, second: Tensor, low: Tensor, high: Tensor) -> None:
    """|high − low| ≤ ω(‖second − first‖) + rounding at every pair; points (P, n), values (P, m)."""
    distance = (second - first).square().sum(-1).sqrt()
    allowed = f.modulus.above(distance * DISTANCE_ROUNDING)
    slack = ROUNDING * float(torch.maximum(low.abs(), high.abs()).max()) if len(low) else 0.0
    observed = (high - low).abs().amax(-1)
    excess = observed - allowed - slack
    worst = int(excess.argmax()) if len(excess) else 0
    if len(excess) and float(excess[worst]) > 0:
        a, b = tuple(first[worst].tolist()), tuple(second[worst].tolist())
        ratio = float(observed[worst] / distance[worst])
        raise ModulusViolation(
            f"the declared modulus ω(t) = {f.modulus} of {f.name!r} is contradicted by its values: between {a} "
            f"and {b} it changes by {float(observed[worst]):.9g} over a distance of {float(distance[worst]):.9g} "
            f"(slope {ratio:.9g}), but ω allows {float(allowed[worst]):.9g}",
            first=a,
            second=b,
            observed=float(observed[worst]),
            declared=float(allowed[worst]),
        )
