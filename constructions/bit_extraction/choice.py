"""The cheapest design of a bit-extraction network for a number of cells.

Main definition: `choose`.
"""

from __future__ import annotations

from functools import lru_cache

from constructions.bit_extraction.counts import parameters
from constructions.bit_extraction.design import Design, header_bits, header_bits_of_modulus
from constructions.errors import require_int

MAX_WORDS = 64


def choose(k: int, cells: int, *, lookup: str = "deep", cap: int | None = 51, lipschitz: bool = True) -> Design:
    """The design of fewest parameters with K ≥ `cells` and words of at most `cap` bits (None: no limit, one word).

    ValueError when no block fits into 64 words of the cap.
    """
    require_int("cells", cells, 1)
    best: tuple[int, Design] | None = None
    for J in range(0, max(1, cells.bit_length()) + 1):
        for m in _sizes(cells, J):
            design = _fitted(k, J, m, lookup, cap, lipschitz)
            if design is not None:
                cost = parameters(design, k)
                if best is None or cost < best[0]:
                    best = cost, design
    if best is None:
        raise ValueError(f"`cells` = {cells} on {k} axes needs blocks of more than {MAX_WORDS} words of {cap} bits")
    return best[1]


def _sizes(cells: int, J: int) -> list[int]:
    """The least odd m ≥ 3 with 2^{J+1}·m − 1 ≥ cells: a larger block at the same J only costs more."""
    least = max(3, -(-(cells + 1) // 2 ** (J + 1)))
    return [least + 1 - least % 2]


@lru_cache(maxsize=4096)
def _fitted(k: int, J: int, m: int, lookup: str, cap: int | None, lipschitz: bool) -> Design | None:
    cells = 2 ** (J + 1) * m - 1
    header = (header_bits if lipschitz else header_bits_of_modulus)(k, cells)
    bits = m**k - 1 + header
    words = 1 if cap is None else -(-bits // cap)
    if words > MAX_WORDS:
        return None
    while (words - 1) * -(-bits // words) >= bits:  # a word would be empty
        words += 1
    return Design(k, J, m, header, words, lookup)
