"""Figures of Shapley interactions: one explanation in four pictures, and accuracy against the budget.

Main definitions: `PLOTS`, `explanation_figure`, `accuracy_figure`.
"""

from __future__ import annotations

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
from theory.figure_style import ACCENT, INK, WARM

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
    figure = Figure(figsize=(13, 10), layout="constrained")
    for axes, name in zip(figure.subplots(2, 2).flat, ("force", "network", "bar", "upset"), strict=True):
        PLOTS[name](values, axes)
    return figure


def diabetes_figure() -> Figure:
    """The exact explanation of row 0 of the diabetes data, gradient boosting of depth 3."""
    return explanation_figure(explain(family("diabetes")))


def accuracy_figure() -> Figure:
    """Root mean squared error of orders 1 and 2 against the budget, n = 10: many products of many players, and three
    alone."""
    figure = Figure(figsize=(11, 4.2), layout="constrained")
    titles = {"soum_10": "sum of 30 unanimity games", "diabetes": "gradient boosting of depth 3, diabetes data"}
    for axes, (name, title) in zip(figure.subplots(1, 2), titles.items(), strict=True):
        asked = family(name, torch.Generator().manual_seed(0))
        game = TableGame(game_table(asked, 10, batch_size=2**10, device=torch.device("cpu")))
        truth = shapley_interactions(game, 10, 2, "SII")
        for paired, style in ((True, "o-"), (False, "s--")):
            found = torch.stack([_errors(game, truth, budget, paired=paired) for budget in BUDGETS])
            for k, colour in ((1, ACCENT), (2, WARM)):
                name = f"order {k}, {'paired' if paired else 'unpaired'}"
                axes.loglog(BUDGETS, found[:, k - 1], style, color=colour, ms=4, lw=1.2, label=name)
        axes.axvline(2**10, color=INK, lw=0.8, ls=":")
        axes.set_xlabel("budget (dotted: all 1,024 coalitions)")
        axes.set_title(title, loc="left")
        axes.grid(True, which="major", alpha=0.3)
        axes.legend(frameon=False, fontsize=8)
    return figure


def _errors(game: TableGame, truth: InteractionValues, budget: int, *, paired: bool) -> torch.Tensor:
    """Root mean squared errors of orders 1 and 2 over SEEDS draws, (2,), not below 1e-15."""
    squares = torch.zeros(2, dtype=torch.float64)
    for seed in range(SEEDS):
        estimator = KernelSHAPIQ(10, 2, "SII", paired=paired, generator=torch.Generator().manual_seed(seed))
        found = estimator.estimate(game, budget)
        squares += torch.stack([(found.order(k) - truth.order(k)).square().mean() for k in (1, 2)])
    return (squares / SEEDS).sqrt().clamp(min=1e-15)


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
