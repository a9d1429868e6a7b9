"""Nyquist learners, as defined here: recovery, the jump at D, noise, unknown bandwidth; exact, and in float64."""

from __future__ import annotations

import math
import random
from fractions import Fraction

import sympy
import torch

from constructions.scaling_laws.nyquist import NyquistLearner, circle_basis, exact_recovery
from theory.claim import Context, Evidence, Status, Table, Verdict, ensure
from theory.exact import rational
from theory.scaling_laws.bounds import average_error, noise_error, noise_error_interpolating, worst_case_error
from theory.scaling_laws.checkers.cyclotomic import gram_is_scalar
from theory.scaling_laws.checkers.finite_field import Field, aliasing_holds, recovers
from theory.scaling_laws.checkers.rational_nodes import (
    least_degree,
    projection_error,
    recovery_eq,
    sampled,
    squared_norms,
    variance_factor,
)

NODES = tuple(Fraction(t) for t in ("-5", "-2", "-1", "-1/3", "0", "1/2", "3/2", "4"))
COEFFICIENTS = tuple(Fraction(c) for c in ("3", "-1", "2", "1/2", "0", "-4", "5/3"))
KERNEL = tuple(Fraction(c) for c in (96, -105, 145, -48, -114, 57, 1))
"""The worked example: K = 3, eight points of the circle; its digits are in docs/scaling_laws.md."""

LEARNER_SLACK = 1e-13
"""Times the condition number: what float64 may lose."""


def samples_of(coefficients, nodes) -> list[Fraction]:
    """f at the circle points of the nodes, in rationals."""
    bandwidth = len(coefficients) // 2
    return [
        sum((a * b for a, b in zip(circle_basis(bandwidth, t), coefficients, strict=True)), Fraction(0)) for t in nodes
    ]


def distinct_nodes(count: int, g: random.Random) -> list[Fraction]:
    found: list[Fraction] = []
    while len(found) < count:
        t = Fraction(g.randint(-30, 30), g.randint(1, 12))
        if t not in found:
            found.append(t)
    return found


def angle(nodes, device) -> torch.Tensor:
    """x (n, 1) in (−1/2, 1/2) of the circle points of t: θ = 2 arctan t."""
    return torch.tensor([[math.atan(t) / math.pi] for t in nodes], dtype=torch.float64, device=device)


def nyquist_recovery(context: Context) -> Verdict:
    g, rows = random.Random(context.seed), []
    for bandwidth in (1, 2, 3, 5, 8, 13, 21, 40) if context.full else (1, 2, 3, 5, 8):
        for n in (2 * bandwidth - 1, 2 * bandwidth, 2 * bandwidth + 1, 2 * bandwidth + 2, 3 * bandwidth + 2):
            back = recovers(bandwidth, n).holds
            ensure(back == (n >= 2 * bandwidth + 1), f"K={bandwidth}, n={n}: recovered is {back}")
            coefficients = [g.randrange(10_000) for _ in range(2 * bandwidth + 1)]
            ensure(aliasing_holds(bandwidth, n, coefficients), "aliasing")
            rows.append((bandwidth, n, Field.with_root_of_order(n).p, back))
    for bandwidth, side in ((1, 2), (1, 3), (2, 4), (2, 5), *(((3, 6), (3, 7)) if context.full else ())):
        back = recovers(bandwidth, side, 2).holds
        ensure(back == (side >= 2 * bandwidth + 1), f"T², K={bandwidth}, grid {side}²: recovered is {back}")
    sets = _distinct_nodes_determine(g, 8 if context.full else 4)
    gap = _shipped_learner(context)
    reason = (
        f"over F_p {len(rows)} pairs (K, n) are recovered iff n ≥ 2K + 1 and alias as stated, on T² iff the side is; "
        f"{sets} sets of 2K + 1 distinct rational nodes have full rank; in float64 the learner is within {gap:.0e}"
    )
    tables = {"over F_p": Table(("K", "n", "p", "recovered"), tuple(rows))}
    return Verdict(Status.PROVED, Evidence.EXACT, reason, {"pairs": len(rows), "node sets": sets}, tables=tables)


def _distinct_nodes_determine(g: random.Random, most: int) -> int:
    """The worked example, random nodes on the circle, and on T² nodes on a line (which fail) and others."""
    values = samples_of(COEFFICIENTS, NODES)
    for n in (5, 6, 7, 8):
        result = exact_recovery(3, NODES[:n], values[:n])
        ensure(recovery_eq(result, 3, NODES[:n], values[:n]), f"worked example, n={n}")
        ensure(result.rank == min(n, 7), f"worked example, n={n}: rank {result.rank}")
        ensure((result.coefficients == COEFFICIENTS) == (n >= 7), f"worked example, n={n}: {result.coefficients}")
        ensure(n != 6 or result.kernel == (KERNEL,), f"worked example, n=6: kernel {result.kernel}")
    sets = 0
    for bandwidth in range(1, most + 1):
        for _ in range(3):
            nodes = distinct_nodes(2 * bandwidth + 1, g)
            ensure(sampled(nodes, bandwidth).rank() == len(nodes), f"K={bandwidth}: nodes {nodes} are dependent")
            sets += 1
    for bandwidth in (1, 2):
        size = (2 * bandwidth + 1) ** 2
        line = [(t, Fraction(1)) for t in distinct_nodes(size, g)]
        ensure(sampled(line, bandwidth).rank() < size, "nodes on a line of T² determine a function")
        free = list(zip(distinct_nodes(size, g), distinct_nodes(size, g), strict=True))
        ensure(sampled(free, bandwidth).rank() == size, f"T², K={bandwidth}: the nodes {free} are dependent")
        sets += 1
    return sets


