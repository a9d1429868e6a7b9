"""What is proved by hand: the two forms, blocks, and products of two; their identities are checked here."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from fractions import Fraction

import sympy
from flint import fmpq, fmpq_mat

from constructions.am_gm import de_sa_family, expected_product_exact
from theory.am_gm.bounds import block_weight
from theory.am_gm.checkers import loewner_le, norm_le
from theory.am_gm.reproductions.free_algebra import Polynomial, add, constant, letter, multiply, scale
from theory.claim import Context, Evidence, Status, Table, Verdict, ensure

COUNTED = ((2, 3), (2, 4))
"""(q, n = k): partitions of qn indices into n blocks of q."""
SCALES = (Fraction(1), Fraction(3, 7), Fraction(5, 2))
PAIRS_UP_TO, PAIRS_UP_TO_FULL = 6, 9


def two_forms(context: Context) -> Verdict:
    """Both forms decided on De Sa's matrices in rationals; the weights of blocks by counting and by their formula."""
    outcomes = []
    for n, k, scale_by in itertools.product((3, 4, 5), (2, 3, 4, 5), SCALES):
        if k <= n:
            norm_form, loewner_form = _both_forms(n, k, scale_by)
            ensure(norm_form == loewner_form, f"n = {n}, k = {k}, scaled by {scale_by}: the two forms differ")
            outcomes.append((n, k, str(scale_by), norm_form))
    ensure({row[3] for row in outcomes} == {True, False}, "the forms were compared where one outcome occurs only")
    rows = []
    for q, n in (*COUNTED, *(((2, 5),) if context.full else ())):
        context.log(f"partitions of {q * n} indices into {n} blocks")
        partitions, counts = _counted(q, n)
        weight = block_weight(q, n, n)
        ensure(len(counts) == math.perm(q * n, n), f"{len(counts)} tuples occur, not all")
        ensure(set(counts.values()) == {weight}, f"q = {q}, n = {n}: weights {sorted(set(counts.values()))[:3]}")
        rows.append((q * n, n, partitions, len(counts), weight))
    ensure(_weights_add_up(), "the weights of all tuples do not add up to all choices")
    ensure(_average_over_blocks(), "the mean over partitions is not the mean product")
    tables = {
        "blocks": Table(("indices", "k", "partitions", "tuples", "weight"), tuple(rows)),
        "forms": Table(("n", "k", "scale", "holds"), tuple(outcomes)),
    }
    reason = f"{len(outcomes)} tuples decided alike in both forms; every ordered tuple has the weight of the formula"
    return Verdict(Status.PROVED, Evidence.SYMBOLIC, reason, {"tuples_compared": len(outcomes)}, tables=tables)


def _both_forms(n: int, k: int, factor: Fraction) -> tuple[bool, bool]:
    """Whether the norm form and the Loewner form hold at De Sa's matrices times `factor`, padded by a zero row."""
    A = [_padded(M) * fmpq(factor.numerator, factor.denominator) for M in de_sa_family(n, exact=True)]
    # the mean of the A_i is factor·I and a zero: its norm is the factor, and it has no inverse
    norm_form = norm_le(expected_product_exact(A, k), factor**k).holds
    f = expected_product_exact([M * fmpq(factor.denominator, factor.numerator) for M in A], k) * math.perm(n, k)
    most = fmpq_mat(n + 1, n + 1, [math.perm(n, k) * int(i == j) for i in range(n + 1) for j in range(n + 1)])
    return norm_form, loewner_le(f, most).holds and loewner_le(most * -1, f).holds


def _padded(M: fmpq_mat) -> fmpq_mat:
    d = M.nrows()
    return fmpq_mat(d + 1, d + 1, [M[i, j] if i < d and j < d else 0 for i in range(d + 1) for j in range(d + 1)])


def _partitions(indices: tuple[int, ...], q: int) -> list[tuple[tuple[int, ...], ...]]:
    """Ordered partitions into blocks of q."""
    if not indices:
        return [()]
    found = []
    for block in itertools.combinations(indices, q):
        rest = tuple(i for i in indices if i not in block)
        found += [(block, *others) for others in _partitions(rest, q)]
    return found


def _counted(q: int, n: int) -> tuple[int, Counter]:
    """How many ordered partitions of qn indices there are, and how often each tuple, one index a block, occurs."""
    partitions = _partitions(tuple(range(q * n)), q)
    counts: Counter = Counter()
    for partition in partitions:
        counts.update(itertools.product(*partition))
    return len(partitions), counts


