"""Orthogonal transforms of chunks: cosines, Hadamard's signs, the identity, random rotations, or one's own.

Main definitions: `Basis`, `basis`, `dct_matrix`, `hadamard_matrix`, `random_orthogonal_matrix`, `TRANSFORMS`.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor

from constructions.errors import require_int, require_seed, shown

TRANSFORMS = ("dct", "identity", "hadamard", "random_orthogonal")
ORTHOGONAL_TO = 1e-5

Transform = str | Callable[[int], Tensor]


def require_transform(name: str, value: Any) -> Transform:
    """`value` if it is one of TRANSFORMS or can be called; ValueError otherwise."""
    if callable(value):
        return cast(Transform, value)
    if isinstance(value, str) and value in TRANSFORMS:
        return value
    raise ValueError(f"`{name}` must be one of {', '.join(TRANSFORMS)} or a function, got {shown(value)}")


def dct_matrix(size: int) -> Tensor:
    """The orthonormal DCT-II (size, size) in float64: row k is √(2/N)·cos(π(2j+1)k/2N), row 0 divided by √2.

    The angle is reduced in integers, so an entry is 0 exactly where it is 0, and rows are exactly even or odd.
    """
    n = require_int("size", size, 1)
    k, j = torch.arange(n)[:, None], torch.arange(n)[None, :]
    quarter = (2 * j + 1) * k % (4 * n)  # in units of a quarter turn / n
    quarter = torch.minimum(quarter, 4 * n - quarter)  # the cosine is even: half a turn is left
    sign = torch.where(quarter > n, -1.0, 1.0).double()
    quarter = torch.minimum(quarter, 2 * n - quarter)
    entries = sign * torch.cos(quarter.double() * (math.pi / (2 * n))) * math.sqrt(2 / n)
    entries[quarter == n] = 0.0
    entries[0] = 1 / math.sqrt(n)
    return entries


def hadamard_matrix(size: int) -> Tensor:
    """(−1)^popcount(i & j) as float64 (size, size), a power of two; divided by √size it is orthogonal."""
    n = require_int("size", size, 1)
    if n & (n - 1):
        raise ValueError(f"`size` must be a power of two, got {n}")
    signs, two = torch.ones(1, 1, dtype=torch.float64), torch.tensor([[1.0, 1.0], [1.0, -1.0]], dtype=torch.float64)
    while len(signs) < n:
        signs = torch.kron(two, signs)
    return signs


def random_orthogonal_matrix(size: int, seed: int = 0) -> Tensor:
    """An orthogonal float64 matrix (size, size), uniformly distributed, the same for the same `seed`."""
    n, start = require_int("size", size, 1), require_seed("seed", seed)
    generator = torch.Generator().manual_seed(start)
    q, r = torch.linalg.qr(torch.randn(n, n, dtype=torch.float64, generator=generator))
    return q * torch.where(r.diagonal() < 0, -1.0, 1.0)


@dataclass(frozen=True)
class Basis:
    """T = left ⊗ right·scale for chunks (h, w): left (h, h), right (w, w). None stands for the identity.

    Signs with one scale for both sides keep dyadic numbers dyadic under Hadamard's transform where h·w is a power of 4.
    """

    left: Tensor | None
    right: Tensor | None
    scale: float = 1.0

    def forward(self, x: Tensor) -> Tensor:
        """Coefficients (C, h, w) of chunks x (C, h, w)."""
        return self._apply(x, self.left, None if self.right is None else self.right.T)

    def inverse(self, c: Tensor) -> Tensor:
        """The chunks (C, h, w) with coefficients c (C, h, w)."""
        return self._apply(c, None if self.left is None else self.left.T, self.right)

    def _apply(self, x: Tensor, left: Tensor | None, right: Tensor | None) -> Tensor:
        if right is not None:
            x = x @ right
        if left is not None:
            x = left @ x
        return x if self.scale == 1.0 else x * self.scale

    @property
    def rounds(self) -> bool:
        """Whether numbers are changed at all."""
        return self.left is not None or self.right is not None

    def digest(self) -> str:
        """A short text that is the same only for the same numbers."""
        found = hashlib.blake2b(repr(self.scale).encode(), digest_size=16)
        for matrix in (self.left, self.right):
            found.update(b"-" if matrix is None else matrix.cpu().double().contiguous().numpy().tobytes())
        return found.hexdigest()

    def to(self, *, device: torch.device, dtype: torch.dtype) -> Basis:
        """The same on `device` in `dtype`."""
        left, right = (None if m is None else m.to(device=device, dtype=dtype) for m in (self.left, self.right))
        return Basis(left, right, self.scale)


def basis(
    transform: Transform,
    height: int,
    width: int,
    *,
    seed: int = 0,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float64,
) -> Basis:
    """The transform of chunks (height, width) by its name, or by a function d ↦ orthogonal (d, d) tensor."""
    place = torch.device(device)
    require_transform("transform", transform)
    if transform == "identity":
        return Basis(None, None)
    if transform == "hadamard":
        for side in (height, width):
            if side & (side - 1):
                raise ValueError(
                    f"`transform` 'hadamard' needs chunk sides that are powers of two, got {height}×{width}"
                )
        signs = Basis(_side(hadamard_matrix, height), _side(hadamard_matrix, width), 1 / math.sqrt(height * width))
        return signs.to(device=place, dtype=dtype)
    make: Callable[[int], Tensor]
    if transform == "dct":
        make = dct_matrix
    elif transform == "random_orthogonal":
        make = lambda size: random_orthogonal_matrix(size, seed)  # noqa: E731
    else:
        make = lambda size: _own_matrix(transform, size, dtype)  # noqa: E731
    return Basis(_side(make, height), _side(make, width)).to(device=place, dtype=dtype)


def _side(make: Callable[[int], Tensor], size: int) -> Tensor | None:
    """None where the matrix is (1): nothing is to be multiplied."""
    matrix = make(size)
    return None if size == 1 and bool(matrix[0, 0] == 1) else matrix


def _own_matrix(transform: Any, size: int, dtype: torch.dtype) -> Tensor:
    """transform(size), when it is orthogonal in `dtype`."""
    wanted = f"`transform` must return a floating ({size}, {size}) tensor for {size}"
    try:
        matrix = transform(size)
    except Exception as error:
        raise ValueError(f"{wanted}, it raised {type(error).__name__}: {error}") from error
    if not isinstance(matrix, Tensor):
        raise ValueError(f"{wanted}, got {type(matrix).__name__}")
    dense = matrix.layout == torch.strided and not matrix.is_meta
    if not dense or tuple(matrix.shape) != (size, size) or not matrix.is_floating_point():
        got = f"{matrix.dtype}, {matrix.layout} on {matrix.device}"
        raise ValueError(f"{wanted}, got {tuple(matrix.shape)}, {got}")
    rounded = matrix.detach().cpu().to(dtype).double()
    off = float((rounded @ rounded.T - torch.eye(size, dtype=torch.float64)).abs().max())
    if not off <= ORTHOGONAL_TO:
        raise ValueError(f"`transform` must return an orthogonal matrix for {size}, T·Tᵀ is off by {off:.3g}")
    return rounded
