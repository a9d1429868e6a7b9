"""VNN-LIB files: the box of the inputs, and linear conditions on the outputs.

    (declare-const X_0 Real) … (declare-const Y_0 Real) …
    (assert (<= X_0 1/2)) (assert (>= X_0 0)) … (assert (or (and (<= Y_0 Y_1)) (and (>= Y_0 3))))

Main definitions: `read_vnnlib`, `VnnLib`.
Implementation notes: decimals are exact rationals; the box is rounded outward to floats.
"""

from __future__ import annotations

import math
import os
import re
from dataclasses import dataclass
from fractions import Fraction

from constructions.errors import require_path, shown
from constructions.files import require_regular
from constructions.functions.box import Box

TOKEN = re.compile(r"\s+|;[^\n]*|[()]|[^\s();]+")
NAME = re.compile(r"([XY])_(\d{1,6})")
NUMBER = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d{1,3})?")
LARGEST_FILE = 1 << 26
DEEPEST = 100

Condition = tuple[tuple[Fraction, ...], Fraction]
"""(a (m,), b): a·y ≤ b."""


@dataclass(frozen=True)
class VnnLib:
    """All X in `box`; `outputs` is a disjunction of conjunctions of conditions a·y ≤ b: a counterexample is an x of the
    box whose answer y meets all conditions of one of them. Empty: the file says nothing of outputs."""

    box: Box
    m: int
    outputs: tuple[tuple[Condition, ...], ...]


@dataclass(frozen=True)
class _Term:
    """A word, or a list of terms, with its line."""

    line: int
    word: str = ""
    parts: tuple[_Term, ...] = ()


def read_vnnlib(path: str | os.PathLike) -> VnnLib:
    """The box and the conditions of a file. ValueError with the line for what is not of the form above, OSError."""
    file = require_path("path", path)
    require_regular(file)
    if file.stat().st_size > LARGEST_FILE:
        raise ValueError(f"`path` {file} must have at most {LARGEST_FILE} bytes, got {file.stat().st_size}")
    try:
        return _Reader(str(file)).read(file.read_text(encoding="utf-8"))
    except UnicodeDecodeError as err:
        raise ValueError(f"`path` {file} must be a text in UTF-8: {err.reason}") from err


