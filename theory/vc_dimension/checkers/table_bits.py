"""Behind the memory of a table network: do the layers take every word apart into its bits?

Main definitions: `bits_come_out` (halving and merging, words of any length), `every_word` (the plain way).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from constructions.errors import BudgetExceeded
from theory.vc_dimension.checkers.integers import SMALL, largest, product
from theory.vc_dimension.checkers.table_family import TableFamily

MAX_PARTS = 4096
MOST_STEPS = 1 << 28  # of parts through layers


@dataclass(frozen=True)
class _Part:
    """Words X = Y + a fixed upper part, 0 ≤ Y < 2^free, of points asking for `bit`; `answer` is that bit once fixed."""

    bit: int
    free: int
    answer: int | None
    a: tuple
    b: tuple

    def undecided(self, output: bool) -> bool:
        """Whether some unit is positive for one Y and negative (as the output: not positive) for another."""
        ends = [(a, a + b * (2**self.free - 1)) for a, b in zip(self.a, self.b, strict=True)]
        return any((start > 0) != (end > 0) if output else start * end < 0 for start, end in ends)

    def halves(self, bits: int) -> list[_Part]:
        half, level = 2 ** (self.free - 1), bits - self.free + 1
        upper = tuple(a + b * half for a, b in zip(self.a, self.b, strict=True))
        answers = (0, 1) if level == self.bit else (self.answer, self.answer)
        return [
            _Part(self.bit, self.free - 1, answer, a, self.b)
            for a, answer in zip((self.a, upper), answers, strict=True)
        ]


def bits_come_out(family: TableFamily, a: np.ndarray, b: np.ndarray) -> str | None:
    """Halve and merge through the layers behind the memory; None when every word's bits come out right."""
    whole = [[int(v) for v in row] for row in a], [[int(v) for v in row] for row in b]
    parts = {_Part(j + 1, family.bits, None, tuple(u), tuple(v)) for j, (u, v) in enumerate(zip(*whole, strict=True))}
    steps = 0
    for i in range(family.memory + 1, len(family.base)):
        parts = _decided(parts, family.bits, output=False)
        if isinstance(parts, str):
            return f"layer {i - 1}: {parts}"
        steps += len(parts) * family.base[i][0].size
        if steps > MOST_STEPS:
            raise BudgetExceeded(f"layer {i}: more than {MOST_STEPS} products to take words apart")
        weight, bias = ([[int(v) for v in row] for row in np.atleast_2d(part)] for part in family.base[i])
        parts = {_through(part, weight, bias[0]) for part in parts}
    parts = _decided(parts, family.bits, output=True)
    if isinstance(parts, str):
        return f"output: {parts}"
    for part in parts:
        ends = part.a[0], part.a[0] + part.b[0] * (2**part.free - 1)
        if part.answer is None or any((value > 0) != bool(part.answer) for value in ends):
            return f"bit {part.bit}: words that have {part.answer} there are answered with {ends[0]} … {ends[1]}"
    return None


def _decided(parts: set[_Part], bits: int, *, output: bool) -> set[_Part] | str:
    """Halve until every unit has one sign on every part; equal parts merge because this is a set."""
    done: set[_Part] = set()
    todo = parts
    while todo:
        open_parts = {part for part in todo if part.undecided(output)}
        done |= todo - open_parts
        todo = {half for part in open_parts for half in part.halves(bits)}
        if len(done) + len(todo) > MAX_PARTS:
            return f"more than {MAX_PARTS} kinds of words: bits are not taken out one by one"
    return done


def _through(part: _Part, weight: list[list[int]], bias: list[int]) -> _Part:
    """ReLU, which is affine on the part, then one affine layer."""
    top = 2**part.free - 1
    kept = [(a, b) if a >= 0 and a + b * top >= 0 else (0, 0) for a, b in zip(part.a, part.b, strict=True)]
    a = tuple(c + sum(w * u for w, (u, _) in zip(row, kept, strict=True)) for row, c in zip(weight, bias, strict=True))
    b = tuple(sum(w * v for w, (_, v) in zip(row, kept, strict=True)) for row in weight)
    return _Part(part.bit, part.free, part.answer, a, b)


def every_word(family: TableFamily, a: np.ndarray, b: np.ndarray) -> str | None:
    """Run the layers behind the memory on all 2^K words and all K bits, in integers."""
    words = np.arange(2**family.bits)
    big = object if largest(a) + largest(b) * len(words) >= SMALL else np.int64
    hidden = (a.astype(big) + b.astype(big) * words[:, None, None].astype(big)).reshape(-1, a.shape[1])
    for weight, bias in family.base[family.memory + 1 :]:
        hidden = product(np.maximum(hidden, 0), weight) + bias
    answers = hidden[:, 0].reshape(len(words), family.bits)
    expected = (words[:, None] >> (family.bits - 1 - np.arange(family.bits))) & 1
    wrong = (answers > 0) != (expected == 1)
    if not wrong.any():
        return None
    word, bit = np.argwhere(wrong)[0]
    return f"word {word}: bit {bit + 1} is answered with {answers[word, bit]}"
