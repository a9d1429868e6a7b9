"""Points in a `.npy` file, checked and not read before they are needed.

Main definitions: `points_file`, `array_file`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from constructions.atomic import require_regular
from constructions.errors import require_int


def points_file(path: Path, n: int | None) -> np.ndarray:
    """The floating array (B, n) stored at `path`, memory-mapped; ValueError for anything else (any n ≥ 1 when None is
    given), OSError if unreadable."""
    if n is not None:
        require_int("n", n, 1)
    points = array_file("--points", path)
    fits = points.ndim == 2 and points.shape[1] >= 1 and n in (None, points.shape[1])
    if not fits or points.dtype.kind != "f":
        wanted = f"(B, {n or 'n'})"
        raise ValueError(f"`--points` must be a floating array of shape {wanted}, got {points.dtype} {points.shape}")
    return points


def array_file(option: str, path: Path) -> np.ndarray:
    """The array stored at `path`, memory-mapped; ValueError naming the option for anything but one plain `.npy` array,
    OSError if unreadable."""
    require_regular(path)
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except OSError as error:
        raise OSError(f"cannot read {path}: {error.strerror or error}") from error
    except Exception as error:  # a header is parsed as Python, an archive unpacked: they may fail in any way
        why = " ".join(str(error).split())[:200]
        raise ValueError(f"`{option}` {path} must be a plain .npy array: {why}") from error
    if not isinstance(array, np.ndarray):
        raise ValueError(f"`{option}` {path} must be a plain .npy array, this is an archive of several")
    return array
