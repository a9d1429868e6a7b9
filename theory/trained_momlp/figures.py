"""Figures of models trained on data, and of what a byte budget costs (matplotlib, no window needed).

Main definitions: `trained_figure`, `draw_trained`, `throughput_figure`, `draw_throughput`, `with_borders`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import networkx as nx
import torch
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, NullFormatter
from torch import Tensor

from constructions import TrainedMoMLP
from theory.figure_style import ACCENT, GRID, INK, WARM, legend_below, model_figure, shades

REACH = 1.8  # how far the picture goes, in standard deviations of the training inputs
MAX_DRAWN_OUTPUTS = 10


@model_figure.register
def trained_figure(model: TrainedMoMLP, f: None = None) -> Figure:
    """A new figure with `draw_trained` on it; there is no `f` behind data."""
    figure = Figure(figsize=(10, 4.4), layout="constrained")
    draw_trained(figure, model)
    return figure


def draw_trained(figure: Figure, model: TrainedMoMLP) -> None:
    """What the model answers and which expert does (n ≤ 2); for more inputs its prototypes on two principal axes,
    and how deep the tree is."""
    first, second = figure.subplots(1, 2)
    draw = {1: _draw_line, 2: _draw_plane}.get(model.n, _draw_prototypes)
    draw(figure, first, second, model)
    experts = "1 expert" if model.num_leaves == 1 else f"{model.num_leaves} experts"
    figure.suptitle(f"{experts} of {model.active_parameters} parameters, trained for {model.task}")


def _range(model: TrainedMoMLP, axis: int) -> Tensor:
    shift, spread = float(model.input_shift[axis]), 1 / float(model.input_scale[axis])
    return torch.linspace(shift - REACH * spread, shift + REACH * spread, GRID, dtype=torch.float64)


def _draw_line(figure: Figure, value: Axes, experts: Axes, model: TrainedMoMLP) -> None:
    x = _range(model, 0)[:, None]
    y, leaf = model(x).detach(), model.route(x)
    edges = (x[1:][leaf[1:] != leaf[:-1]]).flatten().tolist()
    drawn = min(model.m, MAX_DRAWN_OUTPUTS)
    for i, colour in enumerate(shades(drawn) if drawn > 1 else [ACCENT]):
        value.plot(x[:, 0], y[:, i], lw=1.2, color=colour, label=f"output {i}" if model.m > 1 else None)
    for edge in edges:
        value.axvline(edge, color=INK, lw=0.4, ls=":")
    if model.m > 1:
        legend_below(value, 4)
    value.set_title("answers; dotted: faces between leaves", loc="left")
    value.set_ylabel("logit" if model.task == "classification" else "answer")
    experts.set_ylabel("number of the leaf")
    experts.yaxis.set_major_locator(MaxNLocator(integer=True))
    for axes in (value, experts):
        axes.set_xlabel("x₀")
    experts.step(x[:, 0], leaf, color=WARM, lw=1)
    experts.set_title("the expert that answers", loc="left")


def _draw_plane(figure: Figure, value: Axes, experts: Axes, model: TrainedMoMLP) -> None:
    across, up = _range(model, 0), _range(model, 1)
    x = torch.cartesian_prod(across, up)
    found = model.predict(x).reshape(GRID, GRID, -1)[..., 0].T.numpy()
    options = {
        "origin": "lower",
        "extent": (float(across[0]), float(across[-1]), float(up[0]), float(up[-1])),
        "aspect": "auto",
    }
    shown = value.imshow(found, cmap="cividis", **options)
    _bar_of_answers(figure, value, shown, model)
    for axes in (value, experts):
        axes.set_xlabel("x₀")
        axes.set_ylabel("x₁")
    value.set_title("class" if model.task == "classification" else "answers", loc="left")
    # neighbouring leaves have neighbouring ids: shuffled, they get different colours
    colour = torch.randperm(model.num_leaves, generator=torch.Generator().manual_seed(0))
    cells = with_borders(colour[model.route(x)].reshape(GRID, GRID).T)
    experts.imshow(cells.numpy(), cmap="cividis", alpha=0.6, **options)
    at = (model.tree.leaf_prototypes / model.input_scale + model.input_shift).numpy()
    experts.plot(at[:, 0], at[:, 1], ".", color=INK, ms=3)
    experts.set_xlim(options["extent"][:2])
    experts.set_ylim(options["extent"][2:])
    experts.set_title("a colour an expert; dots: prototypes", loc="left")


def with_borders(cells: Tensor) -> Tensor:
    """Numbers of cells (H, W) as float64, NaN (which is drawn white) where another cell begins below or to the left."""
    drawn = cells.double().clone()
    drawn[1:][cells[1:] != cells[:-1]] = torch.nan
    drawn[:, 1:][cells[:, 1:] != cells[:, :-1]] = torch.nan
    return drawn


def _bar_of_answers(figure: Figure, axes: Axes, shown: ScalarMappable, model: TrainedMoMLP) -> None:
    if model.task == "classification":
        figure.colorbar(shown, ax=axes, label="class", ticks=MaxNLocator(integer=True))
    else:
        figure.colorbar(shown, ax=axes, label="answer")


def _draw_prototypes(figure: Figure, plane: Axes, depths: Axes, model: TrainedMoMLP) -> None:
    from sklearn.decomposition import PCA  # takes a second to import

    prototypes = model.tree.leaf_prototypes
    inputs = prototypes / model.input_scale + model.input_shift
    answer = model.predict(inputs).reshape(len(inputs), -1)[:, 0]
    at = PCA(n_components=2).fit_transform(prototypes.numpy()) if len(prototypes) > 1 else prototypes[:, :2].numpy()
    shown = plane.scatter(at[:, 0], at[:, 1], c=answer.numpy(), cmap="cividis", s=18)
    _bar_of_answers(figure, plane, shown, model)
    plane.set_xlabel("first principal axis of the prototypes")
    plane.set_ylabel("second principal axis")
    plane.set_title("prototypes and their answers", loc="left")
    graph = model.tree.to_networkx()
    root = next(node for node, degree in graph.in_degree() if degree == 0)
    depth = nx.single_source_shortest_path_length(graph, root)
    leaves = [d for node, d in depth.items() if graph.out_degree(node) == 0]
    depths.hist(leaves, bins=[d - 0.5 for d in range(max(leaves) + 2)], color=ACCENT, rwidth=0.8)
    depths.set_xlabel("comparisons down the tree")
    depths.set_ylabel("number of leaves")
    for axis in (depths.xaxis, depths.yaxis):
        axis.set_major_locator(MaxNLocator(integer=True))
    depths.set_title("depth of the leaves", loc="left")


def draw_throughput(axes: Axes, rates: Mapping[float, float], whole: float) -> None:
    """Points a second against the budget as a share of the model's bytes, and the model in memory as a line."""
    shares = sorted(rates)
    axes.loglog(shares, [rates[s] for s in shares], "o-", color=ACCENT, ms=4, lw=1.2, label="within a budget")
    axes.axhline(whole, color=INK, lw=0.8, ls="--", label="the model in memory")
    axes.set_xticks(shares, [f"1/{round(1 / s)}" if s < 1 else f"{s:g}" for s in shares])
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("budget as a share of the model's bytes")
    axes.set_ylabel("points a second")
    axes.set_ylim(bottom=min(rates.values()) / 3, top=2 * max(whole, *rates.values()))
    axes.grid(True, which="major", alpha=0.3)
    legend_below(axes, 2)


def throughput_figure(rates: Mapping[float, float], whole: float) -> Figure:
    """A new figure with `draw_throughput` on it."""
    figure = Figure(figsize=(6.4, 4.4), layout="constrained")
    draw_throughput(figure.subplots(), rates, whole)
    return figure


FIGURES: dict[str, tuple[str, Callable[[], Figure]]] = {}  # what this system draws needs a model
