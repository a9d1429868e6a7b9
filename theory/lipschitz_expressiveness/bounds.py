"""Closed forms for random networks: what is expected of the Lipschitz constant of a network with Gaussian weights.

Notation: widths (n_0, …, n_L) of L affine maps, weights iid N(0, σ²), independent; G_{m×n} has iid N(0, 1) entries; χ_n
is the norm of a standard Gaussian in R^n. Bounds that grow like exp(L) are given by their logarithms.

    e(n) = E χ_n = √2 Γ((n+1)/2)/Γ(n/2)                          e(n) e(n+1) = n,  n − 1 < n²/(n+1) ≤ e(n)² ≤ n
    r(n) = E (Σ_{i≤n} g_i² 1[g_i > 0])^½ = Σ_k C(n, k) 2⁻ⁿ e(k)    n²/(2(n+5)) ≤ r(n)² ≤ n/2

    e(m+n−1) ≤ E‖G_{m×n}‖ ≤ √m + √n, and ≤ (E tr (GᵀG)^p)^{1/2p}
    `product_lower` ≤ log E Π‖W_l‖ ≤ `product_upper`, `product_trace`
    `linear_lower`  ≤ log E Lip where φ(0) = 0, φ'(0) = 1 and all biases are 0
    `relu_point`    = log E‖f(x)‖/‖x‖ ≤ log E Lip of ReLU networks without biases; Lip ≤ Π‖W_l‖ for 1-Lipschitz φ

The same functions in sympy (`chi_mean_symbolic`, …) and as Arb balls (`chi_mean_ball`, …). Proofs:
docs/lipschitz_expressiveness.md.

Main definitions: `chi_mean`, `relu_mean`, `mean_log_chi`, `trace_moment`, `norm_bounds`, the bounds above, `critical`,
`ginibre_limit`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from flint import arb, ctx, fmpz

from constructions.errors import require_int, require_positive, shown

if TYPE_CHECKING:
    import sympy

LARGEST = 10**6
MOST_SIGNS = 4096
"""Widths up to which the sum of r(n) is taken term by term."""

BITS = 128

EULER = 0.57721566490153286
MOMENTS = (1, 2, 3)


# --- a Gaussian vector ----------------------------------------------------------------------------------


def chi_mean(n: int) -> float:
    """e(n), the mean norm of a standard Gaussian in R^n; 0 for n = 0."""
    return float(chi_mean_ball(n).mid())  # differences of math.lgamma lose digits


def relu_mean(n: int) -> float:
    """r(n), the mean norm of relu(g) for a standard Gaussian g in R^n: k of the n signs are positive with probability
    C(n, k) 2⁻ⁿ, independently of the magnitudes."""
    require_int("n", n, 1, MOST_SIGNS)
    return math.fsum(math.comb(n, k) / 2**n * chi_mean(k) for k in range(1, n + 1))


def mean_log_chi(n: int) -> float:
    """E log χ_n = (log 2 + ψ(n/2))/2."""
    require_int("n", n, 1, LARGEST)
    return (math.log(2) + digamma_of_half(n)) / 2


def digamma_of_half(n: int) -> float:
    """ψ(n/2) from ψ(1) = −γ, ψ(1/2) = −γ − 2 log 2 and ψ(x + 1) = ψ(x) + 1/x."""
    require_int("n", n, 1, LARGEST)
    start = -EULER if n % 2 == 0 else -EULER - 2 * math.log(2)
    return start + math.fsum(2 / k for k in range(2 - n % 2, n, 2))


# --- a Gaussian matrix ----------------------------------------------------------------------------------


def trace_moment(m: Any, n: Any, p: int) -> Any:
    """E tr (GᵀG)^p for p = 1, 2, 3: an integer for integers m and n, a polynomial for sympy's symbols."""
    require_int("p", p, 1, max(MOMENTS))
    inner = (1, m + n + 1, m**2 + n**2 + 3 * m * n + 3 * m + 3 * n + 4)[p - 1]
    return m * n * inner


