"""Bit-extraction networks: gentle functions with products of norms beyond the floats.

The last layer adds channels that are integers at every node of the grid, each times one number q. So the slopes on a
simplex of the J1 triangulation are q·w_i·(an integer), w_i the grid's own scale of axis i, without any rounding.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from fractions import Fraction

import torch
from torch import Tensor, nn

from constructions import BitExtractionMoMLP, build_momlp, targets
from theory import exact
from theory.checkers.uniform_error.simplices import LARGEST_EXACT, AffinePieces, NotAffine, affine_pieces
from theory.checkers.uniform_error.stack import linear_stack
from theory.claim import Context, Evidence, Report, Status, Table, Verdict, ensure
from theory.lipschitz_expressiveness.checkers import lipschitz_bounds

Model = tuple[int, float, str]
"""n = k, eps, look-up: of the cone on [0, 1]^n."""

MODELS: tuple[Model, ...] = ((1, 0.01, "deep"), (1, 0.01, "wide"), (1, 1e-4, "wide"), (2, 0.02, "wide"))
MORE_MODELS: tuple[Model, ...] = ((2, 0.05, "deep"),)
"""The latter in the full budget only."""
BEYOND_FLOATS: Model = (1, 1e-4, "wide")
FEW_NODES = 1000
POINTS = 2000


def built(case: Model, context: Context) -> BitExtractionMoMLP:
    """A single network without a router."""
    n, eps, lookup = case
    cone = targets.get("cone", n=n)
    options = {"expert": "bit_extraction", "resolved": n, "lookup": lookup, "device": context.device}
    model = build_momlp(cone, eps=eps, **options)
    assert isinstance(model, BitExtractionMoMLP)
    return model


@dataclass(frozen=True)
class Slopes(Report):
    """`squared` is the square of the norm of the gradient, the same on all `simplices`; q·w (k,) its entries' size."""

    failure: str | None
    squared: Fraction = Fraction(0)
    simplices: int = 0
    entries: tuple[Fraction, ...] = ()
    pieces: AffinePieces | None = field(default=None, repr=False)


def integer_slopes(network: nn.Module) -> Slopes:
    """Whether every partial derivative on every simplex is ±q·w_i: all edges of the grid change by one integer step."""
    layers = linear_stack(network)
    if layers is None:
        return Slopes("the network is not a Linear/ReLU stack")
    last = layers[-1]
    gains = last.weight[last.weight != 0].unique()
    if len(last.weight) != 1 or len(gains) != 1 or not float(gains[0]) > 0:
        return Slopes(f"the last layer has the weights {gains.tolist()[:4]}, not one positive number")
    try:
        # the same network in units of q, without its offset: all integers
        unit = replace(last, weight=(last.weight != 0).double(), bias=torch.zeros_like(last.bias))
        pieces = affine_pieces([[*layers[:-1], unit]])
    except NotAffine as failure:
        return Slopes(str(failure))
    values = pieces.values[0, ..., 0]
    whole = values == values.round()
    if not bool((whole & (values.abs() < LARGEST_EXACT)).all()) or not pieces.size < LARGEST_EXACT:
        return Slopes("a node has a value that is no integer")
    failing = _edges(pieces.vertices, values)
    if failing is not None:
        return Slopes(failing)
    q = Fraction(float(gains[0]))
    entries = tuple(q * Fraction(w) for w in pieces.grid.slope)
    return Slopes(None, sum((e * e for e in entries), Fraction(0)), len(values), entries, pieces)


def _edges(vertices: Tensor, values: Tensor) -> str | None:
    """The first simplex whose path does not go one step along every axis and change by ±1 each time, or None."""
    steps, changes = vertices.diff(dim=1), values.diff(dim=1)
    path = (steps.abs().sum(2) == 1).all(1) & (steps.abs().sum(1) == 1).all(1)
    good = path & (changes.abs() == 1).all(1)
    if bool(good.all()):
        return None
    at = int((~good).nonzero()[0, 0])
    return f"on simplex {vertices[at].tolist()} the integers change by {changes[at].tolist()}"


def slopes_at_every_node(network: nn.Module, slopes: Slopes) -> Report:
    """n = 1: the network in rationals at every node of its grid: neighbours differ by exactly q."""
    assert slopes.pieces is not None
    grid = slopes.pieces.grid
    compiled = exact.Compiled(network)
    shift, slope = Fraction(grid.shift[0]), Fraction(grid.slope[0])
    step, before = slopes.entries[0] / slope, None
    for node in range(grid.cells + 1):
        x = (node - grid.cells + shift) / slope
        value = exact.fraction(compiled([exact.rational(x)])[0])
        if before is not None and abs(value - before) != step:
            return Report(f"between nodes {node - 1} and {node} the network changes by {float(value - before)}")
        before = value
    return Report()


def bit_extraction(context: Context) -> Verdict:
    """The gradient on every simplex, in integers and at sampled points, against the product of norms."""
    rows = []
    for case in MODELS + MORE_MODELS * context.full:
        n, eps, lookup = case
        name = f"n = {n}, eps = {eps}, {lookup}"
        context.log(name)
        model = built(case, context)
        network, plan = model.expert(0), model.plan
        slopes = integer_slopes(network)
        ensure(slopes, name)
        # √k·s·K/ℓ, from the plan's own numbers
        promised = sum(
            ((Fraction(plan.step) * plan.network.cells / side) ** 2 for side in plan.domain.sides), Fraction(0)
        )
        ensure(slopes.squared == promised, f"{name}: the square is {float(slopes.squared)}, not {float(promised)}")
        if n == 1 and (context.full or plan.network.cells <= FEW_NODES):
            ensure(slopes_at_every_node(network, slopes), name)
        lipschitz = math.sqrt(slopes.squared)
        low, high = _sampled_gradients(network, n, context)
        ensure(abs(low / lipschitz - 1) <= 1e-9 and abs(high / lipschitz - 1) <= 1e-9, f"{name}: {low} to {high}")
        product = lipschitz_bounds(network, method="product").log2_upper
        ensure(product > 2 + math.log2(lipschitz), f"{name}: the product of norms is 2^{product}")
        layers = sum(isinstance(layer, nn.Linear) for layer in network.modules())
        rows.append((n, eps, lookup, layers, model.active_parameters, slopes.simplices, lipschitz, product))
    columns = ("n", "eps", "lookup", "layers", "P", "simplices", "lipschitz", "log2_product")
    tables = {"networks": Table(columns, tuple(rows))}
    largest = max(row[-1] for row in rows)
    reason = f"{len(rows)} networks have one steepness on all simplices, products of norms up to 2^{largest:.4f}"
    return Verdict(Status.CERTIFIED, Evidence.FLOAT64, reason, {"networks": len(rows)}, tables=tables)


def _sampled_gradients(network: nn.Module, n: int, context: Context) -> tuple[float, float]:
    """The smallest and largest ‖∇‖ that autograd finds at random points of the cube."""
    x = torch.rand(POINTS, n, dtype=torch.float64, generator=context.generator()).to(context.device)
    x.requires_grad_(True)
    (gradient,) = torch.autograd.grad(network(x).sum(), x)
    norms = gradient.norm(dim=1)
    return float(norms.min()), float(norms.max())
