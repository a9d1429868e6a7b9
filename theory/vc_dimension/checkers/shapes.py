"""What points, labels, forms and stacked layers must be before anything is computed with them.

Shapes and lengths come first, so that nothing can be broadcast; then finite numbers that float64 holds exactly.

Main definitions: `require_points`, `require_labels`, `require_layers`, `layers_fault`, `numbers_fault`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from constructions.vc_dimension.shattered_set import Layers
from theory import exact

REAL = (torch.float64, torch.float32, torch.float16, torch.bfloat16)
WHOLE = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)
LARGEST_EXACT = 2**53

Shape = Sequence[int | None]
"""Sizes of a tensor's axes; None stands for any size ≥ 1."""


def numbers_fault(name: str, tensor: object, shape: Shape, *, whole: bool = False, finite: bool = True) -> str | None:
    """Why `tensor` is not a tensor of this shape with finite real numbers (or integers) that float64 holds, or None.

    `finite=False` leaves NaN and inf to the caller.
    """
    if not isinstance(tensor, Tensor):
        return f"`{name}` must be a torch.Tensor, got {type(tensor).__name__}"
    if not fits(tensor.shape, shape):
        return f"`{name}` must have shape {_shown(shape)}, got {tuple(tensor.shape)}"
    if tensor.dtype in WHOLE:
        # −2⁵³ ≤ v ≤ 2⁵³ in the tensor's own integers: abs() of the least int64 is negative
        if tensor.dtype is torch.int64 and (int(tensor.max()) > LARGEST_EXACT or int(tensor.min()) < -LARGEST_EXACT):
            return f"`{name}` must be integers up to 2^53, got {_largest(tensor)}"
        return None
    if whole or tensor.dtype not in REAL:
        wanted = "integers" if whole else "real numbers"
        return f"`{name}` must be {wanted}, got dtype {tensor.dtype}"
    if finite and not bool(torch.isfinite(tensor).all()):
        return f"`{name}` must be finite, got {float(tensor[~torch.isfinite(tensor)][0])}"
    return None


def require_numbers(name: str, tensor: object, shape: Shape, *, whole: bool = False) -> Tensor:
    """`tensor` if there is no `numbers_fault`; ValueError otherwise."""
    fault = numbers_fault(name, tensor, shape, whole=whole)
    if fault is not None:
        raise ValueError(fault)
    assert isinstance(tensor, Tensor)
    return tensor


def require_points(name: str, points: object, n: int | None = None) -> Tensor:
    """`points` (k, n), k, n ≥ 1, finite and exact in float64; ValueError otherwise, and where denormals are flushed."""
    exact.require_denormals()
    return require_numbers(name, points, (None, n))


def require_labels(name: str, labels: object, shape: Shape) -> Tensor:
    """`labels` as bool of this shape (no axis of size 0 unless asked for); ValueError for anything but 0 and 1."""
    if isinstance(labels, Tensor) and fits(labels.shape, shape):
        if labels.dtype is torch.bool:
            return labels
        if labels.dtype in WHOLE and bool(((labels == 0) | (labels == 1)).all()):
            return labels.bool()
    got = f"{labels.dtype} {tuple(labels.shape)}" if isinstance(labels, Tensor) else type(labels).__name__
    raise ValueError(f"`{name}` must be labels 0 and 1 of shape {_shown(shape)}, got {got}")


def layers_fault(layers: object, count: int, inputs: int, *, finite: bool = True) -> str | None:
    """Why `layers` are not stacked layers of `count` networks with these inputs and one output, or None.

    `finite=False` leaves NaN and inf to the caller.
    """
    if not isinstance(layers, (list, tuple)) or not layers:
        return f"`layers` must be at least one pair of weights and biases, got {type(layers).__name__} of none"
    for i, layer in enumerate(layers):
        if not isinstance(layer, (list, tuple)) or len(layer) != 2:
            return f"`layers[{i}]` must be a pair of weights and biases, got {type(layer).__name__}"
        weight, bias = layer
        fault = numbers_fault(f"layers[{i}][0]", weight, (None, None, inputs), finite=finite)
        fault = fault or numbers_fault(f"layers[{i}][1]", bias, (None, weight.shape[1]), finite=finite)
        if fault is not None:
            return fault
        if not {len(weight), len(bias)} <= {1, count}:
            return f"`layers[{i}]` must hold 1 or {count} networks, got {len(weight)} weights and {len(bias)} biases"
        inputs = weight.shape[1]
    return None if inputs == 1 else f"`layers` must end with one output, got {inputs}"


def require_layers(layers: object, count: int, inputs: int) -> Layers:
    """`layers` in float64 if there is no `layers_fault`; ValueError otherwise."""
    fault = layers_fault(layers, count, inputs)
    if fault is not None:
        raise ValueError(fault)
    assert isinstance(layers, (list, tuple))
    return [(weight.double(), bias.double()) for weight, bias in layers]


def fits(found: Sequence[int], shape: Shape) -> bool:
    """Whether sizes are the wanted ones, None standing for any size ≥ 1."""
    return len(found) == len(shape) and all(
        size >= 1 if want is None else size == want for size, want in zip(found, shape, strict=True)
    )


def _shown(shape: Shape) -> str:
    return f"({', '.join('≥ 1' if size is None else str(size) for size in shape)})"


def _largest(values: Tensor) -> int:
    return max(int(values.max()), int(values.min()), key=abs)
