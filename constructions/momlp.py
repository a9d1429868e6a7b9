"""`MoMLP`: a mixture of MLP experts behind a pathway tree, and `build_momlp`, which makes one for (f, eps).

Every input x is routed to one leaf and answered by that leaf's expert alone. All experts share their first layer, so
a batch needs relu(W x + b) once and a gather of output weights.

Main definitions: `MoMLP`, `build_momlp`.
Notation: n inputs, m outputs, q quantised axes, L leaves, K knots, P parameters an expert.
Source: arXiv:2402.03460 (the claim); the construction and its proof are in the README and `lattice.py`.
Implementation notes: the output layer is a product and a sum over the last axis, never a matrix product, so that a
point's result does not depend on the batch it came in.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from constructions.errors import BudgetExceeded, require_int
from constructions.expert_cache import CacheStatistics, ExpertCache, ExpertSource
from constructions.experts import FAMILIES
from constructions.fitting import bytes_per_leaf, fit_experts, node_axis
from constructions.lattice import Plan
from constructions.lattice import plan as make_plan
from constructions.progress import tracked
from constructions.routed import Leaf, RoutedExperts
from constructions.targets import LipschitzFunction

DEFAULT_MAX_BYTES = 2 << 30
DEFAULT_CACHE_BYTES = 64 << 20
CHUNK_BYTES = 1 << 21
BUILD_CHUNK_BYTES = 1 << 26
MAX_CELLS = 1 << 48


class MoMLP(RoutedExperts):
    """The model of a `Plan`; made by `build_momlp` or `store.load`.

    Eager: `out_weight` (L, m, K) and `out_bias` (L, m) are parameters. Lazy (`source` given): they are built when an
    input first needs them and kept under `cache_bytes`. `hidden_weight` (K, n), `hidden_bias` (K,) and, with PReLU,
    `slope` (K,) are shared. No parameter requires a gradient until asked.
    """

    out_weight: nn.Parameter | None
    out_bias: nn.Parameter | None
    slope: nn.Parameter | None

    def __init__(
        self,
        plan: Plan,
        *,
        weights: tuple[Tensor, Tensor] | None = None,
        source: ExpertSource | None = None,
        cache_bytes: int = DEFAULT_CACHE_BYTES,
        target: LipschitzFunction | None = None,
        device: torch.device | str | None = None,
    ):
        if (weights is None) == (source is None):
            raise ValueError("give exactly one of `weights` (eager) and `source` (lazy)")
        super().__init__(plan.lattice, plan.tree, plan.m)
        place = torch.device(device) if device is not None else torch.device("cpu")
        self.plan, self.target = plan, target
        family = FAMILIES[plan.expert]
        t = node_axis(plan, place, plan.dtype).to(plan.dtype)
        weight, bias = family.hidden_layer(t, plan.n, axis=plan.n - 1)
        self.hidden_weight = nn.Parameter(weight, requires_grad=False)
        self.hidden_bias = nn.Parameter(bias, requires_grad=False)
        slope = torch.zeros_like(bias) if plan.activation == "prelu" and plan.knots else None
        self.slope = None if slope is None else nn.Parameter(slope, requires_grad=False)
        self.cache: ExpertCache | None = None
        if weights is not None:
            self.out_weight = nn.Parameter(weights[0], requires_grad=False)
            self.out_bias = nn.Parameter(weights[1], requires_grad=False)
        elif source is not None:
            self.out_weight = self.out_bias = None
            self.cache = ExpertCache(
                source,
                q=plan.lattice.q,
                m=plan.m,
                knots=plan.knots,
                dtype=plan.dtype,
                device=place,
                cache_bytes=require_int("cache_bytes", cache_bytes, 1),
            )

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> MoMLP:
        """Called by .to(), .float() and the like; a lazy model's cache cannot follow them."""
        if self.cache is not None:
            probe = torch.empty(0, dtype=self.plan.dtype, device=self.hidden_bias.device)
            moved = fn(probe)
            if (moved.dtype, moved.device) != (probe.dtype, probe.device):
                raise RuntimeError(
                    "a lazy MoMLP stays on its device and in its dtype: pass device= and dtype= to build_momlp"
                )
        return super()._apply(fn, recurse)

    # --- what the model is ---

    @property
    def lazy(self) -> bool:
        return self.cache is not None

    @property
    def place(self) -> torch.device:
        return self.hidden_bias.device

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
        return shared + (self.cache.used * (self.m * self.plan.knots + self.m) if self.cache is not None else 0)

    @property
    def resident_bytes(self) -> int:
        """Bytes of all weights held in memory now (lazy: keys and free slots of the cache included)."""
        shared = sum(p.nbytes for p in self.parameters())
        return shared + (self.cache.nbytes if self.cache is not None else 0)

    @property
    def statistics(self) -> CacheStatistics:
        """Queries, experts built, evictions and peak bytes of a lazy model; RuntimeError for an eager one."""
        if self.cache is None:
            raise RuntimeError("an eager model keeps every expert: there are no cache statistics")
        return self.cache.statistics

    # --- experts ---

    def output_layers(self, leaves: Tensor) -> tuple[Tensor, Tensor]:
        """Output weights (E, m, K) and biases (E, m) of the experts of leaves (E, q); not cached when lazy."""
        if self.cache is not None:
            return self.cache.source(leaves)
        assert self.out_weight is not None
        assert self.out_bias is not None
        flat = self.tree.flat_index(leaves)
        return self.out_weight[flat], self.out_bias[flat]

    def expert(self, leaf: Leaf) -> nn.Sequential:
        """The expert of one leaf as a plain Linear/ReLU (PReLU) stack with its own copy of the weights."""
        weight, bias = self.output_layers(self.one_leaf(leaf))
        return FAMILIES[self.plan.expert].network(self.hidden_weight, self.hidden_bias, self.slope, weight[0], bias[0])

    # --- evaluation ---

    def forward(self, x: Tensor) -> Tensor:
        """f̂(x), (B, n) -> (B, m), in the model's dtype.

        ValueError for a wrong shape or a point outside the domain. Under torch.compile, torch.export and
        torch.func transforms the plain gather runs, without the domain check; a lazy model cannot be traced.
        """
        self.require_queries(x)
        if torch.compiler.is_compiling() or _is_transformed(x):
            if self.cache is not None:
                raise RuntimeError(
                    "a lazy MoMLP builds experts while it runs, so it has no fixed graph: torch.compile, torch.export "
                    "and torch.func need an eager model (build_momlp(..., lazy=False))"
                )
            return self._gather(x)
        self.lattice.domain.require_inside("x", x)
        if self.cache is not None:
            return self._forward_lazy(x)
        parts = []
        for part in x.split(self._chunk_rows):
            weight, bias = self.output_layers(self.route(part))
            parts.append(self._evaluate_batch(part, weight, bias))
        return torch.cat(parts) if len(parts) != 1 else parts[0]

    @property
    def _chunk_rows(self) -> int:
        row = self.m * (self.plan.knots + 1) * self.hidden_bias.element_size()
        return max(1, CHUNK_BYTES // row)

    def _gather(self, x: Tensor) -> Tensor:
        weight, bias = self.output_layers(self.route(x))
        return self._evaluate(x, weight, bias)

    def _evaluate(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """Outputs (B, m) of points x (B, n) with output weights (B, m, K) and biases (B, m)."""
        if not self.plan.knots:
            return bias
        before = nn.functional.linear(x.to(bias.dtype), self.hidden_weight, self.hidden_bias)
        hidden = before.relu() if self.slope is None else torch.where(before > 0, before, self.slope * before)
        return (hidden[:, None, :] * weight).sum(-1) + bias

    def _evaluate_batch(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """`_evaluate`, with a lone number computed twice: torch splits a sum to one number between threads."""
        if len(x) * self.m != 1:
            return self._evaluate(x, weight, bias)
        return self._evaluate(x.expand(2, -1), weight.expand(2, -1, -1), bias.expand(2, -1))[:1]

    def _forward_lazy(self, x: Tensor) -> Tensor:
        """Group the points by leaf, and the leaves into batches that fit the cache."""
        cache = self.cache
        assert cache is not None
        result = torch.empty(len(x), self.m, dtype=self.plan.dtype, device=x.device)
        leaves = self.route(x)
        if leaves.shape[1]:
            distinct, inverse = torch.unique(leaves, dim=0, return_inverse=True)
        else:
            distinct, inverse = leaves[:1], torch.zeros(len(x), dtype=torch.int64, device=x.device)
        order = torch.argsort(inverse, stable=True)
        counts = torch.bincount(inverse, minlength=len(distinct))
        step = min(cache.capacity, self._chunk_rows)
        ends = counts.cumsum(0)
        for first in range(0, len(distinct), step):
            batch = distinct[first : first + step]
            slots = cache.fetch(batch)
            start = int(ends[first - 1]) if first else 0
            points = order[start : int(ends[first + len(batch) - 1])]
            for rows in points.split(self._chunk_rows):
                at = slots[inverse[rows] - first]
                result[rows] = self._evaluate_batch(x[rows], cache.weight[at], cache.bias[at])
        cache.statistics.queries += len(x)
        return result

    def extra_repr(self) -> str:
        p = self.plan
        return (
            f"n={p.n}, m={p.m}, expert={p.expert!r}, leaves={self.num_leaves}, knots={p.knots}, eps={p.eps:g}, "
            f"activation={p.activation!r}, lazy={self.lazy}"
        )


def _is_transformed(x: Tensor) -> bool:
    """Whether x is batched by vmap, where no value may be looked at."""
    try:
        bool((x != x).any())
    except RuntimeError:
        return True
    return False


def build_momlp(
    f: LipschitzFunction,
    *,
    eps: float,
    expert: str = "pencil",
    split: float | None = None,
    valency: int = 2,
    activation: str = "relu",
    lazy: bool = False,
    cache_bytes: int = DEFAULT_CACHE_BYTES,
    max_bytes: int = DEFAULT_MAX_BYTES,
    progress: bool = False,
    device: torch.device | str | None = None,
    dtype: torch.dtype = torch.float64,
) -> MoMLP:
    """A MoMLP with sup |f − f̂| ≤ eps on f's domain, in the units of f (Theorem 1, `lattice.py`).

    Parameters: `expert` is "pencil" or "constant", `split` θ ∈ (0, 1) (default 1/n), `valency` 2…8 of the tree,
    `activation` "relu" or "prelu", `lazy` builds experts on demand under `cache_bytes`, `dtype` float64 or float32.
    Raises: ValueError for bad arguments or NaN/inf from f, `ModulusViolation` when the values contradict the
    declared modulus, `BudgetExceeded` when an eager bank would take more than `max_bytes`.
    """
    design = make_plan(f, eps, expert=expert, split=split, valency=valency, activation=activation, dtype=dtype)
    place = torch.device(device) if device is not None else torch.device("cpu")
    _require_resolvable(design, max_bytes)
    options: dict[str, Any] = {"target": f, "device": place}
    if lazy:
        return MoMLP(design, source=lambda leaves: _fit_chunked(f, design, leaves), cache_bytes=cache_bytes, **options)
    if design.stored_bytes > max_bytes:
        raise BudgetExceeded(
            f"{design.leaves} experts of {design.parameters} parameters take {design.stored_bytes} bytes, more than "
            f"max_bytes = {max_bytes}: use lazy=True, a larger eps, or raise max_bytes"
        )
    weights = _fit_all(f, design, place, progress)
    return MoMLP(design, weights=weights, **options)


def _require_resolvable(plan: Plan, max_bytes: int) -> None:
    """Limits that laziness cannot lift: cells that float64 cannot tell apart, a single expert over the budget."""
    if max(plan.cells, default=1) > MAX_CELLS:
        raise ValueError(
            f"`eps` = {plan.eps:g} asks for {max(plan.cells)} cells on an axis, float64 resolves {MAX_CELLS}"
        )
    size = plan.parameters * torch.empty(0, dtype=plan.dtype).element_size()
    if size > max_bytes:
        raise BudgetExceeded(
            f"one expert of {plan.parameters} parameters takes {size} bytes, more than max_bytes = {max_bytes}: "
            "use a larger eps or a smaller split"
        )


def _fit_chunked(f: LipschitzFunction, plan: Plan, leaves: Tensor) -> tuple[Tensor, Tensor]:
    rows = max(1, BUILD_CHUNK_BYTES // bytes_per_leaf(plan))
    parts = [fit_experts(f, plan, part) for part in leaves.split(rows)]
    return torch.cat([w for w, _ in parts]), torch.cat([b for _, b in parts])


def _fit_all(f: LipschitzFunction, plan: Plan, device: torch.device, progress: bool) -> tuple[Tensor, Tensor]:
    """Output layers of all leaves, chunk by chunk into two preallocated tensors."""
    leaves = plan.tree.leaf_indices(device)
    weight = torch.empty(plan.leaves, plan.m, plan.knots, dtype=plan.dtype, device=device)
    bias = torch.empty(plan.leaves, plan.m, dtype=plan.dtype, device=device)
    rows = max(1, BUILD_CHUNK_BYTES // bytes_per_leaf(plan))
    for start in tracked(range(0, plan.leaves, rows), "building experts", enabled=progress):
        part = slice(start, start + rows)
        weight[part], bias[part] = fit_experts(f, plan, leaves[part])
    return weight, bias
