"""Figures: the eigenvalue of De Sa's matrices along c, errors with and without replacement, and the map of (n, k).

Main definitions: `eigenvalue_figure`, `rates_figure`, `draw_rates`, `map_figure`.
"""

from __future__ import annotations

from fractions import Fraction
from functools import partial

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from constructions.am_gm import (
    LeastSquares,
    SamplingRates,
    Simulation,
    de_sa_family,
    example_rows,
    sampling_rates,
    simulate_sampling,
)
from constructions.errors import require_int
from theory.am_gm.pairs import Standing, pair_standings
from theory.figure_style import ACCENT, GRID, INK, WARM, legend_below, shades, tint

COLOURS = {Standing.TRUE: tint(ACCENT, 0.3), Standing.FALSE: tint(WARM, 0.35), Standing.UNKNOWN: "#eeeeee"}


def eigenvalue_figure(most: int = 10) -> Figure:
    """Re (1 + ic)^n against c for n = 4, …, `most`, up to the largest c at which the matrices are positive
    semidefinite, with the line −1."""
    require_int("most", most, 4, 20)
    figure = Figure(figsize=(7, 4.8), layout="constrained")
    axes = figure.subplots()
    for n, colour in zip(range(4, most + 1), shades(most - 3), strict=True):
        c = np.linspace(0, (n - 1) ** -0.5, GRID)
        value = ((1 + 1j * c) ** n).real
        axes.plot(c, value, color=colour, lw=1.6)
        axes.plot(c[-1], value[-1], "o", color=colour, ms=4)
        aside = (0, -14 if value[-1] < -1 else 6)  # off the line −1
        axes.annotate(f"{n}", (c[-1], value[-1]), aside, textcoords="offset points", ha="center")
    axes.axhline(-1, color=WARM, lw=1.2, ls="--", label="−1: below, the inequality fails")
    axes.margins(y=0.1)
    axes.set_xlabel("c, up to c² = 1/(n − 1) (dot, with its n)")
    axes.set_ylabel("Re (1 + ic)ⁿ")
    axes.set_title("eigenvalue of the mean of all n! products, the mean being I", loc="left", fontsize=11)
    legend_below(axes)
    axes.grid(True, alpha=0.3)
    return figure


def draw_rates(axes: Axes, rates: SamplingRates, simulations: dict[bool, Simulation], title: str) -> None:
    """E|e|² and |E e|² against epochs; `simulations` by replacement, with their 99.9 % intervals."""
    epochs = np.arange(1, len(rates.square_without) + 1)
    for replacement, square, mean, colour, (whole, dotted, mark), name in (
        (False, rates.square_without, rates.mean_without, ACCENT, ("-", ":", "o"), "without replacement"),
        (True, rates.square_with, rates.mean_with, WARM, ("--", "-.", "s"), "with replacement"),
    ):
        axes.semilogy(epochs, [float(v) for v in square], whole, color=colour, lw=1.6, label=f"E|e|², {name}")
        axes.semilogy(epochs, [float(v) for v in mean], dotted, color=colour, lw=1.6, label=f"|E e|², {name}")
        if replacement in simulations:
            found = simulations[replacement]
            low, high = (end.cpu().numpy() for end in found.interval())
            middle = found.mean.cpu().numpy()
            reach = [middle - np.maximum(low, middle * 1e-3), high - middle]  # an interval may reach below 0
            label = "E|e|² simulated, 99.9 %"
            axes.errorbar(epochs, middle, yerr=reach, fmt=mark, ms=4, capsize=3, color=colour, label=label)
    axes.set_xticks(epochs if len(epochs) <= 12 else epochs[:: len(epochs) // 6])
    axes.set_xlabel("epochs")
    axes.set_ylabel("squared error")
    axes.set_title(title, loc="left", fontsize=11)
    axes.grid(True, which="major", alpha=0.3)
    handles, _ = axes.get_legend_handles_labels()  # lines first: a column for each way of drawing
    without, replaced = handles[:2] + handles[4:5], handles[2:4] + handles[5:6]
    legend_below(axes, 2, handles=without + replaced if len(without) == len(replaced) else handles, columnspacing=1.0)


def rates_figure(rates: SamplingRates, simulations: dict[bool, Simulation], title: str) -> Figure:
    """One problem's errors against epochs."""
    figure = Figure(figsize=(6.5, 5.2), layout="constrained")
    draw_rates(figure.subplots(), rates, simulations, title)
    return figure


def example_rates_figure(epochs: int = 3, runs: int = 20_000, seed: int = 1) -> Figure:
    """Kaczmarz on the six rows, and the instance whose mean is worse without replacement while its mean square is
    better."""
    figure = Figure(figsize=(11, 5.2), layout="constrained")
    problems = (
        (LeastSquares(example_rows()).kaczmarz(), "Kaczmarz, six rows in R³"),
        (de_sa_family(5, Fraction(1, 2)) / 2, "I − Hₖ = Aₖ/2, Aₖ De Sa's five matrices, c = 1/2"),
    )
    for axes, (A, title) in zip(figure.subplots(1, 2), problems, strict=True):
        generator = torch.Generator().manual_seed(seed)
        start = torch.ones(A.shape[-1], dtype=torch.float64)
        simulations = {
            replacement: simulate_sampling(A, start, epochs, runs, replacement=replacement, generator=generator)
            for replacement in (False, True)
        }
        draw_rates(axes, sampling_rates(A, epochs), simulations, title)
    return figure


def map_figure(most: int = 16) -> Figure:
    """The standing of (n, k) by what this package holds, 2 ≤ n ≤ `most`."""
    standings = pair_standings(most)
    kinds = list(COLOURS)
    cells = np.full((most, most - 1), np.nan)
    for (n, k), standing in standings.items():
        cells[k - 1, n - 2] = kinds.index(standing)
    figure = Figure(figsize=(7, 6.8), layout="constrained")
    axes = figure.subplots()
    edges = {"edgecolors": "white", "linewidth": 1.2}
    shown = np.ma.masked_invalid(cells)
    grid = np.arange(1.5, most + 1), np.arange(0.5, most + 1)
    axes.pcolormesh(
        *grid, shown, cmap=ListedColormap(list(COLOURS.values()), "standings"), vmin=-0.5, vmax=2.5, **edges
    )
    marks = {Standing.TRUE: "✓", Standing.FALSE: "✗", Standing.UNKNOWN: "?"}
    for (n, k), standing in standings.items():
        axes.text(n, k, marks[standing], ha="center", va="center", fontsize=10 if most > 20 else 11, color=INK)
    axes.set_aspect("equal")
    axes.set_xticks(range(2, most + 1))
    axes.set_yticks(range(1, most + 1))
    axes.set_xlabel("n, matrices")
    axes.set_ylabel("k, factors")
    statement = "‖mean of the products of k distinct ones of n matrices‖ ≤ ‖mean‖ᵏ"
    axes.set_title(f"{statement}\n✓ proved here   ✗ false (De Sa)   ? not decided here", loc="left", fontsize=10)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    return figure


FIGURES = {
    "am_gm_eigenvalue.png": ("De Sa's eigenvalue along c, for n = 4 to 10", partial(eigenvalue_figure, 10)),
    "am_gm_rates.png": ("Errors with and without replacement: exact, and simulated", example_rates_figure),
    "am_gm_map.png": ("Where the inequality is proved, false, or not decided here", partial(map_figure, 16)),
}
