"""Gram matrices of waves at the nodes j/n, in Q(ζ), ζ a primitive n-th root of unity: rational polynomials modulo Φ_n.

Main definitions: `gram_is_scalar`, `gram`.
Notation: waves z^k, |k| ≤ K; G_kl = Σ_j ζ^{(l − k)j}.
"""

from __future__ import annotations

from flint import fmpq_poly, fmpz_poly

from theory.claim import Report


def gram(n: int, bandwidth: int) -> list[list[fmpq_poly]]:
    """(2K + 1, 2K + 1), entry by entry summed over the nodes."""
    modulus = fmpq_poly(fmpz_poly.cyclotomic(n))
    powers = [fmpq_poly([0] * e + [1]) % modulus for e in range(n)]
    ks = range(-bandwidth, bandwidth + 1)
    return [[sum((powers[(l - k) * j % n] for j in range(n)), fmpq_poly()) % modulus for l in ks] for k in ks]  # noqa: E741


def gram_is_scalar(n: int, bandwidth: int) -> Report:
    """Whether G = n·1: the projection's coefficients then have the covariance σ²/n·1."""
    for k, row in enumerate(gram(n, bandwidth)):
        for l, entry in enumerate(row):  # noqa: E741
            if entry != fmpq_poly([n if k == l else 0]):
                return Report(
                    f"n={n}, K={bandwidth}: waves {k - bandwidth} and {l - bandwidth} have the product {entry}"
                )
    return Report()
