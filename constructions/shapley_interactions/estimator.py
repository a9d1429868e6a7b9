"""`KernelSHAPIQ`: interactions of a game of any number of players from a budget of coalitions.

SII of order k is the minimiser of Σ_{T inner} μ_k(|T|)(y(T) − Σ_S λ(k, |S ∩ T|) x_S)² under linear constraints that the
outer coalitions determine: x = Q_outer y + z, where z is in H_k = {x : Σ_{S ⊃ R} x_S = 0 for all |R| = k − 1}. Of a
sample of the inner coalitions, each with the number that it stands for, the same least squares is an estimate; with
every coalition it is the exact index. Every estimate satisfies the constraints, so efficiency holds at any budget.

Main definition: `KernelSHAPIQ`.
References: Fumagalli, Muschalik, Kolpaczki, Hüllermeier, Hammer, KernelSHAP-IQ, ICML 2024 (the weighted least squares);
docs/shapley_interactions.md for the constrained form and its proof.
Implementation notes: z is found in all C(n, k) coordinates with the orthogonal projector P onto H_k, from
P·G·P + (I − P), whose inverse is that of the Gram matrix G on H_k. There Σ_{S ⊆ T} replaces the design.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from constructions.errors import require_bool, require_choice, require_device, require_instance, require_int
from constructions.progress import Log, require_log, silent
from constructions.shapley_interactions.coalitions import (
    aggregated,
    bernoulli,
    included,
    kernel,
    masks_of,
    sii_weights,
    spread,
    subsets,
    top_projector,
)
from constructions.shapley_interactions.exact import require_order
from constructions.shapley_interactions.games import BATCH, Game, evaluated
from constructions.shapley_interactions.sampling import Design
from constructions.shapley_interactions.values import InteractionValues, player_names

MOST_UNKNOWN = 10_000  # interactions of one order: their Gram matrix takes 0.8 GB
MOST_MASKS = 1 << 31  # bytes of the coalitions of a draw
ROW_ELEMENTS = 1 << 22
PIVOT = 1e-6  # of a Cholesky factor, relative to the largest: below, the sample does not determine the values
RANK = 1e-10


class KernelSHAPIQ:
    """Estimates the interactions of 1 … `order` players (order 2 by default) of games of n ≥ 2·order players.

    `index` is "SV" (order 1), "SII" or "k-SII". `paired` draws coalitions with their complements: orders 1 and 2 are
    then exact for games of degree 2 and 3 (products of so many players), and odd orders gain; order 2 of games with
    many products of more players is better estimated without. `generator` (None: a new one of seed 0) is drawn from in
    every `estimate`.
    """

    def __init__(
        self,
        n: int,
        order: int | None = None,
        index: str = "k-SII",
        *,
        paired: bool = True,
        generator: torch.Generator | None = None,
        batch_size: int = BATCH,
        device: torch.device | str | None = None,
    ):
        require_int("n", n, 1)
        if index == "Moebius":
            raise ValueError(
                "`index` must be SV, SII or k-SII to be estimated: Moebius coefficients need 2^n evaluations"
            )
        self.n, self.index = n, require_choice("index", index, ("SV", "SII", "k-SII"))
        self.order = require_order(order, n, index)
        if n < 2 * self.order:
            raise ValueError(
                f"`n` must be at least 2·order = {2 * self.order} to be estimated, got {n}: take the exact index"
            )
        if math.comb(n, self.order) > MOST_UNKNOWN:
            count = math.comb(n, self.order)
            raise ValueError(
                f"`order` must leave at most {MOST_UNKNOWN} interactions a size, {self.order} gives {count}"
            )
        self.paired = require_bool("paired", paired)
        require_instance("generator", generator, (torch.Generator, type(None)))
        self.generator = torch.Generator().manual_seed(0) if generator is None else generator
        self.batch_size = require_int("batch_size", batch_size, 1)
        self.device = require_device("device", device)

    def estimate(
        self,
        game: Game,
        budget: int,
        *,
        repeats: int = 1,
        names: Sequence[str] | None = None,
        log: Log = silent,
    ) -> InteractionValues:
        """The interactions from at most `budget` coalitions; with `repeats` the mean of so many draws of `budget`
        coalitions each (those of the enumerated sizes are evaluated once) and its standard errors.

        With 2^n the index is exact. ValueError for a budget below the coalitions of fewer than `order` or more than
        n − `order` players, or above 2^n.
        """
        design = Design.of(self.n, self.order, budget, paired=self.paired)
        if budget * self.n > MOST_MASKS:
            raise ValueError(f"`budget` must be at most {MOST_MASKS // self.n} of {self.n} players, got {budget}")
        require_int("repeats", repeats, 1)
        named = player_names(names, self.n)
        fixed = design.fixed()
        known = self._evaluated(game, fixed, require_log(log))
        draws, evaluations, deficient = [], len(fixed), False
        for _ in range(repeats if design.drawn else 1):
            drawn, weights = design.draw(self.generator)
            y = torch.cat([known, self._evaluated(game, drawn, log)]) if len(drawn) else known
            masks = torch.cat([fixed, drawn]).to(self.device)
            stands_for = torch.cat([torch.ones(len(fixed), dtype=torch.float64), weights]).to(self.device)
            orders, short = interactions(masks, stands_for, y, self.order)
            draws.append(aggregated(orders, self.n) if self.index == "k-SII" else orders)
            evaluations, deficient = evaluations + len(drawn), deficient or short
        values = tuple(torch.stack(parts).mean(0) for parts in zip(*draws, strict=True))
        errors = _standard_errors(draws, repeats)
        sizes = fixed.sum(-1).to(self.device)
        return InteractionValues(
            self.n,
            self.index,
            values,
            known[sizes == 0][0],
            known[sizes == self.n][0],
            exact=len(design.enumerated) == self.n + 1,
            evaluations=evaluations,
            budget=budget,
            names=named,
            errors=errors,
            rank_deficient=deficient,
        )

    def _evaluated(self, game: Game, masks: Tensor, log: Log) -> Tensor:
        parts = masks.split(self.batch_size)
        return evaluated(game, (part.to(self.device) for part in parts), len(parts), log)


def _standard_errors(draws: list[list[Tensor]], repeats: int) -> tuple[Tensor, ...] | None:
    if repeats == 1:
        return None
    if len(draws) == 1:  # nothing is left to chance
        return tuple(torch.zeros_like(values) for values in draws[0])
    return tuple(torch.stack(parts).std(0) / math.sqrt(len(draws)) for parts in zip(*draws, strict=True))


# --- the least squares ------------------------------------------------------------------------------------


def interactions(masks: Tensor, stands_for: Tensor, values: Tensor, order: int) -> tuple[list[Tensor], bool]:
    """SII values (C(n, k), …), k = 1 … order, and whether some were not determined by the sample.

    `masks` (m, n) hold every coalition of fewer than `order` or more than n − `order` players; `stands_for` (m,) is 1
    for coalitions of a size that is there as a whole; `values` are (m,) or (m, outputs).
    """
    sizes = masks.sum(-1)
    flat = values.reshape(len(values), -1)
    y, found, short = flat - flat[sizes == 0][0], [], False
    for k in range(1, order + 1):
        x = outer_part(masks, sizes, y, k)
        y = y - predicted(masks, x, k)
        z, determined = inner_part(masks, sizes, stands_for, y, k)
        y = y - summed(masks, z, k)
        found.append((x + z).reshape(-1, *values.shape[1:]))
        short = short or not determined
    return found, short


def outer_part(masks: Tensor, sizes: Tensor, y: Tensor, k: int) -> Tensor:
    """Q_outer y, (C(n, k), outputs): the part of SII that is orthogonal to H_k."""
    n = masks.shape[1]
    outer = (sizes < k) | (sizes > n - k)
    coalitions, t, here = masks[outer].double(), sizes[outer], y[outer]
    weights = sii_weights(n, k).to(masks.device)
    members = masks_of(subsets(n, k), n).to(masks.device)
    parts = members.split(max(1, ROW_ELEMENTS // max(1, len(t))))
    return torch.cat([weights[t, (part.double() @ coalitions.T).long()] @ here for part in parts])


def inner_part(masks: Tensor, sizes: Tensor, stands_for: Tensor, y: Tensor, k: int) -> tuple[Tensor, bool]:
    """The z of H_k that fits the residual y (m, outputs) on the inner coalitions best, (C(n, k), outputs), and whether
    it is the only one."""
    n = masks.shape[1]
    inner = (sizes >= k) & (sizes <= n - k)
    coalitions, here = masks[inner], y[inner]
    weights = kernel(n, k).to(masks.device)[sizes[inner]] * stands_for[inner]
    complete = len(here) == sum(math.comb(n, t) for t in range(k, n - k + 1))
    projector = top_projector(n, k).to(masks.device)
    gram, right = normal_equations(coalitions, weights, here, k, with_gram=not complete)
    if gram is None:  # the Gram matrix of all coalitions is the identity on H_k
        return projector @ right, True
    return solved(gram, right, projector, math.comb(n, k) - math.comb(n, k - 1))


def normal_equations(
    masks: Tensor, weights: Tensor, y: Tensor, k: int, *, with_gram: bool = True
) -> tuple[Tensor | None, Tensor]:
    """X'WX (C(n, k), C(n, k)), unless it is not wanted, and X'Wy (C(n, k), outputs) of the design 1[S ⊆ T]."""
    n = masks.shape[1]
    sets = subsets(n, k).to(masks.device)
    gram = torch.zeros(len(sets), len(sets), dtype=torch.float64, device=masks.device) if with_gram else None
    right = torch.zeros(len(sets), y.shape[1], dtype=torch.float64, device=masks.device)
    rows = max(1, ROW_ELEMENTS // len(sets))
    for part, w, values in zip(masks.split(rows), weights.split(rows), y.split(rows), strict=True):
        x = included(part, sets)
        right += x.T @ (w[:, None] * values)
        if gram is not None:
            gram += x.T @ (w[:, None] * x)
    return gram, right


def solved(gram: Tensor, right: Tensor, projector: Tensor, dimension: int) -> tuple[Tensor, bool]:
    """z in H_k with P·G·z = P·b, that of least norm, and whether there is one only."""
    inside = projector @ gram @ projector
    inside = (inside + inside.T) / 2
    wanted = projector @ right
    rest = torch.eye(len(gram), dtype=gram.dtype, device=gram.device) - projector
    factor, failed = torch.linalg.cholesky_ex(inside + rest)
    pivots = factor.diagonal()
    if not int(failed) and bool(pivots.min() > PIVOT * pivots.max()):
        return projector @ torch.cholesky_solve(wanted, factor), True
    eigenvalues, vectors = torch.linalg.eigh(inside)
    kept = eigenvalues > RANK * max(float(eigenvalues[-1]), 1e-300)
    inverse = torch.where(kept, 1 / torch.where(kept, eigenvalues, 1.0), 0.0)
    z = vectors @ (inverse[:, None] * (vectors.T @ wanted))
    return projector @ z, int(kept.sum()) >= dimension


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
