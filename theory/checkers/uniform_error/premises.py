"""What must be true of a model before an interval about it may stand: its cells cover, its forward() is its experts.

Main definitions: `cells_cover`, `forward_is_expert`, `forward_matches`.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from theory import exact
from theory.checkers.uniform_error.banks import Bank, foreign_bank
from theory.checkers.uniform_error.certificate import Premise
from theory.checkers.uniform_error.cover import is_product_cover, volume_cover
from theory.checkers.uniform_error.layer_bank import LayerBank, ball_values
from theory.checkers.uniform_error.ridge import RidgeBank
from theory.checkers.uniform_error.stack import floats_of
from theory.checkers.uniform_error.view import MixtureView, rounding_units

FORWARD_SAMPLE = 4096


def cells_cover(view: MixtureView) -> Premise:
    """Do the cells of all leaves cover the domain? Exact: as a product of intervals, or by volumes."""
    name = "cells cover the domain"
    if not view.routed:
        return Premise(name, True, "one expert on the whole domain")
    if not view.complete:
        return Premise(name, True, f"not looked at: {len(view.every)} of {view.total} leaves")
    lower, upper = view.bounds(view.every)
    if is_product_cover(lower, upper, view.domain):
        return Premise(name, True, f"{view.total} cells form a product of adjacent intervals")
    return volume_cover(name, lower, upper, view.domain)


def forward_is_expert(view: MixtureView, x: Tensor) -> Premise:
    """forward(x) must be the exact value of the expert to which x is routed, and x must lie in its cell.

    Exact in rationals, or out of Arb balls where activations are transcendental.
    """
    name = "forward() uses these weights"
    with torch.no_grad():
        y = view.forward(x)
    leaves = view.route(x)
    lower, upper = view.reach(leaves)
    # exact arithmetic runs on the host, number by number
    x, y, lower, upper = (t.cpu() for t in (x, y, lower, upper))
    known: dict[tuple[int, ...], tuple[nn.Module, Bank]] = {}
    truth = "exact rational evaluation"
    for row in range(len(x)):
        point, leaf = x[row], leaves[row]
        if not bool(((point >= lower[row]) & (point <= upper[row])).all()):
            detail = f"x = {point.tolist()} is routed to leaf {leaf.tolist()}, whose cell does not contain it"
            return Premise("route(x) agrees with cell_bounds", False, detail)
        key = tuple(leaf.tolist())
        # our own experts are what their weights say, however often they are asked for; others may not be
        if key not in known or not view.read_whole:
            network = _on_the_host(view.expert(leaf))
            units = rounding_units(view.model, network)
            known[key] = network, foreign_bank(network, lower[row : row + 1], upper[row : row + 1], *units)
            if not all(bool(torch.isfinite(t).all()) for t in floats_of(network)):
                return Premise(name, False, f"the weights of leaf {leaf.tolist()} are not all finite")
        network, bank = known[key]
        if isinstance(bank, LayerBank):
            weights, truth = ball_values(bank.layers, point), "Arb balls"
        else:
            weights = [float(exact.fraction(v)) for v in exact.evaluate_network(network, point)]
        if len(weights) != view.m:
            detail = f"the expert of leaf {leaf.tolist()} gives {len(weights)} outputs, the mixture {view.m}"
            return Premise(name, False, detail)
        gap = max(abs(a - b) for a, b in zip(weights, y[row].tolist(), strict=True))
        if not gap <= bank.forward_slack * 1.01 + view.table_slack + 1e-300:
            detail = (
                f"at x = {point.tolist()} (leaf {leaf.tolist()}) forward() gives {y[row].tolist()}, "
                f"the weights of expert(leaf) give {weights}"
            )
            return Premise(name, False, detail)
    detail = f"equal to {truth} within rounding at {len(x)} points"
    return Premise(name, True, detail + ("" if view.read_whole else "; elsewhere forward() is taken at its word"))


def forward_matches(view: MixtureView, leaves: Tensor, bank: Bank) -> Premise | None:
    """A failing premise if forward() differs from a bank's tables; every expert is visited.

    At the middles of pieces, or all over the cell of an expert that is not cut into pieces.
    """
    if isinstance(bank, RidgeBank):
        expert, piece, lo, hi = bank.initial_boxes()
        rows = _sampled_pieces(len(expert) // bank.experts, bank.experts).to(lo.device)
        expert, piece, x = expert[rows], piece[rows], (lo[rows] + hi[rows]) / 2
    else:
        expert, piece, x = (t[-max(1, FORWARD_SAMPLE // view.total) :] for t in bank.seeds(FORWARD_SAMPLE // 16))
    with torch.no_grad():
        y = view.model(x).double()
    tables = bank.values(expert, piece, x)
    if tables.shape != y.shape:
        detail = f"it gives {y.shape[1]} outputs, the experts from leaf {leaves[0].tolist()} on {tables.shape[1]}"
        return Premise("forward() uses these weights", False, detail)
    excess = (y - tables).abs().amax(-1) - 1.01 * (bank.table_slack + bank.forward_slack) - view.table_slack
    # a NaN from forward() must count as a difference
    wrong = ~(excess <= 0)
    if not bool(wrong.any()):
        return None
    row = int(wrong.int().argmax())
    detail = (
        f"at x = {x[row].tolist()} (leaf {leaves[expert[row]].tolist()}) forward() gives {y[row].tolist()}, "
        f"the weights give {tables[row].tolist()}"
    )
    return Premise("forward() uses these weights", False, detail)


def _on_the_host(network: nn.Module) -> nn.Module:
    """The network with its weights on the CPU: itself, or a copy (the model keeps its own)."""
    away = any(p.device.type != "cpu" for p in network.parameters())
    return copy.deepcopy(network).cpu() if away else network


def _sampled_pieces(pieces: int, experts: int) -> Tensor:
    """Rows of boxes (experts × pieces) to look at: of each expert some pieces, another run of them for the next one."""
    each = max(1, min(pieces, FORWARD_SAMPLE // experts))
    step = -(-pieces // each)
    places = (torch.arange(experts)[:, None] + step * torch.arange(each)) % pieces
    return (torch.arange(experts)[:, None] * pieces + places).flatten()
