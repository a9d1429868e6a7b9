"""Built models (`MoMLP`, `BitExtractionMoMLP`) in a file: weights, the plan, and digests that catch a flipped bit.

Layout: tensors `hidden_weight`, `hidden_bias`, `slope` (PReLU), `out_weight` (L, m, K), `out_bias` (L, m) and
`expert_digests`. The spec has `schema`, `kind` ("experts", or "plan" for a lazy model of a formula), `plan`,
`expression` (or null), `table` (how to tabulate it, where that is asked for) and `root`, the SHA-256 of the rest of the
spec, the shared layer and the digest table.

Main definitions: `save_built`, `load_built`, `table_spec`, `retabulated`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from constructions.errors import BudgetExceeded, StoreError
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
from constructions.functions.lipschitz_function import LipschitzFunction
from constructions.momlp.fit import fit_experts
from constructions.momlp.model import MoMLP
from constructions.momlp.plan import DTYPES, Plan
from constructions.momlp.tabulated import TabulatedMoMLP

KINDS = ("experts", "plan")
Kinds = Mapping[str, tuple[type[MoMLP], type[Plan]]]
"""Name of the experts in a plan -> classes of the model and of the plan."""
EXPERTS = ("out_weight", "out_bias")
# layers of bit-extraction experts follow from the plan: their digest is stored instead of them
SHARED = ("hidden_weight", "hidden_bias", "slope")


def save_built(model: MoMLP, path: str | os.PathLike, *, table: dict[str, str] | None = None) -> Path:
    """Write `model` to `path`, `table` says how it is to be tabulated; StoreError when it has no finite description or
    the path cannot be written."""
    target, dtype = model.target, next(model.parameters()).dtype
    if dtype not in DTYPES:
        raise StoreError(f"`model` must have float64 or float32 weights to be stored, got {dtype}")
    spec: dict[str, Any] = {
        "schema": SCHEMA,
        "kind": "plan" if model.lazy else "experts",
        "plan": replace(model.plan, dtype=dtype).to_spec(),  # the model may have been cast since it was built
        "expression": None if target is None else target.expression,
        "name": None if target is None else target.name,
    }
    if model.lazy and spec["expression"] is None:
        raise StoreError(
            "a lazy model of a black-box function cannot be saved: its experts exist only where it was asked; build "
            "it with lazy=False, or give the function as a formula (LipschitzFunction.from_sympy)"
        )
    shared = model.shared_digest()
    if shared is not None:
        spec["shared"] = shared
    if table is not None:
        spec["table"] = table
    tensors = {k: v.detach().cpu().contiguous() for k, v in model.named_parameters() if not k.startswith("shared_")}
    if not model.lazy:
        tensors[DIGESTS] = expert_digests(tensors[name] for name in EXPERTS)
    spec["root"] = root_digest(spec, _hashed(tensors))
    return write_model(path, spec, tensors)


def table_spec(model: TabulatedMoMLP) -> dict[str, str]:
    """How to make the model's table of its network again; StoreError when that would give another one."""
    again = model.network.tabulate(dtype=model.rounded, max_bytes=max(1, 8 * model.table.numel())).to(model.table.dtype)
    if not torch.equal(again.table, model.table.to(again.place)):
        raise StoreError("a table whose entries were changed cannot be saved: it is not that of its network")
    dtypes = {"rounded": model.rounded, "dtype": model.table.dtype}
    return {name: str(dtype).removeprefix("torch.") for name, dtype in dtypes.items()}


def retabulated(path: Path, model: MoMLP, spec: Any, max_bytes: int) -> TabulatedMoMLP:
    """The table of a loaded network as its file's `table` says; the sums are in a fixed order, so the bits are those
    that were saved."""
    names = {str(dtype).removeprefix("torch."): dtype for dtype in DTYPES}
    if not isinstance(spec, dict) or not {spec.get("rounded"), spec.get("dtype")} <= set(names):
        raise StoreError(f"{path} has an unreadable spec (table {spec!r}): {DAMAGE}")
    try:
        table = model.tabulate(dtype=names[spec["rounded"]], max_bytes=max_bytes)
    except ValueError as err:
        if isinstance(err, BudgetExceeded):
            raise
        raise StoreError(f"{path} holds a network that cannot be tabulated: {err}") from err
    return table.to(names[spec["dtype"]])


def _hashed(tensors: dict[str, Tensor]) -> Iterator[tuple[str, Iterable[bytes]]]:
    for name in (*SHARED, DIGESTS):
        if name in tensors:
            yield name, [raw(tensors[name])]


