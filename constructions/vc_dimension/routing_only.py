"""Routing alone shatters: L nearest-prototype cells with constant answers ±1.

Flat, (L − 1)n + 1 points: the clusters and the apex c of `one_hidden_layer` with L − 1 units. Prototype 0 is c,
with the label of c; prototype k is the reflection of c in {f_{k,s} = 0}, v_k = c − 2f(c)∇f/|∇f|², with the other
label, where s_i = +1 iff point i of cluster k has the other label. Since |x−c|² − |x−v_k|² = −4f(c)f(x)/|∇f|² and
f(c) < 0, v_k is nearer than c exactly where f_{k,s}(x) > 0.
Pairs, (L/2)(n + 1) points, flat or down a binary tree (L = 2^h): pair p is the simplex {0, e_1 … e_n} + 4p·e_1 with
prototypes 0 and 1_D/|D| (−e_1 if D is empty), D the corners whose label differs from that of 0. Inner nodes carry the
middles of their blocks.
n = 1: one prototype at each of L points.

Prototypes are rounded to multiples of 2^−p; p is chosen so that the rounding turns no comparison.

Main definitions: `routing_only`, `routing_pairs`, `ShatteredRouting`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from constructions.errors import require_bool, require_int, shown
from constructions.vc_dimension.nearest_prototype import NearestPrototype
from constructions.vc_dimension.one_hidden_layer import one_hidden_layer
from constructions.vc_dimension.shattered_set import require_affordable, require_labeling

SPACING = 4  # of pairs; with 2 the prototype −e_1 of a pair would lie on the corner e_1 of the pair before it


@dataclass(frozen=True)
class ShatteredRouting:
    """`points` (k, n), int64; `routers` maps labels (B, k) to the levels (B, nodes, children, n) of B trees and their
    answers (B, L), ±1; prototypes are multiples of 2^−`binary_digits`."""

    family: str
    sizes: dict[str, int]
    points: Tensor
    routers: Callable[[Tensor], tuple[list[Tensor], Tensor]]
    binary_digits: int

    @property
    def size(self) -> int:
        """k."""
        return len(self.points)

    def module(self, labels: Tensor) -> NearestPrototype:
        """The router of one labeling (k,)."""
        levels, values = self.routers(require_labeling(labels, self.size)[None])
        return NearestPrototype([level[0] for level in levels], values[0])


def routing_only(n: int, experts: int) -> ShatteredRouting:
    """(experts − 1)·n + 1 points shattered by a flat router with constant answers."""
    require_int("n", n, 1)
    require_int("experts", experts, 1)
    require_affordable("n" if n > experts else "experts", (experts - 1) * n + 1, n)
    sizes = {"n": n, "experts": experts}
    if n == 1 or experts == 1:
        points = torch.zeros(experts, n, dtype=torch.int64)
        points[:, 0] = torch.arange(experts)
        return ShatteredRouting("routing_only", sizes, points, lambda y: _own_prototypes(points, y), 0)
    clusters = one_hidden_layer(n, experts - 1)
    digits = _digits_of_reflections(n, experts - 1)

    def routers(labels: Tensor) -> tuple[list[Tensor], Tensor]:
        weight, bias = clusters.weights(labels)[0]
        apex = clusters.points[0].to(labels.device, torch.float64)
        reflected = _reflections(weight, bias, apex, digits)
        prototypes = torch.cat([apex.expand(len(labels), 1, n), reflected], dim=1)
        first = _answers(labels[:, :1])
        return [prototypes[:, None]], torch.cat([first, (-first).expand(-1, experts - 1)], dim=1)

    return ShatteredRouting("routing_only", sizes, clusters.points, routers, digits)


def routing_pairs(n: int, experts: int, *, tree: bool) -> ShatteredRouting:
    """(experts/2)·(n + 1) points; `experts` is even, and a power of two for the tree."""
    require_int("n", n, 1)
    require_bool("tree", tree)
    if require_int("experts", experts, 2) % 2 or (tree and experts & (experts - 1)):
        raise ValueError(f"`experts` must be {'a power of two' if tree else 'even'}, got {shown(experts)}")
    pairs = experts // 2
    require_affordable("n" if n > experts else "experts", pairs * (n + 1), n)
    points = torch.zeros(pairs, n + 1, n, dtype=torch.int64)
    points[:, 1:] = torch.eye(n, dtype=torch.int64)
    points[:, :, 0] += SPACING * torch.arange(pairs)[:, None]
    digits = math.ceil(math.log2(8 * n**1.5))

    def routers(labels: Tensor) -> tuple[list[Tensor], Tensor]:
        below, answers = _pairs(labels.reshape(-1, n + 1), digits)
        below = below.reshape(len(labels), pairs, 2, n)
        below[..., 0] += SPACING * torch.arange(pairs, device=labels.device)[:, None]
        answers = answers.reshape(len(labels), experts)
        if not tree:
            return [below.reshape(len(labels), 1, experts, n)], answers
        above = [level.to(labels.device).expand(len(labels), -1, -1, -1) for level in _block_middles(n, pairs)]
        return [*above, below], answers

    family = "routing_pairs_tree" if tree else "routing_pairs"
    return ShatteredRouting(family, {"n": n, "experts": experts}, points.reshape(-1, n), routers, digits)


def _answers(labels: Tensor) -> Tensor:
    return torch.where(labels, 1.0, -1.0).double()


def _own_prototypes(points: Tensor, labels: Tensor) -> tuple[list[Tensor], Tensor]:
    own = points.to(labels.device, torch.float64).expand(len(labels), 1, *points.shape)
    return [own], _answers(labels)


def _round(values: Tensor, digits: int) -> Tensor:
    return torch.round(values * 2.0**digits) / 2.0**digits


def _reflections(weight: Tensor, bias: Tensor, apex: Tensor, digits: int) -> Tensor:
    """c − 2f(c)∇f/|∇f|², rounded, of affine forms with integer weight (B, K, n) and bias (B, K)."""
    at_apex = weight @ apex + bias
    shift = 2 * at_apex[..., None] * weight / weight.square().sum(-1, keepdim=True)
    return _round(apex - shift, digits)


def _digits_of_reflections(n: int, clusters: int) -> int:
    """A p whose rounding moves no |x − v_k|² by the least gap 4·|f(c)|/|∇f|² of any labeling; a bit to spare.

    On the gadget 32k² − 8k + 31 ≤ |f_k(c)| ≤ 32k² + 8k + 33 and (16k − 2)² ≤ |∇f_k|² ≤ (16k + 2)² + 64 + 4n.
    """
    k = torch.arange(1, clusters + 1, dtype=torch.float64)
    gap = float((4 * (32 * k**2 - 8 * k + 31) / ((16 * k + 2) ** 2 + 64 + 4 * n)).min())
    reach = 4 * clusters**2 + 6 * clusters + 4 + float((2 * (32 * k**2 + 8 * k + 33) / (16 * k - 2)).max())
    return math.ceil(math.log2(2 * reach * math.sqrt(n) / gap)) + 1


def _pairs(labels: Tensor, digits: int) -> tuple[Tensor, Tensor]:
    """Prototypes (B, 2, n) and answers (B, 2) of single simplices with labels (B, n + 1)."""
    differs = (labels[:, 1:] != labels[:, :1]).double()
    count = differs.sum(1, keepdim=True)
    second = _round(differs / count.clamp(min=1), digits)
    second[:, 0] -= (count == 0).double()[:, 0]
    first = _answers(labels[:, :1])
    return torch.stack([torch.zeros_like(second), second], dim=1), torch.cat([first, -first], dim=1)


def _block_middles(n: int, pairs: int) -> list[Tensor]:
    """Levels (1, nodes, 2, n) above the pairs: the middle of the offsets of each child's pairs."""
    levels = []
    blocks = 2
    while blocks <= pairs:
        held = pairs // blocks
        level = torch.zeros(blocks, n, dtype=torch.float64)
        level[:, 0] = SPACING * (torch.arange(blocks) * held + (held - 1) / 2)
        levels.append(level.reshape(1, blocks // 2, 2, n))
        blocks *= 2
    return levels
