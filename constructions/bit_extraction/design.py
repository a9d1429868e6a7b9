"""The integers of a bit-extraction network: grid, blocks, words.

Notation: k resolved axes, each cut into K = 2^{J+1}·m − 1 cells (K + 1 = 2^{J+1}·m nodes); G = 2^J blocks of m nodes an
axis and class, 2^k classes, m odd. A block keeps one step bit a node (but the first) and a header of H bits: B =
m^k − 1 + H bits in r words. `lookup` is "deep" (a countdown, narrow) or "wide" (two one-hot codes).

Main definitions: `Design`, `error_constant`, `header_bits`.
Main statement: the network is within C_k·λ·h of a λ-Lipschitz function, h = side/K, C_1 = 1, C_k = 1 + √k/2.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction

import torch

from constructions.errors import require_choice, require_int

LOOKUPS = ("deep", "wide")
SIGNIFICANDS = {torch.float64: 53, torch.float32: 24}
STEP_MARGIN = Fraction(1, 10**9)
"""The step q exceeds λh by this share, so that rounding of node values cannot make neighbours differ by 3 steps."""


@dataclass(frozen=True)
class Design:
    """k, J, m, H, r and the look-up; everything else of the architecture follows."""

    k: int
    J: int
    m: int
    header: int
    words: int = 1
    lookup: str = "deep"

    def __post_init__(self) -> None:
        # limits far beyond what can be built, so that a number from a file cannot ask for endless arithmetic
        require_int("k", self.k, 1, 64)
        require_int("J", self.J, 0, 64)
        require_int("header", self.header, 2)
        require_int("words", self.words, 1)
        require_choice("lookup", self.lookup, LOOKUPS)
        if require_int("m", self.m, 3, 1 << 53) % 2 == 0:
            raise ValueError(f"`m` must be odd, else labels and reflections disagree, got {self.m}")
        if (self.words - 1) * self.word_bits >= self.bits:
            raise ValueError(
                f"`words` = {self.words} words of {self.word_bits} bits leave none for the last of {self.bits}"
            )

    @property
    def cells(self) -> int:
        """K, cells an axis."""
        return 2 ** (self.J + 1) * self.m - 1

    @property
    def nodes(self) -> int:
        """N_v = m^k, nodes of a block."""
        return self.m**self.k

    @property
    def blocks(self) -> int:
        """N_w = 2^{kJ}, blocks of a class."""
        return 2 ** (self.k * self.J)

    @property
    def classes(self) -> int:
        """How many classes of cells there are, 2^k."""
        return 2**self.k

    @property
    def bits(self) -> int:
        """B = m^k − 1 + H, bits a block keeps."""
        return self.nodes - 1 + self.header

    @property
    def word_bits(self) -> int:
        """Bits of the longest word, ⌈B/r⌉."""
        return -(-self.bits // self.words)

    @property
    def lengths(self) -> list[int]:
        """Bits of every word: all but the last have `word_bits`."""
        return [self.word_bits] * (self.words - 1) + [self.bits - (self.words - 1) * self.word_bits]

    @property
    def table_size(self) -> int:
        """Numbers that depend on the function: one a word, block and class."""
        return self.classes * self.words * self.blocks

    @property
    def columns(self) -> int:
        """C, columns of the wide look-up: about the square root of the blocks, over 2."""
        return 2 ** max(0, self.k * self.J // 2 - 1)


def word_cap(lookup: str, dtype: torch.dtype = torch.float64) -> int:
    """Bits of a word that a significand of p bits decodes without rounding, in any order: p − 2 (deep), p − 1
    (wide)."""
    return SIGNIFICANDS[dtype] - (2 if require_choice("lookup", lookup, LOOKUPS) == "deep" else 1)


def error_constant(k: int) -> Fraction:
    """C_k, rounded up: 1 for k = 1, 1 + √k/2 for k ≥ 2 (error in units of λh)."""
    return Fraction(1) if require_int("k", k, 1) == 1 else 1 + Fraction(_ceil_root(k, 40)) / 2


def _ceil_root(value: int, digits: int) -> Fraction:
    """√value rounded up to a multiple of 2^−digits."""
    scaled = math.isqrt(value << (2 * digits))
    return Fraction(scaled if scaled * scaled == value << (2 * digits) else scaled + 1, 2**digits)


def header_bits(k: int, cells: int) -> int:
    """H that suffices for every λ-Lipschitz function (q ≥ λh): node values are at most √k·K + 1 steps."""
    return max(2, (math.isqrt(k * cells * cells) + 1).bit_length())


def header_bits_of_modulus(k: int, cells: int) -> int:
    """H that suffices for q = ω(h): ω(√k·K·h) ≤ ⌈√k·K⌉·ω(h)."""
    root = math.isqrt(k * cells * cells)
    return max(2, (root + (root * root < k * cells * cells) + 1).bit_length())
