"""Figures of Lipschitz bounds: how an interval closes, and the cells of a network of two inputs coloured by ‖J‖.

Main definitions: `bounds_figure`, `draw_closing`, `draw_cells_of_two_inputs`.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor, nn

from constructions.lipschitz_expressiveness import numpy_mlp, table_networks
from theory.figure_style import ACCENT, GRID, WARM, legend_below
from theory.lipschitz_expressiveness.checkers import LipschitzBounds, Measure, Step, lipschitz_bounds
from theory.lipschitz_expressiveness.checkers.jacobians import Chain, slopes_at
from theory.lipschitz_expressiveness.checkers.network import read_network
from theory.lipschitz_expressiveness.checkers.norms import norm_above

Box = tuple[Tensor, Tensor]


def draw_closing(axes: Axes, bounds: LipschitzBounds) -> None:
    """Both ends of the interval against the boxes or cells examined; a method without steps has its ends alone."""
    steps = bounds.history or [Step(bounds.seconds, bounds.cells_or_boxes, bounds.lower, bounds.upper)]
    counts = [max(1, step.count) for step in steps]
    upper = [step.upper if math.isfinite(step.upper) else math.nan for step in steps]
    lower = [step.lower for step in steps]
    if len(steps) == 1:
        counts, upper, lower = [0, *counts], upper * 2, lower * 2
    axes.step(counts, upper, "--", where="post", color=WARM, label=f"upper end, at last {bounds.upper:.6g}")
    axes.step(counts, lower, "-", where="post", color=ACCENT, label=f"lower end, at last {bounds.lower:.6g}")
    if len(steps) > 1 and counts[-1] >= 20 * counts[0]:
        axes.set_xscale("log")
    if bounds.cells_or_boxes:
        axes.set_xlabel("boxes examined" if bounds.method.startswith("branch") else "cells or points examined")
    else:
        axes.set_xticks([])
        axes.set_xlabel("nothing to examine: from the weights at once")
    axes.set_ylabel("Lipschitz constant")
    axes.set_title(f"{bounds.method}: lower ≤ Lip ≤ upper", loc="left")
    axes.grid(True, alpha=0.3)
    legend_below(axes)


def draw_cells_of_two_inputs(
    axes: Axes, module: nn.Module, box: Box, witness: Tensor | None = None, input_shape: tuple[int, ...] | None = None
) -> None:
    """‖J‖ over a box of the plane, the kinks as lines, and where the largest was found. ValueError for other inputs."""
    network = read_network(module, input_shape)
    if network.inputs != 2:
        raise ValueError(f"`module` must have 2 inputs to be drawn, got {network.inputs}")
    sides = [np.linspace(float(a), float(b), GRID) for a, b in zip(*box, strict=True)]
    x, y = np.meshgrid(*sides)
    points = torch.from_numpy(np.stack([x.ravel(), y.ravel()], 1))
    slopes, values = slopes_at(network, points)
    matrices = Chain.of(network, Measure()).product(slopes)
    norms = norm_above(matrices).expand(len(points)).reshape(x.shape).numpy()
    picture = axes.pcolormesh(x, y, norms, cmap="viridis", shading="auto", rasterized=True)
    for layer, z in zip(network.hidden, values, strict=True):
        for unit in layer.bends.nonzero()[:, 0].tolist():
            height = z[:, unit].reshape(x.shape).numpy()
            if height.min() < 0 < height.max():
                axes.contour(x, y, height, levels=[0.0], colors="white", linewidths=0.6)
    if witness is not None:
        style = {"color": WARM, "ms": 13, "mec": "white", "clip_on": False, "zorder": 5}  # it may lie on the frame
        axes.plot(*witness.tolist(), "*", label="the largest ‖J‖", **style)
        legend_below(axes)
    axes.set_title("‖J‖ of every cell", loc="left")
    axes.set_xlabel("x₀")
    axes.set_ylabel("x₁")
    figure = axes.get_figure()
    if figure is not None:
        figure.colorbar(picture, ax=axes, label="‖J‖, norm of the Jacobian")


def bounds_figure(
    module: nn.Module, bounds: LipschitzBounds, box: Box | None = None, input_shape: tuple[int, ...] | None = None
) -> Figure:
    """How the interval closed, and for two inputs the cells in the box (or around the witness)."""
    flat = read_network(module, input_shape).inputs == 2
    if box is None and bounds.witness is not None:
        reach = 2 * bounds.witness.abs().max().clamp(min=0.5)
        box = (-reach.expand(len(bounds.witness)), reach.expand(len(bounds.witness)))
    both = flat and box is not None
    figure = Figure(figsize=(11 if both else 6, 5), layout="constrained")
    left, *right = np.atleast_1d(figure.subplots(1, 2 if both else 1))
    draw_closing(left, bounds)
    if right and box is not None:
        draw_cells_of_two_inputs(right[0], module, box, bounds.witness, input_shape)
    return figure


def _small_network() -> Figure:
    network = list(table_networks())[3]
    box = (network.lower, network.upper)
    figure = Figure(figsize=(6.4, 5.4), layout="constrained")
    found = lipschitz_bounds(network.module, *box, method="patterns")
    draw_cells_of_two_inputs(figure.subplots(), network.module, box, found.witness)
    return figure


def _closing() -> Figure:
    network = numpy_mlp((4, 10, 10, 2), np.random.default_rng(2))
    corner = torch.ones(4, dtype=torch.float64)
    return bounds_figure(network, lipschitz_bounds(network, -corner, corner, method="branch_and_bound"))


FIGURES = {
    "lipschitz_expressiveness_cells.png": (
        "The 74 cells of a 2-5-5-5-1 network in a square, coloured by ‖J‖",
        _small_network,
    ),
    "lipschitz_expressiveness_closing.png": ("Branch and bound closes the interval of a 4-10-10-2 network", _closing),
}
