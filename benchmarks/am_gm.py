"""Means of products and the verifier of certificates, part of `run.py`; alone: `python benchmarks/am_gm.py`.

Subset dynamic programming against all n! products, integers over a common denominator against Fractions, and on the
same tuples the exact program. The peers give the same numbers, which is checked.

Main definitions: `means`, `certificates`, `report`.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from fractions import Fraction

import torch
from rich.console import Console
from timing import row, seconds, show, timed_row

from constructions.am_gm import certificate_path, expected_product, random_matrices
from theory.am_gm.checkers import verify_certificate
from theory.am_gm.checkers.reading import Numbers, read_text

FILES = ("n4m4_upper", "n5m4_upper", "n6m5_upper")
LETTERS, SIZE = 7, 4
BATCH, CUDA_BATCH, BATCH_LETTERS = 10_000, 100_000, 5


def means(*, quick: bool = False) -> list[dict]:
    """Tuples a second, of one tuple and of batches, on the CPU and on CUDA where it is."""
    one = _tuples(1, LETTERS)
    if not torch.allclose(expected_product(one), all_products(one), rtol=1e-10):
        raise RuntimeError("the two ways to the mean disagree")
    name = f"mean of all {LETTERS}! products, d={SIZE}, one tuple"
    ours, theirs = lambda: expected_product(one), lambda: all_products(one)
    rows = [timed_row(name, "all products, one after another", "tuples/s", (1, 1), ours, theirs)]
    count = BATCH // 10 if quick else BATCH
    many = _tuples(count, BATCH_LETTERS)
    name = f"means of {BATCH_LETTERS}! products, d={SIZE}, {count} tuples"
    ours, theirs = lambda: expected_product(many), lambda: all_products(many)
    rows.append(timed_row(name, "all products, batched", "tuples/s", (count, count), ours, theirs))
    if torch.cuda.is_available():
        there = _tuples(CUDA_BATCH, BATCH_LETTERS).cuda()

        def on_cuda() -> None:
            expected_product(there)
            torch.cuda.synchronize()

        name = f"means of {BATCH_LETTERS}! products, d={SIZE}, {CUDA_BATCH} tuples, CUDA"
        rows.append(row(name, "the CPU", "tuples/s", CUDA_BATCH / seconds(on_cuda), rows[-1]["ours"]))
    return rows


def _tuples(count: int, n: int) -> torch.Tensor:
    return random_matrices("wishart", n, SIZE, count=count, generator=torch.Generator().manual_seed(0))


def all_products(A: torch.Tensor) -> torch.Tensor:
    """The mean over all orders, one product of matrices after another."""
    n, d = A.shape[-3], A.shape[-1]
    total, count = torch.zeros(*A.shape[:-3], d, d, dtype=A.dtype), 0
    for order in itertools.permutations(range(n)):
        product = A[..., order[0], :, :]
        for i in order[1:]:
            product = product @ A[..., i, :, :]
        total, count = total + product, count + 1
    return total / count


def certificates() -> list[dict]:
    """Files a second, from the bytes to the verdict, against the same steps in Fractions."""
    rows = []
    for name in FILES:
        path = certificate_path(name)
        report, numbers = verify_certificate(path), read_text(path.read_bytes())
        if not report.holds or in_fractions(numbers) != (0, report.h_rank, report.g_rank):
            raise RuntimeError(f"the two ways to a verdict on {name} disagree")
        ours, theirs = lambda p=path: verify_certificate(p), lambda p=path: in_fractions(read_text(p.read_bytes()))
        label = f"verify {name} ({path.stat().st_size} bytes, {report.words} words)"
        rows.append(timed_row(label, "the same in Fractions", "files/s", (1, 1), ours, theirs))
    return rows


def in_fractions(numbers: Numbers) -> tuple[int, int | None, int | None]:
    """Coefficients that differ, and the ranks of H and G (None where not positive semidefinite)."""
    n, words = numbers.n, numbers.words
    h, g = ([[Fraction(v, numbers.denominator) for v in line] for line in part] for part in (numbers.h, numbers.g))
    place = {word: a for a, word in enumerate(words)}
    found: dict[tuple[int, ...], Fraction] = defaultdict(Fraction)
    for (a, u), (b, v) in itertools.product(enumerate(words), repeat=2):
        found[u[::-1] + v] += n * h[a][b]
        for i in range(n):
            ua, vb = (place[tuple({0: i, i: 0}.get(c, c) for c in word)] for word in (u, v))
            found[(*u[::-1], i, *v)] += g[ua][vb] - h[a][b]
    found[()] -= numbers.bound
    for word in itertools.permutations(range(n), numbers.m):
        found[word] += numbers.sign
    return sum(v != 0 for v in found.values()), _rank(h), _rank(g)


def _rank(rows: list[list[Fraction]]) -> int | None:
    rank = 0
    while rows:
        pivot, column, rest = rows[0][0], [line[0] for line in rows[1:]], [line[1:] for line in rows[1:]]
        if pivot < 0 or (pivot == 0 and any(column)):
            return None
        if pivot:
            rank += 1
            shares = [a / pivot for a in column]
            rest = [
                [x - s * b for x, b in zip(line, column, strict=True)] for line, s in zip(rest, shares, strict=True)
            ]
        rows = rest
    return rank


def report(*, quick: bool = False) -> list[dict]:
    return [*means(quick=quick), *certificates()]


if __name__ == "__main__":
    show(report(), Console(width=160))
