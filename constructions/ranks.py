"""`Ranks`: the processes that work together, with collectives that end in a clear error when one of them is gone.

Built on torch.distributed (gloo on CPU, nccl on CUDA), started with torchrun; one process alone works too, without it.

Main definitions: `Ranks`, `clear_loss`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous

from constructions.errors import RankFailed, RankLost, require_instance, require_int, require_positive, shown

DEFAULT_TIMEOUT = 60.0
DEFAULT_PATIENCE = 3600.0


@dataclass
class Traffic:
    """What this process sent to others in one stage of the work."""

    messages: int = 0
    bytes: int = 0


@dataclass
class Ranks:
    """This process is `rank` of `world`. `store` is shared by all (None alone). Use `Ranks.start` as a context.

    `traffic` counts what `exchange` sent to others, stage by stage (the small all-reduces of `agree` are not in it).
    A rank that says nothing in an exchange is lost after `timeout` seconds; one that works long on its own may take
    `patience` seconds (`wait_for_all`).
    """

    rank: int
    world: int
    device: torch.device
    timeout: float
    patience: float = DEFAULT_PATIENCE
    store: Any = None
    patient: Any = None
    traffic: dict[str, Traffic] = field(default_factory=dict)

    @classmethod
    @contextmanager
    def start(
        cls,
        *,
        timeout: float = DEFAULT_TIMEOUT,
        patience: float = DEFAULT_PATIENCE,
        device: torch.device | str = "cpu",
        environment: Mapping[str, str] | None = None,
    ) -> Iterator[Ranks]:
        """Join the processes that torchrun started (its environment variables), or work alone when it did not.

        `timeout` and `patience` in seconds. On CUDA each process takes the device of its local rank. Leaves the group
        at the end.
        """
        require_positive("timeout", timeout)
        require_positive("patience", patience)
        variables = os.environ if environment is None else require_instance("environment", environment, Mapping)
        place = _device(device)
        if _variable(variables, "WORLD_SIZE", low=1, default=1) == 1:
            yield cls(0, 1, place, timeout, patience)
            return
        if place.type == "cuda":
            place = torch.device("cuda", _variable(variables, "LOCAL_RANK", default=0))
            torch.cuda.set_device(place)
        backend = "nccl" if place.type == "cuda" else "gloo"
        with clear_loss("joining the other ranks", _variable(variables, "RANK"), timeout):
            store, rank, world = next(rendezvous("env://", timeout=timedelta(seconds=timeout)))
            shared = PrefixStore("momlp", store)
            dist.init_process_group(
                backend, store=store, rank=rank, world_size=world, timeout=timedelta(seconds=timeout)
            )
            patient = dist.new_group(backend="gloo", timeout=timedelta(seconds=patience))
        try:
            yield cls(rank, world, place, timeout, patience, shared, patient)
        finally:
            dist.destroy_process_group()

    @property
    def leads(self) -> bool:
        """Whether this is rank 0, which writes and prints."""
        return self.rank == 0

    def exchange(self, rows: Tensor, counts: Sequence[int], expected: Sequence[int], stage: str) -> Tensor:
        """Send counts[r] rows of (B, …) to each rank r, in order, and receive expected[r] rows from each."""
        if self.world == 1:
            return rows
        result = rows.new_empty(sum(expected), *rows.shape[1:])
        with clear_loss(stage, self.rank, self.timeout):
            dist.all_to_all_single(result, rows.contiguous(), list(expected), list(counts))
        sent = self.traffic.setdefault(stage, Traffic())
        sent.messages += self.world - 1
        sent.bytes += (len(rows) - counts[self.rank]) * rows[:1].nbytes if len(rows) else 0
        return result

    def exchange_counts(self, counts: Tensor, stage: str) -> list[int]:
        """How many rows each rank will send here; `counts` (world,) is how many go from here to each."""
        return self.exchange(counts, [1] * self.world, [1] * self.world, stage).tolist()

    def agree(self, error: Exception | None, stage: str) -> None:
        """Raise on every rank when one has an error: its own error there, `RankFailed` elsewhere."""
        if self.world > 1:
            worst = torch.tensor([0 if error is None else self.rank + 1], device=self.device)
            with clear_loss(stage, self.rank, self.timeout):
                dist.all_reduce(worst, op=dist.ReduceOp.MAX)
            if error is None and int(worst):
                raise RankFailed(f"rank {self.rank} stops: rank {int(worst) - 1} failed while {stage}, see its message")
        if error is not None:
            raise error

    def gathered(self, value: Any, stage: str) -> list[Any]:
        """`value` of every rank, on every rank."""
        if self.world == 1:
            return [value]
        values: list[Any] = [None] * self.world
        with clear_loss(stage, self.rank, self.timeout):
            dist.all_gather_object(values, value)
        return values

    def take(self, name: str) -> int:
        """The next number, from 0 on, that no rank has taken under this name."""
        with clear_loss(f"taking the next of the {name}", self.rank, self.timeout):
            return self.store.add(name, 1) - 1

    def publish(self, key: str, text: str) -> None:
        """Let all ranks read `text` under `key`, also after this one is gone."""
        with clear_loss(f"publishing {key}", self.rank, self.timeout):
            self.store.set(key, text)

    def published(self, key: str) -> str | None:
        """What some rank published under `key`, None if none has."""
        with clear_loss(f"reading {key}", self.rank, self.timeout):
            return self.store.get(key).decode() if self.store.check([key]) else None

    def wait_for_all(self, stage: str) -> None:
        """Return when every rank is here; `RankLost` at once when one dies, or after `patience` seconds."""
        if self.world > 1:
            with clear_loss(stage, self.rank, self.patience):
                dist.barrier(group=self.patient)


def _device(device: torch.device | str) -> torch.device:
    """`device`, not touched yet: each process is to use its own one."""
    try:
        place = torch.device(device)
    except (RuntimeError, TypeError, ValueError) as err:
        raise ValueError(f"`device` must be a torch.device or its name, got {shown(device)}") from err
    if place.type == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"`device` must be one that torch sees, got {place}")
    return place


def _variable(variables: Mapping[str, str], name: str, *, low: int = 0, default: int | None = None) -> int:
    """A number that torchrun put into the environment; ValueError where there is none."""
    text = variables.get(name, default)
    try:
        return require_int(name, int(text) if isinstance(text, str) else text, low)
    except ValueError as err:
        raise ValueError(f"`{name}` in the environment must be an integer of at least {low}, got {text!r}") from err


@contextmanager
def clear_loss(stage: str, rank: int, timeout: float | None) -> Iterator[None]:
    """Errors of the transport as one sentence; `timeout` in seconds, None when the group's is not known."""
    try:
        yield
    except (RuntimeError, OSError) as err:
        if isinstance(err, (RankLost, RankFailed)):
            raise
        why = str(err).strip().splitlines()[0][:200] if str(err).strip() else type(err).__name__
        limit = "" if timeout is None else f" (timeout {timeout:g} s)"
        raise RankLost(f"rank {rank}: another rank died or stopped answering while {stage}{limit}: {why}") from err
