"""What all figures share: colours, resolutions, how a picture is written, and the figure of a model.

Main definitions: `save_figure`, `legend_below`, `model_figure`.
Implementation notes: matplotlib without a window. A system's `figures` registers its model with `model_figure`.
"""

from __future__ import annotations

from functools import singledispatch
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from constructions.files import write_whole

GRID = 401
INK, ACCENT, WARM = "#1f2a44", "#0b7285", "#c2410c"


def save_figure(figure: Figure, path: Path) -> None:
    """Write a picture: as .svg and .pdf say by their ending, else PNG."""
    ending = path.suffix.lower()
    kind = ending[1:] if ending in (".svg", ".pdf") else "png"
    write_whole(path, lambda draft: figure.savefig(draft, dpi=150, format=kind))


def legend_below(axes: Axes, columns: int = 1) -> None:
    """A legend under the axes, where it covers nothing."""
    axes.legend(frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=columns)


@singledispatch
def model_figure(model: Any, f: Any = None) -> Figure:
    """A new figure of `model`; `f`, the function that it was built for, adds the error. TypeError for a model whose
    system draws none."""
    raise TypeError(f"`model` must be of a kind that is drawn, got {type(model).__name__}")
