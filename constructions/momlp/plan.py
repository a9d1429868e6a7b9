"""What will be built and what it costs, planned from (n, ω, eps, split) in exact arithmetic.

An expert resolves the last k coordinates itself; the router quantises the other q = n − k: axis a is cut into
M_a equal intervals, the cell of a leaf is its box × everything on the resolved axes, and its prototype is the
box centre (see `constructions.pathway_tree.lattice`).

Main definitions: `Plan`, `PencilPlan`, `plan`.
Main statements: a² + b² ≤ ρ(eps_plan)², a the half diagonal of a cell's quantised box and b half a knot interval
(Theorem 1: then the uniform error is at most ω(√(a² + b²)) ≤ eps); M_a = ⌈ℓ_a√q/(2ρ√(1−θ))⌉,
K = ⌈ℓ_n/(2ρ√θ)⌉ for k = 1; M_a = ⌈ℓ_a√n/(2ρ)⌉ for k = 0.
Implementation notes: counts come from `isqrt` of fractions; float ceilings are wrong at many eps = 1/j. The plan
aims at eps_plan = (1 − 2⁻²⁰)·eps, because at sup |f − f̂| = eps no checker with any slack could accept it.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, final

import torch

from constructions.display import Displayed, Facts, number
from constructions.errors import (
    BudgetExceeded,
    require_choice,
    require_instance,
    require_int,
    require_positive,
    shown,
)
from constructions.functions.box import Box
from constructions.functions.lipschitz_function import LipschitzFunction, ModulusPremise
from constructions.functions.modulus import Modulus
from constructions.momlp.experts import FAMILIES
from constructions.pathway_tree.lattice import Lattice, ceil_sqrt
from constructions.pathway_tree.tree import MAX_VALENCY, PathwayTree

PLAN_MARGIN = 1 - Fraction(1, 2**20)
MAX_PLANNED_BITS = 1 << 13  # of the number of leaves, and of the knots of an expert
ACTIVATIONS = ("relu", "prelu")
DTYPES = {torch.float64: 8, torch.float32: 4}
DEFAULT_MAX_BYTES = 2 << 30
MAX_CELLS = 1 << 48


@dataclass(frozen=True, repr=False)
class Plan(Displayed, ABC):
    """What will be built and what it costs, before building. Counts are exact Python integers.

    Abstract: `PencilPlan`, `BitExtractionPlan`.

    Notation: `knots` K, `cells` (M_1 … M_q), `leaves` L, `parameters` P of one expert, `half_diagonal_squared` a²,
    `half_knot_squared` b²; `split` is θ (None when the family does not share ρ² between router and expert).
    """

    n: int
    m: int
    domain: Box
    modulus: Modulus
    expert: str
    activation: str
    valency: int
    eps: float
    eps_plan: Fraction
    split: Fraction | None
    cells: tuple[int, ...]
    knots: int
    dtype: torch.dtype = torch.float64

    @property
    def lattice(self) -> Lattice:
        """The cells of the router and the knots of the experts."""
        return Lattice(self.domain, self.cells, self.knots)

    @property
    def tree(self) -> PathwayTree:
        """The router over the cells."""
        return PathwayTree(self.cells, valency=self.valency)

    @property
    def leaves(self) -> int:
        """How many experts there are."""
        return math.prod(self.cells)

    @property
    def half_diagonal_squared(self) -> Fraction:
        """The square of a cell's half diagonal over the routed axes, exactly."""
        sides = self.domain.sides
        return sum(((sides[a] / (2 * m)) ** 2 for a, m in enumerate(self.cells)), Fraction(0))

    def _facts(self) -> Facts:
        title = f"{self.n} inputs, {self.m} outputs, ω(t) = {self.modulus} on {self.domain}, {self.expert} experts"
        return title, [(name, number(value)) for name, value in self.quantities()]

    def quantities(self) -> list[tuple[str, object]]:
        """(name, value) of everything that was decided and everything it costs, as `momlp plan` prints them."""
        return [
            ("eps", self.eps),
            ("eps planned for", float(self.eps_plan)),
            ("bound of the theorem", self.error_bound),
            ("split θ", "-" if self.split is None else self.split),
            ("knots K", self.knots),
            *self._design(),
            ("cells M", " × ".join(map(str, self.cells)) or "no router"),
            ("experts L", self.leaves),
            ("parameters of an expert P", self.parameters),
            ("loaded in a forward pass F", self.forward_pass_parameters),
            ("total parameters L·P", self.total_parameters),
            ("stored parameters", self.stored_parameters),
            ("stored bytes", self.stored_bytes),
            ("tree height", self.tree.height),
        ]

    def _design(self) -> list[tuple[str, object]]:
        """What only one kind of expert has."""
        return []

    # --- what depends on the kind of expert ---

    @property
    @abstractmethod
    def columns(self) -> int:
        """Numbers that an expert has of its own for each output, besides its offset."""

    @property
    @abstractmethod
    def parameters(self) -> int:
        """P: parameters of one expert, as `expert(leaf)` has them."""

    @property
    @abstractmethod
    def stored_parameters(self) -> int:
        """Parameters of the bank: what all experts share is there once."""

    @property
    @abstractmethod
    def has_shared_layer(self) -> bool:
        """Whether the model has `hidden_weight` and `hidden_bias`, the first layer of all experts."""

    @property
    @abstractmethod
    def half_knot_squared(self) -> Fraction:
        """b², half a knot interval squared; ValueError for experts without knots."""

    @property
    @abstractmethod
    def error_bound(self) -> float:
        """The theorem's bound for this plan, rounded up."""

    @property
    @abstractmethod
    def nodes(self) -> int:
        """Points at which f is asked for one expert."""

    @property
    @abstractmethod
    def checked_boxes(self) -> int:
        """Boxes a cell in which a declared modulus is tried out."""

    def evaluations(self, f: LipschitzFunction) -> int:
        """Points at which building all experts asks `f`: their nodes, and where its modulus is declared the pairs in
        every cell that could refute it. A black box that remembers is called for no more than these."""
        require_instance("f", f, LipschitzFunction)
        pairs = self.checked_boxes * (2 * self.n + 4 * self.m) if f.premise is ModulusPremise.DECLARED else 0
        return self.leaves * (self.nodes + pairs)

    @classmethod
    def from_spec(cls, spec: dict[str, Any]) -> Plan:
        """Inverse of `to_spec`: a `PencilPlan`; `BitExtractionPlan.from_spec` reads its own."""
        return PencilPlan.from_spec(spec)

    @property
    def total_parameters(self) -> int:
        """Parameters of all experts together, each counted in full."""
        return self.leaves * self.parameters

    @property
    def forward_pass_parameters(self) -> int:
        """F: child prototypes on the worst path (n numbers each) plus one expert."""
        return self.n * self.tree.max_path_children() + self.parameters

    @property
    def stored_bytes(self) -> int:
        """Bytes of the stored parameters in the dtype of the plan."""
        return self.stored_parameters * DTYPES[self.dtype]

    def require_resolvable(self, max_bytes: int) -> None:
        """Limits that laziness cannot lift: cells that float64 cannot tell apart (ValueError), a single expert over
        the budget (BudgetExceeded)."""
        if max(self.cells, default=1) > MAX_CELLS:
            raise ValueError(
                f"`eps` = {self.eps:g} asks for {shown(max(self.cells))} cells on an axis, float64 resolves {MAX_CELLS}"
            )
        size = self.parameters * DTYPES[self.dtype]
        if size > max_bytes:
            raise BudgetExceeded(
                f"one expert of {shown(self.parameters)} parameters takes {shown(size)} bytes, more than "
                f"`max_bytes` = {max_bytes}: use a larger eps or a smaller split"
            )

    def to_spec(self) -> dict[str, Any]:
        """JSON-ready description from which `from_spec` rebuilds the plan."""
        return {
            "n": self.n,
            "m": self.m,
            "domain": [list(self.domain.lo), list(self.domain.hi)],
            "modulus": self.modulus.to_spec(),
            "expert": self.expert,
            "activation": self.activation,
            "valency": self.valency,
            "eps": self.eps,
            "eps_plan": str(self.eps_plan),
            "split": None if self.split is None else str(self.split),
            "cells": list(self.cells),
            "knots": self.knots,
            "dtype": str(self.dtype).removeprefix("torch."),
        }


