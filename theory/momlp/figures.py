"""Figures: rates, trade-off, and a model's cells, knots and error (matplotlib, no window needed).

Main definitions: `rates_figure`, `trade_off_figure`, `draw_model`, `draw_cells`.
"""

from __future__ import annotations

from fractions import Fraction

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter
from torch import Tensor

from constructions import LipschitzFunction, MoMLP, PencilMoMLP, plan
from theory.figure_style import ACCENT, GRID, INK, MARKERS, WARM, legend_below, model_figure
from theory.rates import fit_slope

MAX_DRAWN_LINES = 64


def _lipschitz(n: int) -> LipschitzFunction:
    # plans depend on n, λ and the domain only
    return LipschitzFunction(lambda x: x[:, :1], n=n, lipschitz=1.0)


def draw_rates(active: Axes, leaves: Axes, dimensions: tuple[int, ...] = (2, 3, 4)) -> None:
    """log–log plots of P and L against 1/ε from exact plans, slopes in the legend."""
    for n, colour, marker in zip(dimensions, (ACCENT, WARM, INK), MARKERS, strict=False):
        plans = [plan(_lipschitz(n), 2.0**-j) for j in range(4, 14)]
        inverse = [1 / p.eps for p in plans]
        for axes, counts in ((active, [p.parameters for p in plans]), (leaves, [p.leaves for p in plans])):
            slope = fit_slope(inverse, counts).slope
            label = f"n = {n}, slope {slope:.3f}"
            axes.loglog(inverse, counts, f"{marker}-", color=colour, ms=3.5, lw=1.2, label=label)
    for axes, label in ((active, "P, parameters of the loaded expert"), (leaves, "L, number of experts")):
        axes.set_xlabel("λ/ε")
        axes.set_ylabel(label)
        axes.grid(True, which="major", alpha=0.3)
        legend_below(axes)


def draw_model_rates(axes: Axes, n: int) -> None:
    """P and L of one dimension against 1/ε in one log–log plot."""
    plans = [plan(_lipschitz(n), 2.0**-j) for j in range(4, 14)]
    inverse = [1 / p.eps for p in plans]
    for name, counts, colour, style in (
        ("P, parameters of an expert", [p.parameters for p in plans], ACCENT, "o-"),
        ("L, number of experts", [p.leaves for p in plans], WARM, "s-"),
    ):
        slope = fit_slope(inverse, counts).slope
        axes.loglog(inverse, counts, style, color=colour, ms=3.5, lw=1.2, label=f"{name}: slope {slope:.3f}")
    axes.set_xlabel("λ/ε")
    axes.set_ylabel("count")
    axes.set_title(f"rates for n = {n}", loc="left")
    axes.grid(True, which="major", alpha=0.3)
    legend_below(axes)


def draw_trade_off(axes: Axes, n: int = 3, eps: float = 1e-3) -> None:
    """L against P along the split θ, with the product-minimising θ = 1/n marked."""
    f = _lipschitz(n)
    shares = [Fraction(j, 24) for j in range(1, 24)]
    plans = [plan(f, eps, split=s) for s in shares]
    axes.loglog([p.parameters for p in plans], [p.leaves for p in plans], "o-", color=ACCENT, ms=3.5, lw=1.2)
    best = plan(f, eps)
    axes.loglog([best.parameters], [best.leaves], "D", color=WARM, ms=8, label=f"θ = 1/{n}, least L·K")
    for p, side in ((plans[0], "right"), (plans[11], "left"), (plans[-1], "left")):
        label, offset = f"θ = {float(p.split or 0):.2f}", (6 if side == "left" else 0, 7)
        axes.annotate(label, (p.parameters, p.leaves), xytext=offset, textcoords="offset points", ha=side)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        axis.set_minor_formatter(NullFormatter())
    axes.margins(0.22, 0.14)
    axes.set_xlabel("P, parameters of the loaded expert")
    axes.set_ylabel("L, number of experts")
    axes.set_title(f"trade-off for n = {n}, ε = {eps:.3g}·λ", loc="left")
    axes.grid(True, which="major", alpha=0.3)
    legend_below(axes)


def rates_figure() -> Figure:
    """P and L against 1/ε."""
    figure = Figure(figsize=(10, 4), layout="constrained")
    active, leaves = figure.subplots(1, 2)
    draw_rates(active, leaves)
    return figure


def trade_off_figure() -> Figure:
    """L against P along the split."""
    figure = Figure(figsize=(6, 4.2), layout="constrained")
    draw_trade_off(figure.subplots())
    return figure


@model_figure.register
def _momlp_figure(model: PencilMoMLP, f: LipschitzFunction | None = None) -> Figure:
    figure = Figure(figsize=(10, 8) if model.n <= 2 else (10, 4), layout="constrained")
    draw_model(figure, model, f)
    return figure


