"""Progress bars (rich, on stderr) for loops that may take more than a second."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeVar

from rich.console import Console
from rich.progress import track

T = TypeVar("T")


def tracked(items: Sequence[T], description: str, *, enabled: bool) -> Iterable[T]:
    """`items`, with a bar when `enabled`."""
    if not enabled:
        return items
    return track(items, description=description, console=Console(stderr=True), transient=True)