@final
@dataclass(frozen=True, repr=False)
class PencilPlan(Plan):
    """A `Plan` whose experts are pencils, or constants (`knots` = 0)."""

    @property
    def half_knot_squared(self) -> Fraction:
        return (self.domain.sides[-1] / (2 * self.knots)) ** 2 if self.knots else Fraction(0)

    @property
    def has_shared_layer(self) -> bool:
        return True

    @property
    def columns(self) -> int:
        return self.knots

    @property
    def parameters(self) -> int:
        return FAMILIES[self.expert].parameters(self.n, self.m, self.knots, self.activation)

    @property
    def stored_parameters(self) -> int:
        family = FAMILIES[self.expert]
        shared = family.shared_parameters(self.n, self.knots, self.activation)
        return shared + self.leaves * (self.parameters - shared)

    @property
    def nodes(self) -> int:
        return max(self.knots, 0) + 1

    @property
    def checked_boxes(self) -> int:
        return 1

    @property
    def error_bound(self) -> float:
        """ω(√(a² + b²)), rounded up: Theorem 1's bound for this plan."""
        return self.modulus.upper(self.half_diagonal_squared + self.half_knot_squared)

    @classmethod
    def from_spec(cls, spec: dict[str, Any]) -> PencilPlan:
        """Inverse of `to_spec`."""
        return cls(
            n=int(spec["n"]),
            m=int(spec["m"]),
            domain=Box(tuple(map(float, spec["domain"][0])), tuple(map(float, spec["domain"][1]))),
            modulus=Modulus.from_spec(spec["modulus"]),
            expert=require_choice("expert", spec["expert"], tuple(FAMILIES)),
            activation=require_choice("activation", spec["activation"], ACTIVATIONS),
            valency=require_int("valency", spec["valency"], 2, MAX_VALENCY),
            eps=float(spec["eps"]),
            eps_plan=Fraction(spec["eps_plan"]),
            split=None if spec["split"] is None else Fraction(spec["split"]),
            cells=tuple(require_int("cells", c, 1) for c in spec["cells"]),
            knots=require_int("knots", spec["knots"], 0),
            dtype=next(d for d in DTYPES if str(d) == f"torch.{spec['dtype']}"),
        )


