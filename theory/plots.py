"""Figures: rates, trade-off, and a model's cells, knots and error (matplotlib, no window needed).

Main definitions: `rates_figure`, `trade_off_figure`, `optimal_rates_figure`, `model_figure`, `draw_model`,
`save_figure`.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from constructions import BitExtractionMoMLP, LipschitzFunction, MoMLP, plan
from constructions.atomic import write_whole
from constructions.errors import require_int
from theory.bounds import bit_extraction
from theory.bounds.vc import parameters_of_single_mlp
from theory.rates import fit_slope

GRID = 401
MAX_DRAWN_LINES = 64
WIDE_LIMIT = {1: 10**6, 2: 10**3, 3: 10**2}  # the wide look-up is tabulated up to there
INK, ACCENT, WARM = "#1f2a44", "#0b7285", "#c2410c"


def save_figure(figure: Figure, path: Path) -> None:
    """Write a PNG."""
    write_whole(path, lambda draft: figure.savefig(draft, dpi=150, format="png"))


def _lipschitz(n: int) -> LipschitzFunction:
    # plans depend on n, λ and the domain only
    return LipschitzFunction(lambda x: x[:, :1], n=n, lipschitz=1.0)


def draw_rates(active: Axes, leaves: Axes, dimensions: tuple[int, ...] = (2, 3, 4)) -> None:
    """log–log plots of P and L against 1/ε from exact plans, slopes in the legend."""
    for n, colour in zip(dimensions, (ACCENT, WARM, INK), strict=False):
        plans = [plan(_lipschitz(n), 2.0**-j) for j in range(4, 14)]
        inverse = [1 / p.eps for p in plans]
        for axes, counts in ((active, [p.parameters for p in plans]), (leaves, [p.leaves for p in plans])):
            slope = fit_slope(inverse, counts).slope
            axes.loglog(inverse, counts, "o-", color=colour, ms=3.5, lw=1.2, label=f"n = {n}, slope {slope:.3f}")
    for axes, label in ((active, "P, parameters of the loaded expert"), (leaves, "L, number of experts")):
        axes.set_xlabel("λ/ε")
        axes.set_ylabel(label)
        axes.grid(True, which="major", alpha=0.3)
        axes.legend(frameon=False)


def draw_model_rates(axes: Axes, n: int) -> None:
    """P and L of one dimension against 1/ε in one log–log plot."""
    plans = [plan(_lipschitz(n), 2.0**-j) for j in range(4, 14)]
    inverse = [1 / p.eps for p in plans]
    for name, counts, colour in (
        ("P, parameters of an expert", [p.parameters for p in plans], ACCENT),
        ("L, number of experts", [p.leaves for p in plans], WARM),
    ):
        slope = fit_slope(inverse, counts).slope
        axes.loglog(inverse, counts, "o-", color=colour, ms=3.5, lw=1.2, label=f"{name}: slope {slope:.3f}")
    axes.set_xlabel("λ/ε")
    axes.set_title(f"rates for n = {n}", loc="left")
    axes.grid(True, which="major", alpha=0.3)
    axes.legend(frameon=False)


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
    axes.legend(frameon=False)


def draw_single_mlp(axes: Axes, n: int) -> None:
    """P of a single MLP against λ/ε: the obvious network (n = 1), bit extraction with words of any length, and A3."""
    inverse = [10**e for e in range(1, 13 if n == 1 else 9 if n == 2 else 7)]
    if n == 1:
        axes.loglog(
            inverse, [bit_extraction.naive_parameters(i) for i in inverse], "s--", color=WARM, label="one hidden layer"
        )
    for lookup, marker, colour in (("deep", "o-", ACCENT), ("wide", "^-", "#7c3aed")):
        reachable = [i for i in inverse if lookup == "deep" or i <= WIDE_LIMIT[n]]
        P = [bit_extraction.trade_off_point(n, n, i, Fraction(1), lookup)[1] for i in reachable]
        axes.loglog(reachable, P, marker, color=colour, ms=4, label=f"bit extraction, {lookup}")
    axes.loglog(
        inverse,
        [parameters_of_single_mlp(n, Fraction(1, i)) for i in inverse],
        "v-",
        color=INK,
        ms=4,
        label="at least (A3)",
    )
    axes.set_xlabel("λ/ε")
    axes.set_ylabel("P")
    axes.set_title(
        f"a single MLP on [0, 1]^{n}: slope {n}/2" if n != 2 else "a single MLP on [0, 1]^2: slope 1", loc="left"
    )
    axes.grid(True, which="major", alpha=0.3)
    axes.legend(frameon=False, fontsize=8)


def draw_capacity(axes: Axes, n: int, inverse_eps: int) -> None:
    """L against P over the splits of ε for every number k of resolved axes, and the law L·P² through the best
    pencils."""
    shares = [Fraction(j, 40) for j in range(2, 39)]
    smallest = largest = law = 1
    for k, colour in zip(range(1, n + 1), (WARM, ACCENT, INK), strict=False):
        splits = shares if k < n else [Fraction(1)]
        points = [bit_extraction.trade_off_point(n, k, inverse_eps, s) for s in splits]
        name = ("pencils, P ~ (λ/ε)^(1/2)", "P ~ λ/ε", "P ~ (λ/ε)^(3/2)")[k - 1]
        label = f"k = {k}: {name}" + (", a single MLP" if k == n else "")
        axes.loglog([p for _, p in points], [count for count, _ in points], "o", color=colour, ms=3.5, label=label)
        if k == 1:
            smallest, law = min(p for _, p in points), min(count * p * p for count, p in points)
        largest = max(p for _, p in points)
    axes.loglog(
        [smallest, largest], [law / smallest**2, law / largest**2], color=WARM, lw=0.8, ls="--", label="L·P² constant"
    )
    paper = plan(_lipschitz(n), Fraction(1, inverse_eps))
    label = "pencils with one hidden layer, P ~ λ/ε"
    axes.loglog([paper.parameters], [paper.leaves], "D", color="#15803d", ms=8, label=label)
    axes.set_xlabel("P, parameters of the loaded expert")
    axes.set_ylabel("L, number of experts")
    axes.set_title(f"experts against their size, n = {n}, λ/ε = {inverse_eps:g}", loc="left")
    axes.grid(True, which="major", alpha=0.3)
    axes.legend(frameon=False, fontsize=8)


def optimal_rates_figure(n: int, inverse_eps: int) -> Figure:
    """P of a single MLP on [0, 1]^n and, for n = 2, 3, L against P of mixtures at ε = λ/inverse_eps."""
    require_int("n", n, 1, 3)
    require_int("inverse_eps", inverse_eps, 3, 10**12)
    figure = Figure(figsize=(6 if n == 1 else 11, 4.2), layout="constrained")
    if n == 1:
        draw_single_mlp(figure.subplots(), n)
        return figure
    left, right = figure.subplots(1, 2)
    draw_single_mlp(left, n)
    draw_capacity(right, n, inverse_eps)
    return figure


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


def model_figure(model: MoMLP, f: LipschitzFunction | None = None) -> Figure:
    """A new figure with `draw_model` on it."""
    figure = Figure(figsize=(10, 8) if model.n <= 2 else (10, 4), layout="constrained")
    draw_model(figure, model, f)
    return figure


def draw_model(figure: Figure, model: MoMLP, f: LipschitzFunction | None = None) -> None:
    """Cells, knots and the error map for n ≤ 2 (the error needs f), trade-off and rates for every n."""
    if model.n > 2:
        left, right = figure.subplots(1, 2)
    else:
        (first, second), (left, right) = figure.subplots(2, 2)
        (_draw_line if model.n == 1 else _draw_plane)(figure, first, second, model, f)
    if isinstance(model, BitExtractionMoMLP):
        draw_single_mlp(left, min(model.plan.resolved, 3))
        draw_single_mlp(right, 2) if model.n == 1 else draw_capacity(right, min(model.n, 3), 10**4)
    elif model.n > 1:
        draw_trade_off(left, model.n, model.plan.eps / (model.plan.modulus.lam or 1.0))
        draw_model_rates(right, model.n)
    else:
        draw_rates(left, right, (1, 2, 3))
    experts = "1 expert" if model.num_leaves == 1 else f"{model.num_leaves} experts"
    figure.suptitle(f"{experts} of {model.active_parameters} parameters, ε = {model.plan.eps:g}")


def _knots(model: MoMLP) -> torch.Tensor:
    """Where the experts bend: the kinks of the shared first layer, or the grid of a bit-extraction expert's last
    axis."""
    if isinstance(model, BitExtractionMoMLP):
        plan = model.plan
        lo, side = plan.domain.lo[-1], float(plan.domain.sides[-1])
        return lo + torch.arange(plan.knots + 1, dtype=torch.float64) * (side / plan.knots)
    return -model.hidden_bias.detach().double()


def _draw_line(figure: Figure, value: Axes, error: Axes, model: MoMLP, f: LipschitzFunction | None) -> None:
    lo, hi = model.plan.domain.lo[0], model.plan.domain.hi[0]
    x = torch.linspace(lo, hi, 2001, dtype=torch.float64)[:, None]
    y = model(x)[:, 0]
    value.plot(x[:, 0], y, color=ACCENT, lw=1.4, label="f̂")
    kinks = _knots(model)
    if len(kinks) <= MAX_DRAWN_LINES:
        at = model(kinks[:, None].double().clamp(lo, hi))[:, 0]
        value.plot(kinks, at, ".", color=WARM, label="knots")
    if f is not None:
        value.plot(x[:, 0], f(x)[:, 0], color=INK, lw=0.8, ls="--", label="f")
        error.plot(x[:, 0], (f(x)[:, 0] - y).abs(), color=WARM, lw=1)
        error.axhline(model.plan.eps, color=INK, lw=0.8, ls="--", label="ε")
        error.legend(frameon=False)
    value.legend(frameon=False)
    value.set_title("the network", loc="left")
    error.set_title("|f − f̂|" if f is not None else "no f stored with this model", loc="left")


def _draw_plane(figure: Figure, value: Axes, error: Axes, model: MoMLP, f: LipschitzFunction | None) -> None:
    lo, hi = model.plan.domain.tensors()
    axes = [torch.linspace(float(a), float(b), GRID, dtype=torch.float64) for a, b in zip(lo, hi, strict=True)]
    x = torch.cartesian_prod(*axes)
    y = model(x)[:, 0]
    extent = (float(lo[0]), float(hi[0]), float(lo[1]), float(hi[1]))
    options = {"origin": "lower", "extent": extent, "aspect": "auto"}
    shown = value.imshow(y.reshape(GRID, GRID).T.numpy(), cmap="cividis", **options)
    figure.colorbar(shown, ax=value)
    cells = model.plan.cells
    lines = [(a, lo_a, (hi[a] - lo_a) / m, m) for a, (lo_a, m) in enumerate(zip(lo, cells, strict=False))]
    for a, start, width, count in lines:
        if count <= MAX_DRAWN_LINES:
            draw = value.axvline if a == 0 else value.axhline
            for i in range(1, count):
                draw(float(start + i * width), color="white", lw=0.6)
    drawn = all(c <= MAX_DRAWN_LINES for c in cells)
    if model.plan.knots and model.plan.knots <= MAX_DRAWN_LINES:
        for t in _knots(model).tolist():
            value.axhline(t, color="white", lw=0.4, ls=":")
    title = "f̂ with cells (solid) and knots (dotted)" if drawn else f"f̂, {model.num_leaves} cells (too fine to draw)"
    value.set_title(title, loc="left")
    if f is None:
        error.set_title("no f stored with this model", loc="left")
        return
    gap = (f(x)[:, 0] - y).abs().reshape(GRID, GRID).T
    shown = error.imshow(gap.numpy(), cmap="magma", vmin=0, **options)
    figure.colorbar(shown, ax=error)
    error.set_title(f"|f − f̂|, at most {float(gap.max()):.3g} on a {GRID}×{GRID} grid", loc="left")
