"""The box partition planned from (n, ω, eps, split), in exact arithmetic, and its lattice coordinates.

An expert resolves the last k coordinates itself; the router quantises the other q = n − k: axis a is cut into
M_a equal intervals, the cell of a leaf is its box × everything on the resolved axes, and its prototype is the
box centre. Routing happens on z_a = (x_a − lo_a)·(M_a/ℓ_a), where boundaries are integers and prototypes
half-integers: i_a = max(⌈z_a⌉ − 1, 0), ties to the lower cell.

Main definitions: `Plan`, `plan`, `Lattice`.
Main statements: a² + b² ≤ ρ(eps_plan)², a the half diagonal of a cell's quantised box and b half a knot interval
(Theorem 1: then the uniform error is at most ω(√(a² + b²)) ≤ eps); M_a = ⌈ℓ_a√q/(2ρ√(1−θ))⌉,
K = ⌈ℓ_n/(2ρ√θ)⌉ for k = 1; M_a = ⌈ℓ_a√n/(2ρ)⌉ for k = 0.
Implementation notes: counts come from `isqrt` of fractions; float ceilings are wrong at many eps = 1/j. The plan
aims at eps_plan = (1 − 2⁻²⁰)·eps, because at sup |f − f̂| = eps no checker with any slack could accept it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import torch
from torch import Tensor

from constructions.domain import Box
from constructions.errors import (
    BudgetExceeded,
    require_choice,
    require_device,
    require_instance,
    require_int,
    require_points,
    require_positive,
    require_tensor,
    shown,
)
from constructions.experts import FAMILIES
from constructions.modulus import Modulus
from constructions.pathway_tree import MAX_VALENCY, PathwayTree, require_cells
from constructions.targets import LipschitzFunction

PLAN_MARGIN = 1 - Fraction(1, 2**20)
MAX_KNOTS = 1 << 32
MAX_PLANNED_BITS = 1 << 13  # of the number of leaves, and of the knots of an expert
ACTIVATIONS = ("relu", "prelu")
DTYPES = {torch.float64: 8, torch.float32: 4}
DEFAULT_MAX_BYTES = 2 << 30
MAX_CELLS = 1 << 48


def ceil_sqrt(value: Fraction) -> int:
    """The smallest integer K ≥ 1 with K² ≥ value."""
    if not isinstance(value, (int, Fraction)) or isinstance(value, bool):
        raise TypeError(f"`value` must be a Fraction, got {shown(value)}")
    return max(1, math.isqrt(math.ceil(value) - 1) + 1) if value > 0 else 1


@dataclass(frozen=True)
class Lattice:
    """q = len(cells) quantised axes (the first q of the domain) and, if knots > 0, a knot grid on the next."""

    domain: Box
    cells: tuple[int, ...]
    knots: int

    def __post_init__(self) -> None:
        require_instance("domain", self.domain, Box)
        object.__setattr__(self, "cells", require_cells(self.cells))
        require_int("knots", self.knots, 0)
        if self.q + (self.knots > 0) > self.domain.n:
            raise ValueError(
                f"`cells` and `knots` must fit the domain's {self.domain.n} axes, got {self.q} axes of cells"
                f"{' and one of knots' if self.knots else ''}"
            )

    @property
    def q(self) -> int:
        return len(self.cells)

    def coordinates(self, x: Tensor) -> Tensor:
        """Lattice coordinates z (B, q), float64, of points x (B, n)."""
        require_tensor("x", x, f"(B, {self.domain.n})")
        if x.ndim != 2 or x.shape[1] < self.q:
            raise ValueError(f"`x` must have shape (B, {self.domain.n}), got {tuple(x.shape)}")
        lo, scale, _ = self._rows(x.device)
        return (x[:, : self.q].double() - lo) * scale

    def index(self, z: Tensor) -> Tensor:
        """Leaf multi-indices (B, q), int64, by the index rule max(⌈z⌉ − 1, 0)."""
        self._require_rows("z", z)
        last = torch.tensor([m - 1 for m in self.cells], dtype=torch.int64, device=z.device)
        return torch.minimum((z.ceil() - 1).clamp(min=0).to(torch.int64), last)

    def centres(self, index: Tensor) -> Tensor:
        """Prototypes (B, q), float64, of leaf indices (B, q)."""
        self._require_rows("index", index)
        lo, _, width = self._rows(index.device)
        return lo + (index.double() + 0.5) * width

    def faces(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """Lower and upper ends (B, q), float64, of the boxes of leaf indices (B, q)."""
        self._require_rows("index", index)
        lo, _, width = self._rows(index.device)
        high = torch.tensor(self.domain.hi[: self.q], dtype=torch.float64, device=index.device)
        upper = lo + (index.double() + 1) * width
        last = torch.tensor(self.cells, dtype=torch.int64, device=index.device) - 1
        return lo + index.double() * width, torch.where(index == last, high, upper)

    def knot_positions(self, device: torch.device | str | None = None) -> Tensor:
        """The K + 1 nodes t_j of the resolved axis, float64; both ends of the domain included."""
        if not 1 <= self.knots <= MAX_KNOTS:
            raise ValueError(f"`knots` must be between 1 and {MAX_KNOTS} to be listed, got {shown(self.knots)}")
        device = require_device("device", device)
        lo, hi = self.domain.lo[self.q], self.domain.hi[self.q]
        steps = torch.arange(self.knots + 1, dtype=torch.float64, device=device)
        t = lo + steps * (float(self.domain.sides[self.q]) / self.knots)
        t[-1] = hi
        return t

    def offset_from_nodes(self, x: Tensor) -> Tensor:
        """x minus the nearest node (c, t_j), axis by axis (B, n); exactly 0 at the float64 nodes."""
        require_points("x", x, self.domain.n)
        centre = self.centres(self.index(self.coordinates(x)))
        offsets = [x[:, : self.q].double() - centre]
        if self.knots:
            t = self.knot_positions(x.device)
            resolved = x[:, self.q].double()
            right = torch.searchsorted(t, resolved.contiguous()).clamp(1, self.knots)
            gap = torch.minimum((resolved - t[right - 1]).abs(), (t[right] - resolved).abs())
            offsets.append(gap[:, None])
        return torch.cat(offsets, dim=-1).to(x.dtype)

    def _require_rows(self, name: str, rows: Tensor) -> None:
        require_tensor(name, rows, f"(B, {self.q})")
        if rows.ndim != 2 or rows.shape[1] != self.q:
            raise ValueError(f"`{name}` must have shape (B, {self.q}), got {tuple(rows.shape)}")

    def _rows(self, device: torch.device | str | None) -> tuple[Tensor, Tensor, Tensor]:
        """(lo, M/ℓ, ℓ/M) as float64 (q,) tensors, each entry rounded once from its exact value."""
        sides = self.domain.sides[: self.q]
        scale = [float(m / s) for m, s in zip(self.cells, sides, strict=True)]
        width = [float(s / m) for m, s in zip(self.cells, sides, strict=True)]
        rows = torch.tensor([self.domain.lo[: self.q], scale, width], dtype=torch.float64, device=device)
        return rows[0], rows[1], rows[2]


@dataclass(frozen=True)
class Plan:
    """What will be built and what it costs, before building. Counts are exact Python integers.

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
        return Lattice(self.domain, self.cells, self.knots)

    @property
    def tree(self) -> PathwayTree:
        return PathwayTree(self.cells, valency=self.valency)

    @property
    def leaves(self) -> int:
        return math.prod(self.cells)

    @property
    def half_diagonal_squared(self) -> Fraction:
        sides = self.domain.sides
        return sum(((sides[a] / (2 * m)) ** 2 for a, m in enumerate(self.cells)), Fraction(0))

    @property
    def half_knot_squared(self) -> Fraction:
        return (self.domain.sides[-1] / (2 * self.knots)) ** 2 if self.knots else Fraction(0)

    @property
    def columns(self) -> int:
        """Numbers that an expert has of its own for each output, besides its offset."""
        return self.knots

    @property
    def parameters(self) -> int:
        """P: parameters of one expert, as `expert(leaf)` has them."""
        return FAMILIES[self.expert].parameters(self.n, self.m, self.knots, self.activation)

    @property
    def total_parameters(self) -> int:
        return self.leaves * self.parameters

    @property
    def stored_parameters(self) -> int:
        """Parameters of the bank: the first layer is shared by all experts."""
        family = FAMILIES[self.expert]
        shared = family.shared_parameters(self.n, self.knots, self.activation)
        return shared + self.leaves * (self.parameters - shared)

    @property
    def forward_pass_parameters(self) -> int:
        """F: child prototypes on the worst path (n numbers each) plus one expert."""
        return self.n * self.tree.max_path_children() + self.parameters

    @property
    def stored_bytes(self) -> int:
        return self.stored_parameters * DTYPES[self.dtype]

    @property
    def error_bound(self) -> float:
        """ω(√(a² + b²)), rounded up: Theorem 1's bound for this plan."""
        return self.modulus.upper(self.half_diagonal_squared + self.half_knot_squared)

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

    @classmethod
    def from_spec(cls, spec: dict[str, Any]) -> Plan:
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
) -> Plan:
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
    return Plan(
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
