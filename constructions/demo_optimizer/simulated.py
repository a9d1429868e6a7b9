"""DeMo with all its workers in this process: the same arithmetic, bit by bit, without anything between them.

Main definition: `SimulatedDeMo`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from constructions.demo_optimizer.base import DecoupledMomentum
from constructions.demo_optimizer.plan import REFUSED
from constructions.demo_optimizer.transforms import Transform
from constructions.errors import require_instance, require_int


class SimulatedDeMo(DecoupledMomentum):
    """`workers` workers that share the parameters and keep a residual each: state `residual` is (W, *shape).

    `step(gradients)` takes `gradients[w][i]`, None for none, of worker w and parameter i in the order of the groups.
    """

    def __init__(
        self,
        params: Any,
        workers: int,
        lr: float | Tensor = 1e-3,
        *,
        decay: float = 0.999,
        topk: int = 32,
        chunk: int | tuple[int, int] = 64,
        weight_decay: float = 0.0,
        transform: Transform = "dct",
        seed: int = 0,
        wire_dtype: torch.dtype | None = None,
        zero_tol: float | None = None,
    ):
        self.workers = require_int("workers", workers, 1)
        super().__init__(
            params,
            lr,
            decay=decay,
            topk=topk,
            chunk=chunk,
            weight_decay=weight_decay,
            transform=transform,
            seed=seed,
            wire_dtype=wire_dtype,
            zero_tol=zero_tol,
        )
        self.messages: list[Tensor] = []

    @torch.no_grad()
    def step(self, gradients: Sequence[Sequence[Tensor | None]]) -> None:  # type: ignore[override]
        """One step of all workers; `messages` then holds what each of them sent."""
        parameters = [p for _, p in self._parameters()]
        _check_gradients(gradients, parameters, self.workers)
        plan = self._plan()
        residuals = {i: self._residual(parameters[i]) for i in plan.members}
        number = max((self.state[parameters[i]]["step"] for i in plan.members), default=0)
        options = self._options(number)
        kept, messages = [], []
        for w in range(self.workers):
            refused = self._sparse(plan, gradients[w])
            if refused is not None:
                messages.append(plan.flagged(REFUSED, plan.first_chunk(refused), options))
                continue
            sent = plan.encode(gradients[w], _of(w, residuals, len(parameters)), self.param_groups)
            kept.append(plan.residuals(sent))
            messages.append(plan.message(sent, options))
        self._raise_flags(plan, messages, options, "worker")
        for w, mine in enumerate(kept):
            for i, residual in mine.items():
                residuals[i][w].copy_(residual)
        self._move(plan.decode(messages, self.zero_tol))
        for i in plan.members:
            self.state[parameters[i]]["step"] = number + 1
        self.messages = messages
        self._count(plan, messages[0], 1)

    def residual(self, parameter: Tensor, worker: int) -> Tensor:
        """What a worker has not sent yet of a parameter's momentum, in the parameter's shape."""
        return self._residual(parameter)[require_int("worker", worker, 0, self.workers - 1)]

    def __getstate__(self) -> dict[str, Any]:
        return super().__getstate__() | {"workers": self.workers, "messages": []}

    def _residual_shape(self, p: Tensor) -> tuple[int, ...]:
        return self.workers, *p.shape

    def _residual(self, p: Tensor) -> Tensor:
        state = self.state[p]
        if "residual" not in state:
            state["residual"] = torch.zeros(self.workers, *p.shape, dtype=p.dtype, device=p.device)
            state["step"] = 0
        return state["residual"]


def _of(worker: int, residuals: Mapping[int, Tensor], count: int) -> list[Tensor | None]:
    """One worker's residuals of `count` parameters."""
    return [residuals[i][worker] if i in residuals else None for i in range(count)]


def _check_gradients(gradients: Any, parameters: Sequence[Tensor], workers: int) -> None:
    """One row a worker, one gradient or None a parameter, of its shape."""
    if not isinstance(gradients, (Sequence, Tensor)) or not all(isinstance(r, (Sequence, Tensor)) for r in gradients):
        raise TypeError("`gradients` must hold one list a worker, of one tensor or None a parameter")
    if len(gradients) != workers:
        raise ValueError(f"`gradients` must hold one list a worker, {workers} of them, got {len(gradients)}")
    for w, row in enumerate(gradients):
        if len(row) != len(parameters):
            raise ValueError(
                f"`gradients[{w}]` must hold one gradient a parameter, {len(parameters)} of them, got {len(row)}"
            )
        for i, (g, p) in enumerate(zip(row, parameters, strict=True)):
            require_instance(f"gradients[{w}][{i}]", g, (Tensor, type(None)))
            if g is not None and g.shape != p.shape:
                raise ValueError(
                    f"`gradients[{w}][{i}]` must have its parameter's shape {tuple(p.shape)}, got {tuple(g.shape)}"
                )
