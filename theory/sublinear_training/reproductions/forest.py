"""The forest: what a query reports, how many nodes it compares, how many are expected."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import sympy
import torch
from torch import Tensor

from constructions.sublinear_training import Fired, MaxTreeForest
from theory.claim import Context, Evidence, Report, Status, Table, Verdict, ensure
from theory.sublinear_training import bounds
from theory.sublinear_training.checkers.fired_set import visited_nodes, written_nodes

SHAPES = ((1, 3), (2, 1), (5, 4), (64, 7), (100, 3))
THRESHOLDS = (-20, -3, 0, 5, 9, 20)
ALL_VISITS = 1735678  # Σ of V over the 2^16 subsets of 16 leaves: 2^16·E V at p = 1/2
PADDED = (3, 5, 6, 7, 11)


def query_is_exact(forest: MaxTreeForest, keys: Tensor, threshold: float) -> Report:
    """Whether the forest holds these keys and reports those above the threshold, by both ways of searching."""
    if not torch.equal(forest.keys(), keys):
        return Report("the leaves are not the keys")
    if not forest.check():
        return Report("a node is not the larger of its children")
    mask = keys > threshold
    for start in (None, 0, forest.levels):
        hot = forest.query(threshold, start_level=start)
        if not torch.equal(torch.stack([hot.neurons, hot.points], 1), mask.nonzero()):
            return Report(f"the query from level {start} reports other pairs than those above {threshold}")
    if int(forest.visits(hot).sum()) != visited_nodes(mask):
        return Report(f"{int(forest.visits(hot).sum())} visits are said, {visited_nodes(mask)} counted")
    return Report()


def forest_query(context: Context) -> Verdict:
    g = context.generator()
    shapes = [*SHAPES, *([_shape(g) for _ in range(1000)] if context.full else [])]
    checked = 0
    for m, n in shapes:
        keys = torch.randint(-9, 10, (m, n), generator=g).double().to(context.device)
        forest = MaxTreeForest(keys)
        for threshold in THRESHOLDS:
            ensure(query_is_exact(forest, keys, threshold), f"m={m}, n={n}")
            units = (torch.rand(m, generator=g) < 0.3).nonzero()[:, 0].to(context.device)
            keys[units] = torch.randint(-9, 10, (len(units), n), generator=g).double().to(context.device)
            forest.update(units, keys[units])
            same = int(forest.repairs(units)) == written_nodes(units, m)
            ensure(same, f"m={m}, n={n}: the count of written nodes is wrong")
            ensure(query_is_exact(forest, keys, threshold), f"m={m}, n={n} after an update")
            checked += 2
    subsets = torch.arange(2**16, device=context.device)
    keys = torch.stack([(subsets >> r) & 1 for r in range(16)]).double()
    forest = MaxTreeForest(keys)
    ensure(query_is_exact(forest, keys, 0.5), "all hot sets of 16 leaves")
    visits = int(forest.visits(forest.query(0.5)).sum())
    ensure(visits == ALL_VISITS, f"all hot sets of 16 leaves take {visits} visits")
    reason = f"{checked} queries of {len(shapes)} forests and all 65536 hot sets of 16 leaves, compared in integers"
    return Verdict(Status.PROVED, Evidence.EXACT, reason, {"queries": checked, "visits of all hot sets": visits})


def _shape(g: torch.Generator) -> tuple[int, int]:
    m, n = torch.randint(1, 70, (2,), generator=g).tolist()
    return m, n


# --- visits ---------------------------------------------------------------------------------------------------


def ancestors_in_order(order: Sequence[int], levels: int) -> list[int]:
    """Internal ancestors of the first S of these leaves, S = 0 … all of them."""
    leaves = np.asarray(order)
    new = np.zeros(len(leaves), dtype=np.int64)
    for k in range(1, levels + 1):
        first = np.unique(leaves >> k, return_index=True)[1]
        new[first] += 1
    return [0, *np.cumsum(new).tolist()]


def bit_reversed(levels: int) -> list[int]:
    """0 … 2^L − 1, each with its L bits in the other order."""
    return [int(format(j, f"0{levels}b")[::-1], 2) if levels else 0 for j in range(2**levels)]


def visits(context: Context) -> Verdict:
    deepest, pairs = (16 if context.full else 11), 0
    for levels in range(deepest + 1):
        least = [bounds.least_ancestors(s, levels) for s in range(2**levels + 1)]
        most = [bounds.most_ancestors(s, levels) for s in range(2**levels + 1)]
        closed = [0, *(bounds.most_ancestors_closed(s, levels) for s in range(1, 2**levels + 1))]
        ensure(most == closed, f"L={levels}: the closed form is another number")
        ensure(ancestors_in_order(range(2**levels), levels) == least, f"L={levels}: the least number is not attained")
        spread = ancestors_in_order(bit_reversed(levels), levels)
        ensure(spread == most, f"L={levels}: the largest number is not attained")
        pairs += len(most)
    for levels in range(5):
        size, hidden, hot = _all_subsets(levels)
        least = np.array([bounds.least_ancestors(s, levels) for s in range(2**levels + 1)])
        most = np.array([bounds.most_ancestors(s, levels) for s in range(2**levels + 1)])
        inside = bool(((least[size] <= hidden) & (hidden <= most[size])).all())
        ensure(inside, f"L={levels}: a subset lies outside the bounds")
        measured = _measured_by_a_forest(hot, context)
        ensure(
            torch.equal(measured, torch.from_numpy(1 + 2 * hidden)), f"L={levels}: the forest compares other numbers"
        )
    reason = (
        f"both ends attained for {pairs} pairs (L, S), L up to {deepest}; all subsets of up to 16 leaves in between"
    )
    return Verdict(Status.PROVED, Evidence.EXACT, reason, {"pairs": pairs, "deepest": deepest})


def _all_subsets(levels: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of all 2^(2^L) sets of leaves: their sizes, their inner nodes, and the sets as masks (2^L, sets)."""
    leaves = 2**levels
    numbers = np.arange(2**leaves)
    hot = np.stack([(numbers >> r) & 1 for r in range(leaves)]).astype(bool)
    level, hidden = hot, np.zeros(len(numbers), dtype=np.int64)
    while len(level) > 1:
        level = level[0::2] | level[1::2]
        hidden += level.sum(0)
    return hot.sum(0), hidden, hot


