"""`ShardedMoMLP`: one mixture over many processes. The router is everywhere, each expert on one rank.

A forward pass sends every point to the rank that owns its expert and brings the answer back, in order:
counts, points and answers are one all-to-all each.

Main definition: `ShardedMoMLP`.
Main statement: outputs are bitwise those of the model in one process, because a point's answer is a sum in a fixed
order over its own expert's weights and does not depend on the batch (`MoMLP.run_experts`, `TrainedMoMLP.run_experts`).
Ranks of a model stored as its plan build their experts; these have the same bits where f's values do not depend on the
batch.
"""

from __future__ import annotations

import os

import numpy as np
import torch
from torch import Tensor

from constructions.arrays import Array, as_given, tensor_of
from constructions.distributed_momlp.shards import Shards
from constructions.errors import require_instance, require_path, require_points
from constructions.expert_rows.cache import Rows
from constructions.momlp.model import MoMLP
from constructions.momlp.tabulated import TabulatedMoMLP
from constructions.ranks import Ranks
from constructions.store import load
from constructions.trained_momlp import TrainedMoMLP

FORWARD_STAGES = ("announcing points", "sending points", "returning answers")
READ_EXPERTS = 4096
ANSWER_ROWS = 1 << 14


class ShardedMoMLP:
    """Every method with "together" in its description must be called by all ranks.

    `model` is the replicated part, a lazy model: router, shared layers, and the way to run experts. `rows` are this
    rank's experts, those of the leaf ids `own`; None for a model stored as its plan, whose experts are built when
    needed.
    """

    def __init__(self, model: MoMLP | TrainedMoMLP, shards: Shards, ranks: Ranks, own: Tensor, rows: Rows | None):
        self.model, self.shards, self.ranks, self.own, self.rows = model, shards, ranks, own, rows

    @classmethod
    def load(cls, path: str | os.PathLike, ranks: Ranks) -> ShardedMoMLP:
        """The model stored at `path`, this rank's experts only. Together; `StoreError` on every rank if one has it."""
        require_instance("ranks", ranks, Ranks)
        require_path("path", path)
        result, error = None, None
        try:
            result = cls._load(path, ranks)
        except Exception as err:
            error = err
        ranks.agree(error, f"loading {os.fspath(path)}")
        assert result is not None
        return result

    @classmethod
    def _load(cls, path: str | os.PathLike, ranks: Ranks) -> ShardedMoMLP:
        model = load(path, lazy=True, device=ranks.device)
        assert not isinstance(model, TabulatedMoMLP)  # which are not loaded lazily
        shards = Shards.of(model.tree, ranks.world)
        assert model.cache is not None
        if isinstance(model, MoMLP) and not model.stored:
            return cls(model, shards, ranks, torch.empty(0, dtype=torch.int64), None)
        own = shards.leaves_of(ranks.rank)
        # each part goes into place as it is read, so that loading takes one part more than what is kept
        kept = tuple(t.new_empty(len(own), *t.shape[1:]) for t in model.cache.rows)
        for first in range(0, len(own), READ_EXPERTS):
            part = own[first : first + READ_EXPERTS]
            for held, new in zip(kept, model.cache.source(part[:, None].to(ranks.device)), strict=True):
                held[first : first + len(part)] = new
        model.cache.release()  # of the others' experts not even the digests are kept
        return cls(model, shards, ranks, own.to(ranks.device), kept)

    @property
    def n(self) -> int:
        """How many numbers a point has."""
        return self.model.n

    @property
    def m(self) -> int:
        """How many outputs."""
        return self.model.m

    @property
    def num_leaves(self) -> int:
        """L, of the whole mixture."""
        return self.model.num_leaves

    @property
    def own_experts(self) -> int:
        """How many experts this rank holds, or would build, for a model stored as its plan."""
        return self.shards.counts[self.ranks.rank] if self.rows is None else len(self.rows[0])

    @property
    def resident_bytes(self) -> int:
        """Bytes of router, shared layers and experts on this rank."""
        held = 0 if self.rows is None else sum(t.nbytes for t in self.rows) + self.own.nbytes
        return self.model.resident_bytes + held

    def __call__(self, x: Array) -> Array:
        """This rank's points (B, n), B ≥ 0 and different on every rank -> (B, m), an array for an array. Together.

        ValueError on the rank whose points are wrong and `RankFailed` on the others; `RankLost` when a rank is gone.
        """
        points, leaves, error = None, None, None
        try:
            points = tensor_of("x", x).to(self.ranks.device) if isinstance(x, np.ndarray) else x
            leaves = self._route(points)
        except Exception as err:
            error = err
        self.ranks.agree(error, "routing")
        assert leaves is not None
        assert points is not None
        return as_given(self._exchanged(points, leaves), x)

    def _exchanged(self, x: Tensor, leaves: Tensor) -> Tensor:
        """Every point to the rank that owns its leaf, and the answers back."""
        owner = self.shards.owner(leaves)
        order = torch.argsort(owner, stable=True)
        counts = torch.bincount(owner, minlength=self.ranks.world)
        sent = counts.tolist()
        announcing, sending, returning = FORWARD_STAGES
        expected = self.ranks.exchange_counts(counts, announcing)
        points = self.ranks.exchange(x[order], sent, expected, sending)
        answers, error = torch.empty(0), None
        try:
            answers = self._answer(points)
        except Exception as err:
            error = err
        self.ranks.agree(error, "answering points")
        back = self.ranks.exchange(answers, expected, sent, returning)
        result = torch.empty_like(back)
        result[order] = back
        return result

    def predict(self, x: Array) -> Array:
        """A call, by the name that it has in models of one process. Together."""
        return self(x)

    def report(self) -> dict:
        """What this rank holds and sent so far; `forward` is the traffic of all forward passes."""
        stages = [self.ranks.traffic[s] for s in FORWARD_STAGES if s in self.ranks.traffic]
        return {
            "rank": self.ranks.rank,
            "experts": self.own_experts,
            "resident_bytes": self.resident_bytes,
            "forward_messages": sum(t.messages for t in stages),
            "forward_bytes": sum(t.bytes for t in stages),
        }

    def _route(self, x: Tensor) -> Tensor:
        require_points("x", x, self.n)
        if isinstance(self.model, MoMLP):
            self.model.require_queries(x)
            self.model.lattice.domain.require_inside("x", x)
        leaves = self.model.route(x)
        return leaves if leaves.ndim == 2 else leaves[:, None]

    def _answer(self, x: Tensor) -> Tensor:
        """Outputs (B, m) of points whose experts this rank owns."""
        if self.rows is None or not len(x):
            return self.model(x)
        leaves = self._route(x)
        flat = self.model.tree.flat_index(leaves) if isinstance(self.model, MoMLP) else leaves[:, 0]
        at = torch.searchsorted(self.own, flat)
        parts = zip(x.split(ANSWER_ROWS), at.split(ANSWER_ROWS), strict=True)
        return torch.cat([self.model.run_experts(points, self.rows, index) for points, index in parts])
