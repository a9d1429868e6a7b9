"""Learners of band-limited functions, as defined here: real trigonometric polynomials of degree ≤ K on T^r = (R/Z)^r.

Per axis the orthonormal basis is 1, √2 cos 2πkx, √2 sin 2πkx for k ≤ K; on T^r it is their tensor product, of
D = (2K + 1)^r functions. D samples determine such a function, fewer do not; samples on a grid s^r give it by a discrete
Fourier transform if s ≥ 2K + 1.

Main definitions: `NyquistLearner`, `trigonometric_basis`, `samples_needed`, `periodic_spline`, `exact_recovery`.
Notation: K bandwidth, r dimension, n samples x (n, r) in any period, y (n, o) or (n,).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import torch
from torch import Tensor

from constructions.errors import require_bool, require_cloud, require_int, require_tensor, shown

MOST_NUMBERS = 1 << 24
MOST_FUNCTIONS = 1 << 16
GRID_TOLERANCE = 1e-9
CONSISTENT = 1e-9
MOST_BANDWIDTH = 1 << 20
MOST_EXACT = 1000


def samples_needed(bandwidth: int, dimension: int = 1) -> int:
    """D = (2K + 1)^r."""
    require_int("bandwidth", bandwidth, 0, MOST_BANDWIDTH)
    return (2 * bandwidth + 1) ** require_int("dimension", dimension, 1, 64)


def trigonometric_basis(x: Tensor, bandwidth: int) -> Tensor:
    """(n, D) of points x (n, r): tensor product of 1, √2 cos 2πx, √2 sin 2πx, √2 cos 4πx, …; the last axis fastest."""
    x = require_cloud("x", x)
    if samples_needed(bandwidth, x.shape[1]) > MOST_FUNCTIONS:
        raise ValueError(f"`bandwidth` must leave at most {MOST_FUNCTIONS} functions, got {shown(bandwidth)}")
    rows = x.new_ones(len(x), 1)
    for axis in x.t():
        rows = (rows[:, :, None] * _one_axis(axis, bandwidth)[:, None, :]).flatten(1)
    return rows


def _one_axis(x: Tensor, bandwidth: int) -> Tensor:
    angle = 2 * math.pi * torch.arange(1, bandwidth + 1, device=x.device, dtype=x.dtype) * (x - x.floor())[:, None]
    waves = torch.stack([angle.cos(), angle.sin()], -1).flatten(1) * math.sqrt(2)
    return torch.cat([torch.ones_like(x)[:, None], waves], 1)


def _real_from_complex(bandwidth: int, device) -> Tensor:
    """(2K + 1, 2K + 1): coefficients of e^{2πikx}, k = −K … K, to those of the real basis."""
    matrix = torch.zeros(2 * bandwidth + 1, 2 * bandwidth + 1, dtype=torch.complex128)
    matrix[0, bandwidth] = 1
    for k in range(1, bandwidth + 1):
        for sign in (1, -1):
            matrix[2 * k - 1, bandwidth + sign * k] = 1 / math.sqrt(2)
            matrix[2 * k, bandwidth + sign * k] = torch.tensor(sign * 1j / math.sqrt(2), dtype=matrix.dtype)
    return matrix.to(device)


class NyquistLearner:
    """Fits the band-limited function of samples; with `unknown=True` that of the least bandwidth up to K.

    After `fit`: `coefficients` (D, o) in the orthonormal basis, `condition` of the sampled basis (1 on a grid),
    `variance_factor` tr((BᵀB)⁻¹) (the expected squared error by noise of variance 1 and known bandwidth), `degree` (the
    bandwidth used) and `informative` (whether more samples than D say that it suffices).
    """

    def __init__(self, bandwidth: int, dimension: int = 1, *, unknown: bool = False):
        self.bandwidth, self.dimension = bandwidth, dimension
        self.unknown = require_bool("unknown", unknown)
        needed = samples_needed(bandwidth, dimension)
        if needed > MOST_FUNCTIONS:
            raise ValueError(
                f"`bandwidth` must leave at most {MOST_FUNCTIONS} functions, got (2·{bandwidth} + 1)^{dimension}"
            )
        self.coefficients: Tensor | None = None

    @property
    def samples_needed(self) -> int:
        """(2K + 1)^r."""
        return samples_needed(self.bandwidth, self.dimension)

    def fit(self, x: Tensor, y: Tensor) -> NyquistLearner:
        """From samples x (n, r) and y (n,) or (n, o). ValueError for n < (2K + 1)^r when K is known, for nodes that do
        not determine the function, and, with `unknown`, where no degree explains the samples."""
        x, y = self._samples(x, y)
        if not self.unknown:
            if len(x) < self.samples_needed:
                raise ValueError(
                    f"`x` must be {self.samples_needed} points or more at bandwidth {self.bandwidth}, got {len(x)}"
                )
            self._solve(x, y, self.bandwidth)
            return self
        for degree in range(self.bandwidth + 1):
            if samples_needed(degree, self.dimension) > len(x):
                break
            self._solve(x, y, degree)
            gap = float((self.predict(x).view_as(y) - y).abs().max())
            if gap <= CONSISTENT * max(1.0, float(y.abs().max())):
                return self
        self.coefficients = None
        raise ValueError(
            f"`y` must be samples of a function of bandwidth {self.bandwidth} at most, these {len(x)} are not"
        )

    def _samples(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        x = require_cloud("x", x)
        if x.shape[1] != self.dimension:
            raise ValueError(f"`x` must have shape (n, {self.dimension}), got {tuple(x.shape)}")
        require_tensor("y", y, "(n,) or (n, o)")
        if y.ndim not in (1, 2) or len(y) != len(x) or not y.numel() or not bool(torch.isfinite(y).all()):
            raise ValueError(f"`y` must be finite of shape ({len(x)},) or ({len(x)}, o), got {tuple(y.shape)}")
        self._flat = y.ndim == 1
        return x, y.detach().double().to(x.device).view(len(x), -1)

    def _solve(self, x: Tensor, y: Tensor, degree: int) -> None:
        place, side = _grid_places(x)
        if place is not None and side >= 2 * degree + 1:
            values = torch.empty_like(y)
            values[place] = y
            self.coefficients = _transform(values, side, self.dimension, degree)
            self.condition, self.variance_factor = 1.0, samples_needed(degree, self.dimension) / len(x)
        else:
            basis = trigonometric_basis(x, degree)
            orthogonal, triangle = torch.linalg.qr(basis)
            spread = torch.linalg.svdvals(triangle)
            if not float(spread[-1]) > len(x) * torch.finfo(x.dtype).eps * float(spread[0]):
                raise ValueError(f"`x` must determine a function of bandwidth {degree}, these {len(x)} points do not")
            self.condition = float(spread[0] / spread[-1])
            self.variance_factor = float((1 / spread**2).sum())
            self.coefficients = torch.linalg.solve_triangular(triangle, orthogonal.t() @ y, upper=True)
        self.degree = degree
        self.informative = len(x) > samples_needed(degree, self.dimension)

    def predict(self, x: Tensor) -> Tensor:
        """(N,) or (N, o) at points x (N, r). ValueError before `fit`."""
        if self.coefficients is None:
            raise ValueError("`fit` must come before `predict`")
        x = require_cloud("x", x)
        if x.shape[1] != self.dimension:
            raise ValueError(f"`x` must have shape (N, {self.dimension}), got {tuple(x.shape)}")
        step = max(1, MOST_NUMBERS // len(self.coefficients))
        answers = torch.cat([trigonometric_basis(p, self.degree) @ self.coefficients for p in x.split(step)])
        return answers[:, 0] if self._flat else answers


def _grid_places(x: Tensor) -> tuple[Tensor | None, int]:
    """Where each point of a full grid {j/s}^r stands in it, the last axis fastest, and s; None for other points."""
    side = round(len(x) ** (1 / x.shape[1]))
    if side ** x.shape[1] != len(x):
        return None, side
    scaled = (x - x.floor()) * side
    whole = scaled.round()
    if not bool(((scaled - whole).abs() <= GRID_TOLERANCE).all()):
        return None, side
    place = torch.zeros(len(x), dtype=torch.int64, device=x.device)
    for axis in whole.long().remainder(side).t():
        place = place * side + axis
    full = bool((torch.bincount(place, minlength=len(x)) == 1).all())
    return (place, side) if full else (None, side)


def _transform(values: Tensor, side: int, dimension: int, degree: int) -> Tensor:
    """Real coefficients (D, o) of values (s^r, o) on the grid: ĉ_k = s^(−r) Σ_j y_j e^{−2πi k·j/s}, |k_a| ≤ degree."""
    grid = values.to(torch.complex128).view(*(side,) * dimension, -1)
    axes = tuple(range(dimension))
    spectrum = torch.fft.fftn(grid, dim=axes, norm="forward")
    frequencies = torch.arange(-degree, degree + 1, device=values.device).remainder(side)
    change = _real_from_complex(degree, values.device)
    for axis in axes:
        along = torch.movedim(spectrum.index_select(axis, frequencies), axis, -1)
        spectrum = torch.movedim(along @ change.t(), -1, axis)
    return spectrum.real.reshape(-1, values.shape[1]).contiguous()


def periodic_spline(values: Tensor, x: Tensor) -> Tensor:
    """Piecewise-linear interpolation (N,) at x (N,) of values (n,) at the nodes j/n of a circle."""
    require_tensor("values", values, "(n,)")
    require_tensor("x", x, "(N,)")
    if values.ndim != 1 or not len(values) or x.ndim != 1:
        raise ValueError(f"`values` and `x` must be one row each, got {tuple(values.shape)} and {tuple(x.shape)}")
    place = (x - x.floor()) * len(values)
    left = place.floor()
    share = place - left
    index = left.long() % len(values)  # x just below 1 may round up to n
    return values[index] * (1 - share) + values[(index + 1) % len(values)] * share


@dataclass(frozen=True)
class ExactRecovery:
    """Of n rational samples at degree K: the `rank` of the sampled basis, whether the samples are `consistent` with the
    degree, the `coefficients` of 1, cos, sin, cos 2·, sin 2·, … if they are unique, and a basis of the `kernel`:
    functions of this degree that vanish at all nodes."""

    rank: int
    consistent: bool
    coefficients: tuple[Fraction, ...] | None
    kernel: tuple[tuple[Fraction, ...], ...]


def circle_basis(bandwidth: int, t: Fraction | int) -> list[Fraction]:
    """1, cos θ, sin θ, …, cos Kθ, sin Kθ at the circle point ((1 − t²)/(1 + t²), 2t/(1 + t²)), in rationals."""
    require_int("bandwidth", bandwidth, 0, MOST_EXACT)
    (t,) = _fractions("t", [t])
    cosine, sine = (1 - t * t) / (1 + t * t), 2 * t / (1 + t * t)
    row, c, s = [Fraction(1)], Fraction(1), Fraction(0)
    for _ in range(bandwidth):
        c, s = c * cosine - s * sine, s * cosine + c * sine
        row += [c, s]
    return row


def exact_recovery(bandwidth: int, nodes: Sequence[Fraction | int], values: Sequence[Fraction | int]) -> ExactRecovery:
    """What samples `values` at the circle points of `nodes` t say about a function of degree ≤ K, by elimination in
    rationals. ValueError for other than rational numbers, or lengths that differ."""
    require_int("bandwidth", bandwidth, 0, MOST_EXACT)
    nodes, values = (_fractions(name, given) for name, given in (("nodes", nodes), ("values", values)))
    if len(nodes) != len(values):
        raise ValueError(f"`values` must be as many as `nodes`, {len(nodes)}, got {len(values)}")
    size = 2 * bandwidth + 1
    rows = [[*circle_basis(bandwidth, t), v] for t, v in zip(nodes, values, strict=True)]
    pivots = _eliminate(rows, size)
    consistent = not any(row[size] for row in rows[len(pivots) :])
    free = [c for c in range(size) if c not in pivots]
    kernel = []
    for column in free:
        vector = [Fraction(int(c == column)) for c in range(size)]
        for row, pivot in zip(rows, pivots, strict=False):
            vector[pivot] = -row[column]
        kernel.append(tuple(vector))
    unique = consistent and not free
    found = tuple(rows[i][size] for i in range(size)) if unique else None
    return ExactRecovery(len(pivots), consistent, found, tuple(kernel))


def _fractions(name: str, values: Sequence[Fraction | int]) -> list[Fraction]:
    good = isinstance(values, Sequence) and not isinstance(values, (str, bytes))
    if not good or not all(isinstance(v, (int, Fraction)) and not isinstance(v, bool) for v in values):
        raise ValueError(f"`{name}` must be rational numbers, Fractions or integers, got {shown(values)}")
    return [Fraction(v) for v in values]


def _eliminate(rows: list[list[Fraction]], columns: int) -> list[int]:
    """Reduced row echelon form, in place; the pivot columns."""
    pivots: list[int] = []
    for column in range(columns):
        top = len(pivots)
        place = next((i for i in range(top, len(rows)) if rows[i][column]), None)
        if place is None:
            continue
        rows[top], rows[place] = rows[place], rows[top]
        lead = rows[top][column]
        rows[top] = [v / lead for v in rows[top]]
        for i, row in enumerate(rows):
            if i != top and row[column]:
                factor = row[column]
                rows[i] = [a - factor * b for a, b in zip(row, rows[top], strict=True)]
        pivots.append(column)
    return pivots
