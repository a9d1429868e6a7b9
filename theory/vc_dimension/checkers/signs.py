"""The ℓ₁ certificate: one hidden layer whose units read the signs of a cluster each, for all sign vectors at once.

Main definitions: `SignFamily`, `read_signs`, `check_signs`, `shattered_by_one_hidden_layer`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from constructions.errors import BudgetExceeded
from constructions.vc_dimension import ShatteredSet
from theory.vc_dimension.checkers.labelings import float64_is_exact, require_shattered
from theory.vc_dimension.checkers.report import ShatteringReport, distinct_points
from theory.vc_dimension.checkers.shapes import LARGEST_EXACT, layers_fault, require_numbers, require_points

CERTIFICATE_CHUNK = 1 << 22
MOST_PRODUCTS = 1 << 36
"""Largest k·W·n·(n + 1): a minute or two."""


@dataclass(frozen=True)
class SignFamily:
    """Networks ±(2 Σ_u relu(base_u(x) + Σ_i s_{u,i}·d_{u,i}(x)) − 1) on points (k, n), the apex first.

    `base` (W, n+1) and `directions` (W, n, n+1) are affine forms, integers, the constant last. With y the labels the
    sign in front is + iff the apex has label 0, and s_{u,i} = +1 iff point i of cluster u has another label than
    the apex.
    """

    points: Tensor
    base: Tensor
    directions: Tensor

    @property
    def size(self) -> int:
        return len(self.points)

    def networks(self, labels: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Stacked networks of labelings (B, k)."""
        units, n = self.directions.shape[:2]
        rows = self.base + torch.einsum("bun,unc->buc", _signs(labels, units, n), self.directions)
        sign = torch.where(labels[:, :1], -1.0, 1.0).double()
        return [(rows[..., :-1], rows[..., -1]), ((2 * sign)[:, :, None].expand(-1, 1, units), -sign)]


def _signs(labels: Tensor, units: int, n: int) -> Tensor:
    return torch.where(labels[:, 1:] != labels[:, :1], 1.0, -1.0).double().reshape(len(labels), units, n)


def shattered_by_one_hidden_layer(shattered: ShatteredSet) -> ShatteringReport:
    """Certificate for clusters of n points, one a hidden unit, and an apex (point 0), sound for all labelings.

    The affine forms are read off the networks' weights (`read_signs`), then checked (`check_signs`).
    """
    if type(shattered) is not ShatteredSet:
        raise TypeError(f"`shattered` must be a ShatteredSet, got {type(shattered).__name__}")
    family = read_signs(shattered)
    if isinstance(family, str):
        return ShatteringReport(shattered.size, 0, 0, family)
    return check_signs(family)


def require_sign_family(family: SignFamily) -> SignFamily:
    """`family` with its forms in float64; ValueError when points and forms do not fit each other or are not finite."""
    k, n = require_points("points", family.points).shape
    require_affordable(k, n)
    units = (k - 1) // n
    base = require_numbers("base", family.base, (None, n + 1))
    if len(base) * n + 1 != k:
        raise ValueError(f"`base` must have a row for each of the {units} clusters, got {len(base)} for {k} points")
    directions = require_numbers("directions", family.directions, (units, n, n + 1))
    return SignFamily(family.points, base.double(), directions.double())


def require_affordable(k: int, n: int) -> None:
    """BudgetExceeded when the certificate of k points in R^n takes too long."""
    products = k * (k - 1) * (n + 1)
    if products > MOST_PRODUCTS:
        raise BudgetExceeded(
            f"the certificate of {k} points in R^{n} takes {products:.3g} products, more than {MOST_PRODUCTS:.3g}"
        )


def check_signs(family: SignFamily) -> ShatteringReport:
    """The ℓ₁ certificate.

    If base_u = 0 and d_u = identity on its own cluster, and base_u + Σ_i |d_{u,i}| ≤ −1 at every other point, the apex
    included (the ℓ₁ norm is the maximum over all sign vectors), then the hidden layer is the indicator of s_i = +1 on
    the set, and the output layer ±(2Σ − 1) gives any labeling.
    """
    family = require_sign_family(family)
    points, base, directions = family.points.double(), family.base, family.directions
    k, n = points.shape
    units = len(base)
    failure = distinct_points(points) or _inexact(family)
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


def _inexact(family: SignFamily) -> str | None:
    """Why float64 might round in the check, or None: everything is an integer, and sums stay below 2⁵³."""
    forms = [family.base, family.directions, family.points.double()]
    if not all(bool((form == form.round()).all()) for form in forms):
        return "the affine forms or the points are not integers"
    size = family.base.abs() + family.directions.abs().sum(1)
    largest = torch.cat([family.points.double().abs().amax(0), torch.ones(1, dtype=torch.float64)])
    if not bool((size @ largest < LARGEST_EXACT).all()):
        return "the affine forms are too large for float64 to be exact"
    return None


def read_signs(shattered: ShatteredSet) -> SignFamily | str:
    """The affine forms of the hidden units, or a sentence saying why the networks are not of this kind.

    Affinity in the signs is read off networks with one sign flipped at a time and probed on random ones. More hidden
    layers may follow, if they hand the first one on unchanged.
    """
    points = require_shattered(shattered).double()
    k, n = points.shape
    units = (k - 1) // n
    if units < 1 or units * n + 1 != k:
        return f"{k} points in R^{n} are not clusters of n and an apex"
    require_affordable(k, n)
    labels = probe_labelings(k, n)
    layers = shattered.weights(labels)
    fault = layers_fault(layers, len(labels), n)
    if fault is not None:
        return f"the networks: {fault}"
    if not float64_is_exact(layers, points):
        return "the networks' weights are not integers that float64 evaluates exactly"
    if len(layers) < 2 or len(layers[0][0]) != len(labels) or len(layers[0][1]) != len(labels):
        return "the first layer does not depend on the labeling"
    (weight, bias), *between, (out, offset) = layers
    if not all(_is_identity(w, b) for w, b in between):
        return "a layer behind the first one changes what it is given"
    rows = torch.cat([weight, bias[..., None]], dim=-1)  # (labelings, W, n+1)
    family = SignFamily(
        shattered.points, (rows[0] + rows[1]) / 2, ((rows[2 : 2 + n] - rows[0]) / 2).transpose(0, 1).contiguous()
    )
    (expected, expected_bias), (expected_out, expected_offset) = family.networks(labels)
    if not (torch.equal(weight, expected) and torch.equal(bias, expected_bias)):
        return "the hidden units are not affine functions of their clusters' signs"
    if not (torch.equal(out, expected_out) and torch.equal(offset, expected_offset)):  # of NaN: never equal
        return "the output layer is not ±(2Σ − 1)"
    return family


def probe_labelings(k: int, n: int) -> Tensor:
    """(10 + n, k): all signs −1, all +1, one sign of every cluster +1 (n of them), and 8 random labelings.

    In the first 2 + n the apex has label 0, so sign +1 is label 1; the random ones have the opposite apex too.
    """
    corner = torch.zeros(2, k, dtype=torch.bool)
    corner[1, 1:] = True
    flips = torch.zeros(n, k, dtype=torch.bool)
    for i in range(n):
        flips[i, 1 + i :: n] = True
    random = torch.rand(8, k, generator=torch.Generator().manual_seed(0)) < 0.5
    return torch.cat([corner, flips, random])


def _is_identity(weight: Tensor, bias: Tensor) -> bool:
    same = torch.eye(weight.shape[1], weight.shape[2], dtype=weight.dtype, device=weight.device)
    return bool((weight == same).all()) and not bool(bias.any())
