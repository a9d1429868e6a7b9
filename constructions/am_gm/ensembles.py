"""Random positive semidefinite matrices, independent and of one law.

Main definitions: `random_matrices`, `ENSEMBLES`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from constructions.errors import BudgetExceeded, require_choice, require_device, require_instance, require_int

ENSEMBLES = ("rank_one", "wishart", "kaczmarz", "heavy_tails", "near_collinear")
"""gg' with g ~ N(0, I_d); GG'/d with G (d, d) normal; I − uu' with u uniform on the sphere; gg' with Cauchy entries,
scaled to trace 1; gg' with g = e_1 + N(0, I/100), scaled to trace 1."""

MOST_NUMBERS = 1 << 27


def random_matrices(
    ensemble: str,
    n: int,
    d: int,
    *,
    count: int = 1,
    generator: torch.Generator,
    device: str | torch.device | None = None,
) -> Tensor:
    """`count` tuples (count, n, d, d) of n independent matrices of a law in `ENSEMBLES`, float64.

    Drawn on the generator's device, and moved. BudgetExceeded beyond 2²⁷ numbers.
    """
    require_choice("ensemble", ensemble, ENSEMBLES)
    for name, value in (("n", n), ("d", d), ("count", count)):
        require_int(name, value, 1)
    if count * n * d * d > MOST_NUMBERS:
        raise BudgetExceeded(f"`count` tuples of {n} matrices of size {d} are more than {MOST_NUMBERS} numbers")
    require_instance("generator", generator, torch.Generator)
    place = require_device("device", device)
    columns = d if ensemble == "wishart" else 1
    shape, options = (count, n, d, columns), {"generator": generator, "device": generator.device}
    if ensemble == "heavy_tails":
        angle = torch.rand(shape, dtype=torch.float64, **options) - 0.5
        G = torch.tan(torch.pi * angle)
    else:
        G = torch.randn(shape, dtype=torch.float64, **options)
    if ensemble == "near_collinear":
        G = G / 10
        G[..., 0, :] += 1
    if ensemble in ("heavy_tails", "near_collinear", "kaczmarz"):
        G = G / torch.linalg.vector_norm(G, dim=-2, keepdim=True)
    A = G @ G.mT
    if ensemble == "wishart":
        A = A / d
    if ensemble == "kaczmarz":
        A = torch.eye(d, dtype=torch.float64, device=A.device) - A
    return A.to(place)
