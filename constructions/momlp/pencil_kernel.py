"""Answering points by pencils without gathering their weights, on the CPU: a kernel of the extra `fast`.

Main definition: `run`.
Implementation notes: every expert's row is read where it lies, one point after another. The operations are those of
torch's way (`PencilMoMLP.run_experts`) in the same order, none of them fused: equal bits, whatever the batch.
"""

from __future__ import annotations

from types import ModuleType

import numpy as np
import torch
from torch import Tensor
from torch.autograd import forward_ad

from constructions.compiled import LEAST_NUMBERS, in_threads, loops, numbers_of, worth
from constructions.expert_rows.cache import Rows

DTYPES = (torch.float64, torch.float32)


def compiled() -> ModuleType | None:
    return loops("constructions.momlp.pencil_loops")


def run(x: Tensor, at: Tensor, rows: Rows, layer: tuple[Tensor, Tensor], slope: Tensor | None) -> Tensor | None:
    """Outputs (B, m) of points x (B, n) by the experts at (B,) of rows (output weights (L, m, K), biases (L, m)) behind
    a first layer (weight (K, n), bias (K,)), slope (K,) with PReLU; None where torch's operations have to do it:
    without numba, for few points, elsewhere than on the CPU, for derivatives and in transforms."""
    (weight, bias), shift = rows, layer[1]
    (count, m), knots = bias.shape, len(shift)
    if not worth(len(x) * m * knots) or not _plain(x, at, [*rows, *layer, *([] if slope is None else [slope])]):
        return None
    # compiled code does not look whether they fit
    fits = weight.shape == (count, m, knots) and layer[0].shape == (knots, x.shape[1]) and at.shape == x.shape[:1]
    fits = fits and (slope is None or slope.shape == shift.shape)
    if not fits or not (len(x) and count and m and knots) or not (_whole(weight, knots) and _whole(bias, 1)):
        return None
    kernel = compiled()
    strides = weight.stride(0), bias.stride(0)
    found = numbers_of(x, *layer, shift[:0] if slope is None else slope, at)
    flat = numbers_of(*rows, sizes=[(count - 1) * s + size for s, size in zip(strides, (m * knots, m), strict=True)])
    if kernel is None or found is None or flat is None:
        return None
    *first, places = found
    # numpy asks the system for large pages, which are there sooner than torch's small ones
    y = np.empty((len(x), m), dtype=first[1].dtype)

    def part(start: int, end: int) -> bool:
        return kernel.answer(*first, *flat, *strides, count, places, y, start, end)

    return torch.from_numpy(y) if in_threads(part, len(x), LEAST_NUMBERS // (m * knots)) else None


def _plain(x: Tensor, at: Tensor, weights: list[Tensor]) -> bool:
    """Whether all are numbers on the CPU, weights of one kind, and nobody asks for their derivatives."""
    dtype, graph = weights[0].dtype, torch.is_grad_enabled()
    if dtype not in DTYPES or x.dtype not in DTYPES or at.dtype != torch.int64 or at.device.type != "cpu":
        return False
    for t in (x, *weights):
        if (graph and t.requires_grad) or t.device.type != "cpu" or forward_ad.unpack_dual(t).tangent is not None:
            return False
    return all(t.dtype == dtype for t in weights)


def _whole(rows: Tensor, step: int) -> bool:
    """Whether the numbers of a row (m,) or (m, K) lie one after another, `step` of them to an output."""
    wanted = (step, 1)[: rows.ndim - 1]
    return all(
        size == 1 or found == right
        for size, found, right in zip(rows.shape[1:], rows.stride()[1:], wanted, strict=True)
    )
