"""`train_momlp`: from data to a `TrainedMoMLP`.

Main definitions: `train_momlp`, `prepare`, `train_together`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from constructions.arrays import tensor_of
from constructions.demo_optimizer.base import StepCounts
from constructions.errors import (
    BudgetExceeded,
    first_row,
    require_choice,
    require_device,
    require_instance,
    require_int,
    require_path,
    require_points,
    require_seed,
    require_tensor,
    shown,
)
from constructions.pathway_tree.prototype_tree import PrototypeTree
from constructions.progress import Log, require_log, silent
from constructions.trained_momlp.bank import Widths, hidden_widths, initial, parameters, rescaled
from constructions.trained_momlp.data_parallel import method_named
from constructions.trained_momlp.groups import Groups, owned_means, spread
from constructions.trained_momlp.model import TASKS, TrainedMoMLP
from constructions.trained_momlp.routing import Routing, routing_of
from constructions.trained_momlp.steps import all_at_once
from constructions.trained_momlp.training import Options, Problem, Trained, train_bank

DTYPES = (torch.float64, torch.float32)
MOST_CLASSES = 1 << 16
MOST_PARAMETERS = 1 << 36


@dataclass(frozen=True)
class TrainingReport:
    """What training did: validation loss (L,) (of standardised targets) and steps (L,) of each expert, expert groups
    that were on the device one after another, seconds, and what this worker sent if it trained with others."""

    validation_loss: Tensor
    steps: Tensor
    groups: int
    seconds: float
    sent: StepCounts | None = None


@dataclass(frozen=True)
class Prepared:
    """Data standardised and dealt out to the leaves of a router, and the experts' first rows."""

    problem: Problem
    tree: PrototypeTree
    widths: Widths
    initial: Tensor
    input_shift: Tensor
    input_scale: Tensor
    output_shift: Tensor
    output_scale: Tensor
    task: str
    router: str

    def finish(self, trained: Trained) -> TrainedMoMLP:
        """The model of trained rows: local coordinates and units of the targets are folded into the layers."""
        rows = rescaled(
            trained.rows,
            self.widths,
            centre=self.problem.centre,
            scale=self.problem.scale,
            output_shift=self.output_shift,
            output_scale=self.output_scale,
        )
        model = TrainedMoMLP(
            self.tree,
            self.widths,
            experts=rows,
            input_shift=self.input_shift,
            input_scale=self.input_scale,
            task=self.task,
            router=self.router,
        )
        model.report = TrainingReport(trained.losses, trained.stopped, trained.groups, trained.seconds, trained.sent)
        return model


def train_momlp(
    x: Tensor | np.ndarray,
    y: Tensor | np.ndarray,
    *,
    leaves: int,
    expert_hidden: Sequence[int],
    routing: Routing | None = None,
    task: str = "regression",
    validation: float | Tensor | np.ndarray = 0.2,
    sample_weight: Tensor | np.ndarray | None = None,
    options: Options | None = None,
    budget_bytes: int | None = None,
    checkpoint: str | Path | None = None,
    log: Log = silent,
    generator: torch.Generator | None = None,
    device: torch.device | str | None = None,
    dtype: torch.dtype = torch.float64,
    optimizer: str = "adamw",
    process_group: Any = None,
    topk: int = 4,
    decay: float = 0.999,
    **former: Any,
) -> TrainedMoMLP:
    """A MoMLP of `leaves` experts with hidden widths `expert_hidden`, trained on points x (N, n), tensors or numpy
    arrays.

    y is (N,) or (N, m) for regression, classes (N,) 0 … C − 1 for classification (m = C logits). `routing` says how
    points find their experts, `validation` is a share, or a mask (N,) of the rows kept for early stopping.
    `sample_weight` (N,) counts a row as often in the losses and in the standardisation (3: as if it were there three
    times, 0: as if it were not); the router looks at where rows of positive weight lie, not at how much they weigh.
    With `budget_bytes` experts are trained group after group, so that what is on `device` fits, with the same result.
    `checkpoint` is a file to resume from; it belongs to this data, these options and this seed. The model stays on
    the CPU; `model.report` says what training did.
    With `optimizer` "demo" all ranks of `process_group` (None: the default one, or none) train together, called with
    the same arguments: each on every W-th point of an expert, and each step sends the `topk` largest cosine
    coefficients of every 64 numbers of an expert's momentum, which keeps `decay` of itself from step to step. All ranks
    return the same model; rank 0 alone writes the checkpoint.
    `former` takes the fields of `routing` one by one, for one release.
    Raises ValueError naming the argument, `BudgetExceeded`, `StoreError` for a foreign checkpoint.
    """
    require_instance("options", options, (Options, type(None)))
    place = None if device is None else require_device("device", device)
    file = None if checkpoint is None else require_path("checkpoint", checkpoint)
    require_log(log)
    method = method_named(optimizer, process_group=process_group, topk=topk, decay=decay)
    if budget_bytes is not None:
        require_int("budget_bytes", budget_bytes, 1)
    data = {"task": task, "validation": validation, "generator": generator, "dtype": dtype}
    data["sample_weight"] = sample_weight
    routing = routing_of(routing, former)
    ready = prepare(x, y, leaves=leaves, expert_hidden=expert_hidden, routing=routing, **data)
    trained = train_bank(
        ready.problem,
        ready.initial,
        ready.widths,
        options or Options(),
        seed=_seed(generator),
        budget_bytes=budget_bytes,
        device=place,
        checkpoint=file,
        log=log,
        method=method,
    )
    return ready.finish(trained)


