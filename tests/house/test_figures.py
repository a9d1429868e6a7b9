"""Every picture of every system as a talk needs it: labels, legends beside the data, colours that all readers tell
apart, text that can be read and stays on the paper; as PNG, SVG and PDF.
"""

import ast
import importlib
import itertools
import math
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from PIL import Image

from constructions import LipschitzFunction, build_momlp, save, targets, train_momlp
from constructions.shapley_interactions import SumOfUnanimity, explain
from constructions.trained_momlp.training import Options
from tests.house.figure_faults import all_axes, faults, is_colorbar
from theory import cli, systems
from theory.bit_extraction import figures as bits
from theory.demo_optimizer.figures import losses_figure
from theory.figure_style import PALETTE, legend_below, model_figure, save_figure, shades
from theory.lipschitz_expressiveness.figures import bounds_figure
from theory.scaling_laws.plot import law_figure
from theory.shapley_interactions import figures as shapley
from theory.sublinear_training.figures import costs_figure
from theory.trained_momlp.figures import throughput_figure, trained_figure

ROOT = Path(__file__).parents[2]


def seeded():
    return torch.Generator().manual_seed(0)


# --- the pictures ---------------------------------------------------------------------------------------


def built(expert, n, eps):
    f = targets.get("sum_of_sines", n=n)
    return lambda: model_figure(build_momlp(f, eps=eps, expert=expert), f)


def built_alone(expert, n, eps):
    return lambda: model_figure(build_momlp(targets.get("sum_of_sines", n=n), eps=eps, expert=expert))


def trained(n, task, outputs=1):
    def draw():
        x = torch.rand(80, n, generator=seeded(), dtype=torch.float64)
        y = (x[:, :1] * torch.arange(1, outputs + 1)).sin() if task == "regression" else (x[:, 0] > 0.5).long()
        options = Options(steps=5)
        return model_figure(
            train_momlp(x, y, leaves=5, expert_hidden=(4,), task=task, options=options, generator=seeded())
        )

    return draw


def explained(name, *, estimated):
    def draw():
        game = SumOfUnanimity(8, 20, seeded())
        values = explain(game, budget=100, repeats=3) if estimated else explain(game)
        if name == "all":
            return shapley.explanation_figure(values)
        return shapley.PLOTS[name](values)[0].figure

    return draw


def accuracy():
    return shapley.accuracy_figure(budgets=(64, 200), seeds=3)


def losses():
    curves = {name: [(0.01, 2.0), (0.1, 1.0 + k), (1.0, 3.0)] for k, name in enumerate(("dct", "identity", "adamw"))}
    return losses_figure(curves)


def throughput():
    return throughput_figure({1 / 50: 5e4, 1 / 10: 9e4, 1 / 2: 2e5}, 1.5e6)


FIGURES = {name: draw for name, (_, draw) in systems.figures().items()} | {
    "shapley_interactions_accuracy.png": accuracy,  # that of the report takes ten seconds
    **{f"rates of n = {n}": (lambda n=n: bits.optimal_rates_figure(n, 1000)) for n in (1, 2, 3)},
    **{f"pencils of n = {n}": built("pencil", n, 0.3) for n in (1, 2, 3)},
    **{f"bits of n = {n}": built("bit_extraction", n, eps) for n, eps in ((1, 0.1), (2, 0.4), (3, 0.8), (4, 1.2))},
    "a stored model": built_alone("pencil", 2, 0.3),
    **{f"trained on n = {n}": trained(n, "regression") for n in (1, 2, 3)},
    "classes on a line": trained(1, "classification"),
    "classes in the plane": trained(2, "classification"),
    "classes in space": trained(3, "classification"),
    "many outputs": trained(1, "regression", outputs=6),
    **{f"explained: {name}": explained(name, estimated=False) for name in shapley.PLOTS},
    **{f"estimated: {name}": explained(name, estimated=True) for name in (*shapley.PLOTS, "all")},
    "losses": losses,
    "throughput": throughput,
}


@pytest.fixture(scope="module")
def drawn():
    """Each figure is made once."""
    made = {}

    def of(name):
        if name not in made:
            made[name] = FIGURES[name]()
        return made[name]

    return of


@pytest.mark.parametrize("name", FIGURES)
def test_nothing_is_wrong_with_the_figure(drawn, name):
    assert faults(drawn(name)) == []


REPORTED = systems.figures()


