"""The `momlp` command. Exit codes: 0 all as expected, 1 a verdict differs (or a rank failed), 2 usage, 3 an error that
nobody foresaw, 130 after Ctrl-C or SIGTERM, 141 when the reader of the output is gone.

Main definition: `main`.
"""

from __future__ import annotations

import argparse
import importlib
import io
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from rich.markup import escape

from constructions.errors import RankFailed, RankLost
from constructions.version import __version__
from theory import systems
from theory.cli.help import START, Help, examples, of_room
from theory.command import Verb, err, interrupted, interruptible

DEBUG = "MOMLP_DEBUG"
FORESEEN = (ValueError, TypeError, OSError, ImportError, MemoryError)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; every foreseeable mistake ends in one sentence on stderr and exit code 2, any other error
    in one sentence and exit code 3 (and its traceback where MOMLP_DEBUG is set)."""
    _open_streams()
    with interruptible():
        try:
            if not (sys.argv[1:] if argv is None else argv):
                _say(START.rstrip())
                return 2
            args = _parser().parse_args(argv)
            code = args.action(args)
            sys.stdout.flush()
            return code
        except KeyboardInterrupt:
            return _stopped()
        except BrokenPipeError:
            _forget_output()
            return 141
        except (RankLost, RankFailed) as error:
            return _failed(error, 1)
        except FORESEEN as error:
            return _stopped() if interrupted() else _failed(error, 2)
        except Exception as error:
            if interrupted():
                return _stopped()
            if os.environ.get(DEBUG):
                traceback.print_exc()
            hint = f"please report it ({DEBUG}=1 shows where it happened)"
            return _failed(f"unexpected {type(error).__name__}: {_words(error)}; {hint}", 3)


def _stopped() -> int:
    _say("momlp: interrupted")
    return 130


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


GENERAL = {
    "list": Verb(
        "list the claims and the status each is expected to get",
        "theory.cli.listing",
        examples=("momlp list", "momlp list --systems"),
    ),
    "verify": Verb(
        "reproduce claims and print the verdict table",
        "theory.cli.verdicts",
        examples=(
            "momlp verify super_expressive --numbers",
            "momlp verify momlp.sharpness vc_dimension.one_hidden_layer --json verdicts.json --html report",
        ),
    ),
    "doctor": Verb(
        "check the installation",
        "theory.cli.examination",
        examples=("momlp doctor", "momlp doctor > installation.txt"),
    ),
    "targets": Verb(
        "list the named target functions",
        "theory.cli.models",
        examples=("momlp targets", "momlp targets | grep sine"),
    ),
    "plan": Verb(
        "print what a model would cost, without building it",
        "theory.cli.models",
        examples=(
            'momlp plan "sin(2*pi*x0)*x1" --n 2 --eps 0.01',
            "momlp plan --target cone --n 1 --eps 1e-6 --expert bit_extraction --lookup wide --max-experts 16",
        ),
    ),
    "build": Verb(
        "build a model, and store it with --out",
        "theory.cli.models",
        examples=(
            'momlp build "sin(2*pi*x0)*x1" --n 2 --eps 0.05 --out model.safetensors',
            'momlp build "sqrt(x0)" --n 1 --eps 0.1 --holder 1,0.5 --lazy --out root.safetensors',
        ),
    ),
    "certify": Verb(
        "certify the uniform error of a stored model",
        "theory.cli.models",
        examples=(
            "momlp certify model.safetensors --gap 1e-2",
            "momlp certify model.safetensors --method sampled --seed 1",
        ),
    ),
    "recheck": Verb(
        "re-decide proof files by a checker that imports nothing of this package",
        "theory.cli.recheck",
        examples=("momlp recheck model.proof", "momlp recheck proofs"),
    ),
    "eval": Verb(
        "evaluate a stored model on a .npy file of points (B, n)",
        "theory.cli.evaluate",
        examples=(
            "momlp eval model.safetensors --points P.npy --out Y.npy",
            "momlp eval model.safetensors --points P.npy --out Y.npy --budget-bytes 100000",
        ),
    ),
    "explain": Verb(
        "explain a claim in words, or a model's answer at one row by interactions",
        "theory.cli.explaining",
        examples=(
            "momlp explain momlp.sharpness",
            "momlp explain trained.safetensors --points P.npy --row 0 --out explanation.json",
        ),
    ),
    "export": Verb(
        "write a stored model as ONNX or for torch.export, and compare it",
        "theory.cli.exported",
        examples=("momlp export model.safetensors --onnx model.onnx", "momlp export model.safetensors --pt2 model.pt2"),
    ),
    "new-system": Verb(
        "write the files of a new system into this checkout",
        "theory.cli.new_system",
        examples=("momlp new-system midpoint", 'momlp new-system euler_method --title "Steps of a line"'),
    ),
    "show": Verb(
        "draw a stored model: cells, knots and error, or leaves and answers",
        "theory.cli.models",
        examples=(
            "momlp show model.safetensors --out model.png",
            "momlp show trained.safetensors --out trained.png",
        ),
    ),
}
"""Commands about models and claims of every system."""


class _LaterParser(argparse.ArgumentParser):
    """A parser that learns its arguments when it is used: the module behind a verb may take seconds to import."""

    fill: Callable[[argparse.ArgumentParser], None] | None = None
    words: Sequence[str] = ()
    """What follows the verb: what it takes may depend on it."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        fill, self.fill = self.fill, None
        if fill is not None:
            self.words = args or ()
            fill(self)
        return super().parse_known_args(args, namespace)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="momlp",
        description="Build mixtures of MLP experts, certify them, and reproduce the theorems about them.",
        epilog=f"first steps:\n{START}",
        formatter_class=Help,
    )
    parser.add_argument(
        "--version", action="version", version=f"momlp {__version__}", help="print the version and stop"
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND", parser_class=_LaterParser)
    for name, verb in GENERAL.items():
        _add(commands, name, name, verb)
    for system, verbs in systems.commands().items():
        about = systems.system(system)
        aliases = [about.short] if about.short else []
        said = f"{about.title}: {', '.join(verbs)}"
        ends = examples(of_room(verbs))
        room = commands.add_parser(
            system, aliases=aliases, help=said, description=said, epilog=ends, formatter_class=Help
        )
        inside = room.add_subparsers(required=True, metavar="VERB", parser_class=_LaterParser)
        for name, verb in verbs.items():
            _add(inside, name, name, verb)
            if verb.flat is not None:
                _add(commands, verb.flat, name, verb, hidden=verb.former)
    return parser


def _add(commands: Any, spelling: str, name: str, verb: Verb, *, hidden: bool = False) -> None:
    # without `help` a command works and is not listed
    listed = {} if hidden else {"help": verb.help}
    sub = commands.add_parser(spelling, description=verb.help, formatter_class=Help, **listed)
    sub.fill = lambda parser: _fill(parser, verb, name)
    sub.set_defaults(action=lambda args: _part(verb, f"run_{name.replace('-', '_')}")(args))


def _fill(parser: argparse.ArgumentParser, verb: Verb, name: str) -> None:
    _part(verb, f"add_{name.replace('-', '_')}")(parser)
    parser.epilog = examples(verb.examples, parser.epilog)


def _part(verb: Verb, name: str) -> Callable[[Any], Any]:
    return getattr(importlib.import_module(verb.module), name)
