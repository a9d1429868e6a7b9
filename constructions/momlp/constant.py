"""Constant experts (k = 0): the value at the cell's centre. P = m; the router carries all the precision.

Main statement: |f(x) − f(c)| ≤ ω(a) on a cell of half diagonal a.
"""

from __future__ import annotations

from torch import Tensor, nn

from constructions.networks import Constant

RESOLVED = 0


def parameters(n: int, m: int, knots: int, activation: str) -> int:
    return m


def shared_parameters(n: int, knots: int, activation: str) -> int:
    return 0


def hidden_layer(t: Tensor, n: int, axis: int) -> tuple[Tensor, Tensor]:
    """No hidden units: weight (0, n), bias (0,)."""
    return t.new_zeros(0, n), t.new_zeros(0)


def fit(t: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Node values (E, 1, m) -> output weights (E, m, 0) and biases (E, m)."""
    return y.new_zeros(y.shape[0], y.shape[2], 0), y[:, 0].clone()


def network(weight: Tensor, bias: Tensor, slope: Tensor | None, out_weight: Tensor, out_bias: Tensor) -> nn.Sequential:
    """The expert as a module to take away."""
    return nn.Sequential(Constant(out_bias))