@pytest.mark.parametrize("name", [pytest.param(n, marks=() if n in REPORTED else pytest.mark.slow) for n in FIGURES])
def test_the_figure_is_written_in_every_format(drawn, name, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for ending, start in ((".png", b"\x89PNG"), (".svg", b"<?xml"), (".pdf", b"%PDF")):
            save_figure(drawn(name), tmp_path / f"picture{ending}")
            assert (tmp_path / f"picture{ending}").read_bytes().startswith(start)


def test_the_documents_show_the_figures_that_are_drawn_now(tmp_path):
    """As far as another machine's fonts allow: the same size, and nearly all pixels alike. Each is drawn anew: a layout
    that is computed again starts from the last one, and ends elsewhere."""
    shown = [path for path in sorted((ROOT / "docs" / "images").glob("*.png")) if path.name in REPORTED]
    assert len(shown) >= 6
    for path in shown:
        save_figure(FIGURES[path.name](), tmp_path / path.name)
        with Image.open(path) as kept, Image.open(tmp_path / path.name) as now:
            assert kept.size == now.size, path.name
            differs = np.abs(np.asarray(kept.convert("L"), float) - np.asarray(now.convert("L"), float)) > 32
        assert differs.mean() < 0.02, path.name


def test_no_figure_is_forgotten():
    """Every public function of a `figures` or `plot` module that returns a Figure is drawn here or by a command."""
    here = {bits.optimal_rates_figure, shapley.explanation_figure, shapley.accuracy_figure, losses_figure}
    here |= {throughput_figure, trained_figure, law_figure, bounds_figure, costs_figure}
    registered = {getattr(draw, "func", draw) for _, draw in systems.figures().values()}
    forgotten = []
    for path in sorted((ROOT / "theory").glob("*/figures.py")) + sorted((ROOT / "theory").glob("*/plot.py")):
        module = importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef) and node.returns is not None and ast.unparse(node.returns) == "Figure":
                function = getattr(module, node.name)
                drawn_here = function in here or function in registered
                if not drawn_here and not node.name.startswith("_") and node.name != "rates_figure":
                    forgotten.append(f"{path.parent.name}.{node.name}")
    assert forgotten == []


# --- what the commands draw -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("drawn")
    x = torch.rand(60, 3, generator=seeded(), dtype=torch.float64)
    np.save(place / "x.npy", x.numpy())
    np.save(place / "rows.npy", torch.randn(6, 3, generator=seeded(), dtype=torch.float64).numpy())
    save(train_momlp(x, x[:, 0] * x[:, 1], leaves=4, expert_hidden=(4,), options=Options(steps=5)), place / "m.st")
    f = LipschitzFunction.from_sympy("sin(3*x0)*x1", n=2)
    save(build_momlp(f, eps=0.5), place / "f.st")
    runs, noise = ["n,m,error,seed"], torch.Generator().manual_seed(0)
    for n, m, seed in itertools.product((64, 128, 256, 512, 1024, 2048), (4, 8, 16, 32, 64, 128, 256), (0, 1)):
        error = (0.02 + 8 / n + 2 / m) * math.exp(0.02 * float(torch.randn(1, generator=noise)))
        runs.append(f"{n},{m},{error:.6f},{seed}")
    (place / "runs.csv").write_text("\n".join(runs) + "\n")
    (place / "one.csv").write_text("n,error\n" + "".join(f"{n},{0.2 + 3 / n}\n" for n in (10, 20, 40, 80, 160, 320)))
    (place / "drawn_nets.py").write_text(
        "from constructions.lipschitz_expressiveness import table_networks\nnet = list(table_networks())[3].module\n"
    )
    return place


COMMANDS = {
    "rates": ("theory.bit_extraction.verbs", "rates --n 3 --out"),
    "show a mixture": ("theory.cli.models", "show f.st --out"),
    "show a trained one": ("theory.cli.models", "show m.st --out"),
    "costs": (
        "theory.sublinear_training.verbs",
        "sublinear_training costs --points 8 --dimension 4 --largest 11 --out",
    ),
    "a law of two sizes": (
        "theory.scaling_laws.verbs",
        "scaling fit runs.csv --sizes n,m --group seed --largest n>512 --resamples 20 --plot",
    ),
    "a law of one size": ("theory.scaling_laws.verbs", "scaling fit one.csv --sizes n --resamples 20 --force --plot"),
    "Kaczmarz": ("theory.am_gm.verbs", "am_gm rates rows.npy --epochs 3 --runs 500 --out"),
    "descent": ("theory.am_gm.verbs", "am_gm rates rows.npy --step 0.0123456 --epochs 20 --runs 0 --out"),
    "cells": ("theory.lipschitz_expressiveness.verbs", "lipschitz drawn_nets:net --box=[-1,1] --out"),
    "at once": ("theory.lipschitz_expressiveness.verbs", "lipschitz drawn_nets:net --method product --out"),
    **{
        f"explain {how}": ("theory.shapley_interactions.verbs", f"explain m.st --points x.npy --plot {how} --out")
        for how in shapley.PLOTS
    },
}


