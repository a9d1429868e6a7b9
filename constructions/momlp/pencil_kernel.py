"""Answering points by pencils without gathering their weights, on the CPU: a kernel of the extra `fast`.

Main definition: `run`.
Implementation notes: every expert's row is read where it lies, one point after another. The operations are those of
torch's way (`PencilMoMLP.run_experts`) in the same order, none of them fused: equal bits, whatever the batch.
"""

from __future__ import annotations

import sys

import numpy as np
import torch
from torch import Tensor
from torch.autograd import forward_ad

from constructions.compiled import in_threads, loops

LEAST_NUMBERS = 1 << 20
"""Products that are worth a thread, or half a second in which numba is imported."""
DTYPES = (torch.float64, torch.float32)
INSTEAD = "experts answer in torch's operations, several times slower"


def run(
    x: Tensor,
    at: Tensor,
    weight: Tensor,
    bias: Tensor,
    *,
    hidden_weight: Tensor,
    hidden_bias: Tensor,
    slope: Tensor | None,
) -> Tensor | None:
    """Outputs (B, m) of points x (B, a) by the experts at (B,) of weights (L, m, K) and biases (L, m), with the first
    layer (K, a); None where torch's operations have to do it: without numba, for few points, elsewhere than on the CPU,
    for derivatives and in transforms."""
    knots = len(hidden_bias)
    m = bias.shape[1]
    tensors = [x, weight, bias, hidden_weight, hidden_bias, *([] if slope is None else [slope])]
    numbers = len(x) * m * knots
    few = numbers < LEAST_NUMBERS and sys.modules.get("numba") is None
    if not numbers or few or not hidden_weight.shape[1] or not _plain(tensors, at):
        return None
    compiled = loops("constructions.momlp.pencil_loops", INSTEAD)
    if compiled is None or not (_whole(weight, knots) and _whole(bias, 1)):
        return None
    try:
        flat = [t.detach().as_strided(((len(t) - 1) * t.stride(0) + t[0].numel(),), (1,)) for t in (weight, bias)]
        points, first, shift, bend, rows, constants, places = (
            t.detach().numpy()
            for t in (
                x.contiguous(),
                hidden_weight.t().contiguous(),
                hidden_bias.contiguous(),
                hidden_bias[:0] if slope is None else slope.contiguous(),
                *flat,
                at.contiguous(),
            )
        )
    except RuntimeError:  # wrapped by a transform
        return None
    # numpy asks the system for large pages, which are there sooner than torch's small ones
    y = np.empty(len(x) * m, dtype=shift.dtype)
    layout = np.array([weight.stride(0), bias.stride(0), len(bias), m])

    def part(start: int, end: int) -> bool:
        return compiled.answer(points, first, shift, bend, rows, constants, layout, places, y, start, end)

    done = in_threads(part, len(x), LEAST_NUMBERS // (m * knots))
    return torch.from_numpy(y).reshape(-1, m) if done else None


def _plain(tensors: list[Tensor], at: Tensor) -> bool:
    """Whether all are numbers of one kind on the CPU, and nobody asks for their derivatives."""
    dtype, graph = tensors[0].dtype, torch.is_grad_enabled()
    if dtype not in DTYPES or at.dtype != torch.int64 or at.device.type != "cpu":
        return False
    return not any(
        t.dtype != dtype
        or t.device.type != "cpu"
        or (graph and t.requires_grad)
        or forward_ad.unpack_dual(t).tangent is not None
        for t in tensors
    )


def _whole(rows: Tensor, step: int) -> bool:
    """Whether the numbers of a row (m, …) lie one after another, `step` of them to an output."""
    wanted = (step, 1)[: rows.ndim - 1]
    return len(rows) > 0 and all(
        size == 1 or found == right
        for size, found, right in zip(rows.shape[1:], rows.stride()[1:], wanted, strict=True)
    )
