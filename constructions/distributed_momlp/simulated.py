"""Which rank would send how many points to which, in one process: for pictures and plans, not for answers.

Main definition: `simulated_traffic`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from constructions.distributed_momlp.shards import Shards
from constructions.momlp.model import MoMLP
from constructions.trained_momlp import TrainedMoMLP


def simulated_traffic(model: MoMLP | TrainedMoMLP, x: Tensor, world: int) -> Tensor:
    """Points (world, world), int64: entry (s, r) counts the points that rank s sends to rank r when the points x (B, n)
    are dealt out in `world` consecutive blocks."""
    leaves = model.route(x)
    owner = Shards.of(model.tree, world).owner(leaves if leaves.ndim == 2 else leaves[:, None])
    ends = torch.tensor([len(x) * r // world for r in range(world + 1)])
    sender = torch.repeat_interleave(torch.arange(world), torch.diff(ends)).to(owner.device)
    return torch.bincount(sender * world + owner, minlength=world * world).view(world, world)
