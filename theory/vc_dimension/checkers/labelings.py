"""Is a set of points shattered? Build and run the network of every labeling, or of some.

Main definitions: `shattered_exhaustively`, `shattered_by_random_labelings`, `float64_is_exact`, `evaluate`.
Implementation notes: networks with integer weights are exact in float64, in any order of summation, when max over units
and points of Σ|w||h| + |b| stays below 2⁵³; every evaluation of stacked networks checks that on the networks it uses.
Mixtures run through the forward pass of the actual module, with one set of weights a labeling (`torch.func`); their
routing is exact if `mixtures.routes_home` says so. Routers are compared in integers.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.func import functional_call, vmap

from constructions.errors import BudgetExceeded, require_device, require_instance, require_int
from constructions.vc_dimension import ShatteredMixture, ShatteredRouting, ShatteredSet
from constructions.vc_dimension.shattered_set import Layers
from theory.vc_dimension.checkers.exact_routing import route_exactly
from theory.vc_dimension.checkers.hidden_rows import has_signs, outputs_from_distinct_rows
from theory.vc_dimension.checkers.report import ShatteringReport, distinct_points, wrong_label
from theory.vc_dimension.checkers.shapes import LARGEST_EXACT, fits, layers_fault, numbers_fault, require_points

LABELINGS_PER_CHUNK = 1 << 15
MOST_LABELINGS = 1 << 20
MOST_POINTS = 62  # a labeling is numbered in int64

Shattered = ShatteredSet | ShatteredMixture | ShatteredRouting


def all_labelings(start: int, stop: int, k: int, device: torch.device | str) -> Tensor:
    """Labelings start … stop − 1 of k points as bool rows (B, k); bit i of the number is the label of point i."""
    numbers = torch.arange(start, stop, dtype=torch.int64, device=device)
    bit = torch.arange(8, device=device)
    # the eight labels of a byte are copied at once, as one 64-bit number
    byte = ((torch.arange(256, device=device)[:, None] >> bit) & 1).to(torch.uint8).view(torch.int64).flatten()
    part = (numbers[:, None] >> torch.arange(0, k, 8, device=device)) & 255
    labels = byte.index_select(0, part.flatten()).view(torch.uint8).view(len(numbers), 8 * part.shape[1])
    return labels[:, :k].contiguous().view(torch.bool)


def evaluate(layers: Layers, points: Tensor) -> Tensor:
    """Outputs (B, k) of stacked networks at points (k, n), float64."""
    hidden = points[None]
    for i, (weight, bias) in enumerate(layers):
        hidden = hidden.relu_() if i else hidden
        if len(weight) == 1 or len(hidden) == 1:
            hidden = hidden @ weight.transpose(1, 2) + bias[:, None, :]
        else:
            hidden = torch.baddbmm(bias[:, None, :], hidden, weight.transpose(1, 2))
    return hidden[..., 0]


def float64_is_exact(layers: Layers, points: Tensor) -> bool:
    """Integer weights and points, and Σ|w||h| + |b| < 2⁵³ at every unit of every network on points (k, n).

    First with |h| bounded layer by layer, which needs no points; only if that fails with the values themselves. NaN and
    inf are not exact: NaN equals nothing, and inf is not below 2⁵³.
    """
    if not all(bool((part == part.round()).all()) for part in (points, *(part for layer in layers for part in layer))):
        return False
    return _sums_stay_small(layers, points.abs().amax(0)[None], absolute=True) or _sums_stay_small(layers, points)


def _sums_stay_small(layers: Layers, points: Tensor, *, absolute: bool = False) -> bool:
    """Whether Σ|w||h| + |b| < 2⁵³ everywhere; `absolute` carries that sum on as a bound of |h|."""
    hidden = points[None]
    for i, (weight, bias) in enumerate(layers):
        hidden = hidden.relu() if i else hidden
        size = hidden.abs() @ weight.abs().transpose(1, 2) + bias.abs()[:, None, :]
        if not bool((size < LARGEST_EXACT).all()):
            return False
        hidden = size if absolute else hidden @ weight.transpose(1, 2) + bias[:, None, :]
    return True


def shattered_exhaustively(
    shattered: Shattered, *, max_points: int = 20, device: torch.device | str = "cpu"
) -> ShatteringReport:
    """Build and evaluate the network of every labeling; BudgetExceeded above `max_points` points."""
    points = require_shattered(shattered)
    k = len(points)
    if k > require_int("max_points", max_points, 1, MOST_POINTS):
        raise BudgetExceeded(f"2^{k} labelings, more than max_points = {max_points} allows; use a certificate")
    points = points.to(require_device("device", device), torch.float64)
    failure, run = distinct_points(points), _runner(shattered, points)
    total, done = 2**k, 0
    while failure is None and done < total:
        labels = all_labelings(done, min(total, done + LABELINGS_PER_CHUNK), k, points.device)
        failure = run(labels)
        done += len(labels)
    return ShatteringReport(k, done, done * k, failure)


def shattered_by_random_labelings(
    shattered: Shattered, count: int, generator: torch.Generator, *, device: torch.device | str = "cpu"
) -> ShatteringReport:
    """`count` random labelings: an extra, never a proof."""
    points = require_shattered(shattered)
    require_int("count", count, 1, MOST_LABELINGS)
    require_instance("generator", generator, torch.Generator)
    points = points.to(require_device("device", device), torch.float64)
    labels = (torch.rand(count, len(points), generator=generator) < 0.5).to(points.device)
    failure = distinct_points(points) or _runner(shattered, points)(labels)
    return ShatteringReport(len(points), count, count * len(points), failure)


def require_shattered(shattered: Shattered) -> Tensor:
    """The points of a shattered set; TypeError for a class of someone else's, ValueError for points that are none."""
    if type(shattered) not in (ShatteredSet, ShatteredMixture, ShatteredRouting):
        raise TypeError(
            "`shattered` must be a ShatteredSet, a ShatteredMixture or a ShatteredRouting, "
            f"got {type(shattered).__name__}"
        )
    if isinstance(shattered, ShatteredMixture):
        cells = shattered.cells
        if not isinstance(cells, tuple) or not cells or any(type(cell) is not ShatteredSet for cell in cells):
            raise TypeError("`shattered.cells` must be a non-empty tuple of ShatteredSet")
        n = require_points("shattered.cells[0].points", cells[0].points).shape[1]
        for number, cell in enumerate(cells):
            require_points(f"shattered.cells[{number}].points", cell.points, n)
    return require_points("shattered.points", shattered.points)


