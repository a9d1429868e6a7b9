"""Orders: the boustrophedon walk through a block, and the Gray address of a block.

Main definitions: `snake`, `cell_address`, `exponents`.
"""

from __future__ import annotations

from constructions.bit_extraction.design import Design


def snake(m: int, axes: int) -> list[tuple[int, ...]]:
    """{1..m}^axes with neighbours one unit step apart, axis 1 fastest; the first node is (1, …, 1)."""
    if axes == 0:
        return [()]
    path = []
    for k, rest in enumerate(snake(m, axes - 1)):
        steps = range(1, m + 1) if k % 2 == 0 else range(m, 0, -1)
        path += [(j, *rest) for j in steps]
    return path


def cell_address(cell: int, J: int) -> int:
    """Σ_j 2^{J−j}·s̄_j(c), s̄_j = 0 where the j-th fold of c + 1/2 reflects: complement of the reflected Gray code."""
    twice, address = 2 * cell + 1, 0  # 2(c + 1/2) stays an integer
    for j in range(1, J + 1):
        fold = 2 ** (J - j + 1)
        if twice < fold:
            address += 2 ** (J - j)
        else:
            twice = 2 * fold - twice
    return address


def exponents(design: Design) -> list[tuple[int, int]]:
    """(word, exponent) of every bit of a block's string, the highest first."""
    return [(word, e) for word, length in enumerate(design.lengths) for e in range(length - 1, -1, -1)]
