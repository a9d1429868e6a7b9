"""Counts of bit-extraction networks, transcribed from their specification and never read off the builder, and their
rates.

Notation: n resolved axes, J, m (odd), H header bits, r words, look-up "deep" or "wide"; K = 2^{J+1}·m − 1 cells an
axis, P parameters in dense layers, nnz the entries of the sparsity pattern.

Main definitions: `widths`, `parameters_of_widths`, `closed_parameters`, `closed_nonzeros`, `rate_bound`, `cheapest`,
`trade_off_point`, `trade_off_constant`, `trade_off_lower`, `trade_off_information`, `naive_parameters`.
Main statements: P = D_n(m, H) + I_n(J) for r = 1; P ≤ `rate_bound` when J balances; so P = O((λs√n/ε)^{n/2}) + O(log),
with words of m^n − 1 + H bits, which float64 holds only up to 51 or 52.
"""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

from constructions.errors import BudgetExceeded, require_choice, require_instance, require_int, shown
from theory.vc_dimension.bounds import LOG_E, LONGEST, ROUNDING, grid_points, log2

MOST_LAYERS = 1 << 20
DEEPEST_FOLD = 4096  # of J, where numbers have as many bits
LARGEST = 10**50
DEEP_I = {1: (0, 92, 286, 592), 2: (0, 817, 3265, 11383), 3: (0, 4539, 31114, 228052)}
WIDE_I = {
    1: (0, 107, 240, 444, 674, 1050, 1456, 2232, 3104, 4876, 7156, 11740, 18896),
    2: (0, 659, 1691, 3399, 6867, 15275, 39431, 118519),
    3: (0, 2935, 7894, 23546, 83444),
}
DEEP_NONZERO = {1: (0, 37), 2: (0, 212), 3: (0, 883)}


# --- widths, layer by layer ---------------------------------------------------------------------------


