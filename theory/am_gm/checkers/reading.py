"""Reading a certificate file: anything but the format is refused, and every number is kept as integers.

The format `momlp-amgm-sos`, version 1, is UTF-8 JSON: n, m, side, bound "p/q", and H, G as lists of [u, v, "p/q"], one
entry an orbit of pairs of words under the permutations of the letters (for G those that fix the letter 0) and
transposition; (u, v) is the orbit's first pair in the order by length, then letters, u before v.

Main definitions: `Numbers`, `read_file`, `read_text`.
Implementation notes: the first pair of an orbit has its letters numbered in the order in which they occur in uv, for
the lesser of (u, v) and (v, u). Keys that the format does not know are ignored: they decide nothing.
"""

from __future__ import annotations

import itertools
import json
import math
import os
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from constructions.errors import BudgetExceeded, StoreError, shown
from constructions.files import require_regular

FORMAT, VERSION = "momlp-amgm-sos", 1
SIDES = {"upper": 1, "lower": -1}
MOST_LETTERS = 9  # letters are digits
MOST_BYTES = 1 << 20
MOST_WORDS = 300  # rows of H and G
MOST_DIGITS = 300
MOST_BITS = 8192  # of the common denominator
MOST_WORK = 5e13  # rows³·(rows·bits)^1.6, what elimination in integers takes: minutes
NUMBER = re.compile(r"(-?[0-9]+)(?:/([0-9]+))?")

Word = tuple[int, ...]
Pair = tuple[Word, Word]


@dataclass(frozen=True)
class Numbers:
    """A file's numbers: H and G_0 in full, over `words`, as integers over the common `denominator`, and the bound."""

    n: int
    m: int
    sign: int
    bound: Fraction
    words: tuple[Word, ...]
    denominator: int
    h: list[list[int]]
    g: list[list[int]]

    @property
    def side(self) -> str:
        return "upper" if self.sign == 1 else "lower"


def read_file(path: str | os.PathLike) -> tuple[Numbers, bytes]:
    """The numbers of a file, and its bytes. OSError when it cannot be read, StoreError when it is not of the format,
    BudgetExceeded when the check would take too long."""
    source = require_regular(path)
    try:
        with open(source, "rb") as file:
            data = file.read(MOST_BYTES + 1)
    except OSError as err:
        raise OSError(f"cannot read {source}: {err.strerror or err}") from err
    try:
        return read_text(data), data
    except (StoreError, BudgetExceeded) as err:
        raise type(err)(f"{source}: {err}") from err


