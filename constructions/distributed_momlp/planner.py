"""How many devices a mixture needs and what they say to each other, before anything is built.

Main definitions: `plan_devices`, `DevicePlan`.
Main statements, for W devices and b points a device: experts a device ⌈L/W⌉ up to one subtree (exact from `Shards` when
W ≤ 4096); a forward pass is three all-to-alls, so 3(W − 1) messages a device, and
8(W − 1) + r(8n + item·m) bytes, where r ≤ b of its points belong to other devices (r = b(W − 1)/W on average if
points are spread evenly).
"""

from __future__ import annotations

from dataclasses import dataclass

from constructions.distributed_momlp.shards import PIECES, Shards
from constructions.errors import require_int, require_positive
from constructions.functions.lipschitz_function import LipschitzFunction
from constructions.momlp.plan import DTYPES, Plan, plan

EXACT_WORLD = 64
ID_BYTES = 8
LISTED_LEAVES = 1 << 62  # beyond, leaves have no ids to cut the tree at
MAX_OUTPUTS = 1 << 20


@dataclass(frozen=True)
class DevicePlan:
    """`experts` is the most on one device, `bytes` what they take there with the shared layer and their ids.

    `needed` is the least number of devices of `device_bytes` that hold the mixture.
    """

    design: Plan
    devices: int
    device_bytes: int
    batch: int
    leaves: int
    experts: int
    bytes: int
    needed: int

    @property
    def fits(self) -> bool:
        """Whether every device holds its share."""
        return self.bytes <= self.device_bytes

    @property
    def messages(self) -> int:
        """Messages that one device sends in a forward pass."""
        return 3 * (self.devices - 1)

    def sent_bytes(self, remote_in: int, remote_out: int) -> int:
        """Bytes that a device sends when `remote_in` of its points belong to others and it answers `remote_out` of
        theirs."""
        n, m = self.design.n, self.design.m
        return 8 * (self.devices - 1) + remote_in * 8 * n + remote_out * DTYPES[self.design.dtype] * m

    @property
    def expected_bytes(self) -> int:
        """`sent_bytes` when points are spread evenly over the experts, rounded up."""
        away = _ceil(self.batch * (self.devices - 1), self.devices)
        return self.sent_bytes(away, away)

    @property
    def worst_bytes(self) -> int:
        """The most that any device can send: all its points are others', and all points of the others are its own."""
        others = self.devices - 1
        return self.sent_bytes(self.batch, self.batch * others) if others else 0


def plan_devices(
    n: int, eps: float, lam: float, *, device_bytes: int, devices: int, batch: int = 1 << 16, m: int = 1
) -> DevicePlan:
    """Cost of a pencil mixture for any λ-Lipschitz f: [0,1]^n → R^m and uniform error eps on `devices` devices."""
    require_int("device_bytes", device_bytes, 1)
    require_int("devices", devices, 1)
    require_int("batch", batch, 1)
    require_int("m", m, 1, MAX_OUTPUTS)
    require_positive("lam", lam)
    # plans depend on n, m, λ and the domain only
    design = plan(LipschitzFunction(lambda x: x[:, :1].expand(-1, m), n=n, m=m, lipschitz=lam), eps)
    item = DTYPES[design.dtype]
    each = m * (design.columns + 1) * item + ID_BYTES
    shared = (design.stored_parameters - design.leaves * m * (design.columns + 1)) * item
    if devices <= EXACT_WORLD and design.leaves < LISTED_LEAVES:
        experts = max(Shards.of(design.tree, devices).counts)
    else:
        piece = max(1, design.leaves // (PIECES * devices))
        experts = _ceil(design.leaves, devices) + (piece if design.leaves > devices else 0)
    needed = 0 if device_bytes <= shared else _ceil(design.leaves, max(1, (device_bytes - shared) // each))
    held = shared + experts * each
    return DevicePlan(design, devices, device_bytes, batch, design.leaves, experts, held, needed)


def _ceil(total: int, parts: int) -> int:
    """⌈total/parts⌉ of integers of any size."""
    return -(-total // parts)