class _Reader:
    def __init__(self, file: str):
        self.file = file
        self.declared: dict[str, set[int]] = {"X": set(), "Y": set()}
        self.low: dict[int, Fraction] = {}
        self.high: dict[int, Fraction] = {}
        self.outputs: list[list[list[tuple[dict[int, Fraction], Fraction]]]] = []

    def fault(self, line: int, why: str) -> ValueError:
        return ValueError(f"`path` {self.file}, line {line}: {why}")

    def read(self, text: str) -> VnnLib:
        for term in self._terms(text):
            self._command(term)
        n, m = (self._count(kind) for kind in ("X", "Y"))
        if not n:
            raise ValueError(f"`path` {self.file} must declare inputs X_0, X_1, …")
        for name, ends in (("lower", self.low), ("upper", self.high)):
            missing = next((i for i in range(n) if i not in ends), None)
            if missing is not None:
                raise ValueError(f"`path` {self.file} gives X_{missing} no {name} bound")
        empty = next((i for i in range(n) if not self.low[i] < self.high[i]), None)
        if empty is not None:
            ends = f"[{float(self.low[empty]):g}, {float(self.high[empty]):g}]"
            raise ValueError(f"`path` {self.file}: the box must be wider than 0 along every axis, X_{empty} has {ends}")
        box = Box(tuple(_below(self.low[i]) for i in range(n)), tuple(-_below(-self.high[i]) for i in range(n)))
        return VnnLib(box, m, self._conjunctions(m))

    def _conjunctions(self, m: int) -> tuple[tuple[Condition, ...], ...]:
        """All assertions hold together: their disjunctions multiplied out."""
        found: list[list[tuple[dict[int, Fraction], Fraction]]] = [[]]
        for choices in self.outputs:
            found = [before + choice for before in found for choice in choices]
            if len(found) > 10_000:
                raise ValueError(f"`path` {self.file} must have at most 10000 cases of its outputs")
        zero = Fraction(0)
        rows = [tuple((tuple(a.get(i, zero) for i in range(m)), b) for a, b in part) for part in found]
        return tuple(rows) if self.outputs else ()

    def _count(self, kind: str) -> int:
        numbers = self.declared[kind]
        if numbers != set(range(len(numbers))):
            raise ValueError(f"`path` {self.file} must declare {kind}_0 … {kind}_{len(numbers) - 1}, got other numbers")
        return len(numbers)

    def _terms(self, text: str) -> list[_Term]:
        """The s-expressions of a text."""
        line, open_lists, done = 1, [], []
        for match in TOKEN.finditer(text):
            token = match[0]
            if token == "(":
                if len(open_lists) > DEEPEST:
                    raise self.fault(line, f"lists are nested deeper than {DEEPEST}")
                open_lists.append((line, []))
            elif token == ")":
                if not open_lists:
                    raise self.fault(line, "a bracket is closed that was not opened")
                start, parts = open_lists.pop()
                (open_lists[-1][1] if open_lists else done).append(_Term(start, "", tuple(parts)))
            elif not token[0].isspace() and token[0] != ";":
                if not open_lists:
                    raise self.fault(line, f"{shown(token)} stands outside of brackets")
                open_lists[-1][1].append(_Term(line, token))
            line += token.count("\n")
        if open_lists:
            raise self.fault(open_lists[-1][0], "a bracket is not closed")
        return done

    def _command(self, term: _Term) -> None:
        head = term.parts[0].word if term.parts else ""
        if head == "declare-const" and len(term.parts) == 3 and term.parts[2].word == "Real":
            kind, number = self._variable(term.parts[1], declare=True)
            self.declared[kind].add(number)
        elif head == "assert" and len(term.parts) == 2:
            self._assertion(term.parts[1])
        elif head not in ("set-logic", "set-info", "check-sat"):
            raise self.fault(term.line, "expected (declare-const X_i Real), (declare-const Y_j Real) or (assert …)")

    def _variable(self, term: _Term, *, declare: bool = False) -> tuple[str, int]:
        found = NAME.fullmatch(term.word)
        if found is None:
            raise self.fault(term.line, f"expected X_i or Y_j, got {shown(term.word or '(…)')}")
        kind, number = found[1], int(found[2])
        if not declare and number not in self.declared[kind]:
            raise self.fault(term.line, f"{term.word} is not declared")
        return kind, number

    def _assertion(self, term: _Term) -> None:
        head = term.parts[0].word if term.parts else ""
        if head == "and":
            for part in term.parts[1:]:
                self._assertion(part)
            return
        choices = [self._case(part) for part in term.parts[1:]] if head == "or" else [self._case(term)]
        inputs = [(kind, a, b) for choice in choices for kind, a, b in choice if kind == "X"]
        if inputs and head == "or":
            raise self.fault(term.line, "inputs must be in one box: X in an (or …) is not supported")
        if inputs:
            self._bound(term.line, *inputs[0][1:])
        else:
            self.outputs.append([[(a, b) for _, a, b in choice] for choice in choices])

    def _bound(self, line: int, a: dict[int, Fraction], b: Fraction) -> None:
        """One of X_i ≤ b and −X_i ≤ b."""
        if len(a) != 1:
            raise self.fault(line, "a condition on inputs must compare one X_i with a number")
        ((axis, sign),) = a.items()
        if sign > 0:
            self.high[axis] = min(b, self.high.get(axis, b))
        else:
            self.low[axis] = max(-b, self.low.get(axis, -b))

    def _case(self, term: _Term) -> list[tuple[str, dict[int, Fraction], Fraction]]:
        """The conditions of a comparison, or of an (and …) of them."""
        head = term.parts[0].word if term.parts else ""
        if head == "and":
            return [condition for part in term.parts[1:] for condition in self._case(part)]
        if head not in ("<=", ">=") or len(term.parts) != 3:
            raise self.fault(term.line, "expected (<= a b) or (>= a b) of variables and numbers")
        left, right = term.parts[1:] if head == "<=" else term.parts[:0:-1]
        terms: dict[str, dict[int, Fraction]] = {"X": {}, "Y": {}}
        bound = Fraction(0)
        for side, sign in ((left, 1), (right, -1)):
            if NUMBER.fullmatch(side.word):
                bound -= sign * Fraction(side.word)
            else:
                kind, number = self._variable(side)
                terms[kind][number] = terms[kind].get(number, Fraction(0)) + sign
        if bool(terms["X"]) == bool(terms["Y"]):
            raise self.fault(term.line, "a condition must be about inputs or about outputs, not both or neither")
        kind = "X" if terms["X"] else "Y"
        return [(kind, terms[kind], bound)]


def _below(value: Fraction) -> float:
    """The largest float that is not above a rational."""
    near = float(value)
    return near if Fraction(near) <= value else math.nextafter(near, -math.inf)
