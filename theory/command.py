"""What the commands share: the two consoles, devices, and paths that are tried before the work.

Main definitions: `out`, `err`, `Command`, `device_named`, `require_writable`, `output_file`, `seed`,
`joined`.
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

from constructions import files as atomic
from constructions.errors import require_seed
from constructions.ranks import DEFAULT_PATIENCE, Ranks

WIDTH = 130  # of tables that go to a file or a pipe


class _Output(Console):
    """A console whose reader may go away: that ends the command when it waits for results, not for progress."""

    def on_broken_pipe(self) -> None:
        self.quiet = True
        if not self.stderr:
            raise BrokenPipeError


out = _Output(width=None if sys.stdout is not None and sys.stdout.isatty() else WIDTH)
err = _Output(stderr=True)

Command = Callable[[str, Callable[[argparse.Namespace], int], str], argparse.ArgumentParser]
"""(name, action, help) -> the parser of a new command."""


def device_named(name: str) -> torch.device:
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        raise ValueError("`--device` cuda was asked for, but torch sees no CUDA device")
    return torch.device(name)


def require_writable(path: Path | None, *sources: Path | None) -> None:
    """Fail before the work, not after it: the rule is that of `constructions.files`."""
    if path is not None:
        atomic.require_writable(path, *sources)


def seed(text: str) -> int:
    """The argument of `--seed`."""
    return require_seed("--seed", int(text))


def output_file(text: str) -> Path:
    """The argument of `--out`: a path would forget that there was nothing, or a slash, at the end of the text."""
    if os.path.basename(text) in ("", os.curdir, os.pardir):
        raise argparse.ArgumentTypeError(f"a file is needed, {text!r} names a folder")
    return Path(text)


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
