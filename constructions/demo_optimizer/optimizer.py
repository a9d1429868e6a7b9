"""DeMo on the processes of a group, as one of torch's optimisers.

Main definition: `DeMo`.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor

from constructions.demo_optimizer.agreement import Workers, require_agreement
from constructions.demo_optimizer.base import DecoupledMomentum, OptionsDiffer
from constructions.demo_optimizer.checkpoint import one_residual_for_all, own_state
from constructions.demo_optimizer.coding import Sent
from constructions.demo_optimizer.plan import CHANGED, FAILED, REFUSED, Plan
from constructions.demo_optimizer.transforms import Transform
from constructions.demo_optimizer.wire import HEAD
from constructions.errors import require_bool, require_int


class DeMo(DecoupledMomentum):
    """Data-parallel training in which a worker sends the `topk` largest coefficients of each chunk of its momentum.

    Every rank of `process_group` holds the same parameters and calls `step` with its own gradients: do not average
    them (`no_sync()` under DDP). `process_group` None is the default group where one is initialised, else one worker
    without any communication. gloo carries host tensors (others travel through the host), nccl those on CUDA.

    A step costs one collective, also on a rank where gradients are None: they count as 0 there, and the residual goes
    on (also where no rank has one, which a rank cannot know). A gradient that is not finite, or sparse, on one rank is
    an error on all of them, and so is a closure that fails on one; nothing is changed then. Parameters that need no
    gradient, or hold no number, are left alone. Half precision is computed in float32.

    `lr`, `decay` in [0, 1], `topk`, `chunk` (side, or (rows, columns)), `weight_decay`, `transform` and `seed` may
    differ from group to group. `wire_dtype` is what values are rounded to before they leave. Entries of an update of at
    most `zero_tol` times the largest of their chunk do not move (None: the rounding of the transform). `check_every` n
    compares the parameters of all ranks every n steps. `last_step` counts what this rank sent.

    Source: arXiv:2411.19870.
    """

    def __init__(
        self,
        params: Any,
        lr: float | Tensor = 1e-3,
        *,
        decay: float = 0.999,
        topk: int = 32,
        chunk: int | tuple[int, int] = 64,
        weight_decay: float = 0.0,
        transform: Transform = "dct",
        seed: int = 0,
        process_group: Any = None,
        wire_dtype: torch.dtype | None = None,
        zero_tol: float | None = None,
        check_every: int = 0,
    ):
        self.check_every = require_int("check_every", check_every, 0)
        self.process_group = process_group
        self._first_steps = _FirstSteps()
        self._place: tuple[int, int] | None = None
        self._agreed: Plan | None = None
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

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # type: ignore[override]
        """One step of all ranks together. `closure` computes the gradients, once, and its loss is returned.

        GradientRefused, OptionsDiffer or WorkersDiverged on all ranks when some rank has cause for it, RankFailed where
        another one fails in its closure, RankLost when one is gone.
        """
        workers = self._same_workers()
        loss, failure = _evaluated(closure, workers)
        plan = self._common_plan(workers)
        parameters = [p for _, p in self._parameters()]
        number = self._ready(plan, parameters)
        options = self._options(number)
        sent, message = self._encoded(plan, parameters, options, failure)
        messages = self._exchanged(plan, message, options, workers)
        if failure is not None:
            raise failure
        self._raise_flags(plan, messages, options, "rank")
        for i, residual in plan.residuals(sent).items():
            self.state[parameters[i]]["residual"].copy_(residual)
            self.state[parameters[i]]["step"] = number + 1
        self._move(plan.decode(messages, self.zero_tol))
        self._count(plan, message, int(workers.world > 1))
        self._first_steps.look(messages)
        if self.check_every and (number + 1) % self.check_every == 0:
            self.check_agreement()
        return loss

    def check_agreement(self) -> None:
        """WorkersDiverged, with the first parameter and the ranks, unless all ranks hold the same bytes.

        One collective of 8 bytes a parameter."""
        parameters = [p for _, p in self._parameters()]
        require_agreement([self.parameter_name(i) for i in range(len(parameters))], parameters, self._workers())

    def state_dict(self) -> dict[str, Any]:
        """What this rank needs to go on: residuals differ from rank to rank, so each saves its own.

        `workers` says whose it is. A transform that is a function is not in it: the optimiser that loads brings it.
        """
        result = super().state_dict()
        workers = self._workers()
        result["workers"] = {"rank": workers.rank, "world": workers.world}
        return result

    def load_state_dict(self, state_dict: Any, *, redistribute: bool = False) -> None:
        """Go on from what this rank of equally many saved; ValueError for another rank's.

        With `redistribute` every rank goes on with the mean of all residuals that were saved, whatever the number of
        ranks then and now: their sum is kept where the number is. `state_dict` is then a list of what all the ranks
        saved, or each rank brings one, and together they bring all of them.
        """
        workers = self._workers()
        if require_bool("redistribute", redistribute):
            brought = list(state_dict) if isinstance(state_dict, Sequence) else None
            if brought is None:
                brought = workers.gathered(state_dict, "collecting the states of all ranks")
            chosen = one_residual_for_all(brought)
        else:
            chosen = own_state(state_dict, workers.rank, workers.world)
        super().load_state_dict(chosen)
        self._place = None

    def __getstate__(self) -> dict[str, Any]:
        if self.process_group is not None:
            raise TypeError("an optimiser with a `process_group` cannot be copied: use its state_dict")
        kept = {
            "check_every": self.check_every,
            "process_group": None,
            "_first_steps": _FirstSteps(),
            "_place": None,
            "_agreed": None,
        }
        return super().__getstate__() | kept

    def _workers(self) -> Workers:
        return Workers.of(self.process_group)

    def _same_workers(self) -> Workers:
        """The workers of the last step; OptionsDiffer when this rank is another one now: its residuals are not."""
        workers = self._workers()
        place = workers.rank, workers.world
        if self._place not in (None, place):
            raise OptionsDiffer(
                f"this was rank {self._place[0]} of {self._place[1]} and is rank {place[0]} of {place[1]}: "
                "load a state with redistribute=True"
            )
        self._place = place
        return workers

    def _common_plan(self, workers: Workers) -> Plan:
        """The plan of this step. Where an option here cannot be, the others are told, for they wait for a message."""
        try:
            return self._plan()
        except (TypeError, ValueError) as error:
            if workers.world > 1:
                with suppress(OptionsDiffer):
                    self._withdraw(error, workers)
            raise

    def _withdraw(self, error: Exception, workers: Workers) -> None:
        """This rank's part of `_exchanged` when it has no plan: the others find that its options are not theirs."""
        before = self._agreed
        if before is not None:
            no_options = before.flagged(FAILED, 0, bytes(HEAD - 1))
            if all(int(m[0]) != CHANGED for m in workers.gather(no_options, "exchanging the coefficients of a step")):
                return
        self._agreed = None
        self._compare([("options", str(error))], workers)

    def _ready(self, plan: Plan, parameters: Sequence[Tensor]) -> int:
        """Make the states that are missing; returns how many steps were taken."""
        steps = [0]
        for i in plan.members:
            state = self.state[parameters[i]]
            if "residual" not in state:
                state["residual"] = torch.zeros_like(parameters[i], memory_format=torch.preserve_format)
                state["step"] = 0
            steps.append(state["step"])
        return max(steps)

    def _encoded(
        self, plan: Plan, parameters: Sequence[Tensor], options: bytes, failure: Exception | None
    ) -> tuple[list[Sent], Tensor]:
        """What this rank sends; where it cannot, a message that says so, for the others wait for one."""
        gradients = [p.grad for p in parameters]
        if failure is not None:
            return [], plan.flagged(FAILED, 0, options)
        refused = self._sparse(plan, gradients)
        if refused is not None:
            return [], plan.flagged(REFUSED, plan.first_chunk(refused), options)
        residuals = [self.state[p]["residual"] if p in self.state else None for p in parameters]
        sent = plan.encode(gradients, residuals, self.param_groups)
        return sent, plan.message(sent, options)

    def _exchanged(self, plan: Plan, message: Tensor, options: bytes, workers: Workers) -> list[Tensor]:
        """The messages of all ranks, by one collective.

        Where the plan of some rank is new it says so in a message of the old size, and all ranks compare what they are
        about to do: messages of unequal sizes would kill processes.
        """
        stage, before = "exchanging the coefficients of a step", self._agreed
        if before is not None:
            changed = plan is not before
            messages = workers.gather(before.flagged(CHANGED, 0, options) if changed else message, stage)
            if not changed and all(int(m[0]) != CHANGED for m in messages):
                return messages
        self._agreed = None
        self._start(plan, workers)
        self._agreed = plan
        return workers.gather(message, stage)

    def _start(self, plan: Plan, workers: Workers) -> None:
        """OptionsDiffer or WorkersDiverged when ranks are not about to take the same steps from the same parameters."""
        if workers.world == 1:
            return
        self._compare(self._described(plan), workers)
        self.check_agreement()

    def _compare(self, said: list[tuple[str, str]], workers: Workers) -> None:
        """OptionsDiffer with the first difference unless all ranks say the same."""
        mine = torch.frombuffer(bytearray(hashlib.blake2b(repr(said).encode()).digest()), dtype=torch.uint8)
        stage = "comparing the options of all ranks"
        if any(not torch.equal(mine, other) for other in workers.gather(mine, stage)):
            everybody = workers.gathered(said, stage)
            raise OptionsDiffer(_first_difference(everybody))

    def _described(self, plan: Plan) -> list[tuple[str, str]]:
        """(what, its value) of all that must be the same on all ranks for a step to make sense."""
        said = [("wire_dtype", str(self.wire_dtype)), ("zero_tol", repr(self.zero_tol))]
        said.append(("check_every", repr(self.check_every)))
        for i, (g, p) in enumerate(self._parameters()):
            about = f"{tuple(p.shape)}, {p.dtype}, group {g}, {'trained' if p.requires_grad else 'not trained'}"
            said.append((f"parameter {i}", about))
        for g, group in enumerate(self.param_groups):
            said += [(f"{key} of group {g}", repr(group[key])) for key in ("topk", "chunk", "seed")]
        for bucket in plan.buckets:
            high, wide = bucket.sides
            said.append((f"transform of {high}×{wide} chunks of group {bucket.group}", bucket.basis.digest()))
        return said


