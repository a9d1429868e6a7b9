"""Numpy arrays where tensors are taken: they come in as float64 (classes as int64), and answers go out as they came in.

Main definitions: `tensor_of`, `predicted`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor


def tensor_of(name: str, value: Any, *, integers: bool = False) -> Any:
    """A real numpy array as a float64 tensor, with `integers` one of integers as int64 (and of booleans as it is);
    TypeError for other arrays. What is no numpy array is returned as it is."""
    if not isinstance(value, np.ndarray):
        return value
    kinds = "iub" if integers else "fiub"
    if value.dtype.kind not in kinds:
        wanted = "integers" if integers else "real numbers"
        raise TypeError(f"`{name}` must be an array of {wanted}, got {value.dtype} {value.shape}")
    dtype = bool if integers and value.dtype.kind == "b" else np.int64 if integers else np.float64
    return torch.from_numpy(np.array(value, dtype=dtype))  # a copy: the array may be read-only, or written to later


def predicted(answer: Callable[[Tensor], Tensor], x: Tensor | np.ndarray, device: torch.device) -> Any:
    """`answer` at points x (B, n): for a tensor what it is, for a numpy array one on the host, without gradients."""
    if not isinstance(x, np.ndarray):
        return answer(x)
    with torch.no_grad():
        return answer(tensor_of("x", x).to(device)).cpu().numpy()
