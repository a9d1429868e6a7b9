"""Evaluate a stored model on a file of points with all ranks: each takes a block, rank 0 writes the answers.

Main definition: `evaluate_file`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from constructions.distributed_momlp.sharded_momlp import ShardedMoMLP
from constructions.errors import require_instance, require_int, require_path
from constructions.files import points_file, require_writable, write_whole
from constructions.progress import Log, require_log, silent, tracked


def evaluate_file(model: ShardedMoMLP, points: Path, out: Path, *, batch: int = 1 << 16, log: Log = silent) -> int:
    """Write the outputs (B, m) of the points (B, n) in a `.npy` file to `out`, whole or not at all. Returns B.
    Together.

    Every rank takes a block of consecutive points, `batch` at a time; ranks that run out go on with empty batches.
    """
    require_int("batch", batch, 1)
    require_path("points", points)
    require_path("out", out)
    require_instance("model", model, ShardedMoMLP)
    require_log(log)
    ranks = model.ranks
    source, error = None, None
    try:
        source = points_file(points, model.n)
        if ranks.leads:
            require_writable(out)
    except Exception as err:
        error = err
    ranks.agree(error, f"opening {points}")
    assert source is not None
    total = len(source)
    ends = [total * r // ranks.world for r in range(ranks.world + 1)]
    longest = max(b - a for a, b in itertools.pairwise(ends))
    rounds = range(math.ceil(longest / batch))

    def span(rank: int, i: int) -> tuple[int, int]:
        first = min(ends[rank] + i * batch, ends[rank + 1])
        return first, min(first + batch, ends[rank + 1])

    def run(write: Callable[[int, int, Tensor], None]) -> None:
        for i in tracked(rounds, f"{ranks.world} ranks evaluating", log if ranks.leads else silent):
            first, last = span(ranks.rank, i)
            x = torch.from_numpy(np.array(source[first:last], dtype=np.float64)).to(ranks.device)
            with torch.no_grad():
                y = model(x)
            spans = [span(r, i) for r in range(ranks.world)]
            expected = [b - a if ranks.leads else 0 for a, b in spans]
            sent = [len(y) if r == 0 else 0 for r in range(ranks.world)]
            whole = ranks.exchange(y, sent, expected, "collecting answers")
            if ranks.leads:
                for (a, b), part in zip(spans, whole.split(expected), strict=True):
                    write(a, b, part.cpu())

    if not ranks.leads:
        run(lambda first, last, part: None)
        ranks.agree(None, "writing answers")
        return total
    try:
        write_whole(out, lambda draft: _fill(draft, (total, model.m), run))
    except OSError as err:
        error = err
    ranks.agree(error, "writing answers")
    return total


def _fill(draft: Path, shape: tuple[int, int], run: Callable[[Callable[[int, int, Tensor], None]], None]) -> None:
    """Fill a `.npy` file of this shape while the rounds go on; nothing but the present round is held.

    Plain writes, not a memory map: on a full disk a map ends the process, a write is an error.
    """
    with open(draft, "wb") as file:
        header = {"descr": np.dtype(np.float64).str, "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        start, row = file.tell(), 8 * shape[1]

        def write(first: int, last: int, part: Tensor) -> None:
            file.seek(start + first * row)
            file.write(part.double().contiguous().numpy().tobytes())

        run(write)