@pytest.mark.parametrize("name", COMMANDS)
def test_nothing_is_wrong_with_what_a_command_draws(folder, monkeypatch, capsys, name):
    where, words = COMMANDS[name]
    found = []
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", [str(folder), *sys.path])
    monkeypatch.setattr(f"{where}.save_figure", lambda figure, path: found.append(figure))
    code = cli.main([*words.split(), "picture.png"])
    assert code in (0, 1), capsys.readouterr().err
    (figure,) = found
    assert faults(figure) == []


# --- what a picture says --------------------------------------------------------------------------------


@pytest.mark.parametrize(("n", "titles"), [(1, 1), (2, 2), (3, 2), (4, 2)])
def test_the_costs_beside_a_model_are_those_of_its_n(drawn, n, titles):
    figure = drawn(f"bits of n = {n}")
    said = [axes.get_title(loc="left") for axes in figure.axes if not is_colorbar(axes)]
    costs = said[-titles:]  # the last row
    if n == 1:
        assert costs == ["a single MLP on [0, 1]^1: slope 1/2"]
    else:
        eps = {2: 0.4, 3: 0.8, 4: 1.2}[n]
        assert costs[0] == f"an expert resolves 1 of {n} axes: slope 1/2"
        lam = targets.get("sum_of_sines", n=n).modulus.lam
        assert costs[1] == f"experts against their size, n = {n}, λ/ε = {max(3, math.ceil(lam / eps))}"


def test_estimates_are_drawn_with_their_standard_errors(drawn):
    """As wide as the table says; none for exact values."""
    values = explain(SumOfUnanimity(8, 20, seeded()), budget=100, repeats=3)
    expected = [i.standard_error for i in values.top(10)]
    for name in ("bar", "force", "upset"):
        (holder, *_) = [a for a in all_axes(drawn(f"estimated: {name}")) if a.containers]
        spans = []
        for lines in (c.lines[2] for c in holder.containers if type(c).__name__ == "ErrorbarContainer"):
            for segment in lines[0].get_segments():
                spans.append(float(np.ptp(segment, axis=0).max()) / 2)
        assert spans == pytest.approx(expected), name
        assert any("± one standard error" in (a.get_xlabel() + a.get_ylabel()) .replace("\n", " ")
                   for a in all_axes(drawn(f"estimated: {name}")))  # fmt: skip
        exact = all_axes(drawn(f"explained: {name}"))
        assert not any(type(c).__name__ == "ErrorbarContainer" for a in exact for c in a.containers)


def test_a_network_is_hollow_where_its_values_are_not_sure():
    values = explain(SumOfUnanimity(8, 20, seeded()), budget=100, repeats=3)
    axes, _ = values.plot_network(count=30)
    pairs = [i for i in values.top(36) if len(i.players) == 2][:30]
    unsure = [not abs(i.value) > 2 * i.standard_error for i in pairs]
    assert 0 < sum(unsure) < len(unsure)
    dashed = [line.get_linestyle() != "-" for line in axes.lines]
    assert sum(dashed) == sum(unsure)


def test_accuracies_have_standard_errors_over_their_draws(drawn):
    """√(M ± s) of the mean squares M, again from the squares of each draw."""
    squares = torch.tensor([[1.0, 4.0, 9.0], [0.0, 0.0, 3.0]], dtype=torch.float64)
    middle, reach = shapley._root_mean(squares)
    for row, at, (below, above) in zip(squares.tolist(), middle.tolist(), reach.T.tolist(), strict=True):
        mean = sum(row) / 3
        error = math.sqrt(sum((v - mean) ** 2 for v in row) / 2 / 3)
        assert at == pytest.approx(math.sqrt(mean))
        assert (at - below, at + above) == pytest.approx((math.sqrt(max(mean - error, 0)), math.sqrt(mean + error)))
    for axes in drawn("shapley_interactions_accuracy.png").axes:
        assert sum(type(c).__name__ == "ErrorbarContainer" for c in axes.containers) == 4


# --- colours --------------------------------------------------------------------------------------------

# Machado, Oliveira, Fernandes, A physiologically-based model for simulation of color vision deficiency, IEEE TVCG 15
# (2009), severity 1, on linear RGB
VISIONS = {
    "all cones": np.eye(3),
    "no red": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "no green": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "no blue": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)
APART = 20.0  # CIE 1976; 2.3 is just noticeable side by side


