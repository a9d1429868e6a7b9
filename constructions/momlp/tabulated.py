"""`TabulatedMoMLP`: the same function as a mixture, from a table of its experts' values at their nodes.

The network is evaluated by running it: K units a point for pencils, hundreds of layers for bit extraction. But experts
interpolate between nodes, so their values there say all. A point costs its leaf, found as the lattice finds it, its
place between two nodes (on k axes: in a simplex of k + 1), and one interpolation.

Main definitions: `TabulatedMoMLP`, `tabulate`.
Main statement: |table(x) − network(x)| ≤ `slack` for every x of the domain, network(x) the stored network in real
arithmetic behind the router's own float64 arithmetic. With u = 2⁻⁵³, V the exact values at the nodes,
S ≥ |V_{j+1} − V_j| for all neighbours, K_i cells on each of k resolved axes (k = 1 for pencils):

    slack = S·Σ_i (drift_i + 12uK_i) + max|entry − V| + k·u·(max|V| + (k + 2.02)S)   (+ u₃₂·(max|V| + kS) in float32).

Proof. Leaves are equal, bit for bit: the same operations on the same numbers. Let z(x) = (x − lo)·K/ℓ be the place on
the regular grid, and P the interpolant of V at the integers.
(1) The network is P∘τ, τ the piecewise linear map of its own nodes to the integers. z and τ are affine between nodes
(before the first one, where a kink rounded upwards leaves a rest, τ goes on as z does, and S covers the slope there),
so |τ − z| is largest at a node: `drift`, computed there. P is S-Lipschitz in each coordinate.
(2) z is computed by a subtraction, a product and a rounded scale, a relative error below 3.01u, so the place that is
used is off by at most ρ = 4uK; subtracting the node's number from it is exact. If it falls into a neighbouring piece by
that, this piece continues P; where a compiler fuses the last two operations so that it lies ρ outside its piece, the
piece's affine function is off by 2Sρ: 3Sρ in all. Clamping to [0, K] is 1-Lipschitz, and the network's own place lies
there.
(3) An interpolation of entries is off by no more than an entry is. Entries are sums of twice float64's digits
(`double_double`), rounded once: off by u·max|V| and a term of u².
(4) V_j + w(V_{j+1} − V_j) takes a difference, a product and a sum: 2.02uS + u(max|V| + S) an axis. An answer in float32
is rounded once more. ∎

Implementation notes: all of the slack is computed from the weights (`nodes`), nothing is assumed. Only the table is a
parameter; the scale and the lattice are Python floats, so no cast can touch them. `theory` takes neither the table nor
the slack at its word, see `theory.checkers.uniform_error.table`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, final

import torch
from torch import Tensor, nn

from constructions import table_kernel
from constructions.errors import BudgetExceeded, require_int, shown
from constructions.functions.lipschitz_function import LipschitzFunction
from constructions.mixture import LatticeMixture, NodeTable, built_here
from constructions.momlp.plan import DTYPES, Plan, require_dtype
from constructions.nodes import Nodes, Spread
from constructions.pathway_tree.routed import Leaf, RoutedExperts
from constructions.table_kernel import Places

CHUNK_BYTES = 1 << 26
WORKING_COPIES = 48  # numbers of 8 bytes for each entry while values are summed
POINTS_AT_ONCE = 1 << 15


@final
@built_here
class TabulatedMoMLP(RoutedExperts):
    """`table` (L, nodes, m) holds the values of all experts of `network` at their nodes; made by `MoMLP.tabulate`.

    Experts, counts and certificates are those of the network, which stays as it is and where it is: .to(), .float()
    and .double() move and cast the table alone. `slack` bounds the distance from it (see the module's docstring).
    """

    def __init__(self, network: RoutedExperts, nodes: Nodes, table: Tensor, spread: Spread):
        super().__init__(network.lattice, network.tree, network.m)
        self._held = (network,)  # in a tuple: a submodule would be moved and cast together with the table
        self._nodes, self._spread = nodes.axes, spread
        self.table = nn.Parameter(table, requires_grad=False)
        self.places = Places.of(network.domain, network.cells, network.lattice.scale, nodes.axes)

    @classmethod
    def of(cls, network: RoutedExperts, nodes: Nodes, dtype: torch.dtype, max_bytes: int) -> TabulatedMoMLP:
        """The table of a network in `dtype`; BudgetExceeded above `max_bytes`."""
        require_dtype(dtype)
        require_int("max_bytes", max_bytes, 1)
        leaves, count, m = network.num_leaves, nodes.count, network.m
        size = leaves * count * m * DTYPES[dtype]
        if size > max_bytes:
            raise BudgetExceeded(
                f"the table of {shown(leaves)} experts of {shown(count)} nodes takes {shown(size)} bytes, more than "
                f"`max_bytes` = {max_bytes}: evaluate the network itself, or use a larger eps"
            )
        every = network.leaf_indices(network.place)
        table = torch.empty(leaves, count, m, dtype=dtype, device=network.place)
        spread, rows = Spread(), max(1, CHUNK_BYTES // (8 * WORKING_COPIES * count * m))
        for start in range(0, leaves, rows):
            found = nodes.values(every[start : start + rows])
            spread.include(found)
            table[start : start + rows] = found.values.to(dtype)
        spread.cast(dtype)
        if not bool(torch.isfinite(table).all()):
            raise ValueError(f"`dtype` {dtype} cannot hold the values of `model`")
        return cls(network, nodes, table, spread)

    # --- what it stands for ---

    @property
    def network(self) -> Any:
        """The mixture whose values the table holds."""
        return self._held[0]

    @property
    def plan(self) -> Plan:
        """The plan of the model that was tabulated."""
        return self.network.plan

    @property
    def target(self) -> LipschitzFunction | None:
        """The function that the model was built for, if it is known."""
        return self.network.target

    @property
    def slack(self) -> float:
        """|table(x) − network(x)| ≤ slack everywhere; grows when the table is cast to float32, and stays."""
        return self._spread.slack(self._nodes, self.table.dtype)

    @property
    def rounded(self) -> torch.dtype:
        """The coarsest dtype that the table's numbers have been in."""
        return self._spread.rounded

    @property
    def place(self) -> torch.device:
        return self.table.device

    @property
    def steep(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.network.steep

    @property
    def lazy(self) -> bool:
        """False: a table holds all experts at once."""
        return False

    @property
    def resident_bytes(self) -> int:
        """Bytes of the table; the network's are its own."""
        return self.table.nbytes

    @property
    def active_parameters(self) -> int:
        """Those of the network: what one answer loads of it."""
        return self.network.active_parameters

    @property
    def total_parameters(self) -> int:
        """Those of the network."""
        return self.network.total_parameters

    def node_table(self) -> NodeTable:
        lo, scale, cells = (
            zip(*((a.lo, a.scale, a.cells) for a in self._nodes), strict=True) if self._nodes else ((),) * 3
        )
        return NodeTable(self.network, self.table.detach(), lo, scale, cells, self.slack)

    def expert(self, leaf: Leaf) -> nn.Module:
        """The network's expert of one leaf."""
        return self.network.expert(leaf)

    def shared_layer(self) -> tuple[Tensor, Tensor, Tensor | None] | None:
        return self.network.shared_layer()

    def output_layers(self, leaves: Tensor) -> tuple[Tensor, Tensor]:
        return self.network.output_layers(leaves)

    def knots(self) -> Tensor | None:
        return self.network.knots()

    def tabulate(self, **options: Any) -> TabulatedMoMLP:
        return self.network.tabulate(**options)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> TabulatedMoMLP:
        """Called by .to(), .float() and the like."""
        dtype = fn(torch.empty(0, dtype=self.table.dtype, device=self.place)).dtype
        if dtype not in DTYPES:
            raise RuntimeError(f"a table must stay in float64 or float32, got {dtype}")
        super()._apply(fn, recurse)
        self._spread.cast(dtype)
        return self

    # --- evaluation ---

    def forward(self, x: Tensor, *, upcoming: Tensor | None = None) -> Tensor:
        """The interpolated values at x (B, n) -> (B, m), in the table's dtype.

        On a CPU the kernel of `momlp[fast]` runs where it is installed, elsewhere torch's operations; the bits are the
        same. ValueError for a wrong shape or a point outside the domain; as for a MoMLP, transforms and compilers look
        at no value. `upcoming` is ignored: all is at hand.
        """
        self.require_queries(x)
        tracing = torch.jit.is_tracing()  # pyright: ignore[reportPrivateImportUsage]
        if torch.compiler.is_compiling() or tracing:
            return self._gather(x)
        graph = torch.is_grad_enabled() and (x.requires_grad or self.table.requires_grad)
        y = None if graph else table_kernel.run(x, self.table, self.places)
        if y is not None:
            return y
        try:
            self.lattice.domain.require_inside("x", x)
        except RuntimeError:  # under vmap
            return self._gather(x)
        # on a CPU in parts that stay in its caches
        parts = x.split(POINTS_AT_ONCE) if x.device.type == "cpu" and len(x) else (x,)
        return torch.cat([self._gather(part) for part in parts])

    def _gather(self, x: Tensor) -> Tensor:
        """Torch's operations, which look at no value; any x, NaN included, stays within the table."""
        row = self.places.leaves(x)
        first, steps, shares = self.places.nodes(x, row)
        rows = self.table.reshape(-1, self.m)
        before = rows[first].double()
        y = before
        for step, share in zip(steps, shares, strict=True):
            after = rows[step].double()
            y = y + share[:, None] * (after - before)
            before = after
        return y.to(rows.dtype)

    def extra_repr(self) -> str:
        return f"n={self.n}, m={self.m}, leaves={self.num_leaves}, nodes={self.table.shape[1]}, slack={self.slack:.3g}"


def tabulate(model: LatticeMixture, **options: Any) -> TabulatedMoMLP:
    """`model.tabulate(dtype=None, max_bytes=…)`: the function of a built mixture, from a table of its values.

    TypeError for a model whose experts have no nodes (trained on data, or not built here), ValueError where its weights
    are no longer those of nodes, BudgetExceeded above `max_bytes`.
    """
    if not isinstance(model, LatticeMixture):
        raise TypeError(f"`model` must be a MoMLP to be tabulated, got {type(model).__name__}")
    table: Any = model.tabulate(**options)
    return table
