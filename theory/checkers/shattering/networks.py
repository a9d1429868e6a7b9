"""Shattered sets made by someone else: points, and a network for each of all labelings, whatever its architecture.

Main definitions: `check_networks`, `shattered_by_modules`.
Implementation notes: integer networks are exact in float64 as in `labelings`; others are accepted only where |output|
exceeds a running bound of the rounding error, whatever the order of summation.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from constructions.errors import BudgetExceeded
from constructions.nearest_prototype import NearestPrototype
from constructions.shattering.shattered_set import Layers
from constructions.stacked_momlp import StackedMoMLP
from theory.checkers.shattering.exact_routing import route_exactly
from theory.checkers.shattering.labelings import LABELINGS_PER_CHUNK, all_labelings, float64_is_exact
from theory.checkers.shattering.report import ShatteringReport, distinct_points, wrong_label

UNIT = 2.0**-53
MAX_POINTS = 20


def check_networks(points: Tensor, labels: Tensor, layers: Layers) -> ShatteringReport:
    """Whether stacked networks realise labels (N, k) on points (k, n), and whether those are all 2^k labelings."""
    count, k = labels.shape
    failure = distinct_points(points) or missing_labelings(labels)
    points = points.double()
    for start in range(0, 0 if failure else count, LABELINGS_PER_CHUNK):
        rows = slice(start, start + LABELINGS_PER_CHUNK)
        part = [(w[rows] if len(w) > 1 else w, b[rows] if len(b) > 1 else b) for w, b in layers]
        failure = signs_differ(part, labels[rows], points)
        if failure is not None:
            break
    return ShatteringReport(k, count, count * k, failure)


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
    unsure = outputs.abs() <= slack
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

    Understood are Linear/ReLU stacks (`nn.Sequential`), `StackedMoMLP` and `NearestPrototype`; TypeError otherwise.
    Points of a mixture must lie where its router is exact for them (`mixtures.routing_failure` for lattices of ours).
    """
    k = len(points)
    if k > MAX_POINTS:
        raise BudgetExceeded(f"{k} points have 2^{k} labelings; enumeration stops at {MAX_POINTS} points")
    failure = distinct_points(points)
    x = points.double()
    # modules of others can only be asked one by one
    for row in all_labelings(0, 0 if failure else 2**k, k, "cpu"):
        failure = _module_failure(module_of(row), row.to(x.device), x)
        if failure is not None:
            break
    return ShatteringReport(k, 2**k, k * 2**k, failure)


def _module_failure(module: nn.Module, labels: Tensor, x: Tensor) -> str | None:
    if isinstance(module, NearestPrototype):
        leaf = route_exactly([level[None] for level in module.levels], x)
        return leaf if isinstance(leaf, str) else wrong_label(labels[None], module.values[leaf], x)
    if isinstance(module, StackedMoMLP):
        leaf = module.tree.flat_index(module.route(x))
        for cell in leaf.unique().tolist():
            at = leaf == cell
            failure = signs_differ(stacked_layers(module.expert(cell)), labels[None, at], x[at])
            if failure is not None:
                return f"expert {cell}: {failure}"
        return None
    return signs_differ(stacked_layers(module), labels[None], x)


def stacked_layers(module: nn.Module) -> Layers:
    """A Linear/ReLU stack as layers with B = 1; TypeError when it is anything else."""
    if not isinstance(module, nn.Sequential):
        raise TypeError(f"`module` must be a Linear/ReLU stack or a known mixture, got {type(module).__name__}")
    layers: Layers = []
    expects_linear = True
    for part in module:
        if isinstance(part, nn.Linear) and expects_linear:
            bias = part.bias if part.bias is not None else part.weight.new_zeros(part.out_features)
            layers.append((part.weight.detach().double()[None], bias.detach().double()[None]))
        elif not (isinstance(part, nn.ReLU) and not expects_linear):
            raise TypeError(f"`module` must alternate Linear and ReLU, got {type(part).__name__} at {len(layers)}")
        expects_linear = not expects_linear
    if expects_linear:
        raise TypeError("`module` must end with a Linear layer")
    return layers
