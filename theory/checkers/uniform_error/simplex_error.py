"""From affine pieces to an upper bound of sup |f − N| over the cells of a mixture of deep experts.

Main definition: `simplex_error`.
Main statement: for x = (x', t) in a cell with centre c, |f(x) − f(c, t)| ≤ ω(a), a the distance of x' from c; on
the line or plate through c the error follows from the vertices (`simplices`): e + ω(½√Σh_i²), e the largest vertex
error, or for a λ-Lipschitz f on one axis the maximum of min(F_j + λs, F_{j+1} + λ(h − s)) − N over each segment.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import torch
from torch import Tensor

from constructions.functions.lipschitz_function import LipschitzFunction
from theory.checkers.uniform_error.boxes import half_widths, norm_above
from theory.checkers.uniform_error.certificate import Premise
from theory.checkers.uniform_error.simplices import AffinePieces, NotAffine, affine_pieces, spacing_squared
from theory.checkers.uniform_error.stack import linear_stack, stack_fault
from theory.checkers.uniform_error.view import MixtureView

EXPERTS_PER_BATCH = 64
FORWARD_SAMPLE = 2048
UNIT = 2.0**-53


@dataclass
class Measured:
    """Worst cases over the experts looked at."""

    line: float = 0.0
    vertex: float = 0.0
    offset: float = 0.0
    slack: float = 0.0
    forward: float = 0.0
    simplices: int = 0
    nodes: int = 0


def simplex_error(
    view: MixtureView, f: LipschitzFunction, eta: float, log: Callable[[str], None]
) -> tuple[float, Measured, list[Premise]]:
    """(upper bound, measurements, premises) from all leaves of the view."""
    measured = Measured()
    generator = torch.Generator().manual_seed(0)
    for leaves in view.leaves.split(EXPERTS_PER_BATCH):
        try:
            pieces = pieces_of(view, leaves)
            if pieces.values.shape[-1] != f.m:
                raise NotAffine(f"the experts have {pieces.values.shape[-1]} outputs, f has {f.m}")
        except NotAffine as failure:
            premise = Premise("affine on every simplex", False, f"leaves from {leaves[0].tolist()} on: {failure}")
            return math.inf, measured, [premise]
        _measure(view, leaves, pieces, f, measured)
        difference = _forward_difference(view, leaves, pieces, generator)
        measured.forward = max(measured.forward, difference)
        allowed = measured.slack + view.table_slack
        if not difference <= allowed:
            detail = f"forward() differs by {difference:.3g} from the weights, rounding allows {allowed:.3g}"
            return math.inf, measured, [Premise("forward() uses these weights", False, detail)]
        log(f"simplices: {measured.simplices} proved affine")
    upper = (measured.line + measured.offset + eta + measured.slack) * (1 + 2.0**-50)
    premises = [
        Premise(
            "affine on every simplex", True, f"{measured.simplices} simplices of {len(view.leaves)} experts, exact"
        ),
        Premise("vertex values", True, f"{measured.nodes} values of f within {measured.vertex:.9g} of the network"),
        Premise("cells", True, f"every cell lies within ω(a) = {measured.offset:.9g} of its centre's values"),
        Premise(
            "forward() uses these weights",
            True,
            f"within {measured.forward:.3g} of real arithmetic at {max(FORWARD_SAMPLE, 4 * EXPERTS_PER_BATCH)} random "
            "points a batch of experts; elsewhere forward() is taken at its word",
        ),
    ]
    return math.nextafter(upper, math.inf), measured, premises


def pieces_of(view: MixtureView, leaves: Tensor) -> AffinePieces:
    """The experts of leaves (E, q) on the simplices of their grid; NotAffine for others."""
    stacks = []
    for leaf in leaves:
        expert = view.expert(leaf)
        stack = linear_stack(expert)
        if stack is None:
            raise NotAffine(f"the expert is not a Linear/ReLU stack: {stack_fault(expert)}")
        stacks.append(stack)
    return affine_pieces(stacks)


def _measure(view: MixtureView, leaves: Tensor, pieces: AffinePieces, f: LipschitzFunction, measured: Measured) -> None:
    grid, k = pieces.grid, len(pieces.grid.axes)
    lower, upper = view.reach(leaves)
    centre = (lower + upper) / 2
    values = _target_values(f, pieces, centre)  # (E, nodes, m)
    place = torch.tensor([(grid.cells + 1) ** (k - 1 - i) for i in range(k)], device=values.device)
    target = values[:, (pieces.vertices * place).sum(-1)]  # (E, S, k+1, m)
    gap = target - pieces.values
    lipschitz = f.modulus.kind == "lipschitz"
    if k == 1 and lipschitz:
        line = _segment_error(gap, pieces.values, target, Fraction(f.modulus.lam), 1 / Fraction(grid.slope[0]))
    else:
        line = float(gap.abs().max()) + f.modulus.upper(spacing_squared(grid) / 4)
    others = [a for a in range(f.n) if a not in grid.axes]
    reach = float(norm_above(half_widths(lower, upper, centre)[:, others]).max()) if others else 0.0
    ends = torch.stack([lower, upper]).cpu()  # at once: the host waits for the device
    outside = sum((Fraction(_beyond(pieces, ends[0], ends[1], i)) ** 2 for i in range(k)), Fraction(0))
    distance = Fraction(reach) ** 2 + outside
    spread = float(pieces.values.max() - pieces.values.min())
    rounding = 64 * (grid.cells + 1) * UNIT * spread + 8 * UNIT * float(pieces.values.abs().max())
    rounding += 2 * UNIT * pieces.size  # of the vertex values themselves, and of the forward pass at the same sums
    measured.line, measured.vertex = max(measured.line, line), max(measured.vertex, float(gap.abs().max()))
    measured.offset = max(measured.offset, f.modulus.upper(distance))
    measured.slack = max(measured.slack, rounding + f.modulus.upper(Fraction(_position_rounding(pieces)) ** 2 * k))
    measured.simplices += pieces.values.shape[0] * pieces.values.shape[1]
    measured.nodes += values[..., 0].numel()


def _target_values(f: LipschitzFunction, pieces: AffinePieces, centre: Tensor) -> Tensor:
    """f (E, (K+1)^k, m) at the vertices, through the centres (E, n) of the cells."""
    grid, axes = pieces.grid, list(pieces.grid.axes)
    lo, hi = (end[axes] for end in f.domain.tensors(centre.device))
    steps = torch.arange(grid.cells + 1, device=centre.device)
    at = grid.position(steps[:, None].expand(-1, len(axes)), pieces.shift[:, None]).clamp(lo, hi)  # (E, K+1, k)
    node = torch.stack(torch.meshgrid(*[steps] * len(axes), indexing="ij"), dim=-1).reshape(-1, len(axes))
    points = centre[:, None].repeat(1, len(node), 1)
    points[:, :, axes] = torch.stack([at[:, node[:, i], i] for i in range(len(axes))], dim=-1)
    return f.evaluate(points.reshape(-1, f.n)).reshape(len(centre), len(node), f.m)


def _segment_error(gap: Tensor, network: Tensor, target: Tensor, lam: Fraction, h: Fraction) -> float:
    """max over segments and both signs of min(F_0 + λs, F_1 + λ(h − s)) − N(s), a concave function with one kink."""
    slope, length = float(lam), float(h)
    worst = 0.0
    for sign in (1.0, -1.0):
        f0, f1, n0, n1 = (sign * part[:, :, j] for part in (target, network) for j in (0, 1))
        kink = ((f1 - f0 + slope * length) / (2 * slope)).clamp(0, length) if slope else torch.zeros_like(f0)
        for s in (torch.zeros_like(kink), kink, torch.full_like(kink, length)):
            cone = torch.minimum(f0 + slope * s, f1 + slope * (length - s))
            worst = max(worst, float((cone - (n0 + (n1 - n0) * (s / length))).max()))
    scale = float(target.abs().max() + network.abs().max()) + slope * length
    return worst + 16 * UNIT * scale  # of numbers: `affine_pieces` and f refuse others


def _beyond(pieces: AffinePieces, lower: Tensor, upper: Tensor, i: int) -> float:
    """How far cells (E, n) reach beyond their experts' grids on the grid's axis i; there a network is constant. All on
    the host."""
    grid = pieces.grid
    w, a = Fraction(grid.slope[i]), grid.axes[i]
    ends = torch.unique(torch.stack([pieces.shift[:, i], lower[:, a], upper[:, a]], dim=1), dim=0)
    over = Fraction(0)
    for b, low, high in ends.tolist():
        over = max(over, (Fraction(b) - grid.cells) / w - Fraction(low), Fraction(high) - Fraction(b) / w)
    return math.nextafter(float(over), math.inf) if over else 0.0


def _position_rounding(pieces: AffinePieces) -> float:
    """How far float64 vertex positions may be from the exact ones."""
    slope = torch.tensor(pieces.grid.slope, dtype=torch.float64)
    return 8 * UNIT * float(((pieces.shift.abs() + pieces.grid.cells) / slope).max())


def _forward_difference(view: MixtureView, leaves: Tensor, pieces: AffinePieces, generator: torch.Generator) -> float:
    """The largest |forward(x) − affine value| at random points of random simplices, every expert visited."""
    experts, simplices = pieces.values.shape[:2]
    count = max(FORWARD_SAMPLE, 4 * experts)
    place = leaves.device
    expert = (torch.arange(count) % experts).to(place)
    simplex = torch.randint(simplices, (count,), generator=generator).to(place)
    k = pieces.vertices.shape[-1]
    share = torch.rand(count, k + 1, generator=generator, dtype=torch.float64).to(place)
    share = share / share.sum(1, keepdim=True)
    z = (share[..., None] * pieces.vertices[simplex]).sum(1)
    lower, upper = view.bounds(leaves)
    across = torch.rand(count, lower.shape[1], generator=generator, dtype=torch.float64).to(place)
    x = lower[expert] + across * (upper - lower)[expert]
    inside = pieces.grid.position(z, pieces.shift.to(place)[expert])
    axes = list(pieces.grid.axes)
    x[:, axes] = torch.minimum(torch.maximum(inside, lower[expert][:, axes]), upper[expert][:, axes])
    # a grid may reach beyond its cell; there nobody asks the expert
    within = ((x[:, axes] - inside).abs() <= _position_rounding(pieces)).all(-1)
    routed = (view.route(x) == leaves[expert]).all(-1) & within
    with torch.no_grad():
        y = view.model(x).double()
    expected = (share[..., None] * pieces.values[expert, simplex]).sum(1)
    difference = (y - expected).abs().amax(-1)[routed]
    visited = torch.zeros(experts, dtype=torch.bool, device=place)
    visited[expert[routed]] = True
    # an expert that its own cell's points never reach was not compared with anything; one answer for all
    largest = torch.where(visited.all(), torch.cat([difference, difference.new_zeros(1)]).max(), math.inf).item()
    return math.inf if math.isnan(largest) else largest
