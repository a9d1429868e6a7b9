"""`RidgeBank`: one-hidden-layer experts with a shared first layer along one axis, as exact pieces.

A network Σ_j o_j·act(w_j x_a + b_j) + β is affine between its kinks −b_j/w_j; its slope jumps by o_j|w_j|(1 − α_j) at
kink j (α the PReLU slope, 0 for ReLU). The tables below are prefix sums in float64 with an explicit rounding bound.

Main definitions: `RidgeBank`, `first_layer_axis`.
Notation: E experts, m outputs, K hidden units, T pieces.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from theory.checkers.uniform_error.stack import LEAST, UNIT


@dataclass(frozen=True)
class FirstLayer:
    """weight (K, n), bias (K,), PReLU slope (K,) (zeros for ReLU), float64; `axis` is where the rows point."""

    weight: Tensor
    bias: Tensor
    slope: Tensor
    axis: int

    @property
    def pull(self) -> Tensor:
        """w_j (K,): the rows' entries on the axis."""
        return self.weight[:, self.axis]


def first_layer_axis(weight: Tensor) -> int | None:
    """The only axis on which the rows (K, n) are non-zero; None if there are several, the last axis if none."""
    used = (weight != 0).any(0).nonzero().flatten().tolist()
    if len(used) > 1:
        return None
    return used[0] if used else weight.shape[1] - 1


