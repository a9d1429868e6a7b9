"""Figures of Shapley interactions: one explanation in four pictures, and accuracy against the budget.

Main definitions: `PLOTS`, `explanation_figure`, `accuracy_figure`.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from matplotlib.figure import Figure

from constructions.shapley_interactions import (
    InteractionValues,
    KernelSHAPIQ,
    TableGame,
    explain,
    family,
    shapley_interactions,
)
from constructions.shapley_interactions.exact import game_table
from theory.figure_style import ACCENT, INK, WARM, legend_below

PLOTS = {
    "bar": InteractionValues.plot_bar,
    "network": InteractionValues.plot_network,
    "upset": InteractionValues.plot_upset,
    "force": InteractionValues.plot_force,
}
BUDGETS = (64, 128, 192, 256, 384, 512, 640, 768, 896, 1000)
SEEDS = 10


def explanation_figure(values: InteractionValues) -> Figure:
    """The way to the prediction and the network, bars and the UpSet plot of one explanation."""
    figure = Figure(figsize=(11, 9.5), layout="constrained")
    for axes, name in zip(figure.subplots(2, 2).flat, ("force", "network", "bar", "upset"), strict=True):
        PLOTS[name](values, axes)
    return figure


def diabetes_figure() -> Figure:
    """The exact explanation of row 0 of the diabetes data, gradient boosting of depth 3."""
    return explanation_figure(explain(family("diabetes")))


def accuracy_figure(budgets: Sequence[int] = BUDGETS, seeds: int = SEEDS) -> Figure:
    """Root mean squared error of orders 1 and 2 against the budget, n = 10: many products of many players, and three
    alone; with the standard error over the draws of coalitions."""
    figure = Figure(figsize=(11, 5), layout="constrained")
    titles = {"soum_10": "sum of 30 unanimity games", "diabetes": "gradient boosting of depth 3, diabetes data"}
    for axes, (name, title) in zip(figure.subplots(1, 2), titles.items(), strict=True):
        asked = family(name, torch.Generator().manual_seed(0))
        game = TableGame(game_table(asked, 10, batch_size=2**10, device=torch.device("cpu")))
        truth = shapley_interactions(game, 10, 2, "SII")
        for paired, dash in ((True, "-"), (False, "--")):
            squares = torch.stack([_squares(game, truth, b, seeds, paired=paired) for b in budgets])  # (B, seeds, 2)
            for k, colour, marker in ((1, ACCENT, "o"), (2, WARM, "s")):
                label = f"order {k}, {'paired' if paired else 'unpaired'}"
                found, reach = _root_mean(squares[..., k - 1])
                style = {"ls": dash, "marker": marker, "ms": 4, "lw": 1.2, "capsize": 2.5}
                axes.errorbar(budgets, found, yerr=reach, color=colour, label=label, **style)
        axes.axvline(2**10, color=INK, lw=0.8, ls=":")
        axes.set(xscale="log", yscale="log")
        axes.set_xlabel("budget, coalitions asked (dotted: all 1,024)")
        axes.set_ylabel(f"root mean squared error\n± one standard error, {seeds} draws")
        axes.set_title(title, loc="left")
        axes.grid(True, which="major", alpha=0.3)
        legend_below(axes, 2)
    return figure


def _squares(game: TableGame, truth: InteractionValues, budget: int, seeds: int, *, paired: bool) -> torch.Tensor:
    """Mean squared errors of orders 1 and 2, a row a draw, (seeds, 2)."""
    rows = []
    for seed in range(seeds):
        estimator = KernelSHAPIQ(10, 2, "SII", paired=paired, generator=torch.Generator().manual_seed(seed))
        found = estimator.estimate(game, budget)
        rows.append(torch.stack([(found.order(k) - truth.order(k)).square().mean() for k in (1, 2)]))
    return torch.stack(rows)


def _root_mean(squares: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """√M of the means M of (B, seeds), not below 1e-15, and how far √(M ± s) lie from it, (2, B), s the standard error
    of M. M − s is not negative: squares are not."""
    mean = squares.mean(1)
    error = squares.std(1) / squares.shape[1] ** 0.5
    low, middle, high = ((mean + sign * error).clamp(min=1e-30).sqrt() for sign in (-1, 0, 1))
    return middle, torch.stack([middle - low, high - middle])


FIGURES = {
    "shapley_interactions_explanation.png": (
        "Gradient boosting on the diabetes data: row 0 explained by interactions of features",
        diabetes_figure,
    ),
    "shapley_interactions_accuracy.png": (
        "Errors of KernelSHAP-IQ against its budget, with pairs of complements and without",
        accuracy_figure,
    ),
}
