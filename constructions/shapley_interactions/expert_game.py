"""`ExpertGame`: the experts of a mixture as players, with exact interactions for any number of them.

A coalition is the set of experts that are alive; a point is answered by the first alive one in its own order π of the
experts. With c_r the point's value when π_r answers, its game is Σ_r c_r·1[π_r ∈ T, π_1 … π_{r−1} ∉ T] + c_∅·1[T = ∅].
Each term is a product Π_{q ∈ P}(1 − p_q)·p_a in the multilinear extension, so that SII(S) of the term r is
(−1)^(s−1)/(r − s + 1) where π_r ∈ S ⊆ {π_1 … π_r}, (−1)^s/((r − s)(r − s + 1)) where π_r ∉ S, and 0 where S is not
among the first r; of the term of ∅, (−1)^s/(L − s + 1). Hence the sum depends on S by its last place in π alone.

Main definition: `ExpertGame`.
Notation: L experts, N points, s = |S|.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import singledispatch
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from constructions.arrays import tensor_of
from constructions.errors import require_choice, require_cloud, require_instance, require_int, require_tensor
from constructions.fixed_order import squared_distances, total
from constructions.mixture import LatticeMixture
from constructions.pathway_tree.flat_prototype_tree import LARGEST
from constructions.pathway_tree.prototype_tree import PrototypeTree
from constructions.progress import Log, require_log, silent, tracked
from constructions.shapley_interactions.coalitions import aggregated, subsets
from constructions.shapley_interactions.exact import require_order
from constructions.shapley_interactions.games import require_masks
from constructions.shapley_interactions.values import InteractionValues, player_names
from constructions.trained_momlp.model import TrainedMoMLP

LOSSES = ("squared", "error", "log")
OFF = ("next_nearest", "zero")
MOST_ANSWERS = 1 << 26  # points times experts
MOST_SETS = 10_000_000
ELEMENTS_AT_ONCE = 1 << 22
PLACES = 8  # of a point's order looked at together


class ExpertGame:
    """v(T) = −mean loss over `points` (N, n) when only the experts T are alive; v(∅) is that of the best constant.

    A point goes to the nearest alive expert (off="next_nearest"): of a flat router by the distance to the leaves'
    prototypes, of a tree depth first, children by the distance to theirs, of a lattice by the distance of cells. With
    off="zero" its own expert answers or, dead, the number zero. `loss` is "squared" with `targets` (N,) or (N, m), or
    "error" (share of wrong classes) or "log" (cross-entropy of logits) with classes (N,), int64.

    Every answer of every expert is computed once, here. `interactions` gives the exact index in closed form; as a
    game of coalitions it is a test of estimators whose truth is known for thousands of players.
    """

    def __init__(
        self,
        mixture: Any,
        points: Tensor | np.ndarray,
        targets: Tensor | np.ndarray,
        *,
        loss: str = "squared",
        off: str = "next_nearest",
        names: Sequence[str] | None = None,
        log: Log = silent,
    ):
        require_choice("loss", loss, LOSSES)
        require_choice("off", off, OFF)
        x = require_cloud("points", tensor_of("points", points))
        ranking = ranked(mixture)
        count = len(ranking.leaves)
        if count * len(x) > MOST_ANSWERS:
            most = MOST_ANSWERS // count
            raise ValueError(f"`points` must be at most {most} of a mixture of {count} experts, got {len(x)}")
        if x.shape[1] != mixture.n:
            raise ValueError(f"`points` must have shape (N, {mixture.n}), got {tuple(points.shape)}")
        wanted = _require_targets(targets, len(x), classes=loss != "squared").to(x.device)
        losses = torch.stack(
            [
                _losses(_answers(mixture, leaf, x), wanted, loss)
                for leaf in tracked(ranking.leaves, "experts", require_log(log))
            ],
            dim=1,
        )
        constant, zero = _constants(_answers(mixture, ranking.leaves[0], x[:1]), wanted, loss)
        order = ranking.order(x)
        self._set(order, -losses.gather(1, order), -constant, names)
        if off == "zero":
            self.values[:, 1:], self.empty = -zero[:, None], -zero

    @classmethod
    def of_orders(cls, order: Tensor, values: Tensor, empty: Tensor, names: Sequence[str] | None = None) -> ExpertGame:
        """The game from the points' orders (N, L) of the players, the values (N, L) in that order, and those of no
        player, (N,)."""
        for name, value, shape in (("order", order, "(N, L)"), ("values", values, "(N, L)"), ("empty", empty, "(N,)")):
            require_tensor(name, value, shape)
        if order.ndim != 2 or values.shape != order.shape or empty.shape != order.shape[:1] or not order.numel():
            shapes = f"{tuple(order.shape)}, {tuple(values.shape)} and {tuple(empty.shape)}"
            raise ValueError(f"`order` and `values` must have shape (N, L), `empty` (N,), got {shapes}")
        if order.dtype != torch.int64:
            raise TypeError(f"`order` must be int64, got {order.dtype}")
        if not bool(torch.isfinite(values).all()) or not bool(torch.isfinite(empty).all()):
            raise ValueError("`values` and `empty` must be finite")
        if not torch.equal(order.sort(-1).values, torch.arange(order.shape[1], device=order.device).expand_as(order)):
            raise ValueError("`order` must hold every player once in each row")
        game = cls.__new__(cls)
        game._set(order, values.double(), empty.double(), names)
        return game

    def at(self, row: int) -> ExpertGame:
        """The game of one of the points alone. v(∅) stays what the best constant for *all* points costs at this one:
        for a single point that would be its own target."""
        require_int("row", row, 0, len(self.order) - 1)
        one = slice(row, row + 1)
        return ExpertGame.of_orders(self.order[one], self.values[one], self.empty[one], self.names)

    def _set(self, order: Tensor, values: Tensor, empty: Tensor, names: Sequence[str] | None) -> None:
        self.order, self.values, self.empty = order, values, empty
        self.n = order.shape[1]
        self.names = player_names([f"expert {i}" for i in range(self.n)] if names is None else names, self.n)

    # --- the game ---

    def __call__(self, masks: Tensor) -> Tensor:
        """v (m,) of boolean coalitions (m, L)."""
        require_masks(masks, self.n)
        rows = max(1, ELEMENTS_AT_ONCE // len(self.order))
        return torch.cat([self._means(part.to(self.order.device)) for part in masks.split(rows)]).to(masks.device)

    def _means(self, masks: Tensor) -> Tensor:
        found = self.empty.repeat(len(masks))
        count = len(self.order)
        waiting = torch.arange(len(found), device=found.device)
        waiting = waiting[masks.any(-1)[waiting // count]]
        for start in range(0, self.n, PLACES):
            if not len(waiting):
                break
            row, point = waiting // count, waiting % count
            alive = masks[row[:, None], self.order[point, start : start + PLACES]]
            there, place = alive.any(-1), start + alive.long().argmax(-1)
            found[waiting[there]] = self.values[point[there], place[there]]
            waiting = waiting[~there]
        return total(found.view(len(masks), count)) / count

    # --- its interactions ---

    def interactions(self, order: int | None = None, index: str = "k-SII") -> InteractionValues:
        """The exact index of 1 … `order` players, "SV", "SII" or "k-SII", for any number of experts: O(L + C(L, order))
        operations a point and no coalition evaluated."""
        require_choice("index", index, ("SV", "SII", "k-SII"))
        order = require_order(order, self.n, index)
        if math.comb(self.n, order) > MOST_SETS:
            raise ValueError(f"`order` must leave at most {MOST_SETS} interactions, got {order} of {self.n} experts")
        place = self.order.argsort(-1)
        orders = [self._of_size(s, place) for s in range(1, order + 1)]
        if index == "k-SII":
            orders = aggregated(orders, self.n)
        return InteractionValues(
            self.n,
            index,
            tuple(orders),
            self.empty.mean(),
            self.values[:, 0].mean(),
            exact=True,
            evaluations=0,
            names=self.names,
        )

    def _of_size(self, s: int, place: Tensor) -> Tensor:
        """SII (C(L, s),) of all sets of s experts."""
        r = torch.arange(1, self.n + 1, dtype=torch.float64, device=place.device)
        sign = (-1) ** s
        ends = torch.where(r >= s, -sign / (r - s + 1).clamp(min=1), 0.0) * self.values
        later = torch.where(r > s, sign / ((r - s) * (r - s + 1)).clamp(min=1), 0.0) * self.values
        after = later.flip(-1).cumsum(-1).flip(-1) - later
        by_last = ends + after + (sign / (self.n - s + 1) * self.empty)[:, None]
        sets = subsets(self.n, s).to(place.device)
        parts = sets.split(max(1, ELEMENTS_AT_ONCE // (s * len(place))))
        return torch.cat([by_last.gather(1, place[:, part].amax(-1)).mean(0) for part in parts])


def _require_targets(given: Any, count: int, *, classes: bool) -> Tensor:
    targets = require_instance("targets", tensor_of("targets", given, integers=classes), Tensor)
    kinds = "int64 classes (N,)" if classes else "floating values (N,) or (N, m)"
    good = targets.dtype == torch.int64 and targets.ndim == 1 if classes else targets.is_floating_point()
    if not good or targets.ndim not in (1, 2) or len(targets) != count:
        raise ValueError(f"`targets` must be {kinds}, N = {count}, got {targets.dtype} {tuple(targets.shape)}")
    if not classes and not bool(torch.isfinite(targets).all()):
        raise ValueError("`targets` must be finite")
    return targets if classes else targets.double().reshape(count, -1)


def _answers(mixture: Any, leaf: Any, x: Tensor) -> Tensor:
    """Answers (N, m), float64, of one expert to all points."""
    expert: nn.Module = mixture.expert(leaf)
    own = next((p for p in expert.parameters()), x)
    with torch.no_grad():
        return expert(x.to(own.device, own.dtype)).double().to(x.device)


def _losses(answers: Tensor, targets: Tensor, loss: str) -> Tensor:
    """(N,) of answers (N, m)."""
    if loss == "squared":
        if answers.shape[1] != targets.shape[1]:
            raise ValueError(f"`targets` must have {answers.shape[1]} columns, as the mixture, got {targets.shape[1]}")
        return (answers - targets).square().sum(-1)
    require_int("targets", int(targets.max()), 0, answers.shape[1] - 1)
    require_int("targets", int(targets.min()), 0, answers.shape[1] - 1)
    if loss == "error":
        return (answers.argmax(-1) != targets).double()
    return nn.functional.cross_entropy(answers, targets, reduction="none")


def _constants(answer: Tensor, targets: Tensor, loss: str) -> tuple[Tensor, Tensor]:
    """Losses (N,) of the best constant answer, and of zeros."""
    zero = torch.zeros(len(targets), answer.shape[1], dtype=torch.float64, device=targets.device)
    if loss == "squared":
        return _losses(zero + targets.mean(0), targets, loss), _losses(zero, targets, loss)
    shares = torch.bincount(targets, minlength=answer.shape[1]).double() / len(targets)
    return _losses(zero + shares.clamp(min=1e-300).log(), targets, loss), _losses(zero, targets, loss)


# --- who answers when others are dead -------------------------------------------------------------------------


@dataclass(frozen=True)
class Ranking:
    """`leaves` as `expert` takes them, and the points' orders (N, L) of them, nearest first."""

    leaves: list[Any]
    order: Callable[[Tensor], Tensor]


