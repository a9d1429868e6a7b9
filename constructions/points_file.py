"""Points in a `.npy` file, checked and not read before they are needed.

Main definition: `points_file`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np


def points_file(path: Path, n: int | None) -> np.ndarray:
    """The floating array (B, n) stored at `path`, memory-mapped; ValueError for anything else (any n when None is
    given), OSError if unreadable."""
    try:
        points = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise ValueError(f"`--points` {path} must be a plain .npy array: {error}") from error
    if points.ndim != 2 or points.shape[1] != (n or points.shape[1]) or points.dtype.kind != "f":
        wanted = f"(B, {n or 'n'})"
        raise ValueError(f"`--points` must be a floating array of shape {wanted}, got {points.dtype} {points.shape}")
    return points
