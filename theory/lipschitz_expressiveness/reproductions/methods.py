"""Methods against each other on small networks, and a controller that only the exact ones certify."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from flint import fmpq, fmpq_mat
from torch import Tensor, nn

from constructions.lipschitz_expressiveness import (
    clipped_linear,
    numpy_mlp,
    table_networks,
    two_unit_controller,
)
from theory import exact
from theory.claim import Context, Evidence, Report, Status, Table, Verdict, ensure
from theory.lipschitz_expressiveness.checkers import LipschitzBounds, Measure, lipschitz_bounds
from theory.lipschitz_expressiveness.checkers.lipsdp import available
from theory.lipschitz_expressiveness.reproductions.sharp import matrices_of

SAME = 1e-9
QUICK_ROWS = (0, 1, 2, 3)
MORE = (
    *(((2, 6, 6, 1), 0.5, seed) for seed in range(2, 6)),
    *(((3, 5, 5, 2), 0.5, seed) for seed in range(6, 9)),
    ((3, 10, 10, 2), 0.5, 9),
    ((2, 7, 2), 0.0, 10),
    ((2, 5, 5, 1), 0.0, 11),
    ((3, 5, 4, 2), 0.0, 12),
    *(((2, 9, 2), 0.5, seed) for seed in range(13, 16)),
)
"""(widths, bias, numpy's seed), on the box [−1, 1]^n in the full budget; without biases all kinks meet at 0."""


@dataclass(frozen=True)
class Small:
    """A network and its box; `samples` (S, n_0) in it."""

    name: str
    module: nn.Sequential
    lower: Tensor
    upper: Tensor
    samples: Tensor


def _networks(context: Context) -> Iterator[Small]:
    for number, row in enumerate(table_networks()):
        if context.full or number in QUICK_ROWS:
            yield Small(f"{row.name} ({number + 1})", row.module, row.lower, row.upper, row.samples)
    for widths, bias, seed in MORE if context.full else MORE[8:9]:
        rng = np.random.default_rng(seed)
        module = numpy_mlp(widths, rng, bias=bias)
        upper = torch.ones(widths[0], dtype=torch.float64)
        samples = torch.from_numpy(2 * rng.random((300, widths[0])) - 1)
        yield Small(f"{'-'.join(map(str, widths))} (seed {seed})", module, -upper, upper, samples)


# --- one constant ---------------------------------------------------------------------------------------


def exact_methods(context: Context) -> Verdict:
    """Boxes and patterns on the box; on the plane patterns and all cells around the crossings of the kinks."""
    rows, planes = [], []
    for net in _networks(context):
        context.log(net.name)
        boxes = _closed(net, "branch_and_bound", context)
        cells = _closed(net, "patterns", context)
        ensure(_same(boxes, cells), f"{net.name}: boxes and patterns")
        rows.append((net.name, boxes.lower, boxes.upper, boxes.cells_or_boxes, cells.cells_or_boxes))
        if len(matrices_of(net.module)) == 2 and net.samples.shape[1] == 2:
            everywhere = lipschitz_bounds(net.module, method="patterns", seed=context.seed, device=context.device)
            largest, count = arrangement(net.module)
            near = everywhere.lower - SAME <= largest <= everywhere.upper + SAME
            ensure(near and everywhere.gap <= SAME, f"{net.name}: the arrangement has {largest} on the plane")
            ensure(everywhere.cells_or_boxes == count, f"{net.name}: {everywhere.cells_or_boxes} cells, not {count}")
            planes.append((net.name, largest, everywhere.upper, count))
    tables = {
        "boxes": Table(("network", "lower", "upper", "boxes", "cells"), tuple(rows)),
        "plane": Table(("network", "arrangement", "patterns", "cells"), tuple(planes)),
    }
    reason = f"{len(rows)} networks on boxes, {len(planes)} on the plane: all methods agree to {SAME:g}"
    numbers = {"networks": len(rows), "planes": len(planes)}
    return Verdict(Status.CERTIFIED, Evidence.FLOAT64, reason, numbers, tables=tables)


def _closed(net: Small, method: str, context: Context) -> LipschitzBounds:
    found = lipschitz_bounds(
        net.module, net.lower, net.upper, method=method, seed=context.seed, device=context.device, seconds=120
    )
    ensure(found.gap <= SAME, f"{net.name}: {method} leaves {found.lower} to {found.upper}: {found.reason}")
    return found


def _same(one: LipschitzBounds, other: LipschitzBounds) -> Report:
    """Whether two intervals meet."""
    meet = max(one.lower, other.lower) <= min(one.upper, other.upper)
    return Report(None if meet else f"[{one.lower}, {one.upper}] and [{other.lower}, {other.upper}] do not meet")


def arrangement(network: nn.Module) -> tuple[float, int]:
    """(largest ‖J‖, number of cells) of one hidden layer on all of R², without any program.

    Where all kinks meet in one point (no biases), cells are sectors: a point between neighbouring rays each. Otherwise
    every cell has a crossing of two kinks as a corner: the signs there, with both kinks either way. In rationals.
    ValueError for parallel kinks, and for three through one of several crossings.
    """
    W, V = matrices_of(network)
    bias = next(layer.bias for layer in network.modules() if isinstance(layer, nn.Linear))
    rows = [(W[i, 0], W[i, 1], exact.rational(b)) for i, b in enumerate(bias.tolist())]
    patterns = _sectors(rows) if not any(c for _, _, c in rows) else _around_crossings(rows)
    return max(_norm(W, V, pattern) for pattern in patterns), len(patterns)


def _around_crossings(rows: list[tuple[fmpq, fmpq, fmpq]]) -> set[tuple[bool, ...]]:
    found: set[tuple[bool, ...]] = set()
    for i, j in itertools.combinations(range(len(rows)), 2):
        (a, b, c), (d, e, f) = rows[i], rows[j]
        determinant = a * e - b * d
        if determinant == 0:
            raise ValueError(f"kinks {i} and {j} are parallel")
        x, y = (b * f - c * e) / determinant, (c * d - a * f) / determinant
        heights = [p * x + q * y + r for p, q, r in rows]
        if sum(h == 0 for h in heights) != 2:
            raise ValueError(f"three kinks meet where kinks {i} and {j} do")
        for one, other in itertools.product((True, False), repeat=2):
            found.add(tuple(one if k == i else other if k == j else bool(h > 0) for k, h in enumerate(heights)))
    return found


def _sectors(rows: list[tuple[fmpq, fmpq, fmpq]]) -> set[tuple[bool, ...]]:
    """One point in every sector: the sum of neighbouring rays (−b, a), (b, −a), which are less than half a turn apart
    where there are two directions or more."""
    rays = sorted(((s * -b, s * a) for a, b, _ in rows for s in (1, -1)), key=_turn)
    middles = [(p[0] + q[0], p[1] + q[1]) for p, q in itertools.pairwise([*rays, rays[0]])]
    heights = [[a * x + b * y for a, b, _ in rows] for x, y in middles]
    if any(h == 0 for line in heights for h in line):
        raise ValueError("two kinks are parallel")
    return {tuple(bool(h > 0) for h in line) for line in heights}


def _turn(ray: tuple[fmpq, fmpq]) -> float:
    """The angle of a ray."""
    return math.atan2(float(exact.fraction(ray[1])), float(exact.fraction(ray[0])))


def _norm(W: fmpq_mat, V: fmpq_mat, pattern: tuple[bool, ...]) -> float:
    """‖V D W‖ of one product in rationals, rounded once."""
    kept = fmpq_mat(W.nrows(), W.ncols(), [W[i, j] if on else fmpq(0) for i, on in enumerate(pattern) for j in (0, 1)])
    J = V * kept
    values = [[float(exact.fraction(v)) for v in row] for row in J.table()]
    return float(np.linalg.norm(np.array(values), 2))


# --- in order -------------------------------------------------------------------------------------------


def sandwich(context: Context) -> Verdict:
    """Sampled slopes ≤ the constant on the box ≤ that on R^n's semidefinite bound ≤ the product of norms."""
    rows = []
    for net in _networks(context):
        context.log(net.name)
        found = _closed(net, "branch_and_bound", context)
        sampled = _sampled(net)
        product = lipschitz_bounds(net.module, method="product", device=context.device).upper
        semidefinite = product
        if available():
            semidefinite = lipschitz_bounds(net.module, method="lipsdp", seed=context.seed).upper
        ordered = sampled <= found.upper * (1 + 1e-12) and found.lower <= semidefinite <= product * (1 + 1e-6)
        values = f"{sampled}, [{found.lower}, {found.upper}], {semidefinite}, {product}"
        ensure(ordered and found.lower > 0, f"{net.name}: {values} are not in order")
        rows.append((net.name, sampled, found.upper, semidefinite, product))
    tables = {"networks": Table(("network", "sampled", "exact", "lipsdp", "product"), tuple(rows))}
    about = "LipSDP verified again" if available() else "LipSDP left out: cvxpy and clarabel are not installed"
    reason = f"sampled <= exact <= LipSDP <= product for {len(rows)} networks; {about}"
    numbers = {"networks": len(rows), "lipsdp": available()}
    return Verdict(Status.CERTIFIED, Evidence.FLOAT64, reason, numbers, tables=tables)


def _sampled(net: Small) -> float:
    """The largest ‖J‖ at the sample points, by autograd."""
    jacobians = torch.func.vmap(torch.func.jacrev(lambda y: net.module(y[None])[0]))(net.samples)
    return float(torch.linalg.matrix_norm(jacobians, 2).max())


# --- control --------------------------------------------------------------------------------------------

A = ((1.0, 0.1), (0.0, 1.0))
B = ((0.005,), (0.1,))
RADIUS, INSIDE, OUTSIDE = 1.0, 0.39, 0.40


def regulator() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """A, B, the linear-quadratic regulator's K (2,) for Q = I, R = 1, and its P (2, 2)."""
    from scipy.linalg import solve_discrete_are

    a, b = np.array(A), np.array(B)
    P = solve_discrete_are(a, b, np.eye(2), np.eye(1))
    P = (P + P.T) / 2
    K = np.linalg.solve(np.eye(1) + b.T @ P @ b, b.T @ P @ a)
    return torch.from_numpy(a), torch.from_numpy(b), torch.from_numpy(K[0]), torch.from_numpy(P)


def controller(context: Context) -> Verdict:
    """The closed loop's exact constant below 1; three bounds that are not; a saturated controller in two boxes."""
    a, b, K, P = regulator()
    loop = Measure.closed_loop(a, b, P)
    pi = two_unit_controller(K)
    corner = torch.full((2,), RADIUS, dtype=torch.float64)
    options = {"measure": loop, "seed": context.seed, "device": context.device}
    boxes = lipschitz_bounds(pi, -corner, corner, method="branch_and_bound", **options)
    cells = lipschitz_bounds(pi, method="patterns", **options)
    ensure(_same(boxes, cells), "the closed loop by boxes and by patterns")
    ensure(boxes.upper < 1 and cells.upper < 1, f"the closed loop is at most {boxes.upper}, {cells.upper}")
    ensure(max(boxes.gap, cells.gap) <= 1e-8, "the closed loop's interval is open")
    free = _weighted(a, P)
    gain = lipschitz_bounds(pi, method="product", **options).upper
    patterns = max(_weighted(a - slope * b @ K[None], P) for slope in (0.0, 1.0, 2.0))
    ensure(min(free, gain, patterns) >= 1, f"a weaker bound certifies, too: {free}, {gain}, {patterns}")
    own = lipschitz_bounds(pi, -corner, corner, method="branch_and_bound", seed=context.seed, device=context.device)
    product = lipschitz_bounds(pi, method="product", device=context.device).upper
    twice = abs(product - 2 * float(K.norm())) <= 1e-9 and own.upper <= float(K.norm()) * (1 + 1e-9)
    ensure(twice, f"the controller's own constant is {own.upper}, the product {product}")
    saturated = {}
    for radius in (INSIDE, OUTSIDE):
        side = torch.full((2,), radius, dtype=torch.float64)
        saturated[radius] = lipschitz_bounds(clipped_linear(K), -side, side, method="branch_and_bound", **options)
    good = saturated[INSIDE].upper < 1 <= saturated[OUTSIDE].lower
    ensure(good, f"saturated: {saturated[INSIDE].upper} and {saturated[OUTSIDE].lower}")
    numbers = {
        "closed_loop": boxes.upper,
        "open_loop": free,
        "small_gain_product": gain,
        "all_patterns": patterns,
        "controller": own.upper,
        "controller_product": product,
        "saturated_inside": saturated[INSIDE].upper,
        "saturated_outside": saturated[OUTSIDE].lower,
        "largest_radius": 1 / float(K.abs().sum()),
    }
    reason = f"contracts by {boxes.upper:.8f} a step; the product bound only gives {gain:.8f}"
    return Verdict(Status.CERTIFIED, Evidence.FLOAT64, reason, numbers)


def _weighted(matrix: Tensor, P: Tensor) -> float:
    """‖R M R⁻¹‖ with P = RᵀR: the root of the largest generalised eigenvalue of MᵀPM and P."""
    from scipy.linalg import eigh

    return float(math.sqrt(eigh((matrix.T @ P @ matrix).numpy(), P.numpy(), eigvals_only=True)[-1]))
