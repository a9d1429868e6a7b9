"""One mixture over many machines: the router everywhere, each expert on one rank, points travel.

Main definitions: `Ranks`, `Shards`, `ShardedMoMLP`, `evaluate_file`, `plan_devices`, `simulated_traffic`.
"""

from constructions.distributed_momlp.planner import DevicePlan, plan_devices
from constructions.distributed_momlp.points import evaluate_file
from constructions.distributed_momlp.sharded_momlp import ShardedMoMLP
from constructions.distributed_momlp.shards import Shards
from constructions.distributed_momlp.simulated import simulated_traffic
from constructions.errors import RankFailed, RankLost
from constructions.ranks import Ranks

__all__ = [
    "DevicePlan",
    "RankFailed",
    "RankLost",
    "Ranks",
    "ShardedMoMLP",
    "Shards",
    "evaluate_file",
    "plan_devices",
    "simulated_traffic",
]
