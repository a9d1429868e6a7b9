"""Strings to sympy expressions without `eval`: a whitelist walk over Python's `ast`.

Language: numbers, `pi`, `E`, the variables x0 … x{n−1}, + − * / **, the functions of `FUNCTIONS`, `Max`, `Min` and
`Piecewise((value, x0 < 1/2), …, (value, True))`. Numbers are exact rationals, read from the text: 0.1 is 1/10,
1e-30 is 10⁻³⁰, `Rational(1, 3)` is 1/3. Exponents are rational constants.
Everything else is refused by an `ExpressionError` that quotes the offending piece.

A formula means what is left after sympy's own simplification while it is read: sqrt(x0)**2 and x0/x0 are x0 and 1,
wherever x0 is. What is evaluated, enclosed, bounded and stored is that simplified formula.

Main definitions: `parse`, `as_text`, `variables`.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from typing import Any

import sympy
from sympy.core.relational import Relational

from constructions.errors import ExpressionError, require_int, shown
from constructions.functions.symbolic.constants import rational, require_float_constant

MAX_LENGTH = 20_000
MAX_DEPTH = 200
MAX_EXPONENT = 64
MAX_NUMBER_BITS = 4096
MAX_DIGITS = 1200  # of a decimal written out; within MAX_NUMBER_BITS
MAX_VARIABLES = 1024
MAX_OUTPUTS = 64
MAX_ARGUMENTS = 256
LONG_CHAIN = 100

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
NUMBERS = ("Rational", "Integer", "Float", "S")
CONSTANTS = {"pi": sympy.pi, "E": sympy.E}
COMPARISONS = {ast.Lt: sympy.Lt, ast.LtE: sympy.Le, ast.Gt: sympy.Gt, ast.GtE: sympy.Ge}
BINARY = {
    ast.Add: lambda a, b: a + b,
    ast.Sub: lambda a, b: a - b,
    ast.Mult: lambda a, b: a * b,
}
CHAINS = ({ast.Add, ast.Sub}, {ast.Mult, ast.Div})
DECIMAL = re.compile(r"(\d*)\.?(\d*)(?:e([+-]?\d+))?")
VARIABLE = re.compile(r"x(0|[1-9]\d{0,8})")


def variables(n: int) -> tuple[sympy.Symbol, ...]:
    """The real symbols x0 … x{n−1}."""
    return tuple(_variable(i) for i in range(require_int("n", n, 1, MAX_VARIABLES)))


def _variable(axis: int) -> sympy.Symbol:
    return sympy.Symbol(f"x{axis}", real=True)


def parse(text: str, n: int) -> tuple[sympy.Expr, ...]:
    """The m outputs of `text` ("a" or "a, b, …") as sympy expressions in `variables(n)`.

    Raises `ExpressionError`, naming the offending piece, for anything outside the language.
    """
    if not isinstance(text, str):
        raise ExpressionError(f"`expression` must be a string, got {type(text).__name__}")
    if not text.strip() or len(text) > MAX_LENGTH:
        raise ExpressionError(f"`expression` must have 1 to {MAX_LENGTH} characters, got {len(text)}")
    require_int("n", n, 1, MAX_VARIABLES)
    text = re.sub("\r\n?|\f", "\n", text.strip())
    try:
        tree = ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as err:
        raise ExpressionError(f"`expression` is not a formula: {shown(text)} ({err})") from err
    items = tree.elts if isinstance(tree, ast.Tuple) else [tree]
    if not 1 <= len(items) <= MAX_OUTPUTS:
        raise ExpressionError(f"`expression` must have 1 to {MAX_OUTPUTS} outputs, got {len(items)}")
    walker = _Walker(text, n)
    try:
        return tuple(walker.value(item, 0) for item in items)
    except RecursionError as err:
        raise ExpressionError(f"`expression` is too deeply nested: {shown(text)}") from err
    except OverflowError as err:
        raise ExpressionError(f"`expression` has a constant beyond the largest float64: {shown(text)}") from err


class _Walker:
    """One walk over the tree of `text`; every method returns a sympy object or refuses."""

    def __init__(self, text: str, n: int):
        self.text, self.n = text, n
        self.lines = [line.encode() for line in text.split("\n")]

    def refuse(self, node: ast.AST, why: str) -> ExpressionError:
        piece = ast.get_source_segment(self.text, node) or type(node).__name__
        return ExpressionError(f"`expression`: {shown(piece)} is not allowed: {why}")

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
                raise self.refuse(node, f"a number of {value.bit_length()} bits (at most {MAX_NUMBER_BITS})")
            return sympy.Integer(value)
        return self.decimal(node)

    def decimal(self, node: ast.Constant) -> sympy.Expr:
        """The rational that the text spells: the float that Python made of it may be rounded, 0, or infinite."""
        written = self.lines[node.lineno - 1][node.col_offset : node.end_col_offset].decode()
        found = DECIMAL.fullmatch(written.replace("_", "").lower())
        if found is None:
            raise self.refuse(node, "not a decimal number")
        whole, fraction, power = found[1], found[2], found[3] or "0"
        # the exponent's own length first: 1e999999999 must not be written out to be measured
        if len(power) > 6 or len(whole) + len(fraction) + abs(int(power)) > MAX_DIGITS:
            raise self.refuse(node, f"a decimal of more than {MAX_DIGITS} digits when written out")
        return sympy.Rational(int(whole + fraction)) * sympy.Rational(10) ** (int(power) - len(fraction))

    def name(self, node: ast.Name) -> sympy.Expr:
        if node.id in CONSTANTS:
            return CONSTANTS[node.id]
        variable = VARIABLE.fullmatch(node.id)
        if variable is None or int(variable[1]) >= self.n:
            known = "x0" if self.n == 1 else "x0, x1" if self.n == 2 else f"x0 … x{self.n - 1}"
            raise self.refuse(node, f"unknown name (known: {known}, {', '.join(CONSTANTS)})")
        return _variable(int(variable[1]))

    def binary(self, node: ast.BinOp, depth: int) -> sympy.Expr:
        operands = self.chain(node)
        if operands is not None:
            return self.long_chain(node, operands, depth)
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

    @staticmethod
    def chain(node: ast.BinOp) -> list[tuple[bool, ast.expr]] | None:
        """(inverted, operand) of a long sum or product that hangs to the left, from left to right; else None."""
        kind = next((kind for kind in CHAINS if type(node.op) in kind), set())
        operands: list[tuple[bool, ast.expr]] = []
        rest: ast.expr = node
        while isinstance(rest, ast.BinOp) and type(rest.op) in kind:
            operands.append((isinstance(rest.op, (ast.Sub, ast.Div)), rest.right))
            rest = rest.left
        return [(False, rest), *reversed(operands)] if len(operands) > LONG_CHAIN else None

    def long_chain(self, node: ast.BinOp, operands: list[tuple[bool, ast.expr]], depth: int) -> sympy.Expr:
        """All operands at once: one after the other, sympy would sort the whole chain for each of them."""
        if len(operands) > MAX_LENGTH // 8:
            raise self.refuse(node, f"{len(operands)} operands in a row (at most {MAX_LENGTH // 8})")
        is_sum = type(node.op) in CHAINS[0]
        values = []
        for inverted, operand in operands:
            value = self.value(operand, depth)
            if inverted and not is_sum and value.is_zero:
                raise self.refuse(operand, "division by zero")
            values.append(value if not inverted else -value if is_sum else 1 / value)
        return sympy.Add(*values) if is_sum else sympy.Mul(*values)

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
        return self.modest(node, base**exponent)

    def modest(self, node: ast.AST, result: sympy.Expr) -> sympy.Expr:
        """`result`, unless it is a constant that float64 cannot hold: sympy would go on computing with it for ever."""
        if not result.free_symbols and not isinstance(result, sympy.Rational):
            self.checked(node, result)
            require_float_constant(result)
        return result

    def call(self, node: ast.Call, depth: int) -> sympy.Expr:
        name = node.func.id if isinstance(node.func, ast.Name) else None
        if node.keywords or any(isinstance(arg, ast.Starred) for arg in node.args):
            raise self.refuse(node, "only plain positional arguments")
        if len(node.args) > MAX_ARGUMENTS:
            raise self.refuse(node, f"{len(node.args)} arguments (at most {MAX_ARGUMENTS})")
        if name == "Piecewise":
            return self.piecewise(node, depth)
        if name in NUMBERS:
            return self.exact(node, name, depth)
        if name in EXTREMA and node.args:
            # unevaluated: sympy's pairwise comparison of many arguments takes seconds
            return EXTREMA[name](*(self.value(a, depth) for a in node.args), evaluate=False)
        if name not in FUNCTIONS or len(node.args) != 1:
            known = ", ".join([*FUNCTIONS, *EXTREMA, "Piecewise", *NUMBERS])
            raise self.refuse(node, f"not a known function of that many arguments (known: {known})")
        return self.modest(node, FUNCTIONS[name](self.value(node.args[0], depth)))

    def exact(self, node: ast.Call, name: str, depth: int) -> sympy.Expr:
        """Rational(p, q), Integer(p), Float(p) and S(p), as sympy prints numbers and people write them."""
        values = [self.value(a, depth) for a in node.args]
        whole = name in ("Rational", "Integer")
        kind = sympy.Integer if whole else sympy.Rational
        if not 1 <= len(values) <= (2 if name == "Rational" else 1) or not all(isinstance(v, kind) for v in values):
            raise self.refuse(node, f"{name} takes {'integers' if whole else 'one number'}")
        if len(values) == 2 and values[1] == 0:
            raise self.refuse(node, "division by zero")
        return sympy.Rational(*values) if whole else values[0]

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


def as_text(outputs: Sequence[sympy.Expr]) -> str:
    """The string that `parse` reads back: floats as the decimals or fractions that they are, all else as sympy has it.

    ExpressionError when an expression cannot be written."""
    try:
        text = ", ".join(sympy.sstr(_without_floats(e)) for e in outputs)
    except (RecursionError, OverflowError, ValueError) as err:
        raise ExpressionError(f"`expression` cannot be written out: {err}") from err
    if len(text) > MAX_LENGTH:
        raise ExpressionError(f"`expression` must have at most {MAX_LENGTH} characters, got {len(text)}")
    return text


def _without_floats(expr: sympy.Expr) -> Any:
    return expr.xreplace({number: exact_float(number) for number in expr.atoms(sympy.Float)})


def exact_float(value: sympy.Float) -> Any:
    """A sympy Float as a rational: the shortest decimal of a float64, the very number at any other precision."""
    if not value.is_finite:
        raise ExpressionError(f"`expression`: the constant {value} is not a finite real number")
    as_double = float(value)
    if sympy.Rational(as_double) == sympy.Rational(value) and as_double:
        return sympy.Rational(repr(as_double))
    return sympy.Rational(value)


__all__ = ["as_text", "exact_float", "parse", "rational", "variables"]
