"""Errors of the construction API, and the small argument checks that raise them.

A message names the argument, the requirement and the value received.

Main definitions: `ExpressionError`, `ModulusViolation`, `BudgetExceeded`, `StoreError`, `require_*`.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import torch
from torch import Tensor


class ExpressionError(ValueError):
    """A string or sympy expression is outside the accepted language."""


class ModulusViolation(ValueError):
    """The data contradict the declared modulus of continuity.

    Attributes: `first`, `second` (the two points, tuples of floats; equal for a gradient witness),
    `observed` (the ratio |Δf|/ω(distance), or the gradient norm) and `declared` (what it must not exceed).
    """

    def __init__(self, message: str, *, first: tuple, second: tuple, observed: float, declared: float):
        super().__init__(message)
        self.first, self.second = first, second
        self.observed, self.declared = observed, declared


class BudgetExceeded(ValueError):
    """The requested object does not fit the byte or node budget it was given."""


class StoreError(ValueError):
    """A model file is truncated, altered, or not one of ours."""


def require_positive(name: str, value: Any, *, allow_zero: bool = False) -> float | Fraction:
    """`value` as given, if it is a finite real number > 0 (≥ 0 with `allow_zero`); ValueError otherwise."""
    is_real = isinstance(value, (int, float, Fraction)) and not isinstance(value, bool)
    if is_real and math.isfinite(value) and (value > 0 or (allow_zero and value == 0)):
        return value
    requirement = "non-negative" if allow_zero else "positive"
    raise ValueError(f"`{name}` must be a {requirement} finite number, got {value!r}")


def require_int(name: str, value: Any, low: int, high: int | None = None) -> int:
    """`value` as an int in [low, high]; ValueError otherwise."""
    is_int = isinstance(value, int) and not isinstance(value, bool)
    if is_int and value >= low and (high is None or value <= high):
        return value
    span = f"at least {low}" if high is None else f"between {low} and {high}"
    raise ValueError(f"`{name}` must be an integer {span}, got {value!r}")


def require_choice(name: str, value: Any, choices: tuple[str, ...]) -> str:
    """`value` if it is one of `choices`; ValueError otherwise."""
    if value in choices:
        return value
    raise ValueError(f"`{name}` must be one of {', '.join(choices)}, got {value!r}")


def require_points(name: str, x: Any, n: int) -> Tensor:
    """`x` if it is a floating tensor of shape (B, n); TypeError or ValueError otherwise."""
    if not isinstance(x, Tensor):
        raise TypeError(f"`{name}` must be a torch.Tensor of shape (B, {n}), got {type(x).__name__}")
    if x.ndim != 2 or x.shape[1] != n:
        raise ValueError(f"`{name}` must have shape (B, {n}), got {tuple(x.shape)}")
    if not x.is_floating_point():
        raise TypeError(f"`{name}` must be a floating tensor, got dtype {x.dtype}")
    return x


def first_row(mask: Tensor) -> int:
    """Index of the first True entry of a 1-D mask (B,) that has one."""
    return int(torch.argmax(mask.to(torch.uint8)))
