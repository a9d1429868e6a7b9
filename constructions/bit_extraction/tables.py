"""The words of all blocks, classes and experts, from node values: vectorised, no loop over nodes.

Main definitions: `step_values`, `words_of`, `table_of`.
Main statement (parity rounding): if F ≥ 0 and |F(v) − F(v')| ≤ 1 for neighbours, y_v = 2⌊(F+1)/2⌋ at even v and
2⌊F/2⌋ + 1 at odd v have y_v ≡ |v|, |y_v − F(v)| ≤ 1 and |y_v − y_v'| = 1 for all neighbours: one bit a node,
whatever the path.
"""

from __future__ import annotations

import itertools
from functools import lru_cache

import torch
from torch import Tensor

from constructions.bit_extraction.design import Design
from constructions.bit_extraction.snake import cell_address, snake
from constructions.errors import ModulusViolation


def step_values(values: Tensor, step: float, design: Design) -> tuple[Tensor, Tensor]:
    """Node values (E, K+1, …, K+1) as steps y, int64, of the same shape, and offsets c0 (E,): values ≈ c0 + step·y.

    ModulusViolation when neighbours differ by more than a step: the modulus is not what was declared.
    """
    k = design.k
    offset = values.flatten(1).amin(1)
    steps = (values - offset.reshape(-1, *[1] * k)) / step
    parity = _parity(design.cells + 1, k, values.device)
    y = torch.where(parity == 0, 2 * torch.floor((steps + 1) / 2), 2 * torch.floor(steps / 2) + 1).long()
    for axis in range(1, k + 1):
        jump = y.diff(dim=axis).abs()
        if not bool((jump == 1).all()):
            _refuse(values, jump, axis, step)
    if int(y.max()) >= 2**design.header:
        raise ModulusViolation(
            f"node values span {int(y.max())} steps of {step:g}, more than a header of {design.header} bits holds: "
            "the declared modulus is too small",
            first=(),
            second=(),
            observed=float(y.max()),
            declared=float(2**design.header),
        )
    return y, offset


def _parity(nodes: int, k: int, device: torch.device) -> Tensor:
    axis = torch.arange(nodes, device=device)
    total = axis
    for _ in range(k - 1):
        total = total[..., None] + axis
    return total % 2


def _refuse(values: Tensor, jump: Tensor, axis: int, step: float) -> None:
    at = (jump != 1).nonzero()[0].tolist()
    after = list(at)
    after[axis] += 1
    observed = float((values[tuple(after)] - values[tuple(at)]).abs())
    raise ModulusViolation(
        f"neighbouring nodes {at[1:]} and {after[1:]} differ by {observed:g}, a step is {step:g}: the declared modulus "
        "is too small",
        first=tuple(at[1:]),
        second=tuple(after[1:]),
        observed=observed / step,
        declared=1.0,
    )


@lru_cache(maxsize=64)
def orders(m: int, k: int, J: int) -> tuple[Tensor, Tensor]:
    """Flat positions of the snake in a block (m^k,), and Gray addresses of the blocks (2^{kJ},), row-major in axis
    1 … k."""
    walk = torch.tensor(snake(m, k)) - 1
    place = torch.tensor([m ** (k - 1 - i) for i in range(k)])
    address = torch.tensor([cell_address(c, J) for c in range(2**J)])
    total = address
    for i in range(1, k):
        total = total[..., None] + address * 2 ** (J * i)
    return (walk * place).sum(1), total.reshape(-1)


def words_of(y: Tensor, design: Design) -> Tensor:
    """Words (E, classes, words, blocks), int64, by address; y (E, K+1, …, K+1)."""
    k, m, groups = design.k, design.m, 2**design.J
    walk, address = (order.to(y.device) for order in orders(m, k, design.J))
    found = torch.empty(len(y), design.classes, design.words, design.blocks, dtype=torch.int64, device=y.device)
    shape = [len(y), *itertools.chain.from_iterable((groups, 2, m) for _ in range(k))]
    grouped = y.reshape(shape)  # axis i: (block, class parity, node)
    for number, p in enumerate(itertools.product((0, 1), repeat=k)):
        block = grouped
        for i in range(k):
            block = block.select(2 + 2 * i, p[i])  # parities of the axes before are gone
            # odd blocks are reached through a reflection: their nodes are counted from the far end
            flipped = block.flip(2 + 2 * i)
            odd = (torch.arange(groups, device=y.device) % 2 == 1).reshape(
                [-1 if a == 1 + 2 * i else 1 for a in range(block.ndim)]
            )
            block = torch.where(odd, flipped, block)
        order = [0, *range(1, 2 * k, 2), *range(2, 2 * k + 1, 2)]
        nodes = block.permute(order).reshape(len(y), design.blocks, design.nodes)[:, :, walk]
        found[:, number].index_copy_(2, address, _pack(nodes, design))
    return found


def _pack(nodes: Tensor, design: Design) -> Tensor:
    """Words (E, words, blocks) of nodes (E, blocks, N_v) in snake order: step bits, then the header of the last
    node."""
    down = (nodes.diff(dim=2) == -1).long()
    header = (nodes[..., -1:] >> torch.arange(design.header - 1, -1, -1, device=nodes.device)) & 1
    parts = torch.cat([down, header], dim=2).split(design.lengths, dim=2)
    packed = [(part << torch.arange(part.shape[2] - 1, -1, -1, device=nodes.device)).sum(2) for part in parts]
    return torch.stack(packed, dim=1)


def table_of(words: Tensor, design: Design) -> Tensor:
    """What the layers refer to (E, table_size), float64: the words, or for the deep look-up the last word and
    differences."""
    if design.lookup == "deep" and design.J > 0:
        words = torch.cat([words[..., -1:], words.diff(dim=3)], dim=3)
    return words.flatten(1).double()
