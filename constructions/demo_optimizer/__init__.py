"""DeMo: every worker keeps its momentum, sends the largest coefficients of a transform, and all take the same step.

Source: arXiv:2411.19870; the algorithm, its theorems and their proofs are in docs/demo_optimizer.md.

Main definitions: `DeMo`, `SimulatedDeMo`, `compress`, `decompress`, `payload`, `wire`.
"""

from constructions.demo_optimizer.agreement import WorkersDiverged
from constructions.demo_optimizer.base import GradientRefused, OptionsDiffer, StepCounts
from constructions.demo_optimizer.chunks import Chunks
from constructions.demo_optimizer.coding import Compressed, compress, decompress
from constructions.demo_optimizer.optimizer import DeMo
from constructions.demo_optimizer.simulated import SimulatedDeMo
from constructions.demo_optimizer.transforms import Basis, basis, dct_matrix, hadamard_matrix, random_orthogonal_matrix
from constructions.demo_optimizer.wire import Payload, Wire, break_even, payload, wire

__all__ = [
    "Basis",
    "Chunks",
    "Compressed",
    "DeMo",
    "GradientRefused",
    "OptionsDiffer",
    "Payload",
    "SimulatedDeMo",
    "StepCounts",
    "Wire",
    "WorkersDiverged",
    "basis",
    "break_even",
    "compress",
    "dct_matrix",
    "decompress",
    "hadamard_matrix",
    "payload",
    "random_orthogonal_matrix",
    "wire",
]
