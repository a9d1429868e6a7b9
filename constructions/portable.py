"""What a kind of model must say of itself to be exported: a function without checks, and how far a copy may be.

Main definitions: `Portable`, `plain_answers`, `apart`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import singledispatch
from typing import Any

import torch
from torch import Tensor, nn

UNITS = {torch.float64: (2.0**-53, 2.0**-1022), torch.float32: (2.0**-24, 2.0**-126)}
"""Unit roundoff and smallest normal number."""


@singledispatch
def plain_answers(model: Any) -> Callable[[Tensor], Tensor]:
    """The model's answers (B, m) at points (B, n) of its box, in operations that look at no value: what torch.export
    can trace. The same operations in the same order. Registered beside each kind of model."""
    raise _unknown(model)


@singledispatch
def apart(model: Any, x: Tensor) -> Tensor:
    """Upper bounds (B,) of how far two evaluations of the model's operations at x (B, n) may be from one another, that
    ask the same expert: sums in any order, products and sums fused or not. 0 where only the operations as they are
    written give the model's answers. Registered beside each kind of model."""
    raise _unknown(model)


def _unknown(model: Any) -> TypeError:
    return TypeError(f"`model` must be a MoMLP, a TabulatedMoMLP or a TrainedMoMLP, got {type(model).__name__}")


class Portable(nn.Module):
    """A model of any kind on the box [lo, hi] (n,): x (B, n) float64 -> (B, m), NaN for points outside."""

    lo: Tensor
    hi: Tensor

    def __init__(self, model: nn.Module, lo: Tensor, hi: Tensor):
        super().__init__()
        self.model = model
        self.register_buffer("lo", lo)
        self.register_buffer("hi", hi)
        self._answers = plain_answers(model)

    def forward(self, x: Tensor) -> Tensor:
        inside = ((x >= self.lo) & (x <= self.hi)).all(-1, keepdim=True)
        y = self._answers(torch.where(inside, x, self.lo))
        return torch.where(inside, y, torch.nan)
