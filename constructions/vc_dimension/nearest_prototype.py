"""`NearestPrototype`: constants behind free prototypes, routed flat (one level) or down a tree (several levels).

At each node x goes to the child with the nearest prototype, ties to the lowest index, by direct squared differences.

Main definition: `NearestPrototype`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from constructions.errors import require_instance, require_points, shown
from constructions.fixed_order import squared_distances


class NearestPrototype(nn.Module):
    """`levels[h]` (v^h, v, n) holds the child prototypes of every node of depth h; `values` (L,) the leaves' answers.

    A flat router is a single level (1, L, n). TypeError or ValueError when the levels are not those of a full tree.
    """

    def __init__(self, levels: Sequence[Tensor], values: Tensor):
        super().__init__()
        if not isinstance(levels, (list, tuple)) or not levels:
            raise TypeError(f"`levels` must be a non-empty list of tensors, got {shown(levels)}")
        nodes, n = 1, None
        for h, level in enumerate(levels):
            _require_real(f"levels[{h}]", level)
            if level.ndim != 3 or len(level) != nodes or 0 in level.shape or level.shape[2] != (n or level.shape[2]):
                wanted = f"({nodes}, children, {n or 'n'})"
                raise ValueError(f"`levels[{h}]` must be prototypes {wanted}, got {tuple(level.shape)}")
            nodes, n = nodes * level.shape[1], level.shape[2]
        _require_real("values", values)
        if values.shape != (nodes,):
            raise ValueError(f"`values` must have shape ({nodes},), got {tuple(values.shape)}")
        self.levels = nn.ParameterList(nn.Parameter(level, requires_grad=False) for level in levels)
        self.values = nn.Parameter(values, requires_grad=False)

    @property
    def n(self) -> int:
        return self.levels[0].shape[2]

    @property
    def num_leaves(self) -> int:
        return len(self.values)

    def route(self, x: Tensor) -> Tensor:
        """Leaf ids (B,), int64, of points (B, n)."""
        require_points("x", x, self.n)
        node = torch.zeros(len(x), dtype=torch.int64, device=x.device)
        for level in self.levels:
            gap = squared_distances(x, level[node])
            node = node * level.shape[1] + gap.argmin(-1)
        return node

    def forward(self, x: Tensor) -> Tensor:
        """(B, n) -> (B, 1)."""
        return self.values[self.route(x)][:, None]


def _require_real(name: str, tensor: Tensor) -> None:
    require_instance(name, tensor, Tensor)
    if not tensor.is_floating_point():
        raise TypeError(f"`{name}` must be a floating tensor, got dtype {tensor.dtype}")
