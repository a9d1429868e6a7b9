"""What DeMo on one rank of many and DeMo with simulated workers share: options, their checks, and the step's end.

Main definitions: `DecoupledMomentum`, `StepCounts`, `GradientRefused`, `OptionsDiffer`,
`raise_flags`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from constructions.demo_optimizer.checkpoint import fitting_state
from constructions.demo_optimizer.chunks import require_chunk
from constructions.demo_optimizer.plan import FAILED, FINE, NOT_FINITE, Plan, options_digest
from constructions.demo_optimizer.transforms import Transform, require_transform
from constructions.demo_optimizer.wire import HEAD, WIRE_DTYPES, require_wire_dtype
from constructions.errors import RankFailed, require_int, require_positive, require_seed, shown


class GradientRefused(ValueError):
    """A gradient that cannot be used on some worker: not finite, sparse, or complex."""


class OptionsDiffer(ValueError):
    """Workers that should run the same step do not have the same parameters or options."""


@dataclass(frozen=True)
class StepCounts:
    """Of one worker and step, counted on its packed message: coefficients, their bytes, those of the whole message,
    and how many messages it gave to a collective."""

    coefficients: int
    payload_bytes: int
    message_bytes: int
    messages: int


class DecoupledMomentum(torch.optim.Optimizer):
    """Parameter groups with DeMo's options, and the plan of a step. `lr`, `decay`, `topk`, `chunk`, `weight_decay`,
    `transform` and `seed` may differ from group to group."""

    def __init__(
        self,
        params: Any,
        lr: float | Tensor,
        *,
        decay: float,
        topk: int,
        chunk: int | tuple[int, int],
        weight_decay: float,
        transform: Transform,
        seed: int,
        wire_dtype: torch.dtype | None,
        zero_tol: float | None,
    ):
        self.wire_dtype = require_wire_dtype("wire_dtype", wire_dtype)
        self.zero_tol = None if zero_tol is None else float(require_positive("zero_tol", zero_tol, allow_zero=True))
        self.last_step: StepCounts | None = None
        self._planned: tuple[Any, Plan] | None = None
        defaults = {
            "lr": lr,
            "decay": decay,
            "topk": topk,
            "chunk": chunk,
            "weight_decay": weight_decay,
            "transform": transform,
            "seed": seed,
        }
        _check_options(defaults)
        super().__init__(params, defaults)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """A further group, whose options are those of the constructor where it names none."""
        _check_options({**self.defaults, **{k: v for k, v in param_group.items() if k != "params"}})
        for key in ("wire_dtype", "zero_tol", "process_group", "check_every"):
            if key in param_group:
                raise ValueError(f"`{key}` must be the same for all groups, got {shown(param_group[key])} for one")
        super().add_param_group(param_group)
        try:
            for p in self.param_groups[-1]["params"]:
                if p.dtype not in WIRE_DTYPES or p.layout != torch.strided or p.is_meta:
                    got = f"{p.dtype}, {p.layout} on {p.device}"
                    raise TypeError(f"`params` must be dense real floating tensors, got {got}")
            Plan.of(self._parameters()[-len(self.param_groups[-1]["params"]) :], self.param_groups, self.wire_dtype)
        except (TypeError, ValueError):
            self.param_groups.pop()
            raise
        self._planned = None

    def state_dict(self) -> dict[str, Any]:
        """Torch's. A transform that is a function is not in it: the optimiser that loads brings it."""
        result = super().state_dict()
        for group in result["param_groups"]:
            if callable(group["transform"]):
                group["transform"] = None
        return result

    def load_state_dict(self, state_dict: Any) -> None:
        """Go on from a state of the same parameters and workers; ValueError or TypeError for another's."""
        shapes = [self._residual_shape(p) for _, p in self._parameters()]
        fitting = fitting_state(state_dict, self.param_groups, shapes)
        for group in fitting["param_groups"]:
            _check_options(self.defaults | group)
        super().load_state_dict(fitting)

    def _residual_shape(self, p: Tensor) -> tuple[int, ...]:
        return tuple(p.shape)

    def __getstate__(self) -> dict[str, Any]:
        mine = {"wire_dtype": self.wire_dtype, "zero_tol": self.zero_tol, "last_step": None, "_planned": None}
        return super().__getstate__() | mine

    def _parameters(self) -> list[tuple[int, Tensor]]:
        """All parameters, each with the number of its group."""
        return [(g, p) for g, group in enumerate(self.param_groups) for p in group["params"]]

    def parameter_name(self, number: int) -> str:
        """How messages call a parameter: by its name if names were given, else by its number and shape."""
        for group in self.param_groups:
            if number < len(group["params"]):
                if "param_names" in group:
                    return f"'{group['param_names'][number]}'"
                break
            number -= len(group["params"])
        place = self._number_of(group, number)
        return f"{place} of shape {tuple(group['params'][number].shape)}"

    def _number_of(self, group: dict[str, Any], within: int) -> int:
        before = self.param_groups[: next(i for i, g in enumerate(self.param_groups) if g is group)]
        return sum(len(g["params"]) for g in before) + within

    def _plan(self) -> Plan:
        """The plan of this step, the same object until something changes. Options may change, and are checked."""
        for group in self.param_groups:
            _check_options(group)
        parameters = self._parameters()
        options = [tuple(group[key] for key in ("topk", "chunk", "transform", "seed")) for group in self.param_groups]
        key = [(g, p.requires_grad, p.dtype, p.device, tuple(p.shape)) for g, p in parameters], options
        if self._planned is not None and self._planned[0] == key:
            return self._planned[1]
        plan = Plan.of(parameters, self.param_groups, self.wire_dtype)
        self._planned = key, plan
        return plan

    def _sparse(self, plan: Plan, gradients: Sequence[Tensor | None]) -> int | None:
        """The first parameter whose gradient is refused for its kind."""
        for bucket in plan.buckets:
            for i in bucket.members:
                g = gradients[i]
                if g is not None and (g.layout != torch.strided or g.is_complex()):
                    return i
        return None

    def _options(self, step: int) -> bytes:
        return options_digest(self.param_groups, step, self.zero_tol)

    def _raise_flags(self, plan: Plan, messages: Sequence[Tensor], options: bytes, who: str) -> None:
        """An error on every worker when one of the messages reports one, or differs in its options."""
        raise_flags(messages, options, who, lambda chunk: f"parameter {self.parameter_name(plan.member(chunk))}")

    def _move(self, signs: dict[int, Tensor]) -> None:
        """p ← (1 − ηλ)·p − η·sign."""
        parameters = self._parameters()
        for i, sign in signs.items():
            g, p = parameters[i]
            rate, shrink = self.param_groups[g]["lr"], self.param_groups[g]["weight_decay"]
            if shrink:
                p.mul_(1 - rate * shrink)
            p.sub_(sign.mul_(rate).to(p.dtype))

    def _count(self, plan: Plan, message: Tensor, messages: int) -> None:
        size = message.numel()  # of bytes
        self.last_step = StepCounts(plan.coefficients, size - HEAD, size, messages)


