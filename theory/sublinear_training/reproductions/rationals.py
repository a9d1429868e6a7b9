"""What holds in rationals: the identities of a step, termination, the same weights by all methods, distinct points."""

from __future__ import annotations

import random
from dataclasses import dataclass
from fractions import Fraction

from flint import fmpq, fmpq_mat

from constructions.sublinear_training.data import stereographic
from theory.claim import Context, Evidence, Report, Status, Verdict, ensure
from theory.exact import rational
from theory.sublinear_training.checkers.exact_training import (
    METHODS,
    ExactStep,
    ExactTrainer,
    SilentPoint,
    Singular,
)

MOST_STEPS = 12


def rational_points(n: int, d: int, g: random.Random) -> list[tuple[Fraction, ...]]:
    """n rational points of norm 1, no two equal or antipodal."""
    points: list[tuple[Fraction, ...]] = []
    while len(points) < n:
        x = stereographic([Fraction(g.randint(-3, 3), g.randint(1, 3)) for _ in range(d - 1)])
        if x not in points and tuple(-v for v in x) not in points:
            points.append(x)
    return points


@dataclass(frozen=True)
class Instance:
    """Weights, signs, points, labels Y = √m y, shift and radius, all rational."""

    weights: tuple
    signs: tuple[int, ...]
    points: tuple
    labels: tuple
    bias: Fraction
    radius: Fraction

    def trainer(self, method: str) -> ExactTrainer:
        return ExactTrainer(self.weights, self.signs, self.points, self.labels, self.bias, self.radius, method=method)


def worked_example() -> Instance:
    """Eight units, three points of the plane; every digit is in docs/sublinear_training.md."""
    rows = ((-3, 2), (1, 4), (3, -3), (3, -1), (3, 4), (1, -4), (-3, 0), (0, 0))
    weights = tuple((Fraction(a, 2), Fraction(b, 2)) for a, b in rows)
    points = ((Fraction(1), Fraction(0)), (Fraction(3, 5), Fraction(4, 5)), (Fraction(0), Fraction(1)))
    return Instance(weights, (1, -1) * 4, points, (1, -1, 1), Fraction(1), Fraction(1, 2))


def random_instance(seed: int, *, m: int, n: int, d: int = 3) -> Instance:
    """Weights k/8, stereographic points no two of which are equal or antipodal, labels ±1."""
    g = random.Random(seed)
    points = rational_points(n, d, g)
    weights = tuple(tuple(Fraction(g.randint(-16, 16), 8) for _ in range(d)) for _ in range(m))
    signs = tuple(g.choice((1, -1)) for _ in range(m))
    labels = tuple(g.choice((1, -1)) for _ in range(n))
    return Instance(weights, signs, tuple(points), labels, Fraction(3, 4), Fraction(1, 2))


def step_holds(instance: Instance, before: list, step: ExactStep, after: list) -> Report:
    """The identities of one step between two sets of rational weights, recomputed from them."""
    shift = rational(instance.bias)
    keys = [[[_dot(w, x) for x in instance.points] for w in weights] for weights in (before, after)]
    for i in range(len(instance.points)):
        value = -rational(instance.labels[i])
        jumps = fmpq(0)
        for r, sign in enumerate(instance.signs):
            old, new = keys[0][r][i], keys[1][r][i]
            if new > shift:
                value += sign * (new - shift)
            if (old > shift) != (new > shift):
                jumps += sign * abs(new - shift)
        if value != jumps:
            return Report(f"point {i}: the residual is {value}, the flips say {jumps}")
    moved = sum(
        ((a - b) ** 2 for old, new in zip(before, after, strict=True) for a, b in zip(old, new, strict=True)), fmpq(0)
    )
    energy = sum((r * g for r, g in zip(step.residual, step.solution, strict=True)), fmpq(0))
    if moved != energy:
        return Report(f"the squared movement is {moved}, gᵀGg is {energy}")
    return Report()


