"""Exported models in onnxruntime against the models themselves; part of `run.py`; alone: `benchmarks/exports.py`.

The same function at the same points, both with as many threads as torch has; answers are compared before they are timed
(onnxruntime runs node by node, so they are the same numbers). Without the extra `onnx` nothing is measured.

Main definitions: `evaluation`, `rows`.
"""

from __future__ import annotations

import importlib.util
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from timing import show, timed_row

from constructions import Options, build_momlp, export_bound, export_onnx, targets, train_momlp

MISSING = "exported models are not measured: the extra `onnx` (pip install 'momlp[onnx]') is not installed"
POINTS = 100_000
STEPS = 200


def available() -> bool:
    """Whether the extra is installed."""
    return all(importlib.util.find_spec(name) is not None for name in ("onnx", "onnxruntime"))


def models() -> Iterator[tuple[str, Any]]:
    """One of each kind that has another graph: pencils, a table of them, constants, trained experts."""
    f = targets.get("sum_of_sines", n=2)
    pencils = build_momlp(f, eps=0.01)
    yield f"pencils, eps=0.01, K={pencils.plan.knots}, L={pencils.num_leaves}", pencils
    yield "their table", pencils.tabulate()
    constants = build_momlp(f, eps=0.05, expert="constant")
    yield f"constants, eps=0.05, L={constants.num_leaves}", constants
    x = np.random.default_rng(0).random((2000, 2))
    fixed = {"leaves": 16, "expert_hidden": (16,), "options": Options(steps=STEPS)}
    yield "trained, 16 experts of 16 units", train_momlp(x, np.sin(12 * x[:, 0]) * x[:, 1], **fixed)


def evaluation(name: str, model: Any, x: torch.Tensor) -> dict:
    """Points a second of the file in onnxruntime and of the model, at points x (B, n); RuntimeError where they differ
    by more than the bound."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        path = export_onnx(model, Path(folder) / "model.onnx")
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        points = x.numpy()
        ours, theirs = lambda: session.run(None, {"x": points})[0], lambda: model(x)
        apart = np.abs(ours() - theirs().numpy()).max()
        if not apart <= float(export_bound(model, x).max()):
            raise RuntimeError(f"{name}: the file differs from the model by {apart}")
        return timed_row(
            f"evaluate in onnxruntime: {name}, {len(x)} points", "the model", "points/s", (len(x), len(x)), ours, theirs
        )


def rows(*, quick: bool = False) -> list[dict]:
    """A row a model; none, and a sentence, without the extra."""
    if not available():
        Console(stderr=True).print(MISSING, markup=False)
        return []
    x = torch.rand(
        POINTS // 10 if quick else POINTS, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64
    )
    return [evaluation(name, model, x) for name, model in models()]


if __name__ == "__main__":
    found = rows()
    if found:
        show(found, Console(width=180))