def lab(colour, vision):
    rgb = np.array(to_rgb(colour))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    ratio = XYZ @ np.clip(np.array(VISIONS[vision]) @ linear, 0, 1) / XYZ.sum(1)
    f = np.where(ratio > 216 / 24389, np.cbrt(ratio), (24389 / 27 * ratio + 16) / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def least_apart(colours):
    return min(
        float(np.linalg.norm(lab(a, vision) - lab(b, vision)))
        for vision in VISIONS
        for a, b in itertools.combinations(colours, 2)
    )


def test_every_reader_tells_the_colours_of_the_palette_apart():
    assert least_apart((*PALETTE, "white")) > APART
    assert least_apart(("#0b7285", "#64748b")) < 5  # a grey that was in use, beside teal, without red cones
    assert least_apart(("#c2410c", "#15803d")) < APART  # a green that was in use, beside red
    assert least_apart(("#ff0000", "#00ff00")) > APART  # bright ones differ in lightness


def test_shades_darken_for_every_reader():
    for count in (2, 3, 7, 10):
        for vision in VISIONS:
            lightness = [lab(colour, vision)[0] for colour in shades(count)]
            assert all(a > b + 2.3 for a, b in itertools.pairwise(lightness)), (count, vision)
    assert len(shades(1)) == 1


# --- broken on purpose ----------------------------------------------------------------------------------


def sound():
    figure = Figure(figsize=(6, 4.5), layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1, 2], [0, 2, 1], "o-", color=PALETTE[1], label="one")
    axes.plot([0, 1, 2], [1, 0, 2], "s--", color=PALETTE[2], label="other")
    axes.set_xlabel("x")
    axes.set_ylabel("y")
    axes.set_title("sound", loc="left")
    legend_below(axes)
    return figure, axes


def test_a_sound_figure_has_no_faults():
    assert faults(sound()[0]) == []


def without_label(axes):
    axes.set_xlabel("")


def legend_over_data(axes):
    axes.legend(loc="upper center")


def legend_over_a_line_between_its_points(axes):
    axes.set_xlim(-20, 20)
    axes.lines[0].set_data([-15, 15], [1, 1])
    axes.lines[1].set_data([], [])
    axes.legend(loc="center")


def legend_over_bars(axes):
    axes.bar([0, 1, 2], [4, 4, 4], color=PALETTE[0])
    axes.set_ylim(0, 4)
    axes.legend(loc="upper center")


def legend_over_an_image(axes):
    axes.imshow(np.zeros((2, 2)), extent=(0, 2, 0, 2), cmap="cividis", aspect="auto")
    axes.legend(loc="upper right")


def legend_over_an_area(axes):
    axes.fill_between([0, 2], [3, 3], [5, 5], color=PALETTE[0])
    axes.legend(loc="upper center")


def legend_over_points(axes):
    axes.scatter([1.0], [4.0], color=PALETTE[0])
    axes.set_ylim(0, 4.4)
    axes.legend(loc="upper center")


def bar_without_label(axes):
    picture = axes.imshow(np.zeros((2, 2)), extent=(0, 2, 0, 2), cmap="cividis", aspect="auto")
    axes.figure.colorbar(picture, ax=axes)


def rainbow(axes):
    picture = axes.imshow(np.zeros((2, 2)), extent=(0, 2, 0, 2), cmap="jet", aspect="auto")
    axes.figure.colorbar(picture, ax=axes, label="value")


def off_the_paper(axes):
    axes.set_title("a title that is much longer than the paper is wide, " * 3, loc="left")


def text_over_text(axes):
    axes.text(0.5, 0.5, "one thing")
    axes.text(0.52, 0.5, "another")


def small_print(axes):
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), fontsize=7, frameon=False)


def colour_of_its_own(axes):
    axes.lines[0].set_color("#2ca02c")


def colour_alone(axes):
    axes.lines[1].set_linestyle("-")
    axes.lines[1].set_marker("o")


def glyph_that_is_missing(axes):
    axes.set_title("\u4e2d", loc="left")


def too_wide(axes):
    axes.figure.set_size_inches(14, 5)


BROKEN = {
    without_label: "the x axis of 'sound' has no label",
    legend_over_data: "a legend lies over Line2D 'one'",
    legend_over_a_line_between_its_points: "a legend lies over Line2D 'one'",
    legend_over_bars: "a legend lies over Rectangle",
    legend_over_an_image: "a legend lies over AxesImage",
    legend_over_an_area: "a legend lies over FillBetweenPolyCollection",
    legend_over_points: "a legend lies over PathCollection",
    bar_without_label: "a colour bar has no label",
    rainbow: "the colour map jet is not one of",
    off_the_paper: "leaves the paper",
    text_over_text: "note 'one thing' and note 'another' lie over each other",
    small_print: "legend 'one' is of 7 points",
    colour_of_its_own: "Line2D 'one' has the colour #2ca02c",
    colour_alone: "'one' and 'other' differ by colour alone",
    glyph_that_is_missing: "Glyph",
    too_wide: "the figure is wider than 11 inches",
}


@pytest.mark.parametrize("spoil", BROKEN, ids=lambda f: f.__name__)
def test_what_is_wrong_is_reported(spoil):
    figure, axes = sound()
    spoil(axes)
    found = faults(figure)
    assert any(BROKEN[spoil] in fault for fault in found), found
