"""What the commands share: the two consoles, devices, and paths that are tried before the work.

Main definitions: `out`, `err`, `Command`, `device_named`, `require_writable`, `joined`.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import torch
from rich.console import Console

from constructions.distributed import Ranks
from constructions.distributed.ranks import DEFAULT_PATIENCE

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


def add_patience(sub: argparse.ArgumentParser) -> None:
    """The option that only matters under torchrun."""
    text = "seconds to wait for the other ranks under torchrun (default %(default)g)"
    sub.add_argument("--patience", type=float, default=DEFAULT_PATIENCE, help=text)


@contextmanager
def joined(args: argparse.Namespace, device: torch.device) -> Iterator[Ranks]:
    """The ranks that torchrun started, or this process alone.

    torchrun ends the survivors of a lost rank with SIGTERM: it acts like Ctrl-C here, once, so that what was reached is
    still written.
    """
    with Ranks.start(patience=args.patience, device=device) as ranks:
        before = signal.signal(signal.SIGTERM, _interrupt) if ranks.world > 1 else None
        try:
            yield ranks
        finally:
            if before is not None:
                signal.signal(signal.SIGTERM, before)


def _interrupt(number: int, frame: FrameType | None) -> None:
    for also in (signal.SIGTERM, signal.SIGINT):
        signal.signal(also, signal.SIG_IGN)
    raise KeyboardInterrupt
