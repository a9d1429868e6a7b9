"""Training a bank of independent experts: one AdamW over stacked rows, early stopping expert by expert.

The loss of the bank is the sum of its experts' own losses, and AdamW acts number by number: experts do not see each
other, and with `each_alone` not a bit of an expert depends on the group it is in (`steps` says why). So the bank may be
trained all at once (joint) or group after group with only one group on the device (memory-budgeted), with the same
result, bit by bit, on one machine with one number of threads. What all groups share is taken from the whole problem:
the widths of batches and evaluations, and the draws of each expert from a stream of its own.

Main definitions: `Options`, `Problem`, `train_bank`, `bytes_per_expert`.
"""

from __future__ import annotations

import math
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from constructions import fixed_order
from constructions.demo_optimizer.base import StepCounts
from constructions.errors import BudgetExceeded, require_int, require_positive
from constructions.progress import Log, silent, tracked
from constructions.runs import run_digest
from constructions.trained_momlp.bank import Widths, parameters
from constructions.trained_momlp.checkpoint import State, fresh_state, read_state, write_state
from constructions.trained_momlp.data_parallel import ALONE, Method
from constructions.trained_momlp.groups import Groups
from constructions.trained_momlp.steps import Bank, Layout, Product, Targets, each_alone, filled_up

CHECKPOINT_SECONDS = 20.0
MOST = 2**62  # steps and what counts them are held in tensors


@dataclass(frozen=True)
class Options:
    """Of the optimiser: at most `steps` AdamW steps with a cosine rate from `learning_rate` to 0, batches of
    `batch_size` points an expert, an evaluation every `evaluate_every` steps, and an expert stops after `patience`
    evaluations without improvement."""

    steps: int = 2000
    batch_size: int = 256
    learning_rate: float = 1e-2
    weight_decay: float = 1e-4
    evaluate_every: int = 50
    patience: int = 10

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "evaluate_every", "patience"):
            require_int(name, getattr(self, name), 1, MOST)
        require_positive("learning_rate", self.learning_rate)
        require_positive("weight_decay", self.weight_decay, allow_zero=True)


@dataclass(frozen=True)
class Problem:
    """Standardised inputs z (N, n), targets y (N, m) or classes (N,), and the rows that E experts train and stop on.

    Expert e sees (z − centre[e])·scale[e]; centre (E, n), scale (E,). `weight` (N,), float64, counts each row in the
    losses, None all alike; its mean over an expert's training rows is `mean_weight` (E,).
    """

    z: Tensor
    y: Tensor
    train: Groups
    validation: Groups
    centre: Tensor
    scale: Tensor
    weight: Tensor | None = None
    mean_weight: Tensor | None = None

    @property
    def experts(self) -> int:
        return self.train.experts

    @property
    def classes(self) -> bool:
        return not self.y.is_floating_point()


@dataclass(frozen=True)
class Trained:
    """Rows (E, P) of the best evaluation, its loss (E,) and the steps (E,) until each expert stopped."""

    rows: Tensor
    losses: Tensor
    stopped: Tensor
    groups: int
    seconds: float
    sent: StepCounts | None = None


def bytes_per_expert(problem: Problem, widths: Widths, options: Options) -> int:
    """What one more expert takes on the device, from above: weights, its data, and the larger of a step and an
    evaluation.

    Weights: rows, moments and best ones as they are stored, the best ones once more when they are replaced, and work
    rows, gradients and moments with what a step needs beside them. A step holds a batch, its activations and their
    gradients, the terms of its loss, and the row numbers of the batches until the next evaluation. A test compares it
    with what is measured.
    """
    item, n, m = problem.z.element_size(), problem.z.shape[1], widths[-1]
    largest, held = problem.train.largest, problem.validation.largest
    width = min(options.batch_size, largest)
    draws = 32 * width * (options.evaluate_every if largest > width else 1)
    terms = 64 * m if problem.classes else 3 * m * item
    step = filled_up(width) * ((4 * n + 4 * sum(widths)) * item + terms) + draws
    evaluation = filled_up(held) * ((3 * n + 2 * sum(widths)) * item + terms)
    data = (largest + held) * ((n + m) * item + 40) + held * (n * item + 16)
    if problem.weight is not None:
        data += (largest + 6 * held + 6 * width + 1) * 8
    weights = 5 * parameters(widths) + 7 * Layout.of(widths).size
    return weights * item + data + max(step, evaluation) + 4096


