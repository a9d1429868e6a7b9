"""Gradient search for matrices with a large ratio.

Main definition: `worst_case_search`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from constructions.am_gm.expectation import expected_product, ratio
from constructions.errors import (
    BudgetExceeded,
    require_bool,
    require_choice,
    require_device,
    require_instance,
    require_int,
)

LETTERS = 10
MOST_NUMBERS = 1 << 24  # restarts × n × d²
RATE = 0.03


def worst_case_search(
    n: int,
    d: int,
    k: int,
    *,
    nested: bool = False,
    side: str = "lower",
    steps: int = 300,
    restarts: int = 8,
    generator: torch.Generator,
    device: str | torch.device | None = None,
) -> tuple[Tensor, Tensor]:
    """The largest ratio () found, and its positive semidefinite matrices (n, d, d) scaled to ‖mean‖ = 1.

    Adam on A_i = B_iB_i' from `restarts` random starts pushes the end `side` of the spectrum of the mean without
    repetition out ("lower" or "upper"; the nested mean has only an upper end). A search: it proves no bound.
    """
    require_int("n", n, 1, LETTERS)
    require_int("d", d, 1)
    require_int("k", k, 1, n)
    require_bool("nested", nested)
    require_choice("side", side, ("lower", "upper"))
    require_int("steps", steps, 1, 10**6)
    require_int("restarts", restarts, 1)
    require_instance("generator", generator, torch.Generator)
    if restarts * n * d * d > MOST_NUMBERS:
        raise BudgetExceeded(f"`restarts` × {n} matrices of size {d} are more than {MOST_NUMBERS} numbers")
    place = require_device("device", device)
    shape = (restarts, n, d, d)
    B = torch.randn(shape, dtype=torch.float64, generator=generator, device=generator.device).to(place)
    B.requires_grad_(True)
    optimizer = torch.optim.Adam([B], lr=RATE)
    for _ in range(steps):
        optimizer.zero_grad()
        (-_objective(B @ B.mT, k, nested, side).sum()).backward()
        optimizer.step()
    with torch.no_grad():
        A = B @ B.mT
        A = A / torch.linalg.eigvalsh(A.mean(1))[:, -1][:, None, None, None]
        found = ratio(A, k, nested=nested)
        best = int(found.argmax())
    return found[best], A[best]


def _objective(A: Tensor, k: int, nested: bool, side: str) -> Tensor:
    """The end of the spectrum (restarts,), as a share of the norm with replacement."""
    values = torch.linalg.eigvalsh(expected_product(A, k, nested=nested))
    repeated = torch.linalg.eigvalsh(expected_product(A, k, nested=nested, replacement=True))[:, -1]
    return (values[:, -1] if nested or side == "upper" else -values[:, 0]) / repeated
