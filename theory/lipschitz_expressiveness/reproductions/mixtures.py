"""Mixtures of pencils: gentle experts with large products of norms, and the jumps between them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import torch
from torch import nn

from constructions import MoMLP, build_momlp, targets
from constructions.momlp import pencil
from theory import exact
from theory.checkers.uniform_error import certify_uniform_error
from theory.claim import Context, Evidence, Report, Status, Table, Verdict, ensure
from theory.lipschitz_expressiveness.reproductions.sharp import frobenius_squared, matrices_of

MODELS = ((1, 0.01), (2, 0.01), (3, 0.05))
"""(n, eps) of the cone, λ = 1."""
LARGEST_SLOPE = 2.0**-50
"""Times K: what rounded differences may add to λ."""


@dataclass(frozen=True)
class Pencil(Report):
    """The exact constant of one hidden layer along one axis, the square of its product of norms, and its units."""

    failure: str | None
    lipschitz: Fraction = Fraction(0)
    product_squared: Fraction = Fraction(0)
    units: int = 0


def pencil_slopes(network: nn.Module) -> Pencil:
    """Read off the weights: Σ_j v_j relu(w_j x_a + b_j) has the slope Σ_{t_j < x} v_j w_j, w_j > 0, t_j = −b_j/w_j."""
    matrices = matrices_of(network)
    linear = [layer for layer in network.modules() if isinstance(layer, nn.Linear)]
    if len(matrices) != 2 or matrices[1].nrows() != 1:
        return Pencil("the network is not one hidden layer with one output")
    first = [[exact.fraction(v) for v in row] for row in matrices[0].table()]
    read = [[a for a, w in enumerate(row) if w] for row in first]
    if any(len(axes) != 1 or axes != read[0] for axes in read):
        return Pencil("the first layer does not read one and the same axis")
    w = [row[read[0][0]] for row in first]
    if min(w) <= 0:
        return Pencil("a weight of the first layer is not positive")
    bias = [Fraction(b) for b in linear[0].bias.tolist()]
    last = [exact.fraction(v) for v in matrices[1].entries()]
    bends = sorted((-b / a, v * a) for a, b, v in zip(w, bias, last, strict=True))
    # units that bend at one point count together
    slopes = itertools.accumulate(
        sum((v for _, v in group), Fraction(0)) for _, group in itertools.groupby(bends, lambda p: p[0])
    )
    # the first layer is a column: of rank one, like the row behind it
    squares = [frobenius_squared(matrix) for matrix in matrices]
    return Pencil(None, max(abs(s) for s in slopes), squares[0] * squares[1], len(w))


def pencils(context: Context) -> Verdict:
    """Every expert of the listed models, and a zigzag for which the product is as bad as it can be."""
    rows = []
    for n, eps in MODELS:
        model = build_momlp(targets.get("cone", n=n), eps=eps, device=context.device)
        assert isinstance(model, MoMLP)
        context.log(f"n = {n}, eps = {eps}: {model.num_leaves} experts")
        found = [pencil_slopes(model.expert(leaf)) for leaf in model.leaf_indices(context.device)]
        for number, expert in enumerate(found):
            ensure(expert, f"n = {n}, eps = {eps}, expert {number}")
        K = found[0].units
        steepest, squared = max(e.lipschitz for e in found), max(e.product_squared for e in found)
        limit = 1 + K * Fraction(LARGEST_SLOPE)
        ensure(steepest <= limit, f"n = {n}, eps = {eps}: an expert has the slope {float(steepest)}")
        ensure(squared <= (2 * limit * K) ** 2, f"n = {n}, eps = {eps}: a product is above 2 lambda K")
        rows.append((n, eps, K, len(found), float(steepest), math.sqrt(squared)))
    for K in (1, 2, 7, 64):
        worst = pencil_slopes(zigzag(K))
        ensure(worst, f"the zigzag with {K} pieces")
        good = worst.lipschitz == 1 and worst.product_squared == K * (4 * K - 3)
        ensure(good, f"the zigzag with {K} pieces: {worst}")
    tables = {"models": Table(("n", "eps", "K", "experts", "largest_slope", "largest_product"), tuple(rows))}
    experts = sum(row[3] for row in rows)
    reason = f"{experts} experts are 1-Lipschitz up to the rounding of their weights; products reach {rows[0][-1]:.4f}"
    return Verdict(Status.PROVED, Evidence.EXACT, reason, {"experts": experts}, tables=tables)


def zigzag(K: int) -> nn.Sequential:
    """A pencil of slopes 1, −1, 1, … between K + 1 knots 0, 1, 2, …"""
    t = torch.arange(K + 1, dtype=torch.float64)
    weight, bias = pencil.fit(t, (t % 2)[None, :, None])
    return pencil.network(*pencil.hidden_layer(t, 1, axis=0), None, weight[0], bias[0])


# --- the mixture ----------------------------------------------------------------------------------------

EPS = 0.05
NEAR = Fraction(1, 2**41)
PAIRS = 20_000


def mixture(context: Context) -> Verdict:
    """Two points 2⁻⁴⁰ apart with different answers; jumps at faces; and the bound that holds."""
    f = targets.get("cone", n=2)
    model = build_momlp(f, eps=EPS, device=context.device)
    assert isinstance(model, MoMLP)
    leaves = model.leaf_indices(context.device)
    steepest = max(pencil_slopes(model.expert(leaf)).lipschitz for leaf in leaves)
    ensure(steepest <= 1 + Fraction(1, 2**40), f"an expert has the slope {float(steepest)}")
    jumps = [_jump(model, number) for number in range(len(leaves) - 1)]
    largest = max(range(len(jumps)), key=lambda i: abs(jumps[i][1]))
    height, jump = jumps[largest]
    points, values = _across(model, largest, height)
    apart, difference = points[1][0] - points[0][0], abs(values[1] - values[0])
    ensure(apart == 2 * NEAR and difference > apart, f"the answers differ by {float(difference)}")
    ensure(abs(difference - abs(jump)) <= 4 * apart, "the difference is not the jump of the face")
    half_diagonal = math.sqrt(model.plan.half_diagonal_squared)
    ensure(
        float(abs(jump)) <= 2 * half_diagonal * (1 + 2.0**-40),
        f"a jump of {float(jump)} is above twice {half_diagonal}",
    )
    certificate = certify_uniform_error(model, f, eps=EPS, samples=1000, seed=context.seed)
    ensure(certificate.status is Status.CERTIFIED, f"the uniform error: {certificate.reason}")
    excess = _excess(model, context)
    ensure(excess <= 2 * certificate.upper, f"two answers differ by {excess} more than their points")
    x, y = ([float(c) for c in p] for p in points)
    witness = f"x = {x!r}, y = {y!r}: |x - y| = 2^-40 and |f(x) - f(y)| = {float(difference)!r}"
    numbers = {
        "experts": len(leaves),
        "jump": float(difference),
        "certified_error": certificate.upper,
        "largest_sampled_excess": excess,
        "twice_half_diagonal": 2 * half_diagonal,
    }
    reason = f"two points 2^-40 apart differ by {float(difference):.6f}; |x - y| + 2 eps holds, by the certificate"
    return Verdict(Status.REFUTED, Evidence.EXACT, reason, numbers, witness=witness)


def _face(model: MoMLP, number: int) -> Fraction:
    """Where cells `number` and `number` + 1 of the first axis meet."""
    (cells,), domain = model.cells, model.domain
    return Fraction(domain.lo[0]) + domain.sides[0] * (number + 1) / cells


def _jump(model: MoMLP, number: int) -> tuple[Fraction, Fraction]:
    """(x_2, difference) where the experts on both sides of a face differ most: it is affine between the knots."""
    knots = model.knots()
    assert knots is not None
    leaves = model.leaf_indices(knots.device)[number : number + 2]
    one, other = (exact.Compiled(model.expert(leaf)) for leaf in leaves)
    found = []
    for knot in knots.tolist():
        point = [exact.rational(_face(model, number)), exact.rational(knot)]
        found.append((Fraction(knot), exact.fraction(other(point)[0] - one(point)[0])))
    return max(found, key=lambda pair: abs(pair[1]))


def _across(model: MoMLP, number: int, height: Fraction) -> tuple[list[tuple[Fraction, Fraction]], Sequence[Fraction]]:
    """Two points 2⁻⁴⁰ apart on both sides of a face, and the mixture's answers: routed and evaluated in rationals."""
    face = Fraction(float(_face(model, number)))
    points = [(face - NEAR, height), (face + NEAR, height)]
    (cells,), domain = model.cells, model.domain
    values = []
    for side, point in enumerate(points):
        z = (point[0] - Fraction(domain.lo[0])) * cells / domain.sides[0]
        (leaf,) = exact.route_lattice([z], [cells])
        routed = model.route(torch.tensor([[float(c) for c in point]], dtype=torch.float64, device=_place(model)))
        ensure(leaf == number + side == int(routed[0, 0]), f"{point} is routed to {leaf} and {int(routed[0, 0])}")
        network = model.expert(model.leaf_indices(_place(model))[leaf])
        values.append(exact.fraction(exact.evaluate_network(network, point)[0]))
    return points, values


def _place(model: MoMLP) -> torch.device:
    return next(model.parameters()).device


def _excess(model: MoMLP, context: Context) -> float:
    """The largest |f̂(x) − f̂(y)| − |x − y| of random pairs, near and far."""
    generator = context.generator()
    x = model.domain.sample(PAIRS, generator)
    away = torch.randn(PAIRS, 2, dtype=torch.float64, generator=generator)
    scale = 10.0 ** (-6 * torch.rand(PAIRS, 1, dtype=torch.float64, generator=generator))
    low, high = model.domain.tensors()
    y = torch.minimum(torch.maximum(x + scale * away, low), high)
    x, y = x.to(_place(model)), y.to(_place(model))
    difference = (model(x) - model(y))[:, 0].abs()
    return float((difference - (x - y).norm(dim=1)).max())