def _dot(first, second) -> fmpq:
    return sum((rational(a) * rational(b) for a, b in zip(first, second, strict=True)), fmpq(0))


def run(instance: Instance) -> tuple[str, int]:
    """How training ends ("zero residual", "singular", "silent point", "steps spent") by all methods alike, and after
    how many steps; `ensure` fails where an identity does, or where methods differ."""
    trainers = [instance.trainer(method) for method in METHODS]
    for t in range(MOST_STEPS):
        if not any(trainers[0].residual()):
            return "zero residual", t
        before = [list(row) for row in trainers[0].weights]
        try:
            steps = [trainer.step() for trainer in trainers]
        except Singular:
            return "singular", t
        except SilentPoint:
            return "silent point", t
        ensure(all(s.fired == steps[0].fired for s in steps), "the methods find different pairs")
        ensure(all(trainer.weights == trainers[0].weights for trainer in trainers), "the methods' weights differ")
        ensure(step_holds(instance, before, steps[0], trainers[0].weights), f"step {t}")
    return "steps spent", MOST_STEPS


def identities(context: Context) -> Verdict:
    seeds, m, n = (400, 64, 4) if context.full else (40, 16, 3)
    ends: dict[str, int] = {}
    ensure(run(worked_example()) == ("zero residual", 2), "the worked example does not end with residual 0")
    longest = 0
    for seed in range(seeds):
        context.log(f"instance {seed} of {seeds}")
        end, steps = run(random_instance(seed, m=m, n=n))
        ends[end] = ends.get(end, 0) + 1
        longest = max(longest, steps if end == "zero residual" else 0)
    ensure(ends.get("zero residual", 0) > seeds // 2, "few runs end with residual 0", **ends)
    reason = (
        f"{seeds} rational runs: all methods equal, both identities hold at every step; {ends['zero residual']} reach "
        f"residual exactly 0, after {longest} steps at most"
    )
    return Verdict(Status.PROVED, Evidence.EXACT, reason, {"instances": seeds, "longest": longest, **ends})


def distinct_points(context: Context) -> Verdict:
    example = worked_example()
    antipodal = tuple(-v for v in example.points[0])
    three, opposite, repeated = (
        gram_determinant(example, (*example.points, *more)) for more in ((), (antipodal,), (example.points[0],))
    )
    ensure(three == fmpq(18, 5) and opposite == fmpq(36, 5), f"determinants {three} and {opposite}")
    ensure(repeated == 0, f"equal points give the determinant {repeated}")
    checked = 0
    for seed in range(60 if context.full else 10):
        instance = random_instance(seed, m=64, n=3)
        alone = gram_determinant(instance, instance.points)
        if alone == 0:
            continue
        doubled = gram_determinant(instance, (*instance.points, instance.points[1]))
        ensure(doubled == 0, f"seed {seed}: equal points give the determinant {doubled}")
        opposite_of = gram_determinant(instance, (*instance.points, tuple(-v for v in instance.points[0])))
        ensure(opposite_of > 0, f"seed {seed}: an antipodal pair gives the determinant {opposite_of}")
        checked += 1
    ensure(checked > 0, "no instance had a positive determinant")
    reason = (
        f"det(K∘C) = 18/5, with the antipode 36/5, with a repeated point 0; the same signs in {checked} more instances"
    )
    return Verdict(Status.PROVED, Evidence.EXACT, reason, {"instances": checked + 1})


def gram_determinant(instance: Instance, points: tuple) -> fmpq:
    """det(K∘C) of these points with the instance's weights and shift."""
    shift = rational(instance.bias)
    fires = [[_dot(w, x) > shift for w in instance.weights] for x in points]
    rows = [
        [_dot(x, z) * sum(a and b for a, b in zip(fires[i], fires[j], strict=True)) for j, z in enumerate(points)]
        for i, x in enumerate(points)
    ]
    return fmpq_mat(rows).det()
