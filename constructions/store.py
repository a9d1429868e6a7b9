"""One `.safetensors` file a model, written whole or not at all, read whole or expert by expert.

Main definitions: `save`, `load`.
"""

from __future__ import annotations

import os
from pathlib import Path

import torch

from constructions.bit_extraction.model import BitExtractionMoMLP
from constructions.bit_extraction.plan import BitExtractionPlan
from constructions.errors import StoreError, require_bool, require_device, require_int, require_path, shown
from constructions.expert_rows.cache import DEFAULT_CACHE_BYTES, MOST_BYTES
from constructions.expert_rows.file import DAMAGE, SCHEMA, read_spec
from constructions.momlp.experts import FAMILIES
from constructions.momlp.model import MoMLP
from constructions.momlp.pencil_momlp import PencilMoMLP
from constructions.momlp.plan import DEFAULT_MAX_BYTES, PencilPlan
from constructions.momlp.store import KINDS, load_built, retabulated, save_built, table_spec
from constructions.momlp.tabulated import TabulatedMoMLP
from constructions.trained_momlp.model import TrainedMoMLP
from constructions.trained_momlp.store import KIND, load_trained, save_trained

__all__ = ["SCHEMA", "load", "save"]

BUILT = dict.fromkeys(FAMILIES, (PencilMoMLP, PencilPlan)) | {"bit_extraction": (BitExtractionMoMLP, BitExtractionPlan)}


def save(model: MoMLP | TabulatedMoMLP | TrainedMoMLP, path: str | os.PathLike) -> Path:
    """Write `model` to `path` (whole or not at all) and return the path.

    Of a tabulated model its network is written, and that a table is to be made of it. A lazy model of a formula is
    saved as its plan; a lazy model of a black box has no finite description and is refused. Raises `StoreError` when
    refused or when the path cannot be written.
    """
    require_path("path", path)
    if isinstance(model, TrainedMoMLP):
        return save_trained(model, path)
    if isinstance(model, TabulatedMoMLP):
        return save_built(model.network, path, table=table_spec(model))
    if not isinstance(model, MoMLP):
        raise TypeError(f"`model` must be a MoMLP, a TabulatedMoMLP or a TrainedMoMLP, got {type(model).__name__}")
    return save_built(model, path)


def load(
    path: str | os.PathLike,
    *,
    lazy: bool = False,
    cache_bytes: int = DEFAULT_CACHE_BYTES,
    budget_bytes: int | None = None,
    max_bytes: int = DEFAULT_MAX_BYTES,
    device: torch.device | str | None = None,
) -> MoMLP | TabulatedMoMLP | TrainedMoMLP:
    """The model stored at `path`, bitwise as it was saved; a table is made again, so not with `lazy`.

    With `lazy=True` experts are read one at a time when first needed, each checked against its digest, and kept under
    `cache_bytes`; with `budget_bytes` instead, everything that holds weights (router, shared layers, cache, experts
    being read and gathered) stays under it together. Raises `StoreError` for a truncated, altered or foreign file,
    `BudgetExceeded` for a budget that is too small, or an expert of more than `max_bytes`."""
    source = require_path("path", path)
    require_bool("lazy", lazy)
    for name, value in (("cache_bytes", cache_bytes), ("max_bytes", max_bytes)):
        require_int(name, value, 1, MOST_BYTES)
    if budget_bytes is not None:
        require_int("budget_bytes", budget_bytes, 1, MOST_BYTES)
        if not lazy:
            raise ValueError(f"`budget_bytes` needs lazy=True, got {shown(budget_bytes)} with lazy=False")
    place = require_device("device", device)
    spec = read_spec(source)
    memory = {"cache_bytes": cache_bytes} if budget_bytes is None else {"budget_bytes": budget_bytes}
    if spec.get("kind") in KINDS:
        if "table" in spec and lazy:
            raise ValueError(f"`lazy` must be False: {source} asks for a table of all experts, got True")
        model = load_built(source, spec, BUILT, lazy=lazy, device=place, memory=memory, max_bytes=max_bytes)
        return retabulated(source, model, spec["table"], max_bytes) if "table" in spec else model
    if spec.get("kind") == KIND:
        return load_trained(source, spec, lazy=lazy, device=place, memory=memory)
    raise StoreError(f"{source} has an unreadable spec (kind {spec.get('kind')!r}): {DAMAGE}")
