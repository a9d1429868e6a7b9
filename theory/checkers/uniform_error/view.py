"""`MixtureView`: how a checker sees a model — cells and experts, read from the module itself.

Three kinds of model are understood: a `LatticeMixture` of this package; any module that offers all of `route(x)`,
`expert(leaf)`, `cell_bounds(leaf)` and `num_leaves` with integer leaves 0 … num_leaves − 1; and a plain
Linear/ReLU/PReLU stack on the whole domain, which offers none of them.

Main definitions: `view_of`, `MixtureView`, `rounding_units`, `NotFinite`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from constructions.errors import require_int
from constructions.functions.box import Box
from constructions.functions.lipschitz_function import LipschitzFunction
from constructions.mixture import LatticeMixture, Mixture, is_built_here, is_mixture, missing_of_mixture
from theory.checkers.uniform_error.cover import MAX_FOREIGN_LEAVES
from theory.checkers.uniform_error.share import WHOLE, Share
from theory.checkers.uniform_error.stack import FLOATS, UNIT, precision

Boxes = tuple[Tensor, ...]
ROUTER_ROUNDING = 8  # units of roundoff, of a coordinate relative to the domain's side
INTEGERS = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)


class NotFinite(Exception):
    """The model answers NaN or inf: `x` (n,) is where, `y` (m,) what. No |f − f̂| is a number there."""

    def __init__(self, x: list[float], y: list[float], leaf: list[int]):
        super().__init__(f"forward() gives {y} at x = {x} (leaf {leaf})")
        self.x, self.y = x, y


@dataclass(frozen=True)
class MixtureView:
    """`every` (A, q) are the multi-indices that all parts of the search look at together ((A, 1) flat ids for foreign
    models), `leaves` (E, q) those of this part; `total` is how many the model has. `routed` is False where the model is
    taken as one function on the whole domain; `table_slack` is how far forward() may be from the experts besides
    rounding, where it interpolates a table of their values."""

    model: nn.Module
    domain: Box
    m: int
    every: Tensor
    total: int
    share: Share = WHOLE
    routed: bool = True
    table_slack: float = 0.0

    @property
    def leaves(self) -> Tensor:
        return self.share.of_leaves(self.every)

    @property
    def complete(self) -> bool:
        return len(self.every) == self.total

    def own_boxes(self, boxes: Boxes) -> Boxes:
        """The boxes (or seeds) of this part, given those of the leaves of this part."""
        if not self.share.shares_boxes(self.every):
            return boxes
        return tuple(t[self.share.rank :: self.share.world] for t in boxes)

    @property
    def n(self) -> int:
        return self.domain.n

    @property
    def mixture(self) -> Mixture:
        """The model, where it is known to be a mixture."""
        return cast(Mixture, self.model)

    # --- reading single experts ---

    def expert(self, leaf: Tensor) -> nn.Module:
        """The module that answers for one leaf (q,)."""
        if isinstance(self.model, LatticeMixture):
            return self.model.expert(leaf)
        return self.mixture.expert(int(leaf[0])) if self.routed else self.model

    def route(self, x: Tensor) -> Tensor:
        """Leaves (B, q) of points x (B, n) as the model's own router says."""
        if not self.routed:
            return torch.zeros(len(x), 1, dtype=torch.int64, device=x.device)
        leaf = self.mixture.route(x)
        if isinstance(self.model, LatticeMixture):
            limits = self.model.cells
        else:
            limits = (self.total,)
            leaf = leaf[:, None] if isinstance(leaf, Tensor) and leaf.ndim == 1 else leaf
        if not isinstance(leaf, Tensor) or leaf.shape != (len(x), len(limits)) or leaf.dtype not in INTEGERS:
            got = f"{leaf.dtype} {tuple(leaf.shape)}" if isinstance(leaf, Tensor) else type(leaf).__name__
            raise ValueError(f"`model.route` must give integer leaves ({len(x)},) for {len(x)} points, got {got}")
        leaf = leaf.long()
        outside = ((leaf < 0) | (leaf >= torch.tensor(limits, device=leaf.device))).any(-1)
        if bool(outside.any()):
            row = int(outside.int().argmax())
            raise ValueError(
                f"`model.route` must give leaves below {limits}, got {leaf[row].tolist()} at x = {x[row].tolist()}"
            )
        return leaf

    def bounds(self, leaves: Tensor) -> tuple[Tensor, Tensor]:
        """Cells (E, n) of leaves (E, q), as the model states them, float64."""
        if not self.routed:
            lower, upper = (e.expand(len(leaves), -1) for e in self.domain.tensors(leaves.device))
        elif isinstance(self.model, LatticeMixture):
            lower, upper = self.model.cell_bounds(leaves)
        else:
            distinct, place = torch.unique(leaves[:, 0], return_inverse=True)
            pairs = [self._stated_bounds(leaf) for leaf in distinct.tolist()]
            lower, upper = (torch.stack([p[end] for p in pairs]).to(leaves.device)[place] for end in (0, 1))
        return lower.double(), upper.double()

    def _stated_bounds(self, leaf: int) -> tuple[Tensor, Tensor]:
        """Corners (n,) of a foreign leaf's cell, checked."""
        stated = self.mixture.cell_bounds(leaf)
        ends = [_corner(end) for end in stated] if isinstance(stated, (tuple, list)) else []
        fits = len(ends) == 2 and all(end.shape == (self.n,) and end.dtype in FLOATS for end in ends)
        if not fits or not bool((torch.isfinite(ends[0]) & torch.isfinite(ends[1]) & (ends[0] <= ends[1])).all()):
            raise ValueError(
                f"`model.cell_bounds({leaf})` must be two finite corners ({self.n},), lower <= upper, got {stated!r}"
            )
        return ends[0], ends[1]

    def errors(self, f: LipschitzFunction, x: Tensor) -> Tensor:
        """The largest |f − f̂| over outputs (B,) at x (B, n), by the model's own forward pass; `NotFinite` for NaN or
        inf."""
        with torch.no_grad():
            return (f.evaluate(x) - self.forward(x)).abs().amax(-1)

    def forward(self, x: Tensor) -> Tensor:
        """The model's own answers (B, m) in float64; `NotFinite` where they are no numbers."""
        y = self.model(x)
        if not isinstance(y, Tensor) or y.shape != (len(x), self.m) or y.dtype not in FLOATS:
            got = f"{y.dtype} {tuple(y.shape)}" if isinstance(y, Tensor) else type(y).__name__
            raise ValueError(
                f"`model` must map (B, {self.n}) to (B, {self.m}) float64 or float32, got {got} for {len(x)} points"
            )
        finite = torch.isfinite(y).all(-1)
        if not bool(finite.all()):
            row = int((~finite).int().argmax())
            leaf = self.route(x[row : row + 1])[0].tolist()
            raise NotFinite(x[row].tolist(), y[row].tolist(), leaf)
        return y.double()

    def reach(self, leaves: Tensor) -> tuple[Tensor, Tensor]:
        """Cells widened by the router's rounding, inside the domain: every x routed to a leaf lies in its reach.

        Our own routers work in float64 whatever the experts do; others may in the model's coarsest precision.
        """
        lower, upper = self.bounds(leaves)
        lo, hi = self.domain.tensors(lower.device)
        unit = UNIT if is_built_here(self.model) else precision(self.model)[0]
        margin = (hi - lo) * (ROUTER_ROUNDING * unit) + torch.maximum(lo.abs(), hi.abs()) * (2 * unit)
        return torch.maximum(lower - margin, lo), torch.minimum(upper + margin, hi)

    @property
    def read_whole(self) -> bool:
        """Whether forward() is code of this package or plain layers, and not somebody's own."""
        return is_built_here(self.model) or not self.routed


