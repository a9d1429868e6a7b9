"""Experts in the form in which searches bound them: tables of ridges for many at once, or one stack at a time.

Main definitions: `Bank`, `banks_of`, `foreign_bank`.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from constructions.mixture import LatticeMixture
from constructions.networks import Constant
from theory import exact
from theory.checkers.uniform_error.layer_bank import LayerBank
from theory.checkers.uniform_error.layers import SUPPORTED, read_layers
from theory.checkers.uniform_error.ridge import FirstLayer, RidgeBank, first_layer_axis
from theory.checkers.uniform_error.stack import StackBank, linear_stack
from theory.checkers.uniform_error.view import MixtureView, rounding_units

Bank = RidgeBank | StackBank | LayerBank
PIECES_PER_BANK = 1 << 16


def banks_of(view: MixtureView) -> Iterator[tuple[Tensor, Bank]]:
    """(leaves (E, q), bank) over all leaves of the view, with at most about 2¹⁶ pieces in memory at a time."""
    if isinstance(view.model, LatticeMixture):
        if view.model.steep:
            raise ValueError("`model` has experts whose weights bound no slope: use method='simplices'")
        layer = _shared_layer(view.model)
        if layer is not None:
            yield from _pencil_banks(view, view.model, layer)
            return
    for leaf in view.leaves:
        lower, upper = view.reach(leaf[None])
        network = view.expert(leaf)
        yield leaf[None], foreign_bank(network, lower, upper, *rounding_units(view.model, network))


def _pencil_banks(view: MixtureView, model: LatticeMixture, layer: FirstLayer) -> Iterator[tuple[Tensor, Bank]]:
    """Experts that share the first layer and, where it depends on x, the interval of the axis that it reads."""
    unit, least = rounding_units(model)
    # the search seeds every piece with up to 2^q corners
    corners = max(1, 2 ** min(len(model.cells), 6) // 8)
    rows = max(1, PIECES_PER_BANK // (len(layer.bias) + 1) // corners)
    for leaves in _by_interval(view, layer):
        for part in leaves.split(rows):
            weight, bias = (t.detach().double() for t in model.output_layers(part))
            reach = view.reach(part)
            yield part, RidgeBank.of(layer, weight, bias, *reach, unit=unit, least=least)


def _by_interval(view: MixtureView, layer: FirstLayer) -> list[Tensor]:
    """The leaves, apart where their cells differ on the axis that the experts read."""
    lower, upper = view.reach(view.leaves)
    pairs = torch.stack([lower[:, layer.axis], upper[:, layer.axis]], dim=1)
    if not bool((layer.pull != 0).any()) or not len(pairs) or bool((pairs == pairs[0]).all()):
        return [view.leaves]
    distinct, which = torch.unique(pairs, dim=0, return_inverse=True)
    order = torch.argsort(which, stable=True)
    sizes = torch.bincount(which, minlength=len(distinct)).tolist()
    return list(view.leaves[order].split(sizes))


def _shared_layer(model: LatticeMixture) -> FirstLayer | None:
    shared = model.shared_layer()
    if shared is None:
        return None
    weight, bias, slope = (None if t is None else t.detach().double() for t in shared)
    assert weight is not None
    assert bias is not None
    axis = first_layer_axis(weight)
    if axis is None:
        raise ValueError("`model` must have first-layer rows along one axis; use method='sampled'")
    return FirstLayer(weight, bias, torch.zeros_like(bias) if slope is None else slope, axis)


def foreign_bank(network: nn.Module, lower: Tensor, upper: Tensor, unit: float, least: float) -> Bank:
    parts = list(network) if type(network) is nn.Sequential else [network]
    if len(parts) == 1 and type(parts[0]) is Constant and not exact.altered(network) and not exact.altered(parts[0]):
        bias = parts[0].bias.detach().double()[None]
        n = lower.shape[1]
        layer = FirstLayer(bias.new_zeros(0, n), bias.new_zeros(0), bias.new_zeros(0), n - 1)
        return RidgeBank.of(layer, bias.new_zeros(1, bias.shape[1], 0), bias, lower, upper, unit=unit, least=least)
    stack = linear_stack(network)
    if stack is None:
        found = read_layers(network, lower.shape[1])
        if isinstance(found, str):
            raise ValueError(
                f"`model` must consist of plain {SUPPORTED} layers for this method: {found}; use method='sampled'"
            )
        return LayerBank.of(found, lower, upper, unit=unit, least=least)
    if stack[0].weight.shape[1] != lower.shape[1]:
        raise ValueError(f"`model.expert` must take {lower.shape[1]} inputs, got {stack[0].weight.shape[1]}")
    if len(stack) == 2 and stack[0].alpha is not None and stack[1].alpha is None:
        axis = first_layer_axis(stack[0].weight)
        if axis is not None:
            layer = FirstLayer(stack[0].weight, stack[0].bias, stack[0].alpha, axis)
            weight, bias = stack[1].weight[None], stack[1].bias[None]
            return RidgeBank.of(layer, weight, bias, lower, upper, unit=unit, least=least)
    return StackBank.of(stack, lower, upper, unit=unit, least=least)
