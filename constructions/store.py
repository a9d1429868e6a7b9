"""One `.safetensors` file a model: weights, a JSON spec in the metadata, and digests that catch a flipped bit.

Layout: tensors `hidden_weight`, `hidden_bias`, `slope` (PReLU), `out_weight` (L, m, K), `out_bias` (L, m) and
`expert_digests` (L, 32), the SHA-256 of each expert's output layer. The metadata entry `momlp` is a JSON object with
`schema`, `kind` ("experts", or "plan" for a lazy model of a formula), `plan`, `expression` (or null) and `root`, the
SHA-256 of the rest of the spec, the shared layer and the digest table. Digests detect damage, not forgery: whoever
rewrites a file can rewrite its digests.

Main definitions: `save`, `load`, `SCHEMA`.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from constructions.atomic import write_whole
from constructions.bit_extraction_momlp import BitExtractionMoMLP
from constructions.bit_extraction_plan import BitExtractionPlan
from constructions.errors import StoreError
from constructions.fitting import fit_experts
from constructions.lattice import DTYPES, Plan
from constructions.momlp import DEFAULT_CACHE_BYTES, MoMLP
from constructions.targets import LipschitzFunction

SCHEMA = 1
# layers of bit-extraction experts follow from the plan: their digest is stored instead of them
SHARED = ("hidden_weight", "hidden_bias", "slope")
DAMAGE = "the file was altered or damaged after it was written"


def save(model: MoMLP, path: str | os.PathLike) -> Path:
    """Write `model` to `path` (whole or not at all) and return the path.

    A lazy model of a formula is saved as its plan; a lazy model of a black box has no finite description and is
    refused. Raises `StoreError` when refused or when the path cannot be written.
    """
    if not isinstance(model, MoMLP):
        raise TypeError(f"`model` must be a MoMLP, got {type(model).__name__}")
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
    if isinstance(model, BitExtractionMoMLP):
        spec["shared"] = _shared_digest(model)
    tensors = {k: v.detach().cpu().contiguous() for k, v in model.named_parameters() if not k.startswith("shared_")}
    if not model.lazy:
        tensors["expert_digests"] = _expert_digests(tensors["out_weight"], tensors["out_bias"])
    spec["root"] = _root_digest(spec, tensors)
    metadata = {"momlp": json.dumps(spec)}
    try:
        return write_whole(Path(path), lambda draft: save_file(tensors, draft, metadata=metadata))
    except (OSError, SafetensorError) as err:
        raise StoreError(str(err)) from err


def load(
    path: str | os.PathLike,
    *,
    lazy: bool = False,
    cache_bytes: int = DEFAULT_CACHE_BYTES,
    device: torch.device | str | None = None,
) -> MoMLP:
    """The model stored at `path`, bitwise as it was saved.

    With `lazy=True` experts are read one at a time when first needed, each checked against its digest, and kept
    under `cache_bytes`. Raises `StoreError` for a truncated, altered or foreign file.
    """
    source = Path(path)
    spec, plan, tensors = _open(source, with_experts=not lazy)
    place = torch.device(device) if device is not None else torch.device("cpu")
    target = _target(spec, plan)
    kind = BitExtractionMoMLP if isinstance(plan, BitExtractionPlan) else MoMLP
    if spec["kind"] == "plan":
        if target is None:
            raise StoreError(f"{source} holds a plan without a formula: {DAMAGE}")
        model = kind(
            plan,
            source=lambda leaves: fit_experts(target, plan, leaves),
            cache_bytes=cache_bytes,
            target=target,
            device=place,
        )
    elif lazy:
        model = kind(
            plan,
            source=_FileSource(source, plan, tensors["expert_digests"], place),
            cache_bytes=cache_bytes,
            target=target,
            device=place,
        )
    else:
        experts = (tensors["out_weight"].to(place), tensors["out_bias"].to(place))
        model = kind(plan, weights=experts, target=target, device=place)
    if isinstance(model, BitExtractionMoMLP) and _shared_digest(model) != spec["shared"]:
        raise StoreError(f"{source}: this version writes other layers for its plan than the one that stored it")
    with torch.no_grad():
        for name in SHARED:
            if name in tensors:
                getattr(model, name).copy_(tensors[name])
    return model


# --- reading ------------------------------------------------------------------------------------------


def _open(path: Path, *, with_experts: bool) -> tuple[dict[str, Any], Plan, dict[str, Tensor]]:
    """The checked spec, its plan, and the checked tensors (all of them, or all but the experts)."""
    try:
        with safe_open(path, framework="pt") as file:
            spec = _spec(path, file.metadata())
            plan = (BitExtractionPlan if "design" in spec["plan"] else Plan).from_spec(spec["plan"])
            _require_shapes(path, file, spec, plan)
            skipped = () if with_experts else ("out_weight", "out_bias")
            tensors = {k: file.get_tensor(k) for k in file.keys() if k not in skipped}  # noqa: SIM118
    except (SafetensorError, OSError) as err:
        raise StoreError(f"cannot read {path}: {err}") from err
    except (KeyError, TypeError, ValueError, StopIteration, ZeroDivisionError) as err:
        if isinstance(err, StoreError):
            raise
        raise StoreError(f"{path} has an unreadable spec ({err!r}): {DAMAGE}") from err
    if _root_digest(spec, tensors) != spec["root"]:
        raise StoreError(f"{path}: the root digest of its spec and shared layer differs: {DAMAGE}")
    if "out_weight" in tensors:
        found = _expert_digests(tensors["out_weight"], tensors["out_bias"])
        wrong = (found != tensors["expert_digests"]).any(-1)
        if bool(wrong.any()):
            first = int(wrong.int().argmax())
            raise StoreError(f"{path}: the digest of expert {first} differs ({int(wrong.sum())} in all): {DAMAGE}")
    return spec, plan, tensors


def _spec(path: Path, metadata: dict[str, str] | None) -> dict[str, Any]:
    text = (metadata or {}).get("momlp")
    if text is None:
        raise StoreError(f"{path} is a safetensors file, but not one that momlp wrote")
    try:
        spec = json.loads(text)
    except json.JSONDecodeError as err:
        raise StoreError(f"{path} has an unreadable spec: {DAMAGE}") from err
    if not isinstance(spec, dict) or spec.get("schema") != SCHEMA:
        found = spec.get("schema") if isinstance(spec, dict) else None
        raise StoreError(f"{path} has schema {found!r}, this version reads schema {SCHEMA}")
    return spec


def _require_shapes(path: Path, file: Any, spec: dict[str, Any], plan: Plan) -> None:
    expected = {}
    if not isinstance(plan, BitExtractionPlan):
        expected |= {"hidden_weight": [plan.knots, plan.n], "hidden_bias": [plan.knots]}
    if plan.activation == "prelu" and plan.knots:
        expected["slope"] = [plan.knots]
    if spec["kind"] == "experts":
        expected["out_weight"] = [plan.leaves, plan.m, plan.columns]
        expected["out_bias"] = [plan.leaves, plan.m]
        expected["expert_digests"] = [plan.leaves, 32]
    found = {k: list(file.get_slice(k).get_shape()) for k in file.keys()}  # noqa: SIM118
    if found != expected:
        raise StoreError(f"{path} has tensors {found}, its plan asks for {expected}: {DAMAGE}")


def _target(spec: dict[str, Any], plan: Plan) -> LipschitzFunction | None:
    if spec["expression"] is None or plan.modulus.kind == "callable":
        return None
    options = {"n": plan.n, "domain": plan.domain, "name": spec["name"]}
    if plan.modulus.kind == "lipschitz":
        return LipschitzFunction.from_sympy(spec["expression"], lipschitz=plan.modulus.lam, **options)
    return LipschitzFunction.from_sympy(spec["expression"], modulus=plan.modulus, **options)


class _FileSource:
    """Reads single experts from an open file and checks each against the digest table."""

    def __init__(self, path: Path, plan: Plan, digests: Tensor, device: torch.device):
        self.path, self.plan, self.digests, self.device = path, plan, digests, device
        self.file = safe_open(path, framework="pt").__enter__()
        self.weight, self.bias = self.file.get_slice("out_weight"), self.file.get_slice("out_bias")

    def __call__(self, leaves: Tensor) -> tuple[Tensor, Tensor]:
        # one read and one hash an expert is the point of this format, so this loop stays
        flat = self.plan.tree.flat_index(leaves).tolist()
        rows = [(self.weight[i : i + 1], self.bias[i : i + 1]) for i in flat]
        for i, (weight, bias) in zip(flat, rows, strict=True):
            if not torch.equal(_expert_digests(weight, bias)[0], self.digests[i]):
                raise StoreError(f"{self.path}: the digest of expert {i} differs: {DAMAGE}")
        weights, biases = zip(*rows, strict=True)
        return torch.cat(weights).to(self.device), torch.cat(biases).to(self.device)


# --- digests ------------------------------------------------------------------------------------------


def _raw(tensor: Tensor) -> bytes:
    return tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


def _expert_digests(weight: Tensor, bias: Tensor) -> Tensor:
    """SHA-256 (E, 32), uint8, of each expert's output weight and bias bytes."""
    count = len(weight)
    width, tail = weight[0].nbytes, bias[0].nbytes
    weights, biases = _raw(weight) if width else b"", _raw(bias)
    digests = bytearray()
    for i in range(count):
        digest = hashlib.sha256(weights[i * width : (i + 1) * width])
        digest.update(biases[i * tail : (i + 1) * tail])
        digests += digest.digest()
    return torch.frombuffer(digests, dtype=torch.uint8).reshape(count, 32)


def _shared_digest(model: BitExtractionMoMLP) -> str:
    digest = hashlib.sha256()
    for part in (*model.shared_weight, *model.shared_bias):
        digest.update(_raw(part.detach().cpu()))
    return digest.hexdigest()


def _root_digest(spec: dict[str, Any], tensors: dict[str, Tensor]) -> str:
    digest = hashlib.sha256(json.dumps({k: v for k, v in spec.items() if k != "root"}, sort_keys=True).encode())
    for name in (*SHARED, "expert_digests"):
        if name in tensors:
            digest.update(name.encode())
            digest.update(_raw(tensors[name]) if tensors[name].numel() else b"")
    return digest.hexdigest()
