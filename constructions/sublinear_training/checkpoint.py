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
from constructions.runs import run_digest
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
        clean = {name: t.detach().cpu().contiguous().clone() for name, t in tensors.items()}
        numbers = {"run": self._digest, "steps": [s.numbers() for s in steps]}
        numbers["content"] = _content(clean, numbers)
        write_tensors(self.path, clean, {ENTRY: json.dumps(numbers)})

    def read(
        self, weight: Tensor, state: dict[str, Tensor], n: int
    ) -> tuple[Tensor, dict[str, Tensor], list[StepRecord]] | None:
        """What was written for weights and a state of these shapes and n points, None when there is no such file;
        StoreError when it is damaged or of another run."""
        if not os.path.lexists(self.path):
            return None
        try:
            require_regular(self.path)
            with safe_open(self.path, framework="pt") as file:
                found = json.loads((file.metadata() or {}).get(ENTRY, "{}"))
                if not isinstance(found, dict) or found.get("run") != self._digest:
                    raise StoreError(f"cannot resume from {self.path}: it belongs to a run with other data or options")
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            if found.pop("content", None) != _content(tensors, found):
                raise StoreError(f"cannot resume from {self.path}: it was altered or damaged after it was written")
            return self._taken(tensors, found["steps"], weight, state, n)
        except StoreError:
            raise
        except (SafetensorError, OSError, ValueError, TypeError, KeyError, OverflowError, RecursionError) as err:
            raise StoreError(f"cannot resume from {self.path}: {type(err).__name__}: {err}") from err

    def _taken(
        self, tensors: dict[str, Tensor], steps: list[dict], weight: Tensor, state: dict[str, Tensor], n: int
    ) -> tuple[Tensor, dict[str, Tensor], list[StepRecord]]:
        """The tensors of a file, of the shapes and dtypes of these; StoreError otherwise."""
        count = len(steps)
        wanted = {"weight": weight, **{STATE + name: value for name, value in state.items()}}
        shapes = {name: (t.shape, t.dtype) for name, t in wanted.items()}
        shapes |= {
            "gram": (torch.Size((count, n, n)), weight.dtype),
            "solution": (torch.Size((count, n)), weight.dtype),
        }
        found = {name: (t.shape, t.dtype) for name, t in tensors.items()}
        finite = all(bool(torch.isfinite(t).all()) for t in tensors.values() if t.is_floating_point())
        if found != shapes or not finite:
            raise StoreError(f"cannot resume from {self.path}: its tensors are not those of this run")
        tensors = {name: t.to(weight.device) for name, t in tensors.items()}
        pairs = zip(steps, tensors["gram"], tensors["solution"], strict=True)
        records = [StepRecord.of(numbers, gram, solution) for numbers, gram, solution in pairs]
        return tensors["weight"], {name: tensors[STATE + name] for name in state}, records


def _content(tensors: dict[str, Tensor], numbers: dict) -> str:
    """A digest of all tensors by name, and of the numbers beside them."""
    names = sorted(tensors)
    return run_digest([tensors[name] for name in names], {"names": names, "numbers": numbers})
