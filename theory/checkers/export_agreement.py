"""Does an exported file answer like its model? The file is run by its own runtime and compared point by point.

Points: of every expert each node of a pencil, or 257 places along the last axis of its cell (of a sample of experts,
where that were more than 2¹⁸ points), faces and corners of cells, random points, and points outside, whose answer must
be NaN. A changed number that no answer at these points depends on is not seen. The largest difference is held against
the derived bound of `constructions.export.export_bound`, which is read off the model's weights, not off the file.

Main definitions: `onnx_agrees`, `pt2_agrees`, `Agreement`, `telling_points`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from constructions.arrays import tensor_of
from constructions.errors import require_instance, require_int, require_path, require_points, require_seed
from constructions.files import require_regular
from constructions.mixture import LatticeMixture
from constructions.onnx_graph import INPUT, onnx_package
from constructions.portable import apart
from theory.claim import Report

MOST_POINTS = 1 << 18
BATCH = 1 << 12
NODE_GRID = 257


@dataclass(frozen=True)
class Agreement(Report):
    """`points` were compared, of `experts` of the `leaves`; `largest` is the largest difference found, `bound` the
    largest that is allowed, `equal` how many points gave the same numbers."""

    failure: str | None
    points: int = 0
    experts: int = 0
    leaves: int = 0
    largest: float = 0.0
    bound: float = 0.0
    equal: int = 0


def onnx_agrees(
    path: str | os.PathLike, model: nn.Module, *, x: Tensor | np.ndarray | None = None, count: int = 4096, seed: int = 0
) -> Agreement:
    """Whether onnxruntime's answers by the file are those of `model`, at `x` (B, n) and at telling points.

    ImportError without the extra `onnx`, ValueError for a file that is no ONNX model, OSError where it cannot be read.
    """
    file = require_path("path", path)
    require_regular(file)
    runtime = onnx_package("onnxruntime")
    options = runtime.SessionOptions()
    options.log_severity_level = 3
    try:
        session = runtime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    except Exception as err:  # the runtime's errors have no common class
        why = " ".join(str(err).split())[:200]
        raise ValueError(f"`path` must be an ONNX file that onnxruntime reads, {file} is not: {why}") from err
    return _compared(model, lambda p: session.run(None, {INPUT: p.cpu().numpy()})[0], x, count, seed)


def pt2_agrees(
    path: str | os.PathLike, model: nn.Module, *, x: Tensor | np.ndarray | None = None, count: int = 4096, seed: int = 0
) -> Agreement:
    """Whether the program of a `.pt2` file answers like `model`, at `x` (B, n) and at telling points."""
    file = require_path("path", path)
    require_regular(file)
    try:
        program = torch.export.load(file).module()
    except Exception as err:  # whatever a damaged archive raises
        why = " ".join(str(err).split())[:200]
        raise ValueError(f"`path` must be a file of torch.export, {file} is not: {why}") from err
    return _compared(model, lambda p: program(p).detach().cpu().numpy(), x, count, seed)


def _compared(
    model: nn.Module, run: Callable[[Tensor], np.ndarray], x: Tensor | np.ndarray | None, count: int, seed: int
) -> Agreement:
    require_instance("model", model, nn.Module)
    require_int("count", count, 1, MOST_POINTS)
    require_seed("seed", seed)
    place = next((p.device for p in model.parameters()), torch.device("cpu"))
    points, leaves = telling_points(model, count, torch.Generator().manual_seed(seed), place)
    if x is not None:
        points = torch.cat(
            [points, require_points("x", tensor_of("x", x), points.shape[1]).detach().double().to(place)]
        )
    largest, allowed, equal = 0.0, 0.0, 0
    outside = _outside(model, points)
    said = run(outside)
    if not bool(np.isnan(said).all()):
        row = int((~np.isnan(said).all(-1)).argmax())
        return Agreement(f"at x = {outside[row].tolist()}, outside the domain, it gives {said[row].tolist()}, not NaN")
    for part in points.split(BATCH):
        with torch.no_grad():
            truth, bound = model(part), apart(model, part).cpu().numpy()
        found = run(part)
        if found.shape != tuple(truth.shape) or found.dtype != truth.cpu().numpy().dtype:
            return Agreement(f"it gives {found.dtype} {found.shape}, the model {truth.dtype} {tuple(truth.shape)}")
        gap = np.abs(found.astype(np.float64) - truth.cpu().double().numpy()).max(-1)
        excess = ~(gap <= bound)  # NaN differs
        if excess.any():
            row = int(excess.argmax())
            where, answer = part[row].tolist(), found[row].tolist()
            return Agreement(
                f"at x = {where} it gives {answer}, the model {truth[row].tolist()}: {gap[row]:.3g} apart, "
                f"{bound[row]:.3g} allowed",
                len(points),
                leaves,
                _leaves(model),
                float(gap[row]),
                float(bound[row]),
                equal,
            )
        largest, allowed = max(largest, float(gap.max())), max(allowed, float(bound.max()))
        equal += int((gap == 0).sum())
    return Agreement(None, len(points), leaves, _leaves(model), largest, allowed, equal)


def _leaves(model: nn.Module) -> int:
    return int(model.num_leaves)  # pyright: ignore[reportArgumentType]


def _outside(model: nn.Module, points: Tensor) -> Tensor:
    """Points (k, n) that the model refuses: NaN, infinities and, where it has a domain, one beside each face."""
    n = points.shape[1]
    values = [float("nan"), float("inf"), -float("inf")]
    rows = [points[:1].repeat(n, 1).fill_diagonal_(value) for value in values]
    if isinstance(model, LatticeMixture):
        lo, hi = model.domain.tensors(points.device)
        for end in (
            torch.nextafter(lo, torch.full_like(lo, -torch.inf)),
            torch.nextafter(hi, torch.full_like(hi, torch.inf)),
        ):
            part = points[:1].repeat(n, 1)
            part[torch.arange(n), torch.arange(n)] = end
            rows.append(part)
    return torch.cat(rows)


def telling_points(model: nn.Module, count: int, generator: torch.Generator, place: torch.device) -> tuple[Tensor, int]:
    """Points (B, n) at which a changed number shows, and how many experts they visit.

    Of a mixture over a lattice: nodes of the experts at cell centres, `count` points on faces and corners, `count`
    random ones. Of one over prototypes: the prototypes, half-way between two, and around them.
    """
    if isinstance(model, LatticeMixture):
        return _of_lattice(model, count, generator, place)
    tree = getattr(model, "tree", None)
    prototypes = getattr(tree, "leaf_prototypes", None)
    if not isinstance(prototypes, Tensor):
        raise TypeError(f"`model` must be a MoMLP, a TabulatedMoMLP or a TrainedMoMLP, got {type(model).__name__}")
    leaves = len(prototypes)
    first, second = (torch.randint(leaves, (count,), generator=generator).to(place) for _ in range(2))
    share = torch.randn(count, prototypes.shape[1], dtype=torch.float64, generator=generator).to(place)
    spread = prototypes.std(0) if leaves > 1 else torch.ones_like(prototypes[0])
    z = torch.cat([prototypes, (prototypes[first] + prototypes[second]) / 2, prototypes[first] + share * spread])
    shift, scale = model.input_shift.detach(), model.input_scale.detach()  # pyright: ignore
    x = z / torch.where(scale == 0, 1.0, scale) + shift
    return x[torch.isfinite(x).all(-1)], leaves


def _of_lattice(
    model: LatticeMixture, count: int, generator: torch.Generator, place: torch.device
) -> tuple[Tensor, int]:
    lo, hi = model.domain.tensors(place)
    every = model.leaf_indices(place)
    knots = model.knots()
    steps = torch.linspace(0, 1, NODE_GRID, dtype=torch.float64, device=place)
    each = len(steps) if knots is None else len(knots)
    rows = max(1, MOST_POINTS // each)
    if len(every) > rows:
        every = every[torch.randperm(len(every), generator=generator)[:rows].to(place)]
    lower, upper = model.cell_bounds(every)
    nodes = ((lower + upper) / 2).repeat_interleave(each, 0)
    along = lower[:, -1:] + steps * (upper - lower)[:, -1:] if knots is None else knots.repeat(len(every), 1)
    nodes[:, -1] = along.flatten()
    picks = torch.randint(len(every), (count,), generator=generator).to(place)
    shares = torch.rand(count, model.n, dtype=torch.float64, generator=generator).to(place)
    snapped = torch.rand(count, model.n, generator=generator).to(place) < 0.75
    shares = torch.where(snapped, shares.round(), shares)
    faces = lower[picks] + shares * (upper[picks] - lower[picks])
    random = lo + torch.rand(count, model.n, dtype=torch.float64, generator=generator).to(place) * (hi - lo)
    points = torch.cat([nodes, faces, random])
    return torch.minimum(torch.maximum(points, lo), hi), len(every)