def prepare(
    x: Tensor | np.ndarray,
    y: Tensor | np.ndarray,
    *,
    leaves: int,
    expert_hidden: Sequence[int],
    routing: Routing | None = None,
    task: str = "regression",
    validation: float | Tensor | np.ndarray = 0.2,
    sample_weight: Tensor | np.ndarray | None = None,
    generator: torch.Generator | None = None,
    dtype: torch.dtype = torch.float64,
    **former: Any,
) -> Prepared:
    """Everything before the training of `train_momlp`, with its arguments."""
    require_choice("task", task, TASKS)
    routing = routing_of(routing, former)
    if not isinstance(dtype, torch.dtype) or dtype not in DTYPES:
        raise ValueError(f"`dtype` must be torch.float64 or torch.float32, got {shown(dtype)}")
    require_instance("generator", generator, (torch.Generator, type(None)))
    source = generator if generator is not None else torch.Generator().manual_seed(0)
    points, target = (part.cpu() for part in _require_data(x, y, task))  # the data wait on the host
    used, weight = weights_of(sample_weight, len(points))
    held = held_out(validation, used, source)
    rows = (used & ~held).nonzero()[:, 0]
    heavy = None if weight is None else weight[rows]
    shift, inverse = _standard("x", points[rows], heavy)
    z = (points - shift) * inverse
    tree = routing.tree(z[rows], leaves, _seed(generator))
    owner, place = routing.trained(tree, z[rows])
    train = Groups.of(owner, rows[place], tree.num_leaves)
    spare = (used & held).nonzero()[:, 0]
    owner, place = routing.answering(tree, z[spare])
    centre, scale = spread(train, z, weight)
    if task == "regression":
        output_shift, output_inverse = _standard("y", target[rows], heavy)
        target, output_scale = ((target - output_shift) * output_inverse).to(dtype), 1 / output_inverse
    else:
        output_shift = torch.zeros(int(target.max()) + 1, dtype=torch.float64)
        output_scale = torch.ones_like(output_shift)
    widths = (points.shape[1], *hidden_widths(expert_hidden), len(output_shift))
    if tree.num_leaves * parameters(widths) > MOST_PARAMETERS:
        raise BudgetExceeded(f"`expert_hidden` must leave at most {MOST_PARAMETERS} parameters, got widths {widths}")
    problem = Problem(
        z.to(dtype),
        target,
        train,
        Groups.of(owner, spare[place], tree.num_leaves),
        centre.to(dtype),
        scale.to(dtype),
        weight,
        None if weight is None else owned_means(train, weight),
    )
    return Prepared(
        problem,
        tree,
        widths,
        initial(tree.num_leaves, widths, source, dtype),
        shift,
        inverse,
        output_shift.to(dtype),
        output_scale.to(dtype),
        task,
        routing.router,
    )


