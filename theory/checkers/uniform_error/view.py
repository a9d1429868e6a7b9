"""`MixtureView`: how a checker sees a model — cells and experts, read from the module itself.

Three kinds of model are understood: a `MoMLP`; any module that offers all of `route(x)`, `expert(leaf)`,
`cell_bounds(leaf)` and `num_leaves` with integer leaves 0 … num_leaves − 1; and a plain Linear/ReLU/PReLU stack on the
whole domain, which offers none of them.

Main definitions: `Mixture` (the protocol), `view_of`, `MixtureView`, `Share`, `NotFinite`.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Protocol, cast

import torch
from torch import Tensor, nn

from constructions.bit_extraction.model import BitExtractionMoMLP
from constructions.errors import require_int
from constructions.functions.box import Box
from constructions.functions.lipschitz_function import LipschitzFunction
from constructions.momlp.constant import Constant
from constructions.momlp.model import MoMLP
from theory import exact
from theory.checkers.uniform_error.certificate import Premise
from theory.checkers.uniform_error.cover import MAX_FOREIGN_LEAVES, is_product_cover, volume_cover
from theory.checkers.uniform_error.ridge import FirstLayer, RidgeBank, first_layer_axis
from theory.checkers.uniform_error.stack import FLOATS, UNIT, StackBank, linear_stack, stack_fault

Bank = RidgeBank | StackBank
Boxes = tuple[Tensor, ...]
PIECES_PER_BANK = 1 << 16
ROUTER_ROUNDING = 8  # units of roundoff, of a coordinate relative to the domain's side
FORWARD_SAMPLE = 4096
INTEGERS = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)
PROTOCOL = ("route", "expert", "cell_bounds", "num_leaves")
OUR_OWN = (MoMLP, BitExtractionMoMLP)


class NotFinite(Exception):
    """The model answers NaN or inf: `x` (n,) is where, `y` (m,) what. No |f − f̂| is a number there."""

    def __init__(self, x: list[float], y: list[float], leaf: list[int]):
        super().__init__(f"forward() gives {y} at x = {x} (leaf {leaf})")
        self.x, self.y = x, y


def precision(*modules: nn.Module) -> tuple[float, float]:
    """(u, least normal number) of the coarsest floating tensor that the modules compute with, Parameter or not."""
    dtypes = {t.dtype for m in modules for t in floats_of(m)} or {torch.float64}
    unknown = dtypes - set(FLOATS)
    if unknown:
        raise ValueError(f"`model` must have float64 or float32 parameters, got {unknown}")
    return max(FLOATS[d] for d in dtypes)


def floats_of(module: nn.Module) -> Iterator[Tensor]:
    """Parameters, buffers, and tensors kept as plain attributes, of a module and all modules below it."""
    for part in module.modules():
        held = (*part.parameters(recurse=False), *part.buffers(recurse=False), *vars(part).values())
        yield from (t for t in held if isinstance(t, Tensor) and t.is_floating_point())


def is_mixture(model: nn.Module) -> bool:
    """Whether the model offers the protocol of mixtures; ValueError when it offers a part of it only.

    A part would have to be filled in by a guess: a mixture without cells is not one expert on the whole domain.
    """
    there = [name for name in PROTOCOL if hasattr(model, name)]
    if len(there) not in (0, len(PROTOCOL)):
        missing = [name for name in PROTOCOL if name not in there]
        raise ValueError(
            f"`model` must offer all of {', '.join(PROTOCOL)} or none of them: it has {', '.join(there)} and lacks "
            f"{', '.join(missing)}; use method='sampled'"
        )
    return bool(there)


class Mixture(Protocol):
    """What a mixture that was not built here must offer to be certified; leaves are 0 … num_leaves − 1."""

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


@dataclass(frozen=True)
class Share:
    """The part `rank` of `world` of a search: a run of leaves, or every world-th box when leaves are fewer than ranks.

    `meet` is told this part's lower end once, between seeding and refining, and answers with the largest of all parts.
    A part decides nothing by itself: its certificate is INCONCLUSIVE until all parts are put together.
    """

    rank: int = 0
    world: int = 1
    meet: Callable[[float], float] = field(default=lambda lower: lower)

    def __post_init__(self) -> None:
        require_int("world", self.world, 1)
        require_int("rank", self.rank, 0, self.world - 1)

    def of_leaves(self, leaves: Tensor) -> Tensor:
        """This part of leaves (E, q): all of them where boxes are shared instead."""
        return leaves if self.shares_boxes(leaves) else leaves.tensor_split(self.world)[self.rank]

    def shares_boxes(self, leaves: Tensor) -> bool:
        return len(leaves) < self.world


WHOLE = Share()


@dataclass(frozen=True)
class MixtureView:
    """`every` (A, q) are the multi-indices that all parts of the search look at together ((A, 1) flat ids for foreign
    models), `leaves` (E, q) those of this part; `total` is how many the model has. `routed` is False where the model is
    taken as one function on the whole domain."""

    model: nn.Module
    domain: Box
    m: int
    every: Tensor
    total: int
    share: Share = WHOLE
    routed: bool = True

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
        if isinstance(self.model, MoMLP):
            return self.model.expert(leaf)
        return self.mixture.expert(int(leaf[0])) if self.routed else self.model

    def route(self, x: Tensor) -> Tensor:
        """Leaves (B, q) of points x (B, n) as the model's own router says."""
        if not self.routed:
            return torch.zeros(len(x), 1, dtype=torch.int64, device=x.device)
        leaf = self.mixture.route(x)
        if isinstance(self.model, MoMLP):
            limits = self.model.tree.cells
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
        elif isinstance(self.model, MoMLP):
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
        unit = UNIT if isinstance(self.model, MoMLP) else precision(self.model)[0]
        margin = (hi - lo) * (ROUTER_ROUNDING * unit) + torch.maximum(lo.abs(), hi.abs()) * (2 * unit)
        return torch.maximum(lower - margin, lo), torch.minimum(upper + margin, hi)

    # --- banks for the search ---

    def banks(self) -> Iterator[tuple[Tensor, Bank]]:
        """(leaves (E, q), bank) over all leaves of the view, with at most about 2¹⁶ pieces in memory at a time."""
        if isinstance(self.model, BitExtractionMoMLP):
            raise ValueError("`model` has experts whose weights bound no slope: use method='simplices'")
        if isinstance(self.model, MoMLP):
            yield from self._pencil_banks(self.model)
            return
        for leaf in self.leaves:
            lower, upper = self.reach(leaf[None])
            network = self.expert(leaf)
            yield leaf[None], _foreign_bank(network, lower, upper, *precision(self.model, network))

    def _pencil_banks(self, model: MoMLP) -> Iterator[tuple[Tensor, Bank]]:
        """Experts that share the first layer and, where it depends on x, the interval of the axis that it reads."""
        layer = _momlp_layer(model)
        unit, least = precision(model)
        # the search seeds every piece with up to 2^q corners
        corners = max(1, 2 ** min(model.plan.lattice.q, 6) // 8)
        rows = max(1, PIECES_PER_BANK // (len(layer.bias) + 1) // corners)
        for leaves in self._by_interval(layer):
            for part in leaves.split(rows):
                weight, bias = (t.detach().double() for t in model.output_layers(part))
                reach = self.reach(part)
                yield part, RidgeBank.of(layer, weight, bias, *reach, unit=unit, least=least)

    def _by_interval(self, layer: FirstLayer) -> list[Tensor]:
        """The leaves, apart where their cells differ on the axis that the experts read."""
        lower, upper = self.reach(self.leaves)
        pairs = torch.stack([lower[:, layer.axis], upper[:, layer.axis]], dim=1)
        if not bool((layer.pull != 0).any()) or not len(pairs) or bool((pairs == pairs[0]).all()):
            return [self.leaves]
        distinct, which = torch.unique(pairs, dim=0, return_inverse=True)
        order = torch.argsort(which, stable=True)
        sizes = torch.bincount(which, minlength=len(distinct)).tolist()
        return list(self.leaves[order].split(sizes))

    # --- premises ---

    def cells_cover(self) -> Premise:
        """Do the cells of all leaves cover the domain? Exact: as a product of intervals, or by volumes."""
        name = "cells cover the domain"
        if not self.routed:
            return Premise(name, True, "one expert on the whole domain")
        if not self.complete:
            return Premise(name, True, f"not looked at: {len(self.every)} of {self.total} leaves")
        lower, upper = self.bounds(self.every)
        if is_product_cover(lower, upper, self.domain):
            return Premise(name, True, f"{self.total} cells form a product of adjacent intervals")
        return volume_cover(name, lower, upper, self.domain)

    def forward_is_expert(self, x: Tensor) -> Premise:
        """forward(x) must be the exact value of the expert to which x is routed, and x must lie in its cell."""
        name = "forward() uses these weights"
        with torch.no_grad():
            y = self.forward(x)
        leaves = self.route(x)
        lower, upper = self.reach(leaves)
        # exact arithmetic runs on the host, number by number
        x, y, lower, upper = (t.cpu() for t in (x, y, lower, upper))
        for row in range(len(x)):
            point, leaf = x[row], leaves[row]
            if not bool(((point >= lower[row]) & (point <= upper[row])).all()):
                detail = f"x = {point.tolist()} is routed to leaf {leaf.tolist()}, whose cell does not contain it"
                return Premise("route(x) agrees with cell_bounds", False, detail)
            network = _on_the_host(self.expert(leaf))
            units = precision(self.model, network)
            bank = _foreign_bank(network, lower[row : row + 1], upper[row : row + 1], *units)
            if not all(bool(torch.isfinite(t).all()) for t in floats_of(network)):
                return Premise(name, False, f"the weights of leaf {leaf.tolist()} are not all finite")
            weights = [float(exact.fraction(v)) for v in exact.evaluate_network(network, point)]
            if len(weights) != self.m:
                detail = f"the expert of leaf {leaf.tolist()} gives {len(weights)} outputs, the mixture {self.m}"
                return Premise(name, False, detail)
            gap = max(abs(a - b) for a, b in zip(weights, y[row].tolist(), strict=True))
            if not gap <= bank.forward_slack * 1.01 + 1e-300:
                detail = (
                    f"at x = {point.tolist()} (leaf {leaf.tolist()}) forward() gives {y[row].tolist()}, "
                    f"the weights of expert(leaf) give {weights}"
                )
                return Premise(name, False, detail)
        detail = f"equal to exact rational evaluation within rounding at {len(x)} points"
        return Premise(name, True, detail + ("" if self.read_whole else "; elsewhere forward() is taken at its word"))

    @property
    def read_whole(self) -> bool:
        """Whether forward() is code of this package or plain layers, and not somebody's own."""
        return type(self.model) in OUR_OWN or not self.routed

    def forward_matches(self, leaves: Tensor, bank: Bank) -> Premise | None:
        """A failing premise if forward() differs from a bank's tables; every expert is visited.

        At the middles of pieces, or all over the cell of an expert that is not cut into pieces.
        """
        if isinstance(bank, RidgeBank):
            expert, piece, lo, hi = bank.initial_boxes()
            rows = _sampled_pieces(len(expert) // bank.experts, bank.experts).to(lo.device)
            expert, piece, x = expert[rows], piece[rows], (lo[rows] + hi[rows]) / 2
        else:
            expert, piece, x = (t[-max(1, FORWARD_SAMPLE // self.total) :] for t in bank.seeds(FORWARD_SAMPLE // 16))
        with torch.no_grad():
            y = self.model(x).double()
        tables = bank.values(expert, piece, x)
        if tables.shape != y.shape:
            detail = f"it gives {y.shape[1]} outputs, the experts from leaf {leaves[0].tolist()} on {tables.shape[1]}"
            return Premise("forward() uses these weights", False, detail)
        excess = (y - tables).abs().amax(-1) - 1.01 * (bank.table_slack + bank.forward_slack)
        # a NaN from forward() must count as a difference
        wrong = ~(excess <= 0)
        if not bool(wrong.any()):
            return None
        row = int(wrong.int().argmax())
        detail = (
            f"at x = {x[row].tolist()} (leaf {leaves[expert[row]].tolist()}) forward() gives {y[row].tolist()}, "
            f"the weights give {tables[row].tolist()}"
        )
        return Premise("forward() uses these weights", False, detail)


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
    if isinstance(model, MoMLP):
        total = model.num_leaves
        if total <= max_leaves:
            leaves = model.tree.leaf_indices(place)
        else:
            generator = torch.Generator().manual_seed(seed)
            columns = [torch.randint(c, (max_leaves,), generator=generator) for c in model.tree.cells]
            leaves = torch.unique(torch.stack(columns, dim=1), dim=0).to(place)
        return MixtureView(model, domain, m, leaves, total, share)
    if one_function and any(not hasattr(model, name) for name in PROTOCOL):
        return MixtureView(model, domain, m, torch.zeros(1, 1, dtype=torch.int64, device=place), 1, share, False)
    routed = is_mixture(model)
    total = require_int("model.num_leaves", cast(Mixture, model).num_leaves, 1) if routed else 1
    if total > MAX_FOREIGN_LEAVES:
        raise ValueError(
            f"`model` has {total} leaves; mixtures that are not a MoMLP are checked expert by expert, "
            f"up to {MAX_FOREIGN_LEAVES}"
        )
    return MixtureView(model, domain, m, torch.arange(total, device=place)[:, None], total, share, routed)


def _on_the_host(network: nn.Module) -> nn.Module:
    """The network with its weights on the CPU: itself, or a copy (the model keeps its own)."""
    away = any(p.device.type != "cpu" for p in network.parameters())
    return copy.deepcopy(network).cpu() if away else network


def _sampled_pieces(pieces: int, experts: int) -> Tensor:
    """Rows of boxes (experts × pieces) to look at: of each expert some pieces, another run of them for the next one."""
    each = max(1, min(pieces, FORWARD_SAMPLE // experts))
    step = -(-pieces // each)
    places = (torch.arange(experts)[:, None] + step * torch.arange(each)) % pieces
    return (torch.arange(experts)[:, None] * pieces + places).flatten()


def _corner(end: object) -> Tensor:
    """A corner as it is stated: numbers of Python are float64, torch's default would round them."""
    return end if isinstance(end, Tensor) else torch.as_tensor(end, dtype=torch.float64)


def _momlp_layer(model: MoMLP) -> FirstLayer:
    weight, bias = model.hidden_weight.detach().double(), model.hidden_bias.detach().double()
    axis = first_layer_axis(weight)
    if axis is None:
        raise ValueError("`model` must have first-layer rows along one axis; use method='sampled'")
    slope = torch.zeros_like(bias) if model.slope is None else model.slope.detach().double()
    return FirstLayer(weight, bias, slope, axis)


def _foreign_bank(network: nn.Module, lower: Tensor, upper: Tensor, unit: float, least: float) -> Bank:
    parts = list(network) if type(network) is nn.Sequential else [network]
    if len(parts) == 1 and type(parts[0]) is Constant and not exact.altered(network) and not exact.altered(parts[0]):
        bias = parts[0].bias.detach().double()[None]
        n = lower.shape[1]
        layer = FirstLayer(bias.new_zeros(0, n), bias.new_zeros(0), bias.new_zeros(0), n - 1)
        return RidgeBank.of(layer, bias.new_zeros(1, bias.shape[1], 0), bias, lower, upper, unit=unit, least=least)
    stack = linear_stack(network)
    if stack is None:
        raise ValueError(
            f"`model` must consist of plain Linear, ReLU and PReLU layers for this method: {stack_fault(network)}; "
            "use method='sampled'"
        )
    if stack[0].weight.shape[1] != lower.shape[1]:
        raise ValueError(f"`model.expert` must take {lower.shape[1]} inputs, got {stack[0].weight.shape[1]}")
    if len(stack) == 2 and stack[0].alpha is not None and stack[1].alpha is None:
        axis = first_layer_axis(stack[0].weight)
        if axis is not None:
            layer = FirstLayer(stack[0].weight, stack[0].bias, stack[0].alpha, axis)
            weight, bias = stack[1].weight[None], stack[1].bias[None]
            return RidgeBank.of(layer, weight, bias, lower, upper, unit=unit, least=least)
    return StackBank.of(stack, lower, upper, unit=unit, least=least)
