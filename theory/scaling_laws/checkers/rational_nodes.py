"""Band-limited functions at rational points of the circle: ranks, kernels, interpolants and projections in rationals.

The point of t is z = (1 + it)²/(1 + t²) = ((1 − t²) + 2ti)/(1 + t²); powers of z are Gaussian rationals, whose real and
imaginary parts are cos kθ and sin kθ. This is the slow twin of `constructions.scaling_laws.exact_recovery`: its own
basis, and flint's elimination.

Main definitions: `basis`, `sampled`, `recovery_eq`, `decides_degree`, `projection_error`, `variance_factor`.
Notation: nodes t (on T^r: r parameters), D = (2K + 1)^r.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from flint import fmpq, fmpq_mat

from constructions.scaling_laws.nyquist import ExactRecovery
from theory.claim import Report
from theory.exact import rational

Node = Fraction | int | tuple[Fraction | int, ...]


def _axis(t: Fraction | int, bandwidth: int) -> list[fmpq]:
    place = rational(t)
    scale = 1 + place * place
    a, b = (1 - place * place) / scale, 2 * place / scale
    row, x, y = [fmpq(1)], fmpq(1), fmpq(0)
    for _ in range(bandwidth):
        x, y = x * a - y * b, x * b + y * a
        row += [x, y]
    return row


def basis(node: Node, bandwidth: int) -> list[fmpq]:
    """The D functions 1, cos, sin, … (their products on T^r) at a node."""
    row = [fmpq(1)]
    for t in node if isinstance(node, tuple) else (node,):
        row = [a * b for a in row for b in _axis(t, bandwidth)]
    return row


def squared_norms(bandwidth: int, dimension: int = 1) -> list[fmpq]:
    """∫ of the square of each function of `basis`: 1 for the constant, 1/2 a wave and axis."""
    row, axis = [fmpq(1)], [fmpq(1)] + [fmpq(1, 2)] * (2 * bandwidth)
    for _ in range(dimension):
        row = [a * b for a in row for b in axis]
    return row


def sampled(nodes: Sequence[Node], bandwidth: int) -> fmpq_mat:
    """(n, D)."""
    return fmpq_mat([basis(t, bandwidth) for t in nodes])


def consistent(nodes: Sequence[Node], values: Sequence, bandwidth: int) -> bool:
    """Whether some function of this degree has these values at the nodes."""
    rows = [basis(t, bandwidth) for t in nodes]
    more = [[*row, rational(v)] for row, v in zip(rows, values, strict=True)]
    return fmpq_mat(rows).rank() == fmpq_mat(more).rank()


def recovery_eq(result: ExactRecovery, bandwidth: int, nodes: Sequence[Fraction | int], values: Sequence) -> Report:
    """Whether every part of a recovery is what flint's elimination and the samples themselves say."""
    matrix = sampled(nodes, bandwidth)
    rank, size = matrix.rank(), 2 * bandwidth + 1
    if result.rank != rank:
        return Report(f"rank {result.rank}, it is {rank}")
    solvable = consistent(nodes, values, bandwidth)
    if result.consistent != solvable:
        return Report(f"the samples are called {'' if result.consistent else 'in'}consistent with degree {bandwidth}")
    if (result.coefficients is not None) != (solvable and rank == size):
        return Report(f"an answer is {'' if result.coefficients else 'not '}given at rank {rank} of {size}")
    if result.coefficients is not None:
        gaps = _applied(matrix, result.coefficients)
        wrong = next((j for j, (g, v) in enumerate(zip(gaps, values, strict=True)) if g != rational(v)), None)
        if wrong is not None:
            return Report(f"the answer is {gaps[wrong]} at node {nodes[wrong]}, the sample {values[wrong]}")
    if len(result.kernel) != size - rank:
        return Report(f"{len(result.kernel)} functions vanish at all nodes, there are {size - rank}")
    for vector in result.kernel:
        if any(_applied(matrix, vector)):
            return Report(f"{vector} does not vanish at all nodes")
    if result.kernel and fmpq_mat([[rational(v) for v in row] for row in result.kernel]).rank() != size - rank:
        return Report("the functions that vanish at all nodes are not independent")
    return Report()


def _applied(matrix: fmpq_mat, vector: Sequence) -> list[fmpq]:
    column = matrix * fmpq_mat([[rational(v)] for v in vector])
    return [column[j, 0] for j in range(column.nrows())]


def least_degree(nodes: Sequence[Node], values: Sequence, most: int) -> int | None:
    """The smallest degree with an interpolant of all samples, up to `most`."""
    return next((k for k in range(most + 1) if consistent(nodes, values, k)), None)


@dataclass(frozen=True)
class Projection(Report):
    """The projection on the functions that n nodes see: its trace, hence the average `error` 1 − tr/D."""

    failure: str | None
    trace: fmpq
    error: fmpq


def projection_error(nodes: Sequence[Node], bandwidth: int) -> Projection:
    """The minimum-norm interpolant as a projection Π = M Bᵀ(B M Bᵀ)⁻¹B, M the inverse squared norms; the error of f
    with coefficients uniform on the sphere, tr(1 − Π)/D. Fails where Π is no projection, or the nodes are dependent."""
    dimension = len(nodes[0]) if isinstance(nodes[0], tuple) else 1
    norms = squared_norms(bandwidth, dimension)
    size = len(norms)
    rows = sampled(nodes, bandwidth)
    weighted = fmpq_mat([[rows[i, k] / norms[k] for k in range(size)] for i in range(len(nodes))])
    gram = weighted * rows.transpose()
    if gram.det() == 0:
        return Projection("the nodes' values are dependent", fmpq(0), fmpq(1))
    projection = weighted.transpose() * gram.solve(rows)
    trace = sum((projection[k, k] for k in range(size)), fmpq(0))
    failure = None if projection * projection == projection else "the interpolant is no projection"
    if failure is None and rows * projection != rows:
        failure = "the interpolant does not have the values of the function at the nodes"
    return Projection(failure, trace, 1 - trace / size)


def variance_factor(nodes: Sequence[Node], bandwidth: int) -> fmpq:
    """tr((BᵀB)⁻¹) in the orthonormal basis: the expected squared error of least squares by noise of variance 1.

    ValueError where the nodes do not determine a function of this degree.
    """
    dimension = len(nodes[0]) if isinstance(nodes[0], tuple) else 1
    norms, rows = squared_norms(bandwidth, dimension), sampled(nodes, bandwidth)
    gram = rows.transpose() * rows
    if gram.det() == 0:
        raise ValueError(f"`nodes` must determine a function of degree {bandwidth}")
    inverse = gram.inv()
    return sum((inverse[k, k] * norms[k] for k in range(len(norms))), fmpq(0))
