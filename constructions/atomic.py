"""Files that are written whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path


def write_whole(path: Path, write: Callable[[Path], object]) -> Path:
    """Let `write` fill a draft beside `path`, then move it into place; OSError names the path."""
    if not path.parent.is_dir():
        raise FileNotFoundError(f"cannot write {path}: there is no folder {path.parent}")
    try:
        with tempfile.TemporaryDirectory(dir=path.parent, prefix="momlp-draft-") as folder:
            draft = Path(folder) / f"draft{path.suffix}"
            write(draft)
            # the draft may have been made private; give it the permissions a new file gets here
            mask = os.umask(0)
            os.umask(mask)
            draft.chmod(0o666 & ~mask)
            os.replace(draft, path)
    except OSError as err:
        raise OSError(f"cannot write {path}: {err.strerror or err}") from err
    return path