# --- one batch of labelings ----------------------------------------------------------------------------


def _runner(shattered: Shattered, points: Tensor) -> Callable[[Tensor], str | None]:
    """labels (B, k) -> a sentence naming a wrong label or an inexact network, or None."""
    if isinstance(shattered, ShatteredRouting):
        return lambda labels: _run_routers(shattered, labels, points)
    if isinstance(shattered, ShatteredMixture):
        return lambda labels: _run_mixtures(shattered, labels, points)
    return lambda labels: run_networks(shattered.weights(labels), labels, points)


def run_networks(layers: Layers, labels: Tensor, points: Tensor) -> str | None:
    """None when stacked networks realise their labels (B, k) on points (k, n), exactly; else why not."""
    fault = layers_fault(layers, len(labels), points.shape[1], finite=False)
    if fault is None:
        outputs = outputs_from_distinct_rows(layers, len(labels), points, float64_is_exact)
        if outputs is not None:
            return None if has_signs(outputs, labels) else wrong_label(labels, outputs, points)
        fault = layers_fault(layers, len(labels), points.shape[1])
    if fault is not None:
        return f"the networks: {fault}"
    if not float64_is_exact(layers, points):
        return "the networks' weights are not integers that float64 evaluates exactly"
    return wrong_label(labels, evaluate(layers, points), points)


def _run_mixtures(shattered: ShatteredMixture, labels: Tensor, points: Tensor) -> str | None:
    layers = shattered.weights(labels)
    fault = _experts_fault(layers, len(labels), len(shattered.cells), points.shape[1])
    if fault is not None:
        return f"the networks: {fault}"
    layers = [tuple(t.expand(len(labels), *t.shape[1:]) for t in layer) for layer in layers]
    module = shattered.module(labels[0]).to(points.device)
    leaf = module.tree.flat_index(module.route(points))
    for cell in leaf.unique().tolist():
        if not float64_is_exact([(w[:, cell], b[:, cell]) for w, b in layers], points[leaf == cell]):
            return f"the weights of expert {cell} are not integers that float64 evaluates exactly"
    states = {f"weights.{i}": w for i, (w, _) in enumerate(layers)}
    states |= {f"biases.{i}": b for i, (_, b) in enumerate(layers)}
    outputs = vmap(lambda state: functional_call(module, state, (points,)))(states)
    return wrong_label(labels, outputs[..., 0], points)


def _experts_fault(layers: Layers, count: int, experts: int, inputs: int) -> str | None:
    """Why layers with weights (B, L, out, in) and biases (B, L, out) are not those of `count` mixtures, or None."""
    for i, (weight, bias) in enumerate(layers):
        fault = numbers_fault(f"layers[{i}][0]", weight, (None, experts, None, inputs))
        fault = fault or numbers_fault(f"layers[{i}][1]", bias, (None, experts, weight.shape[2]))
        if fault is None and not {len(weight), len(bias)} <= {1, count}:
            fault = f"`layers[{i}]` must hold 1 or {count} mixtures, got {len(weight)} and {len(bias)}"
        if fault is not None:
            return fault
        inputs = weight.shape[2]
    return None if inputs == 1 else f"`layers` must end with one output, got {inputs}"


def _run_routers(shattered: ShatteredRouting, labels: Tensor, points: Tensor) -> str | None:
    levels, values = shattered.routers(labels)
    leaf = route_exactly(levels, points)
    if isinstance(leaf, str):
        return leaf
    return wrong_answer(labels, values, leaf, levels, points)


def wrong_answer(labels: Tensor, values: Tensor, leaf: Tensor, levels: list[Tensor], points: Tensor) -> str | None:
    """Why the answers `values` (B, L) of the leaves (B, k) reached are not the labels (B, k), or None."""
    leaves = math.prod(level.shape[2] for level in levels)
    if not fits(values.shape, (len(labels), leaves)) or len(leaf) != len(labels):
        return f"answers {tuple(values.shape)} do not match {len(labels)} labelings and {leaves} leaves"
    return wrong_label(labels, values.gather(1, leaf), points)
