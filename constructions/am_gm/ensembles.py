"""Random positive semidefinite matrices, independent and of one law.

Main definitions: `random_matrices`, `ENSEMBLES`.
"""

from __future__ import annotations

import torch
from torch import Tensor

ENSEMBLES = ("rank_one", "wishart", "kaczmarz", "heavy_tails", "near_collinear")
"""gg' with g ~ N(0, I); GG'/d with G (d, d); I − uu' with u uniform on the sphere; gg' with Cauchy entries, scaled to
trace 1; gg' with g near one direction."""


def random_matrices(
    ensemble: str,
    n: int,
    d: int,
    *,
    count: int = 1,
    generator: torch.Generator,
    device: str | torch.device | None = None,
) -> Tensor:
    """`count` tuples (count, n, d, d) of n independent matrices of a law in `ENSEMBLES`, float64."""
    raise NotImplementedError
