"""The `momlp` command. Exit codes: 0 all as expected, 1 a verdict differs (or a rank failed), 2 usage, 3 an error that
nobody foresaw, 130 after Ctrl-C or SIGTERM, 141 when the reader of the output is gone.

Main definition: `main`.
"""

from __future__ import annotations

import argparse
import io
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from types import FrameType

from rich.markup import escape

from constructions.ranks import RankFailed, RankLost
from theory.bit_extraction import commands as rates
from theory.cli import models, verdicts
from theory.command import err
from theory.trained_momlp import commands as train
from theory.vc_dimension import commands as vc

DEBUG = "MOMLP_DEBUG"
FORESEEN = (ValueError, TypeError, OSError, ImportError, MemoryError)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; every foreseeable mistake ends in one sentence on stderr and exit code 2, any other error
    in one sentence and exit code 3 (and its traceback where MOMLP_DEBUG is set)."""
    _open_streams()
    with _terminated_as_interrupted():
        try:
            args = _parser().parse_args(argv)
            code = args.action(args)
            sys.stdout.flush()
            return code
        except KeyboardInterrupt:
            _say("momlp: interrupted")
            return 130
        except BrokenPipeError:
            _forget_output()
            return 141
        except (RankLost, RankFailed) as error:
            return _failed(error, 1)
        except FORESEEN as error:
            return _failed(error, 2)
        except Exception as error:
            if os.environ.get(DEBUG):
                traceback.print_exc()
            hint = f"please report it ({DEBUG}=1 shows where it happened)"
            return _failed(f"unexpected {type(error).__name__}: {_words(error)}; {hint}", 3)


def _failed(error: Exception | str, code: int) -> int:
    _say(f"momlp: error: {escape(error if isinstance(error, str) else _words(error))}")
    return code


def _words(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _say(text: str) -> None:
    with suppress(OSError, ValueError):  # nobody may be there to read it
        err.print(text, highlight=False, soft_wrap=True)


def _open_streams() -> None:
    """A standard stream that was closed leaves its number to the next file that is opened, and words would go there."""
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, this one
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115 (open until the end)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # names of files need not be text, and a terminal may know ASCII only
            stream.reconfigure(errors="backslashreplace")


def _forget_output() -> None:
    """Nobody reads what is still to be written: the interpreter must not try again when it ends."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextmanager
def _terminated_as_interrupted() -> Iterator[None]:
    """SIGTERM acts like Ctrl-C, so that drafts are removed and what was reached is written."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="momlp", description="Build mixtures of MLP experts, certify them, and reproduce the theorems about them."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, action: Callable[[argparse.Namespace], int], text: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text)
        sub.set_defaults(action=action)
        return sub

    for part in (verdicts, models, train, rates, vc):
        part.add_commands(command)
    return parser
