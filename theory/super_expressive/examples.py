"""Lines of Python for each claim: a small object, and the instrument that measures it (`momlp explain CLAIM`)."""

from __future__ import annotations

EXAMPLES = {
    "infinite_vc_dimension": """
from constructions.super_expressive import SineFamily
from theory.super_expressive.checkers import every_labeling, exact_labels, shattered_exactly
print(shattered_exactly("sine", 8, every_labeling(8)).failure)  # None
print(exact_labels("sine", SineFamily().weight([1, 0, 0, 1]), 4)[0])
""",
    "floating_point": """
import torch
from theory.super_expressive.checkers import realised_in_float
for dtype in (torch.float32, torch.float64):
    found = realised_in_float("sine", dtype, torch.Generator().manual_seed(0))
    print(dtype, found.points, found.failure)
""",
}
