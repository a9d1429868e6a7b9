"""The error law itself: what it determines, and what sizes a target needs; in sympy, with the shipped law beside it."""

from __future__ import annotations

import math

import sympy
import torch

from constructions.scaling_laws.law import ScalingLaw
from theory.claim import Context, Evidence, Status, Table, Verdict, ensure

N, M = sympy.symbols("n m", positive=True)
A, B, C, ALPHA, BETA = sympy.symbols("A B C alpha beta", positive=True)
EXAMPLE = {A: 8, ALPHA: sympy.Rational(1, 2), B: 4, BETA: 1, C: sympy.Rational(1, 50)}
ROUNDED = 5e-7
"""Half a unit of the six decimals that the page prints."""


def redundant_constant(context: Context) -> Verdict:
    a, b, c, eta, chance, kappa = sympy.symbols("a b c eta epsilon_0 kappa", positive=True)

    def error(a, b, c, eta):
        e = a * N**-ALPHA + b * M**-BETA + c
        return chance * e / sympy.sqrt(e**2 + eta**2)

    four = (a, b, c, eta)
    moved = sympy.simplify(error(*(kappa * v for v in four)) - error(*four))
    ensure(moved == 0, f"scaling by kappa changes the law by {moved}")
    euler = sympy.simplify(sympy.Add(*(v * sympy.diff(error(*four), v) for v in four)))
    ensure(euler == 0, f"the derivative along (a, b, c, eta) is {euler}")
    # the gauge u = e/eta keeps everything that is determined
    u = (a * N**-ALPHA + b * M**-BETA + c) / eta
    gauged = sympy.simplify(error(*four) - chance * u / sympy.sqrt(1 + u**2))
    ensure(gauged == 0, f"the law in u differs by {gauged}")
    ranks = _ranks(error(*four), four, {chance: 1})
    ensure(max(ranks) == 3, f"Jacobians in (a, b, c, eta) have the ranks {sorted(set(ranks))}")
    reason = (
        "the law is homogeneous of degree 0 in (a, b, c, eta): Euler's sum is 0; Jacobians at 6 sizes and "
        f"{len(ranks)} rational constants have rank {max(ranks)} of 4"
    )
    return Verdict(Status.PROVED, Evidence.SYMBOLIC, reason, {"rank": max(ranks), "constants": 4})


def _ranks(error, constants, known) -> list[int]:
    """Of Jacobians at rational sizes and constants; the square root is common to a row, so rows are divided by it."""
    sizes = [(1, 1), (1, 2), (2, 1), (2, 3), (3, 2), (5, 7)]
    gradient = [sympy.together(sympy.diff(sympy.log(error), v)) for v in constants]
    found = []
    for values in ((1, 2, 3, 4), (5, 1, 2, 1), (2, 7, 1, 3)):
        at = {**known, **dict(zip(constants, values, strict=True)), ALPHA: 1, BETA: 2}
        rows = [[sympy.nsimplify(g.subs({**at, N: n, M: m})) for g in gradient] for n, m in sizes]
        found.append(sympy.Matrix(rows).rank())
    return found


