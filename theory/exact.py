"""The trusted kernel: exact rational evaluation of networks and routers.

Every float64 (and float32) weight is a dyadic rational, so a ReLU network evaluates exactly at a rational point.
Nothing here is fast or clever; everything else may be compared with it.

Main definitions: `plain_layers`, `evaluate_network`, `Compiled`, `along_line`, `route_lattice`, `route_graph`.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from fractions import Fraction

import networkx as nx
import torch
from flint import fmpq
from torch import Tensor, nn
from torch.nn.modules import module as torch_module

from constructions.errors import require_int
from constructions.networks import Constant

Vector = list[fmpq]


def rational(value: float | int | Fraction | fmpq) -> fmpq:
    """The exact value of a float, integer or fraction. ValueError for NaN or inf, TypeError for what is no number."""
    if isinstance(value, fmpq):
        return value
    try:
        numerator, denominator = value.as_integer_ratio()
    except (ValueError, OverflowError) as err:
        raise ValueError(f"`value` must be finite, got {value!r}") from err
    except AttributeError as err:
        raise TypeError(f"`value` must be a real number, got {type(value).__name__}") from err
    if numerator == 0:
        require_denormals()  # or a number below 2^−1022 reads as 0
    return fmpq(numerator, denominator)


_LEAST_DENORMAL = 2.0**-1074


def require_denormals() -> None:
    """ValueError while this thread flushes denormal numbers to zero: what it reads is then not what a tensor holds."""
    if not _LEAST_DENORMAL * 1.0 > 0:
        raise ValueError("`torch.set_flush_denormal(True)` is in force: nothing is exact then, set it to False")


def vector(values: Tensor | Sequence) -> Vector:
    """A row of numbers, exactly. TypeError or ValueError for anything else."""
    if isinstance(values, Tensor):
        if values.ndim != 1:
            raise ValueError(f"`values` must be one row of numbers, got a tensor of shape {tuple(values.shape)}")
        values = values.tolist()
    elif isinstance(values, (str, bytes)) or not isinstance(values, Iterable):
        raise TypeError(f"`values` must be one row of numbers, got {type(values).__name__}")
    return [rational(v) for v in values]


def fraction(value: fmpq) -> Fraction:
    return Fraction(int(value.p), int(value.q))


# --- networks -----------------------------------------------------------------------------------------

KNOWN = (nn.Linear, nn.ReLU, nn.PReLU, nn.Identity, Constant)
PLAIN: set[type] = {Tensor, nn.Parameter}
"""Types of tensors that may be weights: another subclass may compute anything, as a layer's may."""
DEEPEST = 100


def altered(module: nn.Module) -> str | None:
    """Why a call may not be what the module's class says (hooks, replaced methods, odd kinds of tensors), or None."""
    hooks = (module._forward_hooks, module._forward_pre_hooks)
    everywhere = (torch_module._global_forward_hooks, torch_module._global_forward_pre_hooks)
    if any(hooks) or any(everywhere):
        return f"{type(module).__name__} has forward hooks"
    # nn.Module keeps its own state under names that no class attribute has: whatever shadows one was put there
    shadowed = [name for name in vars(module) if hasattr(type(module), name)]
    if shadowed:
        return f"{type(module).__name__} has its own {shadowed[0]}"
    return next((why for name in ("weight", "bias") if (why := _odd_tensor(module, name)) is not None), None)


def _odd_tensor(module: nn.Module, name: str) -> str | None:
    """Why a layer's weight or bias is no dense tensor whose numbers are all that it is."""
    value = getattr(module, name, None) if isinstance(module, (nn.Linear, nn.PReLU, Constant)) else None
    if value is None or (type(value) in PLAIN and value.layout == torch.strided):
        return None
    kind = value.layout if type(value) in PLAIN else type(value).__name__
    return f"the {name} of a {type(module).__name__} is a {kind}, not a dense torch.Tensor"


def plain_layers(network: nn.Module, depth: int = 0) -> list[nn.Module]:
    """The layers of a stack in the order in which forward() applies them: a module that occurs twice counts twice.

    TypeError for a subclass, a hook or an unknown layer: its forward() may be anything.
    """
    if not isinstance(network, nn.Module):
        raise TypeError(f"`network` must be a torch.nn.Module, got {type(network).__name__}")
    change = altered(network)
    if change is not None:
        raise TypeError(f"no exact evaluation: {change}")
    if depth > DEEPEST:
        raise TypeError(f"`network` must not be nested deeper than {DEEPEST}")
    if type(network) is nn.Sequential:
        return [layer for part in network for layer in plain_layers(part, depth + 1)]
    if type(network) in KNOWN:
        return [network]
    raise TypeError(f"no exact evaluation for {type(network).__name__}")


def evaluate_network(network: nn.Module, point: Tensor | Sequence) -> Vector:
    """The exact outputs of a Linear/ReLU/PReLU stack at a rational point (n numbers)."""
    state = vector(point)
    for layer in plain_layers(network):
        state = _apply(layer, state)
    return state


