"""Upper bounds on VC dimensions of MLPs and of mixtures of MLP experts, and what they say about approximation.

Conventions: n inputs, J ≥ 1 hidden layers of W units, L experts; sgn(t) = 1[t > 0]; logarithms to base 2; weights are
real and free, every unit has its own. Π(m) is the growth function; VC ≥ m implies 2^m ≤ Π(m), so log Π(m) ≤ G(m) gives
VC ≤ max{m : m ≤ G(m)}.

Main definitions: `pattern_count`, `Architecture`, `mlp_growth`, `flat_growth`, `tree_growth`, `largest`.
Main statements:
- Lemma 1 (Warren; Anthony & Bartlett, Theorem 8.3; cited): M polynomials of degree ≤ D in d ≤ M variables have at most
  2(2eMD/d)^d patterns (1[p_i > 0])_i, and at most (eM/d)^d for D = 1.
- Theorem 1 (after Bartlett, Harvey, Liaw, Mehrabian, JMLR 2019): `mlp_growth`. Theorem 2: `flat_growth`.
  Theorem 4: `tree_growth`.
- Theorem 3: VC(flat) ≤ 5.3·L·(d + (n+1)·log 2L) for experts of VC dimension d ≥ n + 1; Theorem 4: VC(tree) ≤ λ_v·L·d.
- Theorem 5: uniform approximation of all 1-Lipschitz functions on [0,1]^n within ε < 1/2 needs VC ≥ ⌈1/(2ε)⌉^n.
Implementation notes: every G built from `pattern_count` is concave with G(0) = 0 and G(1) ≥ 1, so {m : m ≤ G(m)} is an
interval and doubling with bisection on integers is sound. Values are rounded up by a relative 2⁻⁴⁰. `math.log2` takes
integers of any size.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import sympy

from constructions.errors import BudgetExceeded, require_choice, require_instance, require_int, require_positive, shown

LARGEST_SIZE = 10**50  # of n, W and L: every product of theirs stays a float
DEEPEST = 1024  # every evaluation of a growth function goes through all layers
LONGEST = 1 << 20  # bits of a number of grid points
LOG_E = math.log2(math.e)
ROUNDING = 1 + 2.0**-40
KINDS = ("relu", "prelu_fixed", "prelu_trainable")

Growth = Callable[[Fraction], float]
"""m ↦ an upper bound of log₂ Π(m), concave in a rational m ≥ 0."""


def log2(value: Fraction | int) -> float:
    """log₂ of a positive rational of any size."""
    ratio = Fraction(value)
    if ratio <= 0:
        raise ValueError(f"`value` must be positive, got {shown(value)}")
    return math.log2(ratio.numerator) - math.log2(ratio.denominator)


def pattern_count(count: Fraction | int, variables: int, degree: int) -> float:
    """log₂ of Lemma 1's bound for `count` polynomials; the trivial count when count ≤ variables.

    Concave and nondecreasing in `count`, nondecreasing in `variables` and `degree`.
    """
    require_int("variables", variables, 1)
    require_int("degree", degree, 1)
    require_positive("count", count, allow_zero=True)
    trivial = float(count)
    if count <= variables:
        return trivial
    if degree == 1:
        return min(trivial, variables * (LOG_E + log2(Fraction(count) / variables)))
    return min(trivial, 1 + variables * (1 + LOG_E + log2(Fraction(count) * degree / variables)))


@dataclass(frozen=True)
class Architecture:
    """A fully connected MLP: n inputs, J hidden layers of W units, one output.

    `kind` is "relu", "prelu_fixed" or "prelu_trainable" (a slope of its own for every unit).
    """

    n: int
    depth: int
    width: int
    kind: str = "relu"

    def __post_init__(self) -> None:
        require_int("n", self.n, 1, LARGEST_SIZE)
        require_int("depth", self.depth, 1, DEEPEST)
        require_int("width", self.width, 1, LARGEST_SIZE)
        require_choice("kind", self.kind, KINDS)

    @property
    def weights(self) -> int:
        """P = (n+1)W + (J−1)W(W+1) + W + 1, slopes not counted."""
        return self._weights_up_to(self.depth) + self.width + 1

    @property
    def parameters(self) -> int:
        """Weights and, when trainable, JW slopes."""
        return self.weights + (self.depth * self.width if self.kind == "prelu_trainable" else 0)

    def _weights_up_to(self, layer: int) -> int:
        return (self.n + 1) * self.width + (layer - 1) * self.width * (self.width + 1)

    def layers(self, *, folded: bool = True) -> list[tuple[int, int, int]]:
        """(units k_i, free variables V_i, degree D_i) of every step of Theorem 1.

        `folded`: given all hidden patterns the output has degree J in the weights of the hidden layers and one more
        variable (each last hidden unit's weights times its output weight), which is sharper than degree J + 1 in all.
        """
        trainable = self.kind == "prelu_trainable"
        steps = []
        for i in range(1, self.depth + 1):
            slopes = (i - 1) * self.width if trainable else 0
            steps.append((self.width, self._weights_up_to(i) + slopes, 2 * i - 1 if trainable else i))
        slopes = self.depth * self.width if trainable else 0
        if folded:
            variables = self._weights_up_to(self.depth) + slopes + 1
            return [*steps, (1, variables, 2 * self.depth if trainable else self.depth)]
        degree = 2 * self.depth + 1 if trainable else self.depth + 1
        return [*steps, (1, self.weights + slopes, degree)]


# --- growth functions ---------------------------------------------------------------------------------


def mlp_growth(architecture: Architecture, *, folded: bool = True) -> Growth:
    """Theorem 1: log Π(m) ≤ Σ_i pattern_count(m·k_i, V_i, D_i)."""
    require_instance("architecture", architecture, Architecture)
    steps = architecture.layers(folded=folded)
    return lambda m: sum(pattern_count(m * k, v, d) for k, v, d in steps)


def constant_growth(m: Fraction) -> float:
    """Experts that are constants: one free bit."""
    return float(min(m, 1))


def sauer_growth(dimension: int) -> Growth:
    """Any class of VC dimension d: Π(m) ≤ (1 + em/d)^d for all m ≥ 0 (Sauer)."""
    d = require_int("dimension", dimension, 1, LARGEST_SIZE)
    return lambda m: d * math.log2(1 + math.e * float(m) / d)


def routing_growth(n: int, experts: int) -> Growth:
    """R_L(m): patterns of nearest-prototype routing among L free prototypes in R^n.

    The routing of x is read off the L(L−1)/2 bits |x − v_a|² > |x − v_b|²: linear in (L−1)(n+1) variables, or of degree
    2 in the nL coordinates. So prototypes enter as nL·log, not nL².
    """
    require_int("n", n, 1, LARGEST_SIZE)
    require_int("experts", experts, 1, LARGEST_SIZE)
    if experts == 1:
        return lambda m: 0.0
    pairs = experts * (experts - 1) // 2
    return lambda m: min(
        float(m) * math.log2(experts),
        pattern_count(m * pairs, (experts - 1) * (n + 1), 1),
        pattern_count(m * pairs, n * experts, 2),
    )


def flat_growth(n: int, experts: int, expert: Growth) -> Growth:
    """Theorem 2: R_L(m) + L·G_E(m/L), by Jensen over the cells."""
    routing = routing_growth(n, experts)
    return lambda m: routing(m) + experts * expert(Fraction(m) / experts)


def tree_growth(n: int, experts: int, expert: Growth, *, valency: int = 2) -> Growth:
    """Theorem 4: Σ_{ℓ<h} v^ℓ·R_v(m/v^ℓ) + L·G_E(m/L) for the full v-ary tree with L = v^h leaves."""
    height, power = 0, 1
    require_int("valency", valency, 2, LARGEST_SIZE)
    while power < require_int("experts", experts, 1, LARGEST_SIZE):
        height, power = height + 1, power * valency
    if power != experts:
        raise ValueError(f"`experts` must be a power of valency = {valency} for a full tree, got {experts}")
    routing = routing_growth(n, valency)

    def growth(m: Fraction) -> float:
        below = sum(valency**level * routing(Fraction(m) / valency**level) for level in range(height))
        return below + experts * expert(Fraction(m) / experts)

    return growth


def largest(growth: Callable[[Fraction], float], *, start: int = 1) -> int:
    """The largest integer m with m ≤ G(m), for a concave G with start ≤ G(start); 0 if that fails at start = 1.

    Concavity makes the solutions ≥ start an interval, so doubling and bisection find its end. ValueError when G is NaN
    or infinite somewhere on the way: NaN would pass for a bound that fails.
    """
    require_int("start", start, 1)

    def holds(m: int) -> bool:
        value = growth(Fraction(m))
        if not math.isfinite(value):
            raise ValueError(f"`growth` must be finite, got {value} at m = {shown(m)}")
        return m <= value * ROUNDING

    if not holds(start):
        if start == 1:
            return 0
        raise ValueError(f"`start` must satisfy start ≤ G(start), got {start}")
    low = start
    while holds(2 * low):
        low *= 2
    high = 2 * low
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low


def vc_upper_mlp(architecture: Architecture, *, folded: bool = True) -> int:
    """Solved form of Theorem 1."""
    return largest(mlp_growth(architecture, folded=folded))


def vc_upper_flat(architecture: Architecture, experts: int) -> int:
    """Solved form of Theorem 2: L experts behind nearest-prototype routing."""
    require_instance("architecture", architecture, Architecture)
    return largest(flat_growth(architecture.n, experts, mlp_growth(architecture)))


def vc_upper_tree(architecture: Architecture, experts: int, *, valency: int = 2) -> int:
    """Solved form of Theorem 4: L = valency^h experts behind a full tree."""
    require_instance("architecture", architecture, Architecture)
    return largest(tree_growth(architecture.n, experts, mlp_growth(architecture), valency=valency))


# --- closed forms -------------------------------------------------------------------------------------


def _closed(leading: int, dimension: int, r: float) -> float:
    """t + w·log(2r log r) (Lemma 2, r ≥ 16), rounded up."""
    return (leading + dimension * math.log2(2 * r * math.log2(r))) * ROUNDING


def closed_mlp(architecture: Architecture) -> float:
    """(J+1) + ΣV_i·log(2r log r), r = 2e·ΣD_i k_i, over the unfolded steps."""
    require_instance("architecture", architecture, Architecture)
    steps = architecture.layers(folded=False)
    weighted = sum(k * d for k, _, d in steps)
    return _closed(architecture.depth + 1, sum(v for _, v, _ in steps), 2 * math.e * weighted)


def closed_flat(architecture: Architecture, experts: int) -> float:
    """L(J+1) + D·log(2r log r), D = (L−1)(n+1) + LΣV_i, r = e(L(L−1)/2 + 2ΣD_i k_i)."""
    require_instance("architecture", architecture, Architecture)
    require_int("experts", experts, 1, LARGEST_SIZE)
    steps = architecture.layers(folded=False)
    dimension = (experts - 1) * (architecture.n + 1) + experts * sum(v for _, v, _ in steps)
    r = math.e * (experts * (experts - 1) / 2 + 2 * sum(k * d for k, _, d in steps))
    return _closed(experts * (architecture.depth + 1), dimension, r)


def clean_flat(n: int, experts: int, expert_vc: int) -> float:
    """Theorem 3: 5.3·L·(d + (n+1)·log 2L), for d ≥ n + 1."""
    _require_clean(n, experts, expert_vc)
    return 5.3 * experts * (expert_vc + (n + 1) * math.log2(2 * experts))


def tree_factor(valency: int) -> float:
    """λ_v, the largest fixed point of λ = log(c_v λ) + log(1 + eλ), c_v = (e/2)·v^{1 + v/(v−1)}, rounded up."""
    v = require_int("valency", valency, 2, LARGEST_SIZE)
    log_c = LOG_E - 1 + (1 + v / (v - 1)) * math.log2(v)
    # the right side is concave and increasing, so iteration from above decreases to the largest fixed point
    value = 1e3
    for _ in range(200):
        value = log_c + math.log2(value) + math.log2(1 + math.e * value)
    return value * ROUNDING


def clean_tree(n: int, experts: int, expert_vc: int, *, valency: int = 2) -> float:
    """Theorem 4, clean: λ_v·L·d, for d ≥ n + 1; the log L of flat routing is gone."""
    _require_clean(n, experts, expert_vc)
    return tree_factor(valency) * experts * expert_vc


def _require_clean(n: int, experts: int, expert_vc: int) -> None:
    require_int("n", n, 1, LARGEST_SIZE)
    require_int("experts", experts, 1, LARGEST_SIZE)
    require_int("expert_vc", expert_vc, n + 1, LARGEST_SIZE**3)


def vc_upper_free(parameters: int, depth: int) -> int:
    """Any layered ReLU net with J hidden layers and P parameters in all, no sharing: m ≤ (J+1)(1 + P·log(e(J+1)m))."""
    layers = require_int("depth", depth, 1, LARGEST_SIZE) + 1
    require_int("parameters", parameters, 1, LARGEST_SIZE**3)
    return largest(lambda m: layers * (1 + parameters * (LOG_E + log2(layers * m))))


# --- approximation needs VC dimension -----------------------------------------------------------------


def grid_points(n: int, eps: float | Fraction) -> int:
    """N^n, N = ⌈1/(2ε)⌉: the VC dimension that ε-approximating 1-Lipschitz functions on [0,1]^n needs (Theorem 5)."""
    require_int("n", n, 1)
    if require_positive("eps", eps) >= Fraction(1, 2):
        raise ValueError(f"`eps` must be below 1/2, got {shown(eps)}")
    side = math.ceil(1 / (2 * Fraction(eps)))
    if n * side.bit_length() > LONGEST:
        raise BudgetExceeded(
            f"`n` and `eps` give a number of grid points of more than {LONGEST} bits, got n = {shown(n)}, "
            f"eps = {shown(eps)}"
        )
    return side**n


def parameters_of_single_mlp(n: int, eps: float | Fraction) -> int:
    """A3: every ReLU MLP, of any depth, that reaches ε has P ≥ √(2M/log(eM^{3/2})), M = N^n: Ω̃(ε^{−n/2})."""
    points = grid_points(n, eps)
    logarithm = LOG_E + 1.5 * math.log2(points)
    # integer square root of a floor: rounded down, so still a lower bound
    return math.isqrt(math.floor(Fraction(2 * points) / Fraction(logarithm * ROUNDING)))


def parameters_of_mlp(n: int, eps: float | Fraction, depth: int) -> int:
    """The least P with (J+1)(1 + P·log(e(J+1)M)) ≥ M: needed at fixed depth J."""
    points, layers = grid_points(n, eps), require_int("depth", depth, 1, LARGEST_SIZE) + 1
    logarithm = Fraction((LOG_E + log2(layers * points)) * ROUNDING)
    # twice rounded, so that a solver that rounds its own side up still excludes one parameter fewer
    return max(1, math.ceil((Fraction(points, layers) / Fraction(ROUNDING**2) - 1) / logarithm))


def parameters_of_momlp(n: int, eps: float | Fraction, depth: int, experts: int) -> int:
    """L·P_E ≥ M / (log(eLM) + (J+1)·log(2e(J+1)M)) for a flat MoMLP with experts of J hidden layers."""
    points, layers = grid_points(n, eps), require_int("depth", depth, 1, LARGEST_SIZE) + 1
    require_int("experts", experts, 1, LARGEST_SIZE)
    logarithm = LOG_E + log2(experts * points) + layers * (1 + LOG_E + log2(layers * points))
    return math.ceil(points / Fraction(logarithm * ROUNDING))


def no_go_eps(vc_upper: int, n: int) -> float:
    """No class of this VC dimension reaches an ε below 1/(2q), q = ⌊VC^{1/n}⌋, for all 1-Lipschitz functions."""
    require_int("vc_upper", vc_upper, 1)
    if require_int("n", n, 1) >= vc_upper.bit_length():
        return 0.5  # VC < 2^n
    root, _ = sympy.integer_nthroot(vc_upper, n)
    return float(Fraction(1, 2 * int(root)))
