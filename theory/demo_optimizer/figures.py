"""Figures of DeMo: bytes and links, residuals against their bounds, a coordinate that starves, a sign that ascends.

Main definitions: `FIGURES`, `bytes_figure`, `residuals_figure`, `starvation_figure`, `ascent_figure`, `losses_figure`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from matplotlib.figure import Figure

from constructions.demo_optimizer import SimulatedDeMo, dct_matrix
from theory.demo_optimizer import bounds
from theory.demo_optimizer.checkers.descent import WITNESS
from theory.demo_optimizer.checkers.quadratics import Quadratic, run
from theory.demo_optimizer.reproductions.quadratics import STARVING
from theory.figure_style import ACCENT, GOLD, INK, MARKERS, VIOLET, WARM, legend_below


def bytes_figure() -> Figure:
    """Dense bytes over the payload's against k, and what is left of 256/3 on a ring of W workers."""
    figure = Figure(figsize=(10, 4.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    layouts = ((8, 4, 2), (8, 4, 4), (2, 4, 4))
    for (place, value, gradient), colour, marker in zip(layouts, (INK, ACCENT, WARM), MARKERS, strict=False):
        ratios = [float(bounds.dense_ratio(k, place, value, gradient)) for k in bounds.TOPKS]
        label = f"{place}+{value} bytes a coefficient, gradients of {gradient}"
        left.loglog(bounds.TOPKS, ratios, f"{marker}-", ms=4, base=2, color=colour, label=label)
    left.axhline(float(bounds.STATED_RATIO), ls="--", lw=1.2, color=INK, label="256/3, as stated")
    left.set_xlabel("k, coefficients a chunk of 64×64")
    left.set_ylabel("dense bytes / payload")
    workers = [2**e for e in range(1, 11)]
    right.loglog(workers, [float(bounds.ring_ratio(bounds.STATED_RATIO, w)) for w in workers], "o-", ms=4, color=ACCENT)
    first = bounds.ring_break_even(bounds.STATED_RATIO)
    right.axhline(1, ls="--", lw=1, color=WARM, label="as many bytes as dense")
    right.axvline(first, ls=":", lw=1, color=WARM, label=f"W = {first}: from there on more than dense")
    right.set_xlabel("workers W on a ring")
    right.set_ylabel("reduced dense bytes / gathered payloads")
    for axes in (left, right):
        axes.grid(True, alpha=0.3)
        legend_below(axes)
    return figure


def residuals_figure(steps: int = 120) -> Figure:
    """‖e‖ in units of ηG, n = 64, k = 4, β = 0.9: a constant gradient of equal coefficients, random ones, the bound."""
    n, k, beta = 64, 4, 0.9
    generator = torch.Generator().manual_seed(0)
    even = (1 - 1e-9 * torch.arange(n, dtype=torch.float64)) / n**0.5
    constant = even @ dct_matrix(n)
    noise = torch.randn(steps, n, generator=generator, dtype=torch.float64)
    figure = Figure(figsize=(6.8, 4.6), layout="constrained")
    axes = figure.subplots()
    for gradients, colour, style, label in (
        (constant.expand(steps, n), ACCENT, "-", "a constant gradient, all |c| equal"),
        (noise / noise.norm(dim=1, keepdim=True), INK, "-.", "random gradients"),
    ):
        p = torch.zeros(n, dtype=torch.float64, requires_grad=True)
        optimizer, norms = SimulatedDeMo([p], 1, lr=1.0, decay=beta, topk=k), []
        for g in gradients:
            optimizer.step([[g]])
            norms.append(float(optimizer.residual(p, 0).norm()))
        axes.plot(range(1, steps + 1), norms, style, color=colour, label=label)
    axes.axhline(bounds.residual_bound(n, k, beta), color=WARM, ls="--", lw=1.2, label="bound")
    axes.axhline(bounds.cyclic_residual(n, k, beta), color=GOLD, ls=":", lw=2, label="closed form of the constant")
    axes.set_xlabel("step")
    axes.set_ylabel("residual ‖e‖ / (ηG)")
    axes.set_title(f"n = {n} coefficients, k = {k} sent, β = {beta}", loc="left")
    legend_below(axes, 2)
    axes.grid(True, alpha=0.3)
    return figure


def starvation_figure(steps: int = 200) -> Figure:
    """Both coordinates of ½(p₀² + A·p₁²) for the curvature of the witness, and one below the threshold."""
    figure = Figure(figsize=(9, 4), layout="constrained")
    for axes, curvature in zip(figure.subplots(1, 2, sharey=True), (400, 190), strict=True):
        problem = Quadratic((1, curvature), STARVING.start, STARVING.eta, STARVING.beta, 1)
        points = np.array([[float(int(x.p)) / float(int(x.q)) for x in p] for p in run(problem, steps).points])
        axes.plot(points[:, 0], "--", color=ACCENT, lw=2, label="p₀")
        axes.plot(points[:, 1], color=WARM, lw=1, label="p₁")
        axes.set_title(f"½(p₀² + A·p₁²), A = {curvature}", loc="left")
        axes.set_xlabel("step")
        axes.grid(True, alpha=0.3)
        legend_below(axes, 2)
    figure.axes[0].set_ylabel("coordinate")
    return figure


def ascent_figure() -> Figure:
    """The gradient of the witness, its largest cosine, and the sign of that: their inner product is negative."""
    g = np.array(WITNESS, dtype=float)
    matrix = dct_matrix(len(g)).numpy()
    cosine = (matrix @ g)[1] * matrix[1]
    figure = Figure(figsize=(7.5, 4.6), layout="constrained")
    axes = figure.subplots()
    agrees = g * np.sign(cosine) > 0
    for those, colour, label in ((agrees, ACCENT, "g where it has that sign"), (~agrees, WARM, "g where it has not")):
        axes.bar(np.flatnonzero(those), g[those], color=colour, label=label)
    axes.plot(cosine, "o-", color=INK, ms=4, label="decoded c₁")
    axes.step(range(len(g)), 40 * np.sign(cosine), "--", where="mid", color=INK, label="its sign (×40)")
    axes.set_xlabel("entry")
    axes.set_ylabel("value of the entry")
    product = f"{int(g @ np.sign(cosine))}".replace("-", "−")
    axes.set_title(f"⟨g, sign⟩ = {product}: the step along −sign ascends", loc="left")
    legend_below(axes, 2)
    return figure


def losses_figure(curves: Mapping[str, Sequence[tuple[float, float]]]) -> Figure:
    """Loss of the tuning seeds against the rate, a curve of (rate, loss) a method, its least marked."""
    figure = Figure(figsize=(7, 4.6), layout="constrained")
    axes = figure.subplots()
    colours = (INK, ACCENT, WARM, VIOLET, GOLD)
    for (name, curve), colour, marker in zip(curves.items(), colours, MARKERS, strict=False):
        rates, losses = zip(*curve, strict=True)
        axes.loglog(rates, losses, f"{marker}-", ms=4, color=colour, label=name)
        best = int(np.argmin(losses))
        axes.loglog(rates[best], losses[best], "o", ms=10, mfc="none", color=colour)
    axes.set_xlabel("learning rate")
    axes.set_ylabel("validation loss, nats")
    axes.set_title("circles: the least loss of a method", loc="left")
    axes.grid(True, alpha=0.3)
    legend_below(axes, 2)
    return figure


FIGURES = {
    "demo_optimizer_bytes.png": ("DeMo: bytes of a worker, and what a ring moves", bytes_figure),
    "demo_optimizer_residuals.png": ("DeMo: residuals and their bound", residuals_figure),
    "demo_optimizer_starvation.png": ("DeMo: a coordinate that is never sent", starvation_figure),
    "demo_optimizer_ascent.png": ("DeMo: a step that ascends", ascent_figure),
}
