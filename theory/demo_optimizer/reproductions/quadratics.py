"""Where DeMo arrives: separable quadratics in rationals, a coordinate that starves, a sign that ascends."""

from __future__ import annotations

import random
from fractions import Fraction

from theory.claim import Context, Evidence, Status, Verdict, ensure
from theory.demo_optimizer.checkers.descent import WITNESS, enclosed_step
from theory.demo_optimizer.checkers.quadratics import (
    Quadratic,
    arrival,
    random_quadratic,
    run,
    settles,
    starves,
    steps_of,
)

INSTANCES, INSTANCES_FULL = 200, 2000
LONGER = 24
STARVING = Quadratic((1, 400), (Fraction(1), Fraction(1, 20)), Fraction(1, 10), Fraction(9, 10), 1)
STARVED_STEPS = 2000


def quadratic_convergence(context: Context) -> Verdict:
    g = random.Random(context.seed)
    worst, count = Fraction(0), INSTANCES_FULL if context.full else INSTANCES
    for i in range(count):
        problem = random_quadratic([g.randrange(1 << 20) for _ in range(16)])
        within = steps_of(problem)
        seen = run(problem, within + LONGER)
        ensure(settles(problem, seen, within), f"instance {i}: {problem}")
        if within:
            worst = max(worst, Fraction(arrival(problem, seen), within))
    ensure(0 < worst <= 1, f"the longest run took {float(worst):.3f} of its bound")
    reason = f"proved in docs/demo_optimizer.md; {count} rational runs arrive within {float(worst):.3f} of the bound"
    numbers = {"instances": count, "longest / bound": float(worst)}
    return Verdict(Status.PROVED, Evidence.EXACT, reason, numbers)


def converges_at_any_curvature(context: Context) -> Verdict:
    seen = run(STARVING, STARVED_STEPS if context.full else STARVED_STEPS // 4)
    ensure(starves(STARVING, seen, 0), "coordinate 0")
    free = run(Quadratic(STARVING.curvatures, STARVING.start, STARVING.eta, STARVING.beta, 2), 10)
    ensure(free.points[-1][0] == 0, f"with both sent, p_0 is {free.points[-1][0]} after 10 steps")
    crossed = {}
    for a in (190, 200, 201, 210):
        here = Quadratic((1, a), STARVING.start, STARVING.eta, STARVING.beta, 1)
        crossed[a] = any(0 in places for places in run(here, 100).sent)
    ensure(list(crossed.values()) == [True, False, False, False], f"curvatures that move p_0: {crossed}")
    witness = "½(p_0² + 400p_1²), p=(1, 1/20), η=1/10, β=9/10, k=1: |m_1|=2 each step, |m_0|<1; p_0=1 for ever"
    reason = f"coordinate 0 was not sent in {len(seen.sent)} exact steps, and |m_0| < ηa|p|/(1 − β) = 1 < 2 = |m_1|"
    return Verdict(Status.REFUTED, Evidence.EXACT, reason, {"steps": len(seen.sent)}, witness=witness)


def descent_direction(context: Context) -> Verdict:
    seen = enclosed_step(WITNESS)
    ensure(seen.product < 0, f"⟨g, sign⟩ = {seen.product} is no ascent")
    full = sum(abs(x) for x in WITNESS)
    top = max(abs(x) for x in WITNESS)
    ensure(full > 0 and top > 0, "the controls without a transform do not descend")
    witness = f"g = {WITNESS}: the only largest coefficient is c_{seen.place}, ⟨g, sign(Tᵀtop_1)⟩ = {seen.product}"
    numbers = {
        "⟨g, sign⟩": seen.product,
        "largest": float(seen.largest.mid()),
        "next": float(seen.next.mid()),
        "⟨g, sign⟩ with all sent": full,
        "⟨g, sign⟩ without a transform": top,
    }
    reason = f"f(p) = ⟨g, p⟩ grows by {-seen.product}η in a step; with k = n, or without a transform, it falls"
    return Verdict(Status.REFUTED, Evidence.ENCLOSED, reason, numbers, witness=witness)
