"""All labelings of a set, part of `run.py`; alone: `python benchmarks/shattering.py`.

Main definition: `exhaustive`.
"""

from __future__ import annotations

import torch
from rich.console import Console
from timing import show, timed_row

from constructions.vc_dimension import one_hidden_layer
from theory.vc_dimension.checkers import shattered_exhaustively

LOOPED = 500  # labelings that the loop runs: enough to know its rate


def exhaustive() -> dict:
    """(labeling, point) pairs a second: all 2^17 labelings in stacked batches, against a loop over modules."""
    shattered = one_hidden_layer(4, 4)
    report = shattered_exhaustively(shattered)
    if not report.holds or report.labelings != 2**shattered.size:
        raise RuntimeError(f"the set is not shattered: {report.failure}")
    labels = torch.rand(LOOPED, shattered.size, generator=torch.Generator().manual_seed(0)) < 0.5
    points = shattered.points.double()

    def loop() -> None:
        if not all(torch.equal(shattered.module(y)(points)[:, 0] > 0, y) for y in labels):
            raise RuntimeError("a labeling is not realised")

    return timed_row(
        f"shatter {shattered.size} points, one hidden layer",
        "Python loop over torch modules",
        "pairs/s",
        (report.evaluations, labels.numel()),
        lambda: shattered_exhaustively(shattered),
        loop,
    )


if __name__ == "__main__":
    show([exhaustive()], Console(width=160))
