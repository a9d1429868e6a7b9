"""The workers of a process group: one gather of equal messages, and whether all hold the same bytes.

Main definitions: `Workers`, `WorkersDiverged`, `digests`, `require_agreement`.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from constructions.ranks import clear_loss

DIGEST = 8


class WorkersDiverged(RuntimeError):
    """Workers that must hold the same parameters do not."""


@dataclass(frozen=True)
class Workers:
    """This process is worker `rank` of `world` in `group` (None: torch's default one)."""

    rank: int
    world: int
    group: Any = None

    @classmethod
    def of(cls, group: Any) -> Workers:
        """The workers of a process group; of the default one for None; alone where there is none."""
        if group is None and not (dist.is_available() and dist.is_initialized()):
            return cls(0, 1)
        rank = dist.get_rank(group)
        if rank < 0:
            raise ValueError("`process_group` must be a group that this rank belongs to")
        return cls(rank, dist.get_world_size(group), group)

    def gather(self, message: Tensor, stage: str) -> list[Tensor]:
        """`message`, of the same size everywhere, of every worker, in the order of ranks, on the device of this one's.

        One collective. RankLost when a worker is gone or silent for the timeout of its group.
        """
        if self.world == 1:
            return [message]
        place = self._place(message)
        sent = message.to(place).contiguous()
        received = [torch.empty_like(sent) for _ in range(self.world)]
        with clear_loss(stage, self.rank, None):
            dist.all_gather(received, sent, group=self.group)
        return [r.to(message.device) for r in received]

    def gathered(self, value: Any, stage: str) -> list[Any]:
        """A picklable value of every worker, in the order of ranks."""
        if self.world == 1:
            return [value]
        values: list[Any] = [None] * self.world
        with clear_loss(stage, self.rank, None):
            dist.all_gather_object(values, value, group=self.group)
        return values

    def _place(self, message: Tensor) -> torch.device:
        """Where the group's transport reads: gloo on the host, nccl on this process's CUDA device."""
        backend = dist.get_backend(self.group)
        if backend == "gloo":
            return torch.device("cpu")
        if backend == "nccl" and message.device.type != "cuda":
            return torch.device("cuda", torch.cuda.current_device())
        return message.device


def digests(tensors: Sequence[Tensor]) -> Tensor:
    """(n, 8) uint8: blake2b of every tensor's bytes, in the order of its entries."""
    rows = [hashlib.blake2b(_bytes(t), digest_size=DIGEST).digest() for t in tensors]
    return torch.frombuffer(bytearray(b"".join(rows)), dtype=torch.uint8).view(-1, DIGEST) if rows else _no_digests()


def _no_digests() -> Tensor:
    return torch.zeros(0, DIGEST, dtype=torch.uint8)


def _bytes(tensor: Tensor) -> bytes:
    flat = tensor.detach().cpu().contiguous().reshape(-1)
    return flat.view(torch.uint8).numpy().tobytes()


def require_agreement(names: Sequence[str], tensors: Sequence[Tensor], workers: Workers) -> None:
    """WorkersDiverged with the first parameter whose bytes are not the same on all workers, and on which they are not.

    Those that differ are those outside the largest party; of equally large ones that with the lowest rank counts.
    """
    if workers.world == 1 or not tensors:
        return
    gathered = workers.gather(digests(tensors), "comparing the parameters of all ranks")
    all_digests = torch.stack(gathered).tolist()
    for i, name in enumerate(names):
        mine = [bytes(rows[i]) for rows in all_digests]
        if len(set(mine)) > 1:
            largest = max(Counter(mine).items(), key=lambda pair: (pair[1], -mine.index(pair[0])))[0]
            ranks = [str(r) for r, digest in enumerate(mine) if digest != largest]
            raise WorkersDiverged(f"parameter {name} differs on rank{'s' * (len(ranks) > 1)} {', '.join(ranks)}")
