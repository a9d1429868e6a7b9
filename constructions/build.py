"""`plan` and `build_momlp`: from (f, eps) to the cost of a mixture, and to the mixture.

Main definitions: `plan`, `build_momlp`, `EXPERTS`.
"""

from __future__ import annotations

from fractions import Fraction
from functools import partial
from typing import Any

import torch
from torch import Tensor

from constructions.bit_extraction.model import BitExtractionMoMLP
from constructions.bit_extraction.plan import BitExtractionPlan, plan_bit_extraction
from constructions.errors import BudgetExceeded, require_bool, require_choice, require_device, require_int, shown
from constructions.expert_rows.cache import DEFAULT_CACHE_BYTES
from constructions.functions.lipschitz_function import LipschitzFunction
from constructions.momlp import plan as lattice
from constructions.momlp.experts import FAMILIES
from constructions.momlp.fit import bytes_per_leaf, fit_experts
from constructions.momlp.model import MoMLP
from constructions.momlp.pencil_momlp import PencilMoMLP
from constructions.momlp.plan import DEFAULT_MAX_BYTES, PencilPlan, Plan, require_dtype
from constructions.progress import Log, require_log, silent, tracked

MODELS: dict[type[Plan], type[MoMLP]] = {PencilPlan: PencilMoMLP, BitExtractionPlan: BitExtractionMoMLP}
EXPERTS = (*FAMILIES, "bit_extraction")
BUILD_CHUNK_BYTES = 1 << 26


def plan(
    f: LipschitzFunction,
    eps: float | Fraction,
    *,
    expert: str = "pencil",
    split: float | Fraction | None = None,
    valency: int = 2,
    activation: str = "relu",
    dtype: torch.dtype = torch.float64,
    resolved: int | None = None,
    lookup: str | None = None,
    cells: int | None = None,
    max_experts: int | None = None,
) -> Plan:
    """The partition and its cost for sup |f − f̂| ≤ eps (in the units of f), without building anything.

    `expert` is "pencil", "constant" or "bit_extraction"; `split` the share given to the experts (of ρ² for pencils,
    default 1/n; of eps for bit extraction, default k/n). Of bit extraction alone: `resolved` = k (default 1; k = n is a
    single MLP) and `lookup` ("deep", the default, or "wide"); `cells` = c cuts *each* resolved axis into c cells behind
    the router (default 1), for c^k times as many and smaller experts; `max_experts` instead chooses the c with the
    smallest expert among those with at most that many experts, the least of several. Raises ValueError naming the
    argument.
    """
    if not isinstance(f, LipschitzFunction):
        raise TypeError(f"`f` must be a LipschitzFunction, got {type(f).__name__}")
    require_dtype(dtype)
    require_choice("expert", expert, EXPERTS)
    if expert != "bit_extraction":
        own = {"resolved": resolved, "lookup": lookup, "cells": cells, "max_experts": max_experts}
        for name, value in own.items():
            if value is not None:
                raise ValueError(f"`{name}` belongs to expert='bit_extraction', got {shown(value)} with {expert!r}")
        return lattice.plan(f, eps, expert=expert, split=split, valency=valency, activation=activation, dtype=dtype)
    if activation != "relu" or dtype != torch.float64:
        raise ValueError(
            "`activation` must be 'relu' and `dtype` float64 for bit extraction (words need 53 bits), got "
            f"{shown(activation)}, {dtype}"
        )
    k, by = 1 if resolved is None else resolved, "deep" if lookup is None else lookup
    return plan_bit_extraction(
        f, eps, resolved=k, lookup=by, split=split, valency=valency, cells=cells, max_experts=max_experts
    )


def build_momlp(
    f: LipschitzFunction,
    *,
    eps: float,
    expert: str = "pencil",
    split: float | Fraction | None = None,
    valency: int = 2,
    activation: str = "relu",
    resolved: int | None = None,
    lookup: str | None = None,
    cells: int | None = None,
    max_experts: int | None = None,
    lazy: bool = False,
    cache_bytes: int = DEFAULT_CACHE_BYTES,
    max_bytes: int = DEFAULT_MAX_BYTES,
    log: Log = silent,
    device: torch.device | str | None = None,
    dtype: torch.dtype = torch.float64,
) -> MoMLP:
    """A MoMLP with sup |f − f̂| ≤ eps on f's domain, in the units of f.

    Parameters: as for `plan`; `valency` 2…8 of the tree, `lazy` builds experts on demand under `cache_bytes`, `log` is
    told how far building is.
    Raises: ValueError for bad arguments or NaN/inf from f, `ModulusViolation` when the values contradict the
    declared modulus, `BudgetExceeded` when an eager bank would take more than `max_bytes`.
    """
    design = plan(
        f,
        eps,
        expert=expert,
        split=split,
        valency=valency,
        activation=activation,
        dtype=dtype,
        resolved=resolved,
        lookup=lookup,
        cells=cells,
        max_experts=max_experts,
    )
    place = require_device("device", device)
    require_bool("lazy", lazy)
    require_log(log)
    for name, value in (("cache_bytes", cache_bytes), ("max_bytes", max_bytes)):
        require_int(name, value, 1)
    design.require_resolvable(max_bytes)
    model = MODELS[type(design)]
    options: dict[str, Any] = {"target": f, "device": place}
    if lazy:
        return model(design, source=partial(_fit_chunked, f, design), cache_bytes=cache_bytes, **options)
    if design.stored_bytes > max_bytes:
        raise BudgetExceeded(
            f"{shown(design.leaves)} experts of {shown(design.parameters)} parameters take "
            f"{shown(design.stored_bytes)} bytes, more than "
            f"max_bytes = {max_bytes}: use lazy=True, a larger eps, or raise max_bytes"
        )
    return model(design, weights=_fit_all(f, design, place, log), **options)


def _fit_chunked(f: LipschitzFunction, plan: Plan, leaves: Tensor) -> tuple[Tensor, Tensor]:
    rows = max(1, BUILD_CHUNK_BYTES // bytes_per_leaf(plan))
    parts = [fit_experts(plan, f, part) for part in leaves.split(rows)]
    return torch.cat([w for w, _ in parts]), torch.cat([b for _, b in parts])


def _fit_all(f: LipschitzFunction, plan: Plan, device: torch.device, log: Log) -> tuple[Tensor, Tensor]:
    """Output layers of all leaves, chunk by chunk into two preallocated tensors."""
    leaves = plan.tree.leaf_indices(device)
    weight = torch.empty(plan.leaves, plan.m, plan.columns, dtype=plan.dtype, device=device)
    bias = torch.empty(plan.leaves, plan.m, dtype=plan.dtype, device=device)
    rows = max(1, BUILD_CHUNK_BYTES // bytes_per_leaf(plan))
    for start in tracked(range(0, plan.leaves, rows), "building experts", log):
        part = slice(start, start + rows)
        weight[part], bias[part] = fit_experts(plan, f, leaves[part])
    return weight, bias
