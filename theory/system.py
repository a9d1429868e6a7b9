"""A system: one name, and the rooms that carry it.

Main definition: `System`.
"""

from __future__ import annotations

from dataclasses import dataclass

from theory.sources import Paper


@dataclass(frozen=True)
class System:
    """`theory.<name>` holds its claims and instruments, `constructions.<name>` its objects.

    `uses` are the other systems that these may import; `short` is another name by which the command line knows it.
    """

    name: str
    title: str
    paper: Paper
    uses: tuple[str, ...] = ()
    short: str | None = None
