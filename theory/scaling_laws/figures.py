"""Figures of scaling laws: language models that others trained, the pruning law, and what samples buy whom.

Main definitions: `FIGURES`, `language_models_figure`, `pruning_figure`, `samples_figure`.
"""

from __future__ import annotations

import math

import torch
from matplotlib.figure import Figure

from constructions.scaling_laws.curves import LANGUAGE_VOCABULARY, language_models
from constructions.scaling_laws.fit import fit_scaling_law
from constructions.scaling_laws.nyquist import samples_needed
from constructions.scaling_laws.pruning_law import PruningLaw
from theory.figure_style import ACCENT, INK, WARM
from theory.scaling_laws import bounds

NAMES = {"c4_original": "C4", "rpj": "RedPajama", "rw_original": "RefinedWeb"}


def language_models_figure() -> Figure:
    """Loss against tokens, a line a model size: filled points were fitted, hollow ones were held out."""
    figure = Figure(figsize=(11, 4.2), layout="constrained")
    for axes, runs in zip(figure.subplots(1, 3, sharey=True), language_models(), strict=True):
        known = ~runs.held_out
        fit = fit_scaling_law(runs.sizes[known], runs.losses[known], chance=math.log(LANGUAGE_VOCABULARY), resamples=0)
        every = runs.sizes[:, 0].unique()
        for number, size in enumerate(every.tolist()):
            own = runs.sizes[:, 0] == size
            tokens = runs.sizes[own, 1]
            colour = _mixed(number / max(1, len(every) - 1))
            line = torch.logspace(math.log10(tokens.min()), math.log10(tokens.max()), 30, dtype=torch.float64)
            axes.loglog(line, fit.law(torch.stack([torch.full_like(line, size), line], 1)), color=colour, lw=1)
            far = runs.held_out[own]
            axes.loglog(tokens[~far], runs.losses[own][~far], "o", color=colour, ms=4)
            axes.loglog(tokens[far], runs.losses[own][far], "o", color=colour, ms=6, mfc="none", mew=1.5)
        axes.set_title(f"{NAMES[runs.training_set]}: {len(every)} sizes", loc="left")
        axes.set_xlabel("training tokens")
        axes.grid(True, which="major", alpha=0.3)
        axes.set_yticks([2.5, 3, 4, 5, 6, 8], ["2.5", "3", "4", "5", "6", "8"], minor=False)
        axes.minorticks_off()
    figure.axes[0].set_ylabel("loss (nats a token)")
    return figure


def _mixed(share: float) -> tuple[float, float, float]:
    """From light to dark, also to a colour-blind reader."""
    start, end = (0.55, 0.78, 0.95), (0.05, 0.16, 0.40)
    return tuple((1 - share) * a + share * b for a, b in zip(start, end, strict=True))  # pyright: ignore[reportReturnType]


def pruning_figure() -> Figure:
    """The law of pruned networks at three unpruned errors, its steepest point on each, and the slope −γ."""
    law = PruningLaw(0.9, 0.7, 0.01)
    density = torch.logspace(-5, 0, 300, dtype=torch.float64)
    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.add_subplot()
    for eps_np, colour, style in ((0.1, ACCENT, "-"), (0.01, INK, "--"), (0.001, WARM, "-.")):
        axes.loglog(density, law(density, 1.0, 1.0, eps_np), style, color=colour, label=f"unpruned error {eps_np:g}")
        steepest = 0.01 * math.sqrt(bounds.plateau_ratio(eps_np, 0.9, 0.7))
        if steepest < 1:
            slope = bounds.steepest_slope(eps_np, 0.9, 0.7)
            axes.loglog([steepest], [math.sqrt(0.9 * eps_np)], "o", color=colour)
            beside = (8, 4) if eps_np == 0.1 else (-78, -12)
            axes.annotate(f"slope {slope:.3f}", (steepest, math.sqrt(0.9 * eps_np)), beside, textcoords="offset points")
    axes.set_xlabel("density d that pruning keeps")
    axes.set_ylabel("error")
    axes.set_title("steepest slopes are shallower than −γ = −0.7", loc="left", fontsize=10)
    axes.grid(True, which="major", alpha=0.3)
    axes.legend(frameon=False, fontsize=8, loc="lower left")
    return figure


def samples_figure() -> Figure:
    """Error against samples for a function of bandwidth 10 on the circle: worst case and average of learners that know
    the bandwidth, and the exact error of
    linear splines."""
    bandwidth = 10
    needed = samples_needed(bandwidth, 1)
    figure = Figure(figsize=(6.4, 4), layout="constrained")
    axes = figure.add_subplot()
    below = list(range(1, needed + 1))
    axes.plot(
        below,
        [float(bounds.average_error(n, bandwidth)) for n in below],
        "-",
        color=ACCENT,
        label="known bandwidth, average",
    )
    axes.plot([1, needed - 1, needed, needed], [1, 1, 1, 1e-7], "--", color=INK, label="known bandwidth, worst case")
    nodes = [round(needed * 2 ** (k / 4)) for k in range(26)]
    axes.plot(
        nodes,
        [bounds.spline_error(bandwidth / n) for n in nodes],
        "-.",
        color=WARM,
        label="spline of exp(20πix)",
    )
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_ylim(1e-6, 2)
    axes.annotate(f"D = {needed}", (needed, 3e-6), (6, 0), textcoords="offset points")
    axes.set_xlabel("samples n")
    axes.set_ylabel("squared error")
    axes.grid(True, which="major", alpha=0.3)
    axes.legend(frameon=False, fontsize=8, loc="lower left", bbox_to_anchor=(0.0, 0.12))
    return figure


FIGURES = {
    "scaling_laws_language_models.png": (
        "104 language models that others trained: the law fitted to the filled points, beside the hollow ones",
        language_models_figure,
    ),
    "scaling_laws_pruning.png": ("The law of pruned networks and its steepest slopes", pruning_figure),
    "scaling_laws_samples.png": ("What samples buy learners that know the bandwidth, and splines", samples_figure),
}