@singledispatch
def ranked(mixture: Any) -> Ranking:
    """How a mixture ranks its experts for a point; TypeError for a mixture of an unknown kind."""
    raise TypeError(f"`mixture` must be a mixture of this package, got {type(mixture).__name__}")


@ranked.register
def _trained(mixture: TrainedMoMLP) -> Ranking:
    def order(x: Tensor) -> Tensor:
        z = mixture.standardise(x.to(mixture.place))
        found = (
            by_distance(z, mixture.tree.leaf_prototypes) if mixture.router == "flat" else depth_first(z, mixture.tree)
        )
        return found.to(x.device)

    return Ranking(list(range(mixture.num_leaves)), order)


@ranked.register
def _lattice(mixture: LatticeMixture) -> Ranking:
    require_int("mixture.num_leaves", mixture.num_leaves, 1, MOST_ANSWERS)
    leaves = mixture.leaf_indices(torch.device("cpu"))

    def order(x: Tensor) -> Tensor:
        lower, upper = (corner.to(x.device) for corner in mixture.cell_bounds(leaves))
        sides = upper[0] - lower[0]
        own = (mixture.route(x)[:, None] == leaves.to(x.device)).all(-1)
        return by_distance(x / sides, (lower + upper) / (2 * sides), first=own)

    return Ranking(leaves.tolist(), order)


