"""Shattered sets in a file: one `.safetensors` file that is checked on its own, without the code that built the set.

The metadata entry `momlp_shattered` is a JSON object with `schema` 1, `kind`, and optionally `family`, `sizes` and
`root` (a SHA-256 of everything else, which detects damage). Every kind has `points` (k, n), integers or float64. Kinds:
- `networks`, the format for sets made by others: `labels` (N, k) bool and `layer.0.weight` (N, out, in),
  `layer.0.bias` (N, out), `layer.1.weight`, … with ReLU between layers; all N = 2^k labelings must be there.
- `routers`: `labels`, `level.0` (N, 1, children, n), `level.1` (N, children, …), … and `values` (N, L).
- `signs`: `base` (W, n+1), `directions` (W, n, n+1), see `signs.SignFamily`; sound for all labelings.
- `reflections`: the same and `binary_digits` in the JSON, see `reflections`.
- `table`: `base.0.weight`, …, `entry.layer`, `entry.row`, `entry.vector`, `cell`, `bit`, and `bits`, `memory` in the
  JSON, see `table.TableFamily`; sound for all labelings.
- `mixture`: `domain` and `kinds` in the JSON, and one of `signs`, `table`, `networks` for each cell under `cell.ℓ.`.

Main definitions: `save_shattered`, `check_file`.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from constructions.atomic import write_tensors
from constructions.domain import Box
from constructions.errors import BudgetExceeded, StoreError, require_int
from constructions.expert_file import read_metadata
from constructions.shattering import ShatteredMixture, ShatteredRouting, ShatteredSet, one_hidden_layer
from constructions.shattering.shattered_set import LONGEST_WORD, Layers
from theory.checkers.shattering.exact_routing import route_exactly
from theory.checkers.shattering.integers import compact
from theory.checkers.shattering.labelings import Shattered, all_labelings, run_networks
from theory.checkers.shattering.mixtures import exact_cells
from theory.checkers.shattering.networks import check_networks, missing_labelings
from theory.checkers.shattering.reflections import check_reflections
from theory.checkers.shattering.report import ShatteringReport, distinct_points, wrong_label
from theory.checkers.shattering.signs import SignFamily, check_signs, read_signs
from theory.checkers.shattering.table import TableFamily, check_table, read_table

SCHEMA = 1
KEY = "momlp_shattered"
MAX_BYTES = 1 << 28
RANDOM_LABELINGS = 20

Spec = dict[str, Any]
Tensors = dict[str, Tensor]


# --- writing -------------------------------------------------------------------------------------------


def save_shattered(shattered: Shattered, path: str | os.PathLike, *, every_network: bool = False) -> Path:
    """Write what a check needs: the certificate where the family has one, else (or with `every_network`) the networks
    of all labelings. StoreError when that is too much, or the path cannot be written."""
    spec, tensors = _contents(shattered, every_network)
    spec = {"schema": SCHEMA, "family": shattered.family, "sizes": shattered.sizes, **spec}
    tensors = {name: tensor.contiguous() for name, tensor in tensors.items()}
    spec["root"] = _digest(spec, tensors)
    try:
        return write_tensors(path, tensors, {KEY: json.dumps(spec)})
    except OSError as err:
        raise StoreError(str(err)) from err


def _contents(shattered: Shattered, every_network: bool) -> tuple[Spec, Tensors]:
    if isinstance(shattered, ShatteredMixture):
        return _mixture_contents(shattered, every_network)
    if isinstance(shattered, ShatteredRouting):
        n, k = shattered.points.shape[1], shattered.size
        if every_network or shattered.family != "routing_only" or n == 1 or k == 1:
            return _router_contents(shattered)
        family = read_signs(one_hidden_layer(n, (k - 1) // n))
        assert isinstance(family, SignFamily)
        return {"kind": "reflections", "binary_digits": shattered.binary_digits}, _sign_tensors(family)
    if not every_network and shattered.table is not None:
        return _table_contents(shattered)
    if not every_network and shattered.points.shape[1] > 1:
        family = read_signs(shattered)
        if isinstance(family, str):
            raise StoreError(f"`shattered` cannot be stored as signs: {family}")
        return {"kind": "signs"}, _sign_tensors(family)
    labels = _every_labeling(shattered)
    layers = shattered.weights(labels)
    named = {f"layer.{i}.{part}": t.expand(len(labels), *t.shape[1:]) for i, part, t in _parts(layers)}
    return {"kind": "networks"}, {"points": shattered.points, "labels": labels, **named}


def _parts(layers: Layers) -> list[tuple[int, str, Tensor]]:
    return [(i, name, t) for i, layer in enumerate(layers) for name, t in zip(("weight", "bias"), layer, strict=True)]


def _every_labeling(shattered: Shattered) -> Tensor:
    k = shattered.size
    one = torch.zeros(1, k, dtype=torch.bool)
    if isinstance(shattered, ShatteredRouting):
        levels, values = shattered.routers(one)
        size = sum(t.numel() for t in (*levels, values))
    else:
        size = sum(t.numel() for layer in shattered.weights(one) for t in layer)
    if k > 20 or 8 * size * 2**k > MAX_BYTES:
        raise BudgetExceeded(f"2^{k} networks of {size} numbers take more than {MAX_BYTES} bytes")
    return all_labelings(0, 2**k, k, "cpu")


def _sign_tensors(family: SignFamily) -> Tensors:
    return {"points": family.points, "base": family.base, "directions": family.directions}


def _router_contents(shattered: ShatteredRouting) -> tuple[Spec, Tensors]:
    labels = _every_labeling(shattered)
    levels, values = shattered.routers(labels)
    named = {f"level.{h}": level.clone() for h, level in enumerate(levels)}
    return {"kind": "routers"}, {"points": shattered.points, "labels": labels, "values": values, **named}


def _table_contents(shattered: ShatteredSet) -> tuple[Spec, Tensors]:
    assert shattered.table is not None
    if shattered.table.bits > LONGEST_WORD:
        raise StoreError(f"words of {shattered.table.bits} bits do not fit the file's 64-bit integers")
    family = read_table(shattered.table, shattered.points.numpy())
    if isinstance(family, str):
        raise StoreError(f"`shattered` cannot be stored as a table: {family}")
    named = {"points": family.points, "cell": family.cell, "bit": family.bit}
    named |= {"entry.layer": family.layers, "entry.row": family.rows, "entry.vector": family.vectors}
    for i, (weight, bias) in enumerate(family.base):
        named |= {f"base.{i}.weight": weight, f"base.{i}.bias": bias}
    tensors = {name: torch.from_numpy(array.astype(np.int64)) for name, array in named.items()}
    return {"kind": "table", "bits": family.bits, "memory": family.memory}, tensors


def _mixture_contents(shattered: ShatteredMixture, every_network: bool) -> tuple[Spec, Tensors]:
    kinds, tensors = [], {}
    for number, cell in enumerate(shattered.cells):
        spec, part = _contents(cell, every_network)
        kinds.append(spec)
        tensors |= {f"cell.{number}.{name}": tensor for name, tensor in part.items()}
    domain = [list(shattered.domain.lo), list(shattered.domain.hi)]
    return {"kind": "mixture", "domain": domain, "kinds": kinds}, tensors


def _digest(spec: Spec, tensors: Tensors) -> str:
    text = json.dumps({name: value for name, value in spec.items() if name != "root"}, sort_keys=True)
    digest = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        digest.update(f"{name}{tensors[name].dtype}{tuple(tensors[name].shape)}".encode())
        digest.update(tensors[name].contiguous().numpy().tobytes())
    return digest.hexdigest()


# --- checking ------------------------------------------------------------------------------------------


def check_file(path: str | os.PathLike) -> tuple[Spec, ShatteringReport]:
    """The file's JSON and what was found. StoreError when it is damaged, truncated or no file of this kind."""
    source = Path(path)
    try:
        text = read_metadata(source).get(KEY)
        with safe_open(source, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as err:
        raise StoreError(f"cannot read {source}: {err}") from err
    if text is None:
        raise StoreError(f"{source} is a safetensors file without the metadata entry {KEY!r}")
    try:
        spec = json.loads(text)
        if spec["schema"] != SCHEMA:
            raise StoreError(f"{source} has schema {spec['schema']!r}, this version reads schema {SCHEMA}")
        if "root" in spec and spec["root"] != _digest(spec, tensors):
            raise StoreError(f"{source}: the root digest differs: the file was altered or damaged after it was written")
        return spec, _check(spec, tensors)
    except (KeyError, TypeError, IndexError, RuntimeError) as err:
        raise StoreError(f"{source} lacks what its kind needs, or has wrong shapes ({err!r})") from err
    except ValueError as err:
        if isinstance(err, (StoreError, BudgetExceeded)):
            raise
        raise StoreError(f"{source} cannot be read as a shattered set: {err}") from err


def _check(spec: Spec, tensors: Tensors) -> ShatteringReport:
    kind = spec["kind"]
    if kind == "networks":
        return check_networks(tensors["points"], tensors["labels"].bool(), _layers(tensors, "layer"))
    if kind == "routers":
        return _check_routers(tensors)
    if kind in ("signs", "reflections"):
        family = SignFamily(tensors["points"], tensors["base"].double(), tensors["directions"].double())
        return check_signs(family) if kind == "signs" else check_reflections(family, int(spec["binary_digits"]))
    if kind == "table":
        return _check_table(spec, tensors)
    if kind == "mixture":
        return _check_mixture(spec, tensors)
    raise StoreError(f"`kind` {kind!r} is not one this version knows")


def _layers(tensors: Tensors, prefix: str) -> Layers:
    count = sum(name.startswith(f"{prefix}.") and name.endswith(".weight") for name in tensors)
    if not count:
        raise KeyError(f"{prefix}.0.weight")
    return [(tensors[f"{prefix}.{i}.weight"].double(), tensors[f"{prefix}.{i}.bias"].double()) for i in range(count)]


def _check_routers(tensors: Tensors) -> ShatteringReport:
    points, labels = tensors["points"].double(), tensors["labels"].bool()
    failure = distinct_points(points) or missing_labelings(labels)
    if failure is None:
        count = sum(name.startswith("level.") for name in tensors)
        leaf = route_exactly([tensors[f"level.{h}"] for h in range(count)], points)
        failure = leaf if isinstance(leaf, str) else wrong_label(labels, tensors["values"].gather(1, leaf), points)
    return ShatteringReport(len(points), len(labels), labels.numel(), failure)


def _check_table(spec: Spec, tensors: Tensors) -> ShatteringReport:
    require_int("bits", spec["bits"], 1, LONGEST_WORD)
    array = {name: tensor.numpy() for name, tensor in tensors.items()}
    count = sum(name.startswith("base.") and name.endswith(".weight") for name in array)
    family = TableFamily(
        array["points"],
        array["cell"],
        array["bit"],
        int(spec["bits"]),
        int(spec["memory"]),
        [(compact(array[f"base.{i}.weight"]), compact(array[f"base.{i}.bias"])) for i in range(count)],
        array["entry.layer"],
        array["entry.row"],
        compact(array["entry.vector"]),
    )
    report = check_table(family)
    return report if report.failure else replace(report, failure=_random_tables(family))


def _random_tables(family: TableFamily) -> str | None:
    """An extra: the stored networks on random tables, as float64 runs them."""
    words = np.random.default_rng(0).integers(0, 2**family.bits, (RANDOM_LABELINGS, len(family.layers)))
    labels = (words[:, family.cell] >> (family.bits - family.bit)) & 1
    layers = [
        (torch.from_numpy(w.astype(np.float64)), torch.from_numpy(b.astype(np.float64)))
        for w, b in family.networks(words.astype(object))
    ]
    return run_networks(layers, torch.from_numpy(labels == 1), torch.from_numpy(family.points).double())


def _check_mixture(spec: Spec, tensors: Tensors) -> ShatteringReport:
    lo, hi = spec["domain"]
    domain, count = Box(tuple(map(float, lo)), tuple(map(float, hi))), len(spec["kinds"])
    failure, size, evaluations, everything = None, 0, 0, []
    for number, kind in enumerate(spec["kinds"]):
        prefix = f"cell.{number}."
        cell = {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}
        report = _check(kind, cell)
        size, evaluations = size + report.points, evaluations + report.evaluations
        everything.append(cell["points"])
        home = torch.full((len(cell["points"]),), number)
        failure = report.failure or exact_cells(domain, count, cell["points"], home)
        if failure is not None:
            return ShatteringReport(size, 0, evaluations, f"cell {number}: {failure}")
    return ShatteringReport(size, 0, evaluations, distinct_points(torch.cat(everything)))
