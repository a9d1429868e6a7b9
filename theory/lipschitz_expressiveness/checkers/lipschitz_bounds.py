"""One door to all methods: a certified interval for the Lipschitz constant of a network on a box or on all of R^n.

Main definitions: `lipschitz_bounds`, `METHODS`.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from constructions.progress import Log, silent
from theory.lipschitz_expressiveness.checkers.measure import Measure
from theory.lipschitz_expressiveness.checkers.result import LipschitzBounds

METHODS = ("auto", "product", "sampled", "branch_and_bound", "patterns", "line", "lipsdp")


def lipschitz_bounds(
    module: nn.Module,
    lower: Tensor | None = None,
    upper: Tensor | None = None,
    *,
    method: str = "auto",
    measure: Measure | None = None,
    left: Tensor | None = None,
    right: Tensor | None = None,
    offset: Tensor | None = None,
    gap: float = 1e-9,
    seconds: float = 60.0,
    boxes: int = 1_000_000,
    cells: int = 100_000,
    points: int = 1_000,
    undecided: int = 8,
    input_shape: tuple[int, ...] | None = None,
    keep_cells: bool = False,
    device: torch.device | str | None = None,
    seed: int = 0,
    log: Log = silent,
) -> LipschitzBounds:
    """lower end ≤ Lip(module; box) ≤ upper end in the Euclidean norm, or sup ‖offset + left·J·right‖ of a `measure`.

    The box is lower < x < upper, both (n_0,); without it the domain is R^{n_0}.
    """
    raise NotImplementedError
