"""Losses, gradients and AdamW steps of a bank of MLPs, such that experts cannot feel who is trained beside them.

Main definitions: `Layout`, `Pass`, `Targets`, `Descent`, `AdamW`, `Bank`, `each_alone`, `all_at_once`.
Main statement: with `each_alone`, every bit of an expert's loss, gradient and step depends on that expert's own
numbers, the widths and the number of points alone, whichever experts are in the bank with it. For
- a matrix product is one library call an expert. Its operands have the same shape and strides in any bank, and begin at
  multiples of 64 bytes in any bank (`Layout`, `Pass`): one call, repeated, on one machine with one number of threads;
- everything else is +, −, ×, ÷, √, comparisons and sums in a fixed order (`constructions.fixed_order`).
With `all_at_once` the library chooses a kernel by the size of the bank, and experts agree with those of another bank up
to rounding only.
Notation: E experts, S points, widths (n, h_1, …, h_J, m); layer i is one matrix (out, in + 1) whose last column is the
bias, and its inputs end with a 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

import torch
from torch import Tensor

from constructions import fixed_order
from constructions.trained_momlp.bank import Widths

LINE = 16
"""Numbers to whose multiples rows are filled up: 64 bytes of float32, 128 of float64."""

Product = Callable[[Tensor, Tensor, Tensor], None]


def each_alone(first: Tensor, second: Tensor, out: Tensor) -> None:
    """out[e] = first[e] @ second[e], (E, a, b) and (E, b, c), one call an expert."""
    for a, b, result in zip(first.unbind(), second.unbind(), out.unbind(), strict=True):
        torch.mm(a, b, out=result)


def all_at_once(first: Tensor, second: Tensor, out: Tensor) -> None:
    """The same in one call."""
    torch.bmm(first, second, out=out)


def filled_up(count: int) -> int:
    """The next multiple of LINE."""
    return -(-count // LINE) * LINE


@dataclass(frozen=True)
class Layout:
    """Where the P numbers of an expert's row stand in a work row of `size` numbers: number i at `place[i]`, layer i
    from `starts[i]` on, a multiple of LINE. What is between the layers is 0 and stays 0."""

    widths: Widths
    place: Tensor
    starts: tuple[int, ...]
    size: int

    @classmethod
    def of(cls, widths: Widths) -> Layout:
        places, starts, size = [], [], 0
        for inputs, outputs in pairwise(widths):
            matrix = size + torch.arange(outputs * (inputs + 1)).view(outputs, inputs + 1)
            places += [matrix[:, :-1].flatten(), matrix[:, -1]]
            starts.append(size)
            size += filled_up(matrix.numel())
        return cls(widths, torch.cat(places), tuple(starts), size)

    def work_rows(self, rows: Tensor) -> Tensor:
        """(E, size) of rows (E, P)."""
        work = rows.new_zeros(len(rows), self.size)
        work[:, self.place.to(rows.device)] = rows
        return work

    def rows(self, work: Tensor) -> Tensor:
        """(E, P) of work rows."""
        return work[:, self.place.to(work.device)]

    def matrices(self, work: Tensor) -> list[Tensor]:
        """Views (E, out, in + 1) of the layers of work rows (E, size)."""
        return [
            work[:, start : start + b * (a + 1)].unflatten(1, (b, a + 1))
            for start, (a, b) in zip(self.starts, pairwise(self.widths), strict=True)
        ]


class Pass:
    """Room for a forward and a backward pass of E experts on S points each; the points are filled up to whole lines."""

    def __init__(self, experts: int, points: int, layout: Layout, product: Product, like: Tensor):
        self.points, self.product, widths = points, product, layout.widths
        room = filled_up(points)
        self.inputs = [like.new_zeros(experts, room, width + 1) for width in widths[:-1]]
        for values in self.inputs:
            values[..., -1] = 1.0
        self.outputs = like.new_empty(experts, room, widths[-1])

    def forward(self, x: Tensor, matrices: list[Tensor]) -> Tensor:
        """Outputs (E, S, m) on points x (E, S, n); a view, overwritten by the next call."""
        self.inputs[0][:, : self.points, :-1] = x
        for i, matrix in enumerate(matrices):
            last = i + 1 == len(matrices)
            after = self.outputs if last else self.inputs[i + 1][..., :-1]
            self.product(self.inputs[i], matrix.transpose(1, 2), after)
            if not last:
                after.relu_()
        return self.outputs[:, : self.points]

    def backward(self, gradient: Tensor, matrices: list[Tensor], into: list[Tensor]) -> None:
        """After `forward`: the gradients of the layers `into`, given that (E, S, m) of the outputs."""
        after = torch.zeros_like(self.outputs)
        after[:, : self.points] = gradient
        for i in reversed(range(len(matrices))):
            self.product(after.transpose(1, 2), self.inputs[i], into[i])
            if i:
                values = self.inputs[i][..., :-1]
                before = torch.empty_like(values, memory_format=torch.contiguous_format)
                self.product(after, matrices[i][..., :-1], before)
                after = before.mul_(values > 0)


@dataclass(frozen=True)
class Targets:
    """Values y (E, S, m), or classes (E, S), of which `inside` (E, S) are real; each real point has weight 1/count,
    times `weight` (E, S) where there is one: weights whose mean over an expert's data is 1."""

    y: Tensor
    inside: Tensor
    count: Tensor
    weight: Tensor | None = None

    @classmethod
    def of(cls, y: Tensor, inside: Tensor, weight: Tensor | None = None) -> Targets:
        return cls(y, inside, inside.sum(-1).clamp(min=1), weight)

    def losses(self, out: Tensor) -> Tensor:
        """Mean loss (E,), weighted, over the real points: squared error, or cross entropy, of outputs (E, S, m)."""
        if self.y.is_floating_point():
            gap = out - self.y
            each = fixed_order.total(gap * gap) * (1 / out.shape[-1])
        else:
            below = out - out.amax(-1, keepdim=True)
            chosen = below.gather(-1, self.y[..., None])[..., 0]
            each = (fixed_order.log(fixed_order.total(fixed_order.exp(below))) - chosen).to(out.dtype)
        if self.weight is not None:
            each = each * self.weight
        return fixed_order.total(torch.where(self.inside, each, 0.0)) / self.count

    def gradient(self, out: Tensor) -> Tensor:
        """The derivative (E, S, m) of `losses` by the outputs."""
        if self.y.is_floating_point():
            slope = (out - self.y) * (2 / out.shape[-1])
        else:
            likely = fixed_order.exp(out - out.amax(-1, keepdim=True))
            likely /= fixed_order.total(likely)[..., None]
            classes = torch.arange(out.shape[-1], device=out.device)
            slope = likely.sub_((self.y[..., None] == classes).double()).to(out.dtype)
        share = self.inside.to(out.dtype) / self.count[:, None]
        return slope * (share if self.weight is None else share * self.weight)[..., None]


