"""`Tape`: a sympy expression as a straight-line program, evaluated on torch.

sympy's own printers are not used: `lambdify` executes source text, and its torch printer fails on
sin(1)*x and Max(x, 0). Equal subexpressions share one register. `√(sum of squares)` is one operation
(`norm`), because its gradient is bounded where the chain rule through √ is not.

Main definitions: `Instruction`, `Tape`, `compile_tape`, `Piece` conditions as (axis, cut) pairs.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import sympy
import torch
from torch import Tensor

from constructions.errors import ExpressionError, shown
from constructions.functions.symbolic.constants import (
    constant_ball,
    float_above,
    is_normal,
    rational,
    require_float_constant,
)
from constructions.functions.symbolic.parser import MAX_ARGUMENTS, MAX_EXPONENT, exact_float, variables

MAX_OPERATIONS = 4000
SIMPLIFY_OPERATIONS = 100
EXPANDED_TERMS = 2000

UNARY = {
    sympy.sin: "sin",
    sympy.cos: "cos",
    sympy.tan: "tan",
    sympy.exp: "exp",
    sympy.log: "log",
    sympy.sinh: "sinh",
    sympy.cosh: "cosh",
    sympy.tanh: "tanh",
    sympy.atan: "atan",
    sympy.Abs: "abs",
}


@dataclass(frozen=True)
class Instruction:
    """`op` applied to registers `args`.

    `constant` is the exact sympy number of a const and `number` its nearest float, `exponent` the rational of a pow,
    `axis` the variable of a var or a select, and `cuts` the increasing thresholds of a select (args[i] holds where
    cuts[i−1] ≤ x_axis < cuts[i]; the function is continuous, so the side of a cut does not matter).
    """

    op: str
    args: tuple[int, ...] = ()
    constant: sympy.Basic | None = None
    number: float = 0.0
    exponent: Fraction = Fraction(0)
    axis: int = -1
    cuts: tuple[Fraction, ...] = ()


@dataclass(frozen=True)
class Tape:
    """A program on n inputs; `outputs` are the registers of the m results."""

    n: int
    instructions: tuple[Instruction, ...]
    outputs: tuple[int, ...]

    def __call__(self, x: Tensor) -> Tensor:
        """Values (B, m) at points x (B, n), in the dtype of x."""
        registers: list[Tensor | float] = []
        for step in self.instructions:
            registers.append(_torch_step(step, registers, x))
        columns = [torch.as_tensor(registers[i], dtype=x.dtype, device=x.device) for i in self.outputs]
        return torch.stack([c.expand(x.shape[0]) for c in columns], dim=-1)

    @property
    def operations(self) -> int:
        """Steps and their arguments: what one evaluation costs."""
        return sum(1 + len(step.args) for step in self.instructions)

    @property
    def has_norm(self) -> bool:
        return any(step.op == "norm" for step in self.instructions)


def _torch_step(step: Instruction, registers: list, x: Tensor) -> Tensor | float:
    args = [registers[i] for i in step.args]
    match step.op:
        case "const":
            return step.number
        case "var":
            return x[:, step.axis]
        case "add":
            return sum(args[1:], start=args[0])
        case "mul":
            return math.prod(args[1:], start=args[0])
        case "pow":
            return _torch_power(args[0], step.exponent)
        case "norm":
            return torch.as_tensor(sum((a * a for a in args[1:]), start=args[0] * args[0])).sqrt()
        case "max" | "min":
            columns = [torch.as_tensor(a, dtype=x.dtype, device=x.device) for a in args]
            fold = torch.maximum if step.op == "max" else torch.minimum
            result = columns[0]
            for column in columns[1:]:
                result = fold(result, column)
            return result
        case "select":
            return _torch_select(step, args, x)
        case _:
            return getattr(torch, step.op)(args[0])


def _torch_power(base: Tensor, exponent: Fraction) -> Tensor:
    if exponent == Fraction(1, 2):
        return base.sqrt()
    if exponent == -1:
        return 1 / base
    if exponent.denominator == 1:
        return base.pow(int(exponent))
    return base.pow(float(exponent))


def _torch_select(step: Instruction, args: list, x: Tensor) -> Tensor:
    coordinate = x[:, step.axis]
    columns = [torch.as_tensor(a, dtype=x.dtype, device=x.device) for a in args]
    result = columns[-1]
    for cut, column in zip(reversed(step.cuts), reversed(columns[:-1]), strict=True):
        # no float64 lies between a cut and the float above it: the branch is the one that the exact cut chooses
        result = torch.where(coordinate < float_above(cut), column, result)
    return result


def compile_tape(outputs: Sequence[sympy.Expr], n: int) -> Tape:
    """The program of m sympy expressions in x0 … x{n−1}; `ExpressionError` for what it does not know."""
    compiler = _Compiler(n)
    try:
        registers = tuple(compiler.register(sympy.sympify(e)) for e in outputs)
    except RecursionError as err:
        raise ExpressionError("`expression` is too deeply nested") from err
    return Tape(n, tuple(compiler.instructions), registers)


class _Compiler:
    def __init__(self, n: int):
        self.axes = {s: i for i, s in enumerate(variables(n))}
        self.instructions: list[Instruction] = []
        self.known: dict[sympy.Basic, int] = {}
        self.operations = 0

    def emit(self, step: Instruction) -> int:
        self.operations += 1 + len(step.args)
        if self.operations > MAX_OPERATIONS:
            raise ExpressionError(f"`expression` has more than {MAX_OPERATIONS} operations and arguments")
        self.instructions.append(step)
        return len(self.instructions) - 1

    def register(self, expr: sympy.Basic) -> int:
        if expr not in self.known:
            self.known[expr] = self.emit(self.instruction(expr))
        return self.known[expr]

    def registers(self, args: Sequence[sympy.Basic]) -> tuple[int, ...]:
        return tuple(self.register(a) for a in args)

    def instruction(self, expr: sympy.Basic) -> Instruction:
        if not expr.free_symbols:
            return self.constant(expr)
        if isinstance(expr, sympy.Symbol):
            if expr not in self.axes:
                raise ExpressionError(f"`expression`: unknown variable {expr}")
            return Instruction("var", axis=self.axes[expr])
        if isinstance(expr, sympy.Pow):
            return self.power(expr)
        for kind, op in ((sympy.Add, "add"), (sympy.Mul, "mul"), (sympy.Max, "max"), (sympy.Min, "min")):
            if isinstance(expr, kind):
                return Instruction(op, self.registers(expr.args))
        if isinstance(expr, sympy.Piecewise):
            return self.piecewise(expr)
        if expr.func in UNARY:
            return Instruction(UNARY[expr.func], self.registers(expr.args))
        reason = "a jump or an unknown function has no modulus that can be certified"
        raise ExpressionError(f"`expression`: '{expr.func.__name__}' in {shown(expr)} is refused: {reason}")

    def constant(self, expr: sympy.Basic) -> Instruction:
        if isinstance(expr, sympy.Float):
            expr = exact_float(expr)
        return Instruction("const", constant=expr, number=require_float_constant(expr))

    def power(self, expr: sympy.Pow) -> Instruction:
        base, exponent = expr.args
        if not isinstance(exponent, sympy.Rational):
            raise ExpressionError(f"`expression`: the exponent of {shown(expr)} must be a rational constant")
        if abs(exponent.p) > MAX_EXPONENT or exponent.q > MAX_EXPONENT:
            raise ExpressionError(
                f"`expression`: exponents are limited to ±{MAX_EXPONENT}, also after powers of powers are multiplied "
                f"out, got {shown(exponent)} in {shown(expr)}"
            )
        if exponent == sympy.Rational(1, 2):
            parts = norm_components(base)
            if parts is not None:
                return Instruction("norm", self.registers(parts))
        return Instruction("pow", (self.register(base),), exponent=rational(exponent))

    def piecewise(self, expr: sympy.Piecewise) -> Instruction:
        axis, cuts, values = ordered_branches(expr)
        return Instruction("select", self.registers(values), axis=self.axes[axis], cuts=cuts)


def norm_components(base: sympy.Expr) -> list[sympy.Expr] | None:
    """u_1 … u_k with base = Σ u_i², if base is visibly a sum of squares, else None."""
    parts = []
    for term in sympy.Add.make_args(base):
        factor, rest = term.as_coeff_Mul()
        if not factor.is_positive:
            return None
        root = sympy.Integer(1)
        for item in sympy.Mul.make_args(rest):
            if not item.free_symbols and item.is_positive:
                root *= sympy.sqrt(item)
            elif isinstance(item, sympy.Pow) and item.exp.is_Integer and item.exp > 0 and item.exp % 2 == 0:
                root *= item.base ** (item.exp // 2)
            else:
                return None
        parts.append(sympy.sqrt(factor) * root)
    return parts


def ordered_branches(
    expr: Any,
) -> tuple[sympy.Symbol, tuple[Fraction, ...], list[sympy.Expr]]:
    """(variable, increasing cuts, values from left to right) of a continuous one-variable Piecewise.

    Refuses several variables, unordered cuts, and branches that differ on their common face: a jump has
    zero gradient on every box, so no gradient bound could see it.
    """
    *heads, last = expr.args
    if last[1] is not sympy.true or not heads:
        raise ExpressionError(f"`expression`: the last condition of {shown(expr)} must be True")
    if len(heads) >= MAX_ARGUMENTS:
        raise ExpressionError(f"`expression`: a Piecewise has at most {MAX_ARGUMENTS} branches, got {len(heads) + 1}")
    cuts, symbols, upward = [], set(), set()
    for _, condition in heads:
        if not isinstance(condition, (sympy.Lt, sympy.Le, sympy.Gt, sympy.Ge)):
            raise ExpressionError(f"`expression`: condition {shown(condition)} must be x_i < c, c rational")
        strict = isinstance(condition, (sympy.Lt, sympy.Le))
        left, right = condition.args
        if not isinstance(left, sympy.Symbol):
            left, right, strict = right, left, not strict
        if not isinstance(left, sympy.Symbol) or not isinstance(right, sympy.Rational):
            raise ExpressionError(f"`expression`: condition {shown(condition)} must be x_i < c, c rational")
        if not is_normal(rational(right)):
            raise ExpressionError(f"`expression`: the threshold {shown(right)} is not within the range of float64")
        cuts.append(rational(right))
        symbols.add(left)
        upward.add(strict)
    if len(symbols) > 1 or len(upward) > 1:
        raise ExpressionError(
            f"`expression`: the conditions of {shown(expr)} must compare one variable in one direction"
        )
    values = [value for value, _ in heads] + [last[0]]
    if upward == {False}:
        cuts, values = cuts[::-1], values[::-1]
    if any(a >= b for a, b in itertools.pairwise(cuts)):
        raise ExpressionError(f"`expression`: the thresholds of {shown(expr)} must be in order")
    symbol = symbols.pop()
    for cut, left, right in zip(cuts, values, values[1:], strict=False):
        here = sympy.Rational(cut.numerator, cut.denominator)
        jump = _difference(left.subs(symbol, here), right.subs(symbol, here))
        if jump != 0:
            raise ExpressionError(
                f"`expression`: {shown(expr)} is not shown continuous at {symbol} = {here}: "
                f"its branches differ there by {shown(jump)}"
            )
    return symbol, tuple(cuts), values


def _difference(left: Any, right: Any) -> Any:
    """left − right, as 0 where it can be seen to be 0: by arithmetic first, `simplify` takes minutes on long terms."""
    difference = left - right
    if difference == 0 or difference.has(sympy.nan, sympy.zoo, sympy.oo) or _differs_somewhere(difference):
        return difference
    if _expanded_terms(difference) > EXPANDED_TERMS:
        return difference
    expanded = sympy.expand(difference)
    if expanded == 0 or expanded.count_ops() > SIMPLIFY_OPERATIONS:
        return expanded
    return sympy.simplify(expanded)


def _expanded_terms(expr: sympy.Basic) -> int:
    """At most how many terms `expand` makes of an expression (any number above EXPANDED_TERMS for too many)."""
    parts = [_expanded_terms(a) for a in expr.args]
    if isinstance(expr, sympy.Mul):
        return min(math.prod(parts), EXPANDED_TERMS + 1)
    if isinstance(expr, sympy.Pow) and expr.args[1].is_Integer:
        return min(parts[0] ** abs(int(expr.args[1])), EXPANDED_TERMS + 1)
    return max(1, sum(parts))


def _differs_somewhere(difference: sympy.Expr) -> bool:
    """Whether a ball at some point excludes 0, which settles that the difference is not 0."""
    symbols = sorted(difference.free_symbols, key=str)
    for first in (0, 1, 2):
        point = {s: sympy.Rational(1 + first + i, 5 + first) for i, s in enumerate(symbols)}
        try:
            if not constant_ball(difference.xreplace(point)).contains(0):
                return True
        except (ExpressionError, OverflowError, ValueError, ZeroDivisionError):
            continue
    return False
