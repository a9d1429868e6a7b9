"""Are the bases of roots never negative? Without a proof nothing is certified: x0**(4/3) has no real value left of 0.

Enclosures of a root clip its base at 0, because a base that only touches 0 always looks negative to a ball. That is
sound where the base is known to be ≥ 0, and this is where it becomes known: by its form, by balls on smaller and
smaller boxes, and at the corner of a box on which it is monotone, in rationals if it is rational there.
A Piecewise asks for its branches only on their own side of its cuts.

Main definition: `undefined_root`.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from flint import arb

from constructions.functions.modulus import fraction_to_fmpq
from constructions.functions.symbolic.balls import GradientSet, enclose_all
from constructions.functions.symbolic.constants import rational
from constructions.functions.symbolic.tape import Instruction, Tape

Corner = tuple[Fraction, ...]
Region = tuple[Corner, Corner]
MAX_BOXES = 1000
WORK = 200_000  # operations × variables × boxes
MAX_REGIONS = 256


def ball_of(lo: Fraction, hi: Fraction) -> arb:
    """An enclosure of [lo, hi]; exact for a point that is a float."""
    if lo == hi:
        return arb(fraction_to_fmpq(lo))
    return arb(fraction_to_fmpq((lo + hi) / 2), fraction_to_fmpq((hi - lo) / 2))


def undefined_root(tape: Tape, lo: Corner, hi: Corner) -> Region | None:
    """A box inside [lo, hi] on which a root of `tape` is not shown to have a base ≥ 0; None when all roots are safe."""
    bases = _bases(tape, (lo, hi))
    for base, region in bases:
        bad = _negative_part(tape, base, region, len(bases))
        if bad is not None:
            return bad
    return None


def _bases(tape: Tape, whole: Region) -> list[tuple[int, Region]]:
    """(register of a root's base, region where its value matters), for every root below the outputs."""
    found: list[tuple[int, Region]] = []
    seen: set[tuple[int, Region]] = set()
    todo = [(register, whole) for register in tape.outputs]
    while todo:
        register, (lo, hi) = todo.pop()
        if (register, (lo, hi)) in seen or any(a > b for a, b in zip(lo, hi, strict=True)):
            continue
        seen.add((register, (lo, hi)))
        step = tape.instructions[register]
        if step.op == "pow" and step.exponent.denominator != 1:
            found.append((step.args[0], (lo, hi)))
        if step.op == "select" and len(seen) < MAX_REGIONS * len(tape.instructions):
            todo += zip(step.args, _sides(step, lo, hi), strict=True)
        else:  # after too many regions the whole region of a select stands for that of its branches
            todo += [(arg, (lo, hi)) for arg in step.args]
    return found


def _sides(step: Instruction, lo: Corner, hi: Corner) -> list[Region]:
    """The region of every branch of a select: the box cut off at the thresholds, faces included."""
    axis, regions = step.axis, []
    for below, above in zip((lo[axis], *step.cuts), (*step.cuts, hi[axis]), strict=True):
        start, end = max(below, lo[axis]), min(above, hi[axis])
        regions.append(((*lo[:axis], start, *lo[axis + 1 :]), (*hi[:axis], end, *hi[axis + 1 :])))
    return regions


def _negative_part(tape: Tape, register: int, region: Region, sharers: int) -> Region | None:
    """A box of `region` on which the register is not shown to be ≥ 0, or None; `sharers` roots share the work."""
    if _never_negative(tape, register):
        return None
    todo, boxes = [region], 0
    limit = max(16, min(MAX_BOXES, WORK // (tape.operations * tape.n)) // sharers)
    while todo:
        lo, hi = todo.pop()
        boxes += 1
        if not _shown_nonnegative(tape, register, lo, hi):
            middle = tuple((a + b) / 2 for a, b in zip(lo, hi, strict=True))
            points = (lo, hi, middle)
            if boxes > limit or lo == hi or any(_value_at(tape, register, p) < 0 for p in points):
                return lo, hi
            axis = max(range(len(lo)), key=lambda a: hi[a] - lo[a])
            cut = middle[axis]
            todo += [(lo, (*hi[:axis], cut, *hi[axis + 1 :])), ((*lo[:axis], cut, *lo[axis + 1 :]), hi)]
    return None


def _shown_nonnegative(tape: Tape, register: int, lo: Corner, hi: Corner) -> bool:
    box = [ball_of(a, b) for a, b in zip(lo, hi, strict=True)]
    values, gradients = enclose_all(tape, box, directions=True)
    if values[register].lower() >= 0:
        return True
    corner = []
    for axis, (a, b) in enumerate(zip(lo, hi, strict=True)):
        slopes = [_component(g, axis) for g in gradients[register]]
        if all(s.lower() >= 0 for s in slopes):
            corner.append(a)
        elif all(s.upper() <= 0 for s in slopes):
            corner.append(b)
        else:
            return False
    # monotone along every axis: the least value is the one at this corner
    exact = _exact(tape, register, tuple(corner))
    return exact >= 0 if exact is not None else bool(_value_at(tape, register, tuple(corner)).lower() >= 0)


def _component(gradient: GradientSet, axis: int) -> arb:
    return gradient.vector[axis] + arb(0, gradient.radius.upper())


def _value_at(tape: Tape, register: int, point: Corner) -> arb:
    values, _ = enclose_all(tape, [ball_of(c, c) for c in point], directions=True)
    return values[register]


def _never_negative(tape: Tape, register: int) -> bool:
    """Whether the form alone shows a value ≥ 0 wherever it is defined: sums of even powers, exp, abs and the like."""
    step = tape.instructions[register]
    match step.op:
        case "abs" | "norm" | "exp" | "cosh":
            return True
        case "const":
            return step.number >= 0
        case "pow" if step.exponent.denominator != 1 or step.exponent.numerator % 2 == 0:
            return True
        case "max":
            return any(_never_negative(tape, a) for a in step.args)
        case "add" | "mul" | "min" | "select" | "pow" | "sinh" | "tanh" | "atan":
            return all(_never_negative(tape, a) for a in step.args)
    return False


def _exact(tape: Tape, register: int, point: Corner) -> Fraction | None:
    """The register's value at a rational point if it takes only rational operations on the way, else None."""
    step = tape.instructions[register]
    if step.op == "var":
        return point[step.axis]
    if step.op == "const":
        return rational(step.constant) if getattr(step.constant, "is_Rational", False) else None
    args = _exact_all(tape, step.args, point)
    if args is None or not args:
        return None
    match step.op:
        case "add":
            return sum(args, Fraction(0))
        case "mul":
            product = Fraction(1)
            for a in args:
                product *= a
            return product
        case "pow" if step.exponent.denominator == 1 and (args[0] != 0 or step.exponent > 0):
            return args[0] ** int(step.exponent)
        case "max":
            return max(args)
        case "min":
            return min(args)
        case "abs":
            return abs(args[0])
    return None


def _exact_all(tape: Tape, registers: Sequence[int], point: Corner) -> list[Fraction] | None:
    values = []
    for register in registers:
        value = _exact(tape, register, point)
        if value is None:
            return None
        values.append(value)
    return values