def _shipped_learner(context: Context) -> float:
    """The learner of `constructions`, in float64 at the nodes of the worked example: its largest error there."""
    x = angle(NODES, context.device)
    y = torch.tensor([float(v) for v in samples_of(COEFFICIENTS, NODES)], dtype=torch.float64, device=context.device)
    learner = NyquistLearner(3).fit(x[:7], y[:7])
    elsewhere = (Fraction(1, 7), Fraction(-3), Fraction(9))
    truth = torch.tensor([float(v) for v in samples_of(COEFFICIENTS, elsewhere)], dtype=torch.float64)
    gap = float((learner.predict(angle(elsewhere, context.device)).cpu() - truth).abs().max())
    ensure(gap <= LEARNER_SLACK * learner.condition * float(y.abs().max()), f"the learner is {gap:.1e} off")
    return gap


def nyquist_jump(context: Context) -> Verdict:
    g, rows = random.Random(context.seed), []
    for bandwidth in range(1, (8 if context.full else 3) + 1):
        size = 2 * bandwidth + 1
        nodes = distinct_nodes(size + 1, g)
        for n in range(1, size + 2):
            seen, zeros = nodes[:n], [0] * n
            result = exact_recovery(bandwidth, seen, zeros)
            ensure(recovery_eq(result, bandwidth, seen, zeros), f"K={bandwidth}, n={n}")
            # f0 and −f0 look the same at the nodes, and no answer g is nearer than ‖f0‖ to both
            worst = int(len(result.kernel) > 0)
            ensure(
                worst == worst_case_error(n, bandwidth),
                f"K={bandwidth}, n={n}: {len(result.kernel)} invisible functions",
            )
            if n <= size:
                rows.append(_average_row(seen, bandwidth, 1, worst))
    for bandwidth in (1, 2) if context.full else (1,):
        size = (2 * bandwidth + 1) ** 2
        nodes = list(zip(distinct_nodes(size, g), distinct_nodes(size, g), strict=True))
        rows += [_average_row(nodes[:n], bandwidth, 2, int(n < size)) for n in range(1, size + 1)]
    reason = (
        f"{len(rows)} sets of nodes: below D samples some function of norm 1 is invisible, from D on none; the average "
        "error is 1 − n/D as an exact trace"
    )
    columns = ("K", "dimension", "n", "D", "worst case", "average")
    return Verdict(
        Status.PROVED, Evidence.EXACT, reason, {"node sets": len(rows)}, tables={"jump": Table(columns, tuple(rows))}
    )


def _average_row(nodes, bandwidth: int, dimension: int, worst: int) -> tuple:
    n, size = len(nodes), (2 * bandwidth + 1) ** dimension
    projection = projection_error(nodes, bandwidth)
    ensure(projection, f"K={bandwidth}, dimension {dimension}, n={n}")
    stated = average_error(n, bandwidth, dimension)
    ensure(
        projection.error == rational(stated),
        f"K={bandwidth}, n={n}: the average error is {projection.error}, not {stated}",
    )
    return bandwidth, dimension, n, size, worst, str(stated)


