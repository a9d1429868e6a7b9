"""Checkpoints of a Gauss–Newton run: written whole, resumed only by the run that wrote them.

Main definition: `Checkpoint`.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from constructions.errors import StoreError
from constructions.files import require_regular, write_tensors
from constructions.sublinear_training.trace import StepRecord

ENTRY = "momlp_gauss_newton"
STATE = "state."


class Checkpoint:
    """The file of one run, which its digest identifies."""

    def __init__(self, path: Path, digest: str):
        self.path, self._digest = path, digest

    def write(self, weight: Tensor, state: dict[str, Tensor], steps: list[StepRecord]) -> None:
        """Write weights, what the method keeps, and all steps; OSError names the path."""
        tensors = {"weight": weight, **{STATE + name: value for name, value in state.items()}}
        tensors["gram"] = torch.stack([s.gram for s in steps])
        tensors["solution"] = torch.stack([s.solution for s in steps])
        numbers = json.dumps({"run": self._digest, "steps": [s.numbers() for s in steps]})
        clean = {name: t.detach().cpu().contiguous().clone() for name, t in tensors.items()}
        write_tensors(self.path, clean, {ENTRY: numbers})

    def read(self, device: torch.device) -> tuple[Tensor, dict[str, Tensor], list[StepRecord]] | None:
        """What was written, None when there is no such file; StoreError when it is damaged or of another run."""
        if not os.path.lexists(self.path):
            return None
        try:
            require_regular(self.path)
            with safe_open(self.path, framework="pt") as file:
                found = json.loads((file.metadata() or {}).get(ENTRY, "{}"))
                if not isinstance(found, dict) or found.get("run") != self._digest:
                    raise StoreError(f"cannot resume from {self.path}: it belongs to a run with other data or options")
                tensors = {name: file.get_tensor(name).to(device) for name in file.keys()}  # noqa: SIM118
            state = {name[len(STATE) :]: t for name, t in tensors.items() if name.startswith(STATE)}
            grams, solutions = tensors["gram"], tensors["solution"]
            steps = [
                StepRecord.of(numbers, gram, solution)
                for numbers, gram, solution in zip(found["steps"], grams, solutions, strict=True)
            ]
            return tensors["weight"], state, steps
        except StoreError:
            raise
        except (SafetensorError, OSError, ValueError, TypeError, KeyError, RecursionError) as err:
            raise StoreError(f"cannot resume from {self.path}: {err}") from err
