"""Piecewise affine formulas as max and min of affine functions, read off a `Tape`.

    max(a, b) + c = max(a + c, b + c),  p·max(a, b) = max(pa, pb) for p ≥ 0, min(pa, pb) for p ≤ 0,  |u| = max(u, −u, 0)

bring Max, Min, Abs, sums and products with constants into a tree whose leaves are affine. (|u| has its third leaf
because no bound by one of the others alone sees that it is never negative.) Coefficients are intervals of floats that
hold the exact ones.

Main definitions: `pieces_of`, `Affine`, `Kink`, `leaves_of`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, reduce

from constructions.functions.symbolic import intervals as iv
from constructions.functions.symbolic.intervals import Interval
from constructions.functions.symbolic.slopes import SlopeTape
from constructions.functions.symbolic.tape import Tape

MAX_LEAVES = 64
ZERO, MINUS = Interval(0.0, 0.0), Interval(-1.0, -1.0)
OTHER = {"max": "min", "min": "max"}


@dataclass(frozen=True)
class Affine:
    """constant + Σ_a slopes[a]·x_a; axes that are left out do not occur."""

    constant: Interval
    slopes: tuple[tuple[int, Interval], ...] = ()

    @property
    def leaves(self) -> int:
        return 1


@dataclass(frozen=True)
class Kink:
    """The max or min (`op`) of its parts."""

    op: str
    parts: tuple[Affine | Kink, ...]

    @property
    def leaves(self) -> int:
        return sum(part.leaves for part in self.parts)


Node = Affine | Kink


def pieces_of(tape: Tape) -> tuple[Node | None, ...]:
    """For every output its tree, or None where it is not piecewise affine by its form or has more than 64 leaves."""
    return _pieces_of(tape)


@lru_cache(maxsize=64)
def _pieces_of(tape: Tape) -> tuple[Node | None, ...]:
    constants = SlopeTape.of(tape).constants
    nodes: list[Node | None] = []
    for i, step in enumerate(tape.instructions):
        constant = constants[i]
        if constant is not None:
            nodes.append(Affine(constant))
        elif step.op == "var":
            nodes.append(Affine(ZERO, ((step.axis, Interval(1.0, 1.0)),)))
        else:
            args = [nodes[j] for j in step.args]
            known = [a for a in args if a is not None]
            node = _node(step.op, known) if len(known) == len(args) else None
            nodes.append(node if node is not None and node.leaves <= MAX_LEAVES else None)
    return tuple(nodes[i] for i in tape.outputs)


def _node(op: str, args: Sequence[Node]) -> Node | None:
    match op:
        case "add":
            return _fold(_sum, args)
        case "mul":
            return _fold(_product, args)
        case "max" | "min":
            return Kink(op, tuple(args))
        case "abs" | "norm" if len(args) == 1:
            turned = _scaled(args[0], MINUS)
            return None if turned is None else Kink("max", (args[0], turned, Affine(ZERO)))
    return None


def _fold(combine: Callable[[Node, Node], Node | None], args: Sequence[Node]) -> Node | None:
    result: Node | None = args[0]
    for other in args[1:]:
        if result is None or result.leaves * other.leaves > MAX_LEAVES:
            return None
        result = combine(result, other)
    return result


def _sum(x: Node, y: Node) -> Node:
    if isinstance(x, Kink):
        return Kink(x.op, tuple(_sum(part, y) for part in x.parts))
    if isinstance(y, Kink):
        return _sum(y, x)
    slopes = dict(x.slopes)
    for axis, slope in y.slopes:
        slopes[axis] = iv.add_exactly(slopes.get(axis, ZERO), slope)
    return Affine(iv.add_exactly(x.constant, y.constant), tuple(sorted(slopes.items())))


def _product(x: Node, y: Node) -> Node | None:
    """With a constant; None for two that are none."""
    if isinstance(x, Affine) and not x.slopes:
        return _scaled(y, x.constant)
    return _scaled(x, y.constant) if isinstance(y, Affine) and not y.slopes else None


def _scaled(x: Node, factor: Interval) -> Node | None:
    if isinstance(x, Affine):
        slopes = tuple((axis, iv.multiply(factor, slope)) for axis, slope in x.slopes)
        return Affine(iv.multiply(factor, x.constant), slopes)
    if not (factor.lo >= 0 or factor.hi <= 0):
        return None
    parts = [_scaled(part, factor) for part in x.parts]
    known = tuple(part for part in parts if part is not None)
    return Kink(x.op if factor.lo >= 0 else OTHER[x.op], known) if len(known) == len(parts) else None


def leaves_of(node: Node) -> list[Affine]:
    """From left to right."""
    if isinstance(node, Affine):
        return [node]
    return reduce(list.__add__, (leaves_of(part) for part in node.parts), [])
