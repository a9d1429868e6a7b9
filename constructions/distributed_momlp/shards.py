"""`Shards`: which rank owns which expert — runs of whole subtrees, in the order of the tree, as even as they get.

Main definition: `Shards`.
Main statement: every leaf has exactly one owner; the ranks' numbers of leaves differ by at most one subtree of at most
max(1, L/(PIECES·world)) leaves. With more ranks than leaves some ranks own none.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import torch
from torch import Tensor

from constructions.errors import require_instance, require_int
from constructions.pathway_tree.prototype_tree import PrototypeTree
from constructions.pathway_tree.tree import IndexBox, PathwayTree

PIECES = 8
MOST_RANKS = 1 << 20
CHUNK_BYTES = 1 << 24


@dataclass(frozen=True)
class Shards:
    """`lower`, `upper` (S, q) are the index boxes of subtrees and `rank` (S,) their owners; leaves are (B, q).

    The leaves of a `PrototypeTree` are numbered in tree order: its subtrees are ranges of ids, q = 1.
    """

    world: int
    cells: tuple[int, ...]
    lower: Tensor
    upper: Tensor
    rank: Tensor
    counts: tuple[int, ...]

    @classmethod
    def of(cls, tree: PathwayTree | PrototypeTree, world: int) -> Shards:
        """Deal the leaves of a tree to `world` ranks."""
        require_int("world", world, 1, MOST_RANKS)
        require_instance("tree", tree, (PathwayTree, PrototypeTree))
        if isinstance(tree, PrototypeTree):
            cells, boxes = (tree.num_leaves,), _ranges(tree.num_leaves, world)
        else:
            cells = tree.cells
            boxes = _subtrees(tree, tree.root, max(1, tree.num_leaves // (PIECES * world)))
        total = math.prod(cells)
        counts, owners, before = [0] * world, [], 0
        for box in boxes:
            size = _size(box)
            owner = min(world - 1, (2 * before + size) * world // (2 * total))
            counts[owner] += size
            owners.append(owner)
            before += size
        q = len(cells)
        ends = torch.tensor(boxes, dtype=torch.int64).reshape(len(boxes), q, 2)
        return cls(world, cells, ends[..., 0], ends[..., 1], torch.tensor(owners), tuple(counts))

    def owner(self, leaves: Tensor) -> Tensor:
        """Ranks (B,), int64, of leaves (B, q)."""
        require_instance("leaves", leaves, Tensor)
        place, q = leaves.device, len(self.cells)
        if leaves.dtype != torch.int64 or leaves.ndim != 2 or leaves.shape[1] != q or leaves.is_meta:
            found = f"{leaves.dtype} {tuple(leaves.shape)} on {place}"
            raise ValueError(f"`leaves` must be int64 of shape (B, {q}), got {found}")
        lower, upper, rank = (t.to(place) for t in (self.lower, self.upper, self.rank))
        rows = max(1, CHUNK_BYTES // max(1, 4 * lower.numel()))
        found = []
        for part in leaves.split(rows):
            inside = ((part[:, None] >= lower) & (part[:, None] < upper)).all(-1)
            found.append(rank[inside.int().argmax(-1)])
        return torch.cat(found)

    def leaves_of(self, rank: int) -> Tensor:
        """Leaf ids (E,), ascending, that a rank owns; ids are lexicographic in the multi-index."""
        require_int("rank", rank, 0, self.world - 1)
        parts = [torch.empty(0, dtype=torch.int64)]
        mine = (self.rank == rank).nonzero()[:, 0].tolist()
        for box in mine:
            ids = torch.zeros(1, dtype=torch.int64)
            for axis, count in enumerate(self.cells):
                steps = torch.arange(int(self.lower[box, axis]), int(self.upper[box, axis]))
                ids = (ids[:, None] * count + steps).flatten()
            parts.append(ids)
        return torch.cat(parts).sort().values


def _size(box: IndexBox) -> int:
    return math.prod(b - a for a, b in box)


def _subtrees(tree: PathwayTree, node: IndexBox, most: int) -> list[IndexBox]:
    """Subtrees of at most `most` leaves below a node, from left to right."""
    if _size(node) <= most or tree.is_leaf(node):
        return [node]
    return [piece for child in tree.children(node) for piece in _subtrees(tree, child, most)]


def _ranges(leaves: int, world: int) -> list[IndexBox]:
    ends = [leaves * r // world for r in range(world + 1)]
    return [((a, b),) for a, b in itertools.pairwise(ends) if a < b]