def widths(n: int, J: int, m: int, H: int, r: int = 1, lookup: str = "deep") -> list[int]:
    """Hidden widths in order: stage 0, then I, L, F, D, H, E of every class."""
    _require_design(n, J, m, H, lookup)
    layers = depth(n, J, m, H, lookup)
    if layers > MOST_LAYERS:
        raise BudgetExceeded(
            f"`n`, `J`, `m` and `H` must be smaller: {shown(layers)} layers, more than {MOST_LAYERS} are not listed"
        )
    bits = m**n - 1 + H
    require_int("r", r, 1, bits)
    size = -(-bits // r)
    lengths = [size] * (r - 1) + [bits - size * (r - 1)]
    result = [n, n]
    total = False  # whether the running total is a channel
    for p in itertools.product((0, 1), repeat=n):
        result += _stages_i_l(n, J, r, lookup, int(total))
        z = 0 if all(p) else n
        result += [z + total + r + 2 * n] * J + [z + total + r + n]
        bit_of_word = [(word, length - 1 - i) for word, length in enumerate(lengths) for i in range(length)]
        decoder = _decoder_line(m, bit_of_word, r, total) if n == 1 else _decoder(n, m, p, bit_of_word, r, total)
        result += [z + width for width in decoder]
        total = True
    return result


def _require_design(n: int, J: int, m: int, H: int, lookup: str, most_axes: int = 16) -> None:
    require_choice("lookup", lookup, ("deep", "wide"))
    require_int("n", n, 1, most_axes)
    require_int("J", J, 0, DEEPEST_FOLD // n)
    require_int("m", m, 1, LARGEST)
    require_int("H", H, 0, LARGEST)


def _stages_i_l(n: int, J: int, r: int, lookup: str, total: int) -> list[int]:
    if J == 0:
        return []
    rows = []
    for j in range(1, J + 2):
        f, g, side = (n if j < J else 0), (n if j <= J else 0), (n if j >= 2 else 0)
        carried = 0 if j < 3 else (1 if lookup == "deep" else n * (j - 2))
        rows.append(n + total + f + g + side + carried)
    blocks = 2 ** (n * J)
    if lookup == "deep":
        for k in range(1, blocks):
            rows.append(n + total + (1 if k < blocks - 1 else 0) + 1 + (r if k >= 2 else 0))
        return rows
    column_bits = max(0, n * J // 2 - 1)
    columns = 2**column_bits
    rows.append(n + total + 2 ** (n * J - column_bits) + (columns if columns > 1 else 0))
    if columns > 1:
        rows.append(n + total + r * columns)
    return rows


def _words_left(bit_of_word: list[tuple[int, int]], created: int, r: int) -> int:
    """Words that own a bit not yet thresholded after `created` bits."""
    return r - sum(1 for _, exponent in bit_of_word[:created] if exponent == 0)


def _decoder_line(m: int, bit_of_word: list[tuple[int, int]], r: int, total: bool) -> list[int]:
    """alpha_1, beta_1, …, alpha_m, beta_m (the last pair takes the first header bit), then the header."""
    rows = []
    for step in range(1, m + 1):
        left = _words_left(bit_of_word, step, r)
        rows.append(total + left + 1 + 1 + 1 + (1 if step == 2 else 0) + (1 if step >= 2 else 0))
        total = total or step >= 2
        rows.append(total + left + (1 + 1 + 1 if step < m else 1 + 1))
    return rows + _header(bit_of_word, m, r, total, mm_first=True)


def _decoder(n: int, m: int, p: tuple[int, ...], bit_of_word: list[tuple[int, int]], r: int, total: bool) -> list[int]:
    """Rows of the snake: n − 1 set-up layers, then alpha and beta of every node; then the header."""
    rows: list[int] = []
    nodes, created, seen_sum, due = m**n, 0, False, False
    lines = _boustrophedon(m, n - 1)
    for index, line in enumerate(lines):
        last_line = index == len(lines) - 1
        labels: set[int] = set()
        for done, axis in enumerate(range(n, 1, -1), start=1):
            coordinates = n - done if last_line else n
            left = _words_left(bit_of_word, created, r)
            rows.append(total + left + 2 + coordinates + seen_sum + len(labels) + due)
            total, due = total or due, False
            labels.add((p[axis - 1] + line[axis - 2] - 1) % 2)
        for position in range(m):
            number = index * m + position + 1
            last_node = number == nodes
            coordinates = (0 if last_node else 1) if last_line else n
            created += 0 if last_node else 1
            left = _words_left(bit_of_word, created, r)
            x = 0 if last_node else 1
            rows.append(total + left + 2 + x + coordinates + seen_sum + len(labels) + due)
            total, due = total or due, not last_node
            rows.append(total + left + 1 + x + coordinates + seen_sum + (len(labels) if position < m - 1 else 0))
            seen_sum = True
    return rows + _header(bit_of_word, created, r, total, mm_first=False)


def _header(bit_of_word: list[tuple[int, int]], created: int, r: int, total: bool, *, mm_first: bool) -> list[int]:
    rows, mm = [], mm_first
    for number in range(created + 1, len(bit_of_word) + 1):
        left = _words_left(bit_of_word, number, r)
        rows.append(total + left + 1 + 1 + mm)
        total, mm = total or mm, True
        rows.append(total + left + 1 + 1)
    return [*rows, total + 1]


def _boustrophedon(m: int, axes: int) -> list[tuple[int, ...]]:
    if axes == 0:
        return [()]
    inner = _boustrophedon(m, axes - 1)
    ways = (range(1, m + 1), range(m, 0, -1))
    return [(j, *rest) for k, rest in enumerate(inner) for j in ways[k % 2]]


def depth(n: int, J: int, m: int, H: int, lookup: str = "deep") -> int:
    """D, the number of hidden layers, in closed form."""
    _require_design(n, J, m, H, lookup)
    columns = max(0, n * J // 2 - 1)
    look_up = 2 ** (n * J) - 1 if lookup == "deep" else 0 if J == 0 else 1 if columns == 0 else 2
    decoder = 2 * (m - 1) + 2 * H if n == 1 else (n - 1) * m ** (n - 1) + 2 * m**n + 2 * H
    return 2 + 2**n * ((J + 1) * (J >= 1) + look_up + (J + 1) + decoder + 1)


def parameters_of_widths(hidden: list[int], inputs: int) -> int:
    """P = Σ (w_{l−1} + 1)·w_l with w_0 = inputs and one output."""
    require_instance("hidden", hidden, (list, tuple))
    for width in (inputs, *hidden):
        require_int("hidden", width, 1)
    return sum((a + 1) * b for a, b in itertools.pairwise([inputs, *hidden, 1]))


# --- closed forms, r = 1 --------------------------------------------------------------------------------


def closed_parameters(n: int, J: int, m: int, H: int, lookup: str = "deep", inputs: int | None = None) -> int:
    """P = D_n(m, H) + I_n(J) for n = 1, 2, 3 and one word a block; n·(inputs − n) more for unread coordinates."""
    _require_design(n, J, m, H, lookup, most_axes=3)
    require_int("inputs", n if inputs is None else inputs, n)
    decoder = {
        1: 168 * m + 120 * H - 182,
        2: 964 * m**2 + 66 * m + 340 * H - 662,
        3: 2970 * m**3 + 1831 * m**2 - 802 * m + 938 * H - 1791,
    }[n]
    return decoder + index_part(n, J, lookup) + n * ((inputs or n) - n)


def index_part(n: int, J: int, lookup: str) -> int:
    """I_n(J): what folding and looking up cost."""
    _require_design(n, J, 1, 0, lookup, most_axes=3)
    if lookup == "wide":
        if len(WIDE_I[n]) <= J:
            raise ValueError(f"`J` must be below {len(WIDE_I[n])} for the tabulated wide look-up, got {J}")
        return WIDE_I[n][J]
    if J < 4:
        return DEEP_I[n][J]
    return {
        1: 50 * 2**J + 112 * J - 146,
        2: 156 * 4**J + 662 * J - 595,
        3: 434 * 8**J + 2626 * J - 2058,
    }[n]


def closed_nonzeros(n: int, J: int, m: int, H: int) -> int:
    """Entries of the sparsity pattern, biases included, for n = 1, 2, 3, r = 1 and the deep look-up."""
    _require_design(n, J, m, H, "deep", most_axes=3)
    decoder = {
        1: 42 * m + 34 * H - 26,
        2: 152 * m**2 + 34 * m + 76 * H - 65,
        3: 354 * m**3 + 238 * m**2 - 32 * m + 170 * H - 120,
    }[n]
    if J < 2:
        return decoder + DEEP_NONZERO[n][J]
    index = {
        1: 15 * 2**J + 35 * J - 24,
        2: 35 * 4**J + 132 * J - 56,
        3: 79 * 8**J + 387 * J - 128,
    }[n]
    return decoder + index


def rate_bound(n: int, cells: int) -> float:
    """Theorem 4's bound of P at the balanced J, deep, r = 1, n = 1, 2, 3."""
    require_int("n", n, 1, 3)
    k0 = require_int("cells", cells, 1, LARGEST)
    J, m = balanced(k0)
    H = header(n, 2 ** (J + 1) * m - 1)
    if n == 1:
        return 189.6 * math.sqrt(k0 + 1) + 272 + 120 * H + 112 * J
    if n == 2:
        return 794 * (k0 + 1) + 4137 * math.sqrt(k0 + 1) + 8056 + 340 * H + 662 * J
    side = math.sqrt((k0 + 1) / 2) + 3
    return 2970 * side**3 + 1831 * side**2 + 434 * (2 * (k0 + 1)) ** 1.5 + 938 * H + 2626 * J


def balanced(cells: int) -> tuple[int, int]:
    """J = max(0, ⌈log₂((K₀+1)/2)/2⌉) and the least odd m ≥ 3 with 2^{J+1}·m > K₀."""
    require_int("cells", cells, 1)
    J = next(j for j in itertools.count() if 2 * 4**j >= cells + 1)
    m = max(3, -(-(cells + 1) // 2 ** (J + 1)))
    return J, m + 1 - m % 2


def header(n: int, cells: int) -> int:
    """H = bit length of ⌊√n·K⌋ + 1."""
    require_int("n", n, 1)
    require_int("cells", cells, 1)
    return max(2, (math.isqrt(n * cells * cells) + 1).bit_length())


def cheapest(n: int, cells: int, lookup: str = "deep") -> tuple[int, int, int, int]:
    """(P, J, m, H) of fewest parameters with K ≥ cells and words of unbounded length (r = 1), n = 1, 2, 3."""
    require_choice("lookup", lookup, ("deep", "wide"))
    require_int("n", n, 1, 3)
    require_int("cells", cells, 1, LARGEST)
    best = None
    limit = len(WIDE_I[n]) if lookup == "wide" else cells.bit_length() + 1
    for J in range(limit):
        m = max(3, -(-(cells + 1) // 2 ** (J + 1)))
        m += 1 - m % 2
        H = header(n, 2 ** (J + 1) * m - 1)
        candidate = closed_parameters(n, J, m, H, lookup), J, m, H
        best = candidate if best is None else min(best, candidate)
    assert best is not None
    return best


def asymptotic_constant(n: int) -> float:
    """κ_n = 2·√(A_n·D*_n·2^{−n}): P ~ κ_n·K^{n/2} for the deep look-up (up to the granularity of J)."""
    leading = {1: 168, 2: 964, 3: 2970}[require_int("n", n, 1, 3)]
    index = {1: 50, 2: 156, 3: 434}[n]
    return 2 * math.sqrt(index * leading / 2**n)


# --- the trade-off -------------------------------------------------------------------------------------


def trade_off_constant(n: int, k: int) -> float:
    """lim L·P²·(ε/λ)^n on the unit cube for k resolved axes, deep, at the split θ = k/n of eps for the experts.

    κ_k²·C_k^k·(√(n−k)/2)^{n−k}·n^n/(k^k·(n−k)^{n−k}); constants (k = 0, P = 1): (√n/2)^n.
    """
    require_int("n", n, 1, 100)  # n^n is a float
    require_int("k", k, 0, min(n, 3))
    if k == 0:
        return (math.sqrt(n) / 2) ** n
    c = 1.0 if k == 1 else 1 + math.sqrt(k) / 2
    rest = n - k
    router = 1.0 if rest == 0 else (math.sqrt(rest) / 2) ** rest / (rest / n) ** rest
    return asymptotic_constant(k) ** 2 * (c * n / k) ** k * router


def needed_cells(n: int, inverse_eps: Fraction) -> int:
    """K₀ = ⌈(C_n + 1e-9)·λs/ε⌉ with λs = 1; C_n rounded up."""
    require_int("n", n, 1, LARGEST)
    require_instance("inverse_eps", inverse_eps, (int, Fraction))
    if not 0 < inverse_eps <= LARGEST:
        raise ValueError(f"`inverse_eps` must be positive and at most 10^50, got {shown(inverse_eps)}")
    c = Fraction(1) if n == 1 else 1 + Fraction(math.isqrt(n << 80) + 1, 2**40) / 2
    return math.ceil((c + Fraction(1, 10**9)) * inverse_eps)


def trade_off_point(n: int, k: int, inverse_eps: int, share: Fraction, lookup: str = "deep") -> tuple[int, int]:
    """(L, P) of the unit cube at ε = λ/inverse_eps with words of unbounded length; `share` of eps goes to the
    experts."""
    require_int("n", n, 1, LARGEST)
    require_int("k", k, 1, min(n, 3))
    require_int("inverse_eps", inverse_eps, 1)
    require_instance("share", share, Fraction)
    if not 0 < share <= 1 or (share == 1) != (n == k):
        raise ValueError(f"`share` must lie in (0, 1), and be 1 if every axis is resolved, got {shown(share)}")
    cells = needed_cells(k, inverse_eps / share)
    P = cheapest(k, cells, lookup)[0] + k * (n - k)
    if n == k:
        return 1, P
    # M = ⌈√(n−k)·inverse_eps / (2(1 − share))⌉, the square root exact
    square = Fraction(n - k) * Fraction(inverse_eps) ** 2 / (4 * (1 - share) ** 2)
    per_axis = math.isqrt(math.ceil(square) - 1) + 1
    if (n - k) * per_axis.bit_length() > LONGEST:
        raise BudgetExceeded(f"`n` must be smaller: a number of experts of more than {LONGEST} bits")
    return per_axis ** (n - k), P


def trade_off_lower(n: int, inverse_eps: int, experts: int) -> int:
    """The least L·P² of any flat MoMLP of L experts that reaches ε = λ/inverse_eps for all λ-Lipschitz f on the
    unit cube.

    From L·P·(log(eLM) + (J+1)·log(2e(J+1)M)) ≥ M = ⌈1/(2ε)⌉^n (the VC bound) and J + 1 ≤ P/2.
    """
    require_int("inverse_eps", inverse_eps, 3)  # ε < 1/2
    require_int("experts", experts, 1)
    points = grid_points(n, Fraction(1, inverse_eps))

    def enough(P: int) -> bool:
        logs = LOG_E + log2(experts * points) + Fraction(P, 2) * Fraction(LOG_E + log2(P * points))
        return experts * P * Fraction(logs) * Fraction(ROUNDING) >= points

    high = 1
    while not enough(high):
        high *= 2
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return experts * high**2


def trade_off_information(n: int, inverse_eps: int, experts: int, bits: int = 64) -> int:
    """The least L·P² of any mixture of L experts, each of P stored numbers of `bits` bits, that reaches ε =
    λ/inverse_eps for all λ-Lipschitz f on the unit cube, whatever it computes from them.

    Put hats of height h > ε on M = ⌈1/(2ε)⌉^n grid points 2h/λ apart (there is such an h, as ⌈1/(2ε)⌉ − 1 < 1/(2ε)).
    Their supports have disjoint interiors, so every choice of signs is λ-Lipschitz, and two choices differ by 2h > 2ε
    at a grid point: no model is ε-close to both. L·P numbers tell at most 2^{L·P·bits} models apart, so
    L·P·bits ≥ M. A router that depends on f counts among the stored numbers.
    """
    require_int("inverse_eps", inverse_eps, 3)  # ε < 1/2
    require_int("experts", experts, 1)
    require_int("bits", bits, 1)
    return experts * (-(-grid_points(n, Fraction(1, inverse_eps)) // (experts * bits))) ** 2


def naive_parameters(inverse_eps: int) -> int:
    """The obvious network on [0, 1] with the same guarantee: one hidden layer, K = ⌈1/(2ε)⌉, 3K + 1 parameters."""
    return 3 * -(-require_int("inverse_eps", inverse_eps, 1) // 2) + 1