def nyquist_noise(context: Context) -> Verdict:
    most, rows = 15 if context.full else 7, []
    for n in range(1, most + 1):
        for bandwidth in range((n - 1) // 2 + 1):
            ensure(gram_is_scalar(n, bandwidth), f"n={n}, K={bandwidth}")
            # Cov ĉ = σ²G⁻¹ = σ²/n·1, and the error is its trace
            factor = Fraction(2 * bandwidth + 1, n)
            ensure(factor == noise_error(n, bandwidth), f"n={n}, K={bandwidth}: tr G⁻¹ is {factor}")
            rows.append((n, bandwidth, str(factor), str(noise_error_interpolating(n))))
        ensure(factor == noise_error_interpolating(n), f"n={n}: all frequencies give {factor}")
        if n % 2 == 0:
            ensure(not gram_is_scalar(n, n // 2).holds, f"n={n}: K = n/2 has a scalar Gram matrix")
    _uniform_is_best(random.Random(context.seed), context)
    reason = (
        f"σ²D/n from Gram matrices n·1 for all n ≤ {most}; no design has less: tr A·tr A⁻¹ ≥ D² and each row has the "
        "squared norm D; interpolating with all frequencies keeps σ²(2⌊(n − 1)/2⌋ + 1)/n"
    )
    columns = ("n", "K", "error at variance 1", "K unknown")
    return Verdict(
        Status.PROVED, Evidence.SYMBOLIC, reason, {"designs": len(rows)}, tables={"noise": Table(columns, tuple(rows))}
    )


def _uniform_is_best(g: random.Random, context: Context) -> None:
    for size in range(2, 6):
        eigenvalues = sympy.symbols(f"a:{size}", positive=True)
        gap = sympy.Add(*eigenvalues) * sympy.Add(*(1 / a for a in eigenvalues)) - size**2
        squares = sympy.Add(*((a - b) ** 2 / (a * b) for i, a in enumerate(eigenvalues) for b in eigenvalues[:i]))
        ensure(sympy.simplify(gap - squares) == 0, f"tr A·tr A⁻¹ − D² is no sum of squares at D={size}")
    for bandwidth in (1, 2, 3):
        size = 2 * bandwidth + 1
        for n in (size, size + 1, size + 3):
            nodes = distinct_nodes(n, g)
            rows, norms = sampled(nodes, bandwidth), squared_norms(bandwidth)
            lengths = {sum((rows[j, k] ** 2 / norms[k] for k in range(size)), start=norms[0] * 0) for j in range(n)}
            ensure(lengths == {size}, f"K={bandwidth}: squared norms {lengths} of the rows")
            exact = variance_factor(nodes, bandwidth)
            ensure(exact >= rows[0, 0] * size * size / (n * size), f"K={bandwidth}, n={n}: {exact} is below D/n")
            x = angle(nodes, context.device)
            learner = NyquistLearner(bandwidth).fit(x, torch.zeros(n, dtype=torch.float64, device=context.device))
            known = int(exact.p) / int(exact.q)
            gap = abs(learner.variance_factor - known)
            ensure(
                gap <= 1e-9 * known * learner.condition,
                f"the learner's factor is {learner.variance_factor}, not {known}",
            )


def nyquist_bandwidth(context: Context) -> Verdict:
    g, searched, vacuous = random.Random(context.seed), 0, 0
    values = samples_of(COEFFICIENTS, NODES)
    for n in (6, 7, 8):
        ensure(least_degree(NODES[:n], values[:n], 3) == 3, f"worked example, n={n}")
        unique = exact_recovery(3, NODES[:n], values[:n]).coefficients == COEFFICIENTS
        ensure(unique == (n >= 7), f"worked example, n={n}: unique is {unique}")
    for bandwidth in range((8 if context.full else 3) + 1):
        for n in (2 * bandwidth + 1, 2 * bandwidth + 2, 2 * bandwidth + 5):
            context.log(f"K={bandwidth}, n={n}")
            coefficients = [Fraction(g.randint(-9, 9), g.randint(1, 5)) for _ in range(2 * bandwidth)] + [Fraction(1)]
            nodes = distinct_nodes(n, g)
            values = samples_of(coefficients, nodes)
            found = least_degree(nodes, values, (n - 1) // 2)
            ensure(found == bandwidth, f"K={bandwidth}, n={n}: the least consistent degree is {found}")
            result = exact_recovery(bandwidth, nodes, values)
            ensure(recovery_eq(result, bandwidth, nodes, values), f"K={bandwidth}, n={n}")
            ensure(result.coefficients == tuple(coefficients), f"K={bandwidth}, n={n}: another function fits")
            searched += 1
            if n > 2 * bandwidth + 1:
                _shipped_search(nodes, values, bandwidth, context)
        nodes = distinct_nodes(2 * bandwidth + 2, g)
        anything = [Fraction(g.randint(-99, 99), 7) for _ in nodes]
        fits = exact_recovery(bandwidth, nodes[:-1], anything[:-1]).consistent
        ensure(fits, f"2·{bandwidth} + 1 samples of anything are not consistent with degree {bandwidth}")
        vacuous += int(not exact_recovery(bandwidth, nodes, anything).consistent)
    ensure(vacuous > 0, "one sample more never says anything")
    reason = (
        f"in {searched} rational instances the least consistent degree is the bandwidth, its interpolant the function; "
        "2k + 1 samples of anything are consistent with degree k, one more can contradict it"
    )
    return Verdict(Status.PROVED, Evidence.EXACT, reason, {"instances": searched, "contradicted by one more": vacuous})


def _shipped_search(nodes, values, bandwidth: int, context: Context) -> None:
    """The learner of `constructions` searches in float64; nodes too close together for it are left out."""
    x = angle(nodes, context.device)
    y = torch.tensor([float(v) for v in values], dtype=torch.float64, device=context.device)
    known = NyquistLearner(bandwidth).fit(x, y)
    if known.condition <= 1e4:
        learner = NyquistLearner(bandwidth + 1, unknown=True).fit(x, y)
        ensure(
            learner.degree == bandwidth and learner.informative,
            f"the learner finds degree {learner.degree}, not {bandwidth}",
        )
