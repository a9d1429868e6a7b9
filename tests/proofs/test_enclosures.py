"""The checker's intervals against Arb balls: an enclosure that misses the value once is a bug."""

import random
from fractions import Fraction

import flint
import pytest

from theory.proofs import checker

CHECK = checker()
POINTS = 8000  # of each function
FUNCTIONS = {
    "sin": (CHECK.ON_REALS["sin"], lambda x: x.sin(), -60, 60),
    "cos": (CHECK.ON_REALS["cos"], lambda x: x.cos(), -60, 60),
    "tan": (CHECK.ON_REALS["tan"], lambda x: x.tan(), -1.5, 1.5),
    "exp": (CHECK.ON_REALS["exp"], lambda x: x.exp(), -40, 40),
    "log": (CHECK.ON_REALS["log"], lambda x: x.log(), 1e-9, 1e9),
    "sqrt": (CHECK.ON_REALS["sqrt"], lambda x: x.sqrt(), 0, 1e6),
    "sinh": (CHECK.ON_REALS["sinh"], lambda x: x.sinh(), -20, 20),
    "cosh": (CHECK.ON_REALS["cosh"], lambda x: x.cosh(), -20, 20),
    "tanh": (CHECK.ON_REALS["tanh"], lambda x: x.tanh(), -30, 30),
    "atan": (CHECK.ON_REALS["atan"], lambda x: x.atan(), -50, 50),
    "Abs": (CHECK.ON_REALS["Abs"], lambda x: abs(x), -3, 3),
    "power": (lambda x: x ** Fraction(2, 3), lambda x: x ** flint.arb(flint.fmpq(2, 3)), 1e-6, 100),
    "inverse": (lambda x: x ** Fraction(-3), lambda x: x**-3, 0.01, 10),
}
HARD = (
    Fraction(0),
    Fraction(1),
    Fraction(-1),
    Fraction(1, 2**90),
    Fraction(22, 7),
    Fraction(11, 7),
    Fraction(355, 113),
)


def ball(number):
    return flint.arb(flint.fmpq(number.numerator, number.denominator))


def numbers(low, high, count, seed):
    draw = random.Random(seed)
    near = [Fraction(float(flint.arb.pi() * k / 4)) for k in range(-40, 41)]  # where waves turn
    chosen = [x for x in (*HARD, *near) if low <= x <= high]
    sizes = [Fraction(draw.choice((low, high))) * Fraction(2) ** -draw.randint(0, 60) for _ in range(count // 4)]
    spread = [Fraction(draw.uniform(low, high)) for _ in range(count - count // 4)]
    return [x for x in (*chosen, *sizes, *spread) if low <= x <= high]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_value_is_enclosed_and_narrowly(name):
    fn, truth, low, high = FUNCTIONS[name]
    missed, wide = [], []
    with flint.ctx.workprec(400):
        for x in numbers(low, high, POINTS, 1):
            at = CHECK.Interval.of(x)
            found = fn(CHECK.Dual(at, {})).value
            value = truth(ball(x)) * ball(Fraction(CHECK.ONE))
            if not (ball(Fraction(found.lo)) <= value <= ball(Fraction(found.hi))):
                missed.append(x)
            slope = 1 + abs(float(truth(ball(x))) ** (1 if name == "exp" else 2)) + 1 / max(float(abs(x)), 1e-9) ** 4
            if not found.hi - found.lo <= (256 if name == "atan" else 64) * slope:
                wide.append((float(x), found.hi - found.lo))
    assert not missed
    assert not wide[:3]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_ranges_hold_the_values_inside(name):
    fn, truth, low, high = FUNCTIONS[name]
    draw, checked = random.Random(2), 0
    with flint.ctx.workprec(200):
        for _ in range(POINTS // 4):
            start = draw.uniform(low, high)
            end = min(high, start + draw.choice((1e-6, 0.1, 1, 10)) * draw.random())
            ends = (Fraction(start), Fraction(end))
            box = CHECK.Interval(CHECK.Interval.of(ends[0]).lo, CHECK.Interval.of(ends[1]).hi)
            try:
                found = fn(CHECK.Dual(box, {0: CHECK.UNIT}))
            except CHECK.Unknown:
                continue
            inside = [ends[0] + (ends[1] - ends[0]) * Fraction(draw.random()) for _ in range(3)]
            values = [truth(ball(x)) for x in (*inside, *ends)]
            for value in values:
                scaled = value * ball(Fraction(CHECK.ONE))
                assert ball(Fraction(found.value.lo)) <= scaled <= ball(Fraction(found.value.hi)), (name, ends)
            if found.slopes is not None and ends[0] < ends[1]:
                slope = found.slopes[0]
                rise = (values[-1] - values[-2]) * ball(Fraction(CHECK.ONE)) / ball(ends[1] - ends[0])
                assert rise.upper() >= ball(Fraction(slope.lo)), (name, ends)
                assert rise.lower() <= ball(Fraction(slope.hi)), (name, ends)
            checked += 1
    assert checked > POINTS // 8


def test_pi_and_the_logarithm_of_two():
    with flint.ctx.workprec(400):
        for found, value in ((CHECK.PI_W, flint.arb.pi()), (CHECK.LOG2_W, flint.arb(2).log())):
            scaled = value * ball(Fraction(2**CHECK.W))
            assert ball(Fraction(found.lo)) < scaled < ball(Fraction(found.hi))
            assert found.hi - found.lo < 2**14


def test_outside_of_a_domain_nothing_is_known():
    box = CHECK.Dual(CHECK.Interval(-CHECK.ONE, 2 * CHECK.ONE), {0: CHECK.UNIT})
    for name in ("log", "sqrt"):
        with pytest.raises(CHECK.Unknown):
            CHECK.ON_REALS[name](box)
    with pytest.raises(CHECK.Unknown):
        CHECK.ON_REALS["tan"](box)
    with pytest.raises(CHECK.Unknown):
        box**-1
