"""A mixture of L experts shatters L·d points when one expert shatters d: L copies of the set along the first axis.

With integer points X and R = range(x_1) + 1, cell ℓ is X + ℓR·e_1, its prototype has first coordinate mid x_1 + ℓR, and
expert ℓ is an expert of X with first bias b − W_1·(ℓR·e_1). Bisectors are mid x_1 + (ℓ + 1/2)R, at distance ≥ 1/2 from
every point, and the same for flat routing and for the tree.

Main definitions: `mixture`, `ShatteredMixture`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from constructions.errors import require_instance, require_int
from constructions.functions.box import Box
from constructions.pathway_tree.tree import MAX_VALENCY
from constructions.vc_dimension.shattered_set import (
    IntegerLayers,
    Layers,
    ShatteredSet,
    from_table,
    require_affordable,
    require_labeling,
)
from constructions.vc_dimension.stacked_momlp import StackedMoMLP

MOST_CELLS = 4096


@dataclass(frozen=True)
class ShatteredMixture:
    """`cells[ℓ]` is the shattered set of expert ℓ; labels and `points` go cell by cell."""

    family: str
    sizes: dict[str, int]
    cells: tuple[ShatteredSet, ...]
    domain: Box
    valency: int

    @property
    def points(self) -> Tensor:
        """(k, n), int64."""
        return torch.cat([cell.points for cell in self.cells])

    @property
    def size(self) -> int:
        """k."""
        return sum(cell.size for cell in self.cells)

    def weights(self, labels: Tensor) -> Layers:
        """Experts of labelings (B, k): weights (B, L, out, in) and biases (B, L, out)."""
        parts = labels.split([cell.size for cell in self.cells], dim=1)
        experts = [cell.weights(part) for cell, part in zip(self.cells, parts, strict=True)]
        return [
            (_side_by_side([layers[i][0] for layers in experts]), _side_by_side([layers[i][1] for layers in experts]))
            for i in range(len(experts[0]))
        ]

    def module(self, labels: Tensor) -> StackedMoMLP:
        """The mixture of one labeling (k,)."""
        layers = [(w[0], b[0]) for w, b in self.weights(require_labeling(labels, self.size)[None])]
        return StackedMoMLP(self.domain, (len(self.cells),), layers, valency=self.valency)


def mixture(expert: ShatteredSet, experts: int, *, valency: int = 2) -> ShatteredMixture:
    """`experts` copies of the set, each behind its own cell of a lattice with a tree of `valency`."""
    require_instance("expert", expert, ShatteredSet)
    require_int("experts", experts, 1, MOST_CELLS)
    require_int("valency", valency, 2, MAX_VALENCY)
    require_affordable("experts", experts * expert.size, expert.points.shape[1])
    low, high = expert.points.amin(0).tolist(), expert.points.amax(0).tolist()
    step = high[0] - low[0] + 1
    start = (low[0] + high[0] - step) / 2
    others = [(float(a - 1), float(b + 1)) for a, b in zip(low[1:], high[1:], strict=True)]
    domain = Box((start, *[a for a, _ in others]), (start + experts * step, *[b for _, b in others]))
    cells = tuple(_translated(expert, cell * step) for cell in range(experts))
    return ShatteredMixture(f"mixture of {expert.family}", {"experts": experts, **expert.sizes}, cells, domain, valency)


def _translated(expert: ShatteredSet, shift: int) -> ShatteredSet:
    """The set moved by shift·e_1, with networks whose first bias undoes the move."""
    points = expert.points.clone()
    points[:, 0] += shift
    table = expert.table
    if table is not None:
        networks = table.networks

        def moved(entries: np.ndarray) -> IntegerLayers:
            (weight, bias), *rest = networks(entries)
            return [(weight, bias - shift * weight[..., 0]), *rest]

        return from_table(expert.family, expert.sizes, points, replace(table, networks=moved))

    def weights(labels: Tensor) -> Layers:
        (weight, bias), *rest = expert.weights(labels)
        return [(weight, bias - shift * weight[..., 0]), *rest]

    return replace(expert, points=points, weights=weights)


def _side_by_side(parts: list[Tensor]) -> Tensor:
    """(B or 1, …) of every expert as (B, L, …)."""
    count = max(len(part) for part in parts)
    return torch.stack([part.expand(count, *part.shape[1:]) for part in parts], dim=1)
