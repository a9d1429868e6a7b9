"""The largest of our shattered sets that networks of a given size realise.

Main definitions: `Candidate`, `candidates`, `largest_set`.
Main statements (n inputs, J hidden layers, W units): nW + 1; (⌊W/2⌋ + 1)² for J, n, W ≥ 2; ⌊(W−3)/2⌋²·max_B
B(J−1−2B) and (n−1)·⌊W/2⌋·(J−3) for n ≥ 3, J ≥ 4, W ≥ 8. Up to constants the last two make J·(nW + (J−1)W²).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from constructions.errors import require_int
from constructions.vc_dimension.deep import deep, deep_sizes
from constructions.vc_dimension.one_hidden_layer import one_hidden_layer
from constructions.vc_dimension.shattered_set import ShatteredSet, with_extra_inputs, with_extra_layers
from constructions.vc_dimension.two_hidden_layers import two_hidden_layers
from constructions.vc_dimension.wide import wide


@dataclass(frozen=True)
class Candidate:
    """A family, the number of points it shatters at this size, and how to build it."""

    family: str
    points: int
    build: Callable[[], ShatteredSet]


def candidates(n: int, depth: int, width: int) -> list[Candidate]:
    """Every family that fits n inputs, `depth` hidden layers and `width` units, without building any."""
    require_int("n", n, 1)
    require_int("depth", depth, 1)
    require_int("width", width, 1)
    found = [
        Candidate("one_hidden_layer", n * width + 1, lambda: with_extra_layers(one_hidden_layer(n, width), depth - 1))
    ]
    if min(n, depth, width) >= 2:
        side = width // 2 + 1
        found.append(
            Candidate(
                "two_hidden_layers",
                side * side,
                lambda: with_extra_inputs(with_extra_layers(two_hidden_layers(side), depth - 2), n - 2),
            )
        )
    sizes = deep_sizes(depth, width)
    if n >= 3 and sizes is not None:
        points = sizes["side"] ** 2 * sizes["blocks"] * sizes["bits"]
        found.append(Candidate("deep", points, lambda: with_extra_inputs(deep(**sizes), n - 3)))
        units, bits = width // 2, depth - 3
        found.append(Candidate("wide", (n - 1) * units * bits, lambda: wide(n, units, bits)))
    return found


def largest_set(n: int, depth: int, width: int) -> Candidate:
    """The candidate of most points."""
    return max(candidates(n, depth, width), key=lambda c: c.points)
