"""Networks whose constants are known exactly: tent maps, all ones, and a certificate that proves too much."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from fractions import Fraction

import torch
from flint import fmpq, fmpq_mat
from torch import Tensor, nn

from constructions import lipschitz_expressiveness as objects
from constructions.networks import stack
from theory import exact
from theory.claim import Context, Evidence, Report, Status, Table, Verdict, ensure
from theory.lipschitz_expressiveness.checkers import lipschitz_bounds
from theory.lipschitz_expressiveness.reproductions.bits import (
    BEYOND_FLOATS,
    built,
    integer_slopes,
    slopes_at_every_node,
)

UNIT = (torch.zeros(1, dtype=torch.float64), torch.ones(1, dtype=torch.float64))
"""[0, 1]."""
TENTS, MORE_TENTS = 10, 14
"""The deepest."""


def matrices_of(network: nn.Module) -> list[fmpq_mat]:
    """The weights of a Linear/ReLU stack as rationals, first layer first; TypeError for anything else."""
    layers = exact.plain_layers(network)
    for at, layer in enumerate(layers):
        if type(layer) is not (nn.Linear, nn.ReLU)[at % 2]:
            raise TypeError(f"no Linear/ReLU stack: layer {at} is a {type(layer).__name__}")
    return [_rational(layer.weight.detach()) for layer in layers if isinstance(layer, nn.Linear)]


def _rational(matrix: Tensor) -> fmpq_mat:
    rows, columns = matrix.shape
    return fmpq_mat(rows, columns, [exact.rational(v) for v in matrix.flatten().tolist()])


def frobenius_squared(matrix: fmpq_mat) -> Fraction:
    """Of a matrix of rank one this is the square of its spectral norm."""
    return exact.fraction(sum((v * v for v in matrix.entries()), start=fmpq(0)))


def _norm_squared_of_rank_one(matrix: fmpq_mat) -> Fraction | None:
    return frobenius_squared(matrix) if matrix.rank() == 1 else None


# --- tent maps ------------------------------------------------------------------------------------------


def tent_map_failure(network: nn.Module, depth: int) -> Report:
    """Whether the network is 2^depth pieces of slope ±2^depth on [0, 1], found twice, with Π‖W_l‖² = 40^depth."""
    size = 2**depth
    found = lipschitz_bounds(network, *UNIT, method="line", cells=4 * size)
    if found.exact_squared != size**2:
        return Report(f"the square of the constant is {found.exact_squared}, not 4^{depth}")
    if found.cells_or_boxes != size:
        return Report(f"there are {found.cells_or_boxes} affine pieces, not {size}")
    slopes = _slopes(network)
    if len(slopes) != size or any(abs(s) != size for s in slopes):
        return Report(f"along the line there are {len(slopes)} slopes, the largest {max(map(abs, slopes))}")
    squares = [_norm_squared_of_rank_one(matrix) for matrix in matrices_of(network)]
    if None in squares or math.prod(s for s in squares if s is not None) != 40**depth:
        return Report(f"the squares of the norms are {squares}")
    return Report()


def _slopes(network: nn.Module) -> list[Fraction]:
    """Slopes on [0, 1] by the trusted kernel, neighbours with one slope taken together."""
    times, values = exact.along_line(network, [0], [1])
    slopes = [
        exact.fraction((b[0] - a[0]) / (t - s))
        for (s, a), (t, b) in itertools.pairwise(zip(times, values, strict=True))
    ]
    return [slope for slope, _ in itertools.groupby(slopes)]


def tent_map(context: Context) -> Verdict:
    """All pieces in rationals; the norms of matrices of rank one; and the least width of one layer."""
    rows = []
    for d in range(1, (MORE_TENTS if context.full else TENTS) + 1):
        context.log(f"depth {d}")
        ensure(tent_map_failure(objects.tent_map(d), d), f"depth {d}")
        # one hidden layer, one input, one output, |w| ≤ 4: Lip ≤ Σ|a_i w_i| ≤ 16 N
        rows.append((d, 2**d, 20 ** (d / 2) * 2 ** (d / 2), -(-(2**d) // 16)))
    tables = {"depths": Table(("depth", "lipschitz", "product_of_norms", "one_layer_needs_units"), tuple(rows))}
    reason = f"2^d pieces of slope 2^d in rationals for d <= {len(rows)}; the product of norms is 40^(d/2)"
    return Verdict(Status.PROVED, Evidence.EXACT, reason, {"depths": len(rows)}, tables=tables)


# --- the product of norms -------------------------------------------------------------------------------

ONES = ((1, 1), (2, 3, 4), (3, 5, 5, 2), (8, 32, 32, 32, 8), (4, 7, 1, 9, 3))


def ones_failure(network: nn.Module, widths: Sequence[int]) -> Report:
    """Whether J = W_L ⋯ W_1 at x > 0 has ‖J‖² = Π‖W_l‖² = n_0 n_L Π n_l², all norms those of matrices of rank one."""
    matrices = matrices_of(network)
    if any(any(v < 0 for v in matrix.entries()) for matrix in matrices):
        return Report("a weight is negative: units may be off at x > 0")
    biases = [layer.bias for layer in network.modules() if isinstance(layer, nn.Linear)]
    if any(bias is not None and bool((bias < 0).any()) for bias in biases):
        return Report("a bias is negative: units may be off at x > 0")
    jacobian = matrices[0]
    for matrix in matrices[1:]:
        jacobian = matrix * jacobian
    squares = [_norm_squared_of_rank_one(matrix) for matrix in (jacobian, *matrices)]
    if any(s is None for s in squares):
        return Report("a matrix is not of rank one")
    product = math.prod(s for s in squares[1:] if s is not None)
    expected = widths[0] * widths[-1] * math.prod(widths[1:-1]) ** 2
    holds = squares[0] == product == expected
    return Report(
        None if holds else f"the square of the norm is {squares[0]}, of the product {product}, not {expected}"
    )


def product_squared_below(network: nn.Module) -> Fraction:
    """A lower bound of Π‖W_l‖²: a norm is at least the largest norm of a row or column."""
    found = Fraction(1)
    for matrix in matrices_of(network):
        found *= max(_largest_row(matrix), _largest_row(matrix.transpose()))
    return found


def _largest_row(matrix: fmpq_mat) -> Fraction:
    return max(exact.fraction(sum((v * v for v in row), start=fmpq(0))) for row in matrix.table())


def product_is_sharp_and_not(context: Context) -> Verdict:
    """All ones attain it; a bit-extraction network of slope 1 + 1e-9 has a product beyond 2^1024."""
    for widths in ONES:
        ensure(ones_failure(objects.all_ones(widths), widths), f"all ones, widths {widths}")
    context.log("a bit-extraction network, eps = 1e-4")
    model = built(BEYOND_FLOATS, context)
    network = model.expert(0)
    slopes = integer_slopes(network)
    ensure(slopes, "bit extraction")
    if context.full:
        ensure(slopes_at_every_node(network, slopes), "bit extraction, node by node")
    product = product_squared_below(network)
    # log2 of a rational of thousands of bits; that it is beyond 2^1024 is decided in integers
    log2 = (math.log2(product.numerator) - math.log2(product.denominator)) / 2
    ensure(product > 4**1024, f"the product of norms is at least 2^{log2}")
    ensure(1 < slopes.squared < 1 + Fraction(3, 10**9), f"the square of the constant is {float(slopes.squared)}")
    lipschitz = math.sqrt(slopes.squared)
    numbers = {"log2_product_at_least": log2, "lipschitz": lipschitz, "sharp_networks": len(ONES)}
    reason = f"attained by {len(ONES)} networks of ones; at least 2^{log2:.3f} for one of slope {lipschitz:.9f}"
    return Verdict(Status.PROVED, Evidence.EXACT, reason, numbers)


# --- coupled multipliers --------------------------------------------------------------------------------


def coupled_lipsdp(context: Context) -> Verdict:
    """relu(x) − relu(x − 1) has slope 1 on (0, 1); the coupled inequality holds with ρ = 0."""
    f = two_units()
    slope = lipschitz_bounds(f, *UNIT, method="line").exact_squared
    direct = _slopes(f)
    ensure(slope == 1 and direct == [Fraction(1)], f"the slope on (0, 1) is {direct}, its square {slope}")
    half = fmpq(1, 2)
    T = fmpq_mat(2, 2, [half, -half, -half, half])  # ζ = ½ on the pair: T = ζ (e_1 − e_2)(e_1 − e_2)ᵀ
    first, last = matrices_of(f)
    smallest = _least_principal_minor(_lmi(first, last, T, fmpq(0)))
    ensure(smallest >= 0, "the coupled inequality does not hold with rho = 0")
    # without coupling the same check refuses ρ < 1: T = diag(t), t ≥ 0
    for a, b in itertools.product(range(9), repeat=2):
        diagonal = fmpq_mat(2, 2, [fmpq(a, 4), 0, 0, fmpq(b, 4)])
        refused = _least_principal_minor(_lmi(first, last, diagonal, fmpq(99, 100))) < 0
        ensure(refused, f"diag({a}/4, {b}/4) proves a Lipschitz constant below 1")
    witness = (
        "f(x) = relu(x) - relu(x-1), W = (1, 1)^T, V = (1, -1), T = [[1/2, -1/2], [-1/2, 1/2]], rho = 0: "
        "TW = 0 and V^T V - 2T = 0, so the inequality holds and would give Lip 0, but f(1) - f(0) = 1"
    )
    reason = "the coupled inequality holds with rho = 0 in rationals for a function of slope 1"
    return Verdict(Status.REFUTED, Evidence.EXACT, reason, {"rho": 0, "slope": 1}, witness=witness)


def two_units() -> nn.Sequential:
    """relu(x) − relu(x − 1)."""
    column = torch.ones(2, 1, dtype=torch.float64)
    row = torch.tensor([[1.0, -1.0]], dtype=torch.float64)
    return stack([(column, torch.tensor([0.0, -1.0], dtype=torch.float64)), (row, torch.zeros(1, dtype=torch.float64))])


def _lmi(W: fmpq_mat, V: fmpq_mat, T: fmpq_mat, rho: fmpq) -> fmpq_mat:
    """[[ρ, −WᵀT], [−TW, 2T − VᵀV]] for one hidden layer of slopes in [0, 1]: the inequality says that it is ⪰ 0."""
    corner, rest = -(T * W), 2 * T - V.transpose() * V
    n, u = W.ncols(), W.nrows()
    found = fmpq_mat(n + u, n + u)
    for i, j in itertools.product(range(n + u), repeat=2):
        if i < n and j < n:
            found[i, j] = rho if i == j else fmpq(0)
        elif i >= n and j >= n:
            found[i, j] = rest[i - n, j - n]
        else:
            found[i, j] = corner[max(i, j) - n, min(i, j)]
    return found


def _least_principal_minor(matrix: fmpq_mat) -> fmpq:
    """The smallest principal minor: a symmetric matrix is ⪰ 0 exactly where none is negative."""
    size = matrix.nrows()
    picks = (p for k in range(1, size + 1) for p in itertools.combinations(range(size), k))
    return min(fmpq_mat(len(p), len(p), [matrix[i, j] for i in p for j in p]).det() for p in picks)