def group_size(
    problem: Problem, widths: Widths, options: Options, budget_bytes: int | None, method: Method = ALONE
) -> int:
    """How many experts fit the budget at once; BudgetExceeded when not even one does."""
    if budget_bytes is None:
        return problem.experts
    each = bytes_per_expert(problem, widths, options) + method.bytes_per_expert(widths, problem.z.element_size())
    if budget_bytes < each:
        raise BudgetExceeded(f"`budget_bytes` must hold one expert with its data, {each} bytes, got {budget_bytes}")
    return min(problem.experts, budget_bytes // each)


def train_bank(
    problem: Problem,
    initial: Tensor,
    widths: Widths,
    options: Options,
    *,
    seed: int = 0,
    budget_bytes: int | None = None,
    device: torch.device | None = None,
    checkpoint: Path | None = None,
    log: Log = silent,
    product: Product = each_alone,
    method: Method = ALONE,
) -> Trained:
    """Train rows `initial` (E, P), host memory, on `device`; they are overwritten with the trained ones.

    `budget_bytes` bounds what is on the device at once. `checkpoint` is written about every 20 seconds and on Ctrl-C,
    and resumed from when it exists. StoreError when it is of another run. `method` says who trains together: then the
    ranks read one checkpoint, which rank 0 writes.
    """
    started = time.perf_counter()
    place = torch.device("cpu") if device is None else device
    problem = replace(problem, validation=method.held_alike(problem.train, problem.validation))
    size = group_size(problem, widths, options, budget_bytes, method)
    run = ""
    if checkpoint is not None or method is not ALONE:
        data = [problem.z, problem.y, problem.train.rows, problem.train.start, problem.validation.rows, initial]
        data += [] if problem.weight is None else [problem.weight]
        about = {**asdict(options), "widths": widths, "seed": seed, "group": size, **method.options()}
        run = run_digest(data, about)
    method.start(run)
    state = None if checkpoint is None else read_state(checkpoint, run)
    first = 0 if state is None else state.first
    for start in range(first, problem.experts, size):
        end = min(start + size, problem.experts)
        if state is None or state.first != start:
            state = fresh_state(initial, start, end, state, method.fresh(initial[start:end]))
        group = _Group(problem, method, Layout.of(widths), options, (start, end), seed, place, product)
        saver = _Saver(checkpoint, run, method.leads)
        state = group.train(state, saver, f"experts {start + 1} to {end} of {problem.experts}", log)
        if saver.path is not None:
            saver.write(state)
    assert state is not None
    _forget_untrained(problem, widths, state)
    method.finish(state.finished)
    count = math.ceil(problem.experts / size)
    return Trained(state.finished, state.losses, state.stopped, count, time.perf_counter() - started, method.sent)


def _forget_untrained(problem: Problem, widths: Widths, state: State) -> None:
    """Experts without data answer the mean (of standardised targets: 0), or the logarithms of the classes' shares."""
    empty = problem.train.sizes == 0
    if bool(empty.any()):
        answer = torch.zeros(widths[-1], dtype=state.finished.dtype)
        if problem.classes:
            share = torch.bincount(problem.y, problem.weight, minlength=widths[-1]) + 1
            answer = (share / share.sum()).log().to(answer)
        state.finished[empty] = 0.0
        state.finished[empty, -widths[-1] :] = answer


class _Saver:
    """Writes checkpoints where this process leads."""

    def __init__(self, path: Path | None, run: str, leads: bool):
        self.path, self.run, self.leads, self.last = path, run, leads, time.monotonic()

    def due(self) -> bool:
        return self.path is not None and time.monotonic() - self.last > CHECKPOINT_SECONDS

    def write(self, state: State) -> None:
        assert self.path is not None
        if self.leads:
            write_state(self.path, state, self.run)
        self.last = time.monotonic()


class _Group:
    """Experts span[0] … span[1] − 1 on the device, with the data rows that they own and no others."""

    def __init__(
        self,
        problem: Problem,
        method: Method,
        layout: Layout,
        options: Options,
        span: tuple[int, int],
        seed: int,
        place: torch.device,
        product: Product,
    ):
        self.layout, self.options, self.seed, self.place, self.product = layout, options, seed, place, product
        self.descent = method.descent(product)
        self.train_rows, self.ids = method.share(problem.train), torch.arange(*span)
        # the widths of batches come from the whole problem, so that they do not depend on the grouping
        self.width = min(options.batch_size, self.train_rows.largest)
        self.redraws = bool((self.train_rows.sizes[self.ids] > self.width).any())
        train, inside = self.train_rows.whole(self.ids, self.train_rows.largest)
        held, held_inside = problem.validation.whole(self.ids, problem.validation.largest)
        none = ~held_inside.any(-1)
        self.owned = torch.unique(torch.cat([train[inside], held[held_inside]]))
        self.z, self.y = problem.z[self.owned].to(place), problem.y[self.owned].to(place)
        self.weight = self.mean_weight = None
        if problem.weight is not None and problem.mean_weight is not None:
            self.weight = problem.weight[self.owned].to(place)
            self.mean_weight = problem.mean_weight[self.ids].to(place)
        self.centre, self.scale = problem.centre[self.ids].to(place), problem.scale[self.ids].to(place)
        self.held, self.held_targets = self._batch(self._at(held, held_inside), held_inside.to(place), alone=True)
        self.unheld = none.to(place)  # these stop on their training loss

    def _at(self, rows: Tensor, inside: Tensor) -> Tensor:
        """Places of data rows among the owned ones."""
        return torch.where(inside, torch.searchsorted(self.owned, rows), 0).to(self.place)

    def _batch(self, at: Tensor, inside: Tensor, *, alone: bool = False) -> tuple[Tensor, Targets]:
        """Local coordinates (E, S, n) and targets of the owned rows at (E, S), drawn from an expert's training rows, or
        all that there are (`alone`)."""
        local = (self.z[at] - self.centre[:, None]) * self.scale[:, None, None]
        weight = None if self.weight is None else self._relative(self.weight[at], inside, alone)
        return torch.where(inside[..., None], local, 0.0), Targets.of(self.y[at], inside, weight)

    def _relative(self, weight: Tensor, inside: Tensor, alone: bool) -> Tensor:
        """Weights (E, S) in units of their mean over the rows they stand for: a batch's loss is then the weighted mean
        over all training rows in expectation, and exactly where the batch is all of them."""
        mean = self.mean_weight
        if alone:
            mean = fixed_order.total(torch.where(inside, weight, 0.0)) / inside.sum(-1).clamp(min=1)
            mean = torch.where(mean > 0, mean, 1.0)
        assert mean is not None
        return (weight / mean[:, None]).to(self.z.dtype)

    @torch.no_grad()
    def train(self, state: State, saver: _Saver, label: str, log: Log) -> State:
        """Run to the end of this group; the state returned holds its best rows among the finished.

        A state is made whole and put in the place of the last one at once: whenever Ctrl-C comes, what is written is
        a moment that the uninterrupted run goes through.
        """
        options = self.options
        names = ("rows", "best", "best_loss", "waited", "average", "square")
        state = replace(state, **{name: getattr(state, name).to(self.place) for name in names})
        bank = Bank(self.layout, self.product, state.rows, state.average, state.square, self.descent)
        # the last evaluation may come early: after it nothing is left to do
        done, every = math.ceil(state.step / options.evaluate_every), math.ceil(options.steps / options.evaluate_every)
        chunks = range(done, every)
        try:
            for chunk in tracked(chunks, label, log):
                if bool((state.waited >= options.patience).all()):
                    break
                state = self._evaluated(state, bank, self._steps(bank, chunk), saver.path is not None)
                if saver.due():
                    saver.write(state)
        except KeyboardInterrupt:
            if saver.path is not None:
                saver.write(state)
            raise
        state.finished[self.ids] = state.best.cpu()
        state.losses[self.ids] = state.best_loss.cpu().to(state.losses.dtype)
        return state

    def _steps(self, bank: Bank, chunk: int) -> Tensor:
        """The steps until the next evaluation; returns the last training losses (E,)."""
        options = self.options
        first = chunk * options.evaluate_every
        count = min(options.evaluate_every, options.steps - first)
        drawn, inside = self.train_rows.draws(
            self.ids, self.width, count if self.redraws else 1, seed=self.seed, chunk=chunk
        )
        at, inside = self._at(drawn, inside), inside.to(self.place)[:, 0]
        room = bank.room(self.width)
        x, targets = self._batch(at[:, 0], inside)
        losses = torch.empty(0)
        for t in range(count):
            if t and self.redraws:
                x, targets = self._batch(at[:, t], inside)
            out = bank.outputs(x, room)
            if t == count - 1:
                losses = targets.losses(out)
            rate = options.learning_rate * 0.5 * (1 + math.cos(math.pi * (first + t) / options.steps))
            gradient = targets.gradient(out)
            bank.descend(gradient, room, rate=rate, weight_decay=options.weight_decay, number=first + t + 1)
        return losses

    def _evaluated(self, state: State, bank: Bank, training_losses: Tensor, resumable: bool) -> State:
        """Early stopping: keep the best rows of every expert that has not stopped."""
        loss = training_losses
        if self.held.shape[1]:
            held = self.held_targets.losses(bank.outputs(self.held, bank.room(self.held.shape[1])))
            loss = torch.where(self.unheld, training_losses, held)
        going = state.waited < self.options.patience
        better = going & (loss < state.best_loss)
        step = min(state.step + self.options.evaluate_every, self.options.steps)
        stopped = state.stopped.clone()
        stopped[self.ids[going.cpu()]] = step
        rows, average, square = bank.numbers() if resumable else (state.rows, state.average, state.square)
        return replace(
            state,
            step=step,
            stopped=stopped,
            rows=rows,
            average=average,
            square=square,
            best=torch.where(better[:, None], bank.rows(), state.best),
            best_loss=torch.where(better, loss, state.best_loss),
            waited=torch.where(better, 0, state.waited + going.long()),
        )
