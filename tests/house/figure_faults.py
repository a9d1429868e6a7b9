"""What is wrong with a figure: read off the drawn picture, whoever drew it.

Main definition: `faults`.
Implementation notes: everything is measured in pixels of the drawn picture: what a legend covers, what leaves the
paper, what lies over other text. Colours are read from the artists, not from the code that asked for them.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterator

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import Collection, LineCollection, PathCollection, QuadMesh
from matplotlib.colors import ListedColormap, to_hex, to_rgb, to_rgba_array
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.text import Annotation, Text
from matplotlib.transforms import Bbox

from theory.figure_style import DARKEST, LIGHTEST, PALETTE

SMALLEST_TEXT = 10  # points
WIDEST = 11  # inches: wider ones shrink on a slide, and their text with them
MAPS = {"cividis", "magma", "viridis"}  # lightness rises along them: safe for all readers, and in print
NEUTRAL = 1 / 64  # channels of a grey agree to this


def all_axes(figure: Figure) -> list[Axes]:
    """Also axes within axes, which `Figure.axes` leaves out."""
    found: list[Axes] = []
    waiting = list(figure.axes)
    while waiting:
        axes = waiting.pop(0)
        found.append(axes)
        waiting += axes.child_axes
    return found


def faults(figure: Figure) -> list[str]:
    """Sentences, none for a good figure. The figure is drawn."""
    canvas = FigureCanvasAgg(figure)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        canvas.draw()
    every = all_axes(figure)
    texts = list(_texts(figure, every))
    found = [str(w.message) for w in caught if "lyph" in str(w.message)]
    if figure.get_figwidth() > WIDEST:
        found.append(f"the figure is wider than {WIDEST} inches")
    for axes in every:
        found += _without_label(axes, every)
        found += _alike(axes)
        found += _wrong_colours(axes)
    found += _covered(figure, every)
    found += _misplaced(figure, texts)
    return list(dict.fromkeys(found))


# --- labels ---------------------------------------------------------------------------------------------


def is_colorbar(axes: Axes) -> bool:
    return axes.get_label() == "<colorbar>"


def _without_label(axes: Axes, every: list[Axes]) -> Iterator[str]:
    """An axis whose numbers are not drawn may leave its name to a sibling that shares them."""
    if not axes.axison:
        return
    name = axes.get_title(loc="left") or axes.get_title()
    if is_colorbar(axes):
        if not (axes.get_xlabel() or axes.get_ylabel()):
            yield "a colour bar has no label"
        return
    for which, axis, label in (("x", axes.xaxis, axes.get_xlabel()), ("y", axes.yaxis, axes.get_ylabel())):
        shared = axes.get_shared_x_axes() if which == "x" else axes.get_shared_y_axes()
        siblings = [a for a in every if a is not axes and shared.joined(a, axes)]
        numbered = any(_is_drawn(t) for t in _tick_texts(axis))
        elsewhere = any(a.get_xlabel() if which == "x" else a.get_ylabel() for a in siblings)
        if not label and (numbered or not elsewhere):
            yield f"the {which} axis of {name!r} has no label"


def _alike(axes: Axes) -> Iterator[str]:
    """Lines of a legend that only their colours tell apart, unless their lightness does."""
    legend = axes.get_legend()
    if legend is None:
        return
    shown = {text.get_text() for text in legend.get_texts()}
    lines = [line for line in axes.lines if line.get_label() in shown]
    for a, b in itertools.combinations(lines, 2):
        same = _form(a) == _form(b)
        lightness = [_lightness(line.get_color()) for line in (a, b)]
        if same and not (_is_shade(a.get_color()) and _is_shade(b.get_color()) and lightness[0] != lightness[1]):
            yield f"{a.get_label()!r} and {b.get_label()!r} differ by colour alone"


def _form(line: Line2D) -> tuple[str, str, bool]:
    """Its dash, its marker, and whether that is hollow."""
    return str(line.get_linestyle()), str(line.get_marker()), line.get_markerfacecolor() == "none"


# --- colours --------------------------------------------------------------------------------------------


def _lightness(colour: object) -> float:
    return float(np.dot(to_rgb(colour), (0.2126, 0.7152, 0.0722)))  # pyright: ignore[reportArgumentType]


def _on_segment(colour: np.ndarray, start: object, end: object) -> bool:
    a, b = np.array(to_rgb(start)), np.array(to_rgb(end))  # pyright: ignore[reportArgumentType]
    share = np.clip((colour - a) @ (b - a) / max(float((b - a) @ (b - a)), 1e-12), 0, 1)
    return bool(np.abs(a + share * (b - a) - colour).max() < NEUTRAL)


def _is_shade(colour: object) -> bool:
    return _on_segment(np.array(to_rgb(colour)), LIGHTEST, DARKEST)  # pyright: ignore[reportArgumentType]


def is_known(colour: np.ndarray) -> bool:
    """A grey, a colour of the palette or a tint of it, a shade."""
    rgb = np.asarray(colour[:3], dtype=float)
    if np.ptp(rgb) < NEUTRAL or _is_shade(rgb):
        return True
    return any(_on_segment(rgb, "white", known) for known in PALETTE)


def _drawn_artists(axes: Axes) -> list:
    return [a for a in (*axes.lines, *axes.collections, *axes.patches, *axes.images, *axes.texts) if a.get_visible()]


def _wrong_colours(axes: Axes) -> Iterator[str]:
    if is_colorbar(axes):
        return
    for artist in _drawn_artists(axes):
        if isinstance(artist, AxesImage | Collection) and artist.get_array() is not None:
            colours = artist.get_cmap()
            if isinstance(colours, ListedColormap) and colours.name not in MAPS:
                used = [c for c in to_rgba_array(list(colours.colors)) if not is_known(c)]
            else:
                used = [] if colours.name in MAPS else [np.zeros(4)]
            if used:
                yield f"the colour map {colours.name} is not one of {sorted(MAPS)}"
            continue
        for colour in _colours(artist):
            if colour[3] > 0 and not is_known(colour):
                yield f"{type(artist).__name__} {artist.get_label()!r} has the colour {to_hex(colour[:3])}"


def _colours(artist: object) -> np.ndarray:
    if isinstance(artist, Line2D):
        named = [artist.get_color()] if artist.get_linestyle() != "None" else []
        if artist.get_marker() not in ("None", "", None):
            named.append(artist.get_markeredgecolor())
            named += [artist.get_markerfacecolor()] if artist.get_marker() in Line2D.filled_markers else []
        named = [c for c in named if not isinstance(c, str) or c != "none"]
        return to_rgba_array(named) if named else np.zeros((0, 4))
    if isinstance(artist, Text):
        return to_rgba_array([artist.get_color()])
    if isinstance(artist, Patch):
        return np.stack([np.array(artist.get_facecolor()), np.array(artist.get_edgecolor())])
    if isinstance(artist, Collection):
        return np.concatenate([artist.get_facecolor(), artist.get_edgecolor()])
    return np.zeros((0, 4))


# --- what lies where ------------------------------------------------------------------------------------


def _covered(figure: Figure, every: list[Axes]) -> Iterator[str]:
    """Legends over what is drawn, in their own axes or in others."""
    legends = [(axes.get_legend(), axes) for axes in every if axes.get_legend() is not None]
    for legend, owner in [*legends, *((legend, None) for legend in figure.legends)]:
        box = legend.get_window_extent().padded(-1)
        for axes in every:
            if axes is not owner and axes.axison and box.overlaps(axes.get_window_extent()):
                yield "a legend lies over other axes"
            for artist in _drawn_artists(axes):
                if _meets(artist, axes, box):
                    yield f"a legend lies over {type(artist).__name__} {artist.get_label()!r}"


def _meets(artist: object, axes: Axes, box: Bbox) -> bool:
    """Whether what is seen of the artist reaches into the box."""
    seen = Bbox.intersection(box, axes.bbox)
    if seen is None and not isinstance(artist, Text):
        return False
    if isinstance(artist, Text):
        return artist.get_window_extent().overlaps(box)
    if isinstance(artist, AxesImage | QuadMesh):
        return artist.get_window_extent().overlaps(box)
    if isinstance(artist, Line2D):
        path = artist.get_transform().transform_path(artist.get_path())
        joined = artist.get_linestyle() != "None"
        points = path.vertices[np.isfinite(path.vertices).all(1)]
        return _holds(seen, points) or (joined and len(points) > 1 and path.cleaned().intersects_bbox(seen, False))
    if isinstance(artist, Patch):
        path = artist.get_transform().transform_path(artist.get_path())
        return path.intersects_bbox(seen, bool(artist.get_fill()))
    if isinstance(artist, Collection):
        if isinstance(artist, PathCollection):
            return _holds(seen, artist.get_offset_transform().transform(np.ma.filled(artist.get_offsets(), np.nan)))
        paths = [artist.get_transform().transform_path(p) for p in artist.get_paths()]
        filled = not isinstance(artist, LineCollection)
        return any(p.intersects_bbox(seen, filled) for p in paths if len(p.vertices))
    return False


def _holds(box: Bbox, points: np.ndarray) -> bool:
    return bool(((points >= box.min) & (points <= box.max)).all(1).any())


def _is_drawn(text: Text) -> bool:
    return text.get_visible() and bool(text.get_text().strip())


def _tick_texts(axis: Axis) -> list[Text]:
    """The numbers of the ticks that are in view."""
    scale = axis.get_transform().transform
    low, high = sorted(scale(np.array(axis.get_view_interval())))
    margin = 1e-9 * (high - low)
    ticks = [*axis.get_major_ticks(), *axis.get_minor_ticks()]
    ticks = [t for t in ticks if low - margin <= scale(np.array([t.get_loc()]))[0] <= high + margin]
    return [text for t in ticks for text in (t.label1, t.label2) if _is_drawn(text)]


def _texts(figure: Figure, every: list[Axes]) -> Iterator[tuple[str, Text]]:
    """Every text that is drawn, and what it is: "tick x3" for those of one axis."""
    for text in [*figure.texts, *([figure._suptitle] if figure._suptitle else [])]:
        yield "title", text
    for number, axes in enumerate(every):
        for text in (axes.title, axes._left_title, axes._right_title):
            yield "title", text
        if axes.axison:
            yield "label", axes.xaxis.label
            yield "label", axes.yaxis.label
            for name, axis in (("x", axes.xaxis), ("y", axes.yaxis)):
                yield from ((f"tick {name}{number}", text) for text in _tick_texts(axis))
        yield from (("note", text) for text in axes.texts)
    for legend in [*(a.get_legend() for a in every), *figure.legends]:
        if legend is not None:
            yield from (("legend", text) for text in legend.get_texts())


def _misplaced(figure: Figure, texts: list[tuple[str, Text]]) -> Iterator[str]:
    """Text that is too small, leaves the paper, or lies over other text."""
    placed, seen = [], set()
    for what, text in texts:
        if not _is_drawn(text) or id(text) in seen:
            continue
        seen.add(id(text))
        box = Text.get_window_extent(text) if isinstance(text, Annotation) else text.get_window_extent()
        said = f"{what} {text.get_text()!r}"
        if text.get_fontsize() < SMALLEST_TEXT:
            yield f"{said} is of {text.get_fontsize():g} points"
        if box.x0 < -1 or box.y0 < -1 or box.x1 > figure.bbox.x1 + 1 or box.y1 > figure.bbox.y1 + 1:
            yield f"{said} leaves the paper"
        placed.append((said, box.padded(-1)))
    for (said, box), (other, another) in itertools.combinations(placed, 2):
        if box.overlaps(another):
            yield f"{said} and {other} lie over each other"
