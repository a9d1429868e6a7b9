"""Numpy arrays where tensors are taken: they come in as float64 (classes as int64), and answers go out as they came in.

Main definitions: `Array`, `tensor_of`, `as_given`, `predicted`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

Array = TypeVar("Array", Tensor, np.ndarray)
"""A tensor, answered by a tensor, or a numpy array, answered by one."""


def tensor_of(name: str, value: Any, *, integers: bool = False, with_complex: bool = False) -> Any:
    """A real numpy array as a float64 tensor, with `integers` one of integers as int64 (and of booleans as it is),
    `with_complex` a complex one as complex128; TypeError for other arrays. What is no numpy array is returned as it
    is."""
    if not isinstance(value, np.ndarray):
        return value
    kind = value.dtype.kind
    if kind not in ("iub" if integers else "fiubc" if with_complex else "fiub"):
        wanted = "integers" if integers else "numbers" if with_complex else "real numbers"
        raise TypeError(f"`{name}` must be an array of {wanted}, got {value.dtype} {value.shape}")
    dtype = (np.int64 if kind != "b" else bool) if integers else np.complex128 if kind == "c" else np.float64
    return torch.from_numpy(np.array(value, dtype=dtype))  # a copy: the array may be read-only, or written to later


def on_device(points: Tensor, given: Any, device: torch.device) -> Tensor:
    """The tensor of an array goes where it is needed, one that was `given` stays where it is."""
    return points.to(device) if isinstance(given, np.ndarray) else points


def as_given(answer: Tensor, given: Any) -> Any:
    """`answer`, as a numpy array on the host where `given` is one."""
    return answer.detach().cpu().numpy() if isinstance(given, np.ndarray) else answer


def predicted(answer: Callable[[Tensor], Tensor], x: Tensor | np.ndarray, device: torch.device) -> Any:
    """`answer` at points x (B, n): for a tensor what it is, for a numpy array one on the host, without gradients."""
    if not isinstance(x, np.ndarray):
        return answer(x)
    with torch.no_grad():
        return answer(tensor_of("x", x).to(device)).cpu().numpy()
