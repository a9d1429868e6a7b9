"""Does a bit-extraction network hold what it should, block by block? A failure names the block, or the word.

Main definitions: `block_structure`, `block_name`.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from constructions.bit_extraction import Design, word_cap
from constructions.errors import require_instance, require_positive
from theory.checkers.uniform_error.simplices import AffinePieces, NotAffine, affine_pieces
from theory.checkers.uniform_error.stack import linear_stack
from theory.claim import Report

ROUNDING = 1e-6  # of a step; node values are steps apart


def block_name(node: tuple[int, ...], m: int) -> str:
    """The class and block that hold a node: groups of m nodes an axis, even ones of parity 0."""
    groups = [v // m for v in node]
    return f"class {tuple(g % 2 for g in groups)}, block {tuple(g // 2 for g in groups)}"


def block_structure(network: nn.Module, values: Tensor, step: float, design: Design) -> Report:
    """Holds if the network is affine on every simplex and within one step of `values` (K+1, …, K+1) at every node.

    Node values of the network must have the parity of the node (up to a constant) and differ by one step between
    neighbours. `design` says how long words are and names blocks; everything else is read off the weights.
    """
    require_instance("network", network, nn.Module)
    require_instance("values", values, Tensor)
    require_instance("design", design, Design)
    require_positive("step", step)
    cap = word_cap(design.lookup)
    for word, length in enumerate(design.lengths):
        if length > cap:
            return Report(
                f"word {word} of every block has {length} bits, float64 decodes {cap} ({design.lookup} look-up)"
            )
    stack = linear_stack(network)
    if stack is None:
        return Report("the network is not a Linear/ReLU stack")
    if len(stack[-1].weight) != 1:
        return Report(f"the network has {len(stack[-1].weight)} outputs, not one")
    try:
        pieces = affine_pieces([stack])
    except NotAffine as failure:
        where = "" if failure.vertex is None else f" ({block_name(failure.vertex, design.m)})"
        return Report(f"{failure}{where}")
    return Report(_nodes_failure(_at_nodes(pieces), values, step, design.m))


def _at_nodes(pieces: AffinePieces) -> Tensor:
    """Network values (K+1, …, K+1) at the nodes."""
    k, size = pieces.vertices.shape[-1], pieces.grid.cells + 1
    device = pieces.vertices.device
    place = torch.tensor([size ** (k - 1 - i) for i in range(k)], device=device)
    # a node without a value must not pass for 0
    flat = torch.full((size**k,), torch.nan, dtype=torch.float64, device=device)
    flat[(pieces.vertices * place).sum(-1).flatten()] = pieces.values[0, ..., 0].flatten()
    return flat.reshape([size] * k)


def _nodes_failure(found: Tensor, values: Tensor, step: float, m: int) -> str | None:
    if found.shape != values.shape:
        return f"the network has nodes {tuple(found.shape)}, the values are {tuple(values.shape)}"
    gap = (found - values).abs()
    if not float(gap.max()) <= step * (1 + ROUNDING):  # also for NaN, which max() hands on
        node = _worst(gap)
        return f"{block_name(node, m)}: node {node} is {float(gap[node] / step):.3g} steps from the function"
    for axis in range(found.ndim):
        jump = (found.diff(dim=axis).abs() / step - 1).abs()
        if not float(jump.max()) <= ROUNDING:
            node = _worst(jump)
            return f"{block_name(node, m)}: node {node} and the next on axis {axis} do not differ by one step"
    return None


def _worst(size: Tensor) -> tuple[int, ...]:
    """The first node with the largest entry; NaN, which equals nothing, counts as the largest."""
    largest = size.nan_to_num(nan=torch.inf)
    return tuple((largest == largest.max()).nonzero()[0].tolist())
