"""What a mixture is: a router, cells, and an expert a leaf.

Main definitions: `Mixture` (the protocol of anybody's mixtures), `is_mixture`, `LatticeMixture` (the abstract class of
those that are built here over a lattice of cells), `NodeTable`, `built_here`.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor, nn

from constructions.functions.box import Box

PROTOCOL = ("route", "expert", "cell_bounds", "num_leaves")


class Mixture(Protocol):
    """Leaves are the integers 0 … num_leaves − 1; experts take the mixture's own inputs."""

    num_leaves: int

    def route(self, x: Tensor) -> Tensor:
        """Leaves (B,), integers, of points (B, n)."""
        ...

    def expert(self, leaf: int) -> nn.Module:
        """The Linear/ReLU/PReLU stack of a leaf."""
        ...

    def cell_bounds(self, leaf: int) -> tuple[Tensor, Tensor]:
        """Lower and upper corner (n,) of a leaf's cell."""
        ...


def is_mixture(model: nn.Module, advice: str = "") -> bool:
    """Whether the model offers the protocol of mixtures; ValueError when it offers a part of it only.

    A part would have to be filled in by a guess: a mixture without cells is not one expert on the whole domain.
    `advice` ends the message.
    """
    missing = missing_of_mixture(model)
    if missing and len(missing) < len(PROTOCOL):
        there = [name for name in PROTOCOL if name not in missing]
        raise ValueError(
            f"`model` must offer all of {', '.join(PROTOCOL)} or none of them: it has {', '.join(there)} and lacks "
            f"{', '.join(missing)}{advice}"
        )
    return not missing


def missing_of_mixture(model: nn.Module) -> list[str]:
    """What `model` lacks of the protocol."""
    return [name for name in PROTOCOL if not hasattr(model, name)]


@dataclass(frozen=True)
class NodeTable:
    """What a mixture interpolates between instead of running the experts of `network`.

    `values` (L, nodes, m) are their values at nodes: of each resolved axis i (the last ones) node j where
    (x − lo_i)·scale_i = j, j = 0 … cells_i, the last axis fastest. `slack` is how far the answers are said to be from
    the network's.
    """

    network: LatticeMixture
    values: Tensor
    lo: tuple[float, ...]
    scale: tuple[float, ...]
    cells: tuple[int, ...]
    slack: float


class LatticeMixture(nn.Module):
    """A mixture over a lattice of `cells`: leaves are multi-indices (E, q), of any number.

    `domain` is a box in R^n, answers are in R^m, `tree` is its pathway tree.
    """

    m: int
    tree: Any
    steep: bool = False
    """Whether the weights of experts are too large for a norm to bound any slope, as those of bit extraction are."""

    @property
    @abstractmethod
    def domain(self) -> Box: ...

    @property
    @abstractmethod
    def cells(self) -> tuple[int, ...]:
        """Cells on each routed axis."""

    @property
    @abstractmethod
    def num_leaves(self) -> int: ...

    @property
    def n(self) -> int:
        return self.domain.n

    @abstractmethod
    def route(self, x: Tensor) -> Tensor:
        """Leaves (B, q), int64, of points (B, n)."""

    @abstractmethod
    def cell_bounds(self, leaf: Any) -> tuple[Tensor, Tensor]:
        """Lower and upper corners (E, n), float64, of the cells of leaves (E, q)."""

    @abstractmethod
    def expert(self, leaf: Any) -> nn.Module:
        """The plain network of one leaf (q,), with its own copy of the weights."""

    def leaf_indices(self, device: torch.device) -> Tensor:
        """All leaves (L, q)."""
        return self.tree.leaf_indices(device)

    def shared_layer(self) -> tuple[Tensor, Tensor, Tensor | None] | None:
        """Weight (K, n), bias (K,) and PReLU slopes of a first layer that all experts share, followed by one output
        layer each (`output_layers`); None for experts of another shape."""
        return None

    def output_layers(self, leaves: Tensor) -> tuple[Tensor, Tensor]:
        """Output weights (E, m, K) and biases (E, m) of leaves (E, q) behind the shared layer, where there is one."""
        raise TypeError(f"{type(self).__name__} has experts without a shared layer")

    def knots(self) -> Tensor | None:
        """Where experts bend along the last axis (K + 1,), if that is the one that they resolve."""
        return None

    def tabulate(self, **options: Any) -> LatticeMixture:
        """The same function from a table of its values, where experts have nodes (`momlp.tabulated`)."""
        raise TypeError(f"`model` must be a MoMLP to be tabulated, got {type(self).__name__}")

    def node_table(self) -> NodeTable | None:
        """The table that forward() interpolates; None for a mixture that runs its experts."""
        return None

    def held_experts(self) -> int | None:
        """Experts whose weights are held as parameters; None when they are made on demand."""
        return None


_BUILT_HERE: set[type] = set()


Kind = TypeVar("Kind", bound=type)


def built_here(kind: Kind) -> Kind:
    """Class decorator: forward() of exactly this class is code of this package, which its own tests hold to account."""
    _BUILT_HERE.add(kind)
    return kind


def is_built_here(model: nn.Module) -> bool:
    """Whether the model's class itself, not a subclass of it, is one of this package."""
    return type(model) in _BUILT_HERE