def raise_flags(messages: Sequence[Tensor], options: bytes, who: str, named: Callable[[int], str]) -> None:
    """An error on every worker when one of the messages reports one, or was not made for these `options`.

    `who` is what a sender is called, `named` what a chunk belongs to.
    """
    heads = torch.stack([m[:HEAD] for m in messages]).cpu()
    flags = heads[:, 0].tolist()
    others = [w for w, head in enumerate(heads[:, 1:].tolist()) if bytes(head) != options]
    if others:
        raise OptionsDiffer(f"lr, decay, weight_decay, zero_tol or the step differ on {_those(who, others)}")
    bad = [w for w, flag in enumerate(flags) if flag != FINE]
    if not bad:
        return
    kind = flags[bad[0]]
    senders = _those(who, [w for w in bad if flags[w] == kind])
    if kind == FAILED:
        raise RankFailed(f"{senders} failed in the closure, see the message there")
    number = int.from_bytes(bytes(messages[bad[0]][HEAD : HEAD + 8].cpu().tolist()), "little")
    if kind == NOT_FINITE:
        raise GradientRefused(
            f"the momentum of {named(number)} is not finite on {senders}: a gradient is NaN or too large"
        )
    raise GradientRefused(f"the gradient of {named(number)} must be dense and real, it is not on {senders}")


def _those(who: str, numbers: Sequence[int]) -> str:
    return f"{who}{'s' if len(numbers) > 1 else ''} {', '.join(map(str, numbers))}"


def _check_options(options: dict[str, Any]) -> None:
    """ValueError or TypeError with the first option that cannot be."""
    rate = options["lr"]
    if isinstance(rate, Tensor):
        if rate.numel() != 1 or not rate.is_floating_point():
            raise ValueError(f"`lr` must be a number, or a floating tensor of one, got shape {tuple(rate.shape)}")
        rate = float(rate)
    require_positive("lr", rate, allow_zero=True)
    decay = require_positive("decay", options["decay"], allow_zero=True)
    if not decay <= 1:
        raise ValueError(f"`decay` must be between 0 and 1, got {shown(decay)}")
    require_int("topk", options["topk"], 1)
    require_chunk("chunk", options["chunk"])
    require_positive("weight_decay", options["weight_decay"], allow_zero=True)
    require_transform("transform", options["transform"])
    require_seed("seed", options["seed"])
