"""How training deals points out to experts, in one frozen value.

Main definition: `Routing`.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from torch import Tensor

from constructions.errors import require_choice, require_instance, require_int
from constructions.pathway_tree.prototype_tree import MAX_VALENCY, PrototypeTree
from constructions.pathway_tree.tree import NET_METHODS, PathwayTree
from constructions.trained_momlp.groups import assigned
from constructions.trained_momlp.model import ROUTERS


@dataclass(frozen=True)
class Routing:
    """How the router of `train_momlp` is made and which experts a point trains.

    `method` chooses the prototypes ("kmeans" or "farthest_point") and `valency` the children of a node
    (`PathwayTree.from_points`); `router` follows them down the "tree" or compares all of them ("flat"). Each point
    trains the expert it is routed to and, with `overlap` k, the k − 1 next nearest (all of them, where there are no
    more than k). ValueError or TypeError naming the field.
    """

    method: str = "kmeans"
    valency: int = 2
    router: str = "tree"
    overlap: int = 1

    def __post_init__(self):
        require_choice("method", self.method, NET_METHODS)
        require_int("valency", self.valency, 2, MAX_VALENCY)
        require_choice("router", self.router, ROUTERS)
        require_int("overlap", self.overlap, 1)

    def tree(self, points: Tensor, leaves: int, seed: int) -> PrototypeTree:
        """The router over training inputs (N, n)."""
        return PathwayTree.from_points(points, leaves=leaves, valency=self.valency, method=self.method, seed=seed)

    def trained(self, tree: PrototypeTree, points: Tensor) -> tuple[Tensor, Tensor]:
        """Pairs (leaf, row) of the experts that points (N, n) train."""
        return assigned(tree, points, flat=self.router == "flat", overlap=self.overlap)

    def answering(self, tree: PrototypeTree, points: Tensor) -> tuple[Tensor, Tensor]:
        """Pairs (leaf, row) of the expert that answers each of the points (N, n)."""
        return assigned(tree, points, flat=self.router == "flat", overlap=1)


FORMER = {field.name for field in fields(Routing)}


def routing_of(routing: Routing | None, former: Mapping[str, Any]) -> Routing:
    """`routing`, or one of the fields given as arguments of their own, as they were before `Routing`: for one release,
    with a DeprecationWarning. TypeError for other names, ValueError for both."""
    unknown = sorted(former.keys() - FORMER)
    if unknown:
        raise TypeError(f"got an unexpected keyword argument {unknown[0]!r}")
    if not former:
        require_instance("routing", routing, (Routing, type(None)))
        return routing or Routing()
    if routing is not None:
        raise ValueError(f"`{min(former)}` must be a field of `routing` when that is given, got both")
    found = Routing(**former)
    said = ", ".join(f"{name}={value!r}" for name, value in former.items())
    warnings.warn(f"pass routing=Routing({said})", DeprecationWarning, stacklevel=3)
    return found
