"""`MoMLP`: a mixture of MLP experts behind a pathway tree.

Every input x is routed to one leaf and answered by that leaf's expert alone. All experts share their first layer, so

Main definition: `MoMLP`.
Notation: n inputs, m outputs, q quantised axes, L leaves, K knots, P parameters an expert.
Source: arXiv:2402.03460 (the claim); the construction and its proof are in docs/momlp.md and `plan.py`.
Implementation notes: both layers are sums in a fixed order (`fixed_order`), never matrix products, so that a point's
answer depends on the point and its expert alone: not on the batch it came in, nor on how the experts are held.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from constructions.errors import require_tensor
from constructions.expert_rows.answers import answer_by_leaf, grouping_bytes, in_batches
from constructions.expert_rows.bank import ExpertBank
from constructions.expert_rows.cache import DEFAULT_CACHE_BYTES, Rows
from constructions.functions.lipschitz_function import LipschitzFunction
from constructions.mixture import is_built_here
from constructions.momlp.plan import DEFAULT_MAX_BYTES, Plan
from constructions.momlp.tabulated import TabulatedMoMLP
from constructions.nodes import Nodes
from constructions.pathway_tree.routed import RoutedExperts


class MoMLP(ExpertBank, RoutedExperts):
    """The model of a `Plan`; made by `build.build_momlp` or `store.load`. Abstract: see `PencilMoMLP` and
    `BitExtractionMoMLP`.

    Eager: `out_weight` (L, m, K) and `out_bias` (L, m) are parameters. Lazy (`source` given): they are built when an
    input first needs them and kept under `cache_bytes`, or with `budget_bytes` so that all weights, those being read
    and gathered included, stay under it. The source of a `stored` model takes flat ids (E, 1), any other multi-indices
    (E, q). No parameter requires a gradient until asked.
    """

    out_weight: nn.Parameter | None
    out_bias: nn.Parameter | None

    def __init__(
        self,
        plan: Plan,
        *,
        weights: tuple[Tensor, Tensor] | None = None,
        source: Callable[[Tensor], Rows] | None = None,
        stored: bool = False,
        cache_bytes: int = DEFAULT_CACHE_BYTES,
        budget_bytes: int | None = None,
        target: LipschitzFunction | None = None,
        device: torch.device | str | None = None,
    ):
        if (weights is None) == (source is None):
            raise ValueError("give exactly one of `weights` (eager) and `source` (lazy)")
        super().__init__(plan.lattice, plan.tree, plan.m)
        place = torch.device(device) if device is not None else torch.device("cpu")
        self.plan, self.target = plan, target
        self.stored = stored  # whether a lazy model reads its experts instead of building them
        self._share(place)
        self.points_at_once = self._chunk_rows
        if weights is not None:
            self.out_weight = nn.Parameter(weights[0], requires_grad=False)
            self.out_bias = nn.Parameter(weights[1], requires_grad=False)
        elif source is not None:
            self.out_weight = self.out_bias = None
            self.read_on_demand(
                source,
                q=1 if stored else plan.lattice.q,
                experts=plan.leaves if stored else None,
                shapes=((plan.m, plan.columns), (plan.m,)),
                dtype=plan.dtype,
                device=self.place,
                fixed_bytes=sum(p.nbytes for p in self.parameters()),
                point_bytes=grouping_bytes(plan.lattice.q, plan.m),
                cache_bytes=cache_bytes,
                budget_bytes=budget_bytes,
            )

    # --- what a kind of expert is ---

    @abstractmethod
    def _share(self, device: torch.device) -> None:
        """Register what all experts have in common."""

    @abstractmethod
    def run_experts(self, x: Tensor, rows: Rows, at: Tensor) -> Tensor:
        """Outputs (B, m) of points x (B, n) answered by the experts rows[at], rows = (output weights, biases).

        No more than `points_at_once` are gathered together.
        """

    @property
    @abstractmethod
    def _chunk_rows(self) -> int:
        """Points that are answered at a time."""

    @abstractmethod
    def _gather(self, x: Tensor) -> Tensor:
        """Outputs (B, m) without looking at any value, for transforms and compilers."""

    @abstractmethod
    def nodes(self) -> Nodes:
        """Where the experts have nodes, and their exact values there; ValueError when the weights no longer say."""

    def shared_digest(self) -> str | None:
        """A digest of layers that follow from the plan and are not stored; None for a model that stores all it has."""
        return None

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> MoMLP:
        """Called by .to(), .float() and the like; a lazy model's cache cannot follow them."""
        self.require_still(fn, self.plan.dtype, self.place)
        return super()._apply(fn, recurse)

    # --- what the model is ---

    @property
    def active_parameters(self) -> int:
        """P: numel of the expert that answers a query."""
        first = (0,) * self.lattice.q
        return sum(p.numel() for p in self.expert(first).parameters())

    @property
    def forward_pass_parameters(self) -> int:
        """F: child prototypes on the worst path, n numbers each, plus P."""
        return self.n * self.tree.max_path_children() + self.active_parameters

    @property
    def total_parameters(self) -> int:
        """L·P, whether or not it could ever be stored."""
        return self.num_leaves * self.active_parameters

    @property
    def stored_parameters(self) -> int:
        """Numbers held in memory now: the shared layer once, and the output layers of the experts present."""
        shared = sum(p.numel() for p in self.parameters())
        return shared + (self.cache.used * (self.m * self.plan.columns + self.m) if self.cache is not None else 0)

    @property
    def resident_bytes(self) -> int:
        """Bytes of all weights held in memory now (lazy: keys and free slots of the cache included)."""
        shared = sum(p.nbytes for p in self.parameters())
        return shared + self.cached_bytes

    # --- experts ---

    def held_experts(self) -> int | None:
        return None if self.out_bias is None else len(self.out_bias)

    def output_layers(self, leaves: Tensor) -> tuple[Tensor, Tensor]:
        """Output weights (E, m, K) and biases (E, m) of the experts of leaves (E, q); not cached when lazy."""
        if self.cache is not None:
            require_tensor("leaves", leaves, f"(E, {self.lattice.q})")
            if leaves.shape[1:] != (self.lattice.q,) or leaves.dtype != torch.int64:
                got = f"{leaves.dtype} {tuple(leaves.shape)}"
                raise ValueError(f"`leaves` must be int64 multi-indices (E, {self.lattice.q}), got {got}")
            weight, bias = self.cache.source(self._keys(leaves))
            return weight, bias
        assert self.out_weight is not None
        assert self.out_bias is not None
        flat = self.tree.flat_index(leaves)
        return self.out_weight[flat], self.out_bias[flat]

    def _keys(self, leaves: Tensor) -> Tensor:
        """What the source of a lazy model takes for leaves (E, q)."""
        return self.tree.flat_index(leaves)[:, None] if self.stored else leaves

    # --- evaluation ---

    def tabulate(self, *, dtype: torch.dtype | None = None, max_bytes: int = DEFAULT_MAX_BYTES) -> TabulatedMoMLP:
        """The same function from a table of the experts' values at their nodes, within its `slack`.

        `dtype` of the table and its answers is the model's own by default; a lazy model reads all its experts.
        ValueError when first layer or words are not (any more) those of nodes, BudgetExceeded above `max_bytes`.
        """
        return TabulatedMoMLP.of(self, self.nodes(), self.plan.dtype if dtype is None else dtype, max_bytes)

    def forward(self, x: Tensor, *, upcoming: Tensor | None = None) -> Tensor:
        """f̂(x), (B, n) -> (B, m), in the model's dtype.

        A lazy model reads the experts of the points `upcoming` ahead, while it answers x. ValueError for a wrong
        shape or a point outside the domain. Under torch.compile, torch.export,
        torch.jit.trace and torch.func transforms the plain gather runs, without the domain check; a lazy model
        cannot be traced.
        """
        self.require_queries(x)
        tracing = torch.jit.is_tracing()  # pyright: ignore[reportPrivateImportUsage]
        tracing = tracing or torch.compiler.is_compiling()
        together = not tracing and (self.batch is None or len(x) <= self.batch)
        numbers = self._leaf_numbers(x) if together else None
        if numbers is None and (tracing or not self._looked_inside(x)):
            if self.cache is not None:
                raise RuntimeError(
                    "a lazy MoMLP builds experts while it runs, so it has no fixed graph: torch.compile, torch.export, "
                    "torch.jit and torch.func need an eager model (build_momlp(..., lazy=False))"
                )
            return self._gather(x)
        if self.cache is not None:
            return in_batches(x, upcoming, self.batch, partial(self._answer_batch, numbers))
        assert self.out_weight is not None
        assert self.out_bias is not None
        at = self.tree.flat_index(self.route(x)) if numbers is None else numbers
        return self.run_experts(x, (self.out_weight, self.out_bias), at)

    def _answer_batch(self, numbers: Tensor | None, x: Tensor, upcoming: Tensor | None) -> Tensor:
        """Outputs (B, m) of a lazy model, a batch of points (B, n) at a time; `numbers` (B,) are their leaves if these
        are known."""
        assert self.cache is not None
        keys = self._keys_of(x) if numbers is None or not self.stored else numbers[:, None]
        ahead = None if upcoming is None else self._keys_of(upcoming)
        return answer_by_leaf(x, keys, self.cache, self.run_experts, m=self.m, upcoming=ahead)

    def _keys_of(self, x: Tensor) -> Tensor:
        """What the source of a lazy model takes for points (B, n)."""
        numbers = self._leaf_numbers(x) if self.stored else None
        return self._keys(self.route(x)) if numbers is None else numbers[:, None]

    def _leaf_numbers(self, x: Tensor) -> Tensor | None:
        """Flat ids (B,) of the leaves of points (B, n) by compiled loops, where these route as `route` does."""
        return self.lattice.leaf_numbers(x) if is_built_here(self) else None  # a subclass may have its own `route`

    def _looked_inside(self, x: Tensor) -> bool:
        """False under vmap, where no value may be looked at; ValueError for a point outside the domain."""
        try:
            self.lattice.domain.require_inside("x", x)
        except RuntimeError:
            return False
        return True

    def extra_repr(self) -> str:
        p = self.plan
        return (
            f"n={p.n}, m={p.m}, expert={p.expert!r}, leaves={self.num_leaves}, knots={p.knots}, eps={p.eps:g}, "
            f"activation={p.activation!r}, lazy={self.lazy}"
        )
