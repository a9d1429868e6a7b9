"""What a network costs, stage by stage, before it is built.

Main definitions: `runs`, `parameters`.
Implementation notes: widths are run-length encoded, because a deep look-up has 2^{kJ} − 1 layers of equal width.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from constructions.bit_extraction.design import Design
from constructions.bit_extraction.snake import exponents, snake

Runs = Iterator[tuple[int, int]]


def runs(design: Design) -> Runs:
    """(width, how many layers in a row) of the hidden layers."""
    k = design.k
    yield k, 2
    for number, p in enumerate(itertools.product((0, 1), repeat=k)):
        acc, z = int(number > 0), 0 if number == design.classes - 1 else k
        yield from _address(design, acc)
        yield from ((z + acc + design.words + 2 * k, 1) for _ in range(design.J))
        yield z + acc + design.words + k, 1
        yield from ((z + width, 1) for width in (_line(design, acc) if k == 1 else _block(design, p, acc)))


def _address(d: Design, acc: int) -> Runs:
    """Stages I and L."""
    k, base = d.k, d.k + acc
    if d.J == 0:
        return
    for j in range(1, d.J + 2):
        recorded = 0 if j < 3 else 1 if d.lookup == "deep" else k * (j - 2)
        yield base + k * ((j < d.J) + (j <= d.J) + (j >= 2)) + recorded, 1
    if d.lookup == "wide":
        columns = d.columns
        yield base + d.blocks // columns + (columns if columns > 1 else 0), 1
        if columns > 1:
            yield base + d.words * columns, 1
    elif d.blocks == 2:
        yield base + 1, 1
    else:
        yield base + 2, 1
        yield base + 2 + d.words, d.blocks - 3
        yield base + 1 + d.words, 1


def _line(d: Design, acc: int) -> Iterator[int]:
    """Stages D (on a line), H and E, without z."""
    bits = exponents(d)
    live = d.words
    for step in range(1, d.m + 1):
        live -= bits[step - 1][1] == 0
        yield acc + live + 3 + (step == 2) + (step >= 2)  # T or cap, r, x, sig, mm
        acc = acc or int(step >= 2)
        yield acc + live + (3 if step < d.m else 2)
    yield from _header(d, acc, live, d.m, waiting=True)


def _block(d: Design, p: tuple[int, ...], acc: int) -> Iterator[int]:
    """Stages D, H and E, without z."""
    bits = exponents(d)
    live, node, waiting, has_sum = d.words, 0, False, 0
    lines = snake(d.m, d.k - 1)
    coordinates = d.k
    for number, rest in enumerate(lines):
        final_row, labels = number == len(lines) - 1, set()
        for axis in range(d.k - 1, 0, -1):
            coordinates -= final_row
            yield acc + live + 2 + coordinates + has_sum + len(labels) + waiting
            acc, waiting = acc or int(waiting), False
            labels.add((p[axis] + rest[axis - 1] - 1) % 2)
        for step in range(d.m):
            node += 1
            final = node == d.nodes
            live -= not final and bits[node - 1][1] == 0
            coordinates -= final
            yield acc + live + 2 + (not final) + coordinates + has_sum + len(labels) + waiting
            acc, waiting = acc or int(waiting), not final
            far = len(labels) if step < d.m - 1 else 0
            yield acc + live + 1 + (not final) + coordinates + has_sum + far
            has_sum = 1
    yield from _header(d, acc, live, d.nodes - 1, waiting=False)


def _header(d: Design, acc: int, live: int, done: int, *, waiting: bool) -> Iterator[int]:
    for _, exponent in exponents(d)[done:]:
        live -= exponent == 0
        yield acc + live + 2 + waiting
        acc, waiting = acc or int(waiting), True
        yield acc + live + 2
    yield acc + 1


def parameters(design: Design, inputs: int, *, outputs: int = 1) -> int:
    """P = Σ (w_{l−1} + 1)·w_l over all layers, the affine output last.

    `inputs` is the dimension of x; `outputs` networks side by side multiply every width.
    """
    total, before = 0, inputs
    for width, count in itertools.chain(runs(design), [(1, 1)]):
        wide = outputs * width
        total += (before + 1) * wide + (count - 1) * (wide + 1) * wide
        before = wide
    return total
