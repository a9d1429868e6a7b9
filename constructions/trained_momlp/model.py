"""`TrainedMoMLP`: experts trained on data behind a router from data.

Inputs are standardised, routed to the nearest leaf (flat) or down the tree, and answered by one MLP. Distances and
layers are sums in a fixed order (`fixed_order`): an answer does not depend on the batch, nor on how experts are held.

Main definition: `TrainedMoMLP`.
Notation: n inputs, m outputs (classes), L leaves, P parameters of an expert.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from constructions.arrays import predicted
from constructions.errors import first_row, require_choice, require_instance, require_int, require_points, shown
from constructions.expert_rows.answers import answer_by_leaf, grouping_bytes, in_batches
from constructions.expert_rows.bank import ExpertBank
from constructions.expert_rows.cache import DEFAULT_CACHE_BYTES, Rows
from constructions.pathway_tree.prototype_tree import PrototypeTree
from constructions.trained_momlp.bank import Widths, parameters, plain_network, run_gathered

ROUTERS = ("tree", "flat")
TASKS = ("regression", "classification")
CHUNK_BYTES = 1 << 22


class TrainedMoMLP(ExpertBank):
    """`tree` over standardised inputs (x − input_shift)·input_scale, and one row of `experts` (L, P) a leaf.

    Lazy (`source` given): rows are read when first needed and kept under `cache_bytes`, or with `budget_bytes` so that
    router, cache, rows being read and gathered rows stay under it together. Made by `train_momlp` or `store.load`.
    """

    experts: nn.Parameter | None

    def __init__(
        self,
        tree: PrototypeTree,
        widths: Widths,
        *,
        input_shift: Tensor,
        input_scale: Tensor,
        experts: Tensor | None = None,
        source: Callable[[Tensor], Rows] | None = None,
        dtype: torch.dtype = torch.float64,
        task: str = "regression",
        router: str = "tree",
        cache_bytes: int = DEFAULT_CACHE_BYTES,
        budget_bytes: int | None = None,
    ):
        super().__init__()
        require_instance("tree", tree, PrototypeTree)
        listed = isinstance(widths, (tuple, list)) and len(widths) >= 2
        if not listed or not all(isinstance(w, int) and not isinstance(w, bool) and w >= 1 for w in widths):
            raise ValueError(f"`widths` must be at least two integers of at least 1, got {shown(widths)}")
        if (experts is None) == (source is None):
            raise ValueError("give exactly one of `experts` (eager) and `source` (lazy)")
        if source is not None and not callable(source):
            raise TypeError(f"`source` must be callable with leaves, got {type(source).__name__}")
        if not isinstance(dtype, torch.dtype) or not dtype.is_floating_point:
            raise ValueError(f"`dtype` must be a floating torch.dtype, got {shown(dtype)}")
        if tuple(widths)[:1] != (tree.n,):
            raise ValueError(f"`widths` must start with the router's {tree.n} inputs, got {shown(widths)}")
        for name, value in (("input_shift", input_shift), ("input_scale", input_scale)):
            require_instance(name, value, Tensor)
            if value.shape != (tree.n,) or not bool(torch.isfinite(value).all()):
                raise ValueError(f"`{name}` must be {tree.n} finite numbers, got {shown(value)}")
        if experts is not None:
            require_instance("experts", experts, Tensor)
        self.tree, self.widths = tree, tuple(widths)
        self.task, self.router = require_choice("task", task, TASKS), require_choice("router", router, ROUTERS)
        self.input_shift = nn.Parameter(input_shift.double(), requires_grad=False)
        self.input_scale = nn.Parameter(input_scale.double(), requires_grad=False)
        self.dtype = dtype if experts is None else experts.dtype
        self.report: Any = None
        self.points_at_once = max(2, CHUNK_BYTES // (8 * parameters(self.widths)))
        if experts is not None:
            if experts.shape != (tree.num_leaves, parameters(self.widths)):
                expected = (tree.num_leaves, parameters(self.widths))
                raise ValueError(f"`experts` must have shape {expected}, got {tuple(experts.shape)}")
            self.experts = nn.Parameter(experts, requires_grad=False)
        elif source is not None:
            self.experts = None
            self.read_on_demand(
                source,
                q=1,
                experts=tree.num_leaves,
                shapes=((parameters(self.widths),),),
                dtype=self.dtype,
                device=self.place,
                fixed_bytes=self._fixed_bytes,
                point_bytes=self._point_bytes,
                cache_bytes=cache_bytes,
                budget_bytes=budget_bytes,
            )

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> TrainedMoMLP:
        """Called by .to() and the like: the router follows the device and stays in float64."""
        self.require_still(fn, self.dtype, self.place)
        moved = fn(torch.empty(0, dtype=self.dtype, device=self.place))
        super()._apply(fn, recurse)
        self.tree = self.tree.to(moved.device)
        for name in ("input_shift", "input_scale"):
            setattr(self, name, nn.Parameter(getattr(self, name).double(), requires_grad=False))
        if self.experts is not None:
            self.dtype = self.experts.dtype
        return self

    # --- what the model is ---

    @property
    def n(self) -> int:
        """How many numbers a point has."""
        return self.widths[0]

    @property
    def m(self) -> int:
        """How many outputs, or classes."""
        return self.widths[-1]

    @property
    def place(self) -> torch.device:
        """The device that answers."""
        return self.input_shift.device

    @property
    def num_leaves(self) -> int:
        """How many experts there are."""
        return self.tree.num_leaves

    @property
    def active_parameters(self) -> int:
        """P: numel of the expert that answers a query."""
        return sum(p.numel() for p in self.expert(0).parameters())

    @property
    def total_parameters(self) -> int:
        """L·P, router not counted."""
        return self.num_leaves * self.active_parameters

    @property
    def _point_bytes(self) -> int:
        """What standardising, routing and grouping a point takes."""
        compared = self.tree.num_leaves if self.router == "flat" else self.tree.valency
        gathered = 0 if self.router == "flat" else compared * self.n
        return grouping_bytes(1, self.m) + 8 * (4 * self.n + 5 * compared + gathered)

    @property
    def _fixed_bytes(self) -> int:
        return self.tree.nbytes + self.input_shift.nbytes + self.input_scale.nbytes

    @property
    def resident_bytes(self) -> int:
        """Bytes of router and experts held in memory now."""
        return self._fixed_bytes + self.cached_bytes + (0 if self.experts is None else self.experts.nbytes)

    def expert(self, leaf: int) -> nn.Sequential:
        """The expert of a leaf as a plain Linear/ReLU stack on the mixture's own inputs, float64, with its own copy.

        The standardisation is folded into its first layer, so it answers like the mixture up to rounding.
        """
        flat = require_int("leaf", leaf, 0, self.num_leaves - 1)
        if self.cache is not None:
            (rows,) = self.cache.source(torch.tensor([[flat]], device=self.place))
            row = rows[0]
        else:
            assert self.experts is not None
            row = self.experts[flat].detach()
        network = plain_network(row.double(), self.widths)
        first = network[0]
        assert isinstance(first, nn.Linear)
        with torch.no_grad():
            first.weight.mul_(self.input_scale)
            first.bias.sub_((first.weight * self.input_shift).sum(-1))
        return network

    # --- evaluation ---

    def standardise(self, x: Tensor) -> Tensor:
        """(x − input_shift)·input_scale in float64; ValueError naming a row of x (B, n) that is not finite."""
        self._require_finite(x)
        return (x.double() - self.input_shift) * self.input_scale

    def _require_finite(self, x: Tensor) -> Tensor:
        require_points("x", x, self.n)
        if not len(x) or bool((torch.isfinite(x.amin(0)) & torch.isfinite(x.amax(0))).all()):
            return x  # without a tensor of the size of x
        row = first_row(~torch.isfinite(x).all(-1))
        raise ValueError(f"`x` must be finite, row {row} is {x[row].tolist()}")

    def route(self, x: Tensor) -> Tensor:
        """Leaf ids (B,), int64, of points x (B, n)."""
        return self._leaf_of(self.standardise(x))

    def _leaf_of(self, z: Tensor) -> Tensor:
        return self.tree.route(z) if self.router == "tree" else self.tree.nearest_leaf(z)

    def forward(self, x: Tensor, *, upcoming: Tensor | None = None) -> Tensor:
        """(B, n) -> (B, m): values, or one logit a class. A lazy model reads the experts of `upcoming` ahead."""
        if self.cache is not None:
            return in_batches(self._require_finite(x), upcoming, self.batch, self._answer_batch)
        z = self.standardise(x)
        leaf = self._leaf_of(z)
        assert self.experts is not None
        return self._run_parts(z, (self.experts,), leaf)

    def _answer_batch(self, x: Tensor, upcoming: Tensor | None) -> Tensor:
        """Outputs (B, m) of a lazy model, a batch of points (B, n) at a time."""
        assert self.cache is not None
        z = self.standardise(x)
        ahead = None if upcoming is None else self.route(upcoming)[:, None]
        leaf = self._leaf_of(z)[:, None]
        return answer_by_leaf(z, leaf, self.cache, self._run_parts, m=self.m, upcoming=ahead)

    def _run_parts(self, z: Tensor, rows: Rows, at: Tensor) -> Tensor:
        """Outputs (B, m) of standardised points z (B, n), `points_at_once` together."""
        parts = zip(z.split(self.points_at_once), at.split(self.points_at_once), strict=True)
        return torch.cat([run_gathered(rows[0][index], self.widths, part.to(self.dtype)) for part, index in parts])

    def run_experts(self, x: Tensor, rows: Rows, at: Tensor) -> Tensor:
        """Outputs (B, m) of points x (B, n) answered by the experts `rows[0][at]`."""
        return self._run_parts(self.standardise(x), rows, at)

    def predict(self, x: Tensor | np.ndarray) -> Any:
        """Values (B, m), or for classification the most likely class (B,); a numpy array for a numpy array."""
        return predicted(self._predicted, x, self.place)

    def _predicted(self, x: Tensor) -> Tensor:
        y = self(x)
        return y.argmax(-1) if self.task == "classification" else y

    def extra_repr(self) -> str:
        return f"leaves={self.num_leaves}, widths={self.widths}, task={self.task!r}, router={self.router!r}"