def read_text(data: bytes) -> Numbers:
    """The numbers of the text of a file."""
    if len(data) > MOST_BYTES:
        raise BudgetExceeded(f"more than {MOST_BYTES} bytes are no certificate that is checked here")
    fields = _fields(data)
    if fields.get("format") != FORMAT or type(fields.get("version")) is not int or fields["version"] != VERSION:
        raise StoreError(
            f'the format must be "{FORMAT}", version {VERSION}, got {shown(fields.get("format"))}, '
            f"version {shown(fields.get('version'))}"
        )
    n = _integer(fields, "n", MOST_LETTERS)
    m = _integer(fields, "m", n)
    side = fields.get("side")
    if not isinstance(side, str) or side not in SIDES:
        raise StoreError(f'`side` must be "upper" or "lower", got {shown(side)}')
    bound = _number("`bound`", fields.get("bound"))
    words = _words(n, m // 2)
    h, g = (_entries(name, fields.get(name), n, m // 2) for name in ("H", "G"))
    denominator = _common_denominator(bound, h, g)
    matrices = (
        _matrix(name, entries, words, fixed, denominator) for name, entries, fixed in (("H", h, 0), ("G", g, 1))
    )
    numbers = Numbers(n, m, SIDES[side], bound, words, denominator, *matrices)
    _require_affordable(numbers)
    return numbers


def _require_affordable(numbers: Numbers) -> None:
    """BudgetExceeded when elimination would take hours: its entries grow to the bits of all rows together."""
    size = len(numbers.words)
    bits = max(v.bit_length() for matrix in (numbers.h, numbers.g) for row in matrix for v in row)
    if size**3 * (size * bits) ** 1.6 > MOST_WORK:
        raise BudgetExceeded(f"matrices of {size} rows with entries of {bits} bits would take hours")


# --- JSON -----------------------------------------------------------------------------------------------


def _fields(data: bytes) -> dict[str, Any]:
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as err:
        raise StoreError(f"the text is not UTF-8 (byte {err.start})") from err
    try:
        found = json.loads(text, object_pairs_hook=_distinct, parse_constant=_no_number)
    except RecursionError as err:
        raise StoreError("the JSON is nested too deeply") from err
    except StoreError:
        raise
    except ValueError as err:  # also an integer of more digits than Python reads
        raise StoreError(f"the text is not JSON: {err}") from err
    if not isinstance(found, dict):
        raise StoreError(f"the JSON must be an object, got {type(found).__name__}")
    return found


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise StoreError("the JSON gives a key twice")
    return found


def _no_number(name: str) -> None:
    raise StoreError(f"the JSON says {name}, which is no number")


def _integer(fields: dict[str, Any], name: str, most: int) -> int:
    value = fields.get(name)
    if type(value) is not int or not 1 <= value <= most:
        raise StoreError(f"`{name}` must be an integer between 1 and {most}, got {shown(value)}")
    return value


def _number(what: str, value: Any) -> Fraction:
    found = NUMBER.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise StoreError(f'{what} must be a string "p" or "p/q" of integers, got {shown(value)}')
    numerator, denominator = found.group(1), found.group(2) or "1"
    if max(len(numerator), len(denominator)) > MOST_DIGITS:
        raise BudgetExceeded(f"{what} has more than {MOST_DIGITS} digits")
    if int(denominator) == 0:
        raise StoreError(f"{what} has the denominator 0")
    return Fraction(int(numerator), int(denominator))


# --- orbits ---------------------------------------------------------------------------------------------


def _words(n: int, longest: int) -> tuple[Word, ...]:
    """All words of at most this length, by length, then letters."""
    count = sum(n**j for j in range(longest + 1))
    if count > MOST_WORDS:
        raise BudgetExceeded(f"matrices of {count} words are too many, at most {MOST_WORDS} are checked")
    return tuple(w for j in range(longest + 1) for w in itertools.product(range(n), repeat=j))


def first_pair(u: Word, v: Word, fixed: int) -> Pair:
    """The first pair of the orbit of (u, v): permutations fix the letters below `fixed`."""
    return min(_numbered(u, v, fixed), _numbered(v, u, fixed), key=_order)


def _order(pair: Pair) -> tuple[int, Word, int, Word]:
    u, v = pair
    return len(u), u, len(v), v


def _numbered(u: Word, v: Word, fixed: int) -> Pair:
    names = {letter: letter for letter in range(fixed)}
    both = tuple([names.setdefault(letter, len(names)) for letter in (*u, *v)])
    return both[: len(u)], both[len(u) :]


def _entries(name: str, rows: Any, n: int, longest: int) -> dict[Pair, Fraction]:
    if not isinstance(rows, list):
        raise StoreError(f"`{name}` must be a list of [u, v, value], got {type(rows).__name__}")
    found: dict[Pair, Fraction] = {}
    for row in rows:
        if not isinstance(row, list) or len(row) != 3:
            raise StoreError(f"`{name}` must hold lists [u, v, value], got {shown(row)}")
        pair = (_word(name, row[0], n, longest), _word(name, row[1], n, longest))
        if pair in found:
            raise StoreError(f"`{name}` gives the orbit of {_quoted(pair)} twice")
        if pair != first_pair(*pair, fixed=int(name == "G")):
            raise StoreError(f"`{name}` has {_quoted(pair)}, which is not the first pair of its orbit")
        found[pair] = _number(f"the value of `{name}` at {_quoted(pair)}", row[2])
    return found


def _word(name: str, text: Any, n: int, longest: int) -> Word:
    letters = "0123456789"[:n]
    if not isinstance(text, str) or any(c not in letters for c in text):
        raise StoreError(f"`{name}` must have words of the letters {letters[0]} to {letters[-1]}, got {shown(text)}")
    if len(text) > longest:
        raise StoreError(f"`{name}` must have words of at most {longest} letters, got {shown(text)}")
    return tuple(int(c) for c in text)


def spelled(word: Word) -> str:
    return "".join(map(str, word))


def _quoted(pair: Pair) -> str:
    return f'("{spelled(pair[0])}", "{spelled(pair[1])}")'


def _common_denominator(bound: Fraction, *entries: dict[Pair, Fraction]) -> int:
    values: Iterable[Fraction] = (bound, *(v for found in entries for v in found.values()))
    common = 1
    for value in values:
        common = math.lcm(common, value.denominator)
        if common.bit_length() > MOST_BITS:
            raise BudgetExceeded(f"the common denominator has more than {MOST_BITS} bits")
    return common


def _matrix(
    name: str, entries: dict[Pair, Fraction], words: tuple[Word, ...], fixed: int, denominator: int
) -> list[list[int]]:
    """The full matrix; StoreError when an orbit has no entry."""
    scaled = {pair: v.numerator * (denominator // v.denominator) for pair, v in entries.items()}

    def value(u: Word, v: Word) -> int:
        pair = first_pair(u, v, fixed)
        if pair not in scaled:
            raise StoreError(f"`{name}` lacks the orbit of {_quoted(pair)}: an orbit is missing")
        return scaled[pair]

    return _symmetric(words, value)


def _symmetric(words: tuple[Word, ...], value: Callable[[Word, Word], int]) -> list[list[int]]:
    rows = [[0] * len(words) for _ in words]
    for a, u in enumerate(words):
        for b in range(a, len(words)):
            rows[a][b] = rows[b][a] = value(u, words[b])
    return rows