@dataclass(frozen=True)
class RidgeBank:
    """E experts with cells [lower, upper] (E, n) that share `layer` and the interval [lo, hi] of its axis.

    `ends` (T+1,) are lo, the kinks inside, hi; `slopes` (E, m, T) and `left_values` (E, m, T) describe each piece;
    `table_slack` and `forward_slack` bound the rounding of these tables and of the network's own forward pass.
    """

    layer: FirstLayer
    out_weight: Tensor
    out_bias: Tensor
    lower: Tensor
    upper: Tensor
    ends: Tensor
    slopes: Tensor
    left_values: Tensor
    table_slack: float
    forward_slack: float

    @classmethod
    def of(
        cls,
        layer: FirstLayer,
        out_weight: Tensor,
        out_bias: Tensor,
        lower: Tensor,
        upper: Tensor,
        *,
        unit: float,
        least: float = LEAST,
    ) -> RidgeBank:
        """Tables of float64 weights out_weight (E, m, K), out_bias (E, m); `unit` and `least` are the forward pass's
        roundoff and smallest normal number. ValueError when the experts' cells differ on the axis that they resolve."""
        ends_of_axis = torch.stack([lower[:, layer.axis], upper[:, layer.axis]])
        if bool((layer.pull != 0).any()) and not bool((ends_of_axis == ends_of_axis[:, :1]).all()):
            raise ValueError(f"`lower`, `upper`: experts of one bank must share their interval on axis {layer.axis}")
        lo, hi = ends_of_axis[:, 0].tolist()
        w, b, alpha = layer.pull, layer.bias, layer.slope
        kinks = torch.where(w != 0, -b / w, torch.inf)
        inside = (kinks > lo) & (kinks < hi)
        order = torch.argsort(torch.where(inside, kinks, torch.inf), stable=True)[: int(inside.sum())]
        ends = torch.cat([w.new_tensor([lo]), kinks[order], w.new_tensor([hi])])

        at_lo = w * lo + b
        # the sign of at_lo is rounded, and so are the kinks: one decision for both, or a unit would bend twice
        active = torch.where(w > 0, kinks <= lo, torch.where(w < 0, kinks > lo, b > 0))
        gain = torch.where(active, 1.0, alpha)
        start_slope = (out_weight * (w * gain)).sum(-1, keepdim=True)
        start_value = (out_weight * (at_lo * gain)).sum(-1, keepdim=True) + out_bias[..., None]
        bends = (out_weight * (w.abs() * (1 - alpha)))[..., order]
        slopes = torch.cat([start_slope, bends], dim=-1).cumsum(-1)
        rises = slopes * torch.diff(ends)
        left = torch.cat([start_value, rises[..., :-1]], dim=-1).cumsum(-1)

        slack, underflow = cls._roundings(layer, out_weight, out_bias, at_lo, lo, hi)
        return cls(
            layer=layer,
            out_weight=out_weight,
            out_bias=out_bias,
            lower=lower,
            upper=upper,
            ends=ends,
            slopes=slopes,
            left_values=left,
            table_slack=slack * UNIT + underflow * LEAST,
            forward_slack=slack * unit + underflow * least,
        )

    @staticmethod
    def _roundings(
        layer: FirstLayer, out_weight: Tensor, out_bias: Tensor, at_lo: Tensor, lo: float, hi: float
    ) -> tuple[float, float]:
        """What rounds, in units of u, and what may be lost below the normal numbers, in units of the least of them.

        With S = Σ|o|·max|h| + |β| and Σ|o||w|(hi − lo) ≤ 2S: slopes are sums of at most K + 1 terms with three
        roundings each, rises and left ends sums of those; together at most 16(K + 8)u·S, forward and kinks 8u·R more.
        """
        w, b, alpha = layer.pull, layer.bias, layer.slope
        if not out_bias.numel():
            return 0.0, 0.0
        reach, gain = max(abs(lo), abs(hi)), torch.clamp(alpha.abs(), min=1)
        largest = torch.maximum(at_lo.abs(), (w * hi + b).abs()) * gain
        size = (out_weight.abs() * largest).sum(-1) + out_bias.abs()
        raw = (out_weight.abs() * (w.abs() * reach + b.abs()) * gain).sum(-1)
        units = len(b) + 8
        # a product p·q loses at most least·(1 + |p| + |q|); what a hidden unit loses is multiplied by |o|
        hidden = gain * (2 + w.abs() + b.abs() + reach * (2 + w.abs()))
        lost = (out_weight.abs() * hidden + hidden).sum(-1) + out_bias.abs() + reach + 1
        return float((16 * units * size + 8 * raw).max()), float((4 * units * lost).max())

    @property
    def experts(self) -> int:
        return len(self.out_bias)

    @property
    def pieces(self) -> int:
        return self.slopes.shape[-1]

    @property
    def resolves(self) -> bool:
        """Whether the experts depend on x at all; if not, cells may also differ along `layer.axis`."""
        return bool((self.layer.pull != 0).any())

    def values(self, expert: Tensor, piece: Tensor, x: Tensor) -> Tensor:
        """Network values (B, m) at x (B, n), for expert and piece ids (B,), one multiply-add each."""
        step = x[:, self.layer.axis] - self.ends[piece]
        return self.left_values[expert, :, piece] + self.slopes[expert, :, piece] * step[:, None]

    def variation(self, expert: Tensor, piece: Tensor, centre: Tensor, half: Tensor) -> Tensor:
        """How far the network moves (B, m) over a box of half widths (B, n) around its centre."""
        return self.slopes[expert, :, piece].abs() * half[:, self.layer.axis, None]

    def slope_ends(self, expert: Tensor, piece: Tensor, lo: Tensor, hi: Tensor) -> tuple[Tensor, Tensor]:
        """Ends (B, m, n) of the partial derivatives of `values` on boxes in the given pieces: it is affine there."""
        slopes = self.slopes[expert, :, piece]
        ends = slopes.new_zeros(*slopes.shape, lo.shape[1])
        ends[..., self.layer.axis] = slopes
        return ends, ends

    def initial_boxes(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """One box an expert and piece: (expert, piece, lo (B, n), hi (B, n)); empty pieces are left out."""
        device = self.ends.device
        kept = (torch.diff(self.ends) > 0).nonzero().flatten()
        expert = torch.arange(self.experts, device=device).repeat_interleave(len(kept))
        piece = kept.repeat(self.experts)
        lo, hi = self.lower[expert].clone(), self.upper[expert].clone()
        if self.resolves:
            lo[:, self.layer.axis], hi[:, self.layer.axis] = self.ends[piece], self.ends[piece + 1]
        return expert, piece, lo, hi

    def seeds(self, max_corners: int) -> tuple[Tensor, Tensor, Tensor]:
        """The adversarial sample: cell corners (pulled inside by 2⁻³⁰) × piece ends and middles.

        Returns (expert, piece, x (S, n)).
        """
        expert, piece, lo, hi = self.initial_boxes()
        n, axis = lo.shape[1], self.layer.axis
        corners = _corners(n - 1, max_corners, lo.device)  # (C, n-1) of 0/1
        # a piece's right end is its neighbour's left one, unless the expert has a single piece
        along = [0.0, 0.5] if self.resolves else [2.0**-30, 0.5, 1 - 2.0**-30]
        share = torch.empty(len(corners), len(along), n, dtype=lo.dtype, device=lo.device)
        others = [a for a in range(n) if a != axis]
        share[..., others] = (corners * (1 - 2.0**-29) + 2.0**-30)[:, None]
        share[..., axis] = torch.tensor(along, dtype=lo.dtype, device=lo.device)
        share = share.reshape(-1, n)
        x = lo[:, None] + share * (hi - lo)[:, None]
        copies = len(share)
        return expert.repeat_interleave(copies), piece.repeat_interleave(copies), x.reshape(-1, n)


def _corners(axes: int, most: int, device: torch.device) -> Tensor:
    """All 2^axes corners as rows of 0/1, or `most` of them, spread evenly, when there are more."""
    if axes == 0:
        return torch.zeros(1, 0, dtype=torch.float64, device=device)
    total = 2**axes
    ids = (
        torch.arange(total, device=device)
        if total <= most
        else (torch.arange(most, device=device) * (total // most) + torch.arange(most, device=device) % 2)
    )
    return ((ids[:, None] >> torch.arange(axes, device=device)) & 1).double()