def planning(context: Context) -> Verdict:
    w, x, y = sympy.symbols("w x y", positive=True)
    n_best = (A * (ALPHA + BETA) / (BETA * w)) ** (1 / ALPHA)
    m_best = (B * (ALPHA + BETA) / (ALPHA * w)) ** (1 / BETA)
    shares = [sympy.simplify(A * n_best**-ALPHA / w), sympy.simplify(B * m_best**-BETA / w)]
    ensure(sympy.simplify(sympy.Add(*shares) - 1) == 0, f"the split {shares} does not reach the target")
    # Lagrange in x = ln n, y = ln m: both exponentials times their exponents are equal; they are convex
    balance = sympy.simplify(ALPHA * shares[0] - BETA * shares[1])
    ensure(balance == 0, f"alpha A n^-alpha - beta B m^-beta is {balance}")
    for amount, rate, at in ((A, ALPHA, x), (B, BETA, y)):
        bend = sympy.diff(amount * sympy.exp(-rate * at), at, 2)
        ensure(sympy.simplify(bend / (amount * rate**2 * sympy.exp(-rate * at))) == 1, f"the curvature is {bend}")
    rest = sympy.symbols("rest", positive=True)  # w - B m^-beta
    back = sympy.simplify(A * ((A / rest) ** (1 / ALPHA)) ** -ALPHA - rest)
    ensure(back == 0, f"the needed size misses what is left by {back}")
    u = sympy.symbols("u", positive=True)
    envelope = u / sympy.sqrt(1 + u**2)
    ensure(sympy.simplify(sympy.diff(envelope, u) * (1 + u**2) ** sympy.Rational(3, 2)) == 1, "the envelope's slope")
    ensure(sympy.limit(envelope, u, sympy.oo) == 1, "the envelope's upper limit")
    ensure(sympy.limit(envelope / u, u, 0) == 1, "the envelope's lower limit")
    r = sympy.symbols("r", positive=True)
    inverse = envelope.subs(u, r / sympy.sqrt(1 - r**2))
    known = sympy.simplify(inverse.subs(r, 1 / sympy.sqrt(1 + u**2)) * sympy.sqrt(1 + u**2))
    ensure(known == 1, f"u = r/sqrt(1 - r^2) is not the inverse: {known}")
    rows = _worked_example(context)
    reason = (
        "the split is the unique stationary point of a strictly convex programme, needed sizes solve the law; the "
        f"shipped law gives the {len(rows)} numbers of the worked example"
    )
    return Verdict(
        Status.PROVED, Evidence.SYMBOLIC, reason, {"numbers": len(rows)},
        tables={"worked example": Table(("what", "value"), tuple(rows))},
    )  # fmt: skip


def _worked_example(context: Context) -> list[tuple[str, float]]:
    """Exact values by sympy against the shipped law's, at errors and at sizes; u* is that of the target 0.1."""
    law = ScalingLaw((8.0, 4.0), (0.5, 1.0), 0.02, chance=1.0)
    sizes = [(n, m) for n in (64, 256, 1024) for m in (4, 16, 64)]
    shipped = law(torch.tensor(sizes, dtype=torch.float64, device=context.device)).tolist()
    rows = []
    for (n, m), found in zip(sizes, shipped, strict=True):
        e = (A * N**-ALPHA + B * M**-BETA + C).subs(EXAMPLE).subs({N: n, M: m})
        rows.append((f"error at n={n}, m={m}", float(e / sympy.sqrt(1 + e**2)), found, ROUNDED))
    w = sympy.Rational(1, 10) / sympy.sqrt(1 - sympy.Rational(1, 100)) - EXAMPLE[C]
    beside, split = w - sympy.Rational(4, 64), sympy.Rational(3, 2)
    n_best, m_best = (8 * split / w) ** 2, 4 * split / (w / 2)
    cheapest = law.cheapest(0.1)
    rows += [
        ("n needed at m=64 for 0.1", float((8 / beside) ** 2), law.needed(0, 0.1, {1: 64.0}), 1e-3),
        ("cheapest n for 0.1", float(n_best), cheapest[0], 1e-4),
        ("cheapest m for 0.1", float(m_best), cheapest[1], 1e-6),
        ("floor", float(EXAMPLE[C] / sympy.sqrt(1 + EXAMPLE[C] ** 2)), law.floor, 1e-12),
    ]
    for what, exact, found, slack in rows:
        ensure(abs(found - exact) <= slack, f"{what}: the law says {found!r}, exact is {exact!r}")
    ensure(law.needed(0, 0.02, {1: 64.0}) == math.inf, "0.02 at m=64 is said to be reachable")
    ensure(law.needed(0, law.floor, {1: math.inf}) == math.inf, "the floor is said to be reachable")
    return [(what, found) for what, _, found, _ in rows]
