"""The weighted least squares of KernelSHAP-IQ in its constrained form.

SII of order k is the minimiser of Σ_{T inner} μ_k(|T|)(y(T) − Σ_S λ(k, |S ∩ T|) x_S)² under linear constraints that the
outer coalitions determine: x = Q_outer y + z with z in H_k = {x : Σ_{S ⊃ R} x_S = 0 for all |R| = k − 1}, where
y = v − v̂_{k−1}. Of a sample of the inner coalitions, each with the number that it stands for, the same least squares is
an estimate, and the exact index when all of them are there. Every estimate satisfies the constraints.

On the coalitions of one size t, the functions Σ_{|R| < k} a_R·1[R ⊆ T] are orthogonal to T ↦ Σ_S λ(k, |S ∩ T|) z_S for
z in H_k: they are harmonics of degrees below k, and that one is of degree k. On a sample they are not, and what the
game has of them is noise in z. So at each size of which enough coalitions were drawn they are fitted beside z: the
mean, then what is linear in the players, and so on. With all coalitions that changes nothing. Paired, orders 1 and 2
stay exact for games of degree 2 and 3, since these functions are closed under complements; and order k is exact for
games of degree k + 1 where all of them are fitted, since errors of lower orders are such functions, too. On sums of
unanimity games it divides the mean squared error by ten and more.

Main definition: `interactions`.
Implementation notes: z is found in all C(n, k) coordinates with the orthogonal projector P onto H_k, from
P·G·P + (I − P), whose inverse is that of the Gram matrix G on H_k. There Σ_{S ⊆ T} replaces the design.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from constructions.shapley_interactions.coalitions import (
    bernoulli,
    included,
    kernel,
    masks_of,
    sii_weights,
    spread,
    subsets,
    top_projector,
)

ROW_ELEMENTS = 1 << 22
PIVOT = 1e-4  # of a Cholesky factor, relative to the largest: below, the sample does not determine the values
RANK = PIVOT**2  # the same of an eigenvalue
FEWEST_ROWS = 5  # coalitions of a size where anything is fitted,
ROWS_A_FUNCTION = 3  # and for each function fitted there
ROWS_A_VALUE = 2.5  # coalitions that must be left for each dimension of H_k; pairs count once


def interactions(masks: Tensor, stands_for: Tensor, values: Tensor, order: int) -> tuple[list[Tensor], bool]:
    """SII values (C(n, k), …), k = 1 … order, and whether some were not determined by the sample.

    `masks` (m, n) hold every coalition of fewer than `order` or more than n − `order` players; `stands_for` (m,) is 1
    for coalitions of a size that is there as a whole, and the same number within every size; `values` are (m,) or
    (m, outputs).
    """
    sizes = masks.sum(-1)
    flat = values.reshape(len(values), -1)
    y, found, short = flat - flat[sizes == 0][0], [], False
    n = masks.shape[1]
    counts = torch.bincount(sizes, minlength=n + 1).tolist()
    complete = all(counts[t] == math.comb(n, t) for t in range(n + 1))
    for k in range(1, order + 1):
        x = outer_part(masks, sizes, y, k)
        if complete:  # then what x explains is orthogonal to H_k, and the Gram matrix is the identity on it
            x = x + all_of_inner_part(masks, sizes, y, k)
        else:
            z, determined = inner_part(masks, sizes, stands_for, y - predicted(masks, x, k), k)
            x, short = x + z, short or not determined
        if k < order:
            y = y - predicted(masks, x, k)
        found.append(x.reshape(-1, *values.shape[1:]))
    return found, short


def outer_part(masks: Tensor, sizes: Tensor, y: Tensor, k: int) -> Tensor:
    """Q_outer y, (C(n, k), outputs): the part of SII that is orthogonal to H_k."""
    n = masks.shape[1]
    outer = (sizes < k) | (sizes > n - k)
    coalitions, t, here = masks[outer].double(), sizes[outer], y[outer]
    weights = sii_weights(n, k).to(masks.device)
    members = masks_of(subsets(n, k), n).to(masks.device)
    parts = members.split(max(1, ROW_ELEMENTS // len(t)))
    return torch.cat([weights[t, (part.double() @ coalitions.T).long()] @ here for part in parts])


def all_of_inner_part(masks: Tensor, sizes: Tensor, y: Tensor, k: int) -> Tensor:
    """`inner_part` of all 2^n coalitions: P·X'Wy."""
    n = masks.shape[1]
    weights = kernel(n, k).to(masks.device)[sizes]
    _, right = normal_equations(masks, weights, y, k, with_gram=False)
    return top_projector(n, k).to(masks.device) @ right