def _weights_add_up() -> bool:
    """(qn)_k · weight = partitions · q^k, for all q, n and k."""
    q, n, k, below = sympy.symbols("q n k below", positive=True)  # below = (q − 1)!, so that q! = q·below
    # (qn)_k·(qn − k)! = (qn)! on one side, and (qn)! in the number of partitions on the other
    ratio = (q * below) ** n / (below**k * (q * below) ** (n - k) * q**k)
    same = all(
        math.perm(a * b, c) * block_weight(a, b, c) * math.factorial(a) ** b == math.factorial(a * b) * a**c
        for a, b, c in itertools.product(range(1, 5), range(1, 6), range(1, 6))
        if c <= b
    )
    return same and sympy.powsimp(sympy.expand_power_base(ratio)) == 1


def _average_over_blocks() -> bool:
    """Over all partitions of four indices into two blocks the mean of E_wo[2](B) is E_wo[2](A), in rationals."""
    A = [fmpq_mat(2, 2, [a * a, a * b, a * b, b * b + 1]) for a, b in ((1, 2), (3, -1), (0, 5), (2, 7))]
    partitions = _partitions(tuple(range(4)), 2)
    total = fmpq_mat(2, 2)
    for partition in partitions:
        blocks = [sum((A[i] for i in block), start=fmpq_mat(2, 2)) * fmpq(1, 2) for block in partition]
        total += expected_product_exact(blocks, 2)
    return total * fmpq(1, len(partitions)) == expected_product_exact(A, 2)


# --- products of two ------------------------------------------------------------------------------------


def pairs(context: Context) -> Verdict:
    """Both halves as identities of polynomials in n letters, and their coefficients for all n."""
    most = PAIRS_UP_TO_FULL if context.full else PAIRS_UP_TO
    for n in range(2, most + 1):
        f = _distinct_pairs(n)
        upper, lower = _upper_side(n), _lower_side(n)
        ensure(add(constant(n * (n - 1)), scale(-1, f)) == upper, f"n = {n}: the identity of the upper half fails")
        ensure(add(constant(n * (n - 1)), f) == lower, f"n = {n}: the identity of the lower half fails")
    ensure(_coefficients_for_all_n(), "the identities fail for some n")
    reason = f"identities in n = 2, …, {most} letters, and their coefficients in 1, S, ΣA_i², S² for every n"
    return Verdict(Status.PROVED, Evidence.SYMBOLIC, reason, {"largest_n_in_letters": most})


def _distinct_pairs(n: int) -> Polynomial:
    return {pair: Fraction(1) for pair in itertools.permutations(range(n), 2)}


def _upper_side(n: int) -> Polynomial:
    """Σ(A_i − S/n)² + (1 − 1/n)(n − S)(n + S)."""
    S = add(*map(letter, range(n)))
    centred = [add(letter(i), scale(Fraction(-1, n), S)) for i in range(n)]
    above = multiply(add(constant(n), scale(-1, S)), add(constant(n), S))
    return add(*(multiply(c, c) for c in centred), scale(1 - Fraction(1, n), above))


def _lower_side(n: int) -> Polynomial:
    """(S − n/2)² + ΣA_i(n − A_i) + n(3n − 4)/4."""
    S = add(*map(letter, range(n)))
    shifted = add(S, constant(Fraction(-n, 2)))
    products = (multiply(letter(i), add(constant(n), scale(-1, letter(i)))) for i in range(n))
    return add(multiply(shifted, shifted), *products, constant(Fraction(n * (3 * n - 4), 4)))


def _coefficients_for_all_n() -> bool:
    """Only 1, S, Q = ΣA_i² and S² occur: Σ(A_i − S/n)² = Q − 2S²/n + n(S/n)², as ΣA_i = S."""
    n, S, Q = sympy.symbols("n S Q")
    f = S**2 - Q
    upper = (Q - 2 * S**2 / n + n * (S / n) ** 2) + (1 - 1 / n) * (n - S) * (n + S)
    lower = (S - n / 2) ** 2 + (n * S - Q) + n * (3 * n - 4) / 4
    same = sympy.expand(n * (n - 1) - f - upper) == 0 and sympy.expand(n * (n - 1) + f - lower) == 0
    rest = sympy.Poly(sympy.expand((n * (3 * n - 4)).subs(n, n + 2)), n)
    return same and all(coefficient >= 0 for coefficient in rest.coeffs())
