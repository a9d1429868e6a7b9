"""`ShiftedReLUNetwork`: two layers, m hidden units with a common shift b, output signs that stay fixed.

    f(x) = m^(−1/2) Σ_r a_r s_b(⟨w_r, x⟩),   s_b(z) = max(z − b, 0),   b = √(2 α ln m)

Main definitions: `ShiftedReLUNetwork`, `shift_of`, `firing_probability`, `largest_alpha`.
Notation: d inputs, m units, weights (m, d), signs (m,) of ±1. A unit *fires* at x when ⟨w_r, x⟩ > b, strictly.
Source: arXiv:2208.04508, where the activation is written max(z, b) = s_b(z) + b (`activation="max"`): the same
function plus b·m^(−1/2)·Σ a_r, whatever the input.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from constructions.errors import (
    require_choice,
    require_device,
    require_instance,
    require_int,
    require_points,
    require_positive,
    require_seed,
    require_tensor,
    shown,
)

ACTIVATIONS = ("shifted", "max")
MOST_WEIGHTS = 1 << 28
SILENCE = 0.01  # probability that some point fires no unit, below which a width is taken to be enough


class ShiftedReLUNetwork(nn.Module):
    """`weight` (m, d) is a parameter, `signs` (m,) a buffer, `bias` the number b.

    Weights are N(0, 1), signs fair coins, both drawn from `generator` in that order. ValueError for m < 2 or alpha
    outside (0, 1); float64 unless asked otherwise (training takes float64 alone).
    """

    signs: Tensor

    def __init__(
        self,
        d: int,
        m: int,
        alpha: float = 0.24,
        *,
        activation: str = "shifted",
        generator: torch.Generator | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype = torch.float64,
    ):
        require_int("d", d, 1)
        require_int("m", m, 2)
        if m * d > MOST_WEIGHTS:
            raise ValueError(f"`m`·`d` must be at most {MOST_WEIGHTS}, got {m * d}")
        shift = shift_of(m, alpha)
        require_instance("generator", generator, (torch.Generator, type(None)))
        place = require_device("device", device)
        if dtype is not torch.float64 and dtype is not torch.float32:
            raise ValueError(f"`dtype` must be torch.float64 or torch.float32, got {shown(dtype)}")
        weight = torch.randn(m, d, generator=generator, dtype=torch.float64)
        signs = 2 * torch.randint(0, 2, (m,), generator=generator) - 1
        super().__init__()
        self._set(weight.to(place, dtype), signs.to(place, dtype), shift, activation)

    def _set(self, weight: Tensor, signs: Tensor, bias: float, activation: str) -> None:
        self.activation = require_choice("activation", activation, ACTIVATIONS)
        self.bias = bias
        self.weight = nn.Parameter(weight, requires_grad=False)
        self.register_buffer("signs", signs)

    @classmethod
    def from_seed(cls, d: int, m: int, seed: int, alpha: float = 0.24, **options) -> ShiftedReLUNetwork:
        """The network whose weights and signs a fresh CPU generator of this seed draws."""
        generator = torch.Generator().manual_seed(require_seed("seed", seed))
        return cls(d, m, alpha, generator=generator, **options)

    @classmethod
    def from_weights(
        cls, weight: Tensor, signs: Tensor, bias: float, *, activation: str = "shifted"
    ) -> ShiftedReLUNetwork:
        """The network of weights (m, d), signs (m,) of ±1 and a shift b ≥ 0; TypeError or ValueError otherwise."""
        require_tensor("weight", weight, "(m, d)")
        require_tensor("signs", signs, "(m,)")
        if weight.ndim != 2 or not weight.numel() or not weight.is_floating_point():
            raise ValueError(f"`weight` must be floating of shape (m, d), got {weight.dtype} {tuple(weight.shape)}")
        if not bool(torch.isfinite(weight).all()):
            raise ValueError("`weight` must be finite")
        if signs.shape != weight.shape[:1] or not bool((signs.abs() == 1).all()):
            raise ValueError(f"`signs` must be {len(weight)} numbers ±1, got {shown(signs.tolist())}")
        network = cls.__new__(cls)
        nn.Module.__init__(network)
        shift = float(require_positive("bias", bias, allow_zero=True))
        network._set(weight.detach().clone(), signs.to(weight, copy=True), shift, activation)
        return network

    @property
    def width(self) -> int:
        """m."""
        return self.weight.shape[0]

    @property
    def inputs(self) -> int:
        """d."""
        return self.weight.shape[1]

    @property
    def offset(self) -> float:
        """What every answer has beside the shifted sum: 0, or b·m^(−1/2)·Σ a_r for `activation="max"`."""
        return self.bias * float(self.signs.sum()) / math.sqrt(self.width) if self.activation == "max" else 0.0

    def pre_activations(self, x: Tensor) -> Tensor:
        """⟨w_r, x⟩, (B, d) -> (B, m)."""
        require_points("x", x, self.inputs)
        if x.dtype != self.weight.dtype or x.device != self.weight.device:
            wanted = f"{self.weight.dtype} on {self.weight.device}"
            raise ValueError(f"`x` must be {wanted}, like the network, got {x.dtype} on {x.device}")
        return x @ self.weight.t()

    def forward(self, x: Tensor) -> Tensor:
        """f(x), (B, d) -> (B,), every unit looked at."""
        active = (self.pre_activations(x) - self.bias).relu()
        return (active @ self.signs) / math.sqrt(self.width) + self.offset

    def get_extra_state(self) -> Tensor:
        return torch.tensor([self.bias, ACTIVATIONS.index(self.activation)], dtype=torch.float64)

    def set_extra_state(self, state: Tensor) -> None:
        self.bias, self.activation = float(state[0]), ACTIVATIONS[int(state[1])]

    def extra_repr(self) -> str:
        return f"d={self.inputs}, m={self.width}, bias={self.bias:.6g}, activation={self.activation!r}"


def shift_of(m: int, alpha: float) -> float:
    """b = √(2 α ln m); ValueError unless 0 < alpha < 1."""
    require_positive("alpha", alpha)
    if not alpha < 1:
        raise ValueError(f"`alpha` must be below 1, got {alpha}")
    return math.sqrt(2 * alpha * math.log(m))


def firing_probability(bias: float) -> float:
    """p = P[N(0, 1) > b]."""
    return math.erfc(bias / math.sqrt(2)) / 2


def largest_alpha(m: int, n: int) -> float:
    """The largest alpha, to two digits, with n·(1 − p)^m ≤ 0.01: some unit fires at each of n points; 0 if there is
    none."""
    for hundredths in range(99, 0, -1):
        p = firing_probability(shift_of(m, hundredths / 100))
        if math.log(n) + m * math.log1p(-p) <= math.log(SILENCE):
            return hundredths / 100
    return 0.0
