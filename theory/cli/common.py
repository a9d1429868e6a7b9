"""What the commands share: the two consoles, devices, and paths that are tried before the work.

Main definitions: `out`, `err`, `Command`, `device_named`, `require_writable`.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from rich.console import Console

WIDTH = 130  # of tables that go to a file or a pipe
out = Console(width=None if sys.stdout.isatty() else WIDTH)
err = Console(stderr=True)

Command = Callable[[str, Callable[[argparse.Namespace], int], str], argparse.ArgumentParser]
"""(name, action, help) -> the parser of a new command."""


def device_named(name: str) -> torch.device:
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        raise ValueError("`--device` cuda was asked for, but torch sees no CUDA device")
    return torch.device(name)


def require_writable(path: Path | None) -> None:
    """Fail before the work, not after it."""
    if path is None:
        return
    folder = path if path.is_dir() else path.parent
    if not folder.is_dir():
        raise FileNotFoundError(f"cannot write {path}: there is no folder {folder}")
    if not os.access(folder, os.W_OK):
        raise PermissionError(f"cannot write {path}: {folder} is not writable")
