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
import math
import os
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from constructions.errors import BudgetExceeded, StoreError, require_bool, require_int, require_path, shown
from constructions.expert_rows.file import read_metadata
from constructions.files import write_tensors
from constructions.functions.box import Box
from constructions.vc_dimension import ShatteredMixture, ShatteredRouting, ShatteredSet
from constructions.vc_dimension.mixture import MOST_CELLS
from constructions.vc_dimension.shattered_set import LONGEST_WORD, Layers
from theory.vc_dimension.checkers.exact_routing import levels_fault, route_exactly
from theory.vc_dimension.checkers.integers import compact
from theory.vc_dimension.checkers.labelings import (
    Shattered,
    all_labelings,
    require_shattered,
    run_networks,
    wrong_answer,
)
from theory.vc_dimension.checkers.mixtures import exact_cells
from theory.vc_dimension.checkers.networks import check_networks, missing_labelings
from theory.vc_dimension.checkers.reflections import check_reflections, read_reflections
from theory.vc_dimension.checkers.report import ShatteringReport, distinct_points
from theory.vc_dimension.checkers.shapes import require_labels, require_numbers, require_points
from theory.vc_dimension.checkers.signs import SignFamily, check_signs, read_signs
from theory.vc_dimension.checkers.stored import Stored
from theory.vc_dimension.checkers.table import check_table, read_table
from theory.vc_dimension.checkers.table_family import TableFamily

SCHEMA = 1
KEY = "momlp_shattered"
MAX_BYTES = 1 << 28
RANDOM_LABELINGS = 20
MOST_NUMBERS = 1 << 20  # of the networks of a stored table, which run as Python integers

EXPERT_KINDS = ("signs", "table", "networks")

Spec = dict[str, Any]
Tensors = dict[str, Tensor]


# --- writing -------------------------------------------------------------------------------------------


def save_shattered(shattered: Shattered, path: str | os.PathLike, *, every_network: bool = False) -> Path:
    """Write what a check needs: the certificate where the family has one, else (or with `every_network`) the networks
    of all labelings. StoreError when that is too much, or the path cannot be written."""
    require_shattered(shattered)
    require_bool("every_network", every_network)
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
        family = "" if every_network else read_reflections(shattered)
        if isinstance(family, str):
            return _router_contents(shattered)
        return {"kind": "reflections", "binary_digits": shattered.binary_digits}, _sign_tensors(family)
    if not every_network and shattered.table is not None:
        return _table_contents(shattered)
    family = "" if every_network else read_signs(shattered)
    if not isinstance(family, str):
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
        digest.update(tensors[name].reshape(-1).view(torch.uint8).numpy().tobytes())  # numpy has no bfloat16
    return digest.hexdigest()


# --- checking ------------------------------------------------------------------------------------------


