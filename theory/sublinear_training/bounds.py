"""Closed mathematics of the forest and of firing: visits, sparsity, correlations, the limit Gram matrix, widths.

    H_min(S) = Σ_{k=1}^L ⌈S/2^k⌉,   H_max(S) = Σ_{k=1}^L min(S, 2^(L−k)),   V = 1 + 2H
    s(m) = d ln(m p)/d ln m = 1 − α h(b)/b,   h = φ/p,   b = √(2 α ln m)
    P₂(ρ) = P[z₁ > b, z₂ > b] at correlation ρ = p − 2T(b, √((1−ρ)/(1+ρ))),   H = K∘P₂

Main definitions: `least_ancestors`, `most_ancestors`, `expected_visits`, `Firing`, `cofiring`, `limit_gram`,
`count_deviation`, `width_needed`.
Notation: S hot leaves of 2^L, p = P[N(0, 1) > b], T Owen's function. Proofs: docs/sublinear_training.md.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from constructions.errors import require_int, require_positive

if TYPE_CHECKING:
    from torch import Tensor


def least_ancestors(hot: int, levels: int) -> int:
    """H_min: the hot leaves lie side by side."""
    _require_hot(hot, levels)
    return sum(-(-hot // 2**k) for k in range(1, levels + 1))


def most_ancestors(hot: int, levels: int) -> int:
    """H_max: they are spread as evenly as they can be."""
    _require_hot(hot, levels)
    return sum(min(hot, 2 ** (levels - k)) for k in range(1, levels + 1))


def most_ancestors_closed(hot: int, levels: int) -> int:
    """S(L − 1 − e) + 2^(e+1) − 1 with e = ⌊log₂ S⌋, of S ≥ 1."""
    _require_hot(hot, levels)
    require_int("hot", hot, 1)
    e = hot.bit_length() - 1
    return hot * (levels - 1 - e) + 2 ** (e + 1) - 1


def _require_hot(hot: int, levels: int) -> None:
    require_int("levels", levels, 0, 62)
    require_int("hot", hot, 0, 2**levels)


def expected_visits(m: int, p: Any) -> Any:
    """E V of one tree whose m leaves are hot independently with probability p (a number or symbol), padding never."""
    require_int("m", m, 1)
    levels, q = (m - 1).bit_length(), 1 - p
    nodes = sum((m >> k) * (1 - q ** (2**k)) + (1 - q ** (m % 2**k)) for k in range(1, levels + 1))
    return 1 + 2 * nodes


@dataclass(frozen=True)
class Firing:
    """m units with a shift b = √(2 α ln m): `p`, `hazard` h = φ(b)/p, `exponent` s(m)."""

    m: int | float
    alpha: float

    @property
    def bias(self) -> float:
        return math.sqrt(2 * self.alpha * math.log(self.m))

    @property
    def p(self) -> float:
        return tail(self.bias)

    @property
    def hazard(self) -> float:
        return math.exp(-(self.bias**2) / 2) / math.sqrt(2 * math.pi) / self.p

    @property
    def expected(self) -> float:
        """m p, the units that fire at a point."""
        return self.m * self.p

    @property
    def exponent(self) -> float:
        return 1 - self.alpha * self.hazard / self.bias


def tail(bias: float) -> float:
    """P[N(0, 1) > b]."""
    return math.erfc(bias / math.sqrt(2)) / 2


def cofiring(correlation: Tensor, bias: float) -> Tensor:
    """P₂ of correlations in [−1, 1], elementwise; p at 1, 0 at −1, p² at 0."""
    import torch
    from scipy.special import owens_t

    rho = correlation.double().clamp(-1, 1)
    slope = ((1 - rho) / (1 + rho)).sqrt()  # ∞ at −1, where T(b, ∞) = p/2
    return tail(bias) - 2 * torch.from_numpy(owens_t(bias, slope.cpu().numpy())).to(rho.device)


def limit_gram(points: Tensor, bias: float) -> Tensor:
    """H = K∘P₂ (n, n) of points (n, d) of norm 1: what the Gram matrix tends to as the width grows."""
    products = points @ points.t()
    products.fill_diagonal_(1)
    return products * cofiring(products, bias)


def count_deviation(points: Tensor, m: int, bias: float) -> float:
    """Standard deviation of the mean over the points of the number of units that fire: the points share the weights."""
    import torch

    products = points @ points.t()
    products.fill_diagonal_(1)
    excess = cofiring(products, bias) - tail(bias) ** 2
    return float(torch.sqrt(m * excess.sum())) / len(points)


def width_needed(n: int, alpha: Fraction) -> Fraction:
    """The exponent C and base of m ≥ (2n)^C, which m ≥ λ⁻⁴n⁴ and λ ≤ ½m^(−α) force for alpha < 1/4: C = 4/(1 − 4α)."""
    require_int("n", n, 1)
    require_positive("alpha", alpha)
    if not alpha < Fraction(1, 4):
        raise ValueError(f"`alpha` must be below 1/4, got {alpha}")
    return Fraction(4) / (1 - 4 * Fraction(alpha))
