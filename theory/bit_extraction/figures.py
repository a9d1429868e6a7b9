"""Figures of bit extraction: what a single MLP costs against eps, and mixtures against their experts' size.

Main definition: `optimal_rates_figure`.
"""

from __future__ import annotations

import math
from fractions import Fraction
from functools import partial

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from constructions import BitExtractionMoMLP, LipschitzFunction, plan
from constructions.errors import require_int
from theory.bit_extraction import bounds as bit_extraction
from theory.figure_style import ACCENT, GOLD, GREY, INK, VIOLET, WARM, legend_below, model_figure
from theory.momlp.figures import draw_cells
from theory.rates import fit_slope
from theory.vc_dimension.bounds import parameters_of_single_mlp

WIDE_LIMIT = {1: 10**6, 2: 10**3, 3: 10**2}  # the wide look-up is tabulated up to there


def _lipschitz(n: int) -> LipschitzFunction:
    # plans depend on n, λ and the domain only
    return LipschitzFunction(lambda x: x[:, :1], n=n, lipschitz=1.0)


def draw_single_mlp(axes: Axes, n: int) -> None:
    """P of a single MLP against λ/ε: the obvious network (n = 1), bit extraction with words of any length, and A3."""
    inverse = [10**e for e in range(1, 13 if n == 1 else 9 if n == 2 else 7)]
    curves = {"bit extraction, deep": ("o-", ACCENT, _of_lookup(n, inverse, "deep"))}
    if n == 1:
        curves["one hidden layer"] = ("s--", WARM, {i: bit_extraction.naive_parameters(i) for i in inverse})
    curves["bit extraction, wide"] = ("^-", VIOLET, _of_lookup(n, [i for i in inverse if i <= WIDE_LIMIT[n]], "wide"))
    curves["at least (A3)"] = ("v-", INK, {i: parameters_of_single_mlp(n, Fraction(1, i)) for i in inverse})
    for name, (style, colour, P) in curves.items():
        slope = f", slope {fit_slope(list(P), list(P.values())).slope:.3f}" if len(P) > 3 else ""
        axes.loglog(list(P), list(P.values()), style, color=colour, ms=4, label=f"{name}{slope}")
    axes.set_xlabel("λ/ε")
    axes.set_ylabel("P, parameters")
    axes.set_title(
        f"a single MLP on [0, 1]^{n}: slope {n}/2" if n != 2 else "a single MLP on [0, 1]^2: slope 1", loc="left"
    )
    axes.grid(True, which="major", alpha=0.3)
    legend_below(axes)


def _of_lookup(n: int, inverse: list[int], lookup: str) -> dict[int, int]:
    """P of the network that resolves all axes, by λ/ε."""
    return {i: bit_extraction.trade_off_point(n, n, i, Fraction(1), lookup)[1] for i in inverse}


def draw_capacity(axes: Axes, n: int, inverse_eps: int) -> None:
    """L against P over the splits of ε for every number k of resolved axes, and the law L·P² through the best
    designs with k = 1."""
    shares = [Fraction(j, 40) for j in range(2, 39)]
    smallest = law = most = 1
    for k, colour, marker in zip(range(1, n + 1), (WARM, ACCENT, INK), "os^", strict=False):
        splits = shares if k < n else [Fraction(1)]
        points = [bit_extraction.trade_off_point(n, k, inverse_eps, s) for s in splits]
        name = ("P ~ (λ/ε)^(1/2)", "P ~ λ/ε", "P ~ (λ/ε)^(3/2)")[k - 1]
        label = f"k = {k}: {name}" + (", a single MLP" if k == n else "")
        axes.loglog([p for _, p in points], [count for count, _ in points], marker, color=colour, ms=4, label=label)
        if k == 1:
            smallest, law = min(p for _, p in points), min(count * p * p for count, p in points)
        most = max(most, *(count for count, _ in points))
    # from the best of k = 1 down to a single expert
    axes.loglog([smallest, law**0.5], [law / smallest**2, 1], color=WARM, lw=0.8, ls="--", label="L·P² constant")
    paper = plan(_lipschitz(n), Fraction(1, inverse_eps))
    label = "pencils with one hidden layer, P ~ λ/ε"
    axes.loglog([paper.parameters], [paper.leaves], "D", color=GOLD, mec=INK, ms=8, label=label)
    _draw_least(axes, n, inverse_eps, most)
    axes.set_xlabel("P, parameters of the loaded expert")
    axes.set_ylabel("L, number of experts")
    axes.set_title(f"experts against their size, n = {n}, λ/ε = {inverse_eps:,}", loc="left")
    axes.grid(True, which="major", alpha=0.3)
    legend_below(axes)


def _draw_least(axes: Axes, n: int, inverse_eps: int, most: int) -> None:
    """Below which P no mixture of 1 to `most` experts can do it: by shattering, and by what 64-bit numbers can tell."""
    experts = [2**j for j in range(most.bit_length() + 1)]
    bounds = (
        ("at least (VC)", "-", bit_extraction.trade_off_lower),
        ("at least, 64-bit numbers (information)", ":", bit_extraction.trade_off_information),
    )
    for label, style, bound in bounds:
        least = [math.isqrt(bound(n, inverse_eps, L) // L) for L in experts]
        axes.loglog(least, experts, style, color=GREY, lw=1.5, label=label)


def optimal_rates_figure(n: int, inverse_eps: int) -> Figure:
    """P of a single MLP on [0, 1]^n and, for n = 2, 3, L against P of mixtures at ε = λ/inverse_eps."""
    require_int("n", n, 1, 3)
    require_int("inverse_eps", inverse_eps, 3, 10**12)
    figure = Figure(figsize=(6 if n == 1 else 11, 5.2 if n == 1 else 6), layout="constrained")
    if n == 1:
        draw_single_mlp(figure.subplots(), n)
        return figure
    left, right = figure.subplots(1, 2)
    draw_single_mlp(left, n)
    draw_capacity(right, n, inverse_eps)
    return figure


@model_figure.register
def _bit_extraction_figure(model: BitExtractionMoMLP, f: LipschitzFunction | None = None) -> Figure:
    figure = Figure(figsize=(10, 10) if model.n <= 2 else (10, 5.5), layout="constrained")
    domain, knots = model.plan.domain, model.plan.knots * model.plan.resolved_cells
    grid = domain.lo[-1] + torch.arange(knots + 1, dtype=torch.float64) * (float(domain.sides[-1]) / knots)
    left, right = draw_cells(figure, model, f, grid)
    draw_single_mlp(left, model.plan.resolved)
    if model.n == 1 and (panels := left.get_gridspec()) is not None:  # no split: one MLP has the row for itself
        right.remove()
        left.set_subplotspec(panels[-1, :])
    else:
        inverse_eps = math.ceil((model.plan.modulus.lam or 1.0) / model.plan.eps)
        draw_capacity(right, model.n, max(3, inverse_eps))
        resolved = model.plan.resolved
        left.set_title(f"an expert resolves {resolved} of {model.n} axes: slope {resolved}/2", loc="left")
    return figure


FIGURES = {
    "bit_extraction_rates.png": (
        "A single MLP on the square, and mixtures over the splits of ε = λ/10,000",
        partial(optimal_rates_figure, 2, 10**4),
    ),
}
