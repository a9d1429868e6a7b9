"""Gradient search for matrices with a large ratio.

Main definition: `worst_case_search`.
"""

from __future__ import annotations

import torch
from torch import Tensor


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
    """The best ratio () found and its matrices (n, d, d); `side` is which end of the spectrum is pushed out."""
    raise NotImplementedError
