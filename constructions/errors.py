"""Errors of the construction API, and the small argument checks that raise them.

A message names the argument, the requirement and the value received. torch is imported where a tensor is looked at:
the command line must be able to say no before it.

Main definitions: `ExpressionError`, `ModulusViolation`, `BudgetExceeded`, `StoreError`, `RankLost`, `RankFailed`,
`require_*`, `shown`.
"""

from __future__ import annotations

import math
import os
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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


class RankLost(RuntimeError):
    """Another process died or stopped answering."""


class RankFailed(RuntimeError):
    """Another process reported an error; this one stops with it."""


def require_positive(name: str, value: Any, *, allow_zero: bool = False) -> float | Fraction:
    """`value` as given, if it is a finite real number > 0 (≥ 0 with `allow_zero`) that a float can hold; ValueError
    otherwise."""
    is_real = isinstance(value, (int, float, Fraction)) and not isinstance(value, bool)
    if is_real and _fits_a_float(value) and (value > 0 or (allow_zero and value == 0)):
        return value
    requirement = "non-negative" if allow_zero else "positive"
    raise ValueError(f"`{name}` must be a {requirement} finite number, got {shown(value)}")


def _fits_a_float(value: float | Fraction) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer or a fraction beyond the largest float
        return False


def require_tensor(name: str, value: Any, shape: str) -> Tensor:
    """`value` if it is a dense floating or integer torch.Tensor; TypeError that says which `shape` is wanted."""
    import torch
    from torch import Tensor

    if isinstance(value, Tensor) and value.layout == torch.strided and not value.is_complex() and not value.is_meta:
        return value
    got = (
        f"a {value.layout} tensor of {value.dtype} on {value.device}"
        if isinstance(value, Tensor)
        else type(value).__name__
    )
    raise TypeError(f"`{name}` must be a dense real torch.Tensor of shape {shape}, got {got}")


def require_int(name: str, value: Any, low: int, high: int | None = None) -> int:
    """`value` as an int in [low, high]; ValueError otherwise."""
    is_int = isinstance(value, int) and not isinstance(value, bool)
    if is_int and value >= low and (high is None or value <= high):
        return value
    span = f"at least {low}" if high is None else f"between {low} and {high}"
    raise ValueError(f"`{name}` must be an integer {span}, got {shown(value)}")


def require_bool(name: str, value: Any) -> bool:
    """`value` if it is True or False; TypeError otherwise."""
    if isinstance(value, bool):
        return value
    raise TypeError(f"`{name}` must be True or False, got {shown(value)}")


def require_choice(name: str, value: Any, choices: tuple[str, ...]) -> str:
    """`value` if it is one of `choices`; ValueError otherwise."""
    if isinstance(value, str) and value in choices:
        return value
    raise ValueError(f"`{name}` must be one of {', '.join(choices)}, got {shown(value)}")


def require_instance(name: str, value: Any, kinds: type | tuple[type, ...]) -> Any:
    """`value` if it is an instance of `kinds`; TypeError otherwise."""
    if isinstance(value, kinds):
        return value
    every = kinds if isinstance(kinds, tuple) else (kinds,)
    wanted = " or ".join(("None" if k is type(None) else k.__name__) for k in every)
    raise TypeError(f"`{name}` must be a {wanted}, got {type(value).__name__}")


def require_path(name: str, value: Any) -> Path:
    """`value` as a Path if it is one, or a string; TypeError otherwise."""
    if isinstance(value, (str, os.PathLike)) and isinstance(os.fspath(value), str):
        return Path(value)
    raise TypeError(f"`{name}` must be a path or a string that names one, got {type(value).__name__}")


LARGEST_SEED = 2**63 - 1


def require_seed(name: str, value: Any) -> int:
    """`value` as a seed that torch and numpy both take; ValueError otherwise."""
    return require_int(name, value, 0, LARGEST_SEED)


def require_device(name: str, value: Any) -> torch.device:
    """A torch.device (the CPU for None) on which a tensor can be made; TypeError or ValueError otherwise."""
    import torch

    if value is None:
        return torch.device("cpu")
    if not isinstance(value, (str, torch.device)):
        raise TypeError(f"`{name}` must be a torch.device or its name, got {type(value).__name__}")
    try:
        device = torch.device(value)
        torch.zeros(1, device=device).item()  # the meta device holds no numbers
    except (RuntimeError, AssertionError, NotImplementedError, ValueError) as err:
        why = str(err).splitlines()[0][:200] if str(err) else type(err).__name__
        raise ValueError(f"`{name}` must be a device that torch can use here, got {shown(value)} ({why})") from err
    return device


def shown(value: Any) -> str:
    """`value` as an error message quotes it: short, whatever it is."""
    try:
        text = repr(value)
    except Exception:  # also an integer too long to print (ValueError), or a broken __repr__
        text = f"an object of type {type(value).__name__} that cannot be printed"
    text = " ".join(text.split())
    return text if len(text) <= 120 else f"{text[:80]}… ({len(text)} characters)"


def require_points(name: str, x: Any, n: int) -> Tensor:
    """`x` if it is a floating tensor of shape (B, n); TypeError or ValueError otherwise."""
    import torch
    from torch import Tensor

    if not isinstance(x, Tensor):
        raise TypeError(f"`{name}` must be a torch.Tensor of shape (B, {n}), got {type(x).__name__}")
    if x.ndim != 2 or x.shape[1] != n:
        raise ValueError(f"`{name}` must have shape (B, {n}), got {tuple(x.shape)}")
    if not x.is_floating_point():
        raise TypeError(f"`{name}` must be a floating tensor, got dtype {x.dtype}")
    if x.layout != torch.strided or x.is_meta:
        raise TypeError(f"`{name}` must be a dense tensor that holds numbers, got {x.layout} on {x.device}")
    return x


def require_cloud(name: str, points: Any) -> Tensor:
    """`points` (N, n), N and n at least 1, as finite float64; TypeError or ValueError otherwise."""
    import torch
    from torch import Tensor

    if not isinstance(points, Tensor) or points.layout != torch.strided or points.is_complex() or points.is_meta:
        raise TypeError(f"`{name}` must be a torch.Tensor of shape (N, n), got {type(points).__name__}")
    if points.ndim != 2 or not points.numel():
        raise ValueError(f"`{name}` must have shape (N, n) with N, n at least 1, got {tuple(points.shape)}")
    cloud = points.detach().double()
    bad = ~torch.isfinite(cloud).all(-1)
    if bool(bad.any()):
        row = first_row(bad)
        raise ValueError(f"`{name}` must be finite, row {row} is {cloud[row].tolist()}")
    return cloud


def first_row(mask: Tensor) -> int:
    """Index of the first True entry of a 1-D mask (B,) that has one."""
    import torch

    return int(torch.argmax(mask.to(torch.uint8)))
