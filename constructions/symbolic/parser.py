"""Strings to sympy expressions without `eval`: a whitelist walk over Python's `ast`.

Language: numbers, `pi`, `E`, the variables x0 … x{n−1}, + − * / **, and the functions of `FUNCTIONS`,
`Max`, `Min` and `Piecewise((value, x0 < 1/2), …, (value, True))`. Exponents are rational constants.
Everything else is refused by an `ExpressionError` that quotes the offending piece.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import sympy
from sympy.core.relational import Relational

from constructions.errors import ExpressionError

MAX_LENGTH = 20_000
MAX_DEPTH = 200
MAX_EXPONENT = 64
MAX_NUMBER_BITS = 4096

FUNCTIONS = {
    "sin": sympy.sin,
    "cos": sympy.cos,
    "tan": sympy.tan,
    "exp": sympy.exp,
    "log": sympy.log,
    "sqrt": sympy.sqrt,
    "sinh": sympy.sinh,
    "cosh": sympy.cosh,
    "tanh": sympy.tanh,
    "atan": sympy.atan,
    "abs": sympy.Abs,
    "Abs": sympy.Abs,
}
EXTREMA = {"Max": sympy.Max, "max": sympy.Max, "Min": sympy.Min, "min": sympy.Min}
CONSTANTS = {"pi": sympy.pi, "E": sympy.E}
COMPARISONS = {ast.Lt: sympy.Lt, ast.LtE: sympy.Le, ast.Gt: sympy.Gt, ast.GtE: sympy.Ge}
BINARY = {
    ast.Add: lambda a, b: a + b,
    ast.Sub: lambda a, b: a - b,
    ast.Mult: lambda a, b: a * b,
}


def variables(n: int) -> tuple[sympy.Symbol, ...]:
    """The real symbols x0 … x{n−1}."""
    return tuple(sympy.Symbol(f"x{i}", real=True) for i in range(n))


def parse(text: str, n: int) -> tuple[sympy.Expr, ...]:
    """The m outputs of `text` ("a" or "a, b, …") as sympy expressions in `variables(n)`.

    Raises `ExpressionError`, naming the offending piece, for anything outside the language.
    """
    if not isinstance(text, str):
        raise ExpressionError(f"`expression` must be a string, got {type(text).__name__}")
    if not text.strip() or len(text) > MAX_LENGTH:
        raise ExpressionError(f"`expression` must have 1 to {MAX_LENGTH} characters, got {len(text)}")
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as err:
        raise ExpressionError(f"`expression` is not a formula: {text[:80]!r} ({err})") from err
    walker = _Walker(text.strip(), n)
    try:
        if isinstance(tree, ast.Tuple):
            return tuple(walker.value(item, 0) for item in tree.elts)
        return (walker.value(tree, 0),)
    except (RecursionError, OverflowError) as err:
        raise ExpressionError(f"`expression` is too deeply nested: {text[:80]!r}") from err


class _Walker:
    """One walk over the tree of `text`; every method returns a sympy object or refuses."""

    def __init__(self, text: str, n: int):
        self.text, self.symbols = text, {str(s): s for s in variables(n)}

    def refuse(self, node: ast.AST, why: str) -> ExpressionError:
        piece = ast.get_source_segment(self.text, node) or ast.dump(node)
        return ExpressionError(f"`expression`: {piece[:120]!r} is not allowed: {why}")

    def value(self, node: ast.expr, depth: int) -> sympy.Expr:
        if depth > MAX_DEPTH:
            raise self.refuse(node, f"nested deeper than {MAX_DEPTH}")
        if isinstance(node, ast.Constant):
            result = self.number(node)
        elif isinstance(node, ast.Name):
            result = self.name(node)
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.UAdd)):
            operand = self.value(node.operand, depth + 1)
            result = -operand if isinstance(node.op, ast.USub) else operand
        elif isinstance(node, ast.BinOp):
            result = self.binary(node, depth + 1)
        elif isinstance(node, ast.Call):
            result = self.call(node, depth + 1)
        else:
            raise self.refuse(node, f"{type(node).__name__} is not part of the language")
        return self.checked(node, result)

    def checked(self, node: ast.AST, result: sympy.Expr) -> sympy.Expr:
        if result.has(sympy.zoo, sympy.nan, sympy.oo, sympy.I):
            raise self.refuse(node, "its value is infinite, undefined or complex")
        if isinstance(result, sympy.Rational):
            bits = max(int(result.p).bit_length(), int(result.q).bit_length())
            if bits > MAX_NUMBER_BITS:
                raise self.refuse(node, f"a number of {bits} bits (at most {MAX_NUMBER_BITS})")
        return result

    def number(self, node: ast.Constant) -> sympy.Expr:
        value = node.value
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise self.refuse(node, "only integers and decimals are numbers here")
        if isinstance(value, int):
            if value.bit_length() > MAX_NUMBER_BITS:
                raise self.refuse(node, f"a number of {value.bit_length()} bits")
            return sympy.Integer(value)
        if value in (float("inf"), float("-inf")) or value != value:
            raise self.refuse(node, "not a finite number")
        return sympy.Rational(repr(value))

    def name(self, node: ast.Name) -> sympy.Expr:
        found = self.symbols.get(node.id) or CONSTANTS.get(node.id)
        if found is None:
            known = ", ".join([*self.symbols, *CONSTANTS])
            raise self.refuse(node, f"unknown name (known: {known})")
        return found

    def binary(self, node: ast.BinOp, depth: int) -> sympy.Expr:
        left, right = self.value(node.left, depth), self.value(node.right, depth)
        if isinstance(node.op, ast.Div):
            if right.is_zero:
                raise self.refuse(node, "division by zero")
            return left / right
        if isinstance(node.op, ast.Pow):
            return self.power(node, left, right)
        operation = BINARY.get(type(node.op))
        if operation is None:
            raise self.refuse(node, f"operator {type(node.op).__name__}")
        return operation(left, right)

    def power(self, node: ast.BinOp, base: sympy.Expr, exponent: sympy.Expr) -> sympy.Expr:
        if not isinstance(exponent, sympy.Rational):
            raise self.refuse(node, "an exponent must be a rational constant")
        if abs(exponent.p) > MAX_EXPONENT or exponent.q > MAX_EXPONENT:
            raise self.refuse(node, f"exponents are limited to ±{MAX_EXPONENT}, got {exponent}")
        if isinstance(base, sympy.Rational):
            bits = max(int(base.p).bit_length(), int(base.q).bit_length())
            if bits * abs(int(exponent.p)) > MAX_NUMBER_BITS:
                raise self.refuse(node, f"a number of more than {MAX_NUMBER_BITS} bits")
            if base == 0 and exponent <= 0:
                raise self.refuse(node, "zero to a non-positive power")
        return base**exponent

    def call(self, node: ast.Call, depth: int) -> sympy.Expr:
        name = node.func.id if isinstance(node.func, ast.Name) else None
        if node.keywords or any(isinstance(arg, ast.Starred) for arg in node.args):
            raise self.refuse(node, "only plain positional arguments")
        if name == "Piecewise":
            return self.piecewise(node, depth)
        if name in EXTREMA and node.args:
            # unevaluated: sympy's pairwise comparison of many arguments takes seconds
            return EXTREMA[name](*(self.value(a, depth) for a in node.args), evaluate=False)
        if name not in FUNCTIONS or len(node.args) != 1:
            known = ", ".join([*FUNCTIONS, *EXTREMA, "Piecewise"])
            raise self.refuse(node, f"not a known function of that many arguments (known: {known})")
        return FUNCTIONS[name](self.value(node.args[0], depth))

    def piecewise(self, node: ast.Call, depth: int) -> sympy.Expr:
        branches = []
        for item in node.args:
            if not isinstance(item, ast.Tuple) or len(item.elts) != 2:
                raise self.refuse(item, "each branch is (value, condition)")
            branches.append((self.value(item.elts[0], depth), self.condition(item.elts[1], depth)))
        if not branches or branches[-1][1] is not sympy.true:
            raise self.refuse(node, "the last condition must be True")
        return sympy.Piecewise(*branches)

    def condition(self, node: ast.expr, depth: int) -> Relational | sympy.logic.boolalg.Boolean:
        if isinstance(node, ast.Constant) and node.value is True:
            return sympy.true
        operation = None
        if isinstance(node, ast.Compare) and len(node.ops) == 1:
            operation = COMPARISONS.get(type(node.ops[0]))
        if operation is None or not isinstance(node, ast.Compare):
            raise self.refuse(node, "conditions are x_i < c (or <=, >, >=) with rational c, or True")
        left = self.value(node.left, depth)
        right = self.value(node.comparators[0], depth)
        sides = sorted((left, right), key=lambda side: isinstance(side, sympy.Symbol))
        if not (isinstance(sides[0], sympy.Rational) and isinstance(sides[1], sympy.Symbol)):
            raise self.refuse(node, "conditions compare one variable with one rational number")
        return operation(left, right)


def rational(value: Any) -> Fraction:
    """A sympy Rational as a Fraction."""
    return Fraction(int(value.p), int(value.q))


def as_text(outputs: Sequence[sympy.Expr]) -> str:
    """The string that `parse` reads back."""
    return ", ".join(sympy.sstr(e) for e in outputs)
