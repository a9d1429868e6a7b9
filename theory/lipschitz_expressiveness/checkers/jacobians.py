"""What is measured of a network, and its matrix offset + left·J·right for given slopes of the units.

J = W_L D_{L−1} W_{L−1} … D_1 W_1, D_l the diagonal of the slopes. `Chain` holds left·W_L, …, W_1·right once, so that
a product is as long as J's. Its rounding, for all slopes at once (Higham, Lemma 3.8: |fl(X_1⋯X_k) − X_1⋯X_k| ≤
γ|X_1|⋯|X_k|):

    ‖fl(M) − M‖ ≤ γ_Σ ‖ |left||W_L| S_{L−1} … S_1 |W_1||right| ‖_F + u‖…‖_F,   S_l the largest |slope| of each unit.

That leaves out underflow: an operation whose result is below 2⁻¹⁰²² may lose it whole, and later weights multiply what
was lost. From either end, e_{l+1} = ‖W_{l+1}‖_F (s_l e_l + 2⁻¹⁰²²·entries) + 2⁻¹⁰²²·terms·entries bounds that in the
Frobenius norm, and the larger of the two is added.

Main definitions: `Chain`, `Slopes`, `BeyondFloats`, `slopes_at`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from theory.lipschitz_expressiveness.checkers.measure import Measure
from theory.lipschitz_expressiveness.checkers.network import Network
from theory.lipschitz_expressiveness.checkers.norms import LEAST, frobenius_above, gamma, norm_above

Slopes = list[Tensor]
"""Of every hidden layer (…, width), with the same leading shape."""


class BeyondFloats(ValueError):
    """The products of a network's weights leave the range of float64, or what is lost below it may become large."""


def _steepest(alpha: Tensor) -> float:
    return float(alpha.abs().clamp(min=1).max()) if alpha.numel() else 1.0


def _lost(sizes: list[Tensor], steepest: list[float], terms: int) -> float:
    """How much underflow may take from a product of these matrices, multiplied from the right or from the left."""

    def along(matrices: list[Tensor], slopes: list[float]) -> float:
        entries = max(m.numel() for m in matrices) * max(max(m.shape) for m in matrices)
        lost = LEAST * terms * entries
        for matrix, slope in zip(matrices[1:], slopes, strict=True):
            norm = float(frobenius_above(matrix))
            lost = norm * (slope * lost + LEAST * entries) * (1 + 2.0**-40) + LEAST * terms * entries
        return lost

    return max(along(sizes, steepest), along(sizes[::-1], steepest[::-1]))


@dataclass(frozen=True)
class Chain:
    """The matrices W_1·right, W_2, …, left·W_L and the offset (or None), `slack` ≥ ‖fl(M) − M‖ for every M of it."""

    matrices: list[Tensor]
    offset: Tensor | None
    slack: float

    @classmethod
    def of(cls, network: Network, measure: Measure) -> Chain:
        """ValueError where the products of the absolute weights are beyond the largest float."""
        matrices, sizes = [w.clone() for w in network.matrices], [w.abs() for w in network.matrices]
        terms = 2 * len(matrices) + sum(w.shape[1] for w in matrices) + 8
        if measure.right is not None:
            matrices[0], sizes[0] = matrices[0] @ measure.right, sizes[0] @ measure.right.abs()
            terms += measure.right.shape[0]
        if measure.left is not None:
            matrices[-1], sizes[-1] = measure.left @ matrices[-1], measure.left.abs() @ sizes[-1]
            terms += measure.left.shape[1]
        size = sizes[0]
        for layer, above in zip(network.hidden, sizes[1:], strict=True):
            steepest = torch.ones_like(layer.bias) if layer.alpha is None else layer.alpha.abs().clamp(min=1)
            size = above @ (steepest[:, None] * size)
        lost = _lost(sizes, [1.0 if layer.alpha is None else _steepest(layer.alpha) for layer in network.hidden], terms)
        total = float(frobenius_above(size)) + lost
        total += 0.0 if measure.offset is None else float(frobenius_above(measure.offset))
        slack = 2 * gamma(terms) * total + LEAST * terms**2 * (1 + total) + 2 * lost
        if not slack < float("inf"):
            raise BeyondFloats(
                '`module` has weights whose products no float can hold: method="product" gives the logarithm'
            )
        return cls(matrices, measure.offset, slack)

    @property
    def shape(self) -> tuple[int, int]:
        """(p, q) of the measured matrices."""
        return self.matrices[-1].shape[0], self.matrices[0].shape[1]

    def product(self, slopes: Slopes) -> Tensor:
        """offset + left·J·right (…, p, q) for these slopes."""
        first, last = self.matrices[0], self.matrices[-1]
        if last.shape[0] <= first.shape[1]:  # from the side that has fewer rows to carry
            found = last
            for matrix, slope in zip(reversed(self.matrices[:-1]), reversed(slopes), strict=True):
                found = (found * slope[..., None, :]) @ matrix
        else:
            found = first
            for matrix, slope in zip(self.matrices[1:], slopes, strict=True):
                found = matrix @ (slope[..., :, None] * found)
        return found if self.offset is None else self.offset + found

    def above(self, slopes: Slopes) -> Tensor:
        """Upper bounds (…,) of ‖offset + left·J·right‖ for exactly these slopes."""
        return norm_above(self.product(slopes)) + self.slack

    def enclosed(self, low: Slopes, high: Slopes) -> Tensor:
        """Upper bounds (B,) of ‖offset + left·J·right‖ for all slopes in between: ‖centre‖ + ‖radius‖_F."""
        centre, radius = self.matrices[0], torch.zeros_like(self.matrices[0])
        for matrix, bottom, top in zip(self.matrices[1:], low, high, strict=True):
            middle = ((bottom + top) / 2)[..., None]
            spread = ((top - bottom) / 2)[..., None]
            radius = (middle.abs() + spread) * radius + spread * centre.abs()
            centre, radius = matrix @ (middle * centre), matrix.abs() @ radius
        if self.offset is not None:
            centre = centre + self.offset
        # the slack covers the rounding of the centre and, as large, that of the radius and of middle and spread
        return norm_above(centre) + frobenius_above(radius) * (1 + 2.0**-40) + 4 * self.slack


def slopes_at(network: Network, x: Tensor) -> tuple[Slopes, list[Tensor]]:
    """Slopes (B, width) and pre-activations (B, width) of every hidden layer at x (B, n), as float64 finds them."""
    slopes, values = [], []
    for layer in network.hidden:
        z = x @ layer.weight.T + layer.bias
        values.append(z)
        if layer.alpha is None:
            x = torch.tanh(z)
            slopes.append(1 - x**2)
        else:
            slope = torch.where(z > 0, torch.ones_like(z), layer.alpha)
            slopes.append(slope)
            x = slope * z
    return slopes, values
