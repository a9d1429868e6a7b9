"""Shattered sets made by someone else: points, and a network for each of all labelings, whatever its architecture.

Main definitions: `check_networks`, `shattered_by_modules`.
Implementation notes: integer networks are exact in float64 as in `labelings`; others are accepted only where |output|
exceeds a running bound of the rounding error, whatever the order of summation.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import torch
from torch import Tensor, nn

from constructions.errors import BudgetExceeded
from constructions.vc_dimension.nearest_prototype import NearestPrototype
from constructions.vc_dimension.shattered_set import Layers
from constructions.vc_dimension.stacked_momlp import StackedMoMLP
from theory import exact
from theory.vc_dimension.checkers.exact_routing import route_exactly
from theory.vc_dimension.checkers.labelings import LABELINGS_PER_CHUNK, all_labelings, float64_is_exact, wrong_answer
from theory.vc_dimension.checkers.report import ShatteringReport, distinct_points, wrong_label
from theory.vc_dimension.checkers.shapes import numbers_fault, require_labels, require_layers, require_points

UNIT = 2.0**-53
MAX_POINTS = 20


def check_networks(points: Tensor, labels: Tensor, layers: Layers) -> ShatteringReport:
    """Whether stacked networks realise labels (N, k) on points (k, n), and whether those are all 2^k labelings.

    ValueError when points, labels and layers do not fit each other, or hold numbers that are not finite.
    """
    k, n = require_points("points", points).shape
    labels = require_labels("labels", labels, (None, k))
    count = len(labels)
    layers = require_layers(layers, count, n)
    failure = distinct_points(points) or missing_labelings(labels)
    points, done = points.double(), 0
    while failure is None and done < count:
        rows = slice(done, done + LABELINGS_PER_CHUNK)
        part = [(w[rows] if len(w) > 1 else w, b[rows] if len(b) > 1 else b) for w, b in layers]
        failure = signs_differ(part, labels[rows], points)
        done += len(labels[rows])
    return ShatteringReport(k, done, done * k, failure)


def missing_labelings(labels: Tensor) -> str | None:
    """A sentence if labels (N, k) are not all 2^k labelings, each once."""
    count, k = labels.shape
    if k > MAX_POINTS:
        raise BudgetExceeded(f"{k} points have 2^{k} labelings; enumeration stops at {MAX_POINTS} points")
    numbers = (labels.long() << torch.arange(k, device=labels.device)).sum(1)
    distinct = len(torch.unique(numbers))
    if distinct < count:
        first = int(torch.bincount(numbers, minlength=2**k).argmax())
        return f"labeling {_word(labels[numbers == first][0])} occurs more than once"
    if count != 2**k:
        present = torch.zeros(2**k, dtype=torch.bool, device=labels.device)
        present[numbers] = True
        absent = int((~present).int().argmax())
        return (
            f"{count} of {2**k} labelings are there; {_word(all_labelings(absent, absent + 1, k, 'cpu')[0])} is missing"
        )
    return None


def _word(labels: Tensor) -> str:
    return "".join(map(str, labels.int().tolist()))


def signs_differ(layers: Layers, labels: Tensor, points: Tensor) -> str | None:
    """None when sgn of the outputs is the labels (B, k) beyond doubt; else the labeling, the point and the output."""
    outputs, slack = evaluate_with_slack(layers, points)
    failure = wrong_label(labels, outputs, points)
    if failure is not None or float64_is_exact(layers, points):
        return failure
    unsure = ~(outputs.abs() > slack)  # not `<=`: a slack that overflowed to inf or NaN must leave the sign in doubt
    if not bool(unsure.any()):
        return None
    row = int(unsure.any(1).int().argmax())
    column = int(unsure[row].int().argmax())
    return (
        f"labeling {_word(labels[row])}: point {column}, {points[column].tolist()}: the output "
        f"{float(outputs[row, column]):g} is within the rounding error {float(slack[row, column]):g} of 0"
    )


def evaluate_with_slack(layers: Layers, points: Tensor) -> tuple[Tensor, Tensor]:
    """Outputs (B, k) in float64 and a bound (B, k) of their rounding error.

    One layer of N inputs adds (N + 2)u·(Σ|w||h| + |b|) and carries the error before it on through |w| (u = 2⁻⁵³; 1.01
    and a denormal cover higher orders and underflow).
    """
    hidden, error = points[None], torch.zeros_like(points)[None]
    for i, (weight, bias) in enumerate(layers):
        hidden = hidden.relu() if i else hidden
        size = (hidden.abs() + error) @ weight.abs().transpose(1, 2) + bias.abs()[:, None, :]
        error = 1.01 * ((weight.shape[2] + 2) * UNIT * size + error @ weight.abs().transpose(1, 2)) + 1e-300
        hidden = hidden @ weight.transpose(1, 2) + bias[:, None, :]
    return hidden[..., 0], error[..., 0]


# --- modules -------------------------------------------------------------------------------------------


def shattered_by_modules(points: Tensor, module_of: Callable[[Tensor], nn.Module]) -> ShatteringReport:
    """All labelings of points (k, n), one module a labeling: `module_of(labels (k,))`.

    Understood are Linear/ReLU stacks (`nn.Sequential`), `StackedMoMLP` and `NearestPrototype` themselves; TypeError for
    anything else, subclasses and modules with hooks included: their forward() may be anything. A mixture must route
    every point as exact arithmetic does. What is decided is the network of real arithmetic on the module's weights: a
    float32 module that rounds near 0 may itself answer with the other sign.
    """
    k, _ = require_points("points", points).shape
    if not callable(module_of):
        raise TypeError(f"`module_of` must be a function of the labels, got {type(module_of).__name__}")
    if k > MAX_POINTS:
        raise BudgetExceeded(f"{k} points have 2^{k} labelings; enumeration stops at {MAX_POINTS} points")
    failure, x, done = distinct_points(points), points.double(), 0
    # modules of others can only be asked one by one
    for row in all_labelings(0, 0 if failure else 2**k, k, "cpu"):
        failure = _module_failure(module_of(row.clone()), row.to(x.device), x)
        done += 1
        if failure is not None:
            break
    return ShatteringReport(k, done, done * k, failure)


def _module_failure(module: nn.Module, labels: Tensor, x: Tensor) -> str | None:
    if type(module) is NearestPrototype:
        return _router_failure(module, labels, x)
    if type(module) is StackedMoMLP:
        return _mixture_failure(module, labels, x)
    layers = stacked_layers(module)
    return signs_differ(require_layers(layers, 1, x.shape[1]), labels[None], x)


def _router_failure(module: NearestPrototype, labels: Tensor, x: Tensor) -> str | None:
    _require_unaltered(module)
    levels, values = [level.detach()[None] for level in module.levels], module.values.detach()[None]
    leaf = route_exactly(levels, x)
    return leaf if isinstance(leaf, str) else wrong_answer(labels[None], values, leaf, levels, x)


def _mixture_failure(module: StackedMoMLP, labels: Tensor, x: Tensor) -> str | None:
    _require_unaltered(module)
    leaf = module.route(x)
    failure = inexact_routing(module, leaf, x)
    if failure is not None:
        return failure
    flat = module.tree.flat_index(leaf)
    for cell in flat.unique().tolist():
        at = flat == cell
        layers = require_layers(stacked_layers(module.expert(cell)), 1, x.shape[1])
        failure = signs_differ(layers, labels[None, at], x[at])
        if failure is not None:
            return f"expert {cell}: {failure}"
    return None


def inexact_routing(module: StackedMoMLP, leaf: Tensor, x: Tensor) -> str | None:
    """A sentence naming a point (k, n) outside the domain, or whose leaf (k, q) is not the nearest one exactly."""
    domain, cells = module.lattice.domain, module.lattice.cells
    if x.shape[1] != domain.n:
        return f"the mixture is on R^{domain.n}, the points are in R^{x.shape[1]}"
    domain.require_inside("points", x)
    for row, (point, found) in enumerate(zip(x.tolist(), leaf.tolist(), strict=True)):
        sides = zip(point, domain.lo, domain.sides, cells, strict=False)  # the first q axes are routed
        z = [(Fraction(value) - Fraction(lo)) * count / side for value, lo, side, count in sides]
        nearest = exact.route_lattice(z, cells)
        if tuple(found) != nearest:
            return f"point {row}, {point}, is routed to {tuple(found)}, exactly the nearest prototype is {nearest}"
    return None


def _require_unaltered(module: nn.Module) -> None:
    for part in module.modules():
        change = exact.altered(part)
        if change is not None:
            raise TypeError(f"`module` must be as its class makes it, but {change}")


def stacked_layers(module: nn.Module) -> Layers:
    """A Linear/ReLU stack as layers with B = 1; TypeError when it is anything else."""
    if type(module) is not nn.Sequential:
        raise TypeError(f"`module` must be a Linear/ReLU stack or a known mixture, got {type(module).__name__}")
    _require_unaltered(module)
    layers: Layers = []
    expects_linear = True
    for part in module:
        if type(part) is nn.Linear and expects_linear:
            layers.append(_affine(part, len(layers)))
        elif not (type(part) is nn.ReLU and not expects_linear):
            raise TypeError(f"`module` must alternate Linear and ReLU, got {type(part).__name__} at {len(layers)}")
        expects_linear = not expects_linear
    if expects_linear:
        raise TypeError("`module` must end with a Linear layer")
    return layers


def _affine(linear: nn.Linear, number: int) -> tuple[Tensor, Tensor]:
    """Weight (1, out, in) and bias (1, out) in float64; ValueError when they do not fit or are not finite."""
    why = exact.altered(linear)
    if why is not None:
        raise TypeError(f"`module`: {why}")
    weight, name = linear.weight.detach(), f"module[{2 * number}]"
    bias = weight.new_zeros(len(weight)) if linear.bias is None else linear.bias.detach()
    fault = numbers_fault(f"{name}.weight", weight, (None, None)) or numbers_fault(f"{name}.bias", bias, (len(weight),))
    if fault is not None:
        raise ValueError(fault)
    return weight.double()[None], bias.double()[None]
