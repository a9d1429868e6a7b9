"""Is a set of points shattered? By all labelings, or by a certificate that is sound for all of them at once.

Main definitions: `shattered_exhaustively`, `shattered_by_one_hidden_layer`, `float64_is_exact`, `ShatteringReport`.
Implementation notes: networks with integer weights are exact in float64, in any order of summation, when
max over units and points of Σ|w||h| + |b| stays below 2⁵³; every evaluation here checks that on the networks it uses.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from constructions.errors import BudgetExceeded
from constructions.shattering.shattered_set import Layers, ShatteredSet

LABELINGS_PER_CHUNK = 1 << 14
LARGEST_EXACT = 2.0**53
CERTIFICATE_CHUNK = 1 << 22


@dataclass(frozen=True)
class ShatteringReport:
    """`points` shattered if there is no failure; `labelings` networks were evaluated, or a certificate of
    largest off-cluster value `worst` (it must be ≤ −1) covers all 2^points of them."""

    points: int
    labelings: int
    evaluations: int
    failure: str | None
    worst: int | None = None

    @property
    def holds(self) -> bool:
        return self.failure is None


def all_labelings(start: int, stop: int, k: int, device: torch.device) -> Tensor:
    """Labelings start … stop − 1 of k points as bool rows (B, k); bit i of the number is the label of point i."""
    numbers = torch.arange(start, stop, dtype=torch.int64, device=device)
    return ((numbers[:, None] >> torch.arange(k, device=device)) & 1).bool()


def evaluate(layers: Layers, points: Tensor) -> Tensor:
    """Outputs (B, k) of stacked networks at points (k, n), float64."""
    (first, bias), *rest = layers
    hidden = points @ first.transpose(1, 2) + bias[:, None, :]
    for weight, offset in rest:
        hidden = torch.baddbmm(offset[:, None, :], hidden.relu_(), weight.transpose(1, 2))
    return hidden[..., 0]


def float64_is_exact(layers: Layers, points: Tensor) -> bool:
    """Integer weights, and Σ|w||h| + |b| < 2⁵³ at every unit of every network."""
    if not all(bool((part == part.round()).all()) for layer in layers for part in layer):
        return False
    size = points.abs().amax(0)[None, None].expand(len(layers[0][0]), 1, -1)
    for weight, bias in layers:
        size = torch.baddbmm(bias.abs()[:, None, :], size, weight.abs().transpose(1, 2))
        if not bool((size < LARGEST_EXACT).all()):
            return False
    return True


def _distinct(points: Tensor) -> str | None:
    values, counts = torch.unique(points, dim=0, return_counts=True)
    if bool((counts > 1).any()):
        return f"the point {values[counts.argmax()].tolist()} occurs {int(counts.max())} times"
    return None


def _check(shattered: ShatteredSet, labels: Tensor, points: Tensor) -> str | None:
    """A sentence naming the labeling and the point, or None when all networks realise their labels (B, k)."""
    layers = shattered.weights(labels)
    if not float64_is_exact(layers, points):
        return "the networks' weights are not integers that float64 evaluates exactly"
    outputs = evaluate(layers, points)
    wrong = (outputs > 0) != labels
    if not bool(wrong.any()):
        return None
    row = int(wrong.any(1).int().argmax())
    column = int(wrong[row].int().argmax())
    word = "".join(map(str, labels[row].int().tolist()))
    return (
        f"labeling {word}: point {column}, {points[column].long().tolist()}, has label {int(labels[row, column])}, "
        f"the network gives {float(outputs[row, column]):g} ({int(wrong.sum())} of {wrong.numel()} wrong in this batch)"
    )


def shattered_exhaustively(
    shattered: ShatteredSet, *, max_points: int = 20, device: torch.device | str = "cpu"
) -> ShatteringReport:
    """Build and evaluate the network of every labeling; BudgetExceeded above `max_points` points."""
    k = shattered.size
    if k > max_points:
        raise BudgetExceeded(f"2^{k} labelings, more than max_points = {max_points} allows; use a certificate")
    points = shattered.points.to(device, torch.float64)
    failure = _distinct(points)
    total = 2**k
    for start in range(0, 0 if failure else total, LABELINGS_PER_CHUNK):
        labels = all_labelings(start, min(total, start + LABELINGS_PER_CHUNK), k, points.device)
        failure = _check(shattered, labels, points)
        if failure is not None:
            break
    return ShatteringReport(k, total, total * k, failure)


def shattered_by_random_labelings(shattered: ShatteredSet, count: int, generator: torch.Generator) -> ShatteringReport:
    """`count` random labelings: an extra, never a proof."""
    points = shattered.points.double()
    labels = torch.rand(count, shattered.size, generator=generator) < 0.5
    failure = _distinct(points) or _check(shattered, labels, points)
    return ShatteringReport(shattered.size, count, count * shattered.size, failure)


# --- the ℓ₁ certificate ---------------------------------------------------------------------------------


def shattered_by_one_hidden_layer(shattered: ShatteredSet) -> ShatteringReport:
    """Certificate for clusters of n points, one a hidden unit, and an apex (point 0), sound for all labelings.

    Read off the networks' weights: unit u is affine in its cluster's signs, base_u(x) + Σ_i s_i·d_{u,i}(x). If
    base_u = 0 and d_u = identity on its own cluster, and base_u + Σ_i |d_{u,i}| ≤ −1 at every other point, the apex
    included (the ℓ₁ norm is the maximum over all sign vectors), then the hidden layer is the indicator of s_i = +1 on
    the set, and the output layer ±(2Σ − 1) gives any labeling. Affinity in the signs is read off networks with one sign
    flipped at a time and probed on random ones.
    """
    points = shattered.points.double()
    k, n = points.shape
    units = (k - 1) // n
    if units * n + 1 != k:
        raise ValueError(f"`shattered` must have n·W + 1 points for clusters of n, got {k} points in R^{n}")
    failure = _distinct(points)
    if failure is None:
        failure, base, directions = _affine_parts(shattered, units, n)
    if failure is not None:
        return ShatteringReport(k, 0, 0, failure)
    own = torch.zeros(k, units, dtype=torch.bool)
    own[1:] = torch.eye(units, dtype=torch.bool).repeat_interleave(n, dim=0)
    identity = torch.eye(n, dtype=torch.float64).repeat(units, 1)
    rows = max(1, CERTIFICATE_CHUNK // (units * n))
    largest = -torch.inf
    for start in range(0, k, rows):
        part = slice(start, min(k, start + rows))
        homogeneous = torch.cat([points[part], torch.ones(len(points[part]), 1, dtype=torch.float64)], dim=1)
        values = homogeneous @ base.T  # (rows, units)
        moves = torch.einsum("kc,unc->kun", homogeneous, directions)
        expected = identity[max(0, start - 1) : part.stop - 1]
        wrong_own = (values[own[part]] != 0) | (moves[own[part]] != expected).any(-1)
        worst = (values + moves.abs().sum(-1)).masked_fill(own[part], -torch.inf)
        largest = max(largest, float(worst.max()))
        if bool(wrong_own.any()):
            failure = f"point {max(1, start) + int(wrong_own.int().argmax())}: its own unit does not read its sign"
        elif largest > -1:
            row, unit = divmod(int(worst.argmax()), units)
            failure = (
                f"unit {unit} reaches {largest:g} > -1 at point {start + row}, {points[start + row].long().tolist()}"
            )
        if failure is not None:
            break
    return ShatteringReport(k, 0, k * units * (n + 1), failure, int(largest))


def _affine_parts(shattered: ShatteredSet, units: int, n: int) -> tuple[str | None, Tensor, Tensor]:
    """(failure, base (W, n+1), directions (W, n, n+1)) of the hidden units as affine functions of their signs."""
    k = units * n + 1
    # the apex has label 0, so sign +1 is label 1; the opposite apex is checked below
    corner = torch.zeros(2, k, dtype=torch.bool)
    corner[1, 1:] = True
    flips = torch.zeros(n, k, dtype=torch.bool)
    for i in range(n):
        flips[i, 1 + i :: n] = True
    random = torch.rand(8, k, generator=torch.Generator().manual_seed(0)) < 0.5
    labels = torch.cat([corner, flips, random])
    (weight, bias), (out, offset) = shattered.weights(labels)
    if not float64_is_exact([(weight, bias), (out, offset)], shattered.points.double()):
        return "the networks' weights are not integers that float64 evaluates exactly", weight, weight
    rows = torch.cat([weight, bias[..., None]], dim=-1)  # (labelings, W, n+1)
    base = (rows[0] + rows[1]) / 2
    directions = ((rows[2 : 2 + n] - rows[0]) / 2).transpose(0, 1).contiguous()
    signs = torch.where(labels[:, 1:] != labels[:, :1], 1.0, -1.0).double().reshape(len(labels), units, n)
    if not torch.equal(rows, base + torch.einsum("bun,unc->buc", signs, directions)):
        return "the hidden units are not affine functions of their clusters' signs", base, directions
    sign = torch.where(labels[:, :1], -1.0, 1.0).double()
    if not (torch.equal(out[:, 0], (2 * sign).expand(-1, units)) and torch.equal(offset, -sign)):
        return "the output layer is not ±(2Σ − 1)", base, directions
    return None, base, directions
