"""Exponents in closed form: how the number of fired units grows, and what the quoted width hypothesis implies."""

from __future__ import annotations

from fractions import Fraction

import sympy
from flint import arb, ctx, fmpq

from theory.claim import Context, Evidence, Status, Table, Verdict, ensure
from theory.sublinear_training.bounds import Firing, width_needed

WITHIN = Fraction(1, 50)
WIDTHS = range(10, 21)


def sparsity_exponent(context: Context) -> Verdict:
    alpha, log_m, b = sympy.symbols("alpha L b", positive=True)
    p, density = sympy.erfc(b / sympy.sqrt(2)) / 2, sympy.exp(-(b**2) / 2) / sympy.sqrt(2 * sympy.pi)
    shift = sympy.sqrt(2 * alpha * log_m)
    exponent = sympy.diff(log_m + sympy.log(p.subs(b, shift)), log_m)
    stated = 1 - alpha * (density / p / b).subs(b, shift)
    ensure(sympy.simplify(exponent - stated) == 0, "the derivative of ln(mp) is not 1 − αh/b")
    # φ/b − p falls to 0, so it is positive: h > b, and the exponent is below 1 − α
    falling = sympy.simplify(sympy.diff(density / b - p, b) + density / b**2)
    ensure(falling == 0, f"the derivative of φ/b − p is not −φ/b²: {falling}")
    ensure(sympy.limit(density / b - p, b, sympy.oo) == 0, "φ/b − p does not tend to 0")
    ensure(sympy.limit(density / (p * b), b, sympy.oo) == 1, "h/b does not tend to 1")
    ensure(sympy.limit(b * (density / p - b), b, sympy.oo) == 1, "b(h − b) does not tend to 1")
    rows = [
        (f"2^{e}", a, Firing(2.0**e, a).exponent, 1 - a) for a in (0.24, 0.2) for e in (10, 14, 17, 20, 60, 100, 1000)
    ]
    ensure(all(s < limit for _, _, s, limit in rows), "an exponent is not below its limit")
    reason = "d ln(mp)/d ln m = 1 − αh/b with h > b, h/b → 1 and b(h − b) → 1"
    tables = {"exponents": Table(("m", "alpha", "exponent", "limit"), tuple(rows))}
    return Verdict(Status.PROVED, Evidence.SYMBOLIC, reason, {}, tables=tables)


def enclosed_slope(alpha: Fraction) -> arb:
    """The least-squares slope of ln(mp) against ln m over m = 2^10 … 2^20."""
    before, ctx.prec = ctx.prec, 100
    try:
        logs = []
        for e in WIDTHS:
            bias = (2 * arb(fmpq(alpha.numerator, alpha.denominator)) * arb(2).log() * e).sqrt()
            logs.append(arb(2).log() * e + ((bias / arb(2).sqrt()).erfc() / 2).log())
        middle = Fraction(sum(WIDTHS), len(WIDTHS))
        weights = [Fraction(e) - middle for e in WIDTHS]
        total = sum(w * w for w in weights)
        parts = [
            arb(fmpq((w / total).numerator, (w / total).denominator)) * v for w, v in zip(weights, logs, strict=True)
        ]
        return sum(parts, arb(0)) / arb(2).log()
    finally:
        ctx.prec = before


def sparsity_exponent_attained(context: Context) -> Verdict:
    numbers, said = {}, []
    for alpha in (ALPHA_PAPER, ALPHA_OLDER):
        slope = enclosed_slope(alpha)
        limit, within = 1 - alpha, WITHIN
        far = bool(slope < arb(fmpq((limit - within).numerator, (limit - within).denominator)))
        ensure(far, f"alpha={alpha}: the slope {slope} is within {within} of {limit}")
        numbers[f"slope at alpha={float(alpha):g}"] = float(slope.mid())
        said.append(f"alpha={float(alpha):g}: {float(slope.mid()):.4f}, not {float(limit):g}")
    witness = "least-squares slope of ln(m·erfc(√(α ln m))/2) over m = 2^10 … 2^20: " + "; ".join(said)
    reason = "the expected number grows with a slope more than 0.02 below 1 − α"
    return Verdict(Status.REFUTED, Evidence.ENCLOSED, reason, numbers, witness=witness)


ALPHA_PAPER, ALPHA_OLDER = Fraction(6, 25), Fraction(1, 5)


def width_hypothesis(context: Context) -> Verdict:
    m, n, least, b, alpha = sympy.symbols("m n lambda b alpha", positive=True)
    # p ≤ ½e^(−b²/2): the difference is 0 at 0 and ∞, and its derivative changes its sign once, from + to −
    gap = sympy.exp(-(b**2) / 2) / 2 - sympy.erfc(b / sympy.sqrt(2)) / 2
    slope = sympy.simplify(sympy.diff(gap, b) * sympy.exp(b**2 / 2))
    ensure(gap.subs(b, 0) == 0 and sympy.limit(gap, b, sympy.oo) == 0, "½e^(−b²/2) − p is not 0 at both ends")
    ensure(sympy.simplify(slope - (1 / sympy.sqrt(2 * sympy.pi) - b / 2)) == 0, f"its derivative is {slope}")
    # λ ≤ p and m ≥ λ⁻⁴n⁴: p ≥ λ ≥ n m^(−1/4), so m p ≥ n m^(3/4)
    at_least = sympy.powsimp(m * n * m ** sympy.Rational(-1, 4), force=True)
    ensure(sympy.simplify(at_least - n * m ** sympy.Rational(3, 4)) == 0, f"m·n·m^(−1/4) is {at_least}")
    # λ ≤ ½m^(−α) in m λ⁴ ≥ n⁴: m^(1 − 4α) ≥ 16 n⁴, impossible for α ≥ 1/4 and n ≥ 1
    implied = sympy.powsimp(sympy.expand(16 * (m * least**4).subs(least, m ** (-alpha) / 2)), force=True)
    ensure(sympy.simplify(implied - m ** (1 - 4 * alpha)) == 0, f"16·m·λ⁴ is {implied}")
    ensure(sympy.simplify(m ** (1 - 4 * alpha)).subs(alpha, sympy.Rational(1, 4)) == 1, "at α = 1/4 it is not 1 ≥ 16n⁴")
    power = 4 / (1 - 4 * alpha)
    back = sympy.powsimp(((2 * n) ** power) ** (1 - 4 * alpha), force=True)
    ensure(sympy.simplify(sympy.powdenest(back, force=True) - 16 * n**4) == 0, f"(2n)^(4/(1−4α)) gives {back}")
    needed = width_needed(1, ALPHA_PAPER)
    ensure(needed == 100 and sympy.simplify(power.subs(alpha, sympy.Rational(6, 25))) == 100, f"m ≥ (2n)^{needed}")
    reason = "mp ≥ n m^(3/4) whatever b is; α < 1/4, and at α = 0.24 m ≥ (2n)^100"
    return Verdict(Status.PROVED, Evidence.SYMBOLIC, reason, {"exponent at alpha=0.24": int(needed)})