def train_together(
    parts: Sequence[Prepared], options: Options, *, seed: int = 0, device: torch.device | None = None
) -> list[TrainedMoMLP]:
    """Train several prepared runs of one architecture as one bank; ValueError when their widths differ.

    Up to rounding, each is what it would be alone: matrix products are batched over the whole bank.
    """
    require_instance("parts", parts, (list, tuple))
    for part in parts:
        require_instance("parts", part, Prepared)
    require_instance("options", options, Options)
    require_seed("seed", seed)
    if not parts:
        raise ValueError("`parts` must hold at least one run, got none")
    if len({p.widths for p in parts}) != 1:
        raise ValueError(f"`parts` must have one architecture, got {sorted({p.widths for p in parts})}")
    problems = [p.problem for p in parts]
    offsets = [0]
    for problem in problems:
        offsets.append(offsets[-1] + len(problem.z))

    def joined(name: str) -> Groups:
        groups: list[Groups] = [getattr(p, name) for p in problems]
        sizes = torch.cat([g.sizes for g in groups])
        rows = torch.cat([g.rows + o for g, o in zip(groups, offsets, strict=False)])
        return Groups(rows, torch.cat([sizes.new_zeros(1), sizes.cumsum(0)]))

    weighted = any(p.weight is not None for p in problems)
    ones = torch.ones(max(offsets[-1], sum(p.experts for p in problems)), dtype=torch.float64)
    whole = Problem(
        torch.cat([p.z for p in problems]),
        torch.cat([p.y for p in problems]),
        joined("train"),
        joined("validation"),
        torch.cat([p.centre for p in problems]),
        torch.cat([p.scale for p in problems]),
        torch.cat([ones[: len(p.z)] if p.weight is None else p.weight for p in problems]) if weighted else None,
        torch.cat([ones[: p.experts] if p.mean_weight is None else p.mean_weight for p in problems])
        if weighted
        else None,
    )
    trained = train_bank(
        whole,
        torch.cat([p.initial for p in parts]),
        parts[0].widths,
        options,
        seed=seed,
        device=device,
        product=all_at_once,
    )
    counts = [p.problem.experts for p in parts]
    pieces = zip(trained.rows.split(counts), trained.losses.split(counts), trained.stopped.split(counts), strict=True)
    return [
        part.finish(Trained(rows, losses, stopped, trained.groups, trained.seconds))
        for part, (rows, losses, stopped) in zip(parts, pieces, strict=True)
    ]


def _seed(generator: torch.Generator | None) -> int:
    return 0 if generator is None else generator.initial_seed()


def _require_data(x: Any, y: Any, task: str) -> tuple[Tensor, Tensor]:
    """Points (N, n) float64 and targets (N, m) float64 or classes (N,); ValueError/TypeError naming what is wrong."""
    x, y = tensor_of("x", x), tensor_of("y", y, integers=task == "classification")
    for name, value in (("x", x), ("y", y)):
        # other things have a shape too: what is wrong with them is that they are no tensors
        if not isinstance(value, Tensor):
            raise TypeError(
                f"`{name}` must be a torch.Tensor or a numpy array, got {type(value).__module__}.{type(value).__name__}"
            )
        if value.layout != torch.strided or value.device.type == "meta":
            raise TypeError(f"`{name}` must be a dense tensor that holds numbers, got {value.layout} on {value.device}")
    if x.ndim != 2 or not x.numel():
        raise ValueError(f"`x` must have shape (N, n) with N ≥ 1 and n ≥ 1, got {tuple(x.shape)}")
    points = require_points("x", x.detach(), x.shape[1]).double()
    y = y.detach()
    if y.ndim not in (1, 2) or len(y) != len(x) or not y.numel():
        raise ValueError(f"`y` must be a torch.Tensor or a numpy array of {len(x)} rows, got {tuple(y.shape)}")
    if task == "classification":
        integers = not y.is_floating_point() and not y.is_complex() and y.dtype != torch.bool
        if y.ndim != 1 or not integers or int(y.min()) < 0:
            raise ValueError(f"`y` must be classes (N,), integers from 0 on, got {y.dtype} {tuple(y.shape)}")
        target = y.long()
        if not 0 <= int(target.max()) < MOST_CLASSES:
            raise ValueError(f"`y` must be classes below {MOST_CLASSES}, got {int(target.max())}")
    else:
        if not y.is_floating_point():
            raise ValueError(f"`y` must be floating values (N,) or (N, m), got {y.dtype} {tuple(y.shape)}")
        target = y.double() if y.ndim == 2 else y.double()[:, None]
    for name, value in (("x", points), ("y", target)):
        bad = ~torch.isfinite(value).reshape(len(value), -1).all(-1)
        if bool(bad.any()):
            row = first_row(bad)
            raise ValueError(f"`{name}` must be finite, row {row} is {value[row].tolist()}")
    return points, target