def inner_part(masks: Tensor, sizes: Tensor, stands_for: Tensor, y: Tensor, k: int) -> tuple[Tensor, bool]:
    """The z of H_k that fits the residual y (m, outputs) on the inner coalitions best, (C(n, k), outputs), and whether
    it is the only one."""
    n = masks.shape[1]
    inner = (sizes >= k) & (sizes <= n - k)
    coalitions, here, t = masks[inner], y[inner], sizes[inner]
    weights = kernel(n, k).to(masks.device)[t] * stands_for[inner]
    gram, right = normal_equations(coalitions, weights, here, k)
    degrees = fitted_degrees(n, k, torch.bincount(t, minlength=n + 1).tolist())
    for size, degree in degrees.items():
        at = t == size
        less_gram, less_right = explained(coalitions[at], here[at], k, degree)
        gram -= weights[at][0] * less_gram
        right -= weights[at][0] * less_right
    projector, dimension = top_projector(n, k).to(masks.device), math.comb(n, k) - math.comb(n, k - 1)
    return solved(gram, right, projector, dimension, enough=enough_rows(coalitions, k, degrees, dimension))


def enough_rows(masks: Tensor, k: int, degrees: dict[int, int], dimension: int) -> bool:
    """Whether as many of the different coalitions (m, n) as H_k has dimensions are left beside what is fitted.

    A function of H_k has up to its sign one value on a pair of complements, so a pair counts once; and of the functions
    that are fitted on pairs those of that sign alone take their share. Rounding cannot tell it: at a rank that is one
    too small the smallest eigenvalue is some 1e-12 and not zero.
    """
    n, functions = masks.shape[1], sum(math.comb(masks.shape[1], j) for j in degrees.values())
    if len(masks) >= 2 * (dimension + functions):  # at least half of them are no complements of others
        return True
    sizes, left = masks.sum(-1), 0
    for t in range(k, n // 2 + 1):
        here = masks[(sizes == t) | (sizes == n - t)]
        pairs = len(torch.unique(torch.where(here[:, :1], here, ~here), dim=0))
        fitted = [degrees[size] for size in {t, n - t} if size in degrees]
        if 2 * pairs == len(here):
            left += pairs - sum(_of_sign(n, k, degree) if 2 * t == n else math.comb(n, degree) for degree in fitted[:1])
        else:
            left += min(pairs, len(here) - sum(math.comb(n, degree) for degree in fitted))
    return left >= dimension


def _of_sign(n: int, k: int, degree: int) -> int:
    """Functions of at most `degree` on the coalitions of n/2 players that complements multiply by (−1)^k."""
    return sum(math.comb(n, i) - (math.comb(n, i - 1) if i else 0) for i in range(degree + 1) if (k - i) % 2 == 0)


def fitted_degrees(n: int, k: int, counts: list[int]) -> dict[int, int]:
    """Size t -> degree j < k of the functions Σ_{|R| ≤ j} a_R·1[R ⊆ T] that are fitted there, of the sizes that were
    drawn from, `counts` (n + 1,) coalitions of each."""
    drawn = [t for t in range(k, n - k + 1) if 0 < counts[t] < math.comb(n, t)]
    rows = [max(FEWEST_ROWS, ROWS_A_FUNCTION * math.comb(n, j)) for j in range(k)]
    fits = {t: [j for j in range(k) if rows[j] <= counts[t]] for t in drawn}
    spare = sum(counts[k : n - k + 1]) - ROWS_A_VALUE * (math.comb(n, k) - math.comb(n, k - 1))
    for highest in reversed(range(k)):
        degrees = {t: min(highest, max(js)) for t, js in fits.items() if js}
        if sum(math.comb(n, j) for j in degrees.values()) <= spare:
            return degrees
    return {}


def normal_equations(
    masks: Tensor, weights: Tensor, y: Tensor, k: int, *, with_gram: bool = True
) -> tuple[Tensor, Tensor]:
    """X'WX (C(n, k), C(n, k)), zeros unless it is wanted, and X'Wy (C(n, k), outputs) of the design 1[S ⊆ T]."""
    sets = subsets(masks.shape[1], k).to(masks.device)
    size = len(sets) if with_gram else 0
    gram = torch.zeros(size, size, dtype=torch.float64, device=masks.device)
    right = torch.zeros(len(sets), y.shape[1], dtype=torch.float64, device=masks.device)
    rows = max(1, ROW_ELEMENTS // len(sets))
    for part, w, values in zip(masks.split(rows), weights.split(rows), y.split(rows), strict=True):
        x = included(part, sets)
        right += x.T @ (w[:, None] * values)
        if with_gram:
            gram += x.T @ (w[:, None] * x)
    return gram, right


def explained(masks: Tensor, y: Tensor, k: int, degree: int) -> tuple[Tensor, Tensor]:
    """X'ΠX and X'Πy of the design X = 1[S ⊆ T] on coalitions of one size, Π the projector onto the functions of
    `degree` there: 1[R ⊆ T] with |R| = degree span them."""
    n = masks.shape[1]
    sets, low = subsets(n, k).to(masks.device), subsets(n, degree).to(masks.device)
    width = len(sets) + y.shape[1]
    within = torch.zeros(len(low), len(low), dtype=torch.float64, device=masks.device)
    across = torch.zeros(len(low), width, dtype=torch.float64, device=masks.device)
    rows = max(1, ROW_ELEMENTS // width)
    for part, values in zip(masks.split(rows), y.split(rows), strict=True):
        functions = included(part, low)
        within += functions.T @ functions
        across += functions.T @ torch.cat([included(part, sets), values], dim=1)
    projected = pseudo_inverse(within)[0] @ across
    onto = across[:, : len(sets)].T
    return onto @ projected[:, : len(sets)], onto @ projected[:, len(sets) :]


def solved(
    gram: Tensor, right: Tensor, projector: Tensor, dimension: int, *, enough: bool = True
) -> tuple[Tensor, bool]:
    """z in H_k with P·G·z = P·b, that of least norm, and whether there is one only: never without `enough` rows."""
    inside = projector @ gram @ projector
    inside = (inside + inside.T) / 2
    wanted = projector @ right
    rest = torch.eye(len(gram), dtype=gram.dtype, device=gram.device) - projector
    factor, failed = torch.linalg.cholesky_ex(inside + rest)
    pivots = factor.diagonal()
    if enough and not int(failed) and bool(pivots.min() > PIVOT * pivots.max()):
        return projector @ torch.cholesky_solve(wanted, factor), True
    inverse, rank = pseudo_inverse(inside)
    return projector @ (inverse @ wanted), enough and rank >= dimension


def pseudo_inverse(matrix: Tensor) -> tuple[Tensor, int]:
    """The inverse of a symmetric matrix without negative eigenvalues on its range, and its rank."""
    eigenvalues, vectors = torch.linalg.eigh(matrix)
    kept = eigenvalues > RANK * float(eigenvalues[-1].clamp(min=1e-300))
    inverse = torch.where(kept, 1 / torch.where(kept, eigenvalues, 1.0), 0.0)
    return (vectors * inverse) @ vectors.T, int(kept.sum())


def summed(masks: Tensor, values: Tensor, k: int) -> Tensor:
    """Σ_{S ⊆ T, |S| = k} values(S), (m, outputs), of values (C(n, k), outputs)."""
    sets = subsets(masks.shape[1], k).to(masks.device)
    parts = masks.split(max(1, ROW_ELEMENTS // len(sets)))
    return torch.cat([included(part, sets) @ values for part in parts])


def predicted(masks: Tensor, values: Tensor, k: int) -> Tensor:
    """Σ_{|S| = k} λ(k, |S ∩ T|)·values(S), (m, outputs): λ(k, l) = Σ_{r ≥ 1} C(l, r)·B_{k − r}, so that
    Σ_S λ(k, |S ∩ T|) x_S = Σ_r B_{k − r} Σ_{R ⊆ T, |R| = r} Σ_{S ⊇ R} x_S."""
    n = masks.shape[1]
    total = values.new_zeros(len(masks), values.shape[1])
    for r in range(1, k + 1):
        factor = float(bernoulli(k - r))
        if factor:
            total += factor * summed(masks, spread(values, n, k, r) if r < k else values, r)
    return total
