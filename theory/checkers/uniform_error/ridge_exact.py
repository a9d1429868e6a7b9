"""The tables of a `RidgeBank` in rationals: nodes, and the exact network's values there.

Prefix sums of rationals, one array operation a step over all experts and nodes. `theory.exact` is the independent
truth that the tests compare with.

Main definitions: `exact_nodes`, `exact_values`, `ExactTables`, `rationals`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from theory import exact
from theory.checkers.uniform_error.ridge import RidgeBank

_RATIONAL = np.frompyfunc(exact.rational, 1, 1)


def rationals(values: Tensor) -> np.ndarray:
    """The exact values of a float tensor, as an object array of rationals of the same shape."""
    return np.asarray(_RATIONAL(values.cpu().numpy()), dtype=object).reshape(values.shape)


def exact_nodes(bank: RidgeBank) -> np.ndarray:
    """lo, every kink −b/w strictly inside, hi, as increasing rationals (T+1,)."""
    axis = bank.layer.axis
    ends = [exact.rational(float(e[0, axis])) for e in (bank.lower, bank.upper)]
    kinks = {
        -exact.rational(b) / exact.rational(w)
        for w, b in zip(bank.layer.pull.tolist(), bank.layer.bias.tolist(), strict=True)
        if w != 0
    }
    inside = sorted(k for k in kinks if ends[0] < k < ends[1])
    return np.array([ends[0], *inside, ends[1]], dtype=object)


def exact_values(bank: RidgeBank, part: slice, nodes: np.ndarray) -> np.ndarray:
    """Exact network values (E, m, len(nodes)) of the experts in `part`, by prefix sums of rationals."""
    weight, bias = rationals(bank.out_weight[part]), rationals(bank.out_bias[part])
    w, b, alpha = (rationals(v) for v in (bank.layer.pull, bank.layer.bias, bank.layer.slope))
    if not len(w):
        return np.repeat(bias[..., None], len(nodes), axis=-1)
    at_lo = w * nodes[0] + b
    active = (at_lo > 0) | ((at_lo == 0) & (w > 0))
    gain = np.where(active.astype(bool), 1, alpha)
    value = (weight * (at_lo * gain)).sum(-1) + bias
    slope = (weight * (w * gain)).sum(-1)
    bends = weight * (np.abs(w) * (1 - alpha))
    jumps = bends[..., :0]
    if len(nodes) > 2:
        order, starts = _units_by_node(w, b, nodes)
        jumps = np.add.reduceat(bends[..., order], starts, axis=-1)
    slopes = np.cumsum(np.concatenate([slope[..., None], jumps], axis=-1), axis=-1)
    rises = slopes * np.diff(nodes) if len(nodes) > 1 else slopes[..., :0]
    return np.cumsum(np.concatenate([value[..., None], rises], axis=-1), axis=-1)


def _units_by_node(w: np.ndarray, b: np.ndarray, nodes: np.ndarray) -> tuple[list[int], list[int]]:
    """Units whose kink is an inner node, sorted by kink, and where each node's run of them starts."""
    kinks = [(-bi / wi, j) for j, (wi, bi) in enumerate(zip(w, b, strict=True)) if wi != 0]
    inside = sorted(pair for pair in kinks if nodes[0] < pair[0] < nodes[-1])
    starts = [i for i, (k, _) in enumerate(inside) if i == 0 or k != inside[i - 1][0]]
    return [j for _, j in inside], starts


@dataclass(frozen=True)
class ExactTables:
    """The exact network of a bank: `nodes` (T + 1,) and `values` (E, m, T + 1), rationals."""

    axis: int
    nodes: np.ndarray
    values: np.ndarray

    @classmethod
    def of(cls, bank: object) -> ExactTables:
        """ValueError for experts that are not one-hidden-layer pencils with distinct kinks."""
        nodes = exact_nodes(bank) if isinstance(bank, RidgeBank) else np.array([])
        # piece by piece, not only as many: a kink lost here and one doubled there would shift all between them
        if not isinstance(bank, RidgeBank) or [float(exact.fraction(v)) for v in nodes] != bank.ends.tolist():
            raise ValueError("`enclosed` needs one-hidden-layer experts along one axis, with distinct kinks")
        return cls(bank.layer.axis, nodes, exact_values(bank, slice(None), nodes))

    def at(self, expert: Tensor, piece: Tensor, x: Tensor) -> np.ndarray:
        """Exact network outputs (B, m) at points x (B, n) in the given pieces of the given experts."""
        e, p = expert.cpu().numpy(), piece.cpu().numpy()
        left = self.nodes[p]
        share = (rationals(x[:, self.axis]) - left) / (self.nodes[p + 1] - left)
        low, high = self.values[e, :, p], self.values[e, :, p + 1]
        return low + (high - low) * share[:, None]
