"""One mixture over many machines: the router everywhere, each expert on one rank, points travel.

Main definitions: `Ranks`, `Shards`, `ShardedMoMLP`, `evaluate_file`, `plan_devices`, `simulated_traffic`.
"""

from constructions.distributed.planner import DevicePlan, plan_devices
from constructions.distributed.points import evaluate_file
from constructions.distributed.ranks import RankFailed, RankLost, Ranks
from constructions.distributed.sharded_momlp import ShardedMoMLP
from constructions.distributed.shards import Shards
from constructions.distributed.simulated import simulated_traffic

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
