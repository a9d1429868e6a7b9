"""From the words of bit-extraction experts back to the steps at their nodes: vectorised, no loop over nodes.

Main definitions: `words_in`, `steps_of` (the inverses of `tables.table_of` and `tables.words_of`), `WordNodes`.
"""

from __future__ import annotations

import itertools
from fractions import Fraction
from typing import Any, final

import torch
from torch import Tensor

from constructions.bit_extraction.design import Design
from constructions.bit_extraction.fit import plan_layers
from constructions.bit_extraction.tables import orders
from constructions.double_double import add, pair, two_product
from constructions.nodes import LOST, UNITS, NodeAxis, Nodes, NodeValues

U = UNITS[torch.float64]


def words_in(table: Tensor, design: Design) -> Tensor:
    """Words (E, classes, words, blocks), int64, of tables (E, table_size); ValueError for what is no word of its
    length."""
    words = table.reshape(len(table), design.classes, design.words, design.blocks)
    if design.lookup == "deep" and design.J > 0:
        # slot 0 is the last word, the others are differences; all are integers below 2^53, so sums are exact
        last, differences = words[..., :1], words[..., 1:]
        after = differences.flip(-1).cumsum(-1).flip(-1)
        words = torch.cat([last - after, last], dim=-1)
    lengths = torch.tensor(design.lengths, dtype=torch.float64, device=table.device)[:, None]
    whole = (table == table.round()) & (table.abs() < 2.0**53)
    wrong = ~((words >= 0) & (words < 2**lengths) & whole.all(-1)[:, None, None, None])
    if bool(wrong.any()):
        expert, number, word, block = wrong.nonzero()[0].tolist()
        raise ValueError(
            f"`model` must have tables of words to be tabulated: word {word} of block {block} in class {number} of row "
            f"{expert} is {float(words[expert, number, word, block])!r} and not an integer of {design.lengths[word]} "
            "bits, or an entry beside it is no integer"
        )
    return words.long()


def steps_of(words: Tensor, design: Design) -> Tensor:
    """Steps y (E, K+1, …, K+1), int64, of words (E, classes, words, blocks) by address."""
    k, m, groups = design.k, design.m, 2**design.J
    walk, address = (order.to(words.device) for order in orders(m, k, design.J))
    shape = [len(words), *itertools.chain.from_iterable((groups, 2, m) for _ in range(k))]
    y = torch.empty(shape, dtype=torch.int64, device=words.device)
    for number, p in enumerate(itertools.product((0, 1), repeat=k)):
        found = _unpack(words[:, number].index_select(2, address), design)
        nodes = torch.empty_like(found)
        nodes[:, :, walk] = found
        block = nodes.reshape(len(words), *[groups] * k, *[m] * k)
        # axis i: (block, node), as in `words_of`
        order = [0, *itertools.chain.from_iterable((1 + i, 1 + k + i) for i in range(k))]
        block = block.permute(order)
        for i in range(k):
            odd = (torch.arange(groups, device=words.device) % 2 == 1).reshape(
                [-1 if a == 1 + 2 * i else 1 for a in range(block.ndim)]
            )
            block = torch.where(odd, block.flip(2 + 2 * i), block)
        y[(..., *itertools.chain.from_iterable((slice(None), p[i], slice(None)) for i in range(k)))] = block
    return y.reshape(len(words), *[design.cells + 1] * k)


def _unpack(words: Tensor, design: Design) -> Tensor:
    """Nodes (E, blocks, N_v) in snake order of words (E, words, blocks): the header is the last node's step, a step bit
    says that the way to the next node goes down."""
    bits = torch.cat(
        [
            (words[:, number, :, None] >> torch.arange(length - 1, -1, -1, device=words.device)) & 1
            for number, length in enumerate(design.lengths)
        ],
        dim=2,
    )
    down, header = bits[..., : design.nodes - 1], bits[..., design.nodes - 1 :]
    last = (header << torch.arange(design.header - 1, -1, -1, device=words.device)).sum(2, keepdim=True)
    ahead = (1 - 2 * down).flip(2).cumsum(2).flip(2)
    return torch.cat([last - ahead, last], dim=2)


@final
class WordNodes(Nodes):
    """Of bit-extraction experts: c_0 + q·y at the vertices of their grid, y decoded from the words.

    ValueError when resolved axes are cut (each expert has a grid of its own then), when the shared layers are not
    those of the plan, or a table holds what is no word: then nobody knows what the layers compute.
    """

    def __init__(self, model: Any):
        self.model, plan = model, model.plan
        if plan.resolved_cells > 1:
            raise ValueError(
                f"`model` must have one grid for all experts to be tabulated, its resolved axes are cut into "
                f"{plan.resolved_cells} cells: tabulate the model built with cells=1"
            )
        own = [t.detach().cpu() for t in (*model.shared_weight, *model.shared_bias)]
        layers = plan_layers(plan)
        written = [layer.weight for layer in layers] + [layer.bias for layer in layers]
        if not all(torch.equal(a, b) for a, b in zip(own, written, strict=True)):
            raise ValueError("`model` must have the shared layers of its plan to be tabulated, they were changed")
        self.axes = tuple(self._axis(own[0], layers[0].bias, i) for i in range(plan.resolved))
        # the output is q·(channels) + fl(−q·c), c an integer: its rounding is a part of the exact network
        out, self.step = layers[-1], float(plan.step)
        constant = round(Fraction(float(out.bias)) / Fraction(self.step))
        assert bool(((out.weight == self.step) | (out.weight == 0)).all())
        self.rest = float(Fraction(float(out.bias)) - Fraction(self.step) * constant)

    def _axis(self, weight: Tensor, bias: Tensor, i: int) -> NodeAxis:
        """z = K − relu(b − w·x), as the first two layers have it."""
        axis, cells = self.model.plan.axes[i], self.model.plan.network.cells
        slope, shift, lo = -float(weight[i, axis]), float(bias[i]), self.model.domain.lo[axis]
        drift = abs(cells - Fraction(shift) + Fraction(slope) * Fraction(lo))
        return NodeAxis(lo, slope, cells, float(drift) * (1 + 2.0**-40))

    @torch.no_grad()
    def values(self, leaves: Tensor) -> NodeValues:
        table, offset = (t.detach().double() for t in self.model.output_layers(leaves))
        design, outputs = self.model.plan.network, table.shape[1]
        steps = steps_of(words_in(table.flatten(0, 1), design), design)
        largest = max((float(steps.diff(dim=1 + i).abs().amax()) for i in range(design.k)), default=0.0)
        rise = two_product(steps.flatten(1).double(), steps.new_tensor(self.step, dtype=torch.float64))
        high, low = add(add(rise, pair(offset.flatten()[:, None])), pair(torch.full_like(rise[0], self.rest)))
        values = (high + low).reshape(len(leaves), outputs, -1).transpose(1, 2)
        error = U * float(values.abs().amax()) * (1 + 2.0**-20) + 8 * LOST[torch.float64]
        return NodeValues(values, error, self.step * largest * (1 + 2.0**-40))
