"""Lines of Python for each claim: a small object, and the instrument that measures it (`momlp explain CLAIM`)."""

from __future__ import annotations

PLANNED = """
import torch, momlp
from constructions.distributed_momlp import plan_devices, simulated_traffic
plan = plan_devices(3, 0.1, 1.0, device_bytes=10**6, devices=4, batch=1000)
print(plan.messages, "messages,", plan.expected_bytes, "bytes if points are spread,", plan.worst_bytes, "at most")
model = momlp.build_momlp(momlp.targets.get("sum_of_sines", n=3), eps=0.1)
print(simulated_traffic(model, torch.rand(1000, 3).double(), world=4))  # points from rank to rank
"""

EXAMPLES = {
    "same_outputs": """
import tempfile, torch, momlp
from constructions.distributed_momlp import Ranks, ShardedMoMLP
model, x = momlp.build_momlp(momlp.targets.get("cone", n=2), eps=0.05), torch.rand(1000, 2).double()
path = momlp.save(model, tempfile.mkdtemp() + "/model.safetensors")
with Ranks.start() as ranks:  # one process; torchrun --nproc-per-node 4 makes it four
    print(torch.equal(ShardedMoMLP.load(path, ranks)(x), model(x)))  # True
""",
    "device_plan": PLANNED,
    "memory_budget": """
import tempfile, torch, momlp
model = momlp.build_momlp(momlp.targets.get("sum_of_sines", n=3), eps=0.02)
path = momlp.save(model, tempfile.mkdtemp() + "/model.safetensors")
lazy, x = momlp.load(path, lazy=True, budget_bytes=100_000), torch.rand(50, 3).double()
print(torch.equal(lazy(x), model(x)))  # True
print(lazy.resident_bytes, "bytes held, of", model.resident_bytes)
""",
}
