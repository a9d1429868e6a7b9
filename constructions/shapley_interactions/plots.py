"""Pictures of an explanation: bars, a network, an UpSet plot, and the way from the baseline to the prediction.

Each takes the `InteractionValues` that offers it as a method, draws on `axes`, or on a new figure for None, and returns
the Axes with the numbers drawn.

Main definitions: `bar`, `network`, `upset`, `force`.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from constructions.errors import require_instance, require_int

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INK, POSITIVE, NEGATIVE, NEUTRAL = "#1f2a44", "#c2410c", "#0b7285", "#94a3b8"
LARGEST_NODE, WIDEST_EDGE = 900.0, 9.0
UNSURE = 2.0  # standard errors within which a value may as well be 0
LONGEST_NAME = 18
Drawn = list[tuple[str, float]]


def _axes(axes: Axes | None, width: float, height: float) -> Axes:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    if axes is None:
        return Figure(figsize=(width, height), layout="constrained").subplots()
    return require_instance("axes", axes, Axes)


def _short(name: str) -> str:
    """`name` as matplotlib may draw it: short, and a dollar is a dollar."""
    cut = name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…"
    return cut.replace("$", r"\$")


def _label(interaction: Any) -> str:
    return " × ".join(_short(name) for name in interaction.names)


def _colour(value: float) -> str:
    return POSITIVE if value >= 0 else NEGATIVE


def _title(values: Any) -> str:
    return f"{values.index}, {values.how}"


def _errors(chosen: list[Any]) -> list[float] | None:
    """The standard errors of the chosen interactions, None where there are none."""
    return None if chosen[0].standard_error is None else [i.standard_error for i in chosen]


def _value_label(values: Any, what: str = "value") -> str:
    return what if values.errors is None else f"{what} ± one standard error"


def _is_unsure(interaction: Any) -> bool:
    error = interaction.standard_error
    return error is not None and not abs(interaction.value) > UNSURE * error


def _sign_legend(axes: Axes, raises: str, lowers: str, *others: Any, title: str | None = None) -> None:
    """Which colour is which sign, under the axes."""
    from matplotlib.patches import Patch

    handles = [Patch(color=POSITIVE, label=raises), Patch(color=NEGATIVE, label=lowers), *others]
    below = -0.02 if not axes.axison else -0.16
    axes.legend(handles=handles, frameon=False, loc="upper center", bbox_to_anchor=(0.5, below), ncols=2, title=title)


def bar(values: Any, axes: Axes | None = None, *, count: int = 10) -> tuple[Axes, Drawn]:
    """The `count` largest interactions, the largest on top, with their standard errors where there are some."""
    chosen = values.top(count)
    axes = _axes(axes, 6.5, 1.2 + 0.32 * len(chosen))
    colours = [_colour(i.value) for i in chosen]
    errors = _errors(chosen)
    axes.barh(range(len(chosen)), [i.value for i in chosen], xerr=errors, color=colours, ecolor=INK, capsize=3)
    axes.set_yticks(range(len(chosen)), [_label(i) for i in chosen])
    axes.invert_yaxis()
    axes.axvline(0, color=INK, lw=0.8)
    axes.set_xlabel(_value_label(values))
    axes.set_ylabel("interaction")
    axes.set_title(f"{_title(values)}: the largest values", loc="left")
    return axes, [(_label(i), i.value) for i in chosen]


def network(values: Any, axes: Axes | None = None, *, count: int = 30) -> tuple[Axes, Drawn]:
    """Players on a circle, areas by their own values; of the larger interactions the `count` largest as edges and
    polygons, widths by their values. Positive is red, negative blue; hollow and dashed where a value lies within two of
    its standard errors of 0."""
    require_int("count", count, 1)
    values._require_one_output()
    axes = _axes(axes, 6, 6)
    turns = [math.pi / 2 - 2 * math.pi * i / values.n for i in range(values.n)]
    at = [(math.cos(turn), math.sin(turn)) for turn in turns]
    size = sum(len(v) for v in values.orders)
    joint = [i for i in values.top(size) if len(i.players) >= 2 and i.value][:count]
    most = max((abs(i.value) for i in joint), default=1.0)
    for i in reversed(joint):  # the largest on top
        corners = [at[p] for p in i.players]
        share = abs(i.value) / most
        if len(corners) == 2:
            style: Any = {"lw": 0.4 + WIDEST_EDGE * share, "ls": (0, (1.5, 1)) if _is_unsure(i) else "-"}
            axes.plot(*zip(*corners, strict=True), color=_colour(i.value), alpha=0.6, solid_capstyle="round", **style)
        else:
            hatch = "///" if _is_unsure(i) else None
            axes.fill(*zip(*corners, strict=True), color=_colour(i.value), alpha=0.05 + 0.3 * share, lw=0, hatch=hatch)
    own = values.order(1).tolist()
    _nodes(axes, at, own, [i for i in values.top(size) if len(i.players) == 1])
    for (x, y), name in zip(at, values.names, strict=True):
        sideways = "left" if x > 0.1 else "right" if x < -0.1 else "center"
        axes.text(1.2 * x, 1.2 * y, _short(name), ha=sideways, va="center", color=INK)
    axes.set_aspect("equal")
    axes.set_xlim(-1.75, 1.75)
    axes.set_ylim(-1.4, 1.4)
    axes.set_axis_off()
    axes.set_title(_title(values), loc="left")
    _network_legend(axes, values)
    return axes, [*zip(values.names, own, strict=True), *((_label(i), i.value) for i in joint)]


def _nodes(axes: Axes, at: list[tuple[float, float]], own: list[float], players: list[Any]) -> None:
    """A disc a player, `own` (n,) its area and colour, hollow where its value is not sure."""
    largest = max(map(abs, own)) or 1.0
    areas = [20 + LARGEST_NODE * abs(v) / largest for v in own]
    unsure = {i.players[0] for i in players if _is_unsure(i)}
    faces = ["white" if p in unsure else _colour(v) for p, v in enumerate(own)]
    edges = [_colour(v) if p in unsure else "white" for p, v in enumerate(own)]
    axes.scatter(*zip(*at, strict=True), s=areas, c=faces, edgecolors=edges, zorder=3)


def _network_legend(axes: Axes, values: Any) -> None:
    from matplotlib.lines import Line2D

    label = f"within {UNSURE:g} standard errors of 0"
    unsure = Line2D([], [], color=INK, ls=(0, (1.5, 1)), marker="o", mfc="white", label=label)
    handles = [] if values.errors is None else [unsure]
    _sign_legend(axes, "positive", "negative", *handles, title="values as areas and widths")


def upset(values: Any, axes: Axes | None = None, *, count: int = 10) -> tuple[Axes, Drawn]:
    """Bars of the `count` largest interactions over a matrix of dots: who takes part in which."""
    chosen = values.top(count)
    players = sorted({p for i in chosen for p in i.players})
    axes = _axes(axes, 2.5 + 0.45 * len(chosen), 3 + 0.25 * len(players))
    axes.set_axis_off()
    share = len(players) / (len(players) + 8)
    bars = axes.inset_axes((0, share + 0.03, 1, 0.97 - share))
    dots = axes.inset_axes((0, 0, 1, share), sharex=bars)
    colours = [_colour(i.value) for i in chosen]
    heights = [i.value for i in chosen]
    bars.bar(range(len(chosen)), heights, yerr=_errors(chosen), color=colours, ecolor=INK, capsize=3)
    bars.axhline(0, color=INK, lw=0.8)
    bars.tick_params(labelbottom=False, bottom=False)
    bars.set_ylabel(_value_label(values).replace(" ± ", "\n± "))
    bars.set_title(f"{_title(values)}: the largest values", loc="left")
    for column, i in enumerate(chosen):
        rows = [players.index(p) for p in i.players]
        dots.scatter([column] * len(players), range(len(players)), s=18, color=NEUTRAL, alpha=0.3, zorder=1)
        dots.plot([column] * len(rows), rows, "o-", color=INK, ms=5, lw=1.5, zorder=2)
    dots.set_yticks(range(len(players)), [_short(values.names[p]) for p in players])
    dots.set_ylim(len(players) - 0.5, -0.5)
    dots.set_xlabel("interactions, by size")
    dots.set_ylabel("players")
    dots.tick_params(labelbottom=False, bottom=False, left=False)
    for side in ("top", "right", "bottom", "left"):
        dots.spines[side].set_visible(False)
    return axes, [(_label(i), i.value) for i in chosen]


def force(values: Any, axes: Axes | None = None, *, count: int = 10) -> tuple[Axes, Drawn]:
    """From the baseline v(∅) to the prediction v(N), a step an interaction, the largest first and the rest together;
    ValueError for an index that does not add up."""
    if not values.sums:
        raise ValueError(
            f"`index` must add up to be drawn as a way to the prediction, {values.index} does not: use k-SII"
        )
    chosen = values.top(count)
    steps = [(_label(i), i.value) for i in chosen]
    left = sum(len(v) for v in values.orders) - len(chosen)
    if left:
        steps.append((f"{left:,} others", float(values.total) - sum(i.value for i in chosen)))
    axes = _axes(axes, 7, 1.6 + 0.32 * len(steps))
    reached = float(values.baseline)
    axes.use_sticky_edges = False  # the first bar starts at the baseline, not at the frame
    axes.margins(x=0.04)
    axes.axvline(reached, color=INK, lw=1, ls=":")
    errors = _errors(chosen) or []
    for row, (_, value) in enumerate(steps):
        own = {"xerr": errors[row], "ecolor": INK, "capsize": 3} if row < len(errors) else {}
        axes.barh(row, value, left=reached, color=_colour(value), **own)
        below = 1.4 if row < len(steps) - 1 else 0.4
        axes.plot([reached + value] * 2, [row - 0.4, row + below], color=INK, lw=0.6)
        reached += value
    axes.set_yticks(range(len(steps)), [name for name, _ in steps])
    axes.invert_yaxis()
    axes.set_xlabel(_value_label(values, "from the baseline (dotted) to the prediction"))
    axes.set_ylabel("interaction")
    ends = f"baseline {float(values.baseline):.4g}, prediction {float(values.prediction):.4g}"
    axes.set_title(f"{_title(values)}: {ends}", loc="left")
    _sign_legend(axes, "raises", "lowers")
    return axes, [("baseline", float(values.baseline)), *steps, ("prediction", reached)]