class Compiled:
    """A Linear/ReLU stack with its weights as sparse rationals: the same values, many points at less cost."""

    def __init__(self, network: nn.Module):
        self.layers: list[list[tuple[fmpq, list[tuple[int, fmpq]]]] | None] = []
        self.inputs: int | None = None
        width: int | None = None
        for layer in plain_layers(network):
            if type(layer) is nn.ReLU:
                self.layers.append(None)
            elif type(layer) is nn.Linear:
                weight, bias = _weights(layer)
                if width is not None and weight.shape[1] != width:
                    raise ValueError(f"{layer} does not accept {width} inputs")
                self.inputs, width = weight.shape[1] if self.inputs is None else self.inputs, len(weight)
                rows = [[(int(j), rational(row[j].item())) for j in row.nonzero()[:, 0]] for row in weight]
                self.layers.append(list(zip(bias, rows, strict=True)))
            else:
                raise TypeError(f"no compiled evaluation for {type(layer).__name__}")

    def __call__(self, point: Tensor | Sequence) -> Vector:
        """The exact outputs at a rational point."""
        state = vector(point)
        if self.inputs is not None and len(state) != self.inputs:
            raise ValueError(f"`point` must have {self.inputs} coordinates, got {len(state)}")
        for rows in self.layers:
            if rows is None:
                state = [max(s, fmpq(0)) for s in state]
            else:
                state = [sum((w * state[j] for j, w in row), start=b) for b, row in rows]
        return state


def _weights(layer: nn.Linear) -> tuple[Tensor, Vector]:
    """Weight (out, in) and bias; ValueError when they do not fit together."""
    weight = layer.weight.detach().cpu()  # read number by number
    if weight.ndim != 2:
        raise ValueError(f"{layer} must have a weight (out, in), got shape {tuple(weight.shape)}")
    if layer.bias is None:
        return weight, [fmpq(0)] * len(weight)
    if layer.bias.shape != weight.shape[:1]:
        raise ValueError(f"{layer} must have a bias ({len(weight)},), got shape {tuple(layer.bias.shape)}")
    return weight, vector(layer.bias.detach())


def _apply(layer: nn.Module, state: Vector) -> Vector:
    if type(layer) is nn.Linear:
        weight, bias = _weights(layer)
        if weight.shape[1] != len(state):
            raise ValueError(f"{layer} does not accept {len(state)} inputs")
        rows = [vector(row) for row in weight]
        return [
            sum((w * s for w, s in zip(row, state, strict=True)), start=b) for row, b in zip(rows, bias, strict=True)
        ]
    if type(layer) is nn.ReLU:
        return [max(s, fmpq(0)) for s in state]
    if type(layer) is nn.PReLU:
        return [s if s > 0 else a * s for s, a in zip(state, _slopes(layer, len(state)), strict=True)]
    if type(layer) is Constant:
        return vector(layer.bias.detach())
    if type(layer) is nn.Identity:
        return state
    raise TypeError(f"no exact evaluation for {type(layer).__name__}")


def _slopes(layer: nn.PReLU, width: int) -> Vector:
    slopes = vector(layer.weight.detach())
    if len(slopes) not in (1, width):
        raise ValueError(f"{layer} does not accept {width} inputs")
    return slopes * width if len(slopes) == 1 else slopes


def along_line(network: nn.Module, start: Tensor | Sequence, end: Tensor | Sequence) -> tuple[Vector, list[Vector]]:
    """The network on the segment start + s·(end − start), 0 ≤ s ≤ 1, as an exact piecewise affine function.

    Returns the increasing s (0, every point where some activation changes sign, 1) and the outputs there; between
    neighbours the network is affine.
    """
    times = [fmpq(0), fmpq(1)]
    states = [vector(start), vector(end)]
    if len(states[0]) != len(states[1]):
        raise ValueError(f"`end` must have {len(states[0])} coordinates like `start`, got {len(states[1])}")
    for layer in plain_layers(network):
        if isinstance(layer, (nn.ReLU, nn.PReLU)):
            times, states = _with_sign_changes(times, states)
        states = [_apply(layer, state) for state in states]
    return times, states


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
    point = vector(z)
    if len(point) != len(cells):
        raise ValueError(f"`z` must have {len(cells)} coordinates, one for each of `cells`, got {len(point)}")
    index = []
    for value, count in zip(point, cells, strict=True):
        require_int("cells", count, 1)
        floor = int(value.p // value.q)
        candidates = [i for i in range(floor - 1, floor + 2) if 0 <= i < count]
        if not candidates:
            candidates = [0 if floor < 0 else count - 1]
        index.append(min(candidates, key=lambda i: (abs(value - i - fmpq(1, 2)), i)))
    return tuple(index)


def route_graph(graph: nx.DiGraph, z: Tensor | Sequence) -> list:
    """Nodes from the root to a leaf: at each node the child with the nearest `prototype`, ties to the first child.

    ValueError when there is not exactly one root, or the way down never ends.
    """
    point = vector(z)
    roots = [v for v, degree in graph.in_degree() if degree == 0]
    if len(roots) != 1:
        raise ValueError(f"`graph` must have exactly one root, got {len(roots)}")
    node = roots[0]
    nodes = [node]
    while children := list(graph.successors(node)):
        if len(nodes) >= graph.number_of_nodes():
            raise ValueError(f"`graph` must be a tree, but the way down from {roots[0]} runs in a circle")
        node = min(children, key=lambda c: distance_squared(point, _prototype(graph, c)))
        nodes.append(node)
    return nodes


def _prototype(graph: nx.DiGraph, node: Hashable) -> Sequence:
    prototype = graph.nodes[node].get("prototype")
    if prototype is None:
        raise ValueError(f"`graph` must give every child a `prototype`, node {node} has none")
    return prototype


def distance_squared(point: Vector, prototype: Sequence) -> fmpq:
    """‖point − prototype‖₂², exactly."""
    other = vector(prototype)
    if len(other) != len(point):
        raise ValueError(f"`prototype` must have {len(point)} coordinates, got {len(other)}")
    return sum(((a - b) ** 2 for a, b in zip(point, other, strict=True)), start=fmpq(0))
