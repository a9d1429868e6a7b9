"""How a bank is trained: by one process with AdamW, or by all workers of a group with DeMo, each on its own points.

Every worker holds the whole bank and the whole data, and trains on every W-th point of each expert. What decides about
early stopping is computed alike on all of them. An expert's row of P numbers is cut into chunks of 64, filled up with
zeros: no chunk holds numbers of two experts, so an expert does not feel who is trained beside it, bit by bit.

Main definitions: `Method`, `DataParallel`, `method_named`, `OPTIMIZERS`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from constructions.demo_optimizer.agreement import Workers, require_agreement
from constructions.demo_optimizer.base import OptionsDiffer, StepCounts, raise_flags
from constructions.demo_optimizer.chunks import Chunks
from constructions.demo_optimizer.plan import Bucket, Plan, options_digest
from constructions.demo_optimizer.transforms import Basis, dct_matrix
from constructions.demo_optimizer.wire import HEAD
from constructions.errors import require_choice, require_int, require_positive
from constructions.trained_momlp.bank import Widths, parameters
from constructions.trained_momlp.groups import Groups
from constructions.trained_momlp.steps import AdamW, Layout, Product

OPTIMIZERS = ("adamw", "demo")
CHUNK = 64
VALUES = torch.float32
"""What coefficients are on the wire."""


class Method:
    """One process and AdamW; what is different for several workers is overridden."""

    @property
    def leads(self) -> bool:
        """Whether this process writes checkpoints."""
        return True

    @property
    def sent(self) -> StepCounts | None:
        """What this process gave to the others, all steps together."""
        return None

    def options(self) -> dict[str, Any]:
        """What a checkpoint must share beside the run's data and options."""
        return {}

    def bytes_per_expert(self, widths: Widths, item: int) -> int:
        """What an expert takes beyond AdamW's step, numbers of `item` bytes."""
        return 0

    def held_alike(self, train: Groups, validation: Groups) -> Groups:
        """The rows that experts stop on."""
        return validation

    def share(self, train: Groups) -> Groups:
        """The rows that this process trains on."""
        return train

    def fresh(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """The optimiser's state before the first step of rows (E, P), in two parts."""
        return torch.zeros_like(rows), torch.zeros_like(rows)

    def descent(self, product: Product) -> Any:
        """The optimiser, to be made with a layout and both parts of the state."""
        return AdamW

    def start(self, run: str) -> None:
        """Before the training of the run with this digest."""

    def finish(self, rows: Tensor) -> None:
        """After it."""


class DataParallel(Method):
    """DeMo: each worker sends the `topk` largest cosine coefficients of every chunk of its momentum."""

    def __init__(self, workers: Workers, topk: int, decay: float):
        self.workers, self.topk, self.decay = workers, topk, decay
        self._sent = StepCounts(0, 0, 0, 0)

    @property
    def leads(self) -> bool:
        return self.workers.rank == 0

    @property
    def sent(self) -> StepCounts:
        return self._sent

    def options(self) -> dict[str, Any]:
        return {"optimizer": "demo", "topk": self.topk, "decay": self.decay, "world": self.workers.world}

    def bytes_per_expert(self, widths: Widths, item: int) -> int:
        chunks, world = -(-parameters(widths) // CHUNK), self.workers.world
        coefficients = chunks * min(self.topk, CHUNK)
        # the residuals of all, what a step computes with, the messages and what is read from them
        return (2 * world + 12) * chunks * CHUNK * item + world * coefficients * (4 * (VALUES.itemsize + 9) + 3 * item)

    def held_alike(self, train: Groups, validation: Groups) -> Groups:
        """Experts without a point to stop on stop on all that they train on: a worker's own share would not do."""
        experts = torch.arange(train.experts)
        held, spare = (torch.repeat_interleave(experts, groups.sizes) for groups in (validation, train))
        needed = (validation.sizes == 0)[spare]
        rows = torch.cat([validation.rows, train.rows[needed]])
        return Groups.of(torch.cat([held, spare[needed]]), rows, train.experts)

    def share(self, train: Groups) -> Groups:
        """Every W-th row of each expert, from the rank-th on."""
        owner = torch.repeat_interleave(torch.arange(train.experts), train.sizes)
        place = torch.arange(len(train.rows)) - train.start[owner]
        mine = place % self.workers.world == self.workers.rank
        return Groups.of(owner[mine], train.rows[mine], train.experts)

    def fresh(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """All workers' residuals (E, W, 64·chunks), and nothing."""
        chunks = -(-rows.shape[1] // CHUNK)
        return rows.new_zeros(len(rows), self.workers.world, chunks * CHUNK), rows.new_zeros(len(rows), 0)

    def descent(self, product: Product) -> Any:
        return lambda layout, residuals, _: _Demo(self, layout, residuals, product)

    def start(self, run: str) -> None:
        """OptionsDiffer on all ranks unless all are about to train the same run."""
        mine = torch.tensor(list(bytes.fromhex(run)), dtype=torch.uint8)
        gathered = self.workers.gather(mine, "comparing the data and options of all ranks")
        others = [str(r) for r, other in enumerate(gathered) if not torch.equal(other, gathered[0])]
        if others:
            raise OptionsDiffer(f"data, options or first weights on ranks {', '.join(others)} are not those of rank 0")

    def finish(self, rows: Tensor) -> None:
        """WorkersDiverged on all ranks unless all hold the same rows."""
        require_agreement(["rows"], [rows], self.workers)

    def count(self, message: Tensor, coefficients: int) -> None:
        """One more message."""
        before, size = self._sent, message.nbytes
        self._sent = StepCounts(
            before.coefficients + coefficients,
            before.payload_bytes + size - HEAD,
            before.message_bytes + size,
            before.messages + 1,
        )


class _Demo:
    """DeMo on the rows of a bank; `residuals` (E, W, 64·chunks) are those of all workers, this one keeps its own."""

    def __init__(self, about: DataParallel, layout: Layout, residuals: Tensor, product: Product):
        self.about, self.layout = about, layout
        self.residual = residuals[:, about.workers.rank].clone(memory_format=torch.contiguous_format)
        experts, width = self.residual.shape
        self.per_expert = width // CHUNK
        matrix = dct_matrix(CHUNK).to(device=residuals.device, dtype=residuals.dtype)
        basis = _AloneBasis(None, matrix, per_expert=self.per_expert, product=product)
        cut = Chunks.of((experts, width), (1, CHUNK))
        dtype = residuals.dtype
        bucket = Bucket((0,), 0, (cut,), basis, min(about.topk, CHUNK), dtype, dtype, VALUES, residuals.device)
        self.plan = Plan((bucket,))

    def numbers(self) -> tuple[Tensor, Tensor]:
        """Copies of all workers' residuals (E, W, 64·chunks), and nothing."""
        alike = self.about.workers.gather(self.residual, "collecting the residuals of all ranks")
        return torch.stack(alike, dim=1), self.residual.new_zeros(len(self.residual), 0)

    def step(self, rows: Tensor, slope: Tensor, *, rate: float, weight_decay: float, number: int) -> None:
        """One step of all workers together; an error of one is an error of all, and changes nothing."""
        used = len(self.layout.place)
        gradient = torch.zeros_like(self.residual)
        gradient[:, :used] = self.layout.rows(slope)
        group = {"lr": rate, "decay": self.about.decay, "weight_decay": weight_decay}
        options = options_digest([group], number, None)
        sent = self.plan.encode([gradient], [self.residual], [group])
        message = self.plan.message(sent, options)
        messages = self.about.workers.gather(message, "exchanging the coefficients of a step")
        raise_flags(messages, options, "rank", lambda chunk: f"expert {chunk // self.per_expert} of its group")
        self.residual = self.plan.residuals(sent)[0]
        signs = self.plan.decode(messages, None)[0][:, :used]
        rows.mul_(1 - rate * weight_decay).sub_(self.layout.work_rows(signs).mul_(rate))
        self.about.count(message, self.plan.coefficients)


@dataclass(frozen=True)
class _AloneBasis(Basis):
    """A basis of chunks (1, 64) whose products are taken expert by expert, `per_expert` chunks at a time."""

    per_expert: int = 1
    product: Any = None

    def _apply(self, x: Tensor, left: Tensor | None, right: Tensor | None) -> Tensor:
        assert right is not None
        chunks = x.reshape(-1, self.per_expert, CHUNK).contiguous()
        out = torch.empty_like(chunks)
        self.product(chunks, right.expand(len(chunks), CHUNK, CHUNK), out)
        return out.view_as(x)


def method_named(optimizer: str, *, process_group: Any, topk: int, decay: float) -> Method:
    """AdamW in one process, or DeMo among the workers of a group (alone where there is none)."""
    require_choice("optimizer", optimizer, OPTIMIZERS)
    require_int("topk", topk, 1)
    if not require_positive("decay", decay, allow_zero=True) <= 1:
        raise ValueError(f"`decay` must be between 0 and 1, got {decay}")
    if optimizer == "demo":
        return DataParallel(Workers.of(process_group), topk, float(decay))
    if process_group is not None:
        raise ValueError("`process_group` must be None for 'adamw', which trains in one process")
    return ALONE


ALONE = Method()
"""One process, AdamW."""
