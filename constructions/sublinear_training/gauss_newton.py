"""`GaussNewtonTrainer`: full Gauss–Newton steps by the exact Gram matrix of the fired pairs.

    G = K∘C/m,   K = XXᵀ,  C_ij = units that fire at both points
    (G + μI) g = f − y,   w_r ← w_r − (η a_r/√m) Σ_{i: r fires at x_i} g_i x_i

Main definition: `GaussNewtonTrainer`.
Main statements: a step without a flip of a fired pair ends with residual (1 − η)·(f − y); all methods find the same
pairs, so they give the same weights (docs/sublinear_training.md).
Implementation notes: sums over the units of a point and over the points of a unit run in a fixed order, by segments.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from constructions.arrays import tensor_of
from constructions.errors import (
    require_bool,
    require_choice,
    require_instance,
    require_int,
    require_path,
    require_positive,
    require_tensor,
)
from constructions.progress import Log, require_log, silent
from constructions.runs import run_digest
from constructions.sublinear_training.checkpoint import Checkpoint
from constructions.sublinear_training.data import separation
from constructions.sublinear_training.fired import Fired
from constructions.sublinear_training.max_tree_forest import DEFAULT_MEMORY
from constructions.sublinear_training.methods import METHODS, Found, finder
from constructions.sublinear_training.network import ShiftedReLUNetwork, firing_probability, largest_alpha
from constructions.sublinear_training.operations import Measured, build_operations, operations
from constructions.sublinear_training.sums import PaddedSums, PairSums, Sums
from constructions.sublinear_training.trace import StepRecord, TrainingTrace

NORM_TOLERANCE = 1e-12
LARGE_LABELS = 5.0  # root mean square above which a step need not halve the residual
MOST_CHANGE = 1e150  # of a weight: its square is finite
ILL = 1e10  # condition number worth a warning


class NotFinite(FloatingPointError, ValueError):
    """A step would leave the range of float64."""


@dataclass(frozen=True)
class _Look:
    """What the present weights give."""

    found: Found
    sums: Sums
    residual: Tensor
    gram: Tensor
    norm: float
    fired: int


class GaussNewtonTrainer:
    """Trains `net` in place on points X (n, d) of norm 1 and labels y (n,), float64. Until it is done the weights are
    its own: RuntimeError where they were replaced or changed meanwhile, as far as torch tells.

    `method` says how fired pairs are found (`METHODS`), `radius` how far a unit may move before `flat` and `lazy` key
    it anew (0.5/b by default), `step` is η, `ridge` μ in units of the Gram's mean diagonal. `slop` is the rounding
    slack of stale keys (derived from norms by default). Without `counting` the nodes of trees are not counted, which
    takes longer than the steps, and `operations` of the records stay empty. Raises ValueError for points that are not
    of norm 1, coincide, or fire no unit, TypeError for other dtypes, `BudgetExceeded` for trees above `memory_limit`
    bytes.
    """

    def __init__(
        self,
        net: ShiftedReLUNetwork,
        X: Tensor | np.ndarray,
        y: Tensor | np.ndarray,
        *,
        method: str = "lazy",
        radius: float | None = None,
        step: float = 1.0,
        ridge: float = 0.0,
        slop: float | None = None,
        memory_limit: int = DEFAULT_MEMORY,
        counting: bool = True,
        log: Log = silent,
    ):
        self.net = require_instance("net", net, ShiftedReLUNetwork)
        self.points, self.labels = _require_data(net, X, y)
        self.method = require_choice("method", method, METHODS)
        if radius is None:
            radius = 0.5 / net.bias if net.bias else 0.5
        self.radius = float(require_positive("radius", radius))
        self.rate = float(require_positive("step", step))
        self.ridge = float(require_positive("ridge", ridge, allow_zero=True))
        if slop is not None:
            require_positive("slop", slop, allow_zero=True)
        self.slop = slop
        self.log = require_log(log)
        self.products = self.points @ self.points.t()
        self._signs, self._offset = net.signs, net.offset
        self._weight, self._version = net.weight.data, net.weight._version
        self._finder = finder(
            self.method,
            self._weight,
            self.points,
            net.bias,
            radius=self.radius,
            slop=slop,
            memory_limit=memory_limit,
        )
        if self.points.device.type != "cpu":
            self._finder.capacity = _places(net, len(self.points), self.radius)
        self._finder.counting = require_bool("counting", counting)
        self._now: _Look | None = None
        self._digest: str | None = None
        self.trace = TrainingTrace(self.method, [], math.inf, build_operations(method, net.width, *self.points.shape))

    # --- one step ---

    def step(self) -> StepRecord:
        """Move the weights once; ValueError, and nothing has moved, when a point fires no unit, the Gram matrix is
        singular, or a weight would not stay finite (`NotFinite`)."""
        now = self._look()
        found, sums = now.found, now.sums
        solution, factor, info = self._solved(now)
        change = self._change(found, sums, solution)
        self._require_sound(now, factor, info, change)
        squared, way = self._move(sums, change)
        refreshed, written = self._finder.moved(sums.units, way, sums.valid)
        self._now = None
        counts = (sums.touched(), sums.both.sum(), found.visited, found.reported, found.candidates, refreshed, written)
        *numbers, moved = torch.stack([c.double() for c in (*counts, squared)]).tolist()
        n, d = self.points.shape
        measured = Measured(self.net.width, n, d, now.fired, *map(int, numbers))
        counted = operations(self.method, measured) if self._finder.counting else {}
        record = StepRecord(now.norm, moved, measured, counted, now.gram, solution)
        self.trace.steps.append(record)
        return record

    def residual(self) -> Tensor:
        """f(x_i) − y_i (n,) of the weights as they are, from the fired pairs alone."""
        return self._look().residual

    def fired(self) -> Fired:
        """The fired pairs of the weights as they are, as the method finds them."""
        return self._look().found.fired

    def _look(self) -> _Look:
        """What the weights as they are give, found once; the host waits for the device here, once."""
        if self.net.weight.data_ptr() != self._weight.data_ptr() or self.net.weight._version != self._version:
            raise RuntimeError("the network's weights were changed by something else: begin a new trainer")
        while self._now is None:
            found = self._finder.find()
            sums = (PairSums if self._finder.capacity is None else PaddedSums)(found, len(self.points))
            terms = self._signs[found.fired.neurons] * (found.inner - self.net.bias)
            if found.fired.valid is not None:
                terms = terms * found.fired.valid
            residual = sums.outputs(terms) / math.sqrt(self.net.width) + self._offset - self.labels
            gram = self.products * sums.both / self.net.width
            least, silent_point = sums.fires.min(0)
            read = (residual.norm(), found.fired.number(), found.needed, least, silent_point)
            norm, fired, needed, least, silent_point = torch.stack([t.double() for t in read]).tolist()
            if self._finder.capacity is not None and max(fired, needed) > self._finder.capacity:
                self._finder.capacity = _power_of_two(max(fired, needed))
                continue
            if least == 0:
                raise ValueError(self._silent(int(silent_point)))
            self._now = _Look(found, sums, residual, gram, norm, int(fired))
        return self._now

    def _silent(self, point: int) -> str:
        m, n = self.net.width, len(self.points)
        best = largest_alpha(m, n)
        advice = f"use alpha ≤ {best:g}" if best else "use more units"
        return f"point {point} fires no unit at m={m}, b={self.net.bias:.6g}: its gradient is zero; {advice}"

    def _solved(self, now: _Look) -> tuple[Tensor, Tensor, Tensor]:
        """g (n,), the Cholesky factor of the Gram matrix, and the pivot at which there is none, or 0."""
        gram = now.gram
        if self.ridge:
            identity = torch.eye(len(gram), dtype=gram.dtype, device=gram.device)
            gram = gram + self.ridge * gram.diagonal().mean() * identity
        factor, info = torch.linalg.cholesky_ex(gram)
        return torch.cholesky_solve(now.residual[:, None], factor)[:, 0], factor, info

    def _change(self, found: Found, sums: Sums, solution: Tensor) -> Tensor:
        """How the units that fire are to move, (U, d)."""
        if self.method == "dense" and sums.valid is None:
            mask = solution.new_zeros(self.net.width, len(self.points))
            mask[found.fired.neurons, found.fired.points] = 1
            change = ((mask * solution) @ self.points)[sums.units]
        else:
            change = sums.changes(solution, self.points)
        return -self.rate / math.sqrt(self.net.width) * self._signs[sums.units, None] * change

    def _require_sound(self, now: _Look, factor: Tensor, info: Tensor, change: Tensor) -> None:
        """ValueError unless the Gram matrix has a Cholesky factor and the change is finite; nothing has moved yet."""
        diagonal = factor.diagonal()
        condition = (diagonal.max() / diagonal.min()).square()
        largest = change.abs().max() if len(change) else condition * 0
        pivot, condition, largest = torch.stack([info.double(), condition, largest]).tolist()
        if pivot:
            least = float(torch.linalg.eigvalsh(now.gram.cpu())[0])
            apart = separation(self.points)[0]
            raise ValueError(
                f"the Gram matrix is not positive definite (pivot {int(pivot)}, least eigenvalue about {least:.3g}; "
                f"the nearest two points are {apart:.3g} apart): more units, or a ridge, are needed"
            )
        if not largest <= MOST_CHANGE:
            raise NotFinite(f"a weight would move by {largest:.3g}: smaller labels or a ridge are needed")
        if condition > ILL:
            warnings.warn(f"the Gram matrix has a condition number above {condition:.1e}", RuntimeWarning, stacklevel=3)

    def _move(self, sums: Sums, change: Tensor) -> tuple[Tensor, Tensor]:
        """Move the units that fire; Σ of squared moves, and how far (U,) each stored row moved."""
        before = self._weight[sums.units]
        moved = before + change - before
        if sums.valid is not None:
            moved = moved * sums.valid[:, None]
        self._weight.index_add_(0, sums.units, change)
        way = moved.square().sum(1)
        return way.sum(), way.sqrt()

    # --- a run ---

    def fit(
        self, max_steps: int = 10, tolerance: float = 1e-12, *, checkpoint: str | Path | None = None
    ) -> TrainingTrace:
        """Steps until the residual's norm is at most `tolerance`, `max_steps` in all at most.

        `checkpoint` names a file that is written after every step, whole or not at all, and from which the same run
        (points, labels, first weights, options) goes on, to the same bits; StoreError for that of another run.
        """
        require_int("max_steps", max_steps, 0)
        require_positive("tolerance", tolerance, allow_zero=True)
        stored = None if checkpoint is None else self._stored(require_path("checkpoint", checkpoint), max_steps)
        while len(self.trace.steps) < max_steps:
            norm = self._look().norm
            self.log(f"step {len(self.trace.steps)} of at most {max_steps}: residual {norm:.3e}")
            if norm <= tolerance:
                break
            self.step()
            if stored is not None:
                stored.write(self._weight, self._finder.state(), self.trace.steps)
        self.trace.final_residual = self._look().norm
        return self.trace

    def _stored(self, path: Path, max_steps: int) -> Checkpoint:
        """The checkpoint at `path`, and the run resumed from it if it has not begun."""
        if self._digest is None:
            if self.trace.steps:
                raise ValueError("`checkpoint` must be given from the first step on")
            self._digest = self._identify()
        stored = Checkpoint(path, self._digest)
        if not self.trace.steps:
            self._resume(stored, max_steps)
        return stored

    def _identify(self) -> str:
        """What tells this run from another one."""
        options = {
            "method": self.method, "radius": self.radius, "step": self.rate, "ridge": self.ridge,
            "slop": self.slop, "bias": self.net.bias, "activation": self.net.activation,
            "counting": self._finder.counting, "device": self.points.device.type,
        }  # fmt: skip
        return run_digest([self.points, self.labels, self._weight, self.net.signs], options)

    def _resume(self, stored: Checkpoint, max_steps: int) -> None:
        found = stored.read(self._weight, self._finder.state(), len(self.points))
        if found is None:
            return
        weight, state, steps = found
        if len(steps) > max_steps:
            raise ValueError(f"`max_steps` must be at least the {len(steps)} steps of the checkpoint, got {max_steps}")
        self._weight.copy_(weight)
        self._finder.restore(state)
        self._now = None
        self.trace.steps.extend(steps)
        self.log(f"resumed after step {len(steps)}")


def _places(net: ShiftedReLUNetwork, n: int, radius: float) -> int:
    """Places for pairs on an accelerator: what stale keys report at first, and as much again as chance may add."""
    expected = n * net.width * firing_probability(net.bias - radius)
    return _power_of_two(1.25 * expected + 6 * math.sqrt(expected))


def _power_of_two(count: float) -> int:
    return 1 << max(4, math.ceil(math.log2(max(1.0, count))))


def _require_data(net: ShiftedReLUNetwork, X: Any, y: Any) -> tuple[Tensor, Tensor]:
    """Points and labels on the network's device; TypeError or ValueError for what cannot be trained on."""
    weight = net.weight
    # arrays have no device
    X, y = (tensor_of(n, v).to(weight.device) if isinstance(v, np.ndarray) else v for n, v in (("X", X), ("y", y)))
    for name, value, shape in (("X", X, "(n, d)"), ("y", y, "(n,)")):
        require_tensor(name, value, shape)
        if value.dtype != torch.float64:
            raise TypeError(f"`{name}` must be float64, got {value.dtype}")
        if value.device != weight.device:
            raise ValueError(f"`{name}` must be on the network's device {weight.device}, got {value.device}")
        if not bool(torch.isfinite(value).all()):
            raise ValueError(f"`{name}` must be finite")
    if weight.dtype != torch.float64:
        raise TypeError(f"`net` must be float64 (in float32 keys equal to b occur), got {weight.dtype}")
    if X.ndim != 2 or not len(X) or X.shape[1] != net.inputs:
        raise ValueError(f"`X` must have shape (n, {net.inputs}), got {tuple(X.shape)}")
    if y.shape != X.shape[:1]:
        raise ValueError(f"`y` must have shape ({len(X)},), got {tuple(y.shape)}")
    _require_unit_and_distinct(X)
    size = float(y.square().mean().sqrt())
    if size > LARGE_LABELS:
        text = f"`y` is {size:.3g} in the root mean square: above {LARGE_LABELS:g} a step need not halve the residual"
        warnings.warn(text, RuntimeWarning, stacklevel=3)
    return X.detach().clone(), y.detach().clone()


def _require_unit_and_distinct(X: Tensor) -> None:
    norms = X.norm(dim=1)
    wrong = ~((norms - 1).abs() <= NORM_TOLERANCE)
    if bool(wrong.any()):
        row = int(wrong.nonzero()[0, 0])
        raise ValueError(f"`X` needs rows of norm 1 within {NORM_TOLERANCE:g}, row {row} has {float(norms[row]):.12g}")
    distinct, place = torch.unique(X, dim=0, return_inverse=True)
    if len(distinct) < len(X):
        first = torch.full((len(distinct),), len(X), dtype=torch.int64, device=X.device)
        numbers = torch.arange(len(X), device=X.device)
        first.scatter_reduce_(0, place, numbers, "amin")
        second = int((first[place] != numbers).nonzero()[0, 0])
        raise ValueError(
            f"`X` rows {int(first[place[second]])} and {second} are equal: the Gram matrix is singular for every width"
        )
