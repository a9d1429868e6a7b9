"""The arithmetic of a DeMo step on chunks: what a worker keeps and sends, and the update that all decode alike.

Every function is pure: it takes and returns tensors, changes none of them, and can be compiled. The order of all sums
is fixed, so workers that read the same bytes compute the same bits.

Main definitions: `Sent`, `encode`, `decode`, `mean_over_senders`, `largest`, `working_dtype`, `zero_tolerance`,
`Compressed`, `compress`, `decompress`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from constructions.demo_optimizer.chunks import Chunks
from constructions.demo_optimizer.transforms import Basis, Transform, basis
from constructions.demo_optimizer.wire import require_wire_dtype
from constructions.errors import require_instance, require_int, require_tensor


class Sent(NamedTuple):
    """Of C chunks: flat places (C, k) and values (C, k) of the coefficients that leave, and what stays (C, h, w)."""

    places: Tensor
    values: Tensor
    residual: Tensor


def working_dtype(dtype: torch.dtype) -> torch.dtype:
    """Half precision is computed in float32, everything else in its own dtype."""
    return torch.float32 if dtype in (torch.float16, torch.bfloat16) else dtype


def largest(coefficients: Tensor, k: int) -> Tensor:
    """Places (C, k), k ≤ n, of the entries of (C, n) that are largest in absolute value, in ascending order."""
    if k == coefficients.shape[1]:
        return torch.arange(k, device=coefficients.device).expand(len(coefficients), k)
    return coefficients.abs().topk(k, dim=1, sorted=False).indices.sort(dim=1).values


def encode(
    gradient: Tensor,
    residual: Tensor,
    basis: Basis,
    *,
    rate: float | Tensor,
    decay: float | Tensor,
    k: int,
    wire_dtype: torch.dtype | None = None,
) -> Sent:
    """One worker's half of a step, on gradients and residuals (C, h, w): m = decay·residual + rate·gradient is
    transformed, its min(k, h·w) largest coefficients are sent, and what stays is m without what was *sent*: after the
    cast to `wire_dtype`, whose error is fed back in the next step."""
    momentum = residual * decay + gradient * rate
    coefficients = basis.forward(momentum).flatten(1)
    places = largest(coefficients, min(k, coefficients.shape[1]))
    values = coefficients.gather(1, places)
    if wire_dtype is not None:
        values = values.to(wire_dtype)
    kept = torch.zeros_like(coefficients).scatter(1, places, values.to(coefficients.dtype))
    return Sent(places, values, momentum - basis.inverse(kept.view_as(momentum)))


def mean_over_senders(places: Sequence[Tensor], values: Sequence[Tensor], size: int, dtype: torch.dtype) -> Tensor:
    """Coefficients (C, size) from what each worker sent, places and values (C, k): the mean over those who sent it, 0
    where nobody did.

    Added worker by worker, the first one first; none sends a place twice, so no sum depends on luck."""
    total = torch.zeros(len(places[0]), size, dtype=dtype, device=places[0].device)
    senders = torch.zeros_like(total)
    for at, sent in zip(places, values, strict=True):
        total = total.scatter(1, at, total.gather(1, at) + sent.to(dtype))
        senders = senders.scatter(1, at, senders.gather(1, at) + 1)
    return total / senders.clamp(min=1)


def zero_tolerance(height: int, width: int, dtype: torch.dtype, basis: Basis) -> float:
    """16·ε·(h + w), the rounding of the transforms; 0 for the identity, which does not round."""
    return 16 * torch.finfo(dtype).eps * (height + width) if basis.rounds else 0.0


def decode(
    places: Sequence[Tensor],
    values: Sequence[Tensor],
    basis: Basis,
    chunk: tuple[int, int],
    *,
    dtype: torch.dtype,
    zero_tol: float | None = None,
) -> Tensor:
    """The signs (C, h, w) of the step that all workers take together, from what each of them sent, in their order.

    Entries of at most `zero_tol` times the largest of their chunk count as 0 (None: `zero_tolerance`).
    """
    height, width = chunk
    coefficients = mean_over_senders(places, values, height * width, dtype)
    update = basis.inverse(coefficients.view(-1, height, width))
    tolerance = zero_tolerance(height, width, dtype, basis) if zero_tol is None else zero_tol
    size = update.abs()
    noise = size.amax(dim=(1, 2), keepdim=True) * tolerance
    return torch.where(size > noise, update.sign(), 0.0)


@dataclass(frozen=True)
class Compressed:
    """The largest coefficients of a tensor's chunks: places and values (C, k), and how to read them."""

    places: Tensor
    values: Tensor
    chunks: Chunks
    transform: Transform
    seed: int
    dtype: torch.dtype


def compress(
    x: Tensor,
    *,
    topk: int = 32,
    chunk: int | tuple[int, int] = 64,
    transform: Transform = "dct",
    seed: int = 0,
    wire_dtype: torch.dtype | None = None,
) -> Compressed:
    """The `topk` largest coefficients of every chunk of x, of any shape."""
    require_tensor("x", x, "(…)")
    k, cut, sent = require_int("topk", topk, 1), Chunks.of(x.shape, chunk), require_wire_dtype("wire_dtype", wire_dtype)
    if not x.is_floating_point():
        raise TypeError(f"`x` must be a floating tensor, got dtype {x.dtype}")
    dtype = working_dtype(x.dtype)
    turn = basis(transform, cut.height, cut.width, seed=seed, device=x.device, dtype=dtype)
    coefficients = turn.forward(cut.split(x.detach().to(dtype))).flatten(1)
    places = largest(coefficients, min(k, cut.size))
    values = coefficients.gather(1, places)
    return Compressed(places, values if sent is None else values.to(sent), cut, transform, seed, dtype)


def decompress(compressed: Compressed) -> Tensor:
    """The tensor that has these coefficients and no others, in the dtype of the transform."""
    c = require_instance("compressed", compressed, Compressed)
    turn = basis(c.transform, c.chunks.height, c.chunks.width, seed=c.seed, device=c.values.device, dtype=c.dtype)
    coefficients = torch.zeros(c.chunks.count, c.chunks.size, dtype=c.dtype, device=c.values.device)
    coefficients = coefficients.scatter(1, c.places, c.values.to(c.dtype))
    return c.chunks.join(turn.inverse(coefficients.view(-1, c.chunks.height, c.chunks.width)))
