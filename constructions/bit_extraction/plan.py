"""The plan of a mixture of bit-extraction experts: how eps is shared, how fine the grid is, what it costs.

The router quantises the first q = n − k axes into cells of half diagonal a; an expert resolves the last k axes on K
cells each, h the longest of its sides over K. The error is at most ω(a) + C_k·λ·h (Theorem 2: C_1 = 1, C_k = 1 +
√k/2), or for a general modulus ω(a) + ω(h) + ω(h√k/2), with 2ω(h) for k = 1. `split` is the share of eps that the
experts get (default k/n).

With `resolved_cells` = c > 1 the router also cuts each resolved axis into c cells, each with a grid of its own: h is
the longest side over c·K, the same h takes a K that is c times smaller, and there are c^k times as many experts.

Main definitions: `BitExtractionPlan`, `plan_bit_extraction`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, final

import torch

from constructions.bit_extraction import counts
from constructions.bit_extraction.choice import MAX_WORDS, choose
from constructions.bit_extraction.design import LOOKUPS, STEP_MARGIN, Design, error_constant, word_cap
from constructions.errors import require_choice, require_instance, require_int, require_positive, shown
from constructions.functions.box import Box
from constructions.functions.lipschitz_function import LipschitzFunction
from constructions.functions.modulus import Modulus
from constructions.momlp.plan import PLAN_MARGIN, Plan, require_eps, require_planned
from constructions.pathway_tree.lattice import Lattice, ceil_sqrt
from constructions.pathway_tree.tree import MAX_VALENCY

MAX_CELLS = 1 << 40
CHECKED_SHARES = (0.25, 0.5, 0.75)
"""Where on the resolved axes a declared modulus is tried out."""


@final
@dataclass(frozen=True, repr=False)
class BitExtractionPlan(Plan):
    """A `Plan` whose experts are bit-extraction networks of one `design`; `step` is q, `knots` is K.

    `cells` are those of the n − k routed axes, then, where the router cuts the resolved axes too, theirs, all equal.
    """

    design: Design | None = None
    step: float = 0.0

    def _design(self) -> list[tuple[str, object]]:
        d = self.network
        shape = f"J = {d.J}, m = {d.m}, header {d.header}, {d.lookup} look-up"
        resolved = [("axes resolved k", d.k), ("cells of a resolved axis", self.resolved_cells)]
        return [*resolved, ("design", shape), ("bits of a word", d.word_bits), ("step q", self.step)]

    @property
    def network(self) -> Design:
        """The design."""
        assert self.design is not None
        return self.design

    @property
    def resolved(self) -> int:
        """k."""
        return self.network.k

    @property
    def has_shared_layer(self) -> bool:
        return False

    @property
    def columns(self) -> int:
        """The words, and where the resolved axes are cut the place of the expert's grid on each."""
        return self.network.table_size + (self.resolved if self.resolved_cells > 1 else 0)

    @property
    def resolved_cells(self) -> int:
        """c, the cells of each resolved axis; 1 where every expert resolves it whole."""
        return self.cells[-1] if len(self.cells) == self.n else 1

    @property
    def resolved_sides(self) -> tuple[Fraction, ...]:
        """Sides of what an expert resolves."""
        return tuple(self.domain.sides[a] / self.resolved_cells for a in self.axes)

    @property
    def lattice(self) -> Lattice:
        """The lattice of leaves and, where no resolved axis is cut, of the common grid."""
        # on an axis that is cut, the grid belongs to the cell: there is no common one
        return super().lattice if self.resolved_cells == 1 else Lattice(self.domain, self.cells, 0)

    @property
    def half_diagonal_squared(self) -> Fraction:
        """a², of the routed axes alone."""
        q = self.n - self.resolved
        pairs = zip(self.domain.sides[:q], self.cells[:q], strict=True)
        return sum(((side / (2 * m)) ** 2 for side, m in pairs), Fraction(0))

    @property
    def axes(self) -> tuple[int, ...]:
        """The resolved axes: the last k."""
        return tuple(range(self.n - self.resolved, self.n))

    @property
    def parameters(self) -> int:
        """P of one expert; m outputs are m networks side by side in dense layers."""
        return counts.parameters(self.network, self.n, outputs=self.m)

    @property
    def stored_parameters(self) -> int:
        """One set of layers for all experts, and for each expert and output its table and offset."""
        return counts.parameters(self.network, self.n) + self.leaves * self.m * (self.columns + 1)

    @property
    def nodes(self) -> int:
        return (self.network.cells + 1) ** self.resolved

    @property
    def checked_boxes(self) -> int:
        return len(CHECKED_SHARES)

    @property
    def half_knot_squared(self) -> Fraction:
        raise ValueError("bit-extraction experts have no knots: see `error_bound`")

    @property
    def error_bound(self) -> float:
        """ω(a) plus the network's guarantee, rounded up."""
        network = _guarantee(self.modulus, self.resolved)(max(self.resolved_sides) / self.network.cells)
        return math.nextafter(self.modulus.upper(self.half_diagonal_squared) + float(network), math.inf)

    def to_spec(self) -> dict[str, Any]:
        d = self.network
        design = {"k": d.k, "J": d.J, "m": d.m, "header": d.header, "words": d.words, "lookup": d.lookup}
        return {**super().to_spec(), "design": design, "step": self.step}

    @classmethod
    def from_spec(cls, spec: dict[str, Any]) -> BitExtractionPlan:
        if spec["expert"] != "bit_extraction" or spec["activation"] != "relu" or spec["dtype"] != "float64":
            raise ValueError(f"not a plan of bit-extraction experts: {spec['expert']!r}")
        found = cls(
            n=int(spec["n"]),
            m=int(spec["m"]),
            domain=Box(tuple(map(float, spec["domain"][0])), tuple(map(float, spec["domain"][1]))),
            modulus=Modulus.from_spec(spec["modulus"]),
            expert="bit_extraction",
            activation="relu",
            valency=require_int("valency", spec["valency"], 2, MAX_VALENCY),
            eps=float(spec["eps"]),
            eps_plan=Fraction(spec["eps_plan"]),
            split=Fraction(spec["split"]),
            cells=tuple(require_int("cells", c, 1) for c in spec["cells"]),
            knots=require_int("knots", spec["knots"], 1),
            dtype=torch.float64,
            design=Design(**spec["design"]),
            step=float(spec["step"]),
        )
        found._require_consistent()
        return found

    def _require_consistent(self) -> None:
        """The design is one that this plan can have, and one that is built in a time."""
        d = self.network
        require_int("design.k", d.k, 1, self.n)
        cut = self.cells[self.n - d.k :]
        if len(self.cells) != self.n - d.k and (len(self.cells) != self.n or min(cut) < 2 or min(cut) != max(cut)):
            raise ValueError(
                f"`cells` must have {self.n - d.k} entries, one a routed axis, or {self.n} with the last {d.k} equal "
                f"and at least 2, got {shown(self.cells)}"
            )
        if d.cells != self.knots:
            raise ValueError(f"`knots` must be the design's {shown(d.cells)} cells, got {shown(self.knots)}")
        require_int("knots", self.knots, 1, MAX_CELLS // self.resolved_cells)
        require_int("design.words", d.words, 1, MAX_WORDS)
        require_int("bits of a word", d.word_bits, 1, word_cap(d.lookup))


def _guarantee(modulus: Modulus, k: int) -> Callable[[Fraction], Fraction]:
    """h ↦ the network's error bound: C_k·λ·h plus the margin of the step, or its form for a general modulus."""
    if modulus.kind == "lipschitz":
        slope = Fraction(modulus.lam)
        return lambda h: slope * h * (error_constant(k) + STEP_MARGIN)

    def general(h: Fraction) -> Fraction:
        step = Fraction(modulus.upper(h * h))
        rest = step if k == 1 else Fraction(modulus.upper(h * h * k / 4))
        return step * (1 + STEP_MARGIN) + rest

    return general


def plan_bit_extraction(
    f: LipschitzFunction,
    eps: float | Fraction,
    *,
    resolved: int = 1,
    lookup: str = "deep",
    split: float | Fraction | None = None,
    valency: int = 2,
    cells: int | None = None,
    max_experts: int | None = None,
) -> BitExtractionPlan:
    """The cheapest design with words that float64 decodes exactly, without building anything.

    `resolved` = n with one cell is a single MLP without a router. `cells` cuts each resolved axis (default 1);
    `max_experts` chooses it: the least for which an expert is as small as within that many experts it can be. Raises
    ValueError naming the argument.
    """
    require_instance("f", f, LipschitzFunction)
    require_eps(eps)
    require_choice("lookup", lookup, LOOKUPS)
    require_int("valency", valency, 2, MAX_VALENCY)
    k = require_int("resolved", resolved, 1, f.n)
    share = _share(split, f.n, k)
    eps_plan = PLAN_MARGIN * Fraction(eps)
    if f.modulus.radius_squared(eps_plan) is None:
        raise ValueError("`f` has the modulus 0: it is constant, use expert='constant'")
    routed = _routed_cells(f, f.n - k, (1 - share) * eps_plan)
    require_planned(eps, routed, 1)
    guarantee, side, lipschitz = _guarantee(f.modulus, k), max(f.domain.sides[f.n - k :]), f.modulus.kind == "lipschitz"

    def design_of(cut: int) -> Design:
        least = _least_cells(guarantee, side / cut, share * eps_plan)
        return choose(k, least, lookup=lookup, cap=word_cap(lookup), lipschitz=lipschitz)

    cut = 1 if cells is None else require_int("cells", cells, 1, MAX_CELLS)
    if max_experts is not None:
        if cells is not None:
            raise ValueError(
                f"`max_experts` chooses `cells`, give one of them, got {shown(max_experts)}, {shown(cells)}"
            )
        most = _most_cells(max_experts, routed, k)
        cut = _cheapest(design_of, min(most, _least_cells(guarantee, side, share * eps_plan)))
    design = design_of(cut)
    if cut > 1 and cut * design.cells > MAX_CELLS:
        raise ValueError(f"`cells` = {cut} of {design.cells} grid cells each are more than {MAX_CELLS} on an axis")
    h = side / cut / design.cells
    exact = Fraction(f.modulus.lam) * h if lipschitz else Fraction(f.modulus.upper(h * h))
    return BitExtractionPlan(
        n=f.n,
        m=f.m,
        domain=f.domain,
        modulus=f.modulus,
        expert="bit_extraction",
        activation="relu",
        valency=valency,
        eps=float(eps),
        eps_plan=eps_plan,
        split=share,
        cells=routed + ((cut,) * k if cut > 1 else ()),
        knots=design.cells,
        design=design,
        step=float(exact * (1 + STEP_MARGIN)),
    )


def _routed_cells(f: LipschitzFunction, q: int, allowed: Fraction) -> tuple[int, ...]:
    """Cells of the first q axes whose half diagonal a has ω(a) ≤ `allowed`."""
    radius_squared = f.modulus.radius_squared(allowed) if q else None
    sides = f.domain.sides[:q]
    return tuple(1 if radius_squared is None else ceil_sqrt(side**2 * q / (4 * radius_squared)) for side in sides)


def _most_cells(max_experts: int, routed: tuple[int, ...], k: int) -> int:
    """The largest c with c^k·∏ routed ≤ max_experts."""
    require_int("max_experts", max_experts, 1)
    if max_experts < math.prod(routed):
        raise ValueError(
            f"`max_experts` must be at least {shown(math.prod(routed))}, the cells of the routed axes, "
            f"got {shown(max_experts)}"
        )
    room = max_experts // math.prod(routed)
    low, high = 1, 1 << (room.bit_length() // k + 1)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if middle**k <= room else (low, middle)
    return low


def _cheapest(design_of: Callable[[int], Design], most: int) -> int:
    """The least c ≤ `most` whose expert (of one output) is as small as that of `most`; more cells never cost more."""

    def cost(cut: int) -> int:
        design = design_of(cut)
        return counts.parameters(design, design.k)

    low, high, least = 0, most, cost(most)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if cost(middle) <= least else (middle, high)
    return high


def _share(split: float | Fraction | None, n: int, k: int) -> Fraction:
    if n == k:
        if split is not None and (isinstance(split, bool) or require_positive("split", split) != 1):
            raise ValueError(f"`split` must be None for resolved = n = {n}: there is no router, got {shown(split)}")
        return Fraction(1)
    share = Fraction(k, n) if split is None else Fraction(require_positive("split", split))
    if not 0 < share < 1:
        raise ValueError(f"`split` must lie strictly between 0 and 1, got {shown(split)}")
    return share


def _least_cells(guarantee: Callable[[Fraction], Fraction], side: Fraction, allowed: Fraction) -> int:
    """The least K with guarantee(side/K) ≤ allowed; the guarantee grows with h."""
    high = 1
    while guarantee(side / high) > allowed:
        high *= 2
        if high > MAX_CELLS:
            raise ValueError(f"`eps` asks for more than {MAX_CELLS} cells on an axis")
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if guarantee(side / middle) <= allowed else (middle, high)
    return high