def draw_model(figure: Figure, model: PencilMoMLP, f: LipschitzFunction | None = None) -> None:
    """Cells, knots and the error map for n ≤ 2 (the error needs f), trade-off and rates for every n."""
    left, right = draw_cells(figure, model, f, -model.hidden_bias.detach().double())
    if model.n > 1:
        draw_trade_off(left, model.n, model.plan.eps / (model.plan.modulus.lam or 1.0))
        draw_model_rates(right, model.n)
    else:
        draw_rates(left, right, (1,))


def draw_cells(figure: Figure, model: MoMLP, f: LipschitzFunction | None, knots: Tensor) -> tuple[Axes, Axes]:
    """The title, and for n ≤ 2 the cells, the `knots` (K,) of the last axis and the error; two axes are left."""
    experts = "1 expert" if model.num_leaves == 1 else f"{model.num_leaves} experts"
    figure.suptitle(f"{experts} of {model.active_parameters} parameters, ε = {model.plan.eps:g}")
    if model.n > 2:
        left, right = figure.subplots(1, 2)
        return left, right
    (first, second), (left, right) = figure.subplots(2, 2)
    (_draw_line if model.n == 1 else _draw_plane)(figure, first, second, model, f, knots)
    return left, right


def _draw_line(
    figure: Figure, value: Axes, error: Axes, model: MoMLP, f: LipschitzFunction | None, knots: Tensor
) -> None:
    lo, hi = model.plan.domain.lo[0], model.plan.domain.hi[0]
    x = torch.linspace(lo, hi, 2001, dtype=torch.float64)[:, None]
    y = model(x)[:, 0]
    value.plot(x[:, 0], y, color=ACCENT, lw=1.4, label="f̂")
    if len(knots) <= MAX_DRAWN_LINES:
        at = model(knots[:, None].double().clamp(lo, hi))[:, 0]
        value.plot(knots, at, ".", color=WARM, label="knots")
    if f is not None:
        value.plot(x[:, 0], f(x)[:, 0], color=INK, lw=0.8, ls="--", label="f")
        error.plot(x[:, 0], (f(x)[:, 0] - y).abs(), color=WARM, lw=1)
        error.axhline(model.plan.eps, color=INK, lw=0.8, ls="--", label="ε")
        legend_below(error)
    legend_below(value, 3)
    value.set_ylabel("value")
    error.set_ylabel("error")
    for axes in (value, error):
        axes.set_xlabel("x₀")
    value.set_title("the network", loc="left")
    error.set_title("|f − f̂|" if f is not None else "no f stored with this model", loc="left")


def _draw_plane(
    figure: Figure, value: Axes, error: Axes, model: MoMLP, f: LipschitzFunction | None, knots: Tensor
) -> None:
    lo, hi = model.plan.domain.tensors()
    axes = [torch.linspace(float(a), float(b), GRID, dtype=torch.float64) for a, b in zip(lo, hi, strict=True)]
    x = torch.cartesian_prod(*axes)
    y = model(x)[:, 0]
    extent = (float(lo[0]), float(hi[0]), float(lo[1]), float(hi[1]))
    options = {"origin": "lower", "extent": extent, "aspect": "auto"}
    shown = value.imshow(y.reshape(GRID, GRID).T.numpy(), cmap="cividis", **options)
    figure.colorbar(shown, ax=value, label="f̂(x)")
    for panel in (value, error):
        panel.set_xlabel("x₀")
        panel.set_ylabel("x₁")
    cells = model.plan.cells
    lines = [(a, lo_a, (hi[a] - lo_a) / m, m) for a, (lo_a, m) in enumerate(zip(lo, cells, strict=False))]
    for a, start, width, count in lines:
        if count <= MAX_DRAWN_LINES:
            draw = value.axvline if a == 0 else value.axhline
            for i in range(1, count):
                draw(float(start + i * width), color="white", lw=0.6)
    drawn = all(c <= MAX_DRAWN_LINES for c in cells)
    if len(knots) <= MAX_DRAWN_LINES:
        for t in knots.tolist():
            value.axhline(t, color="white", lw=0.4, ls=":")
    dotted = " and knots (dotted)" if len(knots) <= MAX_DRAWN_LINES else ""
    title = f"f̂ with cells (solid){dotted}" if drawn else f"f̂, {model.num_leaves} cells (too fine to draw)"
    value.set_title(title, loc="left")
    if f is None:
        error.set_title("no f stored with this model", loc="left")
        return
    gap = (f(x)[:, 0] - y).abs().reshape(GRID, GRID).T
    shown = error.imshow(gap.numpy(), cmap="magma", vmin=0, **options)
    figure.colorbar(shown, ax=error, label="|f(x) − f̂(x)|")
    error.set_title(f"|f − f̂|, at most {float(gap.max()):.3g} on a {GRID}×{GRID} grid", loc="left")


FIGURES = {
    "momlp_rates.png": ("Parameters and leaves against 1/ε, from exact counts", rates_figure),
    "momlp_trade_off.png": ("Experts against their size along the split θ", trade_off_figure),
}