def check_file(path: str | os.PathLike) -> tuple[Spec, ShatteringReport]:
    """The file's JSON and what was found.

    StoreError when it is damaged, truncated or no file of this kind: also for a tensor that is missing, not finite, of
    another shape or type than its kind says, or that nothing reads. BudgetExceeded when the check would take too long.
    """
    source = require_path("path", path)
    try:
        text = read_metadata(source).get(KEY)
        with safe_open(source, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except StoreError:
        raise
    except (SafetensorError, OSError, RuntimeError, TypeError, ValueError) as err:
        raise StoreError(f"cannot read {source}: {err}") from err
    if text is None:
        raise StoreError(f"{source} is a safetensors file without the metadata entry {KEY!r}")
    try:
        spec = _read_spec(text)
        if "root" in spec and spec["root"] != _digest(spec, tensors):
            raise StoreError(f"{source}: the root digest differs: the file was altered or damaged after it was written")
        return spec, _check(spec, tensors)
    except ValueError as err:
        if isinstance(err, (StoreError, BudgetExceeded)):
            raise
        raise StoreError(f"{source} cannot be read as a shattered set: {err}") from err


def _read_spec(text: str) -> Spec:
    try:
        spec = json.loads(text)
    except RecursionError as err:
        raise ValueError("the JSON is nested too deeply") from err
    if not isinstance(spec, dict):
        raise ValueError(f"the JSON must be an object, got {type(spec).__name__}")
    schema = spec.get("schema")
    if type(schema) is not int or schema != SCHEMA:
        raise ValueError(f"the file has schema {shown(schema)}, this version reads schema {SCHEMA}")
    return spec


def _entry(spec: Spec, name: str, kind: type) -> Any:
    """An entry of the JSON, of exactly this type: True is no integer here."""
    value = spec.get(name)
    if type(value) is not kind:
        raise ValueError(f"`{name}` must be a JSON {kind.__name__}, got {shown(value)}")
    return value


def _check(spec: Spec, tensors: Tensors) -> ShatteringReport:
    checks: dict[str, Callable[[Spec, Stored], ShatteringReport]] = {
        "networks": _check_networks,
        "routers": _check_routers,
        "signs": _check_signs,
        "reflections": _check_signs,
        "table": _check_table,
        "mixture": _check_mixture,
    }
    kind = _entry(spec, "kind", str)
    if kind not in checks:
        raise ValueError(f"`kind` {shown(kind)} is not one this version knows")
    return checks[kind](spec, Stored(tensors))


def _check_networks(spec: Spec, stored: Stored) -> ShatteringReport:
    points = stored.points()
    labels = stored.labels(len(points))
    layers = stored.layers("layer", len(labels), points.shape[1])
    stored.finish()
    return check_networks(points, labels, layers)


def _check_routers(spec: Spec, stored: Stored) -> ShatteringReport:
    points = stored.points()
    labels = stored.labels(len(points))
    levels = stored.levels(len(labels), points.shape[1])
    values = stored.real("values", (len(labels), math.prod(level.shape[2] for level in levels)))
    stored.finish()
    return check_routers(points, labels, levels, values)


def check_routers(points: Tensor, labels: Tensor, levels: list[Tensor], values: Tensor) -> ShatteringReport:
    """Whether nearest-prototype routers with answers (N, L) realise labels (N, k), and whether those are all 2^k.

    ValueError when points, labels, levels (N, nodes, children, n) and answers do not fit each other.
    """
    k, n = require_points("points", points).shape
    labels = require_labels("labels", labels, (None, k))
    fault = levels_fault(levels, n)
    if fault is not None:
        raise ValueError(fault)
    require_numbers("values", values, (len(labels), math.prod(level.shape[2] for level in levels)))
    if len(levels[0]) != len(labels):
        raise ValueError(f"`levels` must hold {len(labels)} routers, one for each labeling, got {len(levels[0])}")
    failure, x, done = distinct_points(points) or missing_labelings(labels), points.double(), 0
    if failure is None:
        leaf, done = route_exactly(levels, x), len(labels)
        failure = leaf if isinstance(leaf, str) else wrong_answer(labels, values, leaf, levels, x)
    return ShatteringReport(k, done, done * k, failure)


def _check_signs(spec: Spec, stored: Stored) -> ShatteringReport:
    points = stored.points()
    n = points.shape[1]
    base = stored.real("base", (None, n + 1))
    family = SignFamily(points, base, stored.real("directions", (len(base), n, n + 1)))
    stored.finish()
    if spec["kind"] == "signs":
        return check_signs(family)
    return check_reflections(family, _entry(spec, "binary_digits", int))


def _check_table(spec: Spec, stored: Stored) -> ShatteringReport:
    bits, memory = _entry(spec, "bits", int), _entry(spec, "memory", int)
    require_int("bits", bits, 1, LONGEST_WORD)
    points = stored.points()
    size, inputs = points.shape
    cell, bit = stored.whole("cell", (size,)), stored.whole("bit", (size,))
    layer = stored.whole("entry.layer", (None,))
    row, vector = stored.whole("entry.row", (len(layer),)), stored.whole("entry.vector", (len(layer), None))
    base: list[tuple[Tensor, Tensor]] = []
    while not base or f"base.{len(base)}.weight" in stored:
        weight = stored.whole(f"base.{len(base)}.weight", (None, inputs))
        base.append((weight, stored.whole(f"base.{len(base)}.bias", (len(weight),))))
        inputs = len(weight)
    stored.finish()
    numbers = sum(weight.numel() for weight, _ in base)
    if numbers > MOST_NUMBERS:
        raise BudgetExceeded(f"networks of {numbers} weights, more than {MOST_NUMBERS} are not checked")
    family = TableFamily(
        require_numbers("points", points, points.shape, whole=True).long().numpy(),
        cell.numpy(),
        bit.numpy(),
        bits,
        memory,
        [(compact(weight.numpy()), compact(bias.numpy())) for weight, bias in base],
        layer.numpy(),
        row.numpy(),
        compact(vector.numpy()),
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


def _check_mixture(spec: Spec, stored: Stored) -> ShatteringReport:
    domain, kinds = _domain(spec), _entry(spec, "kinds", list)
    if not 1 <= len(kinds) <= MOST_CELLS:
        raise ValueError(f"`kinds` must name the kind of 1 to {MOST_CELLS} cells, got {len(kinds)}")
    cells = [stored.cell(number) for number in range(len(kinds))]
    stored.finish()
    failure, size, evaluations, everything = None, 0, 0, []
    for number, (kind, cell) in enumerate(zip(kinds, cells, strict=True)):
        try:
            points, report = _check_cell(kind, cell)
        except BudgetExceeded:
            raise
        except ValueError as err:
            raise ValueError(f"cell {number}: {err}") from err
        size, evaluations = size + report.points, evaluations + report.evaluations
        home = torch.full((len(points),), number)
        failure = report.failure or exact_cells(domain, len(kinds), points, home)
        if failure is not None:
            return ShatteringReport(size, 0, evaluations, f"cell {number}: {failure}")
        everything.append(points)
    return ShatteringReport(size, 0, evaluations, distinct_points(torch.cat(everything)))


def _check_cell(kind: object, cell: Tensors) -> tuple[Tensor, ShatteringReport]:
    """The points of one cell in float64, and its report. Mixtures do not nest, and routers are no experts."""
    if not isinstance(kind, dict) or kind.get("kind") not in EXPERT_KINDS:
        found = kind.get("kind") if isinstance(kind, dict) else kind
        raise ValueError(f"`kinds` must be JSON objects of kind {', '.join(EXPERT_KINDS)}, got {shown(found)}")
    report = _check(kind, cell)
    return cell["points"].double(), report


def _domain(spec: Spec) -> Box:
    ends = _entry(spec, "domain", list)
    if len(ends) != 2 or any(type(end) is not list or len(end) != len(ends[0]) for end in ends):
        raise ValueError(f"`domain` must be two lists of as many numbers, got {shown(ends)}")
    if not all(type(value) in (int, float) for end in ends for value in end):
        raise ValueError(f"`domain` must be numbers, got {shown(ends)}")
    try:
        lo, hi = (tuple(float(value) for value in end) for end in ends)
    except OverflowError as err:
        raise ValueError(f"`domain` must be numbers that a float can hold, got {shown(ends)}") from err
    if any(Fraction(a) != Fraction(b) for end, read in zip(ends, (lo, hi), strict=True) for a, b in _finite(end, read)):
        raise ValueError(f"`domain` must be numbers that a float holds exactly, got {shown(ends)}")
    return Box(lo, hi)


def _finite(end: list, read: tuple[float, ...]) -> list[tuple]:
    """Pairs to compare; what is not finite is left to `Box`."""
    return [(a, b) for a, b in zip(end, read, strict=True) if math.isfinite(b)]