def by_distance(x: Tensor, prototypes: Tensor, *, first: Tensor | None = None) -> Tensor:
    """Prototypes (N, L) by their distance from points (N, n), ties to the lowest index; those `first` (N, L) before."""
    found = []
    rows = max(1, ELEMENTS_AT_ONCE // len(prototypes))
    for start in range(0, len(x), rows):
        distance = squared_distances(x[start : start + rows], prototypes)
        if first is not None:
            distance = distance.masked_fill(first[start : start + rows], -1.0)
        found.append(distance.argsort(dim=-1, stable=True))
    return torch.cat(found)


def depth_first(x: Tensor, tree: PrototypeTree) -> Tensor:
    """Leaves (N, L) in the order in which a search from the root meets them that visits nearer children first.

    A node's place is its parent's and the leaves of the siblings that are nearer, all nodes of a depth together.
    """
    below = _leaves_below(tree)
    rows = max(1, ELEMENTS_AT_ONCE // tree.num_nodes)
    return torch.cat([_depth_first(part, tree, below) for part in x.split(rows)])


def _depth_first(x: Tensor, tree: PrototypeTree, below: Tensor) -> Tensor:
    place = torch.zeros(len(x), tree.num_nodes, dtype=torch.int64, device=x.device)
    nodes = torch.zeros(1, dtype=torch.int64, device=x.device)
    for _ in range(tree.height):
        children = tree.children[nodes]
        there = children >= 0
        flat = children.clamp(min=0)
        distance = squared_distances(x, tree.prototypes[flat.flatten()]).view(len(x), *flat.shape)
        # as in `PrototypeTree.route`: squares that overflow are nearer than a child that is not there
        distance = torch.where(there, distance.clamp(max=LARGEST), math.inf)
        nearest = distance.argsort(dim=-1, stable=True)
        sizes = torch.where(there, below[flat], 0).expand_as(distance).gather(-1, nearest)
        before = torch.zeros_like(sizes).scatter_(-1, nearest, sizes.cumsum(-1) - sizes)
        before = before + place[:, nodes, None]
        place[:, children[there]] = before[:, there]
        nodes = children[there]
    leaf = (tree.leaf_of_node >= 0).nonzero()[:, 0]
    position = torch.empty(len(x), tree.num_leaves, dtype=torch.int64, device=x.device)
    position[:, tree.leaf_of_node[leaf]] = place[:, leaf]
    return position.argsort(-1)


def _leaves_below(tree: PrototypeTree) -> Tensor:
    """The number of leaves under every node (V,)."""
    count = (tree.leaf_of_node >= 0).long()
    levels = [torch.zeros(1, dtype=torch.int64, device=count.device)]
    while len(levels[-1]):
        children = tree.children[levels[-1]]
        levels.append(children[children >= 0])
    for nodes in reversed(levels[:-1]):
        children = tree.children[nodes]
        count[nodes] += torch.where(children >= 0, count[children.clamp(min=0)], 0).sum(-1)
    return count