def rounding_units(model: nn.Module, *modules: nn.Module) -> tuple[float, float]:
    """(u, least normal number) of the arithmetic in which forward() runs the experts of `model`, or float64's where it
    interpolates a table of their values: then `table_slack` is all that rounds."""
    tabulated = isinstance(model, LatticeMixture) and model.node_table() is not None
    return FLOATS[torch.float64] if tabulated else precision(model, *modules)


def view_of(
    model: nn.Module,
    domain: Box,
    m: int,
    *,
    max_leaves: int,
    seed: int = 0,
    share: Share = WHOLE,
    one_function: bool = False,
) -> MixtureView:
    """The view of all leaves, or of a seeded sample of `max_leaves` when there are more; of these, the `share`.

    With `one_function` a model that offers only a part of the protocol is taken as one function on the whole domain,
    which is enough to sample it. ValueError for a model whose call does not run its class's own code.
    """
    place = next((p.device for p in model.parameters()), torch.device("cpu"))
    if isinstance(model, LatticeMixture):
        total = model.num_leaves
        if total <= max_leaves:
            leaves = model.leaf_indices(place)
        else:
            generator = torch.Generator().manual_seed(seed)
            columns = [torch.randint(c, (max_leaves,), generator=generator) for c in model.cells]
            leaves = torch.unique(torch.stack(columns, dim=1), dim=0).to(place)
        return MixtureView(model, domain, m, leaves, total, share)
    if one_function and missing_of_mixture(model):
        return MixtureView(model, domain, m, torch.zeros(1, 1, dtype=torch.int64, device=place), 1, share, False)
    routed = is_mixture(model, "; use method='sampled'")
    total = require_int("model.num_leaves", cast(Mixture, model).num_leaves, 1) if routed else 1
    if total > MAX_FOREIGN_LEAVES:
        raise ValueError(
            f"`model` has {total} leaves; mixtures that are not over a lattice are checked expert by expert, "
            f"up to {MAX_FOREIGN_LEAVES}"
        )
    return MixtureView(model, domain, m, torch.arange(total, device=place)[:, None], total, share, routed)


def _corner(end: object) -> Tensor:
    """A corner as it is stated: numbers of Python are float64, torch's default would round them."""
    return end if isinstance(end, Tensor) else torch.as_tensor(end, dtype=torch.float64)