def plan(
    f: LipschitzFunction,
    eps: float | Fraction,
    *,
    expert: str = "pencil",
    split: float | Fraction | None = None,
    valency: int = 2,
    activation: str = "relu",
    dtype: torch.dtype = torch.float64,
) -> PencilPlan:
    """The partition and its cost for sup |f − f̂| ≤ eps (in the units of f), without building anything.

    `split` is θ ∈ (0, 1), the share of ρ² given to the knots (default 1/n; n = 1 has no router and θ = 1).
    Raises ValueError naming the argument. Source: arXiv:2402.03460, abstract; construction of this project.
    """
    if not isinstance(f, LipschitzFunction):
        raise TypeError(f"`f` must be a LipschitzFunction, got {type(f).__name__}")
    require_eps(eps)
    require_choice("expert", expert, tuple(FAMILIES))
    require_choice("activation", activation, ACTIVATIONS)
    require_int("valency", valency, 2, MAX_VALENCY)
    require_dtype(dtype)
    resolved = FAMILIES[expert].RESOLVED
    theta = _split(split, f.n, resolved)
    eps_plan = PLAN_MARGIN * Fraction(eps)
    radius_squared = f.modulus.radius_squared(eps_plan)
    cells, knots = _counts(f.domain, resolved, theta, radius_squared)
    require_planned(eps, cells, knots)
    return PencilPlan(
        n=f.n,
        m=f.m,
        domain=f.domain,
        modulus=f.modulus,
        expert=expert,
        activation=activation,
        valency=valency,
        eps=float(eps),
        eps_plan=eps_plan,
        split=theta,
        cells=cells,
        knots=knots,
        dtype=dtype,
    )


def require_eps(eps: Any) -> None:
    """ValueError unless `eps` is a positive number that a float can hold; also below: it is printed as one."""
    if not float(require_positive("eps", eps)) > 0:
        raise ValueError(f"`eps` must be a positive finite number that float64 can hold, got {shown(eps)}")


def require_dtype(dtype: Any) -> None:
    """ValueError unless `dtype` is one that models have."""
    if not (isinstance(dtype, torch.dtype) and dtype in DTYPES):
        raise ValueError(f"`dtype` must be torch.float64 or torch.float32, got {shown(dtype)}")


def require_planned(eps: float | Fraction, cells: tuple[int, ...], knots: int) -> None:
    """ValueError for plans whose counts have thousands of digits: nothing could be done with them but to wait."""
    bits = max(sum(m.bit_length() for m in cells), knots.bit_length())
    if bits > MAX_PLANNED_BITS:
        raise ValueError(
            f"`eps` = {float(eps):.3g} on {len(cells)} quantised axes asks for about 2^{bits} cells, plans are limited "
            f"to 2^{MAX_PLANNED_BITS}: use a larger eps or fewer inputs"
        )


def _split(split: float | Fraction | None, n: int, resolved: int) -> Fraction | None:
    if resolved == 0:
        if split is not None:
            raise ValueError(f"`split` must be None for experts that resolve no axis, got {shown(split)}")
        return None
    if n == resolved:
        if split is not None and (isinstance(split, bool) or require_positive("split", split) != 1):
            raise ValueError(f"`split` must be None for n = {n}: there is no router, got {shown(split)}")
        return Fraction(1)
    theta = Fraction(1, n) if split is None else Fraction(require_positive("split", split))
    if not 0 < theta < 1:
        raise ValueError(f"`split` must lie strictly between 0 and 1, got {shown(split)}")
    return theta


def _counts(
    domain: Box, resolved: int, theta: Fraction | None, radius_squared: Fraction | None
) -> tuple[tuple[int, ...], int]:
    """(M_1 … M_q) and K, the smallest with a² + b² ≤ ρ² under the split."""
    q = domain.n - resolved
    if radius_squared is None:
        return (1,) * q, resolved
    router = radius_squared if theta is None else (1 - theta) * radius_squared
    cells = tuple(ceil_sqrt(side**2 * q / (4 * router)) for side in domain.sides[:q]) if q else ()
    knots = ceil_sqrt(domain.sides[-1] ** 2 / (4 * theta * radius_squared)) if theta else 0
    return cells, knots
