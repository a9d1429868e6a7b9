"""DeMo without a transform on separable quadratics ½Σ a_i p_i², one chunk, exact gradients, in FLINT's rationals.

Main definitions: `Quadratic`, `Run`, `run`, `settles`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from flint import fmpq

from theory.claim import Report
from theory.demo_optimizer.bounds import steps_needed


@dataclass(frozen=True)
class Quadratic:
    """Curvatures a, start p, rate η, decay β, and how many coordinates are sent."""

    curvatures: tuple[int, ...]
    start: tuple[Fraction, ...]
    eta: Fraction
    beta: Fraction
    k: int


@dataclass(frozen=True)
class Run:
    """Step by step: the sent places; and the points, the start among them."""

    sent: list[tuple[int, ...]]
    points: list[tuple[fmpq, ...]]


def rational(x: Fraction | int) -> fmpq:
    return fmpq(Fraction(x).numerator, Fraction(x).denominator)


def run(problem: Quadratic, steps: int) -> Run:
    """`steps` steps; of equal momenta the first coordinate's is sent."""
    n = len(problem.start)
    eta, beta = rational(problem.eta), rational(problem.beta)
    p, e = [rational(x) for x in problem.start], [fmpq(0)] * n
    sent, points = [], [tuple(p)]
    for _ in range(steps):
        m = [beta * e[i] + eta * problem.curvatures[i] * p[i] for i in range(n)]
        places = sorted(range(n), key=lambda i: (-abs(m[i]), i))[: problem.k]
        for i in places:
            p[i] -= eta * ((m[i] > 0) - (m[i] < 0))
        e = [fmpq(0) if i in places else m[i] for i in range(n)]
        sent.append(tuple(sorted(places)))
        points.append(tuple(p))
    return Run(sent, points)


def settles(problem: Quadratic, seen: Run, within: int, *, radius: Fraction | None = None) -> Report:
    """Whether all a_i|p_i| are at most the radius (None: A·η) after `within` steps at the latest, and from then on.

    A run that is shorter decides nothing, and is a failure.
    """
    most = rational(max(problem.curvatures) * problem.eta if radius is None else radius)
    if not within < len(seen.points):
        return Report(f"{len(seen.points) - 1} steps were seen, {within} are needed")
    first = None
    for t, p in enumerate(seen.points):
        inside = all(a * abs(x) <= most for a, x in zip(problem.curvatures, p, strict=True))
        if inside and first is None:
            first = t
        if not inside and (first is not None or t >= within):
            return Report(f"after {t} steps the gradient is above {most}")
    return Report()


def arrival(problem: Quadratic, seen: Run) -> int:
    """The first step after which all a_i|p_i| ≤ A·η."""
    most = rational(max(problem.curvatures) * problem.eta)
    for t, p in enumerate(seen.points):
        if all(a * abs(x) <= most for a, x in zip(problem.curvatures, p, strict=True)):
            return t
    return len(seen.points)


def starves(problem: Quadratic, seen: Run, coordinate: int) -> Report:
    """Whether a coordinate that is not at its minimum never moves for ever: by the run, and by an invariant.

    The others repeat: p returns to where it was two steps before, their momenta are what they were, and the largest
    that the coordinate's can ever be, ηa|p|/(1 − β), is less than the least of those that were sent.
    """
    if any(coordinate in places for places in seen.sent):
        return Report("the coordinate was sent")
    if any(a[coordinate] != b[coordinate] for a, b in zip(seen.points, seen.points[1:], strict=False)):
        return Report("the coordinate moved")
    if seen.points[0] != seen.points[2] or problem.k != 1:
        return Report("the others do not repeat")
    eta, a = rational(problem.eta), problem.curvatures
    ever = eta * a[coordinate] * abs(seen.points[0][coordinate]) / (1 - rational(problem.beta))
    if len(set(seen.sent)) != 1:
        return Report("different coordinates are sent")
    (other,) = seen.sent[0]
    least = min(eta * a[other] * abs(p[other]) for p in seen.points[:2])
    if not ever < least:
        return Report(f"its momentum may reach {ever}, that of the one sent is {least}")
    return Report()


def steps_of(problem: Quadratic) -> int:
    """The bound of theorem 11 for a minimum at 0."""
    n = len(problem.start)
    return steps_needed(n, problem.start, (Fraction(0),) * n, problem.eta)


def random_quadratic(g: Sequence[int]) -> Quadratic:
    """The problem that a row of random integers describes."""
    size, k, which, rate, *rest = g
    n = 1 + size % 6
    betas = (Fraction(0), Fraction(1, 2), Fraction(9, 10), Fraction(99, 100), Fraction(1))
    curvatures = tuple((1, 2, 5, 20)[rest[i] % 4] for i in range(n))
    start = tuple(Fraction(rest[6 + i] % 129 - 64, 16) for i in range(n))
    return Quadratic(curvatures, start, Fraction(1 + rate % 4, 4), betas[which % 5], min(n, 1 + k % 2))
