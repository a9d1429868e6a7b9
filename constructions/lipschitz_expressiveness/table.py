"""Six small ReLU networks that numpy's seeds 0 and 1 give: anyone can draw them again and compare methods on them.

Main definitions: `TABLE`, `TableNetwork`, `table_networks`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from constructions.lipschitz_expressiveness.random_networks import numpy_mlp

TABLE: tuple[tuple[int, tuple[int, ...], float, int], ...] = (
    (0, (2, 8, 3), 2.0, 500),
    (0, (2, 8, 8, 1), 2.0, 500),
    (1, (2, 6, 6, 1), 1.0, 300),
    (1, (2, 5, 5, 5, 1), 1.0, 300),
    (1, (3, 6, 6, 2), 1.0, 300),
    (1, (2, 8, 8, 1), 1.0, 300),
)
"""Seed, widths, half side r of the box [−r, r]^n, and the number of sample points that are drawn after the network."""


@dataclass(frozen=True)
class TableNetwork:
    """A network, its box lower ≤ x ≤ upper (n_0,), and sample points (S, n_0) in it."""

    name: str
    module: nn.Sequential
    lower: Tensor
    upper: Tensor
    samples: Tensor


def table_networks() -> Iterator[TableNetwork]:
    """The networks of `TABLE`, in its order: those of one seed are drawn from one generator, one after another."""
    generators = {seed: np.random.default_rng(seed) for seed, *_ in TABLE}
    for seed, widths, radius, samples in TABLE:
        rng = generators[seed]
        module = numpy_mlp(widths, rng)
        upper = torch.full((widths[0],), radius, dtype=torch.float64)
        unit = torch.from_numpy(rng.random((samples, widths[0])))
        yield TableNetwork("-".join(map(str, widths)), module, -upper, upper, radius * (2 * unit - 1))
