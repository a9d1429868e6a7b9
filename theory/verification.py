"""`momlp verify` in one call from Python.

Main definition: `verify`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from theory.claim import Budget, Context, require
from theory.systems import select

if TYPE_CHECKING:
    import torch

    from theory.verify import Run

__all__ = ["verify"]


def verify(
    *names: str,
    budget: str = Budget.QUICK.value,
    device: torch.device | str = "cpu",
    seed: int = 0,
    log: Callable[[str], None] = lambda message: None,
) -> Run:
    """Reproduce these claims and systems (all of them for none), one after another in this process.

    `names` are ids such as "momlp.sharpness" and systems such as "pathway_tree"; `budget` is "quick" (seconds a claim)
    or "full". The `Run` has `as_expected`, and in `rows` each claim with its `verdict`. An error in a reproduction
    becomes an INCONCLUSIVE verdict; Ctrl-C ends the run, and what was decided stands. ValueError for a name that
    nobody has, TypeError for one that is no string; those of a `Context` for the other arguments.
    """
    from theory.verify import run

    require(all(isinstance(name, str) for name in names), TypeError, "names", "claims and systems by name", names)
    return run(select(list(names)), Context(budget, device, seed, log))  # pyright: ignore[reportArgumentType]
