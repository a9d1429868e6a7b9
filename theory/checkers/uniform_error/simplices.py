"""Way 4, for deep networks with weights far too large for any norm: proof that the network is affine on each simplex.

The network's second layer must be z = clamp(K − b + w·x, 0, K) on some axes; K, the axes, b and w are read off the
weights, b expert by expert: each may have its grid in its own cell. [0, K]^k is cut into the simplices of the J1
triangulation. On each, every channel is carried as an affine function, given by its values at the vertices (integers),
plus an interval for what is not affine: behind a ReLU of one sign it stays, of both signs it becomes an interval. In
the gaps between blocks the address ramps and the decoded word is only an interval, but what is multiplied by it is
exactly 0 there. If the output is affine on every simplex, its error follows from the vertices:

    |f(x) − N(x)| ≤ Σ_v φ_v(x)·|f(x) − N(v)|,  and  Σ_v φ_v(x)·|x − v|² ≤ Σ_i h_i²/4.

Vertex values are sums of integers below 2⁵³, so float64 is exact; the bound is for the weights as real numbers, and the
rounding of forward() is allowed for separately.

Main definitions: `affine_pieces`, `AffinePieces`, `read_grid`.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, replace
from fractions import Fraction

import torch
from torch import Tensor

from theory.checkers.uniform_error.stack import Affine

VALUES_PER_CHUNK = 1 << 22
MAX_SIMPLICES = 1 << 24
LARGEST_EXACT = 2.0**53


class NotAffine(Exception):
    """The network is not what the certificate needs; the message names the layer, and the simplex where there is one.

    `vertex` is the first vertex of that simplex, None where the fault is not tied to one.
    """

    def __init__(self, message: str, vertex: tuple[int, ...] | None = None):
        super().__init__(message)
        self.vertex = vertex


@dataclass(frozen=True)
class Grid:
    """z_i = clamp(K − b_i + w_i·x_{axes[i]}, 0, K); `unit[u]` is the coordinate i of unit u of the second layer."""

    cells: int
    axes: tuple[int, ...]
    slope: tuple[float, ...]
    shift: tuple[float, ...]
    unit: tuple[int, ...]

    def position(self, z: Tensor, shift: Tensor | None = None) -> Tensor:
        """x (…, k) on the grid's axes where the unclamped map is z (…, k); of grids that lie at `shift` (…, k), where
        given, instead of at their own b."""
        place = {"dtype": torch.float64, "device": z.device}
        shift = torch.tensor(self.shift, **place) if shift is None else shift.to(z.device)
        return (z.double() - self.cells + shift) / torch.tensor(self.slope, **place)


@dataclass(frozen=True)
class AffinePieces:
    """Of E experts on grids that differ in their place alone: `vertices` (S, k+1, k) int64, in steps of the grid, and
    `values` (E, S, k+1, m) of the output there.

    `size` is the largest (width + 2)·(Σ|w||h| + |b|) of an output: in units of u, what its sum may round by. `shift`
    (E, k), on the host, are the b of each expert; `grid` has those of the first.
    """

    grid: Grid
    vertices: Tensor
    values: Tensor
    size: float
    shift: Tensor


def read_grid(stack: list[Affine]) -> Grid:
    """The change of coordinates in the first two layers; NotAffine when they are something else."""
    slopes = [layer.alpha for layer in stack[:-1] if layer.alpha is not None]
    hidden = len(slopes) == len(stack) - 1 and stack[-1].alpha is None
    if len(stack) < 3 or not hidden or bool(torch.cat(slopes).any()):
        raise NotAffine("the network is not a Linear/ReLU stack of at least two hidden layers")
    first, second = stack[0], stack[1]
    one_axis = (first.weight != 0).sum(1) == 1
    reflected = torch.equal(
        second.weight, -torch.eye(len(first.weight), dtype=torch.float64, device=first.weight.device)
    )
    cells = second.bias[0].item()
    whole = math.isfinite(cells) and cells == int(cells) > 0 and bool((second.bias == cells).all())
    if not (whole and reflected and bool(one_axis.all())):
        raise NotAffine("layers 0 and 1 are not z = K − relu(b − w·x) with one input a unit and a common integer K")
    axis = first.weight.abs().argmax(1)
    slope = -first.weight[torch.arange(len(axis)), axis]
    found: dict[int, tuple[float, float]] = {}
    for a, w, b in zip(axis.tolist(), slope.tolist(), first.bias.tolist(), strict=True):
        if w <= 0 or found.setdefault(a, (w, b)) != (w, b):
            raise NotAffine(f"layer 0 reads axis {a} in two ways, or decreasingly")
    axes = tuple(sorted(found))
    return Grid(
        int(cells),
        axes,
        tuple(found[a][0] for a in axes),
        tuple(found[a][1] for a in axes),
        tuple(axes.index(a) for a in axis.tolist()),
    )


def simplex_vertices(cells: int, k: int, start: int, stop: int, device: torch.device) -> Tensor:
    """Vertices (S, k+1, k), int64, of simplices start … stop − 1 of the J1 triangulation of [0, K]^k.

    A simplex is a unit cell and an order of the axes: from the corner with all coordinates even, one coordinate
    after the other moves to its odd end.
    """
    orders = torch.tensor(list(itertools.permutations(range(k))), device=device)
    number = torch.arange(start, stop, device=device)
    cell, order = number // len(orders), orders[number % len(orders)]
    low = torch.stack([(cell // cells**i) % cells for i in range(k)], dim=1)
    even, odd = low + low % 2, low + 1 - low % 2
    rank = order.argsort(1)
    moved = rank[:, None, :] < torch.arange(k + 1, device=device)[None, :, None]
    return torch.where(moved, odd[:, None], even[:, None])


def affine_pieces(stacks: list[list[Affine]]) -> AffinePieces:
    """The experts (of one architecture) as affine functions on the simplices; NotAffine names the layer and the
    simplex."""
    grid = read_grid(stacks[0])
    kinds = [[(layer.weight.shape, layer.alpha is None) for layer in stack] for stack in stacks]
    if any(kind != kinds[0] for kind in kinds):
        raise NotAffine("the experts do not have one architecture")
    k, device = len(grid.axes), stacks[0][0].weight.device
    orders = len(list(itertools.permutations(range(k))))
    total = orders * grid.cells**k
    every = [t for stack in stacks for layer in stack for t in (layer.weight, layer.bias)]
    if not bool(torch.stack([torch.isfinite(t).all() for t in every]).all()):
        raise NotAffine("the weights are not all finite")
    shift = _shifts(grid, stacks)
    layers = _stacked(stacks)
    _require_integers(layers)
    width = max(w.shape[1] for w, _ in layers)
    rows = max(1, VALUES_PER_CHUNK // (len(stacks) * (k + 1) * width))
    if total > MAX_SIMPLICES:
        raise NotAffine(f"the grid of layers 0 and 1 has {total} simplices, more than {MAX_SIMPLICES}")
    vertices, values, sizes = [], [], [0.0]
    for start in range(0, total, rows):
        corner = simplex_vertices(grid.cells, k, start, min(total, start + rows), device)
        vertices.append(corner)
        found, size = _carry(layers, corner, grid, start, len(stacks))
        values.append(found)
        sizes.append(size)
    return AffinePieces(grid, torch.cat(vertices), torch.cat(values, dim=1), max(sizes), shift)


def _shifts(grid: Grid, stacks: list[list[Affine]]) -> Tensor:
    """The b (E, k) of each expert; NotAffine where more of the grid differs, or the units of an axis have several."""
    if not _share_all_but_the_place(stacks):
        grids = [read_grid(stack) for stack in stacks]
        if any(replace(other, shift=grid.shift) != grid for other in grids):
            raise NotAffine("the experts do not share their first two layers, but for where the grid lies")
        return torch.tensor([other.shift for other in grids], dtype=torch.float64)
    bias = torch.stack([stack[0].bias for stack in stacks]).cpu()
    shift = bias[:, [grid.unit.index(i) for i in range(len(grid.axes))]]
    if not bool((bias == shift[:, list(grid.unit)]).all()):
        raise NotAffine("layer 0 reads an axis in two ways")
    return shift


def _share_all_but_the_place(stacks: list[list[Affine]]) -> bool:
    """Whether all that `read_grid` looks at but the first bias is the same in every stack: one reading is enough."""
    parts = [[stack[i].weight for stack in stacks] for i in range(2)] + [[stack[1].bias for stack in stacks]]
    for i in range(len(stacks[0]) - 1):
        parts.append([alpha for stack in stacks if (alpha := stack[i].alpha) is not None])
    return all(_agree(parts))


def _agree(groups: list[list[Tensor]]) -> list[bool]:
    """For each group of tensors of one shape whether they are all equal: one question to the device for all groups."""
    return torch.stack([(torch.stack(parts) == parts[0]).all() for parts in groups]).tolist()


def _stacked(stacks: list[list[Affine]]) -> list[tuple[Tensor, Tensor]]:
    """Weights and biases (E, …) of the layers behind the grid, (1, …) where all experts agree."""
    behind = range(2, len(stacks[0]))
    groups = [[stack[i].weight for stack in stacks] for i in behind]
    groups += [[stack[i].bias for stack in stacks] for i in behind]
    flags = _agree(groups)
    whole = [parts[0][None] if same else torch.stack(parts) for parts, same in zip(groups, flags, strict=True)]
    return list(zip(whole[: len(behind)], whole[len(behind) :], strict=True))


def _require_integers(layers: list[tuple[Tensor, Tensor]]) -> None:
    whole = [(weight == weight.round()).all() & (bias == bias.round()).all() for weight, bias in layers[:-1]]
    failing = _first_false(whole)
    if failing is not None:
        raise NotAffine(f"layer {failing + 2}: the weights are not integers, so vertex values would not be exact")


def _first_false(flags: list[Tensor]) -> int | None:
    """The place of the first of 0-dimensional flags that is False, None if all hold; asked once, not flag by flag."""
    values = torch.stack(flags).tolist() if flags else []
    return None if all(values) else values.index(False)


def _carry(
    layers: list[tuple[Tensor, Tensor]], corner: Tensor, grid: Grid, start: int, experts: int
) -> tuple[Tensor, float]:
    """Output values (E, S, k+1, m) at the vertices (S, k+1, k), after proving that the output is affine between them;
    and the size of the last sums."""
    affine = corner[..., list(grid.unit)].double().expand(experts, -1, -1, -1)
    low = high = affine.new_zeros(experts, len(corner), len(grid.unit))
    small: list[Tensor] = []
    for i, (weight, bias) in enumerate(layers, start=2):
        size = affine.abs().amax(2) + torch.maximum(low.abs(), high.abs())
        last = i == len(layers) + 1
        sums = size @ weight.abs().transpose(1, 2) + bias.abs()[:, None]
        if not last:
            small.append((sums < LARGEST_EXACT).all())
        positive, negative = weight.clamp(min=0).transpose(1, 2), weight.clamp(max=0).transpose(1, 2)
        affine = affine @ weight.transpose(1, 2)[:, None] + bias[:, None, None]
        low, high = low @ positive + high @ negative, high @ positive + low @ negative
        if last:
            failing = _first_false(small)
            if failing is not None:
                raise NotAffine(
                    f"layer {failing + 2}: sums reach 2^53, beyond what float64 holds exactly (are the words too long?)"
                )
            _require_affine(low, high, corner, start, i)
            return affine, float(sums.max()) * (weight.shape[2] + 2)
        below, above = affine.amin(2) + low, affine.amax(2) + high
        keep = below >= 0
        affine = torch.where(keep[:, :, None], affine, 0.0)
        low = torch.where(keep, low, 0.0)
        # of both signs: anything from 0 to the largest value; never positive: exactly 0
        high = torch.where(keep, high, above.clamp(min=0))
    raise AssertionError("a network without an output layer")


def _require_affine(low: Tensor, high: Tensor, corner: Tensor, start: int, layer: int) -> None:
    wrong = ((low != 0) | (high != 0)).any(-1)
    if bool(wrong.any()):
        expert, simplex = wrong.nonzero()[0].tolist()
        raise NotAffine(
            f"layer {layer}: on simplex {start + simplex}, vertices {corner[simplex].tolist()}, expert {expert} is not "
            f"proved affine: the output holds an interval of width {float((high - low)[expert, simplex].max()):g}",
            tuple(corner[simplex, 0].tolist()),
        )


def spacing_squared(grid: Grid) -> Fraction:
    """Σ h_i², exact; h_i = 1/w_i."""
    return sum((1 / Fraction(w) ** 2 for w in grid.slope), Fraction(0))
