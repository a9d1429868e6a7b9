"""One Gaussian matrix, and products of them: mean norms, trace moments, the limit of products."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence

import numpy as np
import sympy
import torch
from flint import arb
from torch import Tensor

from theory.claim import Context, Evidence, Number, Report, Status, Table, Verdict, ensure
from theory.lipschitz_expressiveness import bounds
from theory.lipschitz_expressiveness.reproductions import lemmas
from theory.lipschitz_expressiveness.reproductions.sampling import gaussians, mean_of, nine_digits, spectral_norms

# --- the norm -------------------------------------------------------------------------------------------

SHAPES = ((1, 1), (2, 3), (5, 4), (10, 40), (32, 32), (64, 64))
MORE_SHAPES = ((1, 20), (20, 1), (3, 100), (100, 3), (40, 10), (128, 128))
"""(m, n), the latter in the full budget only."""
TAIL = 1.0


def gaussian_norm(context: Context) -> Verdict:
    """Both sides derived; their numbers enclosed; the lower one's mechanism and sampled means against them."""
    ensure(lemmas.row_lemma(), "the norm of the first row")
    ensure(lemmas.comparison_lemma(), "Sudakov and Fernique's premise")
    rows: list[tuple[Number, ...]] = []

    def measured() -> dict[str, Table]:
        return {"norms": Table(("m", "n", "lower", "mean", "half_width", "upper", "trace_3"), tuple(rows))}

    for m, n in SHAPES + MORE_SHAPES * context.full:
        context.log(f"{m} × {n}")
        ensure(_ordered(m, n), f"{m} × {n}")
        lower, upper = bounds.norm_bounds(m, n)
        traces = [bounds.norm_by_trace(m, n, p) for p in bounds.MOMENTS]
        norms, inside = _draws(m, n, 10_000 if context.full else 1000, context)
        ensure(bool((norms >= inside * (1 - 1e-12)).all()), f"{m} × {n}: a norm is below that of its first row")
        mean, row = mean_of(norms), mean_of(inside)
        reason = f"{m} × {n}: sampled {mean.value} ± {mean.half}, the bounds are {lower} and {upper}"
        ensure(mean.meets(lower, min(upper, *traces)), reason, **measured())
        ensure(row.meets(lower, lower), f"{m} × {n}: the first row has mean norm {row.value} ± {row.half}, not {lower}")
        above = mean_of((norms >= upper + TAIL).double())
        ensure(above.meets(0.0, math.exp(-(TAIL**2) / 2)), f"{m} × {n}: {above.value} of the norms are in the tail")
        rows.append((m, n, lower, mean.value, mean.half, upper, traces[2]))
    reason = f"e(m+n-1) <= E|G| <= sqrt(m)+sqrt(n) for {len(rows)} shapes, the sampled means are not outside"
    return Verdict(Status.CERTIFIED, Evidence.ENCLOSED, reason, {"shapes": len(rows)}, tables=measured())


def _ordered(m: int, n: int) -> Report:
    """e(m+n−1) ≤ √m + √n and ≤ the trace bounds, in balls."""
    lower, upper = bounds.chi_mean_ball(m + n - 1), arb(m).sqrt() + arb(n).sqrt()
    traces = [arb(bounds.trace_moment(m, n, p)).root(2 * p) for p in bounds.MOMENTS]
    holds = bool(lower <= upper) and all(bool(lower <= t) for t in traces)
    return Report(None if holds else f"the lower bound {lower} is not below {upper} and {traces}")


def _draws(m: int, n: int, draws: int, context: Context) -> tuple[Tensor, Tensor]:
    """‖G‖ (D,), and ‖uᵀG‖ (D,) for the unit vector u along G's first column: the first row of the reduced matrix."""
    norms, rows = [], []
    for G in gaussians(m, n, draws, context.generator(), context.device):
        norms.append(spectral_norms(G))
        u = G[:, :, 0] / G[:, :, 0].norm(dim=1, keepdim=True)
        rows.append((u[:, None, :] @ G)[:, 0].norm(dim=1))
    return torch.cat(norms).cpu(), torch.cat(rows).cpu()


# --- trace moments --------------------------------------------------------------------------------------


def trace_moments(context: Context) -> Verdict:
    """Wick's pairings as a polynomial in m and n; and the sum over all indices, entry by entry, for small m and n."""
    m, n = sympy.symbols("m n", positive=True, integer=True)
    pairings = {}
    for p in bounds.MOMENTS:
        context.log(f"p = {p}")
        found = list(_pairings(list(range(2 * p))))
        pairings[p] = len(found)
        polynomial = sum((m**rows * n**columns for rows, columns in map(_free_indices, found)), start=sympy.Integer(0))
        difference = sympy.expand(polynomial - bounds.trace_moment(m, n, p))
        ensure(difference == 0, f"p = {p}: the pairings give {sympy.factor(polynomial)}")
    largest, cases = 4, 0
    for a, b, p in itertools.product(range(1, largest + 1), range(1, largest + 1), bounds.MOMENTS):
        direct = _by_indices(a, b, p)
        ensure(direct == bounds.trace_moment(a, b, p), f"m = {a}, n = {b}, p = {p}: the sum over indices is {direct}")
        cases += 1
    numbers: dict[str, Number] = {"sums_over_indices": cases, "largest_m_n": largest}
    tables = {"pairings": Table(("p", "pairings"), tuple(pairings.items()))}
    reason = f"{sum(pairings.values())} pairings give the three polynomials; {cases} sums over all indices agree"
    return Verdict(Status.PROVED, Evidence.EXACT, reason, numbers, tables=tables)


