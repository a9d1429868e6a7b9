"""The growth functions once more, in Arb balls: one evaluation decides an upper bound that floats have found.

Every G of `bounds` is concave with G(0) = 0 and G(1) ≥ 1, so {m : m ≤ G(m)} is an interval [1, m*] (and a concave
m ↦ G(m) − m that is negative once stays negative): m > G(m) at one m is a proof that no larger number of points is
shattered. The formulas are written down here a second time, from the theorems; sizes of layers are `Architecture`'s.

Main definitions: `log2_patterns`, `mlp`, `sauer`, `constant`, `flat`, `tree`, `free`; `too_many`, `at_most`,
`closed_form_holds`, `tree_factor_holds`.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

from flint import arb, ctx, fmpq

from theory.claim import Report
from theory.vc_dimension.bounds import Architecture, tree_factor

BITS = 128
Growth = Callable[[Fraction], arb]
"""m ↦ a ball that holds an upper bound of log₂ of the growth function."""


def ball(value: Fraction | int) -> arb:
    """The ball of a rational."""
    exact = Fraction(value)
    return arb(fmpq(exact.numerator, exact.denominator))


def log2(value: arb) -> arb:
    """log₂ of a positive ball."""
    return value.log() / arb(2).log()


def _e() -> arb:
    return arb(1).exp()


def _least(*values: arb) -> arb:
    """The least of balls, each of which is an upper bound: the one with the smallest upper end."""
    return min(values, key=lambda v: v.upper())


def log2_patterns(count: Fraction, variables: int, degree: int) -> arb:
    """Lemma 1 (Warren): count polynomials of this degree in so many variables have at most (e·count/d)^d sign patterns
    for degree 1, 2·(2e·count·degree/d)^d beyond; and never more than 2^count."""
    if count <= variables:
        return ball(count)
    inside = _e() * ball(count) / variables
    bound = variables * log2(inside) if degree == 1 else 1 + variables * log2(2 * degree * inside)
    return _least(ball(count), bound)


def mlp(a: Architecture) -> Growth:
    """Theorem 1: each layer's pattern on each point, given those before it, by layers from the inputs on."""
    steps = a.layers()
    return lambda m: sum((log2_patterns(m * k, v, d) for k, v, d in steps), arb(0))


def sauer(dimension: int) -> Growth:
    """(1 + em/d)^d."""
    return lambda m: dimension * log2(1 + _e() * ball(m) / dimension)


def constant(m: Fraction) -> arb:
    """One free bit."""
    return ball(min(m, Fraction(1)))


def _routing(n: int, experts: int, m: Fraction) -> arb:
    """Which of L free prototypes is nearest, at m points: L^m; L(L−1)/2 signs a point, linear or of degree 2."""
    if experts == 1:
        return arb(0)
    signs = m * (experts * (experts - 1) // 2)
    linear = log2_patterns(signs, (experts - 1) * (n + 1), 1)
    return _least(ball(m) * log2(arb(experts)), linear, log2_patterns(signs, experts * n, 2))


def flat(n: int, experts: int, expert: Growth) -> Growth:
    """Theorem 2."""
    return lambda m: _routing(n, experts, m) + experts * expert(m / experts)


def tree(n: int, experts: int, expert: Growth, *, valency: int = 2) -> Growth:
    """Theorem 4: v^l nodes on level l share the points."""

    def growth(m: Fraction) -> arb:
        total, nodes = arb(0), 1
        while nodes < experts:
            total += nodes * _routing(n, valency, m / nodes)
            nodes *= valency
        return total + experts * expert(m / experts)

    return growth


def free(parameters: int, depth: int) -> Growth:
    """Any layered ReLU network: (J+1)(1 + P·log(e(J+1)m))."""
    layers = depth + 1
    return lambda m: layers * (1 + parameters * log2(_e() * layers * ball(m)))


# --- what one evaluation decides --------------------------------------------------------------------------


def too_many(growth: Growth, points: int, where: str) -> Report:
    """Whether so many points, and more, are certainly not shattered."""
    with ctx.workprec(BITS):
        bound = growth(Fraction(points))
        excluded = bool(bound < points)
        return Report(None if excluded else f"{where}: {points} points are not excluded, G is {bound.str(12)}")


def at_most(growth: Growth, bound: arb, where: str) -> Report:
    """Whether the VC dimension is certainly at most what this ball holds: the next integer is too many."""
    with ctx.workprec(BITS):
        if not bound.is_finite():
            return Report(f"{where}: the bound is {bound}")
        whole = bound.lower().floor().unique_fmpz()
        assert whole is not None  # the floor of a finite number is an integer
        return too_many(growth, int(whole) + 1, where)


def clean_flat(n: int, experts: int, expert_vc: int) -> arb:
    """Theorem 3: 5.3·L·(d + (n+1)·log 2L)."""
    with ctx.workprec(BITS):
        return ball(Fraction(53, 10)) * experts * (expert_vc + (n + 1) * log2(arb(2 * experts)))


def closed_form_holds(a: Architecture, experts: int, where: str) -> Report:
    """Whether the solved bound of Theorem 2 is at most its closed form, and that at most 4L(n + Jw)·log(2r log r)."""
    steps = a.layers(folded=False)
    dimension = (experts - 1) * (a.n + 1) + experts * sum(v for _, v, _ in steps)
    size = experts * (a.n + a.depth * a.weights)
    with ctx.workprec(BITS):
        r = _e() * (experts * (experts - 1) // 2 + 2 * sum(k * d for k, _, d in steps))
        logarithm = log2(2 * r * log2(r))
        closed = experts * (a.depth + 1) + dimension * logarithm
        below = at_most(flat(a.n, experts, mlp(a)), closed, where)
        if not below.holds:
            return below
        most = 4 * size * logarithm
        return Report(None if bool(closed <= most) else f"{where}: the closed form {closed} is not below {most}")


def tree_factor_holds(valency: int) -> Report:
    """Whether the float λ_v lies above the largest fixed point of log(c_v λ) + log(1 + eλ), by less than 2⁻²⁰ of it:
    that is concave and increasing, so it is above λ on an interval, and λ_v lies just beyond its end."""
    found = tree_factor(valency)
    with ctx.workprec(BITS):
        log_c = log2(_e() / 2) + (1 + ball(Fraction(valency, valency - 1))) * log2(arb(valency))
        just_below = ball(Fraction(found) * (1 - Fraction(1, 2**20)))
        excess = [log_c + log2(x) + log2(1 + _e() * x) - x for x in (arb(found), just_below)]
        holds = bool(excess[0] < 0) and bool(excess[1] > 0)
        return Report(None if holds else f"valency {valency}: {found} is not the fixed point, {excess[0]}, {excess[1]}")
