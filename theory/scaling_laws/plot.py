"""The picture of a fitted law: errors against the first size, the law with its cone, held-out points hollow.

Main definition: `law_figure`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from theory.figure_style import ACCENT, GREY, INK, MARKERS, legend_below, shades
from theory.scaling_laws.fitting import FAR, LEVEL, Findings

MOST_CURVES = 6
MOST_DOTS = 2000
STEPS = 120
FLOOR_SEEN = 0.3


def law_figure(found: Findings) -> Figure:
    """Log-log. One curve for each of up to six values of the second size, and the cone of the largest; further sizes
    are at their largest. Up to 10 times beyond the fitted sizes."""
    figure = Figure(figsize=(7.5, 5.8), layout="constrained")
    axes = figure.subplots()
    names, points, far = found.question.axes, found.points, found.far
    several = len(names) > 1
    every = torch.cat([points.sizes, far.sizes])
    curves = _spaced(every[:, 1].unique()) if several else [None]
    x = np.geomspace(float(every[:, 0].min()), float(max(points.sizes[:, 0].max() * FAR, every[:, 0].max())), STEPS)
    colours = shades(len(curves)) if several else [ACCENT]
    for number, (value, colour) in enumerate(zip(curves, colours, strict=True)):
        sizes = points.sizes.amax(0).repeat(STEPS, 1)
        sizes[:, 0] = torch.from_numpy(x)
        label = "law"
        if value is not None:
            sizes[:, 1], label = value, f"{names[1]} = {value:g}"
        axes.plot(x, found.fit.law(sizes).cpu(), color=colour)
        # for the legend: the line with the mark of its points
        axes.plot([], [], f"{MARKERS[number]}-", color=colour, label=label)
        if number == len(curves) - 1 and len(found.fit.draws):
            _, low, high = found.fit.predict(sizes, LEVEL)
            axes.fill_between(x, low.cpu(), high.cpu(), color=colour, alpha=0.15, lw=0, label=f"{LEVEL:.0%} interval")
    for part, hollow in ((points, False), (far, True)):
        _dots(axes, part.sizes, part.errors, curves, colours, hollow)
        if len(part.errors):
            label, face = ("held out", "none") if hollow else ("fitted", INK)
            axes.plot([], [], "o", color=INK, mfc=face, label=label)
    axes.axvline(float(points.sizes[:, 0].max()), color=INK, lw=0.8, ls=":", label="the largest fitted")
    if found.fit.law.floor > FLOOR_SEEN * float(found.points.errors.min()):  # one far below would stretch the picture
        axes.axhline(found.fit.law.floor, color=GREY, lw=1.2, ls="--", label=f"floor {found.fit.law.floor:.3g}")
    axes.set(xscale="log", yscale="log", xlabel=names[0], ylabel=found.question.error)
    axes.grid(True, which="major", alpha=0.3)
    legend_below(axes, 3)
    return figure


def _spaced(values: Tensor) -> list[float]:
    """Up to six of the values, spread by rank, the largest last."""
    index = np.unique(np.linspace(0, len(values) - 1, min(MOST_CURVES, len(values))).round().astype(int))
    return values[torch.from_numpy(index).to(values.device)].tolist()


def _dots(
    axes: Axes,
    sizes: Tensor,
    errors: Tensor,
    curves: Sequence[float | None],
    colours: Sequence[str],
    hollow: bool,
) -> None:
    """Points in the colour and with the mark of the curve nearest to their second size; `curves` are up to six."""
    if not len(errors):
        return
    if len(errors) > MOST_DOTS:  # a picture of all would be a blot
        index = torch.linspace(0, len(errors) - 1, MOST_DOTS, device=errors.device).long()
        sizes, errors = sizes[index], errors[index]
    nearest = torch.zeros(len(errors), dtype=torch.long, device=sizes.device)
    if curves[0] is not None:
        logs = torch.tensor([math.log(value) for value in curves if value is not None], device=sizes.device)
        nearest = (sizes[:, 1].log()[:, None] - logs).abs().argmin(1)
    for number, colour in enumerate(colours):
        own = nearest == number
        if own.any():
            face = "none" if hollow else colour
            axes.scatter(
                sizes[own, 0].cpu(), errors[own].cpu(), s=22, zorder=3, lw=1.2, marker=MARKERS[number],
                edgecolors=colour, facecolors=face,
            )  # fmt: skip
