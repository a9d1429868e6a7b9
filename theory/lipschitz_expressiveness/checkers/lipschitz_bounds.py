"""One door to all methods: a certified interval for the Lipschitz constant of a network on a box or on all of R^n.

Main definitions: `lipschitz_bounds`, `METHODS`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from constructions.arrays import tensor_of
from constructions.errors import (
    require_bool,
    require_choice,
    require_device,
    require_instance,
    require_int,
    require_positive,
    require_seed,
    require_tensor,
)
from constructions.progress import Log, require_log, silent
from theory.lipschitz_expressiveness.checkers.auto import auto
from theory.lipschitz_expressiveness.checkers.branch_and_bound import branch_and_bound
from theory.lipschitz_expressiveness.checkers.line import line
from theory.lipschitz_expressiveness.checkers.lipsdp import lipsdp
from theory.lipschitz_expressiveness.checkers.measure import Measure
from theory.lipschitz_expressiveness.checkers.network import Network, read_network
from theory.lipschitz_expressiveness.checkers.patterns import patterns
from theory.lipschitz_expressiveness.checkers.product import product, product_above
from theory.lipschitz_expressiveness.checkers.result import LipschitzBounds
from theory.lipschitz_expressiveness.checkers.sampled import sampled
from theory.lipschitz_expressiveness.checkers.search import Question

_RUN: dict[str, Callable[[Question], LipschitzBounds]] = {
    "auto": auto,
    "product": product,
    "sampled": sampled,
    "branch_and_bound": branch_and_bound,
    "patterns": patterns,
    "line": line,
    "lipsdp": lipsdp,
}
METHODS = tuple(_RUN)


def lipschitz_bounds(
    module: nn.Module,
    lower: Tensor | np.ndarray | None = None,
    upper: Tensor | np.ndarray | None = None,
    *,
    method: str = "auto",
    measure: Measure | None = None,
    left: Tensor | np.ndarray | None = None,
    right: Tensor | np.ndarray | None = None,
    offset: Tensor | np.ndarray | None = None,
    gap: float = 1e-9,
    seconds: float = 60.0,
    boxes: int = 1_000_000,
    cells: int = 100_000,
    points: int = 1_000,
    undecided: int = 8,
    input_shape: tuple[int, ...] | None = None,
    keep_cells: bool = False,
    device: torch.device | str | None = None,
    seed: int = 0,
    log: Log = silent,
) -> LipschitzBounds:
    """lower end ≤ Lip(module; box) ≤ upper end in the Euclidean norm, or sup ‖offset + left·J·right‖ of a `measure`.

    `module` is an nn.Sequential of Linear, ReLU, LeakyReLU, PReLU, Tanh, Flatten and Conv2d layers (the latter with
    `input_shape` (C, H, W)) with float64 or float32 weights; x ↦ f(x) is read as the function of real numbers that
    the weights define. The box is lower ≤ x ≤ upper, both (n,) with lower < upper; without it the domain is R^n. A
    `measure` or its parts `left` (p, m), `right` (n, q), `offset` (p, q) may be given, not both.

    Methods: "product" and "lipsdp" give an upper end on R^n, "sampled" a lower end, "branch_and_bound" (with a box,
    or without hidden biases), "patterns" and "line" (one input) both. "auto" picks by kind and size, takes the best
    ends of several where one leaves a gap, and says so in `reason`. It ends when upper ≤ lower·(1 + `gap`) up to
    rounding, or after `seconds`, `boxes` or `cells` with the interval so far. `points` are those of "sampled"; up to
    `undecided` units of a box are tried both ways; `keep_cells` hands out the cells of "patterns" and "line". The
    result depends on `seed` alone, and on `seconds` where they run out.

    TypeError, ValueError or BudgetExceeded in one sentence for anything else; ImportError for "lipsdp" without cvxpy.
    """
    started = time.monotonic()
    require_choice("method", method, METHODS)
    network = read_network(module, input_shape)
    low, high = _box(lower, upper, network.inputs)
    question = Question(
        network=network,
        lower=low,
        upper=high,
        measure=_measure(network, measure, left, right, offset),
        gap=float(require_positive("gap", gap, allow_zero=True)),
        seconds=float(require_positive("seconds", seconds)),
        boxes=require_int("boxes", boxes, 1),
        cells=require_int("cells", cells, 1),
        points=require_int("points", points, 1, 10**8),
        undecided=require_int("undecided", undecided, 0, 16),
        keep_cells=require_bool("keep_cells", keep_cells),
        device=require_device("device", device),
        seed=require_seed("seed", seed),
        log=require_log(log),
    )
    with torch.no_grad():
        found = _run(question, method)
    return replace(found, seconds=time.monotonic() - started, device=str(question.device))


def _run(question: Question, method: str) -> LipschitzBounds:
    network = question.network
    if method in ("patterns", "line") and not network.piecewise_affine:
        raise ValueError(f"`method` {method} needs a piecewise affine network, this one has tanh units")
    if method == "line" and network.inputs != 1:
        raise ValueError(f"`method` line needs a network of one input, got {network.inputs}")
    if method == "branch_and_bound" and question.lower is None and not network.homogeneous:
        raise ValueError("`method` branch_and_bound needs a box `lower`, `upper`: the network has biases or tanh units")
    return _RUN[method](question)


def _measure(network: Network, measure: Measure | None, left: Any, right: Any, offset: Any) -> Measure:
    require_instance("measure", measure, (Measure, type(None)))
    if measure is None:
        measure = Measure(left, right, offset)
    elif not (left is None and right is None and offset is None):
        raise ValueError("`measure` must be given alone, without `left`, `right` or `offset`")
    measure.fits(network.outputs, network.inputs)
    return _loosened(network, measure)


def _loosened(network: Network, measure: Measure) -> Measure:
    """The measure with `left_error`·‖J·right‖ as an absolute allowance: ‖J·right‖ is at most the product of norms."""
    if not measure.left_error:
        return measure
    steepest = product_above(network, Measure(right=measure.right)).times(measure.left_error).upper
    if steepest == float("inf"):
        raise ValueError("`module` has weights whose products no float can hold: no rounded measure can be applied")
    return replace(measure, absolute=(measure.absolute + steepest) * (1 + 2.0**-50), left_error=0.0)


def _box(lower: Any, upper: Any, inputs: int) -> tuple[Tensor | None, Tensor | None]:
    """Both corners as float64 on the CPU."""
    if lower is None and upper is None:
        return None, None
    if lower is None or upper is None:
        raise ValueError(f"`{'lower' if lower is None else 'upper'}` must be given, too: a box has two corners")
    low, high = _corner("lower", lower, inputs), _corner("upper", upper, inputs)
    if not bool((low < high).all()):
        axis = int((~(low < high)).nonzero()[0, 0])
        raise ValueError(
            f"`lower` must be below `upper` in every axis, got {low[axis]} and {high[axis]} in axis {axis}"
        )
    if not bool(torch.isfinite(2 * (high - low)).all() and torch.isfinite(high + low).all()):
        raise ValueError("`lower` and `upper` must be less than 8e307 apart: no float holds the box's middle and width")
    return low, high


def _corner(name: str, value: Any, inputs: int) -> Tensor:
    """One convex box: a corner is one point (n,), not a list of them."""
    corner = require_tensor(name, tensor_of(name, value), f"({inputs},)").detach().to(device="cpu", dtype=torch.float64)
    if corner.shape != (inputs,):
        raise ValueError(f"`{name}` must have shape ({inputs},): one box, got {tuple(corner.shape)}")
    if not bool(torch.isfinite(corner).all()):
        raise ValueError(f"`{name}` must be finite, got {corner.tolist()}")
    return corner