class Descent(Protocol):
    """A bank's optimiser, with its state."""

    def step(self, rows: Tensor, slope: Tensor, *, rate: float, weight_decay: float, number: int) -> None:
        """Move the work rows (E, size) down their gradient `slope`, which may be overwritten."""
        ...

    def numbers(self) -> tuple[Tensor, Tensor]:
        """Copies of both parts of its state, experts first."""
        ...


class AdamW:
    """Decoupled weight decay (Loshchilov and Hutter 2019) with torch's constants; `average` and `square` are (E, P).

    torch's own step is made of `lerp`, `addcmul` and `addcdiv`, whose rounding depends on the place in the tensor.
    """

    BETA, BETA_SQUARE, EPS = 0.9, 0.999, 1e-8

    def __init__(self, layout: Layout, average: Tensor, square: Tensor):
        self.layout, self._average, self._square = layout, layout.work_rows(average), layout.work_rows(square)

    def numbers(self) -> tuple[Tensor, Tensor]:
        """Copies (E, P) of both moments."""
        return self.layout.rows(self._average), self.layout.rows(self._square)

    def step(self, rows: Tensor, slope: Tensor, *, rate: float, weight_decay: float, number: int) -> None:
        """AdamW's step of this number, from 1 on."""
        rows.mul_(1 - rate * weight_decay)
        self._average.mul_(self.BETA).add_(slope * (1 - self.BETA))
        self._square.mul_(self.BETA_SQUARE).add_(slope.mul_(slope).mul_(1 - self.BETA_SQUARE))
        root = self._square.sqrt().mul_(1 / math.sqrt(1 - self.BETA_SQUARE**number)).add_(self.EPS)
        rows.sub_(torch.div(self._average, root, out=root).mul_(rate / (1 - self.BETA**number)))


class Bank:
    """Rows (E, P) at work: their gradients, and the `descent` with its state `average` and `square`."""

    def __init__(
        self,
        layout: Layout,
        product: Product,
        rows: Tensor,
        average: Tensor,
        square: Tensor,
        descent: Callable[[Layout, Tensor, Tensor], Descent] = AdamW,
    ):
        self.layout, self.product = layout, product
        self._rows, self._descent = layout.work_rows(rows), descent(layout, average, square)
        self._gradient = torch.zeros_like(self._rows)
        self._matrices, self._slopes = layout.matrices(self._rows), layout.matrices(self._gradient)

    def numbers(self) -> tuple[Tensor, Tensor, Tensor]:
        """Copies of the rows (E, P) and of both parts of the optimiser's state."""
        return self.rows(), *self._descent.numbers()

    def rows(self) -> Tensor:
        return self.layout.rows(self._rows)

    def room(self, points: int) -> Pass:
        return Pass(len(self._rows), points, self.layout, self.product, self._rows)

    def outputs(self, x: Tensor, room: Pass) -> Tensor:
        """(E, S, m) of points x (E, S, n)."""
        return room.forward(x, self._matrices)

    def descend(self, gradient: Tensor, room: Pass, *, rate: float, weight_decay: float, number: int) -> None:
        """The step of this number, from 1 on, down the `gradient` (E, S, m) of the outputs just computed."""
        room.backward(gradient, self._matrices, self._slopes)
        self._descent.step(self._rows, self._gradient, rate=rate, weight_decay=weight_decay, number=number)