def norm_bounds(m: int, n: int) -> tuple[float, float]:
    """e(m+n−1) ≤ E‖G_{m×n}‖ ≤ √m + √n (the upper side by Sudakov and Fernique)."""
    _require_shape(m, n)
    return chi_mean(m + n - 1), math.sqrt(m) + math.sqrt(n)


def norm_by_trace(m: int, n: int, p: int) -> float:
    """E‖G_{m×n}‖ ≤ (E tr (GᵀG)^p)^{1/2p}, p = 1, 2, 3: larger, and proved without a comparison of processes."""
    _require_shape(m, n)
    return float(trace_moment(m, n, p)) ** (1 / (2 * p))


def _require_shape(m: int, n: int) -> None:
    require_int("m", m, 1, LARGEST // 2)
    require_int("n", n, 1, LARGEST // 2)


# --- networks: logarithms -------------------------------------------------------------------------------


def require_network(widths: Sequence[int], sigma: float) -> list[tuple[int, int]]:
    """The shapes (n_l, n_{l−1}) of all layers; ValueError for widths or a σ that are none."""
    if not isinstance(widths, (list, tuple)) or len(widths) < 2:
        raise ValueError(f"`widths` must be at least two integers (n_0, …, n_L), got {shown(widths)}")
    for width in widths:
        require_int("widths", width, 1, LARGEST // 2)
    require_positive("sigma", sigma)
    return [(m, n) for n, m in itertools.pairwise(widths)]


def product_lower(widths: Sequence[int], sigma: float) -> float:
    """log σ^L Π e(n_l + n_{l−1} − 1)."""
    return math.fsum(math.log(sigma * norm_bounds(m, n)[0]) for m, n in require_network(widths, sigma))


def product_upper(widths: Sequence[int], sigma: float) -> float:
    """log σ^L Π (√n_l + √n_{l−1})."""
    return math.fsum(math.log(sigma * norm_bounds(m, n)[1]) for m, n in require_network(widths, sigma))


def product_trace(widths: Sequence[int], sigma: float, p: int = 3) -> float:
    """log σ^L Π (E tr (GᵀG)^p)^{1/2p}."""
    return math.fsum(math.log(sigma * norm_by_trace(m, n, p)) for m, n in require_network(widths, sigma))


def linear_lower(widths: Sequence[int], sigma: float, slope: float = 1.0) -> float:
    """log α^{L−1} σ^L max(Π_{l≥1} e(n_l), Π_{l<L} e(n_l)) for φ(0) = 0, φ'(0) = α = `slope`."""
    layers = require_network(widths, sigma)
    require_positive("slope", slope)
    means = [math.log(chi_mean(n)) for n in widths]
    rest = len(layers) * math.log(sigma) + (len(layers) - 1) * math.log(slope)
    return rest + max(math.fsum(means[1:]), math.fsum(means[:-1]))


def relu_point(widths: Sequence[int], sigma: float) -> float:
    """log E‖f(x)‖/‖x‖ = log σ^L e(n_L) Π_{0<l<L} r(n_l), for every x ≠ 0."""
    layers = require_network(widths, sigma)
    hidden = math.fsum(math.log(relu_mean(n)) for n in widths[1:-1])
    return len(layers) * math.log(sigma) + math.log(chi_mean(widths[-1])) + hidden


def relu_second_moment(widths: Sequence[int], sigma: float) -> float:
    """log E‖f(x)‖²/‖x‖² = log σ^{2L} n_L Π_{0<l<L} n_l/2, for every x ≠ 0."""
    layers = require_network(widths, sigma)
    hidden = math.fsum(math.log(n / 2) for n in widths[1:-1])
    return 2 * len(layers) * math.log(sigma) + math.log(widths[-1]) + hidden


def linear_log_point(widths: Sequence[int], sigma: float) -> float:
    """E log ‖W_L ⋯ W_1 x‖/‖x‖, for every x ≠ 0: what is typical, not the logarithm of the mean."""
    layers = require_network(widths, sigma)
    return len(layers) * math.log(sigma) + math.fsum(mean_log_chi(n) for n in widths[1:])


def critical(n: int) -> dict[str, float]:
    """σ²n at which layers of width n keep a quantity constant in depth: five thresholds, not one."""
    require_int("n", n, 1, MOST_SIGNS)
    return {
        "second moment, ReLU": 2.0,
        "mean norm, ReLU": n / relu_mean(n) ** 2,
        "mean norm, linear": n / chi_mean(n) ** 2,
        "typical norm, linear": n / (2 * math.exp(digamma_of_half(n))),
        "product of norms, at most": n / norm_bounds(n, n)[0] ** 2,
        "product of norms, at least": n / norm_bounds(n, n)[1] ** 2,
    }


def ginibre_limit(layers: int) -> float:
    """lim_{N→∞} ‖W_L ⋯ W_1‖/(σ√N)^L = ((L+1)^{L+1}/L^L)^½ for L = `layers` fixed (cited)."""
    L = require_int("layers", layers, 1, 10**4)
    return math.exp(((L + 1) * math.log(L + 1) - L * math.log(L)) / 2)


# --- the same in sympy ----------------------------------------------------------------------------------


def chi_mean_symbolic(n: sympy.Expr | int) -> sympy.Expr:
    """e(n) for a positive number or symbol n, and 0 for n = 0."""
    import sympy

    n = sympy.sympify(n)
    if n == 0:
        return sympy.Integer(0)
    return sympy.sqrt(2) * sympy.gamma((n + 1) / 2) / sympy.gamma(n / 2)


def relu_mean_symbolic(n: int) -> sympy.Expr:
    """r(n) as a finite sum, for an integer n."""
    import sympy

    require_int("n", n, 1, 10**3)
    return (
        sum((sympy.binomial(n, k) * chi_mean_symbolic(k) for k in range(1, n + 1)), start=sympy.Integer(0))
        / sympy.Integer(2) ** n
    )


def chi_squared_bounds(n: Any) -> tuple[Any, Any]:
    """n²/(n+1) ≤ e(n)² ≤ n, as fractions for an integer n; also for sympy's symbols."""
    n = Fraction(n) if isinstance(n, int) else n
    return n**2 / (n + 1), n


def relu_squared_bounds(n: Any) -> tuple[Any, Any]:
    """n²/(2(n+5)) ≤ r(n)² ≤ n/2, as fractions for an integer n; also for sympy's symbols."""
    n = Fraction(n) if isinstance(n, int) else n
    return n**2 / (2 * (n + 5)), n / 2


# --- and as Arb balls -----------------------------------------------------------------------------------


def chi_mean_ball(n: int) -> arb:
    """A ball that holds e(n)."""
    require_int("n", n, 0, LARGEST)
    with ctx.workprec(BITS):
        if not n:
            return arb(0)
        return arb(2).sqrt() * ((arb(n + 1) / 2).lgamma() - (arb(n) / 2).lgamma()).exp()


def relu_mean_ball(n: int) -> arb:
    """A ball that holds r(n)."""
    require_int("n", n, 1, MOST_SIGNS)
    with ctx.workprec(BITS):
        signs = (arb(fmpz(math.comb(n, k))) * chi_mean_ball(k) for k in range(1, n + 1))
        return sum(signs, start=arb(0)) / arb(fmpz(2) ** n)


def mean_log_chi_ball(n: int) -> arb:
    """A ball that holds E log χ_n."""
    require_int("n", n, 1, LARGEST)
    with ctx.workprec(BITS):
        return (arb(2).log() + (arb(n) / 2).digamma()) / 2