def _measured_by_a_forest(hot: np.ndarray, context: Context) -> Tensor:
    keys = torch.from_numpy(hot).double().to(context.device)
    forest = MaxTreeForest(keys)
    found = forest.query(0.5)
    return forest.visits(Fired(found.neurons, found.points)).cpu()


# --- expected visits ------------------------------------------------------------------------------------------


def expected_visits(context: Context) -> Verdict:
    p = sympy.Symbol("p")
    widths = sorted({2, 4, 8, 16, *PADDED} | (set(range(1, 17)) if context.full else set()))
    rows = []
    for m in widths:
        by_size = visits_by_size(m)
        total = sum(count * p**size * (1 - p) ** (m - size) for size, count in enumerate(by_size))
        formula = bounds.expected_visits(m, p)
        difference = sympy.Poly(sympy.expand(total - formula), p)
        ensure(difference.is_zero, f"m={m}: the polynomials differ by {difference.as_expr()}")
        rows.append((m, sum(by_size), sympy.Poly(sympy.expand(formula), p).degree()))
    reason = f"equal as polynomials in p, coefficient by coefficient, for {len(widths)} numbers of leaves"
    tables = {"widths": Table(("m", "visits of all subsets", "degree"), tuple(rows))}
    return Verdict(Status.PROVED, Evidence.SYMBOLIC, reason, {"widths": len(widths)}, tables=tables)


def visits_by_size(m: int) -> list[int]:
    """Σ of V over the subsets of m leaves with 0, 1, …, m elements; the tree is padded to a power of two."""
    levels = (m - 1).bit_length()
    numbers = np.arange(2**m)
    level = np.zeros((2**levels, len(numbers)), dtype=bool)
    level[:m] = [(numbers >> r) & 1 for r in range(m)]
    size, count = level.sum(0), np.ones(len(numbers), dtype=np.int64)
    while len(level) > 1:
        level = level[0::2] | level[1::2]
        count += 2 * level.sum(0)
    return np.bincount(size, weights=count, minlength=m + 1).astype(np.int64).tolist()