def _pairings(items: list[int]) -> Iterator[list[tuple[int, int]]]:
    if not items:
        yield []
        return
    for k in range(1, len(items)):
        for rest in _pairings(items[1:k] + items[k + 1 :]):
            yield [(items[0], items[k]), *rest]


def _free_indices(pairing: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """How many row and column indices are free in tr (GᵀG)^p = Σ Π_t G[i_t, j_t] G[i_t, j_{t+1}] once G's are paired.

    Factor 2t is G[i_t, j_t], factor 2t+1 is G[i_t, j_{t+1}]; paired factors have equal rows and equal columns.
    """
    p = len(pairing)
    rows, columns = list(range(p)), list(range(p))
    for a, b in pairing:
        _merge(rows, a // 2, b // 2)
        _merge(columns, (a + 1) // 2 % p, (b + 1) // 2 % p)
    return len(set(rows)), len(set(columns))


def _merge(label: list[int], a: int, b: int) -> None:
    old, new = label[a], label[b]
    label[:] = [new if value == old else value for value in label]


def _by_indices(m: int, n: int, p: int) -> int:
    """E tr (GᵀG)^p as a sum over all i_1 … i_p and j_1 … j_p of products of the moments 1, 0, 1, 0, 3, 0, 15."""
    moment = np.array([1, 0, 1, 0, 3, 0, 15])
    i = np.array(list(itertools.product(range(m), repeat=p)))[:, None, :]
    j = np.array(list(itertools.product(range(n), repeat=p)))[None, :, :]
    entry = np.concatenate([i * n + j, i * n + np.roll(j, -1, axis=2)], axis=2)
    counts = (entry[..., None] == np.arange(m * n)).sum(axis=2)
    return int(moment[counts].prod(axis=2).sum())


# --- products of square matrices ------------------------------------------------------------------------

DEPTHS = (1, 2, 4, 8)
DRAWS = {64: 300, 128: 100, 256: 30}
MORE_DRAWS = {64: 2000, 128: 800, 256: 300}
CURVED = 0.02
"""What two terms in N^(−2/3) may be off by, relatively, at N ≥ 64."""


def ginibre(context: Context) -> Verdict:
    """‖W_L ⋯ W_1‖/√N^L at three sizes, a straight line in N^(−2/3) through its means, and what that line is at 0."""
    means: dict[int, list[tuple[float, float]]] = {}
    for N, draws in (MORE_DRAWS if context.full else DRAWS).items():
        context.log(f"N = {N}: {draws} products")
        found = _products(N, draws, context)
        error = (found.std(0) / math.sqrt(draws)).tolist()
        means[N] = [(nine_digits(m), nine_digits(e)) for m, e in zip(found.mean(0).tolist(), error, strict=True)]
    rows = []
    for k, L in enumerate(DEPTHS):
        values, errors = zip(*(means[N][k] for N in means), strict=True)
        limit, error = _at_infinity(list(means), values, errors)
        expected = bounds.ginibre_limit(L)
        rows.append((L, expected, *values, limit, error))
        near = abs(limit - expected) <= 3.3 * error + CURVED * expected
        ensure(near, f"L = {L}: {limit} ± {error} at infinity, the limit is {expected}")
        ensure(abs(values[-1] - expected) < abs(values[0] - expected), f"L = {L}: the means do not approach {expected}")
    columns = ("L", "limit", *(f"N_{N}" for N in means), "extrapolated", "standard_error")
    reason = "extrapolated to infinite width: " + ", ".join(f"{row[-2]:.3f} ({row[1]:.3f})" for row in rows)
    tables = {"products": Table(columns, tuple(rows))}
    return Verdict(Status.NOT_REFUTED, Evidence.FITTED, reason, {"products": len(rows)}, tables=tables)


def _products(N: int, draws: int, context: Context) -> Tensor:
    """‖W_L ⋯ W_1‖/√N^L (draws, depths) for the listed depths."""
    rows, generator = [], context.generator()
    for _ in range(draws):
        state, norms = None, []
        for depth in range(1, max(DEPTHS) + 1):
            (G,) = gaussians(N, N, 1, generator, context.device)
            state = G / math.sqrt(N) if state is None else G / math.sqrt(N) @ state
            if depth in DEPTHS:
                norms.append(spectral_norms(state))
        rows.append(torch.cat(norms))
    return torch.stack(rows).cpu()


def _at_infinity(sizes: Sequence[int], values: Sequence[float], errors: Sequence[float]) -> tuple[float, float]:
    """The intercept of the weighted least-squares line against N^(−2/3), and its standard error."""
    design = np.stack([np.ones(len(sizes)), np.array(sizes, float) ** (-2 / 3)], axis=1) / np.array(errors)[:, None]
    covariance = np.linalg.inv(design.T @ design)
    return float((covariance @ design.T @ (np.array(values) / np.array(errors)))[0]), float(math.sqrt(covariance[0, 0]))
