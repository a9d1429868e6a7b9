"""Trained models (`TrainedMoMLP`) in a file: router, standardisation, and one row of numbers an expert.

Layout: tensors `experts` (L, P), `prototypes` (V, n), `children` (V, v), `leaf_prototypes` (L, n), `input_shift`,
`input_scale` (n,) and `expert_digests`. The spec has `schema`, `kind` "trained", `widths`, `task`, `router`, `dtype`
and `root`, the SHA-256 of the rest of the spec, all tensors but the experts, and the digest table.

Main definitions: `save_trained`, `load_trained`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from constructions.errors import StoreError
from constructions.expert_rows.file import (
    DAMAGE,
    DIGESTS,
    SCHEMA,
    ExpertFile,
    StoredExperts,
    expert_digests,
    raw,
    require_shapes,
    root_digest,
    write_model,
)
from constructions.pathway_tree.prototype_tree import PrototypeTree
from constructions.trained_momlp.bank import parameters
from constructions.trained_momlp.model import TrainedMoMLP

KIND = "trained"
EXPERTS = ("experts",)
ROUTER = ("prototypes", "children", "leaf_prototypes", "input_shift", "input_scale")
DTYPES = {"float64": torch.float64, "float32": torch.float32}


def save_trained(model: TrainedMoMLP, path: str | os.PathLike) -> Path:
    """Write `model` to `path`; StoreError for a lazy model, which is stored already, or an unwritable path."""
    if model.experts is None:
        raise StoreError("a lazy TrainedMoMLP is read from its file: copy that file instead of saving it again")
    if model.dtype not in DTYPES.values():
        raise StoreError(f"`model` must have float64 or float32 weights to be stored, got {model.dtype}")
    tree = model.tree
    held = (tree.prototypes, tree.children, tree.leaf_prototypes, model.input_shift, model.input_scale)
    tensors = {name: t.detach().cpu().contiguous() for name, t in zip(ROUTER, held, strict=True)}
    tensors["experts"] = model.experts.detach().cpu().contiguous()
    tensors[DIGESTS] = expert_digests([tensors["experts"]])
    spec: dict[str, Any] = {
        "schema": SCHEMA,
        "kind": KIND,
        "widths": list(model.widths),
        "task": model.task,
        "router": model.router,
        "dtype": str(model.dtype).removeprefix("torch."),
        "nodes": tree.num_nodes,
        "valency": tree.valency,
        "leaves": tree.num_leaves,
    }
    spec["root"] = root_digest(spec, _hashed(tensors))
    return write_model(path, spec, tensors)


def _hashed(tensors: dict[str, Tensor]) -> Iterator[tuple[str, Iterable[bytes]]]:
    for name in (*ROUTER, DIGESTS):
        if name in tensors:
            yield name, [raw(tensors[name])]


def load_trained(
    path: Path, spec: dict[str, Any], *, lazy: bool, device: torch.device, memory: dict[str, int]
) -> TrainedMoMLP:
    """The model stored at `path`, bitwise as it was saved; `memory` are the options of a lazy model."""
    try:
        widths = tuple(int(w) for w in spec["widths"])
        require_shapes(path, _expected_shapes(spec, widths), DTYPES[spec["dtype"]], EXPERTS)
        file = ExpertFile(path, EXPERTS)
        with safe_open(path, framework="pt") as opened:
            # out of the file's memory map, so that only what is asked for is held
            router = {name: opened.get_tensor(name).clone() for name in ROUTER}

        def parts() -> Iterator[tuple[str, Iterable[bytes]]]:
            yield from _hashed(router)
            yield DIGESTS, file.chunks(DIGESTS)

        if root_digest(spec, parts()) != spec["root"]:
            raise StoreError(f"{path}: the root digest of its spec and router differs: {DAMAGE}")
        dtype = DTYPES[spec["dtype"]]
        tree = PrototypeTree(router["prototypes"], router["children"], router["leaf_prototypes"])
        options: dict[str, Any] = {"task": spec["task"], "router": spec["router"], "dtype": dtype}
        if lazy:
            options |= {"source": StoredExperts(file, device), **memory}
            tree = tree.to(device)
        else:
            options["experts"] = file.experts(range(tree.num_leaves))[0]
        shift, scale = (router[name].to(device if lazy else "cpu") for name in ROUTER[3:])
        model = TrainedMoMLP(tree, widths, input_shift=shift, input_scale=scale, **options)
        return model if lazy else model.to(device)
    except (SafetensorError, OSError) as err:
        raise StoreError(f"cannot read {path}: {err}") from err
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RuntimeError) as err:
        if isinstance(err, StoreError) or type(err).__name__ == "BudgetExceeded" or "budget_bytes" in str(err):
            raise
        raise StoreError(f"{path} has an unreadable spec ({err!r}): {DAMAGE}") from err


def _expected_shapes(spec: dict[str, Any], widths: tuple[int, ...]) -> dict[str, list[int]]:
    n, nodes, leaves = widths[0], int(spec["nodes"]), int(spec["leaves"])
    return {
        "experts": [leaves, parameters(widths)],
        "prototypes": [nodes, n],
        "children": [nodes, int(spec["valency"])],
        "leaf_prototypes": [leaves, n],
        "input_shift": [n],
        "input_scale": [n],
        DIGESTS: [leaves, 32],
    }
