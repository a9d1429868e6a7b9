"""Upper bounds of spectral norms that trust no decomposition, and the rounding of products of matrices.

γ_k = k u/(1 − k u), u = 2⁻⁵³, bounds the relative error of a sum of k products in any order (Higham, Accuracy and
Stability, (3.4)); `gamma` is a little above it. For a matrix J with Gram matrix G = JJᵀ or JᵀJ (k × k):

    ‖J‖² = ‖G‖,   |fl(G) − G| ≤ γ_n |J||J|ᵀ   whose norm is at most γ_n ‖J‖_F².

k = 1: G is the number. k = 2: ‖G‖ = (a + c + √((a − c)² + 4b²))/2, positive terms alone.
k ≥ 3: for any V with δ = ‖VᵀV − I‖ < 1, ‖G‖ ≤ ‖VᵀGV‖/(1 − δ). *Proof.* x = Vy gives |xᵀGx| ≤ ‖VᵀGV‖‖y‖² and
‖x‖² = yᵀVᵀVy ≥ (1 − δ)‖y‖²; V is onto. ∎ V is what `torch.linalg.eigh` calls eigenvectors, and ‖VᵀGV‖ at most the
largest absolute row sum; the rounding of both is at most γ_{2k}‖V‖_F²‖G‖_F and γ_k‖V‖_F². Nothing is assumed of eigh:
where its V is bad, the bound is large, and ‖G‖_F is taken instead.

Main definitions: `gamma`, `norm_above`, `frobenius_above`, `power_of_two`.
"""

from __future__ import annotations

import torch
from torch import Tensor

UNIT, LEAST = 2.0**-53, 2.0**-1022
ABOVE = 1 + 2.0**-48


def gamma(terms: int) -> float:
    """An upper bound of γ_terms with room for a few more roundings."""
    return (terms + 4) * UNIT * 1.01


def norm_above(J: Tensor) -> Tensor:
    """Upper bounds (…,) of the spectral norms of matrices J (…, m, n) as they are stored; inf where J is not finite."""
    m, n = J.shape[-2:]
    size = J.abs().amax((-2, -1))
    # a power of two keeps squares away from overflow and underflow; entries below 2⁻¹⁰²² of the largest are lost
    exponent = torch.where(torch.isfinite(size), torch.frexp(size).exponent, 0).clamp(-1022, 1022)
    scaled = J * power_of_two(-exponent)[..., None, None]
    gram = scaled @ scaled.mT if m <= n else scaled.mT @ scaled
    trace = torch.einsum("...ii->...", gram)
    slack = 2 * gamma(max(m, n)) * trace
    found = torch.sqrt((_gram_norm(gram) + slack) * ABOVE) * ABOVE + LEAST * m * n
    found = found * power_of_two(exponent) + LEAST
    return torch.where(size == 0, 0.0, torch.where(torch.isfinite(size), found, torch.inf))


def frobenius_above(J: Tensor) -> Tensor:
    """Upper bounds (…,) of the Frobenius norms of J (…, m, n), with no overflow or underflow in between."""
    size = J.abs().amax((-2, -1))
    exponent = torch.where(torch.isfinite(size), torch.frexp(size).exponent, 0).clamp(-1022, 1022)
    scaled = J * power_of_two(-exponent)[..., None, None]
    terms = J.shape[-1] * J.shape[-2]
    found = scaled.square().sum((-2, -1)).sqrt() * (1 + gamma(terms)) + LEAST * terms
    return torch.where(
        size == 0, 0.0, torch.where(torch.isfinite(size), found * power_of_two(exponent) + LEAST, torch.inf)
    )


def power_of_two(exponent: Tensor) -> Tensor:
    """2^exponent exactly, for integers from −1022 to 1023."""
    return ((exponent.long() + 1023) << 52).view(torch.float64)


def _gram_norm(gram: Tensor) -> Tensor:
    """An upper bound of ‖gram‖ (…,) for symmetric gram (…, k, k) with non-negative diagonal, up to its own rounding."""
    k = gram.shape[-1]
    if k == 1:
        return gram[..., 0, 0]
    if k == 2:
        a, b, c = gram[..., 0, 0], gram[..., 0, 1], gram[..., 1, 1]
        return ((a + c) + torch.hypot(a - c, 2 * b)) / 2
    gram = (gram + gram.mT) / 2
    frobenius = gram.square().sum((-2, -1)).sqrt()  # of numbers around 1
    safe = torch.where(torch.isfinite(frobenius)[..., None, None], gram, 0.0)
    V = torch.linalg.eigh(safe).eigenvectors
    large = V.square().sum((-2, -1))
    middle = (V.mT @ safe @ V).abs().sum(-1).amax(-1) + 2 * gamma(2 * k) * large * frobenius
    eye = torch.eye(k, dtype=gram.dtype, device=gram.device)
    delta = (V.mT @ V - eye).abs().sum(-1).amax(-1) + 2 * gamma(k) * large
    bound = torch.where(delta < 0.5, middle / (1 - delta), torch.inf)
    return torch.minimum(bound, frobenius * (1 + gamma(k * k)))
