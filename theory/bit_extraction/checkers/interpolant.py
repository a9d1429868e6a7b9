"""The J1 interpolant of parity-rounded node values, in rationals and without the network: what it must equal.

Main definitions: `parity_rounded`, `j1_interpolant`, `realises_interpolant`.
Main statement: the interpolant at z is Σ_j (τ_{σ(j)} − τ_{σ(j+1)})·y(vertex j), τ_i the distance of z_i from the
even end of its unit interval and σ the order of decreasing τ.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from fractions import Fraction

import torch
from flint import fmpq
from torch import Tensor, nn

from constructions.errors import require_instance, require_int, require_positive, shown
from theory import exact
from theory.checkers.uniform_error.simplices import NotAffine, read_grid
from theory.checkers.uniform_error.stack import linear_stack
from theory.claim import Report

Node = tuple[int, ...]


def parity_rounded(values: Tensor, step: Fraction) -> tuple[dict[Node, int], Fraction]:
    """Node values (K+1, …, K+1) as integers y with y ≡ |v| mod 2 and |c0 + step·y − value| ≤ step, and c0 = min
    value."""
    _require_values(values)
    require_positive("step", step)
    values = values.cpu()  # read number by number
    low = Fraction(float(values.min()))
    found = {}
    for node in itertools.product(*(range(size) for size in values.shape)):
        steps = (Fraction(float(values[node])) - low) / step
        odd = sum(node) % 2
        found[node] = 2 * (steps // 2) + 1 if odd else 2 * ((steps + 1) // 2)
    return {node: int(y) for node, y in found.items()}, low


def _require_values(values: Tensor) -> None:
    require_instance("values", values, Tensor)
    if not values.ndim or not values.numel() or not bool(torch.isfinite(values).all()):
        raise ValueError(f"`values` must be finite and (K+1, …, K+1), got shape {tuple(values.shape)}")


def j1_interpolant(y: Mapping[Node, int], z: Sequence[Fraction], cells: int) -> Fraction:
    """The continuous piecewise linear interpolant at z, clamped to [0, K]^k."""
    require_int("cells", cells, 1)
    at = [min(max(c, Fraction(0)), Fraction(cells)) for c in z]
    floor = [min(int(c), cells - 1) for c in at]
    even = [a + a % 2 for a in floor]
    tau = [abs(c - e) for c, e in zip(at, even, strict=True)]
    order = sorted(range(len(at)), key=lambda i: -tau[i])
    corner, weights = list(even), [Fraction(1), *(tau[i] for i in order), Fraction(0)]
    total = (weights[0] - weights[1]) * y[tuple(corner)]
    for j, i in enumerate(order, start=1):
        corner[i] = floor[i] + 1 - floor[i] % 2
        total += (weights[j] - weights[j + 1]) * y[tuple(corner)]
    return total


def realises_interpolant(
    network: nn.Module, values: Tensor, step: float, points: Sequence[Sequence[Fraction]]
) -> Report:
    """Whether the network equals c0 + step·interpolant at every z of `points`; the failure is the first difference.

    `values` are the target's node values (K+1, …, K+1). Differences from node 0 are compared exactly, as rationals; the
    value there may differ by the one rounding of the output bias. x(z) is the exact preimage under the first two
    layers. ValueError when there is no point, or one that does not fit.
    """
    require_instance("network", network, nn.Module)
    _require_values(values)
    require_positive("step", step)
    if not isinstance(points, (list, tuple)) or not points:
        raise ValueError(f"`points` must be a non-empty list of points, got {shown(points)}")
    stack = linear_stack(network)
    if stack is None:
        return Report("the network is not a Linear/ReLU stack")
    if len(stack[-1].weight) != 1:
        return Report(f"the network has {len(stack[-1].weight)} outputs, not one")
    if any(type(layer) is nn.PReLU for layer in exact.plain_layers(network)):
        return Report("the network is not a Linear/ReLU stack, it has PReLU layers")
    try:
        grid, inputs = read_grid(stack), stack[0].weight.shape[1]
    except NotAffine as failure:
        return Report(str(failure))
    if tuple(values.shape) != (grid.cells + 1,) * len(grid.axes):
        nodes = (grid.cells + 1,) * len(grid.axes)
        return Report(f"the network has nodes {nodes}, the values are {tuple(values.shape)}")
    for z in points:
        if not isinstance(z, (list, tuple)) or len(z) != len(grid.axes):
            raise ValueError(f"`points` must have {len(grid.axes)} coordinates, got {shown(z)}")
    y, low = parity_rounded(values, Fraction(step))
    compiled = exact.Compiled(network)

    def output(z: Sequence[Fraction]) -> Fraction:
        x = [fmpq(0)] * inputs
        for i, axis in enumerate(grid.axes):
            position = (Fraction(z[i]) - grid.cells + Fraction(grid.shift[i])) / Fraction(grid.slope[i])
            x[axis] = fmpq(position.numerator, position.denominator)
        return exact.fraction(compiled(x)[0])

    origin = (0,) * len(grid.axes)
    base, first = output([Fraction(0)] * len(origin)), y[origin]
    slack = Fraction(2) ** -50 * (abs(low) + Fraction(step) * 8 * grid.cells**2)
    if not abs(base - low - Fraction(step) * first) <= slack:
        return Report(
            f"at node 0 the network gives {float(base)}, c0 + step·y is {float(low + Fraction(step) * first)}"
        )
    for z in points:
        steps = (output(z) - base) / Fraction(step) + first
        expected = j1_interpolant(y, z, grid.cells)
        if steps != expected:
            return Report(
                f"at z = {[str(c) for c in z]} the network is at {float(steps)} steps, the interpolant at {expected}"
            )
    return Report()


def sample_points(cells: int, m: int, k: int, count: int, generator: torch.Generator) -> list[list[Fraction]]:
    """`count` dyadic z: a third anywhere (and outside the cube), a third at nodes and block ends, a third inside
    the gaps, where the address ramps from one block to the next and the decoded word is garbage."""

    require_int("count", count, 1)

    def pick(low: int, high: int) -> int:
        return int(torch.randint(low, high, (1,), generator=generator))

    def coordinate(kind: int) -> Fraction:
        if kind == 0:
            return Fraction(pick(-16, 16 * cells + 17), 16)
        if kind == 1:
            return Fraction(min(cells, m * pick(0, (cells + 1) // m + 1) - pick(0, 2)))
        # cell boundaries of class parity p lie at z = 2mc − (m+1)/2 + mp; the ramp is the half cell behind them
        boundary = 2 * m * pick(0, (cells + 1) // (2 * m) + 1) - (m + 1) // 2 + m * pick(0, 2)
        return Fraction(boundary) + Fraction(pick(0, 9), 16)

    return [[coordinate(number % 3) for _ in range(k)] for number in range(count)]
