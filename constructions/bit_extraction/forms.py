"""Symbolic affine forms over the channels of a layer, and a builder that turns them into weight rows.

A layer is a list of named channels, each relu(affine form in the channels of the layer before). What a later layer
reads is kept as a *pending form* over the last layer, so rows come out mechanically. A coefficient may be a table
entry: then the row holds a reference (which entry, which factor) instead of a number, and one architecture serves
all experts.

Main definitions: `Form`, `Builder`, `Layer`, `filled`, `plain_network`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor, nn

from constructions.networks import stack

CONSTANT = ""
"""The name under which a form keeps its constant."""


@dataclass
class Form:
    """Σ terms[c]·c + Σ factor·table[entry]·c over channels c; the channel "" is the constant 1."""

    terms: dict[str, float] = field(default_factory=dict)
    entries: tuple[tuple[str, int, float], ...] = ()

    def __add__(self, other: Form | float) -> Form:
        if not isinstance(other, Form):
            other = Form({CONSTANT: other}) if other else Form()
        terms = dict(self.terms)
        for name, value in other.terms.items():
            terms[name] = terms.get(name, 0) + value
        return Form(terms, self.entries + other.entries)

    __radd__ = __add__

    def __mul__(self, factor: float) -> Form:
        return Form(
            {n: v * factor for n, v in self.terms.items()}, tuple((n, e, f * factor) for n, e, f in self.entries)
        )

    __rmul__ = __mul__

    def __neg__(self) -> Form:
        return self * -1

    def __sub__(self, other: Form | float) -> Form:
        return self + (other * -1 if isinstance(other, Form) else -other)

    def __rsub__(self, other: float) -> Form:
        return -self + other

    def times_entry(self, entry: int, factor: float = 1) -> Form:
        """factor·table[entry]·self; self must be free of table entries."""
        assert not self.entries
        return Form({}, tuple((name, entry, value * factor) for name, value in self.terms.items()))


def constant_entry(entry: int) -> Form:
    """table[entry] as a constant."""
    return Form({}, ((CONSTANT, entry, 1),))


@dataclass(frozen=True)
class Layer:
    """`weight` (out, in) and `bias` (out,) without table entries, float64, and the entries.

    factor[e]·table[entry[e]] is added at (row[e], column[e]); column −1 is the bias. `names` are the channels, for
    whoever wants to look inside. `inner` are the e of weights, `outer` those of biases: as masks they would make the
    host wait for the device at every use.
    """

    names: tuple[str, ...]
    weight: Tensor
    bias: Tensor
    row: Tensor
    column: Tensor
    entry: Tensor
    factor: Tensor
    inner: Tensor
    outer: Tensor

    def entries_on(self, device: torch.device) -> Layer:
        """The same layer with its entries on `device`; weight and bias stay where they are."""
        names = ("row", "column", "entry", "factor", "inner", "outer")
        return replace(self, **{name: getattr(self, name).to(device) for name in names})


def filled(layer: Layer, weight: Tensor, bias: Tensor, tables: Tensor) -> tuple[Tensor, Tensor]:
    """Weights (m, out, in) and biases (m, out) of a layer with the entries of tables (m, T) added to `weight`, `bias`.

    `weight` (out, in) and `bias` (out,) are the layer's own; they, the entries and the tables are on one device.
    """
    count = len(tables)
    weight, bias = weight.expand(count, -1, -1), bias.expand(count, -1)
    if len(layer.entry) == 0:
        return weight, bias
    values, inner, outer = layer.factor * tables[:, layer.entry], layer.inner, layer.outer
    weight = weight.clone()
    weight[:, layer.row[inner], layer.column[inner]] += values[:, inner]
    return weight, bias.index_add(1, layer.row[outer], values[:, outer])


def plain_network(layers: Sequence[Layer], table: Tensor, offset: float = 0.0) -> nn.Sequential:
    """One expert of a table (T,) as a plain Linear/ReLU stack; `offset` is added to the output."""

    def own() -> Iterator[tuple[Tensor, Tensor]]:
        for layer in layers:
            weight, bias = (part[0] for part in filled(layer, layer.weight, layer.bias, table[None]))
            yield weight, bias + offset if layer is layers[-1] else bias

    return stack(own())


class Builder:
    """Collects layers; `layer` takes (name, form over the last layer) and returns the new channels as forms."""

    def __init__(self, inputs: Iterable[str]):
        self.names = list(inputs)
        self.layers: list[Layer] = []

    def channels(self) -> dict[str, Form]:
        return {name: Form({name: 1}) for name in self.names}

    def layer(self, rows: list[tuple[str, Form]]) -> dict[str, Form]:
        """Append a layer of these channels."""
        position = {name: i for i, name in enumerate(self.names)}
        position[CONSTANT] = -1
        # in numpy: a tensor a row would take most of the time of layers of ten rows
        weight, bias = np.zeros((len(rows), len(self.names))), np.zeros(len(rows))
        entries: list[tuple[int, int, int]] = []
        factors: list[float] = []
        for i, (_, form) in enumerate(rows):
            for name, value in form.terms.items():
                if name == CONSTANT:
                    bias[i] = value
                elif value:
                    weight[i, position[name]] = value
            for name, entry, factor in form.entries:
                if factor:
                    entries.append((i, position[name], entry))
                    factors.append(factor)
        index = np.array(entries, dtype=np.int64).reshape(-1, 3).T.copy()
        inner, outer = np.flatnonzero(index[1] >= 0), np.flatnonzero(index[1] < 0)
        parts = (weight, bias, *index, np.array(factors, dtype=np.float64), inner, outer)
        names = tuple(name for name, _ in rows)
        self.layers.append(Layer(names, *(torch.from_numpy(part) for part in parts)))
        self.names = [name for name, _ in rows]
        if len(set(self.names)) != len(self.names):
            raise AssertionError(f"a layer names a channel twice: {self.names}")
        return self.channels()
