"""The trusted kernel: exact rational evaluation of networks and routers.

Every float64 (and float32) weight is a dyadic rational, so a ReLU network evaluates exactly at a rational point.
Nothing here is fast or clever; everything else may be compared with it.

Main definitions: `evaluate_network`, `Compiled`, `along_line`, `route_lattice`, `route_graph`.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import networkx as nx
from flint import fmpq
from torch import Tensor, nn

from constructions.experts.constant import Constant

Vector = list[fmpq]


def rational(value: float | int | Fraction | fmpq) -> fmpq:
    """The exact value of a float, integer or fraction. ValueError for NaN or inf."""
    if isinstance(value, fmpq):
        return value
    try:
        numerator, denominator = value.as_integer_ratio()
    except (ValueError, OverflowError) as err:
        raise ValueError(f"`value` must be finite, got {value!r}") from err
    return fmpq(numerator, denominator)


def vector(values: Tensor | Sequence) -> Vector:
    return [rational(v) for v in (values.tolist() if isinstance(values, Tensor) else values)]


def fraction(value: fmpq) -> Fraction:
    return Fraction(int(value.p), int(value.q))


# --- networks -----------------------------------------------------------------------------------------


def evaluate_network(network: nn.Module, point: Tensor | Sequence) -> Vector:
    """The exact outputs of a Linear/ReLU/PReLU stack at a rational point (n numbers)."""
    state = vector(point)
    for layer in _layers(network):
        state = _apply(layer, state)
    return state


class Compiled:
    """A Linear/ReLU stack with its weights as sparse rationals: the same values, many points at less cost."""

    def __init__(self, network: nn.Module):
        self.layers: list[list[tuple[fmpq, list[tuple[int, fmpq]]]] | None] = []
        for layer in _flat(network):
            if isinstance(layer, nn.ReLU):
                self.layers.append(None)
            elif isinstance(layer, nn.Linear):
                bias = vector(layer.bias.detach()) if layer.bias is not None else [fmpq(0)] * layer.out_features
                weight = layer.weight.detach().cpu()
                rows = [[(int(j), rational(float(row[j]))) for j in row.nonzero()[:, 0]] for row in weight]
                self.layers.append(list(zip(bias, rows, strict=True)))
            else:
                raise TypeError(f"no compiled evaluation for {type(layer).__name__}")

    def __call__(self, point: Tensor | Sequence) -> Vector:
        """The exact outputs at a rational point."""
        state = vector(point)
        for rows in self.layers:
            if rows is None:
                state = [max(s, fmpq(0)) for s in state]
            else:
                state = [sum((w * state[j] for j, w in row), start=b) for b, row in rows]
        return state


def _layers(network: nn.Module) -> list[nn.Module]:
    return list(network) if isinstance(network, nn.Sequential) else [network]


def _apply(layer: nn.Module, state: Vector) -> Vector:
    if isinstance(layer, nn.Linear):
        rows = [vector(row) for row in layer.weight.detach().tolist()]
        bias = vector(layer.bias.detach()) if layer.bias is not None else [fmpq(0)] * len(rows)
        if any(len(row) != len(state) for row in rows):
            raise ValueError(f"{layer} does not accept {len(state)} inputs")
        return [
            sum((w * s for w, s in zip(row, state, strict=True)), start=b) for row, b in zip(rows, bias, strict=True)
        ]
    if isinstance(layer, nn.ReLU):
        return [max(s, fmpq(0)) for s in state]
    if isinstance(layer, nn.PReLU):
        return [s if s > 0 else a * s for s, a in zip(state, _slopes(layer, len(state)), strict=True)]
    if isinstance(layer, Constant):
        return vector(layer.bias.detach())
    if isinstance(layer, nn.Identity):
        return state
    if isinstance(layer, nn.Sequential):
        return evaluate_network(layer, state)
    raise TypeError(f"no exact evaluation for {type(layer).__name__}")


def _slopes(layer: nn.PReLU, width: int) -> Vector:
    slopes = vector(layer.weight.detach())
    return slopes * width if len(slopes) == 1 else slopes


def along_line(network: nn.Module, start: Tensor | Sequence, end: Tensor | Sequence) -> tuple[Vector, list[Vector]]:
    """The network on the segment start + s·(end − start), 0 ≤ s ≤ 1, as an exact piecewise affine function.

    Returns the increasing s (0, every point where some activation changes sign, 1) and the outputs there; between
    neighbours the network is affine.
    """
    times = [fmpq(0), fmpq(1)]
    states = [vector(start), vector(end)]
    for layer in _flat(network):
        if isinstance(layer, (nn.ReLU, nn.PReLU)):
            times, states = _with_sign_changes(times, states)
        states = [_apply(layer, state) for state in states]
    return times, states


def _flat(network: nn.Module) -> list[nn.Module]:
    layers = _layers(network)
    return [part for each in layers for part in (_flat(each) if isinstance(each, nn.Sequential) else [each])]


def _with_sign_changes(times: Vector, states: list[Vector]) -> tuple[Vector, list[Vector]]:
    """Insert every zero of every coordinate, each affine between neighbouring times."""
    new_times, new_states = [times[0]], [states[0]]
    for (s, a), (t, b) in zip(zip(times, states, strict=True), zip(times[1:], states[1:], strict=True), strict=False):
        shares = {u / (u - v) for u, v in zip(a, b, strict=True) if (u < 0 < v) or (v < 0 < u)}
        for share in sorted(shares):
            new_times.append(s + share * (t - s))
            new_states.append([u + share * (v - u) for u, v in zip(a, b, strict=True)])
        new_times.append(t)
        new_states.append(b)
    return new_times, new_states


# --- routers ------------------------------------------------------------------------------------------


def route_lattice(z: Tensor | Sequence, cells: Sequence[int]) -> tuple[int, ...]:
    """The nearest half-integer prototype of each axis, ties to the lowest: exact argmin of |z_a − (i + 1/2)|."""
    index = []
    for value, count in zip(vector(z), cells, strict=True):
        floor = int(value.p // value.q)
        candidates = [i for i in range(floor - 1, floor + 2) if 0 <= i < count]
        if not candidates:
            candidates = [0 if floor < 0 else count - 1]
        index.append(min(candidates, key=lambda i: (abs(value - i - fmpq(1, 2)), i)))
    return tuple(index)


def route_graph(graph: nx.DiGraph, z: Tensor | Sequence) -> list:
    """Nodes from the root to a leaf: at each node the child with the nearest `prototype`, ties to the first child."""
    point = vector(z)
    (node,) = [v for v, degree in graph.in_degree() if degree == 0]
    nodes = [node]
    while children := list(graph.successors(node)):
        node = min(children, key=lambda c: distance_squared(point, graph.nodes[c]["prototype"]))
        nodes.append(node)
    return nodes


def distance_squared(point: Vector, prototype: Sequence) -> fmpq:
    """‖point − prototype‖₂², exactly."""
    return sum(((a - b) ** 2 for a, b in zip(point, vector(prototype), strict=True)), start=fmpq(0))