def weights_of(sample_weight: Any, count: int) -> tuple[Tensor, Tensor | None]:
    """Mask (N,) of the rows that count, and their weights (N,), float64; None where all of them weigh the same.

    ValueError or TypeError for anything but N finite nonnegative numbers with a sum that a float holds, not all 0.
    """
    used = torch.ones(count, dtype=torch.bool)
    if sample_weight is None:
        return used, None
    value = require_tensor("sample_weight", tensor_of("sample_weight", sample_weight), f"({count},)")
    if value.shape != (count,):
        raise ValueError(f"`sample_weight` must have shape ({count},), got {tuple(value.shape)}")
    weight = value.detach().cpu().double()
    good = torch.isfinite(weight) & (weight >= 0)
    if not bool(good.all()):
        row = first_row(~good)
        raise ValueError(f"`sample_weight` must be finite and nonnegative, row {row} is {float(weight[row]):g}")
    used = weight >= torch.finfo(torch.float64).tiny  # what is below may be 0 on another device
    if not bool(used.any()):
        raise ValueError("`sample_weight` must not be all zero")
    if not math.isfinite(float(weight.sum())):
        raise ValueError(f"`sample_weight` must have a finite sum, its largest is {float(weight.max()):g}")
    alike = bool((weight[used] == weight[used][0]).all())
    return used, None if alike else weight


def held_out(validation: Any, used: Tensor, generator: torch.Generator) -> Tensor:
    """Mask (N,) of the validation rows among the `used` ones (N,); at least one of these is left to train on."""
    count = len(used)
    validation = tensor_of("validation", validation, integers=True)
    if isinstance(validation, Tensor):
        if validation.dtype != torch.bool or validation.shape != (count,) or validation.device.type == "meta":
            raise ValueError(
                f"`validation` must be a boolean mask ({count},), got {validation.dtype} {tuple(validation.shape)}"
            )
        mask = validation.cpu()
    else:
        if isinstance(validation, bool) or not isinstance(validation, (int, float)) or not 0 <= validation < 1:
            raise ValueError(f"`validation` must be a share in [0, 1) or a mask, got {shown(validation)}")
        mask, rows = torch.zeros(count, dtype=torch.bool), used.nonzero()[:, 0]
        share = int(validation * len(rows))
        if share:  # else nothing is drawn: first weights then do not depend on the number of rows
            mask[rows[torch.randperm(len(rows), generator=generator)[:share]]] = True
    if not bool((used & ~mask).any()):
        raise ValueError("`validation` must leave at least one row to train on")
    return mask


def _standard(name: str, values: Tensor, weight: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Mean (n,) and 1 / standard deviation (n,) of values (N, n), of `weight` (N,) each; 1 for a constant column.
    ValueError when they overflow."""
    if weight is None:
        mean, deviation = values.mean(0), values.std(0, correction=0)
    else:
        share = (weight / weight.sum())[:, None]
        mean = (share * values).sum(0)
        deviation = (share * (values - mean).square()).sum(0).sqrt()
    if not bool((torch.isfinite(mean) & torch.isfinite(deviation)).all()):
        largest = float(values.abs().max())
        raise ValueError(f"`{name}` must have a mean and deviation that a float can hold, its largest is {largest:g}")
    return mean, torch.where(deviation > 1e-12, deviation, 1.0).reciprocal()
