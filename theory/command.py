"""What the commands share: the two consoles, devices, and paths that are tried before the work.

Importing it must stay cheap: torch and the objects are imported where they are used.

Main definitions: `Verb`, `out`, `err`, `device_named`, `require_writable`, `output_file`, `picture_file`, `as_typed`,
`seed`, `imported`, `add_device`, `add_seed`, `add_patience`, `working`, `joined`, `interruptible`, `interrupted`.
"""

from __future__ import annotations

import argparse
import importlib
import os
import re
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape

from constructions.errors import require_seed, shown

if TYPE_CHECKING:
    import torch

    from constructions.ranks import Ranks

UNLIMITED = 1 << 20  # columns of what goes to a file or a pipe: nothing is cut or folded there


@dataclass(frozen=True)
class Verb:
    """One command: its help, and the module with its `add_<verb>(parser)` and `run_<verb>(args) -> exit code`.

    `flat` is its name without the system before it; with `former` that is an old spelling. `examples` are two command
    lines that run, given the files that they name: its help ends with them.
    """

    help: str
    module: str
    flat: str | None = None
    former: bool = False
    examples: tuple[str, ...] = ()


PICTURES = (".png", ".svg", ".pdf")


class _Output(Console):
    """A console whose reader may go away: that ends the command when it waits for results, not for progress."""

    def on_broken_pipe(self) -> None:
        self.quiet = True
        if not self.stderr:
            raise BrokenPipeError


out = _Output(width=None if sys.stdout is not None and sys.stdout.isatty() else UNLIMITED)
err = _Output(stderr=True, width=None if sys.stderr is not None and sys.stderr.isatty() else UNLIMITED)


def device_named(name: str) -> torch.device:
    import torch

    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        raise ValueError("`--device` cuda was asked for, but torch sees no CUDA device")
    return torch.device(name)


def require_writable(path: Path | None, *sources: Path | None) -> None:
    """Fail before the work, not after it: the rule is that of `constructions.files`."""
    from constructions import files

    if path is not None:
        files.require_writable(path, *sources)


def seed(text: str) -> int:
    """The argument of `--seed`."""
    return require_seed("--seed", int(text))


def output_file(text: str) -> Path:
    """The argument of `--out`: a path would forget that there was nothing, or a slash, at the end of the text."""
    if os.path.basename(text) in ("", os.curdir, os.pardir):
        raise argparse.ArgumentTypeError(f"a file is needed, {text!r} names a folder")
    return Path(text)


def imported(option: str, text: str) -> Any:
    """What MODULE:ATTR names, from the working directory or an installed package; ValueError when there is none."""
    module, _, attribute = text.partition(":")
    if not module or not attribute:
        raise ValueError(f"`{option}` must be MODULE:ATTR, got {shown(text)}")
    sys.path.insert(0, os.getcwd())
    try:
        return getattr(importlib.import_module(module), attribute)
    except (Exception, SystemExit) as error:  # whatever a module of the user's does while it is imported
        why = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        raise ValueError(f"`{option}` {shown(text)} cannot be imported ({why})") from error


def picture_file(text: str) -> Path:
    """The argument of `--out` where a picture is drawn: its ending says how."""
    path = output_file(text)
    if path.suffix.lower() not in PICTURES:
        raise argparse.ArgumentTypeError(f"a picture is written as {', '.join(PICTURES)}, {text!r} ends otherwise")
    return path


@contextmanager
def as_typed(**options: str) -> Iterator[None]:
    """Arguments that an error names in backquotes are called as they were typed: `as_typed(alpha="--alpha")`. Also a
    decorator."""
    try:
        yield
    except (ValueError, TypeError) as err:
        words = re.sub(r"`(\w+)`", lambda found: f"`{options.get(found[1], found[1])}`", str(err))
        if words == str(err):
            raise
        raise ValueError(words) from err


def add_device(sub: argparse.ArgumentParser, default: str = "cpu") -> None:
    """The option --device, for `device_named`."""
    text = "where the work is done; auto: a CUDA device where there is one"
    sub.add_argument("--device", choices=("auto", "cpu", "cuda"), default=default, help=text)


def add_seed(sub: argparse.ArgumentParser, what: str = "all that is drawn") -> None:
    """The option --seed."""
    sub.add_argument("--seed", type=seed, default=0, help=f"of {what}: the same number, the same result")


def add_patience(sub: argparse.ArgumentParser) -> None:
    """The option that only matters under torchrun."""
    from constructions.ranks import DEFAULT_PATIENCE

    text = "seconds to wait for the other ranks under torchrun (default %(default)g)"
    sub.add_argument("--patience", type=float, default=DEFAULT_PATIENCE, help=text)


@contextmanager
def working(words: str) -> Iterator[Callable[[str], None]]:
    """A line on the error console while work goes on: the log to tell how far it is."""
    with err.status(words) as status:
        yield lambda message: status.update(escape(message))


@contextmanager
def joined(args: argparse.Namespace, device: torch.device) -> Iterator[Ranks]:
    """The ranks that torchrun started, or this process alone.

    torchrun ends the survivors of a lost rank with SIGTERM: it acts like Ctrl-C here, once, so that what was reached is
    still written.
    """
    from constructions.ranks import Ranks

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
    _raise_interrupt(number, frame)


_interruption = threading.Event()


def interrupted() -> bool:
    """Whether somebody asked this process to stop, also where code that was being imported lost the exception.

    C code turns a KeyboardInterrupt into another error, or drops it: what follows then fails for reasons of its own.
    """
    return _interruption.is_set()


@contextmanager
def interruptible() -> Iterator[None]:
    """SIGTERM acts like Ctrl-C, so that drafts are removed and what was reached is written; `interrupted` tells."""
    _interruption.clear()
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {signal.SIGTERM: signal.signal(signal.SIGTERM, _raise_interrupt)}
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # a process in the background may ignore it
        before[signal.SIGINT] = signal.signal(signal.SIGINT, _raise_interrupt)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _raise_interrupt(number: int, frame: FrameType | None) -> None:
    _interruption.set()
    raise KeyboardInterrupt
