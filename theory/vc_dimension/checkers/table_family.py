"""`TableFamily`: networks that are affine in a table of integers, one network a table.

Main definition: `TableFamily`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from constructions.vc_dimension.shattered_set import IntegerLayers


@dataclass(frozen=True)
class TableFamily:
    """`base` holds the layers (out, in), (out,) at A = 0; A_c·`vectors`[c] (in + 1, the bias last, padded with 0)
    is added to row `rows`[c] of layer `layers`[c]. Point i asks for bit `bit[i]` (1 the highest of `bits`) of entry
    `cell[i]`; `memory` hidden layers come before the bits. Arrays of int64, or of Python integers where those are
    too short.
    """

    points: np.ndarray
    cell: np.ndarray
    bit: np.ndarray
    bits: int
    memory: int
    base: list[tuple[np.ndarray, np.ndarray]]
    layers: np.ndarray
    rows: np.ndarray
    vectors: np.ndarray

    @property
    def size(self) -> int:
        return len(self.points)

    def networks(self, entries: np.ndarray) -> IntegerLayers:
        """Stacked layers of tables (B, C)."""
        stacked = []
        for i, (weight, bias) in enumerate(self.base):
            at = np.flatnonzero(self.layers == i)
            both = np.concatenate([weight, bias[:, None]], axis=1).astype(object)[None].repeat(len(entries), axis=0)
            added = self.vectors[at][None, :, : both.shape[2] - 1] * entries[:, at, None]
            constant = self.vectors[at][None, :, -1] * entries[:, at]
            for j, row in enumerate(self.rows[at]):
                both[:, row, :-1] += added[:, j]
                both[:, row, -1] += constant[:, j]
            stacked.append((both[..., :-1], both[..., -1]))
        return stacked
