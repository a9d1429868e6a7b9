"""The nodes of pencils and constants, and the exact network's values there, read off the weights.

With kinks t_0 < … < t_{K−1} (ReLU units x − t_j, or PReLU ones of slopes a_j) and t_K the end of the axis,

    V_0 = β + Σ_i w_i a_i (t_0 − t_i),   V_{j+1} = V_j + (Σ_i w_i a_i + Σ_{i≤j} w_i(1 − a_i))·(t_{j+1} − t_j),

in sums of twice float64's digits, so that a value is off by what its last rounding takes.

Main definition: `PencilNodes`.
"""

from __future__ import annotations

from typing import final

import torch
from torch import Tensor

from constructions.double_double import Pair, add, multiply, negative, pair, running_total, two_product, two_sum
from constructions.mixture import LatticeMixture
from constructions.nodes import LOST, UNITS, NodeAxis, Nodes, NodeValues

U = UNITS[torch.float64]
MOST_DRIFT = 0.125


@final
class PencilNodes(Nodes):
    """Of a mixture whose shared first layer reads the last axis by units x − t_j of increasing t_j, or has no units.

    ValueError for another first layer: kinks that are not nearly evenly spaced cannot be found by arithmetic.
    """

    def __init__(self, model: LatticeMixture):
        self.model = model
        shared = model.shared_layer()
        assert shared is not None
        weight, bias, slope = (None if t is None else t.detach().double() for t in shared)
        assert weight is not None
        assert bias is not None
        self.units, axis = len(bias), model.n - 1
        self.axes: tuple[NodeAxis, ...] = ()
        if not self.units:
            return
        along = torch.zeros_like(weight)
        along[:, axis] = 1
        lo, hi = model.domain.lo[axis], model.domain.hi[axis]
        self.t = torch.cat([-bias, bias.new_tensor([hi])])
        if not (torch.equal(weight, along) and bool((torch.diff(self.t) > 0).all())):
            raise ValueError("`model` must have a first layer of units x − t along its last axis, t increasing")
        self.slope = slope
        scale = float(self.units / model.domain.sides[axis])
        drift = _drift(self.t, lo, hi)
        if not drift <= MOST_DRIFT:
            raise ValueError(
                f"`model` must have evenly spaced kinks to be tabulated, within {MOST_DRIFT} of their distance, got "
                f"{drift:.3g}"
            )
        self.axes = (NodeAxis(lo, scale, self.units, drift),)

    @torch.no_grad()
    def values(self, leaves: Tensor) -> NodeValues:
        weight, bias = (t.detach().double() for t in self.model.output_layers(leaves))
        if not self.units:
            return NodeValues(bias[:, None], 0.0, 0.0)
        step = two_sum(self.t[1:], -self.t[:-1])
        start, left, bends = self._before(weight, pair(bias))
        slopes = _plus_first(left, running_total(bends))
        high, low = _plus_first(start, running_total(_with_first(multiply(slopes, step))))
        values = high + low
        steps = torch.diff(values).abs().amax() if values.numel() else values.new_zeros(())
        error = U * float(values.abs().amax()) * (1 + 2.0**-20) + self._lost(weight, bias)
        beyond = float(left[0].abs().amax()) / self.axes[0].scale
        steepest = max(float(steps) + 2 * error, beyond) * (1 + 2.0**-40)
        return NodeValues(values.transpose(1, 2), error, steepest)

    def _before(self, weight: Tensor, bias: Pair) -> tuple[Pair, Pair, Pair]:
        """Of weights (E, m, K): the value at t_0, the slope before it (E, m, 1), and how much each kink adds to it."""
        if self.slope is None:
            zero = torch.zeros_like(bias[0])[..., None]
            return (bias[0][..., None], bias[1][..., None]), (zero, zero), pair(weight)
        leaks = two_product(weight, self.slope)
        there = multiply(leaks, two_sum(self.t[:1], -self.t[:-1]))
        value, slope = (tuple(part[..., -1:] for part in running_total(terms)) for terms in (there, leaks))
        start = add((bias[0][..., None], bias[1][..., None]), (value[0], value[1]))
        return start, (slope[0], slope[1]), add(pair(weight), negative(leaks))

    def _lost(self, weight: Tensor, bias: Tensor) -> float:
        """How far sums of twice float64's digits may be off: their ⌈log₂K⌉ + 4 roundings, of slopes and of values."""
        gain = 1.0 if self.slope is None else 1 + 2 * float(self.slope.abs().amax())
        reach = float(self.t[-1] - self.t[0])
        size = float((weight.abs().sum(-1) * gain * reach + bias.abs()).amax())
        depth = self.units.bit_length() + 4
        return 32 * depth * U * U * size + (self.units + 8) ** 2 * (2 + reach) * LOST[torch.float64]


def _with_first(terms: Pair) -> Pair:
    """A zero in front of the last axis."""
    zero = torch.zeros_like(terms[0][..., :1])
    return torch.cat([zero, terms[0]], dim=-1), torch.cat([zero, terms[1]], dim=-1)


def _plus_first(first: Pair, sums: Pair) -> Pair:
    return add(sums, first)


def _drift(t: Tensor, lo: float, hi: float) -> float:
    """The largest |(t_j − lo)·K/ℓ − j|, in real arithmetic and rounded up."""
    units = len(t) - 1
    ends = t.new_tensor([lo, hi])
    side = two_sum(ends[1:], -ends[:1])
    count = t.new_tensor([float(units)])
    place = multiply(two_sum(t, -ends[:1]), pair(count))
    even = multiply(pair(torch.arange(units + 1, dtype=t.dtype, device=t.device)), side)
    off = add(place, negative(even))[0].abs().max()
    return float(off / side[0][0]) * (1 + 2.0**-40) + 64 * units * U * U