def load_built(
    path: Path,
    spec: dict[str, Any],
    kinds: Kinds,
    *,
    lazy: bool,
    device: torch.device,
    memory: dict[str, int],
    max_bytes: int,
) -> MoMLP:
    """The model stored at `path`, bitwise as it was saved; `memory` are the options of a lazy model."""
    kind, plan, tensors = _open(path, spec, kinds, with_experts=not lazy)
    plan.require_resolvable(max_bytes)  # a forged plan could ask for endless layers
    try:
        target = _target(spec, plan)
    except (LookupError, TypeError, ValueError, ArithmeticError, RuntimeError) as err:
        raise StoreError(f"{path} has a formula that cannot be read ({err}): {DAMAGE}") from err
    options: dict[str, Any] = {"target": target, "device": device}
    if spec["kind"] == "plan":
        if target is None:
            raise StoreError(f"{path} holds a plan without a formula: {DAMAGE}")
        model = kind(plan, source=lambda leaves: fit_experts(plan, target, leaves), **memory, **options)
    elif lazy:
        model = kind(plan, source=StoredExperts(ExpertFile(path, EXPERTS), device), stored=True, **memory, **options)
    else:
        experts = (tensors["out_weight"].to(device), tensors["out_bias"].to(device))
        model = kind(plan, weights=experts, **options)
    shared = model.shared_digest()
    if shared is not None and shared != spec["shared"]:
        raise StoreError(f"{path}: this version writes other layers for its plan than the one that stored it")
    with torch.no_grad():
        for name in SHARED:
            if name in tensors:
                getattr(model, name).copy_(tensors[name])
    return model


# --- reading ------------------------------------------------------------------------------------------


def _open(
    path: Path, spec: dict[str, Any], kinds: Kinds, *, with_experts: bool
) -> tuple[type[MoMLP], Plan, dict[str, Tensor]]:
    """The plan and the checked tensors: all of them, or all but the experts and their digests."""
    try:
        skipped = () if with_experts else (*EXPERTS, DIGESTS)
        with safe_open(path, framework="pt") as file:
            # out of the file's memory map, so that only what is asked for is held
            tensors = {k: file.get_tensor(k).clone() for k in file.keys() if k not in skipped}  # noqa: SIM118
        found = root_digest(spec, _hashed(tensors) if with_experts else _streamed(path, spec, tensors))
        if found != spec["root"]:
            raise StoreError(f"{path}: the root digest of its spec and shared layer differs: {DAMAGE}")
        # only now: the numbers of a damaged plan could ask for anything
        kind, plan_kind = kinds[spec["plan"]["expert"]]
        plan = plan_kind.from_spec(spec["plan"])
        shapes = _expected_shapes(spec, plan)
        require_shapes(path, shapes, plan.dtype, set(shapes) - {DIGESTS})
    except (SafetensorError, OSError) as err:
        raise StoreError(f"cannot read {path}: {err}") from err
    except (LookupError, TypeError, ValueError, AttributeError, StopIteration, ArithmeticError, RuntimeError) as err:
        if isinstance(err, StoreError):
            raise
        raise StoreError(f"{path} has an unreadable spec ({err!r}): {DAMAGE}") from err
    if EXPERTS[0] in tensors:
        wrong = (expert_digests(tensors[name] for name in EXPERTS) != tensors[DIGESTS]).any(-1)
        if bool(wrong.any()):
            first = int(wrong.int().argmax())
            raise StoreError(f"{path}: the digest of expert {first} differs ({int(wrong.sum())} in all): {DAMAGE}")
    return kind, plan, tensors


def _streamed(path: Path, spec: dict[str, Any], tensors: dict[str, Tensor]) -> Iterator[tuple[str, Iterable[bytes]]]:
    """`_hashed`, with the digest table read piece by piece and never held."""
    yield from _hashed(tensors)
    if spec["kind"] == "experts":
        yield DIGESTS, ExpertFile(path, EXPERTS).chunks(DIGESTS)


def _expected_shapes(spec: dict[str, Any], plan: Plan) -> dict[str, list[int]]:
    expected = {}
    if plan.has_shared_layer:
        expected |= {"hidden_weight": [plan.knots, plan.n], "hidden_bias": [plan.knots]}
    if plan.activation == "prelu" and plan.knots:
        expected["slope"] = [plan.knots]
    if spec["kind"] == "experts":
        expected["out_weight"] = [plan.leaves, plan.m, plan.columns]
        expected["out_bias"] = [plan.leaves, plan.m]
        expected[DIGESTS] = [plan.leaves, 32]
    return expected


def _target(spec: dict[str, Any], plan: Plan) -> LipschitzFunction | None:
    if spec["expression"] is None or plan.modulus.kind == "callable":
        return None
    options = {"n": plan.n, "domain": plan.domain, "name": spec["name"]}
    if plan.modulus.kind == "lipschitz":
        return LipschitzFunction.from_sympy(spec["expression"], lipschitz=plan.modulus.lam, **options)
    return LipschitzFunction.from_sympy(spec["expression"], modulus=plan.modulus, **options)
