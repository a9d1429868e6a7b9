"""Closed mathematics of the system: errors of Nyquist learners, linear splines, shallow networks, and pruning's slope.

    worst case 1 for n < D, 0 from D on;   average 1 − n/D;   noise σ²D/n;   E(θ) = 1 − 2 sinc²θ + (2 + cos 2πθ)/3
    μ²h⁵/(720(W + 1)⁴);   steepest slope −γ(q − 1)/(q + 1)

Notation: K bandwidth, r dimension, D = (2K + 1)^r, n samples, θ = k/n, W hidden units. Proofs: docs/scaling_laws.md.
"""

from __future__ import annotations

import math
from fractions import Fraction

from constructions.errors import require_int, require_positive, shown
from constructions.scaling_laws.nyquist import samples_needed

SERIES_BELOW = 0.03


def worst_case_error(n: int, bandwidth: int, dimension: int = 1) -> int:
    """inf over learners of sup over ‖f‖ ≤ 1: 1 for n < D samples, 0 from D on (on T^r for suitable nodes)."""
    return int(require_int("n", n, 0) < samples_needed(bandwidth, dimension))


def average_error(n: int, bandwidth: int, dimension: int = 1) -> Fraction:
    """The Bayes error for coefficients uniform on the unit sphere: 1 − n/D, and 0 from D on."""
    needed = samples_needed(bandwidth, dimension)
    return 1 - Fraction(min(require_int("n", n, 0), needed), needed)


def noise_error(n: int, bandwidth: int, dimension: int = 1, *, variance: float | Fraction = 1) -> float | Fraction:
    """σ²D/n of the projection on uniform nodes, K known; ValueError for n < D."""
    needed = samples_needed(bandwidth, dimension)
    require_positive("variance", variance, allow_zero=True)
    return variance * Fraction(needed, require_int("n", n, needed))


def noise_error_interpolating(n: int, *, variance: float | Fraction = 1) -> float | Fraction:
    """σ²(2⌊(n − 1)/2⌋ + 1)/n on the circle, all frequencies that n nodes carry: K is not known."""
    require_positive("variance", variance, allow_zero=True)
    return variance * Fraction(2 * ((require_int("n", n, 1) - 1) // 2) + 1, n)


def spline_error(theta: float) -> float:
    """E(θ), the squared error of periodic piecewise-linear interpolation of e^{2πikx} at n nodes, θ = k/n ≤ 1/2."""
    if not isinstance(theta, (int, float)) or not 0 <= theta <= 1 / 2:
        raise ValueError(f"`theta` must be a number between 0 and 1/2, got {shown(theta)}")
    if theta == 0:
        return 0.0
    if abs(theta) < SERIES_BELOW:  # the closed form cancels there: its Taylor series
        t = (math.pi * theta) ** 2
        return t * t * (2 / 15 - t * (22 / 945 - t * (26 / 14175 - t * (8 / 93555))))
    squared = (math.sin(math.pi * theta) / (math.pi * theta)) ** 2
    return 1 - 2 * squared + (2 + math.cos(2 * math.pi * theta)) / 3


def shallow_lower_bound(curvature: float, length: float, width: int) -> float:
    """μ²h⁵/(720(W + 1)⁴): no network of W ReLUs in one hidden layer has a smaller squared error on an interval of this
    length where |f″| ≥ μ keeps its sign."""
    for name, value in (("curvature", curvature), ("length", length)):
        require_positive(name, value)
    require_int("width", width, 0, 1 << 62)
    # one factor an affine piece and a part of the length: no power leaves the range of floats before the product does
    piece = float(length) / (width + 1)
    component = float(curvature) * piece * piece
    return component * component * float(length) / 720


def plateau_ratio(low: float, high: float, gamma: float) -> float:
    """q = (ε↑/ε_np)^{1/γ}."""
    for name, value in (("low", low), ("high", high), ("gamma", gamma)):
        require_positive(name, value)
    return (high / low) ** (1 / gamma)


def steepest_slope(low: float, high: float, gamma: float) -> float:
    """−γ(q − 1)/(q + 1), of ln ε̂ against ln d."""
    q = plateau_ratio(low, high, gamma)
    return -gamma * (q - 1) / (q + 1)
