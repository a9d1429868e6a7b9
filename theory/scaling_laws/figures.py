"""Figures of scaling laws: language models that others trained, the pruning law, and what samples buy whom.

Main definitions: `FIGURES`, `language_models_figure`, `pruning_figure`, `samples_figure`.
"""

from __future__ import annotations

import math

import torch
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from constructions.scaling_laws.curves import LANGUAGE_VOCABULARY, language_models
from constructions.scaling_laws.fit import fit_scaling_law
from constructions.scaling_laws.nyquist import samples_needed
from constructions.scaling_laws.pruning_law import PruningLaw
from theory.figure_style import ACCENT, INK, WARM, legend_below, shades
from theory.scaling_laws import bounds

NAMES = {"c4_original": "C4", "rpj": "RedPajama", "rw_original": "RefinedWeb"}


def language_models_figure() -> Figure:
    """Loss against tokens, a line a model size: filled points were fitted, hollow ones were held out."""
    figure = Figure(figsize=(11, 5), layout="constrained")
    every = sorted({float(size) for runs in language_models() for size in runs.sizes[:, 0].unique()})
    colours = dict(zip(every, shades(len(every)), strict=True))
    for axes, runs in zip(figure.subplots(1, 3, sharey=True), language_models(), strict=True):
        known = ~runs.held_out
        fit = fit_scaling_law(runs.sizes[known], runs.losses[known], chance=math.log(LANGUAGE_VOCABULARY), resamples=0)
        sizes = runs.sizes[:, 0].unique()
        for size in sizes.tolist():
            own = runs.sizes[:, 0] == size
            tokens, colour = runs.sizes[own, 1], colours[size]
            line = torch.logspace(math.log10(tokens.min()), math.log10(tokens.max()), 30, dtype=torch.float64)
            axes.loglog(line, fit.law(torch.stack([torch.full_like(line, size), line], 1)), color=colour, lw=1)
            far = runs.held_out[own]
            axes.loglog(tokens[~far], runs.losses[own][~far], "o", color=colour, ms=4)
            axes.loglog(tokens[far], runs.losses[own][far], "o", color=colour, ms=6, mfc="none", mew=1.5)
        axes.set_title(f"{NAMES[runs.training_set]}: {len(sizes)} sizes", loc="left")
        axes.set_xlabel("training tokens")
        axes.grid(True, which="major", alpha=0.3)
        axes.set_yticks([2, 2.5, 3, 4, 5, 6], ["2", "2.5", "3", "4", "5", "6"], minor=False)
        axes.minorticks_off()
    figure.axes[0].set_ylabel("loss (nats a token)")
    handles = [Line2D([], [], color=colour, marker="o", ms=4, label=_size(size)) for size, colour in colours.items()]
    fitted = Line2D([], [], color=INK, ls="", marker="o", ms=4, label="fitted")
    held = Line2D([], [], color=INK, ls="", marker="o", ms=6, mfc="none", mew=1.5, label="held out")
    law = Line2D([], [], color=INK, lw=1, label="law")
    figure.legend(handles=[*handles, fitted, held, law], loc="outside lower center", ncols=5, frameon=False)
    return figure


def _size(parameters: float) -> str:
    """In words: 11 M parameters, 1.4 B parameters."""
    unit, name = (1e9, "B") if parameters >= 1e9 else (1e6, "M")
    return (
        f"{parameters / unit:.2g} {name} parameters"
        if parameters < 1e8
        else f"{parameters / unit:.3g} {name} parameters"
    )


def pruning_figure() -> Figure:
    """The law of pruned networks at three unpruned errors, its steepest point on each, and the slope −γ."""
    law = PruningLaw(0.9, 0.7, 0.01)
    density = torch.logspace(-5, 0, 300, dtype=torch.float64)
    figure = Figure(figsize=(6.4, 5), layout="constrained")
    axes = figure.add_subplot()
    for eps_np, colour, style in ((0.1, ACCENT, "-"), (0.01, INK, "--"), (0.001, WARM, "-.")):
        axes.loglog(density, law(density, 1.0, 1.0, eps_np), style, color=colour, label=f"unpruned error {eps_np:g}")
        steepest = 0.01 * math.sqrt(bounds.plateau_ratio(eps_np, 0.9, 0.7))
        if steepest < 1:
            slope = bounds.steepest_slope(eps_np, 0.9, 0.7)
            axes.loglog([steepest], [math.sqrt(0.9 * eps_np)], "o", color=colour)
            beside = (8, 4) if eps_np == 0.1 else (-84, -12)
            said = f"slope {slope:.3f}".replace("-", "−")
            axes.annotate(said, (steepest, math.sqrt(0.9 * eps_np)), beside, textcoords="offset points")
    axes.set_xlabel("density d that pruning keeps")
    axes.set_ylabel("error of the pruned network")
    axes.set_title("steepest slopes (dots) are shallower than −γ = −0.7", loc="left", fontsize=11)
    axes.grid(True, which="major", alpha=0.3)
    legend_below(axes)
    return figure


def samples_figure() -> Figure:
    """Error against samples for a function of bandwidth 10 on the circle: worst case and average of learners that know
    the bandwidth, and the exact error of linear splines."""
    bandwidth = 10
    needed = samples_needed(bandwidth, 1)
    figure = Figure(figsize=(6.8, 5.2), layout="constrained")
    axes = figure.add_subplot()
    below = list(range(1, needed))  # from D on both errors are 0, which no logarithm shows
    average = [float(bounds.average_error(n, bandwidth)) for n in below]
    axes.plot(below, average, "o-", ms=3, color=ACCENT, label=f"known bandwidth, average (0 from n = {needed} on)")
    axes.plot(
        below, [1.0] * len(below), "s--", ms=3, color=INK, label=f"known bandwidth, worst case (0 from n = {needed} on)"
    )
    nodes = [round(needed * 2 ** (k / 4)) for k in range(26)]
    error = [bounds.spline_error(bandwidth / n) for n in nodes]
    axes.plot(nodes, error, "-.", color=WARM, label="linear spline of exp(20πix)")
    axes.axvline(needed, color=INK, lw=0.8, ls=":", label=f"D = {needed} = 2·{bandwidth} + 1")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_ylim(1e-6, 2)
    axes.set_xlabel("samples n")
    axes.set_ylabel("squared error, of functions of norm 1")
    axes.grid(True, which="major", alpha=0.3)
    legend_below(axes)
    return figure


FIGURES = {
    "scaling_laws_language_models.png": (
        "104 language models that others trained: the law fitted to the filled points, beside the hollow ones",
        language_models_figure,
    ),
    "scaling_laws_pruning.png": ("The law of pruned networks and its steepest slopes", pruning_figure),
    "scaling_laws_samples.png": ("What samples buy learners that know the bandwidth, and splines", samples_figure),
}
