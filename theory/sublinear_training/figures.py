"""Figures of training in sublinear time: operations against width, and the trees of the worked example.

Main definitions: `FIGURES`, `costs_figure`, `trees_figure`, `exponents_figure`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from constructions.sublinear_training import (
    GaussNewtonTrainer,
    MaxTreeForest,
    ShiftedReLUNetwork,
    TrainingTrace,
    random_signs,
    unit_sphere,
)
from constructions.sublinear_training.methods import METHODS
from theory.figure_style import ACCENT, GOLD, GREY, INK, MARKERS, VIOLET, WARM, legend_below, tint
from theory.sublinear_training.bounds import Firing, expected_visits

COLOURS = {"dense": INK, "hybrid": VIOLET, "flat": GOLD, "eager": WARM, "lazy": ACCENT}
STYLES = {"dense": "o-", "hybrid": "s-", "flat": "D-", "eager": "^-", "lazy": "v-"}


def costs_figure(
    widths: Sequence[int], traces: Mapping[str, Sequence[TrainingTrace]], alpha: float, n: int, d: int
) -> Figure:
    """Operations of the first and of the last step against width, with 4mnd and what theory expects of visits and fired
    pairs."""
    figure = Figure(figsize=(11, 4.6), layout="constrained")
    for axes, which, title in zip(
        figure.subplots(1, 2, sharey=True), (0, -1), ("first step", "last step"), strict=True
    ):
        axes.loglog(widths, [4 * m * n * d for m in widths], "--", color=GREY, label="4mnd", base=2)
        for method, runs in traces.items():
            counts = [run.steps[which].operations["total"] for run in runs]
            axes.loglog(widths, counts, STYLES[method], color=COLOURS[method], ms=4, label=method, base=2)
        firing = [Firing(m, alpha) for m in widths]
        visits = [n * expected_visits(m, f.p) for m, f in zip(widths, firing, strict=True)]
        axes.loglog(widths, visits, ":", color=WARM, label="n·E V, visits at b", base=2)
        axes.loglog(widths, [n * f.expected for f in firing], "-.", color=ACCENT, label="n·m·p, fired pairs", base=2)
        axes.set_title(title, loc="left")
        axes.set_xlabel("width m")
        axes.grid(True, which="major", alpha=0.3)
    figure.suptitle(f"Gauss–Newton on n = {n} points in d = {d} dimensions, threshold of α = {alpha:g}")
    figure.axes[0].set_ylabel("operations of a step")
    figure.axes[1].legend(frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def trees_figure() -> Figure:
    """The three trees of the worked example at b = 1: nodes above b are filled, those compared have a dark edge."""
    rows = ((-3, 2), (1, 4), (3, -3), (3, -1), (3, 4), (1, -4), (-3, 0), (0, 0))
    weight = torch.tensor(rows, dtype=torch.float64) / 2
    points = torch.tensor([[1, 0], [0.6, 0.8], [0, 1]], dtype=torch.float64)
    forest = MaxTreeForest(weight @ points.t())
    figure = Figure(figsize=(11, 3.8), layout="constrained")
    for tree, axes in enumerate(figure.subplots(1, 3)):
        _draw_tree(axes, forest.nodes[:, tree].tolist(), 1.0)
        axes.set_title(f"point {tree + 1}: {int(forest.visits(forest.query(1.0))[tree])} nodes compared", loc="left")
    figure.suptitle("filled: above the threshold b = 1; dark edge: compared with it")
    return figure


def _draw_tree(axes: Axes, nodes: Sequence[float], threshold: float) -> None:
    levels = (len(nodes) // 2).bit_length() - 1
    for node in range(1, len(nodes)):
        depth = node.bit_length() - 1
        x, y = (node - 2**depth + 0.5) / 2**depth, levels - depth
        hot, seen = nodes[node] > threshold, node == 1 or nodes[node // 2] > threshold
        if node > 1:
            parent = (node // 2 - 2 ** (depth - 1) + 0.5) / 2 ** (depth - 1)
            axes.plot([parent, x], [y + 1, y], color=INK if seen else tint(GREY, 0.6), lw=0.8, zorder=1)
        fill, edge = (ACCENT if hot else "white"), (INK if seen else tint(GREY, 0.6))
        axes.scatter([x], [y], s=750, facecolor=fill, edgecolor=edge, zorder=2)
        number = f"{nodes[node]:g}".replace("-", "−")
        axes.text(x, y, number, ha="center", va="center", color="white" if hot else INK, zorder=3)
    axes.set_axis_off()
    axes.margins(0.08, 0.15)


def exponents_figure() -> Figure:
    """The exponent of the number of fired units against width, up to 2^1000, and its limits."""
    figure = Figure(figsize=(6.4, 4), layout="constrained")
    axes, bits = figure.subplots(), [4, 6, 8, 10, 14, 20, 30, 60, 100, 200, 400, 1000]
    for alpha, colour, marker in zip((0.24, 0.2), (ACCENT, WARM), MARKERS, strict=False):
        exponents = [Firing(2.0**e, alpha).exponent for e in bits]
        axes.semilogx(bits, exponents, f"{marker}-", ms=4, color=colour, label=f"α = {alpha}")
        axes.axhline(1 - alpha, ls="--", lw=1, color=colour)
    axes.set_xlabel("log₂ of the width m")
    axes.set_ylabel("d ln(mp) / d ln m")
    axes.set_title("exponent of the number mp of fired units; dashed: its limit 1 − α", loc="left", fontsize=11)
    axes.grid(True, alpha=0.3)
    legend_below(axes, 2)
    return figure


def costs() -> Figure:
    """`costs_figure` of 32 points in 16 dimensions, widths up to 2^14."""
    g = torch.Generator().manual_seed(0)
    x, y = unit_sphere(32, 16, generator=g), random_signs(32, generator=g)
    widths = [2**e for e in range(10, 15)]
    traces = {
        method: [GaussNewtonTrainer(ShiftedReLUNetwork.from_seed(16, m, m), x, y, method=method).fit() for m in widths]
        for method in METHODS
    }
    return costs_figure(widths, traces, 0.24, 32, 16)


FIGURES = {
    "sublinear_training_costs.png": ("Operations of a Gauss–Newton step against width, five methods", costs),
    "sublinear_training_trees.png": ("The max-trees of the worked example", trees_figure),
    "sublinear_training_exponents.png": ("How the number of fired units grows with the width", exponents_figure),
}