class _FirstSteps:
    """A warning where the first two steps of all ranks are the same: their gradients were averaged before."""

    def __init__(self) -> None:
        self.seen = 0

    def look(self, messages: Sequence[Tensor]) -> None:
        if self.seen >= 2 or len(messages) < 2:
            return
        first = messages[0][HEAD:]
        alike = bool(first.any()) and all(torch.equal(first, m[HEAD:]) for m in messages[1:])
        self.seen = self.seen + 1 if alike else 2
        if alike and self.seen == 2:
            warnings.warn("residuals are identical on all ranks: are gradients averaged before DeMo?", stacklevel=4)


def _evaluated(closure: Callable[[], Any] | None, workers: Workers) -> tuple[Any, Exception | None]:
    """The closure's loss; with others waiting, its error is kept for after they are told."""
    if closure is None:
        return None, None
    try:
        with torch.enable_grad():
            return closure(), None
    except Exception as error:
        if workers.world == 1:
            raise
        return None, error


def _first_difference(everybody: Sequence[list[tuple[str, str]]]) -> str:
    """The first entry in which some rank differs from rank 0, in words."""
    ours = dict(everybody[0])
    for r, said in enumerate(everybody):
        theirs = dict(said)
        for what in [*ours, *theirs]:
            mine, other = ours.get(what, "absent"), theirs.get(what, "absent")
            if mine != other:
                return f"{what} differs: {mine} on rank 0, {other} on rank {r}"
    return "the options of the ranks differ"
