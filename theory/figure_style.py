"""What all figures share: colours, resolutions, how a picture is written, and the figure of a model.

Main definitions: `PALETTE`, `shades`, `tint`, `save_figure`, `legend_below`, `model_figure`.
Implementation notes: matplotlib without a window. A system's `figures` registers its model with `model_figure`. Any two
colours of the palette stay apart for readers who lack one kind of cone (a test simulates them); lines of one panel also
differ by marker or dash.
"""

from __future__ import annotations

from functools import singledispatch
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.transforms import ScaledTranslation

from constructions.files import write_whole

GRID = 401
INK, ACCENT, WARM, VIOLET, GOLD, GREY = "#1f2a44", "#0b7285", "#c2410c", "#7c3aed", "#d9a406", "#94a3b8"
PALETTE = (INK, ACCENT, WARM, VIOLET, GOLD, GREY)
LIGHTEST, DARKEST = "#8cc7f2", "#0d2966"  # the ends of `shades`
LEGEND_BELOW = 36  # points under the frame: the numbers and the name of the axis lie between
MARKERS = ("o", "s", "^", "D", "v", "P")


def _mixed(first: str, second: str, share: float) -> str:
    red, green, blue = ((1 - share) * a + share * b for a, b in zip(to_rgb(first), to_rgb(second), strict=True))
    return to_hex((red, green, blue))


def shades(count: int) -> list[str]:
    """`count` colours from light to dark, for curves in an order: their lightness tells them apart."""
    return [_mixed(LIGHTEST, DARKEST, i / max(1, count - 1)) for i in range(count)]


def tint(colour: str, share: float) -> str:
    """`colour` mixed with white: `share` of it."""
    return _mixed("#ffffff", colour, share)


def save_figure(figure: Figure, path: Path) -> None:
    """Write a picture: as .svg and .pdf say by their ending, else PNG."""
    ending = path.suffix.lower()
    kind = ending[1:] if ending in (".svg", ".pdf") else "png"
    write_whole(path, lambda draft: figure.savefig(draft, dpi=150, format=kind))


def legend_below(axes: Axes, columns: int = 1, **options: Any) -> None:
    """A legend under the axes, where it covers nothing; `options` as of `Axes.legend`."""
    below = axes.transAxes + ScaledTranslation(0, -LEGEND_BELOW / 72, axes.figure.dpi_scale_trans)
    axes.legend(
        frameon=False, loc="upper center", bbox_to_anchor=(0.5, 0), bbox_transform=below, ncols=columns, **options
    )


@singledispatch
def model_figure(model: Any, f: Any = None) -> Figure:
    """A new figure of `model`; `f`, the function that it was built for, adds the error. TypeError for a model whose
    system draws none."""
    raise TypeError(f"`model` must be of a kind that is drawn, got {type(model).__name__}")
