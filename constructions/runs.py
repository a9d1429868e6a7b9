"""What tells one run of a computation from another: a digest of its data and options.

Main definition: `run_digest`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable

from torch import Tensor

from constructions.expert_rows.file import raw


def run_digest(tensors: Iterable[Tensor], options: dict) -> str:
    """SHA-256 of a run's data and options: a checkpoint of another run is refused."""
    digest = hashlib.sha256(json.dumps(options, sort_keys=True, default=str).encode())
    for tensor in tensors:
        digest.update(raw(tensor.detach().cpu()))
    return digest.hexdigest()
